"""The pictures of shortest-path diffusion."""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from lab.studies import draw
from lab.studies.contract import Picture, Pictures, sweeping

_TITLES = {"large": "large variance", "small": "small variance", "ddim": "DDIM"}
_SHORT = {"large": "large", "small": "small", "ddim": "DDIM"}
_NAMES = {"gamma": "γ of the spectrum", "warp": "p of the time", "blend": "share of the cosine schedule"}
_TICKS = (0, 0.25, 0.5, 0.75, 1)
_VALUES = {"gamma": (0, 1, 2, 3, 4), "warp": (0.25, 0.5, 1, 2, 4), "blend": _TICKS}
_RINGS = 7  # radii that have a curve


def ours_of(result: xr.Dataset) -> str:
    """What the schedule by frequency is called: the shortest path, or how it leaves it."""
    given = sweeping.parameters(result)
    symbols = {"gamma": ("γ", 1.0), "warp": ("p", 1.0), "blend": ("w", 0.0)}
    left = [f"{symbol} = {given[name]:.3g}" for name, (symbol, usual) in symbols.items() if given[name] != usual]
    return ", ".join(left) or "shortest path"


def _named(result: xr.Dataset, dim: str = "schedule") -> dict[str, str]:
    return {str(name): ours_of(result) if name == "by frequency" else str(name) for name in result[dim].values}


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
    return draw.mosaic(tiles, list(_named(result, "filmed").values()), ["signal", "noise", "sum"], note=note, height=470)


def _strip(result: xr.Dataset) -> Any:
    heads = [f"t/T = {t:.1f}" for t in result.moment.values]
    return draw.mosaic(_tiles(result.strip), list(_named(result, "filmed").values()), heads, height=330)


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
    return draw.plot(*layers, xlabel="t/T", ylabel="signal (blue) and noise (dashed)", xlim=(0, 1.3), ylim=(0, 1.02),
                     xticks=_TICKS, height=470)


def _heat(result: xr.Dataset) -> Any:
    ours, tints = result.sel(schedule="by frequency"), _tints(result.schedule.values) | {"by frequency": draw.INK}
    marks = [
        draw.curve(result.half_time.sel(schedule=name), result.radius, color=tints[name], dash=name != "by frequency")
        for name in result.filmed.values
    ]
    top = result.radius.values[np.isfinite(result.half_time.values).all(axis=0)][-1]  # some bases leave outer rings empty
    for name in ("cosine", "blurring"):
        at = float(result.half_time.sel(schedule=name, radius=top))
        marks.append(draw.text([at], [0.9 * top], f"  {name}", color=draw.CARD))  # on cells that are dark on a light card
    cells, rows, cols = ours.abar.transpose("radius", "t").values, result.radius.values, result.t.values
    return draw.heatmap(cells, rows, cols, xlabel="t/T", ylabel="|f|, periods over the image", clabel="signal that is left",
                        clim=(0, 1), equal=False, outline=False, marks=marks, height=360)


def _speed(result: xr.Dataset) -> Any:
    tints, length = _tints(result.schedule.values), result.fisher_length
    layers = [
        draw.curve(result.t, result.speed[at], f"{title}: {float(length[at]):.4g}", color=tints[name])
        for at, (name, title) in enumerate(_named(result).items())
    ]
    level = draw.curve([0, 1], 2 * [float(result.distance)], color=draw.MUTED, dash=True)
    return draw.plot(level, *layers, xlabel="t/T", ylabel="Fisher speed", logy=True, height=340, xlim=(0, 1.6), xticks=_TICKS)


def _spectra(result: xr.Dataset, at: int) -> Any:
    ring, tints = result.radius.values, _tints(result.schedule.values)
    now = result.power.sel(t=result.frame[at], method="nearest")
    known = {"of the images": result.measured, "law of powers": result.fitted}
    layers = [draw.curve(ring, line, name, color=draw.MUTED, dash=name != "of the images") for name, line in known.items()]
    layers += [draw.curve(ring, now.sel(schedule=name), title, color=tints[name]) for name, title in _named(result).items()]
    every = np.concatenate([np.ravel(line) for line in (result.power, result.measured, result.fitted)])
    return draw.plot(*layers, logy=True, xlabel="|f|, periods over the image", ylabel="power", height=340,
                     ylim=(np.nanmin(every) / 1.5, np.nanmax(every) * 1.5), xlim=(0, 1.35 * ring.max()),
                     note=f"t/T = {float(result.frame[at]):.2f}")


def _family(name: str) -> Callable[[xr.Dataset], Any]:
    def picture(result: xr.Dataset) -> Any:
        own = result.sel(family=name)
        at, measure = own.family_value.values, own.family_kl
        tints = dict(zip(_TITLES, draw.colours(3), strict=True))
        layers: list[Any] = []
        for sampler, title in _SHORT.items():
            line = measure.sel(sampler_name=sampler).values
            low = int(line.argmin())
            layers.append(draw.curve(at, line, f"{title}, least at {at[low]:.3g}", color=tints[sampler]))
            layers.append(draw.points([at[low]], [line[low]], color=tints[sampler]))
        excess, floor = own.family_length.values - float(own.family_length.min()), max(float(measure.min()) / 3, 1e-5)
        if (excess > floor).any():  # the same path at another speed is no longer
            layers.append(draw.curve(at, np.maximum(excess, 1e-6), "excess length", color=draw.MUTED, dash=True))
        layers.append(draw.vline(sweeping.parameters(result)[name], "here", color=draw.MUTED, dash=True))
        return draw.plot(*layers, logy=True, logx=name == "warp", xlabel=_NAMES[name], height=360,
                         ylabel="KL, by the variance of the sampler", xticks=_VALUES[name],
                         ylim=(floor, None))

    return picture


