"""Derivatives of ``lab.ode``."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from derivatives import entries
from derivatives.entries import Case, Entry

from lab import ode


def _field(a):
    return lambda t, y: jnp.asarray(a) @ y - y**3 + jnp.sin(t)


def _matrix(rng):
    return np.array([[-0.5, 1.0], [-1.0, -0.5]]) + 0.1 * rng.normal(size=(2, 2))


def _solve(diff_h, read, **fixed):
    """Of the field's parameters, the state and the ends; with ``diff_h`` of what acts through the lengths of steps too."""

    def make(rng):
        given = {"a": _matrix(rng), "y0": rng.normal(size=2), "t0": 0.1, "t1": 0.9}
        if diff_h:
            given |= {"rtol": 1e-3, "atol": 1e-4, "h0": 0.11, "safety": 0.9}
        else:
            given |= {"rtol": 1e-9, "atol": 1e-9}

        def function(a, y0, t0, t1, rtol, atol, h0=None, safety=0.9):
            controller = ode.Controller(safety=safety)
            return read(
                ode.solve(_field(a), y0, t0, t1, rtol=rtol, atol=atol, h0=h0, controller=controller, max_steps=64,
                          beside=lambda t, y: (y**2).sum(), diff_h=diff_h, **fixed)
            )  # fmt: skip

        return function, given

    return make


def _stops(rng):
    given = {"stops": np.array([0.3, 0.7]), "h0": 0.2}
    field = _field(_matrix(rng))

    def function(stops, h0):
        return ode.solve(field, jnp.ones(2), stops=stops, h0=h0, rtol=1e-2, atol=1e-3, max_steps=16, diff_h=True).ys

    return function, given


def _problem(rng):
    given = {"y0": rng.normal(size=2), "t0": 0.1, "t1": 0.9, "rtol": 1e-3, "atol": 1e-4, "h0": 0.1}

    def function(**given):
        made = ode.problem(_field(np.eye(2)), diff_h=True, **given)
        return made.y0, made.t0, made.stops, made.rtol, made.atol, made.h0

    return function, given


def _first_step(rng):
    given = {"y0": rng.normal(size=2), "t0": 0.3, "rtol": 0.3, "atol": 0.2, "order": 5.0, "sign": 1.0}
    field = _field(_matrix(rng))
    return lambda t0, y0, **rest: ode.first_step(field, jnp.asarray(t0), jnp.asarray(y0), **rest), given


def _steps(function):
    """Of the numbers of five steps, the last of which was not taken."""

    def make(rng):
        rows = rng.uniform(0.1, 0.9, (5, 5))
        rows[:, 0] = np.arange(5) / 5
        rows[:, 1] = [0.2, 0.2, 0.2, 0.2, 0.0]

        def call(told, **rest):
            told = jnp.asarray(told)
            none = jnp.zeros(())
            steps = ode.Steps(jnp.ones(2), jnp.ones((1, 2)), told, told.sum(), none, none, *(jnp.int32(1),) * 4)
            return function(steps, **rest)

        return call, {"told": rows}

    return make


def _with(make, **more):
    def wider(rng):
        function, given = make(rng)
        return function, given | more

    return wider


def _local(steps, t0=0.0, t1=1.0, strength=1.0):
    return ode.penalty("local", steps, strength, key=jax.random.key(0), t0=t0, t1=t1)


def _along(function):
    return lambda rng: (
        lambda t, z: function(_field(np.eye(2)))(jnp.asarray(t), jnp.asarray(z)),
        {"t": 0.3, "z": rng.normal(size=2)},
    )


def _moves_rows(d):
    """Errors and stiffness of the steps that were taken; a length of 0 says that none was."""
    d = np.array(d)
    d[:, 1] *= np.array([1, 1, 1, 1, 0])
    return d


