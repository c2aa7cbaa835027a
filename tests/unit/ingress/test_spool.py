"""The spool on a real disk: what is durable, what is refused, and what happens to a bad file."""

import asyncio
import os
import sqlite3
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from ingress.ports import OutgoingRecord
from ingress.spool.files import FILE_NAME
from ingress.spool.model import Append, SpoolLimits, decode_headers, encode_headers, size_of
from ingress.spool.spool import Spool
from ingress.spool.store import RESERVE_NAME, Store
from runtime.errors import RefusedError, SpoolFullError, SpoolUnavailableError
from tests.unit.ingress.spools import record, rows_of, spool_in, values_of


@given(st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=40))))
def test_headers_survive_whatever_they_hold(headers: list[tuple[str, bytes]]) -> None:
    assert decode_headers(encode_headers(headers)) == headers


@pytest.mark.parametrize("cut", [1, 3, 8, 12])
def test_headers_that_break_off_are_an_error(cut: int) -> None:
    with pytest.raises(ValueError, match="headers end within"):
        decode_headers(encode_headers([("name", b"value")])[:cut])


async def test_records_survive_reopening_verbatim_and_in_order(tmp_path: Path) -> None:
    records = [
        OutgoingRecord("raw", "clé".encode(), b"\x00\xff not json", [("a", b"1"), ("a", b"2"), ("empty", b"")]),
        OutgoingRecord("dead-letter", None, b"", []),
        OutgoingRecord("raw", b"", b"x" * 1024 * 1024, [("h", b"\xff")]),
        *(record(number) for number in range(500)),
    ]
    async with spool_in(tmp_path) as spool:
        await asyncio.gather(*(spool.append(one) for one in records))
        size = spool.size

    async with spool_in(tmp_path) as spool:
        assert [row.record for row in await rows_of(spool)] == records
        assert (spool.records, spool.size) == (len(records), size) == (503, sum(map(size_of, records)))
        assert spool.busy(b"call")
        assert not spool.busy(b"another call")
        assert 0 <= spool.oldest_age < 60


async def test_what_waits_together_is_one_transaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups: list[int] = []
    apply = Store.apply

    def counting(self: Store, requests: list[Append]) -> object:
        groups.append(len(requests))
        return apply(self, requests)

    monkeypatch.setattr(Store, "apply", counting)
    async with spool_in(tmp_path) as spool:
        await asyncio.gather(*(spool.append(record(number)) for number in range(1000)))

        assert sum(groups) == 1000
        assert len(groups) < 100
        assert await values_of(spool) == list(range(1000))


