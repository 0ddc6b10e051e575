"""The pictures of kinetic-optimal probability paths."""

from typing import Any

import numpy as np
import xarray as xr

from lab import datasets
from lab.datasets import Data
from lab.datasets.gaussians import SPECTRA
from lab.studies import draw
from lab.studies.contract import Picture, Pictures, Study, sweeping

_STEPS = (1, 2, 4, 6, 10, 16, 40)
_TAIL, _TAILED = 9, 60  # moments, particles
_SHORT = {"kinetic optimal": "optimal", "trigonometric": "trigon."}  # where there is little room
_ANGLES = [(0.0, "0"), (np.pi / 8, "π/8"), (np.pi / 4, "π/4"), (3 * np.pi / 8, "3π/8"), (np.pi / 2, "π/2")]
_QUARTERS = (0, 0.25, 0.5, 0.75, 1)


def _tints(result: xr.Dataset) -> dict[str, str]:
    return dict(zip(result.schedule.values.tolist(), draw.colours(result.sizes["schedule"]), strict=True))


def seen_schedules(result: xr.Dataset) -> dict[str, str]:
    """The three schedules that are looked at, with their colours."""
    tints = _tints(result)
    return {name: tints[name] for name in ("kinetic optimal", "linear", sweeping.parameters(result)["beside"])}


def _title(result: xr.Dataset, name: str) -> str:
    return f"{_SHORT.get(name, name)}: {float(result.w2sq.sel(schedule=name)):.3g}"


def _full_and_dashed(result: xr.Dataset, full: str, dashed: str) -> list[Any]:
    """Two variables over time, of each schedule that is looked at."""
    return [
        draw.curve(result.t, result[name].sel(schedule=schedule), color=tint, dash=name == dashed)
        for schedule, tint in seen_schedules(result).items() for name in (full, dashed)
    ]


def _particles(result: xr.Dataset, moment: int) -> Any:
    limit = float(result.limit)
    line = float(np.ptp(result.data_position.values[:, 0])) == 0  # of one dimension
    before = np.clip(np.arange(moment - _TAIL + 1, moment + 1), 0, None)  # at first, where they began, more than once
    shades = result.marginal.values if "marginal" in result else None
    panels = {}
    for k, name in enumerate(seen_schedules(result)):
        position = result.position.sel(schedule=name).values
        panels[_title(result, name)] = draw.Panel(
            position[moment], position[before][:, :_TAILED], None if shades is None else shades[k, moment],
            result.data_position if shades is None else None, who=draw.began(position[0]),
        )
    peak = None if shades is None else 1.2 * float(np.median(shades[:, -1].max(axis=(1, 2))))
    steps = int(sweeping.parameters(result)["nfe"])
    return draw.particles(
        panels, (-limit, limit), (-limit, limit), peak=peak,
        note=f"t = {float(result.moment[moment]):.3f}, {steps} Euler step{'s' if steps > 1 else ''}; numbers: W₂² at the end"
        + ("; across: where each began" if line else ""),
    )


def _separation(result: xr.Dataset) -> Any:
    theta, lam = result.theta.values, result.lam.values
    error = 2 * result.gamma_error.values * np.cos(theta) ** 2
    return draw.plot(
        draw.band(theta, 0 * theta, np.sin(theta) ** 2, color=draw.MUTED),
        draw.band(theta, lam - error, lam + error),
        draw.curve(theta, lam, "λ"),
        draw.curve(theta, result.gamma, "γ", color=draw.TARGET),
        xlabel=draw.label(result.theta), ylabel="λ and γ", ylim=(0, 1.08), xlim=(0, None), xticks=_ANGLES,
        note=f"Φ = {float(result.phi_total):.3f} ± {float(result.phi_error):.3f}",
    )


def _schedules(result: xr.Dataset) -> Any:
    return draw.plot(
        *_full_and_dashed(result, "a", "m"), *draw.legend(list(seen_schedules(result).items()), 1.03, (-0.38, 0.62)),
        draw.text([1.03], [0.99], "a, of data"), draw.text([1.03], [0.02], "m, of noise (dashed)"),
        xlabel="time t", ylabel="a and m", xlim=(0, 1.45), ylim=(0, 1.05), xticks=_QUARTERS,
    )