_ROWS = {"told": _moves_rows}
_ENDS = dict.fromkeys(("t0", "t1"), "the step that holds the drawn time jumps")
_HOW = ("how",)
_OF_STEPS = {"steps": "told"}
_LENGTHS = "lengths of steps are constants: diff_h=True differentiates them"
TABLE = {
    "aggregate": Entry(
        tuple(
            Case(
                lambda rng, how=how: (
                    lambda values: ode.aggregate(values, np.array([True, False, True]), how),
                    {"values": rng.random(3)},
                ),
                ("values",),
            )
            for how in ("sum", "mean", "max")
        ),
        ("counted", "how"),
    ),
    "amplification": Entry(
        (Case(lambda rng: (lambda z: ode.amplification(ode.TSIT5, jnp.asarray(z)), {"z": -rng.random(3)}), ("z",)),),
        ("tableau",),
    ),
    "bending": Entry((Case(_along(lambda field: ode.bending(field, 2)), ("t", "z")),), ("field", "k")),
    "check": Entry(fixed=("found",)),
    "derivative": Entry((Case(_along(lambda field: ode.derivative(field, 2)), ("t", "z")),), ("field", "k")),
    "error_of": Entry(
        (
            Case(_steps(ode.error_of), ("told",), moves=_ROWS),
            Case(_steps(lambda steps: ode.error_of(steps, "max", scaled=False)), ("told",), moves=_ROWS),
        ),
        ("how", "scaled"),
        _OF_STEPS,
    ),
    "first_step": Entry((Case(_first_step, ("y0", "t0", "rtol", "atol", "order")),), ("field", "sign")),
    "local_error_of": Entry((Case(_steps(_local), ("told",), moves=_ROWS),), ("key", "t0", "t1"), _OF_STEPS),
    "pair": Entry(fixed=("name",)),
    "penalty": Entry(
        (
            Case(_with(_steps(_local), strength=0.7, t0=0.0, t1=1.0), ("told", "strength"), _ENDS, moves=_ROWS),
            Case(
                _with(_steps(lambda steps, limit, strength: ode.penalty("ER+SR", steps, strength, limit=limit)), limit=2.0,
                      strength=0.7),
                ("told", "limit", "strength"),
                moves=_ROWS,
            ),
            Case(_steps(lambda steps: ode.penalty("Tay2", steps)), ("told",)),
        ),
        ("kind", "how", "key"),
        _OF_STEPS,
    ),
    "problem": Entry(
        (Case(_problem, ("y0", "t0", "t1", "rtol", "atol", "h0")),),
        ("field", "stops", "method", "controller", "beside", "diff_h"),
    ),
    "real_limit": Entry(fixed=("tableau",)),
    "solve": Entry(
        (
            Case(
                _solve(True, lambda found: (found.y, found.told, found.beside)),
                ("a", "y0", "t0", "t1", "rtol", "atol", "h0", "safety"),
                tolerance=1e-4,
            ),
            Case(
                _solve(False, lambda found: (found.y, found.beside)),
                ("a", "y0", "t0", "t1"),
                {"rtol": _LENGTHS, "atol": _LENGTHS},
            ),
            Case(_solve(False, lambda found: found.y, method="dopri5"), ("a",)),
            Case(_stops, ("stops", "h0")),
        ),
        ("max_steps", "method", "beside", "diff_h", "keep", "throw"),
        {"field": "a", "controller": "safety"},
    ),
    "squared_error_of": Entry((Case(_steps(ode.squared_error_of), ("told",), moves=_ROWS),), _HOW, _OF_STEPS),
    "stiffness_of": Entry(
        (
            Case(_steps(ode.stiffness_of), ("told",), moves=_ROWS),
            Case(_steps(lambda steps: ode.stiffness_of(steps, "mean", by_h=True)), ("told",), moves=_ROWS),
        ),
        ("how", "by_h"),
        _OF_STEPS,
    ),
}  # fmt: skip

test_every_public_function_and_argument_is_listed, test_derivative = entries.tests_of("ode", TABLE)
test_derivative = pytest.mark.slow(test_derivative)
