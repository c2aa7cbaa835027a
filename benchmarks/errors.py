"""Defines the error of a measurement that is no result."""


class BenchError(Exception):
    """A round failed: a process died, something was not in time, or what came out is not what must come out."""
