"""Pictures of bilevel learning, each with its caption and finding."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from lab.studies import draw
from lab.studies.contract import Picture, Pictures
from lab.studies.tuning.descents import STARTS
from lab.words import number, percent

from .experiment import DIGITS, IMAGES

_N = len(STARTS)
_RIVALS = {2: "MAID 0.1", 2 * _N: "geometric", 2 * _N + 1: "quadratic", 2 * _N + 2: "cubic"}  # by run
_NEAR = 0.01  # of the initial loss gap
_COST, _GAP = "lower gradients and products with the Hessian", "loss above the minimum"


def _gap(result: xr.Dataset, run: int) -> tuple[np.ndarray, np.ndarray]:
    """Cost and loss gap of the steps of a run, where the gap is positive."""
    cost, loss = result.run_cost.values[run], result.run_loss.values[run] - float(result.least)
    start = float(result.loss_start) - float(result.least)
    cost, loss = np.r_[1.0, cost], np.r_[start, loss]
    seen = np.isfinite(loss) & (loss > 1e-7 * start)
    return cost[seen], loss[seen]


def _fan(result: xr.Dataset) -> Any:
    layers: list[Any] = []
    end, top = float(np.nanmax(result.run_cost)), 0.0
    for run in range(2 * _N):
        cost, loss = _gap(result, run)
        fixed = run >= _N
        name = f"fixed {STARTS[run - _N]:g}" if fixed else "MAID, all five" if run == 0 else ""
        tint = draw.TARGET if fixed else draw.SOURCE
        # a run that ends early continues as a level line
        layers.append(draw.curve(np.r_[cost, end], np.r_[loss, loss[-1]], name, color=tint, dash=fixed))
        layers += [draw.points(cost[-1:], loss[-1:], color=tint, size=1.4)] if fixed else []
        top = max(top, np.max(loss, initial=0.0))
    return draw.plot(*layers, logx=True, logy=True, xlabel=_COST, ylabel=_GAP, ylim=(None, 4 * top), height=380)


def _images(result: xr.Dataset, frame: int) -> Any:
    shown, captions = [], []
    for index in range(min(2, result.sizes["picture"])):
        one = result.isel(picture=index)
        shown.append(2 * np.stack([one.clean, one.noisy, one.denoised[frame]]) - 1)
        captions.append(["clean", "noisy", "denoised"] if index == 0 else ["", "", ""])
    step, value = int(result.frame_step[frame]), float(result.frame_psnr[frame])
    note = f"step {step}: {float(result.psnr_noisy):.2f} dB noisy, {value:.2f} dB denoised"
    return draw.mosaic(np.stack(shown), captions=captions, note=note)


def _accuracies(result: xr.Dataset) -> Any:
    equal = np.allclose(result.eps, result.delta)
    names = {"eps": "ε = δ" if equal else "ε", "delta": "" if equal else "δ", "alpha": "α", "omega": "ω"}
    layers = []
    for (name, label), tint in zip(names.items(), (draw.SOURCE, draw.MUTED, draw.TARGET, draw.GOOD), strict=True):
        values = np.where(result[name].values > 0, result[name].values, np.nan)
        layers.append(draw.curve(1 + result.iteration, values, label, color=tint))
    return draw.plot(*layers, logy=True, xlabel="step", ylabel="accuracies, step length, bound", height=320)


def _accuracies_finding(result: xr.Dataset) -> str:
    eps = result.eps.values[result.eps.values > 0]
    if not eps.size:
        return "No step was taken"
    first, last = number(eps[0], 2), number(eps[-1], 2)
    return f"ε stays at {first}" if first == last else f"ε goes from {first} to {last} in {eps.size} steps"


def _bounded(result: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True errors, their bounds, and the steps that have both."""
    error, bound = result.error.values, result.bound.values
    return error, bound, np.isfinite(error) & np.isfinite(bound) & (error > 0)


