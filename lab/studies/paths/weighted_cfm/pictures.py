"""The pictures of weighted conditional flow matching."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.studies import draw
from lab.studies.contract import Picture, Pictures, Study, sweeping
from lab.studies.draw.axes import frame
from lab.studies.draw.layers import rectangles
from lab.studies.draw.look import blend, current, ramp
from lab.studies.paths import path_parts

_TAILS, _AGE = 50, 9  # particles with tails, and frames that a tail is long
_LINES = 60  # trajectories of a panel that stands still
_FEW, _MORE = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0), (0.5, 2.0, 8.0, 100.0)
_BATCHES = (1, 4, 16, 64, 256, 1024)
FID = {
    "epsilon": (1.0, 2.0, 3.0, 5.0, 7.5), "W-CFM": (14.01, 8.89, 7.65, 7.33, 7.42), "I-CFM": 7.44, "OT-CFM": 7.60,
}  # fmt: skip
"""Published for CIFAR-10, dopri5."""


def _needs(name: str) -> Callable[[xr.Dataset], str]:
    """A sweep over this parameter and no other."""

    def applies(result: xr.Dataset) -> str:
        swept = [each for each in sweeping.parameters(result) if each in result.dims]
        if name not in swept:
            return f"it shows a sweep over {name}"
        more = [each for each in swept if each != name]
        return f"the sweep is also over {', '.join(more)}: choose one value" if more else ""

    return applies


def _trained(result: xr.Dataset) -> str:
    return sweeping.single(result) or (
        "" if "curve_loss" in result else "no network was trained: set the training steps above 0"
    )


def _few_points(result: xr.Dataset) -> str:
    return sweeping.single(result) or (
        "" if "mass" in result else "it counts particles at each of a few data points: choose data of at most 64"
    )


def _compared(result: xr.Dataset) -> str:
    known = np.isfinite(result.pair_cost.sel(coupling="OT-CFM")).any()
    return _needs("batch")(result) or (
        "" if known else "OT-CFM was not followed: switch it on, and choose data in the plane"
    )


def _followed(result: xr.Dataset) -> list[str]:
    return [name for name in result.coupling.values.tolist() if np.isfinite(result.pe.sel(coupling=name)).any()]


def _tint(name: str) -> str:
    return (*draw.colours(3), current().muted)[("W-CFM", "OT-CFM", "EOT-CFM", "I-CFM").index(name)]


def _plane(positions: xr.DataArray) -> np.ndarray:
    """(t, particle, 2); on a line the time is the first coordinate, stretched to the picture's shape."""
    values = positions.transpose("t", "particle", "axis").values
    if values.shape[2] == 2:
        return values
    time = np.broadcast_to(positions.t.values[:, None, None], values.shape)
    return np.concatenate([time * (float(np.ptp(values)) or 1.0), values], axis=2)


def _goal(result: xr.Dataset, way: np.ndarray) -> np.ndarray:
    goal = result.goals.values
    return goal if goal.shape[1] == 2 else np.c_[np.full(len(goal), way[-1, 0, 0]), goal]


# ---- one run -----------------------------------------------------------------------------------------------------


def _moving(result: xr.Dataset, at: int, ways: Mapping[str, np.ndarray]) -> Any:
    goals = {name: _goal(result, way) for name, way in ways.items()}
    xlim, ylim = path_parts.window(*ways.values(), *goals.values())
    seen = np.maximum(at + np.arange(1 - _AGE, 1), 0)  # at first the oldest is repeated
    panels = {
        name: draw.Panel(way[at], way[seen, :_TAILS], None, goals[name]) for name, way in ways.items()
    }  # fmt: skip
    return draw.particles(panels, xlim, ylim, note=f"t = {float(result.t[at]):.2f}", height=300)


def _motion(result: xr.Dataset, at: int) -> Any:
    names = _followed(result)
    return _moving(result, at, {name: _plane(result.paths.sel(coupling=name)) for name in names})


def _network(result: xr.Dataset, at: int) -> Any:
    learns = sweeping.parameters(result)["learns"]
    known = learns if learns in _followed(result) else "W-CFM"
    return _moving(
        result,
        at,
        {f"{known}, exact": _plane(result.paths.sel(coupling=known)), f"network, {learns}": _plane(result.net)},
    )


