"""The nodes that track and follow: rclpy and messages, and what lies between them and the rest."""
