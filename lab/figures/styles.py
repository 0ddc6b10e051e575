"""Sizes and type of printed figures."""

import math
from dataclasses import dataclass
from typing import Any

from lab.inputs import shown

WIDTHS = {"column": 3.25, "text": 6.75}  # inches
_ALLOWED = (1.0, 20.0)


@dataclass(frozen=True)
class Style:
    """How a figure is set.

    Attributes:
        points: type size of axis labels; numbers on axes and text in the picture are one point smaller.
        weight: widths of lines and sizes of marks, relative to ``paper``.
        fonts: those of its words, the first that has a sign; all ship with Matplotlib, so that a figure is the same everywhere.
        signs: Matplotlib's set of fonts for powers of ten.
        dpi: resolution of what is not vector: PNG, and the meshes inside PDF and SVG.
    """

    name: str
    doc: str
    points: float
    weight: float
    dpi: int
    fonts: tuple[str, ...] = ("DejaVu Sans",)
    signs: str = "dejavusans"

    @property
    def rc(self) -> Any:
        """Matplotlib settings."""
        return {
            "font.family": list(self.fonts),
            "font.size": self.points,
            "mathtext.fontset": self.signs,
            "axes.unicode_minus": self.signs != "cm",
            "axes.formatter.use_mathtext": True,
            "axes.labelsize": self.points,
            "xtick.labelsize": self.points - 1,
            "ytick.labelsize": self.points - 1,
            "pdf.fonttype": 42,  # TrueType: journals refuse Type 3
            "ps.fonttype": 42,
            "svg.fonttype": "path",  # an SVG can't count on the reader's fonts
            "svg.hashsalt": "transport-lab",
            "savefig.bbox": None,  # "tight" would change the width that was asked for
            "figure.autolayout": False,
            "text.usetex": False,
        }


STYLES = {
    style.name: style
    for style in (
        Style("paper", "a journal's column: 8 point, fine lines", 8, 1.0, 600),
        Style("serif", "the paper's style in a Times-like serif", 8, 1.0, 600, ("STIXGeneral", "DejaVu Serif"), "stix"),
        Style(
            "latex",
            "the paper's style in Computer Modern, as LaTeX sets it",
            8,
            1.0,
            600,
            ("cmr10", "STIXGeneral", "DejaVu Serif"),
            "cm",
        ),
        Style("slide", "read from afar: 14 point, strong lines", 14, 1.8, 300),
    )
}


def find_style(name: str) -> Style:
    """The style of that name.

    Args:
        name: a key of ``STYLES``.

    Returns:
        the style.

    Raises:
        ValueError: there is none; the sentence names those there are.

    Examples:
        >>> from lab import figures
        >>> figures.find_style("slide").points
        14
    """
    if name not in STYLES:
        raise ValueError(f"there is no figure style {shown(name)}; the styles are {', '.join(STYLES)}")
    return STYLES[name]


def inches(given: str | float, what: str = "width") -> float:
    """A width or height in inches: ``"column"`` (3.25), ``"text"`` (6.75), a number or its text.

    Args:
        given: the length; words are for widths only.
        what: ``"width"`` or ``"height"``, for the sentence too.

    Returns:
        inches, from 1 to 20.

    Raises:
        ValueError: it is none of these, or not from 1 to 20 inches.

    Examples:
        >>> from lab import figures
        >>> figures.inches("column"), figures.inches("4.5 in")
        (3.25, 4.5)
    """
    low, high = _ALLOWED
    words = f"{' or '.join(WIDTHS)}, or " if what == "width" else ""
    allowed = f"it must be {words}a number of inches from {low:g} to {high:g}"
    if what == "width" and isinstance(given, str) and given in WIDTHS:
        return WIDTHS[given]
    try:
        value = float(str(given).strip().removesuffix("in"))
    except ValueError:
        value = math.nan
    if isinstance(given, bool) or not low <= value <= high:
        raise ValueError(f"{what} = {shown(given)} is not allowed: {allowed}")
    return value


def check(*, width: str | float = "column", height: str | float | None = None, style: str = "paper") -> None:
    """Refuse a size or style that can't be, before anything is computed.

    Args:
        width: ``"column"``, ``"text"`` or inches.
        height: inches; what suits the picture when None.
        style: a name in ``STYLES``.

    Raises:
        ValueError: what can't be, in a sentence.

    Examples:
        >>> from lab import figures
        >>> figures.check(width="text", style="slide")
        >>> figures.check(style="poster")
        Traceback (most recent call last):
        ValueError: there is no figure style 'poster'; the styles are paper, serif, latex, slide
    """
    inches(width)
    if height is not None:
        inches(height, "height")
    find_style(style)
