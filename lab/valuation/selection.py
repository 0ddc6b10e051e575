r"""The mixture with the highest predicted score, by exponentiated gradient on the simplex.

$$ p \leftarrow \frac{p \odot e^{\eta_t (\nabla - \langle p, \nabla \rangle)}}{\sum_i (\ldots)_i}, \qquad
   \nabla_i = \frac{\partial \hat L}{\partial p_i} + \frac{\partial \hat L}{\partial T}\, h_i, \qquad
   \eta_t = \frac{\eta_0}{s \sqrt{t + 1}} $$

with T the distance of the mixture, h its slopes (``distance``), and $\hat L$ the scores that were fitted at two pilot sizes,
put together for the size that is asked for. p stays on the simplex by itself. The score is not concave: several starts, and the
best mixture on any way is kept. (The loop that was released moves p_1 and p_2 each by its own calibrated slope, keeps one of
the terms of dT/dp and has the slope of N_0 alone: it may leave the simplex, and is not copied.)

Each step sweeps the potentials of the last one until the marginals are within 1e-4, and moves a mixture only where they are: a
distance from potentials that have not converged is too small or too large by any amount, and so is its slope. Only such
mixtures are candidates. The distance and the score that are returned are computed again for the best one.

Source: Kang et al., *Performance scaling via optimal transport*, NeurIPS 2023; Kivinen, Warmuth, 1997.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from lab.choices import chosen
from lab.numerics import Loop, Method, Reason, arguments, pure
from lab.numerics.differentiation import refuse_derivative
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.valuation import fits
from lab.valuation.designs import mixtures
from lab.valuation.distance import Costs, Warm, check_epsilon, check_source, cold, read, settled

SWEEPS = 500  # of a step, at most
STEPS = 200
_STEP_ERROR = 1e-4  # of the marginals at a step: the error of the distance is of its square
_NOTHING = 1e-6  # shares below which a derivative takes them to be 0
_LAST_ERROR, _LAST_SWEEPS = 1e-7, 10_000  # of the mixture that is returned


class Score(NamedTuple):
    """A fitted score: what is between the sizes is linear in what was fitted at each."""

    fit: fits.Fit  # of both sizes, in front
    weights: Float[Array, "2"]  # of the sizes, ``projection.weights``

    def __call__(self, p: Float[Array, " sources"], distance: Float[Array, ""], model: str) -> Float[Array, ""]:
        """The predicted score of one mixture at its distance."""
        both = jax.vmap(lambda fit: fits.predict(fit, p, distance, model))(self.fit)
        return self.weights @ both


class _Problem(NamedTuple):
    costs: Costs
    source: Int[Array, " m"]
    epsilon: Float[Array, ""]
    score: Score
    model: str
    rate: Float[Array, ""]
    start: Float[Array, "starts sources"]
    path: Float[Array, "steps starts sources"]  # empty


class _State(NamedTuple):
    p: Float[Array, "starts sources"]
    warm: Warm
    count: Int[Array, ""]
    path: Float[Array, "steps starts sources"]
    scores: Float[Array, "steps starts"]
    errors: Float[Array, "steps starts"]  # of the marginals


class Selection(NamedTuple):
    """The best mixture of all paths whose potentials have converged, and the path to it."""

    p: Float[Array, " sources"]
    score: Float[Array, ""]  # of p, from potentials that are swept until the marginals are within 1e-7
    distance: Float[Array, ""]  # likewise
    path: Float[Array, "steps sources"]
    scores: Float[Array, "steps starts"]  # of all starts
    error: Float[Array, ""]  # of the marginals behind score and distance, L1
    iterations: Any
    reason: Any  # MAX_ITERATIONS where this error is above 1e-4


@chosen
def slopes(
    score: Score,
    model: fits.Model,
    p: Float[Array, "k sources"],
    distance: Float[Array, " k"],
    mean: Float[Array, "k sources"],
) -> tuple[Float[Array, " k"], Float[Array, "k sources"]]:
    """Predicted scores and their slopes along the simplex, by the whole chain rule.

    Args:
        distance, mean: T and h of each mixture.
    """
    value = lambda p, t: score(p, t, model)  # noqa: E731
    scores, (explicit, through) = jax.vmap(jax.value_and_grad(value, argnums=(0, 1)))(p, distance)
    whole = explicit + through[:, None] * mean
    return scores, whole - whole.mean(axis=1, keepdims=True)


def _init(problem: _Problem) -> _State:
    empty = jnp.full_like(problem.path, jnp.nan)
    none = empty[:, :, 0]
    return _State(problem.start, cold(len(problem.start), problem.costs), jnp.int32(0), empty, none, none)


def _step(problem: _Problem, state: _State) -> _State:
    p, t = state.p, state.count
    tolerance = jnp.asarray(_STEP_ERROR, p.dtype)
    given = (problem.costs, problem.source, problem.epsilon)
    warm, error, _ = settled(p, *given, state.warm, tolerance, SWEEPS)
    value, _, _, mean = read(p, *given, warm)
    scores, slope = slopes(problem.score, problem.model, p, value, mean)
    eta = problem.rate / jnp.sqrt(t + 1.0)
    logits = jnp.where(p > 0, jnp.log(jnp.where(p > 0, p, 1.0)), -jnp.inf) + eta * slope
    return _State(
        jnp.where((error <= tolerance)[:, None], jax.nn.softmax(logits, axis=1), p),
        warm,
        t + 1,
        state.path.at[t].set(p),
        state.scores.at[t].set(scores),
        state.errors.at[t].set(error),
    )


def _done(problem: _Problem, state: _State) -> Array:
    return jnp.where(state.count >= len(problem.path), Reason.CONVERGED, Reason.RUNNING)


def _measure(problem: _Problem, state: _State) -> dict[str, Array]:
    good = state.errors <= _STEP_ERROR
    error = state.errors[jnp.maximum(state.count - 1, 0)].max()
    return {"score": jnp.where(good.any(), jnp.where(good, state.scores, -jnp.inf).max(), jnp.nan), "error": error}


_METHOD = Method(_init, _step, _done, _measure)


def starts(sources: int) -> Float[Array, "starts sources"]:
    """Equal shares, and one start near each source alone."""
    near = 0.7 * jnp.eye(sources) + 0.3 / sources
    return jnp.concatenate([jnp.full((1, sources), 1 / sources), near])


@chosen
def select(
    score: Score,
    costs: Costs,
    source: Any,
    epsilon: ArrayLike,
    model: fits.Model = "PQ-OT",
    *,
    begin: Any = None,
    rate: ArrayLike = 1.0,
    steps: int = STEPS,
    loop: Loop = pure,
) -> Selection:
    r"""The mixture of the highest predicted score. Time O(starts m n) a sweep; a step takes 10 to 500 of them.

    $$ p \leftarrow \frac{p \odot e^{\eta_t \nabla}}{\sum_i (\ldots)_i}, \qquad \eta_t = \eta_0 / (s \sqrt{t + 1}) $$

    ``p``, ``score`` and ``distance`` are differentiable in the fits, the weights, costs and epsilon by the implicit function
    theorem, which holds where the path has come to a maximum; shares below 1e-6 count as 0 and stay. ``path``, ``scores`` and
    ``error`` are records of the run, without derivative.

    Args:
        score: what is to be high: with weights of the other sign, what is to be low.
        costs: of ``costs``.
        source: which source each point is of, (m,).
        epsilon: strength of the entropy, in units of the cost.
        model: that was fitted.
        begin: (starts, sources) mixtures; those of ``starts`` when omitted. A share of 0 stays 0.
        rate: eta_0/s: s is to be the spread of the scores, so that eta_0 is about 1.
        steps: of each start.
        loop: ``lab.numerics.pure`` or a ``Chunked``.

    Returns:
        the best mixture that was met, its score and distance, and the way of its start.

    Raises:
        ValueError: starts that are no mixtures, sources that do not fit the costs, a rate that is not positive, fewer than
            one step, or an epsilon that the kernel cannot resolve.

    Source:
        Kang et al. (2023); Kivinen and Warmuth (1997).

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from lab import valuation
        >>> p = valuation.simplex_grid(2, 4)
        >>> found = valuation.fit(p, 0 * p[:, 0], 1 + 2 * p[:, 0], "linear")  # the first source is worth more
        >>> score = valuation.Score(jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), found), jnp.array([0.0, 1.0]))
        >>> costs = valuation.Costs(jnp.array([[0.0], [2.0]]))
        >>> valuation.select(score, costs, jnp.array([0, 1]), 0.1, "linear", steps=20).p.round(2)
        Array([1., 0.], dtype=float64)
    """
    check_epsilon(costs, epsilon)
    steps = arguments.whole("steps", steps, 1)
    dtype = costs.matrix.dtype
    sources = score.fit.slopes.shape[-1] // 4 + 1  # of the columns of PQ-OT, to which all are padded
    if begin is None:
        begin = starts(sources).astype(dtype)
    elif not isinstance(begin, Tracer):
        begin = placed(mixtures(begin, sources).astype(dtype))
    source = check_source(source, costs, sources)
    epsilon, rate = jnp.asarray(epsilon, dtype), arguments.real("rate", rate, (), low=0, strict=True, dtype=dtype)
    begin, rate = refuse_derivative(
        (begin, rate),
        "the best of all candidates jumps as starts and rates change: lab.valuation.select has no derivative in them",
    )
    path = placed(np.zeros((steps, *begin.shape), dtype))
    given = jax.lax.stop_gradient((costs, epsilon, score))
    run = loop(_METHOD, _Problem(given[0], source, *given[1:], model, rate, begin, path), max_iterations=steps)
    best = _best(run.state.path, run.state.scores, run.state.errors, score, costs, source, epsilon, model)
    host = np if isinstance(run.reason, int) and not isinstance(best.error, Tracer) else jnp
    late = (run.reason == Reason.CONVERGED) & (best.error > _STEP_ERROR)
    reason = host.where(late, int(Reason.MAX_ITERATIONS), run.reason)
    return best._replace(iterations=run.iterations, reason=reason)


@jit
def _best(
    path: Array, scores: Array, errors: Array, score: Score, costs: Costs, source: Array, epsilon: Array, model: str
) -> Selection:
    """The candidate of the highest score; where there is none, the mixture whose potentials are nearest to convergence."""
    good = errors <= _STEP_ERROR
    ranked = jnp.where(good.any(), jnp.where(good, scores, -jnp.inf), -jnp.where(jnp.isnan(errors), jnp.inf, errors))
    at = jnp.argmax(ranked)
    step, start = at // scores.shape[1], at % scores.shape[1]
    p, still = path[step, start], jax.lax.stop_gradient
    tolerance = jnp.asarray(_LAST_ERROR if p.dtype == jnp.float64 else _STEP_ERROR, p.dtype)
    begin = cold(1, costs)
    warm, error, _ = settled(p[None], still(costs), source, still(epsilon), begin, tolerance, _LAST_SWEEPS)

    def value(p: Array) -> tuple[Array, Array]:
        distance = read(p[None], costs, source, epsilon, warm)[0][0]
        return score(p, distance, model), distance

    p = _maximum(lambda p: jax.grad(lambda p: value(p)[0])(p), p)
    best, distance = value(p)
    return Selection(p, best, distance, path[:, start], scores, error[0], 0, 0)


def _maximum(slope: Callable[[Array], Array], found: Array) -> Array:
    """A maximum on the simplex that was found before, with its implicit derivative; shares of less than 1e-6 stay."""
    free = found > _NOTHING
    count = free.sum()

    def residual(p: Array) -> Array:
        along = slope(p)
        along = along - jnp.where(free, along, 0).sum() / count
        return jnp.where(free, along + (p - found).sum(), p - found)

    def solve(linear: Callable[[Array], Array], right: Array) -> Array:
        matrix = jax.vmap(linear, out_axes=1)(jnp.eye(right.size, dtype=right.dtype))
        return jnp.linalg.solve(matrix, right)

    return jax.lax.custom_root(residual, found, lambda _, start: start, solve)
