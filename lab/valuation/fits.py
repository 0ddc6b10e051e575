r"""Scores of mixtures as functions of their shares p and their distance T to a validation set: fits at one pilot size.

| model | columns beside 1, for i < m since $p_m = 1 - \sum_{i<m} p_i$ |
|---|---|
| linear | $p_i$ |
| quadratic | $p_i, p_i^2$ |
| linear-OT | $T$ |
| PQ-OT | $p_i, p_i^2, T, p_i T, p_i^2 T$ |
| notebook | $p_i, T, p_i T, p_i^2 T$ (what the authors released) |

Least squares, or ridge on columns of mean 0 and variance 1 with an intercept that is not punished:
$\min_\beta |y - \bar y - Z \beta|^2 + \alpha |\beta|^2$. All models are padded to one number of columns with zeros, which
changes nothing, so that one program fits all. ``rational`` is the baseline after Hashimoto, *Model performance scaling with
multiple data sources*, ICML 2021, over both sizes:
$\log(\mathrm{error}) = \log \sum_r (\sum_i e^{\theta_{ir}} p_i)^{-1} - \alpha \log N$.

Source: Kang et al., *Performance scaling via optimal transport*, NeurIPS 2023, stage 1.
"""

import warnings
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from lab.choices import chosen
from lab.numerics import arguments
from lab.numerics.jit import jit

Named = Literal["linear-OT", "PQ-OT", "notebook", "linear", "quadratic"]
type Model = Named | str
MODELS: tuple[str, ...] = get_args(Named)
FEW = 0.3  # ridge where there are fewer mixtures than columns and none was asked for
_HELD = 0.03  # how strongly the rational baseline is held where it starts: sources that no mixture has would run away
_CUT = 1e-12  # singular values below this share of the largest count as 0


@chosen
def columns(p: Float[Array, "*k sources"], distance: Float[Array, "*k"], model: Model) -> Float[Array, "*k columns"]:
    """The columns of a model, beside the intercept, at mixtures with their distances."""
    free, t = p[..., :-1], distance[..., None]
    square = free**2
    parts = {
        "linear-OT": (t,),
        "PQ-OT": (free, square, t, free * t, square * t),
        "notebook": (free, t, free * t, square * t),
        "linear": (free,),
        "quadratic": (free, square),
    }[model]
    return jnp.concatenate(parts, axis=-1)


@chosen
def count(model: Model, sources: int) -> int:
    """How many columns a model has, with the intercept."""
    free = sources - 1
    return (
        1
        + {"linear-OT": 1, "PQ-OT": 1 + 4 * free, "notebook": 1 + 3 * free, "linear": free, "quadratic": 2 * free}[
            model
        ]
    )


@chosen
def padded(p: Float[Array, "*k sources"], distance: Float[Array, "*k"], model: Model) -> Float[Array, "*k columns"]:
    """``columns`` with zeros after them, as many as ``PQ-OT`` has."""
    found = columns(p, distance, model)
    room = count("PQ-OT", p.shape[-1]) - 1 - found.shape[-1]
    return jnp.concatenate([found, jnp.zeros((*found.shape[:-1], room), found.dtype)], axis=-1)


class Fit(NamedTuple):
    """What a fit found; of several fits each field has a dimension more in front."""

    intercept: Float[Array, "..."]
    slopes: Float[Array, "... columns"]  # in units of the columns as they are
    condition: Float[Array, "..."]  # of the standardised columns: the largest singular value over the least
    ridge: Float[Array, "..."]  # alpha that was used


@jit
def least_squares(
    z: Float[Array, "k columns"],
    y: Float[Array, " k"],
    real: Int[Array, ""],
    ridge: ArrayLike,
    weights: Float[Array, " k"],
) -> Fit:
    """The fit of y by an intercept and the columns of z. Under ``jit`` and ``vmap``.

    Args:
        z: columns, of which those after the first ``real`` are 0.
        real: how many there are, without the intercept.
        ridge: alpha; with 0 and fewer mixtures than columns, and the intercept, ``FEW``.
        weights: what each mixture counts; 0: not at all.
    """
    total = weights.sum()
    ridge = jnp.where((ridge == 0) & ((weights > 0).sum() < real + 1), FEW, jnp.asarray(ridge, z.dtype))
    mean, level = weights @ z / total, weights @ y / total
    square = weights @ (z - mean[None, :]) ** 2 / total
    size = jnp.abs(z).max(axis=0)
    live = jnp.sqrt(square) > 1e-14 * size
    scale = jnp.sqrt(jnp.where(live, square, 1.0))
    root = jnp.sqrt(jnp.where(weights > 0, weights, 1.0))
    root = jnp.where(weights > 0, root, 0.0)[:, None]
    columns = jnp.where(live[None, :], root * (z - mean[None, :]) / scale[None, :], 0.0)
    right = root[:, 0] * (y - level)
    beta, s = _solved(columns, right, ridge)
    slopes = beta / scale
    least = jnp.where(real <= s.size, s[jnp.minimum(real, s.size) - 1], 0.0)
    condition = jnp.where(least > 0, s[0] / jnp.where(least > 0, least, 1.0), jnp.inf)
    return Fit(level - mean @ slopes, slopes, condition, ridge)


