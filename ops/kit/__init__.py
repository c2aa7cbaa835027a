"""Holds what commands share, one module for each purpose."""
