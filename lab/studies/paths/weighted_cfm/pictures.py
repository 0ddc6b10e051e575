"""Pictures of weighted conditional flow matching, each with its caption and finding."""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.studies import draw
from lab.studies.contract import Comparison, Picture, Pictures, Study, sweeping
from lab.studies.vocabulary.training import settled
from lab.words import number, percent

from .experiment import UNFOLLOWED

_ALL = {name: name for name in ("I-CFM", "W-CFM", "OT-CFM", "EOT-CFM")}
W2SQ = Comparison("w2sq", "W₂² to held-out data", _ALL, result="fit_w2sq", along="coupling", ours="W-CFM")
BENDING = Comparison(
    "bending", "bending of the paths", _ALL, result="straightness", along="coupling", ours="W-CFM", best_at=None
)
_BATCHES = (1, 4, 16, 64, 256, 1024)
_INCOMPLETE = "The run of W-CFM is incomplete"
_SMALL = 0.1  # tilt of the data


def _followed(result: xr.Dataset) -> list[str]:
    return [name for name in result.coupling.values.tolist() if np.isfinite(result.pe.sel(coupling=name)).any()]


def _tint(name: str) -> str:
    return (*draw.colours(3), draw.current().muted)[("W-CFM", "OT-CFM", "EOT-CFM", "I-CFM").index(name)]


def _mean_level(result: xr.Dataset, name: str, coupling: str) -> float:
    return float(result[name].sel(coupling=coupling).mean())


# ---- one run -----------------------------------------------------------------------------------------------------


def _motion(result: xr.Dataset, at: int) -> Any:
    ways = {name: draw.plane(result.paths.sel(coupling=name)) for name in _followed(result)}
    goals = {title: draw.behind(result.goals.values, way) for title, way in ways.items()}
    return draw.film(ways, at, goals=goals, note=f"t = {float(result.t[at]):.2f}")


def _shades(values: np.ndarray) -> list[str]:
    """From orange, a third of the mass, through gray to blue, three times the mass."""
    tints = draw.ramp((draw.current().target, draw.blend(draw.MUTED, 0.45), draw.current().source), 101)
    at = np.clip(np.log(np.maximum(values, 1e-9)) / np.log(3), -1, 1)
    return [tints[k] for k in np.round(50 * (1 + at)).astype(int)]


def _reweighted(result: xr.Dataset) -> Any:
    points, tau = result.points.values, result.tau.values
    if points.shape[1] == 1:
        order = np.argsort(points[:, 0])
        layers = [
            draw.segments(points[order, 0], np.zeros(len(tau)), points[order, 0], tau[order], color=draw.MUTED),
            draw.points(points[order, 0], tau[order], color=_shades(tau[order])),
            draw.hline(1.0, "unchanged"),
        ]
        name = str(result.axis.values[0])
        return draw.plot(*layers, xlabel=name, ylabel="mass with / without weights", ylim=(0, None))
    (left, right), (low, high) = xlim, ylim = draw.window(points)
    wide, tall = right - left, high - low
    layers = [draw.points(*points[:3000].T, color=_shades(tau[:3000]), size=0.4)]
    for axis, (first, last) in enumerate((xlim, ylim)):
        edges = np.linspace(first, last, 33)
        counts = [np.histogram(points[:, axis], edges, weights=w)[0] for w in (np.ones(len(tau)), tau)]
        scale = 0.2 * (tall, wide)[axis] / max(c.max() for c in counts)
        foot = high + 0.03 * tall if axis == 0 else right + 0.03 * wide
        flat = np.full(32, foot)
        box = [edges[:-1], flat, edges[1:], foot + scale * counts[0]]
        if axis == 1:
            box = [box[1], box[0], box[3], box[2]]
        layers.append(draw.rectangles((*box, counts[0]), "", draw.current().target, alpha=0.45))
        steps, levels = np.repeat(edges, 2)[1:-1], np.repeat(foot + scale * counts[1], 2)
        layers.append(draw.curve(*((steps, levels) if axis == 0 else (levels, steps)), color=draw.INK))
    words = 15 * draw.current().letter  # as a fraction of the width
    room = max(0.4, (1.06 * words + 0.06) / (1 - words))
    line = max(0.08 * tall, draw.current().height((1 + room) * wide, 1.25 * tall))
    corner = [right + 0.06 * wide], [high + 0.22 * tall], [high + 0.22 * tall - line]
    said = [
        draw.text(corner[0], corner[1], f"× {tau.max():.2f} at most", color=draw.SOURCE, up="top"),
        draw.text(corner[0], corner[2], f"× {tau.min():.2f} at least", color=draw.TARGET, up="top"),
    ]
    return draw.frame(
        [*layers, *said],
        (left, right + room * wide),
        (low, high + 0.25 * tall),
        xlabel=str(result.axis.values[0]),
        ylabel=str(result.axis.values[1]),
        equal=True,
        bounds=(xlim, ylim),
        height=380,
    )


