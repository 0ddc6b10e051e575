"""The pictures of regularised neural differential equations."""

from typing import Any

import numpy as np
import xarray as xr

from lab.studies import draw
from lab.studies.contract import Picture, Pictures, sweeping

from .variables import NETWORK, NOISE, limit_of, rows_of

_TERMS = ("vanilla", "STEER", "Tay2", "SR", "ER", "ER+SR")
_COMPARED = ("accuracy", "nfe", "nfe_epoch", "nfe_train")
_TAIL = 25


def _along(result: xr.Dataset, value: np.ndarray, ylabel: str, *more: Any, **axes: Any) -> Any:
    """A value of each step: accepted ones as dots, rejected ones as crosses."""
    rows = rows_of(result)
    t, taken = rows["t"], rows["taken"]
    lost = ~taken & np.isfinite(value) & (value > 0)
    size = float(np.clip(80 / max(taken.sum(), 1), 0.2, 0.8))
    end = float((t + rows["h"])[taken].max()) if taken.any() else 1.0
    whole: dict[str, Any] = {"xlim": (-0.03 * end, 1.02 * end), **axes}
    return draw.plot(
        *more, draw.points(t[taken], value[taken], size=size),
        draw.text(t[lost], value[lost], ["×"] * int(lost.sum()) or ["" for _ in t[lost]], color=draw.WARN, side="center"),
        xlabel="time t", ylabel=ylabel, **whole,
    )


def _steps(result: xr.Dataset) -> Any:
    rows, limit = rows_of(result), limit_of(result)
    known = rows["taken"] & (rows["S"] > 0)
    high = 8 * float(rows["h"].max())
    told = "stable" if (limit / rows["S"][known] < high).any() else ""  # else it is out of sight
    bound = draw.curve(rows["t"][known], limit / rows["S"][known], told, color=draw.TARGET, dash=True)
    return _along(
        result, rows["h"], "length of the step h", bound, logy=True,
        ylim=(0.6 * float(rows["h"].min()), high), xlim=None, height=380,
    )


def _errors(result: xr.Dataset) -> Any:
    E = rows_of(result)["E"]
    known = E[(E > 0) & np.isfinite(E)]
    low = max(1e-6, float(known.min()) / 2) if known.size else 1e-3
    return _along(
        result, E, "scaled error E", draw.hline(1.0, color=draw.MUTED), logy=True,
        ylim=(low, 2 * max(float(known.max()), 1) if known.size else 2), height=260,
    )


def _edge(result: xr.Dataset) -> Any:
    rows, limit = rows_of(result), limit_of(result)
    known = np.isfinite(limit)
    end, high = float((rows["t"] + rows["h"]).max()), 1.2 * float(np.fmax(limit, np.nanmax(rows["h"] * rows["S"])))
    rule = draw.curve([0, end], [limit, limit], color=draw.TARGET, dash=True)
    told = draw.text([0.22 * end], [limit], f"stable up to {limit:.4g}" if known else "", color=draw.TARGET, up="bottom")
    return _along(result, rows["h"] * rows["S"], "step times stiffness, h S", rule, told, ylim=(0, high), height=260)


def _stiffness(result: xr.Dataset) -> Any:
    return _along(result, rows_of(result)["S"], "stiffness S", logy=True, height=260)


def _plane(result: xr.Dataset, at: int) -> Any:
    """Where the solution is when a share of the work is done, on its whole way."""
    taken = result.step_accepted.values > 0
    way = result.way.values[taken]
    xlim, ylim = draw.window(way)
    where, t = result.spent.values[at], float(result.when[at])
    ends = result.step_t.values[taken] + result.step_h.values[taken]
    so_far = way.copy()
    so_far[ends > t + 1e-12] = np.nan
    share = float(result.share[at])
    return draw.plot(
        draw.curve(way[:, 0], way[:, 1], color=draw.MUTED),
        draw.points(so_far[:, 0], so_far[:, 1], color=draw.SOURCE, size=0.4),
        draw.points(where[:1], where[1:], color=draw.TARGET, size=2.0),
        xlim=xlim, ylim=ylim, xlabel="y₁", ylabel="y₂", height=380,
        note=f"{share:.0%} of the evaluations: t = {t:.2f}",
    )


def _solution(result: xr.Dataset) -> Any:
    taken = result.step_accepted.values > 0
    t = (result.step_t.values + result.step_h.values)[taken]
    y = result.way.values[taken, 0]
    return draw.plot(draw.curve(t, y, color=draw.MUTED), draw.points(t, y, size=0.3), xlabel="time t", ylabel="y₁", height=260)


