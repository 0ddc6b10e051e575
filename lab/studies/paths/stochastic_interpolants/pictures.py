"""The pictures of stochastic interpolants."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from scipy.interpolate import CubicSpline

from lab.datasets import Data
from lab.studies import draw
from lab.studies.contract import Picture, Pictures, Study, sweeping

_DEPTH = 5.0  # nats below the highest density that are shaded
_LINES = 16  # trajectories that are drawn one by one
_EPSILONS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_SIZES = tuple(np.round(np.geomspace(0.05, 20, 13), 4).tolist())
_SHORT = {
    "linear": "linear", "trigonometric": "trig", "encoder-decoder": "enc-dec", "one-sided-linear": "one-sided",
    "one-sided-trigonometric": "1-sided trig", "sbdm": "SBDM", "mirror": "mirror",
}


# ---- one run -----------------------------------------------------------------------------------------------------


def shaded_nats(logrho: np.ndarray) -> np.ndarray:
    """Log-density (t, position) as (position, t) in nats above the floor."""
    return np.clip(logrho - np.max(logrho) + _DEPTH, 0, None).T


def _broken(t: np.ndarray, ways: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Trajectories (t, strand) as one broken line."""
    gap = np.full((1, ways.shape[1]), np.nan)
    return np.concatenate([np.tile(t[:, None], ways.shape[1]), gap]).T.ravel(), np.concatenate([ways, gap]).T.ravel()


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
            draw.curve(*_broken(t, ways[:, 1]), color=draw.TARGET),
            draw.curve(*_broken(t, ways[:, 0]), color=draw.INK),
            *draw.legend(list(zip(_samplers(result), (draw.INK, draw.TARGET), strict=True)), 0.02,
                         (low, high - 0.05 * (high - low))),
        ],
    )


def _samplers(result: xr.Dataset) -> list[str]:
    return ["ODE", f"SDE, ε = {float(sweeping.parameters(result)['epsilon']):.3g}"]


def _square(result: xr.Dataset) -> tuple[tuple[float, float], tuple[float, float]]:
    """The ends of the time, drawn as wide as the line is long, and of the line."""
    x = result.position.values
    return (0.0, float(x[-1] - x[0])), (float(x[0]), float(x[-1]))


def _in_time(result: xr.Dataset, ways: np.ndarray) -> np.ndarray:
    """Trajectories (t, strand) of a line as points (t, strand, 2) of the square."""
    (_, wide), _ = _square(result)
    return np.stack([np.broadcast_to(wide * result.t.values[:, None], ways.shape), ways], axis=2)


def _timelines(result: xr.Dataset, panels: dict[str, tuple[np.ndarray, np.ndarray]]) -> Any:
    """By title: trajectories (t, strand) over log-densities (t, position), with points at their ends."""
    drawn = {}
    for title, (ways, logrho) in panels.items():
        tails = _in_time(result, ways[:, :_LINES])
        drawn[title] = draw.Panel(tails[-1], tails, shaded_nats(logrho), color=draw.TARGET)
    return draw.particles(drawn, *_square(result), peak=_DEPTH, size=0.4)


def _smoothing(result: xr.Dataset) -> Any:
    return _timelines(result, {
        "without latent noise": (result.plain_paths.values, result.plain_logrho.values),
        "with latent noise": (result.paths.values[:, 0, :, 0], result.logrho.values),
    })


def _gammas(result: xr.Dataset) -> Any:
    runs = {f"a = {a:.3g}": result.sel(a=a) for a in result.a.values}
    return _timelines(
        result, {title: (run.paths.values[:, 0, :, 0], run.logrho.values) for title, run in runs.items()}
    )


def _motion(result: xr.Dataset, frame: int) -> Any:
    ode, sde = result.paths.values.swapaxes(0, 1)
    ways = dict(zip([*_samplers(result), "SDE from one start"], (ode, sde, result.bundle.values), strict=True))
    density, goal, peak = None, None, None
    if "position" in result.dims:
        ways = {title: _in_time(result, way[..., 0]) for title, way in ways.items()}
        limits, peak, shade = _square(result), _DEPTH, shaded_nats(result.logrho.values)
        density = np.broadcast_to(shade, (len(ode), *shade.shape))
    elif "density" in result:
        density = result.density.values
        peak = float(np.quantile(density.max(axis=(1, 2)), 0.6))
        limits = _cell_ends(result.column.values), _cell_ends(result.row.values)
    else:
        goal = result.target.values
        limits = draw.window(*result.paths.values[[0, -1]], goal)
    color = draw.SOURCE if density is None else draw.TARGET
    return draw.film(
        ways, frame, goals=goal, density=density, peak=peak, limits=limits, colors=dict.fromkeys(ways, color), tails=40,
        size=0.25, height=380, note=f"t = {float(result.t[frame]):.3f}",
    )


