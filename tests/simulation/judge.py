"""Judge a world at rest against the reference model."""

from collections import Counter

from processors.model import Written
from schemas.dead_letter import CODE, PREFIX
from schemas.events import EventType
from schemas.headers import header
from schemas.identity import claim_key
from tests.simulation.process import LOG, PARTITION, TOPICS
from tests.simulation.world import World
from tests.support.reference_model import Expected, Raw, expected

Shown = tuple[bytes | None, bytes | None, tuple[tuple[str, bytes | None], ...]]


def judge(world: World) -> None:
    """Assert the whole guarantee of one partition."""
    log = world.kafka.as_raw()
    model = expected(log, TOPICS.raw)
    _judge_output(world, model)
    _judge_commits(world)
    _judge_state(world, model)


def _judge_output(world: World, model: Expected) -> None:
    """Each stretch between rewinds wrote exactly its owners' events and its dead letters, in raw order."""
    wanted: dict[str, list[Shown]] = {}
    topics = {"call": TOPICS.call, "recording": TOPICS.recording}
    events = [(_offset(event.headers), event) for event in model.events]
    for stretch in world.stretches:
        assert stretch.end is not None
        for offset, event in events:
            if stretch.first <= offset < stretch.end:
                wanted.setdefault(topics[event.topic], []).append((event.key, event.value, event.headers))
        for dead in model.dead_letters:
            if stretch.first <= dead.raw.offset < stretch.end:
                wanted.setdefault(TOPICS.dead_letter, []).append(_dead(dead.raw, dead.code))
    found = {topic: [_shown(record) for record in records] for topic, records in world.kafka.written.items()}
    assert found == wanted


def _judge_commits(world: World) -> None:
    """Committed offsets move only forward but for rewinds, to the end of the log."""
    ends = [stretch.first_commit for stretch in world.stretches[1:]] + [len(world.kafka.commits)]
    for stretch, end in zip(world.stretches, ends, strict=True):
        commits = world.kafka.commits[stretch.first_commit : end]
        assert commits == sorted(commits)
        assert not commits or commits[0] >= stretch.first
    assert world.kafka.drained


def _judge_state(world: World, model: Expected) -> None:
    """Claims are the smallest offsets, conflicts are exact, nothing is counted twice, and progress is not behind."""
    wanted = {claim_key(EventType(identity[0]), *identity[1:]): place for identity, place in model.owners.items()}
    rows = {key: row for (_, key), row in world.database.claims.items()}
    assert {key: (row.partition, row.offset) for key, row in rows.items()} == wanted
    assert world.kafka.committed is not None
    assert world.kafka.committed <= world.database.progress[LOG, PARTITION] <= world.kafka.end
    found = {(partition, offset) for _, partition, offset in world.database.conflicts}
    assert found <= set(model.conflicting)
    assert set(model.conflicting) - found <= _torn(world, model)
    most = Counter(_claim_keys(world.kafka.as_raw()))
    assert all(0 <= row.records <= most[key] for key, row in rows.items())


def _torn(world: World, model: Expected) -> set[tuple[int, int]]:
    """Conflicts that PostgreSQL may lack once it lost commits: nobody judges committed records again.

    Those that the restored copy had claimed and not yet noted; and those that a process claimed anew after it, on the
    normal path, where claiming and noting are two statements.
    """
    torn = {place for place in model.conflicting if place[1] in world.database.claimed_alone}
    for snapshot in world.restored:
        progress = snapshot.progress.get((LOG, PARTITION), 0)
        noted = {(partition, offset) for _, partition, offset in snapshot.conflicts}
        torn |= {place for place in model.conflicting if place[1] < progress} - noted
    return torn


def _claim_keys(log: list[Raw]) -> list[str]:
    """The key of every valid record, each judged alone."""
    alone = (expected([raw], TOPICS.raw) for raw in log)
    return [claim_key(EventType(i[0]), *i[1:]) for model in alone for i in model.owners]


def _offset(headers: tuple[tuple[str, bytes | None], ...]) -> int:
    return int((header(headers, "ce_sourceoffset") or b"").rpartition(b"/")[2])


def _dead(raw: Raw, code: str) -> Shown:
    return raw.key, raw.value, (*raw.headers, (CODE, code.encode()))


def _shown(record: Written) -> Shown:
    """Of a dead letter's reason only the code, which is what the model knows."""
    headers = tuple(pair for pair in record.headers if not pair[0].startswith(PREFIX) or pair[0] == CODE)
    return record.key, record.value or b"", headers
