"""Rewind: move a consumer group's committed offsets, first as a plan, then safely."""
