"""Pools sessions in PostgreSQL, and closes those that an error may have spoiled."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from runtime.errors import PipelineError, StateUnavailableError
from runtime.logs import logger
from runtime.postgres import PARAMETERS, connect, prepare

WAIT_FOR_CONNECTION_SECONDS = 5.0

# A statement that hangs must end before the group gives up on us; a session that dies must free its locks.
_SETTINGS = {
    "statement_timeout": "5s",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "5s",
    "application_name": "ringover-processor",
}
# Errors of one statement, after which the session is as good as before. Any other closes it: a node that has become
# read-only, a lost right or prepared statement, an encoding that does not fit would fail every statement to come.
_OF_A_STATEMENT = (
    PipelineError,
    psycopg.errors.LockNotAvailable,
    psycopg.errors.QueryCanceled,
    psycopg.errors.SerializationFailure,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.DiskFull,
)

log = logger(__name__)

Pool = AsyncConnectionPool[psycopg.AsyncConnection[TupleRow]]


def make_pool(database_url: str, *, connections: int) -> Pool:
    """Make a closed pool of autocommit connections; opening it does not wait for the database."""
    warned = False

    async def configure(connection: psycopg.AsyncConnection[Any]) -> None:
        nonlocal warned
        if not warned and exposed(connection.info.hostaddr, encrypted=bool(connection.pgconn.ssl_in_use)):
            warned = True
            log.warning("database.unencrypted", advice="sslmode=verify-full in DATABASE_URL")
        await prepare(connection, database_url, _SETTINGS)

    return AsyncConnectionPool(
        database_url,
        min_size=1,
        max_size=connections,
        timeout=WAIT_FOR_CONNECTION_SECONDS,
        kwargs=dict(PARAMETERS),
        configure=configure,
        open=False,
    )


def exposed(address: str, *, encrypted: bool) -> bool:
    """Whether others could read a connection; an empty address is a socket of this machine."""
    return not encrypted and bool(address) and not ipaddress.ip_address(address.partition("%")[0]).is_loopback


@asynccontextmanager
async def session(pool: Pool) -> AsyncIterator[psycopg.AsyncConnection[TupleRow]]:
    """Lends a session of the pool, and closes it after an error that may be the session's: the pool opens another one.

    Raises:
        StateUnavailableError: whatever PostgreSQL's objection is.
    """
    async with _converted(), pool.connection() as connection:
        try:
            yield connection
        except _OF_A_STATEMENT:
            raise
        except BaseException:
            await connection.close()
            raise


async def why_no_connection(pool: Pool) -> str:
    """Ask by a connection of our own: the pool only says that it has none in time. Raises as `connect`."""
    assert isinstance(pool.conninfo, str), "make_pool gives the URL itself"
    try:
        async with asyncio.timeout(WAIT_FOR_CONNECTION_SECONDS), await connect(pool.conninfo):
            return "no connection in time"
    except TimeoutError:
        return "no connection in time"
    except psycopg.Error as error:
        return str(error).split("\n", 1)[0].removeprefix("connection failed: ")


@asynccontextmanager
async def _converted() -> AsyncIterator[None]:
    try:
        yield
    except PoolTimeout as error:
        raise StateUnavailableError("PostgreSQL: no connection in time") from error
    except UnicodeError as error:
        raise StateUnavailableError("PostgreSQL: a text cannot be encoded for it") from error
    except psycopg.Error as error:
        # The server's sentence names tables and limits; its DETAIL line would name keys.
        reason = error.diag.message_primary or type(error).__name__
        raise StateUnavailableError(f"PostgreSQL: {reason}") from error
