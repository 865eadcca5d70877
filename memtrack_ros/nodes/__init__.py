"""The nodes: the only room that knows ROS."""
