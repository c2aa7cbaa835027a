"""The rights in deploy/, tried one by one on secured servers; and connections that are refused."""

import os
from collections.abc import Callable, Iterator, Mapping

import psycopg
import pytest

from runtime.connection_diagnosis import diagnose
from runtime.errors import RefusedError
from runtime.kafka import client_options
from runtime.settings import KafkaSettings
from sandbox.devstack.ports import HOST, free_port
from schemas.topics import TopicNames
from tests.support.infrastructure import Infrastructure, secured_infrastructure
from tests.support.kafka import producer
from tests.support.rights import OnKafka, allowed_in_database
from tests.support.secured import ADMIN, ROLES, Secured, grant_topics

READS = {"read raw", "read call", "read recording", "read dead letters"}
ON_KAFKA = {
    "ringover-ingress": {"write raw", "write dead letters", "see settings"},
    "ringover-processor": {
        *("read raw", "write call", "write recording", "write dead letters"),
        *("see the group", "commit for the group", "own a partition", "see settings"),
    },
    "ringover-reader": {*READS, "see the group"},
    "ringover-operator": {
        *(*READS, "write raw", "write call", "write recording"),
        *("see the group", "commit for the group", "own a partition", "see settings"),
    },
    "ringover-topics": {"see settings", "make a topic"},
    "billing": {"read call", "read recording", "commit for billing"},
}

STATEMENTS = {
    "read claims": "SELECT * FROM claim",
    "claim": "INSERT INTO claim VALUES (1, 'k', 0, 1, now(), 1, 1) ON CONFLICT (log_id, idempotency_key) "
    "DO UPDATE SET records = claim.records + 1 RETURNING owner_offset",
    "change an owner": "UPDATE claim SET owner_offset = 0",
    "delete claims": "DELETE FROM claim",
    "empty claims": "TRUNCATE claim",
    "read progress": "SELECT * FROM progress FOR UPDATE",
    "advance": "INSERT INTO progress AS p VALUES (1, 0, 1) ON CONFLICT (log_id, partition) "
    "DO UPDATE SET next_offset = EXCLUDED.next_offset",
    "delete progress": "DELETE FROM progress",
    "note a conflict": "INSERT INTO conflict VALUES (1, 0, 1, 'k', now()) ON CONFLICT DO NOTHING",
    "read conflicts": "SELECT * FROM conflict",
    "delete conflicts": "DELETE FROM conflict",
    "add a log": "INSERT INTO log (name) VALUES ('x') ON CONFLICT (name) DO UPDATE SET name = 'x' RETURNING log_id",
    "delete logs": "DELETE FROM log",
    "look for a pause": "SELECT * FROM pause",
    "pause": "INSERT INTO pause VALUES ('g', now(), 'why') ON CONFLICT (group_name) DO UPDATE SET until = now()",
    "end a pause": "DELETE FROM pause",
    "read rewinds": "SELECT * FROM rewind",
    "note a rewind": "INSERT INTO rewind (group_name, topic, who, arguments, before, target) "
    "VALUES ('g', 't', 'w', 'a', '{}', '{}')",
    "forget a rewind": "DELETE FROM rewind",
    "forge a rewind": "UPDATE rewind SET who = 'somebody else'",
    "read replays": "SELECT * FROM replay",
    "note a replay": "INSERT INTO replay VALUES ('t', 0, 0, 0, 0, 0, 'w')",
    "read problems": "SELECT * FROM partition_problem",
    "tell a problem": "INSERT INTO partition_problem (group_name, topic, partition, problem, processor) "
    "VALUES ('g', 't', 0, 'p', 'w') ON CONFLICT (group_name, topic, partition) DO UPDATE SET problem = 'q'",
    "solve a problem": "DELETE FROM partition_problem WHERE partition = 0",
    "know the version": "SELECT max(version) FROM schema_migration",
    "change the version": "DELETE FROM schema_migration",
    "make a table": "CREATE TABLE other ()",
    "make a temporary table": "CREATE TEMPORARY TABLE other ()",
    "change a table": "ALTER TABLE claim ADD other int",
    "drop a table": "DROP TABLE claim",
    "become the owner": "SET ROLE ringover_owner",
    "make a role": "CREATE ROLE other",
    "read passwords": "SELECT rolpassword FROM pg_authid",
    "run a program": "COPY (SELECT 1) TO PROGRAM 'cat > /dev/null'",
}
READABLE = {name for name in STATEMENTS if name.startswith("read ")} - {"read progress", "read passwords"}
IN_DATABASE = {
    "ringover_processor": {
        *("read claims", "claim", "read progress", "advance", "note a conflict", "add a log"),
        *("look for a pause", "know the version", "read problems", "tell a problem", "solve a problem"),
    },
    "ringover_reader": {*READABLE, "look for a pause", "know the version"},
    "ringover_operator": {
        *(*READABLE, "read progress", "look for a pause", "know the version"),
        *("claim", "delete claims", "empty claims", "advance", "delete progress", "note a conflict"),
        *("delete conflicts", "add a log", "pause", "end a pause", "note a rewind", "note a replay"),
    },
    "ringover_migrator": set(STATEMENTS) - {"make a temporary table", "make a role", "read passwords", "run a program"},
}


