"""Stochastic interpolants (Albergo, Boffi, Vanden-Eijnden, JMLR 2025) as a study."""

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab import paths
from lab.datasets import Data
from lab.numerics import Loop, Reason
from lab.paths import bridge, training
from lab.paths.network import Perceptron
from lab.paths.sampling import SOLVERS, graded
from lab.studies.contract import Choice, DataSource, Limit, Paper, Real, Result, Study, Whole
from lab.studies.paths import path_parts
from lab.studies.paths.path_parts import is_known, source_of, target_of, window

from . import costs, fields, moving
from . import data as _sets  # noqa: F401  registers them
from .claims import CLAIMS
from .costs import Case, fields_of, way_of
from .fields import EARLIEST, LATENTS, MIXING, ONE_SIDED, SCHEDULES, Way
from .pictures import PICTURES
from .presets import PRESETS
from .text import ABOUT, MATHEMATICS

_FRAMES = 41
_STRANDS = 48
_SHOWN = 8  # particles that are kept in all dimensions at all times
_MATCHED = 400  # samples of which the squared distance is taken
_REACHED = {"brownian": 4.0, "quadratic": 4.0, "sine-squared": 1.0}  # the a where gamma touches 1
_TWO_SIDED = tuple(name for name in SCHEDULES if name not in ONE_SIDED)


