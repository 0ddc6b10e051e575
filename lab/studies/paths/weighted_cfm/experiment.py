"""Follow the flows of four couplings without a network, and measure fit, energy and the tilt of the marginals."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Bool, Float, Int

from lab.numerics import Loop, Reason, first_failure, map_rows
from lab.numerics.host import placed
from lab.paths import metrics
from lab.paths.carry import carry
from lab.studies.contract import Mood, Outputs, Run, out
from lab.studies.paths import coupling_comparison
from lab.studies.paths.coupling_comparison import WEIGHTED
from lab.studies.vocabulary.training import UNTRAINED

FRAMES = np.linspace(0.0, 1.0, 33)
KAPPAS = np.geomspace(0.02, 50, 25)
DEGENERATE = 0.01  # effective fraction of pairs below which the weights are degenerate
UNFOLLOWED = "OT-CFM was not followed: switch it on, and choose data in the plane"
_TOO_MANY = "particles are counted at each of a few data points: choose data of at most 64"


def misses(result: xr.Dataset) -> bool:
    """Whether samples of W-CFM are farther from the data than those of I-CFM, beyond sampling error."""
    fit, plain, floor = (float(result[name]) for name in ("w2sq", "w2sq_independent", "w2sq_floor"))
    return fit > plain + max(0.5 * floor, 0.3 * plain)


def below(result: xr.Dataset) -> Mood:
    """Warn where the energy is below W2 squared by more than 3 standard errors: then a marginal is wrong."""
    energy, error = (float(result[name].sel(coupling=WEIGHTED)) for name in ("pe", "pe_error"))
    return "warn" if energy + 3 * error < float(result.w2sq_laws) else ""


class Experiment(Outputs):
    """The flows of the couplings, side by side."""

    w2sq: Float[Array, ""] = out(
        "W₂² of W-CFM",
        "exact squared distance of the samples from held-out data",
        headline=True,
        judge=lambda value, result: "warn" if misses(result) else "good",
    )
    w2sq_independent: Float[Array, ""] = out("W₂² of I-CFM", "the same distance for independent pairs", headline=True)
    w2sq_floor: Float[Array, ""] = out(
        "W₂² of the data", "between two samples of the data: the floor of the measure", headline=True
    )
    energy_ratio: Float[Array, ""] = out(
        "energy / W₂²",
        "path energy of W-CFM over W₂² of source and data; a value below 1 shows that a marginal is wrong",
        headline=True,
        judge=lambda value, result: below(result),
    )
    npe_weighted: Float[Array, ""] = out(
        "NPE of W-CFM",
        "normalized path energy, to be read together with W₂²",
        headline=True,
        judge=lambda value, result: "warn" if misses(result) else "",
    )
    npe_independent: Float[Array, ""] = out(
        "NPE of I-CFM", "normalized path energy for independent pairs", headline=True
    )
    ess: Float[Array, ""] = out(
        "effective fraction",
        "(E w)² / E w²: effective fraction of independent pairs under the weights",
        headline=True,
        judge=lambda value, result: "warn" if value < DEGENERATE else "",
    )
    tilt_data: Float[Array, ""] = out(
        "tilt R of the data", "relative variance of the factors by which the weights change the data", headline=True
    )
    fit_w2sq: Float[Array, " coupling"] = out(
        "W₂² to held-out data", "exact squared distance of the samples from held-out data"
    )
    pe: Float[Array, " coupling"] = out("path energy", "∫ E|velocity|² dt along the flow")
    pe_error: Float[Array, " coupling"] = out("standard error", "standard error of the path energy, over particles")
    npe: Float[Array, " coupling"] = out("NPE", "|path energy - W₂²| / W₂², with W₂² of source and data")
    straightness: Float[Array, " coupling"] = out(
        "bending S", "∫ E|(Z₁ - Z₀) - velocity|² dt: 0 where particles move straight at constant speed"
    )
    transport: Float[Array, " coupling"] = out("E c(Z₀, Z₁)", "mean cost between initial sample and endpoint")
    pair_cost: Float[Array, " coupling"] = out("E c(X₀, X₁)", "mean cost of the pairs of the coupling")
    w2sq_laws: Float[Array, ""] = out(
        "W₂² of source and data", "mean over four samples of the data; slightly above the distance of the distributions"
    )
    w2sq_own: Float[Array, ""] = out(
        "W₂² to the tilted data", "distance of the samples of W-CFM from data with the masses under the weights"
    )
    kl_entropic: Float[Array, ""] | None = out(
        "KL(π_w | π_EOT)",
        "divergence of the weighted coupling from entropic transport",
        absent="entropic transport was not solved: switch OT-CFM and EOT-CFM on, for at most 4000 data points",
    )
    dimension: Int[Array, ""] = out("dimension", "dimension of the data")
    log_z: Float[Array, ""] = out("log Z", "logarithm of the mean weight Z = E exp(-c/ε)")
    tilt_var: Float[Array, " end"] = out("tilt R", "Var τ / (E τ)² of source and data; 0: the marginal is unchanged")
    tilt_kappa: Float[Array, "end kappa"] = out("tilt R", "tilt at other ε = κ√d (half-squared cost: κ d)")
    ess_kappa: Float[Array, " kappa"] = out("effective fraction", "at other ε = κ√d (half-squared cost: κ d)")
    tau: Float[Array, " sample"] = out("τ / Z", "factor by which the weights change the mass of each data point")
    points: Float[Array, "sample axis"] = out("position", "the data; above two dimensions, on two principal axes")
    plan: Float[Array, "coupling i j"] = out("mass", "couplings between some points, sorted by their first coordinate")
    paths: Float[Array, "t coupling particle axis"] = out("position", "the flows")
    goals: Float[Array, "goal axis"] = out("position", "held-out points of the data")
    mass: Float[Array, "coupling atom"] | None = out(
        "mass", "fraction of the particles that end at each data point", absent=_TOO_MANY
    )
    mass_weighted: Float[Array, " atom"] | None = out(
        "mass", "mass of each data point under the weights", absent=_TOO_MANY
    )
    neighbours: Float[Array, ""] | None = out(
        "pairs in the kernel",
        "effective number of pairs that the kernel of OT-CFM averages at midpoints of lines",
        absent=UNFOLLOWED,
    )
    iterations: Int[Array, ""] | None = out("steps", "completed steps of the flows")
    converged: Bool[Array, ""] | None = out("converged", "whether flows, potentials and training were completed")
    curve_loss: Float[Array, " train_step"] | None = out(
        "loss", "training loss of the network, on the batch of each step", absent=UNTRAINED
    )
    curve_ess: Float[Array, " train_step"] | None = out(
        "effective fraction", "effective fraction of the pairs of each batch under its weights", absent=UNTRAINED
    )
    net_w2sq: Float[Array, ""] | None = out(
        "W₂² of the network", "distance of the network's samples from held-out data", absent=UNTRAINED
    )
    net_npe: Float[Array, ""] | None = out(
        "NPE of the network", "normalized path energy of the network's flow", absent=UNTRAINED
    )


def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> Run[Experiment]:
    """Find the potentials of entropic transport, follow all flows, measure them, and train a network if requested."""
    key, points, source = jax.random.key(p.seed), inputs["points"], inputs["source"]
    epsilon, width = (jnp.asarray(value, points.dtype) for value in (p.epsilon, p.bandwidth * inputs["scale"]))
    methods = coupling_comparison.followed(points, p.compare)
    drawn = coupling_comparison.draw(
        key,
        source,
        inputs["target"],
        points,
        epsilon,
        p.cost,
        p.particles,
        p.pairs,
        tilted=p.start == "tilted source",
        centred=p.centred,
    )
    entropic, reasons, frames = None, [], placed(FRAMES)
    if p.compare and points.shape[0] <= coupling_comparison.MOST:
        entropic = coupling_comparison.potentials(loop, drawn, epsilon, p.cost)
        reasons.append(entropic.reason)
    fields = coupling_comparison.fields(methods, source, drawn, epsilon, p.cost, jnp.asarray(p.batch), width, entropic)
    start, grid = coupling_comparison.starts(methods, drawn), coupling_comparison.grid(p.steps)
    path = carry(loop, fields.each, start, grid, solver="heun", euler_last=True)
    w2sq, compared = map_rows(
        loop, metrics.cloud_distance, coupling_comparison.clouds(key, drawn, path.end, epsilon, p.cost)
    )
    d = points.shape[1]
    widths = placed(KAPPAS * (d if p.cost == "half-squared" else d**0.5))
    tilts, tilted = map_rows(loop, coupling_comparison.TiltAt(drawn.sample, drawn.points, p.cost), widths)
    found = coupling_comparison.describe(
        methods, drawn, epsilon, p.cost, entropic, fields.coupled, path.t, path.x, w2sq, inputs["plane"], frames
    )
    reasons += [path.reason, compared, tilted]
    if p.train_steps and not any(isinstance(reason, int) and reason == Reason.STOPPED for reason in reasons):
        trained = coupling_comparison.train(
            loop,
            key,
            p.learns,
            source,
            drawn.points,
            p.epsilon,
            p.cost,
            p.batch,
            units=p.units,
            learning_rate=p.learning_rate,
            steps=p.train_steps,
        )
        found |= coupling_comparison.describe_network(trained.average, drawn, found["w2sq_laws"], p.steps)
        found |= {"curve_loss": trained.loss, "curve_ess": trained.ess}
        reasons.append(trained.reason)
    outputs = Experiment(**found, ess_kappa=tilts[0], tilt_kappa=jnp.stack(tilts[1:]))
    return Run(outputs, first_failure(*reasons), path.steps)
