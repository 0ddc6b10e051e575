"""What the pictures of RED-diff show now."""

from collections.abc import Callable

import numpy as np
import xarray as xr

from lab.studies.contract import Comparison, sweeping
from lab.words import number

from .pictures import DRAWN_TIMES

_LOST = "The answers are not finite"
PSNR = Comparison(
    "psnr", "PSNR",
    {"quality": "RED-diff", "quality_posterior": "the posterior mean", "quality_draw": "a posterior sample",
     "quality_rest": "the minimizer of the averaged objective", "quality_start": "the initial image"},
    "higher", ours="quality", best_at=None,
)


def _db(value: float) -> str:
    return f"{value:.1f}".replace("-", "−")


def _strip(result: xr.Dataset) -> str:
    error = 2 * 10 ** (-result.psnr_path.values / 20)  # grey values are from -1 to 1
    error = error[np.isfinite(error)]
    if not error.size:
        return _LOST
    first, last = number(error[0], 2), number(error[-1], 2)
    if not error[-1] < error[0]:
        return f"The error of μ does not fall: it goes from {first} a pixel to {last}"
    half = int(result.step[np.flatnonzero(error <= (error[0] + error[-1]) / 2)[0]])
    return f"The error of μ falls from {first} a pixel to {last}, half of it by step {half} of {result.sizes['step']}"


def _rings(result: xr.Dataset) -> str:
    last = result.ring_error.isel(step=-1)
    low, high = (float(last.sel(ring=ring)) for ring in ("low", "high"))
    if not np.isfinite([low, high]).all():
        return _LOST
    if max(low, high) > 10:
        return "It diverges: at the end the error is many times as large as the image"
    return f"At the end the error is {_part(low)} of the low frequencies, {_part(high)} of the high ones"


def _part(share: float) -> str:
    return f"{share:.{0 if share >= 0.01 else 1}%}"


def _trace(result: xr.Dataset) -> str:
    path = result.psnr_path.values
    if not np.isfinite(path[-1]):
        return _LOST
    at = int(np.nanargmax(path))
    if path[at] > path[-1] + 0.5:
        return f"This answer peaks at {_db(path[at])} dB in step {int(result.step[at])} and ends at {_db(path[-1])} dB"
    example, told = sweeping.parameters(result)["example"], f"This answer ends at {_db(path[-1])} dB"
    for name, word in (("psnr_posterior", "the posterior mean"), ("psnr_start", "the start")):
        if name in result:
            return f"{told}, {_apart(path[-1] - float(result[name].isel(test=example)))} {word}"
    return told


def _apart(more: float) -> str:
    return f"{abs(more):.1f} dB {'above' if more > 0 else 'below'}"


def _answers(result: xr.Dataset) -> str:
    found = result.answers[:4]
    beside, word = (result.posterior_mean, "posterior mean") if "posterior_mean" in result else (result.clean, "truth")
    off = float(((found - beside) ** 2).mean()) ** 0.5
    if not np.isfinite(off):
        return _LOST
    told = f"The answers lie {number(off, 2)} a pixel from the {word}"
    if found.sizes["draw"] == 1:
        return told
    return f"{told}, {number(float(2 * found.var('draw', ddof=1).mean()) ** 0.5, 2)} from each other"


def _spread(result: xr.Dataset) -> str:
    ours, true = result.answers.std("draw", ddof=1), result.posterior_std
    wide, known = (float((each**2).mean()) ** 0.5 for each in (ours, true))
    if not np.isfinite(wide):
        return _LOST
    if known < 1e-4:
        return f"The posterior leaves nothing open in this image; the answers spread by {number(wide, 2)} a pixel"
    told = f"{number(wide / known, 2)} times" if wide > 10 * known else _part(wide / known)
    return f"In this image answers spread {told} as widely as the posterior"


def _seeds(result: xr.Dataset) -> str:
    ours = result.psnr.mean("draw")
    if "psnr_posterior" not in result:
        return f"Answers are {_apart(float((ours - result.psnr_start).mean()))} the start on average"
    told = f"Answers are {_apart(float((ours - result.psnr_posterior).mean()))} the posterior mean"
    if "psnr_draw" not in result:
        return told
    return f"{told}, and above a posterior draw in {int((ours > result.psnr_draw).sum())} of {result.sizes['test']} images"


def _perception(result: xr.Dataset) -> str:
    told = f"Answers lie {number(float(result.nearest.mean()), 2)} from training images"
    told += f", unseen images {number(float(result.nearest_clean.mean()), 2)}"
    return told + (f", posterior draws {number(float(result.nearest_draw.mean()), 2)}" if "nearest_draw" in result else "")


