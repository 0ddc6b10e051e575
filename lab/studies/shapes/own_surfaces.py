"""A study of the user's features of surfaces, or network: the correspondence that they give."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np

from lab.datasets.shapes import from_arrays
from lab.shapes.own_net import OwnNet
from lab.studies.vocabulary.own import OwnStudy, definition_of, make, name_of, offer

from .shape_correspondence import ShapeCorrespondence

_OF_NET = ("units", "blocks", "gradients")
_OF_TRAINING = ("train_steps", "ot_weight", "transport", "directions", "learning_rate", "refine_steps")
_TAUGHT = ("course", "crossing")
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
    """A study of features of surfaces: the correspondence that they give, and the training of a network.

    The study is registered in this process; in a file, ``lab serve my_features.py`` and ``lab run my_features.py`` load it.

    Args:
        title: for headings.
        features: takes a ``lab.shapes.surface.Surface`` with n vertices (``descriptors`` (n, 128), ``vertices`` (n, 3),
            ``functions`` (n, k), ``values``, ``mass``, ...) and returns features (n, c). A function of any library is called
            with NumPy arrays. A module of JAX with arrays of weights, such as ``equinox.nn`` modules, can be trained without
            labels.
        x, y: vertices (n, 3) and faces (f, 3) of a pair; the named pairs of the lab if omitted.
        truth: (m,) for each vertex of Y its vertex of X, if known.
        poses: vertices (n, 3) of further poses of X, to train on.
        about: three sentences for the page.
        slug: name on the command line; made from the title if omitted.
        defaults: values of parameters with which its page begins, such as ``k=40``.

    Raises:
        ValueError, TypeError: arguments that do not fit together.

    >>> import jax
    >>> jax.config.update("jax_enable_x64", True)
    >>> from lab import studies
    >>> Heights = studies.correspondence_study("Heights", lambda on: on.vertices[:, 2:], data="person-turned")
    >>> float(Heights(zoom=0).run().error_nearest) > 10  # heights of a rotated figure hardly determine vertices
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
        _OwnFeatures,
        title,
        slug,
        defaults,
        about=about
        or f"{title}: two surfaces and features of their vertices. Look at the correspondence. Choose the size for ZoomOut.",
        own=OwnNet(features) if weights else features,
        definition=definition_of(features),
        hidden=left,
        without=() if weights else _TAUGHT,
    )
    if held is not None:
        offer(f"{slug}-surfaces", f"{title}: surfaces", held.arrays, "Brought with the features.", kind="shapes")
    return made


class _OwnFeatures(OwnStudy, ShapeCorrespondence):
    """Without the lab's network, and without training if the features have no weights."""

    brings = "features"
    mathematics = "$$ y \\mapsto \\arg\\min_x |F_Y(y) - F_X(x)| $$"
