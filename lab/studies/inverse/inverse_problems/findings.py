"""What the pictures of the common study of inverse problems show now."""

from collections.abc import Callable, Mapping

import numpy as np
import xarray as xr

from lab.inverse.meeting import ASKING, EXACT, METHODS, PLAIN, SAMPLERS
from lab.studies.contract import Comparison
from lab.words import number

from .by_method import short, there
from .pictures import by_width

_DRAWING = SAMPLERS[:-1]  # without the exact ones
_LOST = "No method has a finite answer here"
_WORDS = {name: name for name in METHODS} | {
    EXACT: "the exact sample", METHODS[0]: "the pseudo-inverse", "linear": "the linear method",
}
PSNR = Comparison(
    "psnr", "PSNR of the mean over samples", _WORDS, "higher", result="psnr_mean", along="solver", over="test",
    repeats="test images",
)
AWAY = Comparison(
    "away", "distance to the posterior mean", _WORDS, result="to_mean", along="solver", over="test", repeats="test images",
)


def _means(result: xr.Dataset, variable: str, names: tuple[str, ...]) -> dict[str, float]:
    """Over test images, of those that have one."""
    means = result[variable].mean("test", skipna=False)
    return _finite({name: float(means.sel(solver=name)) for name in there(result, names)})


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if np.isfinite(value)}


def _ends(values: Mapping[str, float]) -> tuple[str, str]:
    """The names of the largest and of the least."""
    return max(values, key=lambda name: values[name]), min(values, key=lambda name: values[name])


def _called(name: str) -> str:
    return "the exact sample" if name == EXACT else short(name)


def _percent(share: float) -> str:
    """99.6% is not all, and 0.3% not nothing."""
    return "above 99%" if 0.99 < share < 1 else _part(share)


def _part(share: float) -> str:
    return "less than 1%" if 0 < share < 0.01 else f"{share:.0%}"


def _errors(result: xr.Dataset) -> str:
    off = (result.answer - result.clean) ** 2
    values = _finite({name: float(off.sel(solver=name).mean(skipna=False)) ** 0.5 for name in there(result)})
    if not values:
        return _LOST
    worst, best = _ends(values)
    told = f"RMS error of this image: {number(values[best], 2)} a pixel ({_called(best)})"
    return told if best == worst else f"{told} to {number(values[worst], 2)} ({_called(worst)})"


def _widths(result: xr.Dataset) -> dict[str, float]:
    """Root mean squares over the image that is shown."""
    wide = {name: float((result.deviation.sel(solver=name) ** 2).mean(skipna=False)) for name in there(result, _DRAWING)}
    return {name: value**0.5 for name, value in _finite(wide).items()}


def _spreads(result: xr.Dataset) -> str:
    if not (values := _widths(result)):
        return _LOST
    widest, least = _ends(values)
    true = float((result.posterior_std**2).mean()) ** 0.5 if "posterior_std" in result else 0.0
    if not true > 1e-9:
        told = f"Standard deviation over samples: {number(values[widest], 2)} a pixel ({short(widest)})"
        return told if widest == least else f"{told} to {number(values[least], 2)} ({short(least)})"
    told = f"{short(widest)} spreads {values[widest] / true:.0%} as widely as the posterior"
    return told if widest == least else f"{told}, {short(least)} {_part(values[least] / true)}"


def _some(result: xr.Dataset) -> str:
    apart = {}
    for name in there(result, SAMPLERS):
        answers = result.some.sel(solver=name).dropna("shown").transpose("shown", ...).values
        if len(answers) > 1:
            apart[name] = float(np.sqrt(2 * answers.var(axis=0, ddof=1).mean()))
    if not apart:
        return "One answer of each: nothing is said of how they differ"
    exact = apart.pop(EXACT, None)
    widest, least = _ends(apart)
    told = f"Two answers of {short(least)} differ by {number(apart[least], 2)} a pixel"
    if exact is not None:
        return f"{told}, two exact samples by {number(exact, 2)}"
    return told if widest == least else f"{told}, of {short(widest)} by {number(apart[widest], 2)}"


def _calibration(result: xr.Dataset) -> str:
    lines = {name: line for name, line in by_width(result).items() if name != EXACT}
    values = _finite({name: own[-1] / max(true[-1], 1e-12) for name, (true, own) in lines.items() if true[-1] > 1e-9})
    if not values:
        return "The posterior leaves nothing open in this image"
    widest, least = _ends(values)
    told = f"Where the posterior is widest {short(widest)} spreads {values[widest]:.0%} as much"
    return told if widest == least else f"{told}, {short(least)} {_part(values[least])}"


