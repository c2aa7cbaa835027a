"""docs/scaling.md: its second table follows from its first one."""

import math
import re

import pytest

from tests.unit.deploy.tools import ROOT

PAGE = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
RATES = (1_000, 10_000, 100_000)
DAY = 86_400
UNITS = {"MB/s": 1e6, "GB": 1e9, "TB": 1e12, "": 1.0}


def cells(row: str) -> list[str]:
    """The columns of a row after its name."""
    (line,) = re.findall(rf"^\| {re.escape(row)} \| (.+) \|$", PAGE, re.MULTILINE)
    return [cell.strip() for cell in line.split("|")]


def cpu(row: str) -> float:
    """Seconds for one webhook."""
    return float(cells(row)[0].removesuffix(" µs")) / 1e6


def kept(row: str) -> int:
    """Bytes of one webhook."""
    return int(cells(row)[1].split()[0].rstrip(","))


def numbers(cell: str) -> list[tuple[float, float]]:
    """`22 GB / 0.7 TB` and the like: each number, and half of its last digit."""
    found = []
    for part in cell.split("/ "):
        parsed = re.fullmatch(r"(\d+)(?:\.(\d+))? ?(\D*)", part.strip())
        assert parsed is not None, cell
        unit, decimals = UNITS[parsed[3].strip()], parsed[2] or ""
        found.append((float(f"{parsed[1]}.{decimals or 0}") * unit, 0.5 * unit / 10 ** len(decimals)))
    return found


RAW, EVENT, CLAIM = "broker, the raw record", "broker, the event", "PostgreSQL, the claim"
BROKER = cpu(RAW) + cpu(EVENT)
KEPT = kept(RAW) + kept(EVENT)


@pytest.mark.parametrize(("column", "rate"), list(enumerate(RATES)))
def test_the_table_follows_from_the_costs(column: int, rate: int) -> None:
    def about(row: str, *wanted: float) -> None:
        found = numbers(cells(row)[column])
        assert len(found) == len(wanted), row
        for (value, rounding), right in zip(found, wanted, strict=True):
            assert math.isclose(value, right, rel_tol=0.03) or abs(value - right) <= rounding, (row, value, right)

    assert cells("webhooks a second")[column] == f"{rate:,}"
    cores = (cpu("ingress") * rate, cpu("processor") * rate, BROKER * rate, cpu(CLAIM) * rate)
    about("cores busy: ingress / processors / broker / PostgreSQL", *cores)
    about("ingresses", max(2, math.ceil(cores[0] / 0.6)))
    about("processors", max(2, math.ceil(cores[1] / 0.5)))
    about("raw and events written, for each replica", KEPT * rate)
    about("Kafka's disks, 30 days, three replicas", KEPT * rate * 30 * DAY * 3)
    about("claims a day / of 30 days", kept(CLAIM) * rate * DAY, kept(CLAIM) * rate * 30 * DAY)
