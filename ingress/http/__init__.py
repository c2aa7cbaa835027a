"""Speaks HTTP: connections and their limits, requests, answers, problems."""
