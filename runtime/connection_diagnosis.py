"""Diagnoses why no broker takes our connection: the client only logs it, and an operator needs one sentence.

Names the setting to look at, and never the value of a secret one.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.conn import AIOKafkaConnection, collect_hosts, create_conn
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

REQUEST_TIMEOUT_MS = 3_000
_CONNECTION_OPTIONS = (
    "client_id",
    "security_protocol",
    "ssl_context",
    "sasl_mechanism",
    "sasl_plain_username",
    "sasl_plain_password",
)


async def diagnose(options: Mapping[str, Any]) -> str | None:
    """Say what stands between us and the brokers; None when they serve us, or when none is there to refuse.

    A broker is reached at the address that it advertises, whatever KAFKA_BOOTSTRAP_SERVERS has: both are tried.

    `options` are those of `runtime.kafka.client_options`.
    """
    found = None
    for host, port, _ in collect_hosts(options["bootstrap_servers"]):
        try:
            brokers = await _ask(host, port, options)
        except (KafkaError, OSError) as error:  # TimeoutError and the errors of TLS are OSErrors
            found = found or objection(error, f"{host}:{port}")
        else:
            return await _unreachable(f"{host}:{port}", brokers, options)
    return found


async def _ask(host: str, port: int, options: Mapping[str, Any]) -> list[tuple[int, str, int]]:
    """The brokers as this one advertises them: node, host, port."""
    async with _connected(host, port, options) as connection:
        answer = await connection.send(MetadataRequest([]))  # versions are told to everybody
    return [(broker[0], broker[1], broker[2]) for broker in answer.brokers]


async def _unreachable(asked: str, brokers: Sequence[tuple[int, str, int]], options: Mapping[str, Any]) -> str | None:
    """The first advertised address at which no broker takes our connection; None when each one does."""

    async def attempt(node: int, host: str, port: int) -> str | None:
        where = f"{host}:{port}"
        try:
            async with _connected(host, port, options):
                return None
        except (KafkaError, OSError) as error:
            why = objection(error, where) or f"{where} cannot be reached"
            return f"{asked} answers, but advertises node {node} at {where} (advertised.listeners), and {why}"

    found = await asyncio.gather(*(attempt(*broker) for broker in brokers))
    return next((words for words in found if words is not None), None)


@asynccontextmanager
async def _connected(host: str, port: int, options: Mapping[str, Any]) -> AsyncIterator[AIOKafkaConnection]:
    chosen = {name: options[name] for name in _CONNECTION_OPTIONS if name in options}
    connection = await create_conn(host, port, request_timeout_ms=REQUEST_TIMEOUT_MS, **chosen)
    try:
        yield connection
    finally:
        connection.close()


def objection(error: BaseException, where: str) -> str | None:
    """Put an error of a connection into words; None when it says nothing of TLS or authentication."""
    if isinstance(error, KafkaConnectionError) and error.__cause__ is not None:
        error = error.__cause__  # the client's own error only says that the connection was closed
    match error:
        case SaslAuthenticationFailed() | IllegalSaslStateError():
            words = f"{where} refuses the credentials (KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD)"
        case UnsupportedSaslMechanismError():
            words = f"{where} does not offer this mechanism (KAFKA_SASL_MECHANISM)"
        case ssl.SSLCertVerificationError():
            words = f"the certificate of {where} is not trusted: {error.verify_message} (KAFKA_SSL_CA_FILE)"
        case ssl.SSLError():
            reason = (error.reason or "broken off").replace("_", " ").lower()
            words = f"TLS with {where} fails: {reason} (KAFKA_SECURITY_PROTOCOL, KAFKA_SSL_CERT_FILE)"
        case asyncio.IncompleteReadError():
            words = f"{where} closes the connection: does it speak KAFKA_SECURITY_PROTOCOL?"
        case _:
            return None
    return words
