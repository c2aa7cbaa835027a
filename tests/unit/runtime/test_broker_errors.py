"""What a broker refuses names the setting that it is about."""

import pytest
from aiokafka import errors

from runtime.broker_errors import broker_words


def test_words_name_the_class_once() -> None:
    assert broker_words(errors.KafkaError()) == "Kafka"
    assert broker_words(errors.KafkaTimeoutError()) == "KafkaTimeout"
    assert broker_words(errors.KafkaTimeoutError("said\n so")) == "KafkaTimeout (said so)"
    assert broker_words(errors.UnknownError("said")) == "Unknown (said)"
    assert broker_words(TimeoutError()) == "Timeout"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (errors.InvalidTransactionTimeout(), "transaction.max.timeout.ms of the brokers is less than we need"),
        (
            errors.InvalidSessionTimeoutError(),
            "PROCESSOR_SESSION_TIMEOUT_SECONDS is not between the brokers' group.",
        ),
        (errors.InvalidReplicationFactorError("3 > 1"), "(--replication-factor, or the brokers' offsets.topic"),
        (errors.NotEnoughReplicasError(), "min.insync.replicas"),
        (errors.NotEnoughReplicasAfterAppendError(), "min.insync.replicas"),
        (errors.MessageSizeTooLargeError(), "max.message.bytes of the topic, or message.max.bytes of the brokers"),
        (errors.RecordListTooLargeError(), "segment.bytes"),
        (errors.InvalidTimestampError(), "message.timestamp.before.max.ms"),
        (
            errors.PolicyViolationError("no"),
            "a policy of the brokers forbids it (create.topic.policy.class.name); no)",
        ),
        (errors.UnsupportedVersionError(), "too old, or too new"),
        (errors.TopicAuthorizationFailedError("t"), "ACL on the topic"),
        (errors.GroupAuthorizationFailedError("g"), "ACL on the group"),
        (errors.TransactionalIdAuthorizationFailed(), "ACL on the transactional ids"),
        (errors.ClusterAuthorizationFailedError(), "ACL on the cluster"),
        (errors.KafkaStorageError(), "log.dirs"),
    ],
)
def test_a_broker_error_names_the_setting_it_is_about(error: Exception, said: str) -> None:
    assert said in broker_words(error)
    assert "[Error" not in broker_words(error)


def test_our_value_of_the_transaction_timeout_is_told() -> None:
    words = broker_words(errors.InvalidTransactionTimeout(), transaction_ms=30_000)

    assert words == (
        "InvalidTransactionTimeout (transaction.max.timeout.ms of the brokers is less than the 30000 ms that we need)"
    )
