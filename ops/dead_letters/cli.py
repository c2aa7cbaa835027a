"""`ringover-ops dead-letters`: lists what could not become an event, shows it, sends it back, or has it repaired."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from ops.dead_letters import read
from ops.dead_letters.jsonl import letters_in
from ops.dead_letters.model import Letter, Selection, parse_id, select
from ops.dead_letters.plan import DeadLetterPlan
from ops.dead_letters.read import open_session
from ops.dead_letters.run import SendLetters, SentLetters
from ops.dead_letters.show import described, groups_table, letters_table, lines_of
from ops.kit.change import Report, carry_out
from ops.kit.errors import EXIT_CODES, EXIT_FAILED, UsageError
from ops.kit.export import export_to
from ops.kit.options import ExecuteOption, OutputOption, reported
from ops.kit.output import OutputFormat, say, stdout, write_json, write_text
from ops.kit.progress import shown_progress
from ops.kit.settings import StateSettings
from runtime.settings import load

app = typer.Typer(no_args_is_help=True, epilog=EXIT_CODES)

Ids = Annotated[list[str] | None, typer.Argument(metavar="ID", help="partition:offset, such as 3:1207.")]
Codes = Annotated[list[str] | None, typer.Option("--code", help="Only this code; may be repeated.")]
Stages = Annotated[list[str] | None, typer.Option("--stage", help="Only accept or normalize; may be repeated.")]
Since = Annotated[
    str | None, typer.Option(help="Received at or after this time (2026-11-22T14:05+01:00), or an age (2h, 3d).")
]
Until = Annotated[str | None, typer.Option(help="Received before this time, or an age.")]
Reveal = Annotated[bool, typer.Option("--reveal", help="Show the whole body and all headers: personal data.")]
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
    settings = load(StateSettings)
    with reported():
        selection = select(code=code, stage=stage, since=since, until=until, now=datetime.now(UTC))
        if each:
            letters = asyncio.run(read.listed(settings, selection, shown_progress))
        else:
            groups = asyncio.run(read.grouped(settings, selection, shown_progress))
    if output is OutputFormat.JSON:
        write_json(letters if each else groups)
    else:
        stdout().print(letters_table(letters) if each else groups_table(groups))


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
    settings = load(StateSettings)
    with reported():
        details = described(asyncio.run(read.facts_of(settings, parse_id(letter))), reveal=reveal)
    if output is OutputFormat.JSON:
        write_json(details)
    else:
        write_text(*lines_of(details))


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
    execute: ExecuteOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Send dead letters back to the raw topic, for the processors to try again: key, value and headers as received.

    Shows what today's code would make of each; what would become a dead letter again is left out. Each dead letter is
    replayed at most once, also when this is interrupted (Ctrl-C is safe) and run again. The first of several dead
    letters of one raw record stands for all. A replayed record has the header replayed-from.
    """
    with reported():
        selection = select(ids=ids, code=code, stage=stage, since=since, until=until, now=datetime.now(UTC))
        if (selection == Selection()) != everything:
            raise UsageError("give either ids, or conditions, or --all for all dead letters")
    _send(selection, (), even_if_still_bad=even_if_still_bad, execute=execute, output=output)


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
    settings = load(StateSettings)
    with reported():
        selection = select(ids=ids, code=code, stage=stage, since=since, until=until, now=datetime.now(UTC))
        say("warning: bodies and headers are exported unmasked; they hold personal data")
        with export_to(file) as write:
            count = asyncio.run(read.export(settings, selection, write))
    say(f"exported: {count}")


@app.command("import", epilog=EXIT_CODES)
def import_(
    file: Annotated[Path, typer.Argument(help="Lines as `dead-letters export` writes them, `value` repaired.")],
    *,
    even_if_still_bad: EvenIfStillBad = False,
    execute: ExecuteOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Send repaired dead letters to the raw topic; like replay, but with the file's content.

    Lines that today's code would still refuse are not sent, and make the exit code 1. Each dead letter is imported or
    replayed at most once. An imported record has the header imported-from.
    """
    with reported():
        repaired = letters_in(file)
    report = _send(Selection(), repaired, even_if_still_bad=even_if_still_bad, execute=execute, output=output)
    if execute and report.plan.left_out:
        raise typer.Exit(EXIT_FAILED)


def _send(
    selection: Selection, repaired: Sequence[Letter], *, even_if_still_bad: bool, execute: bool, output: OutputFormat
) -> Report[DeadLetterPlan, SentLetters]:
    settings = load(StateSettings)

    async def carried_out() -> Report[DeadLetterPlan, SentLetters]:
        async with open_session(settings) as session:
            change = SendLetters(session, shown_progress, say, selection, repaired, even_if_still_bad=even_if_still_bad)
            return await carry_out(change, execute=execute, output=output)

    with reported():
        report = asyncio.run(carried_out())
    if report.result is not None and report.result.stopped:
        say("stopped; run it again to go on")
        raise typer.Exit(EXIT_FAILED)
    return report
