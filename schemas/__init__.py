"""The contracts of the system, pure: no I/O, no clock, no settings."""
