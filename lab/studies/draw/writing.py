"""Words in a picture: where they stand, in which colour, and on what ground."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import holoviews as hv
import numpy as np

from lab.choices import chosen
from lab.words import readable

from .layers import COLUMNS, vector
from .look import MUTED, current, dress

_GROUND = 0.8  # how much of what lies behind words a ground covers

type Up = Literal["center", "top", "bottom"]
type Side = Literal["left", "center", "right"]


@chosen
def text(x: Any, y: Any, what: str | Sequence[str], *, color: str = MUTED, up: Up = "center", side: Side = "left"):
    """A few words at one point, or at each of some.

    Args:
        x: where, across: one or (n,).
        y: where, up: one or (n,).
        what: the words, a text or n of them.
        color: a name such as ``draw.MUTED``, or ``#rrggbb``.
        up: which height of the words is at y: ``"center"``, ``"top"`` or ``"bottom"``.
        side: which side of them is at x: ``"left"``, ``"center"`` or ``"right"``.

    Returns:
        ``Labels``; spaces are kept from being broken or cut.

    Examples:
        >>> from lab.studies import draw
        >>> draw.text(0.5, 1, "here").dimension_values("text").tolist()
        ['here']
    """
    what = [what] if isinstance(what, str) else list(what)
    return _text(vector(x), vector(y), what, current().colour(color), up, side)


@chosen
class Words(NamedTuple):
    """A piece of text in a picture: where, what, in which colour, which of its corners is there, and whether it has a ground
    of its own, on which it is read over what lies behind."""

    x: float
    y: float
    text: str
    tint: str
    up: Up = "center"
    side: Side = "left"
    ground: bool = False


def words(pieces: Sequence[Words]) -> list[hv.Labels]:
    """One layer for each piece, since a layer of text has one colour and one anchor; never none."""
    return [
        _text([piece.x], [piece.y], [piece.text], piece.tint, piece.up, piece.side, piece.ground)
        for piece in pieces or [Words(np.nan, np.nan, "", current().muted)]
    ]


def _text(x: Any, y: Any, what: Sequence[str], tint: str, up: str, side: str, ground: bool = False) -> hv.Labels:
    kept = [readable(text).replace(" ", "\u00a0") for text in what]  # spaces at the ends keep their width
    baseline = "middle" if up == "center" else up
    behind = {"background_fill_color": current().card, "background_fill_alpha": _GROUND} if ground else {}
    return dress(
        hv.Labels((x, y, kept), ["x", "y"], "text", **COLUMNS),
        bokeh={"text_color": tint, "text_font_size": "12px", "text_align": side, "text_baseline": baseline, **behind},
        mpl={"color": tint, "size": 7, "horizontalalignment": side, "verticalalignment": up}
        | ({"hooks": [_grounded(current().card)]} if ground else {}),
    )


def _grounded(card: str) -> Any:
    """A hook that gives words of Matplotlib their ground."""

    def hook(plot: Any, element: Any) -> None:
        for words in plot.handles["artist"]:
            if words.get_text().strip("\u00a0"):
                words.set_bbox({"facecolor": card, "alpha": _GROUND, "edgecolor": "none", "pad": 0.5})

    return hook
