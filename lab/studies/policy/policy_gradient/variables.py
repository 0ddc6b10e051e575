"""The results of the study, and what its run fills them with."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from lab import memory
from lab.datasets import Data
from lab.numerics import Loop, Reason, Remembered
from lab.numerics.jit import jit
from lab.policy import ascent, environments, looks, lqr, mdp, policies, rollouts
from lab.studies.contract import Result

TABULAR, LQR = "tabular", "LQR"
ENVIRONMENTS = (TABULAR, *environments.NAMED, LQR)
RULES = tuple(ascent.RULES)
SHORT = {"PG": "pg", "N-PG-M": "npgm", "N-PG-IGT": "igt", "N-HARPG": "nharpg", "HARPG": "harpg"}
"""What a method is called in names of results."""
SIGMA = 0.5  # of the linear policy of the regulator
FRAMES, LOOKS = 9, 61
_CLIMBS = Remembered(bytes=memory.budget() // 8)

_UNKNOWN = "the gradient is not known here: choose tabular or LQR as the environment"
_IDLE = "this method did not run"
_UNMEASURED = {
    "slope": f"the exact gradient is not known, the error is 0, or {_IDLE}",
    "err": f"the exact gradient is not known, or {_IDLE}",
    "gap": f"the exact value is not known, or {_IDLE}",
}
_EACH = (
    ("slope", "slope of the error", "of log error by log t, from updates / 20 on: -1/3, -2/5, -1/2 in theory"),
    ("err", "error at the end", "|d - ∇J|, mean over seeds and the last tenth of the updates"),
    ("last", "return at the end", "mean over seeds and the last third of the updates"),
    ("gap", "gap at the end", "J* - J(θ), mean over seeds"),
)
RESULTS = (
    *(Result(f"{name}_{short}", (), f"{label}, {rule}", doc, headline=rule == "N-PG-IGT" and name != "gap",
             undefined=_UNMEASURED.get(name, _IDLE))
      for name, label, doc in _EACH for rule, short in SHORT.items()),
    Result("best", (), "J*", "the largest J of all policies, also of those that look at the clock", absent=_UNKNOWN),
    Result("bias_each", (), "bias of B v", "distance of a mean over 2,000 episodes from the exact product, in standard errors",
           absent=_UNKNOWN),
    Result("bias_means", (), "bias of a product of means", "the same, where two means are multiplied", absent=_UNKNOWN),
    Result("mean_g", (), "mean |g|", "of single episodes at the start"),
    Result("mean_bv", (), "mean |B v|", "of single episodes, v a unit vector along the way of the training"),
    Result("null", (), "null directions", "eigenvalues of the Fisher matrix below a millionth of the largest, at the end"),
    Result("ret", ("rule", "run", "update"), "return", "undiscounted, mean over the updates since the last one told"),
    Result("disc", ("rule", "run", "update"), "discounted return", "likewise"),
    Result("steps", ("rule", "run", "update"), "environment steps", "so far"),
    Result("grad_norm", ("rule", "update"), "|g|", "of the estimate, mean over seeds"),
    Result("dir_norm", ("rule", "update"), "|d|", "of the direction, mean over seeds"),
    Result("value", ("rule", "run", "update"), "J(θ)", "known exactly", absent=_UNKNOWN),
    Result("err", ("rule", "run", "update"), "|d - ∇J(θ)|", "error of the direction", absent=_UNKNOWN),
    Result("eta", ("rule", "update"), "η", "weight of the new gradient"),
    Result("gamma", ("rule", "update"), "γ", "step"),
    Result("way", ("rule", "update", "axis"), "θ", "of the first seed, on the two axes along which it varies most"),
    Result("sampled", ("rule", "update", "axis"), "sampled at", "where episodes were drawn: ahead, or between"),
    Result("spectrum", ("look", "eigen"), "eigenvalue", "of the Fisher matrix along the training of the method that is shown"),
    Result("choice", ("row", "column"), "action", "what the policy that is shown does at the end"),
    Result("line", ("part", "step", "corner", "axis"), "place", "what shows the state, before the training and after it"),
    Result("reward", ("part", "step"), "reward", "of these episodes"),
    Result("alive", ("part", "step"), "goes on", "1 until the episode ends"),
    Result("g_norm", ("episode",), "|g|", "of single episodes at the start"),
    Result("bv_norm", ("episode",), "|B v|", "of single episodes at the start"),
)
DIMS: Mapping[str, tuple[str, str]] = {
    "rule": ("method", ""), "run": ("seed", ""), "update": ("update t", ""), "axis": ("axis", ""), "look": ("update t", ""),
    "eigen": ("eigenvalue", ""), "row": ("row", ""), "column": ("column", ""), "part": ("policy", ""), "step": ("step", ""),
    "corner": ("corner", ""), "episode": ("episode", ""),
}


def inputs(data: Data) -> dict[str, Any]:
    """The process, as JAX has it."""
    known = mdp.checked(*(data.arrays[key] for key in ("transitions", "rewards", "start")))
    return {"mdp": known, "digest": data.sha256}


def chosen(p: Any) -> tuple[str, ...]:
    """The methods that run."""
    return RULES if p.method == "all" else (p.method,)


def shown_rule(p: Any) -> int:
    """The place among them of the one that is looked at."""
    return RULES.index(p.shown) if p.method == "all" else 0


def task_of(inputs: Mapping[str, Any], p: Any, own: Any) -> tuple[rollouts.Task, Any, Any]:
    """The task, what knows its J and gradient, and J*; None where they are not known."""
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


def places(p: Any, own: Any) -> np.ndarray:
    """The updates that are told of: by their logarithm where errors are known, else evenly."""
    return ascent.places(p.updates, LOOKS, own is None and p.environment in (TABULAR, LQR))


def _lengths(p: Any) -> list[Any]:
    """g0 by method: those that do not normalise have a share of it."""
    return [p.g0 if ascent.RULES[name].normalised else p.g0 * p.ratio for name in chosen(p)]


@jit
def _begin(task: rollouts.Task, seed: Any, n: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Where each seed starts, the keys of its climb, and one for what is looked at afterwards."""
    first, keys, look = jax.random.split(jax.random.key(seed), 3)
    return jax.vmap(task.policy.init)(jax.random.split(first, n)), jax.random.split(keys, n), look