def _errors(result: xr.Dataset) -> Any:
    error, bound, seen = _bounded(result)
    low = min(error[seen].min(), bound[seen].min(), 1.0) / 3 if seen.any() else 1e-3
    high = 3 * max(bound[seen].max(), error[seen].max()) if seen.any() else 1.0
    apart = draw.with_room(np.log(np.c_[bound[seen], error[seen]] / low) / np.log(high / low))
    layers = [
        draw.curve([low, high], [low, high], color=draw.MUTED, dash=True),
        draw.points(bound[seen], error[seen], size=1.6),
        draw.text(
            bound[seen][apart], error[seen][apart], [f"  {int(step)}" for step in result.frame_step.values[seen][apart]]
        ),
    ]
    look: dict[str, Any] = {"xlabel": "bound ω", "ylabel": "true error of the gradient", "height": 340}
    look |= {"note": "" if seen.any() else "HOAG has no bound"}
    return draw.plot(*layers, logx=True, logy=True, xlim=(low, high), ylim=(low, high), **look)


def _errors_finding(result: xr.Dataset) -> str:
    error, bound, seen = _bounded(result)
    if not seen.any():
        return "No step has an error and a bound"
    share = error[seen] / bound[seen]
    return f"Median error {percent(np.median(share))} of its bound, maximum {percent(share.max())}"


def _rivals(result: xr.Dataset) -> Any:
    tints = (draw.SOURCE, draw.TARGET, draw.WARN, draw.GOOD)
    layers = [
        draw.curve(*_gap(result, run), _RIVALS[run], color=tint) for run, tint in zip(_RIVALS, tints, strict=True)
    ]
    return draw.plot(*layers, logx=True, logy=True, xlabel=_COST, ylabel=_GAP, height=340)


def _rivals_finding(result: xr.Dataset) -> str:
    start, needed = float(result.loss_start - result.least), {}
    for run, name in _RIVALS.items():
        cost, loss = _gap(result, run)
        near = cost[loss <= _NEAR * start]
        if near.size:
            needed[name] = near[0]
    if not needed:
        return f"No run reduces the loss gap to {percent(_NEAR)}"
    costs = ", ".join(f"{needed[name]:.0f} ({name})" for name in sorted(needed, key=lambda name: needed[name]))
    return f"Cost to {percent(_NEAR)} of the gap: {costs}{'' if len(needed) == len(_RIVALS) else '; others never'}"


def _steps(result: xr.Dataset) -> Any:
    tints = {"MAID": draw.SOURCE, "HOAG geometric": draw.TARGET}
    lines = {name: result.loss.sel(rule=name) for name in tints}
    return draw.over(result.alpha0, lines, ylabel="final loss", logx=True, logy=True, colors=tints)


def _range(values: Sequence[float]) -> str:
    known = np.asarray(values)[np.isfinite(values)]
    if not known.size:
        return "nowhere"
    low, high = number(known.min(), 3), number(known.max(), 3)
    return low if low == high else f"{low} to {high}"


def _steps_finding(result: xr.Dataset) -> str:
    one, two = (_range(result.loss.sel(rule=rule).values) for rule in ("MAID", "HOAG geometric"))
    return f"Final loss by initial step: MAID {one}, HOAG geometric {two}"


def _plane(result: xr.Dataset) -> Any:
    way, loss = result.path.values, result.plane.values
    way = way[np.isfinite(way).all(axis=1)]
    gap = np.log10(np.maximum(loss - loss.min(), 1e-3 * np.ptp(loss)))
    (left, right), (low, high) = ((float(axis[0]), float(axis[-1])) for axis in (result.plane_u, result.plane_v))
    layers = [
        *draw.landscape(2 * (gap - gap.min()) / (np.ptp(gap) or 1.0) - 1, (left, low, right, high)),
        draw.curve(*way.T, color=draw.INK),
        draw.points(*way.T, color=draw.INK, size=0.5),
        draw.points(*way[:1].T, color=draw.TARGET, size=2),
        draw.points(*way[-1:].T, color=draw.GOOD, size=2),
    ]
    xlabel, ylabel = (str(name) for name in result.which.values)
    return draw.plot(*layers, xlabel=xlabel, ylabel=ylabel, xlim=(left, right), ylim=(low, high), height=380)


