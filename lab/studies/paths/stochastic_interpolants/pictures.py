"""The pictures of stochastic interpolants."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from scipy.interpolate import CubicSpline

from lab.datasets import Data
from lab.studies import draw
from lab.studies.contract import Picture, Pictures, Study, sweeping
from lab.studies.paths.path_parts import window

_DEPTH = 5.0  # nats below the highest density that are shaded
_TAIL = 8  # frames
_LINES = 16  # trajectories that are drawn one by one
_EPSILONS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_SIZES = tuple(np.round(np.geomspace(0.05, 20, 13), 4).tolist())
_PANELS = (0.05, 1.0, 4.0, 12.0)


def _has(name: str, why: str):
    """One run that has this variable."""

    def applies(result: xr.Dataset) -> str:
        return sweeping.single(result) or ("" if name in result else why)

    return applies


def _over(name: str, needs: str = "", why: str = "", also: tuple[str, ...] = ()):
    """A sweep over this parameter, and of others one value or those in ``also``."""

    def applies(result: xr.Dataset) -> str:
        if name not in result.dims:
            return f"it shows a sweep over {name}"
        if needs and needs not in result:
            return why
        more = [other for other in sweeping.swept(result) if other not in (name, *also) and result.sizes[other] > 1]
        return f"the sweep is also over {', '.join(more)}: choose one value" if more else ""

    return applies


def _flat(result: xr.Dataset, *kept: str) -> xr.Dataset:
    """Without the dimensions of parameters that have one value."""
    return result.isel({name: 0 for name in sweeping.swept(result) if name not in kept})


# ---- one run -----------------------------------------------------------------------------------------------------


def _shade(logrho: np.ndarray) -> np.ndarray:
    """Log-density (t, position) as (position, t) in nats above the floor."""
    return np.clip(logrho - np.max(logrho) + _DEPTH, 0, None).T


def _strands(t: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Trajectories (t, strand) as one broken line."""
    gap = np.full((1, x.shape[1]), np.nan)
    return np.concatenate([np.tile(t[:, None], x.shape[1]), gap]).T.ravel(), np.concatenate([x, gap]).T.ravel()


def _spacetime(result: xr.Dataset) -> Any:
    t, x = result.t.values, result.position.values
    fine = np.linspace(0, 1, 201)
    peak = float(result.logrho.max())
    logrho = np.clip(result.logrho.values, peak - _DEPTH, None)
    logrho = np.stack([np.interp(fine, t, column) for column in logrho.T])
    ways = result.paths.values[:, :, :_LINES, 0]
    low, high = x[0], x[-1]
    return draw.heatmap(
        logrho, rows=x, cols=fine, xlabel="time t", ylabel="x", clabel="log-density (nat)",
        clim=(peak - _DEPTH, peak), outline=False, equal=False, height=420,
        marks=[
            draw.curve(*_strands(t, ways[:, 1]), color=draw.TARGET),
            draw.curve(*_strands(t, ways[:, 0]), color=draw.INK),
            draw.text([0.02], [high - 0.02 * (high - low)], "ODE", color=draw.INK, up="top"),
            draw.text([0.02], [high - 0.09 * (high - low)], f"SDE, ε = {_noise(result):.3g}", color=draw.TARGET, up="top"),
        ],
    )  # fmt: skip


def _noise(result: xr.Dataset) -> float:
    return float(sweeping.parameters(result)["epsilon"])


def _square(result: xr.Dataset) -> tuple[float, tuple[float, float]]:
    """How wide the time is drawn, so that it is as wide as the line is long, and the ends of the line."""
    x = result.position.values
    return float(x[-1] - x[0]), (float(x[0]), float(x[-1]))


def _timeline(result: xr.Dataset, ways: np.ndarray, logrho: np.ndarray) -> draw.Panel:
    """Trajectories (t, strand) over the density in time, each with a point at its end."""
    wide, _ = _square(result)
    t = result.t.values
    tails = np.stack([np.broadcast_to(wide * t[:, None], ways.shape), ways], axis=2)
    return draw.Panel(tails[-1], tails, _shade(logrho), color=draw.TARGET)


def _smoothing(result: xr.Dataset) -> Any:
    wide, x = _square(result)
    plain = _timeline(result, result.plain_paths.values[:, :_LINES], result.plain_logrho.values)
    smooth = _timeline(result, result.paths.values[:, 0, :_LINES, 0], result.logrho.values)
    return draw.particles(
        {"without latent noise": plain, "with latent noise": smooth}, (0, wide), x, peak=_DEPTH, size=0.4,
    )  # fmt: skip


