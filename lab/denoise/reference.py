"""The networks that analytic denoisers are compared with, whose weights may be kept by what made them."""

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lab.choices import chosen
from lab.denoise import networks
from lab.denoise.base import Shape
from lab.denoise.images import Images
from lab.denoise.networks import Kind, Learned, Network, learn
from lab.numerics import Chunked, Loop, Reason, pure

BATCH = 64

type Keep = Callable[[Mapping[str, Any], Any, Callable[[], Any]], Any]
"""``keep(recipe, like, make)``: ``make()``, or what it gave for that recipe before, of the structure of ``like``."""


class Reference(NamedTuple):
    """A network, and how its loss fell."""

    network: Network
    loss: Float[Array, " steps"]  # NaN after a training was stopped
    reason: Any


class _Unfinished(Exception):
    """A training that was stopped: it is used, and not kept."""

    def __init__(self, learned: Learned):
        super().__init__()
        self.learned = learned


@chosen
def reference(
    kind: Kind,
    pixels: Float[Array, "N n"],
    shape: Shape,
    steps: int,
    seed: int,
    *,
    loop: Loop = pure,
    keep: Keep | None = None,
) -> Reference:
    """A network trained on these images, in batches of 64, in float32.

    Args:
        kind: one of ``networks.CORES``.
        pixels: between -1 and 1.
        shape: (C, H, W) of an image.
        steps: of the training.
        seed: of the start, the noise and the order.
        keep: where given, it is asked for the weights first, and told them where the training came to its end.

    Not pure, since it looks at the numbers: a sweep then runs cell by cell.
    """
    numbers = np.asarray(pixels, np.float32)
    images = Images(jnp.asarray(numbers), shape)
    key, core_key = jax.random.split(jax.random.fold_in(jax.random.key(seed), networks.CORES.index(kind)))
    core = networks.core(kind, core_key, shape)
    # a loop of its own: a training that comes from the store must not change the order of the other loops' calls
    own = Chunked(loop.report) if isinstance(loop, Chunked) else loop

    def make() -> tuple[Network, Array]:
        learned = learn(key, core, images, steps=steps, batch=BATCH, name=kind, loop=own)
        if int(learned.reason) != Reason.CONVERGED:
            raise _Unfinished(learned)
        return learned.denoiser, jnp.asarray(learned.loss, jnp.float32)

    recipe = {
        "title": f"{kind} for locality",
        "kind": kind,
        "images": sha256(numbers.tobytes()).hexdigest(),
        "shape": list(shape),
        "steps": steps,
        "batch": BATCH,
        "seed": seed,
    }
    blank = Network(core, jnp.zeros((), jnp.float32), shape, kind), jnp.zeros(steps, jnp.float32)
    try:
        network, loss = make() if keep is None else keep(recipe, blank, make)
    except _Unfinished as unfinished:
        learned = unfinished.learned
        loss = jnp.full(steps, jnp.nan, jnp.float32).at[: len(learned.loss)].set(learned.loss[:steps])
        return Reference(learned.denoiser, loss, int(learned.reason))
    return Reference(network, loss, Reason.CONVERGED)
