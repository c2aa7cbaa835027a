"""The demo: the whole system as real processes on this machine, measured, and checked against what must hold."""
