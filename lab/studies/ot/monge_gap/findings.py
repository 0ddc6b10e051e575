"""What the pictures of the Monge gap show now."""

from collections.abc import Callable

import numpy as np
import xarray as xr

from lab.studies.contract import Comparison, as_text
from lab.words import number, percent

from .pictures import above_exact

_MAPS = {
    "constant": "the constant map", "Gaussian": "the Gaussian map", "entropic": "the entropic map", "turned": "the rotated map",
}
GAP = Comparison("gap", "Monge gap", _MAPS, result="gap_of", along="rival")
FIT = Comparison("fit", "divergence to the target", _MAPS, result="fit_of", along="rival")

_NOTHING = 1e-9  # of the mean cost, below which a gap is rounding


def _gap(gap: float, scale: float) -> str:
    """As a number; 0 where it is rounding."""
    return number(float(gap), 3) if gap > _NOTHING * scale else "0"


def _ends(values: xr.DataArray) -> tuple[float, float]:
    """The first and the last number."""
    seen = values.values[np.isfinite(values.values)]
    return (float(seen[0]), float(seen[-1])) if seen.size else (0.0, 0.0)


def _both(result: xr.Dataset) -> str:
    gap, cost = float(result.gap), float(result.displacement)
    if gap <= _NOTHING * cost:
        return "The map pairs the points at minimum cost"
    return f"The optimal assignment costs {percent(gap / cost)} less than the map"


def _contributions(result: xr.Dataset) -> str:
    share = np.sort(result.share_of_gap.values)[::-1]
    if share.mean() <= _NOTHING * float(result.displacement):
        return "No pair costs more than it must"
    worst = max(1, len(share) // 10)
    return f"{worst} of {len(share)} pairs carry {percent(share[:worst].sum() / share.sum())} of the gap"


def _bracket(result: xr.Dataset) -> str:
    off = above_exact(result)["entropic"]
    off, gap = off[np.isfinite(off)], _gap(float(result.gap), float(result.displacement))
    if not off.size:
        return f"The gap is {gap}"
    return f"The entropy adds {number(off.min(), 3)} ε to {number(off.max(), 3)} ε to the gap, which is {gap}"


def _field(result: xr.Dataset) -> str:
    far = np.linalg.norm(result.field_to.values, axis=-1)
    return f"A place is moved by {number(far.min(), 2)} to {number(far.max(), 2)}, by {number(far.mean(), 2)} on average"


def _rivals(result: xr.Dataset) -> str:
    """Only the last one is not there to compare with."""
    scale = float(result.displacement)
    gaps, fits = ([_gap(float(each), size) for each in result[name].values[[0, -1]]]
                  for name, size in (("gap_of", scale), ("fit_of", 1e-3)))
    first, last = (str(name) for name in result.rival.values[[0, -1]])
    return f"The {first} map has a gap of {gaps[0]} and a divergence of {fits[0]}; {last}: {gaps[1]} and {fits[1]}"


def _dimensions(result: xr.Dataset) -> str:
    table = result.uvp_of.squeeze(drop=True)
    table = table.expand_dims("dimensions") if "dimensions" not in table.dims else table
    far = int(np.argmax(np.atleast_1d(result.dimensions.values)))
    left = {str(name): float(table.sel(rival=name)[far]) for name in result.rival.values if name != "constant"}
    told = ", ".join(f"{name} {number(value, 2)}%" for name, value in left.items() if np.isfinite(value))
    return f"Unexplained in {int(np.atleast_1d(result.dimensions.values)[far])} dimensions: {told}"


def _film(result: xr.Dataset) -> str:
    scale, (crossed, cross) = float(result.displacement), _ends(result.film_crossing)
    began, gap = (_gap(each, scale) for each in _ends(result.film_gap))
    way = f"goes from {began} to {gap}" if began != gap else f"begins and ends at {gap}"
    return f"The gap {way}; pairs of lines that cross: {crossed:,.0f} at first, {cross:,.0f} at the end"


def _training(result: xr.Dataset) -> str:
    began, fit = (number(each, 3) for each in _ends(result.film_fit))
    gap = _gap(_ends(result.film_gap)[1], float(result.displacement))
    entropic = number(_ends(result.film_entropic)[1], 3)
    return f"The divergence goes from {began} to {fit}; the gap ends at {gap}, with the entropy at {entropic}"


def _loss(result: xr.Dataset) -> str:
    loss = result.curve_loss.values
    loss = loss[np.isfinite(loss)]
    if not loss.size:
        return "The loss is no finite number"
    last = max(1, loss.size // 10)
    return f"The loss begins at {number(loss[0], 3)} and is {number(loss[-last:].mean(), 3)} over the last tenth of the steps"


def _weights(result: xr.Dataset) -> str:
    left, at = np.atleast_1d(result.uvp.squeeze().values), np.atleast_1d(result.strength.values)
    if not np.isfinite(left).any():
        return "No training ended with finite numbers"
    best, worst = int(np.nanargmin(left)), int(np.nanargmax(left))
    text = f"λ = {at[best]:g} leaves {number(left[best], 2)}% unexplained"
    return text if left[best] == left[worst] else f"{text}, λ = {at[worst]:g} {number(left[worst], 3)}%"


def _crossings(name: str, title: str) -> Callable[[xr.Dataset], str]:
    def found(result: xr.Dataset) -> str:
        counts = np.atleast_1d(result.crossing.squeeze().values)
        values = [f"{title}{as_text(value)}" for value in np.atleast_1d(result[name].values).tolist()]
        shown = range(len(counts)) if len(counts) <= 3 else (int(np.argmin(counts)), int(np.argmax(counts)))
        return "Pairs of lines that cross: " + ", ".join(f"{counts[i]:,.0f} ({values[i]})" for i in shown)
    return found


def _symmetry(result: xr.Dataset) -> str:
    left = result.uvp.transpose(..., "strength", "conservative").values.reshape(result.sizes["strength"], -1)
    if not np.isfinite(left).any():
        return "No training ended with finite numbers"
    i, j = np.unravel_index(int(np.nanargmin(left)), left.shape)
    here = f"λ = {result.strength.values[i]:g} and κ = {result.conservative.values[j]:g} leave {number(left[i, j], 2)}%"
    return f"{here} unexplained, the minimum; the maximum is {number(np.nanmax(left), 2)}%"


FINDS = {
    "both": _both, "contributions": _contributions, "bracket": _bracket, "field": _field, "rivals": _rivals,
    "dimensions": _dimensions, "film": _film, "training": _training, "loss": _loss, "weights": _weights,
    "beside": _crossings("strength", "λ = "), "costs": _crossings("cost", ""), "symmetry": _symmetry,
}
