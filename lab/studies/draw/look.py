"""How pictures look: themes, colours, colour maps, and options for Bokeh and Matplotlib.

Nothing here knows what is drawn; the other modules here are the vocabulary that studies use.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from re import fullmatch
from textwrap import wrap
from threading import RLock
from typing import Any

import numpy as np

LETTER_WIDTH, _LINE, _BESIDE = 7.4, 17, 85  # pixels: a letter, a line of text, and what stands beside the axes
_NARROW, _SLIM, _BROAD, _CAPITAL = "ijlIJ'", " ,.-:;/|()[]ftr", "mwMW%@…=+", "ABCDGHKNOPQRSUVXZ"
_WIDTHS = {
    letter: wide
    for letters, wide in ((_NARROW, 3.4), (_SLIM, 4.5), (_BROAD, 11.3), (_CAPITAL, 8.8))
    for letter in letters
}
_USUAL, _APART = 7.5, 4  # pixels: of the other letters, and between two texts
_SMALL, _AXIS = 6.6, 48  # a letter of an axis' name, and what is beside that
_LINE_SHARE = 0.045  # a line of text as a share of the width of a picture that is as narrow as a column of print
_TOOLS = 30  # pixels above a picture on a page
_WORTH = 1.15  # how much larger panels are that are worth another row
SOURCE, TARGET, GOOD, WARN, MUTED, INK, CARD = "source", "target", "good", "warn", "muted", "ink", "card"


def _width(words: str) -> float:
    """Pixels of a text of 12, in DejaVu Sans, than which few fonts are wider."""
    return sum(_WIDTHS.get(letter, _USUAL) for letter in words)


@dataclass(frozen=True)
class Theme:
    """The colours of one surface, whether axes keep their ranges while values change, for whom one draws, and on how much room:
    its width to its height, 0 where panels stand in one row whatever it is, and its width in pixels, 0 where that is not known.
    """

    name: str
    card: str
    ink: str
    muted: str
    line: str
    wash: str
    source: str
    target: str
    good: str
    warn: str
    hold: bool = False
    backend: str = ""  # draw for this one only; "" for all
    room: float = 0.0
    wide: float = 0.0

    @property
    def letter(self) -> float:
        """The width of a letter as a share of the axes: some 62 stand side by side where the width is not known."""
        return float(np.clip(LETTER_WIDTH / max(self.wide - _BESIDE, 1.0), 1 / 140, 1 / 26)) if self.wide else 1 / 62

    def brief(self, words: str, share: float) -> str:
        """As much of a text as stands on a share of the width of a picture without axes; all of it where that is not known.

        A number at its end is not cut, but rounded.
        """
        room = share * self.wide - _APART
        if not self.wide or _width(words) <= room:
            return words
        name, _, end = words.rpartition(" ")
        number = f" {float(end):.0f}" if name and fullmatch(r"-?\d+\.\d+", end) else ""
        words, room = name if number else words, room - _width(number)
        if number and _width(words) <= room:
            return words + number
        ends = (at for at in range(len(words) - 1, 0, -1) if _width(words[:at]) + _width("…") <= room)
        return words[: next(ends, 1)].rstrip(" ,;:.") + "…" + number

    def height(self, wide: float, tall: float, lines: int = 1) -> float:
        """The height of a line of text in the units of a picture of equal scales, ``wide`` and ``tall`` without its lines."""
        if not (self.wide and self.room):
            return _LINE_SHARE * wide
        high = max(self.wide / self.room - _TOOLS - lines * _LINE, _LINE)
        return _LINE / min(self.wide / wide, high / tall)

    def letter_in(self, wide: float, tall: float, lines: int = 1) -> float:
        """The width of a letter in the same units, where the width of the picture is known."""
        return LETTER_WIDTH / _LINE * self.height(wide, tall, lines)

    def across(self, words: str) -> float:
        """The width of a text as a share of the axes."""
        return _width(words) / (self.wide - _BESIDE) if self.wide > _BESIDE else len(words) * self.letter

    def lines(self, words: str, share: float = 0.0) -> str:
        """A text in as many lines as the axes are wide, each as long as it may be; or a share of a picture without axes."""
        letters = share * self.wide / LETTER_WIDTH or 1 / self.letter
        return "\n".join(wrap(words, max(12, int(letters)))) if self.wide else words

    def under(self, words: str) -> str:
        """The name of a lower axis, in as many lines as it needs: its middle is that of the axes."""
        return "\n".join(wrap(words, max(12, int((self.wide - _AXIS) / _SMALL)))) if self.wide else words

    @property
    def series(self) -> tuple[str, ...]:
        """Colours for unrelated curves, in order; told apart by colour-blind readers too."""
        dark = self.name == "dark"
        rest = ("#c39ad6", "#5cc4d3", "#d9bd55") if dark else ("#8a5a9e", "#0f8a9d", "#a88400")
        return (self.source, self.target, self.good, *rest)

    def rim(self, own: bool) -> str:
        """The line round a mark; on a dark ground it is seen where the mark has a colour of its own, which may be as dark."""
        return self.muted if own and self.name == "dark" else self.card

    def colour(self, name: str) -> str:
        """The value of a semantic colour; any other text is taken as the colour itself."""
        if name in (SOURCE, TARGET, GOOD, WARN, MUTED, INK, CARD):
            return getattr(self, name)
        return name


_LIGHT = Theme(
    "light",
    card="#ffffff",
    ink="#1b2430",
    muted="#667080",
    line="#c3cad5",
    wash="#edf1f8",
    source="#2456a6",
    target="#d1662b",
    good="#2d7d5a",
    warn="#b3372a",
)
_DARK = Theme(
    "dark",
    card="#1a2029",
    ink="#e6eaf0",
    muted="#98a3b3",
    line="#475364",
    wash="#252d3a",
    source="#7aa7de",
    target="#e58c5a",
    good="#6cc09a",
    warn="#f0826f",
)
_PRINT = replace(_LIGHT, name="print", ink="#000000", muted="#555555", line="#555555")
THEMES = {theme.name: theme for theme in (_LIGHT, _DARK, _PRINT)}

_theme: ContextVar[Theme] = ContextVar("theme", default=_LIGHT)


def current() -> Theme:
    """The theme that pictures are drawn in now.

    Returns:
        its colours, and for whom one draws.

    Examples:
        >>> from lab.studies import draw
        >>> with draw.theme("dark"):
        ...     draw.current().name
        'dark'
    """
    return _theme.get()


@contextmanager
def theme(name: str, hold: bool = False, backend: str = "", room: float = 0.0, wide: float = 0.0) -> Iterator[Theme]:
    """Draw in a theme: ``with theme("dark"): ...``

    Args:
        name: ``"light"``, ``"dark"`` or ``"print"``.
        hold: live axes keep their ranges while the data change.
        backend: dress pictures for ``"bokeh"`` or ``"matplotlib"`` alone, in half the time; for both when empty.
        room: width to height of the place that a picture has; panels beside each other fill it in rows. One row when 0.
        wide: its width in pixels, by which words are kept apart; 0 where it is not known.

    Yields:
        the theme, which ``current`` gives inside.

    Raises:
        ValueError: there is no such theme.

    Examples:
        >>> from lab.studies import draw
        >>> with draw.theme("print") as look:
        ...     look.ink
        '#000000'
    """
    if name not in THEMES:
        raise ValueError(f"there is no theme {name!r}; the themes are {', '.join(THEMES)}")
    chosen = replace(THEMES[name], hold=hold, backend=backend, room=room, wide=wide)
    token = _theme.set(chosen)
    try:
        yield chosen
    finally:
        _theme.reset(token)


def columns_for(count: int, shape: float) -> int:
    """How many panels stand side by side, so that they are as large as the room allows; rows are few.

    Args:
        shape: width to height of a panel with what is about it.
    """
    room, best = current().room, count
    if not room or count < 2:
        return max(count, 1)

    def size(columns: int) -> float:
        return min(room / (columns * shape), 1 / -(-count // columns))

    for rows in range(2, count + 1):
        columns = -(-count // rows)
        if size(columns) > _WORTH * size(best):
            best = columns
    return best


# ---- colour ----------------------------------------------------------------------------------------------------


def _to_oklab(colour: str) -> np.ndarray:
    srgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    lms = (
        np.array(
            [
                [0.4122214708, 0.5363325363, 0.0514459929],
                [0.2119034982, 0.6806995451, 0.1073969566],
                [0.0883024619, 0.2817188376, 0.6299787005],
            ]
        )
        @ linear
    )
    return np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    ) @ np.cbrt(lms)


def _from_oklab(lab: np.ndarray) -> str:
    lms = (
        np.array(
            [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.2914855480]]
        )
        @ lab
    ) ** 3
    linear = (
        np.array(
            [
                [4.0767416621, -3.3077115913, 0.2309699292],
                [-1.2684380046, 2.6097574011, -0.3413193965],
                [-0.0041960863, -0.7034186147, 1.7076147010],
            ]
        )
        @ lms
    )
    linear = np.clip(linear, 0, 1)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return "#" + "".join(f"{round(255 * v):02x}" for v in np.clip(srgb, 0, 1))


@cache
def ramp(stops: tuple[str, ...], n: int = 256) -> tuple[str, ...]:
    """Colours through ``stops`` in equal steps in Oklab (Ottosson 2020), so that equal steps look equal.

    Args:
        stops: at least one colour ``#rrggbb``, at even distances along the ramp.
        n: how many colours.

    Returns:
        ``n`` texts ``#rrggbb``, the first and the last stop at the ends.

    Examples:
        >>> from lab.studies import draw
        >>> draw.ramp(("#000000", "#ffffff"), 3)
        ('#000000', '#636363', '#ffffff')
    """
    labs = np.array([_to_oklab(stop) for stop in stops])
    at = np.linspace(0, len(stops) - 1, n)
    return tuple(
        _from_oklab(np.array([np.interp(t, range(len(stops)), labs[:, channel]) for channel in range(3)])) for t in at
    )


def sequential() -> list[str]:
    """From the card's colour to the accent: zero is the card itself."""
    return list(ramp((current().card, current().source)))


