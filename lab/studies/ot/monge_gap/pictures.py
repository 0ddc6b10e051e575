"""Pictures of the Monge gap, each with its caption and finding."""

from typing import Any

import numpy as np
import xarray as xr

from lab.studies import draw
from lab.studies.contract import Comparison, Picture, Pictures, as_text, sweeping
from lab.words import number

from .claims import LEARNED

_CAMERA = (35, 35)
_DRAWN = 120  # lines of a picture
_NOTHING = 1e-9  # of the mean cost, below which a gap is rounding
_DIMENSIONS = {"data": ("planted-map",), "dimensions": (2, 4, 8, 16, 32), "bend": (5,), "form": ("gaussian",)}
_MAPS = {
    "constant": "the constant map",
    "Gaussian": "the Gaussian map",
    "entropic": "the entropic map",
    "turned": "the rotated map",
}
GAP = Comparison("gap", "Monge gap", _MAPS, result="gap_of", along="rival")
FIT = Comparison("fit", "divergence to the target", _MAPS, result="fit_of", along="rival")


# ---- one map -----------------------------------------------------------------------------------------------------


def _arrows(result: xr.Dataset) -> Any:
    start, end = result.source.values[:_DRAWN], result.mapped.values[:_DRAWN]
    share = result.share_of_gap.values[:_DRAWN]
    some = share.max() > 1e-9
    weight = np.maximum(share, 0.15 * (share.max() if some else 1.0))
    color, width, who = draw.INK if some else draw.MUTED, 1.0 if some else 0.3, {"particle": draw.began(start)}
    return draw.plot(
        draw.points(*_columns(result.target.values), color=draw.MUTED, size=0.35, alpha=0.6),
        draw.segments(*_columns(start), *_columns(end), weight, color=color, width=width, who=who),
        draw.same(draw.points(*_columns(start), size=0.6), **who),
        draw.same(draw.points(*_columns(end), color=draw.TARGET, size=0.6), **who),
        ylim=_with_room(start, end, result.target.values),
        equal=True,
        height=420,
        note=_costs_of(result),
        xlabel=str(result.axis.values[0]),
        ylabel=str(result.axis.values[-1]),
    )


def _with_room(*clouds: np.ndarray) -> tuple[float, float]:
    """The ends of the vertical axis, with a line of text above all points."""
    y = np.concatenate([_columns(cloud)[1] for cloud in clouds])
    span = float(np.ptp(y)) or 1.0
    return float(y.min()) - 0.04 * span, float(y.max()) + 0.12 * span


