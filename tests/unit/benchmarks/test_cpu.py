"""CPU and memory as /proc tells them."""

import os
import subprocess
import sys
import time

from benchmarks.cpu import TICKS, cpu_of_stat, tree, tree_cpu, tree_resident

BUSY = "import time\nwhile time.process_time() < {seconds}: pass\n"


def test_cpu_is_that_of_a_process_and_of_its_children_that_ended() -> None:
    fields = "S 1 1 1 0 -1 4194560 100 0 0 0 11 22 33 44 20 0 1 0 5 1000 20"

    assert cpu_of_stat(f"77 (python3) {fields}") == 110


def test_command_with_parentheses_and_blanks_is_no_matter() -> None:
    fields = "S 1 1 1 0 -1 4194560 100 0 0 0 1 2 3 4 20 0 1 0 5 1000 20"

    assert cpu_of_stat(f"77 (a) b (c) 9 9 9) {fields}") == 10


def test_cpu_of_a_child_counts_while_it_lives_and_once_it_has_ended() -> None:
    inner = BUSY.format(seconds=0.2)
    code = (
        f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {inner!r}])\nprint('done', flush=True)\ninput()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        used = tree_cpu(process.pid)
        process.communicate(b"\n")

    assert used >= 0.2 - 1 / TICKS


def test_tree_has_living_descendants() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert process.pid in tree(os.getpid())
        process.communicate(b"\n")

    assert process.pid not in tree(os.getpid())


def test_process_that_has_ended_uses_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()

    assert tree_cpu(process.pid) == 0
    assert tree_resident(process.pid) == 0


def test_own_cpu_and_memory_are_seen() -> None:
    began, before = time.process_time(), tree_cpu(os.getpid())
    while time.process_time() < began + 0.1:
        pass

    assert tree_cpu(os.getpid()) - before >= 0.1 - 2 / TICKS
    assert tree_resident(os.getpid()) > 10 * 1024 * 1024
