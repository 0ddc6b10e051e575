"""A user's own generator as a study: a function of a latent point in, potentials, images, scores and baselines out."""

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

from . import PotentialFlows

_ROWS = 500  # outputs that the study shows as its data


def traversal_study(
    title: str, generator: Callable[[Any], Any], latent: int, *, about: str = "", slug: str = "", **defaults: Any
) -> type[PotentialFlows]:
    r"""A study of a frozen generator: K potentials trained on it, what they change, whether they are told apart.

    The study is known to every face of this process; in a file of one's own it serves ``lab serve my_generator.py`` and
    ``lab run my_generator.py`` too.

    Args:
        title: what headings say.
        generator: from a latent point (d,), of which N(0, I) is the law, to real numbers of any shape, written in JAX; an
            equinox module, or a plain function. A shape (height, width) is shown as images; values from 0 to 1 are drawn best.
        latent: d, at least 2.
        about: three sentences for the page.
        slug: its name on the command line; made of the title when omitted.
        defaults: of parameters, ``train_steps=2000``, ``potentials=8``: what its page begins with.

    Raises:
        ValueError: the generator fails, or gives what is not finite; the sentence says what was found.

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
        _OwnGenerator, title, slug, defaults | {"latent": latent, "data": f"{slug}-data"},
        bounds={"latent": (latent, latent)},
        about=about
        or f"{title}: potentials are trained on its latent space. Set the training steps. Look at what each changes.",
        own=generator if isinstance(generator, eqx.Module) else staticmethod(generator),
        definition=definition_of(generator, outputs[:8]),
    )
    data = samples.from_arrays(f"{slug}-data", {"x": outputs.reshape(_ROWS, -1)})
    image = {"image": outputs.shape[1:]} if outputs.ndim == 3 else {}
    offer(
        data.name, f"{title}: outputs", data.arrays, "Outputs of the generator.", beside={"axes": {**data.axes, **image}},
        source="made by the user's generator", real=False, has=("x",),
    )
    return made


class _OwnGenerator(OwnStudy, PotentialFlows):
    """Everything but the choice of a generator."""

    brings = "a generator"
    hidden = ("generator", "decoder_steps")