def _shades(values: np.ndarray) -> list[str]:
    """From orange, a third of the mass, through grey to blue, three times the mass."""
    tints = ramp((current().target, blend(draw.MUTED, 0.45), current().source), 101)
    at = np.clip(np.log(np.maximum(values, 1e-9)) / np.log(3), -1, 1)
    return [tints[k] for k in np.round(50 * (1 + at)).astype(int)]


def _reweighted(result: xr.Dataset) -> Any:
    """The data, coloured by what the weights make of their masses, and what that does to the marginals."""
    points, tau = result.points.values, result.tau.values
    if points.shape[1] == 1:
        order = np.argsort(points[:, 0])
        layers = [
            draw.segments(points[order, 0], np.zeros(len(tau)), points[order, 0], tau[order], color=draw.MUTED),
            draw.points(points[order, 0], tau[order], color=_shades(tau[order])), draw.hline(1.0, "kept"),
        ]  # fmt: skip
        return draw.plot(
            *layers, xlabel=str(result.axis.values[0]), ylabel="mass with / without weights", ylim=(0, None)
        )
    (left, right), (low, high) = xlim, ylim = path_parts.window(points)
    wide, tall = right - left, high - low
    kept = slice(None, 3000)
    layers = [draw.points(*points[kept].T, color=_shades(tau[kept]), size=0.4)]
    for axis, (first, last) in enumerate((xlim, ylim)):
        edges = np.linspace(first, last, 33)
        counts = [np.histogram(points[:, axis], edges, weights=w)[0] for w in (np.ones(len(tau)), tau)]
        scale = 0.2 * (tall, wide)[axis] / max(c.max() for c in counts)
        foot = high + 0.03 * tall if axis == 0 else right + 0.03 * wide
        flat = np.full(32, foot)
        box = [edges[:-1], flat, edges[1:], foot + scale * counts[0]]
        if axis == 1:
            box = [box[1], box[0], box[3], box[2]]
        layers.append(rectangles((*box, counts[0]), "", current().target, alpha=0.45))
        steps, levels = np.repeat(edges, 2)[1:-1], np.repeat(foot + scale * counts[1], 2)
        layers.append(draw.curve(*((steps, levels) if axis == 0 else (levels, steps)), color=draw.INK))
    corner = [right + 0.06 * wide], [high + 0.22 * tall], [high + 0.14 * tall]
    said = [
        draw.text(corner[0], corner[1], f"× {tau.max():.2f} at most", color=draw.SOURCE, up="top"),
        draw.text(corner[0], corner[2], f"× {tau.min():.2f} at least", color=draw.TARGET, up="top"),
    ]
    return frame(
        [*layers, *said], (left, right + 0.4 * wide), (low, high + 0.25 * tall),
        xlabel=str(result.axis.values[0]), ylabel=str(result.axis.values[1]), equal=True, bounds=(xlim, ylim), height=380,
    )  # fmt: skip


def _elbow(result: xr.Dataset) -> Any:
    kappa = result.kappa.values
    given = sweeping.parameters(result)
    d = int(result.dimension)
    here = given["epsilon"] / (d if given["cost"] == "half-squared" else d**0.5)
    tilt = np.maximum(result.tilt_kappa.transpose("end", "kappa").values, 1e-6)
    return draw.plot(
        draw.curve(kappa, tilt[1], "R of the data", color=draw.TARGET),
        draw.curve(kappa, tilt[0], "R of the source"),
        draw.curve(kappa, np.maximum(result.ess_kappa.values, 1e-6), "effective share", color=draw.GOOD),
        draw.vline(here, "ε here", color=draw.MUTED, dash=True),
        logx=True, logy=True, xlabel="κ = ε / d" if given["cost"] == "half-squared" else "κ = ε / √d",
        ylabel="relative variance; share", ylim=(1e-4, None),
    )  # fmt: skip