def _work(result: xr.Dataset) -> Any:
    end = float(result.when[-1])
    return draw.plot(
        draw.curve([0, end], [0, 100], "even", color=draw.MUTED, dash=True),
        draw.curve(result.when, 100 * result.share, "spent", color=draw.SOURCE),
        xlabel="time t", ylabel="evaluations so far (%)", ylim=(0, 105), height=260,
    )


def _tolerances(result: xr.Dataset) -> Any:
    each = 3 if sweeping.parameters(result)["system"] in NOISE else 6  # evaluations of a step
    lines = {"evaluations": result.nfe, "of rejected steps": each * result.rejected}
    return draw.over(result.tolerance, lines, ylabel="evaluations", logy=True, ticks=False, height=300)


def _slopes(result: xr.Dataset) -> Any:
    names = {"slope_held": "h held", "slope_through": "through h"}
    lines = {name: result[key] for key, name in names.items()}
    return draw.over(
        result.mu, lines, guides={"by differences": result.slope_apart}, colors={"by differences": draw.INK},
        levels={"": 0.0}, ylabel="dR_E/dμ", height=320,
    )


def _epochs(result: xr.Dataset) -> Any:
    lines = [
        draw.curve(result.epoch, result.nfe_epoch.sel(term=term), str(term), color=tint)
        for term, tint in zip(result.term.values, draw.colours(result.sizes["term"]), strict=True)
    ]
    return draw.plot(*lines, xlabel="epoch", ylabel="evaluations at prediction", ylim=(0, None), height=340)


def _bars(result: xr.Dataset) -> Any:
    """Evaluations in training in thousands, and at prediction, beside each other."""
    names = [str(term) for term in result.term.values]
    at = np.arange(len(names))
    train, test = result.nfe_train.values / result.nfe_train.values.max(), result.nfe.values / result.nfe.values.max()
    layers = [draw.bars(at - 0.2, train, color=draw.MUTED, width=0.36), draw.bars(at + 0.2, test, width=0.36)]
    told = [f"{value:.0f}" for value in result.nfe.values]
    thousands = [f"{value / 1e3:.1f} k" for value in result.nfe_train.values]
    layers += [
        draw.text(at + 0.2, test + 0.02, told, color=draw.SOURCE, side="center", up="bottom"),
        draw.text(at - 0.2, train + 0.02, thousands, color=draw.MUTED, side="center", up="bottom"),
    ]
    ticks = list(zip(at.tolist(), names, strict=True))
    return draw.plot(*layers, xlabel="term", ylabel="share of the most", xticks=ticks, ylim=(0, 1.15), height=300)


def _pareto(result: xr.Dataset) -> Any:
    nfe, right = result.nfe.values, 100 * result.accuracy.values
    tints = draw.colours(len(nfe), ordered=True)
    names = [f"  {value:g}" for value in result.strength.values]
    span = max(float(np.ptp(nfe)), 1.0)
    return draw.plot(
        draw.curve(nfe, right, color=draw.MUTED, dash=True), draw.points(nfe, right, color=tints, size=2.0),
        draw.text(nfe, right, names, color=draw.INK), xlabel="evaluations at prediction", ylabel="right (%)",
        xlim=(float(nfe.min()) - 0.08 * span, float(nfe.max()) + 0.15 * span), height=340,
    )


def _tints(labels: np.ndarray) -> list[str]:
    series = draw.colours(int(labels.max()) + 1)
    return [series[int(label)] for label in labels]


def _flow(result: xr.Dataset, at: int) -> Any:
    ways = {"test samples along the field": result.paths.values}
    return draw.film(ways, at, colors=dict.fromkeys(ways, _tints(result.labels.values)), age=_TAIL, tails=60,
                     note=f"t = {float(result.t[at]):.2f}", size=0.5,
                     xlabel=str(result.axis.values[0]), ylabel=str(result.axis.values[1]))


def _straighten(result: xr.Dataset, at: int) -> Any:
    ways, colors = {}, {}
    for strength in result.strength.values:
        run = result.sel(strength=strength)
        title = f"λ₀ = {strength:g}: {float(run.nfe):.0f} calls, {float(run.accuracy):.0%}"
        ways[title] = run.paths.transpose("t", "particle", "axis").values
        colors[title] = _tints(run.labels.values)
    limits = draw.window(*(way for way in ways.values()))
    return draw.film(
        ways, at, colors=colors, limits=limits, age=_TAIL, tails=60, note=f"t = {float(result.t[at]):.2f}", size=0.5
    )


def _training(result: xr.Dataset) -> Any:
    fit = "misfit" if "moment_mean" in result else "cross-entropy"
    return draw.training({"loss": result.curve_loss, fit: result.curve_ce}, logy=True)


