"""What the pictures of shortest-path diffusion show now."""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from lab.studies.contract import Comparison, sweeping
from lab.words import number, percent

from .pictures import ours_of

_ALL = {
    "by frequency": "the schedule by frequency", "cosine": "the cosine schedule", "linear": "the linear schedule",
    "blurring": "blurring",
}
KL = Comparison(
    "kl", "KL divergence to the data", _ALL, result="kl", along="schedule", at={"sampler_name": "sampler"}, ours="by frequency",
)
W2SQ = Comparison(
    "w2sq", "W₂² to the data", _ALL, result="w2sq", along="schedule", at={"sampler_name": "sampler"}, ours="by frequency",
)
SLICED = Comparison(
    "sliced", "sliced distance to held-out images", _ALL, result="sliced_all", along="schedule", ours="by frequency",
)

_OURS = "by frequency"
_SYMBOLS = {"gamma": "γ", "warp": "p", "blend": "w"}
_EARLY = 0.4  # of the time: where noised images are compared
_LONG = 10  # letters of the name of a path that a sentence has room for
_FLAT = 1e-6  # a length below it is that of white data


def _two(value: Any) -> str:
    return number(float(value), 2)


def _the(result: xr.Dataset, name: str) -> str:
    """What a schedule is called in a sentence."""
    if name == _OURS:
        ours = ours_of(result)
        if ours == "shortest path":
            return f"the {ours}"
        return f"the path with {ours}" if len(ours) <= _LONG else "this path"
    return name if name == "blurring" else f"the {name} schedule"


def _bare(result: xr.Dataset, name: str) -> str:
    return _the(result, name).removeprefix("the ").removesuffix(" schedule")


def _begun(text: str) -> str:
    return text[0].upper() + text[1:]


def _least(values: xr.DataArray) -> list[tuple[str, float]]:
    """Schedules, the least value first."""
    pairs = [(str(name), float(value)) for name, value in zip(values.schedule.values, values.values, strict=True)]
    return sorted((pair for pair in pairs if np.isfinite(pair[1])), key=lambda pair: pair[1])


def _heat(result: xr.Dataset) -> str:
    times = result.half_time.sel(schedule=[_OURS, "blurring"]).transpose("radius", "schedule")
    there = np.flatnonzero(np.isfinite(times.values).all(axis=1))  # some bases leave rings empty
    if not there.size:
        return "Nothing has a half time: half of the signal is gone at once"
    known = there[[0, -1]]
    (ours, others), (last, blurred) = ([_two(value) for value in times.values[ring]] for ring in known)
    low, high = (f"|f| = {int(times.radius[ring])}" for ring in known)
    return f"Half is gone at t/T = {ours} of {low}, at {last} of {high}; with blurring at {others} and {blurred}"


def _spectra(result: xr.Dataset) -> str:
    power = np.log(result.power.sel(schedule=[_OURS, "cosine"]).transpose("schedule", "radius", "t").values)
    begun, ended = power[..., 0], power[..., -1]
    weak = int(np.nanargmin(np.where(np.isfinite(begun[0]), begun[0], np.nan)))
    way = (ended - begun)[:, weak]
    if not (np.abs(way) > _FLAT).all():
        return "The weakest power is that of white noise from the beginning"
    gone = (power[:, weak, int(np.abs(result.t.values - 0.5).argmin())] - begun[:, weak]) / way
    ours, cosine = (percent(min(max(float(share), 0), 1)) for share in gone)
    return f"At half time the weakest power has gone {ours} of its way (log), with the cosine schedule {cosine}"


def _speed(result: xr.Dataset) -> str:
    speed = result.speed.sel(schedule=[_OURS, "cosine"]).transpose("schedule", "t").values
    low, high = np.nanmin(speed, axis=1), np.nanmax(speed, axis=1)
    if not high[0] > _FLAT:
        return "White data stand still: their path has no length"
    if not (low > 0).all():
        return f"{_begun(_the(result, _OURS))} goes at a speed of {_two(low[0])} to {_two(high[0])}"
    ours, cosine = (_two(ratio) for ratio in high / low)
    if ours == "1":
        return f"The speed is even on {_the(result, _OURS)}; with the cosine schedule it varies by a factor of {cosine}"
    return f"Speeds vary by a factor of {ours} on {_the(result, _OURS)}, of {cosine} with the cosine schedule"


