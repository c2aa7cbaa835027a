"""Shows what is known of one call, and emits its events again."""
