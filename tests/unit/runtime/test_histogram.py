"""The histogram for many equal values is read like the library's own."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from runtime.histogram import BulkHistogram

BUCKETS = (0.125, 0.5, 1, 60)  # exact in binary, as all values here: sums are exact, too
OBSERVED = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.sampled_from([*BUCKETS, -1.0, 0.25, 59.75, 1e6]),
        st.integers(1, 3),
    )
)


def exposed(registry: CollectorRegistry) -> list[str]:
    lines = generate_latest(registry).decode().splitlines()
    return sorted(line for line in lines if "_created" not in line)


@given(OBSERVED)
def test_exposed_like_the_librarys_histogram(observed: list[tuple[str, float, int]]) -> None:
    theirs, ours = CollectorRegistry(), CollectorRegistry()
    one_by_one = Histogram("h", "What", ["label"], buckets=BUCKETS, registry=theirs)
    at_once = BulkHistogram("h", "What", "label", buckets=BUCKETS, registry=ours)

    for label, value, count in observed:
        at_once.observe(label, value, count)
        for _ in range(count):
            one_by_one.labels(label).observe(value)

    assert exposed(ours) == exposed(theirs)
