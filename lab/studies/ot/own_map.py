"""A map of one's own as a study: any function of points, what it costs beyond the least, beside maps that are known."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from lab.studies.contract import Pictures
from lab.studies.vocabulary.own import OwnStudy, definition_of, make, name_of, offer

from .monge_gap import MongeGap

_SHOWN = ("arrows", "sphere", "bracket", "rivals")
_PARAMETERS = ("data", "cost", "share", "points", "fit_share")


def map_study(
    title: str,
    move: Callable[[Any], Any],
    x0: Any,
    x: Any = None,
    *,
    best: Any = None,
    about: str = "",
    slug: str = "",
    **defaults: Any,
) -> type[MongeGap]:
    """A study of a map: which of its pairs cost too much, whether its image is right, how other maps do on the same points.

    The study is known to every face of this process; in a file of one's own it serves ``lab serve my_map.py`` and ``lab run
    my_map.py`` too.

    Args:
        title: what headings say.
        move: takes points (n, d) as an array of NumPy and gives their images (n, d): a network, a flow that is integrated, a
            function. It is called and not derived, so that it may be of any library.
        x0: (m, d) points.
        x: (n, d) targets, to which the image is compared; the images themselves when omitted.
        best: (m, d) where the best map takes ``x0``, if that is known.
        about: three sentences for the page.
        slug: its name on the command line; made of the title when omitted.
        defaults: of parameters, ``cost="distance"``, ``points=500``: what its page begins with.

    Raises:
        ValueError, TypeError: what does not fit together; the sentence says what was found.

    >>> import jax
    >>> jax.config.update("jax_enable_x64", True)
    >>> from lab import studies
    >>> points = np.random.default_rng(0).normal(size=(60, 2))
    >>> Moved = studies.map_study("Moved", lambda x: x + 1, points)
    >>> float(Moved().run().gap)  # a translation
    0.0
    """
    slug = name_of(title, slug)
    start, call = np.asarray(x0, float), _Own(move)
    if start.ndim != 2 or 0 in start.shape or not np.isfinite(start).all():
        raise ValueError(f"x0 has the shape {np.shape(x0)}, but finite points (m, d) are needed")
    images = np.asarray(call(start))
    arrays = {"x0": start, "x": images if x is None else np.asarray(x, float)}
    if best is not None:
        arrays["moved"] = np.asarray(best, float)
        if arrays["moved"].shape != start.shape:
            raise ValueError(f"best has the shape {arrays['moved'].shape}, but each of the {len(start)} points has one")
    made = make(
        _OwnMap,
        title,
        slug,
        defaults | {"data": f"{slug}-points"},
        about=about
        or f"{title}: points and where it takes them. Choose the cost. Look at the lines that cost more than they must.",
        own=call,
        definition=definition_of(move, images[:8]),
    )
    offer(f"{slug}-points", f"{title}: points", arrays, "Brought with the map.")
    return made


class _Own:
    """The map, of arrays of JAX, with its answer looked at."""

    def __init__(self, call: Callable[[Any], Any]):
        self.call = call

    def __call__(self, x: Any) -> Any:
        if isinstance(x, Tracer):
            return jax.pure_callback(self._called, jax.ShapeDtypeStruct(x.shape, x.dtype), x, vmap_method="sequential")
        return jnp.asarray(self._called(x))

    def _called(self, x: Any) -> np.ndarray:
        given = np.asarray(x)
        try:
            made = np.asarray(self.call(given), given.dtype)
        except Exception as problem:
            raise TypeError(f"the map can't be called with points of shape {given.shape}: {problem}") from problem
        if made.shape != given.shape:
            raise ValueError(
                f"the map gives {made.shape} for points of shape {given.shape}: it must give as many as many"
            )
        if bad := int((~np.isfinite(made)).any(axis=1).sum()):
            raise ValueError(f"the map takes {bad} of {len(made)} points to what is not finite: mend it there")
        return made


class _OwnMap(OwnStudy, MongeGap):
    """Everything but the turned map and the training."""

    brings = "a map"
    hidden = tuple(name for name in MongeGap.parameters() if name not in _PARAMETERS)
    mathematics = "$$ M = \\frac1n \\sum_i c(x_i, T(x_i)) - \\min_{P \\in U_n} \\langle P, C \\rangle \\ge 0 $$"
    results = tuple(each for each in MongeGap.results if each.name not in ("gap_turned", "gap_closed"))
    pictures = Pictures(*(MongeGap.pictures[name] for name in _SHOWN))