def _panels(result: xr.Dataset) -> Any:
    wide, x = _square(result)
    panels = {}
    for a in result.a.values:
        run = result.sel(a=a)
        panels[f"a = {a:.3g}"] = _timeline(result, run.paths.values[:, 0, :_LINES, 0], run.logrho.values)
    return draw.particles(panels, (0, wide), x, peak=_DEPTH, size=0.4)


def _motion(result: xr.Dataset, frame: int) -> Any:
    ways, bundle = result.paths.values, result.bundle.values
    t = float(result.t.values[frame])
    trail = np.maximum(np.arange(frame - _TAIL, frame + 1), 0)
    clouds = {"ODE": ways[:, 0], f"SDE, ε = {_noise(result):.3g}": ways[:, 1], "SDE from one start": bundle}
    under, goal, peak = None, None, None
    if "position" in result.dims:
        wide, y = _square(result)
        x, under, peak = (0.0, wide), _shade(result.logrho.values), _DEPTH
        time = wide * result.t.values[:, None]
        clouds = {
            title: np.stack([np.broadcast_to(time, way.shape[:2]), way[..., 0]], axis=2)
            for title, way in clouds.items()
        }
    elif "density" in result:
        under = result.density.values[frame]
        peak = float(np.quantile(result.density.values.max(axis=(1, 2)), 0.6))
        (dx, left, right), (dy, bottom, top) = (_ends(result[name].values) for name in ("column", "row"))
        x, y = (left - dx / 2, right + dx / 2), (bottom - dy / 2, top + dy / 2)
    else:
        goal = result.target.values
        x, y = window(ways[0], ways[-1], goal)
    panels = {
        title: draw.Panel(way[frame], way[trail][:, :40], under, goal, draw.SOURCE if under is None else draw.TARGET)
        for title, way in clouds.items()
    }
    return draw.particles(panels, x, y, peak=peak, size=0.25, note=f"t = {t:.3f}")


def _ends(values: np.ndarray) -> tuple[float, float, float]:
    return float(values[1] - values[0]), float(values[0]), float(values[-1])


def _samples(result: xr.Dataset) -> Any:
    names = ["ODE", f"SDE, ε = {_noise(result):.3g}"]
    if "position" in result.dims and "log_likelihood" in result:
        level, samples = result.log_likelihood.values, result.samples.values
        x, exact = result.position.values, result.logrho.values[-1]
        top, low = float(exact.max()), float(np.quantile(level, 0.002)) - 0.5
        step = 0.08 * (top - low)
        return draw.plot(
            draw.curve(x, np.where(exact > low, exact, np.nan), color=draw.INK),
            draw.points(samples[0, :, 0], level[0], color=draw.SOURCE, size=0.5, alpha=0.6),
            draw.points(samples[1, :, 0], level[1], color=draw.TARGET, size=0.5, alpha=0.6),
            *(
                draw.text([x[0]], [top + (1.2 - k) * step], title, color=color)
                for k, (title, color) in enumerate(((names[0], draw.SOURCE), (names[1], draw.TARGET), ("exact", draw.INK)))
            ),
            xlabel="sample", ylabel="log-likelihood (nat)", ylim=(low, top + 2 * step),
        )  # fmt: skip
    if "position" in result.dims:
        return _shares(result, names)
    position = result.paths.values[-1]
    tints: list[Any] = [draw.SOURCE, draw.SOURCE]
    if "log_likelihood" in result:
        level = result.log_likelihood.values
        low, high = np.nanquantile(level, [0.02, 0.98])
        ramp = draw.colours(32, ordered=True, color=draw.TARGET)
        place = np.clip(31 * (level - low) / max(high - low, 1.0), 0, 31)  # nothing is made of less than a nat
        tints = [[ramp[int(k)] for k in np.nan_to_num(row)] for row in place]
        note = f"from light, log-likelihood {low:.1f}, to dark, {high:.1f}"
    else:
        note = "no likelihood: an end or the coupling is points, or there are more than 8 dimensions"
    x, y = window(position, result.target.values)
    goal = None if "density" in result else result.target.values
    panels = {name: draw.Panel(position[k], goal=goal, color=tints[k]) for k, name in enumerate(names)}
    return draw.particles(panels, x, y, note=note)


def _shares(result: xr.Dataset, names: list[str]) -> Any:
    """On a line, where there is no likelihood: how much of the samples is below each place."""
    clouds = [*result.samples.values[:, :, 0], result.target.values[:, 0]]
    layers = []
    for cloud, name, color in zip(clouds, [*names, "data"], (draw.SOURCE, draw.TARGET, draw.INK), strict=True):
        share = (np.arange(cloud.size) + 0.5) / cloud.size
        layers.append(draw.curve(np.sort(cloud), share, name, color=color, dash=name == "data"))
    return draw.plot(*layers, xlabel="sample", ylabel="share below", ylim=(0, 1.1))


