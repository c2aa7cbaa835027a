"""Tests of the chaos suite's own judge."""
