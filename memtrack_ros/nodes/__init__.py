"""The tracker node: rclpy and the messages, and what lies between them and a session."""
