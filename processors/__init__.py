"""The normalizer: raw records in, normalized events out, exactly once per pass over the log."""
