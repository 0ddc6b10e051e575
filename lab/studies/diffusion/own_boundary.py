"""A user's own metric, sampler, decoder or images as a study of starts: a function in, the search and every picture out."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lab import datasets, diffusion
from lab.datasets import Data, images
from lab.diffusion.samplers import Sampler
from lab.diffusion.tableau import Stepped, Tableau
from lab.precision import need_float64
from lab.studies.vocabulary.own import OwnStudy, definition_of, make, name_of, offer

from .optimal_boundary import OptimalBoundary
from .optimal_boundary.experiment import Own, sides


def boundary_study(
    title: str,
    *,
    metric: Callable[[Any, Any], Any] | None = None,
    sampler: Any = None,
    decoder: Callable[[Any], Any] | None = None,
    pictures: Any = None,
    about: str = "",
    slug: str = "",
    **defaults: Any,
) -> type[OptimalBoundary]:
    r"""A study of starts with a metric, a sampler, a decoder or images of one's own.

    The study is known to every face of this process; in a file of one's own it serves ``lab serve my_metric.py`` too.

    Args:
        title: what headings say.
        metric: of an end and an image, both (H, W) between about -1 and 1, in JAX: one number, lower is better. It decides, and
            is shown as *own* beside the others.
        sampler: a ``Sampler`` that draws no noise; a Butcher tableau ``(stages, weights)``, see ``lab.diffusion.tableau``; or a
            function of one step, ``step(predict, now, later, x)`` with levels now and later.
        decoder: applied to each end (H, W) before it is judged and shown; returns an image of that shape.
        pictures: (N, H, W) or (N, C, H, W), of which a fifth is held out, the name of a set, or the path of a file; digits when
            omitted.
        about: three sentences for the page.
        slug: its name on the command line; made of the title when omitted.
        defaults: of parameters, ``steps=5``: what its page begins with.

    Raises:
        ValueError, TypeError: what does not fit together; the sentence says what was found.

    >>> from lab import studies
    >>> Worst = studies.boundary_study("Worst pixel", metric=lambda x, z: abs(x - z).max(), candidates=20)
    >>> Worst().candidates, "metric" in Worst.parameters()
    (20, False)
    """
    need_float64("a study of starts")
    slug = name_of(title, slug)
    if metric is None and sampler is None and decoder is None and pictures is None:
        raise ValueError("nothing of your own was given: a metric, a sampler, a decoder, or pictures")
    own = Own(metric, None if sampler is None else _sampler(sampler), decoder)
    data, name = _data(slug, pictures)
    shape = sides(data.arrays["pixels"].shape, defaults.get("pool", OptimalBoundary.pool))
    _try(own, shape)
    study = make(
        _OwnStart,
        title,
        slug,
        {"data": name} | defaults,
        about=about
        or f"{title}: one start for all inputs, searched among noises. Move the number of candidates and of steps. Look at "
        "what the start at 0 does without any search.",
        own=own,
        hidden=tuple(each for each, given in (("metric", metric), ("sampler", sampler)) if given is not None),
        definition=_definition(own, shape),
    )
    if name == f"{slug}-images":
        offer(
            name,
            f"{title}: its images",
            data.arrays,
            kind=data.kind,
            beside={"axes": data.axes, "notices": data.notices},
            sizes=dict(zip(("channels", "height", "width"), data.arrays["pixels"].shape[1:], strict=True)),
        )
    return study


class _OwnStart(OwnStudy, OptimalBoundary):
    """Everything but the choice of what the user brings."""

    brings = "a search over starts"

    def check(self, data: Data) -> None:
        super().check(data)
        _try(self.own, sides(data.arrays["pixels"].shape, self.pool))


def _sampler(given: Any) -> Any:
    if isinstance(given, tuple | list) and len(given) in (2, 3):
        return Tableau(*given)
    if isinstance(given, Sampler) and not isinstance(given, type):
        return given
    if callable(given) and not isinstance(given, type):
        step: Any = given
        return Stepped(step)
    raise TypeError(
        f"the sampler is a {type(given).__name__}, but a Sampler, a tableau (stages, weights), or a function of one step is "
        "needed"
    )


def _try(own: Own, shape: tuple[int, int]) -> None:
    """Refuse what can't take images of this shape."""
    image = jax.ShapeDtypeStruct(tuple(shape), jnp.float32)
    if own.decode is not None:
        found = _shape("decoder", own.decode, image)
        if found != tuple(shape):
            raise ValueError(
                f"the decoder gives {found} of an image {tuple(shape)}, but an image of the same shape is needed"
            )
    if own.metric is not None and (found := _shape("metric", own.metric, image, image)) != ():
        raise ValueError(f"the metric returns shape {found} for one pair, but one number is needed: take its mean")
    if own.sampler is not None:
        vp, x = diffusion.noise("vp"), jnp.zeros((1, 2))
        diffusion.sample(lambda x, a, s: 0 * x, vp, diffusion.grid(vp, 2), x, own.sampler)


def _shape(what: str, function: Callable[..., Any], *images: Any) -> tuple[int, ...]:
    try:
        found = jax.eval_shape(function, *images)
    except Exception as problem:
        raise ValueError(f"the {what} can't be applied to an image {images[0].shape}: {problem}") from problem
    if not hasattr(found, "shape"):
        raise ValueError(f"the {what} gives a {type(found).__name__}, but an array of JAX is needed")
    return tuple(found.shape)


def _definition(own: Own, shape: tuple[int, int]) -> str:
    step = own.sampler.step if isinstance(own.sampler, Stepped) else None
    tried = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (2, *shape)), jnp.float32)
    found = own.metric and own.metric(*tried), own.decode and own.decode(tried[0])
    return definition_of(*own, step, *found)


def _data(slug: str, given: Any) -> tuple[Data, Any]:
    """The images, and what the page begins with: a name, or a path."""
    if given is None or isinstance(given, str):
        name = given or "digit-images"
        return datasets.resolve(name, images.KIND, seed=0), name
    pixels = np.asarray(given)
    name = f"{slug}-images"
    return images.from_arrays(name, {"pixels": pixels[:, None] if pixels.ndim == 3 else pixels}), name
