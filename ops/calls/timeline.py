"""What became of a call's webhooks: pure, from what was read."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from ops.calls.model import Found, Seen, Standing, Story, Webhook
from ops.kit.claims import Source
from processors.model import Normalized, Owner, Record
from processors.normalize import normalize
from schemas import dead_letter
from schemas.headers import header
from schemas.identity import ClaimKey

_SOURCE = "ce_sourceoffset"


def tell(found: Found) -> Story:
    """Judge each webhook with today's code, and put to it what the topics hold of it."""
    owners = _owners(found)
    events, dead_letters = _by_source(found)
    webhooks = tuple(_webhook(record, found, owners, events, dead_letters) for record in found.raw)
    told = {record.place for record in found.raw}
    strays = [
        output
        for by_source in (events, dead_letters)
        for source in by_source.keys() - told
        for output in by_source[source]
    ]
    return Story(found, webhooks, tuple(sorted(strays, key=lambda seen: (seen.timestamp, seen.topic, seen.offset))))


def source_of(record: Seen, raw_topic: str) -> Source | None:
    """The raw record that an event or a dead letter was made from; None if it is of another log."""
    source = header(record.headers, _SOURCE)
    if source is not None and header(record.headers, dead_letter.CODE) is None:
        topic, _, rest = source.decode("utf-8", "replace").partition("/")
        number, _, offset = rest.partition("/")
    else:
        topic, number, offset = (
            (header(record.headers, name) or b"").decode("utf-8", "replace")
            for name in (dead_letter.TOPIC, dead_letter.PARTITION, dead_letter.OFFSET)
        )
    told = topic == raw_topic and all(part.isascii() and part.isdigit() for part in (number, offset))
    return Source(int(number), int(offset)) if told else None


def is_dead_letter(record: Seen) -> bool:
    """Whether an output is a dead letter."""
    return header(record.headers, dead_letter.CODE) is not None


def event_of(webhook: Webhook) -> Record | None:
    """The event as a pass of today's code would write it; None if the webhook owns nothing."""
    if webhook.standing is not Standing.EVENT or not isinstance(webhook.verdict, Normalized):
        return None
    return Record(webhook.record.key, webhook.verdict.value, webhook.verdict.headers, webhook.record.timestamp)


def remark(webhook: Webhook) -> str | None:
    """What an operator should notice: where the topics differ from what today's code makes of a processed webhook."""
    if not webhook.processed:
        return "not processed yet"
    wanted = event_of(webhook)
    if wanted is not None:
        if not webhook.events:
            return "today's code makes an event of it, but none is on the topics"
        return None if _same(webhook.events[-1], wanted) else "today's code would emit other bytes"
    if webhook.events:
        return "its event was emitted; today's code would not emit it"
    if webhook.standing is Standing.DEAD_LETTER and not webhook.dead_letters:
        return "today's code makes a dead letter of it, but none is on the topic"
    return None


def summary(story: Story, *, since: str) -> str:
    """One line: did we get it, and what did we do with it?"""
    if not story.known:
        return f"nothing known of call {story.found.call_id} in the last {since}"
    parts = [f"call {story.found.call_id}: {counted(len(story.webhooks), 'webhook')} received"]
    counts = Counter(webhook.standing for webhook in story.webhooks)
    parts += [counted(counts[standing], standing.value) for standing in Standing if counts[standing]]
    if not story.webhooks:
        parts.append(
            f"but {counted(len(story.found.claims), 'claim')} and {counted(len(story.strays), 'output')} of earlier"
        )
    return f"{', '.join(parts)}; {_progress(story)}"


def _progress(story: Story) -> str:
    waiting = len(story.unprocessed)
    if waiting:
        found, partition = story.found, story.unprocessed[0].record.partition
        behind = found.raw_ends[partition] - (found.committed.get(partition) or 0)
        whole = "not processed yet" if waiting == len(story.webhooks) else f"{waiting} not processed yet"
        return f"{whole}: the group is {behind} offsets behind in partition {partition}"
    odd = sum(remark(webhook) is not None for webhook in story.webhooks)
    return f"all processed, {odd} not as today's code would do it" if odd else "all processed"


def _webhook(
    record: Seen,
    found: Found,
    owners: Mapping[ClaimKey, Owner],
    events: Mapping[Source, list[Seen]],
    dead_letters: Mapping[Source, list[Seen]],
) -> Webhook:
    verdict = normalize(record, source=f"{found.raw_topic}/{record.partition}")
    committed = found.committed.get(record.partition)
    owner = owners[verdict.claim_key] if isinstance(verdict, Normalized) else None
    if owner is None or not isinstance(verdict, Normalized):
        standing = Standing.DEAD_LETTER
    elif (owner.partition, owner.offset) == (record.partition, record.offset):
        standing = Standing.EVENT
    else:
        standing = Standing.DUPLICATE if owner.content_hash == verdict.content_hash else Standing.CONFLICT
    return Webhook(
        record=record,
        verdict=verdict,
        standing=standing,
        owner=None if owner is None else Source(owner.partition, owner.offset),
        processed=committed is not None and record.offset < committed,
        events=tuple(events.get(record.place, ())),
        dead_letters=tuple(dead_letters.get(record.place, ())),
    )


def _owners(found: Found) -> dict[ClaimKey, Owner]:
    """The claims, and for keys that nobody has claimed yet the record that will."""
    owners = {ClaimKey(claim.key): Owner(claim.partition, claim.offset, claim.content_hash) for claim in found.claims}
    for record in found.raw:
        verdict = normalize(record, source="")
        if isinstance(verdict, Normalized):
            owners.setdefault(verdict.claim_key, Owner(record.partition, record.offset, verdict.content_hash))
    return owners


def _by_source(found: Found) -> tuple[dict[Source, list[Seen]], dict[Source, list[Seen]]]:
    events: dict[Source, list[Seen]] = defaultdict(list)
    dead_letters: dict[Source, list[Seen]] = defaultdict(list)
    for output in found.outputs:
        source = source_of(output, found.raw_topic)
        if source is not None:
            (dead_letters if is_dead_letter(output) else events)[source].append(output)
    return events, dead_letters


def _same(seen: Seen, wanted: Record) -> bool:
    return (seen.key, seen.value, list(seen.headers), seen.timestamp) == (
        wanted.key,
        wanted.value,
        list(wanted.headers),
        wanted.timestamp_ms,
    )


def passes(outputs: Iterable[Seen]) -> str:
    """Where outputs are: `ringover.call.v1/2 at 15, 31 (2 passes)`."""
    places: dict[str, list[int]] = defaultdict(list)
    for output in outputs:
        places[f"{output.topic}/{output.partition}"].append(output.offset)
    return "; ".join(
        f"{place} at {', '.join(map(str, offsets))}" + (f" ({len(offsets)} passes)" if len(offsets) > 1 else "")
        for place, offsets in places.items()
    )


def counted(number: int, thing: str) -> str:
    """`1 event`, `2 events`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"
