"""Dead letters for operators: look at them, send them back to the raw topic, repair them by hand."""
