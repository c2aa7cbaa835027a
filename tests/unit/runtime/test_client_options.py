"""Kafka settings that no client can be made of are refused at start, not at the first webhook."""

from pathlib import Path

import pytest

from ingress.kafka import kafka_options
from runtime.errors import RefusedError
from runtime.settings import KafkaSettings


def test_options_come_from_the_settings() -> None:
    options = kafka_options(KafkaSettings(kafka_bootstrap_servers="a:1,b:2"), client_id="test")

    assert (options["bootstrap_servers"], options["client_id"]) == ("a:1,b:2", "test")


def test_unusable_address_is_refused() -> None:
    with pytest.raises(RefusedError, match="Kafka settings cannot be used"):
        kafka_options(KafkaSettings(kafka_bootstrap_servers="host:port"), client_id="test")


def test_missing_certificate_is_refused(tmp_path: Path) -> None:
    settings = KafkaSettings(
        kafka_bootstrap_servers="a:1", kafka_security_protocol="SSL", kafka_ssl_ca_file=tmp_path / "absent.pem"
    )

    with pytest.raises(RefusedError, match="Kafka settings cannot be used"):
        kafka_options(settings, client_id="test")