@pytest.fixture(scope="module")
def servers() -> Iterator[Infrastructure]:
    with secured_infrastructure() as found:
        yield found


@pytest.fixture(scope="module")
def kafka_bootstrap_servers(servers: Infrastructure) -> str:
    return servers.kafka_bootstrap_servers


@pytest.fixture
def secured(servers: Infrastructure) -> Secured:
    assert servers.secured is not None
    return servers.secured


async def test_each_identity_can_do_what_its_acls_say_and_nothing_else(
    secured: Secured, kafka_bootstrap_servers: str, topics: TopicNames
) -> None:
    group = f"{topics.prefix}normalizer"
    grant_topics(secured, prefix=topics.prefix, group=group)
    async with producer(kafka_bootstrap_servers) as client:
        for topic in (topics.raw, topics.call, topics.recording, topics.dead_letter):
            await client.send_and_wait(topic, b"{}", partition=0)

    admin = OnKafka(secured.librdkafka(ADMIN), topics, group)
    await admin.settled()

    found = {name: OnKafka(secured.librdkafka(name), topics, group).allowed() for name in ON_KAFKA}

    assert found == ON_KAFKA
    assert admin.allowed() == set(admin.actions())  # the same calls work for who may: a refusal was one of rights


def test_each_role_can_do_what_its_grants_say_and_nothing_else(secured: Secured, migrated_database_url: str) -> None:
    database = psycopg.conninfo.conninfo_to_dict(migrated_database_url)["dbname"]

    found = {role: allowed_in_database(secured.database_url(role, str(database)), STATEMENTS) for role in ROLES}

    assert found == IN_DATABASE
    assert allowed_in_database(migrated_database_url, STATEMENTS) == set(STATEMENTS)


def test_what_a_later_migration_makes_can_be_read_and_no_more(secured: Secured, migrated_database_url: str) -> None:
    database = str(psycopg.conninfo.conninfo_to_dict(migrated_database_url)["dbname"])
    with psycopg.connect(secured.database_url("ringover_migrator", database)) as connection:
        connection.execute("CREATE TABLE later (x int)")
    statements = {"read": "SELECT * FROM later", "write": "INSERT INTO later VALUES (1)", "own": "DROP TABLE later"}

    found = {role: allowed_in_database(secured.database_url(role, database), statements) for role in ROLES}

    assert found == {
        "ringover_migrator": {"read", "write", "own"},
        "ringover_processor": set(),
        "ringover_operator": {"read"},
        "ringover_reader": {"read"},
    }


@pytest.mark.parametrize(
    ("role", "statement", "lock"),
    [
        ("ringover_migrator", "0", "2s"),
        ("ringover_processor", "5s", "2s"),
        ("ringover_operator", "15min", "10s"),
        ("ringover_reader", "5min", "2s"),
    ],
)
def test_each_login_has_its_limits(
    secured: Secured, migrated_database_url: str, role: str, statement: str, lock: str
) -> None:
    database = str(psycopg.conninfo.conninfo_to_dict(migrated_database_url)["dbname"])
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    with psycopg.connect(secured.database_url(role, database)) as connection:
        found = [connection.execute("SELECT current_setting(%s)", [name]).fetchall()[0][0] for name in names]
        limit = connection.execute("SELECT rolconnlimit FROM pg_roles WHERE rolname = session_user").fetchall()[0][0]

    assert found == [statement, lock, "5s"]
    assert limit > 0


