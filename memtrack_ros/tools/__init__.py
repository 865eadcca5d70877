"""What starts the nodes and talks to them: demo, replay, the client, the processes."""