def _moments(result: xr.Dataset) -> Any:
    t, sampled = result.t.values, result.variance_sampled.values
    top = 1.2 * max(float(np.nanmax(sampled)), float(result.variance.max()))  # four names may stand above each other
    return draw.plot(
        draw.curve(t, result.variance.values, "exact", color=draw.INK),
        *(
            [draw.curve(t, result.variance_before.values, "independent ends", color=draw.MUTED, dash=True)]
            if "variance_before" in result else []
        ),
        draw.points(t, sampled[:, 0], "ODE", color=draw.SOURCE, size=0.5),
        draw.points(t, sampled[:, 1], "SDE", color=draw.TARGET, size=0.5),
        xlabel="time t", ylabel="variance, mean over coordinates", ylim=(0, top),
    )  # fmt: skip


def _map(result: xr.Dataset) -> Any:
    before, after = result.map_before.values[:, 0], result.paths.values[-1, 0, :, 0]
    ends = [float(np.nanmin(before)), float(np.nanmax(before))]
    return draw.plot(
        draw.curve(ends, ends, color=draw.MUTED, dash=True),
        draw.points(before, after, color=draw.SOURCE, size=0.6, alpha=0.6),
        xlabel="end by the flow of independent ends", ylabel="end by the flow of this path",
    )  # fmt: skip


def _schedules(result: xr.Dataset) -> Any:
    t, kinds = result.t.values, [str(kind) for kind in result.kind.values]
    chosen = kinds.index(sweeping.parameters(result)["schedule"])
    at = np.concatenate([np.append(t + 1.3 * k, np.nan) for k in range(len(kinds))])
    top = max(1.0, *(float(np.nanmax(result[f"table_{name}"])) for name in ("alpha", "beta", "gamma")))

    def line(name, label, color):
        return draw.curve(
            at, np.pad(result[name].values, ((0, 0), (0, 1)), constant_values=np.nan).ravel(), label, color=color
        )

    return draw.plot(
        line("table_alpha", "α", draw.SOURCE), line("table_beta", "β", draw.TARGET), line("table_gamma", "γ", draw.GOOD),
        *(
            draw.text([1.3 * k], [top * (1.08 if k % 2 else 1.18)], _SHORT[kind], color=draw.INK if k == chosen else draw.MUTED)
            for k, kind in enumerate(kinds)
        ),
        xlabel="time t, from 0 to 1 in each", ylabel="coefficient", ylim=(0, 1.25 * top),
        xticks=[(0, "0"), (1, "1")],
    )  # fmt: skip


_SHORT = {
    "linear": "linear", "trigonometric": "trig", "encoder-decoder": "enc-dec", "one-sided-linear": "one-sided",
    "one-sided-trigonometric": "1-sided trig", "sbdm": "SBDM", "mirror": "mirror",
}  # fmt: skip


def _images(result: xr.Dataset) -> Any:
    shape = result.coordinate.attrs
    h, w = shape["height"], shape["width"]
    frames = np.linspace(0, result.sizes["t"] - 1, 9).round().astype(int)
    pictures = {}
    for k, name in enumerate(["ODE", f"SDE, ε = {_noise(result):.3g}"]):
        kept = result.walk.values[frames, k, :5]  # (times, shown, pixels)
        tiles = np.full((5, h + 1, len(frames), w + 1), 1.0)
        tiles[:, :h, :, :w] = kept.reshape(len(frames), 5, h, w).transpose(1, 2, 0, 3)
        pictures[f"{name}: t from 0 to 1"] = np.clip((tiles.reshape(5 * (h + 1), -1) + 1) / 2, 0, 1)
    return draw.strip(pictures, height=300)


