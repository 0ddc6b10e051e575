"""Pictures, and the findings that head them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from lab.studies import draw
from lab.studies.contract import Comparison, Picture, Pictures, sweeping
from lab.words import number, percent

_ALL = {
    "by frequency": "the schedule by frequency",
    "cosine": "the cosine schedule",
    "linear": "the linear schedule",
    "blurring": "blurring",
}
KL = Comparison(
    "kl",
    "KL divergence to the data",
    _ALL,
    result="kl",
    along="schedule",
    at={"sampler_name": "sampler"},
    ours="by frequency",
)
W2SQ = Comparison(
    "w2sq",
    "W₂² to the data",
    _ALL,
    result="w2sq",
    along="schedule",
    at={"sampler_name": "sampler"},
    ours="by frequency",
)
SLICED = Comparison(
    "sliced", "sliced distance to held-out images", _ALL, result="sliced_all", along="schedule", ours="by frequency"
)

_TITLES = {"large": "large variance", "small": "small variance", "ddim": "DDIM"}
_SHORT = {"large": "large", "small": "small", "ddim": "DDIM"}
_NAMES = {"gamma": "exponent γ of the spectrum", "warp": "exponent p of the time"}
_TICKS = (0, 0.25, 0.5, 0.75, 1)
_VALUES = {"gamma": (0, 1, 2, 3, 4), "warp": (0.25, 0.5, 1, 2, 4)}
_RINGS = 7  # radii that have a curve


def _ours(result: xr.Dataset) -> str:
    """Name of the schedule by frequency: the shortest path, or its deviations."""
    given = sweeping.parameters(result)
    symbols = {"gamma": ("γ", 1.0), "warp": ("p", 1.0), "blend": ("w", 0.0)}
    left = [f"{symbol} = {given[name]:.3g}" for name, (symbol, usual) in symbols.items() if given[name] != usual]
    return ", ".join(left) or "shortest path"


def _named(result: xr.Dataset, dim: str = "schedule") -> dict[str, str]:
    return {str(name): _ours(result) if name == "by frequency" else str(name) for name in result[dim].values}


def _tints(names: Any) -> dict[str, str]:
    others = dict(zip([name for name in names if name != "by frequency"], draw.colours(4)[1:], strict=False))
    return {"by frequency": draw.SOURCE} | others


def _tiles(values: xr.DataArray) -> np.ndarray:
    found = values.transpose(..., "channel", "y", "x").values
    return np.moveaxis(found, -3, -1) if found.shape[-3] == 3 else found[..., 0, :, :]


def _film(result: xr.Dataset, at: int) -> Any:
    signal, noise = (_tiles(result.film.sel(part=part).isel(frame=at)) for part in ("signal", "noise"))
    tiles = np.stack([signal, noise, signal + noise], axis=1)
    note = f"t/T = {float(result.frame[at]):.2f}"
    return draw.mosaic(
        tiles, list(_named(result, "filmed").values()), ["signal", "noise", "sum"], note=note, height=470
    )


def _some(result: xr.Dataset) -> list[int]:
    known = np.flatnonzero(np.isfinite(result.abar.values[0, 0]))
    last = len(known) - 1
    wanted = np.minimum(np.r_[0, np.geomspace(1, max(last, 1), _RINGS - 1)].round().astype(int), last)
    return [int(known[place]) for place in dict.fromkeys(wanted)]


def _curves(result: xr.Dataset) -> Any:
    rings, ours = _some(result), result.sel(schedule="by frequency")
    blue, orange = (draw.colours(len(rings), True, tint)[::-1] for tint in (draw.SOURCE, draw.TARGET))
    layers: list[Any] = [draw.curve([0, 1], [0.5, 0.5], color=draw.MUTED, dash=True)]
    for ring, tint, other in zip(rings, blue, orange, strict=True):
        layers.append(draw.curve(result.t, ours.abar.sel(radius=ring), color=tint))
        layers.append(draw.curve(result.t, ours.noise.sel(radius=ring), color=other, dash=True))
    named = [("|f| =", draw.INK), *((f"{ring}", tint) for ring, tint in zip(rings, blue, strict=True))]
    layers += draw.legend(named, 1.03, (0.0, 1.0))
    return draw.plot(
        *layers,
        xlabel="t/T",
        ylabel="signal (blue) and noise (dashed)",
        xlim=(0, 1.3),
        ylim=(0, 1.02),
        xticks=_TICKS,
        height=470,
    )


def _speed(result: xr.Dataset) -> Any:
    tints, length = _tints(result.schedule.values), result.fisher_length
    layers = [
        draw.curve(result.t, result.speed[at], f"{title}: {float(length[at]):.4g}", color=tints[name])
        for at, (name, title) in enumerate(_named(result).items())
    ]
    level = draw.curve([0, 1], 2 * [float(result.distance)], color=draw.MUTED, dash=True)
    return draw.plot(
        level, *layers, xlabel="t/T", ylabel="Fisher speed", logy=True, height=340, xlim=(0, 1.6), xticks=_TICKS
    )


def _family(name: str) -> Callable[[xr.Dataset], Any]:
    def picture(result: xr.Dataset) -> Any:
        own = result.sel(family=name)
        at, measure = own.family_value.values, own.family_kl
        tints = dict(zip(_TITLES, draw.colours(3), strict=True))
        layers: list[Any] = []
        for sampler, title in _SHORT.items():
            line = measure.sel(sampler_name=sampler).values
            low = int(line.argmin())
            layers.append(draw.curve(at, line, f"{title}, minimum at {at[low]:.3g}", color=tints[sampler]))
            layers.append(draw.points([at[low]], [line[low]], color=tints[sampler]))
        excess, floor = own.family_length.values - float(own.family_length.min()), max(float(measure.min()) / 3, 1e-5)
        if (excess > floor).any():  # a time warp does not change the length
            layers.append(draw.curve(at, np.maximum(excess, 1e-6), "excess length", color=draw.MUTED, dash=True))
        layers.append(draw.vline(sweeping.parameters(result)[name], "now", color=draw.MUTED, dash=True))
        return draw.plot(
            *layers,
            logy=True,
            logx=name == "warp",
            xlabel=_NAMES[name],
            height=360,
            ylabel="KL, by the variance of the sampler",
            xticks=_VALUES[name],
            ylim=(floor, None),
        )

    return picture


def _budgets(result: xr.Dataset) -> Any:
    sampler = sweeping.parameters(result)["sampler"]
    found = result.budget_kl.sel(sampler_name=sampler).clip(min=1e-8)
    tints = {title: _tints(result.schedule.values)[each] for each, title in _named(result).items()}
    lines = {title: found.sel(schedule=each) for each, title in _named(result).items()}
    return draw.over(
        result.budget, lines, colors=tints, logx=True, logy=True, ylabel=f"KL, {_TITLES[sampler]}", height=340
    )


def _ellipse(covariance: np.ndarray) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 73)
    return 2 * np.stack([np.cos(angle), np.sin(angle)], axis=1) @ np.linalg.cholesky(covariance).T


def _toy(result: xr.Dataset, at: int) -> Any:
    end, layers = 2.4, []
    titles = {"shortest": "shortest path", "straight": "straight in covariance"}
    for column, (way, title) in enumerate(titles.items()):
        own, left = result.sel(way=way), column * 2.2 * end
        dots = own.pairs.isel(frame=at).values
        inside = np.where((np.abs(dots) < end).all(axis=1)[:, None], dots, np.nan)
        every = [_ellipse(each) for each in own.covariance.values]
        now, trail = every[at], np.concatenate([np.r_[each, [[np.nan, np.nan]]] for each in every[::4]])
        words = f"{title}: {float(own.gone[at]):.2f} of {float(own.way_length):.2f}"
        layers += [
            draw.curve(trail[:, 0] + left, trail[:, 1], color=draw.MUTED, dash=True),
            draw.points(inside[:, 0] + left, inside[:, 1], color=draw.SOURCE, size=0.35, alpha=0.8),
            draw.curve(now[:, 0] + left, now[:, 1], color=draw.TARGET),
            draw.text([left - end], [end * 1.1], words, color=draw.INK),
        ]
    note = f"t/T = {float(result.frame[at]):.2f}; horizontal: a pixel, vertical: the pixel at its right"
    layers.append(draw.text([-end], [-1.1 * end], note))
    return draw.frame(layers, (-end, 3.2 * end), (-1.25 * end, 1.25 * end), equal=True, bare=True, height=330)


def _images(result: xr.Dataset) -> Any:
    tiles = np.concatenate([_tiles(result.held_out)[None], _tiles(result.images)])
    names = [f"{title}: {float(result.sliced_all.sel(schedule=name)):.2g}" for name, title in _named(result).items()]
    note = f"numbers: sliced W₂²; of known images {float(result.sliced_floor):.2g}"
    return draw.mosaic(tiles, ["held-out", *names], note=note, height=380)


_OURS = "by frequency"
_SYMBOLS = {"gamma": "γ", "warp": "p"}
_LONG = 10  # maximum letters of the name of a path in a sentence
_FLAT = 1e-6  # lengths below it count as zero: white data


def _two(value: Any) -> str:
    return number(float(value), 2)


def _the(result: xr.Dataset, name: str) -> str:
    """Name of a schedule in a sentence."""
    if name == _OURS:
        ours = _ours(result)
        if ours == "shortest path":
            return f"the {ours}"
        return f"the path with {ours}" if len(ours) <= _LONG else "this path"
    return name if name == "blurring" else f"the {name} schedule"


def _begun(text: str) -> str:
    return text[0].upper() + text[1:]


def _least(values: xr.DataArray) -> list[tuple[str, float]]:
    """Schedules, the least value first."""
    pairs = [(str(name), float(value)) for name, value in zip(values.schedule.values, values.values, strict=True)]
    return sorted((pair for pair in pairs if np.isfinite(pair[1])), key=lambda pair: pair[1])


def _speed_finding(result: xr.Dataset) -> str:
    speed = result.speed.sel(schedule=[_OURS, "cosine"]).transpose("schedule", "t").values
    low, high = np.nanmin(speed, axis=1), np.nanmax(speed, axis=1)
    if not high[0] > _FLAT:
        return "For white data the path has no length"
    if not (low > 0).all():
        return f"{_begun(_the(result, _OURS))} has a speed of {_two(low[0])} to {_two(high[0])}"
    ours, cosine = (_two(ratio) for ratio in high / low)
    if ours == "1":
        return f"Constant speed on {_the(result, _OURS)}; with the cosine schedule it varies by a factor of {cosine}"
    return f"Speeds vary by a factor of {ours} on {_the(result, _OURS)}, of {cosine} with the cosine schedule"


def _family_finding(name: str) -> Callable[[xr.Dataset], str]:
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


def _budgets_finding(result: xr.Dataset) -> str:
    kl = result.budget_kl.sel(sampler_name=sweeping.parameters(result)["sampler"]).sortby("budget")
    ours, others = kl.sel(schedule=_OURS), kl.drop_sel(schedule=_OURS).isel(budget=-1)
    steps, (best, least) = kl.budget.values, _least(others)[0]
    enough = np.flatnonzero(ours.values < least)
    mine = _the(result, _OURS)
    if enough.size and enough[0] + 1 < len(steps):
        return f"{_begun(mine)} has a smaller KL in {steps[enough[0]]} steps than all others in {steps[-1]}"
    return f"In {steps[-1]} steps {mine} ends at KL = {_two(ours[-1])}, {_the(result, best)} at {_two(least)}"


def _toy_finding(result: xr.Dataset) -> str:
    shortest, straight = (float(result.way_length.sel(way=way)) for way in ("shortest", "straight"))
    if shortest < _FLAT:
        return "Neither path has a length: the two pixels are white"
    gone = float(result.gone.sel(way="straight").sel(frame=0.5, method="nearest")) / straight
    return f"The straight path is {percent(straight / shortest - 1)} longer; {percent(gone)} of it is done at half time"


PICTURES = Pictures(
    Picture(
        "film",
        "An image during diffusion",
        "Rows: schedules. Columns: remaining signal, noise, and their sum.",
        _film,
        plays="frame",
    ),
    Picture(
        "curves",
        "Schedule of each frequency",
        "Blue: fraction of the signal that is left, darker for lower |f|. Orange, dashed: noise.",
        _curves,
    ),
    Picture(
        "toy",
        "Two pixels",
        "Points: two neighboring pixels. Ellipse: two standard deviations. Dashed: earlier times. Numbers: Fisher length.",
        _toy,
        plays="frame",
        finds=_toy_finding,
    ),
    Picture(
        "speed",
        "Fisher speed",
        "Line: Fisher length per unit of time. Dashed: distance of data and white noise. Numbers: length of the path.",
        _speed,
        finds=_speed_finding,
    ),
    Picture(
        "gamma",
        "Deviation from the path: γ",
        "Line: exact KL of a sampler, with its minimum (dot). Gray: excess length of the path.",
        _family("gamma"),
        finds=_family_finding("gamma"),
    ),
    Picture(
        "warp",
        "Deviation from the path: speed",
        "Line: exact KL of a sampler, with its minimum (dot). All values of p have the same path.",
        _family("warp"),
        finds=_family_finding("warp"),
    ),
    Picture(
        "budgets",
        "Number of steps",
        "Line: exact KL of the sampler with this number of steps.",
        _budgets,
        finds=_budgets_finding,
    ),
    Picture(
        "images",
        "Images drawn in few steps",
        "Rows: schedules, all with the same noise and the optimal denoiser of known images.",
        _images,
        finds=SLICED.finding,
    ),
)
