"""What the pictures of diverse subsets show now."""

from collections.abc import Callable

import numpy as np
import xarray as xr

from lab.words import number

from .pictures import pixels_of


def _change(ratio: float) -> str:
    """How much more or less, "" where it is hardly any."""
    off = abs(ratio - 1)
    return f"{off:{'.0%' if off >= 0.01 else '.1%'}} {'less' if ratio < 1 else 'more'}" if off >= 5e-4 else ""


def _beside_chance(variable: str, text: str) -> Callable[[xr.Dataset], str]:
    """Means over draws; ``text`` has places for how much, and for "than" or "as"."""

    def found(result: xr.Dataset) -> str:
        ours, chance = (result[variable].sel(way=way).dropna("draw").values for way in ("k-DPP", "random"))
        greedy = float(result[variable].sel(way="greedy")[0])
        if not ours.size or not chance.size:
            return "No draw has a finite value"
        if chance.mean() < 1e-12:
            return "Here random rows leave nothing to be improved"
        doubt = 2 * np.hypot(ours.std() / ours.size**0.5, chance.std() / chance.size**0.5)
        change = _change(ours.mean() / chance.mean()) if abs(ours.mean() - chance.mean()) > doubt else ""
        told = text.format(change or "as much", "than" if change else "as")
        return f"{told}, the greedy choice {_change(greedy / chance.mean()) or 'as much'}" if np.isfinite(greedy) else told

    return found


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
        return f"The likeliest row is chosen in {most:.0%} of the draws, the least likely never"
    often = number(most / least, 2)
    if often == "1":
        return "All rows are equally likely"
    return f"The likeliest row is {often} times as likely as the least likely"


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
    if not there.size or ratio[there].min() > 0.99:  # the rest is chance
        return "At no length-scale here do sums err markedly less than over random rows"
    best = there[ratio[there].argmin()]
    told = f"Sums err {_change(ratio[best])} than over random rows at ℓ = {lengths[best]:g}"
    other = there[np.argmax(np.abs(np.log(lengths[there] / lengths[best])))]
    return told if other == best else f"{told}, {_change(ratio[other]) or 'as much'} at {lengths[other]:g}"


FINDS = {
    "gallery": _gallery,
    "coverage": _beside_chance("coverage", "The k-DPP leaves {} distance {} chance"),
    "errors": _beside_chance("mmd_best", "Sums over the k-DPP err {} {} over random rows"),
    "unbiased": _beside_chance("mmd", "With unbiased weights the k-DPP errs {} {} chance"),
    "rows": _rows, "probabilities": _probabilities, "spectrum": _spectrum, "tradeoff": _tradeoff,
}
