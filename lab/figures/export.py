"""Pictures for print: drawn by Matplotlib at the size and in the type of a page, with their recipe inside."""

import io
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, BinaryIO
from unittest.mock import patch

import lab
from lab.disk import write
from lab.inputs import cut, shown
from lab.numerics import Progress
from lab.studies.draw import pen, theme
from lab.studies.draw.look import backends

from . import typeset
from .embed import FOLDED, FORMATS, MOVING, check_film, embed, moving, read_recipe
from .page import (
    PAD,
    break_labels,
    break_notes,
    dress,
    fit_words,
    height_of,
    make_room,
    on_grid,
    set_type,
    share_labels,
    shrink,
)
from .provenance import fingerprint, recipe_of
from .styles import Style, find_style, inches

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from lab.numerics import Report
    from lab.studies import Picture, Study

    from .sweep import View

_SECONDS = 4.0  # of a film
_LISTED = ", ".join((*FORMATS, *FOLDED))
logging.getLogger("fontTools").setLevel(logging.ERROR)  # the date of a font that Matplotlib ships is no news
_press = RLock()  # pyplot's figures and Matplotlib's settings are one for all threads


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
    letters: bool = False,
    stacks: bool = False,
) -> None:
    """Write a picture as PDF, SVG, PNG, EPS or PGF, exactly as wide as asked for.

    Axes and text are vector; heat maps are embedded as images, which a PGF has beside it, in files of their own. EPS has no
    transparency: what is transparent is laid on white. Equal pictures give equal bytes: no date is written.

    Args:
        picture: a HoloViews object, or a function without arguments that draws one, which is then called in ``tone``.
        target: a path, or a binary file to write to.
        format: ``"pdf"``, ``"svg"``, ``"png"``, ``"eps"`` or ``"pgf"``; by the ending of the path when not given.
        width: ``"column"`` (3.25 in), ``"text"`` (6.75 in) or inches.
        height: inches; what suits the picture when not given.
        style: a name in ``lab.figures.STYLES``.
        recipe: what is embedded, plain JSON, with how the figure was set and what it shows added under ``"figure"``.
        tone: the theme; other than ``"print"`` for a screen.
        letters: a letter before each part of a layout.
        stacks: the parts of a layout stand one below the other where they are wide and low.

    Raises:
        ValueError: a size, style or format that can't be.

    Examples:
        >>> from io import BytesIO
        >>> from lab import figures
        >>> from lab.studies import draw
        >>> out = BytesIO()
        >>> figures.export(draw.plot(draw.curve([0, 1], [0, 1])), out, format="svg", width=3)
        >>> b'width="216pt"' in out.getvalue()  # of which an inch has 72
        True
    """
    setting = find_style(style)
    size = inches(width), None if height is None else inches(height, "height")
    kind = _format(target, format)
    if kind in MOVING:
        raise ValueError(f"a single picture does not move: it is written as {_LISTED}")
    with theme(tone):
        drawn = picture() if callable(picture) and not hasattr(picture, "opts") else picture
        stem = Path(target).stem if isinstance(target, str | Path) else "figure"
        files = _render(drawn, kind, *size, setting, stem=stem, letters=letters, stacks=stacks)
    recipe = dict(recipe or {})
    set_as = {"width": width, "height": height, "style": style, "format": kind}
    recipe["figure"] = {**recipe.get("figure", {}), **set_as, "fingerprint": fingerprint(drawn)}
    figure, *images = files.values()
    if images and not isinstance(target, str | Path):
        raise ValueError("a PGF of this picture has images beside it: give a path, or take PDF")
    for name, image in list(files.items())[1:]:
        _write(Path(target).with_name(name), embed(image, "png", {"beside": f"{stem}.pgf"}))  # type: ignore[arg-type]
    _write(target, embed(figure, kind, recipe))


def _write(target: str | Path | BinaryIO, content: bytes) -> None:
    if not isinstance(target, str | Path):
        target.write(content)
        return
    try:
        write(target, content, replaces=is_figure)
    except OSError as problem:
        raise ValueError(str(problem)) from None


def is_figure(path: Path) -> bool:
    """Whether the lab drew that file: only such a one is ever replaced."""
    try:
        return path.is_file() and bool(read_recipe(path))
    except ValueError:
        return False


