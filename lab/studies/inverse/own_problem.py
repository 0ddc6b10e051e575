"""A user's own damage, denoiser, images or measurements as a study: a function in, every solver, picture and measure out."""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from lab import datasets, denoise, inverse
from lab.datasets import Data, images
from lab.inverse import Operator
from lab.precision import need_float64
from lab.studies.inverse.imaging import Own
from lab.studies.vocabulary.own import OwnStudy, definition_of, make, name_of, offer

from .inverse_problems import InverseProblems

_OF_DAMAGE = ("damage", "seen", "hole", "width", "factor", "views", "gain")
_OF_PRIOR = ("prior", "theta", "radius", "train_steps")


def inverse_study(
    title: str,
    operator: Operator | Callable[..., Any] | None = None,
    images: Any = None,
    denoiser: Any = None,
    *,
    measured: tuple[Any, Any] | None = None,
    about: str = "",
    slug: str = "",
    **defaults: Any,
) -> type[InverseProblems]:
    r"""A study of a damage, a denoiser, images or measurements of one's own: all solvers on it, beside what is known.

    The study is known to every face of this process; in a file of one's own it serves ``lab serve my_problem.py`` too.

    Args:
        title: what headings say.
        operator: what is done to an image: an operator of ``lab.inverse``; a function of one image (C, H, W) in JAX, which is
            found to be linear or not by trying; or None for a choice among the lab's.
        images: (N, H, W), (N, C, H, W) or (N, H, W, C), of which a fifth is held out to test on; the name of a set, or the
            path of a file of one; MNIST when omitted.
        denoiser: a denoiser of ``lab.denoise``, or a function of images (B, C, H, W) and levels (B,); None for a choice among
            the lab's. The posterior under one's own is not known.
        measured: images and what was measured of them, ``(truth, y)`` with y (B, *outputs): solvers then start from this y, and
            nothing is simulated. The images must be unlike those of ``images``, which the priors learn from.
        about: three sentences for the page.
        slug: its name on the command line; made of the title when omitted.
        defaults: of parameters, ``noise=0.05``, ``seeds=8``: what its page begins with.

    Raises:
        ValueError, TypeError: what does not fit together; the sentence says what was found.

    >>> from lab import studies
    >>> pixels = np.random.default_rng(0).uniform(-1, 1, (40, 6, 6))
    >>> Left = studies.inverse_study("Left half", lambda x: x[..., :3], pixels, tests=2, steps=5, seeds=2)
    >>> sorted({parameter for parameter in Left.parameters()} & {"damage", "noise"})
    ['noise']
    """
    need_float64("a study of inverse problems")
    slug = name_of(title, slug)
    if operator is None and denoiser is None and images is None:
        raise ValueError("nothing of your own was given: an operator, a denoiser, or images")
    if measured is not None and (operator is None or isinstance(images, str) or images is None):
        raise ValueError(
            "measurements of your own need the operator that made them, and images to learn from as an array"
        )
    given, name = _data(slug, images, measured)
    shape: Any = given.arrays["pixels"].shape[1:]
    y = None if measured is None else jnp.asarray(measured[1])
    if y is not None and len(y) != given.arrays["held_out"].sum():
        raise ValueError(
            f"there are {len(y)} measurements of {int(given.arrays['held_out'].sum())} images: one of each"
        )
    fixed = isinstance(operator, Operator) or denoiser is not None or y is not None
    if operator is not None:
        made = _operator(operator, shape)
        if y is not None:
            inverse.problem(made, y, 0.1)
    if denoiser is not None:
        denoise.denoiser(denoiser, shape)
    h, w = shape[-2:]
    begin: dict[str, Any] = {"data": name, "row": min(7, h - 1), "column": min(9, w - 1)}
    begin |= {"pool": 1} if fixed else {}
    if not fixed and max(h, w) > 16:  # pooled to at most 256 pixels
        begin |= {"row": 3, "column": 3}
    study = make(
        _OwnProblem,
        title,
        slug,
        begin | defaults,
        about=about
        or f"{title}: all solvers on one measurement, compared with the exact posterior where it is known. Move the noise, and "
        "click a pixel to compare the samples of each solver with the posterior there.",
        hidden=(_OF_DAMAGE if operator is not None else ()) + (_OF_PRIOR if denoiser is not None else ()),
        brought=Brought(operator, denoiser, y),
        definition=_definition(operator, denoiser, y, shape),
    )
    if name == f"{slug}-images":
        offer(
            name,
            f"{title}: its images",
            given.arrays,
            kind=given.kind,
            beside={"axes": given.axes, "notices": given.notices},
            sizes=dict(zip(("channels", "height", "width"), given.arrays["pixels"].shape[1:], strict=True)),
        )
    return study


