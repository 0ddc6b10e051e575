"""Weighted conditional flow matching (Calvo-Ordonez et al., 2025) as a study: exact fields, their gain and their price."""

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
from lab.numerics.jit import jit
from lab.paths import couplings, metrics, training, weighted
from lab.paths.couplings import cost_matrix
from lab.paths.network import Perceptron
from lab.studies.contract import Choice, DataSource, Limit, Mood, Paper, Real, Result, Study, Switch, Whole
from lab.studies.paths import path_parts

from . import data as _sets  # noqa: F401  registers them
from . import flow
from .claims import CLAIMS
from .pictures import PICTURES
from .presets import PRESETS
from .text import ABOUT, MATHEMATICS

INDEPENDENT, WEIGHTED, MINIBATCH, ENTROPIC = METHODS = ("I-CFM", "W-CFM", "OT-CFM", "EOT-CFM")
FRAMES = jnp.linspace(0.0, 1.0, 33)
KAPPAS = np.geomspace(0.02, 50, 25)
DEGENERATE = 0.01  # effective share of the weights, below which they stand for too few pairs
_NEAR = 1000  # particles that exact distances take, whose time grows with the cube
_SHOWN = 600  # particles whose paths are kept
_PLAN = 48  # points a side of the plans that are shown
_ATOMS = 64  # points up to which it is counted how many particles end in each
_FRESH = 4  # samples of the data to compare with
_SWEEPS = 2000  # of Sinkhorn
_MOST = 4000  # data points up to which entropic transport is solved
_BATCH = 256  # of a training
_TABLE = {1: 801, 2: 96}  # places a side, by dimension