def export_picture(
    picture: "Picture",
    result: "xr.Dataset",
    target: str | Path | BinaryIO,
    *,
    format: str | None = None,
    width: str | float = "column",
    height: str | float | None = None,
    style: str = "paper",
    at: float | None = None,
    frames: int | None = None,
    camera: Any = None,
    report: "Report | None" = None,
) -> None:
    """Write a study's picture of a result, with all that ``reproduce`` needs to make it again from the file alone.

    Args:
        picture: of the study.
        result: a run or a sweep that it can show, with its recipe.
        target: a path, or a binary file to write to.
        format: as for ``export``, and of a picture that moves also ``"gif"`` and ``"mp4"``: all its frames, one after the
            other. The latter needs the extra ``animation``.
        width: ``"column"`` (3.25 in), ``"text"`` (6.75 in) or inches.
        height: inches; what suits the picture when not given.
        style: a name in ``lab.figures.STYLES``.
        at: the place of the frame, of a picture that moves; the last one when omitted.
        frames: so many frames side by side instead, at least 2; one below the other where they are wide.
        camera: azimuth and elevation in degrees, of a picture that turns; its own when omitted.
        report: called between the frames of a film; True ends it with a ValueError.

    Raises:
        ValueError: a size, style, format or frame that can't be, or a result that the picture can't show or without recipe.

    Examples:
        >>> from io import BytesIO
        >>> import xarray as xr
        >>> from lab import figures
        >>> from lab.studies import Picture, draw
        >>> level = Picture("level", "Level", "", lambda result: draw.plot(draw.hline(result.cost.item())))
        >>> out = BytesIO()
        >>> figures.export_picture(level, xr.Dataset({"cost": 0.5}, attrs={"recipe": "{}"}), out, format="svg")
        >>> b"<svg" in out.getvalue()
        True
    """
    kind = _format(target, format)
    check_motion(picture, kind, at, frames)
    recipe = recipe_of(picture, result)
    if (eye := picture.camera(camera)) is not None:
        recipe["figure"]["camera"] = list(eye)
    setting: dict[str, Any] = {"width": width, "height": height, "style": style}
    if kind in MOVING:
        film(picture, result, target, kind, recipe=recipe, report=report, **setting)
        return
    recipe["figure"] |= {name: value for name, value in (("at", at), ("frames", frames)) if value is not None}
    export(
        lambda: drawn(picture, result, recipe["figure"]),
        target,
        format=kind,
        recipe=recipe,
        stacks=frames is not None,
        **setting,
    )


def check_motion(picture: "Picture", kind: str, at: float | None, frames: int | None) -> None:
    """Refuse frames of a picture that has none, more than one kind of them, and a strip of too few or too many.

    Args:
        picture: of a study.
        kind: the format: ``"gif"`` and ``"mp4"`` are films.
        at: the place of one frame; None for none.
        frames: how many stand side by side, from 2 to 12; None for no strip.

    Raises:
        ValueError: what can't be, in a sentence; or an MP4 without what writes it.

    Examples:
        >>> from lab import figures
        >>> from lab.studies import Picture
        >>> moving = Picture("moving", "Moving", "", draw=print, plays="t")
        >>> figures.check_motion(moving, "svg", None, 4)
        >>> figures.check_motion(moving, "svg", None, 1)
        Traceback (most recent call last):
        ValueError: frames = 1, but a strip has from 2 to 12 of them
    """
    if (kind in MOVING or at is not None or frames is not None) and not picture.plays:
        raise ValueError(f"the picture {picture.name} does not move: it has no frames, and is written as {_LISTED}")
    if (at is not None) + (frames is not None) + (kind in MOVING) > 1:
        raise ValueError("one frame, a strip of frames or a film: give only one of at, frames and a moving format")
    if frames is not None and not 2 <= frames <= 12:
        raise ValueError(f"frames = {shown(frames)}, but a strip has from 2 to 12 of them")
    if kind == "mp4":
        check_film()


def drawn(picture: "Picture", result: "xr.Dataset", figure: Mapping[str, Any]) -> Any:
    """What a figure shows: a picture, one frame of it, or some side by side, as its recipe says."""
    if figure.get("frames"):
        return picture.strip(result, figure["frames"])
    return picture(result, figure.get("at"), camera=figure.get("camera"))


