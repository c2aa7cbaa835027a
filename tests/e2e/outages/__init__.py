"""Whole programs on real servers."""
