"""Pictures of progressive partial transport, each with its caption and finding."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.numerics.statistics import mean_interval
from lab.studies import draw
from lab.studies.contract import Picture, Pictures, Study
from lab.words import percent

_RHOS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0)
_METHODS = ("balanced", "uot", "p2ot", "sp2ot")
_SCORES = ("macro_acc", "nmi", "f1")


def _ends(values: xr.DataArray) -> tuple[float, float]:
    """The first and the last number."""
    seen = values.values[np.isfinite(values.values)]
    return (float(seen[0]), float(seen[-1])) if seen.size else (0.0, 0.0)


def _there(result: xr.Dataset) -> list[tuple[str, str]]:
    """The algorithms of a sweep, each with its color."""
    given = result.algorithm.values.tolist()
    tints = zip(_METHODS, draw.colours(len(_METHODS)), strict=True)
    return [(method, tint) for method, tint in tints if method in given]


def _legend(names: Sequence[tuple[str, str]], low: float = 0.0) -> list[Any]:
    """Names in their colors, one below the other, right of three groups with scores from ``low`` to 1."""
    ends = 1 - (1.05 - low) * 0.065 * np.arange(len(names))
    return [
        draw.text([3.1], [y], [name], color=tint, side="right") for (name, tint), y in zip(names, ends, strict=True)
    ]


def _curriculum(result: xr.Dataset) -> Any:
    x, y = result.position.values.T
    tints = draw.colours(result.sizes["cluster"])
    return draw.plot(
        draw.points(x, y, color=draw.MUTED, size=0.08, alpha=0.5),
        draw.same(
            draw.points(x, y, color=[tints[k] for k in result.label.values], size=result.row_weight.values),
            cluster=np.where(result.row_weight.values > 0, result.label.values, -1),
        ),
        xlabel="first axis",
        ylabel="second axis",
        equal=True,
        height=380,
        note=f"{float(result.row_weight.mean()):.0%} labelled, {float(result.precision_labelled):.0%} of it correct",
    )


def _masses(result: xr.Dataset) -> Any:
    share = result.cluster_mass.values / result.cluster_mass.values.sum()
    order = np.argsort(-result.class_share.values, kind="stable")
    at = np.arange(len(order))
    return draw.plot(
        draw.same(draw.bars(at, share[order], width=0.8), cluster=order),
        draw.curve(at, result.class_share.values[order], color=draw.TARGET, markers=True),
        draw.text([at[-1] + 0.55], [result.class_share.values[order[-1]]], "classes", color=draw.TARGET),
        draw.hline(1 / len(order), "prior"),
        xlabel="cluster, the largest class first",
        ylabel="share of the mass",
        xticks=[(int(i), str(k)) for i, k in enumerate(order)],
        ylim=(0, None),
    )


def _plan(result: xr.Dataset) -> Any:
    order = np.argsort(result.true_class.values, kind="stable")
    n = len(order)
    whole = np.c_[n * result.plan.values[order], 1 - result.row_weight.values[order]]
    names = [str(k) for k in range(result.sizes["cluster"])] + ["none"]
    return draw.heatmap(
        whole,
        cols=names,
        xlabel="cluster; last: not labelled",
        ylabel="sample, sorted by class",
        clabel="share of the sample",
        clim=(0, 1),
        equal=False,
        height=420,
    )


def _plan_finding(result: xr.Dataset) -> str:
    weight, right = result.row_weight.values, percent(float(result.precision_labelled))
    if weight.min() > 1 - 1e-6:
        return f"Every sample is labelled in full, and {right} of the mass has the correct class"
    half = int((weight > 0.5).sum())
    if not half:
        return f"No sample is labelled by more than {percent(weight.max())}; {right} of the labels are correct"
    return f"{half:,} of {len(weight):,} samples are labelled by more than half; {right} of the labels are correct"


def _curves(result: xr.Dataset) -> Any:
    epoch = 1 + result.epoch.values
    shown = (("acc", "accuracy"), ("nmi", "NMI"), ("precision", "precision of labels"), ("recall", "recall of labels"))
    return draw.plot(
        *(
            draw.curve(epoch, result[f"curve_{name}"].values, title, color=tint)
            for (name, title), tint in zip(shown, draw.colours(len(shown)), strict=True)
        ),
        draw.curve(epoch, result.curve_rho.values, "ρ", color=draw.MUTED, dash=True),
        xlabel="epoch",
        ylabel="score",
        ylim=(0, 1.15),
    )


def _curves_finding(result: xr.Dataset) -> str:
    (first, acc), (before, right) = _ends(result.curve_acc), _ends(result.curve_precision)
    return (
        f"Accuracy goes from {percent(first, 3)} to {percent(acc, 3)}, the precision of labels from {percent(before, 3)} to "
        f"{percent(right, 3)}"
    )


def _trained(result: xr.Dataset) -> list[tuple[str, str, xr.Dataset]]:
    """Each algorithm with its color and its runs, and the k-means where all of them begin."""
    of = [(method, tint, result.sel(algorithm=method).isel(epochs=-1)) for method, tint in _there(result)]
    if 0 not in result.epochs.values:
        return of
    return [("k-means", draw.MUTED, result.isel(algorithm=0).sel(epochs=0)), *of]


def _scores(result: xr.Dataset) -> Any:
    of = _trained(result)
    values = np.array([[runs[name].values for name in _SCORES] for *_, runs in of])
    low = max(0.0, np.floor(10 * np.nanmin(values) - 1) / 10)
    layers: list[Any] = []
    for i, (_, tint, _) in enumerate(of):
        at = np.arange(3) + 0.16 * (i - (len(of) - 1) / 2)
        mean, _, bottom, top = np.array([mean_interval(row) for row in values[i]]).T
        seeds = np.repeat(at - 0.045, values.shape[2])
        layers += [
            draw.points(seeds, values[i].ravel(), color=tint, size=0.35, alpha=0.45),
            draw.segments(at, bottom, at, top, color=tint, width=1.2),
            draw.points(at, mean, color=tint, size=1.3),
        ]
    return draw.plot(
        *layers,
        *_legend([(name, tint) for name, tint, _ in of], low),
        xlabel=f"after {int(result.epochs[-1])} epochs, {result.sizes['seed']} seeds",
        ylabel="score",
        ylim=(low, 1.05),
        xticks=[(k, draw.label(result[name])) for k, name in enumerate(_SCORES)],
    )


def _scores_finding(result: xr.Dataset) -> str:
    of = {name: mean_interval(runs.macro_acc.values) for name, _, runs in _trained(result)}
    order = sorted(of, key=lambda name: -of[name].mean)
    first, count = of[order[0]], result.sizes["seed"]
    tied = [name for name in order if count > 1 and of[name].high >= first.low] or order[:1]
    if len(tied) > 1:
        span = f"{percent(of[tied[-1]].mean, 3)} to {percent(first.mean, 3)}"
        return f"{' and '.join(filter(None, [', '.join(tied[:-1]), tied[-1]]))} tie for the highest accuracy, {span}"
    begun = f"{'' if count > 1 else 'One seed: '}{order[0]} has the highest mean accuracy, {percent(first.mean, 3)}"
    return f"{begun}; {order[1]} has {percent(of[order[1]].mean, 3)}" if len(order) > 1 else begun


def _quality(result: xr.Dataset) -> Any:
    return draw.over(
        result.rho,
        {"precision": result.precision_labelled, "recall": result.recall_labelled},
        guides={"all correct": result.rho},
        ylabel="correctly labelled fraction",
        ylim=(0, 1.06),
        xticks=(0.25, 0.5, 0.75, 1.0),
    )


def _quality_finding(result: xr.Dataset) -> str:
    seen = result.precision_labelled.squeeze().values.reshape(-1)
    few, many = int(np.argmin(result.rho.values)), int(np.argmax(result.rho.values))
    way = "falls" if seen[many] < seen[few] else "rises" if seen[many] > seen[few] else "goes"
    return (
        f"Precision {way} from {percent(seen[few], 3)} at ρ = {float(result.rho[few]):g} to {percent(seen[many], 3)} at "
        f"ρ = {float(result.rho[many]):g}"
    )


def _steps(result: xr.Dataset) -> Any:
    scaling, newton = (result.iterations.sel(solver=name) for name in ("scaling", "newton"))
    return draw.over(
        result.rho,
        {"scaling": scaling, "Newton": newton},
        colors={"scaling": draw.TARGET, "Newton": draw.SOURCE},
        ylabel="iterations to 10⁻¹⁰",
        logy=True,
        xticks=None,
    )


def _steps_finding(result: xr.Dataset) -> str:
    newton, scaling = (result.iterations.sel(solver=name).values.reshape(-1) for name in ("newton", "scaling"))
    few, many = int(np.argmin(result.rho.values)), int(np.argmax(result.rho.values))
    most = f"at most {newton.max():,.0f}" if newton.max() > newton.min() else f"{newton.max():,.0f}"
    told = f"{scaling[many]:,.0f} at ρ = {float(result.rho[many]):g}"
    told += f", {scaling[few]:,.0f} at ρ = {float(result.rho[few]):g}" if few != many else ""
    return f"Newton takes {most} iterations; scaling {told}"


def _outer(result: xr.Dataset) -> Any:
    lines = []
    for shift, title, tint in (
        (False, "authors' similarity", draw.TARGET),
        (True, "positive semi-definite", draw.SOURCE),
    ):
        values = result.history_objective.sel(psd_shift=shift).values
        values = values[np.isfinite(values)]
        above = values - values.min() + 1e-4 * np.ptp(values)  # a cycle returns to its minimum
        lines.append(draw.curve(np.arange(1, values.size + 1), above, title, color=tint))
    return draw.plot(*lines, xlabel="outer step", ylabel="above its minimum (nat)", logy=True)


def _outer_finding(result: xr.Dataset) -> str:
    rises = []
    for shift in (False, True):
        values = result.history_objective.sel(psd_shift=shift).values.reshape(-1)
        values = values[np.isfinite(values)]
        steps = np.diff(values)
        rises.append((int((steps > 1e-9 * np.ptp(values)).sum()) if steps.size else 0, steps.size))
    (as_is, steps), (raised, _) = rises
    if not as_is and not raised:
        return "The objective descends at every step, with both similarities"
    return f"The objective increases in {as_is} of {steps} steps; with a definite similarity in {raised or 'none'}"


def _before_and_after(study: Study, data: Data) -> list[int]:
    return [0, study.values()["epochs"] or 20]


PICTURES = Pictures(
    Picture(
        "curriculum",
        "Labelled samples",
        "Points: samples; color: pseudo-label; area: labelled share of the sample.",
        _curriculum,
    ),
    Picture("masses", "Sizes of clusters", "Bars: mass of each cluster; line: size of its matched class.", _masses),
    Picture(
        "plan",
        "Pseudo-labels",
        "Rows: samples, sorted by class; color: share of the sample in each cluster; last column: not labelled.",
        _plan,
        finds=_plan_finding,
    ),
    Picture(
        "curves",
        "Training",
        "Lines: scores after each epoch; dashed: labelled share.",
        _curves,
        needs=("curve_rho",),
        finds=_curves_finding,
    ),
    Picture(
        "quality",
        "Precision and recall of labels",
        "Lines: fraction of labels that are correct (precision), and of samples that are correctly labelled (recall); dashed: "
        "all labels correct.",
        _quality,
        along={"rho": _RHOS},
        needs=("precision_labelled", "recall_labelled"),
        when={"algorithm": ("p2ot", "sp2ot")},
        why="all samples are labelled",
        finds=_quality_finding,
    ),
    Picture(
        "scores",
        "Scores over seeds",
        "Points: mean over seeds; lines: its 95% interval; small points: seeds, each with other samples and another k-means.",
        _scores,
        along={"seed": range(5), "algorithm": _METHODS, "epochs": _before_and_after},
        needs=_SCORES,
        finds=_scores_finding,
    ),
    Picture(
        "steps",
        "Newton and scaling",
        "Lines: iterations to the same residual.",
        _steps,
        along={"solver": ("scaling", "newton"), "rho": _RHOS},
        needs=("iterations",),
        when={"algorithm": ("p2ot",)},
        why="only p2ot has a labelled share and a choice of solver",
        finds=_steps_finding,
    ),
    Picture(
        "outer",
        "Descent of the objective",
        "Lines: objective with the semantic term by outer step, for the authors' similarity and with its diagonal raised.",
        _outer,
        along={"psd_shift": (False, True)},
        needs=("history_objective",),
        when={"algorithm": ("sp2ot",)},
        why="only sp2ot has outer steps",
        finds=_outer_finding,
    ),
)