def _cell_ends(middles: np.ndarray) -> tuple[float, float]:
    half = (middles[1] - middles[0]) / 2
    return float(middles[0] - half), float(middles[-1] + half)


def _samples(result: xr.Dataset) -> Any:
    names = _samplers(result)
    if "position" in result.dims:
        return _likelihoods(result, names) if "log_likelihood" in result else _shares(result, names)
    position = result.paths.values[-1]
    tints: list[Any] = [draw.SOURCE, draw.SOURCE]
    note = "no likelihood: an end or the coupling is points, or there are more than 8 dimensions"
    if "log_likelihood" in result:
        level = result.log_likelihood.values
        low, high = np.nanquantile(level, [0.02, 0.98])
        ramp = draw.colours(32, ordered=True, color=draw.TARGET)
        place = np.clip(31 * (level - low) / max(high - low, 1.0), 0, 31)  # nothing is made of less than a nat
        tints = [[ramp[int(k)] for k in np.nan_to_num(row)] for row in place]
        note = f"from light, log-likelihood {low:.1f}, to dark, {high:.1f}"
    goal = None if "density" in result else result.target.values
    panels = {name: draw.Panel(position[k], goal=goal, color=tints[k]) for k, name in enumerate(names)}
    return draw.particles(panels, *draw.window(position, result.target.values), note=note)


def _likelihoods(result: xr.Dataset, names: list[str]) -> Any:
    """On a line: the likelihood of each sample beside the exact log-density."""
    level, samples = result.log_likelihood.values, result.samples.values[..., 0]
    x, exact = result.position.values, result.logrho.values[-1]
    top, low = float(exact.max()), float(np.quantile(level, 0.002)) - 0.5
    line = 0.08 * (top - low)
    rows = [(names[0], draw.SOURCE), (names[1], draw.TARGET), ("exact", draw.INK)]
    return draw.plot(
        draw.curve(x, np.where(exact > low, exact, np.nan), color=draw.INK),
        draw.points(samples[0], level[0], color=draw.SOURCE, size=0.5, alpha=0.6),
        draw.points(samples[1], level[1], color=draw.TARGET, size=0.5, alpha=0.6),
        *draw.legend(rows, x[0], (low, top + 1.2 * line)),
        xlabel="sample", ylabel="log-likelihood (nat)", ylim=(low, top + 2 * line),
    )


def _shares(result: xr.Dataset, names: list[str]) -> Any:
    """On a line, where there is no likelihood: how much of the samples is below each place."""
    clouds = [*result.samples.values[:, :, 0], result.target.values[:, 0]]
    layers = []
    for cloud, name, color in zip(clouds, [*names, "data"], (draw.SOURCE, draw.TARGET, draw.INK), strict=True):
        share = (np.arange(cloud.size) + 0.5) / cloud.size
        layers.append(draw.curve(np.sort(cloud), share, name, color=color, dash=name == "data"))
    return draw.plot(*layers, xlabel="sample", ylabel="share below", ylim=(0, 1.1))


def _moments(result: xr.Dataset) -> Any:
    t, sampled = result.t, result.variance_sampled
    layers = [draw.curve(t, result.variance, "exact", color=draw.INK)]
    if "variance_before" in result:
        layers.append(draw.curve(t, result.variance_before, "independent ends", color=draw.MUTED, dash=True))
    for name, color in (("ODE", draw.SOURCE), ("SDE", draw.TARGET)):
        layers.append(draw.points(t, sampled.sel(sampler=name), name, color=color, size=0.5))
    top = 1.2 * float(np.nanmax([float(sampled.max()), float(result.variance.max())]))  # four names may stand above each other
    return draw.plot(*layers, xlabel="time t", ylabel="variance, mean over coordinates", ylim=(0, top))


def _map(result: xr.Dataset) -> Any:
    before, after = result.map_before.values[:, 0], result.paths.values[-1, 0, :, 0]
    ends = [float(np.nanmin(before)), float(np.nanmax(before))]
    return draw.plot(
        draw.curve(ends, ends, color=draw.MUTED, dash=True),
        draw.points(before, after, color=draw.SOURCE, size=0.6, alpha=0.6),
        xlabel="end by the flow of independent ends", ylabel="end by the flow of this path",
    )


