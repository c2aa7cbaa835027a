"""Runs the whole system on one machine: the devstack and the demo."""