def _distances(result: xr.Dataset) -> Any:
    columns: dict[str, Any] = {"schedule": list(_named(result).values())}
    columns |= {"length": result.fisher_length.values}
    for head, value in (("KL", result.kl), ("W₂²", result.w2sq)):
        columns |= {f"{head}, {sampler}": value.sel(sampler_name=sampler).values for sampler in ("large", "ddim")}
    return draw.table(columns)


def _by(dim: str, name: str, **axes: Any) -> Callable[[xr.Dataset], Any]:
    """KL of the sampler at hand along a dimension."""

    def picture(result: xr.Dataset) -> Any:
        sampler = sweeping.parameters(result)["sampler"]
        found = result[name].sel(sampler_name=sampler).clip(min=1e-8)
        tints = {title: _tints(result.schedule.values)[each] for each, title in _named(result).items()}
        lines = {title: found.sel(schedule=each) for each, title in _named(result).items()}
        return draw.over(result[dim], lines, colors=tints, logy=True, ylabel=f"KL, {_TITLES[sampler]}", height=340, **axes)

    return picture


def _ellipse(covariance: np.ndarray) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 73)
    return 2 * np.stack([np.cos(angle), np.sin(angle)], axis=1) @ np.linalg.cholesky(covariance).T


def _toy(result: xr.Dataset, at: int) -> Any:
    end, layers = 2.4, []
    titles = {"shortest": "shortest path", "straight": "straight in covariance"}
    for number, (way, title) in enumerate(titles.items()):
        own, left = result.sel(way=way), number * 2.2 * end
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
    note = f"t/T = {float(result.frame[at]):.2f}; across: a pixel, up: the one at its right"
    layers.append(draw.text([-end], [-1.1 * end], note))
    return draw.frame(layers, (-end, 3.2 * end), (-1.25 * end, 1.25 * end), equal=True, bare=True, height=330)


def _images(result: xr.Dataset) -> Any:
    tiles = np.concatenate([_tiles(result.held_out)[None], _tiles(result.images)])
    names = [f"{title}: {float(result.sliced_all.sel(schedule=name)):.2g}" for name, title in _named(result).items()]
    note = f"numbers: sliced W₂²; of known images {float(result.sliced_floor):.2g}"
    return draw.mosaic(tiles, ["held out", *names], note=note, height=380)


PICTURES = Pictures(
    Picture("film", "One image on its way", "What is left of the image, the noise, their sum. The shortest path sharpens "
            "while noise is smooth; cosine takes both as a whole; blurring takes detail.", _film, plays="frame"),
    Picture("curves", "By frequency", "Blue: the share of signal that is left, coarse frequencies strongest; orange: "
            "noise. The coarse go first, since they have more power.", _curves),
    Picture("strip", "At equal times", "Image and noise together at six times.", _strip),
    Picture("heat", "When half is gone", "Signal that is left by time and frequency; solid line: half of it. Dashed: half "
            "of the others.", _heat),
    Picture("spectra", "The spectrum on its way", "In logarithms the shortest path is straight: all frequencies come to white "
            "noise together. One schedule for all raises the weak ones at once. Play it.", _spectra, plays="frame"),
    Picture("speed", "Fisher speed", "Length in a unit of time; numbers: the whole. The shortest path goes evenly, at its "
            "distance (dashed); one schedule for all is fast near the data and slow near white noise.", _speed),
    Picture("gamma", "Leaving the path: γ", "KL of three samplers, exactly, as the schedule is made for the power γ of the "
            "spectrum; grey: by how much the path is longer. A dot marks the minimum.", _family("gamma")),
    Picture("warp", "Leaving the path: its speed", "The same path at another speed has the same length, and not the same KL.",
            _family("warp")),
    Picture("blend", "Leaving the path: a blend", "A share of the cosine schedule mixed in.", _family("blend")),
    Picture("budgets", "By the number of steps", "KL of the sampler in 5 to 250 steps.",
            _by("budget", "budget_kl", logx=True)),
    Picture("laws", "By the spectrum", "KL where the power falls with another exponent; the flatter, the more schedules "
            "are alike.",
            _by("exponent", "law_kl")),
    Picture("distances", "In numbers", "KL weighs all frequencies alike, W₂² the strong ones: the shortest path is for "
            "the first.",
            _distances),
    Picture("toy", "Two pixels", "A pixel and its neighbour, with the ellipse of two standard deviations. Straight in "
            "covariance, as with every schedule for all frequencies, the thin side fills up at once. Numbers: length gone.",
            _toy, plays="frame"),
    Picture("images", "Drawn in few steps", "By the optimal denoiser of known images, along each schedule from the same noise, "
            "with the distance to held out ones.", _images),
)
