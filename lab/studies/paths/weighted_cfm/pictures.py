"""The pictures of weighted conditional flow matching."""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.studies import draw
from lab.studies.contract import Picture, Pictures, Study, sweeping

UNFOLLOWED = "OT-CFM was not followed: switch it on, and choose data in the plane"
_BATCHES = (1, 4, 16, 64, 256, 1024)
FID = {
    "epsilon": (1.0, 2.0, 3.0, 5.0, 7.5), "W-CFM": (14.01, 8.89, 7.65, 7.33, 7.42), "I-CFM": 7.44, "OT-CFM": 7.60,
}
"""Published for CIFAR-10, dopri5."""


def followed(result: xr.Dataset) -> list[str]:
    return [name for name in result.coupling.values.tolist() if np.isfinite(result.pe.sel(coupling=name)).any()]


def _tint(name: str) -> str:
    return (*draw.colours(3), draw.current().muted)[("W-CFM", "OT-CFM", "EOT-CFM", "I-CFM").index(name)]


# ---- one run -----------------------------------------------------------------------------------------------------


def _film(result: xr.Dataset, at: int, positions: dict[str, xr.DataArray]) -> Any:
    ways = {title: draw.plane(moving) for title, moving in positions.items()}
    goals = {title: draw.behind(result.goals.values, way) for title, way in ways.items()}
    return draw.film(ways, at, goals=goals, note=f"t = {float(result.t[at]):.2f}")


def _motion(result: xr.Dataset, at: int) -> Any:
    return _film(result, at, {name: result.paths.sel(coupling=name) for name in followed(result)})


def known_field(result: xr.Dataset) -> str:
    """The coupling whose field the network is compared with: the one it learns, where its flow is known."""
    learns = sweeping.parameters(result)["learns"]
    return learns if learns in followed(result) else "W-CFM"


def _network(result: xr.Dataset, at: int) -> Any:
    learns, known = sweeping.parameters(result)["learns"], known_field(result)
    shown = {f"{known}, exact": result.paths.sel(coupling=known), f"network, {learns}": result.net}
    return _film(result, at, shown)


def _shades(values: np.ndarray) -> list[str]:
    """From orange, a third of the mass, through grey to blue, three times the mass."""
    tints = draw.ramp((draw.current().target, draw.blend(draw.MUTED, 0.45), draw.current().source), 101)
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
        ]
        name = str(result.axis.values[0])
        return draw.plot(*layers, xlabel=name, ylabel="mass with / without weights", ylim=(0, None))
    (left, right), (low, high) = xlim, ylim = draw.window(points)
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
        layers.append(draw.rectangles((*box, counts[0]), "", draw.current().target, alpha=0.45))
        steps, levels = np.repeat(edges, 2)[1:-1], np.repeat(foot + scale * counts[1], 2)
        layers.append(draw.curve(*((steps, levels) if axis == 0 else (levels, steps)), color=draw.INK))
    words = 15 * draw.current().letter  # of the width of all
    room = max(0.4, (1.06 * words + 0.06) / (1 - words))
    line = max(0.08 * tall, draw.current().height((1 + room) * wide, 1.25 * tall))
    corner = [right + 0.06 * wide], [high + 0.22 * tall], [high + 0.22 * tall - line]
    said = [
        draw.text(corner[0], corner[1], f"× {tau.max():.2f} at most", color=draw.SOURCE, up="top"),
        draw.text(corner[0], corner[2], f"× {tau.min():.2f} at least", color=draw.TARGET, up="top"),
    ]
    return draw.frame(
        [*layers, *said], (left, right + room * wide), (low, high + 0.25 * tall),
        xlabel=str(result.axis.values[0]), ylabel=str(result.axis.values[1]), equal=True, bounds=(xlim, ylim), height=380,
    )


def _per_dimension(result: xr.Dataset) -> bool:
    return sweeping.parameters(result)["cost"] == "half-squared"


def kappa_here(result: xr.Dataset) -> float:
    """κ at the ε of this run."""
    d = int(result.dimension)
    return sweeping.parameters(result)["epsilon"] / (d if _per_dimension(result) else d**0.5)


