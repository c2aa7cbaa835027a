"""Builds the timeline of a call: what became of each webhook, by today's code and by the topics. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from ops.calls.model import (
    CallOutput,
    CallRecords,
    CallTimeline,
    CallWebhook,
    TopicRecord,
    WebhookVerdict,
)
from ops.kit.claims import Source
from ops.kit.masking import shown_fields
from processors.model import Normalized, Owner, Rejected, Verdict
from processors.normalize import normalize
from schemas import dead_letter
from schemas.headers import AUTH_KEY_ID, ENDPOINT, RECEIVED_AT, REQUEST_ID, header
from schemas.identity import ClaimKey


def build(found: CallRecords, *, since: str, reveal: bool = False) -> CallTimeline:
    """Judge each webhook with today's code, and put to it what the topics hold of it.

    `since` is how far back was read, in words. Unless `reveal`, values are masked and bodies left out.
    """
    verdicts = [normalize(record, source=f"{found.raw_topic}/{record.partition}") for record in found.raw]
    owners = _owners(found, verdicts)
    outputs: dict[Source | None, list[CallOutput]] = defaultdict(list)
    for record in found.outputs:
        output = _output(record, found.raw_topic, reveal=reveal)
        outputs[output.source].append(output)
    webhooks = [
        _webhook(record, verdict, found, owners, outputs.get(record.place, ()), reveal=reveal)
        for record, verdict in zip(found.raw, verdicts, strict=True)
    ]
    told = {None, *(record.place for record in found.raw)}
    strays = [output for source in outputs.keys() - told for output in outputs[source]]
    strays.sort(key=lambda output: (output.timestamp, output.topic, output.offset))
    timeline = CallTimeline(**_fields(found), webhooks=webhooks, strays=strays)
    return replace(timeline, summary=_summary(timeline, since))


def source_of(record: TopicRecord, raw_topic: str) -> Source | None:
    """Return the raw record that an event or a dead letter was made from; None if it is of another log.

    The client's own records will do: only headers are looked at.
    """
    source = _text(record, "ce_sourceoffset")
    if source is not None and _text(record, dead_letter.CODE) is None:
        topic, _, rest = source.partition("/")
        number, _, offset = rest.partition("/")
    else:
        topic, number, offset = (
            _text(record, name) or "" for name in (dead_letter.TOPIC, dead_letter.PARTITION, dead_letter.OFFSET)
        )
    told = topic == raw_topic and all(part.isascii() and part.isdigit() for part in (number, offset))
    return Source(int(number), int(offset)) if told else None


def passes(outputs: Iterable[TopicRecord]) -> str:
    """Say where outputs are: `ringover.call.v1/2 at 15, 31 (2 passes)`."""
    places: dict[str, list[int]] = defaultdict(list)
    for output in outputs:
        places[f"{output.topic}/{output.partition}"].append(output.offset)
    return "; ".join(
        f"{place} at {', '.join(map(str, offsets))}" + (f" ({len(offsets)} passes)" if len(offsets) > 1 else "")
        for place, offsets in places.items()
    )


def counted(number: int, thing: str) -> str:
    """Count in words: `1 event`, `2 events`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _owners(found: CallRecords, verdicts: Sequence[Verdict]) -> dict[ClaimKey, Owner]:
    """The claims, and for keys that nobody has claimed yet the record that will."""
    owners = {ClaimKey(claim.key): Owner(claim.partition, claim.offset, claim.content_hash) for claim in found.claims}
    for record, verdict in zip(found.raw, verdicts, strict=True):
        if isinstance(verdict, Normalized):
            owners.setdefault(verdict.claim_key, Owner(record.partition, record.offset, verdict.content_hash))
    return owners


def _output(record: TopicRecord, raw_topic: str, *, reveal: bool) -> CallOutput:
    dead = _text(record, dead_letter.CODE) is not None
    return CallOutput(
        **_fields(record),
        source=source_of(record, raw_topic),
        type=None if dead else _text(record, "ce_type"),
        fields=None if dead else shown_fields(record.value, reveal=reveal),
        stage=_text(record, dead_letter.STAGE),
        code=_text(record, dead_letter.CODE),
        message=_text(record, dead_letter.MESSAGE),
    )


