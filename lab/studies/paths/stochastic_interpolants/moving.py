"""The particles of all samplers, moved together step by step, so that a run reports and can be stopped."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from lab import paths
from lab.numerics import Method, Reason

from .fields import Used


class Walk(eqx.Module):
    """What moves: the first ``odes`` rows of ``start`` by the ODE, the others by the SDE."""

    used: Used
    start: Any  # (n, d)
    times: Any  # (steps + 1,)
    level: Any  # (steps + 1,) of the noise
    key: Any
    odes: int = eqx.field(static=True)
    solver: str = eqx.field(static=True)
    scheme: str = eqx.field(static=True)


class State(NamedTuple):
    """Where they have been: (steps + 1, n, d), of which ``steps`` are done."""

    x: Any
    steps: Any


def _init(walk: Walk) -> State:
    x = jnp.zeros((walk.times.size, *walk.start.shape), walk.start.dtype)
    return State(x.at[0].set(walk.start), jnp.int32(0))


def _step(walk: Walk, state: State) -> State:
    k = state.steps
    grid, level = (jax.lax.dynamic_slice(each, (k,), (2,)) for each in (walk.times, walk.level))
    x, noise = state.x[k], jax.random.fold_in(walk.key, k)
    ode = paths.ode(walk.used, x[: walk.odes], grid=grid, solver=walk.solver, keep=False)
    sde = paths.sde(walk.used, x[walk.odes :], noise, level, grid=grid, scheme=walk.scheme, keep=False)
    return State(state.x.at[k + 1].set(jnp.concatenate([ode.end, sde.end])), k + 1)


def _done(walk: Walk, state: State) -> Any:
    reason = jnp.where(state.steps >= walk.times.size - 1, Reason.CONVERGED, Reason.RUNNING)
    return jnp.where(jnp.isfinite(state.x[state.steps]).all(), reason, Reason.NOT_FINITE).astype(jnp.int32)


STEPS = Method(_init, _step, _done, lambda walk, state: {"time": walk.times[state.steps]})
