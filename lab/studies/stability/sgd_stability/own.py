"""A user's own model as a study: parameters, a function of one sample and data in, every picture and threshold out."""

import re
import sys
from collections.abc import Callable, Mapping
from copy import copy
from functools import partial
from hashlib import sha256
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from lab import code, datasets, stability
from lab.datasets import Data
from lab.datasets.registry import register as offer
from lab.numerics.jit import jit
from lab.precision import need_float64
from lab.studies.contract import Paper, Pictures, register

from . import SGDStability, looking
from .data import KIND, ROWS, check, from_arrays
from .family import Maker

_HIDDEN = ("model", "m", "d")
_EXACT = ("batches-help", "bounds", "full-batch")  # claims that hold at any point of any model


class _Own(eqx.Module):
    """The parameters, called with a sample as the lab's own models are."""

    params: Any
    predict: Callable = eqx.field(static=True)
    shape: tuple[int, ...] = eqx.field(static=True)

    def __call__(self, x: Array) -> Array:
        return jnp.reshape(self.predict(self.params, x), self.shape)


class _Normed(_Own):
    def norm(self) -> Array:
        return jnp.reshape(self.params.norm(), ())


def model_study(
    title: str,
    params: Any,
    data: Any,
    *,
    predict: Callable[[Any, Array], Any] | None = None,
    loss: Callable[[Any, Array, Array], Any] | None = None,
    about: str = "",
    slug: str = "",
    **defaults: Any,
) -> type[SGDStability]:
    r"""A study of a model: SGD and gradient descent from its weights, their thresholds, spectra and Hessians.

    Trained is the square loss $L = \frac1{2n} \sum_i |f(\theta; x_i) - y_i|^2$, of which thresholds speak, in float64, which
    ``lab.notebook()`` turns on. The study is known to every face of this process; in a file of one's own it serves
    ``lab serve my_model.py`` and ``lab run my_model.py`` too.

    Args:
        title: what headings say.
        params: the weights to begin with, any pytree: an equinox module, a dictionary of flax; or a function that makes them
            from a key, so that another seed is another start. What is an array of real numbers in it is trained.
        data: ``(x, y)``, or a dictionary of ``x`` (n, ...), ``y`` (n,) or (n, k) and, for a test error, ``x_test`` and
            ``y_test``; or the name of a training set, or the path of a file of one.
        predict: from parameters and one sample to its output; when omitted, the parameters are called with it.
        loss: instead of it, the loss of a batch, ``loss(params, x, y)``: half the mean squared error, which is checked, since
            thresholds are of no other. A loss of another kind is for ``lab.stability.analyze``.
        about: three sentences for the page.
        slug: its name on the command line; made of the title when omitted.
        defaults: of parameters, ``eta=0.1``, ``steps=2000``: what its page begins with.

    Returns:
        the study. Parameters with a method ``norm()`` have it followed.

    Raises:
        ValueError, TypeError: what does not fit together; the sentence says what was found.

    >>> from lab import studies
    >>> params = {"w": np.ones(3), "b": np.zeros(())}
    >>> x = np.random.default_rng(0).standard_normal((8, 3))
    >>> Line = studies.model_study("A line", params, (x, x[:, 0]), predict=lambda p, x: p["w"] @ x + p["b"])
    >>> result = Line(steps=200, rates=0).run()
    """
    need_float64("the stability of SGD")
    slug = slug or re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    if not slug:
        raise ValueError(f"the title {title!r} has no letters to make a name of: give a slug")
    if predict is not None and loss is not None:
        raise ValueError("predict and loss were both given: one of them says what the model does")
    maker = _Maker(params, predict, loss)
    named = isinstance(data, str)
    given = datasets.resolve(data, kind=KIND, seed=0) if named else _arrays(slug, data)
    maker.check(given)
    normed = hasattr(maker.start(), "norm")
    left_out = {"balance"} | (set() if normed else {"norms"})
    few = min(len(given.arrays["x"]), defaults.get("n", ROWS)) * _outputs(given) <= looking.ALL
    body: dict[str, Any] = {
        "slug": slug,
        "title": title,
        "paper": Paper("you", "a model of your own", "unpublished", 2026),
        "about": about
        or f"{title}, trained twice from the same weights: by gradient descent, and by SGD on a few samples at a time. "
        "Move the learning rate and the batch size. Look at what either can hold, and at the Hessian where it came to rest.",
        "own": maker,
        "definition": maker.definition(given),
        "pictures": Pictures(*(each for each in SGDStability.pictures if each.name not in left_out)),
        "presets": (),
        "claims": tuple(each for each in SGDStability.claims if each.name in _EXACT) if few else (),
        "__module__": sys._getframe(1).f_globals.get("__name__", __name__),  # as namedtuple does: the caller defines it
    }
    unknown = set(defaults) - set(_OwnStudy.parameters())
    if unknown:
        there = ", ".join(_OwnStudy.parameters())
        raise ValueError(f"{', '.join(sorted(unknown))}: no such parameter, to have a default; there are {there}")
    n = len(given.arrays["x"])
    for name, value in ({"n": n} | defaults | {"data": data if named else f"{slug}-data"}).items():
        body[name] = parameter = copy(_OwnStudy.param[name])
        if name == "n" and not named:
            parameter.bounds = parameter.soft = (2, n)
        parameter._validate(value)
        parameter.default = value
    made: Any = type(re.sub(r"\W+", "", title.title()) or "OwnModel", (_OwnStudy,), body)
    register(made)
    if not named:
        _offer(slug, title, given)
    return made


