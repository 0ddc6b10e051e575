"""How pictures look: themes, colours, colour maps, and the last touches that Bokeh and Matplotlib each need.

Nothing here knows what is drawn; the other modules here are the vocabulary that studies use.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cache
from threading import RLock
from typing import Any

import numpy as np

_WORTH = 1.15  # how much larger panels are that are worth another row
SOURCE, TARGET, GOOD, WARN, MUTED, INK, CARD = "source", "target", "good", "warn", "muted", "ink", "card"


@dataclass(frozen=True)
class Theme:
    """The colours of one surface, whether axes keep their ranges while values change, for whom one draws, and on how much room:
    its width to its height, 0 where panels stand in one row whatever it is."""

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

    @property
    def series(self) -> tuple[str, ...]:
        """Colours for unrelated curves, in order; told apart by colour-blind readers too."""
        dark = self.name == "dark"
        rest = ("#c39ad6", "#5cc4d3", "#d9bd55") if dark else ("#8a5a9e", "#0f8a9d", "#a88400")
        return (self.source, self.target, self.good, *rest)

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
    """The theme that pictures are drawn in now."""
    return _theme.get()


@contextmanager
def theme(name: str, hold: bool = False, backend: str = "", room: float = 0.0) -> Iterator[Theme]:
    """Draw in a theme: ``with theme("dark"): ...``

    Args:
        name: ``"light"``, ``"dark"`` or ``"print"``.
        hold: live axes keep their ranges while the data change.
        backend: dress pictures for ``"bokeh"`` or ``"matplotlib"`` alone, in half the time; for both when empty.
        room: width to height of the place that a picture has; panels beside each other fill it in rows. One row when 0.

    Raises:
        ValueError: there is no such theme.
    """
    if name not in THEMES:
        raise ValueError(f"there is no theme {name!r}; the themes are {', '.join(THEMES)}")
    chosen = replace(THEMES[name], hold=hold, backend=backend, room=room)
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
    """``n`` colours through ``stops``, equal steps in Oklab (Ottosson 2020), so that equal steps look equal."""
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
    """``share`` of the colour on the card, opaque."""
    return ramp((current().card, current().colour(colour)), 101)[round(100 * share)]


# ---- backends --------------------------------------------------------------------------------------------------


@cache
def backends() -> tuple[str, ...]:
    """The backends that can draw here; loads them without choosing one for the user."""
    import holoviews as hv

    chosen = hv.Store.current_backend if hv.Store.loaded_backends() else "matplotlib"
    import holoviews.plotting.mpl

    found = ["matplotlib"]
    try:
        import holoviews.plotting.bokeh

        found.append("bokeh")
    except ImportError:  # the command line needs no browser
        pass
    hv.Store.set_current_backend(chosen)
    return tuple(found)


pen = RLock()
"""Who has HoloViews make, dress, plot or forget a picture holds it: the tables of options and streams that it keeps are
one for all threads of the process, and it changes them without a lock."""


def set_options(element: Any, backend: str, **options: Any) -> None:
    """Set options of an element for one backend, in place."""
    with pen:
        element.opts(backend=backend, clone=False, **options)


def dress(element: Any, *, both: dict | None = None, bokeh: dict | None = None, mpl: dict | None = None) -> Any:
    """Set options of an element for each backend, in place."""
    import holoviews as hv

    if not isinstance(element, hv.Overlay):
        both = {"framewise": not current().hold, **(both or {})}
    loaded = backends()
    for backend in (current().backend,) if current().backend else loaded:
        own = bokeh if backend == "bokeh" else mpl
        options = {**(both or {}), **(own or {})}
        if options:
            set_options(element, backend, **options)
    return element


# The ranges follow the frame's size in the browser: they grow about the centre of what Python asked for, or away from
# the axes where these are drawn for the data only.
_EQUAL = """
const w = fig.inner_width, h = fig.inner_height, x = fig.x_range, y = fig.y_range
if (w > 0 && h > 0) {
  let dx = x.reset_end - x.reset_start, dy = y.reset_end - y.reset_start
  const cx = x.reset_start + share * dx, cy = y.reset_start + share * dy
  if (dx / dy < w / h) dx = dy * w / h; else dy = dx * h / w
  x.start = cx - share * dx; x.end = x.start + dx; y.start = cy - share * dy; y.end = y.start + dy
}
"""


def _axis(look: Theme) -> dict[str, Any]:
    return {
        "axis_line_color": look.line,
        "major_tick_line_color": look.line,
        "minor_tick_line_color": None,
        "major_label_text_color": look.muted,
        "axis_label_text_color": look.ink,
        "axis_label_text_font_style": "normal",
        "axis_label_text_font_size": "12px",
        "major_label_text_font_size": "11px",
        "major_tick_in": 0,
        "major_tick_out": 4,
        "axis_label_standoff": 6,
    }


def bokeh_renderer(name: str) -> Any:
    """HoloViews' renderer for live pictures in the theme of that name.

    HoloViews sets axes to its renderer's theme at each redraw. Where that is another than the picture's the browser lays
    the picture out again, which takes longer than painting it; so does copying it out of a WebGL canvas.
    """
    from bokeh.themes import Theme as BokehTheme
    from holoviews.plotting.bokeh import BokehRenderer

    theme = BokehTheme(json={"attrs": {"Axis": _axis(THEMES[name])}})
    return BokehRenderer.instance(mode="server", webgl=False, theme=theme)


def log_ticks(low: float, high: float) -> list[float]:
    """Ticks of a logarithmic axis, some five to nine: powers of ten, with 2 and 5 where there are few of them."""
    decades = np.log10(high / low)
    digits = (1.0, 2.0, 5.0) if decades <= 2.5 else (1.0,)
    if decades <= 0.7:
        digits = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
    step = max(1, int(np.ceil(decades / 8)))
    powers = [k for k in range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1) if k % step == 0]
    return [digit * 10.0**k for k in powers for digit in digits if low <= digit * 10.0**k <= high]


def _reach_all(fig: Any) -> None:
    """Have a pointer find every curve and cloud: HoloViews keeps one tool of those that tell the same, for the first layer."""
    from bokeh.models import HoverTool, Line, Scatter

    placed = [
        each
        for each in fig.renderers
        if isinstance(getattr(each, "glyph", None), Line | Scatter) and {"x", "y"} <= {*each.data_source.data}
    ]
    for tool in fig.select({"type": HoverTool}):
        if any(field in ("@x", "@{x}") for _, field in tool.tooltips or ()):
            tool.renderers = placed


def finish_bokeh(look: Theme, equal: bool, bare: bool, bounds: tuple | None, whole: tuple[bool, bool]):
    """A hook: thin grey axes, few ticks, a transparent ground, equal scales where geometry matters."""

    def hook(plot: Any, element: Any) -> None:
        from bokeh.models import BasicTicker, ColorBar, CustomJS, FixedTicker, LogTicker

        fig = plot.state
        for side, axis in enumerate((*fig.xaxis, *fig.yaxis)[:2]):
            if bounds is not None:
                axis.bounds = bounds[side]
            if isinstance(axis.ticker, BasicTicker):
                axis.ticker.update(desired_num_ticks=5, min_interval=1 if whole[side] else 0)
            elif isinstance(axis.ticker, LogTicker) or "log" in axis.ticker.tags:  # Bokeh's leaves decades without one
                ends = (fig.x_range, fig.y_range)[side]
                if 0 < ends.start < ends.end and axis.ticker.tags != ["log", ends.start, ends.end]:
                    ticks = log_ticks(ends.start, ends.end)
                    axis.ticker = FixedTicker(ticks=ticks, tags=["log", ends.start, ends.end])
        if "finished" in fig.tags:
            if equal:  # HoloViews has just set the ranges back
                fig.tags = [each + 1 if isinstance(each, int) else each for each in fig.tags]
            return
        fig.tags = [*fig.tags, "finished", 0]
        _reach_all(fig)
        fig.update(background_fill_alpha=0, border_fill_alpha=0, outline_line_color=None)
        fig.update(min_border_top=8, min_border_right=10)
        for axis in (*fig.xaxis, *fig.yaxis)[:2]:
            axis.update(**_axis(look), visible=not bare)
        for bar in fig.select({"type": ColorBar}):
            bar.update(
                background_fill_alpha=0,
                bar_line_color=None,
                major_tick_line_color=None,
                major_label_text_color=look.muted,
                title_text_color=look.ink,
                title_text_font_style="normal",
                title_text_font_size="12px",
                width=10,
                major_label_text_font_size="11px",
                label_standoff=6,
                padding=4,
                title_standoff=6,
            )
        if equal:
            again = CustomJS(args={"fig": fig, "share": 0.5 if bounds is None or bare else 0.0}, code=_EQUAL)
            fig.js_on_change("inner_width", again)
            fig.js_on_change("inner_height", again)
            fig.js_on_change("tags", again)
            for each in (fig.x_range, fig.y_range):
                each.js_on_change("reset_start", again)
                each.js_on_change("reset_end", again)

    return hook


def finish_mpl(
    look: Theme, equal: bool, bare: bool, bounds: tuple | None, whole: tuple[bool, bool], clabel: str | None
):
    """A hook that does for Matplotlib what ``finish_bokeh`` does for Bokeh."""

    from matplotlib.ticker import FixedLocator, MaxNLocator

    def hook(plot: Any, element: Any) -> None:
        axes = plot.handles["axis"]
        axes.patch.set_alpha(0)
        axes.figure.patch.set_alpha(0)
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("left", "bottom") and not bare)
            spine.set(edgecolor=look.line, linewidth=0.6)
        axes.tick_params(which="both", color=look.line, labelcolor=look.ink, width=0.6, length=2.5, direction="out")
        axes.tick_params(which="minor", length=0)
        axes.xaxis.label.set_color(look.ink)
        axes.yaxis.label.set_color(look.ink)
        if bare:
            axes.set_axis_off()
        if equal:
            axes.set_aspect("equal", adjustable="box", anchor="C" if bare else "W")
        else:
            axes.set_aspect("auto")
        if bounds is not None:
            axes.spines["bottom"].set_bounds(*bounds[0])
            axes.spines["left"].set_bounds(*bounds[1])
        for side, axis in enumerate((axes.xaxis, axes.yaxis)):
            if axis.get_scale() == "linear" and not isinstance(axis.get_major_locator(), FixedLocator):
                few = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10], integer=whole[side])
                if bounds is not None:  # none beyond the end of the line
                    low, high = bounds[side]
                    few = FixedLocator([t for t in few.tick_values(low, high) if low <= t <= high])
                axis.set_major_locator(few)
        if clabel is not None and not axes.child_axes and axes.get_images():
            # inside the coordinates of the axes, so that it stays beside a picture whose shape is fixed
            bar = axes.figure.colorbar(axes.get_images()[0], cax=axes.inset_axes((1.04, 0, 0.035, 1)))
            bar.outline.set_visible(False)
            bar.ax.tick_params(color=look.line, labelcolor=look.ink, width=0.6, length=2)
            bar.set_label(clabel, color=look.ink)
            bar.locator = MaxNLocator(4)
            bar.update_ticks()

    return hook
