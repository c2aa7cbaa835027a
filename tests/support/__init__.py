"""What the tests share: infrastructure, processes, the reference model, in-memory adapters."""