def _elbow(result: xr.Dataset) -> Any:
    kappa = result.kappa.values
    tilt = np.maximum(result.tilt_kappa.transpose("end", "kappa").values, 1e-6)
    return draw.plot(
        draw.curve(kappa, tilt[1], "R of the data", color=draw.TARGET),
        draw.curve(kappa, tilt[0], "R of the source"),
        draw.curve(kappa, np.maximum(result.ess_kappa.values, 1e-6), "effective share", color=draw.GOOD),
        draw.vline(kappa_here(result), "ε here", color=draw.MUTED, dash=True),
        logx=True, logy=True, xlabel="κ = ε / d" if _per_dimension(result) else "κ = ε / √d",
        ylabel="relative variance; share", ylim=(1e-4, None),
    )


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
    columns = {
        "W₂²": "fit_w2sq", "energy": "pe", "NPE": "npe", "bending": "straightness", "pairs cost": "pair_cost",
        "flow costs": "transport",
    }
    names = followed(result)
    numbers = {head: [float(result[of].sel(coupling=name)) for name in names] for head, of in columns.items()}
    return draw.table({"coupling": names, **numbers})


def _masses(result: xr.Dataset) -> Any:
    """Where particles end, against the masses of the data and of the weights."""
    names, atoms = followed(result), result.sizes["atom"]
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
    )


def _training(result: xr.Dataset) -> Any:
    losses = {"loss": result.curve_loss.values, "effective share": result.curve_ess.values}
    colors = {"loss": draw.SOURCE, "effective share": draw.GOOD}
    return draw.training(losses, colors=colors, ylabel="loss; share of the batch", logy=True)


def _fid(result: xr.Dataset) -> Any:
    """As published: nothing of it is computed here."""
    return draw.plot(
        draw.curve(FID["epsilon"], FID["W-CFM"], "W-CFM", markers=True),
        draw.hline(FID["I-CFM"], color=draw.MUTED),
        draw.hline(FID["OT-CFM"], f"I-CFM {FID['I-CFM']:.2f}, OT-CFM {FID['OT-CFM']:.2f}", color=draw.TARGET),
        xlabel="ε", ylabel="FID, CIFAR-10", logx=True, logy=True, xticks=list(FID["epsilon"]), yticks=[7, 8, 10, 12, 14],
        ylim=(6.8, 15), note="published, not computed here",
    )


# ---- sweeps --------------------------------------------------------------------------------------------------------


def _epsilons(*values: float) -> Callable[[Study, Data], list[float]]:
    """Half-squared costs are larger: some ten times, for data of this size."""
    return lambda study, data: [10 * value if study.values()["cost"] == "half-squared" else value for value in values]


def _batch_sizes(study: Study, data: Data) -> list[int]:
    return [size for size in _BATCHES if size <= study.values()["pairs"]]


def mean_level(result: xr.Dataset, name: str, coupling: str) -> float:
    return float(result[name].sel(coupling=coupling).mean())


def _tradeoff(result: xr.Dataset) -> Any:
    """With the names beside the curves, which end close to each other."""
    at = result.epsilon.values
    curves = {draw.GOOD: result.ess, draw.TARGET: result.npe_weighted, draw.SOURCE: result.w2sq}
    layers: list[Any] = [draw.curve(at, values.values, color=tint, markers=True) for tint, values in curves.items()]
    rows, shown = [("effective share", draw.GOOD)], [values.values for values in curves.values()]
    for name, of, tint in (("W₂² to the data", "fit_w2sq", draw.SOURCE), ("NPE", "npe", draw.TARGET)):
        rows.append((name, tint))
        for other in ("I-CFM", "OT-CFM"):
            if other in followed(result):
                level = mean_level(result, of, other)
                layers.append(draw.hline(level, color=tint))
                rows.append((f"  {other}: {level:.2g}", tint))
                shown.append(np.array([level]))
    values = np.concatenate(shown)
    values = values[values > 0]
    return draw.plot(
        *layers, *draw.legend(rows, 1.25 * at[-1], (values.min(), values.max()), log=True), logx=True, logy=True, xlabel="ε",
        ylabel="W₂², NPE, share", xticks=list(at), xlim=(None, at[-1] * (at[-1] / at[0]) ** 0.5),
    )


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
        if x - last > 0.17 * span:  # the others would overlap
            side = "left" if x == energy.min() else "right"  # inside the frame
            layers.append(draw.text([x], [y], f" ε = {e:g} ", color=draw.SOURCE, up="top", side=side))
            last = x + 0.17 * span if side == "left" else x
    others = {name: mean_level(result, "pe", name) / laws for name in followed(result) if name != "W-CFM"}
    for name, x in others.items():
        y = mean_level(result, "fit_w2sq", name)
        crowded = any(0 < other - x < 0.3 * span for other in others.values())  # by one to its right
        words = f"{name} " if crowded else f" {name}"
        layers += [
            draw.points([x], [y], color=_tint(name)),
            draw.text([x], [y], words, color=_tint(name), up="bottom", side="right" if crowded else "left"),
        ]
    return draw.plot(*layers, logy=True, xlabel="path energy / W₂² of source and data", ylabel="W₂² to the data")


