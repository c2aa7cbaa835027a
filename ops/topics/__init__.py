"""`ringover-ops topics`: creates the topics and compares them with the registry."""
