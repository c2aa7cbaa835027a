"""Keeps accepted records on the local disk while Kafka does not take them."""
