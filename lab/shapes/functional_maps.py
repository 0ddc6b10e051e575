r"""Functional maps: a correspondence of two surfaces as a small matrix between their first eigenfunctions.

Two directions, and they are opposite. A **point map** p2p goes from Y to X: of each vertex of Y its vertex of X. It pulls
functions back: **C_xy takes functions on X to functions on Y**, $C_{xy} = \Phi_y^+ \Pi_{yx} \Phi_x$ (k_y, k_x), where row i of
$\Pi_{yx}$ (n_y, n_x) says where vertex i of Y is on X, and $\Phi^+ = \Phi^\top M$.

From features F with coefficients $A = \Phi_x^+ F_x$ and $B = \Phi_y^+ F_y$ the map is

$$ C_{xy} = \mathrm{argmin}_C\; \|C A - B\|^2 + \lambda \sum_{ij} D_{ij} C_{ij}^2 + \rho \|C\|^2, \qquad
   C_i (A A^\top + \lambda\,\mathrm{diag}(D_i) + \rho I) = (B A^\top)_i , $$

row by row, with the mask D of the resolvents, which is 0 where eigenvalues agree. There nothing bounds C_ij but the features,
so a ridge $\rho$ of 1e-6 of the mean of the diagonal of $A A^\top$ keeps the systems definite.

All is differentiable. Source: Ovsjanikov et al., *Functional maps*, 2012; Ren et al., *Structured regularization of functional
map computations*, 2019 (mask); Melzi et al., *ZoomOut*, 2019; Cao, Roetzer, Bernard, *Unsupervised learning of robust spectral
shape matching*, 2023 (losses); Le et al., *Integrating efficient optimal transport and functional maps*, CVPR 2024.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from lab.choices import chosen
from lab.numerics.arguments import NOT_NEGATIVE, POSITIVE, arrays, real, whole
from lab.numerics.differentiation import needs_values, refuse_derivative
from lab.numerics.jit import jit
from lab.numerics.neighbours import nearest
from lab.ot.problem import Problem
from lab.ot.regularizers import Entropic
from lab.ot.sinkhorn import unrolled

RIDGE = 1e-6
_TINY = 1e-12


# -- the map of features -----------------------------------------------------------------------------------------------


@arrays(values_x=NOT_NEGATIVE, values_y=NOT_NEGATIVE, gamma=POSITIVE)
def mask(values_x: Float[Array, " kx"], values_y: Float[Array, " ky"], gamma: ArrayLike = 0.5) -> Float[Array, "ky kx"]:
    r"""D of C_xy, that of the other direction is its transpose. With s the largest eigenvalue of both,
    $a_j = (\lambda^x_j / s)^\gamma$ and $b_i = (\lambda^y_i / s)^\gamma$,

    $$ D_{ij} = \Big(\frac{b_i}{b_i^2 + 1} - \frac{a_j}{a_j^2 + 1}\Big)^2
              + \Big(\frac{1}{b_i^2 + 1} - \frac{1}{a_j^2 + 1}\Big)^2 . $$

    It is 0 where all eigenvalues are. An eigenvalue that is 0 stays 0 when a surface changes: its derivative counts as 0.

    Raises:
        ValueError: eigenvalues that are negative or not finite, none, or a gamma that is not positive.
    """
    if not values_x.size or not values_y.size:
        raise ValueError("values_x and values_y need at least one eigenvalue each")
    largest = jnp.maximum(values_x.max(), values_y.max())
    largest = jnp.where(largest > 0, largest, 1.0)
    a, b = (
        jnp.where(values > 0, (jnp.where(values > 0, values, 1.0) / largest) ** gamma, 0.0)
        for values in (values_x, values_y)
    )
    real = (b / (b**2 + 1))[:, None] - (a / (a**2 + 1))[None, :]
    imaginary = (1 / (b**2 + 1))[:, None] - (1 / (a**2 + 1))[None, :]
    return real**2 + imaginary**2


@arrays(penalty=NOT_NEGATIVE)
def solve(
    a: Float[Array, "kx cx"],
    b: Float[Array, "ky cy"],
    penalty: Float[Array, "ky kx"],
    strength: ArrayLike = 100.0,
    ridge: ArrayLike = RIDGE,
) -> Float[Array, "ky kx"]:
    r"""C_xy of the coefficients A on X and B on Y of the same features. Time O(k_y k_x^3), memory O(k_y k_x^2).

    Args:
        penalty: D, ``mask``.
        strength: $\lambda$, at least 0.
        ridge: $\rho$, in units of the mean of the diagonal of A A^T.

    Raises:
        ValueError: features of unlike widths, or a strength or ridge below 0.
    """
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"the features have {a.shape[1]} and {b.shape[1]} channels: both surfaces need the same")
    for name, value in (("strength", strength), ("ridge", ridge)):
        _not_negative(name, value)
    return _solve(a, b, penalty, strength, ridge)


@jit
def _solve(a: Array, b: Array, penalty: Array, strength: ArrayLike, ridge: ArrayLike) -> Array:
    gram, right = a @ a.T, b @ a.T
    gram = gram + ridge * jnp.trace(gram) / a.shape[0] * jnp.eye(a.shape[0], dtype=a.dtype)
    return jax.vmap(lambda row, of: jnp.linalg.solve(gram + strength * jnp.diag(row), of))(penalty, right)


@arrays()
def of_point_map(
    p2p: Int[Any, " ny"], functions_x: Float[Array, "nx kx"], inverse_y: Float[Array, "ky ny"]
) -> Float[Array, "ky kx"]:
    r"""C_xy of a point map from Y to X: $\Phi_y^+ \Phi_x[p2p]$.

    Args:
        p2p: of each vertex of Y its vertex of X, (n_y,).
        functions_x: $\Phi_x$, (n_x, k_x).
        inverse_y: $\Phi_y^+$, (k_y, n_y).

    Returns:
        C_xy, (k_y, k_x), which takes functions on X to functions on Y.

    Raises:
        ValueError: indices that are no vertices of X.

    Source:
        Ovsjanikov et al. (2012).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import shapes
        >>> shapes.of_point_map(jnp.array([1, 0]), jnp.eye(2), jnp.eye(2))
        Array([[0., 1.],
               [1., 0.]], dtype=float64)
    """
    _vertices(p2p, functions_x.shape[0])
    p2p = jnp.asarray(p2p)
    return inverse_y @ functions_x[p2p]


# -- losses, each a sum of squares over both directions ----------------------------------------------------------------


def _square(x: Array) -> Array:
    return (x**2).sum()


def _off(x: Array) -> Array:
    return x - jnp.eye(x.shape[0], dtype=x.dtype)


@arrays()
def bijectivity(c_xy: Float[Array, "ky kx"], c_yx: Float[Array, "kx ky"]) -> Float[Array, ""]:
    r"""$\|C_{xy} C_{yx} - I\|^2 + \|C_{yx} C_{xy} - I\|^2$: each is the way back of the other."""
    return _square(_off(c_xy @ c_yx)) + _square(_off(c_yx @ c_xy))


@arrays()
def orthogonality(c_xy: Float[Array, "ky kx"], c_yx: Float[Array, "kx ky"]) -> Float[Array, ""]:
    r"""$\|C_{xy}^\top C_{xy} - I\|^2 + \|C_{yx}^\top C_{yx} - I\|^2$: areas are kept."""
    return _square(_off(c_xy.T @ c_xy)) + _square(_off(c_yx.T @ c_yx))


@arrays()
def isometry(
    c_xy: Float[Array, "ky kx"],
    c_yx: Float[Array, "kx ky"],
    values_x: Float[Array, " kx"],
    values_y: Float[Array, " ky"],
) -> Float[Array, ""]:
    r"""$\|C_{xy} \Lambda_x - \Lambda_y C_{xy}\|^2 + \|C_{yx} \Lambda_y - \Lambda_x C_{yx}\|^2$: the Laplacians are those of
    each other."""
    one = c_xy * (values_x[None, :] - values_y[:, None])
    return _square(one) + _square(c_yx * (values_y[None, :] - values_x[:, None]))


@arrays()
def coupling(
    c_xy: Float[Array, "ky kx"],
    c_yx: Float[Array, "kx ky"],
    pi_xy: Float[Array, "nx ny"],
    pi_yx: Float[Array, "ny nx"],
    x: tuple[Array, Array],
    y: tuple[Array, Array],
) -> Float[Array, ""]:
    r"""$\|C_{xy} - \Phi_y^+ \Pi_{yx} \Phi_x\|^2 + \|C_{yx} - \Phi_x^+ \Pi_{xy} \Phi_y\|^2$: both maps are of points.

    Args:
        x, y: $\Phi$ (n, k) and $\Phi^+$ (k, n) of each surface.
    """
    return _square(c_xy - y[1] @ (pi_yx @ x[0])) + _square(c_yx - x[1] @ (pi_xy @ y[0]))


@arrays()
def partial_rank(values_full: Float[Array, " k"], values_part: Float[Array, " k"]) -> Float[Array, " k"]:
    """The diagonal that is asked of maps between a part and its whole: ones for as many eigenfunctions of the part as are below
    the whole's last, and one more. It jumps where eigenvalues cross, and has no derivative."""
    values_full, values_part = refuse_derivative(
        (values_full, values_part), "the rank of a part has no derivative in the eigenvalues: it jumps where they cross"
    )
    r = (values_part < values_full.max()).sum()
    return (jnp.arange(values_part.size) <= r).astype(values_part.dtype)


