"""A program that is kept ready gives what a compiled one gives, and is kept only where the text of the lab says all of it."""

import os
import pickle
import shutil
import subprocess
import sys
import zlib
from dataclasses import dataclass
from functools import partial, wraps
from math import inf
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from lab import home
from lab.disk import cache
from lab.memory import Recent
from lab.numerics import jit as jitted
from lab.numerics import ready
from lab.numerics.jit import jit
from lab.numerics.values import Values
from lab.studies.contract.clock import clocked

X = jnp.asarray(np.random.default_rng(0).normal(size=(5, 5)))


class Scaled(eqx.Module):
    factor: float
    name: str = eqx.field(static=True)
    tree: jax.tree_util.PyTreeDef = eqx.field(static=True)

    def __call__(self, x):
        return self.factor * x


class Answer(NamedTuple):
    values: jax.Array
    module: Scaled
    word: str
    nothing: None


@jit
def answer(module, x, power=2):
    return Answer(module(x) ** power, module, "said", None)


@jit
def spectrum(x):
    return jnp.linalg.eigvalsh(x + x.T), jax.random.key(3)


def twice(x):
    return 2 * x


@jit
def applied(function, x):
    return function(x)


@jit
def called_back(x):
    return jax.pure_callback(lambda a: a, jax.ShapeDtypeStruct(x.shape, x.dtype), x)


@jit
def valued(values, x):
    return values.gamma * x + values.n


