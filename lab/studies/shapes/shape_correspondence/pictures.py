"""Pictures, and the findings that head them."""

from typing import Any

import numpy as np
import xarray as xr

from lab.studies import draw
from lab.studies.contract import Comparison, Picture, Pictures
from lab.words import number, percent

from .claims import LEARNED

_CAMERA = (65, 12)
ERROR = Comparison(
    "error",
    "mean geodesic error in %",
    {
        "error": "the final map",
        "error_map": "the unrefined map",
        "error_solved": "the map solved from features",
        "error_nearest": "nearest features",
        "error_waves": "wave kernel signatures",
    },
    ours="error",
)
_CLOSE = 5.0  # %, of the errors that count as close


def _colours(places: np.ndarray) -> np.ndarray:
    """A color for each position; close positions have similar colors."""
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
        "Y, colored by images": draw.Body(result.y.values, result.y_faces.values, colours[result.p2p.values], [on_y]),
    }


def _clicked(result: xr.Dataset, x: float, y: float) -> dict[str, Any]:
    """The clicked vertex of Y, or the vertex of Y whose image is closest to the clicked vertex of X."""
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
    ways = {"nearest features": result.off_nearest.values, "final map": result.off.values}
    most = float(np.clip(max(off.max() for off in ways.values()), 1e-6, 50))
    marks = [_marks(result)[1]]
    bodies = {way: draw.Body(result.y.values, result.y_faces.values, off, marks) for way, off in ways.items()}
    return draw.surfaces(bodies, clabel="error (%)", clim=(0.0, most))


def _map(result: xr.Dataset) -> Any:
    values = result.c.values
    most = float(np.abs(values).max()) or 1.0
    return draw.heatmap(
        values,
        xlabel="eigenfunction of X",
        ylabel="eigenfunction of Y",
        clabel="entry",
        signed=True,
        clim=(-most, most),
        equal=True,
        height=360,
    )


def _correct(result: xr.Dataset) -> Any:
    lines = {str(way): result.correct.sel(way=way) for way in result.way.values if way not in ("random", "best map")}
    guides = {str(way): result.correct.sel(way=way).values for way in ("random", "best map")}
    return draw.over(
        result.threshold,
        lines,
        guides=guides,
        markers=False,
        ticks=False,
        ylim=(0, 1.03),
        height=340,
        ylabel="fraction of vertices",
    )


def _functions(result: xr.Dataset) -> Any:
    """First eigenfunctions of X, and below of Y, whose signs are matched if the truth is known."""
    bodies = {}
    agree = np.sign(np.diagonal(result.c_best.values)[1:]) if "c_best" in result else np.ones(len(result.shown))
    for name in ("x", "y"):
        for i, which in enumerate(result.shown.values):
            values = result[f"phi_{name}"].values[i] * (agree[i] or 1.0 if name == "y" else 1.0)
            bodies[f"{name.upper()}: {which}"] = draw.Body(result[name].values, result[f"{name}_faces"].values, values)
    return draw.surfaces(bodies, signed=True, columns=len(result.shown), clabel="eigenfunction")


def _sizes(result: xr.Dataset) -> Any:
    at = result.size.values
    zoomed = "zoom_error" in result
    sizes, errors = (result[name].values if zoomed else np.zeros(0) for name in ("zoom_size", "zoom_error"))
    return draw.plot(
        draw.curve(at, result.map_by.values, "map of features", color=draw.SOURCE, markers=True),
        draw.curve(sizes, errors, "ZoomOut", color=draw.TARGET),
        draw.curve(at, result.floor_by.values, "true map", color=draw.MUTED, dash=True),
        xlabel="eigenfunctions",
        ylabel="error (%)",
        logy=True,
        height=340,
    )


def _course(result: xr.Dataset) -> Any:
    return draw.over(
        result.frame,
        {"nearest features": result.film_nearest, "map": result.film_error},
        ticks=False,
        ylim=(0, None),
        height=340,
    )


def _crossing(result: xr.Dataset) -> Any:
    result = result.squeeze()
    lines = {f"w = {weight:g}": result.film_nearest.sel(ot_weight=weight) for weight in result.ot_weight.values}
    return draw.over(
        result.frame,
        lines,
        ticks=False,
        ordered=True,
        ylim=(0, None),
        ylabel="error of nearest features (%)",
        height=340,
    )


def _training(study: Any, more: dict[str, Any]) -> dict[str, Any]:
    """Parameters of a sweep of trainings: the present training, or the training of the preset."""
    ours = (
        {} if study.values()["train_steps"] else {name: (value,) for name, value in LEARNED.items() if name not in more}
    )
    return ours | more


def _off(error: Any) -> str:
    return f"{number(float(error), 2)}%"


def _diagonal(values: np.ndarray) -> str:
    """Fraction of the squared entries on the diagonal."""
    squared = values**2
    return percent(np.trace(squared) / squared.sum()) if squared.any() and np.isfinite(squared).all() else "0%"


