"""The pictures of bilevel learning at adaptive accuracy."""

from typing import Any

import numpy as np
import xarray as xr

from lab.studies import draw
from lab.studies.contract import Picture, Pictures
from lab.tuning.survey import STARTS

from .variables import DIGITS, EXPERTS, IMAGES

_STARTS = len(STARTS)
RIVALS = {2: "MAID 0.1", 2 * _STARTS: "geometric", 2 * _STARTS + 1: "quadratic", 2 * _STARTS + 2: "cubic"}  # by run


def above_least(result: xr.Dataset, run: int) -> tuple[np.ndarray, np.ndarray]:
    """Cost, and loss above the least, of the steps of a run; what is below the least is left out."""
    cost, loss = result.run_cost.values[run], result.run_loss.values[run] - float(result.least)
    start = float(result.loss_start) - float(result.least)
    cost, loss = np.r_[1.0, cost], np.r_[start, loss]
    seen = np.isfinite(loss) & (loss > 1e-7 * start)
    return cost[seen], loss[seen]


def _fan(result: xr.Dataset) -> Any:
    layers: list[Any] = []
    end = float(np.nanmax(result.run_cost))
    for run in range(2 * _STARTS):
        cost, loss = above_least(result, run)
        fixed = run >= _STARTS
        name = f"fixed {STARTS[run - _STARTS]:g}" if fixed else "MAID, all five" if run == 0 else ""
        tint = draw.TARGET if fixed else draw.SOURCE
        # a run that ends early stays where it is
        layers.append(draw.curve(np.r_[cost, end], np.r_[loss, loss[-1]], name, color=tint, dash=fixed))
        if fixed:
            layers.append(draw.points(cost[-1:], loss[-1:], color=tint, size=1.4))
    return draw.plot(
        *layers, logx=True, logy=True, xlabel="lower gradients and products with the Hessian", ylabel="loss above the least",
        ylim=(None, 4 * max(np.max(above_least(result, run)[1], initial=0.0) for run in range(2 * _STARTS))), height=380,
    )


def _rivals(result: xr.Dataset) -> Any:
    tints = (draw.SOURCE, draw.TARGET, draw.WARN, draw.GOOD)
    layers = [draw.curve(*above_least(result, run), RIVALS[run], color=tint) for run, tint in zip(RIVALS, tints, strict=True)]
    return draw.plot(*layers, logx=True, logy=True, xlabel="lower gradients and products with the Hessian",
                     ylabel="loss above the least", height=340)


def _accuracies(result: xr.Dataset) -> Any:
    names = {"eps": "ε", "delta": "δ, the same at first", "alpha": "α", "omega": "ω"}
    names["delta"] = "" if np.allclose(result.eps, result.delta) else "δ"
    names["eps"] = "ε = δ" if not names["delta"] else "ε"
    tints = {"eps": draw.SOURCE, "delta": draw.MUTED, "alpha": draw.TARGET, "omega": draw.GOOD}
    layers = []
    for name, label in names.items():
        values = np.where(result[name].values > 0, result[name].values, np.nan)
        layers.append(draw.curve(1 + result.iteration, values, label, color=tints[name]))
    return draw.plot(*layers, logy=True, xlabel="step", ylabel="accuracies, step length, bound", height=320)


def _images(result: xr.Dataset, frame: int) -> Any:
    shown, captions = [], []
    for number in range(min(2, result.sizes["picture"])):
        one = result.isel(picture=number)
        shown.append(2 * np.stack([one.clean, one.noisy, one.denoised[frame]]) - 1)
        captions.append(["clean", "noisy", "denoised"] if number == 0 else ["", "", ""])
    step, value = int(result.frame_step[frame]), float(result.frame_psnr[frame])
    return draw.mosaic(np.stack(shown), captions=captions,
                       note=f"step {step}: {float(result.psnr_noisy):.2f} dB noisy, {value:.2f} dB denoised")


