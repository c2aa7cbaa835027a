"""A load balancer in front of ingresses, as a Service or a proxy is one: new requests go to whoever is ready."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tests.support.kafka import Webhook
from tests.support.plain_http import Connections, UnreachableError
from tests.support.processes import Program

LOOK_SECONDS = 0.1  # between two looks at /readyz


class Instance:
    """One address that an ingress has, whichever process that is."""

    def __init__(self, port: int, program: Program) -> None:
        self.port = port
        self.program = program
        #: Set to take it out, as Kubernetes does before it stops a pod.
        self.out = False
        self.ready = False
        self.under_way = 0
        self.answers = 0
        self.connections = Connections("127.0.0.1", port)

    async def post(self, webhook: Webhook) -> str:
        self.under_way += 1
        try:
            head = await self.connections.post(webhook)
            self.answers += 1
            return head
        finally:
            self.under_way -= 1


class Balancer:
    """Spreads requests in turn; one that was sent is never sent again, to nobody."""

    def __init__(self, instances: Sequence[Instance]) -> None:
        self.instances = list(instances)
        #: Connections that an instance did not take: nothing was sent, and the next instance got the request.
        self.unreachable = 0
        #: The longest time between the ends of two looks at an instance.
        self.worst_look_seconds = 0.0

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[None]:
        """Look at who is ready while the context is open."""
        looks = [asyncio.create_task(self._look(instance)) for instance in self.instances]
        try:
            yield
        finally:
            for look in looks:
                look.cancel()
            for instance in self.instances:
                instance.connections.close()

    async def post(self, webhook: Webhook) -> str:
        """The head of the answer.

        Raises:
            UnreachableError: nobody is ready, or all refused a connection.
            OSError, asyncio.IncompleteReadError: it was sent, and not answered.
        """
        self.instances.append(self.instances.pop(0))
        for instance in [one for one in self.instances if one.ready and not one.out]:
            try:
                return await instance.post(webhook)
            except UnreachableError:
                self.unreachable += 1
        raise UnreachableError("no instance takes requests")

    async def _look(self, instance: Instance) -> None:
        looked = time.monotonic()
        while True:
            program = instance.program
            status, _ = await program.readyz()
            instance.ready = status == 200 and program is instance.program
            self.worst_look_seconds = max(self.worst_look_seconds, time.monotonic() - looked)
            looked = time.monotonic()
            await asyncio.sleep(LOOK_SECONDS)
