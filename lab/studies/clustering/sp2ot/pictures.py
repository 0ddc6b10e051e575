"""The pictures of progressive partial transport."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.numerics.statistics import mean_interval
from lab.studies import draw
from lab.studies.contract import Picture, Pictures, Study

_RHOS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0)
_METHODS = ("balanced", "uot", "p2ot", "sp2ot")
_SCORES = ("macro_acc", "nmi", "f1")


def there(result: xr.Dataset) -> list[tuple[str, str]]:
    """The algorithms of a sweep, each with its colour."""
    given = result.algorithm.values.tolist()
    tints = zip(_METHODS, draw.colours(len(_METHODS)), strict=True)
    return [(method, tint) for method, tint in tints if method in given]


def _legend(names: Sequence[tuple[str, str]], low: float = 0.0) -> list[Any]:
    """Words in the colours of what they name, one below the other, right of three groups with scores from ``low`` to 1."""
    ends = 1 - (1.05 - low) * 0.065 * np.arange(len(names))
    return [
        draw.text([3.1], [y], [name], color=tint, side="right") for (name, tint), y in zip(names, ends, strict=True)
    ]


# ---- one run -----------------------------------------------------------------------------------------------------


def _curriculum(result: xr.Dataset) -> Any:
    x, y = result.position.values.T
    tints = draw.colours(result.sizes["cluster"])
    return draw.plot(
        draw.points(x, y, color=draw.MUTED, size=0.08, alpha=0.5),
        draw.same(
            draw.points(x, y, color=[tints[k] for k in result.label.values], size=result.row_weight.values),
            cluster=np.where(result.row_weight.values > 0, result.label.values, -1),
        ),
        xlabel="first axis", ylabel="second axis", equal=True, height=380,
        note=f"{float(result.row_weight.mean()):.0%} labelled, {float(result.precision_labelled):.0%} of it right",
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
        xlabel="cluster, the largest class first", ylabel="share of the mass",
        xticks=[(int(i), str(k)) for i, k in enumerate(order)], ylim=(0, None),
    )


def _plan(result: xr.Dataset) -> Any:
    order = np.argsort(result.true_class.values, kind="stable")
    n = len(order)
    whole = np.c_[n * result.plan.values[order], 1 - result.row_weight.values[order]]
    names = [str(k) for k in range(result.sizes["cluster"])] + ["none"]
    return draw.heatmap(
        whole, cols=names, xlabel="cluster; last: not labelled", ylabel="sample, sorted by class",
        clabel="share of the sample", clim=(0, 1), equal=False, height=420,
    )


def _convergence(result: xr.Dataset) -> Any:
    return draw.convergence({"residual": result.history_residual.values}, ylabel=draw.label(result.history_residual))


def _curves(result: xr.Dataset) -> Any:
    epoch = 1 + result.epoch.values
    shown = (("acc", "accuracy"), ("nmi", "NMI"), ("precision", "precision of labels"), ("recall", "recall of labels"))
    return draw.plot(
        *(
            draw.curve(epoch, result[f"curve_{name}"].values, title, color=tint)
            for (name, title), tint in zip(shown, draw.colours(len(shown)), strict=True)
        ),
        draw.curve(epoch, result.curve_rho.values, "ρ", color=draw.MUTED, dash=True),
        xlabel="epoch", ylabel="score", ylim=(0, 1.15),
    )


# ---- sweeps --------------------------------------------------------------------------------------------------------


def sorted_shares(result: xr.Dataset) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Shares of the mass, the largest first: of the classes, and of the clusters of each algorithm."""
    mass = {method: result.cluster_mass.sel(algorithm=method).values for method, _ in there(result)}
    truth = result.class_share.isel(algorithm=0) if "algorithm" in result.class_share.dims else result.class_share
    return np.sort(truth.values)[::-1], {method: np.sort(each / each.sum())[::-1] for method, each in mass.items()}


def _sizes(result: xr.Dataset) -> Any:
    truth, shares = sorted_shares(result)
    at = np.arange(1, truth.size + 1)
    lines = [draw.curve(at, shares[method], method, color=tint, markers=True) for method, tint in there(result)]
    lines.append(draw.curve(at, truth, "classes", color=draw.INK, dash=True))
    return draw.plot(
        *lines, xlabel="cluster, the largest first", ylabel="share of the mass", ylim=(0, None),
        xticks=range(1, truth.size + 1, 1 + truth.size // 16),
    )


def _groups(result: xr.Dataset) -> Any:
    shown, layers = there(result), []
    for i, (method, tint) in enumerate(shown):
        heights = result.group_acc.sel(algorithm=method).isel(epochs=-1).values
        at = np.arange(3) + 0.2 * (i - (len(shown) - 1) / 2)
        layers.append(draw.bars(at, heights, width=0.18, color=tint))
    return draw.plot(
        *layers, *_legend(shown), ylabel="accuracy", ylim=(0, 1.05),
        xlabel=f"classes by frequency, after {int(result.epochs[-1])} epochs",
        xticks=[(0, "head"), (1, "middle"), (2, "tail")],
    )


def trained(result: xr.Dataset) -> list[tuple[str, str, xr.Dataset]]:
    """Each algorithm with its colour and its runs, and the k-means where all of them begin."""
    of = [(method, tint, result.sel(algorithm=method).isel(epochs=-1)) for method, tint in there(result)]
    if 0 not in result.epochs.values:
        return of
    return [("k-means", draw.MUTED, result.isel(algorithm=0).sel(epochs=0)), *of]


def _scores(result: xr.Dataset) -> Any:
    of = trained(result)
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
        *layers, *_legend([(name, tint) for name, tint, _ in of], low),
        xlabel=f"after {int(result.epochs[-1])} epochs, {result.sizes['seed']} seeds", ylabel="score", ylim=(low, 1.05),
        xticks=[(k, draw.label(result[name])) for k, name in enumerate(_SCORES)],
    )


