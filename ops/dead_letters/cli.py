"""`ringover-ops dead-letters`: what could not become an event: look at it, send it back, repair it."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ops.dead_letters import actions, report
from ops.dead_letters.actions import Done, Order
from ops.dead_letters.describe import lines_of
from ops.dead_letters.files import letters_in, lines_to
from ops.dead_letters.model import parse_id
from ops.dead_letters.plan import Plan
from ops.dead_letters.replay import Settled
from ops.dead_letters.selection import Selection, select
from ops.dead_letters.session import DeskSettings
from ops.kit.errors import EXIT_CODES, EXIT_FAILED, OpsError, UsageError
from ops.kit.options import OutputOption, reported
from ops.kit.output import OutputFormat, reporting, say, stdout, write_json, write_text
from runtime.settings import load

REFUSALS_SHOWN = 20

app = typer.Typer(no_args_is_help=True, epilog=EXIT_CODES)

Ids = Annotated[list[str] | None, typer.Argument(metavar="ID", help="partition:offset, such as 3:1207.")]
Codes = Annotated[list[str] | None, typer.Option("--code", help="Only this code; may be repeated.")]
Stages = Annotated[list[str] | None, typer.Option("--stage", help="Only accept or normalize; may be repeated.")]
Since = Annotated[
    str | None, typer.Option(help="Received at or after this time (2026-11-22T14:05+01:00), or an age (2h, 3d).")
]
Until = Annotated[str | None, typer.Option(help="Received before this time, or an age.")]
Reveal = Annotated[bool, typer.Option("--reveal", help="Show the whole body and all headers: personal data.")]
Execute = Annotated[bool, typer.Option("--execute", help="Do it; without this the plan is shown and nothing happens.")]
EvenIfStillBad = Annotated[
    bool, typer.Option("--even-if-still-bad", help="Also what would become a dead letter again, if it has a key.")
]


@app.callback()
def dead_letters() -> None:
    """What could not become an event. An ID is where a dead letter stands in its topic: partition:offset."""


@app.command("list", epilog=EXIT_CODES)
def list_(
    *,
    code: Codes = None,
    stage: Stages = None,
    since: Since = None,
    until: Until = None,
    each: Annotated[bool, typer.Option("--each", help="One line per dead letter instead of per code.")] = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Dead letters by stage and code, with counts, times and a sample; no body is shown.

    `bodies` counts each raw record once; `records` is higher after a rewind, since every pass makes its dead letters
    again. Times are when the raw record was received.
    """
    settings = load(DeskSettings)
    with reported():
        selection = _selection(code=code, stage=stage, since=since, until=until)
        if each:
            letters = asyncio.run(actions.each(settings, selection))
            _print(output, letters, lambda: report.letters_table(letters))
        else:
            groups, replayed = asyncio.run(actions.grouped(settings, selection))
            _print(output, report.groups_json(groups, replayed), lambda: report.groups_table(groups, replayed))


