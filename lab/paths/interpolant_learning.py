"""Networks for the velocity and the noise of an interpolant, beside what the exact fields would lose."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from lab.numerics import Loop, first_failure, map_rows, pure
from lab.paths import training
from lab.paths.fields import Exact
from lab.paths.interpolants import Interpolant
from lab.paths.network import Perceptron

EARLIEST = 1e-3
"""Networks are neither trained nor used before it, nor after 1 - it: the score of a latent is eta / gamma."""
_JUDGED = 64  # batches on which the exact field is judged


class Learned(NamedTuple):
    """Of the velocity and of the noise."""

    networks: tuple[Any, Any]
    loss: tuple[Float[Array, " steps"], Float[Array, " steps"]]  # NaN of steps that a stop left out
    least: tuple[Float[Array, ""], Float[Array, ""]]  # of the exact fields, on 64 of these batches
    reason: Int[Array, ""]


class ExactLoss(eqx.Module):
    """Of the exact field on a batch of the training: called at the number of its step."""

    work: training.Work
    field: Exact

    def __call__(self, step: Int[Array, ""]) -> Float[Array, ""]:
        def model(t, x):  # each row has its own time
            def of_row(t, x):
                field = self.field(t, x[None])
                return {"velocity": field.velocity, "noise": field.x0, "latent": field.z}[self.work.target][0]

            return jax.vmap(of_row)(t, x)

        return training.loss(model, self.work, training.draw(self.work, step))


def learn(key: PRNGKeyArray, path: Interpolant, from_noise: bool, steps: int, loop: Loop = pure) -> Learned:
    """Train a network for the velocity, and one for the latent noise or, ``from_noise``, for the source that is the noise.

    Args:
        key: of number k the key is ``fold_in(key, 100 + k)``.
        steps: of each; static.
    """
    d, dtype = path.dimension, jax.tree.leaves(path.target)[0].dtype
    settings = training.Settings(2e-3, warmup=100, anneal=1.0, earliest=EARLIEST, latest=1 - EARLIEST)
    networks, losses, least, reasons = [], [], [], []
    for number, wanted in enumerate(("velocity", "noise" if from_noise else "latent")):
        first, second = jax.random.split(jax.random.fold_in(key, 100 + number))
        model = Perceptron(first, d, 64 if d <= 2 else 256, frequencies=4, dtype=dtype)
        source, data = (path.source, path.target) if path.joint is None else (path.joint, None)
        given = second, model, source, data, path.schedule
        run = training.train(*given, settings=settings, target=wanted, steps=steps, loop=loop)
        work = training.prepare(*given, settings=settings, target=wanted, steps=steps)
        networks.append(run.average)
        losses.append(training.padded(run.loss, steps))
        least.append(map_rows(loop, ExactLoss(work, path.field), jnp.arange(_JUDGED))[0].mean())
        reasons.append(run.reason)
    return Learned((networks[0], networks[1]), (losses[0], losses[1]), (least[0], least[1]), first_failure(*reasons))
