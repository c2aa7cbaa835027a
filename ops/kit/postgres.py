"""Opens the commands' connection to PostgreSQL, and is the one place where its errors become one line."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import psycopg

from ops.kit.errors import DiffersError, NotAuthorizedError, OpsError, UnreachableError, UsageError
from ops.kit.settings import OffsetSettings
from runtime.errors import RefusedError
from runtime.postgres import connect, server_of
from runtime.settings import DatabaseSettings

_BEFORE = "PostgreSQL (DATABASE_URL)"


@asynccontextmanager
async def database(settings: DatabaseSettings | OffsetSettings) -> AsyncIterator[psycopg.AsyncConnection]:
    """An autocommit connection; errors inside the context are converted as in `database_errors`.

    Raises:
        UsageError: DATABASE_URL is not set.
    """
    if settings.database_url is None:
        raise UsageError("DATABASE_URL is needed")
    with database_errors():
        connection = await connect(settings.database_url.get_secret_value())
    async with connection:
        with database_errors(connection):
            yield connection


async def reach(settings: DatabaseSettings) -> None:
    """See that the server answers and is one that we can work with; raises as `database`."""
    async with database(settings):
        pass


@contextmanager
def database_errors(connection: psycopg.BaseConnection[Any] | None = None) -> Iterator[None]:
    """Convert psycopg's errors; with the connection, the message names the server where that helps.

    Raises:
        NotAuthorizedError, UnreachableError, DiffersError, OpsError: in words for an operator; never with the URL, it
            has a password.
    """
    try:
        yield
    except RefusedError as error:
        raise DiffersError(str(error)) from error
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidAuthorizationSpecification) as error:
        raise NotAuthorizedError(f"PostgreSQL refuses: {words(error)}") from error
    except psycopg.errors.ReadOnlySqlTransaction as error:
        where = f"PostgreSQL at {server_of(connection)}" if connection is not None else _BEFORE
        raise UnreachableError(
            f"{where} takes no writes now ({words(error)}): a standby, or default_transaction_read_only is on; with "
            "all hosts and target_session_attrs=read-write, DATABASE_URL finds the one that does"
        ) from error
    except psycopg.errors.UndefinedTable as error:
        raise OpsError("the database lacks our tables, or some of them: run `ringover-ops migrate`") from error
    except psycopg.OperationalError as error:
        raise UnreachableError(f"{_BEFORE} does not answer: {words(error)}") from error
    except psycopg.Error as error:
        raise OpsError(f"PostgreSQL: {words(error)}") from error


def words(error: psycopg.Error) -> str:
    """The server's sentence on one line; its DETAIL line, which names values, is left out."""
    text = error.diag.message_primary or str(error).split("\n", 1)[0]
    return " ".join(text.split())
