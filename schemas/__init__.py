"""Defines what the programs and their users agree on: events, topics, headers. Pure: no I/O, no clock, no settings."""
