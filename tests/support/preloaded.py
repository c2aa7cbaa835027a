"""What programs import, for `tests.support.forked`; frozen, so that forks share the memory of it."""

import gc
from importlib import import_module

import ingress.service
import ops.cli
import processors.service

for entry in ops.cli.COMMANDS.values():
    import_module(entry.module)
gc.collect()
gc.freeze()

__all__ = ["ingress", "ops", "processors"]