def _columns(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return points[:, 0], points[:, 1] if points.shape[1] > 1 else np.zeros(len(points))


def _costs_of(result: xr.Dataset) -> str:
    return f"gap {float(result.gap):.3g} of {float(result.displacement):.3g}"


def _sphere(result: xr.Dataset) -> Any:
    """In space, where a projection of the arrows would hide the back."""
    names = "on_sphere", "mapped_on_sphere", "share_of_gap"
    body = draw.sphere_ways(*(result[name].values[:_DRAWN] for name in names))
    return draw.surfaces({"points and their images": body}, note=_costs_of(result), height=420)


def _turns(result: xr.Dataset) -> Any:
    p = sweeping.parameters(result)
    guides = {"of Gaussians": result.gap_closed.values} if "gap_closed" in result else {}
    return draw.over(
        result.turn,
        {"of the points": result.gap_turned},
        guides=guides,
        markers=False,
        ylabel=draw.label(result.gap),
        here=None if p["train_steps"] else float(p["angle"]),
        xticks=[-180, -90, 0, 90, 180],
        height=340,
        ylim=(0, 1.15 * max(result.gap_turned.values.max(), *map(np.max, guides.values()), 1e-9)),
    )


def _above_exact(result: xr.Dataset) -> dict[str, np.ndarray]:
    """How far each form is above the exact gap, in units of ε."""
    exact = float(result.gap)
    epsilon = (result.low_by.values - exact) / np.log(result.sizes["point"])
    return {name: (result[f"{name}_by"].values - exact) / epsilon for name in ("entropic", "kl")}


def _bracket(result: xr.Dataset) -> Any:
    at, n, off = result.epsilon_share.values, result.sizes["point"], _above_exact(result)
    return draw.plot(
        draw.band(at, 0 * at + np.log(n), 0 * at + 2 * np.log(n), color=draw.SOURCE),
        draw.band(at, 0 * at - np.log(n), 0 * at, color=draw.TARGET),
        draw.curve(at, off["entropic"], "with entropy", color=draw.SOURCE, markers=True),
        draw.curve(at, off["kl"], "KL form", color=draw.TARGET, markers=True),
        logx=True,
        xlabel="ε / mean cost",
        ylabel="(gap - exact gap) / ε",
        xticks=[0.01, 0.1, 1.0],
        height=340,
        ylim=(None, 2.4 * np.log(n)),
    )


def _gap(gap: float, scale: float) -> str:
    """As a number; 0 where it is rounding."""
    return number(float(gap), 3) if gap > _NOTHING * scale else "0"


def _bracket_finding(result: xr.Dataset) -> str:
    off = _above_exact(result)["entropic"]
    off, gap = off[np.isfinite(off)], _gap(float(result.gap), float(result.displacement))
    if not off.size:
        return f"The gap is {gap}"
    return f"The entropy adds {number(off.min(), 3)} ε to {number(off.max(), 3)} ε to the gap of {gap}"


def _rivals(result: xr.Dataset) -> Any:
    columns = {"map": [str(name) for name in result.rival.values]}
    for title, name in (("gap", "gap_of"), ("divergence", "fit_of"), ("unexplained, %", "uvp_of")):
        if name in result:
            columns[title] = [f"{float(value):.3g}" for value in result[name].values]
    return draw.table(columns)


def _rivals_finding(result: xr.Dataset) -> str:
    """The constant map and the map of this run."""
    gaps = [_gap(float(each), float(result.displacement)) for each in result.gap_of.values[[0, -1]]]
    fits = [_gap(float(each), 1e-3) for each in result.fit_of.values[[0, -1]]]
    first, last = (str(name) for name in result.rival.values[[0, -1]])
    return f"The {first} map has a gap of {gaps[0]} and a divergence of {fits[0]}; {last}: {gaps[1]} and {fits[1]}"


# ---- several trainings -------------------------------------------------------------------------------------------


def _training_unless(study: Any, more: dict[str, Any]) -> dict[str, Any]:
    """A sweep of trainings: of the current training, or of the preset's."""
    values = study.values()
    ours = {} if values["train_steps"] else {name: (value,) for name, value in LEARNED.items() if name not in more}
    form, costs = (more.get("form") or (values["form"],))[0], more.get("cost") or (values["cost"],)
    if "cost" in more and form in ("sphere", "convex", "structured"):  # which allow one cost, or two
        ours["form"] = ("plain",)
    off_sphere = costs == ("geodesic",) and (form != "sphere" or "data" in more | ours)
    if off_sphere or (form, *costs) == ("structured", "distance"):
        ours["cost"] = ("squared",)
    return ours | more


def _costs(result: xr.Dataset) -> Any:
    runs = [result.squeeze().sel(cost=value) for value in result.cost.values]
    titles = [f"{as_text(run.cost.item())}: {int(run.crossing)} cross" for run in runs]
    ways = [np.stack([run.source.values, run.mapped.values]) for run in runs]
    return draw.trajectories(dict(zip(titles, ways, strict=True)), most=_DRAWN)


def _costs_finding(result: xr.Dataset) -> str:
    counts = np.atleast_1d(result.crossing.squeeze().values)
    values = [as_text(value) for value in np.atleast_1d(result.cost.values).tolist()]
    shown = range(len(counts)) if len(counts) <= 3 else (int(np.argmin(counts)), int(np.argmax(counts)))
    return "Pairs of lines that cross: " + ", ".join(f"{counts[i]:,.0f} ({values[i]})" for i in shown)


def _weights(result: xr.Dataset) -> Any:
    result = result.squeeze()
    lines = {"divergence": result.fit, "gap": result.gap} | ({"unexplained, %": result.uvp} if "uvp" in result else {})
    return draw.over(result.strength, lines, logx=True, logy=True, ylabel="on held-out points", height=340)


def _weights_finding(result: xr.Dataset) -> str:
    left, at = np.atleast_1d(result.uvp.squeeze().values), np.atleast_1d(result.strength.values)
    if not np.isfinite(left).any():
        return "No training ended with finite numbers"
    low, high = int(np.nanargmin(left)), int(np.nanargmax(left))
    text = f"λ = {at[low]:g} leaves {number(left[low], 2)}% unexplained"
    return text if left[low] == left[high] else f"{text}, λ = {at[high]:g} {number(left[high], 3)}%"


def _dimensions(result: xr.Dataset) -> Any:
    lines = {str(name): result.uvp_of.squeeze().sel(rival=name) for name in result.rival.values if name != "constant"}
    return draw.over(result.dimensions, lines, levels={"constant": 100.0}, logy=True, ylim=(None, 400), height=340)


def _dimensions_finding(result: xr.Dataset) -> str:
    table = result.uvp_of.squeeze(drop=True)
    table = table.expand_dims("dimensions") if "dimensions" not in table.dims else table
    far = int(np.argmax(np.atleast_1d(result.dimensions.values)))
    left = {str(name): float(table.sel(rival=name)[far]) for name in result.rival.values if name != "constant"}
    found = ", ".join(f"{name} {number(value, 2)}%" for name, value in left.items() if np.isfinite(value))
    return f"Unexplained in {int(np.atleast_1d(result.dimensions.values)[far])} dimensions: {found}"


PICTURES = Pictures(
    Picture(
        "arrows",
        "The map",
        "Blue: points. Orange: images. Line width: contribution of a pair to the gap. Gray: targets.",
        _arrows,
        where=lambda result: "it is shown on the sphere" if "on_sphere" in result else "",
    ),
    Picture(
        "sphere",
        "The map",
        "Blue: points. Orange: images. Line width: contribution of a pair to the gap. Drag to turn.",
        _sphere,
        needs=("on_sphere", "mapped_on_sphere"),
        turns=_CAMERA,
    ),
    Picture(
        "turns",
        "Gap of the rotated maps",
        "Line: gap on the points. Dashed: closed form between Gaussians, for which all rotated maps have one image.",
        _turns,
        needs=("gap_turned",),
    ),
    Picture(
        "bracket",
        "Bias of the entropic gap",
        "Blue: entropic gap minus exact gap; band: its bounds log n and 2 log n. Orange: KL form, band down to -log n.",
        _bracket,
        finds=_bracket_finding,
    ),
    Picture(
        "rivals",
        "Other maps",
        "Gap, divergence to the targets and unexplained variance of four maps on held-out points.",
        _rivals,
        finds=_rivals_finding,
    ),
    Picture(
        "weights",
        "Weight of the gap",
        "Lines: divergence, gap and unexplained variance after the same training with each λ.",
        _weights,
        needs=("fit", "gap", "uvp"),
        along=lambda study, data: _training_unless(study, {"strength": (0.01, 0.1, 1.0, 10.0)}),
        finds=_weights_finding,
    ),
    Picture(
        "costs",
        "Maps for several costs (Fig. 2)",
        "Lines: from points to images after the same training with each cost. Titles: number of crossing pairs.",
        _costs,
        needs=("source", "mapped", "crossing"),
        along=lambda study, data: _training_unless(study, {"cost": ("squared", "distance", "power")}),
        finds=_costs_finding,
    ),
    Picture(
        "dimensions",
        "Higher dimensions (Fig. 6)",
        "Lines: variance of a planted map, far from affine, that each map leaves unexplained (%).",
        _dimensions,
        needs=("uvp_of",),
        along=lambda study, data: _training_unless(study, _DIMENSIONS),
        finds=_dimensions_finding,
    ),
)
