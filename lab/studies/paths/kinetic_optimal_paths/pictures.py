"""Pictures of kinetic-optimal probability paths, each with its caption and finding."""

from typing import Any

import numpy as np
import xarray as xr

from lab import datasets
from lab.datasets import Data
from lab.datasets.gaussians import SPECTRA
from lab.studies import draw
from lab.studies.contract import Comparison, Picture, Pictures, Study, sweeping
from lab.words import number, percent

_OPTIMAL, _LINEAR = "kinetic optimal", "linear"
_ALL = {
    _OPTIMAL: "the kinetic optimal schedule",
    _LINEAR: "the linear schedule",
    "trigonometric": "the trigonometric schedule",
    "VP": "the VP diffusion",
    "between": "the mixed schedule",
}
W2SQ = Comparison(
    "w2sq",
    "W₂² to held-out data",
    _ALL,
    result="w2sq",
    along="schedule",
    ours=_OPTIMAL,
    best_at={"data": "stretched-gaussian", "nfe": 1},
)
ENERGY = Comparison("energy", "kinetic energy", _ALL, result="energy", along="schedule", ours=_OPTIMAL)
_STEPS = (1, 2, 4, 6, 10, 16, 40)
_TAIL, _TAILED = 9, 60  # moments, particles
_SHORT = {"kinetic optimal": "optimal", "trigonometric": "trigon."}  # where there is little room
_ANGLES = [(0.0, "0"), (np.pi / 8, "π/8"), (np.pi / 4, "π/4"), (3 * np.pi / 8, "3π/8"), (np.pi / 2, "π/2")]
_QUARTERS = (0, 0.25, 0.5, 0.75, 1)


def _tints(result: xr.Dataset) -> dict[str, str]:
    return dict(zip(result.schedule.values.tolist(), draw.colours(result.sizes["schedule"]), strict=True))


def _seen(result: xr.Dataset) -> dict[str, str]:
    """The three schedules that are shown, with their colors."""
    tints = _tints(result)
    return {name: tints[name] for name in (_OPTIMAL, _LINEAR, sweeping.parameters(result)["beside"])}


def _title(result: xr.Dataset, name: str) -> str:
    return f"{_SHORT.get(name, name)}: {float(result.w2sq.sel(schedule=name)):.3g}"


def _particles(result: xr.Dataset, moment: int) -> Any:
    limit = float(result.limit)
    line = float(np.ptp(result.data_position.values[:, 0])) == 0  # data on a line
    before = np.clip(np.arange(moment - _TAIL + 1, moment + 1), 0, None)  # the first frames repeat the initial position
    shades = result.marginal.values if "marginal" in result else None
    panels = {}
    for k, name in enumerate(_seen(result)):
        position = result.position.sel(schedule=name).values
        panels[_title(result, name)] = draw.Panel(
            position[moment],
            position[before][:, :_TAILED],
            None if shades is None else shades[k, moment],
            result.data_position if shades is None else None,
            who=draw.began(position[0]),
        )
    peak = None if shades is None else 1.2 * float(np.median(shades[:, -1].max(axis=(1, 2))))
    steps = int(sweeping.parameters(result)["nfe"])
    return draw.particles(
        panels,
        (-limit, limit),
        (-limit, limit),
        peak=peak,
        note=f"t = {float(result.moment[moment]):.3f}, {steps} Euler step{'s' if steps > 1 else ''}; numbers: W₂² at the end"
        + ("; across: initial position" if line else ""),
    )


def _separation(result: xr.Dataset) -> Any:
    theta, lam = result.theta.values, result.lam.values
    error = 2 * result.gamma_error.values * np.cos(theta) ** 2
    return draw.plot(
        draw.band(theta, 0 * theta, np.sin(theta) ** 2, color=draw.MUTED),
        draw.band(theta, lam - error, lam + error),
        draw.curve(theta, lam, "λ"),
        draw.curve(theta, result.gamma, "γ", color=draw.TARGET),
        xlabel=draw.label(result.theta),
        ylabel="λ and γ",
        ylim=(0, 1.08),
        xlim=(0, None),
        xticks=_ANGLES,
        note=f"Φ = {float(result.phi_total):.3f} ± {float(result.phi_error):.3f}",
    )


