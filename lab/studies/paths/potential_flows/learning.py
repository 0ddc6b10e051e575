"""The trained part of the study of potential flows."""

from typing import Any

import jax
import jax.numpy as jnp

from lab.numerics import Loop, Reason
from lab.numerics.jit import jit
from lab.paths import autoencoder, potential_learning, traversals
from lab.paths.potential_learning import TERMS, Settings
from lab.store import weights

from .variables import SHARES, Inputs

BATCH = 64
CURVE = 400
"""The most values of a curve, about."""


def learned(own: Any, inputs: Inputs, p: Any, loop: Loop) -> tuple[dict[str, Any], list[Any]]:
    """What is known after a training, by name, and the reasons of its parts; a generator is trained once and kept."""
    output: dict[str, Any] = {}
    if own is not None:
        generator, reasons = own, []
    elif p.generator == "linear":
        generator, reasons = traversals.linear_generator(inputs.rows, p.latent), []
    else:
        made = autoencoder.train(inputs.rows, p.latent, p.decoder_steps, int(p.seed), loop=loop, keep=weights.kept)
        generator, reasons = made.model.decoder, [made.reason]
        output = {"vae_loss": _curve(made.loss), "vae_error": _error(made.model, inputs.rows)}
        if made.reason != Reason.CONVERGED:
            return output, reasons
    taught = potential_learning.train(
        loop, jax.random.key(p.seed), generator, p.latent, p.potentials, p.pde,
        Settings(weight_pde=p.weight, learning_rate=p.learning_rate), times=p.times, steps=p.train_steps, batch=BATCH,
        hidden=p.units, amp=p.bound, shared=p.shared,
    )
    output |= {f"curve_{name}": _curve(taught.trace[name]) for name in TERMS if name != "displacement"}
    output |= {name: _last(taught.trace[name]) for name in TERMS[2:]}
    if not bool(jnp.isfinite(taught.trace["loss"][max(0, int(taught.iterations) - 1)])):
        return output, [*reasons, taught.reason]
    seen, why = traversals.look(loop, jax.random.key(p.seed), taught.model, generator, p.times)
    pixels, limit = seen.pop("images"), seen.pop("landscape_at")
    if inputs.image:
        output["images"] = pixels.reshape(*pixels.shape[:3], *inputs.image)
    output |= {"ways": seen.pop("way"), "plane": limit} | seen
    return output, [*reasons, taught.reason, why]


def binned(steps: int) -> int:
    """How many steps each value of a curve is the mean of."""
    return max(1, steps // CURVE)


@jit
def _curve(curve: Any) -> Any:
    """Means over as many steps; NaN of those that a stop left out."""
    width = binned(curve.shape[0])
    kept = curve[: curve.shape[0] // width * width].reshape(-1, width)
    return jnp.nanmean(kept.astype(jnp.float32), axis=1)


@jit
def _last(trace: Any) -> Any:
    """The mean over the last steps that were taken."""
    taken = jnp.isfinite(trace).sum()
    at = jnp.arange(trace.shape[0])
    return jnp.where((at < taken) & (at >= taken - SHARES), trace, 0).sum() / jnp.clip(taken, 1, SHARES)


@jit
def _error(model: Any, rows: Any) -> Any:
    return autoencoder.error(model, rows)
