"""Tests: unit (pure), contract (one suite on in-memory and real adapters), integration, e2e (real processes)."""
