"""Programs are known by what they are called with, kept between processes, and given up when memory is needed."""

import subprocess
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import code, home, memory, ot
from lab.numerics import Reason, programs
from lab.numerics.jit import jit
from lab.studies.contract.clock import clocked

SOLVES = """
import sys
from lab.home import start
start()
import jax, numpy as np
from lab import ot
from lab.numerics import programs
from lab.studies.contract.clock import clocked
loaded = []
jax.monitoring.register_event_time_span_listener(lambda event, *span, **told: loaded.append(event == programs.LOADED))
x, y = np.random.default_rng(0).normal(size=(2, 12, 2))
with clocked() as clock:
    found = [ot.solve(ot.from_points(x, y), of).value for of in (ot.KSparse(0.5, 2), ot.Entropic(0.3))]
print(*(float(value).hex() for value in found), clock.programs, sum(loaded))
"""


def solved(home):
    """The values, how many programs were compiled, and how many read."""
    told = subprocess.run(
        [sys.executable, "-c", SOLVES],
        env={"LAB_HOME": str(home), "PATH": "", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    return told[:2], int(told[2]), int(told[3])


def test_a_later_process_reads_what_one_compiled_and_computes_the_same_bits(tmp_path):
    values, compiled, read = solved(tmp_path)
    assert read == 0
    kept = [*(tmp_path / "cache" / "programs").iterdir()]
    again, fewer, read = solved(tmp_path)  # Newton's factorizations among them, for which nothing was lowered here
    assert again == values
    assert read == len(kept) >= 8
    assert fewer < compiled
    for number, path in enumerate(kept):  # one that is not as it was written is made again, one that is gone too
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content) if number % 2 else path.unlink()
    again, _, read = solved(tmp_path)
    assert (again, read) == (values, 0)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(home, "keeps_programs", True)
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    memory.release(0)  # else they are in memory
    return programs._place(home.cache() / "programs")


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_another_state_of_the_code_another_kind_of_array_and_another_word_are_other_programs(folder, monkeypatch):
    cost = np.arange(35.0).reshape(5, 7)
    unit = ot.bounds.cost_unit

    def paths(*given):
        """Where the program of a call is looked for."""
        asked = []
        monkeypatch.setattr(programs, "_read", asked.append)
        memory.release(0)
        unit(*given)
        return {path.name for path in asked}

    one = paths(cost, "mean")
    assert len(one) == 1
    assert one == paths(cost + 1, "mean") == set(files(folder))
    others = [paths(cost.astype(np.float32), "mean"), paths(cost, "largest"), paths(cost[1:], "mean")]
    with jax.numpy_rank_promotion("allow"):
        others.append(paths(cost, "mean"))
    monkeypatch.setattr(code, "ours", lambda without: "another state")
    others.append(paths(cost, "mean"))
    assert len(set.union(one, *others)) == 6


def test_what_a_later_process_cannot_name_is_not_kept(folder):
    factor = jnp.asarray(2.0)
    doubled = jit(lambda x: factor * x)
    applied = jit(lambda function, x: function(x))
    assert doubled(jnp.ones(3)).tolist() == [2, 2, 2]
    assert applied(lambda x: x + 1, jnp.ones(3)).tolist() == [2, 2, 2]
    assert files(folder) == []


def test_equal_texts_are_of_equal_things():
    def scaled(by):
        return lambda x: by * x

    module = scaled.__module__ = "lab.here"  # as if it were ours
    made = []
    for by in (
        1,
        1.0,
        True,
        "1",
        b"1",
        None,
        (1,),
        [1],
        {"a": 1},
        Reason(1),
        np.dtype("f4"),
        np.dtype("f8"),
        int,
        float,
    ):
        function = scaled(by)
        function.__module__ = module
        made += [programs._told(by), programs._told(function), programs._told((by, "more"))]
        same = scaled(by)
        same.__module__ = module
        assert programs._told(function) == programs._told(same)
    assert len({*made}) == len(made)
    tree = jax.tree.structure(ot.Problem(1, 2, 3))
    assert programs._told(tree) != programs._told(jax.tree.structure((1, 2, 3)))
    with pytest.raises(programs._Unnamed):
        programs._told(np.ones(2))


def test_two_threads_make_one_program():
    traced, gate = [], threading.Barrier(4)

    @jit
    def slow(x):
        traced.append(threading.get_ident())
        return jnp.linalg.eigh(x @ x.T)[0].sum()

    def ask():
        gate.wait()
        slow(jnp.eye(11))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(traced) == 1


def test_memory_gives_up_programs_and_they_are_made_again():
    double = jit(lambda x: 2 * x + 1)
    x = jnp.ones(13)
    double(x)
    with clocked() as clock:
        double(x)
    assert clock.programs == 0
    memory.release(0)
    with clocked() as clock:
        assert double(x).tolist() == [3.0] * 13
    assert clock.programs == 1


def test_within_a_trace_it_is_part_of_it():
    double, constant = jit(lambda x: 2 * x), jnp.ones(2)
    whole = jax.make_jaxpr(lambda x: x + double(constant))(constant)
    assert "mul" in str(whole)
    assert jax.grad(lambda x: double(x).sum())(constant).tolist() == [2, 2]
    assert jax.vmap(double)(jnp.eye(2)).tolist() == [[2, 0], [0, 2]]
    with jax.disable_jit():
        assert double(constant).tolist() == [2, 2]


def test_a_result_may_have_leaves_that_are_no_arrays():
    def square(x):
        return x * x

    found = jit(lambda x, n: {"x": x + n, "n": n, "function": square, "none": None})(jnp.ones(2), 3)
    assert found["x"].tolist() == [4, 4]
    assert found["n"] == 3
    assert found["function"] is square
    assert found["none"] is None