MODULE = Scaled(1.5, "a", jax.tree.structure({"b": Answer(0, 1, 2, 3)}))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Programs are kept here, of this file as well as of the lab."""
    monkeypatch.setattr(ready, "_KNOWN", (*ready._KNOWN, __name__))
    monkeypatch.setattr(home, "_ready", [tmp_path])
    monkeypatch.setattr(jitted, "_programs", Recent(compiled=True))
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)  # what is read from JAX's cache can't be kept
    compilation_cache.reset_cache()
    yield tmp_path
    jax.config.update("jax_compilation_cache_dir", before)
    compilation_cache.reset_cache()


def again(call):
    """What it gives as in a new process, and how many programs were compiled for it."""
    jitted._programs.clear()
    with clocked() as clock:
        found = jax.block_until_ready(call())
    return found, clock.programs


CALLS = {
    "a module, words and nothing": lambda: answer(MODULE, X),
    "single precision": lambda: answer(MODULE, X.astype("float32")),
    "LAPACK and a key": lambda: spectrum(X),
    "a function": lambda: applied(twice, X),
    "a function of JAX": lambda: applied(jnp.exp, X),
    "a part of a function": lambda: applied(partial(jnp.round, decimals=1), X),
    "a closure of numbers": lambda: applied((lambda n: lambda x: n * x)(4), X),
    "values": lambda: valued(Values({"gamma": 0.5}, {"n": 2}), X),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_kept_program_gives_the_same(folder, name):
    call = CALLS[name]
    first, compiled = again(call)
    assert compiled
    assert len(list(folder.iterdir())) == 1
    second, compiled = again(call)
    assert compiled == 0
    assert jax.tree.structure(first) == jax.tree.structure(second)
    for before, after in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        if not isinstance(before, jax.Array):
            assert before == after
        else:
            assert jax.typeof(before) is jax.typeof(after)  # or all that takes it is compiled anew
            if jax.dtypes.issubdtype(before.dtype, jax.dtypes.prng_key):
                before, after = jax.random.key_data(before), jax.random.key_data(after)
            np.testing.assert_array_equal(before, after)


def test_whatever_makes_another_program_is_kept_apart(folder):
    others = [
        lambda: answer(MODULE, X),
        lambda: answer(MODULE, X, power=3),
        lambda: answer(MODULE, X, power=True),
        lambda: answer(MODULE, X[:4]),
        lambda: answer(MODULE, X.astype("float32")),
        lambda: answer(eqx.tree_at(lambda module: module.factor, MODULE, jnp.ones((5, 1))), X),
        lambda: answer(Scaled(1.5, "b", MODULE.tree), X),
        lambda: answer(Scaled(1.5, "a", jax.tree.structure([0])), X),
        lambda: applied(twice, X),
        lambda: applied(lambda x: 3 * x, X),
        lambda: applied(lambda x: 4 * x, X),
        lambda: applied((lambda n: lambda x: n * x)(4), X),
        lambda: applied((lambda n: lambda x: n * x)(5), X),
        lambda: valued(Values({"gamma": 0.5}, {"n": 2}), X),
        lambda: valued(Values({"gamma": 0.5}, {"n": 3}), X),
    ]
    wanted = [again(other)[0] for other in others]
    assert len(list(folder.iterdir())) == len(others)
    for other, want in zip(others, wanted, strict=True):
        found, compiled = again(other)
        assert compiled == 0
        assert all(map(np.array_equal, jax.tree.leaves(found), jax.tree.leaves(want)))
    again(lambda: answer(Scaled(2.5, "a", MODULE.tree), X + 1))  # other numbers are the same program
    assert len(list(folder.iterdir())) == len(others)


def test_what_the_lab_does_not_say_is_not_kept(folder, monkeypatch):
    array = jnp.ones((5, 5))
    for call in (lambda: applied(lambda x: x * array, X), lambda: called_back(X)):
        assert again(call)[1]
        assert not list(folder.iterdir())
    monkeypatch.setattr(ready, "_KNOWN", ("lab", "jax"))
    for call in (lambda: answer(MODULE, X), lambda: applied(twice, X)):
        assert again(call)[1]
        assert not list(folder.iterdir())


def test_other_code_makes_another_program(folder, monkeypatch):
    from lab import code

    again(lambda: applied(twice, X))
    changes = (code, "written", "edited"), (ready, "_packages", ("optax-9.dist-info",)), (ready, "_machine", "another")
    for many, (of, name, value) in enumerate(changes, 2):
        monkeypatch.setattr(of, name, lambda value=value: value)
        assert again(lambda: applied(twice, X))[1]
        assert len(list(folder.iterdir())) == many
    monkeypatch.setenv("EQX_ON_ERROR", "nan")
    assert again(lambda: applied(twice, X))[1]
    monkeypatch.setenv("JAX_LOG_COMPILES", "0")
    assert not again(lambda: applied(twice, X))[1]


def test_nothing_is_taken_or_kept_once_the_text_is_edited(folder, monkeypatch):
    """What is imported from then on is other code than this process is named after."""
    again(lambda: applied(twice, X))
    monkeypatch.setattr(ready, "_looked", -inf)
    monkeypatch.setattr(ready, "_BEGAN", ready._BEGAN[:-1])
    for call in (lambda: applied(twice, X), lambda: applied(jnp.exp, X)):
        assert again(call)[1]
    assert len(list(folder.iterdir())) == 1


def wrapped(function):
    @wraps(function)
    def of(x):
        return 10 * function(x)

    return of


@wrapped
def thrice(x):
    return 3 * x


@jit
def in_order(values, x):
    first, second = (getattr(values, name) for name in values)
    return first + x * second


def test_no_two_functions_are_taken_for_one(folder):
    """By their order, by what wraps them, by what they say to be, by what their text is where the place is the same."""
    assert float(again(lambda: in_order(Values({"a": 2.0, "b": 100.0}, {}), jnp.ones(())))[0]) == 102
    assert float(again(lambda: in_order(Values({"b": 100.0, "a": 2.0}, {}), jnp.ones(())))[0]) == 102
    assert float(again(lambda: in_order(Values({"b": 2.0, "a": 100.0}, {}), 3 * jnp.ones(())))[0]) == 302
    assert float(again(lambda: applied(thrice, jnp.ones(())))[0]) == 30
    assert float(again(lambda: applied(thrice.__wrapped__, jnp.ones(())))[0]) == 3
    for factor in (5, 7):
        foreign = {}
        exec(f"def law(x): return {factor} * x", foreign)
        foreign["law"].__module__ = "jax.numpy"
        assert float(again(lambda law=foreign["law"]: applied(law, jnp.ones(())))[0]) == factor
    plus, minus = (eval(f"lambda x: x {sign} 1", globals()) for sign in "+-")
    assert float(again(lambda: applied(plus, jnp.ones(())))[0]) == 2
    assert float(again(lambda: applied(minus, jnp.ones(())))[0]) == 0


def test_what_cannot_be_told_is_made_in_each_process(folder):
    def round_and_round(x):
        return x if x.ndim == 0 else round_and_round(x.sum())

    marked = Marked(2.0)
    object.__setattr__(marked, "factor_of_its_own", 3)
    for function in (round_and_round, marked):
        again(lambda function=function: applied(function, X))
        assert not list(folder.iterdir())


@dataclass(frozen=True)
class Marked:
    factor: float

    def __call__(self, x):
        return self.factor * x


def test_what_is_spoilt_or_does_not_run_is_made_anew(folder):
    first, _ = again(lambda: applied(twice, X))
    (place,) = folder.iterdir()
    whole = cache.read(place)
    payload, given, taken, rest = pickle.loads(zlib.decompress(whole))
    spoilt = (b"no program", zlib.compress(pickle.dumps((b"none", given, taken, rest))))
    for content in (*spoilt, zlib.compress(pickle.dumps((payload, given + 1, taken, rest)))):
        cache.write(place, content)
        found, compiled = again(lambda: applied(twice, X))
        assert compiled
        np.testing.assert_array_equal(found, first)
        assert cache.read(place) not in (None, content)  # and kept again


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="of POSIX")
def test_what_others_may_have_written_is_not_taken(folder):
    again(lambda: applied(twice, X))
    (place,) = folder.iterdir()
    place.chmod(0o666)
    assert again(lambda: applied(twice, X))[1]


CODE = """
from lab.home import start
start(ready=True)
start()  # the first call decides
import numpy as np
from lab import ot
from lab.studies.contract.clock import clocked
with clocked() as clock:
    value = ot.solve(ot.from_points(np.arange(8.0)[:, None], np.arange(8.0)[:, None] ** 2), ot.Quadratic(0.5)).value
    print(float(value))
print(clock.programs)
"""


@pytest.mark.slow
def test_a_new_process_traces_nothing_that_one_before_ran(tmp_path):
    """Newton's method for quadratic transport factorizes: LAPACK is found though nothing is lowered."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("JAX_COMP")}
    env |= {"LAB_HOME": str(tmp_path), "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(Path(__file__).parents[2])}
    told = []
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", CODE], env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        told.append(done.stdout.split())
        if (
            len(told) == 1
        ):  # as after an edit: JAX's cache has what was lowered to the same, and XLA can't write it again
            assert list((tmp_path / "cache" / "ready").iterdir())
            assert not any((tmp_path / "cache" / name).stat().st_mode & 0o077 for name in ("ready", "xla"))
            shutil.rmtree(tmp_path / "cache" / "ready")
    assert told[0][0] == told[1][0] == told[2][0]
    assert told[0][1] == told[1][1]
    assert int(told[2][1]) <= int(told[0][1]) / 2  # what is left are single operations