class Brought(eqx.Module):
    """What a user brings; it makes operator and denoiser for the images at hand."""

    operator: Any
    denoiser: Any
    y: Any

    def own(self, name: str) -> Own:
        """For ``imaging.bed``."""
        return Own(
            name,
            None if self.operator is None else lambda shape: _operator(self.operator, shape),
            None if self.denoiser is None else lambda shape: denoise.denoiser(self.denoiser, shape),
            self.y,
        )


class _OwnProblem(OwnStudy, InverseProblems):
    """Everything but the choice of what the user brings."""

    brings = "an inverse problem"
    brought: ClassVar[Brought | None] = None

    @classmethod
    def own(cls) -> Own | None:
        return None if cls.brought is None else cls.brought.own(cls.definition)

    def check(self, data: Data) -> None:
        super().check(data)
        if self.brought is not None and self.brought.operator is not None:
            h, w = self.sides(data)
            _operator(self.brought.operator, (data.arrays["pixels"].shape[1], h, w))


def _operator(given: Any, shape: tuple[int, int, int]) -> Operator:
    """The operator of images of this shape.

    Raises:
        TypeError, ValueError: something else, an operator of other images, a function that can't take them.
    """
    if isinstance(given, Operator):
        if given.inputs != tuple(shape):
            raise ValueError(
                f"the operator takes {given.inputs}, but the images are {tuple(shape)}: bring images of that shape, or set the "
                "pooling"
            )
        return given
    function: Any = given
    if not callable(given):
        raise TypeError(
            f"the operator is a {type(given).__name__}, but an operator, or a function of an image, is needed"
        )
    try:
        jax.eval_shape(function, jax.ShapeDtypeStruct(tuple(shape), jnp.result_type(float)))
    except Exception as problem:
        raise ValueError(f"the operator can't be applied to an image {tuple(shape)}: {problem}") from problem
    with jax.ensure_compile_time_eval():
        try:
            made = inverse.operator(function, tuple(shape), linear=True)
        except ValueError:
            return inverse.operator(function, tuple(shape))
    return made


def _definition(operator: Any, denoiser: Any, y: Any, shape: Any) -> str:
    tried = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, shape))
    found = [] if operator is None else [_operator(operator, shape)(tried)]
    if denoiser is not None:
        found += [denoise.denoiser(denoiser, shape)(tried, level) for level in (0.1, 1.0)]
    return definition_of(operator, denoiser, y, found)


def _data(slug: str, given: Any, measured: tuple[Any, Any] | None) -> tuple[Data, Any]:
    """The images, and what the page begins with: a name, or a path."""
    if given is None:
        given = "mnist-images"
    if isinstance(given, str):
        return datasets.resolve(given, images.KIND, seed=0), given
    pixels = np.asarray(given)
    arrays: dict[str, Any] = {"pixels": pixels}
    if measured is not None:
        truth = np.asarray(measured[0])
        if truth.shape[1:] != pixels.shape[1:] or truth.dtype != pixels.dtype:
            raise ValueError(
                f"the images that were measured are {truth.shape[1:]} {truth.dtype}, but those to learn from are "
                f"{pixels.shape[1:]} {pixels.dtype}"
            )
        arrays = {
            "pixels": np.concatenate([pixels, truth]),
            "held_out": np.arange(len(pixels) + len(truth)) >= len(pixels),
        }
    name = f"{slug}-images"
    return images.from_arrays(name, arrays), name
