"""The system under faults: a world of real processes behind proxies, and what can be done to it."""