class WeightedCFM(Study):
    """Independent pairs with Gibbs weights: a coupling nearer to optimal transport, of marginals that are no longer kept."""

    slug = "weighted-cfm"
    title = "Weighted conditional flow matching"
    field = "Probability paths"
    paper = Paper(
        "Calvo-Ordonez, Meunier, Cartea, Reisinger, Gal, Hernandez-Lobato",
        "Weighted Conditional Flow Matching",
        "arXiv",
        2025,
        "https://arxiv.org/abs/2507.22270",
    )
    about = ABOUT
    mathematics = MATHEMATICS
    kind = "samples"
    data_options = ("n", "side", "seed")

    data = DataSource("eight-gaussians", doc="a named set of samples, or yours: x, the points that noise is carried to")
    epsilon = Real(
        2.0, bounds=(0, None), inclusive_bounds=(False, True), soft=(0.1, 100), scale="log", label="epsilon", symbol="ε",
        unit="cost", doc="width of the weights exp(-cost / ε); large: independent pairs, small: only the nearest pairs count",
    )  # fmt: skip
    cost = Choice(
        ["norm", "half-squared"],
        doc="of a pair: its distance, as in the paper, or half the square of it, which takes other values of ε",
    )
    start = Choice(
        ["source", "tilted source"], label="W-CFM starts from",
        doc="source: the noise, as one uses it; tilted source: the noise as the weights have it, from which it ends where "
        "theory says",
    )  # fmt: skip
    batch = Whole(
        128, bounds=(1, 10_000), soft=(1, 1024), scale="log", label="batch of OT-CFM", symbol="B",
        doc="pairs that OT-CFM couples at a time; 1: independent ones",
    )  # fmt: skip
    n = Whole(
        500, bounds=(2, 50_000), soft=(100, 2000), scale="log", label="data points", traced=False,
        doc="how many points a named set has (those of a file are taken as they are)",
    )  # fmt: skip
    particles = Whole(
        400, bounds=(2, 200_000), soft=(100, 2000), scale="log", label="particles", traced=False,
        doc="points that are carried along and measured",
    )  # fmt: skip
    compare = Switch(
        True, label="OT-CFM and EOT-CFM",
        doc="follow these too, on a line or in the plane; entropic transport only for up to 4000 data points",
    )  # fmt: skip
    train_steps = Whole(
        0, bounds=(0, 100_000), soft=(0, 5000), label="training steps", traced=False,
        doc="steps in which a small network learns one of the fields; 0: none is trained",
    )  # fmt: skip
    learns = Choice(
        [WEIGHTED, INDEPENDENT, MINIBATCH, ENTROPIC], label="network learns", group="more",
        doc="whose pairs it is trained on, in batches of 256; OT-CFM couples B of these at a time, at most 256",
    )  # fmt: skip
    centred = Switch(
        False, label="centre the data", group="more",
        doc="move the data so that their mean is that of the source: the weights pull mass toward it",
    )  # fmt: skip
    bandwidth = Real(
        0.05, bounds=(0, None), inclusive_bounds=(False, True), soft=(0.01, 0.5), scale="log", label="bandwidth", symbol="h",
        unit="spread of the data", group="more", doc="width of the mean over pairs that stands for the field of OT-CFM",
    )  # fmt: skip
    pairs = Whole(
        2048, bounds=(16, 100_000), soft=(512, 8192), scale="log", label="pairs of OT-CFM", traced=False, group="more",
        doc="pairs that its field is a mean of, from as many batches as they fill",
    )  # fmt: skip
    steps = Whole(
        48, bounds=(8, 1000), soft=(16, 200), scale="log", label="steps", traced=False, group="more",
        doc="of Heun's method, crowded at the end",
    )  # fmt: skip
    units = Whole(
        64, bounds=(1, 1024), soft=(16, 256), scale="log", label="units of the network", traced=False, group="more",
        doc="in each of its three hidden layers",
    )  # fmt: skip
    learning_rate = Real(
        2e-3, bounds=(0, None), inclusive_bounds=(False, True), soft=(1e-4, 1e-2), scale="log", label="learning rate",
        group="more", doc="of the network's optimizer (Adam)",
    )  # fmt: skip
    side = Choice(
        ["7", "14", "28"], label="pixels of MNIST", group="more", doc="to how many pixels a side MNIST is pooled"
    )

    dims: ClassVar = {
        "t": ("time t", ""),
        "particle": ("particle", ""),
        "axis": ("coordinate", ""),
        "sample": ("data point", ""),
        "draw": ("point of the source", ""),
        "goal": ("fresh point of the data", ""),
        "end": ("end", ""),
        "kappa": ("κ", ""),
        "coupling": ("coupling", ""),
        "i": ("source, sorted", ""),
        "j": ("data, sorted", ""),
        "atom": ("data point", ""),
        "train_step": ("training step", ""),
    }
    results = (
        Result("w2sq", (), "W₂² of W-CFM", "squared distance of its samples from fresh data, exact", headline=True,
               judge=lambda value, result: "warn" if _misses(result) else "good"),
        Result("w2sq_independent", (), "W₂² of I-CFM", "the same, of independent pairs", headline=True),
        Result("w2sq_floor", (), "W₂² of the data", "of two samples of the data: the floor", headline=True),
        Result("energy_ratio", (), "energy / W₂²", "path energy of W-CFM over W₂² of source and data: below 1 no path has both "
               "as its ends", headline=True, judge=lambda value, result: _below(result)),
        Result("npe_weighted", (), "NPE of W-CFM", "normalised path energy: to be read together with its W₂²", headline=True,
               judge=lambda value, result: "warn" if _misses(result) else ""),
        Result("npe_independent", (), "NPE of I-CFM", "normalised path energy of independent pairs", headline=True),
        Result("ess", (), "effective share", "of independent pairs under the weights, (E w)² / E w²", headline=True,
               judge=lambda value, result: "warn" if value < DEGENERATE else ""),
        Result("tilt_data", (), "tilt R of the data", "relative variance of what the weights make of the data's masses",
               headline=True),
        Result("fit_w2sq", ("coupling",), "W₂² to fresh data", "squared distance of the samples from fresh data, exact"),
        Result("pe", ("coupling",), "path energy", "∫ E|velocity|² dt along the flow"),
        Result("pe_error", ("coupling",), "standard error", "of the path energy, over particles"),
        Result("npe", ("coupling",), "NPE", "|path energy - W₂²| / W₂², of source and data"),
        Result("straightness", ("coupling",), "bending S", "∫ E|(Z₁ - Z₀) - velocity|² dt: 0 where particles go straight"),
        Result("transport", ("coupling",), "E c(Z₀, Z₁)", "mean cost of where a flow takes its particles"),
        Result("pair_cost", ("coupling",), "E c(X₀, X₁)", "mean cost of the pairs that a field is a mean of"),
        Result("w2sq_laws", (), "W₂² of source and data", "mean over four samples of the data; samples exceed the laws"),
        Result("w2sq_own", (), "W₂² to the tilted data", "of W-CFM's samples from data with the masses that its weights give "
               "them"),
        Result("transport_weighted", (), "E c of the weights", "mean cost under the weighted coupling"),
        Result("kl_independent", (), "KL(π_w | μ×ν)", "of the weighted coupling from independence"),
        Result("kl_entropic", (), "KL(π_w | π_EOT)", "of the weighted coupling from entropic transport", optional=True),
        Result("dimension", (), "dimension", "of the data"),
        Result("log_z", (), "log Z", "of the mean weight, Z = E exp(-c/ε)"),
        Result("tilt_var", ("end",), "tilt R", "Var τ / (E τ)² of the source and of the data; 0: this marginal is kept"),
        Result("tilt_kappa", ("end", "kappa"), "tilt R", "the same at other ε = κ√d (half-squared cost: κ d)"),
        Result("ess_kappa", ("kappa",), "effective share", "at other ε = κ√d (half-squared cost: κ d)"),
        Result("tau", ("sample",), "τ / Z", "what the weights multiply the mass of each data point by"),
        Result("tau_source", ("draw",), "τ / Z", "what the weights multiply the mass of points of the source by"),
        Result("points", ("sample", "axis"), "position", "the data; of more than two dimensions on principal axes"),
        Result("sources", ("draw", "axis"), "position", "points of the source"),
        Result("plan", ("coupling", "i", "j"), "mass", "couplings between some points, sorted by their first coordinate"),
        Result("paths", ("t", "coupling", "particle", "axis"), "position", "the flows"),
        Result("goals", ("goal", "axis"), "position", "fresh points of the data"),
        Result("mass", ("coupling", "atom"), "mass", "share of the particles that end at each data point", optional=True),
        Result("mass_weighted", ("atom",), "mass", "of each data point under the weights", optional=True),
        Result("neighbours", (), "pairs in sight", "that the mean of OT-CFM sees at a point half way", optional=True),
        Result("iterations", (), "steps", "of the flows that were done"),
        Result("converged", (), "converged", "whether flows, potentials and training were run to their end"),
        Result("curve_loss", ("train_step",), "loss", "of the network, on the batch of each step", optional=True),
        Result("curve_ess", ("train_step",), "effective share", "of each batch under its weights", optional=True),
        Result("net", ("t", "particle", "axis"), "position", "the network's particles", optional=True),
        Result("net_w2sq", (), "W₂² of the network", "of its samples from fresh data", optional=True),
        Result("net_npe", (), "NPE of the network", "normalised path energy of its flow", optional=True),
    )  # fmt: skip
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS

    @classmethod
    def prepare(cls, data: Data) -> dict[str, Any]:
        """The points, both laws, and the plane that is looked at."""
        dtype = jnp.zeros(()).dtype
        arrays = {name: np.asarray(a, dtype if a.dtype.kind == "f" else None) for name, a in data.arrays.items()}
        x, d = arrays["x"], arrays["x"].shape[1]
        plane = np.eye(d, dtype=dtype)
        if d > 2:
            plane = np.linalg.svd(x[:4000] - x[:4000].mean(axis=0), full_matrices=False)[2][:2].T
            plane = plane * np.sign(plane[np.abs(plane).argmax(axis=0), [0, 1][: plane.shape[1]]])
        return {
            "points": jnp.asarray(x),
            "source": path_parts.source_of(arrays),
            "target": path_parts.target_of(arrays),
            "plane": jnp.asarray(plane),
            "scale": float(np.sqrt(x.var(axis=0).mean())) or 1.0,
        }

    def limits(self, data: Data) -> Mapping[str, Limit]:
        """Paths fit into memory, and a batch is not larger than all pairs."""
        most = int(4e7 / (4 * (self.steps + 2) * data.arrays["x"].shape[1]))
        return {
            "particles": Limit(2, max(most, 2), "so that their paths fit into memory"),
            "batch": Limit(1, self.pairs, "the number of pairs of OT-CFM"),
        }

    def check(self, data: Data) -> None:
        """The source must be known by its density."""
        super().check(data)
        if isinstance(path_parts.source_of({k: np.asarray(a) for k, a in data.arrays.items()}), paths.Empirical):
            raise ValueError(
                f"the source of {data.name} is known by points only, but the weighted field needs its density: leave out x0, "
                "for N(0, I), or give source_weights, source_centres and source_variances"
            )

    @staticmethod
    def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        """Draw, find the potentials of entropic transport, carry the particles of all methods along, look at everything."""
        key = jax.random.key(p.seed)
        methods = _methods(inputs, p)
        case = _Case(methods, p.cost, p.steps)
        values = {name: jnp.asarray(getattr(p, name), jnp.zeros(()).dtype) for name in ("epsilon", "bandwidth")}
        values |= {"batch": jnp.asarray(p.batch), "scale": jnp.asarray(inputs["scale"])}
        drawn = _draw(
            {name: inputs[name] for name in ("points", "source", "target")},
            values,
            key,
            _Start(p.start, p.centred, p.cost, p.particles, p.pairs),
        )
        potentials, reasons = None, []
        if p.compare and inputs["points"].shape[0] <= _MOST:
            potentials = weighted.entropic(
                drawn.sample, drawn.points, values["epsilon"], p.cost, tolerance=1e-6, max_iterations=_SWEEPS, loop=loop
            )
            reasons.append(potentials.reason)
        work, coupled = _begin(inputs["source"], values, drawn, potentials, case)
        run = loop(flow.MOVE, work, max_iterations=p.steps + 1)
        reasons.append(run.reason)
        clouds = _clouds(values, drawn, work, run.state, key, case)
        w2sq, compared = path_parts.each(loop, path_parts.Distance(), clouds)
        d = drawn.points.shape[1]
        widths = jnp.asarray(KAPPAS * (d if p.cost == "half-squared" else d**0.5))
        tilts, tilted = path_parts.each(loop, _Tilt(drawn.sample, drawn.points, p.cost), widths)
        reasons += [compared, tilted]
        output = _describe(
            inputs["plane"], values, drawn, potentials, work, coupled, run.state, (w2sq, tilts), key, case
        )
        stopped = [isinstance(each, int) and each == Reason.STOPPED for each in reasons]
        if p.train_steps and not any(stopped):
            trained = _train(inputs["source"], p, drawn, key, loop)
            output |= _describe_network(inputs["plane"], drawn, trained.average, output["w2sq_laws"], p.steps)
            output |= {"curve_loss": trained.loss, "curve_ess": trained.ess}
            reasons.append(trained.reason)
        reason = jnp.int32(Reason.CONVERGED)
        for each in reversed(reasons):  # the first that did not converge
            reason = jnp.where(jnp.asarray(each) == Reason.CONVERGED, reason, jnp.asarray(each, jnp.int32))
        return output | {"iterations": run.iterations, "reason": reason}

    @classmethod
    def coords(cls, data: Data, inputs: Any) -> Mapping[str, Any]:
        """Times of the frames, names of couplings, and kappa."""
        d = inputs["points"].shape[1]
        return {
            "t": np.asarray(FRAMES), "coupling": list(METHODS), "kappa": KAPPAS, "end": ["source", "data"],
            "axis": ["x₁", "x₂"][:d] if d <= 2 else ["first", "second"],
        }  # fmt: skip

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """What must not be overlooked: weights of too few pairs, and a low energy that is bought with missed marginals."""
        ess, floor = float(result.ess), float(result.w2sq_floor)
        if result.sizes["sample"] == 1 or not float(np.ptp(result.points.values, axis=0).max()) > 0:
            return (
                "All data are one point, so that every pair has it as its end and no coupling differs from another: give data "
                "of at least two places."
            )
        if ess < DEGENERATE:
            return (
                f"Weights degenerate: {ess:.2g} of the pairs count, so that a training would learn from few. Raise ε."
            )
        if result.sizes["goal"] < 50:
            return f"{result.sizes['goal']} particles are too few: W₂² is mostly that of chance. Take more."
        if _misses(result):
            fit, plain = float(result.w2sq), float(result.w2sq_independent)
            said = f"W-CFM misses the data: W₂² = {fit:.3g}, where independent pairs leave {plain:.3g} (floor {floor:.3g}). "
            npe, other = float(result.npe_weighted), float(result.npe_independent)
            if npe < other or _below(result):
                said += "Its low energy is a trap: it was bought with mass that went to where source and data meet. "
            return said + "Raise ε."
        if _below(result):
            return (
                "The path energy of W-CFM is below W₂² of source and data, which no path with both as its ends can be: the "
                "weights moved the marginals. Raise ε."
            )
        if "neighbours" in result and float(result.neighbours) < 2:
            return (
                f"The field of OT-CFM sees {float(result.neighbours):.1f} pairs at a time and repeats single ones: raise the "
                "bandwidth or its number of pairs."
            )
        return ""


