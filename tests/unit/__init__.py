"""Tests that need nothing but this code: no server, no network."""