def _chord(result: xr.Dataset) -> Any:
    """r at the angle φ, the metric in which the energy is that of straight motion."""
    root = np.sqrt(result.gamma.values)
    theta = result.theta.values
    phi = np.concatenate([[0.0], np.cumsum(np.diff(theta) * (root[1:] + root[:-1]) / 2)])
    total = phi[-1] = float(result.phi_total)
    arc = np.linspace(0, np.pi / 2, 100)
    layers = [draw.curve(np.cos(arc), np.sin(arc), color=draw.MUTED)]
    layers += [draw.segments([0, 0], [0, 0], [1, np.cos(total)], [0, np.sin(total)], 0.3, color=draw.MUTED)]
    shown, tenths = seen_schedules(result), slice(0, None, (result.sizes["t"] - 1) // 10)
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
        xlabel="r cos φ", ylabel="r sin φ", equal=True, height=380, xlim=(0, right),
        ylim=(0, 1.06), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1),
    )


def _integrand(result: xr.Dataset) -> Any:
    shown = seen_schedules(result)
    inside = result.density_conditional.sel(schedule=list(shown)).values[:, 10:-10]
    top = min(1.15 * float(inside.max()), 6.0)
    return draw.plot(
        *_full_and_dashed(result, "density", "density_conditional"),
        draw.text([1.03], [0.93 * top], "dashed: of single pairs"), draw.text([1.03], [0.85 * top], "full: what is left"),
        *draw.legend(list(shown.items()), 1.03, (-0.3 * top, 0.6 * top)),
        xlabel="time t", ylabel="energy per time", xlim=(0, 1.52), ylim=(0, top), xticks=_QUARTERS,
    )


def _energies(result: xr.Dataset) -> Any:
    at = np.arange(result.sizes["schedule"])
    names = result.schedule.values.tolist()
    return draw.plot(
        draw.bars(at - 0.19, result.energy_conditional, width=0.36, color=draw.MUTED),
        draw.bars(at + 0.19, result.energy, width=0.36),
        draw.hline(float(result.least), color=draw.GOOD),
        xticks=[(k, _SHORT.get(name, name)) for k, name in enumerate(names)], xlabel="schedule",
        ylabel="energy, per dimension", xlim=(-0.6, len(names) - 0.4),
        ylim=(0, 1.15 * float(np.nanmax([result.energy_conditional.values, result.energy.values]))),
        note=f"dashed: the least, E* = {float(result.least):.4g}",
    )