def _schedules(result: xr.Dataset) -> Any:
    kinds, chosen = result.kind.values.tolist(), sweeping.parameters(result)["schedule"]
    at = np.concatenate([np.append(result.t + 1.3 * k, np.nan) for k in range(len(kinds))])
    layers, top = [], 1.0
    for name, sign, color in (("alpha", "α", draw.SOURCE), ("beta", "β", draw.TARGET), ("gamma", "γ", draw.GOOD)):
        table = np.pad(result[f"table_{name}"].values, ((0, 0), (0, 1)), constant_values=np.nan)  # breaks the line
        top = max(top, float(np.nanmax(table)))
        layers.append(draw.curve(at, table, sign, color=color))
    for k, kind in enumerate(kinds):
        color = draw.INK if kind == chosen else draw.MUTED
        layers.append(draw.text([1.3 * k], [top * (1.08 if k % 2 else 1.18)], _SHORT[kind], color=color))
    return draw.plot(
        *layers, xlabel="time t, from 0 to 1 in each", ylabel="coefficient", ylim=(0, 1.25 * top), xticks=[(0, "0"), (1, "1")],
    )


def _images(result: xr.Dataset) -> Any:
    shape = result.coordinate.attrs
    h, w = shape["height"], shape["width"]
    frames = np.linspace(0, result.sizes["t"] - 1, 9).round().astype(int)
    pictures = {}
    for k, name in enumerate(_samplers(result)):
        kept = result.walk.values[frames, k, :5]  # (times, shown, pixels)
        tiles = np.full((5, h + 1, len(frames), w + 1), 1.0)
        tiles[:, :h, :, :w] = kept.reshape(len(frames), 5, h, w).transpose(1, 2, 0, 3)
        pictures[f"{name}: t from 0 to 1"] = np.clip((tiles.reshape(5 * (h + 1), -1) + 1) / 2, 0, 1)
    return draw.strip(pictures, height=300)


def _training(result: xr.Dataset) -> Any:
    least = {"velocity": float(result.floor_b), "noise": float(result.floor_eta)}
    losses = {"velocity": result.loss_b, "noise": result.loss_eta}
    return draw.training(losses, least=least, bins=60, ylabel="loss, mean square", logy=True)


# ---- sweeps --------------------------------------------------------------------------------------------------------


def _along(name: str) -> Callable[[xr.Dataset], str]:
    """Of a sweep whose fixed values depend on the study."""

    def where(result: xr.Dataset) -> str:
        if name not in result.dims:
            return f"it shows a sweep over {name}"
        more = [other for other in sweeping.swept(result) if other != name and result.sizes[other] > 1]
        return f"the sweep is also over {', '.join(more)}: choose one value" if more else ""

    return where


def along_alone(result: xr.Dataset, name: str) -> xr.Dataset:
    """Without the dimensions of other parameters, which have one value."""
    return result.squeeze([other for other in sweeping.swept(result) if other != name])


def _noise_levels(study: Study, data: Data) -> dict[str, list]:
    """With the misfits at hand; with some where there are none."""
    given = study.values()
    missed = any(given[name] for name in ("misfit_b", "misfit_s", "slope_b", "slope_s", "training"))
    shift_b, shift_s = (given["misfit_b"], given["misfit_s"]) if missed else (0.3, 0.6)
    return {"epsilon": list(_EPSILONS), "misfit_b": [shift_b], "misfit_s": [shift_s]}


def _kl(result: xr.Dataset) -> Any:
    run = along_alone(result, "epsilon")
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
    )


def _drift(result: xr.Dataset) -> Any:
    a, layers = result.a.values, []
    for epsilon, tint in zip(result.epsilon.values, draw.colours(result.sizes["epsilon"]), strict=True):
        energy = result.drift_energy.sel(epsilon=epsilon).values
        level = energy / np.nanmin(energy)
        at, least = vertex(a, level)
        layers.append(draw.curve(a, level, f"ε = {float(epsilon):.3g}", color=tint))
        if 1.001 * a[0] < at < a[-1] / 1.001:  # else it is beyond the sizes that were tried
            layers.append(draw.points([at], [least], color=tint, size=1.6))
        if "bridge_a" in result:
            layers.append(draw.vline(float(result.bridge_a.sel(epsilon=epsilon).values.flat[0]), color=tint, dash=True))
    return draw.plot(
        *layers, xlabel="size of latent a in γ² = a t(1−t)", ylabel="drift energy over its least", logx=True
    )