def _per_dimension(result: xr.Dataset) -> bool:
    return sweeping.parameters(result)["cost"] == "half-squared"


def _kappa_here(result: xr.Dataset) -> float:
    """κ at the ε of this run."""
    d = int(result.dimension)
    return sweeping.parameters(result)["epsilon"] / (d if _per_dimension(result) else d**0.5)


def _elbow(result: xr.Dataset) -> Any:
    kappa = result.kappa.values
    tilt = np.maximum(result.tilt_kappa.transpose("end", "kappa").values, 1e-6)
    return draw.plot(
        draw.curve(kappa, tilt[1], "R of the data", color=draw.TARGET),
        draw.curve(kappa, tilt[0], "R of the source"),
        draw.curve(kappa, np.maximum(result.ess_kappa.values, 1e-6), "effective fraction", color=draw.GOOD),
        draw.vline(_kappa_here(result), "ε here", color=draw.MUTED, dash=True),
        logx=True,
        logy=True,
        xlabel="κ = ε / d" if _per_dimension(result) else "κ = ε / √d",
        ylabel="relative variance; fraction",
        ylim=(1e-4, None),
    )


def _plans(result: xr.Dataset) -> Any:
    """Images on one scale; a plan that is a permutation would hide all others, so it is clipped."""
    plans = result.plan.transpose("coupling", "i", "j")
    shown = {name: plans.sel(coupling=name).values for name in ("I-CFM", "W-CFM", "EOT-CFM", "OT-CFM")}
    titles = {"I-CFM": "independent", "W-CFM": "weighted", "EOT-CFM": "entropic transport", "OT-CFM": "transport"}
    peak = max(np.nanmax(shown[name], initial=0) for name in ("W-CFM", "EOT-CFM"))
    images = {}
    for name, plan in shown.items():
        if np.isfinite(plan).all():
            # the added last row sets the scale and is cut off
            images[titles[name]] = draw.shaded(
                np.pad(np.minimum(plan[::-1] / peak, 1), ((0, 1), (0, 0)), constant_values=1)
            )[:-1]
    return draw.strip(images, height=260)


def _table(result: xr.Dataset) -> Any:
    columns = {
        "W₂²": "fit_w2sq",
        "energy": "pe",
        "NPE": "npe",
        "bending": "straightness",
        "pairs cost": "pair_cost",
        "flow costs": "transport",
    }
    names = _followed(result)
    numbers = {head: [float(result[of].sel(coupling=name)) for name in names] for head, of in columns.items()}
    return draw.table({"coupling": names, **numbers})


def _training(result: xr.Dataset) -> Any:
    losses = {"loss": result.curve_loss.values, "effective fraction": result.curve_ess.values}
    colors = {"loss": draw.SOURCE, "effective fraction": draw.GOOD}
    return draw.training(losses, colors=colors, ylabel="loss; fraction of the batch", logy=True)


# ---- sweeps --------------------------------------------------------------------------------------------------------


