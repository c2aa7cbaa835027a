"""Fuzzing by coverage: `make fuzz`. Not collected by pytest; the same properties are tried with hypothesis there."""
