"""What is carried step by step: against ``ode`` and ``sde``, closed forms, and what only it can do."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import paths
from lab.numerics import Chunked, Reason, pure
from lab.paths import steps
from lab.paths.carry import carry, even
from lab.paths.schedules import Brownian

TARGET = paths.Mixture([0.5, 0.5], [[2.0, 0], [-1.0, 1]], [0.3, 0.1])
FIELD = paths.exact(paths.Linear(), paths.standard(2), TARGET)
NOISY = paths.exact(paths.Linear(Brownian(1.0)), paths.standard(2), TARGET)
X = jax.random.normal(jax.random.key(0), (7, 2))
TIMES = np.linspace(0.0, 0.9, 8)
LOOPS = {"pure": pure, "chunked": Chunked()}


class Linear(eqx.Module):
    """dx/dt = slope x, of score -x."""

    slope: Any

    def __call__(self, t, x):
        return paths.Field(self.slope * x, -x, x, x, x, x[:, 0])


# --- as in ode and sde --------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("solver", ["euler", "midpoint", "heun", "rk4"])
def test_it_is_the_ode_bit_for_bit(solver, loop):
    wanted = paths.ode(FIELD, X, grid=TIMES, solver=solver)
    found = carry(LOOPS[loop], FIELD, X, TIMES, solver=solver)
    np.testing.assert_array_equal(found.x, wanted.x)
    np.testing.assert_array_equal(found.end, wanted.end)
    np.testing.assert_array_equal(found.t, wanted.t)
    assert (found.reason, found.steps, found.nfe) == (Reason.CONVERGED, 7, wanted.nfe)


@pytest.mark.slow
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("scheme", ["euler", "heun", "noise-first"])
def test_it_is_the_sde(scheme, loop):
    """To rounding: what a compiler fuses around a step is not the same in both."""
    key, times = jax.random.key(3), TIMES + 0.05
    for epsilon in (0.7, lambda t: t * (1 - t)):
        wanted = paths.sde(NOISY, X, key, epsilon, grid=times, scheme=scheme)
        found = carry(LOOPS[loop], NOISY, X, times, solver=scheme, epsilon=epsilon, key=key)
        np.testing.assert_allclose(found.x, wanted.x, rtol=1e-13, atol=1e-14)
        assert (found.reason, found.nfe) == (Reason.CONVERGED, wanted.nfe)


def test_it_runs_backward():
    wanted = paths.sde(NOISY, X, jax.random.key(1), 0.3, grid=TIMES + 0.05, reverse=True)
    found = carry(pure, NOISY, X, TIMES[::-1] + 0.05, solver="heun", epsilon=0.3, key=jax.random.key(1))
    np.testing.assert_allclose(found.x, wanted.x, rtol=1e-12, atol=1e-14)


def test_several_fields_are_carried_at_once():
    fields = FIELD, NOISY
    start = jnp.stack([X, X + 1])
    times = TIMES + 0.05
    found = carry(Chunked(), fields, start, times, solver="heun")
    for k, field in enumerate(fields):
        np.testing.assert_allclose(found.x[:, k], paths.ode(field, start[k], grid=times, solver="heun").x, rtol=1e-14)
    with pytest.raises(ValueError, match="2 fields, but x has shape"):
        carry(pure, fields, X, times)


@pytest.mark.slow
def test_rows_by_unlike_steps():
    """The first by the SDE, the others by the ODE, in one program."""
    key, times = jax.random.key(2), TIMES + 0.05
    both = steps.Parted((steps.Diffusion("heun"), steps.RungeKutta(steps.SOLVERS["rk4"])), (4,))
    found = carry(Chunked(), NOISY, X, times, solver=both, epsilon=0.5, key=key)
    np.testing.assert_allclose(found.x[:, 4:], paths.ode(NOISY, X[4:], grid=times).x, rtol=1e-14)
    x = X[:4]
    for k in range(7):
        noise = jax.random.fold_in(key, k)
        x = paths.sde(NOISY, x, noise, 0.5, grid=times[k : k + 2]).end
    np.testing.assert_allclose(found.end[:4], x, rtol=1e-14)
    assert found.nfe == 7 * 4


# --- closed forms -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("solver", "order"), [("euler", 1), ("midpoint", 2), ("heun", 2), ("rk4", 4), ("adams-bashforth", 2)]
)
def test_orders_of_convergence(solver, order):
    """On dx/dt = -x (1 + t), on a grid of unequal steps."""
    errors = []
    for count in (40, 80):
        times = np.linspace(0, 1, count + 1) ** 1.3
        found = carry(pure, lambda t, x: -x * (1 + t), jnp.ones((1, 1)), times, solver=solver, keep=False)
        errors.append(abs(float(found.end[0, 0]) - np.exp(-1.5)))
    assert abs(np.log2(errors[0] / errors[1]) - order) < 0.25
    assert found.nfe == 80 * {"rk4": 4, "heun": 2, "midpoint": 2}.get(solver, 1)


def test_an_ou_process_has_its_mean_and_variance():
    """dX = (b + eps s) dt + sqrt(2 eps) dW with b = -x/2 and s = -x."""
    n, epsilon, t = 20_000, 0.4, 1.5
    found = carry(
        Chunked(),
        Linear(-0.5),
        jnp.full((n, 1), 2.0),
        np.linspace(0, t, 61),
        solver="heun",
        epsilon=epsilon,
        key=jax.random.key(0),
        keep=False,
    )
    pull = 0.5 + epsilon
    variance = epsilon / pull * (1 - np.exp(-2 * pull * t))
    assert abs(float(found.end.mean()) - 2 * np.exp(-pull * t)) < 4 * np.sqrt(variance / n)
    assert abs(float(found.end.var()) - variance) < 4 * variance * np.sqrt(2 / n)


def test_an_integrated_divergence_gives_the_log_density():
    """Of the flow from N(0, I) to N(m, 1/4 I), against the law it ends in."""
    source, target = paths.standard(2), paths.gaussian([1.0, -2.0], 0.25)
    field = paths.exact(paths.Linear(), source, target)

    def rate(t, x, extra):
        return -paths.divergence(field, t, x).value

    found = carry(Chunked(), field, X, np.linspace(0, 1, 41), extra=source.log_prob(X), rate=rate)
    np.testing.assert_allclose(found.extra, target.log_prob(found.end), atol=1e-6)


class DPM2M(eqx.Module):
    r"""A user's own: DPM-Solver++(2M) from the field's ``x1``, with $\lambda = \log(\beta / \alpha)$ of straight lines."""

    @property
    def evaluations(self) -> int:
        return 1

    @property
    def latest(self) -> float:
        return 0.0

    def begin(self, y):
        return jnp.zeros_like(y[0]), jnp.full((), jnp.inf)

    def __call__(self, slope, span, y, memory):
        t, r, (old, gap) = span.now, span.later, memory
        denoised = slope.ask(t, y).x1
        h = jnp.log(r / (1 - r)) - jnp.log(t / (1 - t))
        seen = denoised + h / gap / 2 * (denoised - old)
        x = (1 - r) / (1 - t) * y[0] - r * jnp.expm1(-h) * seen
        return (x, None), (denoised, h), (denoised, None)


def test_a_step_of_ones_own_remembers():
    """Of order 2 between Gaussians, where the map is known; without its memory of order 1."""
    field = paths.exact(paths.Linear(), paths.standard(1), paths.gaussian([2.0], 0.09))
    x = jnp.asarray([[1.0], [-2.0]])

    def spread(t):
        return np.sqrt((1 - t) ** 2 + 0.09 * t**2)

    errors = []
    for count in (40, 80):
        t = 1 / (1 + np.exp(-np.linspace(-4, 4, count + 1)))
        found = carry(Chunked(), field, x, t, solver=DPM2M(), keep=False)
        wanted = 2 * t[-1] + spread(t[-1]) / spread(t[0]) * (x - 2 * t[0])
        errors.append(abs(found.end - wanted).max())
    assert abs(np.log2(errors[0] / errors[1]) - 2) < 0.25


# --- after each step ----------------------------------------------------------------------------------------------------


def test_a_projection_is_kept():
    """Points that are put back on the circle go around it."""

    def back(t, x, extra, key):
        return x / jnp.linalg.norm(x, axis=1, keepdims=True), extra

    found = carry(
        Chunked(), lambda t, x: x[:, ::-1] * jnp.asarray([[-1.0, 1.0]]), jnp.eye(2), TIMES, solver="euler", after=back
    )
    np.testing.assert_allclose(jnp.linalg.norm(found.x, axis=2), 1, rtol=1e-14)
    h = TIMES[1]
    np.testing.assert_allclose(jnp.arctan2(found.end[0, 1], found.end[0, 0]), 7 * np.arctan(h), rtol=1e-12)


def test_a_momentum_is_carried_and_seen():
    """Heavy ball: the field reads it, and it is changed after each step; written out in NumPy."""

    def after(t, x, extra, key):
        return x, {"v": 0.9 * extra["v"] - 0.1 * x, "count": extra["count"] + 1}

    def field(t, x, extra):
        return extra["v"]

    start = {"v": jnp.zeros((2, 2)), "count": jnp.int32(0)}
    found = carry(
        Chunked(), field, jnp.eye(2), np.arange(6.0), solver="euler", extra=start, after=after, sees_extra=True
    )
    x, v = np.eye(2), np.zeros((2, 2))
    for _ in range(5):
        x = x + v
        v = 0.9 * v - 0.1 * x
    np.testing.assert_allclose(found.end, x, rtol=1e-14)
    assert found.extra["count"] == 5


def test_each_step_has_a_key_of_its_own():
    def after(t, x, extra, key):
        return x + jax.random.normal(key, x.shape), extra

    found = carry(pure, lambda t, x: 0 * x, jnp.zeros((4000, 1)), TIMES, after=after, key=jax.random.key(0))
    steps = np.diff(np.asarray(found.x)[..., 0], axis=0)
    assert abs(np.corrcoef(steps) - np.eye(7)).max() < 0.07
    np.testing.assert_allclose(steps.var(), 1, atol=0.05)


# --- the grid -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["heun", "rk4", "adams-bashforth"])
def test_the_last_step_is_eulers_where_the_field_ends(solver):
    """From there on to the denoiser, of points without spread."""
    points = paths.Empirical(jnp.asarray([[1.0, 0.0], [-1.0, 2.0]]))
    field = paths.exact(paths.Linear(), paths.standard(2), points)
    times = np.append(np.linspace(0, 0.99, 6), 1.0)
    if solver != "adams-bashforth":
        with pytest.raises(ValueError, match="points without spread have no velocity at t = 1"):
            carry(pure, field, X, times, solver=solver)
    found = carry(Chunked(), field, X, times, solver=solver, euler_last=True)
    begun = carry(pure, field, X, times[:-1], solver=solver)
    np.testing.assert_allclose(found.x[:-1], begun.x, rtol=1e-12)
    np.testing.assert_allclose(found.end, field(times[-2], begun.end).x1, atol=1e-12)


def test_steps_may_be_traced():
    def ends(count):
        return carry(pure, FIELD, X, even(count, 9), solver="euler", steps=count).end

    counts = jnp.asarray([1, 4, 9])
    for end, count in zip(jax.jit(jax.vmap(ends))(counts), (1, 4, 9), strict=True):
        np.testing.assert_allclose(end, paths.ode(FIELD, X, count, solver="euler").end, rtol=1e-12)
    found = carry(Chunked(), FIELD, X, even(4, 9), solver="euler", steps=4)
    assert (found.steps, found.nfe) == (4, 4)
    np.testing.assert_array_equal(found.x[4:], jnp.broadcast_to(found.end, (6, 7, 2)))
    for steps_ in (0, 10):
        with pytest.raises(ValueError, match="but from 1 to 9 are needed"):
            carry(pure, FIELD, X, even(4, 9), steps=steps_)


@pytest.mark.slow
@pytest.mark.parametrize("rows", [None, 3])
def test_several_grids_and_blocks_are_done_one_after_the_other(rows):
    """Frames lie on the polygons."""
    counts, frames = (3, 1), jnp.linspace(0, 1, 5)
    grids = jnp.stack([even(count, 3) for count in counts])
    found = carry(Chunked(), FIELD, X, grids, solver="euler", steps=counts, rows=rows)
    seen = carry(
        Chunked(),
        FIELD,
        X,
        grids,
        solver="euler",
        steps=counts,
        rows=rows,
        frames=frames,
        keep=lambda t, x, _: 2 * x[:, :1],
    )
    assert found.steps.tolist() == [3, 1]
    for k, count in enumerate(counts):
        path = paths.ode(FIELD, X, count, solver="euler")
        np.testing.assert_allclose(found.end[k], path.end, rtol=1e-12)
        np.testing.assert_allclose(found.x[k, : count + 1], path.x, rtol=1e-12)
        polygon = paths.between(path.t, path.x, frames)
        np.testing.assert_allclose(seen.x[k], 2 * polygon[..., :1], rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(seen.t[0], frames)


def test_what_is_kept_is_what_one_looks_at():
    def look(t, x, extra):
        return {"mean": x.mean(axis=0), "time": t}

    found = carry(Chunked(), FIELD, X, TIMES, keep=look)
    path = paths.ode(FIELD, X, grid=TIMES)
    np.testing.assert_allclose(found.x["mean"], path.x.mean(axis=1), rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(found.x["time"], TIMES)
    ends = carry(pure, FIELD, X, TIMES, keep=False)
    np.testing.assert_array_equal(ends.x, path.x[jnp.asarray([0, -1])])
    np.testing.assert_array_equal(ends.t, TIMES[[0, -1]])


# --- the loop -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("rows", [None, 3])
def test_a_stopped_one_keeps_what_is_there_and_goes_on(rows):
    given, seen = (NOISY, X, TIMES + 0.05), []
    more = {"solver": "heun", "epsilon": 0.5, "key": jax.random.key(1), "rows": rows}
    whole = carry(Chunked(), *given, **more)

    def report(progress):
        seen.append(progress.iteration)
        return progress.iteration >= 3

    half = carry(Chunked(report), *given, **more)
    assert half.reason == Reason.STOPPED
    block, at = (0, seen[-1]) if rows is None else divmod(seen[-1], 7)
    assert half.steps == (at if rows is None else 0)  # which all points have done
    there = slice(None) if rows is None else slice(3 * block, 3 * block + 3)
    np.testing.assert_array_equal(half.x[: at + 1, there], whole.x[: at + 1, there])
    np.testing.assert_array_equal(half.x[at:, there], jnp.broadcast_to(whole.x[at, there], half.x[at:, there].shape))
    np.testing.assert_array_equal(half.end[there], whole.x[at, there])
    rest = carry(Chunked(), *given, **more, state=half.state)
    np.testing.assert_array_equal(rest.x, whole.x)
    assert rest.reason == Reason.CONVERGED


def test_a_pause_goes_on_where_it_was():
    loop = Chunked(pause=0.0)
    half = carry(loop, FIELD, X, TIMES)
    assert loop.paused
    assert half.reason == Reason.STOPPED
    loop.replay()
    np.testing.assert_array_equal(carry(loop, FIELD, X, TIMES).x, paths.ode(FIELD, X, grid=TIMES).x)


def test_noise_levels_are_swept_by_one_program():
    key, times = jax.random.key(3), TIMES + 0.05

    def end(epsilon):
        return carry(pure, NOISY, X, times, solver="heun", epsilon=epsilon, key=key, keep=False).end

    ends = jax.jit(jax.vmap(end))(jnp.asarray([0.0, 0.5, 2.0]))
    for found, epsilon in zip(ends, (0.0, 0.5, 2.0), strict=True):
        np.testing.assert_allclose(found, paths.sde(NOISY, X, key, epsilon, grid=times).end, rtol=1e-10)


@pytest.mark.parametrize("solver", ["rk4", "adams-bashforth", "heun"])
def test_float32_stays_float32(solver):
    x = X.astype(jnp.float32)
    noise = {"epsilon": 0.3, "key": jax.random.key(0)} if solver == "heun" else {}
    found = carry(
        Chunked(),
        Linear(-1.0),
        x,
        TIMES,
        solver=solver,
        extra=jnp.zeros(7, jnp.float32),
        rate=lambda t, x, extra: x[:, 0],
        after=lambda t, x, extra, key: (2.0 * x / 2, extra),
        **noise,
    )
    assert {leaf.dtype for leaf in (found.x, found.end, found.extra, found.t)} == {jnp.dtype("float32")}


def test_derivatives_pass_through():
    def end(slope):
        return carry(pure, Linear(slope), jnp.ones((1, 1)), np.linspace(0, 1, 20)).end[0, 0]

    value, rate = jax.jvp(end, (0.3,), (1.0,))
    np.testing.assert_allclose([value, rate], np.exp(0.3), rtol=1e-6)


def test_what_is_not_finite_ends_it():
    found = carry(Chunked(), lambda t, x: jnp.where(t > 0.5, jnp.nan, 1.0) + 0 * x, X, TIMES, solver="euler")
    assert found.reason == Reason.NOT_FINITE
    assert found.steps < 7


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"solver": "runge"}, "solver = 'runge', but it must be one of"),
        ({"solver": "rk4", "epsilon": 1.0, "key": jax.random.key(0)}, "has no noise: with epsilon it must be one of"),
        ({"solver": "noise-first"}, "'noise-first' is for noise"),
        ({"solver": "heun", "epsilon": 1.0}, "noise needs a key"),
        ({"solver": "heun", "epsilon": -1.0, "key": jax.random.key(0)}, "must not be negative"),
        ({"times": [0.0, 0.5, 0.2]}, "all increasing or all decreasing"),
        ({"times": [0.0, 0.5, 0.5]}, "all increasing or all decreasing"),
        ({"times": [0.0]}, "at least two in a row"),
        ({"x": jnp.zeros(3)}, "points \\(..., n, d\\)"),
        ({"fields": lambda t, x: x[:, :1]}, "the velocity has shape"),
        ({"rows": 0}, "rows = 0"),
    ],
)
def test_refusals(given, sentence):
    fields, x, times = (given.pop(name, other) for name, other in (("fields", FIELD), ("x", X), ("times", TIMES)))
    with pytest.raises(ValueError, match=sentence):
        carry(pure, fields, x, times, **given)


def test_noise_needs_a_score():
    with pytest.raises(TypeError, match="the field gives no score"):
        carry(pure, lambda t, x: x, X, TIMES, solver="euler", epsilon=1.0, key=jax.random.key(0))
