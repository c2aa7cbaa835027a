"""Runs the whole system as real processes on this machine, measures it, and checks what must hold."""
