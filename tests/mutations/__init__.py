"""Each safety rule taken out of the code: some test must notice. `make mutations`."""
