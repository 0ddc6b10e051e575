"""What the pictures of a correspondence show now."""

from typing import Any

import numpy as np
import xarray as xr

from lab.studies.contract import Comparison
from lab.words import number, percent

from .pictures import TERMS

ERROR = Comparison(
    "error", "mean geodesic error in %",
    {
        "error": "the final map", "error_map": "the unrefined map", "error_solved": "the map solved from features",
        "error_nearest": "nearest features", "error_waves": "wave kernel signatures",
    },
    ours="error",
)
_CLOSE = 5.0  # %, of the errors that count as close


def _off(error: Any) -> str:
    return f"{number(float(error), 2)}%"


def _diagonal(values: np.ndarray) -> str:
    """The share of the squared entries that lie on the diagonal."""
    squared = values**2
    return percent(np.trace(squared) / squared.sum()) if squared.any() and np.isfinite(squared).all() else "0%"


def _map(result: xr.Dataset) -> str:
    text = f"{_diagonal(result.c.values)} of the squared entries lie on the diagonal"
    return f"{text}, {_diagonal(result.c_best.values)} of the truth's" if "c_best" in result else text


def _best(result: xr.Dataset) -> str:
    return f"For the truth {_diagonal(result.c_best.values)} of the squared entries lie on the diagonal"


def _near(correct: xr.DataArray) -> float:
    """The share of vertices that are close."""
    return float(correct.sel(threshold=_CLOSE, method="nearest"))


def _correct(result: xr.Dataset) -> str:
    near = {str(way): _near(result.correct.sel(way=way)) for way in result.way.values}
    ours = [way for way in near if way not in ("random", "best map")]
    shown = {way: "the true map" if way == "best map" else way for way in dict.fromkeys((ours[-1], "nearest", "best map"))}
    told = [f"{name} {percent(near[way])}" for way, name in shown.items() if way in near]
    at = float(result.threshold.sel(threshold=_CLOSE, method="nearest"))
    return f"Within an error of {at:g}%: {', '.join(told)}"


def _variants(result: xr.Dataset) -> str:
    result = result.squeeze()
    names = [str(name) for name in np.atleast_1d(result.transport.values)]
    lines = result.correct.sel(way="map")
    near = {name: _near(lines.sel(transport=name) if "transport" in lines.dims else lines) for name in names}
    most, least = max(near, key=lambda name: near[name]), min(near, key=lambda name: near[name])
    at = float(result.threshold.sel(threshold=_CLOSE, method="nearest"))
    text = f"Within an error of {at:g}%: {most} {percent(near[most])}"
    return text if near[most] == near[least] else f"{text}, the most; {least} {percent(near[least])}"


def _relative(result: xr.Dataset) -> np.ndarray:
    """How far the eigenvalues are apart, as shares of their means; the first ones are 0."""
    x, y = result.values_x.values[1:], result.values_y.values[1:]
    return np.abs(x - y) / np.maximum((x + y) / 2, 1e-300)


def _functions(result: xr.Dataset) -> str:
    numbers = result.shown.values.astype(int)
    if "c_best" not in result:
        apart = percent(_relative(result)[numbers - 1].max())
        return f"The first {len(numbers)} eigenvalues of X and Y differ by at most {apart}"
    agree = np.minimum(np.abs(np.diagonal(result.c_best.values)[numbers]), 1.0)
    span = " to ".join(dict.fromkeys(number(float(each), 2) for each in (agree.min(), agree.max())))
    return f"By the truth the first {len(numbers)} of X and Y have a cosine of {span}"


def _spectrum(result: xr.Dataset) -> str:
    apart = _relative(result)
    return f"The eigenvalues of X and Y differ by {percent(apart.mean())} on average, by {percent(apart.max())} at most"


def _sizes(result: xr.Dataset) -> str:
    best, features = _off(result.floor_by[-1]), _off(result.map_by[-1])
    told = f"Error with {int(result['size'][-1])}: true map {best}, features' map {features}"
    if "zoom_error" not in result:
        return told
    return f"{told}; sharpened to {int(result.zoom_size[-1])}, {_off(result.zoom_error[-1])}"


def _sliced(result: xr.Dataset) -> str:
    told = []
    for at in dict.fromkeys((0, result.sizes["lines"] - 1)):
        value, spread = number(float(result.sliced[at]), 2), number(2 * float(result.sliced_error[at]), 2)
        told.append(f"{value} ± {spread} by {int(result.lines[at])} directions")
    return f"The distance is {', '.join(told)}"


def _weights(result: xr.Dataset) -> str:
    seen = result.seen.values
    if not seen.mean() > 0:
        return "W₂² is zero in every direction"
    most = number(seen[0] / seen.mean(), 2)
    return f"Largest W₂² of a direction: {most} times the mean; largest weight: {number(float(result.weight[0]), 3)} times"


def _film(result: xr.Dataset) -> str:
    first, last = _diagonal(result.maps.values[0]), _diagonal(result.maps.values[-1])
    return f"On the diagonal lie {first} of the squared entries at first, {last} at the end"


def _course(result: xr.Dataset) -> str:
    told = []
    for way, name in (("features", "film_nearest"), ("the map", "film_error")):
        told.append(f"by {way} from {_off(result[name][0])} to {_off(result[name][-1])}")
    return f"The error goes {', '.join(told)}"


def _terms(result: xr.Dataset) -> str:
    """The first and the last of those that are drawn."""
    told = []
    for term in (TERMS[0], TERMS[-1]):
        values = result.terms.sel(term=term).values
        values = values[np.isfinite(values)]
        if values.size:
            told.append(f"{term} {'' if told else 'goes '}from {number(values[0], 2)} to {number(values[-1], 2)}")
    return ", ".join(told).capitalize() or "No term is a finite number"


def _refined(result: xr.Dataset) -> str:
    rows = (("by the map", "error_map", "error_refined"), ("by features", "error_nearest", "error_refined_nearest"))
    told = [f"{way} from {number(float(result[one]), 3)}% to {number(float(result[two]), 3)}%" for way, one, two in rows]
    return f"Refining takes the error {', '.join(told)}"


def _crossing(result: xr.Dataset) -> str:
    errors = result.film_nearest.squeeze().transpose(..., "frame").values.reshape(result.sizes["ot_weight"], -1)
    weights, early = result.ot_weight.values, errors.shape[1] // 4
    first, last = int(np.argmin(errors[:, early])), int(np.argmin(errors[:, -1]))
    if len(weights) == 1:
        return f"With w = {weights[0]:g} the error goes from {_off(errors[0, 0])} to {_off(errors[0, -1])}"
    told = [f"w = {weights[k]:g} is off least, by {_off(errors[k, at])}" for k, at in ((first, early), (last, -1))]
    return f"After {int(result.frame[early])} steps {told[0]}; at the end {told[1].replace(' is off least', '')}"


FINDS = {
    "functions": _functions, "spectrum": _spectrum, "map": _map, "best": _best, "correct": _correct, "sizes": _sizes,
    "sliced": _sliced, "weights": _weights, "film": _film, "course": _course, "terms": _terms, "refined": _refined,
    "crossing": _crossing, "variants": _variants,
}
