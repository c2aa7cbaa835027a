"""`ringover-ops send`: posts signed webhooks to an ingress."""