def _plane_finding(result: xr.Dataset) -> str:
    lowest = number(float(result.plane.min()))
    return f"The path ends at {number(float(result.loss))}, the minimum on this grid is {lowest}"


def _decay(result: xr.Dataset) -> Any:
    maps = result.decay.values
    low, high = float(maps.min()), float(maps.max())
    shades = 2 * (maps - low) / ((high - low) or 1.0) - 1
    if len(shades) == 1:
        return draw.heatmap(maps[0], xlabel="column", ylabel="row", clabel="log decay", equal=True, height=360)
    across = min(5, len(shades))
    rows = -(-len(shades) // across)
    filled = np.concatenate([shades, np.full((rows * across - len(shades), *shades.shape[1:]), np.nan)])
    names = [f"class {index}" for index in range(len(shades))]
    captions = [names[row * across : (row + 1) * across] for row in range(rows)]
    note = f"black: log decay {low:.1f}, white: {high:.1f}"
    return draw.mosaic(filled.reshape(rows, across, *shades.shape[1:]), captions=captions, note=note)


def _decay_finding(result: xr.Dataset) -> str:
    low, middle, high = (number(float(q), 2) for q in np.quantile(result.decay.values, (0, 0.5, 1)))
    return f"Log decays between {low} and {high}, with median {middle}"


_OF_IMAGES = {"problem": IMAGES}
_RULES = ("MAID", "HOAG geometric")

PICTURES = Pictures(
    Picture(
        "fan",
        "Loss by cost",
        "Blue: MAID from five initial accuracies. Dashed orange: fixed accuracies. Dots: their last steps.",
        _fan,
        needs=("run_loss", "run_cost", "run_last", "least"),
    ),
    Picture(
        "images",
        "Denoised images",
        "Columns: clean, noisy, denoised. Rows: two training images, along the steps.",
        _images,
        needs=("denoised",),
        when=_OF_IMAGES,
        why="there are no images",
        plays="frame",
        places="frame_step",
    ),
    Picture(
        "accuracies",
        "Chosen accuracies",
        "Lines: accuracies ε and δ, step length α, and error bound ω of the gradient.",
        _accuracies,
        finds=_accuracies_finding,
    ),
    Picture(
        "errors",
        "Error and bound",
        "Points: true error of the gradient by its bound (numbers: steps). Dashed: error = bound.",
        _errors,
        finds=_errors_finding,
    ),
    Picture(
        "rivals",
        "MAID and schedules",
        "Lines: loss gap by cost, of MAID and of HOAG with three schedules.",
        _rivals,
        needs=("run_loss", "run_cost", "least"),
        finds=_rivals_finding,
    ),
    Picture(
        "steps",
        "Loss by initial step",
        "Lines: final loss. MAID tests a step length before accepting it; HOAG does not.",
        _steps,
        needs=("loss",),
        along={"alpha0": (1e-3, 1e-2, 0.1, 1.0, 10.0), "rule": _RULES, "compare": (False,)},
        finds=_steps_finding,
    ),
    Picture(
        "plane",
        "Loss around the path",
        "Color: loss, logarithmic (blue: low, orange: high). Orange dot: initial, green dot: final.",
        _plane,
        needs=("plane", "path"),
        finds=_plane_finding,
    ),
    Picture(
        "decay",
        "Decay by pixel",
        "Color: log decay of each pixel. A high decay keeps its weights near zero.",
        _decay,
        needs=("decay",),
        when={"problem": (DIGITS,)},
        why="no decays are learned",
        finds=_decay_finding,
    ),
)
