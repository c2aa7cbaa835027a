"""Lists the values of `tail --topic`; apart from `ops.tail.run`, which imports the Kafka client."""

from schemas.topics import OUTPUTS, TopicNames

ALL = "all"
CHOICES = (*(topic.short_name for topic in OUTPUTS), ALL)


def topic_names(names: TopicNames, chosen: str) -> tuple[str, ...]:
    """The full names of what `--topic` means; `chosen` is one of CHOICES."""
    return tuple(names.of(topic) for topic in OUTPUTS if chosen in (topic.short_name, ALL))