class _OwnStudy(SGDStability):
    """Everything but the choice of a model."""

    slug = ""
    own: ClassVar[Any] = None

    @classmethod
    def parameters(cls) -> dict[str, Any]:
        return {name: each for name, each in super().parameters().items() if name not in _HIDDEN}

    def check(self, data: Data) -> None:
        self.own.check(data)
        super().check(data)


class _Maker(Maker):
    """What makes the model; each one is another program."""

    def __init__(self, params: Any, predict: Callable | None, loss: Callable | None):
        self.params, self.predict, self.loss = params, predict, loss
        self.made = not _reals(params)  # by a function of a key
        if self.made and not callable(params):
            raise ValueError("no array of real numbers is among the parameters: there is nothing to train")
        for name, function in (("predict", predict), ("loss", loss)):
            if function is not None and not callable(function):
                raise TypeError(f"{name} must be a function, not a {type(function).__name__}")

    def start(self) -> Any:
        """The parameters, or their shapes where a function makes them."""
        if not self.made:
            return self.params
        try:
            found = eqx.filter_eval_shape(self.params, jax.random.key(0))
        except Exception as problem:
            raise ValueError(f"params, called with a key, fails: {_said(problem)}") from problem
        if not _reals(found):
            raise ValueError("params, called with a key, makes no array of real numbers: there is nothing to train")
        return found

    def __call__(self, key: Array, scale: Any, shape: tuple[int, ...]) -> Any:
        params = self.params(key) if self.made else self.params
        params = jax.tree.map(lambda leaf: scale * jnp.asarray(leaf, float) if _real(leaf) else leaf, params)
        kind = _Normed if hasattr(params, "norm") else _Own
        return kind(params, self._called(shape), shape)

    def _called(self, shape: tuple[int, ...]) -> Callable:
        if self.loss is not None:
            return partial(_residual, self.loss, shape)
        return stability.call if self.predict is None else self.predict

    def check(self, data: Data) -> None:
        """The model takes these samples and gives as many outputs as they have; its loss is the square loss."""
        check(data.name, data.arrays)
        x, y = data.arrays["x"], data.arrays["y"]
        shape, start = y.shape[1:], self.start()
        one = jax.ShapeDtypeStruct(x.shape[1:], float)
        predict = self._called(shape)
        try:
            found = eqx.filter_eval_shape(predict, start, one)
        except Exception as problem:
            asked = "loss(params, x, y)" if self.loss else "predict(params, x)" if self.predict else "the model"
            raise ValueError(
                f"{asked} fails on {'a batch of one sample' if self.loss else 'one sample'} x of shape {x.shape[1:]}: "
                f"{_said(problem)}"
            ) from problem
        leaves = jax.tree.leaves(found)
        if len(leaves) != 1 or getattr(leaves[0], "size", 0) != int(np.prod(shape)):
            what = " and ".join(str(getattr(leaf, "shape", leaf)) for leaf in leaves) or "nothing"
            raise ValueError(
                f"the model gives {what} at one sample of shape {x.shape[1:]}, but y in {data.name} has shape {y.shape}: "
                f"{'one number' if np.prod(shape) == 1 else f'the shape {shape}'} for each sample is needed"
            )
        if not jnp.issubdtype(leaves[0].dtype, jnp.floating):
            raise ValueError(f"the model gives {leaves[0].dtype}, but real numbers are needed")
        if self.loss is not None:
            self._square(x[:8], y[:8])

    def _square(self, x: np.ndarray, y: np.ndarray) -> None:
        """From the loss alone: f is y - dl/dy, and l must then be |f - y|^2 / 2."""
        assert self.loss is not None
        model = self.at_start(y.shape[1:])
        at, told = jnp.asarray(x, float), jnp.asarray(y, float)
        found = float(self.loss(model.params, at, told))
        wanted = float(((jax.vmap(model)(at) - told) ** 2).sum() / len(y) / 2)
        if not abs(found - wanted) <= 1e-4 * max(abs(wanted), 1e-12):
            raise ValueError(
                f"the loss is not half the mean squared error: on {len(y)} samples it is {found:.6g}, and that would be "
                f"{wanted:.6g}; thresholds are of that loss only: give predict instead, or use lab.stability.analyze"
            )

    def at_start(self, shape: tuple[int, ...]) -> Any:
        """The model of seed 0."""
        return jit(self.__call__)(jax.random.key(0), jnp.ones(()), shape)

    def definition(self, data: Data) -> str:
        """What tells two models apart: their code, their weights, and, as code may read what is not in it, what they give."""
        told = [code.text_of(each) for each in (self.params, self.predict, self.loss) if callable(each)]
        model = self.at_start(data.arrays["y"].shape[1:])
        outputs = jax.vmap(model)(jnp.asarray(data.arrays["x"][:8], float))
        told += [np.asarray(leaf).tobytes().hex() for leaf in (*_reals(model), outputs)]
        return sha256(" ".join(told).encode()).hexdigest()

    def __str__(self) -> str:
        return "yours"


