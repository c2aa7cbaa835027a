"""Plans what a run does: which parts, how many rounds, how much of everything. Pure."""

from dataclasses import asdict, dataclass

PARTS = ("ingress", "processor", "latency", "memory", "rewind", "rebuild", "growth")
PEERS = ("all", "light", "none")


@dataclass(frozen=True, slots=True)
class Plan:
    """Holds the sizes of a run, those of scale 1; the properties give them at the scale of this run.

    `peers`: `light` leaves out those that need Java or an environment of their own, `none` leaves out all.
    `most_claims` bounds the largest table of `growth`. `minutes` bounds the whole run: what has not begun by then is
    left out, and said to be.
    """

    parts: tuple[str, ...] = PARTS
    scale: float = 1.0
    rounds: int = 3
    seconds: float = 8.0
    warmup_seconds: float = 3.0
    peers: str = "all"
    most_claims: int = 50_000_000
    minutes: float = 60.0

    @property
    def records(self) -> int:
        """In a processor's backlog."""
        return self._scaled(1_000_000)

    @property
    def slow_records(self) -> int:
        """In the backlog of a peer that takes very long."""
        return self._scaled(200_000)

    @property
    def memory_records(self) -> int:
        """In the backlog over which memory is watched."""
        return self._scaled(5_000_000)

    @property
    def growth_records(self) -> int:
        """In each backlog of `growth`."""
        return self._scaled(500_000)

    @property
    def claims(self) -> int:
        """In the table before a processor begins."""
        return self._scaled(5_000_000)

    @property
    def growth_claims(self) -> tuple[int, ...]:
        """Sizes of the table that `growth` looks at."""
        return tuple(self._scaled(size) for size in (1_000_000, 10_000_000, 50_000_000) if size <= self.most_claims)

    @property
    def connections(self) -> int:
        """Open connections under which the memory of the ingress is read."""
        return self._scaled(10_000)

    @property
    def latency_seconds(self) -> float:
        """How long webhooks are sent at a steady rate."""
        return max(2.0, 60.0 * min(1.0, self.scale))

    def settings(self) -> dict[str, object]:
        """Give everything that a reader of the results must know."""
        return asdict(self) | {
            "records": self.records,
            "slow_records": self.slow_records,
            "memory_records": self.memory_records,
            "growth_records": self.growth_records,
            "claims": self.claims,
            "connections": self.connections,
        }

    @property
    def brief(self) -> bool:
        """Whether the run only shows that everything works."""
        return self.scale < 0.01

    def _scaled(self, size: int) -> int:
        return max(1000, int(size * self.scale))


def chosen_parts(words: str) -> tuple[str, ...]:
    """Parts named in `words`, separated by commas or blanks, in their own order; all of them for none.

    Raises:
        ValueError: there is no such part.
    """
    wanted = words.replace(",", " ").split()
    unknown = [word for word in wanted if word not in PARTS]
    if unknown:
        raise ValueError(f"no part {unknown[0]}: choose of {', '.join(PARTS)}")
    return tuple(part for part in PARTS if part in wanted or not wanted)