def _plans(result: xr.Dataset) -> Any:
    plans = result.plan.transpose("coupling", "i", "j")
    shown = {name: plans.sel(coupling=name).values for name in ("I-CFM", "W-CFM", "EOT-CFM", "OT-CFM")}
    titles = {"I-CFM": "independent", "W-CFM": "weighted", "EOT-CFM": "entropic transport", "OT-CFM": "transport"}
    # one scale for all but the permutation, which would leave nothing to see of the others
    peak = max(np.nanmax(shown[name], initial=0) for name in ("W-CFM", "EOT-CFM"))
    images = {}
    for name, plan in shown.items():
        if np.isfinite(plan).all():
            # a last row that sets the scale, and is cut off
            images[titles[name]] = draw.shaded(
                np.pad(np.minimum(plan[::-1] / peak, 1), ((0, 1), (0, 0)), constant_values=1)
            )[:-1]
    return draw.strip(images, height=260)


def _table(result: xr.Dataset) -> Any:
    names = _followed(result)
    rows = {
        "coupling": names,
        **{
            head: [float(result[key].sel(coupling=name)) for name in names]
            for head, key in (
                ("W₂²", "fit_w2sq"), ("energy", "pe"), ("NPE", "npe"), ("bending", "straightness"),
                ("pairs cost", "pair_cost"), ("flow costs", "transport"),
            )
        },
    }  # fmt: skip
    return draw.table(rows)


def _masses(result: xr.Dataset) -> Any:
    """Where particles end, against the masses of the data and of the weights."""
    names, atoms = _followed(result), result.sizes["atom"]
    at, wide = np.arange(atoms), 0.8 / len(names)
    layers: list[Any] = [
        draw.bars(
            at + (k - (len(names) - 1) / 2) * wide, result.mass.sel(coupling=name).values, width=wide, color=_tint(name)
        )
        for k, name in enumerate(names)
    ]
    order = result.points.values
    ticks = [(int(k), ", ".join(f"{z:.3g}" for z in order[k])) for k in at]
    top = 1.25 * max(float(result.mass.max()), float(result.mass_weighted.max()))
    for k, name in enumerate(names):
        layers.append(draw.text([-0.45 + k * atoms / len(names)], [0.97 * top], name, color=_tint(name)))
    return draw.plot(
        *layers, draw.points(at, result.mass_weighted.values, "under the weights", color=draw.INK),
        draw.hline(1 / atoms, "in the data"),
        xlabel="data point", ylabel="share of the particles", ylim=(0, top), xticks=ticks if atoms <= 12 else None,
    )  # fmt: skip