def diverging() -> list[str]:
    """From blue through the card's colour to orange: zero is the card itself."""
    return list(ramp((current().source, current().card, current().target), 255))


def blend(colour: str, share: float) -> str:
    """A colour laid thinly on the card, as one that is opaque.

    Args:
        colour: a name such as ``draw.SOURCE``, or ``#rrggbb``.
        share: of the colour, from 0 to 1, in hundredths.

    Returns:
        ``#rrggbb``.

    Examples:
        >>> from lab.studies import draw
        >>> draw.blend(draw.SOURCE, 0.0), draw.blend(draw.SOURCE, 1.0)
        ('#ffffff', '#2456a6')
    """
    return ramp((current().card, current().colour(colour)), 101)[round(100 * share)]


# ---- backends --------------------------------------------------------------------------------------------------


pen = RLock()
"""Who has HoloViews make, dress, plot or forget a picture holds it: the tables of options and streams that it keeps are
one for all threads of the process, and it changes them without a lock."""


def backends(*names: str) -> tuple[str, ...]:
    """Those of these backends that can draw here, of all where none is named. Loads them; the first becomes the user's where he
    has none."""
    return tuple(name for name in names or ("matplotlib", "bokeh") if _load(name))


@cache
def _load(name: str) -> bool:
    import holoviews as hv

    with pen:
        chosen = hv.Store.current_backend if hv.Store.loaded_backends() else name
        try:
            import_module(f"holoviews.plotting.{_MODULES[name]}")
        except ImportError:  # the command line needs no browser
            return False
        hv.Store.set_current_backend(chosen)
    return True


_MODULES = {"matplotlib": "mpl", "bokeh": "bokeh"}


def set_options(element: Any, backend: str, **options: Any) -> None:
    """Set options of an element for one backend, in place, while no other thread does.

    Args:
        element: a HoloViews object.
        backend: ``"bokeh"`` or ``"matplotlib"``.
        options: as HoloViews names them for that backend.

    Examples:
        >>> import holoviews as hv
        >>> from lab.studies import draw
        >>> line = draw.curve([0, 1], [0, 1])
        >>> draw.set_options(line, "matplotlib", linewidth=3)
        >>> hv.Store.lookup_options("matplotlib", line, "style").kwargs["linewidth"]
        3
    """
    with pen:
        element.opts(backend=backend, clone=False, **options)


def dress(element: Any, *, both: dict | None = None, bokeh: dict | None = None, mpl: dict | None = None) -> Any:
    """Set options of an element for each backend, in place."""
    import holoviews as hv

    if not isinstance(element, hv.Overlay):
        both = {"framewise": not current().hold, **(both or {})}
    for backend in backends(*filter(None, [current().backend])):
        own = bokeh if backend == "bokeh" else mpl
        options = {**(both or {}), **(own or {})}
        if options:
            set_options(element, backend, **options)
    return element
