"""Puts a broker's error into words, with the setting that an operator has to look at; the client names none."""

import re

from aiokafka import errors

_CODE = re.compile(r"^\[Error -?[0-9]+\] ")  # as the client begins the text of what a broker answered
_TOO_FEW_IN_SYNC = "fewer replicas are in sync than min.insync.replicas of the topic wants: is a broker down?"
_OTHER_VERSION = "the brokers do not know this request: they are too old, or too new for the client"
# By the client's class; the settings are the brokers' or a topic's unless they are in capitals: those are ours.
_WORDS: dict[type[BaseException], str] = {
    errors.InvalidTransactionTimeout: "transaction.max.timeout.ms of the brokers is less than {transaction}",
    errors.InvalidSessionTimeoutError: "PROCESSOR_SESSION_TIMEOUT_SECONDS is not between the brokers' "
    "group.min.session.timeout.ms and group.max.session.timeout.ms",
    errors.InvalidReplicationFactorError: "a topic is to have more replicas than brokers run (--replication-factor, or "
    "the brokers' offsets.topic.replication.factor and transaction.state.log.replication.factor)",
    errors.NotEnoughReplicasError: _TOO_FEW_IN_SYNC,
    errors.NotEnoughReplicasAfterAppendError: _TOO_FEW_IN_SYNC,
    errors.MessageSizeTooLargeError: "a record is larger than max.message.bytes of the topic, or message.max.bytes of "
    "the brokers",
    errors.RecordListTooLargeError: "a batch is larger than max.message.bytes or segment.bytes of the topic",
    errors.InvalidTimestampError: "a record's time is further off than message.timestamp.before.max.ms or "
    "message.timestamp.after.max.ms of the topic allows",
    errors.UnsupportedVersionError: _OTHER_VERSION,
    errors.IncompatibleBrokerVersion: _OTHER_VERSION,
    errors.PolicyViolationError: "a policy of the brokers forbids it (create.topic.policy.class.name)",
    errors.TopicAuthorizationFailedError: "an ACL on the topic is missing (KAFKA_TOPIC_PREFIX?)",
    errors.GroupAuthorizationFailedError: "an ACL on the group is missing (PROCESSOR_GROUP?)",
    errors.TransactionalIdAuthorizationFailed: "an ACL on the transactional ids that begin with the group's name is "
    "missing (PROCESSOR_GROUP?)",
    errors.ClusterAuthorizationFailedError: "an ACL on the cluster is missing",
    errors.KafkaStorageError: "a disk of a broker fails (log.dirs)",
}


def broker_words(error: BaseException, *, transaction_ms: int | None = None) -> str:
    """Put an error on one line: its class in words, the setting that it is about, and its own text if it has any.

    `transaction_ms`: the timeout of the transaction in which it came.
    """
    name = type(error).__name__
    own = _CODE.sub("", " ".join(str(error).split())).removeprefix(name).removeprefix(": ")
    transaction = "we need" if transaction_ms is None else f"the {transaction_ms} ms that we need"
    known = next((words for kind, words in _WORDS.items() if isinstance(error, kind)), "").format(
        transaction=transaction
    )
    about = "; ".join(part for part in (known, own) if part)
    return f"{name.removesuffix('Error')} ({about})" if about else name.removesuffix("Error")
