"""The pictures of kinetic-optimal probability paths."""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from lab import datasets
from lab.datasets import Data
from lab.studies import draw
from lab.studies.contract import Picture, Pictures, Study, sweeping

from .data import SPECTRA

_STEPS = (1, 2, 4, 6, 10, 16, 40)
_TAIL, _TAILED = 9, 60  # moments, particles
_SHORT = {"kinetic optimal": "optimal", "trigonometric": "trigon."}  # where there is little room


def _needs(*names: str) -> Callable[[xr.Dataset], str]:
    def applies(result: xr.Dataset) -> str:
        swept = sweeping.swept(result)
        if set(names) - set(swept):
            return f"it shows a sweep over {' and '.join(names)}"
        more = [name for name in swept if name not in names]
        return f"the sweep is also over {', '.join(more)}: choose one value" if more else ""

    return applies


def _with(name: str, why: str) -> Callable[[xr.Dataset], str]:
    return lambda result: sweeping.single(result) or ("" if name in result else why)


def _shown(result: xr.Dataset) -> list[str]:
    """The three schedules that are looked at."""
    return ["kinetic optimal", "linear", sweeping.parameters(result)["beside"]]


def _tints(result: xr.Dataset) -> dict[str, str]:
    return dict(zip(result.schedule.values.tolist(), draw.colours(result.sizes["schedule"]), strict=True))


# ---- one run -----------------------------------------------------------------------------------------------------------


def _particles(result: xr.Dataset, moment: int) -> Any:
    names, limit = _shown(result), float(result.limit)
    line = float(np.ptp(result.data_position.values[:, 0])) == 0  # of one dimension
    before = np.clip(np.arange(moment - _TAIL + 1, moment + 1), 0, None)  # at first, where they began, more than once
    panels = {}
    for k, name in enumerate(names):
        position = result.position.sel(schedule=name).values
        panels[f"{_SHORT.get(name, name)}: {float(result.w2sq.sel(schedule=name)):.3g}"] = draw.Panel(
            position[moment], position[before][:, :_TAILED], goal=None if "marginal" in result else result.data_position,
            density=result.marginal.values[k, moment] if "marginal" in result else None,
        )  # fmt: skip
    peak = 1.2 * float(np.median(result.marginal.values[:, -1].max(axis=(1, 2)))) if "marginal" in result else None
    steps = int(sweeping.parameters(result)["nfe"])
    return draw.particles(
        panels, (-limit, limit), (-limit, limit), peak=peak,
        note=f"t = {float(result.moment[moment]):.3f}, {steps} Euler step{'s' if steps > 1 else ''}; numbers: W₂² at the end"
        + ("; across: where each began" if line else ""),
    )  # fmt: skip


def _separation(result: xr.Dataset) -> Any:
    theta, lam = result.theta.values, result.lam.values
    error = 2 * result.gamma_error.values * np.cos(theta) ** 2
    return draw.plot(
        draw.band(theta, 0 * theta, np.sin(theta) ** 2, color=draw.MUTED),
        draw.band(theta, lam - error, lam + error),
        draw.curve(theta, lam, "λ"),
        draw.curve(theta, result.gamma.values, "γ", color=draw.TARGET),
        xlabel=draw.label(result.theta), ylabel="λ and γ", ylim=(0, 1.08), xlim=(0, None), xticks=_ANGLES,
        note=f"Φ = {float(result.phi_total):.3f} ± {float(result.phi_error):.3f}",
    )  # fmt: skip


_ANGLES = [(0.0, "0"), (np.pi / 8, "π/8"), (np.pi / 4, "π/4"), (3 * np.pi / 8, "3π/8"), (np.pi / 2, "π/2")]


