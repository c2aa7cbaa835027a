"""The durable spool: where accepted records wait on the local disk while Kafka does not take them."""
