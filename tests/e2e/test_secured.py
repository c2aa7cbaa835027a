"""The guarantee on secured servers: every program with its own identity and the rights of deploy/, and no others."""

import asyncio
from collections.abc import Iterator

import pytest

from deploy.kafka import acls
from tests.support import cli
from tests.support.infrastructure import Infrastructure, secured_infrastructure
from tests.support.kafka import store
from tests.support.load import post_all
from tests.support.ports import stable_port
from tests.support.processes import Program, Programs
from tests.support.rewinding import rewind
from tests.support.secured import bindings_of, create_acls, delete_acls
from tests.support.traffic import traffic
from tests.support.verdict import Place, committed_offsets, duplicates_counted, judge, processed
from tests.support.waiting import until


@pytest.fixture(scope="module")
def servers() -> Iterator[Infrastructure]:
    with secured_infrastructure() as found:
        yield found


@pytest.fixture(scope="module")
def kafka_bootstrap_servers(servers: Infrastructure) -> str:
    return servers.kafka_bootstrap_servers


async def test_the_guarantee_holds_with_the_least_rights(place: Place, programs: Programs) -> None:
    webhooks = list(traffic(seed=71, calls=200, duplicates=0.1, garbage=0.05))
    port = stable_port()
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
        ["dead-letters", "replay", "--all", "--even-if-still-bad", "--execute"],
    ):
        await cli.run(programs.env, *arguments, expect=0)
    ends = await committed_offsets(place)
    await rewind(programs.env, "--to-earliest", "--execute")
    await processed(place, sum(ends.values()))


# What /readyz says when the processor lacks a right: resource and name of the rule in acls.toml.
MISSING = {
    "GroupAuthorizationFailed": ("group", "{group}"),
    "may not be seen": ("topic", "{prefix}ringover.raw.v1"),
    "TopicAuthorizationFailed": ("topic", "{prefix}ringover.call.v1"),
    "TransactionalIdAuthorizationFailed": ("transactional-id", "{group}|"),
}


@pytest.mark.parametrize("said", MISSING)
async def test_a_missing_right_is_named_and_waited_for(
    servers: Infrastructure, place: Place, programs: Programs, said: str
) -> None:
    resource, name = MISSING[said]
    assert servers.secured is not None
    wanted = name.format(prefix=place.topics.prefix, group=place.group)
    (missing,) = [
        acl
        for acl in acls.read(prefix=place.topics.prefix, group=place.group)
        if (acl.principal, acl.resource, acl.name) == ("ringover-processor", resource, wanted)
    ]
    delete_acls(servers.secured, bindings_of(missing))
    count = await store(place.bootstrap_servers, place.topics.raw, traffic(seed=72, calls=10))
    processor = programs.processor()
    await _not_ready(processor, said)

    create_acls(servers.secured, bindings_of(missing))
    await processed(place, count)

    await processor.ready()
    await judge(place)


async def test_refused_credentials_are_named_and_never_shown(
    servers: Infrastructure, place: Place, programs: Programs
) -> None:
    assert servers.secured is not None
    files = servers.secured.files
    wrong = str(files.password_file("billing"))
    url = servers.secured.services(place.database_url)["processor"]["DATABASE_URL"]
    ingress = programs.ingress(KAFKA_SASL_PASSWORD_FILE=wrong)
    unknown = programs.processor(DATABASE_URL=url.replace(files.passwords["ringover_processor"], "wrong"))
    mistaken = programs.processor(DATABASE_URL=url.replace("%2Fca.pem", "%2Fother-ca.pem"))

    await _not_ready(ingress, "refuses the credentials (KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD)")
    await _not_ready(unknown, "password authentication failed")
    await _not_ready(mistaken, "certificate verify failed")
    lag, migrate = await asyncio.gather(
        cli.run({**programs.env, "KAFKA_SASL_PASSWORD_FILE": wrong}, "lag", expect=1),
        cli.run({**programs.env, "DATABASE_URL": url}, "migrate", expect=1),
    )

    assert "refuses the credentials" in lag.err
    assert migrate.err.startswith("error: PostgreSQL refuses: permission denied")
    said = [program.log.read_text() for program in programs.all] + [lag.err, migrate.err]
    for secret in files.passwords.values():
        assert all(secret not in text for text in said)


async def _not_ready(program: Program, reason: str) -> None:
    async def refused() -> bool:
        assert program.running, program.tail()
        status, text = await program.readyz()
        return status == 503 and reason in text

    await until(refused, seconds=60, what=f"{program.name} not ready because of {reason}")
