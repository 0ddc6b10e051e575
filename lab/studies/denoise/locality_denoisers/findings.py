"""What the pictures of the locality of denoisers show now."""

from collections.abc import Callable

import numpy as np
import xarray as xr

from lab.denoise.lineup import NETWORKS
from lab.studies.contract import Comparison, sweeping
from lab.words import number, percent

from .pictures import SHOWN, known, reference

_COPY = 0.02  # of values between -1 and 1: a sample that is nearer to a training image is called a copy
_FULL = {"optimal": "the optimal denoiser", "Wiener": "the Wiener filter", "nearest": "the nearest image"} | {
    name: f"the {name}" for name in NETWORKS
}

_ALL = ("optimal", "nearest", "Wiener", "PCA locality", "LS", "PSPC", "ELS", *NETWORKS)
_WORDS = {name: _FULL.get(name, name) for name in _ALL}
LOW, MIDDLE = (
    Comparison(
        name, f"mean squared error at σ = {level:g}", _WORDS, result="table_mse", along="denoiser", over="test",
        at={"table_level": level}, ours="PCA locality", repeats="test images",
    )
    for name, level in (("low", 0.1), ("middle", 1.0))
)


def _the(name: str) -> str:
    return _FULL.get(name, name)


def _two(value: float) -> str:
    return number(float(value), 2)


def _ranked(values: xr.DataArray) -> list[tuple[str, float]]:
    """Denoisers that have a number, the smallest first."""
    pairs = [(str(name), float(value)) for name, value in zip(values.denoiser.values, values.values, strict=True)]
    return sorted((pair for pair in pairs if np.isfinite(pair[1])), key=lambda pair: pair[1])


def _begun(text: str) -> str:
    return text[0].upper() + text[1:] if text[0].isascii() else text  # no symbol


def _here(result: xr.Dataset) -> xr.Dataset:
    """At the level that is nearest to σ."""
    apart = np.abs(np.log(result.level.values / sweeping.parameters(result)["sigma"]))
    return result.isel(level=int(apart.argmin()))


# ---- one run -----------------------------------------------------------------------------------------------------


def _spectrum(result: xr.Dataset) -> str:
    values, variance = np.maximum(result.eigenvalue.values, 0), sweeping.parameters(result)["sigma"] ** 2
    above, total = values[values > variance], values.sum()
    if not total > 0:
        return "All training images are equal: no direction varies"
    if not above.size:
        return f"No direction varies more than the noise: λ₁ = {_two(values[0])}, σ² = {_two(variance)}"
    which = "direction above σ² holds" if above.size == 1 else f"{above.size} directions above σ² hold"
    return f"The {which} {percent(above.sum() / total)} of the variance"


def _sensitivity(result: xr.Dataset) -> str:
    rows = result.sensitivity.sel(denoiser="Wiener").sortby("field_level").transpose("field_level", ...)
    squares = rows.values.reshape(len(rows), -1) ** 2
    if not (squares.sum(1) > 0).all():
        return "The Wiener filter looks nowhere: this pixel does not vary"
    low, high = (_two(each) for each in (squares.sum(1) ** 2 / (squares**2).sum(1))[[0, -1]])
    one, two = (_two(each) for each in rows.field_level.values[[0, -1]])
    return f"The Wiener filter has {low} pixels in sight at σ = {one}, {high} at σ = {two}"


