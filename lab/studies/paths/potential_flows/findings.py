"""What the pictures of potential flows show now."""

from collections.abc import Callable, Iterable

import numpy as np
import xarray as xr

from lab.studies.contract import Comparison, sweeping
from lab.words import number, percent

from .pictures import there

RATIO = Comparison(
    "ratio", "energy relative to W₂²",
    {"ratio_wave": "the wave equation", "ratio_heat": "the heat equation", "ratio_hj": "the Hamilton-Jacobi equation"},
)

_LEARNED = ("wave", "heat", "Hamilton-Jacobi")  # the equations that are compared, of all flows


def _span(values: Iterable[float], told: Callable[[float], str] = lambda value: number(value, 2)) -> str:
    """From the least to the most."""
    seen = np.asarray(list(values), float)
    return " to ".join(dict.fromkeys(told(float(each)) for each in (seen.min(), seen.max())))


# ---- the plane -----------------------------------------------------------------------------------------------------


def _speed(result: xr.Dataset) -> str:
    told = []
    for flow in (name for name in there(result) if name in _LEARNED):
        first, *_, last = (float(value) for value in result.energy.sel(flow=flow).values)
        kept = abs(last - first) <= 0.01 * max(first, last)
        goes = "" if any("from" in each for each in told) else "goes "
        way = f"stays at {number(first, 2)}" if kept else f"{goes}from {number(first, 2)} to {number(last, 2)}"
        told.append(f"{flow} {way}")
    return _capital(", ".join(told)) or "No point moves"


def _trajectories(result: xr.Dataset) -> str:
    far = {flow: float(result.displacement_flow.sel(flow=flow)) for flow in there(result)}
    most, least = max(far.values()), min(far, key=lambda flow: far[flow])
    first = [flow for flow, value in far.items() if value >= (1 - 1e-6) * most]
    text = f"{', '.join(first)} take{'s' if len(first) == 1 else ''} points farthest, {number(most, 2)} on average"
    return _capital(text if least in first else f"{text}; {least} {number(far[least], 2)}")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _density(result: xr.Dataset) -> str:
    """Where lines have met, the density has no end."""
    met = float(result.shock) < float(sweeping.parameters(result)["time"])
    told = []
    for flow in (name for name in there(result) if name in _LEARNED):
        change = float(result.log_density.sel(flow=flow)[-1])
        if np.isfinite(change) and not (met and flow == "Hamilton-Jacobi"):
            told.append(f"{flow} {number(change, 2)}")
    return f"Change of log density by T: {', '.join(told)}" if told else "No density is known up to T"


def _steps(result: xr.Dataset) -> str:
    counts = result["count"].values
    euler, rk4 = (result.step_error.sel(solver=solver, flow="wave").values for solver in ("euler", "rk4"))
    nearer = np.flatnonzero(rk4 <= euler[-1])
    at = int(nearer[0]) if nearer.size else -1
    many = f"{counts[at]} step{'s' if counts[at] > 1 else ''}"
    return f"RK4 in {many} ends {number(rk4[at], 2)} off the wave, Euler in {counts[-1]} steps {number(euler[-1], 2)}"


def _shock(result: xr.Dataset) -> str:
    at = int(np.argmax(result.time.values))
    ratio, meet = float(result.ratio.sel(flow="Hamilton-Jacobi")[at]), float(result.shock[at])
    time, given = float(result.time[at]), sweeping.parameters(result)
    cost = f"Hamilton-Jacobi costs {number(ratio, 4)} W₂²" if ratio < 10 else "Hamilton-Jacobi costs more than 10 W₂²"
    text = f"At T = {time:g} {cost}"
    if given["potential"] != "ripples":
        return text
    return f"{text}; lines first meet at {number(meet, 3)}" if meet < time else f"{text}: no lines have met"


def _speeds(result: xr.Dataset) -> str:
    told = []
    for flow in ("wave", "heat"):
        far = result.displacement_flow.sel(flow=flow).values
        if np.isfinite(far).any():
            at, most = int(np.nanargmax(far)), float(np.nanmax(far))
            alike = most - np.nanmin(far) <= 1e-6 * most
            told.append(f"{number(most, 2)} with {flow} ({'every c' if alike else f'c = {result.speed.values[at]:g}'})")
    return f"Points go at most {', '.join(told)}" if told else "No wave and no heat moves points"


# ---- what was trained ------------------------------------------------------------------------------------------------


def _moves(ways: xr.DataArray) -> np.ndarray:
    """Where each point went from its start, (k, start, axis)."""
    values = ways.transpose("k", "step", "start", "axis").values
    return values[:, -1] - values[:, 0]


def _climbing(result: xr.Dataset) -> str:
    move = np.linalg.norm(_moves(result.ways.sel(k=[str(name) for name in result.kk.values][:4])), axis=-1).mean(axis=1)
    steps = result.sizes["step"] - 1
    return f"In {steps} step{'s' if steps != 1 else ''} points go {_span(move)} on average, by potential"


