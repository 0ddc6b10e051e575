"""Learn policies by the chosen methods, and analyze the policy of one of them."""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from lab import memory
from lab.datasets import Data
from lab.numerics import Loop, Reason, Remembered
from lab.numerics.jit import jit
from lab.policy import ascent, environments, lqr, mdp, policies, rollouts
from lab.studies.contract import Outputs, Run, out
from lab.studies.policy import diagnostics

TABULAR, LQR = "tabular", "LQR"
ENVIRONMENTS = (TABULAR, *environments.NAMED, LQR)
RULES = tuple(ascent.RULES)
SHORT = {"PG": "pg", "N-PG-M": "npgm", "N-PG-IGT": "igt", "N-HARPG": "nharpg", "HARPG": "harpg"}
"""Names of the methods in results."""
SIGMA = 0.5  # of the linear policy of the regulator
FRAMES, LOOKS = 9, 61
_CLIMBS = Remembered(bytes=memory.budget() // 8)

_UNKNOWN = "the exact gradient is not known here: choose tabular or LQR as the environment"
_IDLE = "this method did not run"
_NO_GRADIENT = f"the exact gradient is not known, or {_IDLE}"
_slope = partial(
    out,
    doc="of log error by log t, from updates / 20 on: -1/3, -2/5, -1/2 in theory",
    undefined=f"the exact gradient is not known, the error is 0, or {_IDLE}",
)
_err = partial(out, doc="|d - ∇J|, mean over seeds and the last tenth of the updates", undefined=_NO_GRADIENT)
_last = partial(out, doc="mean over seeds and the last third of the updates", undefined=_IDLE)
_gap = partial(out, doc="J* - J(θ), mean over seeds", undefined=f"the exact value is not known, or {_IDLE}")
_known = partial(out, absent=_UNKNOWN)


class Experiment(Outputs):
    """Gradient errors and returns of every method, and the policy of one of them."""

    slope_pg: Float[Array, ""] = _slope("slope of the error, PG")
    slope_npgm: Float[Array, ""] = _slope("slope of the error, N-PG-M")
    slope_igt: Float[Array, ""] = _slope("slope of the error, N-PG-IGT", headline=True)
    slope_nharpg: Float[Array, ""] = _slope("slope of the error, N-HARPG")
    slope_harpg: Float[Array, ""] = _slope("slope of the error, HARPG")
    err_pg: Float[Array, ""] = _err("final error, PG")
    err_npgm: Float[Array, ""] = _err("final error, N-PG-M")
    err_igt: Float[Array, ""] = _err("final error, N-PG-IGT", headline=True)
    err_nharpg: Float[Array, ""] = _err("final error, N-HARPG")
    err_harpg: Float[Array, ""] = _err("final error, HARPG")
    last_pg: Float[Array, ""] = _last("final return, PG")
    last_npgm: Float[Array, ""] = _last("final return, N-PG-M")
    last_igt: Float[Array, ""] = _last("final return, N-PG-IGT", headline=True)
    last_nharpg: Float[Array, ""] = _last("final return, N-HARPG")
    last_harpg: Float[Array, ""] = _last("final return, HARPG")
    gap_pg: Float[Array, ""] = _gap("final gap, PG")
    gap_npgm: Float[Array, ""] = _gap("final gap, N-PG-M")
    gap_igt: Float[Array, ""] = _gap("final gap, N-PG-IGT")
    gap_nharpg: Float[Array, ""] = _gap("final gap, N-HARPG")
    gap_harpg: Float[Array, ""] = _gap("final gap, HARPG")
    best: Float[Array, ""] | None = _known("J*", "maximum of J over all policies, including time-dependent ones")
    bias_each: Float[Array, ""] | None = _known("bias of B v", "of a mean over 2,000 episodes, in standard errors")
    bias_means: Float[Array, ""] | None = _known("bias of a product of means", "the same, for two means over episodes")
    null: Float[Array, ""] = out("null directions", "final eigenvalues of the Fisher matrix below 1e-6 of the largest")
    ret: Float[Array, "rule run update"] = out("return", "undiscounted, mean over the updates since the last record")
    steps: Float[Array, "rule run update"] = out("environment steps", "total number so far")
    value: Float[Array, "rule run update"] | None = _known("J(θ)", "computed exactly")
    err: Float[Array, "rule run update"] | None = _known("|d - ∇J(θ)|", "error of the direction")
    way: Float[Array, "rule update axis"] = out("θ", "of the first seed, on its two principal axes")
    sampled: Float[Array, "rule update axis"] = out("sampling point", "parameters at which episodes were drawn")
    spectrum: Float[Array, "look eigen"] = out("eigenvalue", "of the Fisher matrix along training of the shown method")
    choice: Float[Array, "row column"] = out("action", "of the final policy of the shown method")
    line: Float[Array, "part step corner axis"] = out("position", "drawing of each state, before and after training")
    reward: Float[Array, "part step"] = out("reward", "of these episodes")
    alive: Float[Array, "part step"] = out("continues", "1 until the episode ends")


def inputs_of(data: Data) -> dict[str, Any]:
    """The process as arrays of JAX."""
    known = mdp.checked(*(data.arrays[key] for key in ("transitions", "rewards", "start")))
    return {"mdp": known, "digest": data.sha256}


def chosen(p: Any) -> tuple[str, ...]:
    """The methods that run."""
    return RULES if p.method == "all" else (p.method,)


def task_of(inputs: Mapping[str, Any], p: Any, own: Any) -> tuple[rollouts.Task, Any, Any]:
    """The task, its exact J and gradient, and J*; None if they are not known."""
    discount = jnp.asarray(p.discount, float)
    if own is None and p.environment == TABULAR:
        known = inputs["mdp"]
        made = environments.Tabular(known)
        task = rollouts.task(made, policies.tabular(made.observations, made.actions), p.horizon, discount)
        return task, mdp.Exact(known, p.horizon, discount), _best(known, p.horizon, discount)
    if own is None and p.environment == LQR:
        system = lqr.double_integrator()
        task = rollouts.task(system, lqr.linear(system, SIGMA), p.horizon, discount)
        exact = lqr.Exact(system, jnp.asarray(SIGMA), p.horizon, discount)
        return task, exact, _best(system, p.horizon, discount)
    made = environments.named(p.environment) if own is None else own
    policy = policies.network(made.kind, made.observations, made.actions, (p.units, p.units))
    return rollouts.task(made, policy, p.horizon, discount), None, None


@jit
def _best(known: Any, horizon: int, discount: Any) -> jax.Array:
    if isinstance(known, mdp.MDP):
        return mdp.optimum(known, horizon, discount)
    return lqr.optimum(known, SIGMA, horizon, discount)


def _lengths(p: Any) -> list[Any]:
    """The first step of each method: a fraction of γ₀ for methods that do not normalize."""
    return [p.g0 if ascent.RULES[name].normalised else p.g0 * p.ratio for name in chosen(p)]


@jit
def _begin(task: rollouts.Task, seed: Any, n: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Initial parameters and keys of each seed, and a key for the analysis."""
    first, keys, look = jax.random.split(jax.random.key(seed), 3)
    return jax.vmap(task.policy.init)(jax.random.split(first, n)), jax.random.split(keys, n), look


def _climbed(
    inputs: Mapping[str, Any], p: Any, loop: Loop, task: Any, exact: Any, start: Any, keys: Any, own: Any
) -> Any:
    """The training, from memory if only the shown method differs."""
    given = {name: getattr(p, name) for name in p if name != "shown"}

    def make() -> ascent.Climbed:
        oracle = ascent.sampled(task, p.batch, p.batch_hessian, p.baseline, p.curvature, exact)
        known = own is None and p.environment in (TABULAR, LQR)
        at = ascent.places(p.updates, LOOKS, known)  # by their logarithm if errors are known, else evenly
        settings: dict[str, Any] = {
            "rules": chosen(p),
            "g0": _lengths(p),
            "updates": p.updates,
            "eta0": p.eta0,
            "at": at,
        }
        return ascent.ascend(oracle, start, keys, **settings, loop=loop)

    if own is not None or any(isinstance(value, Tracer) for value in (*given.values(), start)):
        return make()
    key = (inputs["digest"], tuple((name, float(x) if hasattr(x, "dtype") else x) for name, x in given.items()))
    return _CLIMBS.get(key, make, lambda found: int(found.reason) == Reason.CONVERGED)


def learn(inputs: Mapping[str, Any], p: Any, loop: Loop, own: Any) -> Run[Experiment]:
    """Train by the chosen methods, and analyze the policy of the shown one."""
    task, exact, best = task_of(inputs, p, own)
    start, keys, look = _begin(task, jnp.asarray(p.seed), p.seeds)
    climbed = _climbed(inputs, p, loop, task, exact, start, keys, own)
    # traced, so that another shown method compiles nothing
    at, which, log = climbed.places, np.int32(RULES.index(p.shown) if p.method == "all" else 0), climbed.log
    frames = np.unique(np.linspace(0, len(at) - 1, FRAMES).round().astype(int))
    looked = _looked(task, exact, log, climbed.theta, start[0], which, look, frames, p.only("curvature", "baseline"))
    numbers = _described(chosen(p), log, climbed.theta, exact, best, start[0], looked, _weights(at, p.updates))
    choice = looked.choice
    outputs = Experiment(**numbers, **looked.episodes._asdict(), spectrum=looked.spectrum, choice=choice.value)
    coords = {"update": at, "look": at[frames], "row": choice.y, "column": choice.x}
    return Run(outputs, climbed.reason, climbed.iterations, coords=coords)


class _Looked(NamedTuple):
    """The shown method's result with the first seed."""

    move: Any  # from the initial parameters
    choice: diagnostics.Choices
    spectrum: Any
    wide: diagnostics.Spread
    episodes: diagnostics.Episodes


@jit
def _looked(
    task: Any, exact: Any, log: ascent.Log, theta: Any, start: Any, which: Any, look: Any, frames: Any, p: Any
) -> _Looked:
    theta, seen = theta[which, 0], log.theta[frames, which]
    move, count = theta - start, 64 if exact is None else 2000
    return _Looked(
        move,
        diagnostics.choices(task, theta, look),
        diagnostics.spectra(task, seen, look, 8),
        diagnostics.spread(task, start, move, look, count, p.curvature, p.baseline),
        diagnostics.episodes(task, start, theta, look),
    )


def _weights(at: np.ndarray, updates: int) -> tuple[np.ndarray, ...]:
    """Weights of each record in a slope, in the last tenth and in the last third; and the logarithm of its update."""
    since = np.diff(at, prepend=-1).astype(float)
    tenth, third = (at >= 0.9 * (updates - 1)) * since, (at >= (updates - 1) * 2 / 3) * since
    return (at >= updates / 20).astype(float), tenth, third, np.log(np.maximum(at, 1.0))


@jit
def _described(
    names: tuple[str, ...], log: ascent.Log, theta: Any, exact: Any, best: Any, at: Any, looked: _Looked, weights: Any
) -> dict[str, Any]:
    """All numbers, in one program; updates that were not reached are NaN."""
    move, wide, spectrum = looked.move, looked.wide, looked.spectrum
    fitted, tenth, third, times = (jnp.asarray(each) for each in weights)

    def mean(values: jax.Array, weight: jax.Array) -> jax.Array:
        return (values * weight[:, None]).sum(axis=0) / weight.sum()

    error = jnp.log(log.error.mean(axis=2))
    off = times - (times * fitted).sum() / fitted.sum()
    each = {
        "slope": (error * (off * fitted)[:, None]).sum(axis=0) / (off**2 * fitted).sum(),
        "err": mean(log.error.mean(axis=2), tenth),
        "last": mean(log.returned.mean(axis=2), third),
        "gap": jnp.full(theta.shape[0], jnp.nan),
    }
    if exact is not None:
        each["gap"] = best - jax.vmap(jax.vmap(exact))(theta)[0].mean(axis=1)
    path = diagnostics.way(log.theta, log.sampled)
    by_run = {"ret": log.returned, "steps": log.steps}
    by_run |= {} if exact is None else {"value": log.value, "err": log.error}
    found = {name: jnp.moveaxis(values, 0, 2) for name, values in by_run.items()}
    found |= _by_method(each, names)
    found |= {"way": jnp.moveaxis(path.theta, 0, 1), "sampled": jnp.moveaxis(path.sampled, 0, 1)}
    found["null"] = (spectrum[-1] < 1e-6 * spectrum[-1, 0]).sum().astype(float)
    if exact is not None:
        length = jnp.linalg.norm(move)
        known = jax.jvp(lambda x: exact(x)[1], (at,), (move / jnp.where(length > 0, length, 1),))[1]
        found |= {
            "best": best,
            "bias_each": jnp.linalg.norm(wide.each - known) / wide.error,
            "bias_means": jnp.linalg.norm(wide.means - known) / wide.error,
        }
    return found


def _by_method(each: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Numbers by the short name of their method; NaN for methods that did not run."""
    return {
        f"{what}_{short}": values[names.index(name)] if name in names else jnp.asarray(jnp.nan)
        for what, values in each.items()
        for name, short in SHORT.items()
    }


def plane_of(p: Any, own: Any) -> list[str]:
    """Names of the axes of the map of choices, and of its value."""
    if own is None and p.environment == TABULAR:
        return ["action", "state", "probability"]
    made = own if own is not None else lqr.LQR if p.environment == LQR else environments.NAMED[p.environment]
    plane = getattr(made, "plane", None)
    names = plane.names if plane else ("first observed", "second observed")
    value = "mean action" if made.kind == "continuous" else "first to last action"
    return [*names, value]