def _quality(result: xr.Dataset) -> Any:
    return draw.over(
        result.rho, {"precision": result.precision_labelled, "recall": result.recall_labelled},
        guides={"if all were right": result.rho}, ylabel="share labelled with its class", ylim=(0, 1.06),
        xticks=(0.25, 0.5, 0.75, 1.0),
    )


def _steps(result: xr.Dataset) -> Any:
    scaling, newton = (result.iterations.sel(solver=name) for name in ("scaling", "newton"))
    return draw.over(
        result.rho, {"scaling": scaling, "Newton": newton}, colors={"scaling": draw.TARGET, "Newton": draw.SOURCE},
        ylabel="iterations to 10⁻¹⁰", logy=True, xticks=None,
    )


def _outer(result: xr.Dataset) -> Any:
    lines = []
    for shift, title, tint in ((False, "as it is", draw.TARGET), (True, "made to descend", draw.SOURCE)):
        values = result.history_objective.sel(psd_shift=shift).values
        values = values[np.isfinite(values)]
        above = values - values.min() + 1e-4 * np.ptp(values)  # what goes round in circles comes back to its lowest
        lines.append(draw.curve(np.arange(1, values.size + 1), above, title, color=tint))
    return draw.plot(*lines, xlabel="outer step", ylabel="above its lowest (nat)", logy=True)


def _epochs(study: Study, data: Data) -> list[int]:
    return [study.values()["epochs"] or 20]


def _before_and_after(study: Study, data: Data) -> list[int]:
    return [0, *_epochs(study, data)]


PICTURES = Pictures(
    Picture("curriculum", "Who is labelled", "Colour: the pseudo-label; size: how much of the sample is labelled.",
            _curriculum),
    Picture("masses", "Sizes of clusters", "Bars: what each cluster gets; line: the size of the class that it matches.",
            _masses),
    Picture("plan", "Pseudo-labels", "Each row is a sample, sorted by class; the last column is what is not labelled.",
            _plan),
    Picture("convergence", "Convergence", "The residual of the optimality conditions, by iteration.", _convergence),
    Picture("curves", "Training", "Scores after each epoch, while the labelled share (dashed) grows.", _curves,
            needs=("curve_rho",)),
    Picture("quality", "Precision and recall of labels", "Of what is labelled (precision) and of all samples (recall). The "
            "confident ones are right more often: precision falls as the labelled share grows.", _quality,
            along={"rho": _RHOS}, needs=("precision_labelled", "recall_labelled"), when={"algorithm": ("p2ot", "sp2ot")},
            why="all samples are labelled"),
    Picture("sizes", "Sizes by algorithm", "Sorted sizes of clusters against those of the classes (dashed).", _sizes,
            along={"algorithm": _METHODS}, needs=("cluster_mass", "class_share")),
    Picture("groups", "Frequent and rare classes", "Accuracy after training in the frequent 30% of the classes, the "
            "middle, and the rare 30%.", _groups, along={"algorithm": _METHODS, "epochs": _epochs}, needs=("group_acc",)),
    Picture("scores", "Scores over seeds", "The mean over seeds, its 95% interval, and each seed (small), which has other "
            "samples and another k-means to begin with.", _scores,
            along={"seed": range(5), "algorithm": _METHODS, "epochs": _before_and_after}, needs=_SCORES),
    Picture("steps", "Newton and scaling", "Iterations to the same residual: scaling slows down as the labelled share "
            "falls.", _steps, along={"solver": ("scaling", "newton"), "rho": _RHOS}, needs=("iterations",),
            when={"algorithm": ("p2ot",)}, why="only p2ot has a share and a choice of solver"),
    Picture("outer", "Does it descend?", "The objective of the semantic term by outer step, with the authors' similarity and "
            "with its diagonal raised.", _outer, along={"psd_shift": (False, True)}, needs=("history_objective",),
            when={"algorithm": ("sp2ot",)}, why="only sp2ot has outer steps"),
)
