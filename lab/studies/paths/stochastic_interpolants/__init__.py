"""Stochastic interpolants (Albergo, Boffi, Vanden-Eijnden, JMLR 2025) as a study."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab import paths
from lab.datasets import Data
from lab.numerics import Loop, Reason, first_failure, map_rows
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.numerics.principal import principal_plane
from lab.numerics.window import middles, window
from lab.paths import interpolant_costs, interpolant_learning, interpolant_samples, interpolants, metrics
from lab.paths.interpolant_learning import EARLIEST
from lab.paths.interpolant_named import named
from lab.paths.interpolants import LATENTS, MIXING, ONE_SIDED, SCHEDULES, Interpolant, are_gaussians, are_smooth
from lab.paths.laws import is_known, source_of, target_of
from lab.paths.misfits import FieldInUse, Misfit
from lab.paths.steps import SOLVERS, Diffusion, Parted, RungeKutta
from lab.studies.contract import Choice, DataSource, Limit, Paper, Real, Result, Study, Whole
from lab.studies.vocabulary import positive, size

from .claims import CLAIMS
from .pictures import PICTURES
from .presets import PRESETS
from .reported import REPORTED
from .story import STORY

_FRAMES = 41
_CELLS = 48  # a side, of the density in the plane
_STRANDS = 48
_SHOWN = 8  # particles that are kept in all dimensions at all times
_MATCHED = 400  # samples of which the squared distance is taken
_REACHED = {"brownian": 4.0, "quadratic": 4.0, "sine-squared": 1.0}  # the a where gamma touches 1
_TWO_SIDED = tuple(name for name in SCHEDULES if name not in ONE_SIDED)
_SHARP = "an end has no smooth density: choose mixtures of Gaussians, such as two-gaussians"
_NOT_GAUSSIAN = "the ends are not Gaussians on a line: choose two-gaussians"
_NO_DIVERGENCE = "the divergence needs mixtures of Gaussians, with networks in at most 3 dimensions: choose two-gaussians, say"
_INDEPENDENT = "the ends are independent: choose the coupling rectified"
_MANY = "the data have more than 3 dimensions: choose fewer"
_NO_LIKELIHOOD = "an end or the coupling is points, or there are more than 8 dimensions: choose mixtures of Gaussians"
_NO_LINE = "the data are not on a line: choose modes-1d, say"
_NOT_BESIDE = (
    "it is of linear and trigonometric paths with latent noise, between mixtures of Gaussians on a line: choose modes-1d, say"
)
_UNTRAINED = "nothing was trained: set training steps above 0"


class StochasticInterpolants(Study):
    """A path between any two laws, made smooth by latent noise, and samplers with any noise level along it."""

    slug = "stochastic-interpolants"
    title = "Stochastic interpolants"
    field = "Probability paths"
    paper = Paper(
        "Albergo, Boffi, Vanden-Eijnden",
        "Stochastic Interpolants: A Unifying Framework for Flows and Diffusions", "JMLR 26(209)", 2025,
        "https://arxiv.org/abs/2303.08797",
    )
    text = "stochastic_interpolants.md"
    kind = "samples"

    data = DataSource(
        "modes-1d", doc="a named set of samples, or yours: what the path ends in, and begins in if they say so"
    )
    schedule = Choice(
        list(SCHEDULES), label="schedule",
        doc="how source and data are mixed over time; one-sided ones begin at N(0, I), mirror begins at the data themselves",
    )
    latent = Choice(
        list(LATENTS), label="latent noise", symbol="γ kind", when={"schedule": _TWO_SIDED},
        doc="shape of gamma over time; brownian: root of a t(1-t); quadratic: a t(1-t); sine-squared: a sin^2(pi t); "
        "bump: a plateau; bridge: root of t(1-t) exp(polynomial), of least drift energy; none: no latent noise",
    )
    coupling = Choice(
        ["independent", "rectified"], label="coupling", symbol="ν",
        doc="which source goes with which data; rectified: each with where the flow of independent ends takes it",
    )
    a = positive(
        2.0, (0.05, 20), label="size of latent", symbol="a",
        when={"schedule": _TWO_SIDED, "latent": ("brownian", "quadratic", "sine-squared")},
        doc="how much latent noise there is in the middle of the path",
    )
    epsilon = Real(
        1.0, bounds=(0, None), soft=(0, 5), label="noise level", symbol="ε",
        doc="noise that the sampler adds and its drift takes away; 0 makes it the ODE",
    )
    misfit_b = Real(
        0.0, bounds=(None, None), soft=(-1, 1), label="misfit of velocity", symbol="b̂ − b",
        doc="by how much the velocity in use misses the exact one, as a learned one would: a shift along (1, ..., 1)",
    )
    misfit_s = Real(
        0.0, bounds=(None, None), soft=(-1, 1), label="misfit of score", symbol="ŝ − s",
        doc="by how much the score in use misses the exact one; it matters where the noise level is not 0",
    )
    slope_b = Real(
        0.0, bounds=(None, None), soft=(-1, 1), label="slope of the misfit of velocity", symbol="∂(b̂ − b)", group="more",
        doc="times x: what the velocity in use misses beside its shift, so that the misfit is affine",
    )
    slope_s = Real(
        0.0, bounds=(None, None), soft=(-1, 1), label="slope of the misfit of score", symbol="∂(ŝ − s)", group="more",
        doc="times x: what the score in use misses beside its shift; -1 is the score of a law that is too narrow",
    )
    steps = size(120, (1, 10_000), (4, 512), label="steps", doc="steps of the integrators from source to data")
    particles = size(
        500, (2, None), (50, 2000), label="particles", group="more", doc="particles that are moved by each sampler",
    )
    solver = Choice(
        ["rk4", "heun", "midpoint", "euler"], label="integrator of the ODE", group="more",
        doc="of orders 4, 2, 2 and 1, with as many evaluations a step",
    )
    scheme = Choice(
        ["heun", "euler", "noise-first"], label="integrator of the SDE", group="more",
        doc="heun: of weak order 2; euler: Euler-Maruyama; noise-first: the stochastic Heun of the authors' code",
    )
    profile = Choice(
        ["auto", "constant", "fading"], label="noise over time", symbol="ε(t)", group="more",
        doc="constant; fading: like the square of gamma (of alpha where there is none), with the noise level as its largest "
        "value; auto: fading where an end has no smooth density, constant else",
    )
    training = Whole(
        0, bounds=(0, 100_000), soft=(0, 4000), label="training steps", traced=False, group="more",
        doc="train networks for velocity and latent noise and sample with them; 0: the exact fields",
    )

    dims: ClassVar = {
        "t": ("time t", ""), "sampler": ("sampler", ""), "particle": ("particle", ""), "coordinate": ("coordinate", ""),
        "axis": ("axis", ""), "strand": ("trajectory", ""), "shown": ("particle shown whole", ""), "position": ("x", ""),
        "row": ("x₂", ""), "column": ("x₁", ""), "kind": ("schedule", ""), "step": ("training step", ""),
    }
    results = (
        Result("w2sq", (), "W₂² of the SDE", "squared Wasserstein distance of the samples at the noise level from as many "
               "fresh data (the first 400)", headline=True),
        Result("w2sq_ode", (), "W₂² of the ODE", "the same of the samples of the ODE", headline=True),
        Result("w2sq_floor", (), "W₂² of data", "the same of data from other data: what an exact sampler has", headline=True),
        Result("kl", (), "KL of the SDE", "divergence of the exact law from that of the samplers' fields, at the noise level",
               unit="nat", headline=True, absent=_NO_DIVERGENCE),
        Result("kl_error", (), "error of KL", "of the divergence; on a line, where nothing is sampled, the error of its grid",
               unit="nat", absent=_NO_DIVERGENCE),
        Result("kl_ode", (), "KL of the ODE", "divergence of the exact law from that of the velocity alone", unit="nat",
               headline=True, absent=_NO_DIVERGENCE),
        Result("kl_ode_error", (), "error of KL", "of the divergence of the ODE", unit="nat", absent=_NO_DIVERGENCE),
        Result("kl_bound", (), "bound on KL", "half the mean square misfit of the velocity over epsilon, and half of that of "
               "the score times epsilon; infinite for the ODE", unit="nat", headline=True, absent=_NO_DIVERGENCE,
               undefined="the noise level is 0"),
        Result("kl_bound_quoted", (), "bound as quoted", "half of the bound: with the losses' half squares it is wrong",
               unit="nat", absent=_NO_DIVERGENCE),
        Result("kl_girsanov", (), "bound of Girsanov", "mean square misfit of the forward drift over 4 epsilon: sharper",
               unit="nat", absent=_NO_DIVERGENCE),
        Result("epsilon_star", (), "best ε", "the noise level of the least bound: root of the ratio of both excesses",
               headline=True, absent=_NO_DIVERGENCE, undefined="the score is exact, so the bound has no minimum"),
        Result("excess_b", (), "excess of velocity", "half the mean square misfit of the velocity"),
        Result("excess_s", (), "excess of score", "half the mean square misfit of the score"),
        Result("drift_energy", (), "drift energy", "integral of E|b + ε s|²: the bridge of Schrödinger has the least",
               headline=True, absent=_SHARP),
        Result("path_energy", (), "path energy", "integral of E|b|²", absent=_SHARP),
        Result("score_energy", (), "score energy", "integral of E|s|²", absent=_SHARP),
        Result("bridge_a", (), "a of the bridge", "the size of a Brownian latent with which a linear path between two "
               "Gaussians on a line is the bridge of Schrödinger", absent=_NOT_GAUSSIAN),
        Result("map_gap", (), "change of the map", "root mean square distance of where the ODE takes a particle from where the "
               "flow of independent ends takes it", headline=True, absent=_INDEPENDENT),
        Result("map_before", ("particle", "axis"), "position", "where the flow of independent ends takes the particles",
               absent=_INDEPENDENT),
        Result("variance_before", ("t",), "variance", "of the path of independent ends; exact", absent=_INDEPENDENT),
        Result("transport_residual", (), "transport equation", "largest relative residual at 320 places", absent=_MANY),
        Result("identity_residual", (), "identity of means", "largest |α η₀ + β η₁ + γ η_z − x| there", absent=_MANY),
        Result("nfe", (), "evaluations", "of the velocity for a trajectory of the ODE", headline=True),
        Result("converged", (), "finite", "whether all numbers are finite and a training came to its end"),
        Result("samples", ("sampler", "particle", "coordinate"), "sample", "where the particles end"),
        Result("paths", ("t", "sampler", "particle", "axis"), "position", "of the particles over time, on the first two axes"),
        Result("bundle", ("t", "strand", "axis"), "position", "of trajectories of the SDE from one start"),
        Result("walk", ("t", "sampler", "shown", "coordinate"), "value", "a few particles in all dimensions",
               absent="the data have at most 2 dimensions, which paths shows: choose digit-samples, say"),
        Result("target", ("particle", "axis"), "data", "fresh data on the same axes"),
        Result("log_likelihood", ("sampler", "particle"), "log-likelihood", "of the samples under the ODE, by the integral of "
               "its divergence", unit="nat", absent=_NO_LIKELIHOOD),
        Result("log_target", ("sampler", "particle"), "exact log-density", "of the samples", unit="nat", absent=_NO_LIKELIHOOD),
        Result("logrho", ("t", "position"), "log-density", "of the path, on a line", unit="nat", absent=_NO_LINE),
        Result("modes", ("t",), "modes", "local maxima of the density of the path, on a line", absent=_NO_LINE),
        Result("plain_logrho", ("t", "position"), "log-density", "of the path without latent noise", unit="nat",
               absent=_NOT_BESIDE),
        Result("plain_paths", ("t", "strand"), "position", "of the ODE without latent noise", absent=_NOT_BESIDE),
        Result("density", ("t", "row", "column"), "density", "of the path, in the plane",
               absent="the data are not in the plane: choose three-gaussians, say"),
        Result("variance", ("t",), "variance", "of the path, mean over coordinates; exact"),
        Result("variance_sampled", ("t", "sampler"), "variance", "of the particles"),
        Result("table_alpha", ("kind", "t"), "α", "coefficient of the source, of each schedule with this latent"),
        Result("table_beta", ("kind", "t"), "β", "coefficient of the data"),
        Result("table_gamma", ("kind", "t"), "γ", "coefficient of the latent noise"),
        Result("loss_b", ("step",), "loss of velocity", "mean square error of the network for the velocity", absent=_UNTRAINED),
        Result("loss_eta", ("step",), "loss of noise", "of the network for the noise", absent=_UNTRAINED),
        Result("floor_b", (), "least loss of velocity", "that of the exact velocity on 64 of these batches", absent=_UNTRAINED),
        Result("floor_eta", (), "least loss of noise", "that of the exact noise", absent=_UNTRAINED),
    )
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> dict[str, Any]:
        """The arrays of the data, two axes to look along, and where to look."""
        x = np.asarray(data.arrays["x"], float)
        d = x.shape[1]
        kept = {name: v for name, v in data.arrays.items() if name not in ("x_2d", "classes")}
        made: dict[str, Any] = {name: placed(np.asarray(v, jnp.result_type(float))) for name, v in kept.items()}
        ends = x, np.asarray(data.arrays.get("x0", np.random.default_rng(0).normal(size=(1000, d))))
        if d == 1:
            (low, high), _ = window(*(np.repeat(end, 2, axis=1) for end in ends), air=0.12)
            made["position"] = placed(np.linspace(low, high, 161))
        elif d == 2:
            (left, right), (bottom, top) = window(*ends, air=0.25)
            # cells, by their middles
            column, row = middles(left, right, _CELLS), middles(bottom, top, _CELLS)
            made |= {"column": placed(column), "row": placed(row)}
        else:
            made["look"] = jnp.asarray(principal_plane(x[:4000]).axes, jnp.result_type(float))
        return made

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Times, names, and the places of the densities."""
        image = data.axes.get("image")
        shape = {"height": int(image[0]), "width": int(np.prod(image[1:]))} if image else {}
        places = {name: np.asarray(inputs[name]) for name in ("position", "row", "column") if name in inputs}
        return places | {
            "t": np.linspace(0, 1, _FRAMES), "sampler": ["ODE", "SDE"], "kind": list(SCHEDULES),
            "coordinate": ("coordinate", np.arange(inputs["x"].shape[1]), shape),
        }

    def limits(self, data: Data) -> Mapping[str, Limit]:
        """Gamma stays below 1 in the trigonometric schedule, and paths fit into memory."""
        most = int(5e7 / (self.steps * data.arrays["x"].shape[1]))
        found = {"particles": Limit(2, max(most, 2), "so that their paths fit into memory")}
        if self.schedule == "trigonometric" and self.latent in _REACHED:
            found["a"] = Limit(0, _REACHED[self.latent], "as gamma must not exceed 1 in the trigonometric schedule")
        if self.latent == "bridge" and self.schedule in _TWO_SIDED:
            found["epsilon"] = Limit(1e-3, np.inf, "as the bridge of Schroedinger needs noise")
        return found

    def check(self, data: Data) -> None:
        """Refuse combinations that have no path, or no score."""
        super().check(data)
        if self.latent == "none" and self.schedule in ("encoder-decoder", "mirror"):
            why = "nothing moves" if self.schedule == "mirror" else "its particles all meet in one point at t = 1/2"
            raise ValueError(f"latent = 'none' is not allowed: without latent noise {why} in the {self.schedule} schedule")
        given = data.arrays
        bare = "x0" in given and "source_centres" not in given and not is_known(given)
        if self.latent == "none" and self.schedule in _TWO_SIDED and (bare or self.training):
            why = "points to points have no velocity" if bare else "no network can learn the score"
            raise ValueError(f"latent = 'none' is not allowed: without latent noise {why}; choose brownian")
        if self.coupling == "rectified":
            self._check_rectified(given)
        if self.latent == "bridge" and self.schedule in _TWO_SIDED:
            self._check_bridge(given)

    def _check_rectified(self, given: Mapping[str, Any]) -> None:
        if self.schedule not in MIXING:
            why = {"mirror": "its ends are one already", "encoder-decoder": "source and data never meet in it"}
            why = why.get(self.schedule, "its source is the latent noise itself, independent of the data")
            raise ValueError(f"coupling = 'rectified' is not allowed: of the {self.schedule} schedule {why}; choose linear")
        if self.latent == "none" and not are_gaussians(source_of(given), target_of(given)):
            raise ValueError(
                "latent = 'none' is not allowed: without latent noise the pairs of a flow have no velocity, unless both ends "
                "are single Gaussians; choose brownian"
            )

    def _check_bridge(self, given: Mapping[str, Any]) -> None:
        why = (
            "the bridge is sought among linear paths" if self.schedule != "linear"
            else "the bridge is sought among paths of independent ends" if self.coupling != "independent"
            else "it needs ends that are mixtures of Gaussians" if not are_smooth(source_of(given), target_of(given))
            else ""
        )
        if why:
            raise ValueError(f"latent = 'bridge' is not allowed: {why}; choose brownian")

    @staticmethod
    def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        """Train if asked to, move the particles, then look at everything."""
        key, dtype = jax.random.key(p.seed), jnp.result_type(float)
        a, epsilon = jnp.asarray(p.a, dtype), jnp.asarray(p.epsilon, dtype)
        missed = [jnp.asarray(value, dtype) for value in (p.misfit_b, p.misfit_s, p.slope_b, p.slope_s)]
        ends = source_of(inputs), target_of(inputs)
        path, latent, size, made = named(p.schedule, p.latent, p.coupling, a, epsilon, *ends, key, loop)
        networks, output, trained = None, {}, Reason.CONVERGED
        if p.training:
            path = path.within(EARLIEST, 1 - EARLIEST)
            learned = interpolant_learning.learn(key, path, p.schedule in ONE_SIDED, p.training, loop)
            networks, trained = learned.networks, learned.reason
            names = "loss_b", "loss_eta", "floor_b", "floor_eta"
            output |= dict(zip(names, (*learned.loss, *learned.least), strict=True))
        used = FieldInUse(path.field, Misfit(*missed, networks=networks))
        fades = p.profile == "fading" or (p.profile == "auto" and not path.smooth)
        noise = interpolant_costs.NoiseLevel(path, epsilon, fades, p.schedule in ONE_SIDED)
        run, moved, clouds = _samplers(inputs, path, used, noise, key, p, loop)
        distances, compared = map_rows(loop, metrics.cloud_distance, clouds)
        output |= moved | dict(zip(("w2sq", "w2sq_ode", "w2sq_floor"), distances, strict=True))
        found = interpolant_costs.measure(path, used, noise, key, loop)
        output |= {name: value for name, value in found.costs._asdict().items() if value is not None}
        output |= _described(path, latent, size, key)
        seen, looked = _density(inputs, path, p, key, loop)
        output |= seen
        if interpolant_samples.has_likelihoods(path):
            output |= interpolant_samples.likelihoods(path, used, moved["samples"], p.steps, p.solver)._asdict()
        reason = first_failure(trained, made, run.reason, compared, found.energies, found.divergences, looked)
        return output | {"reason": reason}

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """What a law that is not that of the data comes from."""
        if not bool(np.isfinite(result.samples).all()):
            return "The particles left all bounds: take more steps, a smaller ε, or let the noise fade (under more)."
        floor = float(result.w2sq_floor)
        far = {name: float(result[key]) for name, key in (("ODE", "w2sq_ode"), ("SDE", "w2sq")) if result[key] > 8 * floor}
        if not far or floor <= 0:
            return ""
        worse = max(far, key=lambda name: far[name])
        missed = float(result.excess_b) + float(result.excess_s) > 0
        what = "the fields miss, and the samples with them" if missed else "its steps are too long: take more of them"
        return f"The samples of the {worse} are {far[worse] / floor:.2g} times as far from the data as fresh data are: {what}."


