"""`ringover-ops lag`: how far a group is behind."""