def _webhook(
    record: TopicRecord,
    judged: Verdict,
    found: CallRecords,
    owners: Mapping[ClaimKey, Owner],
    outputs: Sequence[CallOutput],
    *,
    reveal: bool,
) -> CallWebhook:
    committed = found.committed.get(record.partition)
    normalized = judged if isinstance(judged, Normalized) else None
    owner = owners[normalized.claim_key] if normalized else None
    webhook = CallWebhook(
        **_fields(record),
        received_at=_text(record, RECEIVED_AT),
        request_id=_text(record, REQUEST_ID),
        endpoint=_text(record, ENDPOINT),
        auth_key_id=_text(record, AUTH_KEY_ID),
        verdict=_verdict(record, normalized, owner),
        event_type=normalized.event_type.value if normalized else None,
        owner=Source(owner.partition, owner.offset) if owner else None,
        conflict_noted=record.place in found.conflicts,
        reason=judged.reason if isinstance(judged, Rejected) else None,
        processed=committed is not None and record.offset < committed,
        events=[output for output in outputs if output.code is None],
        dead_letters=[output for output in outputs if output.code is not None],
        body=(record.value or b"").decode(errors="replace") if reveal else None,
        normalized=normalized,
    )
    return replace(webhook, remark=_remark(webhook))


def _verdict(record: TopicRecord, normalized: Normalized | None, owner: Owner | None) -> WebhookVerdict:
    if normalized is None or owner is None:
        return WebhookVerdict.DEAD_LETTER
    if (owner.partition, owner.offset) == record.place:
        return WebhookVerdict.EVENT
    return WebhookVerdict.DUPLICATE if owner.content_hash == normalized.content_hash else WebhookVerdict.CONFLICT


def _remark(webhook: CallWebhook) -> str | None:
    """Say where the topics differ from the outcome of today's code for a processed webhook, for an operator."""
    if not webhook.processed:
        return "not processed yet"
    if (wanted := webhook.event) is not None:
        if not webhook.events:
            return "today's code makes an event of it, but none is on the topics"
        return None if _same(webhook.events[-1], wanted) else "today's code would emit other bytes"
    if webhook.events:
        return "its event was emitted; today's code would not emit it"
    if webhook.verdict is WebhookVerdict.DEAD_LETTER and not webhook.dead_letters:
        return "today's code makes a dead letter of it, but none is on the topic"
    return None


def _same(record: TopicRecord, wanted: Normalized) -> bool:
    return (record.key, record.value, list(record.headers), record.timestamp) == (
        wanted.key,
        wanted.value,
        wanted.headers,
        wanted.timestamp_ms,
    )


def _summary(timeline: CallTimeline, since: str) -> str:
    """One line: did we get it, and what did we do with it?"""
    if not timeline.known:
        return f"nothing known of call {timeline.call_id} in the last {since}"
    parts = [f"call {timeline.call_id}: {counted(len(timeline.webhooks), 'webhook')} received"]
    counts = Counter(webhook.verdict for webhook in timeline.webhooks)
    parts += [counted(counts[verdict], verdict.value) for verdict in WebhookVerdict if counts[verdict]]
    if not timeline.webhooks:
        claims, outputs = counted(len(timeline.claims), "claim"), counted(len(timeline.strays), "output")
        parts.append(f"but {claims} and {outputs} of earlier")
    return f"{', '.join(parts)}; {_progress(timeline)}"


def _progress(timeline: CallTimeline) -> str:
    waiting = timeline.unprocessed
    if waiting:
        partition = waiting[0].partition
        behind = timeline.raw_ends[partition] - (timeline.committed.get(partition) or 0)
        whole = len(waiting) == len(timeline.webhooks)
        words = "not processed yet" if whole else f"{len(waiting)} not processed yet"
        return f"{words}: the group is {behind} offsets behind in partition {partition}"
    odd = sum(webhook.remark is not None for webhook in timeline.webhooks)
    return f"all processed, {odd} not as today's code would do it" if odd else "all processed"


def _text(record: TopicRecord, name: str) -> str | None:
    value = header(record.headers, name)
    return None if value is None else value.decode("utf-8", "replace")


def _fields(value: TopicRecord | CallRecords) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields(value)}
