"""Studies of a user's own generator: potentials trained on it, images, scores and baselines."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from lab.datasets import samples
from lab.numerics import random
from lab.paths import potential_learning
from lab.studies.vocabulary.own import OwnStudy, definition_of, make, name_of, offer

from .potential_flows import PotentialFlows

_ROWS = 500  # outputs that are the data of the study


def traversal_study(
    title: str, generator: Callable[[Any], Any], latent: int, *, about: str = "", slug: str = "", **defaults: Any
) -> type[PotentialFlows]:
    r"""Make a study of a frozen generator, on which K potentials are trained.

    All interfaces of this process list the study. For a study in a file: ``lab serve my_generator.py``.

    Args:
        title: of the page.
        generator: JAX function or equinox module of a latent point (d,), distributed as N(0, I). The output is an array of any
            shape; an output of shape (height, width) is drawn as an image with values from 0 to 1.
        latent: d, at least 2.
        about: three sentences for the page.
        slug: name on the command line; derived from the title by default.
        defaults: initial values of parameters, such as ``train_steps=2000`` and ``potentials=8``.

    Returns:
        the class of the study.

    Raises:
        ValueError: the generator raises an error, or its output is not finite.

    >>> import jax.numpy as jnp
    >>> from lab import studies
    >>> stripes = lambda z: jnp.sin(z[0] + jnp.arange(16.0).reshape(4, 4) * z[1])
    >>> studies.traversal_study("Stripes", stripes, 2).slug
    'stripes'
    """
    slug = name_of(title, slug)
    if latent < 2:
        raise ValueError(f"latent = {latent}, but a traversal needs a latent space of at least 2 dimensions")
    potential_learning.checked(generator, latent)
    points = random.normal(jax.random.key(0), (_ROWS, latent), jnp.float32)
    outputs = np.asarray(jax.vmap(generator)(points), float)
    made = make(
        _OwnGenerator,
        title,
        slug,
        defaults | {"latent": latent, "data": f"{slug}-data"},
        bounds={"latent": (latent, latent)},
        about=about
        or f"{title}: potentials of its latent space. Set the training steps. Compare the changes of the output.",
        own=generator if isinstance(generator, eqx.Module) else staticmethod(generator),
        definition=definition_of(generator, outputs[:8]),
    )
    data = samples.from_arrays(f"{slug}-data", {"x": outputs.reshape(_ROWS, -1)})
    image = {"image": outputs.shape[1:]} if outputs.ndim == 3 else {}
    offer(
        data.name,
        f"{title}: outputs",
        data.arrays,
        "Outputs of the generator.",
        beside={"axes": {**data.axes, **image}},
        source="made by the user's generator",
        real=False,
        has=("x",),
    )
    return made


class _OwnGenerator(OwnStudy, PotentialFlows):
    """The study without the choice of a generator."""

    brings = "a generator"
    hidden = ("generator", "decoder_steps")
