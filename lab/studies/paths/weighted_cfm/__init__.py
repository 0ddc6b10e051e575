"""Weighted conditional flow matching (Calvo-Ordonez et al., 2025) as a study: exact fields, their gain and their price."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab import paths
from lab.datasets import Data, Needs
from lab.numerics import Loop, Reason, first_failure, map_rows
from lab.numerics.host import placed
from lab.paths import comparison, laws, metrics
from lab.paths.comparison import ENTROPIC, INDEPENDENT, METHODS, MINIBATCH, WEIGHTED
from lab.studies.contract import Choice, DataSource, Limit, Mood, Paper, Result, Switch, Whole
from lab.studies.vocabulary import TRAINING, positive, size
from lab.studies.vocabulary.training import UNTRAINED, Trained

from .claims import CLAIMS
from .pictures import PICTURES, UNFOLLOWED
from .presets import PRESETS
from .reported import REPORTED
from .story import STORY

FRAMES = np.linspace(0.0, 1.0, 33)
KAPPAS = np.geomspace(0.02, 50, 25)
DEGENERATE = 0.01  # effective share of the weights, below which they stand for too few pairs
_TOO_MANY = "particles are counted at each of a few data points: choose data of at most 64"


class WeightedCFM(Trained):
    """Independent pairs with Gibbs weights: a coupling nearer to optimal transport, of marginals that are no longer kept."""

    slug = "weighted-cfm"
    title = "Weighted conditional flow matching"
    field = "Probability paths"
    paper = Paper(
        "Calvo-Ordonez, Meunier, Cartea, Reisinger, Gal, Hernandez-Lobato", "Weighted Conditional Flow Matching", "arXiv", 2025,
        "https://arxiv.org/abs/2507.22270",
    )
    text = "weighted_cfm.md"
    kind = "samples"
    needs = Needs("source density")
    data_options = ("n", "side", "seed")

    data = DataSource("eight-gaussians", doc="a named set of samples, or yours: x, the points that noise is carried to")
    epsilon = positive(
        2.0, (0.1, 100), label="epsilon", symbol="ε", unit="cost",
        doc="width of the weights exp(-cost / ε); large: independent pairs, small: only the nearest pairs count",
    )
    cost = Choice(
        ["norm", "half-squared"],
        doc="of a pair: its distance, as in the paper, or half the square of it, which takes other values of ε",
    )
    start = Choice(
        ["source", "tilted source"], label="W-CFM starts from",
        doc="source: the noise, as one uses it; tilted source: the noise as the weights have it, from which it ends where "
        "theory says",
    )
    batch = Whole(
        128, bounds=(1, 10_000), soft=(1, 1024), scale="log", label="batch of OT-CFM", symbol="B",
        doc="pairs that OT-CFM couples at a time; 1: independent ones",
    )
    n = size(
        500, (2, 50_000), (100, 2000), label="data points",
        doc="how many points a named set has (those of a file are taken as they are)",
    )
    particles = size(
        400, (2, 200_000), (100, 2000), label="particles", doc="points that are carried along and measured",
    )
    compare = Switch(
        True, label="OT-CFM and EOT-CFM",
        doc="follow these too, on a line or in the plane; entropic transport only for up to 4000 data points",
    )
    learns = Choice(
        [WEIGHTED, INDEPENDENT, MINIBATCH, ENTROPIC], label="network learns", group="more", when=TRAINING,
        doc="whose pairs it is trained on, in batches of 256; OT-CFM couples B of these at a time, at most 256",
    )
    centred = Switch(
        False, label="centre the data", group="more",
        doc="move the data so that their mean is that of the source: the weights pull mass toward it",
    )
    bandwidth = positive(
        0.05, (0.01, 0.5), label="bandwidth", symbol="h", unit="spread of the data", group="more",
        doc="width of the mean over pairs that stands for the field of OT-CFM",
    )
    pairs = size(
        2048, (16, 100_000), (512, 8192), label="pairs of OT-CFM", group="more",
        doc="pairs that its field is a mean of, from as many batches as they fill",
    )
    steps = size(48, (8, 1000), (16, 200), label="steps", group="more", doc="of Heun's method, crowded at the end")
    side = Choice(
        ["7", "14", "28"], label="pixels of MNIST", group="more", doc="to how many pixels a side MNIST is pooled"
    )

    dims: ClassVar = {
        "t": ("time t", ""), "particle": ("particle", ""), "axis": ("coordinate", ""), "sample": ("data point", ""),
        "draw": ("point of the source", ""), "goal": ("fresh point of the data", ""), "end": ("end", ""), "kappa": ("κ", ""),
        "coupling": ("coupling", ""), "i": ("source, sorted", ""), "j": ("data, sorted", ""), "atom": ("data point", ""),
        **Trained.dims,
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
        Result("kl_entropic", (), "KL(π_w | π_EOT)", "of the weighted coupling from entropic transport",
               absent="entropic transport was not solved: switch OT-CFM and EOT-CFM on, for at most 4000 data points"),
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
        Result("mass", ("coupling", "atom"), "mass", "share of the particles that end at each data point", absent=_TOO_MANY),
        Result("mass_weighted", ("atom",), "mass", "of each data point under the weights", absent=_TOO_MANY),
        Result("neighbours", (), "pairs in sight", "that the mean of OT-CFM sees at a point half way", absent=UNFOLLOWED),
        Result("iterations", (), "steps", "of the flows that were done"),
        Result("converged", (), "converged", "whether flows, potentials and training were run to their end"),
        Result("curve_loss", ("train_step",), "loss", "of the network, on the batch of each step", absent=UNTRAINED),
        Result("curve_ess", ("train_step",), "effective share", "of each batch under its weights", absent=UNTRAINED),
        Result("net", ("t", "particle", "axis"), "position", "the network's particles", absent=UNTRAINED),
        Result("net_w2sq", (), "W₂² of the network", "of its samples from fresh data", absent=UNTRAINED),
        Result("net_npe", (), "NPE of the network", "normalised path energy of its flow", absent=UNTRAINED),
    )
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> dict[str, Any]:
        """The points, both laws, and the plane that is looked at."""
        dtype = jnp.result_type(float)
        arrays = {name: np.asarray(a, dtype if a.dtype.kind == "f" else None) for name, a in data.arrays.items()}
        x, d = arrays["x"], arrays["x"].shape[1]
        plane = np.eye(d, dtype=dtype)
        if d > 2:
            plane = np.linalg.svd(x[:4000] - x[:4000].mean(axis=0), full_matrices=False)[2][:2].T
            plane = plane * np.sign(plane[np.abs(plane).argmax(axis=0), [0, 1][: plane.shape[1]]])
        return {
            "points": placed(x),
            "source": laws.source_of(arrays),
            "target": laws.target_of(arrays),
            "plane": placed(plane),
            "scale": float(np.sqrt(x.var(axis=0).mean())) or 1.0,
        }

    def limits(self, data: Data) -> Mapping[str, Limit]:
        """Paths fit into memory, and a batch is not larger than all pairs."""
        most = int(4e7 / (4 * (self.steps + 2) * data.arrays["x"].shape[1]))
        return {
            "particles": Limit(2, max(most, 2), "so that their paths fit into memory"),
            "batch": Limit(1, self.pairs, "the number of pairs of OT-CFM"),
        }

    @staticmethod
    def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        """Draw, find the potentials of entropic transport, carry the particles of all methods along, look at everything."""
        key, points, source = jax.random.key(p.seed), inputs["points"], inputs["source"]
        epsilon, width = (jnp.asarray(value, points.dtype) for value in (p.epsilon, p.bandwidth * inputs["scale"]))
        methods = comparison.followed(points, p.compare)
        drawn = comparison.draw(
            key, source, inputs["target"], points, epsilon, p.cost, p.particles, p.pairs,
            tilted=p.start == "tilted source", centred=p.centred,
        )
        entropic, reasons, frames = None, [], placed(FRAMES)
        if p.compare and points.shape[0] <= comparison.MOST:
            entropic = comparison.potentials(loop, drawn, epsilon, p.cost)
            reasons.append(entropic.reason)
        fields = comparison.fields(methods, source, drawn, epsilon, p.cost, jnp.asarray(p.batch), width, entropic)
        start, grid = comparison.starts(methods, drawn), comparison.grid(p.steps)
        path = paths.carry(loop, fields.each, start, grid, solver="heun", euler_last=True)
        clouds = comparison.clouds(key, drawn, path.end, epsilon, p.cost)
        w2sq, compared = map_rows(loop, metrics.cloud_distance, clouds)
        d = points.shape[1]
        widths = placed(KAPPAS * (d if p.cost == "half-squared" else d**0.5))
        tilts, tilted = map_rows(loop, comparison.TiltAt(drawn.sample, drawn.points, p.cost), widths)
        output = comparison.describe(
            methods, drawn, epsilon, p.cost, entropic, fields.coupled, path.t, path.x, w2sq, inputs["plane"], frames
        ) | {"ess_kappa": tilts[0], "tilt_kappa": jnp.stack(tilts[1:])}
        reasons += [path.reason, compared, tilted]
        if p.train_steps and not any(isinstance(reason, int) and reason == Reason.STOPPED for reason in reasons):
            trained = comparison.train(
                loop, key, p.learns, source, drawn.points, p.epsilon, p.cost, p.batch,
                units=p.units, learning_rate=p.learning_rate, steps=p.train_steps,
            )
            output |= comparison.describe_network(
                trained.average, drawn, output["w2sq_laws"], p.steps, inputs["plane"], frames
            ) | {"curve_loss": trained.loss, "curve_ess": trained.ess}
            reasons.append(trained.reason)
        return output | {"iterations": path.steps, "reason": first_failure(*reasons)}

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Times of the frames, names of couplings, and kappa."""
        d = inputs["points"].shape[1]
        return {
            "t": FRAMES, "coupling": list(METHODS), "kappa": KAPPAS, "end": ["source", "data"],
            "axis": ["x₁", "x₂"][:d] if d <= 2 else ["first", "second"],
        }

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