def _solved(columns: Array, right: Array, ridge: Array) -> tuple[Array, Array]:
    """The solution of least norm by singular values, which come with it; differentiable as the root of its equations."""
    given = jax.lax.stop_gradient((columns, right, ridge))
    u, s, vt = jnp.linalg.svd(given[0], full_matrices=False)
    kept = s > _CUT * s[0]
    found = vt.T @ (jnp.where(kept, s, 0.0) / jnp.where(kept, s**2 + given[2], 1.0) * (u.T @ given[1]))

    def residual(beta: Array) -> Array:
        return columns.T @ (columns @ beta - right) + ridge * beta

    def solve(linear: Callable[[Array], Array], change: Array) -> Array:  # columns of zeros stay
        matrix = jax.vmap(linear, out_axes=1)(jnp.eye(change.size, dtype=change.dtype))
        return lx.linear_solve(lx.MatrixLinearOperator(matrix), change, lx.SVD(rcond=_CUT), throw=False).value

    along = jnp.einsum("kr,kc,rc->r", u, columns, vt)  # s, with the slope of simple singular values
    return jax.lax.custom_root(residual, found, lambda _, start: start, solve), s + (
        along - jax.lax.stop_gradient(along)
    )


@chosen
def fit(p: Any, distance: Any, y: Any, model: Model = "PQ-OT", *, ridge: ArrayLike = 0.0, weights: Any = None) -> Fit:
    r"""Fit scores of mixtures at one size: $\min_\beta |y - \bar y - Z \beta|^2 + \alpha |\beta|^2$, Z of standard columns.

    Fewer mixtures than columns warn (UserWarning): a ridge of 0.3 is then used. All fields are differentiable in all arrays
    and in the ridge: the slopes by the implicit function theorem, the condition where singular values differ.

    Args:
        p: (k, m) shares.
        distance: (k,).
        y: (k,) scores, of any unit.
        model: which columns.
        ridge: alpha of the standardised columns; 0: ordinary least squares.
        weights: (k,) what each mixture counts; all alike when omitted.

    Returns:
        intercept and slopes, in units of the columns as they are, and the condition.

    Raises:
        ValueError: arrays that do not fit or are not finite, weights or a ridge below 0, weights that are all 0, or an
            unknown model.

    Source:
        Kang et al. (2023), stage 1.

    Examples:
        >>> from lab import valuation
        >>> p = valuation.simplex_grid(2, 4)
        >>> found = valuation.fit(p, 0 * p[:, 0], 1 + 2 * p[:, 0], "linear")
        >>> round(float(found.intercept), 6), round(float(found.slopes[0]), 6)
        (1.0, 2.0)
    """
    p = arguments.real("p", p, (None, None), dtype=float)
    k, sources = p.shape
    if 0 in p.shape:
        raise ValueError(f"p has shape {p.shape}: at least one mixture of at least one source is needed")
    distance, y = (arguments.real(name, each, (k,), dtype=float) for name, each in (("distance", distance), ("y", y)))
    weights = jnp.ones(k) if weights is None else arguments.real("weights", weights, (k,), low=0, dtype=float)
    ridge = arguments.real("ridge", ridge, (), low=0, dtype=float)
    needed = count(model, sources)
    if not isinstance(weights, Tracer) and not isinstance(ridge, Tracer):
        there = int((np.asarray(weights) > 0).sum())
        if there == 0:
            raise ValueError("weights are all 0: at least one mixture must count")
        if there < needed and ridge == 0:
            warnings.warn(
                f"{there} mixtures for the {needed} columns of {model}: ridge {FEW} is used, so try more mixtures or a model "
                "with fewer columns",
                stacklevel=2,
            )
    return least_squares(padded(p, distance, model), y, jnp.asarray(needed - 1), ridge, weights)


@chosen
def predict(fit: Fit, p: Any, distance: Any, model: Model) -> Float[Array, "*k"]:
    r"""The score that a fit gives mixtures at their distances, $\beta_0 + z(p, T) \cdot \beta$.

    Args:
        fit: of the same model.
        p: (k, m) shares, or (m,).
        distance: (k,), or ().
        model: which columns.

    Returns:
        scores (k,), or ().

    Raises:
        ValueError: an unknown model.

    Source:
        Kang et al. (2023), stage 1.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import valuation
        >>> p = valuation.simplex_grid(2, 4)
        >>> found = valuation.fit(p, 0 * p[:, 0], 1 + 2 * p[:, 0], "linear")
        >>> round(float(valuation.predict(found, jnp.array([0.3, 0.7]), jnp.array(0.0), "linear")), 6)
        1.6
    """
    p, distance = arguments.real("p", p), arguments.real("distance", distance)
    if p.ndim < 1 or distance.shape != p.shape[:-1] or count("PQ-OT", p.shape[-1]) - 1 != fit.slopes.shape[-1]:
        raise ValueError(
            f"p and distance have shapes {p.shape} and {distance.shape}: (k, sources) and (k,), or (sources,) and (), are "
            f"needed, with the {fit.slopes.shape[-1] // 4 + 1} sources of the fit"
        )
    return fit.intercept + padded(p, distance, model) @ fit.slopes