def _epsilons(*values: float) -> Callable[[Study, Data], list[float]]:
    """Ten times larger for half-squared costs, which are larger for data of this size."""
    return lambda study, data: [10 * value if study.values()["cost"] == "half-squared" else value for value in values]


def _trap(result: xr.Dataset) -> Any:
    laws = float(result.w2sq_laws.mean())
    energy, fit = result.pe.sel(coupling="W-CFM").values / laws, result.w2sq.values
    layers: list[Any] = [
        draw.curve(energy, fit, markers=True),
        draw.vline(1.0, "bound", color=draw.WARN),
        draw.hline(float(result.w2sq_floor.mean()), "two samples of the data"),
    ]
    span, last = np.ptp(energy) or 1.0, -np.inf
    for e, x, y in zip(result.epsilon.values, energy, fit, strict=True):
        if x - last > 0.17 * span:  # closer labels would overlap
            side = "left" if x == energy.min() else "right"  # inside the frame
            layers.append(draw.text([x], [y], f" ε = {e:g} ", color=draw.SOURCE, up="top", side=side))
            last = x + 0.17 * span if side == "left" else x
    others = {name: _mean_level(result, "pe", name) / laws for name in _followed(result) if name != "W-CFM"}
    for name, x in others.items():
        y = _mean_level(result, "fit_w2sq", name)
        crowded = any(0 < other - x < 0.3 * span for other in others.values())  # by a point to its right
        words = f"{name} " if crowded else f" {name}"
        layers += [
            draw.points([x], [y], color=_tint(name)),
            draw.text([x], [y], words, color=_tint(name), up="bottom", side="right" if crowded else "left"),
        ]
    return draw.plot(*layers, logy=True, xlabel="path energy / W₂² of source and data", ylabel="W₂² to the data")


def _batches(result: xr.Dataset) -> Any:
    levels = {name: _mean_level(result, "pair_cost", name) for name in ("I-CFM", "W-CFM", "EOT-CFM")}
    colors = {name: _tint(name) for name in (*levels, "OT-CFM")}
    return draw.over(result.batch, {"OT-CFM": result.pair_cost.sel(coupling="OT-CFM")}, levels=levels, colors=colors)


# ---- findings ------------------------------------------------------------------------------------------------------


def _trap_finding(result: xr.Dataset) -> str:
    energy = result.pe.sel(coupling="W-CFM").values / float(result.w2sq_laws.mean())
    at, fit = result.epsilon.values, result.w2sq.values
    if not np.isfinite(fit).any():
        return _INCOMPLETE
    low, best = int(np.nanargmin(energy)), int(np.nanargmin(fit))
    if energy[low] >= 1:
        return f"The energy is at least {number(energy[low], 3)} times W₂² of source and data at every ε"
    text = f"At ε = {at[low]:g} the energy is {percent(1 - energy[low])} below the bound"
    if fit[low] < 1.05 * fit[best]:
        return f"{text}, with W₂² within 5% of its minimum"
    return f"{text}, and W₂² is {number(fit[low] / fit[best], 2)} times its value at ε = {at[best]:g}"


def _elbow_finding(result: xr.Dataset) -> str:
    tilt, kappa = result.tilt_kappa.transpose("end", "kappa").values[1], result.kappa.values
    here, large = f"this run has κ = {_kappa_here(result):.2g}", np.flatnonzero(~(tilt < _SMALL))
    if large.size and large[-1] + 1 == len(kappa):
        return f"The tilt R of the data is at least {_SMALL} at every κ; {here}"
    start = large[-1] + 1 if large.size else 0
    return f"The tilt R of the data is below {_SMALL} for κ ≥ {kappa[start]:.2g}; {here}"