def _misses(result: xr.Dataset) -> bool:
    """W-CFM is farther from the data than independent pairs leave it, by more than samples differ."""
    fit, plain, floor = (float(result[name]) for name in ("w2sq", "w2sq_independent", "w2sq_floor"))
    return fit > plain + max(0.5 * floor, 0.3 * plain)


def _below(result: xr.Dataset) -> Mood:
    """Whether the energy proves that a marginal is missed: below W2^2 by more than 3 standard errors."""
    energy, error = (float(result[name].sel(coupling=WEIGHTED)) for name in ("pe", "pe_error"))
    return "warn" if energy + 3 * error < float(result.w2sq_laws) else ""


class _Case(NamedTuple):
    """What the program is compiled for."""

    methods: tuple[str, ...]
    cost: str
    steps: int


class _Start(NamedTuple):
    """What the program that draws is compiled for: a smaller one."""

    start: str
    centred: bool
    cost: str
    particles: int
    pairs: int


class _Drawn(NamedTuple):
    """Points of both laws."""

    points: Any  # (m, d) the data that fields are made of
    x0: Any  # (n, d) where particles start
    tilted: Any  # (n, d) where those of W-CFM start
    sample: Any  # (draws, d) of the source, that stands for it
    fresh: Any  # (samples, near, d) of the data, to compare with
    noise: Any  # (pairs, d) for OT-CFM
    rows: Any  # (pairs,) of the points


