"""A study of a user's own model: its parameters, a function of one sample, and data."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from lab import datasets
from lab.datasets import Data, training
from lab.precision import need_float64
from lab.studies.stability.outcome import ALL
from lab.studies.stability.user_model import OwnModel, reals
from lab.studies.vocabulary.own import OwnStudy, definition_of, make, name_of, offer

from .sgd_stability import SGDStability

_EXACT = ("batches-help", "bounds", "full-batch")  # claims that hold at any point of any model


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
    r"""Make a study of your own model: SGD and gradient descent from its weights, thresholds, spectra and Hessians.

    SGD minimizes the square loss $L = \frac1{2n} \sum_i |f(\theta; x_i) - y_i|^2$, to which the thresholds apply, in float64,
    which ``lab.notebook()`` turns on. Every interface of this process knows the study; in a file of yours it also serves
    ``lab serve my_model.py`` and ``lab run my_model.py``.

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
    slug = name_of(title, slug)
    if predict is not None and loss is not None:
        raise ValueError("predict and loss were both given: one of them says what the model does")
    maker = OwnModel(params, predict, loss)
    named = isinstance(data, str)
    given = datasets.resolve(data, kind=training.KIND, seed=0) if named else _arrays(slug, data)
    _check(maker, given)
    few = min(len(given.arrays["x"]), defaults.get("n", training.ROWS)) * _outputs(given) <= ALL
    n = len(given.arrays["x"])
    made = make(
        _OwnModel,
        title,
        slug,
        {"n": n} | defaults | {"data": data if named else f"{slug}-data"},
        bounds={} if named else {"n": (2, n)},
        about=about
        or f"{title}, trained by gradient descent and by SGD from the same weights. Move the learning rate and the batch size "
        "to see which minima are stable, and look at the Hessian at the final weights.",
        own=maker,
        definition=_definition(maker, given),
        without=("balance",) if hasattr(maker.start(), "norm") else ("balance", "norms"),
        claims=tuple(claim for claim in SGDStability.claims if claim.name in _EXACT) if few else (),
    )
    if not named:
        _offer(slug, title, given)
    return made


class _OwnModel(OwnStudy, SGDStability):
    """Everything but the choice of a model."""

    brings = "a model"
    hidden = ("model", "m", "d")
    own: ClassVar[Any] = None

    def check(self, data: Data) -> None:
        _check(self.own, data)
        super().check(data)


def _check(maker: OwnModel, data: Data) -> None:
    training.TRAINING.check(data.name, data.arrays)
    maker.check(data.name, data.arrays["x"], data.arrays["y"])


def _definition(maker: OwnModel, data: Data) -> str:
    model = maker.of_seed_zero(data.arrays["y"].shape[1:])
    outputs = jax.vmap(model)(jnp.asarray(data.arrays["x"][:8], float))
    calls = [each for each in (maker.params, maker.predict, maker.loss) if callable(each)]
    return definition_of(*calls, list(reals(model)), outputs)


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
    return training.from_arrays(f"{slug}-data", {str(key): np.asarray(value) for key, value in data.items()})


def _offer(slug: str, title: str, data: Data) -> None:
    def cut(n: int) -> dict[str, Any]:
        arrays = {name: array[:n] if name in ("x", "y") else array for name, array in data.arrays.items()}
        return {"arrays": arrays, "axes": data.axes, "notices": data.notices}

    n = len(data.arrays["x"])
    offer(
        f"{slug}-data",
        f"{title}: its data",
        data.arrays,
        "Brought with the model.",
        kind=training.KIND,
        options={"n": (n, (2, n))},
        build=cut,
    )
