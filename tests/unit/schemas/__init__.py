"""The contracts, example by example and property by property."""
