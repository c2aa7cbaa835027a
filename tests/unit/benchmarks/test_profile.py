"""What a flame graph says, in words."""

from benchmarks.profile import widest

GRAPH = """<svg><title>all (200 samples, 100%)</title><title>run (a/b.py:7) (180 samples, 90.00%)</title>
<title>store (a/c.py:1) (1,060 samples, 30.50%)</title><title>store (a/c.py:9) (40 samples, 20.00%)</title>
<title>&lt;lambda&gt; (a/d.py:3) (20 samples, 10.00%)</title></svg>"""


def test_frames_of_a_function_are_added_up_and_the_widest_come_first() -> None:
    assert widest(GRAPH, 3) == [(90.0, "run (a/b.py"), (50.5, "store (a/c.py"), (10.0, "<lambda> (a/d.py")]
