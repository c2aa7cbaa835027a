"""`ringover-ops migrate`: applies the migrations of the state table."""