def _solver(result: xr.Dataset) -> Any:
    return draw.training({"evaluations": result.curve_nfe}, ylabel="evaluations of a step of training", ylim=(0, None))


def _bands(result: xr.Dataset) -> Any:
    t = result.moment.values
    layers: list[Any] = []
    for axis, tint in zip(result.axis.values, (draw.SOURCE, draw.TARGET), strict=True):
        data, model = (result.moment_mean.sel(of=of, axis=axis).values for of in ("data", "model"))
        spread = [np.sqrt(result.moment_variance.sel(of=of, axis=axis).values) for of in ("data", "model")]
        layers += [
            draw.band(t, model - spread[1], model + spread[1], color=tint),
            draw.curve(t, model, f"{axis} of the model", color=tint),
            draw.points(t, data, color=draw.INK, size=0.25),
            draw.points(t, data - spread[0], color=draw.MUTED, size=0.12),
            draw.points(t, data + spread[0], color=draw.MUTED, size=0.12),
        ]
    return draw.plot(*layers, xlabel="time t", ylabel="mean ± deviation", height=360)


PICTURES = Pictures(
    Picture("steps", "Lengths of steps", "Dots: accepted steps; crosses: rejected ones. Dashed: the longest stable "
            "step, by the solver's own estimate. On it the tolerance has no say.", _steps),
    Picture("plane", "Where the work goes", "The solution in the plane, played by work instead of time: the orange point "
            "stands where much is to do.", _plane, needs=("spent",), plays="share"),
    Picture("flow", "Features along the field", "Test samples, coloured by class, from what they are (t = 0) to what a linear "
            "map reads (t = 1).", _flow, needs=("paths",), plays="t"),
    Picture("bands", "Means and deviations", "Lines and bands: 1000 paths of the model; dots: those of the spiral.", _bands,
            needs=("moment_mean",)),
    Picture("errors", "Error of each step", "In units of the tolerance: above 1 the step is rejected (crosses). The controller "
            "keeps it near 0.6, by its plain rule, where errors decide.", _errors),
    Picture("edge", "At the edge of stability", "Length of the step times stiffness. Beyond the line an error grows, which is "
            "then rejected: the controller hops along it.", _edge),
    Picture("stiffness", "Stiffness", "The solver's estimate of the largest eigenvalue, from two stages at one time, for "
            "nothing.", _stiffness),
    Picture("solution", "The solution", "Dots: where accepted steps end.", _solution, needs=("way",)),
    Picture("work", "Evaluations by time", "Steep: much work for little time.", _work, needs=("when",)),
    Picture("tolerances", "Does a looser tolerance help?", "Evaluations by tolerance: where stability bounds the steps, it "
            "helps little.", _tolerances, along={"tolerance": (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3)}, needs=("nfe", "rejected")),
    Picture("slopes", "Two slopes of one term", "Of R_E by μ on [0, 1]. Through the lengths of steps it is the true slope, "
            "which finite differences confirm; with lengths held it is larger, for small μ of the other sign: this one "
            "trains.", _slopes,
            along={"mu": (2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0), "length": (1.0,)},
            needs=("slope_held", "slope_through", "slope_apart")),
    Picture("epochs", "Work by epoch", "Evaluations for the test samples after each epoch, under each term at this strength.",
            _epochs, along={"term": _TERMS, "system": (NETWORK,)}, needs=_COMPARED),
    Picture("bars", "Work in training and at prediction", "Grey: evaluations of the whole training, forward; blue: of one "
            "prediction. Seconds are printed by benchmarks/ode.py.", _bars, along={"term": _TERMS, "system": (NETWORK,)},
            needs=_COMPARED),
    Picture("pareto", "Right by work", "Each point a training on digits with its λ₀. Work falls at about equal answers, while "
            "too strong a term costs both.", _pareto,
            along={"strength": (0.0, 0.1, 0.3, 1.0, 3.0, 10.0), "system": (NETWORK,)}, needs=("nfe", "accuracy")),
    Picture("straighten", "Ways become straight", "A disc in a ring, under no term and two strengths (evaluations, right): play"
            " it. The stronger the term, the straighter the ways; too strong a one parts nothing.", _straighten,
            along={"strength": (0.0, 0.1, 1.0), "data": ("disc-in-ring",), "system": (NETWORK,),
                   "train_steps": (600,)},
            needs=("paths", "labels", "nfe", "accuracy"), plays="t"),
    Picture("training", "Training", "The loss, and what is left of it without the term.", _training, needs=("curve_loss",)),
    Picture("solver", "The solver in training", "Evaluations of the field by the solution of each step of training.", _solver,
            needs=("curve_nfe",)),
)
