"""Takes webhooks over HTTP, authenticates them, and stores them in Kafka before it answers."""
