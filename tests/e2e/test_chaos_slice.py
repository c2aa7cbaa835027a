"""Two minutes of the chaos suite: its strongest faults, each once, under load; `make chaos` is the long version."""

import gc
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from ops.kit.output import say
from tests.chaos.journal import Answer
from tests.chaos.run import Run, dump
from tests.chaos.schedule import each_once
from tests.chaos.world import World, WorldConfig

SEED = 20260102
RATE = 100.0  # webhooks a second: what two cores manage beside all else
FAULTS = (
    "broker-away",  # no acknowledgement for a while, sequence numbers and leaders anew
    "processor-frozen",  # a zombie comes back after others have taken its partitions over
    "programs-killed",  # in the middle of everything
    "processors-kafka-mute",  # transactions end, and nobody hears of it
    "postgres-stopped-immediately",
    "ingress-killed",
)
QUIET_SECONDS, FAULT_SECONDS, LOAD_SECONDS = 3.0, 8.0, 75.0
FEWEST = 500  # webhooks acknowledged, on however slow a machine; with fewer the verdict would mean little


@pytest.mark.timeout(300)
# A client of the checker that is cut off while it connects leaves its connection to the garbage collector.
@pytest.mark.filterwarnings("ignore:Unclosed AIOKafkaConnection:ResourceWarning")
async def test_every_invariant_holds_after_the_strongest_faults(capsys: pytest.CaptureFixture[str]) -> None:
    def progress(line: str) -> None:
        with capsys.disabled():
            if sys.stderr.isatty():
                say(line)

    directory = Path(tempfile.mkdtemp(prefix="ringover-chaos-"))  # PostgreSQL's user must get through, unlike tmp_path
    async with World(WorldConfig(directory)) as world:
        steps = each_once(FAULTS, SEED, quiet=QUIET_SECONDS, seconds=FAULT_SECONDS)
        outcome = await Run(world, SEED, RATE, progress).run(steps, seconds=LOAD_SECONDS)
    dump(outcome, directory / "dump")

    violations = [f"{violation.invariant.name}: {violation.text[:500]}" for violation in outcome.verdict.violations]
    assert (violations[:5], outcome.broken) == ([], []), f"seed {SEED}; logs and dumps: {directory}"
    assert [window.fault for window in outcome.windows] == list(FAULTS)
    assert outcome.journal.acked > FEWEST
    assert {Answer.ACCEPTED, Answer.DEAD_LETTERED} <= {one.answer for one in outcome.journal.deliveries}
    assert outcome.verdict.model.duplicates > 0
    shutil.rmtree(directory)
    gc.collect()  # here, where the warning about such a connection is ignored