def _plans_finding(result: xr.Dataset) -> str:
    names = {"I-CFM": "independent", "W-CFM": "weighted", "EOT-CFM": "entropic", "OT-CFM": "transport"}
    told = []
    for name, words in names.items():
        plan = result.plan.sel(coupling=name).transpose("i", "j").values
        if np.isfinite(plan).all():
            partners = plan.sum(1) ** 2 / np.maximum((plan**2).sum(1), 1e-300)  # inverse participation ratio
            told.append(f"{partners[plan.sum(1) > 0].mean():.2g} ({words})")
    return f"Effective partners of a source: {', '.join(told)}" if told else _INCOMPLETE


def _batches_finding(result: xr.Dataset) -> str:
    run = result.sortby("batch")
    cost, B = run.pair_cost.sel(coupling="OT-CFM").values, run.batch.values
    weighted = _mean_level(run, "pair_cost", "W-CFM")
    cheap = B[cost <= weighted]
    if not cheap.size:
        return f"Pairs of OT-CFM cost {number(cost[-1], 3)} at B = {B[-1]:,}, pairs of W-CFM {number(weighted, 3)}"
    return f"From B = {cheap[0]:,} on, pairs of OT-CFM cost no more than pairs of W-CFM ({number(weighted, 3)})"


def _training_finding(result: xr.Dataset) -> str:
    end, share = settled(result.curve_loss), settled(result.curve_ess)
    if not np.isfinite(end + share):
        return "The training diverged in its first steps"
    return f"The loss ends at {number(end, 3)}; the effective fraction of a batch is {percent(share)}"


PICTURES = Pictures(
    Picture(
        "motion",
        "Flows of all couplings",
        "Panels: flows of the couplings from the same noise (W-CFM: from tilted noise where chosen). Blue: particles; "
        "orange: held-out data.",
        _motion,
        plays="t",
    ),
    Picture(
        "reweighted",
        "Which data the weights change",
        "Color of the data points: the weights raise (blue), lower (orange) or leave (gray) their mass. Bars: marginals of "
        "the data; lines: with weights.",
        _reweighted,
    ),
    Picture(
        "trap",
        "Fit against energy",
        "Line: W-CFM by ε. Other points: the other couplings. Left of the vertical line the energy is below W₂² of source "
        "and data, so a marginal is wrong. Horizontal line: W₂² of two samples of the data.",
        _trap,
        along={"epsilon": _epsilons(0.5, 1.0, 2.0, 4.0, 8.0, 16.0)},
        needs=("fit_w2sq", "w2sq", "w2sq_floor", "w2sq_laws", "pe"),
        finds=_trap_finding,
    ),
    Picture(
        "elbow",
        "How far the weights tilt",
        "Lines: tilt R of the data (orange) and of the source (blue), effective fraction of the pairs (green). Dashed: ε of "
        "this run.",
        _elbow,
        finds=_elbow_finding,
    ),
    Picture(
        "plans",
        "Couplings",
        "Color: mass of a pair, on one scale (transport is clipped). Rows: source, from the bottom; columns: data; both "
        "sorted by the first coordinate.",
        _plans,
        finds=_plans_finding,
    ),
    Picture(
        "table",
        "In numbers",
        "Rows: flows. Columns: W₂² to held-out data, path energy, NPE, bending, mean cost of the pairs, mean cost between "
        "initial samples and endpoints.",
        _table,
        finds=W2SQ.finding,
    ),
    Picture(
        "batches",
        "Batches of OT-CFM",
        "Line: mean cost of the pairs of OT-CFM by batch size. Dashed: mean cost of independent, weighted and entropic "
        "pairs, which have no batch size.",
        _batches,
        along={"batch": lambda study, data: [size for size in _BATCHES if size <= study.values()["pairs"]]},
        needs=("pair_cost",),
        where=lambda result: "" if np.isfinite(result.pair_cost.sel(coupling="OT-CFM")).any() else UNFOLLOWED,
        finds=_batches_finding,
    ),
    Picture(
        "training",
        "Training",
        "Blue: weighted training loss of each batch. Green: effective fraction of its pairs under the weights.",
        _training,
        needs=("curve_loss", "curve_ess"),
        finds=_training_finding,
    ),
)
