"""A call's story for people (tables) and for scripts (JSON)."""

from collections.abc import Iterator

from rich.table import Table

from ops.calls.model import Seen, Story, Webhook
from ops.calls.timeline import is_dead_letter, passes, remark, source_of
from ops.kit.claims import Source
from ops.kit.masking import shown_fields
from ops.kit.output import table
from ops.kit.times import shown, shown_ms
from processors.model import Rejected
from schemas import dead_letter
from schemas.headers import AUTH_KEY_ID, ENDPOINT, RECEIVED_AT, REQUEST_ID, header

_WEBHOOKS = ("stored", "raw offset", "endpoint", "key id", "verdict", "on the topics", "")
_OUTPUTS = ("place", "passes", "of raw offset", "what", "fields")
_CLAIMS = ("claim", "owner", "stored", "webhooks")


def render(story: Story, *, reveal: bool) -> Iterator[Table]:
    """The tables below the summary: webhooks, what the topics hold, claims; empty ones are left out."""
    found = story.found
    if story.webhooks:
        numbers = sorted({webhook.record.partition for webhook in story.webhooks})
        title = f"{found.raw_topic}/{', '.join(map(str, numbers))}"
        rows = [_webhook_row(webhook, alone=len(numbers) == 1) for webhook in story.webhooks]
        yield table(title, _WEBHOOKS, rows, right=("raw offset",))
    outputs = [_output_row(seen, found.raw_topic, reveal=reveal) for seen in _outputs(story)]
    if outputs:
        yield table("On the topics, by raw offset", _OUTPUTS, outputs, right=("of raw offset",))
    if found.claims:
        rows = [(c.key, f"{c.partition}/{c.offset}", shown(c.time), c.records) for c in found.claims]
        yield table("Claims", _CLAIMS, rows, right=("webhooks",))
    if reveal:
        bodies = [(w.record.offset, (w.record.value or b"").decode(errors="replace")) for w in story.webhooks]
        yield table("Bodies", ("raw offset", "body"), bodies, right=("raw offset",))


def as_json(story: Story, *, summary: str, reveal: bool) -> dict[str, object]:
    """For `-o json`; bodies only with `reveal`."""
    found = story.found
    return {
        "call_id": found.call_id,
        "summary": summary,
        "known": story.known,
        "partition": found.partition,
        "since_ms": found.since_ms,
        "committed": found.committed.get(found.partition),
        "raw_end": found.raw_ends[found.partition],
        "webhooks": [_webhook_json(webhook, noted=found.conflicts, reveal=reveal) for webhook in story.webhooks],
        "strays": [
            _output_json(seen, reveal=reveal) | _source_json(source_of(seen, found.raw_topic)) for seen in story.strays
        ],
        "claims": [
            {
                "key": claim.key,
                "partition": claim.partition,
                "owner_offset": claim.offset,
                "owner_time": claim.time,
                "webhooks": claim.records,
            }
            for claim in found.claims
        ],
    }


def verdict_words(webhook: Webhook) -> str:
    """The verdict in words: `event call.started`, `duplicate of 12`, `dead letter number_invalid: ...`."""
    match webhook.verdict:
        case Rejected(reason=reason):
            return f"dead letter {reason.code.value}: {reason.message}"
        case verdict if webhook.owner is None or webhook.owner == webhook.record.place:
            return f"event {verdict.event_type.value}"
        case verdict:
            elsewhere = webhook.owner.partition != webhook.record.partition
            owner = f"{webhook.owner.partition}/{webhook.owner.offset}" if elsewhere else webhook.owner.offset
            return f"{webhook.standing.value} of {owner} ({verdict.event_type.value})"


def _webhook_row(webhook: Webhook, *, alone: bool) -> tuple[object, ...]:
    """`alone`: all are in one partition, so that the offset tells which one it is."""
    record = webhook.record
    return (
        shown_ms(record.timestamp),
        record.offset if alone else f"{record.partition}/{record.offset}",
        _header(record, ENDPOINT) or "-",
        _header(record, AUTH_KEY_ID) or "-",
        verdict_words(webhook),
        passes((*webhook.events, *webhook.dead_letters)) or "nothing",
        remark(webhook) or "",
    )


def _outputs(story: Story) -> Iterator[tuple[Seen, ...]]:
    """What the topics hold, one entry for equal outputs of several passes."""
    for webhook in story.webhooks:
        yield from _equal((*webhook.dead_letters, *webhook.events))
    yield from _equal(story.strays)


def _equal(outputs: tuple[Seen, ...]) -> list[tuple[Seen, ...]]:
    groups: dict[tuple[object, ...], tuple[Seen, ...]] = {}
    for seen in outputs:
        content = (seen.topic, seen.partition, seen.value, tuple(seen.headers))
        groups[content] = (*groups.get(content, ()), seen)
    return list(groups.values())


def _output_row(same: tuple[Seen, ...], raw_topic: str, *, reveal: bool) -> tuple[object, ...]:
    seen = same[-1]
    fields = {} if is_dead_letter(seen) else shown_fields(seen.value, reveal=reveal)
    fields.pop("call_id", None)
    words = "  ".join(f"{name}={'-' if value is None else value}" for name, value in fields.items())
    place = f"{seen.topic}/{seen.partition}/{seen.offset}"
    source = source_of(seen, raw_topic)
    return place, len(same), None if source is None else source.offset, _what(seen), words


def _what(seen: Seen) -> str:
    if is_dead_letter(seen):
        return f"dead letter {_header(seen, dead_letter.CODE)}"
    return f"event {_header(seen, 'ce_type')}"


def _webhook_json(webhook: Webhook, *, noted: frozenset[Source], reveal: bool) -> dict[str, object]:
    record = webhook.record
    body = {"body": (record.value or b"").decode(errors="replace")} if reveal else {}
    reason = webhook.verdict.reason if isinstance(webhook.verdict, Rejected) else None
    return {
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp,
        "received_at": _header(record, RECEIVED_AT),
        "request_id": _header(record, REQUEST_ID),
        "endpoint": _header(record, ENDPOINT),
        "auth_key_id": _header(record, AUTH_KEY_ID),
        "verdict": webhook.standing.value,
        "event_type": None if isinstance(webhook.verdict, Rejected) else webhook.verdict.event_type.value,
        "owner_partition": None if webhook.owner is None else webhook.owner.partition,
        "owner_offset": None if webhook.owner is None else webhook.owner.offset,
        "conflict_noted": record.place in noted,
        "code": reason.code.value if reason else None,
        "message": reason.message if reason else None,
        "processed": webhook.processed,
        "remark": remark(webhook),
        "events": [_output_json(seen, reveal=reveal) for seen in webhook.events],
        "dead_letters": [_output_json(seen, reveal=reveal) for seen in webhook.dead_letters],
        **body,
    }


def _source_json(source: Source | None) -> dict[str, object]:
    partition, offset = source or (None, None)
    return {"source_partition": partition, "source_offset": offset}


def _output_json(seen: Seen, *, reveal: bool) -> dict[str, object]:
    place: dict[str, object] = {"topic": seen.topic, "partition": seen.partition, "offset": seen.offset}
    if is_dead_letter(seen):
        names = {"code": dead_letter.CODE, "stage": dead_letter.STAGE, "message": dead_letter.MESSAGE}
        return place | {short: _header(seen, name) for short, name in names.items()}
    return place | {"type": _header(seen, "ce_type"), "value": shown_fields(seen.value, reveal=reveal)}


def _header(seen: Seen, name: str) -> str | None:
    value = header(seen.headers, name)
    return None if value is None else value.decode("utf-8", "replace")