def _images(result: xr.Dataset) -> str:
    shown = result.images.isel(image=0).transpose("k", "step", "row", "column").values
    change = np.abs(shown[:, -1] - shown[:, 0]).mean(axis=(1, 2))
    most, least = int(change.argmax()), int(change.argmin())
    first, last = (str(result.k.values[at]) for at in (most, least))
    return f"{first} changes a pixel by {number(change[most], 2)} on average, {last} by {number(change[least], 2)}"


def _ways(result: xr.Dataset) -> str:
    move = _moves(result.ways.isel(start=slice(12)))
    length = np.linalg.norm(move, axis=-1).mean(axis=1)
    share = np.linalg.norm(move.mean(axis=1), axis=-1) / np.where(length > 0, length, 1)
    return f"The common direction of a potential is {_span(share, percent)} as long as the ways of its points"


def _losses(result: xr.Dataset) -> str:
    cross = result.curve_ce.values[np.isfinite(result.curve_ce.values)]
    if not cross.size:
        return "No term is a finite number"
    names = {"J": "curve_jvp"} | ({} if sweeping.parameters(result)["pde"] == "none" else {"residual²": "curve_residual"})
    ends = {title: float(result[name].values[len(cross) - 1]) for title, name in names.items()}
    told = ", ".join(f"{title} is {number(end, 2)}" for title, end in ends.items() if np.isfinite(end))
    return f"Cross-entropy goes from {number(cross[0], 2)} to {number(cross[-1], 2)}; at the end {told}"


def _others(values: np.ndarray) -> np.ndarray:
    """All but the diagonal, which is NaN."""
    return np.where(np.eye(len(values), dtype=bool), np.nan, values)


def _confusion(result: xr.Dataset) -> str:
    values, names = result.confusion.values, [str(name) for name in result.k.values]
    others = _others(values)
    i, j = np.unravel_index(int(np.nanargmax(others)), values.shape)
    right = f"{percent(np.nanmean(np.diag(values)), 3)} of pairs are named right"
    return f"{right}; {names[i]} is taken for {names[j]} in {percent(others[i, j])}" if others[i, j] > 0 else right


def _alike(result: xr.Dataset) -> str:
    others, names = _others(result.alike.values), [str(name) for name in result.k.values]
    told = []
    for each in (np.nanargmax(others), np.nanargmin(others)):
        i, j = np.unravel_index(int(each), others.shape)
        told.append(f"{names[i]} and {names[j]} {number(others[i, j], 2)}")
    return f"Cosine: {told[0]}" if told[0] == told[1] else f"Cosines from {told[1]} to {told[0]}"


def _vp(result: xr.Dataset) -> str:
    told = []
    for at in dict.fromkeys((int(np.argmin(result.vp_length.values)), int(np.argmax(result.vp_length.values)))):
        scores = [percent(float(result.vp[way, at])) for way in (0, -1)]
        told.append(f"{scores[0]} and {scores[1]} at {'' if told else '|Δz| = '}{number(float(result.vp_length[at]), 2)}")
    first, last = (str(name) for name in result.way.values[[0, -1]])
    return f"{_capital(first)} and {last}: {', '.join(told)}"


def _kinetic(result: xr.Dataset) -> str:
    ratio = result.energy_of.values / np.where(result.w2_of.values > 0, result.w2_of.values, np.nan)
    ratio = ratio[np.isfinite(ratio)]
    return f"A traversal costs {_span(ratio, lambda value: number(value, 3))} W₂²" if ratio.size else "No point moves"


def _equations(result: xr.Dataset) -> str:
    names = ["no equation" if name == "none" else str(name) for name in result.pde.values]
    right, change = (np.atleast_1d(result[name].squeeze().values) for name in ("accuracy", "jvp"))
    best, most = int(np.argmax(right)), int(np.argmax(change))
    return f"Told apart best: {names[best]}, {percent(right[best], 3)}; largest J: {names[most]}, {number(change[most], 2)}"


def _told_apart(along: str, sign: str) -> Callable[[xr.Dataset], str]:
    def found(result: xr.Dataset) -> str:
        right, at = np.atleast_1d(result.accuracy.squeeze().values), result[along].values
        ends = dict.fromkeys((int(np.argmin(at)), int(np.argmax(at))))
        return f"Told apart: {', '.join(f'{percent(right[k], 3)} at {sign} = {at[k]:g}' for k in ends)}"

    return found


FINDS = {
    "speed": _speed, "trajectories": _trajectories, "density": _density, "speeds": _speeds, "shock": _shock, "steps": _steps,
    "climbing": _climbing, "images": _images, "ways": _ways, "kinetic": _kinetic, "vp": _vp, "confusion": _confusion,
    "alike": _alike, "losses": _losses, "equations": _equations, "weights": _told_apart("weight", "λₚ"),
    "numbers": _told_apart("potentials", "K"), "longer": _told_apart("times", "T'"),
}