def _trajectories(result: xr.Dataset) -> Any:
    chosen = result.epsilon.values[:: max(1, -(-result.sizes["epsilon"] // 4))]
    ways = {
        f"ε = {e:g}, W₂² {float(result.w2sq.sel(epsilon=e)):.2g}": draw.plane(result.paths.sel(epsilon=e, coupling="W-CFM"))
        for e in chosen
    }
    goal = draw.behind(result.goals.sel(epsilon=chosen[0]).values, next(iter(ways.values())))
    return draw.trajectories(ways, goal=goal)


def _batches(result: xr.Dataset) -> Any:
    levels = {name: mean_level(result, "pair_cost", name) for name in ("I-CFM", "W-CFM", "EOT-CFM")}
    colors = {name: _tint(name) for name in (*levels, "OT-CFM")}
    return draw.over(result.batch, {"OT-CFM": result.pair_cost.sel(coupling="OT-CFM")}, levels=levels, colors=colors)


def _without_batches(result: xr.Dataset) -> str:
    return "" if np.isfinite(result.pair_cost.sel(coupling="OT-CFM")).any() else UNFOLLOWED


_FEW = {"epsilon": _epsilons(0.5, 1.0, 2.0, 4.0, 8.0, 16.0)}
_MEASURES = ("fit_w2sq", "w2sq", "w2sq_floor", "w2sq_laws", "pe", "npe", "npe_weighted", "ess")
PICTURES = Pictures(
    Picture("motion", "Flows of all couplings", "The same noise (the tilted one too, if chosen) on the flow of each coupling; "
            "orange: fresh data. Play it, and look for data that stay empty.", _motion, plays="t"),
    Picture("reweighted", "Which data are under-weighted", "Blue gains mass by the weights, orange loses it, grey keeps "
            "it: only data of constant distance from the source's centre do. Bars: data; line: with weights.",
            _reweighted),
    Picture("trap", "Fit against energy", "W-CFM as ε falls, from the right to the left: what stays level is a gain. What "
            "rises is the trap: lower energy, but other data.", _trap, along=_FEW, needs=_MEASURES),
    Picture("tradeoff", "Fit, energy and weights by ε", "Dashed: I-CFM and OT-CFM. NPE touches 0 where the energy falls below "
            "W₂²: left of there marginals are missed. It counts where the blue line is as low as its dashed one.",
            _tradeoff, along=_FEW, needs=_MEASURES),
    Picture("trajectories", "Trajectories by ε", "Small ε: short and straight, and to where source and data meet. Large: "
            "those of independent pairs.", _trajectories, along={"epsilon": _epsilons(0.5, 2.0, 8.0, 100.0)},
            needs=("paths", "goals", "w2sq")),
    Picture("elbow", "How far the weights tilt", "Choose ε right of the elbow: where the tilt R of the data has become small, "
            "and the effective share large.", _elbow),
    Picture("plans", "Couplings", "Who is paired with whom: source in rows, from the bottom, data in columns, both sorted by "
            "the first coordinate.", _plans),
    Picture("table", "In numbers", "Each flow: its distance from fresh data, its energy, how it bends, and what pairs cost.",
            _table),
    Picture("masses", "Where particles end", "From the source, W-CFM ends near the masses of the weights (dots), the others at "
            "those of the data.", _masses, needs=("mass", "mass_weighted")),
    Picture("batches", "Batches of OT-CFM", "Small batches are all but independent; with large ones pairs cost as little as in "
            "optimal transport. W-CFM has no batch, but its tilt.", _batches, along={"batch": _batch_sizes},
            needs=("pair_cost",), where=_without_batches),
    Picture("network", "Network beside exact field", "The same particles on the exact field and on the trained network's.",
            _network, needs=("net",), plays="t"),
    Picture("training", "Training", "The weighted loss of each batch, and the share of the batch that its weights leave.",
            _training, needs=("curve_loss", "curve_ess")),
    Picture("fid", "Published: images by ε", "FID on CIFAR-10 as the paper reports it; the sweet spot is at ε = κ√d with κ of "
            "some 0.1.", _fid),
)
