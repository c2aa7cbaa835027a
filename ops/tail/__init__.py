"""`ringover-ops tail`: follows the output topics."""
