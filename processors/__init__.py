"""Turns raw records into normalized events, exactly once per pass over the log."""
