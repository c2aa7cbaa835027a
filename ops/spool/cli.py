"""`ringover-ops spool`: what an ingress keeps on its disk while Kafka does not take it."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import orjson
import typer

from ops.kit.errors import EXIT_CODES, EXIT_FAILED, UsageError
from ops.kit.options import OutputOption, reported
from ops.kit.output import OutputFormat, reporting, say, stdout, table, write_json
from ops.kit.progress import shown_progress
from ops.spool import drain as work
from ops.spool.lines import line_of
from ops.spool.read import Heap, bad_files, heaps, rows
from runtime.settings import KafkaSettings, load

OWNER_ONLY = 0o600  # the file holds personal data

app = typer.Typer(no_args_is_help=True, epilog=EXIT_CODES)

DirOption = Annotated[Path, typer.Option("--dir", help="The ingress's INGRESS_SPOOL_DIR.")]


@app.callback()
def spool() -> None:
    """What an ingress keeps on its disk while Kafka does not take it. Run it where that disk is."""


@app.command(epilog=EXIT_CODES)
def show(*, directory: DirOption, output: OutputOption = OutputFormat.TABLE) -> None:
    """Records, bytes and ages by topic and endpoint, and files that were set aside; no bodies, no call ids.

    Safe beside a running ingress: nothing is locked or changed.
    """
    with reported():
        found, bad = heaps(directory), bad_files(directory)
        if output is OutputFormat.JSON:
            write_json({**_sum(found), "by_topic": [heap.as_json() for heap in found], "set_aside": [*map(str, bad)]})
        else:
            _print(found)
            for path in bad:
                say(f"set aside because it was corrupt or read-only: {path}")


@app.command(epilog=EXIT_CODES)
def drain(
    *,
    directory: DirOption,
    execute: Annotated[
        bool, typer.Option("--execute", help="Do it; without this the plan is shown and nothing happens.")
    ] = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Send what is left in the spool of an ingress that is gone. An ingress that runs does it by itself.

    Records of one call leave in their order. Interrupting is safe (Ctrl-C): what Kafka has is removed, at worst a few
    records are sent twice, which deduplication removes. Refused (exit code 6) while an ingress has the spool.
    """
    settings = load(KafkaSettings)
    done = None
    with reported():
        found = heaps(directory)
        if output is OutputFormat.TABLE:
            _print(found)
        if execute and found:
            topics = sorted({heap.topic for heap in found})
            with shown_progress("draining", sum(heap.records for heap in found)) as advance:
                done = asyncio.run(work.drain(settings, directory, topics, advance))
    if output is OutputFormat.JSON:
        with reporting(f"sent: {done.sent}, left: {done.left}" if done else None):
            write_json({**_sum(found), "executed": execute, "sent": done.sent if done else 0})
    if not execute:
        say("nothing was sent: this is the plan; --execute carries it out")
    elif done is not None:
        say(f"sent: {done.sent}, left: {done.left}")
        if done.left:
            say(f"not all was sent: {done.problem or 'Kafka refuses some records, or it was interrupted'}")
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
        first = next(records, None)  # nothing is made when there is no spool to read
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
        except OSError as error:
            raise UsageError(f"cannot write {file}: {error.strerror}") from error
        count = 0
        with os.fdopen(descriptor, "wb") as lines:
            while first is not None:
                lines.write(orjson.dumps(line_of(first), option=orjson.OPT_APPEND_NEWLINE))
                count += 1
                first = next(records, None)
    say(f"exported: {count}")


def _sum(found: "list[Heap]") -> dict[str, object]:
    return {
        "records": sum(heap.records for heap in found),
        "bytes": sum(heap.bytes for heap in found),
        "oldest": min((heap.oldest for heap in found), default=None),
    }


def _print(found: "list[Heap]") -> None:
    columns = ("topic", "endpoint", "records", "bytes", "oldest")
    cells = [(h.topic, h.endpoint, h.records, h.bytes, h.oldest.isoformat(timespec="seconds")) for h in found]
    if cells:
        stdout().print(table("", columns, cells, right=("records", "bytes")))
    say(f"{sum(heap.records for heap in found)} records wait in the spool")
