"""`ringover-ops spool`: shows, sends or exports the records that an ingress keeps on disk while Kafka is away."""

import asyncio
from itertools import chain, islice
from pathlib import Path
from typing import Annotated

import typer

from ops.kit.change import carry_out
from ops.kit.errors import EXIT_CODES, EXIT_FAILED
from ops.kit.export import export_to
from ops.kit.options import ExecuteOption, OutputOption, reported
from ops.kit.output import OutputFormat, say, stdout, write_json
from ops.kit.progress import shown_progress
from ops.spool.read import rows, summary
from ops.spool.run import DrainSpool
from ops.spool.show import notes, tables
from runtime.settings import KafkaSettings, load

app = typer.Typer(no_args_is_help=True, epilog=EXIT_CODES)

DirOption = Annotated[Path, typer.Option("--dir", help="The ingress's INGRESS_SPOOL_DIR.")]


@app.callback()
def spool() -> None:
    """Records that an ingress keeps on its disk while Kafka does not take them. Run it where that disk is."""


@app.command(epilog=EXIT_CODES)
def show(*, directory: DirOption, output: OutputOption = OutputFormat.TABLE) -> None:
    """Records, bytes and ages by topic and endpoint, and files in quarantine; no bodies, no call ids.

    Safe beside a running ingress: nothing is locked or changed.
    """
    with reported():
        found = summary(directory)
    if output is OutputFormat.JSON:
        write_json(found)
        return
    for grid in tables(found):
        stdout().print(grid)
    for note in notes(found):
        say(note)


@app.command(epilog=EXIT_CODES)
def drain(
    *,
    directory: DirOption,
    execute: ExecuteOption = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Send what is left in the spool of an ingress that is gone. An ingress that runs does it by itself.

    Records of one call leave in their order. Interrupting is safe (Ctrl-C): what Kafka has is removed, at worst a few
    records are sent twice, which deduplication removes. Refused (exit code 6) while an ingress has the spool.
    """
    change = DrainSpool(load(KafkaSettings), directory, shown_progress)
    with reported():
        drained = asyncio.run(carry_out(change, execute=execute, output=output)).result
    if drained is not None and drained.left:
        say(f"not all was sent: {drained.problem or 'Kafka refuses some records, or it was interrupted'}")
        raise typer.Exit(EXIT_FAILED)


@app.command(epilog=EXIT_CODES)
def export(
    *,
    directory: DirOption,
    file: Annotated[Path, typer.Option(help="A new file, readable by its owner only.")],
) -> None:
    """Write every record as a line of JSON, in order, and remove nothing. UNMASKED: personal data and signatures."""
    with reported():
        say("warning: bodies and headers are exported unmasked; they hold personal data")
        records = rows(directory)
        first = list(islice(records, 1))  # nothing is made when there is no spool to read
        count = 0
        with export_to(file) as write:
            for row in chain(first, records):
                write({"id": row.id, "spooled_at_ms": row.spooled_at, **row.record._asdict()})
                count += 1
    say(f"exported: {count}")
