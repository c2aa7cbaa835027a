"""Runs a real Kafka and a real PostgreSQL as child processes, without Docker, root or a system Java."""
