"""`ringover-ops state`: looks at the state table, compacts it, rebuilds it from the raw log, verifies it."""

import asyncio
from collections.abc import Iterable
from typing import Annotated

import typer
from rich.table import Table

from ops.kit.change import carry_out
from ops.kit.errors import EXIT_CODES, EXIT_DIFFERS, EXIT_NOT_FOUND
from ops.kit.operator import who
from ops.kit.options import ExecuteOption, OutputOption, reported
from ops.kit.output import OutputFormat, say, stdout, write_json
from ops.kit.progress import shown_progress
from ops.kit.settings import StateSettings
from ops.kit.times import parse_age
from ops.state.compact import CompactState
from ops.state.read import candidates, read_claims, read_stats
from ops.state.rebuild import RebuildState
from ops.state.show import claims_table, stats_tables, verify_tables
from ops.state.verify import verify as compare_all
from runtime.settings import DatabaseSettings, load

app = typer.Typer(no_args_is_help=True, epilog=EXIT_CODES)


@app.callback()
def state() -> None:
    """The state table: who owns which idempotency key, and how far each partition was claimed."""


@app.command(epilog=EXIT_CODES)
def show(
    key: Annotated[
        str, typer.Argument(help="Idempotency key as published (ce_idempotencykey), or escaped as in the table.")
    ],
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """The claim of an idempotency key: owner, records, duplicates, conflicts, in every log that has it.

    When ids contain `:`, a published recording key may mean several claims; all that exist are shown. Exit code 4 if
    there is none.
    """
    with reported():
        found = asyncio.run(read_claims(load(DatabaseSettings), candidates(key)))
    if output is OutputFormat.JSON:
        write_json(found)
    elif found:
        stdout().print(claims_table(found))
    if not found:
        say("error: no claim has this key: never received, only as a dead letter, or compacted")
        raise typer.Exit(EXIT_NOT_FOUND)


@app.command(epilog=EXIT_CODES)
def stats(
    *,
    exact: Annotated[bool, typer.Option("--exact", help="Count every row, however many there are.")] = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Rows, size, ages, duplicates and conflicts by event type; progress against the group's committed offsets.

    A table of more than 2 million rows is sampled; the numbers are then estimates. A partition that is behind is healed
    by the next takeover: something took commits away from PostgreSQL.
    """
    with reported():
        found = asyncio.run(read_stats(load(StateSettings), exact=exact))
    _show(found, stats_tables(found), output)
    if any(partition.behind for partition in found.partitions):
        say("warning: PostgreSQL has lost commits; the next takeover of the partition heals it")


@app.command(epilog=EXIT_CODES)
def compact(
    *,
    ttl: Annotated[str, typer.Option(help="Age from which a claim may go, by its owner's time: 45d, 36h.")],
    execute: ExecuteOption = False,
    rate: Annotated[int | None, typer.Option(min=1, help="Most rows removed per second.")] = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Remove old claims and conflicts. Safe while processors run; breaking off and starting again loses nothing.

    Only claims whose owner the raw log no longer has are removed. A later duplicate of such a key becomes a new owner
    and is emitted. A TTL below the raw topic's retention is refused (exit code 6): a rewind would emit duplicates. What
    the TTL is longer than the retention, so late may a duplicate come and still be recognized on a rewind.
    """
    with reported():
        change = CompactState(load(StateSettings), parse_age(ttl), rate, shown_progress)
        asyncio.run(carry_out(change, execute=execute, output=output))


@app.command(epilog=EXIT_CODES)
def rebuild(
    *,
    execute: ExecuteOption = False,
    wipe: Annotated[
        bool, typer.Option("--wipe", help="Forget claims, conflicts and progress of this log first; pauses the group.")
    ] = False,
    rate: Annotated[int | None, typer.Option(min=1, help="Most records read per second.")] = None,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Claim the raw log again from its start to what the group has committed, emitting nothing.

    Without --wipe, missing claims are filled in beside running processors, and claims that exist stay as they are; a
    claim that is filled in counts duplicates from then on.
    With --wipe, for a table that is doubtful, the processors are paused until all is claimed again; should this command
    die, they come back after 15 s and heal the rest themselves. Claims whose owner retention removed cannot be rebuilt:
    they are kept as they are. Exit code 6, and nothing touched, when somebody does not leave the group. Check with
    `state verify`.
    """
    settings = load(StateSettings)
    change = RebuildState(settings, shown_progress, say, operator=who(), wipe=wipe, rate=rate)
    with reported():
        asyncio.run(carry_out(change, execute=execute, output=output))


@app.command(epilog=EXIT_CODES)
def verify(
    *,
    most: Annotated[int, typer.Option("--max", min=1, help="Differences listed.")] = 20,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Hold every claim against the raw log, up to the progress. Reads only; safe at any time.

    Exit code 3 if a claim is missing, invented, has another owner than the first valid record, or another content.
    """
    with reported():
        result = asyncio.run(compare_all(load(StateSettings), shown_progress, most=most))
    _show(result, verify_tables(result), output)
    if not result.clean:
        say("error: the state table differs from the raw log; `state rebuild --wipe` makes it anew")
        raise typer.Exit(EXIT_DIFFERS)


def _show(found: object, tables: Iterable[Table | str], output: OutputFormat) -> None:
    if output is OutputFormat.JSON:
        write_json(found)
        return
    for part in tables:
        stdout().print(part)
