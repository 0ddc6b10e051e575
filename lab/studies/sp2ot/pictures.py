"""The pictures of progressive partial transport."""

import json
from typing import Any

import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.studies import draw
from lab.studies.base import Study
from lab.studies.declare import Picture, Pictures

_RHOS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0)
_METHODS = ("balanced", "uot", "p2ot", "sp2ot")


def _parameters(result: xr.Dataset) -> dict[str, Any]:
    return json.loads(result.attrs["parameters"])


def _single(result: xr.Dataset) -> str:
    swept = [name for name in _parameters(result) if name in result.dims]
    return f"it shows one run, and this is a sweep over {', '.join(swept)}: choose one value" if swept else ""


def _trained(result: xr.Dataset) -> str:
    return _single(result) or ("" if "curve_loss" in result else "nothing was trained: set epochs above 0")


def _semantic(result: xr.Dataset) -> str:
    return "" if _parameters(result)["algorithm"] == "sp2ot" else "only sp2ot has outer steps: choose that algorithm"


def _needs(*names: str):
    def applies(result: xr.Dataset) -> str:
        missing = [name for name in names if name not in result.dims]
        return f"it shows a sweep over {' and '.join(missing)}" if missing else ""

    return applies


# ---- one run -----------------------------------------------------------------------------------------------------


def _curriculum(result: xr.Dataset) -> Any:
    x, y = result.position.values.T
    tints = draw.colours(result.sizes["cluster"])
    return draw.plot(
        draw.points(x, y, color=draw.MUTED, size=0.08, alpha=0.5),
        draw.points(x, y, color=[tints[k] for k in result.label.values], size=result.row_weight.values),
        xlabel="first axis", ylabel="second axis", equal=True, height=380,
        note=f"{float(result.row_weight.mean()):.0%} labelled, {float(result.precision_labelled):.0%} of it right",
    )  # fmt: skip


def _masses(result: xr.Dataset) -> Any:
    share = result.cluster_mass.values / result.cluster_mass.values.sum()
    order = np.argsort(-result.class_share.values, kind="stable")
    at = np.arange(len(order))
    return draw.plot(
        draw.bars(at, share[order], width=0.8),
        draw.curve(at, result.class_share.values[order], "classes", color=draw.TARGET, markers=True),
        draw.hline(1 / len(order), "prior"),
        xlabel="cluster, the largest class first", ylabel="share of the mass",
        xticks=[(int(i), str(k)) for i, k in enumerate(order)], ylim=(0, None),
    )  # fmt: skip


def _plan(result: xr.Dataset) -> Any:
    order = np.argsort(result.true_class.values, kind="stable")
    n = len(order)
    whole = np.c_[n * result.plan.values[order], 1 - result.row_weight.values[order]]
    names = [str(k) for k in range(result.sizes["cluster"])] + ["none"]
    return draw.heatmap(
        whole, cols=names, xlabel="cluster; last: not labelled", ylabel="sample, sorted by class",
        clabel="share of the sample", clim=(0, 1), equal=False, height=420,
    )  # fmt: skip


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
        xlabel="epoch", ylabel="score", ylim=(0, 1.02),
    )  # fmt: skip


# ---- sweeps --------------------------------------------------------------------------------------------------------


def _over_methods(study: Study, data: Data) -> dict[str, list]:
    return {"algorithm": list(_METHODS)}


def _sizes(result: xr.Dataset) -> Any:
    lines = []
    for method, tint in zip(_METHODS, draw.colours(len(_METHODS)), strict=True):
        mass = result.cluster_mass.sel(algorithm=method).values
        at = np.arange(1, mass.size + 1)
        lines.append(draw.curve(at, np.sort(mass / mass.sum())[::-1], method, color=tint, markers=True))
    truth = np.sort(result.class_share.isel(algorithm=0).values if "algorithm" in result.class_share.dims
                    else result.class_share.values)[::-1]  # fmt: skip
    lines.append(draw.curve(np.arange(1, truth.size + 1), truth, "classes", color=draw.INK, dash=True))
    return draw.plot(*lines, xlabel="cluster, the largest first", ylabel="share of the mass", ylim=(0, None))


def _over_trained(study: Study, data: Data) -> dict[str, list]:
    return {"algorithm": list(_METHODS), "epochs": [getattr(study, "epochs", 0) or 20]}


