"""The pictures of a correspondence."""

from typing import Any

import numpy as np
import xarray as xr

from lab.studies import draw
from lab.studies.contract import Picture, Pictures

from .presets import LEARNED

_CAMERA = (65, 12)
TERMS = ("bijectivity", "orthogonality", "coupling", "transport")  # of the loss, that are drawn
_VARIANTS = ("none", "uniSW", "biSW", "EBSW", "maxSW")


def _colours(places: np.ndarray) -> np.ndarray:
    """A colour for each place, so that near places have near ones."""
    low, high = places.min(axis=0), places.max(axis=0)
    return 0.12 + 0.8 * (places - low) / np.maximum(high - low, 1e-12)


def _marks(result: xr.Dataset) -> tuple[int, int]:
    """The marked vertex of Y, and its image on X."""
    marked = int(result.marked)
    return int(result.p2p[marked]), marked


def _bodies(result: xr.Dataset) -> dict[str, draw.Body]:
    on_x, on_y = _marks(result)
    colours = _colours(result.x.values)
    return {
        "X": draw.Body(result.x.values, result.x_faces.values, colours, [on_x]),
        "Y in the colours of X": draw.Body(
            result.y.values, result.y_faces.values, colours[result.p2p.values], [on_y]
        ),
    }


def _clicked(result: xr.Dataset, x: float, y: float) -> dict[str, Any]:
    """A vertex of Y; of X the vertex of Y that comes nearest to it."""
    hit = draw.vertex_at(_bodies(result), x, y)
    if hit is None:
        return {}
    if hit.body != "X":
        return {"point": hit.vertex}
    images = result.x.values[result.p2p.values]
    return {"point": int(((images - result.x.values[hit.vertex]) ** 2).sum(axis=1).argmin())}


def _matched(result: xr.Dataset) -> Any:
    told = f"mean error {float(result.error):.2g}%" if "error" in result else ""
    return draw.surfaces(_bodies(result), note=told)


def _errors(result: xr.Dataset) -> Any:
    ways = {"by features": result.off_nearest.values, "sharpened map": result.off.values}
    most = float(np.clip(max(off.max() for off in ways.values()), 1e-6, 50))
    marks = [_marks(result)[1]]
    bodies = {way: draw.Body(result.y.values, result.y_faces.values, off, marks) for way, off in ways.items()}
    return draw.surfaces(bodies, clabel="error (%)", clim=(0.0, most))


def _map(values: np.ndarray) -> Any:
    most = float(np.abs(values).max()) or 1.0
    return draw.heatmap(values, xlabel="eigenfunction of X", ylabel="eigenfunction of Y", clabel="entry", signed=True,
                        clim=(-most, most), equal=True, height=360)


def _film(result: xr.Dataset, at: int) -> Any:
    values = result.maps.values
    most = float(np.abs(values).max()) or 1.0
    return draw.heatmap(values[at], xlabel="eigenfunction of X", ylabel="eigenfunction of Y", clabel="entry", signed=True,
                        clim=(-most, most), equal=True, height=360)


def _correct(result: xr.Dataset) -> Any:
    lines = {str(way): result.correct.sel(way=way) for way in result.way.values if way not in ("random", "best map")}
    guides = {str(way): result.correct.sel(way=way).values for way in ("random", "best map")}
    return _shares(result, lines, guides)


def _shares(result: xr.Dataset, lines: Any, guides: Any = None) -> Any:
    return draw.over(result.threshold, lines, guides=guides, markers=False, ticks=False, ylim=(0, 1.03), height=340,
                     ylabel="share of vertices")


def _variants(result: xr.Dataset) -> Any:
    result = result.squeeze()
    return _shares(result, {str(each): result.correct.sel(way="map", transport=each) for each in result.transport.values})


def _functions(result: xr.Dataset) -> Any:
    """The first eigenfunctions of X, and below those of Y with the sign that agrees with X's where that is known."""
    bodies = {}
    agree = np.sign(np.diagonal(result.c_best.values)[1:]) if "c_best" in result else np.ones(len(result.shown))
    for name in ("x", "y"):
        for i, number in enumerate(result.shown.values):
            values = result[f"phi_{name}"].values[i] * (agree[i] or 1.0 if name == "y" else 1.0)
            bodies[f"{name.upper()}: {number}"] = draw.Body(result[name].values, result[f"{name}_faces"].values, values)
    return draw.surfaces(bodies, signed=True, columns=len(result.shown), clabel="eigenfunction")


def _spectrum(result: xr.Dataset) -> Any:
    at = np.arange(result.sizes["i"])
    return draw.plot(
        draw.curve(at, result.values_x.values, "X", color=draw.SOURCE),
        draw.curve(at, result.values_y.values, "Y", color=draw.TARGET, dash=True),
        xlabel="number", ylabel="eigenvalue", height=320,
    )


