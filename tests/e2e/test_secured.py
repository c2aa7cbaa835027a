"""The guarantee on secured servers: every program with its own identity and the rights of deploy/, and no others."""

import asyncio
from collections.abc import Iterator

import pytest

from ops.devstack.ports import free_port
from tests.support import cli
from tests.support.infrastructure import Infrastructure, secured_infrastructure
from tests.support.load import post_all
from tests.support.processes import Programs
from tests.support.rewinding import rewind
from tests.support.traffic import traffic
from tests.support.verdict import Place, committed_offsets, duplicates_counted, judge, processed


@pytest.fixture(scope="module")
def servers() -> Iterator[Infrastructure]:
    with secured_infrastructure() as found:
        yield found


@pytest.fixture(scope="module")
def kafka_bootstrap_servers(servers: Infrastructure) -> str:
    return servers.kafka_bootstrap_servers


async def test_the_guarantee_holds_with_the_least_rights(place: Place, programs: Programs) -> None:
    webhooks = list(traffic(seed=71, calls=200, duplicates=0.1, garbage=0.05))
    port = free_port()
    programs.ingress(INGRESS_PORT=str(port))
    programs.processor()
    killed = programs.processor()
    for program in programs.all:
        await program.ready()

    posting = asyncio.create_task(post_all(f"http://127.0.0.1:{port}", webhooks))
    await processed(place, len(webhooks) // 4)
    killed.kill()
    programs.processor()
    answers = await posting
    await processed(place, len(answers.accepted))

    assert answers.refused == []
    model = await judge(place)
    assert duplicates_counted(place) == model.duplicates > 0
    assert len(model.dead_letters) > 0
    for arguments in (
        ["lag"],
        ["dead-letters", "list"],
        ["state", "verify"],
        ["state", "stats"],
        ["state", "compact", "--ttl", "45d", "--execute"],
        ["state", "rebuild", "--execute"],
    ):
        await cli.run(programs.env, *arguments, expect=0)
    ends = await committed_offsets(place)
    await rewind(programs.env, "--to-earliest", "--execute")
    await processed(place, sum(ends.values()))
