r"""Which noise to start from: a search over starts that are then used for every input.

A sampler of fixed steps that draws nothing on its way is a function $h(x_T, y)$ of its start. For a metric M, lower is better,
and reference pairs $(z_i, y_i)$ the start is chosen once among K draws of N(0, I), and kept:

$$ S_{ik} = M(h(x_k, y_i), z_i), \qquad \tilde x_T = x_{k^*}, \quad k^* = \arg\min_k \frac{1}{R} \sum_i S_{ik} . $$

The map, its number of steps and its decoder, if it has one, are those that will be used: another number of steps has another
best start. ``search`` looks at all candidates on all pairs, or halves them after each doubling of the pairs; ``around`` and
``down`` improve on a start. ``lab.diffusion.sharing`` tells whether one start serves all inputs, ``best_of`` what luck can do.

Source: Ma, Yang, Yang, Fu, Liu, *Solving Diffusion ODEs with Optimal Boundary Conditions for Better Image Super-Resolution*,
ICLR 2024; Jamieson, Talwalkar, *Non-stochastic Best Arm Identification*, AISTATS 2016 (successive halving).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from lab.diffusion.schedules import Noise
from lab.diffusion.walk import Sampler, walked
from lab.numerics import Loop, Method, Reason, pure, random
from lab.numerics.arguments import real, whole
from lab.numerics.host import placed
from lab.numerics.iterate import traceable
from lab.numerics.jit import jit

BLOCK = 1024  # pairs of a candidate and an image that are carried together

type Metric = Callable[[Any, Any], Any]
"""What an end x and a row of the references cost, one number; lower is better."""


class Walk(eqx.Module):
    r"""$h(x_T, y)$: the sampler on a grid of times from a start in units of $s(T)$, ending at the denoised point, as images are
    shown; one start and one row of what is given at a time.

    Args:
        condition: called with a row of what is given of y, returns a ``Prediction``: a ``Conditional``, or one of your own.
        noise: the schedule.
        times: (N + 1,) falling, from ``grid``.
        sampler: one that draws nothing, so that the start decides all.
        decode: from the end (d,) to what the metric sees, of latent models; nothing when omitted.
        denoised: whether the end is the prediction at the last time, which then still has noise; else the point itself.
        steps: of a grid that is padded by its last time; all of it when omitted.
    """

    condition: Any
    noise: Noise
    times: Float[Array, " times"]
    sampler: Sampler
    decode: Any = None
    steps: Any = None
    denoised: bool = eqx.field(static=True, default=True)

    def __call__(self, x: Float[Array, " d"], given: Any) -> Array:
        return self.drawn(x, given, jax.random.key(0))

    def drawn(self, x: Float[Array, " d"], given: Any, key: PRNGKeyArray) -> Array:
        """The same with the noise that a sampler draws on its way."""
        predict = self.condition(given)
        first, last = (jax.tree.map(lambda each: each.astype(x.dtype), self.noise(self.times[at])) for at in (0, -1))
        steps = self.times.shape[0] - 1 if self.steps is None else self.steps
        end = walked(predict, self.noise, self.times, steps, first.s * x[None], self.sampler, key)
        end = predict(end, last.a, last.s) if self.denoised else end
        return end[0] if self.decode is None else self.decode(end[0])

    @property
    def evaluations(self) -> int:
        """Of the prediction, from a start to its end."""
        return self.sampler.evaluations * (self.times.shape[0] - 1) + self.denoised


def candidates(key: PRNGKeyArray, k: int, d: int, dtype: Any = float) -> Float[Array, "k d"]:
    """Starts to choose among: K draws of $N(0, I)$; of more, the first K are the same.

    Args:
        key: of the draws.
        k: K, how many.
        d: dimension.
        dtype: of the numbers.

    Returns:
        (K, d), in units of s(T).

    Source:
        Ma, Yang, Yang, Fu, Liu, Solving diffusion ODEs with optimal boundary conditions, ICLR 2024.

    Examples:
        >>> import jax
        >>> from lab.diffusion import boundary
        >>> two, three = (boundary.candidates(jax.random.key(0), k, 4) for k in (2, 3))
        >>> bool((two == three[:2]).all())
        True
    """
    return jax.vmap(lambda number: random.normal(jax.random.fold_in(key, number), (d,), dtype))(jnp.arange(k))


# ---- metrics ---------------------------------------------------------------------------------------------------------


def squared(x: Any, z: Any) -> Array:
    """Mean squared error."""
    return ((x - z) ** 2).mean()


class Gradients(eqx.Module):
    """A stand-in for a perceptual metric without a trained network: how unlike the energies of local gradients are.

    At two scales, s = 1 and 2 by means of 2 x 2 pixels, $E_s = \\sqrt{g_x^2 + g_y^2 + 10^{-6}}$ by differences to the next
    pixel, 0 at the last; the features are $E_1$ and $2 E_2$, and the metric is the mean of their squared differences.

    Args:
        height, width: of images with c channels, whose (c h w) numbers are given in that order; even.
    """

    height: int = eqx.field(static=True)
    width: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        if self.height % 2 or self.width % 2:
            raise ValueError(
                f"images of {self.height} x {self.width} can't be halved: even sides are needed; cut off the last pixel"
            )

    def __call__(self, x: Any, z: Any) -> Array:
        return ((self._features(x) - self._features(z)) ** 2).mean()

    def _features(self, x: Any) -> Array:
        fine = x.reshape(-1, self.height, self.width)
        coarse = fine.reshape(-1, self.height // 2, 2, self.width // 2, 2).mean(axis=(2, 4))
        return jnp.concatenate([_energy(fine).ravel(), 2 * _energy(coarse).ravel()])


def _energy(x: Array) -> Array:
    across, down = (jnp.diff(x, axis=axis, append=jax.lax.slice_in_dim(x, -1, None, axis=axis)) for axis in (2, 1))
    return jnp.sqrt(across**2 + down**2 + 1e-6)


# ---- scores ----------------------------------------------------------------------------------------------------------


class _Task(NamedTuple):
    walk: Any
    metrics: tuple
    starts: Float[Array, "K d"]
    z: Any
    given: Any
    block: Any  # an array of as many zeros as pairs are carried together
    first: Int[Array, ""]  # pairs that all candidates see


class _State(NamedTuple):
    scores: Float[Array, "metrics R K"]  # NaN where not looked at
    seen: Bool[Array, "R K"]
    alive: Bool[Array, " K"]
    rows: Int[Array, ""]  # pairs that the alive are judged by


def _rows(task: _Task) -> int:
    return jax.tree.leaves(task.z)[0].shape[0]


def _init(task: _Task) -> _State:
    r, k = _rows(task), len(task.starts)
    nothing = jnp.full((len(task.metrics), r, k), jnp.nan, task.starts.dtype)
    return _State(nothing, jnp.zeros((r, k), bool), jnp.ones(k, bool), jnp.minimum(task.first, r))


def _pending(state: _State) -> Array:
    counted = jnp.arange(len(state.seen)) < state.rows
    return state.alive[None] & counted[:, None] & ~state.seen


def _one(walk: Any, metrics: tuple, x: Array, z: Any, given: Any) -> Array:
    end = walk(x, given)
    return jnp.stack([jnp.asarray(metric(end, z)).astype(x.dtype) for metric in metrics])


def _step(task: _Task, state: _State) -> _State:
    k, most = len(task.starts), state.seen.size
    places = jnp.nonzero(_pending(state).ravel(), size=len(task.block), fill_value=most)[0]
    image, which = jnp.minimum(places, most - 1) // k, jnp.minimum(places, most - 1) % k
    z, given = jax.tree.map(lambda rows: rows[image], (task.z, task.given))
    found = jax.vmap(lambda *pair: _one(task.walk, task.metrics, *pair))(task.starts[which], z, given)
    flat = state.scores.reshape(len(task.metrics), most).at[:, places].set(found.T, mode="drop")
    seen = state.seen.ravel().at[places].set(True, mode="drop").reshape(state.seen.shape)
    state = state._replace(scores=flat.reshape(state.scores.shape), seen=seen)
    return jax.tree.map(
        lambda now, then: jnp.where(_pending(state).any(), now, then), state, _halved(state, _rows(task))
    )


def _halved(state: _State, most: int) -> _State:
    """Half of the candidates, on twice as many pairs; the same where all pairs were seen."""
    cost = _costs(state.scores[0], state.seen)
    order = jnp.argsort(jnp.where(state.alive, cost, jnp.inf), stable=True)
    kept = jnp.maximum((state.alive.sum() + 1) // 2, 1)
    alive = jnp.zeros_like(state.alive).at[order].set(jnp.arange(order.size) < kept) & jnp.isfinite(cost)
    ended = state.rows >= most
    return state._replace(
        alive=jnp.where(ended, state.alive, alive), rows=jnp.where(ended, state.rows, jnp.minimum(2 * state.rows, most))
    )


def _costs(scores: Array, seen: Array) -> Array:
    """The mean score of each candidate over the pairs that it was tried on; infinite where one is not finite, or none was."""
    tried = seen.sum(axis=0)
    total = jnp.where(seen, scores, 0.0).sum(axis=0)
    return jnp.where((tried > 0) & jnp.isfinite(total), total / jnp.maximum(tried, 1), jnp.inf)


def _done(task: _Task, state: _State) -> Array:
    over = (state.rows >= _rows(task)) & ~_pending(state).any()
    lost = over & ~jnp.isfinite(_final(state)).any()
    reason = jnp.where(lost, Reason.NOT_FINITE, jnp.where(over, Reason.CONVERGED, Reason.RUNNING))
    return reason.astype(jnp.int32)


def _final(state: _State) -> Array:
    """What decides: of a search that was stopped, costs on those pairs that every candidate was tried on, if there are any."""
    whole = (state.seen | ~state.alive[None]).all(axis=1, keepdims=True)
    counted = state.seen & (whole | ~whole.any())
    return jnp.where(state.alive, _costs(state.scores[0], counted), jnp.inf)


def _measure(task: _Task, state: _State) -> dict[str, Array]:
    return {"best": _final(state).min(), "pairs": state.seen.sum().astype(task.starts.dtype)}


_SCORES = Method(_init, _step, _done, _measure)


class Found(NamedTuple):
    """A start for all inputs, and what it was chosen among."""

    x: Float[Array, " d"]
    best: Int[Array, ""]  # its number among the candidates; of equal ones the lowest
    value: Float[Array, ""]  # its mean score
    mean: Float[Array, " K"]  # of each over the pairs that it was tried on; NaN where one score is not finite
    scores: Float[Array, "R K"]  # NaN where it was not tried
    also: Float[Array, "more R K"]  # by further metrics
    excluded: Int[Array, ""]  # candidates with a score that is not finite
    walks: Int[Array, ""]  # from a start to an end
    reason: Any


def search(
    walk: Callable[[Array, Any], Array],
    starts: Any,
    z: Any,
    given: Any,
    metric: Metric = squared,
    *,
    also: tuple[Metric, ...] = (),
    halving: int | None = None,
    block: int = BLOCK,
    loop: Loop = pure,
) -> Found:
    r"""The candidate whose mean score over the reference pairs is least.

    $$ k^* = \arg\min_k \frac1R \sum_i M\big(h(x_k, y_i), z_i\big) $$

    A score that is not finite excludes its candidate. Time O(K R) walks; of halving, from R_0 pairs on, about
    K R_0 (1 + log_2(R / R_0) / 2).

    Args:
        walk: h, called with a start (d,) and a row of ``given``: a ``Walk``, or any function of JAX that is pure.
        starts: (K, d), from ``candidates``, or your own.
        z: R rows of what the metric compares with: (R, d) images, or a pytree with first axes of length R.
        given: R rows of what is known of each, (R, m) say, or a pytree.
        metric: called with an end and a row of z, returns one number, lower is better.
        also: further metrics, which decide nothing.
        halving: try all candidates on so many pairs first, then the better half on twice as many, and so on; all on all when
            omitted.
        block: how many pairs of a start and an image are carried together: memory O(block d), and of a ``Conditional``
            O(block K d).
        loop: ``lab.numerics.pure`` or a ``Chunked``.

    Returns:
        a ``Found``: the start (d,), its number and mean score, and the scores of all (R, K).

    Raises:
        ValueError: no pairs or no candidates, rows that do not agree, an end of another shape than z, a metric that does not
            return one number for each pair, or scores none of which is finite.

    Source:
        Ma, Yang, Yang, Fu, Liu, Solving diffusion ODEs with optimal boundary conditions, ICLR 2024; Jamieson, Talwalkar,
        AISTATS 2016 (halving).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab.diffusion import boundary
        >>> starts, z = jnp.array([[2.0], [0.5], [-1.0]]), jnp.array([[1.0], [3.0]])
        >>> found = boundary.search(lambda x, y: y + x, starts, z, z)
        >>> int(found.best), float(found.value)  # the one nearest to 0 adds least
        (1, 0.25)
    """
    starts, z, given = real("starts", starts, ("K", "d")), *map(_rows_of, (z, given))
    loop = traceable(loop)
    _check(walk, starts, z, given, (metric, *also))
    r = jax.tree.leaves(z)[0].shape[0]
    halving = None if halving is None else whole("halving", halving, 1)
    block = whole("block", block, 1)
    first, zeros = placed(np.int32(halving or r)), placed(np.zeros(min(block, r * len(starts))))
    task = _Task(walk, (metric, *also), starts, z, given, zeros, first)
    ran = loop(_SCORES, task, max_iterations=2 * (r * len(starts) // len(zeros) + 1) + r)
    state: _State = ran.state
    found = _found(state, starts, ran.reason)
    if loop is pure and not isinstance(found.value, Tracer) and not np.isfinite(np.asarray(found.value)):
        raise ValueError(
            "each candidate has a score that is NaN or infinite: look at the ends of the sampler, and at what the metric "
            "returns"
        )
    return found


@jit
def _found(state: _State, starts: Array, reason: Any) -> Found:
    cost, final = _costs(state.scores[0], state.seen), _final(state)
    best = final.argmin()
    bad = (state.seen & ~jnp.isfinite(state.scores[0])).any(axis=0).sum()
    mean = jnp.where(jnp.isfinite(cost), cost, jnp.nan)
    return Found(
        starts[best], best, final[best], mean, state.scores[0], state.scores[1:], bad, state.seen.sum(), reason
    )


def _rows_of(given: Any) -> Any:
    """A list is a table of numbers; any other pytree holds arrays."""
    return jnp.asarray(given, float) if isinstance(given, list) else jax.tree.map(jnp.asarray, given)


def _check(walk: Any, starts: Any, z: Any, given: Any, metrics: tuple) -> None:
    if starts.ndim != 2 or 0 in starts.shape:
        raise ValueError(f"the candidates have shape {starts.shape}, but at least one start (K, d) is needed")
    told, rows = jax.tree.leaves(z), [each.shape[:1] for each in (*jax.tree.leaves(z), *jax.tree.leaves(given))]
    if not told or rows[0] in ((), (0,)):
        raise ValueError("there are no reference pairs: at least one image with what is given of it is needed")
    if len(set(rows)) > 1:
        raise ValueError(
            f"the references have {', '.join(str(row[0] if row else 'no') for row in rows)} rows, but one image and one row "
            "of what is given are needed for each pair"
        )
    x = jax.ShapeDtypeStruct(starts.shape[1:], starts.dtype)
    row, known = jax.tree.map(lambda each: jax.ShapeDtypeStruct(each.shape[1:], each.dtype), (z, given))
    end = jax.eval_shape(walk, x, known)
    if len(told) == 1 and end.shape != told[0].shape[1:]:
        raise ValueError(
            f"the sampler ends at {end.shape} from a start {starts.shape[1:]}, but the references are {told[0].shape[1:]}: "
            "both must have one shape, after the decoder"
        )
    for metric in metrics:
        cost = jax.eval_shape(metric, end, row)
        if getattr(cost, "shape", None) != ():
            got = f"shape {cost.shape}" if hasattr(cost, "shape") else f"a {type(cost).__name__}"
            raise ValueError(f"the metric returns {got} for one pair, but one number is needed: take its mean")


# ---- beyond the candidates -------------------------------------------------------------------------------------------


class Refined(NamedTuple):
    """A better start, and the mean scores on the way: those of the best so far, or of each step."""

    x: Float[Array, " d"]
    value: Float[Array, ""]
    trace: Float[Array, " rounds"]
    walks: int
    reason: Any


class _Around(NamedTuple):
    walk: Any
    metrics: tuple
    z: Any
    given: Any
    x: Array
    key: PRNGKeyArray
    widths: Array  # of each round
    tries: Any  # an array of as many zeros as there are tries in a round


class _Near(NamedTuple):
    x: Array
    value: Array
    round: Array


def _mean_score(task: Any, x: Array) -> Array:
    each = jax.vmap(lambda z, given: _one(task.walk, task.metrics, x, z, given)[0])
    return each(task.z, task.given).mean()


def _try(task: _Around, state: _Near) -> _Near:
    width = task.widths[state.round]
    z = random.normal(jax.random.fold_in(task.key, state.round), (len(task.tries), state.x.size), state.x.dtype)
    tried = jnp.concatenate([state.x[None], jnp.sqrt(1 - width**2) * state.x[None] + width * z])
    costs = jax.lax.map(lambda x: _mean_score(task, x), tried)
    costs = jnp.where(jnp.isfinite(costs), costs, jnp.inf)
    best = costs.argmin()
    return _Near(tried[best], costs[best], state.round + 1)


_AROUND = Method(
    lambda task: _Near(task.x, jnp.asarray(jnp.inf, task.x.dtype), jnp.int32(0)),
    _try,
    lambda task, state: jnp.where(state.round < len(task.widths), Reason.RUNNING, Reason.CONVERGED).astype(jnp.int32),
    lambda task, state: {"best": state.value},
)


def around(
    walk: Callable[[Array, Any], Array],
    x: ArrayLike | Sequence,
    z: Any,
    given: Any,
    metric: Metric = squared,
    *,
    key: PRNGKeyArray,
    rounds: int = 10,
    tries: int = 20,
    widths: tuple[float, float] = (0.3, 0.05),
    loop: Loop = pure,
) -> Refined:
    r"""Better starts near a good one: in each round tries $\sqrt{1 - b^2}\,\tilde x + b z$, which are draws of N(0, I) if
    $\tilde x$ is, with b falling from the first of ``widths`` to the second; the best one is kept if it is better.

    Time rounds (tries + 1) R walks.
    """
    x, z, given = real("x", x, ("d",)), _rows_of(z), _rows_of(given)
    loop = traceable(loop)
    _check(walk, jax.ShapeDtypeStruct((1, *x.shape), x.dtype), z, given, (metric,))
    rounds, tries = whole("rounds", rounds, 1), whole("tries", tries, 1)
    real("widths", widths, (2,), low=0, high=1, strict=True)
    falling = placed(np.geomspace(*widths, rounds).astype(x.dtype))
    task = _Around(walk, (metric,), z, given, x, key, falling, placed(np.zeros(tries)))
    ran = loop(_AROUND, task, max_iterations=rounds)
    pairs = jax.tree.leaves(z)[0].shape[0]
    return Refined(ran.state.x, ran.state.value, ran.trace["best"], rounds * (tries + 1) * pairs, ran.reason)


class _Down(NamedTuple):
    walk: Any
    metrics: tuple
    z: Any
    given: Any
    x: Array
    rate: Array
    radius: Array  # of the sphere; infinite for none
    steps: Array


class _Slope(NamedTuple):
    x: Array  # the next to be tried
    memory: Any
    value: Array  # of the one before
    best: Array
    least: Array
    step: Array


def _begin(task: _Down) -> _Slope:
    x, worst = _projected(task.x, task.radius), jnp.asarray(jnp.inf, task.x.dtype)
    return _Slope(x, optax.scale_by_adam().init(x), worst, x, worst, jnp.int32(0))


def _descend(task: _Down, state: _Slope) -> _Slope:
    change: Any
    value, slope = jax.value_and_grad(lambda x: _mean_score(task, x))(state.x)
    change, memory = optax.scale_by_adam().update(slope, state.memory)
    better = value < state.least
    best, least = jnp.where(better, state.x, state.best), jnp.where(better, value, state.least)
    return _Slope(_projected(state.x - task.rate * change, task.radius), memory, value, best, least, state.step + 1)


def _projected(x: Array, radius: Array) -> Array:
    norm = jnp.sqrt((x**2).sum())
    return jnp.where(jnp.isfinite(radius), x * radius / jnp.maximum(norm, 1e-30), x)


_DOWN = Method(
    _begin,
    _descend,
    lambda task, state: jnp.where(
        (state.step > 0) & ~jnp.isfinite(state.value),
        Reason.NOT_FINITE,
        jnp.where(state.step < task.steps, Reason.RUNNING, Reason.CONVERGED),
    ).astype(jnp.int32),
    lambda task, state: {"value": state.value},
)


def down(
    walk: Callable[[Array, Any], Array],
    x: ArrayLike | Sequence,
    z: Any,
    given: Any,
    metric: Metric = squared,
    *,
    steps: int = 40,
    rate: float = 0.1,
    on_shell: bool = True,
    loop: Loop = pure,
) -> Refined:
    r"""A start by gradients through the sampler (Adam), kept on the sphere $|x_T| = \sqrt d$ where N(0, I) lives.

    Args:
        on_shell: False lets it leave the sphere. For the squared error it then falls to 0, where the sampler ends near the
            posterior mean, which is blurred.

    Time steps R walks, each some three times as long; memory O(R N d).
    """
    x, z, given = real("x", x, ("d",)), _rows_of(z), _rows_of(given)
    loop = traceable(loop)
    _check(walk, jax.ShapeDtypeStruct((1, *x.shape), x.dtype), z, given, (metric,))
    steps = whole("steps", steps, 1)
    real("rate", rate, (), low=0, strict=True)
    pace, radius = (placed(np.asarray(each, x.dtype)) for each in (rate, x.size**0.5 if on_shell else np.inf))
    task = _Down(walk, (metric,), z, given, x, pace, radius, placed(np.int32(steps)))
    ran = loop(_DOWN, task, max_iterations=steps)
    pairs = jax.tree.leaves(z)[0].shape[0]
    return Refined(ran.state.best, ran.state.least, ran.trace["value"], 3 * steps * pairs, ran.reason)