class StochasticInterpolants(Study):
    """A path between any two laws, made smooth by latent noise, and samplers with any noise level along it."""

    slug = "stochastic-interpolants"
    title = "Stochastic interpolants"
    field = "Probability paths"
    paper = Paper(
        "Albergo, Boffi, Vanden-Eijnden",
        "Stochastic Interpolants: A Unifying Framework for Flows and Diffusions",
        "JMLR 26(209)",
        2025,
        "https://arxiv.org/abs/2303.08797",
    )
    about = ABOUT
    mathematics = MATHEMATICS
    kind = "samples"

    data = DataSource(
        "modes-1d", doc="a named set of samples, or yours: what the path ends in, and begins in if they say so"
    )
    schedule = Choice(
        list(SCHEDULES), label="schedule",
        doc="how source and data are mixed over time; one-sided ones begin at N(0, I), mirror begins at the data themselves",
    )  # fmt: skip
    latent = Choice(
        list(LATENTS), label="latent noise", symbol="γ kind", when={"schedule": _TWO_SIDED},
        doc="shape of gamma over time; brownian: root of a t(1-t); quadratic: a t(1-t); sine-squared: a sin^2(pi t); "
        "bump: a plateau; bridge: root of t(1-t) exp(polynomial), of least drift energy; none: no latent noise",
    )  # fmt: skip
    coupling = Choice(
        ["independent", "rectified"], label="coupling", symbol="ν",
        doc="which source goes with which data; rectified: each with where the flow of independent ends takes it",
    )  # fmt: skip
    a = Real(
        2.0, bounds=(0, None), inclusive_bounds=(False, True), soft=(0.05, 20), scale="log", label="size of latent",
        symbol="a", when={"schedule": _TWO_SIDED, "latent": ("brownian", "quadratic", "sine-squared")},
        doc="how much latent noise there is in the middle of the path",
    )  # fmt: skip
    epsilon = Real(
        1.0, bounds=(0, None), soft=(0, 5), label="noise level", symbol="ε",
        doc="how much noise the sampler adds and its drift takes away again; 0 makes it the ODE",
    )  # fmt: skip
    misfit_b = Real(
        0.0, bounds=(None, None), soft=(-1, 1), label="misfit of velocity", symbol="b̂ − b",
        doc="by how much the velocity in use misses the exact one, as a learned one would: a shift along (1, ..., 1)",
    )  # fmt: skip
    misfit_s = Real(
        0.0, bounds=(None, None), soft=(-1, 1), label="misfit of score", symbol="ŝ − s",
        doc="by how much the score in use misses the exact one; it matters where the noise level is not 0",
    )  # fmt: skip
    slope_b = Real(
        0.0, bounds=(None, None), soft=(-1, 1), label="slope of the misfit of velocity", symbol="∂(b̂ − b)", group="more",
        doc="times x: what the velocity in use misses beside its shift, so that the misfit is affine",
    )  # fmt: skip
    slope_s = Real(
        0.0, bounds=(None, None), soft=(-1, 1), label="slope of the misfit of score", symbol="∂(ŝ − s)", group="more",
        doc="times x: what the score in use misses beside its shift; -1 is the score of a law that is too narrow",
    )  # fmt: skip
    steps = Whole(
        120, bounds=(1, 10_000), soft=(4, 512), scale="log", label="steps", traced=False,
        doc="steps of the integrators from source to data",
    )  # fmt: skip
    particles = Whole(
        500, bounds=(2, None), soft=(50, 2000), scale="log", label="particles", traced=False, group="more",
        doc="particles that are moved by each sampler",
    )  # fmt: skip
    solver = Choice(
        ["rk4", "heun", "midpoint", "euler"], label="integrator of the ODE", group="more",
        doc="of orders 4, 2, 2 and 1, with as many evaluations a step",
    )  # fmt: skip
    scheme = Choice(
        ["heun", "euler", "noise-first"], label="integrator of the SDE", group="more",
        doc="heun: of weak order 2; euler: Euler-Maruyama; noise-first: the stochastic Heun of the authors' code",
    )  # fmt: skip
    profile = Choice(
        ["auto", "constant", "fading"], label="noise over time", symbol="ε(t)", group="more",
        doc="constant; fading: like the square of gamma (of alpha where there is none), with the noise level as its largest "
        "value; auto: fading where an end has no smooth density, constant else",
    )  # fmt: skip
    training = Whole(
        0, bounds=(0, 100_000), soft=(0, 4000), label="training steps", traced=False, group="more",
        doc="train networks for velocity and latent noise and sample with them; 0: the exact fields",
    )  # fmt: skip

    dims: ClassVar = {
        "t": ("time t", ""),
        "sampler": ("sampler", ""),
        "particle": ("particle", ""),
        "coordinate": ("coordinate", ""),
        "axis": ("axis", ""),
        "strand": ("trajectory", ""),
        "shown": ("particle shown whole", ""),
        "position": ("x", ""),
        "row": ("x₂", ""),
        "column": ("x₁", ""),
        "kind": ("schedule", ""),
        "step": ("training step", ""),
    }
    results = (
        Result("w2sq", (), "W₂² of the SDE", "squared Wasserstein distance of the samples at the noise level from as many "
               "fresh data (the first 400)", headline=True),
        Result("w2sq_ode", (), "W₂² of the ODE", "the same of the samples of the ODE", headline=True),
        Result("w2sq_floor", (), "W₂² of data", "the same of data from other data: what an exact sampler has", headline=True),
        Result("kl", (), "KL of the SDE", "divergence of the exact law from that of the samplers' fields, at the noise level",
               unit="nat", headline=True, optional=True),
        Result("kl_error", (), "error of KL", "of the divergence; on a line, where nothing is sampled, the error of its grid",
               unit="nat", optional=True),
        Result("kl_ode", (), "KL of the ODE", "divergence of the exact law from that of the velocity alone", unit="nat",
               headline=True, optional=True),
        Result("kl_ode_error", (), "error of KL", "of the divergence of the ODE", unit="nat", optional=True),
        Result("kl_bound", (), "bound on KL", "half the mean square misfit of the velocity over epsilon, and half of that of "
               "the score times epsilon; infinite for the ODE", unit="nat", headline=True, optional=True),
        Result("kl_bound_quoted", (), "bound as quoted", "half of the bound: with the losses' half squares it is wrong",
               unit="nat", optional=True),
        Result("kl_girsanov", (), "bound of Girsanov", "mean square misfit of the forward drift over 4 epsilon: sharper",
               unit="nat", optional=True),
        Result("epsilon_star", (), "best ε", "the noise level of the least bound: root of the ratio of both excesses",
               headline=True, optional=True),
        Result("excess_b", (), "excess of velocity", "half the mean square misfit of the velocity"),
        Result("excess_s", (), "excess of score", "half the mean square misfit of the score"),
        Result("drift_energy", (), "drift energy", "integral of E|b + ε s|²: the bridge of Schrödinger has the least",
               headline=True, optional=True),
        Result("path_energy", (), "path energy", "integral of E|b|²", optional=True),
        Result("score_energy", (), "score energy", "integral of E|s|²", optional=True),
        Result("bridge_a", (), "a of the bridge", "the size of a Brownian latent with which a linear path between two "
               "Gaussians on a line is the bridge of Schrödinger", optional=True),
        Result("map_gap", (), "change of the map", "root mean square distance of where the ODE takes a particle from where the "
               "flow of independent ends takes it", headline=True, optional=True),
        Result("map_before", ("particle", "axis"), "position", "where the flow of independent ends takes the particles",
               optional=True),
        Result("variance_before", ("t",), "variance", "of the path of independent ends; exact", optional=True),
        Result("transport_residual", (), "transport equation", "largest relative residual at 320 places", optional=True),
        Result("identity_residual", (), "identity of means", "largest |α η₀ + β η₁ + γ η_z − x| there", optional=True),
        Result("nfe", (), "evaluations", "of the velocity for a trajectory of the ODE", headline=True),
        Result("converged", (), "finite", "whether all numbers are finite and a training came to its end",
               judge=lambda value, result: "good" if value else "warn"),
        Result("samples", ("sampler", "particle", "coordinate"), "sample", "where the particles end"),
        Result("paths", ("t", "sampler", "particle", "axis"), "position", "of the particles over time, on the first two axes"),
        Result("bundle", ("t", "strand", "axis"), "position", "of trajectories of the SDE from one start"),
        Result("walk", ("t", "sampler", "shown", "coordinate"), "value", "a few particles in all dimensions", optional=True),
        Result("target", ("particle", "axis"), "data", "fresh data on the same axes"),
        Result("log_likelihood", ("sampler", "particle"), "log-likelihood", "of the samples under the ODE, by the integral of "
               "its divergence", unit="nat", optional=True),
        Result("log_target", ("sampler", "particle"), "exact log-density", "of the samples", unit="nat", optional=True),
        Result("logrho", ("t", "position"), "log-density", "of the path, on a line", unit="nat", optional=True),
        Result("modes", ("t",), "modes", "local maxima of the density of the path, on a line", optional=True),
        Result("plain_logrho", ("t", "position"), "log-density", "of the path without latent noise", unit="nat", optional=True),
        Result("plain_paths", ("t", "strand"), "position", "of the ODE without latent noise", optional=True),
        Result("density", ("t", "row", "column"), "density", "of the path, in the plane", optional=True),
        Result("variance", ("t",), "variance", "of the path, mean over coordinates; exact"),
        Result("variance_sampled", ("t", "sampler"), "variance", "of the particles"),
        Result("table_alpha", ("kind", "t"), "α", "coefficient of the source, of each schedule with this latent"),
        Result("table_beta", ("kind", "t"), "β", "coefficient of the data"),
        Result("table_gamma", ("kind", "t"), "γ", "coefficient of the latent noise"),
        Result("loss_b", ("step",), "loss of velocity", "mean square error of the network for the velocity", optional=True),
        Result("loss_eta", ("step",), "loss of noise", "of the network for the noise", optional=True),
        Result("floor_b", (), "least loss of velocity", "that of the exact velocity on 64 of these batches", optional=True),
        Result("floor_eta", (), "least loss of noise", "that of the exact noise", optional=True),
    )  # fmt: skip
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS

    @classmethod
    def prepare(cls, data: Data) -> dict[str, Any]:
        """The arrays of the data, two axes to look along, and where to look."""
        x = np.asarray(data.arrays["x"], float)
        d = x.shape[1]
        kept = {name: v for name, v in data.arrays.items() if name not in ("x_2d", "classes")}
        made: dict[str, Any] = {name: jnp.asarray(v, jnp.zeros(()).dtype) for name, v in kept.items()}
        ends = x, np.asarray(data.arrays.get("x0", np.random.default_rng(0).normal(size=(1000, d))))
        if d == 1:
            (low, high), _ = window(*(np.repeat(end, 2, axis=1) for end in ends), air=0.12)
            made["position"] = jnp.linspace(low, high, 161)
        elif d == 2:
            (left, right), (bottom, top) = window(*ends, air=0.25)
            # cells, by their middles
            made |= {"column": _middles(left, right), "row": _middles(bottom, top)}
        else:
            vectors = np.linalg.svd(x[:4000] - x[:4000].mean(axis=0), full_matrices=False)[2][:2]
            vectors *= np.sign(vectors[[0, 1], np.abs(vectors).argmax(axis=1)])[:, None]
            made["look"] = jnp.asarray(vectors.T)
        return made

    @classmethod
    def coords(cls, data: Data, inputs: Any) -> Mapping[str, Any]:
        """Times, names, and the places of the densities."""
        image = data.axes.get("image")
        shape = {"height": int(image[0]), "width": int(np.prod(image[1:]))} if image else {}
        places = {name: np.asarray(inputs[name]) for name in ("position", "row", "column") if name in inputs}
        return places | {
            "t": np.linspace(0, 1, _FRAMES),
            "sampler": ["ODE", "SDE"],
            "kind": list(SCHEDULES),
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
            why = (
                "its particles all meet in one point at t = 1/2"
                if self.schedule == "encoder-decoder"
                else "nothing moves"
            )
            raise ValueError(
                f"latent = 'none' is not allowed: without latent noise {why} in the {self.schedule} schedule"
            )
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
            raise ValueError(
                f"coupling = 'rectified' is not allowed: of the {self.schedule} schedule {why}; choose linear"
            )
        if self.latent == "none" and not fields.are_gaussians(source_of(given), target_of(given)):
            raise ValueError(
                "latent = 'none' is not allowed: without latent noise the pairs of a flow have no velocity, unless both ends "
                "are single Gaussians; choose brownian"
            )

    def _check_bridge(self, given: Mapping[str, Any]) -> None:
        why = (
            "the bridge is sought among linear paths" if self.schedule != "linear"
            else "the bridge is sought among paths of independent ends" if self.coupling != "independent"
            else "it needs ends that are mixtures of Gaussians" if not fields.are_smooth(source_of(given), target_of(given))
            else ""
        )  # fmt: skip
        if why:
            raise ValueError(f"latent = 'bridge' is not allowed: {why}; choose brownian")

    @staticmethod
    def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        """Train if asked to, move the particles, then look at everything."""
        unseen = p.latent == "bridge" and p.schedule in ONE_SIDED  # which have no latent, and nothing is fitted to
        case = Case(p.schedule, "none" if unseen else p.latent, p.profile, p.training > 0)
        key = jax.random.key(p.seed)
        values = {name: jnp.asarray(getattr(p, name), jnp.zeros(()).dtype) for name in _TRACED}
        networks, output, reason, found = None, {}, Reason.CONVERGED, Reason.CONVERGED
        if case.latent == "bridge":
            values["a"], found = _fitted(inputs, values["epsilon"], key, loop)
        if p.coupling == "rectified":
            inputs, found = _rectified(inputs, values, key, case, loop)
        if p.training:
            networks, output, reason = _train(inputs, values["a"], case, key, p.training, loop)
        given = inputs, values, networks, key
        mover = _Mover(p.steps, p.solver, p.scheme, p.particles)
        run = loop(moving.STEPS, _walk(*given, case, mover), max_iterations=p.steps)
        moved, clouds = _moved(inputs, values, run.state, key, case, mover)
        distances, compared = path_parts.each(loop, path_parts.Distance(), clouds)
        output |= moved | dict(zip(("w2sq", "w2sq_ode", "w2sq_floor"), distances, strict=True))
        energies, weighed = path_parts.each(
            loop, costs.Energies(*given[:3], case), costs.nodes(inputs, values, key, case)
        )
        rolled, parted = None, Reason.CONVERGED
        if costs.is_rolled(inputs, case):
            rolled, parted = path_parts.each(loop, costs.Divergences(*given[:3], case), costs.blocks(key))
        density, looked = None, Reason.CONVERGED
        if "position" in inputs or "column" in inputs:
            density, looked = path_parts.each(loop, _LogDensity(inputs, values, case), jnp.linspace(0.0, 1.0, _FRAMES))
            if isinstance(looked, int) and looked == Reason.STOPPED:
                density = None  # half of it is no picture
        output |= costs.summary(*given[:3], energies, rolled, case) | _described(inputs, values, key, density, case)
        output |= _likelihoods(*given, moved["samples"], case, p.steps, p.solver)
        for later in (found, run.reason, compared, weighed, parted, looked):  # the first that did not converge
            reason = jnp.where(jnp.asarray(reason) == Reason.CONVERGED, jnp.asarray(later, jnp.int32), reason)
        return output | {"reason": reason}

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """What a law that is not that of the data comes from."""
        if not bool(np.isfinite(result.samples).all()):
            return "The particles left all bounds: take more steps, a smaller ε, or let the noise fade (under more)."
        floor = float(result.w2sq_floor)
        far = {
            name: float(result[key]) for name, key in (("ODE", "w2sq_ode"), ("SDE", "w2sq")) if result[key] > 8 * floor
        }
        if not far or floor <= 0:
            return ""
        worse = max(far, key=lambda name: far[name])
        missed = float(result.excess_b) + float(result.excess_s) > 0
        what = "the fields miss, and the samples with them" if missed else "its steps are too long: take more of them"
        return f"The samples of the {worse} are {far[worse] / floor:.2g} times as far from the data as fresh data are: {what}."


_TRACED = ("a", "epsilon", "misfit_b", "misfit_s", "slope_b", "slope_s")


class _Mover(NamedTuple):
    """How particles are moved."""

    steps: int
    solver: str
    scheme: str
    particles: int


def _middles(low: float, high: float, n: int = 48) -> Any:
    return low + (high - low) * (jnp.arange(n) + 0.5) / n


def _fitted(inputs: Any, epsilon: Any, key: Any, loop: Loop) -> tuple[Any, Any]:
    """The coefficients of the latent noise of least drift energy, which stand where its size a does, and the reason."""
    source, target = source_of(inputs), target_of(inputs)
    assert isinstance(source, paths.Mixture)
    assert isinstance(target, paths.Mixture)
    found = bridge.fit(source, target, epsilon, key=jax.random.fold_in(key, 3), loop=loop)
    return found.latent.coefficients, found.reason


def _rectified(inputs: Any, p: Any, key: Any, case: Case, loop: Loop) -> tuple[Any, Any]:
    """The inputs with the joint law of both ends of the exact flow of independent ends, and the reason."""
    run = loop(moving.STEPS, _carried(inputs, p, key, case), max_iterations=costs.FINE)
    state = run.state
    joint = fields.rectified(source_of(inputs), target_of(inputs), state.x[0], state.x[state.steps])
    return inputs | {"joint": joint}, run.reason


@partial(jax.jit, static_argnames="case")
def _carried(inputs: Any, p: Any, key: Any, case: Case) -> moving.Walk:
    """The starts of the coupling, to be moved by the ODE alone."""
    path = way_of(inputs, case._replace(learned=False), p["a"])
    start = fields.starts(path.source, path.target, jax.random.fold_in(key, 4))
    times = jnp.asarray(graded(costs.FINE, path.low, path.high))
    used = fields.Used(path.field, fields.Missed(0.0, 0.0))
    return moving.Walk(used, start, times, 0 * times, key, start.shape[0], "rk4", "euler")


def _train(inputs: Any, a: Any, case: Case, key: Any, steps: int, loop: Loop) -> tuple[Any, dict[str, Any], Any]:
    """Networks for the velocity and the noise, their losses beside those of the exact fields."""
    path = way_of(inputs, case, a)
    d = inputs["x"].shape[1]
    target = "noise" if case.schedule in ONE_SIDED else "latent"
    settings = training.Settings(2e-3, warmup=100, anneal=1.0, earliest=EARLIEST, latest=1 - EARLIEST)
    networks, output, reasons = [], {}, []
    for number, (name, wanted) in enumerate((("b", "velocity"), ("eta", target))):
        first, second = jax.random.split(jax.random.fold_in(key, 100 + number))
        model = Perceptron(first, d, 64 if d <= 2 else 256, frequencies=4, dtype=inputs["x"].dtype)
        source, data = (path.source, path.target) if path.joint is None else (path.joint, None)
        given = second, model, source, data, path.schedule
        done = training.train(*given, settings=settings, target=wanted, steps=steps, loop=loop)
        work = training.prepare(*given, settings=settings, target=wanted, steps=steps)
        networks.append(done.average)
        reasons.append(jnp.asarray(done.reason, jnp.int32))
        missing = jnp.full(steps - len(done.loss), jnp.nan)
        output[f"loss_{name}"] = jnp.concatenate([jnp.asarray(done.loss), missing])
        losses, _ = path_parts.each(loop, _Loss(work, path.field, wanted), jnp.arange(64))
        output[f"floor_{name}"] = losses.mean()
    first, second = reasons
    return tuple(networks), output, jnp.where(first == Reason.CONVERGED, second, first)


class _Loss(eqx.Module):
    """Of the exact field on a batch of the training."""

    work: training.Work
    field: paths.Exact
    wanted: str = eqx.field(static=True)

    def __call__(self, step: Any) -> Any:
        def model(t, x):  # each row has its own time
            def one(t, x):
                at = self.field(t, x[None])
                return {"velocity": at.velocity, "noise": at.x0, "latent": at.z}[self.wanted][0]

            return jax.vmap(one)(t, x)

        return training.loss(model, self.work, training.draw(self.work, step))  # type: ignore[arg-type]


@partial(jax.jit, static_argnames=("case", "mover"))
def _walk(inputs: Any, p: Any, networks: Any, key: Any, case: Case, mover: _Mover) -> moving.Walk:
    """Particles at the start: those of the ODE, the same for the SDE, and one start for all strands."""
    path, used = fields_of(inputs, p, networks, case)
    keys, times = jax.random.split(key, 3), jnp.asarray(graded(mover.steps, path.low, path.high))
    x0, x1 = path.draw(keys[0], mover.particles)
    start = paths.interpolate(path.schedule, path.low, x0, x1, jax.random.normal(keys[1], x1.shape, x1.dtype))
    whole = jnp.concatenate([start, start, jnp.broadcast_to(start[:1], (_STRANDS, start.shape[1]))])
    level = costs.noise_level(path, case, p["epsilon"], times)
    return moving.Walk(used, whole, times, level, keys[2], mover.particles, mover.solver, mover.scheme)


@partial(jax.jit, static_argnames=("case", "mover"))
def _moved(inputs: Any, p: Any, walked: Any, key: Any, case: Case, mover: _Mover) -> tuple[dict[str, Any], Any]:
    """The ways of the particles, and clouds (3, 2, n, d): ends of the SDE, of the ODE and data, beside fresh data."""
    path, n = way_of(inputs, case, p["a"]), mover.particles
    times, frames = jnp.asarray(graded(mover.steps, path.low, path.high)), jnp.linspace(0.0, 1.0, _FRAMES)
    state: moving.State = walked
    x = jnp.where((jnp.arange(times.size) <= state.steps)[:, None, None], state.x, state.x[state.steps])
    seen, end = _at(times, x, frames), x[-1]
    whole = jnp.stack([seen[:, :n], seen[:, n : 2 * n]], axis=1)
    keys = jax.random.split(jax.random.fold_in(key, 1))
    target, fresh = path.target.sample(keys[0], n), path.target.sample(keys[1], n)[:_MATCHED]
    output = {
        "nfe": state.steps * len(SOLVERS[mover.solver].nodes),
        "samples": end[: 2 * n].reshape(2, n, -1),
        "paths": _seen(inputs, whole),
        "bundle": _seen(inputs, seen[:, 2 * n :]),
        "target": _seen(inputs, target),
        "variance_sampled": whole.var(axis=2).mean(axis=2),
    }
    if path.joint is not None:  # of the same particles as in ``_walk``
        before = path.draw(jax.random.split(key, 3)[0], n)[1]
        output |= {
            "map_before": _seen(inputs, before),
            "map_gap": jnp.sqrt(((end[:n] - before) ** 2).sum(axis=1).mean()),
        }
    clouds = jnp.stack([jnp.stack([z[:_MATCHED], fresh]) for z in (end[n : 2 * n], end[:n], target)])
    return output | ({"walk": whole[:, :, :_SHOWN]} if x.shape[2] > 2 else {}), clouds


@partial(jax.jit, static_argnames=("case", "steps", "solver"))
def _likelihoods(
    inputs: Any, p: Any, networks: Any, key: Any, samples: Any, case: Case, steps: int, solver: str
) -> dict[str, Any]:
    """Of the samples, by the flow and exactly."""
    path, used = fields_of(inputs, p, networks, case)
    if (
        path.target.dimension > 8
        or not isinstance(path.source, paths.Mixture)
        or isinstance(path.target, paths.Empirical)
        or isinstance(path.joint, paths.Pairs)
    ):
        return {}
    times, ends = jnp.asarray(graded(steps, path.low, path.high)), samples.reshape(-1, samples.shape[2])
    found = paths.log_density(used, ends, path.source, grid=times, solver=solver).log_density
    exact = path.field.log_density(path.high, ends)
    return {"log_likelihood": found.reshape(2, -1), "log_target": exact.reshape(2, -1)}


@partial(jax.jit, static_argnames="case")
def _described(inputs: Any, p: Any, key: Any, logrho: Any, case: Case) -> dict[str, Any]:
    """The path itself: its coefficients, variance and density, and whether its field solves its equations."""
    path = way_of(inputs, case, p["a"])
    d, frames = path.target.dimension, jnp.linspace(0.0, 1.0, _FRAMES)

    def variance(path):
        return jax.vmap(lambda t: jnp.trace(path.moments(t)[1]) / d)(frames)

    output = {"variance": variance(path)}
    if path.joint is not None:
        output["variance_before"] = variance(path._replace(joint=None))
    table = [fields.schedule_of(name, _latent_of(name, case.latent), p["a"])(frames) for name in SCHEDULES]
    output |= {f"table_{name}": jnp.stack([getattr(c, name) for c in table]) for name in ("alpha", "beta", "gamma")}
    if logrho is not None:
        output |= _densities(inputs, path, case, frames, logrho, key)
    if d <= 3:
        output["transport_residual"], output["identity_residual"] = fields.residuals(path, key)
    return output


def _latent_of(name: str, latent: str) -> str:
    """Of the row of the table: these two have none without latent noise."""
    return "sine-squared" if latent == "none" and name in ("encoder-decoder", "mirror") else latent


class _LogDensity(eqx.Module):
    """Of the path at a time, at the places that are looked at."""

    inputs: Any
    values: Any
    case: Case = eqx.field(static=True)

    def __call__(self, t: Any) -> Any:
        path = way_of(self.inputs, self.case, self.values["a"])
        return path.field.log_density(jnp.clip(t, path.low, path.high), _places(self.inputs))


def _places(inputs: Any) -> Any:
    """(places, d): of the plane row by row."""
    if "position" in inputs:
        return inputs["position"][:, None]
    row, column = jnp.meshgrid(inputs["row"], inputs["column"], indexing="ij")
    return jnp.stack([column.ravel(), row.ravel()], axis=1)


def _densities(inputs: Any, path: Way, case: Case, frames: Any, logrho: Any, key: Any) -> dict[str, Any]:
    """The density of the path over time where it can be seen, and the path without latent noise."""
    if "column" in inputs:
        return {"density": jnp.exp(logrho).reshape(_FRAMES, inputs["row"].size, inputs["column"].size)}
    inner, at = jnp.clip(frames, path.low, path.high), _places(inputs)
    output = {"logrho": logrho, "modes": fields.modes(logrho)}
    if path.smooth and case.schedule in ("linear", "trigonometric") and case.latent != "none":
        plain = fields.way(case.schedule, "none", 1.0, path.source, path.target, path.joint)
        output["plain_logrho"] = jax.lax.map(lambda t: plain.field.log_density(t, at), inner)
        times = jnp.linspace(0.0, 1.0, 2 * (_FRAMES - 1) + 1)
        flow = paths.ode(plain.field, path.draw(key, _STRANDS)[0], grid=times)
        output["plain_paths"] = _at(times, flow.x, frames)[..., 0]
    return output


def _at(times: Any, x: Any, wanted: Any) -> Any:
    """The path at other times, linear between those it has."""
    wanted = jnp.clip(wanted, times[0], times[-1])
    k = jnp.clip(jnp.searchsorted(times, wanted, side="right") - 1, 0, times.size - 2)
    share = ((wanted - times[k]) / (times[k + 1] - times[k])).reshape(-1, *[1] * (x.ndim - 1))
    return (1 - share) * x[k] + share * x[k + 1]


def _seen(inputs: Any, x: Any) -> Any:
    """On the axes that one looks along."""
    return x @ inputs["look"] if "look" in inputs else x