Change = Callable[[Secured], Mapping[str, str]]
CREDENTIALS = "refuses the credentials (KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD)"
REFUSED: dict[str, tuple[Change, str]] = {
    "unknown user": (lambda s: _scram(s, KAFKA_SASL_USERNAME="nobody"), CREDENTIALS),
    "wrong password": (
        lambda s: _scram(s, KAFKA_SASL_PASSWORD_FILE=f"{s.files.password_file('billing')}"),
        CREDENTIALS,
    ),
    "PLAIN": (lambda s: _scram(s, KAFKA_SASL_MECHANISM="PLAIN"), "does not offer this mechanism"),
    "SCRAM-SHA-256": (lambda s: _scram(s, KAFKA_SASL_MECHANISM="SCRAM-SHA-256"), "does not offer this mechanism"),
    "wrong CA": (lambda s: _scram(s, KAFKA_SSL_CA_FILE=f"{s.files.other_ca}"), "unable to get local issuer"),
    "wrong host name": (
        lambda s: _scram(s, KAFKA_BOOTSTRAP_SERVERS=s.listener("SCRAM", host="localhost")),
        "not valid for 'localhost'",
    ),
    "expired broker": (lambda s: _mtls(s, KAFKA_BOOTSTRAP_SERVERS=s.listener("EXPIRED")), "has expired"),
    "expired client": (lambda s: _mtls(s, **s.certificate("expired")), "certificate unknown"),
    "client of another CA": (lambda s: _mtls(s, **s.certificate("stranger")), "certificate unknown"),
    "no certificate": (
        lambda s: _scram(s, KAFKA_SECURITY_PROTOCOL="SSL", KAFKA_BOOTSTRAP_SERVERS=s.stack.kafka_bootstrap_servers),
        "certificate required",
    ),
    "no TLS": (
        lambda s: {"KAFKA_BOOTSTRAP_SERVERS": s.stack.kafka_bootstrap_servers},
        "does it speak KAFKA_SECURITY_PROTOCOL?",
    ),
}


@pytest.mark.parametrize("mistake", REFUSED)
async def test_a_refused_connection_is_explained_without_secrets(secured: Secured, mistake: str) -> None:
    change, said = REFUSED[mistake]

    why = await _refusal(change(secured))

    assert why is not None
    assert said in why
    assert "\n" not in why
    assert not any(password in why for password in secured.files.passwords.values())


async def test_connections_that_are_taken_are_not_complained_of(secured: Secured) -> None:
    assert await _refusal(_scram(secured)) is None
    assert await _refusal(_mtls(secured)) is None
    assert (
        await _refusal({**_scram(secured), "KAFKA_BOOTSTRAP_SERVERS": f"{HOST}:{free_port()}"}) is None
    )  # nobody there


@pytest.mark.parametrize(
    ("said", "change"),
    [
        ("KAFKA_SSL_CA_FILE: No such file", {"KAFKA_SSL_CA_FILE": "/no/such/file"}),
        ("KAFKA_SSL_KEY_PASSWORD", {"KAFKA_SSL_KEY_PASSWORD_FILE": "/dev/null"}),
    ],
)
async def test_files_that_do_not_fit_are_named(secured: Secured, said: str, change: Mapping[str, str]) -> None:
    with pytest.raises(RefusedError, match=said):
        await _refusal({**_mtls(secured), **change})


async def _refusal(env: Mapping[str, str]) -> str | None:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("KAFKA_")]:
            patch.delenv(name)
        for name, value in env.items():
            patch.setenv(name, value)
        options = client_options(KafkaSettings(), client_id="test")
    return await diagnose(options)


def _scram(secured: Secured, **changes: str) -> dict[str, str]:
    return {**secured.by_password("ringover-ingress"), **changes}


def _mtls(secured: Secured, **changes: str) -> dict[str, str]:
    return {**secured.by_certificate("ringover-processor"), **changes}
