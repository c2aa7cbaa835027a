"""Runs `ringover-ops devstack`: both servers in the foreground, for people, make and scripts."""

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from sandbox.devstack.errors import AbortedError, DevstackError, disk_errors
from sandbox.devstack.jars import ensure_jars
from sandbox.devstack.progress import plain_console
from sandbox.devstack.stack import Devstack, DevstackConfig

WATCH_SECONDS = 0.2

app = typer.Typer(no_args_is_help=True, help="A real Kafka and a real PostgreSQL, without Docker or root.")

PortOption = Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free port.")]


@app.command()
def run(
    data: Annotated[Path | None, typer.Option(help="Data directory, kept; without it a temporary one.")] = None,
    env_file: Annotated[Path | None, typer.Option(help="Gets the two variables as soon as both are ready.")] = None,
    kafka_port: PortOption = 0,
    postgres_port: PortOption = 0,
) -> None:
    """Run both in the foreground until SIGTERM or Ctrl-C."""
    config = DevstackConfig(data_dir=data, kafka_port=kafka_port, postgres_port=postgres_port)
    stop = _stop_on_signals()
    try:
        _serve(config, env_file, stop)
    except AbortedError:
        pass  # stopped while starting: as good an end as any other
    except DevstackError as exc:
        _fail(exc)


@app.command()
def fetch() -> None:
    """Download Kafka's jars into the cache, and nothing else."""
    try:
        ensure_jars()
    except DevstackError as exc:
        _fail(exc)


def write_env_file(path: Path, env: dict[str, str]) -> None:
    """Writes `NAME=value` lines; a reader sees all of them or no file."""
    with disk_errors(path):
        new = path.with_name(f".{path.name}.new")
        new.write_text("".join(f"{name}={value}\n" for name, value in env.items()), encoding="utf-8")
        new.replace(path)


def _serve(config: DevstackConfig, env_file: Path | None, stop: threading.Event) -> None:
    _remove(env_file)  # a stale one would send its readers to servers that are gone
    with Devstack(config, abort=stop) as stack:
        try:
            if env_file is not None:
                write_env_file(env_file, stack.env())
            plain_console().print("Kafka and PostgreSQL are ready.", style="green")
            plain_console().print(_summary(stack, env_file))
            while not stop.wait(WATCH_SECONDS):
                if dead := stack.dead():
                    raise dead
        finally:
            _remove(env_file)


def _summary(stack: Devstack, env_file: Path | None) -> str:
    lines = [
        *(f"  {name}={value}" for name, value in stack.env().items()),
        f"  data and logs: {stack.data_dir}" + ("" if stack.config.data_dir else " (removed at the end)"),
    ]
    if env_file is not None:
        lines.append(f"  variables: {env_file}")
    return "\n".join([*lines, "Stop with Ctrl-C or SIGTERM."])


def _stop_on_signals() -> threading.Event:
    stop = threading.Event()

    def handle(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, handle)
    return stop


def _remove(env_file: Path | None) -> None:
    if env_file is not None:
        with disk_errors(env_file):
            env_file.unlink(missing_ok=True)


def _fail(error: DevstackError) -> None:
    console = plain_console()
    if error.log_tail:
        console.print(error.log_tail)
    console.print(f"devstack: {error}", style="red")
    raise typer.Exit(1)
