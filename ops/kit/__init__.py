"""What the commands share, one of each."""
