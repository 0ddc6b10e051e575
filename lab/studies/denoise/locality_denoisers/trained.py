"""The reference networks: trained on request by the loop that all networks share, their weights kept by what made them."""

from hashlib import sha256
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lab import denoise
from lab.denoise import Images, Network, networks
from lab.numerics import Chunked, Loop, Reason
from lab.store import weights

BATCH = 64


class Trained(NamedTuple):
    """A network and how its loss fell."""

    network: Network
    loss: Float[Array, " steps"]
    reason: Any


class _Unfinished(Exception):
    """A training that was stopped: it is used, and not kept."""

    def __init__(self, learned: denoise.Learned):
        super().__init__()
        self.learned = learned


def trained(
    kind: str, pixels: Float[Array, "N n"], shape: tuple[int, int, int], steps: int, seed: int, loop: Loop
) -> Trained:
    """The network of that architecture on these images: from the store, or trained now.

    Not pure, since it looks at the numbers: a sweep then runs cell by cell.
    """
    numbers = np.asarray(pixels, np.float32)
    images = Images(jnp.asarray(numbers), shape)
    key, core_key = jax.random.split(jax.random.fold_in(jax.random.key(seed), networks.CORES.index(kind)))
    core = networks.core(kind, core_key, shape)
    blank = Network(core, jnp.zeros((), jnp.float32), shape, kind)
    # a loop of its own: a training that comes from the store must not change the order of the other loops' calls
    own = Chunked(loop.report) if isinstance(loop, Chunked) else loop

    def make() -> tuple[Network, Array]:
        learned = denoise.learn(key, core, images, steps=steps, batch=BATCH, name=kind, loop=own)
        if int(learned.reason) != Reason.CONVERGED:
            raise _Unfinished(learned)
        return learned.denoiser, learned.loss.astype(jnp.float32)

    recipe = {
        "title": f"{kind} for locality", "kind": kind, "images": sha256(numbers.tobytes()).hexdigest(), "shape": list(shape),
        "steps": steps, "batch": BATCH, "seed": seed,
    }  # fmt: skip
    try:
        network, loss = weights.kept(recipe, (blank, jnp.zeros(steps, jnp.float32)), make)
    except _Unfinished as unfinished:
        learned = unfinished.learned
        loss = jnp.full(steps, jnp.nan, jnp.float32).at[: len(learned.loss)].set(learned.loss[:steps])
        return Trained(learned.denoiser, loss, int(learned.reason))
    return Trained(network, loss, Reason.CONVERGED)
