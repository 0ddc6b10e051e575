r"""The mixture with the highest predicted score, by exponentiated gradient on the simplex.

$$ p \leftarrow \frac{p \odot e^{\eta_t (\nabla - \langle p, \nabla \rangle)}}{\sum_i (\ldots)_i}, \qquad
   \nabla_i = \frac{\partial \hat L}{\partial p_i} + \frac{\partial \hat L}{\partial T}\, h_i, \qquad
   \eta_t = \frac{\eta_0}{s \sqrt{t + 1}} $$

with T the distance of the mixture, h its slopes (``distance``), and $\hat L$ the scores that were fitted at two pilot sizes,
put together for the size that is asked for. p stays on the simplex by itself. The score is not concave: several starts, and the
best mixture on any way is kept. (The loop that was released moves p_1 and p_2 each by its own calibrated slope, keeps one of
the terms of dT/dp and has the slope of N_0 alone: it may leave the simplex, and is not copied.)

Potentials are those of the mixture before, swept a few times more: they follow a p that moves slowly.

Source: Kang et al., *Performance scaling via optimal transport*, NeurIPS 2023; Kivinen, Warmuth, 1997.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from lab.choices import chosen
from lab.numerics import Loop, Method, Reason, pure
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.valuation import fits
from lab.valuation.designs import mixtures
from lab.valuation.distance import Costs, Warm, check_epsilon, cold, swept

SWEEPS = 10  # for each step
STEPS = 200


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
    distances: Float[Array, "steps starts"]
    error: Float[Array, ""]  # of the marginals, largest


class Selection(NamedTuple):
    """The best mixture that was met, and the way of the start that met it."""

    p: Float[Array, " sources"]
    score: Float[Array, ""]
    distance: Float[Array, ""]
    path: Float[Array, "steps sources"]
    scores: Float[Array, "steps starts"]  # of all starts
    error: Float[Array, ""]  # of the marginals of the potentials, largest of the last step
    iterations: Any
    reason: Any


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
    start = cold(len(problem.start), problem.costs)
    return _State(problem.start, start, jnp.int32(0), empty, none, none, jnp.asarray(jnp.inf, empty.dtype))


def _step(problem: _Problem, state: _State) -> _State:
    p, t = state.p, state.count
    tolerance = jnp.asarray(0.0, p.dtype)
    found, warm = swept(p, problem.costs, problem.source, problem.epsilon, state.warm, tolerance, SWEEPS)
    scores, slope = slopes(problem.score, problem.model, p, found.value, found.mean)
    eta = problem.rate / jnp.sqrt(t + 1.0)
    logits = jnp.where(p > 0, jnp.log(jnp.where(p > 0, p, 1.0)), -jnp.inf) + eta * slope
    return _State(
        jax.nn.softmax(logits, axis=1),
        warm,
        t + 1,
        state.path.at[t].set(p),
        state.scores.at[t].set(scores),
        state.distances.at[t].set(found.value),
        found.error.max(),
    )


def _done(problem: _Problem, state: _State) -> Array:
    return jnp.where(state.count >= len(problem.path), Reason.CONVERGED, Reason.RUNNING)


def _measure(problem: _Problem, state: _State) -> dict[str, Array]:
    return {"score": jnp.nanmax(state.scores), "error": state.error}


_METHOD = Method(_init, _step, _done, _measure)


def starts(sources: int) -> Float[Array, "starts sources"]:
    """Equal shares, and one start near each source alone."""
    near = 0.7 * jnp.eye(sources) + 0.3 / sources
    return jnp.concatenate([jnp.full((1, sources), 1 / sources), near])


@chosen
def select(
    score: Score,
    costs: Costs,
    source: Int[Array, " m"],
    epsilon: ArrayLike,
    model: fits.Model = "PQ-OT",
    *,
    begin: Any = None,
    rate: ArrayLike = 1.0,
    steps: int = STEPS,
    loop: Loop = pure,
) -> Selection:
    r"""The mixture of the highest predicted score. Time O(starts m n) a sweep, of which each step takes 10.

    $$ p \leftarrow \frac{p \odot e^{\eta_t \nabla}}{\sum_i (\ldots)_i}, \qquad \eta_t = \eta_0 / (s \sqrt{t + 1}) $$

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
        ValueError: starts that are no mixtures, or an epsilon that the kernel can't resolve.

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
    if begin is None:
        sources = score.fit.slopes.shape[-1] // 4 + 1  # of the columns of PQ-OT, to which all are padded
        begin = starts(sources)
    elif not isinstance(begin, Tracer):
        begin = placed(mixtures(begin))
    dtype = costs.matrix.dtype
    epsilon, rate = jnp.asarray(epsilon, dtype), jnp.asarray(rate, dtype)
    path = placed(np.zeros((steps, *begin.shape), dtype))
    run = loop(_METHOD, _Problem(costs, source, epsilon, score, model, rate, begin, path), max_iterations=steps)
    return _best(run.state.path, run.state.scores, run.state.distances)._replace(
        error=run.state.error, iterations=run.iterations, reason=run.reason
    )


@jit
def _best(path: Array, scores: Array, distances: Array) -> Selection:
    at = jnp.nanargmax(scores)
    step, start = at // scores.shape[1], at % scores.shape[1]
    zero = jnp.zeros((), scores.dtype)
    return Selection(path[step, start], scores[step, start], distances[step, start], path[:, start], scores, zero, 0, 0)