def _sizes(result: xr.Dataset) -> Any:
    at = result.size.values
    zoomed = "zoom_error" in result
    sizes, errors = (result[name].values if zoomed else np.zeros(0) for name in ("zoom_size", "zoom_error"))
    return draw.plot(
        draw.curve(at, result.map_by.values, "map of the features", color=draw.SOURCE, markers=True),
        draw.curve(sizes, errors, "sharpened", color=draw.TARGET),
        draw.curve(at, result.floor_by.values, "best map", color=draw.MUTED, dash=True),
        xlabel="eigenfunctions", ylabel="error (%)", logy=True, height=340,
    )


def _terms(result: xr.Dataset) -> Any:
    return draw.training({name: result.terms.sel(term=name).values for name in TERMS})


def _course(result: xr.Dataset) -> Any:
    return draw.over(result.frame, {"by features": result.film_nearest, "by the map": result.film_error}, ticks=False,
                     ylim=(0, None), height=340)


def _sliced(result: xr.Dataset) -> Any:
    value, spread = result.sliced.values, 2 * result.sliced_error.values
    return draw.over(result.lines, {"sliced": result.sliced, "energy-based": result.energy},
                     bands={"sliced": (value - spread, value + spread)}, logx=True, ylabel="distance", height=320)


def _weights(result: xr.Dataset) -> Any:
    at = np.arange(1, result.sizes["direction"] + 1)
    return draw.plot(draw.curve(at, result.seen.values / result.seen.values.mean(), "what it sees", color=draw.SOURCE),
                     draw.curve(at, result.weight.values, "its weight", color=draw.TARGET),
                     xlabel="direction, the best first", ylabel="of the mean", logx=True, height=320)


def _crossing(result: xr.Dataset) -> Any:
    result = result.squeeze()
    lines = {f"w = {weight:g}": result.film_nearest.sel(ot_weight=weight) for weight in result.ot_weight.values}
    return draw.over(result.frame, lines, ticks=False, ordered=True, ylim=(0, None), ylabel="error by features (%)", height=340)


def _refined(result: xr.Dataset) -> Any:
    rows = [("by features", "error_nearest", "error_refined_nearest"), ("by the map", "error_map", "error_refined")]
    return draw.table({"": [row[0] for row in rows], "before, %": [f"{float(result[row[1]]):.3g}" for row in rows],
                       "after, %": [f"{float(result[row[2]]):.3g}" for row in rows]})


def _training(study: Any, more: dict[str, Any]) -> dict[str, Any]:
    """What a card of trainings runs: the training at hand, or that of the preset."""
    ours = {} if study.values()["train_steps"] else {name: (value,) for name, value in LEARNED.items() if name not in more}
    return ours | more


PICTURES = Pictures(
    Picture("matched", "What is where", "Drag to turn both. Click a point of one: its image is marked on the other.", _matched,
            turns=_CAMERA, clicks=_clicked),
    Picture("errors", "Where it is wrong", "How far on X each vertex of Y is from where it belongs.", _errors,
            needs=("off", "off_nearest"), turns=_CAMERA),
    Picture("map", "The functional map", "From functions on X to functions on Y: near the diagonal where nothing is stretched.",
            lambda result: _map(result.c.values), needs=("c",)),
    Picture("best", "That of the truth", "The map that the true correspondence has.", lambda result: _map(result.c_best.values),
            needs=("c_best",)),
    Picture("correct", "Correct points", "The share of vertices with at most this error.", _correct, needs=("correct",)),
    Picture("functions", "Eigenfunctions", "The first of X, and below those of Y: a pose changes them little.", _functions,
            turns=_CAMERA),
    Picture("spectrum", "Spectrum", "Of both surfaces, with area 1.", _spectrum),
    Picture("sizes", "Errors by eigenfunctions", "More of them tell more; a wrong map does not gain by them.", _sizes,
            needs=("map_by", "floor_by")),
    Picture("sliced", "Sliced distances", "By how many directions, with two standard errors.", _sliced),
    Picture("weights", "Directions", "Energy-based distances weigh those more that see more.", _weights),
    Picture("film", "The map as it is learned", "Play it.", _film, needs=("maps",), plays="frame"),
    Picture("course", "Errors as it is learned", "In the mean over the vertices.", _course, needs=("film_nearest",)),
    Picture("terms", "Terms of the loss", "Before their weights.", _terms, needs=("terms",)),
    Picture("refined", "Refined", "Before and after some steps with an entropic plan.", _refined,
            needs=("error_refined", "error_refined_nearest")),
    Picture("crossing", "Early and late", "A large weight of transport helps at first, and then holds back.", _crossing,
            needs=("film_nearest",), along=lambda study, data: _training(study, {"ot_weight": (0.0, 10.0, 100.0)})),
    Picture("variants", "Kinds of transport", "Correct points by the map, of one training with each.", _variants,
            needs=("correct",), along=lambda study, data: _training(study, {"transport": _VARIANTS})),
)
