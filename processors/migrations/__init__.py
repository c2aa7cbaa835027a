"""Numbered SQL files; `ringover-ops migrate` applies them in order, each in one transaction."""
