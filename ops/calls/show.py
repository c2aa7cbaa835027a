"""Shows a call's timeline, and the plan of emitting its events again, as tables."""

from collections.abc import Iterator, Sequence

from rich.table import Table

from ops.calls.model import CallOutput, CallTimeline, CallWebhook, WebhookVerdict
from ops.calls.plan import CallReplayPlan
from ops.calls.timeline import passes
from ops.kit.output import table
from ops.kit.times import shown, shown_ms

_WEBHOOKS = ("stored", "raw offset", "endpoint", "key id", "verdict", "on the topics", "")
_OUTPUTS = ("place", "passes", "of raw offset", "what", "fields")
_CLAIMS = ("claim", "owner", "stored", "webhooks")
_EVENTS = ("topic", "raw offset", "event", "stored")


def render(timeline: CallTimeline) -> Iterator[Table]:
    """Yield the tables below the summary: webhooks, what the topics hold, claims, bodies; empty ones are left out."""
    webhooks = timeline.webhooks
    if webhooks:
        numbers = sorted({webhook.partition for webhook in webhooks})
        title = f"{timeline.raw_topic}/{', '.join(map(str, numbers))}"
        rows = [_webhook_row(webhook, alone=len(numbers) == 1) for webhook in webhooks]
        yield table(title, _WEBHOOKS, rows, right=("raw offset",))
    outputs = [output for webhook in webhooks for output in (*webhook.dead_letters, *webhook.events)]
    if rows := [_output_row(same) for same in _equal((*outputs, *timeline.strays))]:
        yield table("On the topics, by raw offset", _OUTPUTS, rows, right=("of raw offset",))
    if timeline.claims:
        rows = [(c.key, f"{c.partition}/{c.offset}", shown(c.time), c.records) for c in timeline.claims]
        yield table("Claims", _CLAIMS, rows, right=("webhooks",))
    if bodies := [(webhook.offset, webhook.body) for webhook in webhooks if webhook.body is not None]:
        yield table("Bodies", ("raw offset", "body"), bodies, right=("raw offset",))


def replay_tables(plan: CallReplayPlan) -> Iterator[Table]:
    """Yield one table of the events, unless there are none."""
    rows = [
        (f"{event.topic}/{event.partition}", event.raw_offset, f"event {event.type}", shown_ms(event.timestamp_ms))
        for event in plan.events
    ]
    if rows:
        yield table(f"Events of call {plan.call_id}", _EVENTS, rows, right=("raw offset",))


def verdict_words(webhook: CallWebhook) -> str:
    """Say the verdict in words: `event call.started`, `duplicate of 12`, `dead letter number_invalid: ...`."""
    if webhook.reason is not None:
        return f"dead letter {webhook.reason.code.value}: {webhook.reason.message}"
    if webhook.owner is None or webhook.verdict is WebhookVerdict.EVENT:
        return f"event {webhook.event_type}"
    elsewhere = webhook.owner.partition != webhook.partition
    owner = f"{webhook.owner.partition}/{webhook.owner.offset}" if elsewhere else webhook.owner.offset
    return f"{webhook.verdict.value} of {owner} ({webhook.event_type})"


def _webhook_row(webhook: CallWebhook, *, alone: bool) -> tuple[object, ...]:
    """`alone`: all are in one partition, so that the offset tells which one it is."""
    return (
        shown_ms(webhook.timestamp),
        webhook.offset if alone else f"{webhook.partition}/{webhook.offset}",
        webhook.endpoint or "-",
        webhook.auth_key_id or "-",
        verdict_words(webhook),
        passes((*webhook.events, *webhook.dead_letters)) or "nothing",
        webhook.remark or "",
    )


def _equal(outputs: Sequence[CallOutput]) -> list[list[CallOutput]]:
    """Group what several passes wrote of one raw record alike."""
    groups: dict[tuple[object, ...], list[CallOutput]] = {}
    for output in outputs:
        content = (output.topic, output.partition, output.source, output.value, tuple(output.headers))
        groups.setdefault(content, []).append(output)
    return list(groups.values())


def _output_row(same: Sequence[CallOutput]) -> tuple[object, ...]:
    output = same[-1]
    fields = {name: value for name, value in (output.fields or {}).items() if name != "call_id"}
    words = "  ".join(f"{name}={'-' if value is None else value}" for name, value in fields.items())
    what = f"event {output.type}" if output.code is None else f"dead letter {output.code}"
    place = f"{output.topic}/{output.partition}/{output.offset}"
    return place, len(same), None if output.source is None else output.source.offset, what, words
