"""What several workers are to an operator: one exposition, and no spool that is forgotten."""

import tempfile
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import generate_latest

from ingress import workers
from ingress.spool.leftover import directory_of, refuse_leftovers
from ingress.workers_metrics import merged
from runtime.errors import RefusedError
from runtime.metrics import IngressMetrics
from tests.unit.ingress.spools import ROOMY, record, spool_in


def exposition(requests: int) -> str:
    registry = CollectorRegistry()
    metrics = IngressMetrics(registry)
    metrics.requests.labels("call-started", 202).inc(requests)
    metrics.publish.observe(0.002)
    Gauge("labelled", "With a label", ["a"], registry=registry).labels('"\\').set(requests)
    return generate_latest(registry).decode()


def test_samples_of_all_workers_are_there_with_their_number() -> None:
    registry = merged({"0": exposition(3), "1": exposition(4)})

    for worker, requests in (("0", 3), ("1", 4)):
        labels = {"endpoint": "call-started", "code": "202", "worker": worker}
        assert registry.get_sample_value("ringover_http_requests_total", labels) == requests
        assert registry.get_sample_value("labelled", {"a": '"\\', "worker": worker}) == requests
        bucket = {"le": "0.0025", "worker": worker}
        assert registry.get_sample_value("ringover_publish_duration_seconds_bucket", bucket) == 1


def test_each_line_of_a_worker_is_exposed_with_its_number_and_its_type() -> None:
    alone = exposition(3)
    together = generate_latest(merged({"7": alone})).decode()

    assert {line.replace(',worker="7"', "").replace('{worker="7"}', "") for line in together.splitlines()} == set(
        alone.splitlines()
    )


def test_worker_that_says_nothing_is_left_out() -> None:
    assert generate_latest(merged({})) == b""


async def leave(directory: Path) -> None:
    async with spool_in(directory, ROOMY) as spool:
        await spool.append(record(1))


@pytest.mark.parametrize(
    ("before", "after"),
    [((0, 1), 2), ((1, 2), 1), ((2, 3), 2), ((0, 3), 1)],
    ids=["1 to 2", "2 to 1", "3 to 2", "3 to 1"],
)
async def test_spool_that_no_worker_would_drain_is_refused(tmp_path: Path, before: tuple[int, int], after: int) -> None:
    left = directory_of(tmp_path, *before)
    await leave(left)

    refuse_leftovers(tmp_path, before[1])
    with pytest.raises(RefusedError, match=f"ringover-ops spool drain --dir {left} --execute"):
        refuse_leftovers(tmp_path, after)


async def test_drained_spool_is_no_reason(tmp_path: Path) -> None:
    async with spool_in(tmp_path / "worker-5", ROOMY):
        pass

    refuse_leftovers(tmp_path, 2)
    refuse_leftovers(tmp_path / "absent", 2)


def test_spool_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    left = tmp_path / "worker-5"
    left.mkdir()
    (left / "spool.sqlite3").write_bytes(b"not a database")

    with pytest.raises(RefusedError, match="worker-5"):
        refuse_leftovers(tmp_path, 2)


def test_a_disk_on_which_nothing_can_be_written_is_one_clear_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))

    with pytest.raises(RefusedError, match=r"--workers needs a writable directory .*TMPDIR"):
        workers._directory()