def _training(result: xr.Dataset) -> Any:
    lines: list[Any] = []
    for name, title, color in (("b", "velocity", draw.SOURCE), ("eta", "noise", draw.TARGET)):
        loss = result[f"loss_{name}"].values
        width = max(1, loss.size // 60)
        kept = loss[: loss.size // width * width].reshape(-1, width).mean(axis=1)
        at = width * (np.arange(kept.size) + 0.5)
        least = float(result[f"floor_{name}"])
        lines += [
            draw.curve(at, kept, title, color=color),
            draw.curve(at, np.full(at.size, least), "exact", color=color, dash=True),
        ]
    return draw.plot(*lines, xlabel="training step", ylabel="loss, mean square", logy=True)


# ---- sweeps --------------------------------------------------------------------------------------------------------


def _over_sizes(study: Study, data: Data) -> dict[str, list]:
    return {"a": list(_PANELS)}


def _over_noise(study: Study, data: Data) -> dict[str, list]:
    given = [getattr(study, name) for name in ("misfit_b", "misfit_s")]
    sloped = any(getattr(study, name) for name in ("slope_b", "slope_s"))
    missed = given if any(given) or sloped or getattr(study, "training", 0) else [0.3, 0.6]
    return {"epsilon": list(_EPSILONS), "misfit_b": [missed[0]], "misfit_s": [missed[1]]}


def _kl(result: xr.Dataset) -> Any:
    run = _flat(result, "epsilon")
    run = run.isel(epsilon=run.epsilon.values > 0)  # a sweep of one's own may have 0
    epsilon, kl, error = run.epsilon.values, run.kl.values, 2 * run.kl_error.values
    shown = np.where(np.isfinite(run.kl_bound), run.kl_bound, np.nan)
    best, ode = float(run.epsilon_star.values[-1]), float(run.kl_ode.values[-1])
    seen = np.isfinite(best) and epsilon[0] <= best <= epsilon[-1]
    return draw.plot(
        draw.band(epsilon, np.maximum(kl - error, 1e-12), kl + error),
        draw.curve(epsilon, kl, "KL", markers=True),
        draw.curve(epsilon, shown, "bound", color=draw.TARGET, markers=True),
        draw.curve(epsilon, shown / 2, "as quoted", color=draw.MUTED, dash=True),
        draw.vline(best if seen else np.nan, "ε*" if seen else "", color=draw.GOOD, dash=True),
        draw.hline(ode if ode > 0 else np.nan, "ODE"),
        xlabel="noise level ε", ylabel="KL of data from samples (nat)", logx=True, logy=True,
    )  # fmt: skip


def _over_latent(study: Study, data: Data) -> dict[str, list]:
    return {"schedule": ["linear"], "latent": ["brownian"], "epsilon": [0.1, 0.3, 1.0], "a": list(_SIZES)}


def _drift(result: xr.Dataset) -> Any:
    run = _flat(result, "a", "epsilon")
    run = run if "epsilon" in run.dims else run.expand_dims("epsilon")
    a, layers = run.a.values, []
    for epsilon, tint in zip(run.epsilon.values, draw.colours(run.sizes["epsilon"]), strict=False):
        energy = run.drift_energy.sel(epsilon=epsilon).values
        level = energy / np.nanmin(energy)
        at, least = vertex(a, level)
        layers.append(draw.curve(a, level, f"ε = {float(epsilon):.3g}", color=tint))
        if 1.001 * a[0] < at < a[-1] / 1.001:  # else it is beyond the sizes that were tried
            layers.append(draw.points([at], [least], color=tint, size=1.6))
        if "bridge_a" in run:
            layers.append(draw.vline(float(run.bridge_a.sel(epsilon=epsilon).values.flat[0]), color=tint, dash=True))
    return draw.plot(
        *layers, xlabel="size of latent a in γ² = a t(1−t)", ylabel="drift energy over its least", logx=True
    )


def _over_kinds(study: Study, data: Data) -> dict[str, list]:
    kinds = ["brownian", "quadratic", "bridge"]
    return {
        "schedule": ["linear"],
        "latent": kinds,
        "epsilon": [getattr(study, "epsilon", 0) or 1.0],
    }


def _latents(result: xr.Dataset) -> Any:
    run, schedule = _flat(result, "latent"), sweeping.parameters(result)["schedule"]
    layers = []
    for kind, tint in zip(run.latent.values, draw.colours(run.sizes["latent"]), strict=False):
        one = run.sel(latent=kind)
        label = f"{kind}, energy {float(one.drift_energy):.5g}"
        layers.append(draw.curve(run.t.values, one.table_gamma.sel(kind=schedule).values, label, color=tint))
    return draw.plot(*layers, xlabel="time t", ylabel="latent noise γ", ylim=(0, None), xticks=[0, 0.5, 1])


def vertex(a: Sequence[float], energy: Any) -> tuple[float, float]:
    """The minimum of the cubic spline in log a; at an end of the sizes, that end."""
    energy = np.asarray(energy, float)
    known = np.isfinite(energy)
    x = np.log(np.asarray(a, float)[known])
    spline = CubicSpline(x, energy[known])
    turns = [float(at) for at in spline.derivative().roots(extrapolate=False) if np.isfinite(at)]
    at = min([*x[[0, -1]].tolist(), *turns], key=lambda place: float(spline(place)))
    return float(np.exp(at)), float(spline(at))


def _over_steps(study: Study, data: Data) -> dict[str, list]:
    return {"steps": [4, 8, 16, 32, 128]}


def _accuracy(result: xr.Dataset) -> Any:
    run = _flat(result, "steps")
    steps = run.steps.values
    return draw.plot(
        draw.curve(steps, run.w2sq_ode.values, "ODE", markers=True),
        draw.curve(steps, run.w2sq.values, "SDE", color=draw.TARGET, markers=True),
        draw.curve(steps, run.w2sq_floor.values, "data", color=draw.MUTED, dash=True),
        xlabel="steps", ylabel="W₂² from fresh data", logx=True, logy=True, xticks=list(steps),
    )  # fmt: skip


_LINE = "it needs data on a line"
PICTURES = Pictures(
    Picture("spacetime", "Density over time", "Shade: the log-density of the path at each time. Lines: particles of the ODE "
            "and of the SDE, which have this same density at every time.", _spacetime, where=_has("logrho", _LINE)),
    Picture("motion", "On the way", "Particles of the ODE, of the SDE at its noise level, and of the SDE all from one start: "
            "they stay together without noise, and spread over the data as it grows.", _motion, plays="t"),
    Picture("smoothing", "What the latent noise does", "Time from left to right, x upward, lines of the ODE. Without latent "
            "noise every pair of modes has its own ridge: there are more of them half way than at the ends.", _smoothing,
            where=_has("plain_logrho", "it compares linear and trigonometric paths on a line with those without latent noise")),
    Picture("samples", "Where they end", "Samples of both samplers, by their log-likelihood under the ODE; on a line, the "
            "exact log-density is drawn too, or, without a likelihood, the share of the samples below each place.", _samples),
    Picture("moments", "Variance over time", "Mean variance of a coordinate: the exact one, and that of the particles; dashed, "
            "where ends are coupled, that of independent ends.", _moments),
    Picture("map", "The map, rectified", "Each particle: where the ODE of this path takes it (first axis) over where that of "
            "independent ends does, to which its coupling belongs. On the dashed line nothing has changed.", _map,
            where=_has("map_before", "the ends are independent: choose the coupling rectified")),
    Picture("schedules", "Schedules", "How much of the source (α), the data (β) and the latent noise (γ) there is at each "
            "time, by schedule; the mirror and the encoder need the latent noise.", _schedules),
    Picture("images", "Samples as images", "Rows: particles; time goes to the right.", _images,
            where=lambda result: sweeping.single(result)
            or ("" if "height" in result.coordinate.attrs else "the data are no images")),
    Picture("training", "Training", "Loss of both networks, and (dashed) that of the exact fields, which none can beat.",
            _training, where=_has("loss_b", "nothing was trained: set training steps above 0")),
    Picture("gammas", "By size of the latent noise", "Time from left to right, x upward, lines of the ODE: with more and more "
            "latent noise the ridges merge.", _panels,
            where=_over("a", "logrho", _LINE), along=_over_sizes, also=("logrho", "paths")),
    Picture("kl", "Divergence by noise level", "What a misfit of velocity and score costs. Below: the exact divergence of the "
            "data from the samples; above: the bound, least at ε*; dashed: half of it, as often quoted, which fails.", _kl,
            where=_over("epsilon", "kl", "the divergence needs ends that are mixtures of Gaussians, in at most 3 dimensions"),
            along=_over_noise, also=("kl", "kl_error", "kl_ode", "kl_bound", "epsilon_star")),
    Picture("drift", "In search of the bridge", "The drift energy by the size of the latent noise: its minimum (dot) is the "
            "nearest to the bridge of Schrödinger; between Gaussians it is the bridge (dashed: the closed form).", _drift,
            where=_over("a", "drift_energy", "it needs ends that are mixtures of Gaussians", ("epsilon",)), along=_over_latent,
            also=("drift_energy", "bridge_a")),
    Picture("latents", "Latent noise, fitted", "The polynomial of least drift energy beside latents of this size a, of a "
            "linear path: between single Gaussians it is the Brownian one at the a of the bridge.", _latents,
            where=_over("latent", "drift_energy", "it needs ends that are mixtures of Gaussians", ("epsilon",)),
            along=_over_kinds,
            also=("drift_energy", "table_gamma")),
    Picture("accuracy", "By number of steps", "Distance of the samples from fresh data, until only the sampling is left.",
            _accuracy, where=_over("steps"), along=_over_steps, also=("w2sq", "w2sq_ode", "w2sq_floor")),
)  # fmt: skip
