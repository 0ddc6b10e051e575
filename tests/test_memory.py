"""What compiling took is given back; programs only where too much stays."""

import subprocess
import sys

import pytest

from lab import memory

COMPILES = """
import jax, jax.numpy as jnp
from lab import memory
from lab.studies.contract.clock import clocked
f = jax.jit(lambda x: jnp.linalg.eigh(x)[1] @ x)
counts = []
for most in (None, 2**40, 0):
    if most is not None:
        memory.release(most)
    with clocked() as clock:
        f(jnp.ones((5, 5)))
    counts.append(clock.programs)
print(*counts)
"""


@pytest.mark.skipif(not memory.resident(), reason="this system does not tell how much memory a process has")
def test_programs_are_let_go_of_only_above_the_bound():
    done = subprocess.run([sys.executable, "-c", COMPILES], capture_output=True, text=True, timeout=120, check=True)
    first, kept, again = map(int, done.stdout.split())
    assert first > 0
    assert kept == 0
    assert again > 0


def test_a_server_keeps_to_a_quarter_of_the_machine(monkeypatch):
    whole = memory.machine()
    assert memory.budget() == (whole // 4 or 4 * 2**30)
    monkeypatch.setattr(memory, "machine", lambda: 0)
    assert memory.budget() == 4 * 2**30


def test_a_process_with_many_pieces_of_memory_gives_up_what_can_be_made_again(monkeypatch):
    known = memory.Recent()
    known.put("a", 1)
    memory.make_room(10**9)
    assert "a" in known
    counts = iter([10**6, 10])
    monkeypatch.setattr(memory, "maps", lambda: next(counts))
    memory.make_room()
    assert "a" not in known
