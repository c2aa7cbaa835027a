"""The parts of a run: each measures one thing and gives what the results keep of it."""
