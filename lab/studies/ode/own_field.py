"""A vector field of one's own as a study: a function and where to begin in, every step of the solver out."""

import inspect
from collections.abc import Callable, Mapping
from copy import copy
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.ode import fields
from lab.precision import need_float64
from lab.studies.contract import Pictures, Study
from lab.studies.ode import analysis
from lab.studies.vocabulary.own import OwnStudy, definition_of, make, name_of, offer

from .regularized_ndes import RegularizedNDEs

_SHOWN = ("steps", "plane", "errors", "tolerances")
_HAS = ("nfe", "accepted", "rejected", "reg_E", "reg_S", "edge", "error", "way", "spent", "when")
_MATHEMATICS = r"""
All rows of the start are one state of $y' = f(t, y)$ with one length of step. Each step tells its scaled error E, below 1 where
it is accepted, and its stiffness $S = |k_7 - k_6| / |g_7 - g_6|$ of two stages at one time. $R_E = \sum E h$, $R_S = \sum S h$.
Steps are stable up to $h S = 3.5068$ (Tsit5). The true error is that from a solution with a hundredth of the tolerance.
"""


def field_study(
    title: str,
    field: Callable[..., Any],
    y0: Any,
    *,
    about: str = "",
    slug: str = "",
    **defaults: Any,
) -> type[Study]:
    """A study of a field: the steps of its solution, their errors and stiffness, and where the work goes.

    The study is known to every face of this process; in a file of one's own it serves ``lab serve my_field.py`` and ``lab run
    my_field.py`` too.

    Args:
        title: what headings say.
        field: f(t, y) of one state y (d,), or f(t, y, mu), whose mu is then a slider; of jax.numpy.
        y0: where it begins: (d,), or (n, d) for n starts that are solved together.
        about: three sentences for the page.
        slug: its name on the command line; made of the title when omitted.
        defaults: of parameters, ``mu=2.0``, ``length=10.0``, ``tolerance=1e-4``: what its page begins with.

    Raises:
        ValueError, TypeError: what does not fit together; the sentence says what was found.

    >>> import jax
    >>> jax.config.update("jax_enable_x64", True)
    >>> from lab import studies
    >>> Pendulum = studies.field_study("Pendulum", lambda t, y: jnp.stack([y[1], -jnp.sin(y[0])]), [2.0, 0.0], length=5.0)
    >>> int(Pendulum().run().accepted)
    17
    """
    need_float64("the study of a field")
    slug = name_of(title, slug)
    start = np.asarray(y0, float)
    start = start[None] if start.ndim == 1 else start
    if start.ndim != 2 or 0 in start.shape or not np.isfinite(start).all():
        raise ValueError(
            f"y0 has the shape {np.shape(y0)}, but finite numbers (d,), or (n, d) for n starts, are needed"
        )
    takes = len(inspect.signature(field).parameters) > 2
    _check(field, start, takes)
    hidden = () if takes else ("mu",)
    if unknown := set(defaults) - (_OwnField.parameters().keys() - hidden):
        there = (name for name in _OwnField.parameters() if name != "mu")
        raise ValueError(f"{', '.join(sorted(unknown))}: there are only {', '.join(there)}, and mu where f takes it")
    made = make(
        _OwnField,
        title,
        slug,
        defaults | {"data": f"{slug}-start"},
        own=staticmethod(field),
        takes=takes,
        hidden=hidden,
        definition=definition_of(field),
        about=about
        or f"{title}, solved by steps that tell their error and their stiffness. Move the tolerance. Look where "
        "the steps lie: below the tolerance, or along the edge of stability.",
        without=("plane",) if start.shape[1] == 1 else (),
    )
    offer(f"{slug}-start", f"{title}: where it begins", {"x": start}, "Brought with the field.")
    return made


def _check(field: Callable[..., Any], start: np.ndarray, takes: bool) -> None:
    mu = (jnp.ones(()),) if takes else ()
    try:
        slope = jax.eval_shape(field, jnp.zeros(()), jnp.asarray(start[0]), *mu)
    except Exception as problem:
        raise TypeError(f"the field can't be called at (t, y) with y of shape {start[0].shape}: {problem}") from problem
    if getattr(slope, "shape", None) != start[0].shape:
        shape = getattr(slope, "shape", f"no array but a {type(slope).__name__}")
        raise ValueError(
            f"the field gives {shape} for y of shape {start[0].shape}: it must be the slope of each number of y"
        )


class _Together:
    """The field on all rows at once; a function that JAX can tell from others."""

    def __init__(self, call: Callable[..., Any], takes: bool):
        self.call, self.takes = call, takes

    def __call__(self, t: Any, y: Any, mu: Any) -> Any:
        return jax.vmap(lambda row: self.call(t, row, mu) if self.takes else self.call(t, row))(y)

    def __hash__(self) -> int:
        return hash((self.call, self.takes))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Together) and (self.call, self.takes) == (other.call, other.takes)


def _freed(name: str) -> Any:
    """The parameter of the study, which always has an effect here."""
    parameter: Any = copy(RegularizedNDEs.param[name])
    parameter.when = {}
    return parameter


class _OwnField(OwnStudy):
    field = "Differential equations"
    brings = "a field"
    mathematics = _MATHEMATICS
    kind = "samples"
    own: ClassVar[Any] = None
    takes: ClassVar[bool] = False

    mu, length, tolerance, h0, pair, controller = map(_freed, ("mu", "length", "tolerance", "h0", "pair", "controller"))
    dims: ClassVar = {name: RegularizedNDEs.dims[name] for name in ("step", "axis", "share")}
    results = tuple(
        result for result in RegularizedNDEs.results if result.name in _HAS or result.name.startswith("step_")
    )
    pictures = Pictures(*(RegularizedNDEs.pictures[name] for name in _SHOWN))

    @classmethod
    def prepare(cls, data: Data) -> dict[str, Any]:
        return {"y0": jnp.asarray(data.arrays["x"], float)}

    def check(self, data: Data) -> None:
        super().check(data)
        _check(type(self).own, np.asarray(data.arrays["x"], float), type(self).takes)

    @classmethod
    def compute(cls, inputs: Any, p: Any, loop: Any, warm: Any = None) -> dict[str, Any]:
        mu = jnp.asarray(p.mu if cls.takes else 0.0, float)
        numbers = (jnp.asarray(value, float) for value in (p.length, p.tolerance, p.h0))
        found = analysis.survey(
            loop,
            fields.Own(_Together(cls.own, cls.takes), mu, True),
            inputs["y0"],
            *numbers,
            method=p.pair,
            controller=analysis.CONTROLLERS[p.controller],
        )
        told = (
            found.told._asdict() | found.seen._asdict() | {"way": found.way, "spent": found.spent, "when": found.when}
        )
        return told | {
            "error": found.error,
            "iterations": found.seen.accepted + found.seen.rejected,
            "reason": found.reason,
        }

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        return {
            "share": np.linspace(0, 1, analysis.FRAMES),
            "axis": ["y₁", "y₂"],
            "step": np.arange(analysis.MOST),
        }

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        return RegularizedNDEs.advice(result)