def _plane(result: xr.Dataset) -> Any:
    way, loss = result.path.values, result.plane.values
    way = way[np.isfinite(way).all(axis=1)]
    fall = np.log10(np.maximum(loss - loss.min(), 1e-3 * np.ptp(loss)))
    u, v = result.plane_u.values, result.plane_v.values
    bounds = (float(u[0]), float(v[0]), float(u[-1]), float(v[-1]))
    heights = 2 * (fall - fall.min()) / (np.ptp(fall) or 1.0) - 1
    names = [str(name) for name in result.which.values]
    return draw.plot(
        *draw.landscape(heights, bounds), draw.curve(way[:, 0], way[:, 1], color=draw.INK),
        draw.points(way[:, 0], way[:, 1], color=draw.INK, size=0.5),
        draw.points(way[:1, 0], way[:1, 1], color=draw.TARGET, size=2),
        draw.points(way[-1:, 0], way[-1:, 1], color=draw.GOOD, size=2),
        xlabel=names[0], ylabel=names[1], xlim=(bounds[0], bounds[2]), ylim=(bounds[1], bounds[3]), height=380,
    )


def bounded(result: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True errors, their bounds, and at which steps there are both."""
    error, bound = result.error.values, result.bound.values
    return error, bound, np.isfinite(error) & np.isfinite(bound) & (error > 0)


def _errors(result: xr.Dataset) -> Any:
    error, bound, seen = bounded(result)
    low = min(error[seen].min(), bound[seen].min(), 1.0) / 3 if seen.any() else 1e-3
    high = 3 * max(bound[seen].max(), error[seen].max()) if seen.any() else 1.0
    apart = draw.with_room(np.log(np.c_[bound[seen], error[seen]] / low) / np.log(high / low))
    return draw.plot(
        draw.curve([low, high], [low, high], color=draw.MUTED, dash=True), draw.points(bound[seen], error[seen], size=1.6),
        draw.text(bound[seen][apart], error[seen][apart], [f"  {int(step)}" for step in result.frame_step.values[seen][apart]]),
        logx=True, logy=True, xlabel="bound ω", ylabel="true error of the slope", xlim=(low, high), ylim=(low, high),
        height=340,
        note="dashed: error = bound; numbers: steps" if seen.any() else "HOAG has no bound",
    )


def _filters(result: xr.Dataset) -> Any:
    count = min(8, result.sizes["filter"])
    return draw.mosaic(
        np.stack([draw.signed(result.filters_start.values[:count]), draw.signed(result.filters.values[:count])]),
        ["start", "learned"], [f"{value:.2g}" for value in result.strength.values[:count]],
        note="above: strength of the learned filter; each on its own scale, orange above zero",
    )


def _decay(result: xr.Dataset) -> Any:
    maps = result.decay.values
    low, high = float(maps.min()), float(maps.max())
    shades = 2 * (maps - low) / ((high - low) or 1.0) - 1
    if len(shades) == 1:
        return draw.heatmap(maps[0], xlabel="column", ylabel="row", clabel="log decay", equal=True, height=360)
    across = min(5, len(shades))
    rows = -(-len(shades) // across)
    filled = np.concatenate([shades, np.full((rows * across - len(shades), *shades.shape[1:]), np.nan)])
    names = [f"class {number}" for number in range(len(shades))]
    captions = [names[row * across : (row + 1) * across] for row in range(rows)]
    return draw.mosaic(filled.reshape(rows, across, *shades.shape[1:]), captions=captions,
                       note=f"black: log decay {low:.1f}, white: {high:.1f}")


def _residuals(result: xr.Dataset) -> Any:
    one, two = result.lower_residual.values, result.cg_residual.values
    seen = lambda values: np.where(values > 0, values, np.nan)  # noqa: E731
    return draw.plot(
        draw.curve(1 + np.arange(one.size), seen(one), "distance bound", color=draw.SOURCE),
        draw.curve(1 + np.arange(two.size), seen(two), "CG residual", color=draw.TARGET),
        logy=True, xlabel="gradients, or products with the Hessian", ylabel="what is left", height=320,
    )


def _costs(result: xr.Dataset) -> Any:
    return draw.plot(
        draw.curve(1 + result.iteration, result.cost_lower, "lower gradients", color=draw.SOURCE),
        draw.curve(1 + result.iteration, result.cost_cg, "products", color=draw.TARGET),
        xlabel="step", ylabel="so far", height=300, ylim=(0, None),
    )


def _starts(result: xr.Dataset) -> Any:
    tints = {"MAID": draw.SOURCE, "fixed accuracy": draw.TARGET}
    lines = {name: result.loss.sel(rule=name) for name in tints}
    return draw.over(result.eps0, lines, ylabel="loss at the end", logx=True, logy=True, colors=tints)


def _steps(result: xr.Dataset) -> Any:
    tints = {"MAID": draw.SOURCE, "HOAG geometric": draw.TARGET}
    lines = {name: result.loss.sel(rule=name) for name in tints}
    return draw.over(result.alpha0, lines, ylabel="loss at the end", logx=True, logy=True, colors=tints)


def _noises(result: xr.Dataset) -> Any:
    lines = {"noisy": result.psnr_noisy, "denoised": result.psnr, "held out": result.psnr_test}
    tints = dict(zip(lines, (draw.MUTED, draw.SOURCE, draw.TARGET), strict=True))
    return draw.over(result.noise, lines, ylabel="PSNR in dB", colors=tints)


_SEES = {"problem": IMAGES}
_BLIND = "there are no images"

PICTURES = Pictures(
    Picture("fan", "Loss by cost", "blue: MAID from five first accuracies; dashed: accuracies that stay; dots: their ends",
            _fan, needs=("run_loss", "run_cost", "run_last", "least")),
    Picture("images", "Denoised", "two of the images that are learned from, along the steps", _images, needs=("denoised",),
            when=_SEES, why=_BLIND, plays="frame", places="frame_step"),
    Picture("rivals", "MAID and schedules", "HOAG lowers its accuracy by a schedule, whatever is seen", _rivals,
            needs=("run_loss", "run_cost", "least")),
    Picture("accuracies", "What it chooses", "accuracies ε and δ, step length α, and the bound ω of the slope's error",
            _accuracies),
    Picture("costs", "What it costs", "lower gradients and products with the Hessian so far", _costs),
    Picture("plane", "The loss around the path",
            "blue: low, orange: high, on a logarithmic scale; orange dot: start, green dot: end", _plane,
            needs=("plane", "path")),
    Picture("errors", "Error and bound", "each point is a step: the true error of its slope by the bound that was certified",
            _errors),
    Picture("residuals", "Both solvers", "at the last hyperparameters: what is left by gradients, and by products", _residuals),
    Picture("filters", "Filters", "random at first, and as learned", _filters, needs=("filters",), when={"problem": (EXPERTS,)},
            why="there are no filters"),
    Picture("decay", "Decay by pixel", "high: weights of the pixel are held near zero", _decay, needs=("decay",),
            when={"problem": (DIGITS,)}, why="no decays are learned"),
    Picture("starts", "Loss by first accuracy", "what is reached hangs on the first accuracy only where it can't change",
            _starts,
            needs=("loss",), along={"eps0": STARTS, "rule": ("MAID", "fixed accuracy"), "compare": (False,)}),
    Picture("steps", "Loss by first step", "MAID tests a step length before it takes it; HOAG takes the first one as it is",
            _steps, needs=("loss",),
            along={"alpha0": (1e-3, 1e-2, 0.1, 1.0, 10.0), "rule": ("MAID", "HOAG geometric"), "compare": (False,)}),
    Picture("noises", "Gain by noise", "images that are learned from, and others with the same hyperparameters", _noises,
            needs=("psnr_noisy", "psnr", "psnr_test"), when=_SEES, why=_BLIND,
            along={"noise": (0.05, 0.1, 0.2, 0.3), "compare": (False,)}),
)
