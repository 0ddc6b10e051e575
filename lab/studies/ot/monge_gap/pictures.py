"""The pictures of the Monge gap."""

from typing import Any

import numpy as np
import xarray as xr

from lab.studies import draw
from lab.studies.contract import Picture, Pictures, sweeping

from . import sweeps
from .sweeps import DRAWN

_CAMERA = (35, 35)


def _arrows(result: xr.Dataset) -> Any:
    """From points to images, heavy where a pair costs more than it must."""
    start, end = result.source.values[:DRAWN], result.mapped.values[:DRAWN]
    share = result.share_of_gap.values[:DRAWN]
    some = share.max() > 1e-9
    least = np.full(len(share), 0.15 * (share.max() if some else 1.0))
    return draw.plot(
        draw.points(*_columns(result.target.values), color=draw.MUTED, size=0.35, alpha=0.6),
        draw.segments(
            *_columns(start), *_columns(end), np.maximum(share, least), color=draw.INK if some else draw.MUTED,
            width=1.0 if some else 0.3, who={"particle": draw.began(start)}
        ),
        draw.same(draw.points(*_columns(start), size=0.6), particle=draw.began(start)),
        draw.same(draw.points(*_columns(end), color=draw.TARGET, size=0.6), particle=draw.began(start)),
        ylim=_with_room(start, end, result.target.values), equal=True, height=420, note=_told(result),
        xlabel=str(result.axis.values[0]), ylabel=str(result.axis.values[-1]),
    )


def _with_room(*clouds: np.ndarray) -> tuple[float, float]:
    """The ends of the upright axis, with a line of text above all points."""
    y = np.concatenate([_columns(cloud)[1] for cloud in clouds])
    span = float(np.ptp(y)) or 1.0
    return float(y.min()) - 0.04 * span, float(y.max()) + 0.12 * span