def _map_finding(result: xr.Dataset) -> str:
    text = f"{_diagonal(result.c.values)} of the squared entries lie on the diagonal"
    return f"{text}, {_diagonal(result.c_best.values)} for the truth" if "c_best" in result else text


def _near(correct: xr.DataArray) -> float:
    """Fraction of vertices with a small error."""
    return float(correct.sel(threshold=_CLOSE, method="nearest"))


def _correct_finding(result: xr.Dataset) -> str:
    near = {str(way): _near(result.correct.sel(way=way)) for way in result.way.values}
    ours = [way for way in near if way not in ("random", "best map")]
    shown = {way: "true map" if way == "best map" else way for way in dict.fromkeys((ours[-1], "nearest", "best map"))}
    told = [f"{name} {percent(near[way])}" for way, name in shown.items() if way in near]
    at = float(result.threshold.sel(threshold=_CLOSE, method="nearest"))
    return f"Within an error of {at:g}%: {', '.join(told)}"


def _functions_finding(result: xr.Dataset) -> str:
    numbers = result.shown.values.astype(int)
    if "c_best" not in result:
        x, y = result.values_x.values[numbers], result.values_y.values[numbers]
        apart = percent((np.abs(x - y) / np.maximum((x + y) / 2, 1e-300)).max())
        return f"The first {len(numbers)} eigenvalues of X and Y differ by at most {apart}"
    agree = np.minimum(np.abs(np.diagonal(result.c_best.values)[numbers]), 1.0)
    span = " to ".join(dict.fromkeys(number(float(each), 2) for each in (agree.min(), agree.max())))
    return f"The first {len(numbers)} of X, mapped by the truth to Y, have a cosine of {span} with Y's"


def _sizes_finding(result: xr.Dataset) -> str:
    best, features = _off(result.floor_by[-1]), _off(result.map_by[-1])
    text = f"Error with {int(result['size'][-1])}: true map {best}, map of features {features}"
    if "zoom_error" not in result:
        return text
    return f"{text}; ZoomOut to {int(result.zoom_size[-1])}: {_off(result.zoom_error[-1])}"


def _course_finding(result: xr.Dataset) -> str:
    told = []
    for way, name in (("nearest features", "film_nearest"), ("the map", "film_error")):
        told.append(f"of {way} from {_off(result[name][0])} to {_off(result[name][-1])}")
    return f"The error changes {', '.join(told)}"


def _crossing_finding(result: xr.Dataset) -> str:
    errors = result.film_nearest.squeeze().transpose(..., "frame").values.reshape(result.sizes["ot_weight"], -1)
    weights, early = result.ot_weight.values, errors.shape[1] // 4
    first, last = int(np.argmin(errors[:, early])), int(np.argmin(errors[:, -1]))
    if len(weights) == 1:
        return f"With w = {weights[0]:g} the error changes from {_off(errors[0, 0])} to {_off(errors[0, -1])}"
    text = f"After {int(result.frame[early])} steps w = {weights[first]:g} has the lowest error, {_off(errors[first, early])}"
    return f"{text}; at the end w = {weights[last]:g}, {_off(errors[last, -1])}"


PICTURES = Pictures(
    Picture(
        "matched",
        "Correspondence",
        "Color: position on X; a vertex of Y has the color of its image. Click a point to mark it; drag to turn.",
        _matched,
        turns=_CAMERA,
        clicks=_clicked,
    ),
    Picture(
        "errors",
        "Errors",
        "Color: distance on X between the image of a vertex of Y and its true image.",
        _errors,
        needs=("off", "off_nearest"),
        turns=_CAMERA,
    ),
    Picture(
        "functions",
        "Eigenfunctions",
        "Color: value of the first eigenfunctions of X (above) and Y (below), without the constant.",
        _functions,
        turns=_CAMERA,
        finds=_functions_finding,
    ),
    Picture(
        "map",
        "Functional map",
        "Color: entry of the matrix that takes functions on X to functions on Y.",
        _map,
        finds=_map_finding,
    ),
    Picture(
        "correct",
        "Correct points",
        "Line: fraction of vertices with at most this error. Gray: random and true map.",
        _correct,
        needs=("correct",),
        finds=_correct_finding,
    ),
    Picture(
        "sizes",
        "Errors over the number of eigenfunctions",
        "Blue: functional map of nearest features. Orange: ZoomOut. Dashed: map of the truth.",
        _sizes,
        needs=("map_by", "floor_by"),
        finds=_sizes_finding,
    ),
    Picture(
        "course",
        "Errors in training",
        "Lines: mean error of nearest features and of the functional map.",
        _course,
        needs=("film_nearest",),
        finds=_course_finding,
    ),
    Picture(
        "crossing",
        "Weight of transport",
        "Line: mean error of nearest features in a training with this weight w of transport.",
        _crossing,
        needs=("film_nearest",),
        along=lambda study, data: _training(study, {"ot_weight": (0.0, 10.0, 100.0)}),
        finds=_crossing_finding,
    ),
)