def _climbed(inputs: Mapping[str, Any], p: Any, loop: Loop, task: Any, exact: Any, start: Any, keys: Any, own: Any) -> Any:
    """The climb; one that was made before and ended as it should is not made again when something else is looked at."""
    told = {name: getattr(p, name) for name in p if name != "shown"}

    def make() -> ascent.Climbed:
        oracle = ascent.sampled(task, p.batch, p.batch_hessian, p.baseline, p.curvature, exact)
        return ascent.ascend(
            oracle, start, keys, rules=chosen(p), g0=_lengths(p), updates=p.updates, eta0=p.eta0, at=places(p, own), loop=loop,
        )

    if own is not None or any(isinstance(value, Tracer) for value in (*told.values(), start)):
        return make()
    key = (inputs["digest"], tuple((name, float(x) if hasattr(x, "dtype") else x) for name, x in told.items()))
    return _CLIMBS.get(key, make, lambda found: int(found.reason) == Reason.CONVERGED)


def run(inputs: Mapping[str, Any], p: Any, loop: Loop, own: Any = None) -> dict[str, Any]:
    """Climb with the methods that were chosen, and look at what came of it."""
    task, exact, best = task_of(inputs, p, own)
    start, keys, look = _begin(task, jnp.asarray(p.seed), p.seeds)
    climbed = _climbed(inputs, p, loop, task, exact, start, keys, own)
    # traced, so that to look at another method compiles nothing
    at, names, which, log = climbed.places, chosen(p), np.int32(shown_rule(p)), climbed.log
    frames = np.unique(np.linspace(0, len(at) - 1, FRAMES).round().astype(int))
    looked = _looked(task, exact, log, climbed.theta, start[0], which, look, frames, p.only("curvature", "baseline"))
    told = _described(names, log, climbed.theta, exact, best, start[0], looked, _weights(at, p.updates))
    choice, wide = looked.choice, looked.wide
    return told | _rates(names, _lengths(p), p.eta0, at) | looked.episodes._asdict() | {
        "spectrum": looked.spectrum, "choice": choice.value, "g_norm": wide.gradient, "bv_norm": wide.curvature,
        "row": choice.y, "column": choice.x, "update": at, "look": at[frames],
        "reason": climbed.reason, "iterations": climbed.iterations,
    }


class _Looked(NamedTuple):
    """What the method that is shown came to, with its first seed."""

    move: Any  # from where it started
    choice: looks.Choices
    spectrum: Any
    wide: looks.Spread
    episodes: looks.Episodes


