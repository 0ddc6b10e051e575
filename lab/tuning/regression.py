r"""Multinomial logistic regression whose decay is learned: one for each weight, for each feature, or for all.

$$ h(W, \theta) = \frac1n \sum_i \mathrm{CE}(W^\top a_i, y_i) + \tfrac12 \sum_{jc} e^{\theta_{jc}} W_{jc}^2 , \qquad
   g(W) = \text{mean CE of other rows} . $$

The Hessian of the cross-entropy in the logits is at most 1/2, and its third derivative at most $1/\sqrt2$: the
third cumulant of a
label is at most its variance (1/2 at most, in a unit direction) times its range ($\sqrt2$ at most).
"""

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from lab.choices import chosen
from lab.numerics import arguments
from lab.numerics.host import placed
from lab.tuning.problem import Bilevel, Constants

type Share = Literal["weight", "feature", "all"]


class Multinomial(Bilevel):
    """Rows to train on and rows to validate on; theta is (d * classes,), (d,) or (1,) by what shares a decay."""

    a: Float[Array, "n d"]
    labels: Int[Array, " n"]
    other: Float[Array, "m d"]
    others: Int[Array, " m"]
    extent: Float[Array, " 3"]  # largest eigenvalues of the second moments of both, and largest norm of a row
    classes: int = eqx.field(static=True)
    share: Any = eqx.field(static=True)  # a ``Share``
    bounds: bool = eqx.field(static=True, default=False)

    def decay(self, theta: Float[Array, " p"]) -> Float[Array, "d c"]:
        """exp(theta) for each weight."""
        shape = {"weight": (-1, self.classes), "feature": (-1, 1), "all": (1, 1)}[self.share]
        return jnp.broadcast_to(jnp.exp(theta).reshape(shape), (self.a.shape[1], self.classes))

    def lower(self, x: Float[Array, "d c"], theta: Float[Array, " p"]) -> Float[Array, ""]:
        return entropy(x, self.a, self.labels) + 0.5 * jnp.sum(self.decay(theta) * x**2)

    def upper(self, x: Float[Array, "d c"]) -> Float[Array, ""]:
        return entropy(x, self.other, self.others)

    def constants(self, x: Float[Array, "d c"], theta: Float[Array, " p"]) -> Constants:
        low, high = jnp.exp(theta.min()), jnp.exp(theta.max())
        mu, smooth, upper = low, self.extent[0] / 2 + high, self.extent[1] / 2
        if not self.bounds:
            return Constants(mu, smooth, upper)
        hessian = self.extent[0] * self.extent[2] / jnp.sqrt(2.0)
        return Constants(mu, smooth, upper, hessian / mu**2, high)

    def start(self, theta: Float[Array, " p"]) -> Float[Array, "d c"]:
        return jnp.zeros((self.a.shape[1], self.classes), theta.dtype)

    def cross_norm(self, x: Float[Array, "d c"], theta: Float[Array, " p"]) -> Float[Array, ""]:
        """Exact: the columns of J are decays times weights, at different places."""
        parts = (self.decay(theta) * x) ** 2
        axes = {"weight": (), "feature": (1,), "all": (0, 1)}[self.share]
        return jnp.sqrt(jnp.max(parts.sum(axis=axes)))

    @property
    def certified(self) -> bool:
        return self.bounds


@chosen
@arguments.arrays()
def multinomial(
    a: Float[Array, "n d"],
    labels: Int[Array, " n"],
    other: Float[Array, "m d"],
    others: Int[Array, " m"],
    classes: int,
    share: Share = "feature",
    bounds: bool = False,
) -> Multinomial:
    r"""The problem, with what its constants need.

    $$ h = \mathrm{CE}(A x, \mathrm{labels}) + \tfrac12 \sum_{jc} e^{\theta_{jc}} x_{jc}^2, \qquad
       g = \mathrm{CE}(A' x, \mathrm{others}) $$

    with mean cross-entropies, in nats.

    Args:
        a: rows to train on, (n, d).
        labels: (n,) 0, 1, ...
        other: rows to validate on, (m, d).
        others: their labels, (m,).
        classes: how many there are.
        share: what has one decay: each "weight", each "feature", or "all"; theta is (d classes,), (d,) or (1,).
        bounds: take known Lipschitz constants of H^-1 and J too, which certifies; else secants.

    Returns:
        the problem; x is (d, classes).

    Raises:
        ValueError: rows that are not finite or differ in width, labels that are no classes or do not fit the rows, or
            another word for the share.

    Source:
        Pedregosa (2016), of the experiment; Bohning (1992), of the bound of the Hessian.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import tuning
        >>> rows, labels = jnp.array([[1.0], [-1.0]]), jnp.array([0, 1])
        >>> problem = tuning.multinomial(rows, labels, rows, labels, 2)
        >>> round(float(problem.upper(jnp.zeros((1, 2)))), 6)  # log 2
        0.693147
    """
    classes = arguments.whole("classes", classes, 1)
    for name, rows, each in (("a", a, labels), ("other", other, others)):
        if 0 in rows.shape:
            raise ValueError(f"{name} has shape {rows.shape}: at least one row and one column are needed")
        name = "labels" if name == "a" else "others"
        if isinstance(each, Tracer):
            continue
        found = np.asarray(each)
        if found.min() < 0 or found.max() >= classes:
            raise ValueError(
                f"{name} are {found.min()} to {found.max()}, but of {classes} classes they must be from 0 to {classes - 1}"
            )
    if isinstance(a, Tracer) or isinstance(other, Tracer):
        moments = [jnp.linalg.eigvalsh(each.T @ each / len(each))[-1] for each in (a, other)]
        extent = jnp.stack([*moments, jnp.sqrt((a**2).sum(axis=1).max())])
        return Multinomial(a, labels, other, others, extent, classes, share, bounds)
    rows = [np.asarray(each, float) for each in (a, other)]
    moments = [np.linalg.eigvalsh(each.T @ each / len(each))[-1] for each in rows]
    extent = np.array([*moments, np.sqrt((rows[0] ** 2).sum(axis=1).max())])
    return Multinomial(a, labels, other, others, placed(extent), classes, share, bounds)


def entropy(x: Float[Array, "d c"], a: Float[Array, "n d"], labels: Int[Array, " n"]) -> Float[Array, ""]:
    """Mean cross-entropy of logits a x, in nats."""
    logits = a @ x
    right = jnp.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
    return jnp.mean(jax.nn.logsumexp(logits, axis=1) - right)


def accuracy(x: Float[Array, "d c"], a: Float[Array, "n d"], labels: Int[Array, " n"]) -> Float[Array, ""]:
    """Share of rows whose largest logit is that of their class."""
    return jnp.mean((jnp.argmax(a @ x, axis=1) == labels).astype(x.dtype))