@app.command(epilog=EXIT_CODES)
def show(
    letter: Annotated[str, typer.Argument(metavar="ID", help="partition:offset, such as 3:1207.")],
    *,
    reveal: Reveal = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Everything of one dead letter, and what today's code would make of it.

    Without --reveal, telephone numbers show their last 4 digits, and of texts, unknown fields and bodies that are not
    JSON nothing is shown. The signature is never shown.
    """
    settings = load(DeskSettings)
    with reported():
        description = asyncio.run(actions.show(settings, parse_id(letter), reveal=reveal))
    if output is OutputFormat.JSON:
        write_json(description)
    else:
        write_text(*lines_of(description))


@app.command(epilog=EXIT_CODES)
def replay(
    ids: Ids = None,
    *,
    code: Codes = None,
    stage: Stages = None,
    since: Since = None,
    until: Until = None,
    everything: Annotated[bool, typer.Option("--all", help="All dead letters.")] = False,
    even_if_still_bad: EvenIfStillBad = False,
    execute: Execute = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Send dead letters back to the raw topic, for the processors to try again: key, value and headers as received.

    Shows what today's code would make of each; what would become a dead letter again is left out. Each dead letter is
    replayed at most once, also when this is interrupted (Ctrl-C is safe) and run again. The first of several dead
    letters of one raw record stands for all. A replayed record has the header replayed-from.
    """
    with reported():
        selection = _selection(ids=ids, code=code, stage=stage, since=since, until=until)
        if selection.everything != everything:
            raise UsageError("give either ids, or conditions, or --all for all dead letters")
    _run(Order(selection=selection, even_if_still_bad=even_if_still_bad), execute=execute, output=output)


@app.command(epilog=EXIT_CODES)
def export(
    ids: Ids = None,
    *,
    code: Codes = None,
    stage: Stages = None,
    since: Since = None,
    until: Until = None,
    file: Annotated[Path | None, typer.Option(help="A new file, readable by its owner only; default: stdout.")] = None,
) -> None:
    """Write dead letters as lines of JSON, to be repaired and imported. UNMASKED: personal data and signatures.

    `value` is the body as a string, or {"base64": ...} if it is not UTF-8; `dead-letters import` takes it back. Of
    several dead letters of one raw record the first is written.
    """
    settings = load(DeskSettings)
    with reported():
        selection = _selection(ids=ids, code=code, stage=stage, since=since, until=until)
        say("warning: bodies and headers are exported unmasked; they hold personal data")
        with lines_to(file) as write:
            count = asyncio.run(actions.export(settings, selection, write))
    say(f"exported: {count}")


@app.command("import", epilog=EXIT_CODES)
def import_(
    file: Annotated[Path, typer.Argument(help="Lines as `dead-letters export` writes them, `value` repaired.")],
    *,
    even_if_still_bad: EvenIfStillBad = False,
    execute: Execute = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Send repaired dead letters to the raw topic; like replay, but with the file's content.

    Lines that today's code would still refuse are not sent, and make the exit code 1. Each dead letter is imported or
    replayed at most once. An imported record has the header imported-from.
    """
    with reported():
        order = Order(repaired=letters_in(file), even_if_still_bad=even_if_still_bad)
    _run(order, execute=execute, output=output)


def _print(output: OutputFormat, value: object, grid: "Callable[[], Table]") -> None:
    if output is OutputFormat.JSON:
        write_json(value)
    else:
        stdout().print(grid())


def _run(order: "Order", *, execute: bool, output: OutputFormat) -> None:

    told: list[Plan] = []

    def tell(plan: "Plan", settled: "Settled | None" = None) -> None:
        told.append(plan)
        if output is OutputFormat.TABLE:
            with reporting(report.settled_line(settled)):
                stdout().print(report.plan_table(plan))
        for line in [*(report.settled_prose(settled) if settled else []), *report.plan_prose(plan)]:
            say(line)
        for line in report.refusals(plan)[:REFUSALS_SHOWN] if order.repaired else []:
            say(f"refused: {line}")

    settings = load(DeskSettings)
    with reported():
        try:
            done = asyncio.run(actions.executed(settings, order, tell) if execute else actions.planned(settings, order))
        except OpsError:
            if told:
                say("not all was sent; run it again to go on, nothing is sent twice")
            raise
    if not execute:
        tell(done.plan)
        say("nothing was sent: this is the plan; --execute carries it out")
    else:
        say(f"sent: {done.sent} of {len(done.plan.to_send)}")
    if output is OutputFormat.JSON:
        with reporting(f"sent: {done.sent} of {len(done.plan.to_send)}" if execute else None):
            write_json(report.plan_json(done.plan, settled=done.settled, sent=done.sent))
    _end(done, execute=execute, imported=bool(order.repaired))


def _end(done: "Done", *, execute: bool, imported: bool) -> None:
    if done.stopped:
        say("stopped; run it again to go on")
        raise typer.Exit(EXIT_FAILED)
    if execute and imported and done.plan.left_out:
        raise typer.Exit(EXIT_FAILED)


def _selection(
    *,
    ids: list[str] | None = None,
    code: list[str] | None,
    stage: list[str] | None,
    since: str | None,
    until: str | None,
) -> "Selection":

    return select(ids=ids or (), codes=code or (), stages=stage or (), since=since, until=until, now=datetime.now(UTC))
