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


@pytest.mark.slow
@pytest.mark.skipif(not memory.resident(), reason="this system does not tell how much memory a process has")
def test_programs_are_let_go_of_only_above_the_bound():
    done = subprocess.run([sys.executable, "-c", COMPILES], capture_output=True, text=True, timeout=120, check=True)
    first, kept, again = map(int, done.stdout.split())
    assert first > 0
    assert kept == 0
    assert again > 0


def test_a_server_keeps_to_what_does_for_all_pages_and_to_a_quarter_of_the_machine(monkeypatch):
    whole = memory.machine()
    assert memory.budget() == (whole // 4 or 4 * 2**30)
    monkeypatch.setattr(memory, "machine", lambda: 0)
    assert memory.budget() == 4 * 2**30
    assert memory.served() == 1_500_000_000
    monkeypatch.setattr(memory, "machine", lambda: 4 * 2**30)
    assert memory.served() == 2**30


@pytest.mark.slow
def test_a_process_with_many_pieces_of_memory_gives_up_programs_alone(monkeypatch):
    known, programs = memory.Recent(), memory.Recent(compiled=True)
    known.put("a", 1)
    programs.put("b", 2)
    memory.make_room(10**9)
    assert "b" in programs
    monkeypatch.setattr(memory, "maps", lambda: 10**6)
    memory.make_room()
    assert "b" not in programs
    assert "a" in known


def test_the_least_recently_used_goes_first(monkeypatch):
    one, other = memory.Recent(), memory.Recent(most=2)
    for place, (where, name) in enumerate(((one, "a"), (other, "b"), (one, "c"), (other, "d"))):
        monkeypatch.setattr(memory.time, "monotonic", lambda place=place: float(place))
        where.put(name, name)
    monkeypatch.setattr(memory.time, "monotonic", lambda: 9.0)
    assert one.get("a") == "a"  # used now
    memory._forgotten(2)
    assert ("a" in one, "c" in one, "b" in other, "d" in other) == (True, False, False, True)
    other.put("e", 1)
    other.put("f", 1)
    assert len(other) == 2


def test_of_compiled_programs_those_in_use_stay(monkeypatch):
    """What was compiled for a shape that nobody asks for any more goes, and the rest is not compiled again."""
    import jax.numpy as jnp

    from lab.numerics import jit as here
    from lab.studies.contract.clock import clocked

    monkeypatch.setattr(here, "_programs", memory.Recent(compiled=True, drop=here._programs._drop))
    monkeypatch.setattr(memory, "_all", {here._programs})
    squares = here.jit(lambda x: jnp.linalg.eigh(x @ x.T)[0])
    shapes = [jnp.ones((n, 3)) for n in (41, 42, 43, 44)]
    for x in [*shapes, shapes[0]]:  # the first is used again
        squares(x)
    told = iter([50_000, 50_000, 20_000, 20_000])
    monkeypatch.setattr(memory, "maps", lambda: next(told))
    memory.make_room()  # a quarter of four
    assert len(here._programs) == 3
    counts = []
    for x in (shapes[0], shapes[2], shapes[1]):
        with clocked() as clock:
            squares(x)
        counts.append(clock.programs)
    assert counts[:2] == [0, 0]
    assert counts[2] > 0


def test_a_quarter_of_the_programs_is_shed_and_none_that_is_in_use(monkeypatch):
    programs, others = memory.Recent(compiled=True), memory.Recent()
    monkeypatch.setattr(memory, "_all", {programs, others})
    for place in range(8):
        monkeypatch.setattr(memory.time, "monotonic", lambda place=place: float(place))
        programs.put(place, place)
        others.put(place, place)
    assert memory.shed(6.5)  # at second 7 only the first was not used for so long
    assert programs.values() == [*range(1, 8)]
    assert not memory.shed(6.5)
    assert memory.shed()
    assert programs.values() == [*range(3, 8)]
    assert len(others) == 8
