"""Pictures with a row, a colour or a line for each method."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from lab.inverse.meeting import ASKING, EXACT, METHODS, PLAIN
from lab.numerics.statistics import mean_interval
from lab.studies import draw

_SHORT = {
    "pseudo-inverse": "pinv", "Tikhonov": "Tikh.", "backprojection": "FBP", "total variation": "TV", "PnP-ADMM": "ADMM",
    "PnP-HQS": "HQS", EXACT: "exact",
}
_TOLD = ("total variation", *ASKING)  # lines of sweeps


def there(result: xr.Dataset, names: Sequence[str] = METHODS) -> list[str]:
    """The methods that have an answer."""
    why = dict(zip(result.solver.values, result.why.values, strict=True))
    return [name for name in names if not why[name]]


def tint(name: str) -> str:
    """One colour for a method in all pictures."""
    if name in (*PLAIN, EXACT):
        return {"total variation": draw.WARN, EXACT: draw.INK}.get(name, draw.MUTED)
    series = draw.colours(6)
    plain, drawn = ASKING[:3], ASKING[3:]  # a family of shades, and things of their own
    shades = (draw.blend(series[5], share) for share in (0.5, 0.7, 1.0))
    tints: dict[str, str] = dict(zip((*plain, *drawn), (*shades, *series[:5]), strict=True))
    return tints[name]


def short(name: str) -> str:
    """What a small image is called."""
    return _SHORT.get(name, name)


def ranked(
    value: str, *, better: str, levels: Mapping[str, str] | None = None, names: Sequence[str] = METHODS, also: str = ""
) -> Callable[[xr.Dataset], Any]:
    """A row for each method: every test image, the mean, and its 95% interval.

    Args:
        value: the variable, (method, test).
        better: the unit on the axis.
        levels: by variable the words at an upright line.
        also: a variable whose mean is a pale dot.
    """

    def drawn(result: xr.Dataset) -> Any:
        shown = [name for name in there(result, names) if np.isfinite(result[value].sel(solver=name)).all()][::-1]
        layers: list[Any] = []
        for height, name in enumerate(shown):
            each = result[value].sel(solver=name).values
            found = mean_interval(each)
            layers.append(draw.points(each, np.full(each.size, float(height)), color=tint(name), size=0.35, alpha=0.5))
            layers.append(draw.segments([found.low], [height], [found.high], [height], color=tint(name), width=2))
            layers.append(draw.points([found.mean], [float(height)], color=tint(name), size=2.2))
            if also:
                single = float(result[also].sel(solver=name).mean())
                layers.append(draw.points([single], [float(height)], color=draw.blend(tint(name), 0.3), size=1.5))
        for level, words in (levels or {}).items():
            if level in result:
                layers.append(draw.vline(float(result[level].mean()), words, color=draw.TARGET, dash=True))
        return draw.plot(
            *layers, xlabel=f"{result[value].attrs['long_name']}, {better}", ylabel="", height=360,
            yticks=[(height, short(name)) for height, name in enumerate(shown)], ylim=(-0.6, len(shown) + 0.2),
        )

    return drawn


def along(name: str, **axes: Any) -> Callable[[xr.Dataset], Any]:
    """PSNR of the mean over answers, against a parameter."""

    def drawn(result: xr.Dataset) -> Any:
        mean = result.psnr_mean.mean("test", skipna=False)
        some = [each for each in _TOLD if np.isfinite(mean.sel(solver=each)).any()]
        lines = {short(each): mean.sel(solver=each) for each in some}
        guides = {"E[x|y]": result.psnr_posterior.mean("test")} if "psnr_posterior" in result else {}
        tints = {short(each): tint(each) for each in some}
        return draw.over(
            result[name], lines, guides=guides, colors=tints, ylabel="PSNR of the mean over answers, dB", height=360, **axes
        )

    return drawn


def seconds(result: xr.Dataset) -> Any:
    """Of each method that is there."""
    result = result.squeeze()
    names = there(result)[::-1]
    values = [float(result.seconds.sel(solver=name)) for name in names]
    dots = [
        draw.points([value], [float(height)], f"{value:.2g} s", color=tint(name), size=2)
        for height, (name, value) in enumerate(zip(names, values, strict=True))
    ]
    ticks = [(height, short(name)) for height, name in enumerate(names)]
    return draw.plot(
        *dots, logx=True, xlabel="seconds for all images and answers", ylabel="", height=340, yticks=ticks,
        ylim=(-0.6, len(names) - 0.4),
    )
