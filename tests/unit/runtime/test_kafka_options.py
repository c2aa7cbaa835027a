"""From settings to the Kafka client's options: every security protocol, and errors of reads."""

import ssl
from pathlib import Path

import pytest
from aiokafka.errors import KafkaConnectionError, RequestTimedOutError
from pydantic import SecretStr, ValidationError

from runtime.errors import LogUnavailableError, RefusedError
from runtime.kafka import client_options, reading
from runtime.settings import KafkaSettings


def settings(**changes: object) -> KafkaSettings:
    return KafkaSettings.model_validate({"kafka_bootstrap_servers": "a:9092,b:9092", **changes})


def test_plain_connection_has_no_security_options() -> None:
    options = client_options(settings(), client_id="test")

    assert options["bootstrap_servers"] == "a:9092,b:9092"
    assert options["client_id"] == "test"
    assert options["security_protocol"] == "PLAINTEXT"
    assert not {"ssl_context", "sasl_mechanism", "sasl_plain_username", "sasl_plain_password"} & options.keys()


@pytest.mark.parametrize("protocol", ["SSL", "SASL_SSL"])
def test_tls_verifies_the_broker(protocol: str) -> None:
    user = {"kafka_sasl_username": "user", "kafka_sasl_password": SecretStr("hunter2")}
    context = client_options(settings(kafka_security_protocol=protocol, **user), client_id="test")["ssl_context"]

    assert isinstance(context, ssl.SSLContext)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_sasl_hands_over_user_and_password(protocol: str, mechanism: str) -> None:
    found = client_options(
        settings(
            kafka_security_protocol=protocol,
            kafka_sasl_mechanism=mechanism,
            kafka_sasl_username="user",
            kafka_sasl_password=SecretStr("hunter2"),
        ),
        client_id="test",
    )

    assert (found["security_protocol"], found["sasl_mechanism"]) == (protocol, mechanism)
    assert (found["sasl_plain_username"], found["sasl_plain_password"]) == ("user", "hunter2")
    assert ("ssl_context" in found) is (protocol == "SASL_SSL")


@pytest.mark.parametrize("given", [{}, {"kafka_sasl_username": "user"}, {"kafka_sasl_password": SecretStr("hunter2")}])
def test_sasl_without_user_or_password_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(RefusedError, match="SASL_SSL needs KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"):
        client_options(settings(kafka_security_protocol="SASL_SSL", **given), client_id="test")


def test_missing_certificate_file_is_an_error_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="No such file"):
        client_options(
            settings(kafka_security_protocol="SSL", kafka_ssl_ca_file=tmp_path / "missing.pem"), client_id="test"
        )
    with pytest.raises(RefusedError, match="No such file"):
        client_options(
            settings(kafka_security_protocol="SSL", kafka_ssl_cert_file=tmp_path / "missing.pem"), client_id="test"
        )


@pytest.mark.parametrize("change", [{"kafka_security_protocol": "TLS"}, {"kafka_sasl_mechanism": "GSSAPI"}])
def test_what_the_client_cannot_do_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        settings(**change)


@pytest.mark.parametrize("error", [TimeoutError(), RequestTimedOutError(), KafkaConnectionError("away")])
def test_failed_read_is_one_of_our_errors(error: Exception) -> None:
    with pytest.raises(LogUnavailableError) as converted, reading():
        raise error

    assert converted.value.__cause__ is error


def test_other_errors_of_a_read_stay_themselves() -> None:
    with pytest.raises(ValueError, match="ours"), reading():
        raise ValueError("ours")
