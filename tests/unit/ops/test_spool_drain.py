"""Which topics `spool drain` looks at."""

from ops.spool.run import with_partners
from schemas.topics import TopicNames


def test_drain_spreads_keys_as_the_ingress_does_also_when_the_spool_has_no_dead_letter() -> None:
    names = TopicNames("t.")

    assert with_partners([names.raw]) == sorted([names.raw, names.dead_letter])
    assert with_partners([names.dead_letter]) == sorted([names.raw, names.dead_letter])
    assert with_partners(["another"]) == ["another"]
