"""Claims against the log, chunk by chunk, also against a whole-log oracle."""

import random

import orjson
import pytest

from ops.kit.output import json_bytes
from ops.state.compare import Chunk, Fault, Finding, ValidRecord, compare
from ops.state.show import verify_tables
from ops.state.verify import FindingCounter, VerifyResult
from processors.model import Owner


def owner(offset: int, *, partition: int = 0, content: int = 1) -> Owner:
    return Owner(partition, offset, content)


def findings(
    records: list[tuple[int, str]], claimed: dict[str, Owner], owners: dict[str, Owner]
) -> list[tuple[Fault, str]]:
    chunk = Chunk(0, [ValidRecord(offset, key, 1) for offset, key in records], claimed)
    return [(found.fault, found.claim_key) for found in compare(chunk, owners)]


@pytest.mark.parametrize(
    ("records", "claimed", "owners", "wanted"),
    [
        ([(5, "a"), (6, "b"), (7, "a")], {"a": owner(5), "b": owner(6)}, {}, []),
        ([(5, "a")], {}, {"a": owner(2)}, []),  # a duplicate of a chunk before, or of a record retention removed
        ([(5, "a")], {}, {}, [(Fault.MISSING, "a")]),
        ([(5, "a")], {}, {"a": owner(9)}, [(Fault.WRONG_OWNER, "a")]),
        ([(5, "a"), (7, "a")], {"a": owner(7)}, {"a": owner(7)}, [(Fault.WRONG_OWNER, "a")]),
        ([(5, "a")], {}, {"a": owner(5, partition=1)}, [(Fault.WRONG_OWNER, "a")]),
        ([(5, "a")], {"a": owner(6)}, {"a": owner(6)}, [(Fault.WRONG_OWNER, "a")]),
        ([(5, "a")], {"a": owner(4)}, {"a": owner(4)}, [(Fault.INVENTED, "a")]),
        ([(5, "a")], {"a": owner(5), "x": owner(5)}, {}, [(Fault.INVENTED, "x")]),
        ([], {"x": owner(5)}, {}, [(Fault.INVENTED, "x")]),
        ([(5, "a")], {"a": owner(5, content=2)}, {}, [(Fault.WRONG_CONTENT, "a")]),
    ],
)
def test_faults(
    records: list[tuple[int, str]],
    claimed: dict[str, Owner],
    owners: dict[str, Owner],
    wanted: list[tuple[Fault, str]],
) -> None:
    assert findings(records, claimed, owners) == wanted


@pytest.mark.parametrize("seed", range(40))
def test_any_damage_is_found_whatever_the_chunks(seed: int) -> None:
    chance = random.Random(seed)
    log = [(offset, chance.choice("abcdefghij")) for offset in range(0, 60, chance.randint(1, 2))]
    right: dict[str, Owner] = {}
    for offset, key in log:
        right.setdefault(key, owner(offset))
    table = dict(right)
    for key in chance.sample(sorted(right), k=min(len(right), chance.randint(0, 4))):
        if chance.random() < 0.3:
            del table[key]
        else:
            table[key] = owner(chance.randrange(60))
    if chance.random() < 0.3:
        table["z"] = owner(chance.randrange(60))
    damaged = {key for key in right.keys() | table.keys() if right.get(key) != table.get(key)}

    found: set[str] = set()
    begin = 0
    while begin < 60:
        end = begin + chance.randint(1, 30)
        records = [ValidRecord(offset, key, 1) for offset, key in log if begin <= offset < end]
        claimed = {key: claim for key, claim in table.items() if begin <= claim.offset < end}
        found |= {finding.claim_key for finding in compare(Chunk(0, records, claimed), table)}
        begin = end

    assert found == damaged


def test_a_key_counts_once_and_the_list_is_bounded() -> None:
    result = VerifyResult("log")
    counter = FindingCounter(result, most=1)
    for key in ("a", "a", "b"):
        counter.note(Finding(Fault.MISSING, key, 0, 5, None))

    assert result.counts[Fault.MISSING] == 2
    assert [finding.claim_key for finding in result.findings] == ["a"]
    assert not result.clean


def test_json_of_verify_has_these_fields() -> None:
    result = VerifyResult("log", records=5, claims=4, claims_of_removed_owners=2)
    FindingCounter(result, most=1).note(Finding(Fault.WRONG_OWNER, "a", 0, 5, "1/6"))

    assert orjson.loads(json_bytes(result)) == {
        "log": "log",
        "clean": False,
        "records": 5,
        "claims": 4,
        "claims_of_removed_owners": 2,
        "counts": {"missing": 0, "wrong_owner": 1, "invented": 0, "wrong_content": 0},
        "findings": [
            {"fault": "wrong_owner", "claim_key": "a", "partition": 0, "first_valid_offset": 5, "owner": "1/6"}
        ],
    }
    assert "1 wrong owner" in str(list(verify_tables(result))[-1])