def _family(name: str) -> Callable[[xr.Dataset], str]:
    def found(result: xr.Dataset) -> str:
        own = result.sel(family=name)
        if np.ptp(own.family_length.values) < _FLAT and (np.ptp(own.family_kl.values, axis=0) < _FLAT).all():
            return f"KL is the same at every {_SYMBOLS[name]}"
        at = {
            sampler: f"{float(own.family_value[int(own.family_kl.sel(sampler_name=sampler).values.argmin())]):.3g}"
            for sampler in ("large", "ddim", "small")
        }
        if len({*at.values()}) == 1:
            return f"KL is minimal at {_SYMBOLS[name]} = {at['large']} with all three samplers"
        others = f"{at['ddim']} (DDIM), {at['small']} (small variance)"
        return f"KL is minimal at {_SYMBOLS[name]} = {at['large']} (large variance), {others}"

    return found


def _at_hand(result: xr.Dataset, name: str) -> xr.DataArray:
    return result[name].sel(sampler_name=sweeping.parameters(result)["sampler"])


def _budgets(result: xr.Dataset) -> str:
    kl = _at_hand(result, "budget_kl").sortby("budget")
    ours, others = kl.sel(schedule=_OURS), kl.drop_sel(schedule=_OURS).isel(budget=-1)
    steps, (best, least) = kl.budget.values, _least(others)[0]
    enough = np.flatnonzero(ours.values < least)
    mine = _the(result, _OURS)
    if enough.size and enough[0] + 1 < len(steps):
        return f"{_begun(mine)} has a smaller KL in {steps[enough[0]]} steps than all others in {steps[-1]}"
    return f"In {steps[-1]} steps {mine} ends at KL = {_two(ours[-1])}, {_the(result, best)} at {_two(least)}"


def _laws(result: xr.Dataset) -> str:
    kl = _at_hand(result, "law_kl")
    winners = [_least(kl.isel(exponent=at))[0][0] for at in range(kl.sizes["exponent"])]
    mine, others = winners.count(_OURS), [name for name in winners if name != _OURS]
    first = f"{_begun(_the(result, _OURS))} has the minimum KL at {mine} of {len(winners)} exponents"
    if not others:
        return first
    most = max(others, key=others.count)
    return f"{first}, {_the(result, most)} at {others.count(most)}"


def _toy(result: xr.Dataset) -> str:
    shortest, straight = (float(result.way_length.sel(way=way)) for way in ("shortest", "straight"))
    if shortest < _FLAT:
        return "Neither way has a length: the two pixels are white"
    gone = float(result.gone.sel(way="straight").sel(frame=0.5, method="nearest")) / straight
    return f"The straight way is {percent(straight / shortest - 1)} longer; {percent(gone)} of it is gone at half time"


def _strip(result: xr.Dataset) -> str:
    """How much of the image is seen early on."""
    at = int(np.abs(result.moment.values - _EARLY).argmin())
    tiles = result.strip.transpose("filmed", "moment", ...).values
    begun, now = (tiles[:, k].reshape(len(tiles), -1) for k in (0, at))
    if not (begun.std(axis=1) > 0).all():
        return "The image is of one grey, and only noise is seen"
    alike = [_two(np.corrcoef(one, two)[0, 1]) for one, two in zip(begun, now, strict=True)]
    names = [_bare(result, str(name)) for name in result.filmed.values]
    said = ", ".join(f"{value} {name}" for value, name in zip(alike, names, strict=True))
    return f"Correlation with the image at t/T = {float(result.moment[at]):g}: {said}"


FINDS = {
    "strip": _strip, "heat": _heat, "spectra": _spectra, "speed": _speed, "gamma": _family("gamma"),
    "warp": _family("warp"), "blend": _family("blend"), "budgets": _budgets, "laws": _laws, "distances": KL.finding,
    "toy": _toy, "images": SLICED.finding,
}
