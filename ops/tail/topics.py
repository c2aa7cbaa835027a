"""Lists the values of `tail --topic`; apart from `ops.tail.run`, which imports the Kafka client."""

from enum import StrEnum

from schemas.topics import TopicNames


class TailTopic(StrEnum):
    """The choices."""

    CALL = "call"
    RECORDING = "recording"
    DEAD_LETTER = "dead-letter"
    ALL = "all"


def topic_names(names: TopicNames, chosen: TailTopic) -> tuple[str, ...]:
    """The full names of what `--topic` means."""
    by_choice = {
        TailTopic.CALL: (names.call,),
        TailTopic.RECORDING: (names.recording,),
        TailTopic.DEAD_LETTER: (names.dead_letter,),
        TailTopic.ALL: (names.call, names.recording, names.dead_letter),
    }
    return by_choice[chosen]
