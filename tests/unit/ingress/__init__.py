"""The ingress without Kafka: pure decisions, and a real server on a loopback port."""