async def test_record_counts_before_it_is_durable(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as spool:
        appending = spool.append(record(1))

        assert spool.busy(b"call")
        assert spool.records == 1
        await appending


def refused(spool: Spool) -> bool:
    return spool.refusal is not None


def busy(spool: Spool) -> list[bytes]:
    return [key for key in (b"call", b"other", b"big") if spool.busy(key)]


async def test_deleted_rows_are_gone_and_their_lane_is_free(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as spool:
        await asyncio.gather(*(spool.append(record(number)) for number in range(10)))
        rows = await rows_of(spool)
        await spool.delete(rows[:9])
        assert busy(spool) == [b"call"]
        assert await values_of(spool) == [9]

        assert await spool.delete(rows) == {rows[9].id}  # nothing is counted twice

        assert busy(spool) == []
        assert (spool.records, spool.size, spool.oldest_age) == (0, 0, 0)


async def test_reading_is_bounded_but_always_gets_on(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as spool:
        await asyncio.gather(*(spool.append(OutgoingRecord("raw", b"k", b"x" * 1000, [])) for _ in range(10)))

        assert len(await spool.read(after=0, max_rows=3, max_bytes=10**9)) == 3
        assert len(await spool.read(after=0, max_rows=100, max_bytes=2500)) == 3
        assert len(await spool.read(after=0, max_rows=100, max_bytes=1)) == 1
        assert [row.id for row in await spool.read(after=8, max_rows=100, max_bytes=10**9)] == [9, 10]


async def test_how_full_it_is_can_be_told(tmp_path: Path) -> None:
    registry, size = CollectorRegistry(), size_of(record(0))
    async with spool_in(tmp_path, SpoolLimits(max_bytes=4 * size, max_age_seconds=3600), registry) as spool:
        await spool.append(record(0))

        shown = [registry.get_sample_value(f"ringover_spool_{name}") for name in ("bytes", "max_bytes")]

    assert shown == [size, 4 * size]


async def test_full_spool_refuses_and_takes_again_after_draining(tmp_path: Path) -> None:
    size = size_of(record(0))
    async with spool_in(tmp_path, SpoolLimits(max_bytes=3 * size, max_age_seconds=3600)) as spool:
        for number in range(3):
            await spool.append(record(number))
        with pytest.raises(SpoolFullError, match="full"):
            spool.append(record(3))
        assert refused(spool)

        await spool.delete((await rows_of(spool))[:1])
        assert not refused(spool)
        await spool.append(record(4))

        assert await values_of(spool) == [1, 2, 4]


async def test_spool_that_waits_too_long_refuses_and_drops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with spool_in(tmp_path, SpoolLimits(max_bytes=10**9, max_age_seconds=60)) as spool:
        await spool.append(record(1))
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 61)

        with pytest.raises(SpoolFullError, match="has waited for 6"):
            spool.append(record(2))
        assert await values_of(spool) == [1]


async def test_two_processes_never_share_a_spool(tmp_path: Path) -> None:
    async with spool_in(tmp_path):
        with pytest.raises(RefusedError, match=f"{tmp_path} is in use by another process .pid {os.getpid()}"):
            async with spool_in(tmp_path):
                pass
    async with spool_in(tmp_path):
        pass  # free again


async def test_directory_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RefusedError, match="cannot be written"):
        async with spool_in(tmp_path / "file" / "spool"):
            pass


async def test_file_of_another_version_is_refused_and_untouched(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute("PRAGMA user_version = 7")
    connection.close()
    with pytest.raises(RefusedError, match="version 7"):
        async with spool_in(tmp_path):
            pass


def rights_in(directory: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()}


async def test_only_the_owner_can_read(tmp_path: Path) -> None:
    directory = tmp_path / "spool"
    async with spool_in(directory) as spool:
        await spool.append(record(1))

        found = rights_in(directory)
        assert set(found.values()) == {0o600}
        assert found.keys() >= {FILE_NAME, f"{FILE_NAME}-wal"}
    assert directory.stat().st_mode & 0o777 == 0o700


async def fill(directory: Path, records: int = 100) -> None:
    async with spool_in(directory) as spool:
        await asyncio.gather(*(spool.append(OutgoingRecord("raw", b"k", b"x" * 5000, [])) for _ in range(records)))


def set_aside_in(directory: Path) -> Path:
    [aside] = list(directory.glob(f"{FILE_NAME}.set-aside-*Z"))
    return aside


def stored_in(path: Path) -> list[bytes]:
    with sqlite3.connect(path) as connection:
        found = [value for (value,) in connection.execute("SELECT value FROM record ORDER BY id")]
    connection.close()
    return found


def garble(path: Path) -> None:
    path.write_bytes(b"not a database at all" * 1000)


def garble_a_page(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[8192:12288] = b"\xff" * 4096
    path.write_bytes(data)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("damage", [garble, garble_a_page, truncate])
async def test_corrupt_file_is_set_aside_and_a_new_one_begun(tmp_path: Path, damage: object) -> None:
    await fill(tmp_path)
    assert callable(damage)
    damage(tmp_path / FILE_NAME)
    content = (tmp_path / FILE_NAME).read_bytes()
    registry = CollectorRegistry()

    async with spool_in(tmp_path, registry=registry) as spool:
        assert spool.records == 0
        await spool.append(record(1))

        assert set_aside_in(tmp_path).read_bytes() == content
        assert registry.get_sample_value("ringover_spool_set_aside_total") == 1
        assert await values_of(spool) == [1]


async def test_log_without_its_file_is_set_aside_not_deleted(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).touch()
    (tmp_path / f"{FILE_NAME}-wal").write_bytes(b"frames")
    async with spool_in(tmp_path) as spool:
        await spool.append(record(1))

    aside = set_aside_in(tmp_path)
    assert aside.with_name(f"{aside.name}-wal").read_bytes() == b"frames"


async def test_file_that_becomes_read_only_is_set_aside_while_running(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    async with spool_in(tmp_path, registry=registry) as spool:
        await spool.append(record(1))
        [old] = await rows_of(spool)
        store = spool.writer._store
        assert store is not None
        store._connection.execute("PRAGMA query_only = ON")  # SQLITE_READONLY from now on
        await asyncio.gather(*(spool.append(record(number, b"later")) for number in range(2, 5)))

        assert await values_of(spool) == [2, 3, 4]
        assert (spool.records, spool.busy(b"call"), spool.busy(b"later")) == (3, False, True)
        assert registry.get_sample_value("ringover_spool_set_aside_total") == 1
        assert await spool.delete([old]) == set()  # ids go on: a row of the old file is none of the new one's
        assert spool.records == 3
    assert stored_in(set_aside_in(tmp_path)) == [b"1"]


async def test_file_that_turns_out_corrupt_is_set_aside_while_running(tmp_path: Path) -> None:
    await fill(tmp_path, records=2000)  # more than SQLite keeps in memory
    async with spool_in(tmp_path) as spool:
        with (tmp_path / FILE_NAME).open("r+b") as file:
            file.seek(3 * 1024 * 1024)
            file.write(b"\xff" * 4 * 1024 * 1024)

        assert await rows_of(spool) == []
        await spool.append(record(1))

        assert await values_of(spool) == [1]
        assert spool.records == 1
    assert set_aside_in(tmp_path).stat().st_size > 5 * 1024 * 1024


async def test_full_disk_fails_only_what_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page limit gives SQLITE_FULL as a full disk does; the test on a real full disk is an integration test."""
    prepare = Store._prepare

    def limited(self: Store) -> None:
        prepare(self)
        self._connection.execute("PRAGMA max_page_count = 40")

    monkeypatch.setattr(Store, "_prepare", limited)
    async with spool_in(tmp_path) as spool:
        await spool.append(record(1))
        with pytest.raises(SpoolUnavailableError, match="full"):
            await spool.append(OutgoingRecord("raw", b"big", b"x" * 1024 * 1024, []))
        assert refused(spool)
        assert not spool.busy(b"big")
        await spool.append(record(2))

        assert not refused(spool)
        assert await values_of(spool) == [1, 2]
    assert [name for name in rights_in(tmp_path) if "set-aside" in name] == []


def size_in(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir() if path.name != RESERVE_NAME)


async def test_empty_spool_gives_its_space_back(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as spool:
        await asyncio.gather(*(spool.append(OutgoingRecord("raw", b"k", b"x" * 100_000, [])) for _ in range(100)))
        await spool.delete(await rows_of(spool))
        await spool.append(record(1))  # after the shrinking, which nobody waits for

        assert size_in(tmp_path) < 100_000
