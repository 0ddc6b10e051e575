"""The table of derivatives: for each public function and each real argument, a checked derivative or a reasoned error.

The rows are in the modules beside this one, one for each field of the compute library; public is what a package lists in
``__all__``.
"""

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
        compiled: one program serves all inputs, which is compiled sooner than the operations one by one. False for a function
            that needs the values of its inputs.
    """

    make: Callable[[np.random.Generator], tuple[Callable[..., Any], dict[str, Any]]]
    gradient: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    moves: Mapping[str, Callable[[np.ndarray], np.ndarray]] = field(default_factory=dict)
    step: float = 1e-5
    tolerance: float = 1e-5
    compiled: bool = True


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


class Along(NamedTuple):
    """A random combination of all outputs, so that a wrong one is not hidden, and its derivatives."""

    value: jax.Array
    forward: jax.Array  # along the directions of all inputs together
    reverse: dict[str, jax.Array]  # with respect to each input


def _combined(case: Case, rng: np.random.Generator) -> tuple[Callable, Callable, dict[str, jax.Array], dict[str, Any]]:
    """Two functions of some inputs, those inputs, and all: the combination, and the combination with its derivatives."""
    function, inputs = case.make(rng)
    some = {name: jnp.asarray(inputs[name], float) for name in case.gradient}
    weights: list[Any] = []

    def value(some):
        leaves = _floats(function(**inputs | some))
        assert leaves, "the function has no floating-point output"
        if not weights:
            weights.extend(rng.standard_normal(jnp.shape(leaf)) for leaf in leaves)
        return sum(jnp.sum(w * leaf) for w, leaf in zip(weights, leaves, strict=True))

    def along(some, directions):
        found, reverse = jax.value_and_grad(value)(some)
        return Along(found, jax.jvp(value, (some,), (directions,))[1], reverse)

    if case.compiled:  # one program, of the derivatives too
        along = jax.jit(along)
        zero = jax.tree.map(jnp.zeros_like, some)
        return (lambda some: along(some, zero).value), along, some, inputs
    return value, along, some, inputs


def check_gradients(case: Case, seed: int = 0) -> None:
    """Reverse mode agrees with central differences, in one random direction of each input, and no difference is zero;
    forward mode agrees with reverse mode along all these directions at once, each scaled to a derivative of 1 or -1."""
    value, along, some, _ = _combined(case, np.random.default_rng([seed, 7]))
    directions, differences = {}, {}
    for name, x in some.items():
        direction = np.random.default_rng([seed, 8, len(name)]).standard_normal(x.shape)
        directions[name] = jnp.asarray(case.moves.get(name, lambda d: d)(direction))
        ends = [value(some | {name: x + side * case.step * directions[name]}) for side in (1, -1)]
        differences[name] = float((ends[0] - ends[1]) / (2 * case.step))
        assert np.isfinite(differences[name]), name
        assert abs(differences[name]) > 1e-7, f"{name} has no effect here: the case shows nothing"
    found = along(some, {name: directions[name] / abs(differences[name]) for name in some})
    back = {name: float(jnp.sum(found.reverse[name] * directions[name])) for name in some}
    for name, expected in differences.items():
        assert back[name] == pytest.approx(expected, abs=case.tolerance * max(abs(expected), 1e-3)), name
    total = sum(back[name] / abs(expected) for name, expected in differences.items())
    tolerance = case.tolerance * max(max(1, 1e-3 / abs(expected)) for expected in differences.values())
    assert float(found.forward) == pytest.approx(total, abs=tolerance), "forward mode"


def check_refusals(case: Case, seed: int = 0) -> None:
    """Both modes raise the lab's own error, which says why."""
    function, inputs = case.make(np.random.default_rng([seed, 7]))
    for name in case.refused:
        x = jnp.asarray(inputs[name], float)

        def total(x, name=name):
            return sum(jnp.sum(leaf) for leaf in _floats(function(**inputs | {name: x})))

        with pytest.raises(NotDifferentiableError):
            jax.grad(total)(x)
        with pytest.raises(NotDifferentiableError):
            jax.jvp(total, (x,), (jnp.ones_like(x),))


def tests_of(field: str, table: Mapping[str, Entry]) -> tuple[Callable[..., None], Callable[..., None]]:
    """The two tests of a field: all its public functions and arguments are listed; each case of the table holds."""
    rows = [
        (function, number, check)
        for function, entry in table.items()
        for number, case in enumerate(entry.cases)
        for check in ((check_gradients,) if case.gradient else ()) + ((check_refusals,) if case.refused else ())
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
        ("function", "number", "check"), rows, ids=[f"{f}-{n}-{check.__name__[6:]}" for f, n, check in rows]
    )
    def test_derivative(function, number, check):
        check(table[function].cases[number])

    return test_every_public_function_and_argument_is_listed, test_derivative


tests_of.__test__ = False  # type: ignore[attr-defined]  # its name is no test
