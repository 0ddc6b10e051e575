"""Pictures for print: drawn by Matplotlib at the size and in the type of a page, with their recipe inside."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, BinaryIO

import lab
from lab.studies.draw import theme

from .embed import FORMATS, embed
from .provenance import fingerprint, recipe_of
from .styles import Style, find_style, inches

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

    from lab.studies import Picture, Study

    from .sweep import View

_PAD = 0.03  # inches of air round a figure
drawing = RLock()  # HoloViews draws by pyplot, whose state is one for all threads


def export(
    picture: Any | Callable[[], Any],
    target: str | Path | BinaryIO,
    *,
    format: str | None = None,
    width: str | float = "column",
    height: str | float | None = None,
    style: str = "paper",
    recipe: Mapping[str, Any] | None = None,
    tone: str = "print",
) -> None:
    """Write a picture as PDF, SVG or PNG, exactly as wide as asked for.

    Axes and text are vector; heat maps are embedded as images. Equal pictures give equal bytes: no date is written.

    Args:
        picture: a HoloViews object, or a function without arguments that draws one, which is then called in ``tone``.
        target: a path, or a binary file to write to.
        format: ``"pdf"``, ``"svg"`` or ``"png"``; by the ending of the path when not given.
        width: ``"column"`` (3.25 in), ``"text"`` (6.75 in) or inches.
        height: inches; what suits the picture when not given.
        style: a name in ``lab.figures.STYLES``.
        recipe: what is embedded, plain JSON, with how the figure was set and what it shows added under ``"figure"``.
        tone: the theme; other than ``"print"`` for a screen.

    Raises:
        ValueError: a size, style or format that can't be.
    """
    setting = find_style(style)
    size = inches(width), None if height is None else inches(height, "height")
    kind = _format(target, format)
    with theme(tone):
        drawn = picture() if callable(picture) and not hasattr(picture, "opts") else picture
        figure = _render(drawn, kind, *size, setting)
    recipe = dict(recipe or {})
    set_as = {"width": width, "height": height, "style": style, "format": kind}
    recipe["figure"] = {**recipe.get("figure", {}), **set_as, "fingerprint": fingerprint(drawn)}
    figure = embed(figure, kind, recipe)
    if isinstance(target, str | Path):
        path = Path(target).expanduser()
        try:
            path.write_bytes(figure)
        except OSError as error:
            raise ValueError(f"{path} can't be written: {error.strerror or error}") from None
    else:
        target.write(figure)


def export_picture(
    picture: "Picture",
    result: "xr.Dataset",
    target: str | Path | BinaryIO,
    *,
    format: str | None = None,
    width: str | float = "column",
    height: str | float | None = None,
    style: str = "paper",
) -> None:
    """Write a study's picture of a result, with all that ``reproduce`` needs to make it again from the file alone."""
    export(
        lambda: picture(result), target, format=format, width=width, height=height, style=style,
        recipe=recipe_of(picture, result),
    )  # fmt: skip


def export_sweep(
    study: "type[Study]",
    view: "View",
    result: "xr.Dataset",
    target: str | Path | BinaryIO,
    *,
    format: str | None = None,
    width: str | float = "column",
    height: str | float | None = None,
    style: str = "paper",
) -> None:
    """Write a view of a sweep's result, with all that ``reproduce`` needs to make it again from the file alone."""
    from .sweep import sweep_picture

    picture = sweep_picture(study, view)
    recipe = recipe_of(picture, result)
    recipe["figure"]["view"] = view.as_dict()
    export(
        lambda: picture(result), target, format=format, width=width, height=height, style=style, recipe=recipe,
    )  # fmt: skip


def _format(target: Any, given: str | None) -> str:
    ending = Path(target).suffix.removeprefix(".") if isinstance(target, str | Path) else ""
    kind = (given or ending).lower()
    if kind not in FORMATS:
        what = f"format = {given!r}" if given else f"{target}" if ending else "a figure without a format"
        raise ValueError(f"{what} is not allowed: a figure is written as {', '.join(FORMATS)}")
    return kind


def _render(drawn: Any, kind: str, width: float, height: float | None, style: Style) -> bytes:
    import holoviews as hv
    import matplotlib

    from lab.studies.draw.look import backends

    backends()
    out = io.BytesIO()
    with drawing, matplotlib.rc_context(style.rc):
        figure: Figure = hv.renderer("matplotlib").get_plot(drawn).state
        try:
            _set(figure, style)
            if len(figure.axes) == 1:  # HoloViews places the parts of a layout itself
                figure.set_layout_engine("constrained", w_pad=_PAD, h_pad=_PAD)
            figure.set_size_inches(width, height or _height(figure, width))
            _make_room(figure)
            _fit_titles(figure)
            figure.savefig(
                out, format=kind, dpi=style.dpi, transparent=True, bbox_inches=None, metadata=_plain_metadata(kind)
            )
        finally:
            _close(figure)
    return out.getvalue()


