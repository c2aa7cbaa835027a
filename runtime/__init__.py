"""What every process shares: settings, logs, metrics, the Kafka client's options, process lifecycle, errors."""