def _chord(result: xr.Dataset) -> Any:
    """r at the angle φ: coordinates in which energy is squared length over time."""
    root = np.sqrt(result.gamma.values)
    theta = result.theta.values
    phi = np.concatenate([[0.0], np.cumsum(np.diff(theta) * (root[1:] + root[:-1]) / 2)])
    total = phi[-1] = float(result.phi_total)
    arc = np.linspace(0, np.pi / 2, 100)
    layers = [draw.curve(np.cos(arc), np.sin(arc), color=draw.MUTED)]
    layers += [draw.segments([0, 0], [0, 0], [1, np.cos(total)], [0, np.sin(total)], 0.3, color=draw.MUTED)]
    shown, tenths = _seen(result), slice(0, None, (result.sizes["t"] - 1) // 10)
    for name, tint in reversed(shown.items()):
        run = result.sel(schedule=name)
        r = np.hypot(run.a.values, run.m.values)
        angle = np.interp(np.arctan2(run.a.values, run.m.values), theta, phi)
        x, y = r * np.cos(angle), r * np.sin(angle)
        layers += [draw.curve(x, y, color=tint), draw.points(x[tenths], y[tenths], color=tint, size=0.5)]
    middle, look = total / 2, draw.current()
    letter, little = look.letter, look.across(max(shown, key=len)) > 0.4
    rows = [(_SHORT.get(name, name) if little else name, tint) for name, tint in shown.items()]
    right = max(1.3, 0.84 / (1 - max(len(name) for name, _ in rows) * letter))
    return draw.plot(
        *layers,
        draw.text([0.13 * np.cos(middle)], [0.13 * np.sin(middle)], "Φ"),
        draw.text([1.02], [0.02], "noise", color=draw.SOURCE),
        draw.text([1.03 * np.cos(total)], [1.03 * np.sin(total)], "data", color=draw.TARGET),
        *draw.legend(rows, 0.84, (1 - max(0.8, 25 * letter * right), 1.0)),
        xlabel="r cos φ",
        ylabel="r sin φ",
        equal=True,
        height=380,
        xlim=(0, right),
        ylim=(0, 1.06),
        xticks=(0, 0.5, 1),
        yticks=(0, 0.5, 1),
    )


def _integrand(result: xr.Dataset) -> Any:
    shown = _seen(result)
    inside = result.density_conditional.sel(schedule=list(shown)).values[:, 10:-10]
    top = min(1.15 * float(inside.max()), 6.0)
    return draw.plot(
        *(
            draw.curve(result.t, result[name].sel(schedule=schedule), color=tint, dash=name == "density_conditional")
            for schedule, tint in shown.items()
            for name in ("density", "density_conditional")
        ),
        *draw.legend(list(shown.items()), 1.03, (-0.3 * top, 0.6 * top)),
        xlabel="time t",
        ylabel="energy per time",
        xlim=(0, 1.9),
        ylim=(0, top),
        xticks=_QUARTERS,
    )


def _training(result: xr.Dataset) -> Any:
    titles = [
        f"{_SHORT.get(name, name)}, W₂² {float(distance):.3f}"
        for name, distance in zip(_seen(result), result.w2sq_network, strict=True)
    ]
    least = [float(loss) for loss in result.loss_least]
    return draw.training(
        dict(zip(titles, result.loss, strict=True)),
        least=dict(zip(titles, least, strict=True)),
        bins=60,
        colors=dict(zip(titles, _seen(result).values(), strict=True)),
        ylabel=f"loss, mean of {max(1, result.sizes['step'] // 60)} steps",
        ylim=(0, None),
    )


def _steps(result: xr.Dataset) -> Any:
    layers, nfe = [], result.nfe.values
    for name, tint in _tints(result).items():
        by_seed = result.w2sq.sel(schedule=name).transpose("seed", "nfe").values
        layers += [
            draw.points(np.tile(nfe, len(by_seed)), by_seed, color=tint, size=0.3, alpha=0.5),
            draw.curve(nfe, by_seed.mean(axis=0), name, color=tint),
        ]
    return draw.plot(
        *layers,
        draw.hline(float(result.w2sq_floor.mean())),
        xlabel="Euler steps",
        ylabel="W₂²",
        logx=True,
        logy=True,
        xticks=(1, 2, 4, 10, 20, 40),
        height=360,
    )


def _what_changes(study: Study, data: Data) -> dict[str, list]:
    """The parameter that changes the curve of these data."""
    match data.name:
        case "gaussian-points":
            return {"dimension": [2, 8, 32, 128]}
        case "mnist-samples":
            return {"side": ["7", "14", "28"]}
        case "stretched-gaussian":
            return {"spectrum": list(SPECTRA)}
    entry = datasets.entry_of(data.name)
    if entry is not None and "low" not in data.arrays and "centres" not in data.arrays and "n" in entry.options:
        most = len(data.arrays["x"])
        return {"n": sorted({n for n in (10, 50, 200, 600) if n < most} | {min(most, 600)})}
    return {"draws": [100, 300, 1000, 3000]}


_AXES = ("dimension", "side", "spectrum", "n", "draws")


def _one_axis(result: xr.Dataset) -> str:
    swept = sweeping.swept(result)
    if len(swept) == 1 and swept[0] in _AXES:
        return ""
    return f"it shows a sweep over one of {', '.join(_AXES)}"


def _what_changed(result: xr.Dataset) -> tuple[str, str]:
    """The parameter along which the curves are, and its sign."""
    (name,) = sweeping.swept(result)
    return name, {"dimension": "d", "spectrum": "e"}.get(name, name)


def _curves(result: xr.Dataset) -> Any:
    name, sign = _what_changed(result)
    theta = result.theta.values
    theta = theta if theta.ndim == 1 else theta[0]
    tints = draw.colours(result.sizes[name], ordered=name != "spectrum")
    shown = result.gamma if name == "draws" else result.lam  # the curves of λ would coincide
    rows = shown.transpose(name, "theta").values
    angles = np.broadcast_to(result.phi_total.values, len(rows))
    top = 1.1 * rows.max() if name == "draws" else 1.0
    titles = [f"{sign} = {value}: Φ = {phi:.3f}" for value, phi in zip(result[name].values, angles, strict=True)]
    return draw.plot(
        draw.band(theta, 0 * theta, np.sin(theta) ** 2 * (name != "draws"), color=draw.MUTED),
        *(draw.curve(theta, row, color=tint) for row, tint in zip(rows, tints, strict=True)),
        *draw.legend(list(zip(titles, tints, strict=True)), 1.62, (0.0, 0.95 * top)),
        xlabel="angle θ, tan θ = a/m (rad)",
        ylabel=draw.label(shown),
        xlim=(0, 2.5),
        ylim=(0, 1.05 * top),
        xticks=_ANGLES,
    )


# ---- findings ------------------------------------------------------------------------------------------------------


def _separation_finding(result: xr.Dataset) -> str:
    return f"The angle Φ is {percent(float(result.phi_total) / (np.pi / 2))} of π/2, where straight lines are optimal"


def _integrand_finding(result: xr.Dataset) -> str:
    optimal, linear = (result.density.sel(schedule=name).values for name in (_OPTIMAL, _LINEAR))
    low, high = float(np.nanmin(optimal)), float(np.nanmax(optimal))
    level = (
        f"level at {number(high, 3)}"
        if high - low <= 0.02 * high
        else f"between {number(low, 2)} and {number(high, 2)}"
    )
    low, high = (number(float(each(linear)), 2) for each in (np.nanmin, np.nanmax))
    return f"Energy of the marginal: {_OPTIMAL} {level}, {_LINEAR} between {low} and {high}"


def _steps_finding(result: xr.Dataset) -> str:
    """The number of steps from which on the distance is within twice its floor."""
    steps, floor = np.sort(result.nfe.values), float(result.w2sq_floor.mean())
    told = []
    for name in (_OPTIMAL, _LINEAR):
        mean = result.w2sq.sel(schedule=name).mean("seed").sortby("nfe").values
        beyond = np.flatnonzero(~(mean <= 2 * floor))
        first = 0 if not beyond.size else int(beyond[-1]) + 1
        told.append(f"{steps[first] if first < len(steps) else f'over {steps[-1]}'} ({name})")
    return f"Euler steps to twice the floor of W₂²: {', '.join(told)}"


def _curves_finding(result: xr.Dataset) -> str:
    name, sign = _what_changed(result)
    angles = np.broadcast_to(result.phi_total.values, result.sizes[name])
    low, high = int(np.argmin(angles)), int(np.argmax(angles))
    values = result[name].values
    if low == high:
        return f"Φ is {angles[0]:.3f} for all; π/2 is 1.571"
    return (
        f"Φ is {angles[low]:.3f} at {sign} = {values[low]}, {angles[high]:.3f} at {sign} = {values[high]}; π/2 is 1.571"
    )


def _training_finding(result: xr.Dataset) -> str:
    pairs = zip(_seen(result), result.w2sq_network.values, strict=True)
    told = [f"{name} {number(float(value), 3)}" for name, value in pairs if np.isfinite(value)]
    return f"W₂² with the networks: {', '.join(told) or 'not finite'}"


PICTURES = Pictures(
    Picture(
        "particles",
        "Particles of three schedules",
        "Blue: particles that follow the exact velocity in equally many Euler "
        "steps from the same noise. Shade: exact density of the path; where it is unknown, orange: data.",
        _particles,
        plays="moment",
        share=1.9,
    ),
    Picture(
        "separation",
        "The curve of the data",
        "λ: fraction of the variance that the optimal denoiser explains. γ: its "
        "gain over a linear denoiser. Gray: values that no data set has.",
        _separation,
        finds=_separation_finding,
    ),
    Picture(
        "chord",
        "Schedules as paths",
        "In the angle φ = ∫√γ dθ, energy is squared length over time: the chord at constant "
        "speed minimizes it. Dots: tenths of time.",
        _chord,
    ),
    Picture(
        "integrand",
        "Where energy cancels",
        "Dashed: energy of single pairs at each time. Full: energy of the marginal velocity. Color: schedule.",
        _integrand,
        finds=_integrand_finding,
    ),
    Picture(
        "training",
        "Networks",
        "Lines: training loss of a network for each schedule. Dashed: loss of the exact velocity. "
        "Numbers: W₂² of particles that follow the network.",
        _training,
        needs=("loss",),
        finds=_training_finding,
    ),
    Picture(
        "steps",
        "W₂² by the number of steps",
        "Lines: mean over three seeds. Dots: single seeds. Dashed: W₂² of two held-out samples of the data.",
        _steps,
        along={"nfe": _STEPS, "seed": (0, 1, 2)},
        needs=("w2sq", "w2sq_floor"),
        finds=_steps_finding,
    ),
    Picture(
        "curves",
        "What makes straight lines optimal",
        "Lines: λ by the dimension, pixels or number of points (for a known "
        "distribution: γ by the number of noise samples). At Φ = π/2 = 1.571 straight lines are optimal.",
        _curves,
        where=_one_axis,
        along=_what_changes,
        needs=("lam", "gamma", "phi_total"),
        finds=_curves_finding,
    ),
)