@jit
def _looked(
    task: Any, exact: Any, log: ascent.Log, theta: Any, start: Any, which: Any, look: Any, frames: Any, p: Any
) -> _Looked:
    theta, seen = theta[which, 0], log.theta[frames, which]
    move, count = theta - start, 64 if exact is None else 2000
    return _Looked(
        move, looks.choices(task, theta, look), looks.spectra(task, seen, look, 8),
        looks.spread(task, start, move, look, count, p.curvature, p.baseline), looks.episodes(task, start, theta, look),
    )


def _weights(at: np.ndarray, updates: int) -> tuple[np.ndarray, ...]:
    """How much each place counts in a slope, in the last tenth and in the last third; and the logarithm of its update."""
    since = np.diff(at, prepend=-1).astype(float)
    return (at >= updates / 20).astype(float), (at >= 0.9 * (updates - 1)) * since, (at >= (updates - 1) * 2 / 3) * since, \
        np.log(np.maximum(at, 1.0))


@jit
def _described(
    names: tuple[str, ...], log: ascent.Log, theta: Any, exact: Any, best: Any, at: Any, looked: _Looked, weights: Any
) -> dict[str, Any]:
    """Everything that is told in numbers, in one program; what was not reached is NaN."""
    move, wide, spectrum = looked.move, looked.wide, looked.spectrum
    fitted, tenth, third, times = (jnp.asarray(each) for each in weights)

    def mean(values: jax.Array, weight: jax.Array) -> jax.Array:
        return (values * weight[:, None]).sum(axis=0) / weight.sum()

    error = jnp.log(log.error.mean(axis=2))
    off = times - (times * fitted).sum() / fitted.sum()
    each = {
        "slope": (error * (off * fitted)[:, None]).sum(axis=0) / (off**2 * fitted).sum(),
        "err": mean(log.error.mean(axis=2), tenth), "last": mean(log.returned.mean(axis=2), third),
        "gap": jnp.full(theta.shape[0], jnp.nan) if exact is None else best - jax.vmap(jax.vmap(exact))(theta)[0].mean(axis=1),
    }
    path = looks.way(log.theta, log.sampled)
    by_run = {"ret": log.returned, "disc": log.discounted, "steps": log.steps}
    by_run |= {} if exact is None else {"value": log.value, "err": log.error}
    told = {name: jnp.moveaxis(values, 0, 2) for name, values in by_run.items()}
    told |= {"grad_norm": log.grad_norm.mean(axis=2).T, "dir_norm": log.dir_norm.mean(axis=2).T}
    told |= _by_method(each, names)
    told |= {"way": jnp.moveaxis(path.theta, 0, 1), "sampled": jnp.moveaxis(path.sampled, 0, 1),
             "null": (spectrum[-1] < 1e-6 * spectrum[-1, 0]).sum().astype(float),
             "mean_g": wide.gradient.mean(), "mean_bv": wide.curvature.mean()}
    if exact is not None:
        length = jnp.linalg.norm(move)
        known = jax.jvp(lambda x: exact(x)[1], (at,), (move / jnp.where(length > 0, length, 1),))[1]
        told |= {"best": best, "bias_each": jnp.linalg.norm(wide.each - known) / wide.error,
                 "bias_means": jnp.linalg.norm(wide.means - known) / wide.error}
    return told


def _by_method(each: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Numbers by the short name of their method; NaN of those that did not run."""
    return {f"{what}_{short}": values[names.index(name)] if name in names else jnp.asarray(jnp.nan)
            for what, values in each.items() for name, short in SHORT.items()}


@jit
def _rates(names: tuple[str, ...], lengths: list[Any], eta0: Any, at: Any) -> dict[str, Any]:
    rates = [ascent.schedule(ascent.RULES[name], g0, eta0, at) for name, g0 in zip(names, lengths, strict=True)]
    eta, gamma = (jnp.stack([jnp.broadcast_to(rate[part], at.shape) for rate in rates]) for part in range(2))
    return {"eta": eta, "gamma": gamma}


def plane_of(p: Any, own: Any) -> list[str]:
    """Names of the axes of the map of choices, and of its value."""
    if own is None and p.environment == TABULAR:
        return ["action", "state", "probability"]
    made = own if own is not None else lqr.LQR if p.environment == LQR else environments.NAMED[p.environment]
    plane = getattr(made, "plane", None)
    names = plane.names if plane else ("first observed", "second observed")
    value = "mean action" if made.kind == "continuous" else "first to last action"
    return [*names, value]