class Errors(NamedTuple):
    """How far predictions are off."""

    mae: Float[Array, "..."]  # in units of the score
    r2: Float[Array, "..."]  # 1: all is told; 0: no more than by the mean


def errors(predicted: Any, measured: Any, weights: Any) -> Errors:
    r"""Mean absolute error and R², of the mixtures that count.

    $$ \sum_i w_i |\hat y_i - y_i|, \qquad R^2 = 1 - \frac{\sum_i w_i (\hat y_i - y_i)^2}{\sum_i w_i (y_i - \bar y)^2} $$

    with weights of sum 1.

    Args:
        predicted: (k,).
        measured: (k,).
        weights: (k,), scaled to sum 1.

    Returns:
        both; R² is NaN where all measured scores that count are equal.

    Raises:
        ValueError: arrays that do not fit or are not finite, weights below 0, or weights that are all 0.

    Source:
        Kang et al. (2023), of how predictions are judged.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import valuation
        >>> found = valuation.errors(jnp.array([2.0, 2.0]), jnp.array([1.0, 3.0]), jnp.ones(2))  # by the mean
        >>> float(found.mae), float(found.r2)
        (1.0, 0.0)
    """
    predicted = arguments.real("predicted", predicted, (None,))
    measured = arguments.real("measured", measured, predicted.shape)
    weights = arguments.real("weights", weights, predicted.shape, low=0)
    if not isinstance(weights, Tracer) and not np.asarray(weights).any():
        raise ValueError("weights are all 0: at least one mixture must count")
    return _errors(predicted, measured, weights)


def _errors(predicted: Array, measured: Array, weights: Array) -> Errors:
    share = weights / weights.sum()
    apart, level = predicted - measured, share @ measured
    total = share @ (measured - level) ** 2
    known = total > 1e-28 * (share @ measured**2)
    return Errors(
        share @ jnp.abs(apart), jnp.where(known, 1 - (share @ apart**2) / jnp.where(known, total, 1), jnp.nan)
    )


class Rational(NamedTuple):
    """The rational baseline."""

    theta: Float[Array, "sources terms"]
    alpha: Float[Array, ""]


@jit
def fit_rational(
    p: Float[Array, "k sources"],
    sizes: Float[Array, " sizes"],
    error: Float[Array, "sizes k"],
    weights: Float[Array, " k"],
    terms: int = 2,
    steps: int = 60,
) -> Rational:
    """Nonlinear least squares of the logarithm of the error, by steps of Levenberg and Marquardt from one start.

    Args:
        sizes: N of each row of ``error``.
        error: in % or nats; below 1e-3 it counts as that.
        weights: what each mixture counts.
        terms: the number of r.
    """
    wanted, root = jnp.log(jnp.maximum(error, 1e-3)), jnp.sqrt(weights)
    level = (wanted @ weights).mean() / weights.sum()
    # terms that begin alike stay alike
    begin = jnp.linspace(-0.5, 0.5, terms)[None, :] * jnp.linspace(-1, 1, p.shape[1])[:, None] + jnp.log(terms) - level
    start = jnp.append(begin.ravel(), 0.0)

    def residual(at: Array) -> Array:
        apart = (_rational(_made(at, p.shape[1]), p[None], sizes[:, None]) - wanted) * root[None, :]
        return jnp.append(apart.ravel(), _HELD * (at - start))

    def step(carry: tuple, _: None) -> tuple:
        at, damping, now = carry
        jacobian, r = jax.jacfwd(residual)(at), residual(at)
        normal = jacobian.T @ jacobian
        tried = at - jnp.linalg.solve(normal + damping * jnp.eye(at.size), jacobian.T @ r)
        then = (residual(tried) ** 2).sum()
        better = then < now
        return (jnp.where(better, tried, at), jnp.where(better, damping / 5, damping * 4), jnp.minimum(then, now)), None

    (at, _, _), _ = jax.lax.scan(step, (start, jnp.asarray(1.0), (residual(start) ** 2).sum()), None, length=steps)
    return _made(at, p.shape[1])


def _made(at: Array, sources: int) -> Rational:
    return Rational(at[:-1].reshape(sources, -1), at[-1])


def _rational(model: Rational, p: Array, size: Array) -> Array:
    return jnp.log((1 / (p @ jnp.exp(model.theta))).sum(axis=-1)) - model.alpha * jnp.log(size)


def predict_rational(model: Rational, p: Float[Array, "*k sources"], size: ArrayLike) -> Float[Array, "*k"]:
    """The error that the rational baseline gives mixtures at a size, in its unit."""
    return jnp.exp(_rational(model, p, jnp.asarray(size, p.dtype)))
