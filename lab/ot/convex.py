r"""Optimal maps of the squared distance as gradients of convex networks, by the dual problem.

With f convex on the sources and g on the targets, both input-convex networks,

$$ J(f, g) = E_\mu f(X) + E_\nu \big[ \langle Y, \nabla g(Y) \rangle - f(\nabla g(Y)) \big] \le E_\mu f + E_\nu f^* . $$

The right-hand side is least where $\nabla f$ is the optimal map from mu to nu; there $\nabla g = (\nabla f)^{-1}$ is the one
back, and $W_2^2 = E|X|^2 + E|Y|^2 - 2 J$ (of the distance without 1/2). Without a game, f descends J, and both descend what the
way there and back misses,

$$ \min_{f, g}\; J(f, \bar g) + \rho\, E_\nu |\nabla f(\nabla g(Y)) - Y|^2, $$

in which $\bar g$ is held. (As a game of min and max over J alone, g learned next to nothing in our trials.)

Source: Korotin, Egiazarian, Asadulaev, Safin, Burnaev, *Wasserstein-2 generative networks*, ICLR 2021; the game: Makkuva,
Taghvaei, Oh, Lee, *Optimal transport mapping via input convex neural networks*, ICML 2020.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PRNGKeyArray

from lab.numerics import Loop, pure, random, tell
from lab.numerics.jit import jit
from lab.numerics.lessons import Learning
from lab.numerics.lessons import learn as lesson
from lab.ot.gaussian import Bures, bures
from lab.ot.maps import Samples, checked, draw, moments

_LITTLE = -5.0  # of the last weights, before softplus: a network begins beside its quadratic form


class Convex(eqx.Module):
    r"""A potential, convex whatever its weights are: $\frac12 |L x|^2 + \langle b, x \rangle + \mathrm{softplus}(w) \cdot z$
    with layers $z_{k+1} = \sigma(\mathrm{softplus}(W_k) z_k / h + (B_k x)^2 + A_k x + b_k)$, $\sigma$ = softplus.

    Called with points (n, d) it gives its gradient there. It begins beside the potential of a map between Gaussians.
    """

    root: Float[Array, "d d"]  # L
    linear: Float[Array, " d"]  # b
    inputs: tuple[eqx.nn.Linear, ...]
    quadratic: tuple[Float[Array, "h d"], ...]
    inner: tuple[Float[Array, "h h"], ...]
    last: Float[Array, " h"]

    def __init__(self, key: PRNGKeyArray, begin: Bures, width: int = 64, depth: int = 2):
        d, dtype = begin.source.size, begin.source.dtype
        values, vectors = jnp.linalg.eigh(begin.matrix)
        self.root = jnp.sqrt(jnp.maximum(values, 0))[:, None] * vectors.T
        self.linear = begin.target - begin.matrix @ begin.source
        keys = jax.random.split(key, 3 * depth)
        self.inputs = tuple(eqx.nn.Linear(d, width, dtype=dtype, key=each) for each in keys[:depth])
        self.inner = tuple(random.normal(each, (width, width), dtype) for each in keys[depth : 2 * depth - 1])
        self.quadratic = tuple(0.3 * random.normal(each, (width, d), dtype) for each in keys[2 * depth :])
        self.last = jnp.full(width, _LITTLE, dtype)

    def value(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        seen = [layer(x) + (square @ x) ** 2 for layer, square in zip(self.inputs, self.quadratic, strict=True)]
        z = jax.nn.softplus(seen[0])
        for weight, more in zip(self.inner, seen[1:], strict=True):
            z = jax.nn.softplus(jax.nn.softplus(weight) @ z / z.size + more)
        return ((self.root @ x) ** 2).sum() / 2 + self.linear @ x + jax.nn.softplus(self.last) @ z

    @jit
    def __call__(self, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        return jax.vmap(jax.grad(self.value))(x)


def objective(f: Convex, seen: Float[Array, "m d"], x: Float[Array, "n d"], y: Float[Array, "m d"]) -> Float[Array, ""]:
    """J on samples of sources and targets, with where g sends these."""
    conjugate = (y * seen).sum(axis=1) - jax.vmap(f.value)(seen)
    return jax.vmap(f.value)(x).mean() + conjugate.mean()


class Dual(eqx.Module):
    """What is trained: a problem of ``lab.numerics.lessons``, whose model is the pair (f, g)."""

    source: Any
    target: Any
    cycle: Float[Array, ""]
    batch: int = eqx.field(static=True)

    def loss(self, model: tuple[Convex, Convex], key: PRNGKeyArray) -> Float[Array, ""]:
        """J, with g held, and what the way there and back misses."""
        (f, g), (of_x, of_y) = model, jax.random.split(key)
        x, y = draw(self.source, of_x, self.batch), draw(self.target, of_y, self.batch)
        seen = jax.vmap(jax.grad(g.value))(y)
        missed = ((jax.vmap(jax.grad(f.value))(seen) - y) ** 2).sum(axis=1).mean()
        return objective(f, jax.lax.stop_gradient(seen), x, y) + self.cycle * missed


class LearnedPotentials(NamedTuple):
    """Two convex functions, and how they were learned."""

    forth: Convex  # from sources to targets, when called
    back: Convex
    loss: Float[Array, " steps"]  # of the batch of each step, near J at the end; NaN where a stop left it out
    reason: Int[Array, ""] | int
    iterations: Int[Array, ""] | int
    state: Learning  # whence to go on


def learn(
    key: PRNGKeyArray,
    source: Samples,
    target: Samples,
    *,
    cycle: ArrayLike = 1.0,
    width: int = 64,
    depth: int = 2,
    steps: int = 1000,
    batch: int = 256,
    learning_rate: ArrayLike = 3e-2,
    average: float = 0.99,
    loop: Loop = pure,
    state: Learning | None = None,
) -> LearnedPotentials:
    r"""Learn the optimal map of the squared distance, and the one back, by input-convex networks beside the Gaussian map.

    $$ \min_{f, g}\; J(f, \bar g) + \rho\, E_\nu |\nabla f(\nabla g(Y)) - Y|^2, \qquad
       J(f, g) = E_\mu f(X) + E_\nu \big[ \langle Y, \nabla g(Y) \rangle - f(\nabla g(Y)) \big] $$

    in which $\bar g$ is held.

    Args:
        key: of the networks and of all that is drawn.
        source: points (n, d), of which each batch is drawn with replacement, or a function of a key and a count.
        target: likewise, of the other law.
        cycle: $\rho$, above 0.
        width: of each network.
        depth: of each network.
        steps: of Adam; the rate warms up, and falls to 0 along a cosine.
        batch: of points of each law at a step.
        learning_rate: of Adam, the largest.
        average: of the moving average of the weights, which is what is returned.
        loop: ``pure``, or a ``Chunked`` that reports, stops and hands back the state.
        state: of a training with the same arguments, where to go on.

    Returns:
        a ``LearnedPotentials``: the maps ``forth`` and ``back`` of points (n, d), the loss of each step, and how it ended.

    Raises:
        ValueError: points that do not fit or are not finite, a count below 1, or a cycle that is not positive.

    Warns:
        NotConverged: the loss became infinite or NaN.

    Source:
        Korotin, Egiazarian, Asadulaev, Safin, Burnaev, Wasserstein-2 generative networks, ICLR 2021.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from lab import ot
        >>> x = jax.random.normal(jax.random.key(0), (64, 2))
        >>> y = x @ jnp.diag(jnp.array([2.0, 0.5])) + 1
        >>> found = ot.convex.learn(jax.random.key(0), x, y, steps=2, batch=32, width=8, depth=2)
        >>> bool(abs(found.forth(x) - y).max() < 0.1)  # it begins at the Gaussian one
        True
    """
    for name, count in (("width", width), ("depth", depth), ("steps", steps), ("batch", batch)):
        if count < 1:
            raise ValueError(f"{name} = {count}, but at least 1 is needed")
    if not 0 < float(np.asarray(cycle)) < np.inf:
        raise ValueError(
            f"cycle = {float(np.asarray(cycle)):g}, but it must be positive: it alone teaches the way back"
        )
    of_x, of_y, of_f, of_g = jax.random.split(key, 4)
    x, y = checked("source", source, of_x, batch), checked("target", target, of_y, batch)
    if x.shape[1] != y.shape[1]:
        raise ValueError(
            f"the sources have {x.shape[1]} coordinates and the targets {y.shape[1]}: they must have as many"
        )
    dtype = jnp.result_type(x, y)
    first, second = moments(x.astype(dtype)), moments(y.astype(dtype))
    dual = Dual(
        source if callable(source) else jnp.asarray(source, dtype),
        target if callable(target) else jnp.asarray(target, dtype),
        jnp.asarray(cycle, dtype),
        batch,
    )
    model = Convex(of_f, bures(*first, *second), width, depth), Convex(of_g, bures(*second, *first), width, depth)
    again = jax.random.fold_in(key, 1)
    found = lesson(loop, dual, model, again, steps=steps, learning_rate=learning_rate, average=average, state=state)
    if loop is pure:
        tell("lab.ot.convex.learn", found.reason, found.iterations)
    f, g = found.model
    return LearnedPotentials(f, g, found.loss, found.reason, found.iterations, found.state)