@arrays()
def partial_losses(
    c_fp: Float[Array, "k k"],
    c_pf: Float[Array, "k k"],
    values_full: Float[Array, " k"],
    values_part: Float[Array, " k"],
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    r"""Bijectivity $\|C_{fp} C_{pf} - I_r\|^2$ and orthogonality $\|C_{fp} C_{fp}^\top - I_r\|^2$ of a part.

    Args:
        c_fp: takes functions on the whole to those on the part; c_pf back.
    """
    eye = jnp.diag(partial_rank(values_full, values_part))
    return _square(c_fp @ c_pf - eye), _square(c_fp @ c_fp.T - eye)


@arrays()
def dirichlet(v: Float[Array, "n d"], ends: Int[Array, "e 2"], weights: Float[Array, " e"]) -> Float[Array, ""]:
    r"""The mean over coordinates of $v^\top L v = \sum_{ij} w_{ij} (v_i - v_j)^2$, of the edges ij of a surface: how smooth it
    is where a soft map sends it.

    Args:
        ends, weights: of L, ``-L_ij`` for each pair once: ``learning_data``.
    """
    if not isinstance(ends, Tracer) and ((np.asarray(ends) < 0) | (np.asarray(ends) >= v.shape[0])).any():
        raise ValueError(f"ends must be vertices from 0 to {v.shape[0] - 1}")
    return (weights[:, None] * (v[ends[:, 0]] - v[ends[:, 1]]) ** 2).sum() / v.shape[1]


# -- soft and hard correspondences -------------------------------------------------------------------------------------


@arrays()
def unit_rows(features: Float[Array, "n c"]) -> Float[Array, "n c"]:
    """Rows divided by their norms; zero rows stay zero, with a slope of 0."""
    square = (features**2).sum(axis=1, keepdims=True)
    return features * jax.lax.rsqrt(jnp.maximum(square, _TINY**2))


@arrays()
def soft(
    features_x: Float[Array, "nx cx"],
    features_y: Float[Array, "ny cy"],
    tau: ArrayLike = 0.07,
    mass_y: Float[Array, " ny"] | None = None,
    *,
    hard: bool = False,
) -> Float[Array, "nx ny"]:
    r"""$\Pi_{xy} = \mathrm{softmax}(\hat F_x \hat F_y^\top / \tau)$ by rows, of rows of unit norm: of each vertex of X where
    on Y.

    Args:
        tau: the temperature, positive.
        mass_y: those with mass 0 are padding, and get nothing.
        hard: 1 at the largest of each row, with the slope of the softmax (straight-through).

    Raises:
        ValueError: features of unlike widths, or tau that is not positive.
    """
    if features_x.shape[1] != features_y.shape[1]:
        raise ValueError(
            f"the features have {features_x.shape[1]} and {features_y.shape[1]} channels: both surfaces need the same"
        )
    _positive("tau", tau)
    return _soft(features_x, features_y, tau, mass_y, hard)


@jit
def _soft(features_x: Array, features_y: Array, tau: ArrayLike, mass_y: Array | None, hard: bool) -> Array:
    scores = unit_rows(features_x) @ unit_rows(features_y).T / tau
    if mass_y is not None:
        scores = jnp.where(mass_y[None, :] > 0, scores, -1e9)
    rows = jax.nn.softmax(scores, axis=1)
    if not hard:
        return rows
    one = jax.nn.one_hot(scores.argmax(axis=1), scores.shape[1], dtype=rows.dtype)
    return one + rows - jax.lax.stop_gradient(rows)


class Refined(NamedTuple):
    """Soft correspondences of an entropic plan."""

    xy: Float[Array, "nx ny"]  # rows sum to 1
    yx: Float[Array, "ny nx"]  # rows sum to 1


@arrays()
def refined(
    features_x: Float[Array, "nx c"],
    features_y: Float[Array, "ny c"],
    sigma: ArrayLike = 0.1,
    mass_x: Float[Array, " nx"] | None = None,
    mass_y: Float[Array, " ny"] | None = None,
    *,
    sweeps: int = 10,
) -> Refined:
    r"""From the entropic plan of squared distances d of features, divided by their mean: $\log P = -d / 2 \sigma^2$, whose rows
    and columns are normalized in turn, ``sweeps`` times; then rows, which is $\Pi_{xy}$, and then columns, which transposed is
    $\Pi_{yx}$. Scaling all features changes nothing.

    Args:
        sigma: positive; $2 \sigma^2$ is the strength of the entropy in units of the mean distance.
        mass_x, mass_y: those with mass 0 are padding.

    Raises:
        ValueError: sigma that is not positive, or no sweep.
    """
    _positive("sigma", sigma)
    whole("sweeps", sweeps, 1)
    return _refined(features_x, features_y, sigma, mass_x, mass_y, sweeps)


@jit
def _refined(
    features_x: Array, features_y: Array, sigma: ArrayLike, mass_x: Array | None, mass_y: Array | None, sweeps: int
) -> Refined:
    cross = features_x @ features_y.T
    square = (features_x**2).sum(axis=1)[:, None] + (features_y**2).sum(axis=1)[None, :] - 2 * cross
    square = jnp.maximum(square, 0)
    a, b = (_uniform(size, mass, square.dtype) for size, mass in zip(square.shape, (mass_x, mass_y), strict=True))
    cost = square / jnp.maximum(a @ square @ b, _TINY)
    # the sweeps begin and end with the columns of the problem, which are the rows here
    start = jnp.where(b > 0, 0, -jnp.inf)  # no padding takes part in the first
    u, v = unrolled(Problem(cost.T, b, a), Entropic(2 * jnp.asarray(sigma) ** 2), sweeps, start)
    plan = jnp.exp(u[None, :] + v[:, None] - cost / (2 * jnp.asarray(sigma) ** 2))
    xy = plan / jnp.where(a > 0, a, 1)[:, None]
    columns = xy.sum(axis=0)
    return Refined(xy, (xy / jnp.where(columns > 0, columns, 1)[None, :]).T)


def _uniform(size: int, mass: Array | None, dtype: Any) -> Array:
    if mass is None:
        return jnp.full(size, 1 / size, dtype)
    return (mass > 0).astype(dtype) / (mass > 0).sum()


# -- point maps --------------------------------------------------------------------------------------------------------


@arrays()
def point_map(
    c_xy: Float[Array, "ky kx"], functions_x: Float[Array, "nx kx"], functions_y: Float[Array, "ny ky"]
) -> Int[Array, " ny"]:
    r"""From Y to X: $p2p(y) = \mathrm{argmin}_x\, |(\Phi_x C_{xy}^\top)_x - (\Phi_y)_y|$. Time O(n_x n_y k).

    Args:
        c_xy: (k_y, k_x).
        functions_x: $\Phi_x$, (n_x, k_x).
        functions_y: $\Phi_y$, (n_y, k_y).

    Returns:
        of each vertex of Y its vertex of X, (n_y,).

    Raises:
        ValueError: shapes that do not fit, or values that are not finite.
        NotDifferentiableError: when differentiated, since the nearest vertex jumps; ``soft`` is differentiable.

    Source:
        Ovsjanikov et al. (2012).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import shapes
        >>> shapes.point_map(jnp.array([[0.0, 1.0], [1.0, 0.0]]), jnp.eye(2), jnp.eye(2)).tolist()
        [1, 0]
    """
    return _point_map(*refuse_derivative((c_xy, functions_x, functions_y), _JUMPS))


_JUMPS = "a point map has no derivative: the nearest vertex jumps; use functional_maps.soft"


@jit
def _point_map(c_xy: Array, functions_x: Array, functions_y: Array) -> Array:
    return nearest(*jax.lax.stop_gradient((functions_y, functions_x @ c_xy.T))).index[:, 0]


@arrays()
def nearest_features(features_x: Float[Array, "nx c"], features_y: Float[Array, "ny c"]) -> Int[Array, " ny"]:
    """Map each vertex of Y to the vertex of X with the most similar feature of unit norm.

    A row of zeros has similarity 0 to every other, as in ``soft``.

    Raises:
        ValueError: shapes that do not fit, or values that are not finite.
        NotDifferentiableError: when differentiated, as ``point_map``.
    """
    return _nearest_features(*refuse_derivative((features_x, features_y), _JUMPS))


@jit
def _nearest_features(features_x: Array, features_y: Array) -> Array:
    x, y = unit_rows(features_x), unit_rows(features_y)
    # The nearest row is the most similar one if all rows of X have norm 1: one more coordinate completes a row of zeros.
    short = (features_x**2).sum(axis=1) < _TINY**2
    rest = jnp.where(short, jnp.sqrt(jnp.maximum(1 - (x**2).sum(axis=1), 0)), 0)
    x = jnp.concatenate([x, rest[:, None]], axis=1)
    return nearest(jnp.pad(y, ((0, 0), (0, 1))), x).index[:, 0]


@chosen
@arrays()
def match(
    features_x: Float[Array, "nx c"],
    features_y: Float[Array, "ny c"],
    functions_x: Float[Array, "nx kx"],
    functions_y: Float[Array, "ny ky"],
    inverse_y: Float[Array, "ky ny"],
    by: Literal["map", "features"] | str = "map",
) -> Int[Array, " ny"]:
    """The point map from Y to X of learned features: of near isometries by the functional map of the nearest features, which
    smooths, of others by the nearest features alone; as ``point_map`` without a derivative."""
    p2p = nearest_features(features_x, features_y)
    return p2p if by == "features" else point_map(of_point_map(p2p, functions_x, inverse_y), functions_x, functions_y)


class Zoomed(NamedTuple):
    """A map that was sharpened."""

    c_xy: Float[Array, "k k"]
    p2p: Int[Array, " ny"]  # from Y to X


@arrays()
def zoomout(
    c_xy: Float[Array, "k0 k0"],
    functions_x: Float[Array, "nx k"],
    functions_y: Float[Array, "ny k"],
    inverse_y: Float[Array, "k ny"],
    step: int = 1,
) -> Zoomed:
    r"""From a map of k0 eigenfunctions to one of k: the point map of C, and its C of ``step`` eigenfunctions more, in turn.

    $$ p2p(y) = \mathrm{argmin}_x\, |(\Phi_x C^\top)_x - (\Phi_y)_y|, \qquad C = \Phi_y^+ \Phi_x[p2p] $$

    Args:
        c_xy: (k0, k0), to begin with.
        functions_x: $\Phi_x$, (n_x, k).
        functions_y: $\Phi_y$, (n_y, k).
        inverse_y: $\Phi_y^+$, (k, n_y).
        step: eigenfunctions that are added at once.

    Returns:
        C_xy (k, k), differentiable in Phi_x and Phi_y^+ with the point map held fixed, and the point map from Y to X (n_y,).

    Raises:
        ValueError: shapes that do not fit, fewer eigenfunctions than C has, or a step below 1.
        NotDifferentiableError: when differentiated in c_xy or Phi_y, of which only the point map depends, which jumps.

    Source:
        Melzi et al., ZoomOut (2019).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import shapes
        >>> sheet = shapes.sheet(4, 3, width=1.5)
        >>> of = shapes.spectrum.spectrum(shapes.laplacian.laplacian(sheet), 5)
        >>> phi = jnp.asarray(of.functions)
        >>> found = shapes.zoomout(jnp.eye(3), phi, phi, jnp.asarray(of.inverse))  # to itself
        >>> found.p2p.tolist() == list(range(12)), bool(jnp.allclose(found.c_xy, jnp.eye(5)))
        (True, True)
    """
    k, start = functions_x.shape[1], c_xy.shape[0]
    if not 1 <= start <= k or step < 1:
        raise ValueError(
            f"C has {start} rows, k = {k} and step = {step}, but 1 <= rows <= k and a step from 1 are needed"
        )
    whole("step", step, 1)
    c_xy, functions_y = refuse_derivative((c_xy, functions_y), _JUMPS)
    sizes = np.append(np.arange(start, k, step), k)
    padded = jnp.zeros((k, k), c_xy.dtype).at[:start, :start].set(c_xy)
    return _zoomed(padded, functions_x, functions_y, inverse_y, jnp.asarray(sizes))


@jit
def _zoomed(c_xy: Array, functions_x: Array, functions_y: Array, inverse_y: Array, sizes: Array) -> Zoomed:
    """All of one width, so that it is one program: what is beyond is 0, and counts nothing in distances."""
    index = jnp.arange(c_xy.shape[0])

    def sharper(c: Array, sizes: tuple[Array, Array]) -> tuple[Array, None]:
        size, following = sizes
        p2p = _point_map(c, functions_x, jnp.where(index[None, :] < size, functions_y, 0))
        there = index < following
        return jnp.where(there[:, None] & there[None, :], inverse_y @ functions_x[p2p], 0), None

    c_xy, _ = jax.lax.scan(sharper, c_xy, (sizes[:-1], sizes[1:]))
    return Zoomed(c_xy, _point_map(c_xy, functions_x, functions_y))


# -- how good it is ----------------------------------------------------------------------------------------------------


def geodesic_errors(p2p: Any, truth: Any, distances: Any) -> Any:
    r"""$e(y) = d_X(p2p(y), \mathrm{truth}(y))$.

    Args:
        p2p: (n_y,) vertices of X.
        truth: (n_y,) vertices of X.
        distances: (n_x, n_x) on X, in units of the root of its area: ``geodesics``. One reports 100 times the mean.

    Returns:
        errors (n_y,), in the units of the distances; differentiable in them.

    Raises:
        ValueError: maps of unlike lengths, or indices that are no vertices of X.

    Source:
        Kim, Lipman and Funkhouser, Blended intrinsic maps (2011).

    Examples:
        >>> from lab import shapes
        >>> shapes.geodesic_errors([0, 1], [0, 0], [[0.0, 0.3], [0.3, 0.0]]).tolist()
        [0.0, 0.3]
    """
    p2p, truth = np.asarray(p2p), np.asarray(truth)
    traced = isinstance(distances, Tracer)
    distances = real("distances", distances, (None, None)) if traced else np.asarray(distances)
    if distances.ndim != 2 or distances.shape[0] != distances.shape[1]:
        raise ValueError(f"distances has shape {distances.shape}, but those of all pairs (n_x, n_x) are needed")
    if not traced and not np.isfinite(distances).all():
        raise ValueError("distances has values that are not finite")
    if p2p.shape != truth.shape:
        raise ValueError(
            f"the maps have shapes {p2p.shape} and {truth.shape}, but both are of the vertices of Y (n_y,)"
        )
    for each in (p2p, truth):
        _vertices(each, len(distances))
    return distances[p2p, truth]


class Curve(NamedTuple):
    """Which share of points is right to within t."""

    threshold: Float[np.ndarray, " t"]
    share: Float[np.ndarray, " t"]
    area: float  # under it, with the axis of t taken as [0, 1]


@needs_values("The curve counts errors below thresholds and jumps: differentiate a mean error instead.")
def correct_keypoints(errors: Any, most: float = 0.10, count: int = 40) -> Curve:
    r"""The curve PCK(t) on [0, most], and the area under it (AUC).

    $$ \mathrm{PCK}(t) = \tfrac1n |\{y: e(y) \le t\}| $$

    Args:
        errors: of any shape, of which all count.
        most: the largest threshold, in the units of the errors.
        count: thresholds, at least 2.

    Returns:
        thresholds and shares (count,), and the area, with the axis of t taken as [0, 1].

    Raises:
        ValueError: a largest threshold that is not positive and finite, fewer than 2, or errors that are negative or NaN, or
            none.

    Source:
        Kim, Lipman and Funkhouser, Blended intrinsic maps (2011).

    Examples:
        >>> from lab import shapes
        >>> curve = shapes.correct_keypoints([0.0, 0.05, 0.2, 0.3], count=3)
        >>> curve.share.tolist(), curve.area
        ([0.25, 0.5, 0.5], 0.4375)
    """
    if not 0 < most < np.inf or count < 2:
        raise ValueError(f"most = {most:g} and count = {count}, but a positive threshold and at least 2 are needed")
    given = np.asarray(errors, float).ravel()
    if not given.size or not (given >= 0).all():
        raise ValueError("errors must be numbers of at least 0, and at least one of them")
    threshold = np.linspace(0, most, whole("count", count, 2))
    share = (given[None, :] <= threshold[:, None]).mean(axis=1)
    return Curve(threshold, share, float(np.trapezoid(share, threshold / most)))


# -- checks ------------------------------------------------------------------------------------------------------------


def _vertices(p2p: Any, n: int) -> None:
    if isinstance(p2p, Tracer):
        return
    index = np.asarray(p2p)
    if index.dtype.kind not in "iu":
        raise ValueError(f"the point map is of {index.dtype}, but whole numbers are needed: vertices of X")
    if (wrong := index[(index < 0) | (index >= n)]).size:
        raise ValueError(f"the point map goes to vertex {wrong[0]}, but X has vertices from 0 to {n - 1}")


def _positive(name: str, value: ArrayLike) -> None:
    if not isinstance(value, Tracer) and not 0 < float(np.asarray(value)) < np.inf:
        raise ValueError(f"{name} = {float(np.asarray(value)):g}, but it must be positive and finite")


def _not_negative(name: str, value: ArrayLike) -> None:
    if not isinstance(value, Tracer) and not 0 <= float(np.asarray(value)) < np.inf:
        raise ValueError(f"{name} = {float(np.asarray(value)):g}, but it must be at least 0 and finite")
