"""Pictures of sparsity-constrained transport, each with its caption and finding."""

from typing import Any

import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.studies import draw
from lab.studies.contract import Picture, Pictures, Study, sweeping

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
        matrix(result),
        result.a.values,
        result.b.values,
        result.row.values,
        result.col.values,
        xlabel=draw.label(result.col),
        ylabel=draw.label(result.row),
        **tints,
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
        if "transferred" in result:  # the points are colors
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
        draw.same(
            draw.points(y[:, 0], high, color=draw.TARGET, size=_relative(result.b.values)), target=np.arange(len(y))
        ),
        xlabel=draw.label("position", result.row.attrs["units"]),
        yticks=[(0, "source"), (1, "target")],
        ylim=(-0.12, 1.12),
        height=300,
    )


def _relative(mass: np.ndarray) -> np.ndarray:
    return np.clip(mass / mass.mean(), 0.1, 6.0)


def _hex(colors: xr.DataArray) -> list[str]:
    """RGB points as hexadecimal colors."""
    table = np.clip(np.round(256 * colors.values), 0, 255).astype(int)
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in table]


# ---- along k ---------------------------------------------------------------------------------------------------


def _every_k(study: Study, data: Data) -> list[int]:
    most = int(study.but(regularizer="k-sparse").limits(data)["k"].high)
    return [k for k in _RUNGS if k < most] + [most]


def _current(result: xr.Dataset) -> Any:
    """A line at the current k."""
    p = sweeping.parameters(result)
    at = p["k"] if p["regularizer"] == "k-sparse" else int(result.k.max())
    return draw.vline(at, f"k = {p['k']}" if p["regularizer"] == "k-sparse" else p["regularizer"])


def _counted(result: xr.Dataset) -> str:
    return f"k, maximum nonzeros per {sweeping.parameters(result)['constraint'].removesuffix('s')}"


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
        xlabel=_counted(result),
        ylabel="optimal value",
        logx=True,
        xticks=_ticks(k),
        ylim=(None, top + 0.12 * (top - low)),
    )


