r"""The flows of four couplings of one source and one data set, side by side, without a network.

Each coupling has the field $v(t, x) = E[X_1 - X_0 \mid (1-t) X_0 + t X_1 = x]$:

- I-CFM (independent pairs), W-CFM (Gibbs weights), EOT-CFM (entropic transport): a softmax over the data, exact for the data
  as they are;
- OT-CFM: pairs of many batches, each paired at least cost, and the mean over the pairs near x.

``draw`` the points, find the ``potentials`` of entropic transport, make the ``fields``, carry the ``starts`` along them over a
``grid``, then compare ``clouds`` and ``describe`` what was found.

Source: Calvo-Ordonez et al., *Weighted Conditional Flow Matching* (2025).
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PRNGKeyArray

from lab.choices import chosen
from lab.numerics import Loop, random
from lab.numerics.jit import jit
from lab.paths import couplings, metrics, training, weighted
from lab.paths.couplings import Cost, cost_matrix
from lab.paths.fields import Exact, exact
from lab.paths.laws import Empirical, Mixture, Pairs, effective_pairs
from lab.paths.network import Perceptron
from lab.paths.points import spread, stratified, systematic
from lab.paths.sampling import between, graded, ode
from lab.paths.schedules import Linear

INDEPENDENT, WEIGHTED, MINIBATCH, ENTROPIC = METHODS = ("I-CFM", "W-CFM", "OT-CFM", "EOT-CFM")
MARGIN = 1e-4
"""Short of 1, where the field of points is not known: from there a last Euler step takes every particle to the mean of the
data given where it is, x + (1 - t) v(t, x)."""
MOST = 4000
"""Data points up to which entropic transport is solved."""
SAMPLES = 4
"""Of the data, to compare with."""
_NEAR = 1000  # particles that exact distances take, whose time grows with the cube
_SHOWN = 600  # particles whose paths are kept
_PLAN = 48  # points a side of the plans that are shown
_ATOMS = 64  # points up to which it is counted how many particles end in each
_SWEEPS = 2000  # of Sinkhorn
_BATCH = 256  # of a training
_TABLE = {1: 801, 2: 96}  # places a side of tabulated potentials, by dimension


class Drawn(NamedTuple):
    """Points of both laws."""

    points: Float[Array, "m d"]  # the data that fields are made of
    x0: Float[Array, "n d"]  # where particles start
    tilted: Float[Array, "n d"]  # where those of W-CFM start
    sample: Float[Array, "draws d"]  # of the source, that stands for it
    fresh: Float[Array, "samples near d"]  # of the data, to compare with
    noise: Float[Array, "pairs d"]  # for OT-CFM
    rows: Int[Array, " pairs"]  # of the points


class Fields(NamedTuple):
    """One for each method, and the pairs that the one of OT-CFM is a mean of."""

    each: tuple[Exact, ...]
    coupled: Pairs | None


def followed(points: Float[Array, "m d"], compare: bool = True) -> tuple[str, ...]:
    """The methods that can be followed: OT-CFM and EOT-CFM up to the plane, the latter for at most ``MOST`` points."""
    m, d = points.shape
    if not compare or d > 2:
        return METHODS[:2]
    return METHODS if m <= MOST else METHODS[:3]


def grid(steps: int) -> np.ndarray:
    """Times (steps + 2,): crowded at the end, where particles go to points, and 1."""
    return np.append(graded(steps, 0.0, 1 - MARGIN), 1.0)


@chosen
@jit
def draw(
    key: PRNGKeyArray,
    source: Mixture,
    target: Any,
    points: Float[Array, "m d"],
    epsilon: ArrayLike,
    cost: Cost,
    n: int,
    pairs: int,
    *,
    tilted: bool = False,
    centred: bool = False,
) -> Drawn:
    """Everything random of a comparison.

    Args:
        target: the law of the data, or the data themselves.
        points: the data that fields are made of.
        epsilon, cost: of the weights.
        n, pairs: number of particles, and of pairs of OT-CFM.
        tilted: W-CFM starts from the source as its weights have it, from which it ends where theory says.
        centred: the data are moved so that both laws have one mean.
    """
    m = points.shape[0]
    shift = points.mean(axis=0) - source.weights @ source.means if centred else jnp.zeros_like(points[0])
    points, near = points - shift[None], min(n, _NEAR)
    draws = int(np.clip(2e7 // m, 100, 1000))
    keys = jax.random.split(key, 5)
    even = 8 * n if tilted else n
    x0 = spread(source, keys[0], even + draws)
    fresh = stratified(target, keys[1], near, SAMPLES) - shift[None, None]
    rows = random.randint(keys[2], (pairs,), 0, m)
    start = x0[:n]
    if tilted:
        # sorted, as every eighth of the even sequence would be taken for all of it
        pool = x0[jnp.argsort(x0[:even, 0])]
        tau = jax.nn.logsumexp(-cost_matrix(pool, points, cost) / epsilon, axis=1)
        first, second = jax.random.split(keys[3])
        start = jax.random.permutation(first, pool[systematic(second, jax.nn.softmax(tau), n)])
    return Drawn(points, x0[:n], start, x0[even:], fresh, source.sample(keys[4], pairs), rows)


@chosen
def potentials(loop: Loop, drawn: Drawn, epsilon: ArrayLike, cost: Cost) -> weighted.Entropic:
    """Of entropic transport between the sample of the source and the data."""
    return weighted.entropic(
        drawn.sample, drawn.points, epsilon, cost, tolerance=1e-6, max_iterations=_SWEEPS, loop=loop
    )


@chosen
@jit
def fields(
    methods: Sequence[str],
    source: Mixture,
    drawn: Drawn,
    epsilon: ArrayLike,
    cost: Cost,
    batch: ArrayLike,
    bandwidth: ArrayLike,
    entropic: weighted.Entropic | None,
) -> Fields:
    """The fields of these methods. ``batch`` is the size of the batches of OT-CFM, ``bandwidth`` that of its mean."""
    points, schedule = Empirical(drawn.points), Linear()
    made: dict[str, Any] = {INDEPENDENT: None, WEIGHTED: weighted.Gibbs(epsilon, cost)}
    if ENTROPIC in methods:
        assert entropic is not None
        reach = 6 * jnp.sqrt(jnp.max(source.covariances))
        low, high = source.means.min(axis=0) - reach, source.means.max(axis=0) + reach
        made[ENTROPIC] = weighted.tabulated(entropic, low, high, _TABLE[drawn.points.shape[1]])
    each = {name: exact(schedule, source, points, tilt=tilt) for name, tilt in made.items()}
    coupled = None
    if MINIBATCH in methods:
        x1 = drawn.points[drawn.rows]
        order, weights = couplings.by_batches(drawn.noise, x1, batch)
        coupled = Pairs(drawn.noise[order], x1, bandwidth, weights)
        each[MINIBATCH] = exact(schedule, coupled)
    return Fields(tuple(each[name] for name in methods), coupled)


def starts(methods: Sequence[str], drawn: Drawn) -> Float[Array, "methods n d"]:
    """Where the particles of each method begin."""
    return jnp.stack([drawn.tilted if name == WEIGHTED else drawn.x0 for name in methods])


@chosen
@jit
def clouds(
    key: PRNGKeyArray, drawn: Drawn, ends: Float[Array, "methods n d"], epsilon: ArrayLike, cost: Cost
) -> Float[Array, "pairs 2 near d"]:
    """Pairs of clouds to compare: all methods with two samples of the data, samples with each other, the source with the data,
    W-CFM with the data as its weights have them."""
    points, fresh = drawn.points, drawn.fresh
    near, count = fresh.shape[1], ends.shape[0]
    found = weighted.tilt(drawn.sample, points, epsilon, cost)
    own = points[systematic(jax.random.fold_in(key, 7), found.target, near)]
    x0 = drawn.x0[:near]
    first = jnp.concatenate([ends[:, :near], ends[:, :near], fresh[1:], jnp.stack([x0] * SAMPLES), ends[1:2, :near]])
    second = [fresh[0]] * count + [fresh[1]] * count + [fresh[0]] * (SAMPLES - 1) + list(fresh) + [own]
    return jnp.stack([first, jnp.stack(second)], axis=1)


@chosen
class TiltAt(eqx.Module):
    """Effective share and tilt R of both ends, at an epsilon."""

    sample: Float[Array, "draws d"]
    points: Float[Array, "m d"]
    cost: Cost = eqx.field(static=True)

    def __call__(self, epsilon: Float[Array, ""]) -> tuple[Array, Array, Array]:
        found = weighted.tilt(self.sample, self.points, epsilon, self.cost)
        return found.ess, found.source_variance, found.target_variance


@chosen
@jit
def describe(
    methods: Sequence[str],
    drawn: Drawn,
    epsilon: ArrayLike,
    cost: Cost,
    entropic: weighted.Entropic | None,
    coupled: Pairs | None,
    times: Float[Array, " times"],
    x: Float[Array, "times methods n d"],
    w2sq: Float[Array, " pairs"],
    plane: Float[Array, "d e"],
    frames: Float[Array, " frames"],
) -> dict[str, Any]:
    """What the paths x of the particles and the distances of the ``clouds`` say, and what is seen of them on a plane.

    Where not all of ``METHODS`` were followed, the values of the others are NaN.
    """
    points, ends, count = drawn.points, x[-1], len(methods)
    found = weighted.tilt(drawn.sample, points, epsilon, cost)
    fit, floor = w2sq[: 2 * count].reshape(2, count).mean(axis=0), w2sq[2 * count : 2 * count + SAMPLES - 1].mean()
    laws = w2sq[2 * count + SAMPLES - 1 : -1].mean()
    energy = jax.vmap(lambda x: metrics.path_energy(x, times), 1)(x)
    npe = metrics.normalized_path_energy(energy, laws).value
    bending = jax.vmap(lambda x: metrics.straightness(x, times).value, 1)(x)
    moved = jax.vmap(lambda x, z: couplings.cost_between(x, z, cost).mean())(x[0], ends)

    def of_all(values: Array) -> Array:
        """One for each method, NaN of those that were not followed."""
        none = jnp.full_like(values[0], jnp.nan)
        return jnp.stack([values[methods.index(name)] if name in methods else none for name in METHODS])

    output = {
        "w2sq": fit[1],
        "w2sq_independent": fit[0],
        "w2sq_floor": floor,
        "energy_ratio": energy.value[1] / laws,
        "npe_weighted": npe[1],
        "npe_independent": npe[0],
        "ess": found.ess,
        "tilt_data": found.target_variance,
        "w2sq_laws": laws,
        "w2sq_own": w2sq[-1],
        "log_z": found.log_z,
        "dimension": jnp.int32(points.shape[1]),
        "tilt_var": jnp.stack([found.source_variance, found.target_variance]),
        "tau": found.target,
        "points": points @ plane,
        "goals": drawn.fresh[0, :_SHOWN] @ plane,
        "fit_w2sq": of_all(fit),
        "pe": of_all(energy.value),
        "pe_error": of_all(energy.error),
        "npe": of_all(npe),
        "straightness": of_all(bending),
        "transport": of_all(moved),
        "plan": _plans(drawn, entropic, epsilon, cost, plane),
        "paths": of_all((between(times, x[:, :, :_SHOWN], frames) @ plane).swapaxes(0, 1)).swapaxes(0, 1),
    }
    if points.shape[0] <= _ATOMS:
        counts = jax.vmap(lambda z: metrics.modes(z, points).counts)(ends)
        output |= {
            "mass": of_all(counts.astype(x.dtype) / ends.shape[1]),
            "mass_weighted": found.target / points.shape[0],
        }
    if coupled is not None:
        middle = (coupled.x0 + coupled.x1) / 2
        output["neighbours"] = effective_pairs(coupled, middle[:: max(1, middle.shape[0] // 200)])
    return output | _of_pairs(drawn, epsilon, cost, entropic, coupled, found)


def _of_pairs(drawn: Drawn, epsilon: Any, cost: Cost, entropic: Any, coupled: Any, found: weighted.Tilt) -> dict:
    """Mean cost of the pairs of each coupling, and how far the weighted one is from entropic transport."""
    costs = cost_matrix(drawn.sample, drawn.points, cost)
    nothing, output = jnp.full((), jnp.nan, costs.dtype), {}
    pair_cost = {INDEPENDENT: costs.mean(), WEIGHTED: found.transport}
    if coupled is not None:
        pair_cost[MINIBATCH] = coupled.weights @ couplings.cost_between(coupled.x0, coupled.x1, cost)
    if entropic is not None:
        log_pairs = -costs / epsilon
        log_entropic = (entropic.potential(drawn.sample)[:, None] + entropic.g[None]) / epsilon + log_pairs
        output["kl_entropic"] = (jnp.exp(log_pairs - found.log_z) * (log_pairs - found.log_z - log_entropic)).mean()
        pair_cost[ENTROPIC] = (jnp.exp(log_entropic) * costs).mean()
    return output | {"pair_cost": jnp.stack([pair_cost.get(name, nothing) for name in METHODS])}


def _plans(drawn: Drawn, entropic: Any, epsilon: Any, cost: Cost, plane: Array) -> Float[Array, "methods k k"]:
    """Couplings of some points of both sides, each of total 1; of OT-CFM where these are a batch."""
    k = min(_PLAN, drawn.sample.shape[0], drawn.points.shape[0])
    rows, columns = (jnp.argsort((z[:k] @ plane)[:, 0]) for z in (drawn.sample, drawn.points))
    x, y = drawn.sample[rows], drawn.points[columns]
    logs = -cost_matrix(x, y, cost) / epsilon
    if entropic is None:
        tilted = jnp.full_like(logs, jnp.nan)
    else:
        tilted = logs + (entropic.potential(x)[:, None] + entropic.g[columns][None]) / epsilon
    tables = [jax.nn.softmax(table.ravel()).reshape(k, k) for table in (jnp.zeros_like(logs), logs, tilted)]
    tables.insert(2, jax.nn.one_hot(couplings.assignment(cost_matrix(x, y)), k, dtype=logs.dtype) / k)
    return jnp.stack(tables)


@chosen
def train(
    loop: Loop,
    key: PRNGKeyArray,
    method: Literal["I-CFM", "W-CFM", "OT-CFM", "EOT-CFM"] | str,
    source: Mixture,
    points: Float[Array, "m d"],
    epsilon: ArrayLike,
    cost: Cost,
    batch: ArrayLike,
    *,
    units: int,
    learning_rate: ArrayLike,
    steps: int,
) -> training.Training:
    """A network for the velocity, trained on the pairs of one of the methods; ``batch`` is the size of those of OT-CFM."""
    coupling = {
        INDEPENDENT: couplings.Independent,
        WEIGHTED: lambda: couplings.Weighted(epsilon, cost),
        MINIBATCH: couplings.Assignment,
        ENTROPIC: lambda: couplings.Entropic(epsilon, cost),
    }[method]()
    size = jnp.minimum(jnp.asarray(batch), _BATCH) if method == MINIBATCH else jnp.asarray(_BATCH)
    init, draws = jax.random.split(jax.random.fold_in(key, 1 << 21))
    network = Perceptron(init, points.shape[1], units, dtype=points.dtype)
    settings = training.Settings(learning_rate=learning_rate, batch_size=size, anneal=1.0)
    return training.train(
        draws, network, source, Empirical(points), None, coupling, settings, steps=steps, batch=_BATCH, loop=loop
    )


@jit
def describe_network(network: Any, drawn: Drawn, laws: Float[Array, ""], steps: int) -> dict[str, Any]:
    """Fit and energy of the flow of a network. ``laws``: W2 squared of source and data."""
    path = ode(network, drawn.x0, steps=steps, solver="heun")
    near = drawn.fresh.shape[1]
    return {
        "net_w2sq": metrics.squared_wasserstein(path.end[:near], drawn.fresh[0]),
        "net_npe": metrics.normalized_path_energy(metrics.path_energy(path.x, path.t), laws).value,
    }