def _residual(loss: Callable, shape: tuple[int, ...], params: Any, x: Array) -> Array:
    """f(x) from a square loss: minus its slope at y = 0."""
    return -jax.grad(lambda y: loss(params, x[None], y[None]))(jnp.zeros(shape, x.dtype))


def _real(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating)


def _reals(params: Any) -> list[Any]:
    return [leaf for leaf in jax.tree.leaves(params) if _real(leaf)]


def _said(problem: Exception) -> str:
    """The first line of what went wrong in a user's function."""
    return f"{type(problem).__name__}: {str(problem).strip().splitlines()[0] if str(problem).strip() else ''}".rstrip(
        ": "
    )


def _outputs(data: Data) -> int:
    return int(np.prod(data.arrays["y"].shape[1:]))


def _arrays(slug: str, data: Any) -> Data:
    if isinstance(data, Data):
        return data
    if isinstance(data, tuple | list) and len(data) == 2:
        data = {"x": data[0], "y": data[1]}
    if not isinstance(data, Mapping):
        raise TypeError(
            f"data must be (x, y), a dictionary of arrays, or the name of a training set, not a {type(data).__name__}"
        )
    return from_arrays(f"{slug}-data", {str(key): np.asarray(value) for key, value in data.items()})


def _offer(slug: str, title: str, data: Data) -> None:
    """As a named set, so that a page goes back to it and a recipe finds it again."""

    @offer(
        name=f"{slug}-data", title=f"{title}: its data", kind=KIND, summary="Brought with the model.",
        source="brought by the user", licence="the user's", real=True,
        options={"n": (len(data.arrays["x"]), (2, len(data.arrays["x"])))},
    )  # fmt: skip
    def build(n: int) -> dict[str, Any]:
        cut = {name: array[:n] if name in ("x", "y") else array for name, array in data.arrays.items()}
        return {"arrays": cut, "axes": data.axes, "notices": data.notices}
