"""Lists and shows dead letters, sends them back to the raw topic, and has them repaired by hand."""