def _samplers(
    inputs: Any, path: Interpolant, used: FieldInUse, noise: Any, key: Any, p: Any, loop: Loop
) -> tuple[paths.Carried, dict[str, Any], Any]:
    """Particles moved by the SDE and by the ODE, what is seen of them, and clouds to compare."""
    solver = RungeKutta(SOLVERS[p.solver])
    both = Parted((Diffusion(p.scheme), solver), (p.particles + _STRANDS,))  # the strands are of the SDE
    starts = interpolant_samples.starts(path, noise, key, p.steps, p.particles, _STRANDS)
    run = paths.carry(loop, used, starts.x, starts.times, solver=both, epsilon=starts.level, key=starts.key)
    return run, *_moved(inputs, path, run._replace(state=None), key, p.particles, solver.evaluations)


@jit
def _moved(inputs: Any, path: Interpolant, run: paths.Carried, key: Any, n: int, asked: int) -> tuple[dict[str, Any], Any]:
    """The ways of the particles, and clouds (3, 2, n, d): ends of the SDE, of the ODE and data, beside fresh data."""
    x, frames = run.x, paths.between(run.t, run.x, jnp.linspace(0.0, 1.0, _FRAMES))
    sde, strands, ode = frames[:, :n], frames[:, n:-n], frames[:, -n:]
    whole, ends = jnp.stack([ode, sde], axis=1), jnp.stack([x[-1, -n:], x[-1, :n]])
    keys = jax.random.split(jax.random.fold_in(key, 1))
    target, fresh = path.target.sample(keys[0], n), path.target.sample(keys[1], n)[:_MATCHED]
    output = {name: _on_axes(inputs, seen) for name, seen in (("paths", whole), ("bundle", strands), ("target", target))}
    output |= {"nfe": run.steps * asked, "samples": ends, "variance_sampled": whole.var(axis=2).mean(axis=2)}
    if path.joint is not None:  # of the same particles
        before = path.draw(jax.random.split(key, 3)[0], n)[1]
        output["map_before"] = _on_axes(inputs, before)
        output["map_gap"] = jnp.sqrt(((ends[0] - before) ** 2).sum(axis=1).mean())
    clouds = jnp.stack([jnp.stack([z[:_MATCHED], fresh]) for z in (ends[1], ends[0], target)])
    return output | ({"walk": whole[:, :, :_SHOWN]} if x.shape[2] > 2 else {}), clouds