def _groups(result: xr.Dataset) -> Any:
    layers = []
    for i, (method, tint) in enumerate(zip(_METHODS, draw.colours(len(_METHODS)), strict=True)):
        heights = result.group_acc.sel(algorithm=method).isel(epochs=-1).values
        layers.append(draw.bars(np.arange(3) + 0.2 * (i - 1.5), heights, width=0.18, color=tint))
        layers.append(draw.text([2.5], [1.12 - 0.07 * i], [method], color=tint, side="right"))
    return draw.plot(
        *layers, xlabel=f"classes by frequency, after {int(result.epochs[-1])} epochs", ylabel="accuracy",
        xticks=[(0, "head"), (1, "middle"), (2, "tail")], ylim=(0, 1.2),
    )  # fmt: skip


def _over_rho(study: Study, data: Data) -> dict[str, list]:
    return {"rho": list(_RHOS)}


def _quality(result: xr.Dataset) -> Any:
    rho = result.rho.values
    return draw.plot(
        draw.curve(rho, result.precision_labelled.values, "precision", markers=True),
        draw.curve(rho, result.recall_labelled.values, "recall", color=draw.TARGET, markers=True),
        draw.curve(rho, rho, "if all were right", color=draw.MUTED, dash=True),
        xlabel=draw.label(result.rho), ylabel="share of the mass", ylim=(0, 1.02),
    )  # fmt: skip


def _over_solvers(study: Study, data: Data) -> dict[str, list]:
    return {"solver": ["scaling", "newton"], "rho": list(_RHOS)}


def _steps(result: xr.Dataset) -> Any:
    rho = result.rho.values
    return draw.plot(
        draw.curve(rho, result.iterations.sel(solver="scaling").values, "scaling", color=draw.TARGET, markers=True),
        draw.curve(rho, result.iterations.sel(solver="newton").values, "Newton", markers=True),
        xlabel=draw.label(result.rho), ylabel="iterations to 1e-10", logy=True,
    )  # fmt: skip


def _over_shift(study: Study, data: Data) -> dict[str, list]:
    return {"psd_shift": [False, True]}


def _outer(result: xr.Dataset) -> Any:
    lines = []
    for shift, title, tint in ((False, "as it is", draw.TARGET), (True, "made to descend", draw.SOURCE)):
        values = result.history_objective.sel(psd_shift=shift).values
        values = values[np.isfinite(values)]
        above = values - values.min() + 1e-4 * np.ptp(values)  # what goes round in circles comes back to its lowest
        lines.append(draw.curve(np.arange(1, values.size + 1), above, title, color=tint))
    return draw.plot(*lines, xlabel="outer step", ylabel="objective above its lowest value [nat]", logy=True)


PICTURES = Pictures(
    Picture("curriculum", "Who is labelled", "Colour: the pseudo-label; size: how much of the sample is labelled.",
            _curriculum, _single),
    Picture("masses", "Sizes of clusters", "Bars: what each cluster gets; line: the size of the class that it matches.",
            _masses, _single),
    Picture("plan", "Pseudo-labels", "Each row is a sample, sorted by class; the last column is what is not labelled.",
            _plan, _single),
    Picture("convergence", "Convergence", "The residual of the optimality conditions, by iteration.", _convergence,
            _single),
    Picture("curves", "Training", "Scores after each epoch, while the labelled share (dashed) grows.", _curves, _trained),
    Picture("quality", "Precision and recall of labels", "The confident samples are right more often: precision falls as the "
            "labelled share grows.", _quality, _needs("rho"), _over_rho, ("precision_labelled", "recall_labelled")),
    Picture("sizes", "Sizes by algorithm", "Sorted sizes of clusters against those of the classes (dashed).", _sizes,
            _needs("algorithm"), _over_methods, ("cluster_mass", "class_share")),
    Picture("groups", "Frequent and rare classes", "Accuracy in the most frequent 30 % of the classes, the middle, and the "
            "rarest 30 %, after training.", _groups, _needs("algorithm", "epochs"), _over_trained, ("group_acc",)),
    Picture("steps", "Newton and scaling", "Iterations to the same residual: scaling slows down as the labelled share "
            "falls.", _steps, _needs("solver", "rho"), _over_solvers, ("iterations",)),
    Picture("outer", "Does it descend?", "The objective of the semantic term by outer step, with the authors' similarity and "
            "with its diagonal raised.", _outer,
            lambda result: _semantic(result) or _needs("psd_shift")(result), _over_shift, ("history_objective",)),
)  # fmt: skip
