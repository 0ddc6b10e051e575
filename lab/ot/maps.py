r"""Transport maps that are learned from samples: a network, a divergence that says where its points belong, and the Monge gap.

$$ \min_T\; S_\varepsilon(T_\# \mu, \nu) + \lambda\, M_{\varepsilon'}(T) + \kappa\, E\, \|J_F - J_F^\top\|_F^2 $$

The divergence alone leaves open which of all maps with the right image is learned; for any $\lambda > 0$ the minimum is the
optimal map of the gap's cost, where there is one. The ground cost of the divergence is the squared distance, whatever the cost
of the gap. What a network N is taken for is its form:

| form | T(x) | N at the start |
|---|---|---|
| "plain" | N(x) | as drawn |
| "residual" | x + N(x) | as drawn |
| "gaussian" | the optimal map between Gaussians of the samples' moments, + N(x) | 0 |
| "structured" | $x - \nabla h^*(N(x))$, for the cost h(x - y); the last term asks that N be a gradient | as drawn |
| "sphere" | N(x) / \|N(x)\| | as drawn |

Source: Uscidda, Cuturi, *The Monge Gap: A Regularizer to Learn All Transport Maps*, ICML 2023.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PRNGKeyArray

from lab.choices import chosen
from lab.numerics import Loop, pure, random, tell
from lab.numerics.arguments import arrays, real, whole
from lab.numerics.differentiation import refuse_derivative
from lab.numerics.jit import jit
from lab.numerics.lessons import Learning
from lab.numerics.lessons import learn as lesson
from lab.ot.gaussian import Bures, bures
from lab.ot.monge import OFF_SPHERE, Cost, PNorm, conservativity, divergence, function_of, loss, pairwise

type Form = Literal["plain", "residual", "gaussian", "structured", "sphere"] | str
type Samples = Array | np.ndarray | Callable[[PRNGKeyArray, int], Array]
"""Points (n, d), of which batches are drawn; or a function of a key and a count that draws them."""

FIT, GAP = 0.05, 0.01
"""The epsilons of the divergence and of the gap, as shares of a mean cost, where they are not given."""
_SOME = 2048  # points of which that mean is taken


class Perceptron(eqx.Module):
    """Dense layers with GELU between them, of a point (d,) to a vector; ``still`` begins at 0."""

    layers: tuple[eqx.nn.Linear, ...]

    def __init__(
        self, key: PRNGKeyArray, d: int, hidden: tuple[int, ...] = (128, 64, 64), still: bool = False, dtype: Any = None
    ):
        sizes = [d, *hidden, d]
        keys = jax.random.split(key, len(sizes) - 1)
        layers = [eqx.nn.Linear(m, n, dtype=dtype, key=k) for m, n, k in zip(sizes[:-1], sizes[1:], keys, strict=True)]
        if still:
            layers[-1] = jax.tree.map(jnp.zeros_like, layers[-1])
        self.layers = tuple(layers)

    def __call__(self, x: Float[Array, " d"]) -> Float[Array, " d"]:
        for layer in self.layers[:-1]:
            x = jax.nn.gelu(layer(x))
        return self.layers[-1](x)


@chosen
class Map(eqx.Module):
    """A network in its form: a function of points (n, d).

    Attributes:
        network: of a point (d,) to a vector (d,).
        base: of the form "gaussian"; it is not trained.
        cost: of the form "structured".
    """

    network: Any
    base: Bures | None = None
    form: Form = eqx.field(static=True, default="plain")
    cost: Any = "squared"

    @jit
    def __call__(self, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        return jax.vmap(self.one)(x)

    def one(self, x: Float[Array, " d"]) -> Float[Array, " d"]:
        out = self.network(x)
        match self.form:
            case "residual":
                return x + out
            case "gaussian":
                assert self.base is not None
                return self.base(x) + out
            case "structured":
                return x - _slope_of_conjugate(self.cost, out)
            case "sphere":
                return out / jnp.sqrt((out**2).sum() + 1e-16)
        return out


def _slope_of_conjugate(cost: Cost, w: Array) -> Array:
    """The gradient of h*, of h(z) = |z|^2 or |z|_p^p / p."""
    if cost == "squared":
        return w / 2
    assert isinstance(cost, PNorm)
    return jnp.sign(w) * jnp.abs(w) ** (1 / (cost.p - 1))


class Objective(eqx.Module):
    """What is minimized: a problem of ``lab.numerics.lessons``, whose model is the network of the map.

    The term of the divergence that no map changes, that of the targets alone, is left out of ``loss``.
    """

    source: Any
    target: Any
    map: Map
    strength: Float[Array, ""]
    conservative: Float[Array, ""]
    fit_epsilon: Float[Array, ""]
    gap_epsilon: Float[Array, ""]
    tolerance: Float[Array, ""]
    cost: Any
    batch: int = eqx.field(static=True)
    gapped: bool = eqx.field(static=True)  # whether there is a gap in the loss at all
    conserved: bool = eqx.field(static=True)

    def loss(self, model: Any, key: PRNGKeyArray) -> Float[Array, ""]:
        of_x, of_y, of_v = jax.random.split(key, 3)
        x, y = draw(self.source, of_x, self.batch), draw(self.target, of_y, self.batch)
        mapped = jax.vmap(self._with(model).one)(x)
        total = divergence(mapped, y, self.fit_epsilon, tolerance=self.tolerance, constant=False)
        if self.gapped:
            total += self.strength * loss(x, mapped, self.gap_epsilon, self.cost, tolerance=self.tolerance)
        if self.conserved:
            total += self.conservative * conservativity(model, x, of_v)
        return total

    def _with(self, model: Any) -> Map:
        return eqx.tree_at(lambda one: one.network, self.map, model)


def draw(samples: Any, key: PRNGKeyArray, count: int) -> Any:
    """A batch: of points that are given, with replacement."""
    if callable(samples):
        return samples(key, count)
    return samples[random.randint(key, (count,), 0, samples.shape[0])]


class LearnedMap(NamedTuple):
    """A map, and how it was learned."""

    map: Map
    loss: Float[Array, " steps"]  # of the batch of each step; NaN where a stop left it out
    fit_epsilon: Float[Array, ""]
    gap_epsilon: Float[Array, ""]
    reason: Int[Array, ""] | int
    iterations: Int[Array, ""] | int
    state: Learning  # whence to go on


@chosen
def learn(
    key: PRNGKeyArray,
    source: Samples,
    target: Samples,
    *,
    cost: Cost = "squared",
    form: Form = "gaussian",
    strength: ArrayLike = 1.0,
    conservative: ArrayLike = 0.0,
    network: Any = None,
    fit_epsilon: ArrayLike | None = None,
    gap_epsilon: ArrayLike | None = None,
    steps: int = 1000,
    batch: int = 256,
    learning_rate: ArrayLike = 1e-3,
    tolerance: ArrayLike = 1e-3,
    average: float = 0.99,
    loop: Loop = pure,
    state: Learning | None = None,
) -> LearnedMap:
    r"""Learn a map from samples of two laws, optimal for a cost.

    $$ \min_T\; S_\varepsilon(T_\# \mu, \nu) + \lambda\, M_{\varepsilon'}(T) + \kappa\, E\, \|J_F - J_F^\top\|_F^2 $$

    with the Sinkhorn divergence S of the squared distance, and the Monge gap M of ``cost``.

    Args:
        key: of the network and of all that is drawn; the same key and arguments learn the same map.
        source: points (n, d), of which each batch is drawn with replacement, or a function of a key and a count.
        target: likewise, of the other law.
        cost: of the gap: by its name, or a function of two points in JAX.
        form: what the network is taken for, by the table of the module.
        strength: $\lambda$, at least 0, in the units of the squared distance by those of the cost. At 0 the gap is not solved.
        conservative: $\kappa$ of the form "structured", at least 0; 0.01 in the paper.
        network: a pytree of arrays, called with a point (d,); a ``Perceptron`` with hidden layers 128, 64, 64 when omitted.
        fit_epsilon: of the divergence; 0.05 of the mean squared distance between targets of some of them when omitted.
        gap_epsilon: of the gap; 0.01 of the mean cost from sources to targets of some of them when omitted.
        steps: of Adam; the rate warms up, and falls to 0 along a cosine.
        batch: of points of each law at a step. Time O(batch^2) a sweep of Sinkhorn's algorithm, of three solves at a step.
        learning_rate: of Adam, the largest.
        tolerance: of the marginals of those solves (L1).
        average: of the moving average of the weights, which is the map that is returned.
        loop: ``pure``, or a ``Chunked`` that reports, stops and hands back the state.
        state: of a training with the same arguments, where to go on.

    Returns:
        a ``LearnedMap``: ``map`` takes points (n, d); with the loss of each step, the epsilons, and how the training ended.

    Raises:
        ValueError: points that do not fit or are not finite, off the sphere for the geodesic cost, an epsilon that is not
            positive (``exact_gap`` evaluates without one), a strength below 0, a form that does not go with the cost, or fewer
            steps than 1.

    Warns:
        NotConverged: the loss became infinite or NaN; the map is the last one before.

    Source:
        Uscidda, Cuturi, The Monge Gap: A Regularizer to Learn All Transport Maps, ICML 2023.

    Examples:
        >>> import jax, numpy as np
        >>> from lab import ot
        >>> x = np.random.default_rng(0).normal(size=(64, 2))
        >>> y = x @ np.diag([2.0, 0.5]) + 1
        >>> found = ot.maps.learn(jax.random.key(0), x, y, steps=2, batch=32)
        >>> bool(abs(found.map(jax.numpy.asarray(x)) - y).max() < 0.1)  # it begins at the Gaussian one
        True
    """
    source, target, strength, conservative, learning_rate, fit_epsilon, gap_epsilon = refuse_derivative(
        (source, target, strength, conservative, learning_rate, fit_epsilon, gap_epsilon),
        "lab.ot.maps.learn has no derivative: a training does not end at a minimum; differentiate Objective.loss",
    )
    objective = prepare(
        key,
        source,
        target,
        cost=cost,
        form=form,
        strength=strength,
        conservative=conservative,
        network=network,
        fit_epsilon=fit_epsilon,
        gap_epsilon=gap_epsilon,
        batch=batch,
        tolerance=tolerance,
    )
    whole("steps", steps, 1)
    found = lesson(
        loop,
        objective,
        objective.map.network,
        jax.random.fold_in(key, 1),
        steps=steps,
        learning_rate=learning_rate,
        average=average,
        state=state,
    )
    if loop is pure:
        tell("lab.ot.maps.learn", found.reason, found.iterations)
    learned = objective._with(found.model)
    epsilons = objective.fit_epsilon, objective.gap_epsilon
    return LearnedMap(learned, found.loss, *epsilons, found.reason, found.iterations, found.state)


@chosen
def prepare(
    key: PRNGKeyArray,
    source: Samples,
    target: Samples,
    *,
    cost: Cost = "squared",
    form: Form = "gaussian",
    strength: ArrayLike = 1.0,
    conservative: ArrayLike = 0.0,
    network: Any = None,
    fit_epsilon: ArrayLike | None = None,
    gap_epsilon: ArrayLike | None = None,
    batch: int = 256,
    tolerance: ArrayLike = 1e-3,
) -> Objective:
    """The objective of ``learn``, with the map at its start."""
    function_of(cost)
    for name, value in (("strength", strength), ("conservative", conservative)):
        if (number := _known(value)) is not None and not 0 <= number < np.inf:
            raise ValueError(f"{name} = {number:g}, but it must be at least 0 and finite")
    for name, value in (("fit_epsilon", fit_epsilon), ("gap_epsilon", gap_epsilon)):
        if (number := _known(value)) is not None and not 0 < number < np.inf:
            raise ValueError(f"{name} = {number:g}, but a training needs a positive one; exact_gap evaluates without")
    if batch < 2:
        raise ValueError(f"batch = {batch}, but at least 2 points of each law are needed")
    if form == "structured" and not (cost == "squared" or (isinstance(cost, PNorm) and 1 < cost.p <= 2)):
        raise ValueError(
            'the form "structured" is of the costs "squared" and PNorm(p) with 1 < p <= 2, whose conjugate has a bounded '
            "slope: take another form"
        )
    if cost == "geodesic" and form != "sphere":
        raise ValueError(f'the geodesic cost is of points on the sphere: take form="sphere", not {form!r}')
    of_x, of_y, of_network = jax.random.split(key, 3)
    x, y = checked("source", source, of_x, batch), checked("target", target, of_y, batch)
    if x.shape[1] != y.shape[1]:
        raise ValueError(
            f"the sources have {x.shape[1]} coordinates and the targets {y.shape[1]}: they must have as many"
        )
    for name, points in (("source", x), ("target", y)):
        if isinstance(points, Tracer) or cost != "geodesic":
            continue
        if (off := float(jnp.abs(jnp.linalg.norm(points, axis=1) - 1).max())) > OFF_SPHERE:
            raise ValueError(
                f"the {name} is off the unit sphere by {off:.2g}, where the geodesic cost is: divide by the norm"
            )
    dtype = jnp.result_type(x, y)
    if network is None:
        network = Perceptron(of_network, x.shape[1], still=form == "gaussian", dtype=dtype)
    some = [points[:: -(-len(points) // _SOME)] for points in (x, y)]
    fit = FIT * pairwise(some[1], some[1]).mean() if fit_epsilon is None else fit_epsilon
    gap = GAP * pairwise(some[0], some[1], cost).mean() if gap_epsilon is None else gap_epsilon
    smallest = jnp.finfo(dtype).tiny
    base = bures(*moments(x), *moments(y)) if form == "gaussian" else None
    return Objective(
        source if callable(source) else jnp.asarray(source, dtype),
        target if callable(target) else jnp.asarray(target, dtype),
        Map(network, base, form, cost),
        jnp.asarray(strength, dtype),
        jnp.asarray(conservative, dtype),
        jnp.maximum(jnp.asarray(fit, dtype), smallest),
        jnp.maximum(jnp.asarray(gap, dtype), smallest),
        jnp.asarray(tolerance, dtype),
        cost,
        batch,
        _known(strength) != 0,
        _known(conservative) != 0 and form == "structured",
    )


def _known(value: Any) -> float | None:
    """The number, unless there is none or it is traced."""
    return None if value is None or isinstance(value, Tracer) else float(np.asarray(value))


def checked(name: str, samples: Samples, key: PRNGKeyArray, batch: int) -> Array:
    """All points that are given, or a batch of those that are drawn.

    Raises:
        ValueError: no points (n, d), or some that are not finite.
    """
    points = samples(key, batch) if callable(samples) else real(name, samples, finite=False)
    points = points.astype(jnp.promote_types(points.dtype, jnp.float32))
    if points.ndim != 2 or 0 in points.shape:
        raise ValueError(f"the {name} has shape {points.shape}, but points (n, d) are needed")
    if isinstance(points, Tracer):
        return points
    if bad := int((~np.isfinite(np.asarray(points)).all(axis=1)).sum()):
        raise ValueError(f"the {name} has {bad} points that are not finite, of {len(points)}")
    return points


@arrays()
@jit
def moments(points: Float[Array, "n d"]) -> tuple[Float[Array, " d"], Float[Array, "d d"]]:
    r"""Mean and covariance of points, $\frac1n \sum_i x_i$ and $\frac1n \sum_i (x_i - \bar x)(x_i - \bar x)^\top$.

    Args:
        points: (n, d).

    Returns:
        mean (d,) and covariance (d, d).

    Raises:
        ValueError: points that are not a table of finite numbers.

    Source:
        Bishop, Pattern Recognition and Machine Learning, 2006, section 2.3.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab.ot import maps
        >>> mean, covariance = maps.moments(jnp.asarray([[1.0], [3.0]]))
        >>> mean.tolist(), covariance.tolist()
        ([2.0], [[1.0]])
    """
    mean = points.mean(axis=0)
    return mean, (points - mean[None, :]).T @ (points - mean[None, :]) / points.shape[0]
