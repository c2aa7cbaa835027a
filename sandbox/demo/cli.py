"""Runs `ringover-ops demo`: the whole system on this machine, measured and checked."""

from pathlib import Path
from typing import Annotated

import typer

from ops.kit.errors import EXIT_CODES
from ops.kit.options import reported
from sandbox.demo.run import DemoOptions, run_demo

app = typer.Typer()


@app.command(epilog=EXIT_CODES)
def demo(
    calls: Annotated[int, typer.Option(min=1, help="Generated calls, besides the specification's.")] = 2000,
    keep: Annotated[bool, typer.Option("--keep", help="Leave all running until Ctrl-C; prints how to use it.")] = False,
    data: Annotated[
        Path | None, typer.Option(help="Directory for data and logs, kept; default: temporary, kept on failure.")
    ] = None,
) -> None:
    """Run everything for real and check what comes out.

    Starts its own Kafka and PostgreSQL (never the ones of KAFKA_BOOTSTRAP_SERVERS and DATABASE_URL, so it cannot write
    to a real cluster), one ingress and two processors, posts the specification's webhooks, duplicates, broken ones and
    generated calls, then prints and checks what was answered, emitted, deduplicated and dead-lettered.
    Exit code 0 if every check holds, else 1.
    """
    with reported():
        code = run_demo(DemoOptions(calls=calls, keep=keep, data_dir=data))
    raise typer.Exit(code)
