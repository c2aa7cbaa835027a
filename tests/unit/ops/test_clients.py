"""How the Kafka client's errors become words and exit codes."""

import pytest
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    InvalidReplicationFactorError,
    KafkaConnectionError,
    KafkaTimeoutError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from ops.kit.errors import KafkaAwayError, NotAuthorizedError, NotFoundError, OpsError, UsageError
from ops.kit.kafka import admin_client, kafka_errors
from runtime.settings import KafkaSettings

SETTINGS = KafkaSettings(kafka_bootstrap_servers="kafka.example:9092")


@pytest.mark.parametrize(
    ("raised", "converted", "said"),
    [
        (KafkaConnectionError("x"), KafkaAwayError, "kafka.example:9092"),
        (KafkaTimeoutError(), KafkaAwayError, "no broker answers"),
        (TimeoutError(), KafkaAwayError, "no broker answers"),
        (ConnectionResetError(), KafkaAwayError, "no broker answers"),
        (TopicAuthorizationFailedError("t"), NotAuthorizedError, "TopicAuthorizationFailed"),
        (GroupAuthorizationFailedError("g"), NotAuthorizedError, "ACLs"),
        (SaslAuthenticationFailed("no"), NotAuthorizedError, "KAFKA_SASL_"),
        (UnknownTopicOrPartitionError(), NotFoundError, "topics apply"),
        (InvalidReplicationFactorError("3 > 1"), OpsError, "InvalidReplicationFactor"),
    ],
)
def test_each_error_becomes_one_line(raised: Exception, converted: type[OpsError], said: str) -> None:
    with pytest.raises(OpsError) as caught, kafka_errors(SETTINGS):
        raise raised

    assert type(caught.value) is converted
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_our_own_errors_pass_unchanged() -> None:
    with pytest.raises(NotFoundError, match="no topic x"), kafka_errors(SETTINGS):
        raise NotFoundError("no topic x")


@pytest.mark.parametrize(
    "settings",
    [
        KafkaSettings(kafka_bootstrap_servers="localhost:port"),
        KafkaSettings(
            kafka_bootstrap_servers="localhost:1", kafka_security_protocol="SSL", kafka_ssl_ca_file="/no/such/file"
        ),
    ],
)
async def test_a_setting_that_no_client_can_use_is_a_usage_error(settings: KafkaSettings) -> None:
    with pytest.raises(UsageError, match="KAFKA_"):
        async with admin_client(settings):
            pass