def _coverage(result: xr.Dataset) -> str:
    values = _means(result, "coverage", SAMPLERS)
    exact = values.pop(EXACT, None)
    if not values:
        return _LOST
    most, least = _ends(values)
    told = [f"{short(name)} in {_percent(values[name])}" for name in dict.fromkeys((most, least))]
    told = told if exact is None else [f"exact samples in {_percent(exact)}", *told]
    return f"The truth lies inside for {', '.join(told)} of the pixels"


def _perception(result: xr.Dataset) -> str:
    values = _means(result, "nearest", tuple(name for name in METHODS if name not in PLAIN[:2]))
    if not values:
        return _LOST
    closest = _ends(values)[1]
    ours, beside = number(values[closest], 2), number(float(result.nearest_clean.mean()), 2)
    return f"Minimum distance from training images: {ours} ({_called(closest)}); held-out images {beside}"


def _table(result: xr.Dataset) -> str:
    one, mean = _means(result, "psnr", SAMPLERS), _means(result, "psnr_mean", SAMPLERS)
    gain = {name: mean[name] - one[name] for name in mean if name in one}
    exact = gain.pop(EXACT, None)
    if not gain:
        return _LOST
    most, least = _ends(gain)
    told = {"exact samples": exact} if exact is not None else {}
    told |= {short(name): gain[name] for name in (most, least)}
    first, *others = (f"{name} {number(round(value, 1))}" for name, value in told.items())
    return f"Averaging answers gains {', '.join([f'{first} dB', *others])}"


def _calls(result: xr.Dataset) -> str:
    asking, absent = there(result, ASKING), len(METHODS) - len(there(result))
    most = max((int(result.calls.sel(solver=name)) for name in asking), default=0)
    told = f"{absent} of {len(METHODS)} {'is' if absent == 1 else 'are'} absent" if absent else "none is absent"
    return f"{len(asking)} methods ask the denoiser {most} times an answer; {told}"


def _along(name: str, text: str) -> Callable[[xr.Dataset], str]:
    """What it does to the methods that ask the denoiser: the one that it does most to, and the least."""

    def found(result: xr.Dataset) -> str:
        mean = result.psnr_mean.mean("test", skipna=False).sortby(name)
        first, last = mean.isel({name: 0}), mean.isel({name: -1})
        change = _finite({each: float(last.sel(solver=each) - first.sel(solver=each)) for each in ASKING})
        if not change:
            return _LOST
        most, least = sorted((min, max), key=lambda end: -abs(end(change.values())))
        names = [end(change, key=lambda each: change[each]) for end in (most, least)]
        ends = (f"{float(end[name]):{'.0%' if name == 'seen' else 'g'}}" for end in (first, last))
        verbs = ["gains" if change[each] >= 0 else "loses" for each in names]
        (a, b), (x, y) = map(short, names), (f"{abs(change[each]):.1f}" for each in names)
        if a == b:
            told = f"{a} {verbs[0]} {x} dB"
        elif verbs[0] == verbs[1]:
            told = f"{a} {verbs[0]} most, {x} dB, {b} least, {y}"
        else:
            told = f"{a} {verbs[0]} {x} dB, {b} {verbs[1]} {y}"
        return f"With the denoiser, {text.format(*ends)} {told}"

    return found


def _seconds(result: xr.Dataset) -> str:
    result = result.squeeze()
    values = _finite({name: float(result.seconds.sel(solver=name)) for name in there(result, ASKING)})
    if not values:
        return "No method was timed"
    slow, fast = _ends(values)
    if slow == fast:
        return f"{short(slow)} takes {number(values[slow], 2)} s"
    times = number(values[slow] / max(values[fast], 1e-9), 2)
    return f"With the denoiser {short(slow)} takes longest, {times} times as long as {short(fast)}"


FINDS = {
    "quality": PSNR.finding, "away": AWAY.finding, "errors": _errors, "spreads": _spreads, "some": _some,
    "calibration": _calibration,
    "coverage": _coverage, "perception": _perception, "table": _table, "calls": _calls,
    "budget": _along("steps", "from {} to {} calls"), "noise": _along("noise", "from noise {} to {}"),
    "share": _along("seen", "from {} seen to {}"), "seconds": _seconds,
}
