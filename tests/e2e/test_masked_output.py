"""No command prints a number, a transcript, an address or a link unless told to: all of them, on records full of it.

The commands run in this process, one after the other: starting thirty would take longer than everything else.
"""

import asyncio
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, cast

import orjson
import pytest
import typer.main
from prometheus_client import CollectorRegistry
from typer.core import TyperGroup
from typer.testing import CliRunner

from ingress.metrics import SpoolMetrics
from ingress.ports import OutgoingRecord
from ingress.spool.model import SpoolLimits
from ingress.spool.spool import open_spool
from ops.cli import LazyCommand, app
from schemas.dead_letter import Code, Reason, Stage, reason_headers
from tests.support import cli
from tests.support.kafka import Webhook, producer, read_topic, store
from tests.support.processes import Programs
from tests.support.verdict import Place, processed

NUMBER = "655443322"  # as it is in +33655443322, 0655443322 and 33655443322
CALLER = f"+33{NUMBER}"
CANARIES = (NUMBER, "secretly spoken", "canary@example.org", "canary-token")
CALL, DEAD_CALL, SIP_CALL = "canary-1", "canary-2", "canary-3"
SIP_CALLER, SIP_CALLED = f"sip:{CALLER}@voix.example", "sip:canary@example.org"
CAUSE = f"canary@example.org hung up on {CALLER}"


def body(event: str, **fields: object) -> bytes:
    return orjson.dumps({"event": event, "timestamp": "2026-01-02T15:00:00Z", "email": "canary@example.org"} | fields)


START = {"id": CALL, "direction": "inbound", "from": CALLER, "to": CALLER, "agent": {"id": "canary@example.org"}}
END = {"id": CALL, "duration_sec": 1, "hangup_cause": CAUSE, "disposition": CAUSE}
MEDIA = {"id": "r1", "url": f"https://provider.example/canary-token?n={CALLER}"}
SIP = {"id": SIP_CALL, "direction": "internal", "from": SIP_CALLER, "to": SIP_CALLED}
SPOKEN = {"text": f"secretly spoken {CALLER}", "language": "fr"}
WEBHOOKS = [
    Webhook("call-started", CALL, body("call.started", call=START)),
    Webhook("call-ended", CALL, body("call.ended", call=END)),
    Webhook("call-started", SIP_CALL, body("call.started", call=SIP)),
    Webhook(
        "recording-ready", CALL, body("call.recording_ready", call={"id": CALL}, recording=MEDIA, transcript=SPOKEN)
    ),
    Webhook(
        "call-started",
        DEAD_CALL,
        body("call.started", call={**START, "id": DEAD_CALL, "to": f"0{NUMBER}"}, recording=MEDIA, transcript=SPOKEN),
    ),
]
NOT_JSON = " ".join(CANARIES).encode()


NUMBERS_ONLY = ("json",)  # for commands that show counts and offsets, which JSON has all of


class Command(NamedTuple):
    """One command line. `reveals`: what `--reveal` adds has these canaries, or there is no such option."""

    line: str
    code: int = 0
    reveals: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ("table", "json")


def commands(export: Path, letters: list[str], spool: Path) -> Iterator[Command]:
    yield Command(f"calls show {CALL}", reveals=CANARIES)
    yield Command(f"calls show {DEAD_CALL}", reveals=CANARIES)
    yield Command(f"calls show {SIP_CALL}", reveals=(NUMBER, SIP_CALLED))
    yield Command(f"calls replay {CALL}")
    yield Command(f"calls replay {SIP_CALL}")
    yield Command("dead-letters list")
    yield Command("dead-letters list --each")
    for letter in letters:
        yield Command(f"dead-letters show {letter}", reveals=CANARIES)
    yield Command("dead-letters replay --all")
    yield Command(f"dead-letters import {export}")
    yield Command("rewind --to-earliest", outputs=NUMBERS_ONLY)
    yield Command("rewind --to-earliest --diff", code=3, reveals=(NUMBER, "sip:moved@"))
    yield Command("rewind log", outputs=NUMBERS_ONLY)
    yield Command(f"state show ringover:call.started:{CALL}")
    yield Command("state stats", outputs=NUMBERS_ONLY)
    yield Command("state verify")
    yield Command("state compact --ttl 45d", outputs=NUMBERS_ONLY)
    yield Command("state rebuild", outputs=NUMBERS_ONLY)
    yield Command("lag", outputs=NUMBERS_ONLY)
    yield Command(f"erase --call-id {CALL}")
    yield Command(f"erase --number {CALLER}")
    yield Command(f"erase --number {SIP_CALLED}")
    yield Command("erase --pending", outputs=NUMBERS_ONLY)
    yield Command(f"spool show --dir {spool}")
    yield Command(f"spool drain --dir {spool}")


TAIL = "tail --from-beginning --max 8"  # events and dead letters of `_seed`: then it ends
TOP = "top --once --every 0.2"
# Without a record to print: they create, migrate, answer for what one gives them, or are about made-up calls.
OTHERS = {"topics apply", "migrate", "send", "demo", "rewind undo"}


