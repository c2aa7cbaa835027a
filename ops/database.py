"""The commands' connection to PostgreSQL, and the one place where its errors become one line."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import psycopg

from ops.errors import NotAuthorizedError, OpsError, UnreachableError
from runtime.settings import DatabaseSettings

CONNECT_SECONDS = 10


@asynccontextmanager
async def database(settings: DatabaseSettings) -> AsyncIterator[psycopg.AsyncConnection]:
    """An autocommit connection; errors inside the context are converted as in `database_errors`."""
    with database_errors():
        connection = await psycopg.AsyncConnection.connect(
            settings.database_url.get_secret_value(), connect_timeout=CONNECT_SECONDS, autocommit=True
        )
        async with connection:
            yield connection


@contextmanager
def database_errors() -> Iterator[None]:
    """Convert psycopg's errors.

    Raises:
        NotAuthorizedError, UnreachableError, OpsError: in words for an operator; never with the URL, it has a password.
    """
    try:
        yield
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidAuthorizationSpecification) as error:
        raise NotAuthorizedError(f"PostgreSQL refuses: {words(error)}") from error
    except psycopg.errors.UndefinedTable as error:
        raise OpsError("the database lacks our tables, or some of them: run `ringover-ops migrate`") from error
    except psycopg.OperationalError as error:
        raise UnreachableError(f"PostgreSQL (DATABASE_URL) does not answer: {words(error)}") from error
    except psycopg.Error as error:
        raise OpsError(f"PostgreSQL: {words(error)}") from error


def words(error: psycopg.Error) -> str:
    """The server's sentence on one line; its DETAIL line, which names values, is left out."""
    text = error.diag.message_primary or str(error).split("\n", 1)[0]
    return " ".join(text.split())