def _close(figure: "Figure") -> None:
    from matplotlib import pyplot

    pyplot.close(figure)


def _plain_metadata(kind: str) -> dict[str, Any]:
    """No dates: equal figures are to be equal bytes."""
    creator = f"transport-lab {lab.__version__}"
    return {
        "pdf": {"Creator": creator, "CreationDate": None},
        "svg": {"Creator": creator, "Date": None},
        "png": {"Software": creator},
    }[kind]


def _set(figure: "Figure", style: Style) -> None:
    """Type sizes by role, and the weight of lines and marks."""
    from matplotlib.collections import Collection, PathCollection
    from matplotlib.text import Text

    for axes in [*figure.axes, *(child for parent in figure.axes for child in parent.child_axes)]:
        for words in axes.findobj(Text):
            words.set_fontsize(style.points - 1)
            if not axes.axison:  # the pictures take all the width, their titles are fitted to it
                words.set_in_layout(False)
        for axis in (axes.xaxis, axes.yaxis):
            axis.label.set_fontsize(style.points)
            axis.labelpad = 0.3 * style.points
            axis.set_tick_params(which="major", labelsize=style.points - 1, pad=0.3 * style.points)
            axis.get_offset_text().set_fontsize(style.points - 1)
        if style.weight != 1:
            for spine in axes.spines.values():
                spine.set_linewidth(style.weight * spine.get_linewidth())
            for line in axes.lines:
                line.set_linewidth(style.weight * line.get_linewidth())
                line.set_markersize(style.weight * line.get_markersize())
            for marks in axes.findobj(Collection):
                marks.set_linewidth([style.weight * w for w in _as_list(marks.get_linewidth())])
                if isinstance(marks, PathCollection):
                    marks.set_sizes(style.weight**2 * marks.get_sizes())
    for words in figure.texts:
        words.set_fontsize(style.points)


def _as_list(widths: Any) -> list[float]:
    return list(widths) if hasattr(widths, "__len__") else [widths]


def _height(figure: "Figure", width: float) -> float:
    """What suits the picture: its own shape where scales are equal, else an oblong that is flatter when wide."""
    if len(figure.axes) != 1:
        return min(20.0, 0.75 * width)
    axes = figure.axes[0]
    if not _is_equal(axes):
        return (0.7 if width <= 4 else 0.5) * width
    figure.set_size_inches(width, width)
    figure.draw_without_rendering()
    frame, outer = axes.get_window_extent(), axes.get_tightbbox()
    assert outer is not None  # it is drawn
    beside, below = ((o - f) / figure.dpi + 2 * _PAD for o, f in zip(outer.size, frame.size, strict=True))
    return float(min(20.0, max(0.5, below + (width - beside) * frame.height / frame.width)))


def _is_equal(axes: Any) -> bool:
    return axes.get_aspect() in ("equal", 1.0)


def _fit_titles(figure: "Figure") -> None:
    """Shrink the titles of images that stand side by side until none runs into the next."""
    for axes in figure.axes:
        words = [text for text in axes.texts if text.get_text()]
        if axes.axison or len({text.get_position()[1] for text in words}) > 1:
            continue
        boxes = sorted((text.get_window_extent() for text in words), key=lambda box: box.x0)
        limits = [*(box.x0 for box in boxes[1:]), figure.bbox.x1]
        share = min(((end - box.x0) / (box.width + 3) for box, end in zip(boxes, limits, strict=False)), default=1.0)
        for text in words:
            text.set_fontsize(float(text.get_fontsize()) * min(1.0, max(share, 0.5)))


def _make_room(figure: "Figure") -> None:
    """Move the right end of an axis on until the labels at the ends of its curves are inside the page."""
    for _ in range(3):
        figure.draw_without_rendering()
        moved = False
        for axes in figure.axes:
            frame, page = axes.get_window_extent(), figure.bbox.x1
            if _is_equal(axes) or not axes.texts:
                continue
            reach = max((t.get_window_extent().x1 for t in axes.texts if t.get_text().strip()), default=0.0)
            over = min(reach - page + 2, 0.4 * frame.width)
            if over > 0:
                transform = axes.transScale + axes.transLimits
                right = transform.inverted().transform((1 + over / (frame.width - over), 0))[0]
                axes.set_xlim(right=right)
                moved = True
        if not moved:
            return