def _kinds_of_latent(study: Study, data: Data) -> dict[str, list]:
    """At the noise level at hand, as long as there is some."""
    return {
        "schedule": ["linear"], "latent": ["brownian", "quadratic", "bridge"], "epsilon": [study.values()["epsilon"] or 1.0],
    }


def _latents(result: xr.Dataset) -> Any:
    run, schedule = along_alone(result, "latent"), sweeping.parameters(result)["schedule"]
    layers = []
    for kind, tint in zip(run.latent.values, draw.colours(run.sizes["latent"]), strict=True):
        one = run.sel(latent=kind)
        label = f"{kind}, energy {float(one.drift_energy):.5g}"
        layers.append(draw.curve(run.t, one.table_gamma.sel(kind=schedule), label, color=tint))
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


def _accuracy(result: xr.Dataset) -> Any:
    return draw.over(
        result.steps, {"ODE": result.w2sq_ode, "SDE": result.w2sq}, levels={"data": float(result.w2sq_floor.mean())},
        xlabel="steps", ylabel="W₂² from fresh data", logy=True,
    )


PICTURES = Pictures(
    Picture("spacetime", "Density over time", "Shade: the log-density of the path at each time. Lines: particles of the ODE "
            "and of the SDE, which have this same density at every time.", _spacetime, needs=("logrho",)),
    Picture("motion", "On the way", "Particles of the ODE, of the SDE at its noise level, and of the SDE all from one start: "
            "they stay together without noise, and spread over the data as it grows.", _motion, plays="t"),
    Picture("smoothing", "What the latent noise does", "Time from left to right, x upward, lines of the ODE. Without latent "
            "noise every pair of modes has its own ridge: there are more of them half way than at the ends.", _smoothing,
            needs=("plain_logrho", "plain_paths")),
    Picture("samples", "Where they end", "Samples of both samplers, by their log-likelihood under the ODE; on a line, the "
            "exact log-density is drawn too, or, without a likelihood, the share of the samples below each place.", _samples),
    Picture("moments", "Variance over time", "Mean variance of a coordinate: the exact one, and that of the particles; dashed, "
            "where ends are coupled, that of independent ends.", _moments),
    Picture("map", "The map, rectified", "Each particle: where the ODE of this path takes it (first axis) over where that of "
            "independent ends does, to which its coupling belongs. On the dashed line nothing has changed.", _map,
            needs=("map_before",)),
    Picture("schedules", "Schedules", "How much of the source (α), the data (β) and the latent noise (γ) there is at each "
            "time, by schedule; the mirror and the encoder need the latent noise.", _schedules),
    Picture("images", "Samples as images", "Rows: particles; time goes to the right.", _images,
            where=lambda result: ""
            if "height" in result.coordinate.attrs
            else "the data are no images: choose digits, data = digit-samples"),
    Picture("training", "Training", "Loss of both networks, and (dashed) that of the exact fields, a lower bound.",
            _training, needs=("loss_b", "loss_eta", "floor_b", "floor_eta")),
    Picture("gammas", "By size of the latent noise", "Time from left to right, x upward, lines of the ODE: with more and more "
            "latent noise the ridges merge.", _gammas, along={"a": (0.05, 1.0, 4.0, 12.0)}, needs=("logrho", "paths")),
    Picture("kl", "Divergence by noise level", "What a misfit of velocity and score costs. Below: the exact divergence of the "
            "data from the samples; above: the bound, minimal at ε*; dashed: half of it, as often quoted, which fails.", _kl,
            where=_along("epsilon"), along=_noise_levels, needs=("kl", "kl_error", "kl_ode", "kl_bound", "epsilon_star")),
    Picture("drift", "In search of the bridge", "The drift energy by the size of the latent noise: its minimum (dot) "
            "approximates the Schrödinger bridge; between Gaussians it is the bridge (dashed: closed form).", _drift,
            along={"schedule": ("linear",), "latent": ("brownian",), "epsilon": (0.1, 0.3, 1.0), "a": _SIZES},
            needs=("drift_energy",), also=("bridge_a",)),
    Picture("latents", "Latent noise, fitted", "The polynomial of minimum drift energy beside latents of this size a, of a "
            "linear path: between single Gaussians it is the Brownian one at the a of the bridge.", _latents,
            where=_along("latent"), along=_kinds_of_latent, needs=("drift_energy", "table_gamma")),
    Picture("accuracy", "By number of steps", "Distance of the samples from fresh data, until only the sampling is left.",
            _accuracy, along={"steps": (4, 8, 16, 32, 128)}, needs=("w2sq", "w2sq_ode", "w2sq_floor")),
)
