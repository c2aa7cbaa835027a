"""`ringover-ops calls`: what is known of one call, and its events once more."""

import asyncio
from typing import Annotated

import typer

from ops.calls.emit import emit
from ops.calls.model import Story
from ops.calls.read import read_call
from ops.calls.replay import ReplayPlan, plan_replay
from ops.calls.replay import as_json as replay_as_json
from ops.calls.show import as_json, render, verdict_words
from ops.calls.timeline import counted, summary, tell
from ops.kit.errors import EXIT_CODES, EXIT_NOT_FOUND, NotFoundError, UnsafeError
from ops.kit.options import OutputOption, reported
from ops.kit.output import OutputFormat, reporting, say, stdout, table, write_json, write_text
from ops.kit.progress import shown_progress
from ops.kit.times import parse_age, shown_ms
from processors.settings import ProcessorSettings
from runtime.settings import load
from schemas.topics import TopicNames

app = typer.Typer(no_args_is_help=True, epilog=EXIT_CODES)

CallId = Annotated[str, typer.Argument(help="Ringover's call.id.", metavar="CALL_ID")]
Since = Annotated[str, typer.Option(help="How far back to look: 90s, 15m, 2h, 3d.")]
EVENT_COLUMNS = ("topic", "raw offset", "event", "stored", "offset")


@app.callback()
def calls() -> None:
    """One call: what came in, what became of it, and its events once more."""


@app.command(epilog=EXIT_CODES)
def show(
    call_id: CallId,
    since: Since = "30d",
    reveal: Annotated[bool, typer.Option("--reveal", help="Whole numbers, transcripts and bodies.")] = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Everything known of a call, in raw order: did we get it, and what did we do with it?

    Its webhooks with the verdict of this version's code, what the topics hold of each (once for every pass), and its
    claims. Reads the call's partition of each topic. A call that nothing is known of ends with exit code 4.
    """
    with reported():
        story = _story(_settings(), call_id, since)
    line = summary(story, since=since)
    if output is OutputFormat.JSON:
        write_json(as_json(story, summary=line, reveal=reveal))
    else:
        write_text(line)
        for grid in render(story, reveal=reveal):
            stdout().print(grid)
    if not story.known:
        raise typer.Exit(EXIT_NOT_FOUND)


@app.command(epilog=EXIT_CODES)
def replay(
    call_id: CallId,
    since: Since = "30d",
    execute: Annotated[bool, typer.Option("--execute", help="Emit them; without it, only the plan is shown.")] = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Emit a call's events once more, byte for byte as every pass does, without moving any group.

    All in one transaction, in raw order, on the partition they are on. Duplicates stay silent, dead letters are not
    repeated, nothing is claimed. Refused with exit code 6 while webhooks of the call are not processed yet; exit code
    4 when the call has no event.
    """
    settings = _settings()
    names = TopicNames(settings.kafka_topic_prefix)
    places: list[int] | None = None
    with reported():
        plan = plan_replay(_story(settings, call_id, since))
        _check(plan, since)
        if execute:
            places = asyncio.run(emit(settings, settings.processor_group, plan.outputs(names)))
    said = "emitted again" if execute else "to emit again; --execute does it"
    done = f"{counted(len(plan.owners), 'event')} of call {call_id} {said}"
    with reporting(done if execute else None):
        if output is OutputFormat.JSON:
            write_json(replay_as_json(plan, names, places))
        else:
            _print_plan(plan, names, places)
        for note in plan.notes:
            say(f"note: {note}")
        say(done)


def _check(plan: "ReplayPlan", since: str) -> None:

    if plan.refusal:
        raise UnsafeError(plan.refusal)
    if not plan.owners:
        why = "; ".join(plan.notes) or "nothing valid was received of it"
        raise NotFoundError(f"no event of call {plan.call_id} in the last {since}: {why}")


def _print_plan(plan: "ReplayPlan", names: "TopicNames", places: list[int] | None) -> None:

    rows = [
        (
            f"{output.topic}/{output.partition}",
            owner.record.offset,
            verdict_words(owner),
            shown_ms(output.record.timestamp_ms),
            "-" if places is None else places[index],
        )
        for index, (owner, output) in enumerate(zip(plan.owners, plan.outputs(names), strict=True))
    ]
    title = f"Events of call {plan.call_id}"
    stdout().print(table(title, EVENT_COLUMNS, rows, right=("raw offset", "offset")))


def _settings() -> "ProcessorSettings":

    return load(ProcessorSettings)


def _story(settings: "ProcessorSettings", call_id: str, since: str) -> "Story":

    age_ms = int(parse_age(since).total_seconds() * 1000)
    with shown_progress(f"looking for call {call_id}") as advance:
        return tell(asyncio.run(read_call(settings, call_id, age_ms=age_ms, advance=advance)))