def _strengths(result: xr.Dataset) -> str:
    drawn = result.lambda_t.isel(level=DRAWN_TIMES)
    times = (drawn.isel(level=-1) / drawn.isel(level=0)).to_series()
    own = sweeping.parameters(result)["weight"]
    most = str(times.idxmax())
    told = f"At much noise {own} pulls {_times(times[own])} as hard as at little"
    return told if most == own else f"{told}, {most} {_times(times[most])}"


def _times(ratio: float) -> str:
    return "just" if abs(ratio - 1) < 0.01 else f"{f'{ratio:.0e}' if ratio > 1e4 else number(float(f'{ratio:.2g}'))} times"


def _modes(result: xr.Dataset) -> str:
    share, spread = result.modes_share.values, result.modes_spread.values
    missed = int((share < 1e-6).sum())
    told = "No mode is missed" if not missed else f"{missed} of {share.size} modes is missed" if missed == 1 else (
        f"{missed} of {share.size} modes are missed"
    )
    there = np.isfinite(spread)
    if not there.any():
        return told
    width = (share[there] @ spread[there]) / (share[there] @ result.modes_width.values[there])
    return f"{told}; in a mode answers spread {_part(width)} as widely as the posterior"


def _by_choice(text: str) -> Callable[[xr.Dataset], str]:
    """The best and the worst option."""

    def found(result: xr.Dataset) -> str:
        values = result.quality.to_series().dropna()
        if values.empty:
            return _LOST
        best, worst = values.idxmax(), values.idxmin()
        told = text.format(best, _db(values[best]))
        return told if best == worst else f"{told}, {worst} worst with {_db(values[worst])}"

    return found


def _heat(result: xr.Dataset) -> str:
    values = result.quality.transpose("lam", "rate").values
    if not np.isfinite(values).any():
        return _LOST
    i, j = np.unravel_index(np.nanargmax(values), values.shape)
    along = [f"{float(np.nanmax(line) - np.nanmin(line)):.1f}" for line in (values[:, j], values[i])]
    return f"The best has {_db(values[i, j])} dB; from there λ changes it by up to {along[0]} dB, η by {along[1]}"


def _bed(result: xr.Dataset) -> str:
    ours, rest = xr.broadcast(result.apart, result.rest_apart)
    known = np.isfinite(ours.values) & np.isfinite(rest.values)
    if not known.any():
        return _LOST
    near, best = int((ours.values < rest.values)[known].sum()), result.apart.min("lam").to_series().dropna()
    told = f"Answers end nearer than their objective rests in {near} of {known.sum()} cases"
    return f"{told}, nearest with {best.idxmin()}: {number(best.min(), 2)}"


def _steps(result: xr.Dataset) -> str:
    values = result.quality.sortby("steps").dropna("steps")
    if not values.size:
        return _LOST
    first, last = values[0], values[-1]
    change = float(last - first)
    way = f"{'rises' if change >= 0 else 'falls'} by {abs(change):.1f} dB"
    told = f"From {int(first.steps)} to {int(last.steps)} steps PSNR {way}"
    if "quality_posterior" not in result:
        return told
    return f"{told}, to {_apart(float(last - result.quality_posterior.sel(steps=last.steps)))} the posterior mean"


def _noise(result: xr.Dataset) -> str:
    values = result.quality.sortby("noise").dropna("noise")
    if not values.size:
        return _LOST
    known = "quality_posterior" in result
    beside, word = ("quality_posterior", "the posterior mean") if known else ("quality_start", "the start")
    if beside not in result:
        return f"With noise {float(values.noise[-1]):g} the answers have {_db(float(values[-1]))} dB"
    apart = [_apart(float(end - result[beside].sel(noise=end.noise))) for end in (values[0], values[-1])]
    low, high = (f"{float(end.noise):g}" for end in (values[0], values[-1]))
    return f"With noise {low} answers are {apart[0]} {word}, with {high} {apart[1]} it"


FINDS = {
    "strip": _strip, "rings": _rings, "trace": _trace, "answers": _answers, "spread": _spread, "seeds": _seeds,
    "perception": _perception, "strengths": _strengths, "modes": _modes,
    "order": _by_choice("The {} order ends best, at {} dB"), "heat": _heat, "bed": _bed, "steps": _steps,
    "noise": _noise, "priors": _by_choice("The prior {} ends best, at {} dB"),
}
