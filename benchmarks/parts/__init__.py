"""Measures one thing in each part of a run, and gives what the results keep of it."""
