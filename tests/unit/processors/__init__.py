"""The processor: pure parts, and the pipeline on in-memory ports."""
