"""`ringover-ops erase`: what is held of a call or a number, what can be erased, and until when the rest remains."""

import asyncio
import sys
from typing import Annotated

import typer

from ops.erase.plan import ErasePlan
from ops.erase.read import calls_of_number, read_plan
from ops.erase.rows import Erased, Request, complete, execute, open_requests
from ops.erase.show import calls_line, notes, plan_json, render, requests_table
from ops.erase.subject import Number, parse_number
from ops.kit.errors import EXIT_CODES, EXIT_NOT_FOUND, UsageError
from ops.kit.operator import who
from ops.kit.options import OutputOption, reported
from ops.kit.output import OutputFormat, reporting, say, stdout, write_json
from ops.kit.times import shown
from ops.state.session import StateSettings
from runtime.settings import load

app = typer.Typer()


@app.command(epilog=EXIT_CODES)
def erase(
    *,
    call_id: Annotated[list[str] | None, typer.Option("--call-id", help="Ringover's call.id; may be repeated.")] = None,
    number: Annotated[
        str | None,
        typer.Option(metavar="NUMBER", help="All calls with it: E.164, extension or sip:; - reads it from stdin."),
    ] = None,
    pending: Annotated[bool, typer.Option("--pending", help="What earlier erasures had to leave.")] = False,
    execute: Annotated[bool, typer.Option("--execute", help="Do it; without, only the plan is shown.")] = False,
    output: OutputOption = OutputFormat.TABLE,
) -> None:
    """Say where a call or a number is held, erase what can go, and say until when the rest remains.

    Records of the topics cannot be deleted one by one: they leave by retention. Claims go when raw topic and dead
    letters have no record of their call any more; --execute notes the request, and `erase --pending --execute`
    completes it after that (run it every day). Exit code 4 when nothing is held.

    --number reads every topic twice. On the command line it stays in the shell's history: give `-` instead.
    """
    with reported():
        given = sum((bool(call_id), number is not None, pending))
        if given != 1:
            raise UsageError("give one of --call-id, --number and --pending")
        subject = _number(number)
        settings = load(StateSettings)
        if pending:
            return _pending(settings, execute=execute, output=output)
        plan = asyncio.run(_plan(settings, frozenset(call_id or ()), subject))
        erased = _execute(settings, plan, "number" if subject else "call") if execute and plan.known else None
    with reporting(_done(erased) if erased else None):
        _print(plan, erased, output)
        if erased is not None:
            _say_done(plan, erased)
    if not plan.known:
        say("nothing is held of it here")
        raise typer.Exit(EXIT_NOT_FOUND)
    if erased is None:
        say("nothing was done: this is the plan; --execute carries it out")
    return None


def _number(text: str | None) -> "Number | None":

    if text is None:
        return None
    if text == "-":
        asked = typer.prompt("number", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline()
        return parse_number(asked.strip())
    return parse_number(text)


async def _plan(settings: "StateSettings", call_ids: frozenset[str], number: "Number | None") -> "ErasePlan":

    if number is not None:
        return await read_plan(settings, str(number), await calls_of_number(settings, number), number)
    subject = f"call {next(iter(call_ids))}" if len(call_ids) == 1 else f"{len(call_ids)} calls"
    return await read_plan(settings, subject, call_ids)


def _execute(settings: "StateSettings", plan: "ErasePlan", kind: str) -> "Erased":

    return asyncio.run(execute(settings, plan, kind=kind, who=who()))


def _pending(settings: "StateSettings", *, execute: bool, output: OutputFormat) -> None:

    requests, plan = asyncio.run(_open(settings))
    erased = asyncio.run(complete(settings, plan, requests)) if execute else None
    said = f"{len(requests)} erasures are not complete; --execute erases what can go by now"
    if erased is not None:
        said = f"{_done(erased)}; {len(erased.completed)} of {len(requests)} erasures complete"
    with reporting(said if execute else None):
        if output is OutputFormat.JSON:
            write_json(plan_json(plan, erased=erased) | {"requests": [request.erasure_id for request in requests]})
        elif requests:
            stdout().print(requests_table(requests))
            _print(plan, erased, output)
        say(said)


async def _open(settings: "StateSettings") -> "tuple[list[Request], ErasePlan]":

    requests = await open_requests(settings)
    if not requests:
        return requests, ErasePlan("nothing", (), ())
    call_ids = frozenset(call_id for request in requests for call_id in request.call_ids)
    return requests, await read_plan(settings, "erasures that are not complete", call_ids)


def _print(plan: "ErasePlan", erased: "Erased | None", output: OutputFormat) -> None:

    if output is OutputFormat.JSON:
        write_json(plan_json(plan, erased=erased))
        return
    if plan.known:
        stdout().print(render(plan))
        say(calls_line(plan))
    for line in notes(plan):
        say(line)


def _done(erased: "Erased") -> str:
    request = "" if erased.erasure_id is None else f"erasure {erased.erasure_id}: "
    return f"{request}{erased.claims} claims and {erased.conflicts} conflicts erased"


def _say_done(plan: "ErasePlan", erased: "Erased") -> None:

    say(_done(erased))
    if not plan.remains:
        say("nothing is left of it here")
    elif plan.until is not None:
        say(f"the rest is gone by {shown(plan.until)}; then run `ringover-ops erase --pending --execute`")
    else:
        say("the rest stays for ever: give the topics a retention")
