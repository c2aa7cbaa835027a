"""The guarantee over 50,000 webhooks through the real ingress, two processors, one of them killed three times."""

import asyncio
import random
from collections import Counter, defaultdict

import pytest

from schemas.dead_letter import TOPIC as ORIGIN_TOPIC
from schemas.headers import header
from tests.support.kafka import Webhook, read_topic
from tests.support.load import post_all
from tests.support.ports import stable_port
from tests.support.processes import Program, Programs
from tests.support.traffic import traffic
from tests.support.verdict import Place, duplicates_counted, judge, processed

SEED = 20260102
CALLS = 19_700
WEBHOOKS = 50_000
KILLS = 3


@pytest.mark.timeout(420)
async def test_nothing_lost_and_nothing_twice_over_50_000_webhooks(place: Place, programs: Programs) -> None:
    webhooks = list(traffic(SEED, CALLS, duplicates=0.1, garbage=0.01))
    assert len(webhooks) >= WEBHOOKS
    port = stable_port()
    ingress = programs.ingress(INGRESS_PORT=str(port))
    programs.processor()
    killed = programs.processor()
    for program in programs.all:
        await program.ready()

    posting = asyncio.create_task(post_all(f"http://127.0.0.1:{port}", webhooks))
    await _kill_again_and_again(place, programs, killed, len(webhooks))
    answers = await posting
    await processed(place, len(answers.accepted), seconds=120)

    assert answers.refused == []
    assert len(answers.accepted) + len(answers.dead_lettered) == len(webhooks)
    model = await judge(place)
    assert duplicates_counted(place) == model.duplicates
    await _assert_every_answer_kept(place, answers.accepted, answers.dead_lettered)
    assert ingress.stop() == 0


async def _kill_again_and_again(place: Place, programs: Programs, victim: Program, webhooks: int) -> None:
    """SIGKILL the processor three times while the webhooks come, at points spread over the run."""
    chance = random.Random(SEED)
    for kill in range(KILLS):
        threshold = int(webhooks * (kill + chance.random()) / (KILLS + 1))
        await processed(place, threshold, seconds=120)
        victim.kill()
        victim = programs.processor()
        await victim.ready()


async def _assert_every_answer_kept(place: Place, accepted: list[Webhook], dead_lettered: list[Webhook]) -> None:
    """Each 202 is an obligation: the body is in raw, in the call's order, or among the ingress's dead letters."""
    raw = await read_topic(place.bootstrap_servers, place.topics.raw)
    stored, sent = defaultdict(list), defaultdict(list)
    for record in raw:
        stored[record.key.decode()].append(record.value)
    for webhook in accepted:
        sent[webhook.key].append(webhook.body)
    assert stored == sent
    dead = await read_topic(place.bootstrap_servers, place.topics.dead_letter)
    kept = Counter(record.value for record in dead if header(record.headers, ORIGIN_TOPIC) is None)
    assert kept == Counter(webhook.body for webhook in dead_lettered)
