"""Opens the Kafka clients of the commands, and is the one place where their errors become one line.

They come and go with a command: no group, no commits, one request timeout.
"""

import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Literal

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    NoBrokersAvailable,
    NodeNotReadyError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnknownTopicOrPartitionError,
    UnsupportedSaslMechanismError,
)

from ops.kit.errors import AWAY, KafkaAwayError, NotAuthorizedError, NotFoundError, OpsError, UsageError
from runtime.broker_errors import broker_words
from runtime.connection_diagnosis import diagnose
from runtime.errors import OpenTransactionError, RefusedError
from runtime.kafka import client_options, close_consumer
from runtime.settings import KafkaSettings
from schemas.topics import MAX_OUTPUT_BYTES

CLIENT_ID = "ringover-ops"

_NOT_AUTHORIZED = (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnsupportedSaslMechanismError,
)
_UNREACHABLE = (KafkaConnectionError, KafkaTimeoutError, NodeNotReadyError, NoBrokersAvailable, TimeoutError, OSError)


@contextmanager
def kafka_errors(settings: KafkaSettings, *, transaction_ms: int | None = None) -> Iterator[None]:
    """Convert the client's errors; `transaction_ms`: the timeout of the transactions inside.

    Raises:
        KafkaAwayError, NotAuthorizedError, NotFoundError, OpsError: in words for an operator.
    """
    try:
        yield
    except _NOT_AUTHORIZED as error:
        raise NotAuthorizedError(f"Kafka refuses: {broker_words(error)}; check KAFKA_SASL_* and the ACLs") from error
    except OpenTransactionError as error:
        raise OpsError(f"Kafka: {error}") from error
    except UnknownTopicOrPartitionError as error:
        raise NotFoundError("a topic is missing on the broker: run `ringover-ops topics apply`") from error
    except _UNREACHABLE as error:
        # Not the client's own words: it lists its internal address tuples.
        where = f"{settings.kafka_bootstrap_servers} (KAFKA_BOOTSTRAP_SERVERS)"
        raise KafkaAwayError(f"{AWAY} at {where}") from error
    except KafkaError as error:
        raise OpsError(f"Kafka: {broker_words(error, transaction_ms=transaction_ms)}") from error


@asynccontextmanager
async def admin_client(settings: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client; errors inside the context are converted as in `kafka_errors`."""
    _quiet()
    with kafka_errors(settings):
        with _setting_errors():
            options = client_options(settings, client_id=CLIENT_ID)
            client = AIOKafkaAdminClient(**options)
        try:
            await _start(client, options)
            yield client
        finally:
            await client.close()


@asynccontextmanager
async def reader(
    settings: KafkaSettings, *, isolation: Literal["read_committed", "read_uncommitted"]
) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer without group or assignment; it commits nothing. Errors are converted as in `kafka_errors`."""
    _quiet()
    with kafka_errors(settings):
        with _setting_errors():
            options = client_options(settings, client_id=CLIENT_ID)
            consumer = AIOKafkaConsumer(
                **options,
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="earliest",  # callers always seek; this serves records deleted under a slow reader
                isolation_level=isolation,
                fetch_max_wait_ms=50,  # a bounded read must not wait for records that are not there
                max_partition_fetch_bytes=MAX_OUTPUT_BYTES,
            )
        try:
            await _start(consumer, options)
            yield consumer
        finally:
            await close_consumer(consumer)


async def why_away(settings: KafkaSettings) -> str | None:
    """Tells why brokers do not answer, as far as another connection to them shows it; None if unknown."""
    return await diagnose(client_options(settings, client_id=CLIENT_ID))


async def _start(client: AIOKafkaAdminClient | AIOKafkaConsumer, options: Mapping[str, Any]) -> None:
    """Start, or say what the brokers or we have against the connection: the client only says that there is none."""
    try:
        with _setting_errors():
            await client.start()
    except KafkaConnectionError as error:
        why = await diagnose(options)
        if why is None:
            raise
        raise NotAuthorizedError(f"no connection to Kafka: {why}") from error


@contextmanager
def _setting_errors() -> Iterator[None]:
    """A certificate file or a KAFKA_* value; connections that fail are Kafka errors, other than these."""
    try:
        yield
    except RefusedError as error:
        raise UsageError(str(error)) from error
    except (OSError, ValueError) as error:
        raise UsageError(f"the KAFKA_* settings are not usable: {error}") from error


def _quiet() -> None:
    # The client logs every connection attempt; a command says one line of its own.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL + 1)
