"""Ids that look like markup or steer a terminal, with real processes: shown as they are, and nothing is repeated."""

import asyncio
import os
import sys

from tests.support.cli import run
from tests.support.kafka import store
from tests.support.processes import Programs, inherited
from tests.support.traffic import ended, started
from tests.support.verdict import Place, processed

CALL = "[/nope]\u202e"
SHOWN = r"[/nope]\u202e"


async def test_a_call_id_that_is_markup_ends_no_command_and_is_shown_escaped(place: Place, programs: Programs) -> None:
    # The last webhook is not of the call: `processed` looks at whole partitions.
    count = await store(place.bootstrap_servers, place.topics.raw, [started(CALL), ended(CALL), started("other")])
    programs.processor()
    await processed(place, count)

    shown = await run(programs.env, "calls", "show", CALL, expect=0)
    plan = await run(programs.env, "calls", "replay", CALL, expect=0)
    done = await run(programs.env, "calls", "replay", CALL, "--execute", expect=0)
    erased = await run(programs.env, "erase", "--call-id", CALL, expect=0)
    for ran in (shown, plan, done, erased):
        assert SHOWN in ran.out
        assert not {"\u202e", "\x1b"} & set(ran.out + ran.err)
    assert done.err == f"2 events of call {SHOWN} emitted again\n"

    code, err = await _into_full_disk(programs, "calls", "replay", CALL, "--execute")
    assert code == 1, err  # the plan cannot be shown: nothing is done
    assert "emitted again" not in err
    code, err = await _into_full_disk(programs, "calls", "replay", CALL, "--execute", "-o", "json")
    assert code == 0, err
    assert err.startswith(f"2 events of call {SHOWN} emitted again")
    assert "only showing it failed: OSError" in err


async def test_a_group_that_is_markup_ends_no_command(place: Place, programs: Programs) -> None:
    await store(place.bootstrap_servers, place.topics.raw, [started("a")])

    for command in (["lag"], ["rewind", "--to-earliest"]):
        ran = await run(programs.env, *command, "--group", "[/nope]", expect=4)
        assert "[/nope]" in ran.err
    as_ours = await run({**programs.env, "PROCESSOR_GROUP": "[/nope]"}, "lag")
    assert "[/nope]" in as_ours.out + as_ours.err


async def test_an_argument_that_is_no_text_is_refused_in_words(programs: Programs) -> None:
    ran = await run(programs.env, "calls", "show", "a\udcff", expect=2)

    assert ran.err == "error: an argument is not UTF-8: 'a\\udcff'\n"


async def _into_full_disk(programs: Programs, *arguments: str) -> tuple[int | None, str]:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ops", *arguments),
            env={**inherited(), **programs.env},
            stdout=full,
            stderr=asyncio.subprocess.PIPE,
        )
        _, err = await process.communicate()
    finally:
        os.close(full)
    return process.returncode, err.decode()
