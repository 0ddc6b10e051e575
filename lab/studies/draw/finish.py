"""The last touches that a picture gets of Bokeh and Matplotlib: axes, ticks, grounds, what a pointer finds."""

from typing import Any

import numpy as np

from lab.words import readable

from .look import THEMES, Theme

# The ranges follow the frame's size in the browser: they grow about the centre of what Python asked for, or away from
# the axes where these are drawn for the data only.
_EQUAL = """
const w = fig.inner_width, h = fig.inner_height, x = fig.x_range, y = fig.y_range
if (w > 0 && h > 0) {
  let dx = x.reset_end - x.reset_start, dy = y.reset_end - y.reset_start
  const cx = x.reset_start + share * dx, cy = y.reset_start + share * dy
  if (dx / dy < w / h) dx = dy * w / h; else dy = dx * h / w
  x.start = cx - share * dx; x.end = x.start + dx; y.start = cy - share * dy; y.end = y.start + dy
  // its name stands below the picture, not the card: Bokeh has the middle of one that is at the start there, so blanks go ahead
  const part = (x.reset_end - x.reset_start) / dx, pen = document.createElement("canvas").getContext("2d")
  const beyond = share == 0 && part < 1 / 1.3
  for (const axis of fig.below) if (axis.axis_label != null) {
    pen.font = `${axis.axis_label_text_font_size} ${axis.axis_label_text_font}`
    const ahead = "\\u00a0".repeat(beyond ? Math.round(part * w / pen.measureText("\\u00a0").width) : 0)
    const axis_label = axis.axis_label.split("\\n").map((line) => ahead + line.replace(/^\\u00a0+/, "")).join("\\n")
    axis.setv({axis_label, axis_label_align: beyond ? "start" : "center"}, {sync: false})
  }
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

    Args:
        name: of the theme: ``"light"``, ``"dark"`` or ``"print"``.

    Returns:
        an instance of HoloViews' ``BokehRenderer`` without WebGL.

    Examples:
        >>> from lab.studies import draw
        >>> draw.bokeh_renderer("dark").webgl
        False
    """
    from bokeh.themes import Theme as BokehTheme
    from holoviews.plotting.bokeh import BokehRenderer

    theme = BokehTheme(json={"attrs": {"Axis": _axis(THEMES[name])}})
    return BokehRenderer.instance(mode="server", webgl=False, theme=theme)


def log_ticks(low: float, high: float) -> list[float]:
    """Ticks of a logarithmic axis, some three to nine: powers of ten, with 2 and 5 where these are few; even on a short one."""
    decades = np.log10(high / low)
    digits = (1.0, 2.0, 5.0) if decades <= 2.5 else (1.0,)
    if decades <= 0.7:
        digits = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
    step = max(1, int(np.ceil(decades / 8)))
    powers = [k for k in range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1) if k % step == 0]
    ticks = [digit * 10.0**k for k in powers for digit in digits if low <= digit * 10.0**k <= high]
    if len(ticks) > 2 or decades > 1:
        return ticks
    step = 10.0 ** np.floor(np.log10((high - low) / 3))
    step *= next(times for times in (5, 2, 1) if (high - low) / (times * step) >= 3)
    return [float(f"{number * step:.6g}") for number in range(int(np.ceil(low / step)), int(np.floor(high / step)) + 1)]


def _are_spelt_out(ticks: list[float]) -> bool:
    """Bokeh writes them as 5.000e-5."""
    small = any(not 1e-3 <= tick < 1e5 for tick in ticks)
    return small and any(tick != 10.0 ** round(np.log10(tick)) for tick in ticks)


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


