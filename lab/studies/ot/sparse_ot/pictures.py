"""The pictures of sparsity-constrained transport."""

from typing import Any

import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.studies import draw
from lab.studies.contract import Picture, Pictures, Study, sweeping

_PIXELS = 1 << 22  # entries of the table (sources, places) from which the cells are drawn
_RUNGS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
PAPER = (("entropic", 2e-3), ("quadratic", 0.1), ("k-sparse", 1.0))  # strengths of the 1-D figure


def matrix(result: xr.Dataset) -> Any:
    """The plan (row, col): dense, or sparse where it is large."""
    if "plan" in result:
        return result.plan.values
    from scipy.sparse import coo_array

    entries = result.plan_value.values, (result.plan_row.values, result.plan_col.values)
    return coo_array(entries, shape=(result.sizes["row"], result.sizes["col"]))


def entries(result: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, columns and values of the nonzeros of the plan."""
    if "plan" not in result:
        return result.plan_row.values, result.plan_col.values, result.plan_value.values
    i, j = np.nonzero(result.plan.values)
    return i, j, result.plan.values[i, j]


# ---- the plan --------------------------------------------------------------------------------------------------


def _plan(result: xr.Dataset) -> Any:
    tints: dict[str, Any] = {"a_color": _hex(result.x), "b_color": _hex(result.y)} if "transferred" in result else {}
    return draw.plan(
        matrix(result), result.a.values, result.b.values, result.row.values, result.col.values,
        xlabel=draw.label(result.col), ylabel=draw.label(result.row), **tints,
    )


def _paper_plans(result: xr.Dataset) -> Any:
    k = sweeping.parameters(result)["k"]
    titles = {"entropic": "entropic", "quadratic": "quadratic", "k-sparse": f"k = {k}"}
    panels = [("linear program", result.lp_plan.values.reshape(-1, *result.lp_plan.shape[-2:])[0])]
    for name, gamma in PAPER:
        panels.append((f"{titles[name]}, γ = {gamma:g}", result.plan.sel(regularizer=name, gamma=gamma).values))
    # row 0 at the bottom, as in the plan
    return draw.strip([(title, draw.shaded(panel[::-1])) for title, panel in panels])


# ---- clouds ----------------------------------------------------------------------------------------------------


def _has_plane(result: xr.Dataset) -> str:
    flat = "x_plane" in result or ("x" in result and result.sizes["axis"] <= 2)
    return "" if flat else "these data have no points, only a cost"


def _links(result: xr.Dataset) -> Any:
    i, j, mass = entries(result)
    sizes = {"a": result.a.values, "b": result.b.values}
    if "x_plane" in result:
        x, y = result.x_plane.values, result.y_plane.values
        tints: dict[str, Any] = {}
        if "transferred" in result:  # the points are colours
            tints = {"x_color": _hex(result.x), "y_color": _hex(result.y)}
        names = ("first principal axis", "second principal axis")
        return draw.links(x, y, i, j, mass, **sizes, xlabel=names[0], ylabel=names[1], **tints)
    x, y = result.x.values, result.y.values
    if x.shape[1] == 2:
        names = [draw.label(str(name), result.axis.attrs.get("units", "")) for name in result.axis.values]
        if result.axis.dtype.kind in "iu":
            names = ["x₁", "x₂"]
        return draw.links(x, y, i, j, mass, **sizes, xlabel=names[0], ylabel=names[1])
    low, high = np.zeros(len(x)), np.ones(len(y))
    return draw.plot(
        draw.segments(x[i, 0], low[i], y[j, 0], high[j], mass, who={"source": i, "target": j}),
        draw.same(draw.points(x[:, 0], low, size=_relative(result.a.values)), source=np.arange(len(x))),
        draw.same(draw.points(y[:, 0], high, color=draw.TARGET, size=_relative(result.b.values)), target=np.arange(len(y))),
        xlabel=draw.label("position", result.row.attrs["units"]), yticks=[(0, "source"), (1, "target")],
        ylim=(-0.12, 1.12), height=300,
    )


def _relative(mass: np.ndarray) -> np.ndarray:
    return np.clip(mass / mass.mean(), 0.1, 6.0)


def _hex(colours: xr.DataArray) -> list[str]:
    """Points that are colours, as colours."""
    table = np.clip(np.round(256 * colours.values), 0, 255).astype(int)
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in table]


def _has_cells(result: xr.Dataset) -> str:
    if "x" not in result or result.sizes["axis"] != 2:
        return "cells need points in the plane"
    if sweeping.parameters(result)["regularizer"] == "entropic":
        return "with entropy all sources share every place"
    i, j, mass = entries(result)
    squared = ((result.x.values[i] - result.y.values[j]) ** 2).sum(1)
    if abs(mass @ squared - float(result.transport_cost)) > 1e-6 * abs(float(result.transport_cost)):
        return "the cost of these data is not the squared distance of their points"
    return ""


def _cells(result: xr.Dataset) -> Any:
    """How many sources would share a target placed there, with the mass that targets have on average."""
    p = sweeping.parameters(result)
    ours, theirs = ("x", "alpha", "b"), ("y", "beta", "a")
    points, potential, mass = (result[name].values for name in (ours if p["constraint"] == "columns" else theirs))
    both = np.concatenate([result.x.values, result.y.values])
    low, high = both.min(0), both.max(0)
    room = 0.08 * (high - low).max()
    (x0, y0), (x1, y1) = low - room, high + room
    side = int(min(192, np.sqrt(_PIXELS / len(points))))
    height, width = (max(2, round(side * span / max(x1 - x0, y1 - y0))) for span in (y1 - y0, x1 - x0))
    xs = x0 + (np.arange(width) + 0.5) * (x1 - x0) / width
    ys = y0 + (np.arange(height) + 0.5) * (y1 - y0) / height
    place = np.stack(np.meshgrid(xs, ys), -1).reshape(-1, 2)
    score = potential[:, None] - sum((points[:, d, None] - place[None, :, d]) ** 2 for d in (0, 1))
    quadratic = p["regularizer"] == "quadratic"
    k = len(points) if quadratic else p["k"]
    marks = [
        draw.same(draw.points(*result.x.values.T, size=_relative(result.a.values)), source=np.arange(len(result.x))),
        draw.same(
            draw.points(*result.y.values.T, color=draw.TARGET, size=_relative(result.b.values)), target=np.arange(len(result.y))
        ),
    ]
    names = [str(name) for name in result.axis.values] if result.axis.dtype.kind not in "iu" else ["x₁", "x₂"]
    ends = {"xlim": (x0, x1), "ylim": (y0, y1), "xlabel": names[0], "ylabel": names[1]}
    if k == 1:
        numbers = draw.text([], [], [])
        return draw.cells(score.argmax(0).reshape(height, width), marks=[*marks, numbers], **ends)
    sharing = _sharing(score / p["gamma"], mass.mean(), k).reshape(height, width)
    free = np.ones(sharing.shape, bool)
    spots = np.clip((both - (x0, y0)) / (x1 - x0, y1 - y0) * (width, height), 0, (width - 1, height - 1)).astype(int)
    free[spots[:, 1], spots[:, 0]] = False
    places = [_middle((sharing == count) & free) for count in np.unique(sharing)]
    at = np.array([(xs[j], ys[i]) for i, j in places])
    numbers = draw.text(at[:, 0], at[:, 1], [str(count) for count in np.unique(sharing)], color=draw.INK, side="center")
    tints = draw.colours(3 * int(sharing.max()), ordered=True, color=draw.MUTED)  # the light third
    return draw.cells(sharing - 1, tints=tints[: int(sharing.max())], marks=[*marks, numbers], **ends)


def _middle(region: np.ndarray) -> tuple[int, int]:
    """The pixel of a region that is farthest from its border, where a number can be read."""
    from scipy.ndimage import distance_transform_edt

    inside = np.asarray(distance_transform_edt(np.pad(region, 1)))[1:-1, 1:-1]
    i, j = np.unravel_index(inside.argmax(), region.shape)
    return int(i), int(j)


def _sharing(v: np.ndarray, b: float, k: int) -> np.ndarray:
    """Nonzeros in the k-sparse projection of each column on the simplex of total b."""
    top = np.sort(np.partition(v, len(v) - k, axis=0)[len(v) - k :], axis=0)[::-1]
    rank = np.arange(1, k + 1)[:, None]
    return (top > (np.cumsum(top, axis=0) - b) / rank).sum(0)


# ---- along k ---------------------------------------------------------------------------------------------------


def _every_k(study: Study, data: Data) -> list[int]:
    most = int(study.but(regularizer="k-sparse").limits(data)["k"].high)
    return [k for k in _RUNGS if k < most] + [most]


def _current(result: xr.Dataset) -> Any:
    """The mark of the k that is looked at."""
    p = sweeping.parameters(result)
    at = p["k"] if p["regularizer"] == "k-sparse" else int(result.k.max())
    return draw.vline(at, f"k = {p['k']}" if p["regularizer"] == "k-sparse" else p["regularizer"])


def _counted(result: xr.Dataset) -> str:
    return f"k, most nonzeros in a {sweeping.parameters(result)['constraint'].removesuffix('s')}"


def _ticks(k: np.ndarray) -> list[tuple[float, str]]:
    powers = [value for value in k if value & (value - 1) == 0]
    return [(int(value), str(value)) for value in (powers if len(powers) > 2 else k)]


def _value(result: xr.Dataset) -> Any:
    k = result.k.values
    gamma, b = sweeping.parameters(result)["gamma"], result.b.isel(k=0).values
    lp = float(result.lp.isel(k=0))
    mass = b if sweeping.parameters(result)["constraint"] == "columns" else result.a.isel(k=0).values
    top, low = lp + gamma / 2 * float(mass @ mass), float(result.lower.min())
    return draw.plot(
        draw.band(k, result.lower.values, result.upper.values, color=draw.MUTED),
        draw.hline(top, "LP + ½γ‖b‖²"),
        draw.hline(float(result.value[-1]), "quadratic"),
        draw.curve(k, result.value.values, color=draw.SOURCE, markers=True),
        _current(result),
        xlabel=_counted(result), ylabel="optimal value", logx=True, xticks=_ticks(k),
        ylim=(None, top + 0.12 * (top - low)),
    )


def _feasibility(result: xr.Dataset) -> Any:
    k = result.k.values
    columns = sweeping.parameters(result)["constraint"] == "columns"
    error = (result.row_error_l1 if columns else result.column_error_l1).values
    total, counted = float(result.a.isel(k=0).sum()), result.sizes["col" if columns else "row"]
    return draw.plot(
        draw.curve(k, error / total, "mass missed", color=draw.WARN, markers=True),
        draw.curve(k, result.n_ties.values / counted, "columns tied" if columns else "rows tied", markers=True),
        _current(result),
        xlabel=_counted(result), ylabel="share of all", logx=True, xticks=_ticks(k), ylim=(0, None),
    )


# ---- solvers ---------------------------------------------------------------------------------------------------


FORMS = ("semi-dual", "dual")
SOLVERS = {"auto": "Newton", "lbfgs": "L-BFGS", "adam": "ADAM", "ladder": "ladder"}
LEAST_GAP = 1e-8  # below that the best value is not known


def _convergence(result: xr.Dataset) -> Any:
    # auto is Newton on the semi-dual, and nothing new on the dual
    runs = {(form, solver): result.sel(formulation=form, solver=solver) for form in FORMS for solver in SOLVERS}
    histories = {key: run.history.dropna("iteration").values for key, run in runs.items() if key != ("dual", "auto")}
    best = max(float(result.value.max()), *(history.max() for history in histories.values()))
    last = max(len(history) for history in histories.values())
    lines = []
    for (form, solver), history in histories.items():
        steps = np.append(np.arange(1, len(history) + 1), last)  # the best so far stays when a solver has ended
        gap = (best - np.append(history, history[-1])) / max(abs(best), np.finfo(float).tiny)
        color = draw.colours(len(SOLVERS))[list(SOLVERS).index(solver)]
        name = f"{SOLVERS[solver]}, {form}"
        lines.append(draw.curve(steps, np.maximum(gap, LEAST_GAP), name, color=color, dash=form == "dual"))
    return draw.plot(
        *lines, xlabel="iteration", ylabel="relative gap to the best value", logx=True, logy=True,
        ylim=(LEAST_GAP / 3, 5),
    )


# ---- applications ----------------------------------------------------------------------------------------------


def routed(result: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Which tokens (first axis) go to which experts: by the plan, and by the k largest gates."""
    p = sweeping.parameters(result)
    experts_choose = p["constraint"] == "columns"
    k = p["k"] if p["regularizer"] == "k-sparse" else int(result["max_col_nnz" if experts_choose else "max_row_nnz"])
    return result.plan.values > 0, _top(result.gates.values, k, 0 if experts_choose else 1)


def _routing(result: xr.Dataset) -> Any:
    gates, plan = result.gates.values, result.plan.values
    m, n = gates.shape
    ours, theirs = routed(result)
    order = np.lexsort((-gates.max(1), gates.argmax(1)))  # tokens of one favourite expert together, the surest first
    place = np.empty(m)
    place[order] = np.arange(m)
    loads = np.stack([ours.sum(0), theirs.sum(0)])
    foot, tall = m * 1.03, 0.2 * m / max(loads.max(), 1)
    expert = np.arange(n)
    marks = [
        draw.bars(expert - 0.21, foot + tall * loads[0], base=foot, width=0.4, color=draw.SOURCE),
        draw.bars(expert + 0.21, foot + tall * loads[1], base=foot, width=0.4, color=draw.MUTED),
    ]
    for lane, (chosen, name, color) in enumerate(((ours, "OT", draw.SOURCE), (theirs, "top k", draw.MUTED))):
        at, missed = n - 0.1 + lane * 0.16 * n, np.flatnonzero(~chosen.any(1))
        marks += [
            draw.points(np.full(missed.size, at), place[missed], color=color, size=0.5),
            draw.text(at - 0.1, foot, f"{name}\n{missed.size / m:.1%}", color=color, up="bottom"),
        ]
    return draw.heatmap(
        plan[order], None, result.col.values, xlabel=draw.label(result.col), ylabel="token, by favourite expert",
        outline=False, equal=False, marks=marks, room=(0.36, 0.25),
    )


def _top(gates: np.ndarray, k: int, axis: int) -> np.ndarray:
    """The baseline: along ``axis`` the k largest gates."""
    chosen = np.zeros(gates.shape, bool)
    np.put_along_axis(chosen, np.argsort(-gates, axis, kind="stable").take(range(k), axis), True, axis)
    return chosen


def _transfer(result: xr.Dataset) -> Any:
    swept = [str(dim) for dim in result.transferred.dims[:-3]]
    whole = result.stack(run=swept) if swept else result.expand_dims("run")
    shown = [("source", _first(result.source_image))]
    for index in range(whole.sizes["run"]):
        cell = whole.isel(run=index)
        title = ", ".join(f"{name} = {_short(cell[name].item())}" for name in swept) or "transferred"
        pixels = cell.transferred.transpose("source_height", "source_width", "channel").values
        shown.append((title, pixels.astype(np.uint8)))
    return draw.strip([*shown, ("target", _first(result.target_image))])


def _first(images: xr.DataArray) -> np.ndarray:
    return images.values.reshape(-1, *images.shape[-3:])[0].astype(np.uint8)


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


_ALONG_K: dict[str, Any] = {"regularizer": ("k-sparse",), "k": _every_k}
_KEPT = ("value", "a", "b", "row_error_l1", "column_error_l1", "n_ties")

PICTURES = Pictures(
    Picture("plan", "Plan", "mass from source i to target j; on the bars, a line at what the plan really sums to", _plan),
    Picture("links", "Links", "opacity is mass; drag the points of a cloud in the plane", _links, where=_has_plane,
            edits=("x", "y")),
    Picture("value", "Value against k", "from the linear program and a constant down to quadratic transport; grey: bounds",
            _value, along=_ALONG_K, needs=("lp", *_KEPT), also=("lower", "upper")),
    Picture("feasibility", "Marginal error against k", "the marginal that the plan misses, next to how many columns tie",
            _feasibility, along=_ALONG_K, needs=_KEPT, also=("lp", "lower", "upper")),
    Picture("convergence", "Convergence", "dual against semi-dual; L-BFGS, ADAM and the ladder in k", _convergence,
            along={"formulation": FORMS, "solver": tuple(SOLVERS)}, needs=("value", "history")),
    Picture("transfer", "Colour transfer", "each colour of the source moves to the mean of where its mass goes", _transfer,
            needs=("transferred",), sweeps=True, share=0.7),
    Picture("routing", "Routing", "who takes which token; bars: load of each expert; dots: tokens that no expert takes",
            _routing, needs=("gates",)),
    Picture("cells", "Cells", "k = 1: the targets that each source serves; k > 1: how many sources share a place", _cells,
            where=_has_cells, edits=("x", "y")),
    Picture("paper_plans", "Four regularizations", "the paper's 1-D figure: which plans are sparse, and at which strength",
            _paper_plans, needs=("plan", "lp_plan"),
            along={"regularizer": [name for name, _ in PAPER], "gamma": [gamma for _, gamma in PAPER]}),
)