def film(
    picture: "Picture",
    result: "xr.Dataset",
    target: str | Path | BinaryIO,
    kind: str,
    *,
    width: str | float,
    height: str | float | None,
    style: str,
    recipe: Mapping[str, Any],
    report: "Report | None" = None,
) -> None:
    """Write all frames of a picture as a GIF or MP4 of about four seconds, which rests on its last frame."""
    from PIL import Image

    picture.check(result)
    setting, places = find_style(style), picture.frames(result)
    size = inches(width), None if height is None else inches(height, "height")
    dpi, images, began = setting.dpi / 2, [], time.monotonic()
    for number in range(len(places)):
        with theme("print"):
            shown = picture(result, float(places[number]))
            image = Image.open(io.BytesIO(_render(shown, "png", *size, setting, dpi)[""]))
        white = Image.new("RGB", (image.width // 2 * 2, image.height // 2 * 2), "white")  # MP4 wants even sizes
        white.paste(image, mask=image.getchannel("A"))
        images.append(white)
        size = size[0], image.height / dpi  # the same for all
        if report and report(Progress(number + 1, len(places), {}, None, time.monotonic() - began)):
            raise ValueError("stopped: the film was not written")
    told = {**recipe, "figure": {**recipe["figure"], "width": width, "height": height, "style": style, "format": kind}}
    with theme("print"):
        told["figure"]["fingerprint"] = fingerprint(picture(result))
    _write(target, moving(images, kind, told, seconds=_SECONDS))


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
    """Write a view of a sweep's result, with all that ``reproduce`` needs to make it again from the file alone.

    Args:
        study: the class.
        view: which number over which parameters, as a map or as lines.
        result: of the sweep, with its recipe.
        target: a path, or a binary file to write to.
        format: as for ``export``.
        width: ``"column"`` (3.25 in), ``"text"`` (6.75 in) or inches.
        height: inches; what suits the picture when not given.
        style: a name in ``lab.figures.STYLES``.

    Raises:
        ValueError: a size, style or format that can't be, or a result that the view can't show or without recipe.

    Examples:
        >>> from io import BytesIO
        >>> import xarray as xr
        >>> from lab import figures
        >>> from lab.figures.sweep import View
        >>> from lab.studies import SparseOT
        >>> attrs = {"recipe": "{}", "parameters": '{"k": 1}'}
        >>> result, out = xr.Dataset({"value": ("k", [3.0, 2.0])}, {"k": [1, 2]}, attrs), BytesIO()
        >>> figures.export_sweep(SparseOT, View("value", "k", kind="lines"), result, out, format="svg")
        >>> b"<svg" in out.getvalue()
        True
    """
    from .sweep import sweep_picture

    picture = sweep_picture(study, view)
    recipe = recipe_of(picture, result)
    recipe["figure"]["view"] = view.as_dict()
    export(
        lambda: picture(result),
        target,
        format=format,
        width=width,
        height=height,
        style=style,
        recipe=recipe,
    )


def _format(target: Any, given: str | None) -> str:
    ending = Path(target).suffix.removeprefix(".") if isinstance(target, str | Path) else ""
    kind = (given or ending).lower()
    if kind not in (*FORMATS, *FOLDED, *MOVING):
        what = f"format = {shown(given)}" if given else cut(target) if ending else "a figure without a format"
        raise ValueError(f"{what} is not allowed: a figure is written as {_LISTED}, a film as {', '.join(MOVING)}")
    return kind


def _render(
    drawn: Any,
    kind: str,
    width: float,
    height: float | None,
    style: Style,
    dpi: float | None = None,
    stem: str = "",
    letters: bool = False,
    stacks: bool = False,
) -> dict[str, bytes]:
    """The figure, and behind it the files that it reads, by their names."""
    import holoviews as hv

    out = io.BytesIO()
    apart = {"image.composite_image": False}  # images side by side in one have dark rims
    with plotted(drawn, style.rc | apart) as figure:
        set_type(figure, style)
        gridded = isinstance(drawn, hv.Layout) and len(figure.axes) == len(drawn)
        columns = on_grid(figure, stacks) if gridded else 1
        shrink(figure, width / columns)
        if stacks and columns > 1:
            share_labels(figure)
        for number, axes in enumerate(figure.axes if letters and gridded else ()):
            bold: dict[str, Any] = {"family": "cmb10"} if style.signs == "cm" else {"fontweight": "bold"}
            axes.set_title(f"({chr(ord('a') + number)})", loc="left", pad=4, fontsize=style.points + 1, **bold)
            axes.set_anchor("NW")
        if len(figure.axes) == 1 or gridded:  # HoloViews places the parts of another layout itself
            figure.set_layout_engine("constrained", w_pad=PAD, h_pad=PAD)
        figure.set_size_inches(width, height or height_of(figure, width))
        break_labels(figure)
        break_notes(figure)
        make_room(figure)
        fit_words(figure)
        setting: dict[str, Any] = {"dpi": dpi or style.dpi, "transparent": True, "bbox_inches": None}
        if kind == "pgf":
            files = typeset.pgf(figure, stem, **setting)
            return {f"{stem}.pgf": files.pop(f"{stem}.pgf")} | files
        if kind == "eps":
            return {"": typeset.eps(figure, **setting)}
        figure.savefig(out, format=kind, metadata=_plain_metadata(kind), **setting)
    return {"": out.getvalue()}


def draw_into(axes: "Axes", picture: Callable[[], Any], style: str = "paper") -> "Axes":
    """Draw a picture into axes of one's own, in the type sizes and weights of a style, for their ground.

    Args:
        axes: plain Matplotlib axes that are in a figure; its size and the grounds stay as they are.
        picture: a function without arguments that draws one pair of axes.
        style: a name in ``lab.figures.STYLES``.

    Returns:
        the axes.

    Raises:
        ValueError: a picture of several parts, which needs a figure: ``export`` makes one; or axes that can't hold it.
        TypeError: no axes.

    Examples:
        >>> from matplotlib.figure import Figure
        >>> from lab import figures
        >>> from lab.studies import draw
        >>> axes = figures.draw_into(Figure().subplots(), lambda: draw.plot(draw.curve([0, 1], [0, 1]), xlabel="time (s)"))
        >>> axes.get_xlabel()
        'time (s)'
    """
    import holoviews as hv
    import matplotlib
    from holoviews.plotting.mpl.plot import MPLPlot
    from matplotlib.axes import Axes
    from matplotlib.colors import to_rgba

    if not isinstance(axes, Axes) or axes.get_figure() is None:
        raise TypeError(f"ax is {type(axes).__name__}, but one pair of Matplotlib axes that are in a figure is needed")
    backends("matplotlib")
    setting = find_style(style)
    figure: Any = axes.get_figure(root=True)
    size, grounds = figure.get_size_inches(), [(each, each.patch.get_facecolor()) for each in (figure, axes)]
    own, behind = to_rgba(axes.patch.get_facecolor()), to_rgba(figure.patch.get_facecolor())
    light = sum(own[3] * one + (1 - own[3]) * other for one, other in zip(own[:3], behind[:3], strict=True))
    tone = "dark" if light < 1.5 and max(own[3], behind[3]) else "print"
    with theme(tone), _press, matplotlib.rc_context(setting.rc):
        drawn = picture()
        if isinstance(drawn, hv.Layout):
            raise ValueError(
                f"the picture has {len(drawn)} parts, and these are one pair of axes: export it as a figure"
            )
        renderer = hv.renderer("matplotlib")
        with pen, patch.object(MPLPlot, "_close_figures", False):  # it is not ours to close
            try:
                made = renderer.plotting_class(drawn)(drawn, fig=figure, axis=axes, renderer=renderer)
                made.initialize_plot()
            except (RuntimeError, KeyError, AttributeError) as problem:  # of twins, of polar ones
                raise ValueError(
                    f"these axes can't hold the picture, plain ones of their own can: {cut(problem)}"
                ) from problem
        dress([axes, *axes.child_axes], setting)
    figure.set_size_inches(size)
    for each, colour in grounds:
        each.patch.set_alpha(None)
        each.patch.set_facecolor(colour)
    return axes


@contextmanager
def plotted(drawn: Any, settings: Any = None) -> "Iterator[Figure]":
    """The Matplotlib figure of a HoloViews object; one thread at a time has one.

    Args:
        drawn: a picture.
        settings: of Matplotlib, that hold inside the ``with``.

    Yields:
        the figure, which is closed at the end.

    Examples:
        >>> from lab import figures
        >>> from lab.studies import draw
        >>> with figures.plotted(draw.plot(draw.hline(1.0))) as figure:
        ...     len(figure.axes)
        1
    """
    import holoviews as hv
    from matplotlib import style

    backends("matplotlib")
    # "default", since Matplotlib reads other settings from a matplotlibrc in the current folder
    with _press, style.context(["default", settings or {}]):
        with pen:  # not for longer: the pages draw with it too
            figure: Figure = hv.renderer("matplotlib").get_plot(drawn).state
        try:
            yield figure
        finally:
            _close(figure)


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
