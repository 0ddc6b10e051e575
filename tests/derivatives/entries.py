"""The table of derivatives: for each public function and each real argument, a checked derivative or a reasoned error.

The rows are in the modules beside this one, one for each field of the compute library; public is what a package lists in
``__all__``.
"""

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

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
    """

    make: Callable[[np.random.Generator], tuple[Callable[..., Any], dict[str, Any]]]
    gradient: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    moves: Mapping[str, Callable[[np.ndarray], np.ndarray]] = field(default_factory=dict)
    step: float = 1e-5
    tolerance: float = 1e-5


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


def check_gradient(case: Case, name: str, seed: int = 0) -> None:
    """Forward and reverse mode agree with central differences along a random direction, and differences are not zero."""
    rng = np.random.default_rng([seed, 7])
    function, inputs = case.make(rng)
    x = jnp.asarray(inputs[name], float)
    direction = rng.standard_normal(x.shape)
    direction = jnp.asarray(case.moves.get(name, lambda d: d)(direction))
    rest = {other: value for other, value in inputs.items() if other != name}
    weights: list[Any] = []

    def projected(x):  # a random combination of all outputs, so that a wrong one is not hidden
        leaves = _floats(function(**rest, **{name: x}))
        assert leaves, "the function has no floating-point output"
        if not weights:
            weights.extend(rng.standard_normal(jnp.shape(leaf)) for leaf in leaves)
        return sum(jnp.sum(w * leaf) for w, leaf in zip(weights, leaves, strict=True))

    h = case.step
    differences = float((projected(x + h * direction) - projected(x - h * direction)) / (2 * h))
    assert np.isfinite(differences)
    assert abs(differences) > 1e-7, f"{name} has no effect here: the case shows nothing"
    forward = float(jax.jvp(projected, (x,), (direction,))[1])
    reverse = float(jnp.sum(jax.grad(projected)(x) * direction))
    scale = case.tolerance * max(abs(differences), 1e-3)
    assert forward == pytest.approx(differences, abs=scale)
    assert reverse == pytest.approx(differences, abs=scale)


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
