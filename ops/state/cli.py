"""`ringover-ops state`: looks at the state table, compacts it, rebuilds it from the raw log, verifies it."""

import asyncio
from typing import Annotated

import typer

from ops.kit.errors import EXIT_CODES, EXIT_DIFFERS, EXIT_NOT_FOUND
from ops.kit.options import OutputOption, reported
from ops.kit.output import OutputFormat, reporting, say, stdout, write_json
from ops.kit.postgres import database
from ops.kit.times import parse_age
from ops.state import compact as compacting
from ops.state import rebuild as rebuilding
from ops.state.keys import candidates
from ops.state.report import (
    claims_table,
    print_compact,
    print_rebuild,
    print_stats,
    print_verdict,
    rebuild_json,
    verdict_json,
)
from ops.state.session import StateSettings
from ops.state.show import ShownClaim, read_claims
from ops.state.stats import read_stats
from ops.state.verify import verify as run
from runtime.settings import DatabaseSettings, load

ExecuteOption = Annotated[bool, typer.Option("--execute", help="Do it; without, only the plan is shown.")]

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

    async def read() -> list[ShownClaim]:
        async with database(load(DatabaseSettings)) as connection:
            return await read_claims(connection, candidates(key))

    with reported():
        found = asyncio.run(read())
    if output is OutputFormat.JSON:
        write_json([claim.as_json() for claim in found])
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
    if output is OutputFormat.JSON:
        write_json(found.as_json())
    else:
        print_stats(found)


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

    async def run() -> tuple[compacting.CompactPlan, int | None]:
        settings = load(StateSettings)
        plan, offsets = await compacting.make_plan(settings, parse_age(ttl))
        return plan, await compacting.compact(settings, plan, offsets, rate=rate) if execute else None

    with reported():
        plan, removed = asyncio.run(run())
    with reporting(None if removed is None else f"removed {removed:,} rows"):
        if output is OutputFormat.JSON:
            write_json({**plan.as_json(), "executed": execute, "removed": removed})
        else:
            print_compact(plan, removed)


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
    with reported():
        if execute:
            plan = asyncio.run(rebuilding.rebuild(settings, wipe=wipe, rate=rate))
        else:
            plan = asyncio.run(rebuilding.make_plan(settings, wipe=wipe))
    with reporting(f"rebuilt from {plan.records:,} records" if execute else None):
        if output is OutputFormat.JSON:
            write_json({**rebuild_json(plan), "executed": execute})
        else:
            print_rebuild(plan, executed=execute)


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
        verdict = asyncio.run(run(load(StateSettings), most=most))
    if output is OutputFormat.JSON:
        write_json(verdict_json(verdict))
    else:
        print_verdict(verdict)
    if not verdict.clean:
        say("error: the state table differs from the raw log; `state rebuild --wipe` makes it anew")
        raise typer.Exit(EXIT_DIFFERS)
