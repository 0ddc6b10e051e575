"""Pictures of surfaces: bodies side by side that turn together under the mouse, with fields and marked places on them."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import holoviews as hv
import numpy as np

from . import space
from .axes import frame
from .layers import COLUMNS
from .look import INK, MUTED, blend, current, dress, ramp
from .space import Body, Camera, Placed
from .writing import Words, words

SCENE = hv.Dimension("scene")  # of the layer of pixels: what they show
CAMERA = "camera"  # the name of the source in a figure that holds azimuth and elevation

_PRINT, _SMALL = 1200, 480  # pixels across, for Matplotlib and where the backend is not known yet


def surfaces(
    bodies: Mapping[str, Body],
    *,
    clabel: str = "value",
    clim: tuple[float, float] | None = None,
    signed: bool = False,
    columns: int | None = None,
    note: str = "",
    height: int | None = None,
) -> hv.Overlay:
    """Surfaces side by side, each under its title, seen by one camera: on a page a hand turns them, all together.

    The camera is that of the picture that draws them (``Picture.turns``). A mark behind a surface is hollow.

    Args:
        bodies: by title; marks of equal number and colour on two of them show what belongs together.
        clabel: label of the colour scale of the fields, with its unit.
        clim: its ends, one scale for all bodies; from the least to the largest value when not given.
        signed: blue below and orange above zero, the scale symmetric.
        columns: bodies side by side, before a next row begins; all when omitted.
        note: a quiet line of text below.
        height: least height on a page, in pixels.

    Returns:
        an ``Overlay``.

    Raises:
        ValueError: there are no bodies, or one of them is no surface.

    Examples:
        >>> from lab.studies import draw
        >>> triangle = draw.Body([[0, -1, -1], [0, 1, -1], [0, 0, 1]], [[0, 1, 2]], marks=[2])
        >>> [type(layer).__name__ for layer in draw.surfaces({"triangle": triangle})]
        ['RGB', 'Points', 'Points', 'Labels', 'Labels']
    """
    placed, at = space.place(bodies, columns), space.camera()
    scale = _Scale(bodies, clim, signed)
    colours = np.concatenate([scale.colours(title, body) for title, body in bodies.items()])
    x, y = (placed.places[:, 0].min() - 1, placed.places[:, 0].max() + 1), (placed.places[:, 1].min() - 1, 1.0)
    line = current().height(x[1] - x[0], y[1] - y[0], 1 + bool(note)) + 0.04
    spans = x, (y[0] - (max(0.16, line) if note else 0.04), y[1] + max(0.24, line))
    titles = [
        Words(px - 0.98, py + 1.04, title, current().ink, up="bottom")
        for title, (px, py) in zip(bodies, placed.places, strict=True)
    ]
    titles.append(Words(x[0], y[0] - 0.02, note, current().muted, up="top"))
    pixels = _pixels(placed, colours, at, spans)
    layers = [*scale.bar(clabel, spans), pixels, *_marks(bodies, placed, at), *words(titles)]
    for layer in layers:  # it is they that bring a figure its tools; the hand turns the bodies and moves nothing
        dress(layer, bokeh={"default_tools": ["wheel_zoom", "reset", "save"] if layer is pixels else []})
    return frame(
        layers,
        *spans,
        equal=True,
        bare=True,
        bounds=spans,
        height=height or int(np.clip(560 * (spans[1][1] - spans[1][0]) / (x[1] - x[0]), 260, 560)),
        clabel=clabel if scale.needed else None,
        hooks=(_turn(placed, colours, at, space.home()),),
    )


class _Scale:
    """The colours of values: one scale for all fields of a picture."""

    def __init__(self, bodies: Mapping[str, Body], clim: tuple[float, float] | None, signed: bool):
        fields = [
            np.asarray(b.values, float) for b in bodies.values() if b.values is not None and np.ndim(b.values) == 1
        ]
        finite = np.concatenate([np.zeros(0), *(field[np.isfinite(field)] for field in fields)])
        self.needed = bool(fields)
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        if signed:
            high = max(abs(low), abs(high)) or 1.0
            low = -high
        self.clim = clim or (low, high if high > low else low + 1.0)
        look = current()
        # not from the card's own colour: the extent of a body is to be seen where its field is 0
        pale = blend(MUTED, 0.12) if look.name != "dark" else blend(MUTED, 0.4)
        self.palette = list(ramp((look.source, pale, look.target), 255) if signed else ramp((pale, look.source)))
        self._pale = _bytes([blend(MUTED, 0.3)])

    def colours(self, title: str, body: Body) -> np.ndarray:
        """(n, 3) bytes of the vertices; pale where a value is not finite."""
        n = len(np.asarray(body.vertices))
        if body.values is None:
            return np.repeat(_bytes([blend(current().source, 0.55)]), n, axis=0)
        values = np.asarray(body.values, float)
        if values.shape not in ((n,), (n, 3)):
            raise ValueError(
                f"the values of {title} must be of shape ({n},), a field, or ({n}, 3), colours, not of {values.shape}"
            )
        known = np.isfinite(values).reshape(n, -1).all(axis=1)[:, None]
        if values.ndim == 2:
            return np.where(known, _round(255 * np.clip(np.nan_to_num(values), 0, 1)), self._pale)
        share = (np.nan_to_num(values) - self.clim[0]) / (self.clim[1] - self.clim[0])
        place = _round(np.clip(share, 0, 1) * (len(self.palette) - 1))
        return np.where(known, _bytes(self.palette)[place], self._pale)

    def bar(self, clabel: str, spans: tuple) -> list[hv.Image]:
        """A layer that shows nothing but the bar of the colours; none where there is no field."""
        if not self.needed:
            return []
        (left, right), (low, high) = spans
        speck = (left, low, left + 1e-6 * (right - left), low + 1e-6 * (high - low))
        image = hv.Image(np.full((1, 1), self.clim[0], np.float32), ["x", "y"], "z", bounds=speck)
        scale = {"cmap": self.palette, "clim": self.clim, "colorbar": False}
        return [dress(image, both=scale, bokeh={"colorbar": True, "clabel": clabel})]


def _pixels(placed: Placed, colours: np.ndarray, at: Camera, spans: tuple) -> hv.RGB:
    """The layer of the bodies themselves. On a page the browser draws it: a speck holds its place."""
    look, ((left, right), (low, high)) = current(), spans
    across = _PRINT if look.name == "print" or look.backend == "matplotlib" else _SMALL
    shape = 1, 1
    pixels = np.zeros((*shape, 4), np.uint8)
    if look.backend != "bokeh":
        shape = round(across * (high - low) / (right - left)), across
        pixels = space.rasterise(placed, colours, at, (left, low, right, high), shape)
        pixels[pixels[:, :, 3] == 0, :3] = _bytes([look.card])  # Matplotlib mixes it into the rims
    image = hv.RGB(
        pixels[::-1],
        ["x", "y"],
        ["R", "G", "B", "A"],
        bounds=(left, low, right, high),
        cdims={SCENE: scene(placed, colours, at)},
    )
    return dress(image, mpl={"interpolation": "none"})


def scene(placed: Placed, colours: np.ndarray, at: Camera) -> dict[str, np.ndarray]:
    """What a picture shows, whatever the size in which it is drawn."""
    told = placed._asdict()
    return {name: told[name] for name in ("vertices", "faces", "marks", "places")} | {
        "colours": colours,
        "camera": np.array(at),
    }


def _marks(bodies: Mapping[str, Body], placed: Placed, at: Camera) -> list[hv.Points]:
    """The marks that are seen, and the hollow ones behind a surface; both layers have all of them, the others nowhere."""
    tints = [
        tint
        for number, body in enumerate(bodies.values())
        for tint in _tints(body, int((placed.marked == number).sum()))
    ]
    marks, behind = space.hidden(placed, at)
    layers = []
    for state in (False, True):
        x, y = (np.where(behind == state, each, np.nan) for each in (marks.x, marks.y))
        layer = hv.Points((x, y, tints), ["x", "y"], "own", **COLUMNS)
        own, rim = hv.dim("own"), current().card
        fill, line, wide = (None, own, 1.5) if state else (own, rim, 1.25)
        layers.append(
            dress(
                layer,
                bokeh={"fill_color": fill, "line_color": line, "line_width": wide, "size": 10},
                mpl={"color": "none" if state else own, "edgecolors": line, "linewidth": 0.8, "s": 20},
            )
        )
    return layers


def _tints(body: Body, count: int) -> Sequence[str]:
    given = INK if body.tints is None else body.tints
    tints = [given] * count if isinstance(given, str) else list(given)
    if len(tints) != count:
        raise ValueError(f"there are {count} marks and {len(tints)} colours of them: give one for all or one for each")
    return [current().colour(tint) for tint in tints]


def _turn(placed: Placed, colours: np.ndarray, at: Camera, home: Camera) -> Callable[[Any, Any], None]:
    """A hook: the figure draws the bodies itself, and again when they are turned."""

    def hook(plot: Any, element: Any) -> None:
        from bokeh.models import ColumnDataSource

        fig, parts = plot.state, _parts(placed, colours)
        if fig.select_one({"name": CAMERA}) is not None:
            for name, part in parts.items():
                held = fig.select_one({"name": name})
                if not all(np.array_equal(held.tags[0][key], values) for key, values in part.items()):
                    held.tags = [part]
            return
        layers = [sub for sub in plot.subplots.values() if isinstance(sub.current_frame, hv.RGB | hv.Points)]
        drawn = {name: sub.handles["source"] for name, sub in zip(("image", "seen", "hidden"), layers, strict=True)}
        layers[0].handles["glyph"].dilate = False  # which may add a pixel, and the image has one for each of the screen
        sources = {name: ColumnDataSource(name=name, tags=[part]) for name, part in parts.items()}
        sources[CAMERA] = ColumnDataSource({"azimuth": [at[0]], "elevation": [at[1]]}, name=CAMERA)
        look = {"light": list(space.LIGHT), "ambient": space.AMBIENT, "deep": space.DEEP, "home": list(home)}
        _listen(fig, {**drawn, **sources, "look": look}, list(sources.values()))

    return hook


def _parts(placed: Placed, colours: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """What the browser needs, in parts of which each is sent when it has changed."""
    mesh = {
        "vertices": placed.vertices.astype(np.float32),
        "normals": placed.normals.astype(np.float32),
        "faces": placed.faces.astype(np.int32),
        "body": placed.body.astype(np.uint16),
        "places": placed.places.astype(np.float32),
    }
    marks = {"marks": placed.marks.astype(np.float32), "marked": placed.marked.astype(np.uint16)}
    parts = {"mesh": mesh, "colours": {"colours": colours}, "marks": marks}
    return {name: {key: values.ravel() for key, values in part.items()} for name, part in parts.items()}


def _listen(fig: Any, args: dict[str, Any], sources: Sequence[Any]) -> None:
    """Have the figure draw itself anew when it is turned, zoomed or resized, or when a source has changed."""
    from bokeh.models import CustomJS

    again = CustomJS(args={"fig": fig, **args}, code=_script())
    for event in ("panstart", "pan", "panend", "reset"):
        fig.js_on_event(event, again)
    for name in ("inner_width", "inner_height", "tags"):
        fig.js_on_change(name, again)
    for each in (fig.x_range, fig.y_range):
        each.js_on_change("start", again)
        each.js_on_change("end", again)
    for source in sources:
        source.js_on_change("tags", again)
        source.js_on_change("data", again)


@cache
def _script() -> str:
    return (Path(__file__).parent / "turning.js").read_text(encoding="utf-8")


def _bytes(tints: Sequence[str]) -> np.ndarray:
    return np.array([[int(tint[i : i + 2], 16) for i in (1, 3, 5)] for tint in tints], np.uint8)


def _round(values: np.ndarray) -> np.ndarray:
    return np.round(values).astype(np.uint8 if values.ndim == 2 else int)
