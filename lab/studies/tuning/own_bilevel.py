"""A bilevel problem of the user as a study: two losses in, learned hyperparameters and certified steps out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import ArrayLike

from lab.datasets import Data
from lab.numerics import Loop
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.precision import need_float64
from lab.studies import draw
from lab.studies.contract import Picture, Pictures, Result, Study
from lab.studies.tuning import descents
from lab.studies.vocabulary.own import OwnStudy, definition_of, make, name_of, offer
from lab.tuning import descent
from lab.tuning.problem import Own, slope

from .maid_bilevel import MaidBilevel
from .maid_bilevel.experiment import learn

_OF_THE_LABS = (
    "psnr",
    "psnr_noisy",
    "psnr_test",
    "frame_psnr",
    "clean",
    "noisy",
    "denoised",
    "accuracy",
    "decay",
)
_LINES = 40  # hyperparameters that are drawn
_SHOWN = ("fan", "accuracies", "rivals", "plane", "errors", "steps")


def bilevel_study(
    title: str,
    h: Callable[..., Any],
    g: Callable[..., Any],
    x: ArrayLike,
    theta: ArrayLike,
    *,
    r: Callable[[Any], Any] | None = None,
    mu: Any = None,
    smooth: Any = None,
    upper: Any = None,
    inverse: Any = None,
    cross: Any = None,
    convex: bool = False,
    data: Any = None,
    names: Sequence[str] = (),
    about: str = "",
    slug: str = "",
    **defaults: Any,
) -> type[Study]:
    r"""A study of $\min_\theta g(\hat x(\theta)) + r(\theta)$ with $\hat x(\theta) = \arg\min_x h(x, \theta)$: MAID and its
    rivals from several accuracies, gradient errors and their bounds, learned hyperparameters.

    h is strongly convex in x. The study is known to every face of this process; in a file of one's own it serves ``lab serve
    my_losses.py`` and ``lab run my_losses.py`` too.

    Args:
        title: what headings say.
        h: (x, theta) to a number, of jax.numpy; it is differentiated twice.
        g: x to a number.
        x: where the first lower solve begins, of any shape.
        theta: the first hyperparameters, (p,). The logarithm of what must be positive is a good one.
        r: theta to a number that is added to the upper loss, or None.
        mu, smooth, upper: strong convexity of h in x, Lipschitz constants of its gradient in x and of that of g: each a
            number, or a function of theta. Of what is None the eigenvalues of the Hessians at hand are taken, within a
            factor of 2.
        inverse, cross: Lipschitz constants in x of the inverse Hessian of h and of d/dtheta grad_x h; None: secants along
            the iterates. Steps are certified where all five are known.
        convex: whether g is; then bounds are tighter.
        data: arrays that h and g need, any pytree: both are called with it as a last argument. Large ones are better here
            than as constants of the functions.
        names: of the hyperparameters.
        about: three sentences for the page.
        slug: its name on the command line; made of the title when omitted.
        defaults: of parameters, ``budget=5000``, ``alpha0=1.0``: what its page begins with.

    Raises:
        ValueError: what does not fit together; the sentence says what was found. A run refuses an h that is not
            strongly convex, with the curvature that was found.

    >>> import jax
    >>> jax.config.update("jax_enable_x64", True)
    >>> from lab import studies
    >>> h = lambda x, theta: 0.5 * jnp.sum((x - 3.0) ** 2) + 0.5 * jnp.exp(theta[0]) * jnp.sum(x**2)
    >>> g = lambda x: 0.5 * jnp.sum((x - 1.0) ** 2)
    >>> Ridge = studies.bilevel_study("A ridge", h, g, [0.0, 0.0], [0.0], alpha0=1.0)
    >>> round(float(np.exp(Ridge(compare=False).run().theta.dropna("place")[-1, 0])), 3)
    2.0
    """
    need_float64("the study of a bilevel problem")
    slug = name_of(title, slug)
    given = {"mu": mu, "smooth": smooth, "upper": upper, "inverse": inverse, "cross": cross}
    first = _numbers("theta", theta)
    made = _problem(h, g, _numbers("x", x), first, r, given, convex, data)
    if names and len(names) != first.size:
        raise ValueError(f"{len(names)} names were given for {first.size} hyperparameters: give one for each, or none")
    found = make(
        _OwnBilevel,
        title,
        slug,
        defaults | {"data": f"{slug}-start"},
        own=made,
        names=tuple(names) or tuple(f"θ {i}" for i in range(first.size)),
        definition=_definition(made, first, given),
        about=about
        or f"{title}: hyperparameters that are learned by the gradient of a loss that is never known exactly. Move the "
        "first accuracy. Look at what it chooses, and at the runs beside it whose accuracy stays.",
        without=("plane",) if first.size == 1 else (),
    )
    summary = "The first hyperparameters, as one row."
    offer(f"{slug}-start", f"{title}: where it begins", {"x": first[None]}, summary)
    return found


def _numbers(name: str, value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "iuf" or array.size == 0 or not np.isfinite(array).all():
        raise ValueError(f"{name} is {array.dtype} of shape {array.shape}, but finite numbers to begin with are needed")
    return array.astype(float)


def _problem(
    h: Any, g: Any, x: np.ndarray, theta: np.ndarray, r: Any, given: dict[str, Any], convex: bool, data: Any
) -> Own:
    """The problem, if its losses can be called and are finite where it begins."""
    for name, call in (("h", h), ("g", g), *([("r", r)] if r is not None else [])):
        if not callable(call):
            raise ValueError(f"{name} is a {type(call).__name__}, but a function is needed")
    for name, value in given.items():
        least = 0 if name in ("inverse", "cross") else np.nextafter(0, 1)
        if value is not None and not callable(value) and not (np.ndim(value) == 0 and least <= float(value) < np.inf):
            raise ValueError(
                f"{name} is {value!r}, but it must be a number {'of 0 or more' if least == 0 else 'above 0'}, a function "
                "of theta, or None, to be estimated"
            )
    numbers = {name: value if value is None or callable(value) else float(value) for name, value in given.items()}
    numbers["of_upper"] = numbers.pop("upper")
    if data is not None:
        data = jax.tree.map(jnp.asarray, data)
    made = Own(h, g, placed(x), r, is_convex=convex, few=theta.size <= 32, data=data, **numbers)
    descent.check(made, placed(theta), 1.0, 1.0, 1.0, descent.Rules())
    for name, value in zip(("h", "g and r"), _start(made, placed(theta))[:2], strict=True):
        if not np.isfinite(value):
            raise ValueError(f"{name} at the first x and theta gives {float(value)}: begin where the losses are finite")
    return made


@jit
def _start(made: Own, theta: Any) -> tuple[Any, ...]:
    """Both losses where it begins, and their slopes there."""
    x = made.start(theta)
    slopes = slope(made, x, theta), jax.grad(made.upper)(x), jax.grad(lambda at: made.lower(x, at))(theta)
    return made.lower(x, theta), made.upper(x) + made.penalty(theta), slopes


def _definition(made: Own, theta: np.ndarray, given: dict[str, Any]) -> str:
    answers = [_start(made, placed(at)) for at in (theta, theta + 0.1)]
    return definition_of(made.h, made.g, made.r, *given.values(), made.is_convex, made.x0, made.data, answers)


def _learned(result: xr.Dataset) -> Any:
    values, names = result.theta.dropna("place").values, [str(name) for name in result.hyperparameter.values]
    shown = np.unique(np.linspace(0, len(names) - 1, min(len(names), _LINES)).astype(int))
    tints, named = draw.colours(8), len(names) <= 8
    layers = [
        draw.curve(np.arange(len(values)), values[:, i], names[i] if named else "", color=tints[i % 8]) for i in shown
    ]
    note = "" if len(shown) == len(names) else f"{len(shown)} of {len(names)}"
    return draw.plot(*layers, xlabel="step", ylabel="hyperparameters", height=320, note=note)


def _minimiser(result: xr.Dataset, frame: int) -> Any:
    values = result.minimiser.values
    low, high = float(values.min()), float(values.max())
    margin = 0.05 * (high - low) or 1.0
    return draw.plot(
        draw.curve(result.unknown, values[0], "at the start", color=draw.MUTED),
        draw.curve(result.unknown, values[frame], "", color=draw.SOURCE),
        xlabel="unknown",
        ylabel="value",
        ylim=(low - margin, high + margin),
        height=320,
        note=f"step {int(result.frame_step[frame])}: loss {float(result.frame_loss[frame]):.4g}",
    )


class _OwnBilevel(OwnStudy, MaidBilevel):
    """Everything that holds for any two losses."""

    brings = "a bilevel problem"
    hidden = ("problem", "noise", "images", "pixels", "share", "filters", "known")
    kind = "samples"
    data_options = ()
    own: ClassVar[Any] = None
    names: ClassVar[tuple[str, ...]] = ()

    dims: ClassVar = {
        name: MaidBilevel.dims[name] for name in ("iteration", "stage", "frame", "place", "which", "u", "v")
    }
    results = (
        *(result for result in MaidBilevel.results if result.name not in _OF_THE_LABS),
        Result("theta", ("place", "hyperparameter"), "hyperparameter", "before each step and after the last step"),
        Result(
            "minimiser",
            ("frame", "unknown"),
            "value",
            "of each unknown of the lower problem, row by row, at the examined steps",
        ),
    )
    pictures = Pictures(
        *(MaidBilevel.pictures[name] for name in _SHOWN[:1]),
        Picture("learned", "Hyperparameters", "Lines: hyperparameters along the steps.", _learned),
        Picture(
            "minimiser",
            "The minimizer",
            "Gray: at the initial hyperparameters. Blue: along the steps.",
            _minimiser,
            plays="frame",
            places="frame_step",
        ),
        *(MaidBilevel.pictures[name] for name in _SHOWN[1:]),
    )

    @classmethod
    def prepare(cls, data: Data) -> Any:
        """The first hyperparameters."""
        return placed(np.asarray(data.arrays["x"], float)[0])

    def check(self, data: Data) -> None:
        """One row of as many hyperparameters as there are."""
        super(MaidBilevel, self).check(data)
        shape = data.arrays["x"].shape
        if shape != (1, len(self.names)):
            raise ValueError(
                f"x in {data.name} has the shape {shape}, but it is where the {len(self.names)} hyperparameters begin: "
                f"give one row of {len(self.names)} numbers"
            )

    @classmethod
    def compute(cls, inputs: Any, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        found, looked, output, reason = learn(cls.own, inputs + p.start, p, loop)
        output |= {"theta": found.path, "minimiser": looked.x.reshape(descents.FRAMES, -1)}
        return output | {"reason": reason, "iterations": found.iterations}

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        two = len(cls.names) == 2
        found: dict[str, Any] = {
            "which": list(cls.names) if two else ["first direction", "second direction"],
            "hyperparameter": list(cls.names),
        }
        if "run_last" in output:
            found["run"] = descents.names()
        return found
