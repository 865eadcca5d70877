"""The operator's page: what the tracker sees, in a browser, to point at."""
