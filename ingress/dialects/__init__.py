"""Holds what differs by sender, one module for each dialect of webhooks; everything else in the ingress serves all."""
