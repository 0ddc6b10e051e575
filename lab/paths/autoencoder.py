r"""A small variational autoencoder: the frozen generator whose latent space is traversed.

$$ \min\; E\,\big[\,w\,|x - G(z)|^2 + \mathrm{KL}(N(\mu, \sigma^2) \,\|\, N(0, I))\,\big] $$

with $z = \mu + \sigma \varepsilon$ and $(\mu, \log\sigma^2) = e(x)$, one hidden layer of tanh on either side, outputs between
0 and 1.

Source: Kingma, Welling, *Auto-Encoding Variational Bayes*, ICLR 2014.
"""

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PRNGKeyArray

from lab.numerics import Chunked, Loop, Method, Reason, pure, random
from lab.numerics.learning import ADAM, descend
from lab.paths.training import padded

type Keep = Callable[[Mapping[str, Any], Any, Callable[[], Any]], Any]

HIDDEN = 128
BATCH = 128
WEIGHT = 50.0
RATE = 2e-3


class Layer(eqx.Module):
    """$x \\mapsto W x + b$, of a vector."""

    weight: Float[Array, "out in"]
    bias: Float[Array, " out"]

    def __init__(self, key: PRNGKeyArray, inputs: int, outputs: int, dtype: Any = float):
        bound = 1 / np.sqrt(inputs)
        first, second = jax.random.split(key)
        self.weight = random.uniform(first, (outputs, inputs), dtype, -bound, bound)
        self.bias = random.uniform(second, (outputs,), dtype, -bound, bound)

    def __call__(self, x: Float[Array, " in"]) -> Float[Array, " out"]:
        return self.weight @ x + self.bias


class Decoder(eqx.Module):
    """G: from a latent point (d,) to numbers (n,) between 0 and 1."""

    hidden: Layer
    last: Layer

    def __call__(self, z: Float[Array, " d"]) -> Float[Array, " n"]:
        return jax.nn.sigmoid(self.last(jnp.tanh(self.hidden(z))))


class Encoder(eqx.Module):
    """e: from numbers (n,) to the mean and the logarithm of the variance of a latent point."""

    hidden: Layer
    last: Layer

    def __call__(self, x: Float[Array, " n"]) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
        found = self.last(jnp.tanh(self.hidden(x)))
        d = found.shape[0] // 2
        return found[:d], found[d:]


class Autoencoder(eqx.Module):
    encoder: Encoder
    decoder: Decoder


def autoencoder(key: PRNGKeyArray, n: int, latent: int, hidden: int = HIDDEN, dtype: Any = float) -> Autoencoder:
    """Untrained, n - hidden - 2 latent, and latent - hidden - n.

    Raises:
        ValueError: a latent space of no dimension.
    """
    if latent < 1:
        raise ValueError(f"latent = {latent}, but a latent space has at least one dimension")
    keys = jax.random.split(key, 4)
    return Autoencoder(
        Encoder(Layer(keys[0], n, hidden, dtype), Layer(keys[1], hidden, 2 * latent, dtype)),
        Decoder(Layer(keys[2], latent, hidden, dtype), Layer(keys[3], hidden, n, dtype)),
    )


class Lesson(eqx.Module):
    """What is learned, and how."""

    key: PRNGKeyArray
    model: Autoencoder
    x: Float[Array, "rows n"]
    weight: Float[Array, ""]
    rate: Float[Array, ""]
    steps: Int[Array, ""]
    batch: int = eqx.field(static=True)


class State(NamedTuple):
    model: Autoencoder
    moments: Any
    step: Int[Array, ""]
    loss: Float[Array, ""]


def negative_elbo(
    model: Autoencoder, x: Float[Array, "rows n"], noise: Float[Array, "rows d"], weight: ArrayLike
) -> Float[Array, ""]:
    """The mean over rows of the weighted squared error and the divergence from N(0, I)."""

    def of_one(x: Array, noise: Array) -> Array:
        mean, log_variance = model.encoder(x)
        z = mean + jnp.exp(log_variance / 2) * noise
        error = ((x - model.decoder(z)) ** 2).sum()
        return jnp.asarray(weight) * error + (jnp.exp(log_variance) + mean**2 - 1 - log_variance).sum() / 2

    return jnp.mean(jax.vmap(of_one)(x, noise))


