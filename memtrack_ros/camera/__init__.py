"""Where images come from when there is no camera driver: the camera node and its sources."""
