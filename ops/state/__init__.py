"""The state table for operators: look at it, compact it, make it anew from the raw log, check it."""