_modes = jit(interpolants.count_modes)


@jit
def _described(path: Interpolant, latent: str, size: Any, key: Any) -> dict[str, Any]:
    """The path itself: its coefficients and variance, and whether its field solves its equations."""
    frames = jnp.linspace(0.0, 1.0, _FRAMES)
    table = interpolants.table(latent, size, frames)
    output = {"variance": path.variance(frames), **{f"table_{of}": getattr(table, of) for of in ("alpha", "beta", "gamma")}}
    if path.joint is not None:
        output["variance_before"] = path.uncoupled().variance(frames)
    if path.dimension <= 3:
        output["transport_residual"], output["identity_residual"] = interpolants.residuals(path, key)
    return output


def _density(inputs: Any, path: Interpolant, p: Any, key: Any, loop: Loop) -> tuple[dict[str, Any], Any]:
    """The density of the path over time where it can be seen, and the path without latent noise; and why that ended."""
    if path.dimension > 2:
        return {}, Reason.CONVERGED
    frames, places = placed(np.linspace(0.0, 1.0, _FRAMES)), _places(inputs)
    logrho, reason = map_rows(loop, interpolants.LogDensity(path, places), frames)
    if isinstance(reason, int) and reason == Reason.STOPPED:
        return {}, reason  # half of it is no picture
    if path.dimension == 2:
        return {"density": jnp.exp(logrho).reshape(_FRAMES, inputs["row"].size, inputs["column"].size)}, reason
    output = {"logrho": logrho, "modes": _modes(logrho)}
    if path.smooth and p.schedule in MIXING and p.latent != "none":
        plain = interpolants.interpolant(p.schedule, "none", 1.0, path.source, path.target, path.joint)
        seen = interpolant_samples.flow(plain, places, key, _FRAMES, _STRANDS)
        output |= {"plain_logrho": seen.log_density, "plain_paths": seen.x[..., 0]}
    return output, reason


def _places(inputs: Any) -> Any:
    """(places, d) where the density is looked at: of the plane row by row."""
    if "position" in inputs:
        return inputs["position"][:, None]
    row, column = jnp.meshgrid(inputs["row"], inputs["column"], indexing="ij")
    return jnp.stack([column.ravel(), row.ravel()], axis=1)


def _on_axes(inputs: Any, x: Any) -> Any:
    """On the axes that one looks along."""
    return x @ inputs["look"] if "look" in inputs else x
