"""What messages hold, without ROS: in the generated classes, in those of rosbags, in any other."""
