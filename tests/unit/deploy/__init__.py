"""What deploy/ says, held against what the programs do."""
