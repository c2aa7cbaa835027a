"""`ringover-ops`: the operators' command line."""
