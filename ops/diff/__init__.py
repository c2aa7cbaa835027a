"""Today's code over the raw log, in memory, against what the topics hold."""