@pytest.mark.timeout(400)  # fifty commands, on machines that have others to serve
async def test_no_command_prints_personal_data_unless_told_to(place: Place, programs: Programs, tmp_path: Path) -> None:
    await _seed(place, programs)
    dead = await read_topic(place.bootstrap_servers, place.topics.dead_letter)
    letters = [f"{found.partition}:{found.offset}" for found in dead]
    export, spool = tmp_path / "letters.jsonl", tmp_path / "spool"
    await _fill(spool)
    await asyncio.to_thread(_export, programs.env, "dead-letters export", export)
    await asyncio.to_thread(_export, programs.env, f"spool export --dir {spool}", tmp_path / "spool.jsonl")

    found = list(commands(export, letters, spool))
    leaks = await asyncio.to_thread(lambda: [leak for command in found for leak in _leaks(programs.env, command)])
    leaks += await _listener_leaks(programs.env)

    assert leaks == []
    assert len(letters) == 2
    _every_command_is_thought_of(command.line for command in found)


def _export(env: Mapping[str, str], command: str, file: Path) -> None:
    """Exports are whole by design: for their owner's eyes, and said so; nothing of it on the terminal."""
    said = _run(env, f"{command} --file {file}", 0)
    assert "unmasked" in said
    assert [canary for canary in CANARIES if canary in said] == []
    assert [canary for canary in CANARIES if canary not in file.read_text()] == []
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def _leaks(env: Mapping[str, str], command: Command) -> Iterator[str]:
    """What a command prints without --reveal, and what it does not with it; for people and for scripts."""
    for output in command.outputs:
        line = f"{command.line} -o {output}"
        said = _run(env, line, command.code)
        yield from (f"{line}: {canary}" for canary in CANARIES if canary in said)
        if command.reveals:
            whole = _run(env, f"{line} --reveal", command.code)
            yield from (f"{line} --reveal: no {canary}" for canary in command.reveals if canary not in whole)


async def _listener_leaks(env: Mapping[str, str]) -> list[str]:
    """Of commands that listen to signals: these are processes of their own."""
    outputs = [["-o", output] for output in ("table", "json")]
    masked = [[*line.split(), *output] for line in (TAIL, TOP) for output in outputs]
    revealed = [[*TAIL.split(), "--reveal", *output] for output in outputs]
    ran = await asyncio.gather(*(cli.run(env, *arguments, expect=0) for arguments in [*masked, *revealed]))
    said, whole = ran[: len(masked)], ran[len(masked) :]
    leaks = [
        f"{line}: {canary}"
        for line, one in zip(masked, said, strict=True)
        for canary in CANARIES
        if canary in one.out + one.err
    ]
    return leaks + [
        f"{line}: no {canary}"
        for line, one in zip(revealed, whole, strict=True)
        for canary in CANARIES
        if canary not in one.out
    ]


def _run(env: Mapping[str, str], line: str, code: int) -> str:
    result = CliRunner().invoke(app, line.split(), env={**env, "NO_COLOR": "1", "TERM": "dumb"})
    assert result.exit_code == code, f"{line}: {result.exit_code}\n{result.output}\n{result.exception!r}"
    return str(result.output)


async def _seed(place: Place, programs: Programs) -> None:
    """Calls and two dead letters full of canaries, and events that today's code would write otherwise."""
    topics = place.topics
    await store(place.bootstrap_servers, topics.raw, WEBHOOKS)
    await programs.processor().ready()
    await processed(place, len(WEBHOOKS))
    seen = [found for found in await read_topic(place.bootstrap_servers, topics.call) if b"from_e164" in found.value]
    started, sip = sorted(seen, key=lambda found: bytes(found.key))
    other = started.value.replace(CALLER.encode(), CALLER.encode()[:-1] + b"9").replace(b"inbound", b"secretly spoken")
    reason = reason_headers(Reason(Stage.ACCEPT, Code.NOT_JSON, "the body is not JSON"), None)
    async with producer(place.bootstrap_servers) as client:
        await client.send_and_wait(topics.dead_letter, NOT_JSON, headers=[*reason, ("signature", b"canary-token")])
        at = {"partition": started.partition, "headers": list(started.headers)}
        await client.send_and_wait(topics.call, other, started.key, **at)
        moved = [(name, b"sip:moved@" + text if name == "ce_tonumber" else text) for name, text in sip.headers]
        await client.send_and_wait(topics.call, sip.value, sip.key, partition=sip.partition, headers=moved)


async def _fill(directory: Path) -> None:
    """A spool of an ingress that is gone, with the same webhooks."""
    metrics = SpoolMetrics(CollectorRegistry())
    async with open_spool(directory, SpoolLimits(max_bytes=1024**2, max_age_seconds=3600), metrics) as spool:
        for webhook in WEBHOOKS:
            headers = [("endpoint", webhook.slug.encode()), ("signature", b"canary-token")]
            await spool.append(OutgoingRecord("raw", webhook.key.encode(), webhook.body, headers))


def _every_command_is_thought_of(lines: Iterable[str]) -> None:
    """A new command belongs into `commands` if it can print a record, else into OTHERS."""
    tried = {*lines, TAIL, TOP, "dead-letters export", "spool export"}
    known = [
        name
        for name in _leaves(cast("TyperGroup", typer.main.get_command(app)))
        if not name.startswith("devstack") and name not in OTHERS
    ]
    assert [name for name in known if not any(line.startswith(name) for line in tried)] == []


def _leaves(group: TyperGroup, prefix: str = "") -> Iterator[str]:
    context = typer.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        command = command.load() if isinstance(command, LazyCommand) else command
        if isinstance(command, TyperGroup):
            yield from _leaves(command, f"{prefix}{name} ")
        else:
            yield prefix + name
