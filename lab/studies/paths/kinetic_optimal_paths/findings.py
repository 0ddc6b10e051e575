"""What the pictures of kinetic-optimal paths show now."""

import numpy as np
import xarray as xr

from lab.studies.contract import Comparison
from lab.words import number, percent

from .pictures import seen_schedules, what_changed

_OPTIMAL, _LINEAR = "kinetic optimal", "linear"
_ALL = {
    _OPTIMAL: "the kinetic optimal schedule", _LINEAR: "the linear schedule", "trigonometric": "the trigonometric schedule",
    "VP": "the VP diffusion", "between": "the mixed schedule",
}
W2SQ = Comparison(
    "w2sq", "W₂² to held-out data", _ALL, result="w2sq", along="schedule", ours=_OPTIMAL,
    best_at={"data": "stretched-gaussian", "nfe": 1},
)
ENERGY = Comparison("energy", "kinetic energy", _ALL, result="energy", along="schedule", ours=_OPTIMAL)
PAIRS = Comparison("pairs", "energy of single pairs", _ALL, result="energy_conditional", along="schedule", random=False)


def _schedules(result: xr.Dataset) -> str:
    at = int(np.abs(result.t.values - 0.5).argmin())
    told = []
    for name in (_OPTIMAL, _LINEAR):
        a, m = (number(float(result[part].sel(schedule=name)[at]), 2) for part in ("a", "m"))
        told.append(f"{a} and {m} ({name})")
    return f"At t = {float(result.t[at]):.3g} a and m are {', '.join(told)}"


def _separation(result: xr.Dataset) -> str:
    return f"The angle Φ is {percent(float(result.phi_total) / (np.pi / 2))} of π/2, where straight lines are optimal"


def _integrand(result: xr.Dataset) -> str:
    optimal, linear = (result.density.sel(schedule=name).values for name in (_OPTIMAL, _LINEAR))
    low, high = float(np.nanmin(optimal)), float(np.nanmax(optimal))
    level = f"level at {number(high, 3)}" if high - low <= 0.02 * high else f"between {number(low, 2)} and {number(high, 2)}"
    low, high = (number(float(each(linear)), 2) for each in (np.nanmin, np.nanmax))
    return f"What is left of the energy: {_OPTIMAL} {level}, {_LINEAR} between {low} and {high}"


def _distances(names: list[str], values: np.ndarray) -> str:
    told = [f"{name} {number(float(value), 3)}" for name, value in zip(names, values, strict=True) if np.isfinite(value)]
    return ", ".join(told) or "no finite number"


def _images(result: xr.Dataset) -> str:
    names = list(seen_schedules(result))
    return f"W₂² of the samples: {_distances(names, result.w2sq.sel(schedule=names).values)}"


def _training(result: xr.Dataset) -> str:
    return f"W₂² with the networks: {_distances(list(seen_schedules(result)), result.w2sq_network.values)}"


def _steps(result: xr.Dataset) -> str:
    """From how many steps on the distance is within twice that of fresh samples."""
    steps, floor = np.sort(result.nfe.values), float(result.w2sq_floor.mean())
    told = []
    for name in (_OPTIMAL, _LINEAR):
        mean = result.w2sq.sel(schedule=name).mean("seed").sortby("nfe").values
        beyond = np.flatnonzero(~(mean <= 2 * floor))
        first = 0 if not beyond.size else int(beyond[-1]) + 1
        told.append(f"{steps[first] if first < len(steps) else f'over {steps[-1]}'} ({name})")
    return f"Euler steps to twice the floor of W₂²: {', '.join(told)}"


def _weight(result: xr.Dataset) -> str:
    ends = result.sel(schedule="between").sortby("weight").isel(weight=[0, -1])
    energy, distance = ([number(float(each), 3) for each in ends[name].values] for name in ("energy", "w2sq"))
    if result.sizes["weight"] == 1:
        return f"The energy is {energy[0]}, W₂² is {distance[0]}"
    return f"Energy goes from {energy[0]} to {energy[1]}, W₂² from {distance[0]} to {distance[1]}"


def _curves(result: xr.Dataset) -> str:
    name, sign = what_changed(result)
    angles = np.broadcast_to(result.phi_total.values, result.sizes[name])
    least, most = int(np.argmin(angles)), int(np.argmax(angles))
    values = result[name].values
    if least == most:
        return f"Φ is {angles[0]:.3f} for all; π/2 is 1.571"
    return f"Φ is {angles[least]:.3f} at {sign} = {values[least]}, {angles[most]:.3f} at {sign} = {values[most]}; π/2 is 1.571"


FINDS = {
    "energies": PAIRS.finding, "integrand": _integrand, "separation": _separation, "schedules": _schedules, "steps": _steps,
    "weight": _weight, "curves": _curves, "images": _images, "training": _training,
}