def _directions(result: xr.Dataset) -> str:
    values = np.maximum(result.eigenvalue.values, 0)
    shown = values[: result.sizes["direction"] // 2 * 2]
    if not values.sum() > 0:
        return "All training images are equal: no direction varies"
    held = f"These {len(shown)} directions hold {percent(shown.sum() / values.sum())} of the variance"
    return f"{held}; half of the last passes at σ = {_two(shown[-1] ** 0.5)}" if shown[-1] > 0 else held


def _sizes(result: xr.Dataset) -> str:
    ordered = result.sortby("level").isel(level=[0, -1])
    levels, masks, images = (
        " to ".join(_two(value) for value in each.values) for each in (ordered.level, ordered.mask_size, ordered.ess)
    )
    return f"From σ = {levels} masks go from {masks} pixels, images averaged from {images}"


def _errors(result: xr.Dataset) -> str:
    at = _here(result)
    (first, low), *_, (last, high) = _ranked(at.mse_clean.mean("test"))
    low, high = number(low, 3), number(high, 3)
    if low == high:
        return f"At σ = {_two(at.level)} all denoisers have an error of {low}"
    return f"At σ = {_two(at.level)} the error is {low} ({_the(first)}) to {high} ({_the(last)})"


def _estimates(result: xr.Dataset) -> str:
    images = result.estimate.sel(denoiser=known(result.estimate)).transpose("level", "denoiser", ...).values
    flat = images.reshape(*images.shape[:2], -1)
    apart = np.sqrt(((flat[:, :, None] - flat[:, None]) ** 2).mean(-1)).max((1, 2))
    most, least = (int(at) for at in (np.nanargmax(apart), np.nanargmin(apart)))
    much, little = (f"at σ = {_two(result.level[k])}, by up to {_two(apart[k])} RMS" for k in (most, least))
    return f"Denoisers differ {much}, and {little}"


def _table(result: xr.Dataset) -> str:
    if "r2_net" not in result:
        (best, least), (other, error), *_ = _ranked(result.mse_clean.mean(["test", "level"], skipna=False))
        return f"Mean error over all levels: {_the(best)} {number(least, 3)}, then {_the(other)} {number(error, 3)}"
    *_, (other, less), (best, most) = _agreements(result.r2_net.mean(["test", "level"], skipna=False), result)
    return f"r² with {_the(reference(result))}: {_the(best)} {number(most, 3)}, then {_the(other)} {number(less, 3)}"


def _agreements(values: xr.DataArray, result: xr.Dataset) -> list[tuple[str, float]]:
    return [pair for pair in _ranked(values) if pair[0] != reference(result)]


def _agreement(result: xr.Dataset) -> str:
    at = _here(result)
    (worst, low), *_, (best, high) = _agreements(at.r2_net.mean("test"), result)
    near = f"At σ = {_two(at.level)} r² with {_the(reference(result))} is {_two(high)} ({best})"
    return f"{near} to {_two(low)} ({worst})"


def _samples(result: xr.Dataset) -> str:
    names = known(result.path)
    to = next((name for name in NETWORKS if name in names), "optimal")
    last = result.path.isel(step=-1)
    apart = np.sqrt(((last - last.sel(denoiser=to)) ** 2).mean(["sample", "channel", "y", "x"]))
    (near, little), *_, (far, much) = [pair for pair in _ranked(apart) if pair[0] != to]
    return f"From the same noise {_the(near)} ends {_two(little)} RMS from {_the(to)}, {_the(far)} {_two(much)}"


def _memory(result: xr.Dataset) -> str:
    copies = result.nearest_distance.sel(denoiser=known(result.nearest_distance)) < _COPY
    ours, others = copies.sel(denoiser="optimal"), copies.drop_sel(denoiser="optimal")
    own = f"{int(ours.sum())} of {ours.size} samples of the optimal denoiser are copies"
    return f"{own} (within {_COPY}), of the others {int(others.sum())} of {others.size}"


def _pattern(result: xr.Dataset) -> str:
    of = {"this field": _ranked(result.pattern_pixel)[-1:], "Jᵀ P": _ranked(result.pattern_match)[-1:]}
    said = [f"{_two(value)} of {what} ({name})" for what, found in of.items() for name, value in found]
    return f"Largest correlation with P: {', '.join(said)}" if said else "No denoiser looks anywhere from this pixel"


def _pattern_table(result: xr.Dataset) -> str:
    found = _ranked(result.pattern_rows.median("stroke"))
    if not found:
        return "No denoiser looks anywhere from the pattern"
    (worst, low), (best, high) = found[0], found[-1]
    return f"Median correlation with P: {_two(high)} ({_the(best)}) to {_two(low)} ({_the(worst)})"


def _training(result: xr.Dataset) -> str:
    losses = {name: loss[np.isfinite(loss)] for name in NETWORKS for loss in [result.curve_loss.sel(network=name).values]}
    ends = [f"{_two(loss[-max(len(loss) // 10, 1) :].mean())} ({name})" for name, loss in losses.items() if loss.size]
    return f"Over the last tenth of the steps the loss is {', '.join(ends)}"


# ---- sweeps ------------------------------------------------------------------------------------------------------


def _best(name: str, method: str, said: Callable[[float], str]) -> Callable[[xr.Dataset], str]:
    """Which value of a parameter does best at the lowest and at the highest level that are drawn."""

    def found(result: xr.Dataset) -> str:
        agreement = "r2_net" in result
        values = (result.r2_net if agreement else -result.mse_clean).sel(denoiser=method).mean("test")
        shown = values.isel(level=[k for k in SHOWN if k < values.sizes["level"]]).sortby("level").transpose("level", name)
        best = [said(float(result[name][int(np.nanargmax(shown.values[at]))])) for at in (0, -1)]
        low, high = (_two(shown.level[at]) for at in (0, -1))
        does = "agrees best" if agreement else "errs least"
        if best[0] == best[1]:
            return _begun(f"{best[0]} {does} both at σ = {low} and at σ = {high}")
        return _begun(f"{best[0]} {does} at σ = {low}, {best[1]} at σ = {high}")

    return found


def _training_size(result: xr.Dataset) -> str:
    errors = result.isel(level=SHOWN[3]).mse_clean.mean("test").sortby("train")

    def least(at: int) -> tuple[int, str, str]:
        name, error = _ranked(errors.isel(train=at))[0]
        return int(errors.train[at]), _the(name), _two(error)

    (few, first, before), (many, last, after) = least(0), least(-1)
    return f"With {few} images {first} errs least, by {before}; with {many} {last}, by {after}"


def _recovered(result: xr.Dataset) -> str:
    rows = result.pattern_rows.median("stroke").sortby("strength")
    none, full = (_ranked(rows.isel(strength=at)) for at in (0, -1))
    if not none or not full:
        return "No denoiser looks anywhere from the pattern"
    low, high = (f"c = {float(rows.strength[at]):g}" for at in (0, -1))
    (worst, less), (best, most) = full[0], full[-1]
    shown = f"Correlation with P at {high}: {best} {_two(most)}, {worst} {_two(less)}"
    return f"{shown}; {_two(none[-1][1])} at most at {low}"


FINDS = {
    "spectrum": _spectrum, "sensitivity": _sensitivity, "directions": _directions, "sizes": _sizes, "errors": _errors,
    "estimates": _estimates, "error_table": LOW.finding, "table": _table, "agreement": _agreement, "training": _training,
    "samples": _samples, "memory": _memory, "theta": _best("theta", "PCA locality", lambda at: f"θ = {at:g}"),
    "patch": _best("radius", "LS", lambda at: f"a side of {2 * at + 1:g} pixels"), "training-size": _training_size,
    "pattern": _pattern, "pattern_table": _pattern_table, "recovered": _recovered,
}