def _stretch(fig: Any, share: float) -> None:
    """What ``_EQUAL`` does, for the frame of which the browser has told: nothing wrong is sent to be mended there."""
    from bokeh.core.property.descriptors import UnsetValueError

    try:
        x, y, w, h = fig.x_range, fig.y_range, fig.inner_width, fig.inner_height
    except UnsetValueError:  # no browser has told yet
        return
    if not w or not h:
        return
    dx, dy = x.reset_end - x.reset_start, y.reset_end - y.reset_start
    cx, cy = x.reset_start + share * dx, y.reset_start + share * dy
    dx, dy = (dy * w / h, dy) if dx / dy < w / h else (dx, dx * h / w)
    for each, centre, span in ((x, cx, dx), (y, cy, dy)):
        start = centre - share * span
        each.update(start=start, end=start + span)


def finish_bokeh(look: Theme, equal: bool, bare: bool, bounds: tuple | None, whole: tuple[bool, bool]):
    """A hook: thin grey axes, few ticks, a transparent ground, equal scales where geometry matters."""

    share = 0.5 if bounds is None or bare else 0.0

    def hook(plot: Any, element: Any) -> None:
        from bokeh.models import BasicTicker, ColorBar, CustomJS, FixedTicker, LogTicker, NoOverlap

        fig = plot.state
        for side, axis in enumerate((*fig.xaxis, *fig.yaxis)[:2]):
            if bounds is not None and bounds[side] is not None:
                axis.bounds = bounds[side]
            if isinstance(axis.ticker, BasicTicker):
                axis.ticker.update(desired_num_ticks=5, min_interval=1 if whole[side] else 0)
            elif isinstance(axis.ticker, LogTicker) or "log" in axis.ticker.tags:  # Bokeh's leaves decades without one
                ends = (fig.x_range, fig.y_range)[side]
                low, high = bounds[side] if bounds is not None and bounds[side] is not None else (ends.start, ends.end)
                if 0 < low < high and axis.ticker.tags != ["log", low, high]:
                    ticks = log_ticks(low, high)
                    axis.ticker = FixedTicker(ticks=ticks, tags=["log", low, high])
                    if _are_spelt_out(ticks) or axis.major_label_overrides:  # a browser forgets none that it once had
                        axis.major_label_overrides = {tick: readable(f"{tick:,.6g}") for tick in ticks}
        if "finished" in fig.tags:
            if equal:  # HoloViews has just set the ranges back; a picture that jerks loses the hand that drags in it
                _stretch(fig, share)
                fig.tags = [each + 1 if isinstance(each, int) else each for each in fig.tags]
            return
        fig.tags = [*fig.tags, "finished", 0]
        _reach_all(fig)
        fig.update(background_fill_alpha=0, border_fill_alpha=0, outline_line_color=None)
        fig.update(min_border_top=8, min_border_right=10)
        apart = NoOverlap(min_distance=4)  # of the labels of ticks
        for axis in (*fig.xaxis, *fig.yaxis)[:2]:
            axis.update(**_axis(look), visible=not bare, major_label_policy=apart)
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
            again = CustomJS(args={"fig": fig, "share": share}, code=_EQUAL)
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
        for side, (axis, spine) in enumerate(((axes.xaxis, "bottom"), (axes.yaxis, "left"))):
            line = None if bounds is None else bounds[side]
            if line is not None:
                axes.spines[spine].set_bounds(*line)
            few = axis.get_major_locator()
            if isinstance(few, FixedLocator):
                continue
            if axis.get_scale() == "linear":
                few = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10], integer=whole[side])
            there = [] if line is None else [t for t in few.tick_values(*line) if line[0] <= t <= line[1]]
            axis.set_major_locator(FixedLocator(there) if len(there) > 1 else few)  # none beyond the end of the line
        if clabel is not None and not axes.child_axes and axes.get_images():
            # inside the coordinates of the axes, so that it stays beside a picture whose shape is fixed
            bar = axes.figure.colorbar(axes.get_images()[0], cax=axes.inset_axes((1.04, 0, 0.035, 1)))
            bar.outline.set_visible(False)
            bar.ax.tick_params(color=look.line, labelcolor=look.ink, width=0.6, length=2)
            bar.set_label(clabel, color=look.ink)
            bar.locator = MaxNLocator(4)
            bar.update_ticks()

    return hook