def _images(result: xr.Dataset) -> Any:
    sheets = {}
    for name in seen_schedules(result):
        pixels = np.clip((result.sample_image.sel(schedule=name).values + 1) / 2, 0, 1)
        pixels = np.pad(pixels, ((0, 0), (0, 1), (0, 1)), constant_values=0.5)
        rows = pixels[: len(pixels) // 4 * 4].reshape(-1, 4, *pixels.shape[1:])
        sheets[_title(result, name)] = np.concatenate([np.concatenate(list(row), axis=1) for row in rows])
    return draw.strip(list(sheets.items()), height=300)


def _training(result: xr.Dataset) -> Any:
    titles = [
        f"{_SHORT.get(name, name)}, W₂² {float(distance):.3f}"
        for name, distance in zip(seen_schedules(result), result.w2sq_network, strict=True)
    ]
    least = [float(loss) for loss in result.loss_least]
    return draw.training(
        dict(zip(titles, result.loss, strict=True)), least=dict(zip(titles, least, strict=True)), bins=60,
        colors=dict(zip(titles, seen_schedules(result).values(), strict=True)),
        ylabel=f"loss, mean of {max(1, result.sizes['step'] // 60)} steps", ylim=(0, None),
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
        *layers, draw.hline(float(result.w2sq_floor.mean())), xlabel="Euler steps", ylabel="W₂²",
        logx=True, logy=True, xticks=(1, 2, 4, 10, 20, 40), height=360,
    )


def _weight(result: xr.Dataset) -> Any:
    between = result.sel(schedule="between")
    lines = {"energy E": between.energy, f"W₂², K = {int(sweeping.parameters(result)['nfe'])}": between.w2sq}
    return draw.over(
        result.weight, lines, xlabel="0: kinetic optimal, 1: linear", ylabel="energy and W₂²", ylim=(0, None),
        xticks=_QUARTERS,
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


def what_changed(result: xr.Dataset) -> tuple[str, str]:
    """The parameter along which the curves are, and its sign."""
    (name,) = sweeping.swept(result)
    return name, {"dimension": "d", "spectrum": "e"}.get(name, name)


def _curves(result: xr.Dataset) -> Any:
    name, sign = what_changed(result)
    theta = result.theta.values
    theta = theta if theta.ndim == 1 else theta[0]
    tints = draw.colours(result.sizes[name], ordered=name != "spectrum")
    shown = result.gamma if name == "draws" else result.lam  # where λ is not seen to differ
    rows = shown.transpose(name, "theta").values
    angles = np.broadcast_to(result.phi_total.values, len(rows))
    top = 1.1 * rows.max() if name == "draws" else 1.0
    titles = [f"{sign} = {value}: Φ = {phi:.3f}" for value, phi in zip(result[name].values, angles, strict=True)]
    return draw.plot(
        draw.band(theta, 0 * theta, np.sin(theta) ** 2 * (name != "draws"), color=draw.MUTED),
        *(draw.curve(theta, row, color=tint) for row, tint in zip(rows, tints, strict=True)),
        *draw.legend(list(zip(titles, tints, strict=True)), 1.62, (0.0, 0.95 * top)),
        xlabel="angle θ, tan θ = a/m (rad)", ylabel=draw.label(shown), xlim=(0, 2.5), ylim=(0, 1.05 * top), xticks=_ANGLES,
    )


PICTURES = Pictures(
    Picture("particles", "Particles of three schedules", "The same noise moved by the exact velocity in equally many Euler "
            "steps; underneath the exact density, or in orange the data.", _particles, plays="moment", share=1.9),
    Picture("separation", "The curve of the data", "λ: fraction of the variance that the optimal denoiser explains. γ: its "
                                                   "gain over a "
            "linear denoiser. Gray: values that no data set has.", _separation),
    Picture("schedules", "The schedules", "How much data (full) and noise (dashed) there is at each time.", _schedules),
    Picture("chord", "Schedules as paths", "In the angle φ = ∫√γ dθ, energy is squared length over time: the chord at constant "
            "speed minimizes it. Dots: tenths of time.", _chord),
    Picture("integrand", "Where energy cancels", "Energy at each time: of single pairs (dashed), and what is left of it in the "
            "marginal velocity (full). The kinetic optimal one is level.", _integrand),
    Picture("energies", "Energy by schedule", "Grey: of single pairs; blue: of the marginal velocity. None is below E*.",
            _energies),
    Picture("images", "The samples", "What the first particles end as; the numbers are W₂² of all.", _images,
            needs=("sample_image",)),
    Picture("training", "Networks", "Loss of a network for each schedule; dashed: loss of the exact velocity. W₂²: of "
                                    "particles moved by "
            "the network.", _training, needs=("loss",)),
    Picture("steps", "W₂² by the number of steps", "Mean over three seeds, each seed small. The dashed level is the distance "
            "of two sets of fresh samples.", _steps, along={"nfe": _STEPS, "seed": (0, 1, 2)}, needs=("w2sq", "w2sq_floor")),
    Picture("weight", "From kinetic optimal to linear", "Energy and distance of the schedules between.", _weight,
            along={"weight": [round(float(w), 3) for w in np.linspace(0, 1, 9)]}, needs=("energy", "w2sq")),
    Picture("curves", "What makes straight lines optimal", "λ by the dimension, pixels or number of points (of a known law: γ "
            "by the number of draws). At Φ = π/2 = 1.571 straight lines are optimal.", _curves, where=_one_axis,
            along=_what_changes, needs=("lam", "gamma", "phi_total")),
)
