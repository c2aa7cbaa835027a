"""The spool of an ingress, for operators: what waits, sending it without the ingress, and taking it out."""