def _columns(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return points[:, 0], points[:, 1] if points.shape[1] > 1 else np.zeros(len(points))


def _sphere(result: xr.Dataset) -> Any:
    """Where the projection of the arrows can't show what is before and what behind."""
    kept = slice(0, DRAWN)
    ways = (result[name].values[kept] for name in ("on_sphere", "mapped_on_sphere", "share_of_gap"))
    body = draw.sphere_ways(*ways)
    return draw.surfaces({"points and their images": body}, note=_told(result), height=420)


def _told(result: xr.Dataset) -> str:
    return f"gap {float(result.gap):.3g} of {float(result.displacement):.3g}"


def _turns(result: xr.Dataset) -> Any:
    p = sweeping.parameters(result)
    guides = {"of Gaussians": result.gap_closed.values} if "gap_closed" in result else {}
    return draw.over(
        result.turn, {"of the points": result.gap_turned}, guides=guides, markers=False, ylabel=draw.label(result.gap),
        here=None if p["train_steps"] else float(p["angle"]), xticks=[-180, -90, 0, 90, 180], height=340,
        ylim=(0, 1.15 * max(result.gap_turned.values.max(), *map(np.max, guides.values()), 1e-9)),
    )


def above_exact(result: xr.Dataset) -> dict[str, np.ndarray]:
    """How far each form is above the exact gap, in units of epsilon."""
    exact = float(result.gap)
    epsilon = (result.low_by.values - exact) / np.log(result.sizes["point"])
    return {name: (result[f"{name}_by"].values - exact) / epsilon for name in ("entropic", "kl")}


def _bracket(result: xr.Dataset) -> Any:
    """Both forms between their bounds."""
    at, n, off = result.epsilon_share.values, result.sizes["point"], above_exact(result)
    return draw.plot(
        draw.band(at, 0 * at + np.log(n), 0 * at + 2 * np.log(n), color=draw.SOURCE),
        draw.band(at, 0 * at - np.log(n), 0 * at, color=draw.TARGET),
        draw.curve(at, off["entropic"], "with entropy", color=draw.SOURCE, markers=True),
        draw.curve(at, off["kl"], "KL form", color=draw.TARGET, markers=True),
        logx=True, xlabel="ε / mean cost", ylabel="(gap - exact gap) / ε", xticks=[0.01, 0.1, 1.0], height=340,
        ylim=(None, 2.4 * np.log(n)), note=f"bands: log n and 2 log n above, log n below; n = {n}",
    )


def _both(result: xr.Dataset) -> Any:
    """What the map does, and the least assignment of the same points and images."""
    start = result.source.values[:DRAWN]
    return draw.trajectories(
        {"the map": np.stack([start, result.mapped.values[:DRAWN]]),
         "the least assignment of its images": np.stack([start, result.best.values[:DRAWN]])}, most=DRAWN,
    )


def _contributions(result: xr.Dataset) -> Any:
    share = np.sort(result.share_of_gap.values)[::-1]
    total = max(share.sum(), 1e-12)
    return draw.plot(
        draw.curve(np.arange(1, len(share) + 1) / len(share), np.cumsum(share) / total, color=draw.SOURCE),
        draw.curve([0, 1], [0, 1], "all alike", color=draw.MUTED, dash=True),
        xlabel="share of the pairs, worst first", ylabel="share of the gap", xlim=(0, None), ylim=(0, 1.03), height=340,
    )


def _field(result: xr.Dataset) -> Any:
    gx, gy = np.meshgrid(result.gx.values, result.gy.values)
    move = result.field_to.values
    step = (result.gx.values[1] - result.gx.values[0]) / (np.hypot(move[..., 0], move[..., 1]).max() or 1.0)
    ends = gx + 0.9 * step * move[..., 0], gy + 0.9 * step * move[..., 1]
    return draw.plot(
        draw.points(*_columns(result.source.values), color=draw.SOURCE, size=0.3, alpha=0.5),
        draw.segments(gx.ravel(), gy.ravel(), ends[0].ravel(), ends[1].ravel(), color=draw.INK, width=0.9),
        draw.points(ends[0].ravel(), ends[1].ravel(), color=draw.TARGET, size=0.35),
        xlabel="x₁", ylabel="x₂", equal=True, height=400,
    )


def _rivals(result: xr.Dataset) -> Any:
    columns = {"map": [str(name) for name in result.rival.values]}
    for title, name in (("gap", "gap_of"), ("divergence", "fit_of"), ("unexplained, %", "uvp_of")):
        if name in result:
            columns[title] = [f"{float(value):.3g}" for value in result[name].values]
    return draw.table(columns)


def _training(result: xr.Dataset) -> Any:
    at = result.frame.values
    return draw.plot(
        draw.curve(at, result.film_gap.values, "gap, exact", color=draw.TARGET, markers=True),
        draw.curve(at, result.film_entropic.values, "with entropy", color=draw.TARGET, dash=True),
        draw.curve(at, result.film_fit.values, "divergence", color=draw.SOURCE, markers=True),
        draw.curve(at[[0, -1]], 2 * [float(result.film_floor)], "ε log n", color=draw.MUTED, dash=True),
        xlabel="training step", ylabel="on held-out points", ylim=(0, None), height=340,
    )


def _film(result: xr.Dataset, at: int) -> Any:
    """Lines from points to images, as they are learned."""
    start, end, target = result.source.values[:DRAWN], result.film.values[:, :DRAWN], result.target.values
    whole = np.concatenate([start, end.reshape(-1, end.shape[-1]), target])
    across = _columns(whole)[0]
    return draw.plot(
        draw.points(*_columns(target), color=draw.MUTED, size=0.35, alpha=0.6),
        draw.segments(*_columns(start), *_columns(end[at]), color=draw.INK, width=0.7),
        draw.points(*_columns(start), color=draw.SOURCE, size=0.6),
        draw.points(*_columns(end[at]), color=draw.TARGET, size=0.6),
        xlim=(float(across.min()), float(across.max())), ylim=_with_room(whole), equal=True, height=420,
        xlabel=str(result.axis.values[0]), ylabel=str(result.axis.values[-1]),
        note=f"step {int(result.frame[at])}: gap {float(result.film_gap[at]):.3g}, {int(result.film_crossing[at])} crossings",
    )


PICTURES = Pictures(
    Picture("arrows", "What the map does", "From points (blue) to images (orange), heavy where a pair costs more than "
            "it must. Grey: targets.", _arrows,
            where=lambda result: "it is shown on the sphere" if "on_sphere" in result else ""),
    Picture("sphere", "What the map does", "From points (blue) to images (orange), heavy where a pair costs more than "
            "it must. Drag to turn.", _sphere,
            needs=("on_sphere", "mapped_on_sphere"), turns=_CAMERA),
    Picture("turns", "One image, many maps", "The gap of all turned maps. All have one image (of Gaussians exactly), "
            "so no divergence sees it.", _turns),
    Picture("both", "Map and optimal assignment", "The same points and images, paired by the map and at minimum cost.",
            _both),
    Picture("contributions", "Which pairs cost it", "The gap by pairs, above the optimal potentials.", _contributions),
    Picture("bracket", "What the entropy adds", "The gap with an entropy is never 0: between ε log n and 2 ε log n above the "
            "exact one. In its KL form it is below.", _bracket),
    Picture("field", "Beyond the points", "Where the map takes the plane, also where no point was. Shortened; the dot is where "
            "it goes.", _field, needs=("field_to",)),
    Picture("rivals", "Other maps", "On held-out points: the constant map has no gap, and explains nothing.", _rivals),
    Picture("film", "As it is learned", "The map from its first weights on. Play it.", _film, needs=("film",), plays="frame"),
    Picture("training", "Fit and gap", "Both on held-out points, as the map is learned.", _training, needs=("film_gap",)),
    Picture("loss", "Loss", "Of the batch of each step.",
            lambda result: draw.training({"loss": result.curve_loss.values}), needs=("curve_loss",)),
    Picture("weights", "Weight of the gap", "The same training under each λ: too little leaves any map, too much holds points "
            "back.", sweeps.weights, needs=("fit", "gap", "uvp"),
            along=lambda study, data: sweeps.training_unless(study, {"strength": (0.01, 0.1, 1.0, 10.0)})),
    Picture("beside", "Without and with the gap", "Two trainings of the same network: from points to images.",
            sweeps.beside("strength", "λ = "), needs=("source", "mapped", "crossing"),
            along=lambda study, data: sweeps.training_unless(study, {"strength": (0.0, 1.0)})),
    Picture("costs", "Under each cost (Fig. 2)", "The same network for other costs, and how many of its lines cross.",
            sweeps.beside("cost", ""), needs=("source", "mapped", "crossing"),
            along=lambda study, data: sweeps.training_unless(study, {"cost": ("squared", "distance", "power")})),
    Picture("dimensions", "In more dimensions (Fig. 6)", "Maps of a known one, far from affine: what each leaves unexplained.",
            sweeps.dimensions, needs=("uvp_of",),
            along=lambda study, data: sweeps.training_unless(study, sweeps.DIMENSIONS)),
    Picture("symmetry", "Two weights (Fig. 5)", "Of a structured map, whose field should be a gradient.", sweeps.symmetry,
            needs=("uvp",), along=lambda study, data: sweeps.training_unless(
                study, {"form": ("structured",), "strength": (0.1, 1.0, 10.0), "conservative": (0.001, 0.01, 0.1)})),
)
