"""Features or a network of one's own as a study of correspondences: how well they match, beside those that are known."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np

from lab.datasets.shapes import from_arrays
from lab.shapes.own_net import OwnNet
from lab.studies.vocabulary.own import OwnStudy, definition_of, make, name_of, offer

from . import ShapeCorrespondence

_OF_NET = ("units", "blocks", "gradients")
_OF_TRAINING = ("train_steps", "ot_weight", "transport", "directions", "learning_rate", "refine_steps")
_TAUGHT = ("film", "course", "terms", "refined", "crossing", "variants")
_ARRAYS = ("x", "x_faces", "y", "y_faces")


def correspondence_study(
    title: str,
    features: Callable[[Any], Any],
    x: tuple[Any, Any] | None = None,
    y: tuple[Any, Any] | None = None,
    *,
    truth: Any = None,
    poses: Sequence[Any] = (),
    about: str = "",
    slug: str = "",
    **defaults: Any,
) -> type[ShapeCorrespondence]:
    """A study of features of surfaces: what correspondence they give, sharpened or not, and, of a network, what it learns.

    The study is known to every face of this process; in a file of one's own it serves ``lab serve my_features.py`` and
    ``lab run my_features.py`` too.

    Args:
        title: what headings say.
        features: takes a ``lab.shapes.surface.Surface`` with n vertices (``descriptors`` (n, 128), ``vertices`` (n, 3),
            ``functions`` (n, k), ``values``, ``mass``, ...) and gives features (n, c) of them. A function of any library is
            called with arrays of NumPy, and looked at. A module of JAX with arrays of weights, as ``equinox.nn`` makes them,
            is learned besides, without labels, in as many training steps as are set.
        x, y: vertices (n, 3) and faces (f, 3) of a pair; the named pairs of the lab when omitted.
        truth: (m,) of each vertex of Y its vertex of X, if it is known.
        poses: vertices (n, 3) of further poses of X, from which a network is learned beside the pair.
        about: three sentences for the page.
        slug: its name on the command line; made of the title when omitted.
        defaults: of parameters, ``k=40``, ``train_steps=100``: what its page begins with.

    Raises:
        ValueError, TypeError: what does not fit together; the sentence says what was found.

    >>> import jax
    >>> jax.config.update("jax_enable_x64", True)
    >>> from lab import studies
    >>> Heights = studies.correspondence_study("Heights", lambda on: on.vertices[:, 2:], data="person-turned")
    >>> float(Heights(zoom=0).run().error_nearest) > 10  # of a figure that is turned they say little
    True
    """
    slug = name_of(title, slug)
    if not callable(features):
        raise TypeError(f"features = {features!r} can't be called: give a function of a surface, or a module")
    weights = [leaf for leaf in jax.tree.leaves(features) if eqx.is_inexact_array(leaf)]
    left = _OF_NET if weights else (*_OF_NET, *_OF_TRAINING)
    if (x is None) != (y is None) or (x is None and (truth is not None or len(poses))):
        raise ValueError("x and y go together, and truth and poses with them: give both surfaces, or none of these")
    held = None
    if x is not None and y is not None:
        arrays = dict(zip(_ARRAYS, (*x, *y), strict=True)) | ({} if truth is None else {"truth": truth})
        arrays |= {"poses": np.stack([np.asarray(each, float) for each in poses])} if len(poses) else {}
        held = from_arrays(title, {name: np.asarray(each) for name, each in arrays.items()})
        defaults = {"data": f"{slug}-surfaces"} | defaults
    made = make(
        _OwnFeatures, title, slug, defaults,
        about=about
        or f"{title}: two surfaces, and features of their vertices. Look at what corresponds. Choose how it is sharpened.",
        own=OwnNet(features) if weights else features,
        definition=definition_of(features),
        hidden=left,
        without=() if weights else _TAUGHT,
    )
    if held is not None:
        offer(f"{slug}-surfaces", f"{title}: surfaces", held.arrays, "Brought with the features.", kind="shapes")
    return made


class _OwnFeatures(OwnStudy, ShapeCorrespondence):
    """Everything but the network of the lab, and the training where nothing can be learned."""

    brings = "features"
    mathematics = "$$ y \\mapsto \\arg\\min_x |F_Y(y) - F_X(x)| $$"
