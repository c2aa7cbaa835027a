"""What is held of a call or of a telephone number, what can be erased of it now, and until when the rest remains."""