def _feasibility(result: xr.Dataset) -> Any:
    k = result.k.values
    columns = sweeping.parameters(result)["constraint"] == "columns"
    error = (result.row_error_l1 if columns else result.column_error_l1).values
    total, counted = float(result.a.isel(k=0).sum()), result.sizes["col" if columns else "row"]
    return draw.plot(
        draw.curve(k, error / total, "marginal error", color=draw.WARN, markers=True),
        draw.curve(k, result.n_ties.values / counted, "tied columns" if columns else "tied rows", markers=True),
        _current(result),
        xlabel=_counted(result),
        ylabel="fraction",
        logx=True,
        xticks=_ticks(k),
        ylim=(0, None),
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
        *lines,
        xlabel="iteration",
        ylabel="relative gap to the best value",
        logx=True,
        logy=True,
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
    order = np.lexsort((-gates.max(1), gates.argmax(1)))  # grouped by preferred expert, largest gate first
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
        plan[order],
        None,
        result.col.values,
        xlabel=draw.label(result.col),
        ylabel="token, by preferred expert",
        outline=False,
        equal=False,
        marks=marks,
        room=(0.36, 0.25),
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


# ---- findings --------------------------------------------------------------------------------------------------


def _value_finding(result: xr.Dataset) -> str:
    here = result.value.sel(k=sweeping.parameters(result)["k"], method="nearest")
    more = float(here / result.value[-1]) - 1
    compared = f"{more:.2%} above" if more >= 5e-5 else "equal to"
    return f"The value at k = {int(here.k)} is {compared} the value without a limit on k"


def _feasibility_finding(result: xr.Dataset) -> str:
    columns = sweeping.parameters(result)["constraint"] == "columns"
    error = (result.row_error_l1 if columns else result.column_error_l1).values / float(result.a.isel(k=0).sum())
    k, misses = result.k.values, np.flatnonzero(error > 1e-4)
    if not misses.size:
        return "The plan satisfies both marginals at every k"
    if misses[-1] + 1 == len(k):
        return f"The L1 marginal error is {error[-1]:.1%} of the mass even at k = {k[-1]}"
    return f"The L1 marginal error is {error[0]:.0%} of the mass at k = {k[0]} and zero from k = {k[misses[-1] + 1]}"


def _convergence_finding(result: xr.Dataset) -> str:
    best = float(result.value.max())
    gaps = {
        f"{name}, {form}": (best - float(result.value.sel(solver=solver, formulation=form))) / max(abs(best), 1e-300)
        for form in FORMS
        for solver, name in SOLVERS.items()
        if (form, solver) != ("dual", "auto")
    }
    there = [name for name, gap in gaps.items() if gap <= LEAST_GAP]
    if len(there) == 1:
        left = sorted(gaps.values())[1]
        return f"Only {there[0]} reaches the best value; the second-best solver ends {left:.0e} above it"
    return f"{len(there)} of {len(gaps)} solvers reach the best value to {LEAST_GAP:.0e}"


def _routing_finding(result: xr.Dataset) -> str:
    ours, theirs = (float((~chosen.any(1)).mean()) for chosen in routed(result))
    return f"Transport leaves {ours:.0%} of the tokens without an expert, the k largest gates {theirs:.0%}"


def _paper_plans_finding(result: xr.Dataset) -> str:
    linear = result.lp_plan.values.reshape(-1, *result.lp_plan.shape[-2:])[0]
    entropic, quadratic, sparse = (int((result.plan.sel(regularizer=r, gamma=g) > 0).sum()) for r, g in PAPER)
    k, least = sweeping.parameters(result)["k"], (linear > 1e-12).sum()
    return f"Nonzeros: {least} (linear program), {entropic:,} (entropic), {quadratic} (quadratic), {sparse} (k = {k})"


_ALONG_K: dict[str, Any] = {"regularizer": ("k-sparse",), "k": _every_k}
_KEPT = ("value", "a", "b", "row_error_l1", "column_error_l1", "n_ties")

PICTURES = Pictures(
    Picture(
        "plan",
        "Plan",
        "Squares: mass from source i to target j. Bars: prescribed marginals. Lines: row and column sums of the plan.",
        _plan,
    ),
    Picture(
        "links",
        "Links",
        "Opacity: mass. Drag the points of a cloud in the plane.",
        _links,
        where=_has_plane,
        edits=("x", "y"),
    ),
    Picture(
        "transfer",
        "Color transfer",
        "Each color of the source moves to the mean of the colors that receive its mass.",
        _transfer,
        needs=("transferred",),
        sweeps=True,
        share=0.7,
    ),
    Picture(
        "value",
        "Value against k",
        "Line: optimal value. Gray: bounds known before solving. Dashed: linear program plus a constant, and quadratic "
        "regularization.",
        _value,
        along=_ALONG_K,
        needs=("lp", *_KEPT),
        also=("lower", "upper"),
        finds=_value_finding,
    ),
    Picture(
        "feasibility",
        "Marginal error against k",
        "Red: L1 error of the marginal that the plan misses, as a fraction of the mass. Blue: fraction of columns that tie.",
        _feasibility,
        along=_ALONG_K,
        needs=_KEPT,
        also=("lp", "lower", "upper"),
        finds=_feasibility_finding,
    ),
    Picture(
        "convergence",
        "Convergence",
        "Solid: semi-dual. Dashed: dual. The ladder is L-BFGS with k lowered step by step.",
        _convergence,
        along={"formulation": FORMS, "solver": tuple(SOLVERS)},
        needs=("value", "history"),
        finds=_convergence_finding,
    ),
    Picture(
        "routing",
        "Routing",
        "Squares: tokens (rows) sent to experts. Bars: load of each expert. Dots: tokens without an expert. Blue: transport; "
        "gray: the k largest gates.",
        _routing,
        needs=("gates",),
        finds=_routing_finding,
    ),
    Picture(
        "paper_plans",
        "Four regularizations",
        "The paper's 1-D figure: plans of the linear program and of three regularizers.",
        _paper_plans,
        needs=("plan", "lp_plan"),
        along={"regularizer": [name for name, _ in PAPER], "gamma": [gamma for _, gamma in PAPER]},
        finds=_paper_plans_finding,
    ),
)
