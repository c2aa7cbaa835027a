"""Gives what every process shares: settings, logs, metrics, Kafka clients, PostgreSQL sessions, lifecycle, errors."""
