"""One suite per port, on the in-memory version and on the real one: the unit tests stand on the former."""
