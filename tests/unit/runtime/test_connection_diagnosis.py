"""Errors of a connection in words."""

import asyncio
import ssl

import pytest
from aiokafka.errors import KafkaConnectionError, SaslAuthenticationFailed

from runtime.connection_diagnosis import objection


def caused(cause: BaseException) -> KafkaConnectionError:
    error = KafkaConnectionError("closed")
    error.__cause__ = cause
    return error


def of_tls(reason: str | None) -> ssl.SSLError:
    error = ssl.SSLError(1, "x")
    error.reason = reason  # type: ignore[assignment]  # None for errors that OpenSSL has no name for
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SaslAuthenticationFailed("no"), "refuses the credentials"),
        (caused(of_tls("SSLV3_ALERT_CERTIFICATE_UNKNOWN")), "TLS with b:1 fails: sslv3 alert certificate unknown ("),
        (of_tls(None), "TLS with b:1 fails: broken off ("),
        (caused(asyncio.IncompleteReadError(b"", 4)), "does it speak KAFKA_SECURITY_PROTOCOL?"),
    ],
)
def test_refusals_become_words(error: Exception, said: str) -> None:
    assert said in (objection(error, "b:1") or "")


@pytest.mark.parametrize("error", [KafkaConnectionError("away"), ConnectionRefusedError(), TimeoutError()])
def test_a_broker_that_is_away_refuses_nothing(error: Exception) -> None:
    assert objection(error, "b:1") is None
