"""Opens our sessions in PostgreSQL, and refuses servers that cannot do what we need.

What a session depends on is set here, whatever the environment (PGCLIENTENCODING, PGOPTIONS, ...), the role or the
server says; everything that connects begins with this.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import sql

from runtime.errors import RefusedError

PARAMETERS: dict[str, Any] = {
    "connect_timeout": 5,
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 10,
    "client_encoding": "utf8",
    "autocommit": True,
}
NO_SETTINGS: Mapping[str, str] = {}
# By SET after connecting: PgBouncer refuses a session that has them in its startup packet.
_SETTINGS = {"DateStyle": "ISO"}  # psycopg reads no other one
_IDLE_SINCE = 140000  # server_version_num of the first that ends idle sessions
_SECOND_SESSION_SECONDS = 5.0
_LOOKS = 5


async def connect(url: str, settings: Mapping[str, str] = NO_SETTINGS) -> psycopg.AsyncConnection:
    """Open an autocommit session; raises psycopg's errors, and as `prepare`."""
    connection = await psycopg.AsyncConnection.connect(url, **PARAMETERS)
    try:
        await prepare(connection, url, settings)
    except BaseException:
        await connection.close()
        raise
    return connection


async def prepare(connection: psycopg.AsyncConnection[Any], url: str, settings: Mapping[str, str]) -> None:
    """Make a new connection a session of ours, with these settings of PostgreSQL beside those that all have.

    Raises:
        RefusedError: the server cannot hold every id, or lends its sessions by the transaction.
    """
    refuse_encoding(connection)
    await _refuse_shared_sessions(connection, url)
    await connection.execute(_set({**_SETTINGS, **settings}, connection.info.server_version))


def connect_blocking(url: str) -> psycopg.Connection:
    """Open a session without asyncio, for tools that know that there is no pooler in between."""
    connection = psycopg.connect(url, **PARAMETERS)
    try:
        refuse_encoding(connection)
        connection.execute(_set(_SETTINGS, connection.info.server_version))
    except BaseException:
        connection.close()
        raise
    return connection


def refuse_encoding(connection: psycopg.BaseConnection[Any]) -> None:
    """Raises RefusedError: the database's encoding cannot hold every id."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise RefusedError(
            f"the database {connection.info.dbname} has the encoding {encoding}, which cannot hold every call id: "
            "make one by CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0, and point DATABASE_URL at it"
        )


def server_of(connection: psycopg.BaseConnection[Any]) -> str:
    """Host and port of the server, for messages."""
    return f"{connection.info.host}:{connection.info.port}"


def _set(settings: Mapping[str, str], version: int) -> sql.Composed:
    wanted = dict(settings)
    if version >= _IDLE_SINCE:
        wanted["idle_session_timeout"] = "0"
    one = sql.SQL("SET {} = {}")
    return sql.SQL("; ").join(one.format(sql.Identifier(name), sql.Literal(value)) for name, value in wanted.items())


async def _refuse_shared_sessions(connection: psycopg.AsyncConnection[Any], url: str) -> None:
    """See that the session stays ours between two statements. Must come before anything is set in it.

    A pooler gives its clients a process id of its own, for cancelling, so the server's answer differs. With
    `pool_mode = session` two clients that are connected never get one server process, and a client keeps its own.
    """
    if await _server_process(connection) == connection.info.backend_pid:
        return
    try:
        async with (
            asyncio.timeout(_SECOND_SESSION_SECONDS),
            await psycopg.AsyncConnection.connect(url, **PARAMETERS) as other,
        ):
            first = await _server_process(connection)
            for _ in range(_LOOKS):
                if await _server_process(other) == first or await _server_process(connection) != first:
                    raise RefusedError(
                        f"the connection pooler at {server_of(connection)} lends PostgreSQL's sessions by the "
                        "transaction or statement; this needs sessions of its own: use pool_mode = session "
                        "(PgBouncer), or PostgreSQL's own address in DATABASE_URL"
                    )
    except TimeoutError as error:
        raise psycopg.OperationalError(
            f"the connection pooler at {server_of(connection)} has no second session for us in time: "
            "is its pool large enough?"
        ) from error


async def _server_process(connection: psycopg.AsyncConnection[Any]) -> int:
    cursor = await connection.execute("SELECT pg_backend_pid()", prepare=False)  # a pooler may not know what we prepare
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])
