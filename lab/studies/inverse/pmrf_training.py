r"""Training of a restoration flow: PMRF, and the three flows that it is compared with.

$$ \min_\theta E\,\big|v_\theta(Z_t, t, c) - (X - Z_0)\big|^2, \qquad Z_t = (1 - t) Z_0 + t X $$

| learns | Z_0 | what it sees beside Z_t |
|---|---|---|
| PMRF | $X^* + \sigma_s \varepsilon$ | nothing |
| flow given Y | N(0, I) | Y |
| flow given X* | N(0, I) | X* |
| flow from Y | $Y + \sigma_s \varepsilon$ | nothing |

Times are stratified: one from each of as many equal parts of [0, 1] as the batch has rows. AdamW; the network to use is a
moving average of the weights. The posterior mean is that of ``lab.inverse.restoring``, of fresh measurements in every batch.
"""

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from lab.choices import chosen
from lab.inverse.restoring import MOST, Bed, Knows, Restored, given
from lab.numerics import Loop, random
from lab.numerics.lessons import Learned, learn
from lab.paths.carry import Carried, Solver, carry, even
from lab.paths.network import Perceptron, Residual

type Learns = Literal["PMRF", "flow given Y", "flow given X*", "flow from Y"] | str

LEARNS = ("PMRF", "flow given Y", "flow given X*", "flow from Y")
BATCH = 256
_ADAM = optax.scale_by_adam(b1=0.9, b2=0.95)
_WEIGHT_DECAY = 1e-2


def stratified_times(key: PRNGKeyArray, n: int, dtype: Any = float) -> Float[Array, " n"]:
    """One time in each of n equal parts of [0, 1]: their mean is 1/2 within 1 / 2n."""
    return (jnp.arange(n) + random.uniform(key, (n,), jnp.dtype(dtype))) / n


@chosen
class Lesson(eqx.Module):
    """What is learned."""

    bed: Bed
    sigma_s: Float[Array, ""]
    knows: Knows = eqx.field(static=True)
    learns: Learns = eqx.field(static=True)

    def batch(self, key: PRNGKeyArray, n: int) -> tuple[Array, Array, Array]:
        """Ends, starts and what the network sees beside, (n, 0) for nothing."""
        keys = jax.random.split(key, 3)
        if self.bed.law is None:
            x = self.bed.points[random.randint(keys[0], (n,), 0, len(self.bed.points))]
        else:
            x = self.bed.law.sample(keys[0], n)
        y = self.bed.measure(x, keys[1])
        star = given(self.bed, self.knows, y).mean if self.learns in ("PMRF", "flow given X*") else x
        return x, *begun(self.learns, star, y, self.sigma_s, random.normal(keys[2], x.shape, x.dtype))

    def loss(self, model: Any, key: PRNGKeyArray) -> Float[Array, ""]:
        """Of a network, on a batch."""
        first, second = jax.random.split(key)
        x, z0, seen = self.batch(first, BATCH)
        t = stratified_times(second, BATCH, x.dtype)
        zt = (1 - t)[:, None] * z0 + t[:, None] * x
        return ((Known(model, seen)(t, zt) - (x - z0)) ** 2).sum(axis=1).mean()


@chosen
def begun(learns: Learns, star: Array, y: Array, sigma_s: ArrayLike, noise: Array) -> tuple[Array, Array]:
    """Where a flow begins, and what its network sees beside."""
    if learns == "PMRF":
        return star + sigma_s * noise, star[:, :0]
    if learns == "flow from Y":
        if y.shape != noise.shape:
            raise ValueError(f"y has shape {y.shape} and x {noise.shape}, but a flow from Y to X needs one dimension")
        return y + sigma_s * noise, star[:, :0]
    return noise, y if learns == "flow given Y" else star


class Known(eqx.Module):
    """A trained network as a field for ``carry``, with what it sees of each particle."""

    network: Any
    seen: Float[Array, "n e"]

    def __call__(self, t: ArrayLike, z: Float[Array, "n d"]) -> Float[Array, "n d"]:
        return self.network(t, jnp.concatenate([z, self.seen], axis=1))[:, : z.shape[1]]


@chosen
def train(
    loop: Loop,
    key: PRNGKeyArray,
    bed: Bed,
    knows: Knows,
    learns: Learns,
    sigma_s: ArrayLike,
    *,
    units: int,
    learning_rate: ArrayLike,
    steps: int,
) -> Learned:
    """A small network for one of the flows: a ``Perceptron`` of three layers up to the plane, a ``Residual`` beyond.

    Args:
        knows: what the posterior mean is made of, as in ``lab.inverse.restoring``.

    Raises:
        ValueError: a flow from Y where Y has another dimension than X.
    """
    d, m = bed.points.shape[1], bed.operator.shape[0]
    if learns == "flow from Y" and m != d:
        raise ValueError(f"Y has {m} numbers and X {d}, but a flow from Y to X needs both of one dimension")
    init, draws = jax.random.split(key)
    size = d + {"flow given Y": m, "flow given X*": d}.get(learns, 0)
    dtype = bed.points.dtype
    kind = Perceptron if size <= 2 else Residual
    model = kind(init, size, units, dtype=dtype)
    lesson = Lesson(bed, jnp.asarray(sigma_s, dtype), knows, learns)
    return learn(
        loop, lesson, model, draws, steps=steps, learning_rate=learning_rate, optimizer=_ADAM, decay=_WEIGHT_DECAY
    )


@chosen
def restore(
    loop: Loop,
    network: Any,
    learns: Learns,
    made: Restored,
    sigma_s: ArrayLike,
    steps: Any,
    solver: Solver,
    key: PRNGKeyArray,
) -> Carried:
    """Particles carried by a trained network, from where the flow that it learned begins."""
    noise = random.normal(jax.random.fold_in(key, 2), made.x.shape, made.x.dtype)
    start, seen = begun(learns, made.star, made.y, sigma_s, noise)
    field = Known(network, seen)
    return carry(loop, field, start, even(steps, MOST), steps=steps, solver=solver, euler_last=True, keep=False)
