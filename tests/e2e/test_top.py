"""`ringover-ops top` on a pipeline that runs."""

import asyncio
import json
import signal
from typing import Any

from tests.support.cli import start
from tests.support.kafka import store
from tests.support.processes import Programs
from tests.support.traffic import traffic
from tests.support.verdict import Place, processed

EVERY = 0.5


async def test_top_shows_rates_processors_and_the_pause(place: Place, programs: Programs) -> None:
    count = await store(place.bootstrap_servers, place.topics.raw, traffic(501, 100))
    processors = [programs.processor(), programs.processor()]
    for processor in processors:
        await processor.ready()
    await processed(place, count)

    watching = await start(programs.env, "top", "--every", str(EVERY), "-o", "json")
    assert watching.stdout is not None
    first = json.loads(await watching.stdout.readline())
    stored = await store(place.bootstrap_servers, place.topics.raw, traffic(502, 400))
    rates: list[dict[str, Any]] = []
    done = 0
    while done < count + stored:
        look = json.loads(await asyncio.wait_for(watching.stdout.readline(), 30))
        done = sum(partition["committed"] for partition in look["lag"]["partitions"])
        rates.append(look["rates"])
    rates += [json.loads(await watching.stdout.readline())["rates"] for _ in range(2)]
    watching.send_signal(signal.SIGINT)
    assert await watching.wait() == 0

    pids = {str(processor.process.pid) for processor in processors}
    assert {process["client_id"].rpartition("-")[2] for process in first["processors"]} == pids
    assert sorted(number for process in first["processors"] for number in process["partitions"]) == [0, 1, 2]
    assert first["rates"] is None
    assert first["pause"] is None
    assert first["lag"]["state"] == "Stable"
    total = {name: sum(rate[name] for rate in rates) for name in ("webhooks_stored", "records_processed")}
    assert total["webhooks_stored"] > 0
    events = sum(sum(rate["events"].values()) for rate in rates)
    assert 0 < events < total["records_processed"]
    assert sum(rate["duplicates_derived"] for rate in rates) > 0


async def test_top_once_is_one_picture(place: Place, programs: Programs) -> None:
    await programs.processor().ready()

    picture = await start(programs.env, "top", "--once", "--every", "0.3")
    out, err = await picture.communicate()

    assert picture.returncode == 0, err.decode()
    for words in ("webhooks into raw", place.group, "ringover-processor-", "caught up in", place.topics.call):
        assert words in out.decode()


async def test_top_of_a_group_is_one_json_line_per_look_until_interrupted(place: Place, programs: Programs) -> None:
    count = await store(place.bootstrap_servers, place.topics.raw, traffic(503, 100))
    await programs.processor().ready()
    await processed(place, count)

    watching = await start(programs.env, "top", "--group", place.group, "--every", "0.3", "-o", "json")
    assert watching.stdout is not None
    looks = [json.loads(await watching.stdout.readline()) for _ in range(3)]
    watching.send_signal(signal.SIGINT)

    assert await watching.wait() == 0
    assert {look["lag_records"] for look in looks} == {0}
    assert looks[0]["processed_per_second"] is None or looks[0]["processed_per_second"] == 0
    assert looks[2]["eta_seconds"] == 0.0
    assert len(looks[2]["partitions"]) == 3


async def test_top_of_a_group_once_is_its_lag_without_the_database(place: Place, programs: Programs) -> None:
    await programs.processor().ready()
    env = {name: value for name, value in programs.env.items() if name != "DATABASE_URL"}

    picture = await start(env, "top", "--group", place.group, "--once", "--every", "0.3")
    out, err = await picture.communicate()

    assert picture.returncode == 0, err.decode()
    assert f"{place.group} on {place.topics.raw} (Stable)" in out.decode()
    assert "caught up in" in out.decode()
    assert "webhooks into raw" not in out.decode()
