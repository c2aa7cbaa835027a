"""Why no broker takes our connection: the client only logs it, and an operator needs one sentence.

Names the setting to look at, and never the value of a secret one.
"""

import asyncio
import ssl
from collections.abc import Mapping
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


async def refusal(options: Mapping[str, Any]) -> str | None:
    """What stands between us and the brokers; None when one of them serves us, or when none is there to refuse.

    `options` are those of `runtime.kafka.client_options`.
    """
    found = None
    for host, port, _ in collect_hosts(options["bootstrap_servers"]):
        try:
            await _ask(host, port, options)
        except (KafkaError, OSError) as error:  # TimeoutError and the errors of TLS are OSErrors
            found = found or objection(error, f"{host}:{port}")
        else:
            return None
    return found


async def _ask(host: str, port: int, options: Mapping[str, Any]) -> None:
    chosen = {name: options[name] for name in _CONNECTION_OPTIONS if name in options}
    connection: AIOKafkaConnection = await create_conn(host, port, request_timeout_ms=REQUEST_TIMEOUT_MS, **chosen)
    try:
        await connection.send(MetadataRequest([]))  # versions are told to everybody
    finally:
        connection.close()


def objection(error: BaseException, where: str) -> str | None:
    """An error of a connection in words; None when it says nothing of TLS or authentication."""
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
