"""Sample with one sampler, the exact flow and ancestral sampling, and measure all three."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from lab import diffusion
from lab.diffusion import few_steps, flow_maps, grids, samplers
from lab.diffusion.samplers import DDIM, SDE, Corrected, EDMHeun, Langevin
from lab.numerics import Loop, Reason, first_failure, map_rows
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.numerics.values import Values
from lab.paths import metrics
from lab.paths.laws import Empirical
from lab.paths.sampling import between
from lab.studies.contract import Outputs, Run, out
from lab.studies.diffusion import sampler_comparison
from lab.studies.diffusion.sampler_comparison import SPACINGS
from lab.studies.vocabulary.training import UNTRAINED

FRAMES = 33
_TESTED, _FEWER = 64, 16  # starts over which errors are averaged; fewer where the data are many
_MANY = 5000
_MATCHED = 300  # samples in a squared distance
_NOISY = ("ancestral", "sde", "corrected", "langevin")
_REFERENCE = 150  # steps of the ancestral sampling that is also shown
DRAWS = "the sampler draws random numbers, so no start has an end of its own: choose ddim, for example"
_FREE = "no class is chosen: switch guidance on"
_NO_PLANE = "the data are not in the plane: choose three-gaussians, for example"
_NO_LINE = "the data are not on a line: choose modes-1d, for example"


class Experiment(Outputs):
    """Ends, errors and paths of the sampler, beside the exact flow."""

    error: Float[Array, ""] | None = out(
        "error",
        "root mean square distance between the ends of the sampler and of the exact flow",
        headline=True,
        absent=DRAWS,
    )
    w2sq: Float[Array, ""] = out("W₂² of the sampler", "squared distance to fresh data, exact", headline=True)
    w2sq_exact: Float[Array, ""] = out("W₂² of the exact flow", "the same for the exact flow", headline=True)
    w2sq_floor: Float[Array, ""] = out("W₂² of the data", "squared distance of two data samples", headline=True)
    evaluations: Int[Array, ""] = out("evaluations", "of the denoiser, for all points at once", headline=True)
    spread: Float[Array, ""] = out("spread", "standard deviation of its ends, mean over axes", headline=True)
    share: Float[Array, ""] | None = out("in the class", "mean probability of the class", headline=True, absent=_FREE)
    spread_tilted: Float[Array, ""] | None = out(
        "spread of the tilted distribution",
        "standard deviation of p(x|c)^(1+w) p(x)^-w, from which guidance does not sample",
        absent=f"{_FREE}, of data in the plane or on a line",
    )
    errors: Float[Array, "compared budget"] = out("error", "for each sampler and number of steps")
    calls: Int[Array, "compared budget"] = out("evaluations", "of the denoiser")
    grid_error: Float[Array, " grid"] | None = out("error", "error of the sampler on each grid", absent=DRAWS)
    knots: Float[Array, "grid knot"] = out("log-SNR", "log(a/s) at the times of each grid")
    paths: Float[Array, "t way particle axis"] = out("position", "on the scale of the data, on at most two axes")
    goals: Float[Array, "goal axis"] = out("position", "fresh data")
    log_snr: Float[Array, " t"] = out("log-SNR", "log(a/s) of the frames")
    density: Float[Array, "t row column"] | None = out("density", "of the noised distribution", absent=_NO_PLANE)
    line: Float[Array, "t position"] | None = out("density", "of the noised distribution", absent=_NO_LINE)
    tilted: Float[Array, "row column"] | None = out(
        "mass", "tilted distribution, by cell", absent=f"{_FREE}; {_NO_PLANE}"
    )
    table_log_snr: Float[Array, "schedule_name clock"] = out("log-SNR", "log(a/s)")
    curve_loss: Float[Array, " train_step"] | None = out("loss", "on the batch of each step", absent=UNTRAINED)
    one_error: Float[Array, ""] | None = out(
        "error of one call",
        "root mean square distance between one call of the learned map and the exact flow",
        headline=True,
        absent=UNTRAINED,
    )
    few_errors: Float[Array, "maker few"] | None = out(
        "error of few calls",
        "the same for 1, 2, 4 and 8 calls, and for samplers with as many evaluations; NaN where fresh noise was added",
        absent=UNTRAINED,
    )
    few_w2sq: Float[Array, " few"] | None = out("W₂² of few calls", "squared distance to fresh data", absent=UNTRAINED)
    few_ends: Float[Array, "few particle axis"] | None = out("position", "ends after a few calls", absent=UNTRAINED)
    lost: Int[Array, ""] = out("lost after step", "last step with finite numbers; 0: all are finite")
    iterations: Int[Array, ""] | None = out("steps", "steps of the sampler")
    converged: Bool[Array, ""] | None = out("finite", "whether all steps were done and all numbers are finite")


def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> Run[Experiment]:
    """Transport noise to data by the sampler, the exact flow and ancestral sampling; then measure."""
    noise, whole = diffusion.noise(p.schedule), diffusion.Exact(inputs["law"])
    members = np.flatnonzero(inputs["labels"] == p.condition) if p.guided else None
    asked: Any = whole if members is None else diffusion.Exact(diffusion.of_class(inputs["law"], members))
    predict = whole if members is None else diffusion.Guided(asked, whole, jnp.asarray(p.w, float))
    few = min(p.particles, _MATCHED)
    begun = _begin(predict, asked, noise, p.only("seed", "rho"), p.particles, inputs["centre"].size, p.steps, few)
    sampler = _sampler(p.sampler, jnp.asarray(p.eta, float), jnp.asarray(p.churn, float))
    run = diffusion.sample(
        predict, noise, begun.times[SPACINGS.index(p.spacing)], begun.x, sampler, key=begun.keys[0], loop=loop
    )
    flow = flow_maps.solved_at(predict, noise, begun.x, begun.frames)
    noisy = diffusion.sample(predict, noise, begun.reference, begun.x, "ancestral", key=begun.keys[1], loop=loop)
    w2sq, compared = map_rows(loop, metrics.cloud_distance, _clouds(begun, run.end, flow))
    part = None if members is None else float(np.asarray(inputs["law"].weights)[members].sum())
    places = {name: placed(inputs[name]) for name in ("position", "row", "column") if name in inputs}
    seen = (inputs["centre"], inputs["axes"], jnp.asarray(inputs["variance"], float))
    many = isinstance(whole.law, Empirical) and whole.law.points.shape[0] > _MANY
    tested = _FEWER if many else _TESTED
    found = _ways(noise, begun, run, flow, noisy, seen, w2sq)
    spacing = "log-snr" if p.spacing == "change" else p.spacing
    # what does not depend on the sampler is a program of its own, so that another sampler compiles little
    found |= _errors(predict, noise, begun.x, flow, spacing, jnp.asarray(p.rho, float), tested)
    if p.sampler not in _NOISY and not (p.sampler == "edm-heun" and p.churn):
        found |= _errors_of(predict, noise, begun, run.end, flow, sampler, tested)
    found["table_log_snr"] = sampler_comparison.table(placed(np.linspace(0.0, 1.0, FRAMES))).log_snr
    if part is not None:
        found["share"] = _share(asked, whole, part, noise, run.end)
    known = not isinstance(whole.law, Empirical)
    if "row" in places or (places and known):
        found["density" if "row" in places else "line"] = _density(whole, noise, begun.frames, places, seen[2])
    if part is not None and known and places:
        found |= _tilted(asked, whole, jnp.asarray(p.w, float), noise, places)
    learned: Any = Reason.CONVERGED
    if p.train_steps:
        taught = few_steps.train(
            loop,
            begun.keys[2],
            asked.law,
            noise,
            p.learns,
            teacher=predict if p.learns in few_steps.TAUGHT else None,
            units=p.units,
            steps=p.train_steps,
            learning_rate=p.learning_rate,
        )
        learned = taught.learned.reason
        judged = few_steps.judged(taught.map, predict, noise, flow, begun.frames, begun.goals, begun.keys[3])
        found |= _seen_few(judged, seen) | {"curve_loss": taught.learned.loss}
    steps = run.evaluations // sampler.evaluations
    reason = first_failure(run.reason, noisy.reason, compared, learned)
    return Run(Experiment(evaluations=run.evaluations, lost=run.lost, **found), reason, steps)


def _sampler(name: str, eta: Any, churn: Any) -> Any:
    """A sampler by its name, with numbers that may be traced."""
    own = {
        "ancestral": lambda: DDIM(eta),
        "sde": lambda: SDE(eta),
        "corrected": Corrected,
        "langevin": Langevin,
        "edm-heun": lambda: EDMHeun(churn),
    }
    return own[name]() if name in own else samplers.SAMPLERS[name]


class _Begun(NamedTuple):
    """Starts, times and data that the three ways from noise to data share."""

    x: Float[Array, "n d"]
    keys: Any  # of the sampler, of ancestral sampling, of a training, of a learned map
    times: tuple[Float[Array, " times"], ...]  # of each grid
    reference: Float[Array, " times"]
    frames: Float[Array, " frames"]  # their log-SNRs
    goals: Float[Array, "few d"]
    fresh: Float[Array, "few d"]


@jit
def _begin(predict: Any, asked: Any, noise: Any, p: Values, n: int, d: int, steps: int, few: int) -> _Begun:
    """Starts, grids, frames, and data to compare with, by the numbers ``seed`` and ``rho``."""
    first, *keys = jax.random.split(jax.random.key(p.seed), 7)
    x = samplers.start(noise, first, n, d)
    ends = noise(jnp.stack([jnp.asarray(noise.last), jnp.asarray(noise.first)])).log_snr
    frames = ends[0] + jnp.linspace(0.0, 1.0, FRAMES) * (ends[1] - ends[0])
    times = sampler_comparison.knots(predict, noise, x[:_MATCHED], steps, jnp.asarray(p.rho, float))
    goals, fresh = (asked.law.sample(each, few) for each in keys[2:4])
    return _Begun(x, keys[:2] + keys[4:], tuple(times), grids.grid(noise, _REFERENCE), frames, goals, fresh)


@jit
def _clouds(begun: _Begun, end: Any, flow: Any) -> Array:
    """Ends of the sampler and of the exact flow, and data, beside fresh data."""
    few = len(begun.fresh)
    return jnp.stack([jnp.stack([z[:few], begun.fresh]) for z in (end, flow[-1], begun.goals)])


@jit
def _ways(noise: Any, begun: _Begun, run: Any, flow: Any, noisy: Any, seen: tuple, w2sq: Any) -> dict[str, Any]:
    centre, axes, variance = seen
    frames = begun.frames
    wide = sampler_comparison.scale(noise(noise.time(frames)), variance)[:, None, None, None]
    ways = jnp.stack([_framed(noise, run, frames), flow, _framed(noise, noisy, frames)], axis=1)
    return {
        "w2sq": w2sq[0],
        "w2sq_exact": w2sq[1],
        "w2sq_floor": w2sq[2],
        "spread": jnp.sqrt(run.end.var(axis=0).mean()),
        "log_snr": frames,
        "knots": noise(jnp.stack(begun.times)).log_snr,
        "goals": (begun.goals - centre[None, :]) @ axes,
        "paths": (ways / wide - centre[None, None, None, :]) @ axes,
    }


@jit
def _errors(predict: Any, noise: Any, x: Any, flow: Any, spacing: str, rho: Any, tested: int) -> dict[str, Any]:
    found = sampler_comparison.errors(predict, noise, x[:tested], flow[-1, :tested], spacing, rho)
    return {"errors": found.error, "calls": found.calls}


@jit
def _errors_of(
    predict: Any, noise: Any, begun: _Begun, end: Any, flow: Any, sampler: Any, tested: int
) -> dict[str, Any]:
    x, truth = begun.x[:tested], flow[-1, :tested]
    return {
        "error": jnp.sqrt(((end - flow[-1]) ** 2).sum(axis=1).mean()),
        "grid_error": sampler_comparison.errors_of_grids(predict, noise, jnp.stack(begun.times), x, truth, sampler),
    }


@jit
def _share(asked: Any, whole: Any, part: Any, noise: Any, end: Any) -> Array:
    return sampler_comparison.share_of(asked, whole, part, noise(noise.first), end)


def _cells(places: Mapping[str, Any]) -> Array:
    """Middles of the cells of a line, or of a plane."""
    if "position" in places:
        return places["position"][:, None]
    column, row = jnp.meshgrid(places["column"], places["row"])
    return jnp.stack([column.ravel(), row.ravel()], axis=1)


@jit
def _density(whole: Any, noise: Any, frames: Any, places: Any, variance: Any) -> Array:
    density = sampler_comparison.densities(whole, noise, frames, _cells(places), variance)
    return density.reshape(FRAMES, places["row"].size, -1) if "row" in places else density


@jit
def _tilted(asked: Any, whole: Any, w: Any, noise: Any, places: Any) -> dict[str, Any]:
    law = sampler_comparison.tilted(asked, whole, w, noise(noise.first), _cells(places))
    found = {"spread_tilted": law.spread}
    return found | ({"tilted": law.mass.reshape(places["row"].size, -1)} if "row" in places else {})


def _framed(noise: Any, ran: Any, frames: Any) -> Any:
    """A path at the frames; between its times points move straight in x / a."""
    levels, wanted = noise(ran.t), noise(noise.time(frames))
    return wanted.a[:, None, None] * between(levels.log_snr, ran.x / levels.a[:, None, None], frames)


@jit
def _seen_few(found: few_steps.Judged, seen: tuple) -> dict[str, Any]:
    """Errors and ends of a learned map."""
    centre, axes, _ = seen
    return {
        "one_error": found.errors[0, 0],
        "few_errors": found.errors,
        "few_w2sq": found.w2sq,
        "few_ends": (found.ends - centre[None, None, :]) @ axes,
    }