def _methods(inputs: Any, p: Any) -> tuple[str, ...]:
    """Those that are followed."""
    m, d = inputs["points"].shape
    if not p.compare or d > 2:
        return METHODS[:2]
    return METHODS if m <= _MOST else METHODS[:3]


def _shift(inputs: Any, centred: bool) -> Any:
    """By how much the data are moved."""
    points = inputs["points"]
    if not centred:
        return jnp.zeros_like(points[0])
    source = inputs["source"]
    return points.mean(axis=0) - source.weights @ source.means


@partial(jax.jit, static_argnames="case")
def _draw(inputs: Any, p: Any, key: Any, case: _Start) -> _Drawn:
    source, n, m = inputs["source"], case.particles, inputs["points"].shape[0]
    points, near = inputs["points"] - _shift(inputs, case.centred)[None], min(n, _NEAR)
    draws = int(np.clip(2e7 // m, 100, 1000))
    keys = jax.random.split(key, 5)
    even = 8 * n if case.start == "tilted source" else n
    x0 = flow.spread(source, keys[0], even + draws)
    fresh = flow.fresh(inputs["target"], keys[1], near, _FRESH) - _shift(inputs, case.centred)[None, None]
    rows = jax.random.randint(keys[2], (case.pairs,), 0, m)
    tilted = x0[:n]
    if case.start == "tilted source":
        # sorted, as every eighth of the even sequence would be taken for all of it
        pool = x0[jnp.argsort(x0[:even, 0])]
        tau = jax.nn.logsumexp(-cost_matrix(pool, points, case.cost) / p["epsilon"], axis=1)
        first, second = jax.random.split(keys[3])
        tilted = jax.random.permutation(first, pool[flow.drawn(second, jax.nn.softmax(tau), n)])
    return _Drawn(points, x0[:n], tilted, x0[even:], fresh, source.sample(keys[4], case.pairs), rows)


@partial(jax.jit, static_argnames="case")
def _begin(source: paths.Mixture, p: Any, drawn: _Drawn, potentials: Any, case: _Case) -> tuple[flow.Work, Any]:
    """The fields of all methods, and the pairs of OT-CFM."""
    points, schedule = paths.Empirical(drawn.points), paths.Linear()
    made: dict[str, Any] = {INDEPENDENT: None, WEIGHTED: weighted.Gibbs(p["epsilon"], case.cost)}
    if ENTROPIC in case.methods:
        spread = 6 * jnp.sqrt(jnp.max(source.covariances))
        low, high = source.means.min(axis=0) - spread, source.means.max(axis=0) + spread
        made[ENTROPIC] = weighted.tabulated(potentials, low, high, _TABLE[drawn.points.shape[1]])
    fields = {name: paths.exact(schedule, source, points, tilt=tilt) for name, tilt in made.items()}
    coupled = None
    if MINIBATCH in case.methods:
        x1 = drawn.points[drawn.rows]
        order, weights = flow.by_batches(drawn.noise, x1, p["batch"])
        coupled = paths.Pairs(drawn.noise[order], x1, p["bandwidth"] * p["scale"], weights)
        fields[MINIBATCH] = paths.exact(schedule, coupled)
    start = jnp.stack([drawn.tilted if name == WEIGHTED else drawn.x0 for name in case.methods])
    return flow.Work(tuple(fields[name] for name in case.methods), start, jnp.asarray(flow.grid(case.steps))), coupled


@partial(jax.jit, static_argnames="case")
def _clouds(p: Any, drawn: _Drawn, work: flow.Work, state: flow.State, key: Any, case: _Case) -> Any:
    """Pairs of clouds to compare, (pairs, 2, n, d): all methods with two samples of the data, W-CFM with the data as its
    weights have them, samples with each other, and the source with the data."""
    ends, points, fresh = flow.whole(work, state)[-1], drawn.points, drawn.fresh
    near, count = fresh.shape[1], len(case.methods)
    found = weighted.tilt(drawn.sample, points, p["epsilon"], case.cost)
    own = points[flow.drawn(jax.random.fold_in(key, 7), found.target, near)]
    x0 = drawn.x0[:near]
    first = jnp.concatenate([ends[:, :near], ends[:, :near], fresh[1:], jnp.stack([x0] * _FRESH), ends[1:2, :near]])
    second = [fresh[0]] * count + [fresh[1]] * count + [fresh[0]] * (_FRESH - 1) + list(fresh) + [own]
    return jnp.stack([first, jnp.stack(second)], axis=1)


class _Tilt(eqx.Module):
    """Effective share and tilt R of both ends, at an epsilon."""

    sample: Any
    points: Any
    cost: str = eqx.field(static=True)

    def __call__(self, epsilon: Any) -> Any:
        return weighted.tilt(self.sample, self.points, epsilon, self.cost)[4:7]


@partial(jax.jit, static_argnames="case")
def _describe(
    plane: Any,
    p: Any,
    drawn: _Drawn,
    potentials: Any,
    work: flow.Work,
    coupled: Any,
    state: flow.State,
    found_before: tuple,
    key: Any,
    case: _Case,
) -> dict[str, Any]:
    """Everything else that is measured and drawn."""
    path, times, points = flow.whole(work, state), work.times, drawn.points
    m, d = points.shape
    ends, count, (w2sq, grid) = path[-1], len(case.methods), found_before
    found = weighted.tilt(drawn.sample, points, p["epsilon"], case.cost)
    fit, floor = w2sq[: 2 * count].reshape(2, count).mean(axis=0), w2sq[2 * count : 2 * count + _FRESH - 1].mean()
    laws = w2sq[2 * count + _FRESH - 1 : -1].mean()

    energy = jax.vmap(lambda x: metrics.path_energy(x, times), 1)(path)
    npe = metrics.normalized_path_energy(energy, laws).value
    bending = jax.vmap(lambda x: metrics.straightness(x, times).value, 1)(path)
    moved = jax.vmap(lambda x, z: couplings.cost_between(x, z, case.cost).mean())(path[0], ends)
    pair_cost = {INDEPENDENT: cost_matrix(drawn.sample, points, case.cost).mean(), WEIGHTED: found.transport}
    if coupled is not None:
        pair_cost[MINIBATCH] = coupled.weights @ couplings.cost_between(coupled.x0, coupled.x1, case.cost)

    output = {
        "w2sq": fit[1], "w2sq_independent": fit[0], "w2sq_floor": floor, "energy_ratio": energy.value[1] / laws,
        "npe_weighted": npe[1], "npe_independent": npe[0], "ess": found.ess, "tilt_data": found.target_variance,
        "w2sq_laws": laws, "w2sq_own": w2sq[-1], "transport_weighted": found.transport,
        "kl_independent": found.divergence, "log_z": found.log_z, "dimension": jnp.int32(d),
        "tilt_var": jnp.stack([found.source_variance, found.target_variance]),
        "ess_kappa": grid[0], "tilt_kappa": jnp.stack(grid[1:]), "tau": found.target, "tau_source": found.source,
        "points": points @ plane, "sources": drawn.sample @ plane,
        "goals": drawn.fresh[0, :_SHOWN] @ plane,
    }  # fmt: skip
    plans = _plans(drawn, potentials, p["epsilon"], case.cost, plane)
    if potentials is not None:
        log_pairs = -cost_matrix(drawn.sample, points, case.cost) / p["epsilon"]
        log_entropic = (potentials.potential(drawn.sample)[:, None] + potentials.g[None]) / p["epsilon"] + log_pairs
        output["kl_entropic"] = (jnp.exp(log_pairs - found.log_z) * (log_pairs - found.log_z - log_entropic)).mean()
        pair_cost[ENTROPIC] = (jnp.exp(log_entropic) * cost_matrix(drawn.sample, points, case.cost)).mean()
    nothing = jnp.full((), jnp.nan, path.dtype)
    followed = {name: k for k, name in enumerate(case.methods)}

    def rows(values):
        """One for each method, NaN of those that were not followed."""
        none = jnp.full_like(values[0], jnp.nan)
        return jnp.stack([values[followed[name]] if name in followed else none for name in METHODS])

    output |= {
        "fit_w2sq": rows(fit), "pe": rows(energy.value), "pe_error": rows(energy.error), "npe": rows(npe),
        "straightness": rows(bending), "transport": rows(moved), "plan": plans,
        "pair_cost": jnp.stack([pair_cost.get(name, nothing) for name in METHODS]),
    }  # fmt: skip
    seen = flow.between(times, path[:, :, :_SHOWN], FRAMES) @ plane
    output["paths"] = rows(seen.swapaxes(0, 1)).swapaxes(0, 1)
    if m <= _ATOMS:
        counts = jax.vmap(lambda z: metrics.modes(z, points).counts)(ends)
        output |= {"mass": rows(counts.astype(path.dtype) / ends.shape[1]), "mass_weighted": found.target / m}
    if coupled is not None:
        output["neighbours"] = flow.neighbours(coupled)
    return output


def _plans(drawn: _Drawn, potentials: Any, epsilon: Any, cost: str, plane: Any) -> Any:
    """Couplings of some points of both sides, each of total 1; of OT-CFM where these are a batch."""
    k = min(_PLAN, drawn.sample.shape[0], drawn.points.shape[0])
    rows, columns = (jnp.argsort((z[:k] @ plane)[:, 0]) for z in (drawn.sample, drawn.points))
    x, y = drawn.sample[rows], drawn.points[columns]
    logs = -cost_matrix(x, y, cost) / epsilon
    if potentials is None:
        entropic = jnp.full_like(logs, jnp.nan)
    else:
        entropic = logs + (potentials.potential(x)[:, None] + potentials.g[columns][None]) / epsilon
    tables = [jax.nn.softmax(table.ravel()).reshape(k, k) for table in (jnp.zeros_like(logs), logs, entropic)]
    tables.insert(2, jax.nn.one_hot(couplings.assignment(cost_matrix(x, y)), k, dtype=logs.dtype) / k)
    return jnp.stack(tables)


def _train(source: paths.Mixture, p: Any, drawn: _Drawn, key: Any, loop: Loop) -> training.Training:
    """Of a network, on the pairs of one of the methods."""
    made = {
        INDEPENDENT: couplings.Independent,
        WEIGHTED: lambda: couplings.Weighted(p.epsilon, p.cost),
        MINIBATCH: couplings.Assignment,
        ENTROPIC: lambda: couplings.Entropic(p.epsilon, p.cost),
    }
    size = jnp.minimum(jnp.asarray(p.batch), _BATCH) if p.learns == MINIBATCH else jnp.asarray(_BATCH)
    init, draws = jax.random.split(jax.random.fold_in(key, 1 << 21))
    x = drawn.points
    return training.train(
        draws, Perceptron(init, x.shape[1], p.units, dtype=x.dtype), source, paths.Empirical(x), None,
        made[p.learns](), training.Settings(learning_rate=p.learning_rate, batch_size=size, anneal=1.0),
        steps=p.train_steps, batch=_BATCH, loop=loop,
    )  # fmt: skip


@jit
def _describe_network(plane: Any, drawn: _Drawn, network: Any, laws: Any, steps: int) -> dict[str, Any]:
    path = paths.ode(network, drawn.x0, steps=steps, solver="heun")
    near = drawn.fresh.shape[1]
    seen = flow.between(path.t, path.x[:, :_SHOWN], FRAMES) @ plane
    return {
        "net": seen,
        "net_w2sq": metrics.squared_wasserstein(path.end[:near], drawn.fresh[0]),
        "net_npe": metrics.normalized_path_energy(metrics.path_energy(path.x, path.t), laws).value,
    }
