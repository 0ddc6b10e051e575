"""The table of derivatives: for each public function and each real argument, a checked derivative or a reasoned error.

The rows are in the modules beside this one, one for each field of the compute library; public is what a package lists in
``__all__``.
"""

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.numerics.differentiation import NotDifferentiableError


@dataclass(frozen=True)
class Case:
    """One public function with random inputs.

    Attributes:
        make: takes a ``numpy.random.Generator``; returns a function of keyword arrays, whose output is a pytree with
            floating-point arrays, and the inputs by name.
        gradient: inputs whose derivative is checked against central differences.
        refused: inputs whose derivative raises an error, with the mathematical reason (a jump, an integer, sampling).
        moves: how an input may change, where not every direction is allowed: from a normal direction to an allowed one
            (masses, for example, whose total stays).
        step: of the central differences.
        tolerance: of the derivative along a direction, relative to its size.
        compiled: whether three programs serve all inputs: for functions that take long to compile.
    """

    make: Callable[[np.random.Generator], tuple[Callable[..., Any], dict[str, Any]]]
    gradient: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    moves: Mapping[str, Callable[[np.ndarray], np.ndarray]] = field(default_factory=dict)
    step: float = 1e-5
    tolerance: float = 1e-5
    compiled: bool = False


@dataclass(frozen=True)
class Entry:
    """A public function: its cases, and its arguments that are no real arrays (keys, counts, words, functions, loops)."""

    cases: tuple[Case, ...] = ()
    fixed: tuple[str, ...] = ()
    also: Mapping[str, str] = field(
        default_factory=dict
    )  # argument of the signature -> the input of a case that covers it


def _floats(outputs: Any) -> list[jax.Array]:
    return [leaf for leaf in jax.tree.leaves(outputs) if jnp.issubdtype(jnp.result_type(leaf), jnp.floating)]


class Programs(NamedTuple):
    """A random combination of all outputs, so that a wrong one is not hidden, with its derivatives."""

    inputs: dict[str, jax.Array]
    projected: Callable[[dict], jax.Array]
    forward: Callable[[dict, dict], jax.Array]  # along a direction
    reverse: Callable[[dict, tuple[str, ...]], dict]


@cache
def programs(make: Callable, gradient: tuple[str, ...], compiled: bool, seed: int) -> Programs:
    rng = np.random.default_rng([seed, 7])
    function, inputs = make(rng)
    inputs = {name: jnp.asarray(value, float) if name in gradient else value for name, value in inputs.items()}
    weights: list[Any] = []

    def projected(inputs):
        leaves = _floats(function(**inputs))
        assert leaves, "the function has no floating-point output"
        if not weights:
            weights.extend(rng.standard_normal(jnp.shape(leaf)) for leaf in leaves)
        return sum(jnp.sum(w * leaf) for w, leaf in zip(weights, leaves, strict=True))

    def along(some, inputs):
        return projected(inputs | some)

    def forward(inputs, direction):
        some = {name: inputs[name] for name in direction}
        return jax.jvp(partial(along, inputs=inputs), (some,), (direction,))[1]

    def reverse(inputs, names):
        return jax.grad(along)({name: inputs[name] for name in names}, inputs)

    if compiled:
        return Programs(inputs, jax.jit(projected), jax.jit(forward), jax.jit(reverse, static_argnums=1))
    return Programs(inputs, projected, forward, reverse)


def check_gradient(case: Case, name: str, seed: int = 0) -> None:
    """Forward and reverse mode agree with central differences along a random direction, and differences are not zero."""
    inputs, projected, forward, reverse = programs(case.make, case.gradient, case.compiled, seed)
    x = inputs[name]
    direction = np.random.default_rng([seed, 8, len(name)]).standard_normal(x.shape)
    direction = jnp.asarray(case.moves.get(name, lambda d: d)(direction))
    h = case.step
    ends = [projected(inputs | {name: x + side * h * direction}) for side in (1, -1)]
    differences = float((ends[0] - ends[1]) / (2 * h))
    assert np.isfinite(differences)
    assert abs(differences) > 1e-7, f"{name} has no effect here: the case shows nothing"
    names = case.gradient if case.compiled else (name,)
    zero = {other: jnp.zeros_like(inputs[other]) for other in names}
    along = float(forward(inputs, zero | {name: direction}))
    back = float(jnp.sum(reverse(inputs, names)[name] * direction))
    scale = case.tolerance * max(abs(differences), 1e-3)
    assert along == pytest.approx(differences, abs=scale)
    assert back == pytest.approx(differences, abs=scale)


def check_refusal(case: Case, name: str, seed: int = 0) -> None:
    """Both modes raise the lab's own error, which says why."""
    function, inputs = case.make(np.random.default_rng([seed, 7]))
    x = jnp.asarray(inputs[name], float)
    rest = {other: value for other, value in inputs.items() if other != name}

    def total(x):
        return sum(jnp.sum(leaf) for leaf in _floats(function(**rest, **{name: x})))

    with pytest.raises(NotDifferentiableError):
        jax.grad(total)(x)
    with pytest.raises(NotDifferentiableError):
        jax.jvp(total, (x,), (jnp.ones_like(x),))


def tests_of(field: str, table: Mapping[str, Entry]) -> tuple[Callable[..., None], Callable[..., None]]:
    """The two tests of a field: all its public functions and arguments are listed; each row of the table holds."""
    rows = [
        (function, number, name, kind)
        for function, entry in table.items()
        for number, case in enumerate(entry.cases)
        for kind, names in (("gradient", case.gradient), ("refused", case.refused))
        for name in names
    ]

    def test_every_public_function_and_argument_is_listed():
        package = importlib.import_module(f"lab.{field}")
        public = {name: getattr(package, name) for name in package.__all__}
        functions = {name: value for name, value in public.items() if callable(value) and not inspect.isclass(value)}
        assert not {*functions} - {*table}, "not in the table"
        for name, function in functions.items():
            entry = table[name]
            covered = {*entry.fixed, *entry.also, *(n for case in entry.cases for n in (*case.gradient, *case.refused))}
            missing = {*inspect.signature(function).parameters} - covered
            assert not missing, f"{field}.{name}: {missing} are neither differentiated nor refused nor fixed"

    @pytest.mark.parametrize(
        ("function", "number", "name", "kind"), rows, ids=["-".join(map(str, row)) for row in rows]
    )
    def test_derivative(function, number, name, kind):
        case = table[function].cases[number]
        (check_gradient if kind == "gradient" else check_refusal)(case, name)

    return test_every_public_function_and_argument_is_listed, test_derivative


tests_of.__test__ = False  # type: ignore[attr-defined]  # its name is no test