def _schedules(result: xr.Dataset) -> Any:
    lines, tints, t = [], _tints(result), result.t.values
    for name in _shown(result):
        at = result.sel(schedule=name)
        lines += [
            draw.curve(t, at.a.values, color=tints[name]),
            draw.curve(t, at.m.values, color=tints[name], dash=True),
        ]
    return draw.plot(
        *lines, *_key(_shown(result), tints, 1.03, 0.62, 0.09), draw.text([1.03], [0.99], "a, of data"),
        draw.text([1.03], [0.02], "m, of noise (dashed)"),
        xlabel="time t", ylabel="a and m", xlim=(0, 1.45), ylim=(0, 1.05), xticks=(0, 0.25, 0.5, 0.75, 1),
    )  # fmt: skip


def _key(names: list[str], tints: dict[str, str], x: float, top: float, gap: float) -> list[Any]:
    """Names in their colours, one below the other."""
    return [draw.text([x], [top - gap * k], [name], color=tints[name]) for k, name in enumerate(names)]


def _chord(result: xr.Dataset) -> Any:
    """r at the angle φ, the metric in which the energy is that of straight motion."""
    root = np.sqrt(result.gamma.values)
    theta = result.theta.values
    phi = np.concatenate([[0.0], np.cumsum(np.diff(theta) * (root[1:] + root[:-1]) / 2)])
    total = phi[-1] = float(result.phi_total)
    arc = np.linspace(0, np.pi / 2, 100)
    layers, tints = [draw.curve(np.cos(arc), np.sin(arc), color=draw.MUTED)], _tints(result)
    layers += [draw.segments([0, 0], [0, 0], [1, np.cos(total)], [0, np.sin(total)], 0.3, color=draw.MUTED)]
    for name in _shown(result)[::-1]:
        at = result.sel(schedule=name)
        r = np.hypot(at.a.values, at.m.values)
        angle = np.interp(np.arctan2(at.a.values, at.m.values), theta, phi)
        x, y = r * np.cos(angle), r * np.sin(angle)
        ticks = slice(0, None, (result.sizes["t"] - 1) // 10)
        layers += [
            draw.curve(x, y, color=tints[name]),
            draw.points(x[ticks], y[ticks], color=tints[name], size=0.5),
        ]
    middle = total / 2
    layers += [
        draw.text([0.13 * np.cos(middle)], [0.13 * np.sin(middle)], "Φ"),
        draw.text([1.02], [0.02], "noise", color=draw.SOURCE),
        draw.text([1.03 * np.cos(total)], [1.03 * np.sin(total)], "data", color=draw.TARGET),
        *_key(_shown(result), tints, 0.84, 1.0, 0.07),
    ]
    return draw.plot(
        *layers, xlabel="r cos φ", ylabel="r sin φ", equal=True, height=380, xlim=(0, 1.3), ylim=(0, 1.06),
        xticks=(0, 0.5, 1), yticks=(0, 0.5, 1),
    )  # fmt: skip


def _integrand(result: xr.Dataset) -> Any:
    t, lines, tints = result.t.values, [], _tints(result)
    for name in _shown(result):
        at = result.sel(schedule=name)
        lines += [
            draw.curve(t, at.density.values, color=tints[name]),
            draw.curve(t, at.density_conditional.values, color=tints[name], dash=True),
        ]
    ends = result.density_conditional.sel(schedule=_shown(result)).values[:, 10:-10]
    top = min(1.15 * float(ends.max()), 6.0)
    return draw.plot(
        *lines, draw.text([1.03], [0.93 * top], "dashed: of single pairs"),
        draw.text([1.03], [0.85 * top], "full: what is left"),
        *_key(_shown(result), tints, 1.03, 0.6 * top, 0.08 * top),
        xlabel="time t", ylabel="energy per time", xlim=(0, 1.45), ylim=(0, top), xticks=(0, 0.25, 0.5, 0.75, 1),
    )  # fmt: skip


def _energies(result: xr.Dataset) -> Any:
    at = np.arange(result.sizes["schedule"])
    names = result.schedule.values.tolist()
    return draw.plot(
        draw.bars(at - 0.19, result.energy_conditional.values, width=0.36, color=draw.MUTED),
        draw.bars(at + 0.19, result.energy.values, width=0.36),
        draw.hline(float(result.least), color=draw.GOOD),
        xticks=[(int(k), _SHORT.get(name, name)) for k, name in enumerate(names)], xlabel="schedule",
        ylabel="energy, per dimension", xlim=(-0.6, len(names) - 0.4),
        ylim=(0, 1.15 * float(np.nanmax([result.energy_conditional.values, result.energy.values]))),
        note=f"dashed: the least, E* = {float(result.least):.4g}",
    )  # fmt: skip


def _images(result: xr.Dataset) -> Any:
    shown, low, high = _shown(result), -1.0, 1.0
    pixels = result.sample_image.sel(schedule=shown).values
    pixels = np.pad(np.clip((pixels - low) / (high - low), 0, 1), ((0, 0), (0, 0), (0, 1), (0, 1)), constant_values=0.5)
    count = pixels.shape[1] // 4 * 4
    titles = [f"{_SHORT.get(name, name)}: {float(result.w2sq.sel(schedule=name)):.3g}" for name in shown]
    mosaics = [
        np.concatenate([np.concatenate(list(row), axis=1) for row in each[:count].reshape(-1, 4, *each.shape[1:])])
        for each in pixels
    ]
    return draw.strip(list(zip(titles, mosaics, strict=True)), height=300)


def _training(result: xr.Dataset) -> Any:
    layers, tints, names = [], _tints(result), _shown(result)
    steps = result.sizes["step"]
    width = max(1, steps // 60)
    at = (np.arange(steps // width) + 0.5) * width
    for k, name in enumerate(names):
        loss = result.loss.values[k, : at.size * width].reshape(-1, width).mean(axis=1)
        layers += [
            draw.curve(
                at, loss, f"{_SHORT.get(name, name)}, W₂² {float(result.w2sq_network[k]):.3f}", color=tints[name]
            ),
            draw.curve([0, steps], 2 * [float(result.loss_least[k])], color=tints[name], dash=True),
        ]
    return draw.plot(
        *layers, xlabel="training step", ylabel=f"loss, mean of {width} steps", ylim=(0, None),
    )  # fmt: skip


# ---- sweeps ------------------------------------------------------------------------------------------------------------


def _over_steps(study: Study, data: Data) -> dict[str, list]:
    return {"nfe": list(_STEPS), "seed": [0, 1, 2]}


def _steps(result: xr.Dataset) -> Any:
    layers, tints, nfe = [], _tints(result), result.nfe.values
    for name in result.schedule.values.tolist():
        each = result.w2sq.sel(schedule=name).transpose("seed", "nfe").values
        layers += [
            draw.points(np.tile(nfe, len(each)), each.ravel(), color=tints[name], size=0.3, alpha=0.5),
            draw.curve(nfe, each.mean(axis=0), name, color=tints[name]),
        ]
    return draw.plot(
        *layers, draw.hline(float(result.w2sq_floor.mean())), xlabel="Euler steps", ylabel="W₂²",
        logx=True, logy=True, xticks=(1, 2, 4, 10, 20, 40), height=360,
    )  # fmt: skip


def _over_weight(study: Study, data: Data) -> dict[str, list]:
    return {"weight": [round(float(w), 3) for w in np.linspace(0, 1, 9)]}


def _weight(result: xr.Dataset) -> Any:
    between, weight = result.sel(schedule="between"), result.weight.values
    steps = int(sweeping.parameters(result)["nfe"])
    return draw.plot(
        draw.curve(weight, between.energy.values, "energy E", markers=True),
        draw.curve(weight, between.w2sq.values, f"W₂², K = {steps}", color=draw.TARGET, markers=True),
        xlabel="0: kinetic optimal, 1: linear", ylabel="energy and W₂²", ylim=(0, None), xticks=(0, 0.25, 0.5, 0.75, 1),
    )  # fmt: skip


def _axis(study: Study, data: Data) -> dict[str, list]:
    """What changes the curve of these data."""
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


def _curves(result: xr.Dataset) -> Any:
    (name,) = sweeping.swept(result)
    values = result[name].values.tolist()
    theta = result.theta.values
    theta = theta if theta.ndim == 1 else theta[0]
    sign = {"dimension": "d", "side": "side", "spectrum": "e", "n": "n", "draws": "draws"}[name]
    tints = draw.colours(len(values), ordered=name != "spectrum")
    shown = result.gamma if name == "draws" else result.lam  # where λ is not seen to differ
    rows = shown.transpose(name, "theta").values
    total = np.broadcast_to(result.phi_total.values, len(values))
    top = 1.1 * rows.max() if name == "draws" else 1.0
    return draw.plot(
        draw.band(theta, 0 * theta, np.sin(theta) ** 2 * (name != "draws"), color=draw.MUTED),
        *(draw.curve(theta, row, color=tint) for row, tint in zip(rows, tints, strict=True)),
        *(
            draw.text([1.62], [(0.95 - 0.085 * k) * top], [f"{sign} = {value}: Φ = {phi:.3f}"], color=tint)
            for k, (value, phi, tint) in enumerate(zip(values, total, tints, strict=True))
        ),
        xlabel="angle θ, tan θ = a/m (rad)", ylabel=draw.label(shown), xlim=(0, 2.5), ylim=(0, 1.05 * top), xticks=_ANGLES,
    )  # fmt: skip


PICTURES = Pictures(
    Picture("particles", "Particles of three schedules", "The same noise moved by the exact velocity in equally many Euler "
            "steps; underneath the exact density, or in orange the data.", _particles, plays="moment"),
    Picture("separation", "The curve of the data", "How well noisy data tell where they came from (λ) and how much better than "
            "a linear guess (γ). The grey region lies below every data set.", _separation),
    Picture("schedules", "The schedules", "How much data (full) and noise (dashed) there is at each time.", _schedules),
    Picture("chord", "Why it is the best", "With the angle φ = ∫√γ dθ, energy is length squared over time: a dot each tenth "
            "of the time. The best path is the straight chord, at even speed.", _chord),
    Picture("integrand", "Where energy cancels", "Energy at each time: of single pairs (dashed), and what is left of it in the "
            "marginal velocity (full). The kinetic optimal one is level.", _integrand),
    Picture("energies", "Energy by schedule", "Grey: of single pairs; blue: of the marginal velocity. None is below E*.",
            _energies),
    Picture("images", "The samples", "What the first particles end as; the numbers are W₂² of all.", _images,
            where=_with("sample_image", "the data are no grey images: choose digits or MNIST")),
    Picture("training", "Networks", "Loss of a network for each schedule, and the least, of the exact velocity (dashed). "
            "W₂² is that of particles moved by the network.", _training,
            where=_with("loss", "nothing was trained: set training steps above 0")),
    Picture("steps", "W₂² by the number of steps", "Mean over three seeds, each seed small. The dashed level is the distance "
            "of two sets of fresh samples.", _steps, where=_needs("nfe", "seed"), along=_over_steps,
            also=("w2sq", "w2sq_floor")),
    Picture("weight", "From kinetic optimal to linear", "Energy and distance of the schedules between.", _weight,
            where=_needs("weight"), along=_over_weight, also=("energy", "w2sq")),
    Picture("curves", "What makes straight lines optimal", "λ by the dimension, pixels or number of points (of a known law: γ "
            "by the number of draws). At Φ = π/2 = 1.571 straight lines are best.", _curves, where=_one_axis, along=_axis,
            also=("lam", "gamma", "phi_total")),
)  # fmt: skip
