"""A user's own generator as a study: a function of a latent point in, potentials, images, scores and baselines out."""

import re
import sys
from collections.abc import Callable
from copy import copy
from hashlib import sha256
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from lab import code
from lab.datasets import samples
from lab.datasets.registry import register as offer
from lab.paths import potential_learning
from lab.studies.contract import Paper, register

from . import PotentialFlows

_ROWS = 500  # outputs that the study shows as its data
_HIDDEN = ("generator", "decoder_steps")


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
    slug = slug or re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    if not slug:
        raise ValueError(f"the title {title!r} has no letters to make a name of: give a slug")
    if latent < 2:
        raise ValueError(f"latent = {latent}, but a traversal needs a latent space of at least 2 dimensions")
    potential_learning.checked(generator, latent)
    points = jax.random.normal(jax.random.key(0), (_ROWS, latent), jnp.float32)
    outputs = np.asarray(jax.vmap(generator)(points), float)
    body: dict[str, Any] = {
        "slug": slug,
        "title": title,
        "paper": Paper("you", "a generator of your own", "unpublished", 2026),
        "about": about
        or f"{title}: potentials are trained on its latent space. Set the training steps. Look at what each changes.",
        "own": generator if isinstance(generator, eqx.Module) else staticmethod(generator),
        "definition": _definition(generator, outputs),
        "story": None,
        "presets": (),
        "claims": (),
        "__module__": sys._getframe(1).f_globals.get("__name__", __name__),  # as namedtuple does: the caller defines it
    }
    unknown = set(defaults) - set(_OwnStudy.parameters())
    if unknown:
        there = ", ".join(_OwnStudy.parameters())
        raise ValueError(f"{', '.join(sorted(unknown))}: no such parameter, to have a default; there are {there}")
    for name, value in (defaults | {"latent": latent, "data": f"{slug}-data"}).items():
        body[name] = parameter = copy(_OwnStudy.param[name])
        if name == "latent":
            parameter.bounds = parameter.soft = (latent, latent)
        parameter._validate(value)
        parameter.default = value
    made: Any = type(re.sub(r"\W+", "", title.title()) or "OwnGenerator", (_OwnStudy,), body)
    register(made)
    _offer(slug, title, outputs)
    return made


class _OwnStudy(PotentialFlows):
    """Everything but the choice of a generator."""

    slug = ""

    @classmethod
    def parameters(cls) -> dict[str, Any]:
        hidden = _HIDDEN if cls.slug else ()
        return {name: parameter for name, parameter in super().parameters().items() if name not in hidden}


def _definition(generator: Any, outputs: np.ndarray) -> str:
    """What tells two generators apart: their code, their weights, and, as code may read what is not in it, what they give."""
    parts = [code.text_of(generator), outputs[:8].tobytes().hex()]
    parts += [np.asarray(leaf).tobytes().hex() for leaf in jax.tree.leaves(generator) if eqx.is_array(leaf)]
    return sha256(" ".join(parts).encode()).hexdigest()


def _offer(slug: str, title: str, outputs: np.ndarray) -> None:
    """Some outputs as a named set, so that a page goes back to it and a recipe finds it again."""
    data = samples.from_arrays(f"{slug}-data", {"x": outputs.reshape(_ROWS, -1)})
    image = {"image": outputs.shape[1:]} if outputs.ndim == 3 else {}

    @offer(
        name=f"{slug}-data", title=f"{title}: outputs", kind=samples.KIND, summary="Outputs of the generator.",
        source="made by the user's generator", licence="the user's", has=("x",),
    )
    def build() -> dict[str, Any]:
        return {"arrays": data.arrays, "axes": {**data.axes, **image}}
