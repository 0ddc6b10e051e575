"""Tests wait for a state, never for a time: their sources sleep nowhere, and measure no time."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
CLOCKS = {"monotonic", "perf_counter", "perf_counter_ns", "process_time", "monotonic_ns", "Timer"}

# These poll for a state, measure where the time of the tests went, or imitate a real cluster.
POLLS = {"waiting.py", "spent.py", "sweeps/slurm.py"}


def waits(text: str) -> int:
    """Count the fixed waits and the readings of a clock in a source, those in the scripts that it has as text included."""
    if not re.search(rf"sleep|wait_for_timeout|performance\.now|setTimeout|time\(|{'|'.join(CLOCKS)}", text):
        return 0
    tree = ast.parse(text)
    polls = {id(node) for each in ast.walk(tree) if isinstance(each, ast.Lambda) for node in ast.walk(each)}
    found = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            of_time = isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") == "time"
            found += name == "sleep" or name in CLOCKS or (name == "time" and of_time)
            found += name == "wait_for_timeout" and id(node) not in polls
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found += sum(node.value.count(f"{name}(") for name in ("sleep", "performance.now", "setTimeout"))
    return found


def test_no_test_depends_on_a_clock():
    found = Counter({str(path.relative_to(TESTS)): waits(path.read_text()) for path in TESTS.rglob("*.py")})
    for file in (*POLLS, Path(__file__).name):
        del found[file]
    assert not +found, f"{+found} fixed waits or readings of a clock: use tests/waiting.py, an event, or a fake clock"


@pytest.mark.parametrize(
    ("source", "number"),
    [
        ("import time\ntime.sleep(1)", 1),
        ("page.wait_for_timeout(500)", 1),
        ("wait(lambda: page.wait_for_timeout(20) or done())", 0),
        ("wait(done, lambda: page.wait_for_timeout(20))", 0),
        ("assert time.monotonic() - began < 1.5", 1),
        ("SCRIPT = 'import time; time.sleep(2)'", 1),
        ("await asyncio.sleep(0.1)", 1),
        ("threading.Timer(4, stop)", 1),
    ],
)
def test_fixed_waits_are_found(source, number):
    assert waits(source) == number