def _init(lesson: Lesson) -> State:
    return State(lesson.model, ADAM.init(eqx.filter(lesson.model, eqx.is_array)), jnp.int32(0), 0 * lesson.rate)


def _step(lesson: Lesson, state: State) -> State:
    first, second = jax.random.split(jax.random.fold_in(lesson.key, state.step))
    x = lesson.x[random.randint(first, (lesson.batch,), 0, lesson.x.shape[0])]
    latent = lesson.model.decoder.hidden.weight.shape[1]
    noise = random.normal(second, (lesson.batch, latent), x.dtype)
    value, slope = jax.value_and_grad(negative_elbo)(state.model, x, noise, lesson.weight)
    model, moments = descend(ADAM, state.model, slope, state.moments, lesson.rate)
    return State(model, moments, state.step + 1, value)


def _done(lesson: Lesson, state: State) -> Array:
    reason = jnp.where(state.step >= lesson.steps, Reason.CONVERGED, Reason.RUNNING)
    return jnp.where(jnp.isfinite(state.loss), reason, Reason.NOT_FINITE).astype(jnp.int32)


STEPS = Method(_init, _step, _done, lambda lesson, state: {"loss": state.loss})


class Made(NamedTuple):
    model: Autoencoder
    loss: Float[Array, " steps"]  # NaN of the steps that a stop left out
    reason: Any


class _Unfinished(Exception):
    """A training that was stopped, or failed: it is handed back, and not kept."""

    def __init__(self, made: Made):
        super().__init__()
        self.made = made


def train(
    x: Float[np.ndarray, "rows n"],
    latent: int,
    steps: int,
    seed: int,
    *,
    hidden: int = HIDDEN,
    batch: int = BATCH,
    weight: float = WEIGHT,
    learning_rate: float = RATE,
    loop: Loop = pure,
    keep: Keep | None = None,
) -> Made:
    """An autoencoder trained on these rows, by Adam; 64 - 128 - 8 on digits takes 11 s and errs by 0.0098 a pixel.

    Args:
        x: between 0 and 1, on the host: this is not pure, so a sweep runs cell by cell.
        latent: d.
        seed: of the start, the batches and the noise.
        keep: where given, it is asked for the weights first, and told them where the training came to its end.

    Raises:
        ValueError: no latent dimension, no steps, or numbers that are not between 0 and 1.
    """
    rows = np.asarray(x)
    if steps < 1:
        raise ValueError(f"steps = {steps}, but at least one is needed")
    if not (np.isfinite(rows).all() and rows.min() >= 0 and rows.max() <= 1):
        raise ValueError("the data must be finite and between 0 and 1, as the outputs of the decoder are: rescale them")
    first, second = jax.random.split(jax.random.key(seed))
    blank = autoencoder(first, rows.shape[1], latent, hidden, rows.dtype)
    own = Chunked(loop.report) if isinstance(loop, Chunked) else loop  # what is kept must not shift the calls of a loop

    def make() -> tuple[Autoencoder, Array]:
        lesson = Lesson(
            second,
            blank,
            jnp.asarray(rows),
            jnp.asarray(weight, rows.dtype),
            jnp.asarray(learning_rate, rows.dtype),
            jnp.int32(steps),
            batch,
        )
        run = own(STEPS, lesson, max_iterations=steps)
        made = Made(run.state.model, padded(jnp.asarray(run.trace["loss"], jnp.float32), steps), run.reason)
        if int(run.reason) != Reason.CONVERGED:
            raise _Unfinished(made)
        return made.model, made.loss

    recipe = {
        "title": "autoencoder",
        "rows": sha256(rows.tobytes()).hexdigest(),
        "sizes": [rows.shape[1], hidden, latent],
        "dtype": str(rows.dtype),
        "steps": steps,
        "batch": batch,
        "weight": weight,
        "rate": learning_rate,
        "seed": seed,
    }
    try:
        model, loss = make() if keep is None else keep(recipe, (blank, jnp.zeros(steps, jnp.float32)), make)
    except _Unfinished as unfinished:
        return unfinished.made._replace(reason=int(unfinished.made.reason))
    return Made(model, loss, int(Reason.CONVERGED))


def error(model: Autoencoder, x: Float[Array, "rows n"]) -> Float[Array, ""]:
    """The mean squared error a number, decoding the mean of each latent law."""
    return jnp.mean(jax.vmap(lambda row: (row - model.decoder(model.encoder(row)[0])) ** 2)(x))
