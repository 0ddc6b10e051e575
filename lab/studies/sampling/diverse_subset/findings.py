"""What the pictures of diverse subsets show now."""

import numpy as np
import xarray as xr

from lab.studies.contract import Comparison
from lab.words import number

from .pictures import pixels_of

_ALL = {"k-DPP": "the k-DPP", "random": "uniform sampling", "greedy": "the greedy choice"}


def _of(name: str, quantity: str) -> Comparison:
    return Comparison(
        name, quantity, _ALL, result=name, along="way", over="draw", single=("greedy",), ours="k-DPP", repeats="draws",
    )


COVER = _of("coverage", "mean distance to the chosen rows")
ERROR = _of("mmd_best", "error of sums")
UNBIASED = _of("mmd", "error with unbiased weights")


def _gallery(result: xr.Dataset) -> str:
    if "classes_found" in result and np.isfinite(result.classes_found):
        ours, chance = (f"{float(result[name]):.1f}" for name in ("classes_found", "classes_random"))
        return f"The k-DPP finds {ours} classes on average, chance {chance if chance != ours else 'finds as many'}"
    pixels = pixels_of(result)
    if pixels is None or pixels.shape[1] < 2:
        return "One picture is chosen"
    flat = pixels.reshape(*pixels.shape[:2], -1).astype(float)
    apart = np.stack([np.sqrt(((each[:, None] - each[None]) ** 2).mean(-1)) for each in flat])
    nearest = (apart + np.where(np.eye(apart.shape[1]), np.inf, 0)).min(-1).mean(-1)
    ours, chance = (number(nearest[result.way.values.tolist().index(way)], 3) for way in ("k-DPP", "random"))
    return f"The most alike pictures of the k-DPP differ by {ours} a pixel, those of chance by {chance}"


def _rows(result: xr.Dataset) -> str:
    weight = 1 / result.probability.values[result.indices.sel(way="k-DPP").values[:12]]
    low, high = number(weight.min(), 2), number(weight.max(), 2)
    told = low if low == high else f"{low} to {high}"
    return f"A chosen row stands for {told} of the {result.sizes['row']} rows"


def _probabilities(result: xr.Dataset) -> str:
    least, most = float(result.probability.min()), float(result.probability.max())
    if not least > 1e-9:
        return f"One row is chosen in {most:.0%} of the draws, another never"
    often = number(most / least, 2)
    if often == "1":
        return "All rows are equally likely"
    return f"Inclusion probabilities of rows differ by a factor of up to {often}"


def _spectrum(result: xr.Dataset) -> str:
    k = result.sizes["chosen"]
    top = min(k, result.sizes["mode"])
    if k == 1:
        return f"In {float(result.taken[0]):.0%} of the draws the eigenvector is that of the largest eigenvalue"
    inside = number(float(result.taken[:top].sum()), 2)
    return f"Of {k} eigenvectors taken {inside} on average belong to the {top} largest eigenvalues"


def _tradeoff(result: xr.Dataset) -> str:
    lengths, ratio = result.length.values, (result.error / result.error_random).values
    there = np.flatnonzero(np.isfinite(ratio))
    if not there.size:
        return "No length-scale has a finite error"
    places = sorted({int(there[i]) for i in (0, ratio[there].argmin(), -1)})
    told = [f"{number(ratio[at], 3)} at ℓ = {lengths[at]:g}" for at in places]
    return f"Error of sums, relative to random rows: {', '.join(told)}"


FINDS = {
    "gallery": _gallery,
    "coverage": COVER.finding, "errors": ERROR.finding, "unbiased": UNBIASED.finding,
    "rows": _rows, "probabilities": _probabilities, "spectrum": _spectrum, "tradeoff": _tradeoff,
}