def _training(result: xr.Dataset) -> Any:
    lines = []
    for key, name, tint in (("curve_loss", "loss", draw.SOURCE), ("curve_ess", "effective share", draw.GOOD)):
        values = result[key].values
        every = max(1, len(values) // 200)
        kept = values[: len(values) // every * every].reshape(-1, every).mean(axis=1)
        lines.append(draw.curve((np.arange(len(kept)) + 0.5) * every, kept, name, color=tint))
    return draw.plot(*lines, xlabel="training step", ylabel="loss; share of the batch", logy=True)


def _fid(result: xr.Dataset) -> Any:
    """As published: nothing of it is computed here."""
    return draw.plot(
        draw.curve(FID["epsilon"], FID["W-CFM"], "W-CFM", markers=True),
        draw.hline(FID["I-CFM"], color=draw.MUTED),
        draw.hline(FID["OT-CFM"], f"I-CFM {FID['I-CFM']:.2f}, OT-CFM {FID['OT-CFM']:.2f}", color=draw.TARGET),
        xlabel="ε", ylabel="FID, CIFAR-10", logx=True, logy=True, xticks=list(FID["epsilon"]), yticks=[7, 8, 10, 12, 14],
        ylim=(6.8, 15), note="published, not computed here",
    )  # fmt: skip


# ---- sweeps --------------------------------------------------------------------------------------------------------


def _epsilons(study: Study, values: tuple[float, ...]) -> list[float]:
    """Half-squared costs are larger: some ten times, for data of this size."""
    return [10 * value if study.values()["cost"] == "half-squared" else value for value in values]


def _over_epsilon(study: Study, data: Data) -> dict[str, list]:
    return {"epsilon": _epsilons(study, _FEW)}


def _over_more(study: Study, data: Data) -> dict[str, list]:
    return {"epsilon": _epsilons(study, _MORE)}


def _over_batch(study: Study, data: Data) -> dict[str, list]:
    return {"batch": [size for size in _BATCHES if size <= study.values()["pairs"]]}


def _level(result: xr.Dataset, name: str, coupling: str) -> float:
    return float(result[name].sel(coupling=coupling).mean())


def _tradeoff(result: xr.Dataset) -> Any:
    at, fit, npe, share = result.epsilon.values, result.w2sq.values, result.npe_weighted.values, result.ess.values
    layers = [
        draw.curve(at, share, color=draw.GOOD, markers=True),
        draw.curve(at, npe, color=draw.TARGET, markers=True),
        draw.curve(at, fit, markers=True),
    ]
    key, shown = [("effective share", draw.GOOD)], [share, npe, fit]
    for name, of, tint in (("W₂² to the data", "fit_w2sq", draw.SOURCE), ("NPE", "npe", draw.TARGET)):
        key.append((name, tint))
        for other in ("I-CFM", "OT-CFM"):
            if other in _followed(result):
                level = _level(result, of, other)
                layers.append(draw.hline(level, color=tint))
                key.append((f"  {other}: {level:.2g}", tint))
                shown.append(np.array([level]))
    values = np.concatenate(shown)
    low, high = (float(np.log(f(values[values > 0]))) for f in (np.min, np.max))
    for row, (words, tint) in enumerate(key):  # beside the curves, which end close to each other
        y = np.exp(high - 0.09 * row * (high - low))
        layers.append(draw.text([1.25 * at[-1]], [y], words, color=tint))
    return draw.plot(
        *layers, logx=True, logy=True, xlabel="ε", ylabel="W₂², NPE, share", xticks=list(at),
        xlim=(None, at[-1] * (at[-1] / at[0]) ** 0.5),
    )  # fmt: skip


def _trap(result: xr.Dataset) -> Any:
    """Fit against energy, where the one has to be paid with the other."""
    laws = float(result.w2sq_laws.mean())
    energy, fit = result.pe.sel(coupling="W-CFM").values / laws, result.w2sq.values
    layers: list[Any] = [
        draw.curve(energy, fit, markers=True),
        draw.vline(1.0, "left of here no path meets both marginals", color=draw.WARN),
        draw.hline(float(result.w2sq_floor.mean()), "two samples of the data"),
    ]
    span, last = np.ptp(energy) or 1.0, -np.inf
    for e, x, y in zip(result.epsilon.values, energy, fit, strict=True):
        if x - last > 0.06 * span:  # the others would overlap
            layers.append(draw.text([x], [y], f"ε = {e:g} ", color=draw.SOURCE, up="top", side="right"))
            last = x
    others = {name: _level(result, "pe", name) / laws for name in _followed(result) if name != "W-CFM"}
    for name, x in others.items():
        y = _level(result, "fit_w2sq", name)
        crowded = any(0 < other - x < 0.3 * span for other in others.values())  # by one to its right
        words = f"{name} " if crowded else f" {name}"
        layers += [
            draw.points([x], [y], color=_tint(name)),
            draw.text([x], [y], words, color=_tint(name), up="bottom", side="right" if crowded else "left"),
        ]
    return draw.plot(*layers, logy=True, xlabel="path energy / W₂² of source and data", ylabel="W₂² to the data")


def _side_by_side(ways: dict[str, np.ndarray], goal: np.ndarray) -> Any:
    """Trajectories side by side, on one pair of axes, from grey starts to blue ends, on the data."""
    xlim, ylim = path_parts.window(*ways.values(), goal)
    wide, high = xlim[1] - xlim[0], ylim[1] - ylim[0]
    layers: list[Any] = []
    for number, (title, way) in enumerate(ways.items()):
        left = number * 1.1 * wide
        part = way[:, :_LINES]
        ends = (part[:-1, :, 0] + left, part[:-1, :, 1], part[1:, :, 0] + left, part[1:, :, 1])
        layers += [
            draw.points(goal[:, 0] + left, goal[:, 1], color=draw.TARGET, size=0.1, alpha=0.35),
            draw.segments(*ends, color=draw.MUTED, width=0.4),
            draw.points(way[-1, :, 0] + left, way[-1, :, 1], color=draw.SOURCE, size=0.12),
            draw.text([xlim[0] + left], [ylim[1] + 0.05 * high], title, color=draw.INK),
        ]
    right = xlim[0] + (1.1 * len(ways) - 0.1) * wide
    return frame(layers, (xlim[0], right), (ylim[0], ylim[1] + 0.12 * high), equal=True, bare=True, height=280)


def _trajectories(result: xr.Dataset) -> Any:
    chosen = result.epsilon.values[:: max(1, -(-result.sizes["epsilon"] // 4))]
    ways = {
        f"ε = {e:g}, W₂² {float(result.w2sq.sel(epsilon=e)):.2g}": _plane(result.paths.sel(epsilon=e, coupling="W-CFM"))
        for e in chosen
    }
    first = result.sel(epsilon=chosen[0])
    return _side_by_side(ways, _goal(first, next(iter(ways.values()))))


def _batches(result: xr.Dataset) -> Any:
    at = result.batch.values
    return draw.plot(
        draw.curve(at, result.pair_cost.sel(coupling="OT-CFM").values, "OT-CFM", color=_tint("OT-CFM"), markers=True),
        *(
            draw.hline(_level(result, "pair_cost", name), name, color=_tint(name))
            for name in ("I-CFM", "W-CFM", "EOT-CFM")
            if np.isfinite(_level(result, "pair_cost", name))
        ),
        logx=True, xlabel=draw.label(result.batch), ylabel=draw.label(result.pair_cost), xticks=list(at),
    )  # fmt: skip


_MEASURES = ("fit_w2sq", "w2sq", "w2sq_floor", "w2sq_laws", "pe", "npe", "npe_weighted", "ess")
PICTURES = Pictures(
    Picture("motion", "Flows of all couplings", "The same noise (the tilted one too, if chosen) on the flow of each coupling; "
            "orange: fresh data. Play it, and look for data that stay empty.", _motion, plays="t"),
    Picture("reweighted", "Which data are under-weighted", "Blue gains mass by the weights, orange loses it, grey keeps "
            "it: only data of constant distance from the source's centre do. Bars: data; line: with weights.",
            _reweighted),
    Picture("trap", "Fit against energy", "W-CFM as ε falls, from the right to the left: what stays level is a gain. What "
            "rises is the trap: lower energy, but other data.", _trap, where=_needs("epsilon"), along=_over_epsilon,
            also=_MEASURES),
    Picture("tradeoff", "Fit, energy and weights by ε", "Dashed: I-CFM and OT-CFM. NPE touches 0 where the energy falls below "
            "W₂²: left of there marginals are missed. It counts where the blue line is as low as its dashed one.",
            _tradeoff, where=_needs("epsilon"), along=_over_epsilon, also=_MEASURES),
    Picture("trajectories", "Trajectories by ε", "Small ε: short and straight, and to where source and data meet. Large: "
            "those of independent pairs.", _trajectories, where=_needs("epsilon"), along=_over_more,
            also=("paths", "goals", "w2sq")),
    Picture("elbow", "How far the weights tilt", "Choose ε right of the elbow: where the tilt R of the data has become small, "
            "and the effective share large.", _elbow),
    Picture("plans", "Couplings", "Who is paired with whom: source in rows, from the bottom, data in columns, both sorted by "
            "the first coordinate.", _plans),
    Picture("table", "In numbers", "Each flow: its distance from fresh data, its energy, how it bends, and what pairs cost.",
            _table),
    Picture("masses", "Where particles end", "From the source, W-CFM ends near the masses of the weights (dots), the others at "
            "those of the data.", _masses, where=_few_points),
    Picture("batches", "Batches of OT-CFM", "Small batches are all but independent; with large ones pairs cost as little as in "
            "optimal transport. W-CFM has no batch, but its tilt.", _batches, where=_compared, along=_over_batch,
            also=("pair_cost",)),
    Picture("network", "Network beside exact field", "The same particles on the exact field and on the trained network's.",
            _network, where=_trained, plays="t"),
    Picture("training", "Training", "The weighted loss of each batch, and the share of the batch that its weights leave.",
            _training, where=_trained),
    Picture("fid", "Published: images by ε", "FID on CIFAR-10 as the paper reports it; the sweet spot is at ε = κ√d with κ of "
            "some 0.1.", _fid),
)  # fmt: skip
