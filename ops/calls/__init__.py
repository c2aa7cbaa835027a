"""What is known of one call, and emitting its events again."""
