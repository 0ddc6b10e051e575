"""Many independent replicates of the five nested designs, fitted at all n/m: how stable they are, and how far the fits err."""

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Num, PRNGKeyArray

from lab.numerics import Loop, Method, Reason, Run, arguments, pure
from lab.numerics.differentiation import refuse_derivative
from lab.numerics.jit import jit
from lab.numerics.quantiles import quantiles
from lab.sampling import least_squares, nested, rules
from lab.sampling.least_squares import Truth
from lab.sampling.nested import DESIGNS, DPP, MOST
from lab.sampling.responses import Response

KEPT = 20
"""Replicates whose points are kept, fewer where a batch has fewer."""
_NUMBERS = 4_000_000  # that one batch holds
_BATCH = 100


class Replication(eqx.Module):
    """The problem of the loop: whose fits are repeated, and how often."""

    response: Response
    truth: Truth
    key: PRNGKeyArray
    t: Float[Array, ""]  # share of the Christoffel law, as of ``nested.draw``
    size: int = eqx.field(static=True)  # replicates

    @property
    def batch(self) -> int:
        """Replicates of a step."""
        m = self.response.basis.m
        return max(1, min(_BATCH, self.size, _NUMBERS // (len(DESIGNS) * MOST * m * (m + 1))))

    @property
    def steps(self) -> int:
        """Batches that make ``size`` replicates."""
        return -(-self.size // self.batch)

    def draw(self, number: Int[Array, ""]) -> nested.NestedDesigns:
        """The designs of one replicate: a function of the key and its number."""
        return nested.draw(jax.random.fold_in(self.key, number), self.response.basis, self.t)


class Replicates(NamedTuple):
    """Filled batch by batch; NaN where there is none yet. There are ``steps`` times ``batch`` places for replicates."""

    batches: Int[Array, ""]  # that were made
    lambda_min: Float[Array, "design n_over_m draw"]
    cond: Float[Array, "design n_over_m draw"]
    err2: Float[Array, "design n_over_m draw"]  # squared L2 error of the fit
    linear: Float[Array, "design draw"]  # the sum of |x|^2 over the first m points
    proposals: Float[Array, " draw"]  # of the first DPP
    points: Num[Array, "kept design n e"]  # of the first replicates
    weights: Float[Array, "kept design n"]


def _init(problem: Replication) -> Replicates:
    n = problem.steps * problem.batch
    three = jnp.full((len(DESIGNS), MOST, n), jnp.nan, problem.t.dtype)  # of a weak type the loop would compile twice
    shapes = jax.eval_shape(lambda: nested.draw(problem.key, problem.response.basis, problem.t))
    kept = min(KEPT, problem.batch)
    x, weights = (jnp.zeros((kept, *shape.shape), shape.dtype) for shape in (shapes.points, shapes.weights))
    return Replicates(jnp.int32(0), three, three, three, three[:, 0], three[0, 0], x, weights)


def _step(problem: Replication, state: Replicates) -> Replicates:
    basis = problem.response.basis

    def replicate(number):
        designs = problem.draw(number)

        def fitted(x, w):
            found = nested.fits(basis(x), w, problem.response(x))
            err2 = problem.truth.squared_error(found.coefficients)
            return found.lambda_min, found.cond, jnp.where(jnp.isfinite(err2), err2, jnp.inf)

        linear = (jax.vmap(basis.coordinates)(designs.points[:, : basis.m]) ** 2).sum(axis=(1, 2))
        judged = jax.vmap(fitted)(designs.points, designs.weights)
        return (*judged, linear, designs.proposals.astype(problem.t.dtype)), designs

    start = state.batches * problem.batch
    numbers, designs = jax.vmap(replicate, out_axes=(-1, 0))(start + jnp.arange(problem.batch))
    filled = [
        jax.lax.dynamic_update_slice_in_dim(kept, new, start, axis=kept.ndim - 1)
        for kept, new in zip(state[1:6], numbers, strict=True)
    ]
    first = [
        jnp.where(state.batches == 0, new[: len(kept)], kept)
        for kept, new in zip(state[6:], (designs.points, designs.weights), strict=True)
    ]
    return Replicates(state.batches + 1, *filled, *first)


def _done(problem: Replication, state: Replicates) -> Int[Array, ""]:
    whole = state.batches * problem.batch >= problem.size
    return jnp.where(whole, jnp.int32(Reason.CONVERGED), jnp.int32(Reason.RUNNING))


def _measure(problem: Replication, state: Replicates) -> dict[str, Array]:
    return {"replicates": (state.batches * problem.batch).astype(float)}


REPLICATE = Method(_init, _step, _done, _measure)
_truth = jit(Response.truth)


def replicate(
    key: PRNGKeyArray, response: Response, size: int, t: float | Array = 1.0, *, loop: Loop = pure
) -> tuple[Replication, Run]:
    r"""Draw and fit ``size`` replicates of the five designs at all n/m; the ``state`` of the run holds ``Replicates``.

    Each has its stability $\lambda_{\min}(G)$ and squared error $\|f - \hat f\|^2$.
    Time O(size 60 (m^3 + m^2 d)) for 12 m points of five designs, memory O(size 180 + 4e6) numbers.

    Args:
        key: of the draws; replicate i depends on it and on i only.
        response: what is fitted, and the functions.
        size: how many replicates.
        t: share of the Christoffel law among independent points, traced.
        loop: ``pure``, or a ``Chunked`` that reports and stops between batches.

    Returns:
        the problem, which ``summary`` wants too, and the run.

    Raises:
        ValueError: size below 1, or t outside [0, 1].

    Source:
        Nouy and Michel (2023), whose designs are compared.

    Examples:
        >>> import jax
        >>> from lab import sampling
        >>> response = sampling.Response(sampling.haar(2), function=lambda x: x[:, 0])
        >>> problem, run = sampling.replicate(jax.random.key(0), response, 2)
        >>> run.state.lambda_min.shape, float(run.state.lambda_min[-1].min().round(9))  # repeated DPPs are stratified
        ((5, 12, 2), 1.0)
    """
    t = arguments.real("t", t, (), low=0, high=1).astype(float)
    response, t = refuse_derivative(
        (response, t),
        "replicates compare random designs, which jump: differentiate lab.sampling.fit at points drawn before",
    )
    problem = Replication(response, _truth(response), key, t, arguments.whole("size", size, 1))
    return problem, loop(REPLICATE, problem, max_iterations=problem.steps)


class Summary(NamedTuple):
    """Statistics of replicates. Over designs, n/m and replicates; a design is stable where lambda_min >= 1 - delta."""

    lambda_min: Float[Array, "design n_over_m draw"]
    cond: Float[Array, "design n_over_m draw"]
    err2: Float[Array, "design n_over_m draw"]
    ratio: Float[Array, "design n_over_m draw"]  # of err2 to the best; NaN where that is 0
    linear: Float[Array, "design draw"]
    n_proposals: Float[Array, " draw"]
    probability: Float[Array, "design n_over_m"]  # share of stable ones
    probability_error: Float[Array, "design n_over_m"]  # its standard error
    lambda_median: Float[Array, "design n_over_m"]
    ratio_mean: Float[Array, "design n_over_m"]
    ratio_quantile: Float[Array, "design n_over_m level"]
    ratio_stable: Float[Array, "design n_over_m"]  # mean over stable ones


def summary(problem: Replication, drawn: Replicates, delta: Float[Array, ""], levels: Sequence[float]) -> Summary:
    """Shares, means and quantiles of the replicates that were made."""
    best = problem.truth.best
    made = (..., slice(problem.size))
    lambda_min, err2 = drawn.lambda_min[made], drawn.err2[made]
    ratio = jnp.where(best > 0, err2 / jnp.where(best > 0, best, 1.0), jnp.nan)
    count = (~jnp.isnan(lambda_min)).sum(axis=-1)
    stable = lambda_min >= 1 - delta
    share = stable.sum(axis=-1) / count
    return Summary(
        lambda_min=lambda_min,
        cond=drawn.cond[made],
        err2=err2,
        ratio=ratio,
        linear=drawn.linear[made],
        n_proposals=drawn.proposals[made],
        probability=share,
        probability_error=jnp.sqrt(share * (1 - share) / count),
        lambda_median=quantiles(lambda_min, (0.5,))[..., 0],
        ratio_mean=jnp.nanmean(ratio, axis=-1),
        ratio_quantile=quantiles(ratio, levels),
        ratio_stable=jnp.where(stable, ratio, 0.0).sum(axis=-1) / stable.sum(axis=-1),
    )


class KeptFits(NamedTuple):
    """The replicates whose points are kept, fitted at one n/m."""

    values: Float[Array, "design kept n"]  # f at their points
    coefficients: Float[Array, "design kept m"]
    estimate: Float[Array, "design kept"]  # of the squared error, from the points alone


def kept_fits(problem: Replication, drawn: Replicates, n_over_m: Int[Array, ""]) -> KeptFits:
    """The fits of the first ``n_over_m`` blocks of each kept design, and what cross-validation says of their error."""
    basis = problem.response.basis
    used = jnp.arange(MOST * basis.m) < n_over_m * basis.m

    def fitted(x, w, repeated):
        values, phi = problem.response(x), basis(x)
        c = least_squares.fit(phi, w, values, used).coefficients
        return KeptFits(values, c, nested.estimate(phi, w, values, used, repeated))

    repeated = jnp.arange(len(DESIGNS)) == DESIGNS.index(DPP)
    designs = jax.vmap(fitted)
    found = jax.lax.map(lambda one: designs(one[0], one[1], repeated), (drawn.points, drawn.weights))
    return jax.tree.map(lambda values: values.swapaxes(0, 1), found)


class Thinning(NamedTuple):
    """Designs that reached the threshold, before and after points were deleted; NaN where too few did."""

    n_used: Float[Array, " thinned"]
    lambda_min: Float[Array, " thinned"]
    err2: Float[Array, " thinned"]
    estimate: Float[Array, " thinned"]
    before_err2: Float[Array, " thinned"]
    before_estimate: Float[Array, " thinned"]


def thinned(
    problem: Replication,
    lambda_min: Float[Array, " draw"],
    design: Int[Array, ""],
    n_over_m: Int[Array, ""],
    delta: Float[Array, ""],
    count: int,
) -> Thinning:
    """Of the replicates of one design at one n/m, the first ``count`` that reach 1 - delta, thinned while they do.

    Args:
        lambda_min: of the replicates of that design.
        design: its place in ``DESIGNS``.
        n_over_m: from 1 to ``MOST``.
    """
    basis = problem.response.basis
    reached = jnp.nonzero(lambda_min >= 1 - delta, size=count, fill_value=-1)[0]

    def thin(number):
        drawn = problem.draw(jnp.maximum(number, 0))
        x, w = drawn.points[design], drawn.weights[design]
        used = jnp.arange(x.shape[0]) < n_over_m * basis.m
        least = jnp.where(number >= 0, lambda_min[number], 0.0)  # 0: left as it is
        whole = rules.Design(x, w, used, least, jnp.asarray(1), jnp.asarray(0))
        fewer = rules.thin(whole, basis, delta)
        phi, values = basis(x), problem.response(x)

        def judged(used: Array, repeated: Bool[Array, ""]) -> tuple[Array, Array]:
            c = least_squares.fit(phi, w, values, used).coefficients
            return problem.truth.squared_error(c), nested.estimate(phi, w, values, used, repeated)

        before = judged(used, design == DESIGNS.index(DPP))
        after = judged(fewer.used, jnp.asarray(False))
        n = fewer.used.sum().astype(w.dtype)
        made = Thinning(n, fewer.lambda_min, *after, *before)
        return jax.tree.map(lambda value: jnp.where(number >= 0, value, jnp.nan), made)

    return jax.lax.map(thin, reached)
