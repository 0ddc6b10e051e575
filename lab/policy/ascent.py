r"""Five ways to climb J with one or a few episodes per update.

A rule is a row of numbers: with $\eta_t = (2/(t+2))^{p}$ and $\gamma_t = \gamma_0 (2/(t+2))^{q}$, at the point $x_t$ of
the gradient,

$$ d_t = (1 - \eta_t)(d_{t-1} + v_t) + \eta_t\, g(\tau_t, x_t), \qquad
   \theta_{t+1} = \theta_t + \gamma_t\, d_t \ \text{ or } \ \theta_t + \gamma_t\, d_t / |d_t| , $$

| rule | p | q | x_t | v_t | step |
|---|---|---|---|---|---|
| PG | (eta = 1) | 2/3 | theta_t | 0 | d |
| N-PG-M | 2/3 | 1 | theta_t | 0 | d/|d| |
| N-PG-IGT | 4/5 | 1 | theta_t + (1 - eta_t)/eta_t (theta_t - theta_{t-1}) | 0 | d/|d| |
| N-HARPG | 1 | 1 | theta_t | B(theta')(theta_t - theta_{t-1}) | d/|d| |
| HARPG | 1 | 1/2 | theta_t | B(theta')(theta_t - theta_{t-1}) | d |

where theta' is uniform on the segment between theta_{t-1} and theta_t, so that E v is the difference of the two gradients. The
episodes of v are others than those of g. Fatkhullin, Barakat, Kireeva, He, ICML 2023; Cutkosky, Mehta, 2020.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray

from lab.choices import chosen
from lab.inputs import listed, shown
from lab.numerics import arguments, random
from lab.numerics.differentiation import refuse_derivative
from lab.numerics.host import placed
from lab.numerics.iterate import Loop, Method, Reason, pure

from . import estimators
from .rollouts import Task, rollouts

type Vector = Float[Array, " d"]


class Rule(NamedTuple):
    """A method, as in the table above."""

    name: str
    momentum: float  # p; 0: eta is 1, there is no memory
    step: float  # q
    ahead: bool = False
    normalised: bool = True
    corrected: bool = False


RULES = {
    rule.name: rule
    for rule in (
        Rule("PG", 0.0, 2 / 3, normalised=False),
        Rule("N-PG-M", 2 / 3, 1.0),
        Rule("N-PG-IGT", 4 / 5, 1.0, ahead=True),
        Rule("N-HARPG", 1.0, 1.0, corrected=True),
        Rule("HARPG", 1.0, 1 / 2, normalised=False, corrected=True),
    )
}


class Told(NamedTuple):
    """What an estimate says of its episodes: mean return and discounted return, and the steps that were taken in all."""

    returned: Float[Array, ""]
    discounted: Float[Array, ""]
    steps: Float[Array, ""]


@runtime_checkable
class Oracle(Protocol):
    """Where gradients come from. ``exact`` gives J and its gradient where they are known; None where they are not."""

    exact: Any

    def gradient(self, theta: Vector, key: PRNGKeyArray) -> tuple[Vector, Told]: ...
    def curvature(self, theta: Vector, v: Vector, key: PRNGKeyArray) -> tuple[Vector, Told]: ...


@chosen
class Sampled(eqx.Module):
    """Estimates from episodes; ``sampled`` makes it."""

    task: Task
    exact: Any  # a pytree that is called with theta, or None
    batch: int = eqx.field(static=True)
    curvature_batch: int = eqx.field(static=True)
    baseline: estimators.Baseline = eqx.field(static=True)
    kind: estimators.Curvature = eqx.field(static=True)

    def _episodes(self, theta: Array, key: Array, n: int) -> tuple[Any, Array, Told]:
        batch = rollouts(self.task, theta, key, n)
        earned = estimators.discounted(batch, self.task.discount).sum(axis=1).mean()
        told = Told(batch.rewards.sum(axis=1).mean(), earned, batch.alive.sum().astype(theta.dtype))
        return batch, estimators.baseline(batch, self.task.discount, self.baseline), told

    def gradient(self, theta: Vector, key: PRNGKeyArray) -> tuple[Vector, Told]:
        batch, less, told = self._episodes(theta, key, self.batch)
        return estimators.gradient(self.task.policy, theta, batch, self.task.discount, less), told

    def curvature(self, theta: Vector, v: Vector, key: PRNGKeyArray) -> tuple[Vector, Told]:
        batch, less, told = self._episodes(theta, key, self.curvature_batch)
        return estimators.hvp(self.task.policy, theta, batch, v, self.task.discount, less, self.kind), told


@chosen
def sampled(
    task: Task,
    batch: int,
    curvature_batch: int | None = None,
    baseline: estimators.Baseline = "none",
    kind: estimators.Curvature = "product",
    exact: Any = None,
) -> Sampled:
    """Gradients $g$ from ``batch`` episodes, products $B v$ from ``curvature_batch`` others (as many when omitted).

    Args:
        task: what is to be learned.
        batch: episodes of a gradient.
        curvature_batch: episodes of a Hessian-vector product.
        baseline: "none", or "others", the mean of the other episodes.
        kind: of the products: "product" or "dice".
        exact: J and its gradient of theta, where they are known.

    Returns:
        what ``ascend`` asks.

    Raises:
        ValueError: fewer than one episode, than two for a baseline from the others, or an unknown word.

    Source:
        Fatkhullin, Barakat, Kireeva and He (2023).

    Examples:
        >>> from lab import policy
        >>> task = policy.task(policy.named("CartPole"), policy.network("discrete", 4, 2, ()), 10, 0.99)
        >>> policy.sampled(task, 4).curvature_batch
        4
    """
    curvature_batch = batch if curvature_batch is None else curvature_batch
    for name, n in (("batch", batch), ("curvature_batch", curvature_batch)):
        arguments.whole(name, n, 1)
        if n < 2 and baseline == "others":
            raise ValueError(
                f"{name} = {n}, but a baseline from the other episodes needs at least 2: take more, or the baseline 'none'"
            )
    return Sampled(task, exact, batch, curvature_batch, baseline, kind)


class _Rows(eqx.Module):
    """Rules by number."""

    momentum: Float[Array, " r"]
    step: Float[Array, " r"]
    ahead: Float[Array, " r"]
    normalised: Float[Array, " r"]
    g0: Float[Array, " r"]


class Climb(eqx.Module):
    """What the loop sees: an oracle, rules of which the last have a correction, seeds, where to look."""

    oracle: Any
    rows: _Rows
    start: Float[Array, "k d"]
    keys: Key[Array, " k"]
    eta0: Float[Array, ""]
    updates: Int[Array, ""]
    places: Int[Array, " p"]
    names: tuple[str, ...] = eqx.field(static=True)
    corrected: int = eqx.field(static=True)  # how many of them, the last ones, have a correction


class Lanes(NamedTuple):
    """By rule and seed."""

    theta: Float[Array, "r k d"]
    before: Float[Array, "r k d"]
    direction: Float[Array, "r k d"]


class Log(NamedTuple):
    """What is told at some updates. Returns are means over the updates since the last one that is told of.

    ``sampled`` is the look-ahead point, or the random mid-point, from which episodes were drawn. NaN is what was not
    reached, or is not known.
    """

    returned: Float[Array, "p r k"]
    discounted: Float[Array, "p r k"]
    steps: Float[Array, "p r k"]  # of the environment, so far
    grad_norm: Float[Array, "p r k"]
    dir_norm: Float[Array, "p r k"]
    value: Float[Array, "p r k"]  # J(theta_t)
    error: Float[Array, "p r k"]  # |d_t - grad J(theta_t)|
    theta: Float[Array, "p r d"]  # of the first seed
    sampled: Float[Array, "p r d"]  # of the first seed


class Climbing(NamedTuple):
    """Whence a climb goes on."""

    lanes: Lanes
    step: Int[Array, ""]
    steps: Float[Array, "r k"]
    returned: Float[Array, "r k"]  # of this update
    sums: tuple[Array, Array]  # of returns, and of discounted returns, since the last place
    since: Int[Array, ""]
    row: Int[Array, ""]
    log: Log
    failed: Int[Array, "3"]  # update, rule and seed of the first that is not finite; -1 while there is none
    blame: Int[Array, ""]  # 1: an environment's reward, 2: the parameters


class Climbed(NamedTuple):
    """What was learned, and how."""

    theta: Float[Array, "r k d"]
    before: Float[Array, "r k d"]  # the update before the last
    log: Log
    places: Any  # (p,) updates that the log tells of
    reason: Any
    iterations: Any
    state: Climbing


def schedule(rule: Any, g0: ArrayLike, eta0: ArrayLike, t: ArrayLike) -> tuple[Any, Any]:
    """eta_t and gamma_t of a rule, whose fields may be arrays."""
    base = 2 / (jnp.asarray(t, float) + 2)
    eta = jnp.where(rule.momentum == 0, 1.0, jnp.minimum(1.0, eta0 * base**rule.momentum))
    return eta, g0 * base**rule.step


def places(updates: int, most: int = 61, logarithmic: bool = True) -> np.ndarray:
    """At most ``most`` updates to look at, 0 and the last among them."""
    spaced = np.geomspace if logarithmic else np.linspace
    return np.unique(spaced(1, updates, min(most, updates)).round().astype(int) - 1)


class _Moved(NamedTuple):
    lanes: Lanes
    told: Told
    grad_norm: Float[Array, "r k"]
    sampled: Float[Array, "r k d"]


def _advance(climb: Climb, t: Array, lanes: Lanes) -> _Moved:
    """One update of all rules and seeds: gradients of all in one batch, then corrections of those rules that have one."""
    theta, before, direction = lanes
    eta, gamma = (each[:, None, None] for each in schedule(climb.rows, climb.rows.g0, climb.eta0, t))
    keys = jax.vmap(lambda key: jax.random.split(jax.random.fold_in(key, t), 3))(climb.keys)
    at = theta + climb.rows.ahead[:, None, None] * (1 - eta) / eta * (theta - before)
    slope, told = _lanes(climb.oracle.gradient)(at, keys[:, 0])
    if climb.corrected:
        own = slice(len(climb.names) - climb.corrected, None)
        share = jax.vmap(partial(random.uniform, dtype=theta.dtype))(keys[:, 1])[None, :, None]
        between = share * theta[own] + (1 - share) * before[own]
        change, more = _lanes(climb.oracle.curvature)(between, keys[:, 2], theta[own] - before[own])
        direction = direction.at[own].add(change)
        told = told._replace(steps=told.steps.at[own].add(more.steps))
        at = at.at[own].set(between)
    direction = (1 - eta) * direction + eta * slope
    way = direction / (jnp.linalg.norm(direction, axis=2, keepdims=True) + 1e-12)
    way = jnp.where(climb.rows.normalised[:, None, None] > 0, way, direction)
    return _Moved(Lanes(theta + gamma * way, theta, direction), told, jnp.linalg.norm(slope, axis=2), at)


def _lanes(estimate: Any) -> Any:
    """Of a point and a key, for all rules and seeds; a seed has one key for all rules. Further arguments are by both too."""

    def each(theta: Array, key: Array, *more: Array) -> Any:
        return estimate(theta, *more, key)

    def all_of(theta: Array, keys: Array, *more: Array) -> Any:
        rest = (0,) * len(more)
        return jax.vmap(jax.vmap(each, (0, 0, *rest)), (0, None, *rest))(theta, keys, *more)

    return all_of


def _init(climb: Climb) -> Climbing:
    r, p = len(climb.names), climb.places.size
    k, d = climb.start.shape
    dtype = climb.start.dtype
    here = jnp.broadcast_to(climb.start[None], (r, k, d))
    nothing, none = jnp.zeros((r, k), dtype), jnp.full((p, r, k), jnp.nan, dtype)
    log = Log(*[none] * 7, *[jnp.full((p, r, d), jnp.nan, dtype)] * 2)
    zero = jnp.int32(0)
    return Climbing(
        Lanes(here, here, jnp.zeros_like(here)),
        zero,
        nothing,
        nothing,
        (nothing, nothing),
        zero,
        zero,
        log,
        jnp.full(3, -1, jnp.int32),
        zero,
    )


def _known(climb: Climb, theta: Array, direction: Array) -> tuple[Array, Array]:
    """J, and how far a direction is from its gradient; NaN where they are not known."""
    if climb.oracle.exact is None:
        unknown = jnp.full(theta.shape[:2], jnp.nan, theta.dtype)
        return unknown, unknown
    value, slope = jax.vmap(jax.vmap(climb.oracle.exact))(theta)
    return value, jnp.linalg.norm(direction - slope, axis=2)


def _step(climb: Climb, state: Climbing) -> Climbing:
    t = state.step
    moved = _advance(climb, t, state.lanes)
    told, theta = moved.told, state.lanes.theta
    steps, since = state.steps + told.steps, state.since + 1
    sums = (state.sums[0] + told.returned, state.sums[1] + told.discounted)
    row = jnp.minimum(state.row, climb.places.size - 1)
    due = climb.places[row] == t

    def noted(log: Log) -> Log:
        direction = moved.lanes.direction
        value, error = _known(climb, theta, direction)
        rows = Log(
            sums[0] / since,
            sums[1] / since,
            steps,
            moved.grad_norm,
            jnp.linalg.norm(direction, axis=2),
            value,
            error,
            theta[:, 0],
            moved.sampled[:, 0],
        )
        return Log(*(whole.at[row].set(one) for whole, one in zip(log, rows, strict=True)))

    log = jax.lax.cond(due, noted, lambda log: log, state.log)
    failed, blame = _failed(state, moved)
    fresh = jnp.where(due, 0.0, 1.0)
    return Climbing(
        moved.lanes,
        t + 1,
        steps,
        told.returned,
        (fresh * sums[0], fresh * sums[1]),
        jnp.where(due, 0, since),
        state.row + due,
        log,
        failed,
        blame,
    )


def _failed(state: Climbing, moved: _Moved) -> tuple[Array, Array]:
    """The first rule and seed whose return, or whose parameters, are not finite."""
    earned = jnp.isfinite(moved.told.returned)
    held = jnp.isfinite(moved.lanes.theta).all(axis=2)
    start = jnp.isfinite(moved.sampled).all(axis=2)
    good = earned & held
    place = jnp.argmin(good.reshape(-1))
    rule, seed = place // good.shape[1], place % good.shape[1]
    now = jnp.stack([state.step, rule, seed]).astype(jnp.int32)
    first = (state.failed[0] < 0) & ~good.all()
    blame = jnp.where(start[rule, seed] & ~earned[rule, seed], 1, 2)
    return jnp.where(first, now, state.failed), jnp.where(first, blame, state.blame).astype(jnp.int32)


def _done(climb: Climb, state: Climbing) -> Array:
    reason = jnp.where(state.step >= climb.updates, Reason.CONVERGED, Reason.RUNNING)
    return jnp.where(state.failed[0] >= 0, Reason.NOT_FINITE, reason).astype(jnp.int32)


def _measure(climb: Climb, state: Climbing) -> dict[str, Array]:
    return dict(zip(climb.names, state.returned.mean(axis=1), strict=True))


CLIMB = Method(_init, _step, _done, _measure)


def ascend(
    oracle: Oracle,
    start: Any,
    keys: Key[Array, " k"],
    *,
    rules: Sequence[str | Rule] = tuple(RULES),
    g0: ArrayLike | Sequence[ArrayLike],
    updates: int,
    eta0: ArrayLike = 1.0,
    at: Any = None,
    loop: Loop = pure,
    state: Climbing | None = None,
) -> Climbed:
    r"""Climb from k starts, with several rules side by side in one program.

    $$ d_t = (1 - \eta_t)(d_{t-1} + v_t) + \eta_t\, g(\tau_t, x_t), \qquad
       \theta_{t+1} = \theta_t + \gamma_t\, d_t \ \text{ or } \ \theta_t + \gamma_t\, d_t / |d_t| $$

    Rules share their keys, so that what one does never depends on the others; another seed is another key.

    Args:
        oracle: ``sampled(...)``, or any with a ``gradient`` and, for HARPG, a ``curvature``.
        start: theta_0 by seed, (k, d).
        keys: (k,) one for each seed.
        rules: names of ``RULES``, or rules of one's own; those with a correction come last.
        g0: gamma_0, one for all rules or one for each.
        updates: how many, at least 1.
        eta0: factor of eta_t in (0, 1].
        at: updates that are told of, in order; ``places(updates)`` when omitted.
        loop: ``pure``, or a ``Chunked`` that reports, stops, and hands back the state.
        state: where to go on, of a climb with the same arguments.

    Returns:
        theta (rules, k, d), and a log of some updates.

    Raises:
        ValueError: a number that is not allowed, starts or keys that do not fit, an unknown rule; a return or parameters that
            are not finite, with the update, the rule and the seed.

    Source:
        Fatkhullin, Barakat, Kireeva and He (2023); Cutkosky and Mehta (2020).

    Examples:
        >>> import equinox as eqx
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from lab import policy
        >>> class Bowl(eqx.Module):  # J = -|theta|^2 / 2
        ...     exact = None
        ...     def gradient(self, theta, key):
        ...         return -theta, policy.ascent.Told(*jnp.zeros(3))
        ...     def curvature(self, theta, v, key):
        ...         return -v, policy.ascent.Told(*jnp.zeros(3))
        >>> keys = jax.random.split(jax.random.key(0), 1)
        >>> found = policy.ascend(Bowl(), jnp.ones((1, 2)), keys, rules=["PG"], g0=0.5, updates=1)
        >>> found.theta.tolist()  # gamma_0 = 1/2
        [[[0.5, 0.5]]]
    """
    those = [rule if isinstance(rule, Rule) else _named(rule) for rule in rules]
    order = [rule.corrected for rule in those]
    if not those or order != sorted(order):
        raise ValueError(
            "rules must be at least one, and those with a correction (HARPG) the last ones: put them in order"
        )
    updates = arguments.whole("updates", updates, 1)
    start = arguments.real("start", start, (None, None))
    if keys.shape != start.shape[:1]:
        raise ValueError(f"keys have shape {keys.shape}: one key for each of the {len(start)} starts is needed")
    lengths: list[Any] = [*g0] if isinstance(g0, Sequence) else [g0] * len(those)
    if len(lengths) != len(those):
        raise ValueError(f"g0 has {len(lengths)} numbers for {len(those)} rules: give one, or one for each")
    for length in lengths:
        _positive("g0", length)
    _positive("eta0", eta0, 1.0)
    at = places(updates) if at is None else np.asarray(at)
    if at.ndim != 1 or not at.size or (np.diff(at) <= 0).any() or at[0] < 0 or at[-1] >= updates:
        raise ValueError(
            f"at = {at.tolist()} is not allowed: at must have rising whole numbers from 0 to {updates - 1}"
        )
    start, lengths, eta0 = refuse_derivative(
        (start, [jnp.asarray(length, float) for length in lengths], jnp.asarray(eta0, float)),
        "a climb on drawn episodes has no derivative in lab.policy.ascend",
    )
    climb = Climb(
        oracle,
        _rows(those, lengths),
        start,
        keys,
        jnp.asarray(eta0, float),
        placed(np.int32(updates)),
        placed(np.asarray(at, np.int32)),
        tuple(rule.name for rule in those),
        sum(order),
    )
    run = loop(CLIMB, climb, state, max_iterations=updates)
    _refuse(run.state, climb.names)
    return Climbed(
        run.state.lanes.theta, run.state.lanes.before, run.state.log, at, run.reason, run.iterations, run.state
    )


def _rows(rules: Sequence[Rule], g0: Sequence[ArrayLike]) -> _Rows:
    numbers = np.array([(rule.momentum, rule.step, rule.ahead, rule.normalised) for rule in rules], float)
    momentum, step, ahead, normalised = map(placed, numbers.T)
    return _Rows(momentum, step, ahead, normalised, jnp.stack([jnp.asarray(x, float) for x in g0]))


def _named(name: str) -> Rule:
    if name not in RULES:
        raise ValueError(f"there is no method {shown(name)}; there are {listed(RULES)}")
    return RULES[name]


def _positive(name: str, value: Any, most: float = np.inf) -> None:
    if not isinstance(value, Tracer) and not 0 < float(value) <= most:
        raise ValueError(
            f"{name} = {value}, but it must be above 0" + (f" and at most {most:g}" if most < np.inf else "")
        )


def _refuse(state: Climbing, names: Sequence[str]) -> None:
    if isinstance(state.failed, Tracer) or np.asarray(state.failed)[0] < 0:
        return
    update, rule, seed = map(int, state.failed)
    where = f"at update {update}, with seed {seed} of {names[rule]},"
    if int(state.blame) == 1:
        raise ValueError(
            f"{where} the return is not a finite number: mend the reward there, or take a smaller g0 if it grew"
        )
    raise ValueError(f"{where} the parameters are not finite: take a smaller g0")
