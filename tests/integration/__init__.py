"""Adapters and programs on real servers."""
