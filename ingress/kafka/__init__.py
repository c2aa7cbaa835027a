"""Publishes to Kafka: batches by partition, produce requests, a client that is replaced when it breaks."""
