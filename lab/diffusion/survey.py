r"""One sampler beside the exact flow and ancestral sampling: where they begin, and all that is measured and seen of them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lab.diffusion import comparison, grids, samplers
from lab.diffusion.few_steps import Judged
from lab.diffusion.samplers import DDIM, SDE, Corrected, EDMHeun, Langevin
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.numerics.values import Values
from lab.paths.laws import Empirical
from lab.paths.sampling import between

FRAMES = 33
TESTED, FEWER = 64, 16  # starts of which errors are means; the fewer where each asks many points
_MANY = 5000
MATCHED = 300  # samples of which the squared distance is taken
NOISY = ("ancestral", "sde", "corrected", "langevin")
_REFERENCE = 150  # steps of ancestral sampling that is shown beside


def sampler(name: str, eta: Any, churn: Any) -> Any:
    """A sampler by its name, with numbers that may be traced."""
    own = {
        "ancestral": lambda: DDIM(eta),
        "sde": lambda: SDE(eta),
        "corrected": Corrected,
        "langevin": Langevin,
        "edm-heun": lambda: EDMHeun(churn),
    }
    return own[name]() if name in own else samplers.SAMPLERS[name]


class Begun(NamedTuple):
    """What three ways from noise to data share."""

    x: Float[Array, "n d"]
    keys: Any  # of the sampler, of ancestral sampling, of a training, of a learned map
    times: tuple[Float[Array, " times"], ...]  # of each grid
    reference: Float[Array, " times"]
    frames: Float[Array, " frames"]  # their log-SNRs
    goals: Float[Array, "few d"]
    fresh: Float[Array, "few d"]


@jit
def begin(predict: Any, asked: Any, noise: Any, p: Values, n: int, d: int, steps: int, few: int) -> Begun:
    """Starts, grids, frames, and data to compare with, by the numbers ``seed`` and ``rho``."""
    first, *keys = jax.random.split(jax.random.key(p.seed), 7)
    x = samplers.start(noise, first, n, d)
    ends = noise(jnp.stack([jnp.asarray(noise.last), jnp.asarray(noise.first)])).log_snr
    frames = ends[0] + jnp.linspace(0.0, 1.0, FRAMES) * (ends[1] - ends[0])
    times = comparison.knots(predict, noise, x[:MATCHED], steps, jnp.asarray(p.rho, float))
    goals, fresh = (asked.law.sample(each, few) for each in keys[2:4])
    return Begun(x, keys[:2] + keys[4:], tuple(times), grids.grid(noise, _REFERENCE), frames, goals, fresh)


@jit
def clouds(begun: Begun, end: Any, flow: Any) -> Array:
    """Ends of the sampler and of the exact flow, and data, beside fresh data."""
    few = len(begun.fresh)
    return jnp.stack([jnp.stack([z[:few], begun.fresh]) for z in (end, flow[-1], begun.goals)])


def look(
    noise: Any,
    predict: Any,
    asked: Any,
    whole: Any,
    part: Any,
    begun: Begun,
    run: Any,
    flow: Any,
    noisy: Any,
    sampler: Any,
    places: Mapping[str, Any],
    seen: tuple,
    w2sq: Any,
    spacing: str,
    rho: Any,
    w: Any,
) -> dict[str, Any]:
    """All that is measured and drawn of the ways; what does not depend on the sampler and its steps are programs of their own,
    so that another sampler compiles little."""
    variance = seen[2]
    found = _ways(noise, begun, run, flow, noisy, seen, w2sq)
    many = isinstance(whole.law, Empirical) and whole.law.points.shape[0] > _MANY
    tested = FEWER if many else TESTED
    found |= _errors(predict, noise, begun.x, flow, spacing, rho, tested)
    if sampler is not None:
        found |= _errors_of(predict, noise, begun, run.end, flow, sampler, tested)
    table = comparison.table(placed(np.linspace(0.0, 1.0, FRAMES)))
    found |= {"table_log_snr": table.log_snr, "weight": table.weight}
    if part is not None:
        found["share"] = _share(asked, whole, part, noise, run.end)
    known = not isinstance(whole.law, Empirical)
    if "row" in places:
        found |= _plane(whole, predict, noise, begun.frames, places, variance)
    elif "position" in places and known:
        found["line"] = _line(whole, noise, begun.frames, places["position"], variance)
    if part is not None and known and ("row" in places or "position" in places):
        found |= _tilted(asked, whole, w, noise, places)
    return found


@jit
def _ways(noise: Any, begun: Begun, run: Any, flow: Any, noisy: Any, seen: tuple, w2sq: Any) -> dict[str, Any]:
    centre, axes, variance = seen
    frames = begun.frames
    wide = comparison.scale(noise(noise.time(frames)), variance)[:, None, None, None]
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
    found = comparison.errors(predict, noise, x[:tested], flow[-1, :tested], spacing, rho)
    return {"errors": found.error, "calls": found.calls, "order": found.order}


@jit
def _errors_of(
    predict: Any, noise: Any, begun: Begun, end: Any, flow: Any, sampler: Any, tested: int
) -> dict[str, Any]:
    x, truth = begun.x[:tested], flow[-1, :tested]
    return {
        "error": jnp.sqrt(((end - flow[-1]) ** 2).sum(axis=1).mean()),
        "grid_error": comparison.errors_of_grids(predict, noise, jnp.stack(begun.times), x, truth, sampler),
    }


@jit
def _share(asked: Any, whole: Any, part: Any, noise: Any, end: Any) -> Array:
    return comparison.share_of(asked, whole, part, noise(noise.first), end)


def _cells(places: Mapping[str, Any]) -> Array:
    """Middles of the cells of a line, or of a plane."""
    if "position" in places:
        return places["position"][:, None]
    column, row = jnp.meshgrid(places["column"], places["row"])
    return jnp.stack([column.ravel(), row.ravel()], axis=1)


@jit
def _line(whole: Any, noise: Any, frames: Any, position: Any, variance: Any) -> Array:
    return comparison.densities(whole, noise, frames, position[:, None], variance)


@jit
def _plane(whole: Any, predict: Any, noise: Any, frames: Any, places: Any, variance: Any) -> dict[str, Any]:
    density = comparison.densities(whole, noise, frames, _cells(places), variance)
    arrows = comparison.arrows(predict, noise, frames, places["places"], variance)
    # the denoised point from the place: at little noise they are all but one
    return {
        "density": density.reshape(FRAMES, places["row"].size, -1),
        "places": places["places"],
        "arrows": arrows.at[:, 0].add(-places["places"][None]),
    }


@jit
def _tilted(asked: Any, whole: Any, w: Any, noise: Any, places: Any) -> dict[str, Any]:
    law = comparison.tilted(asked, whole, w, noise(noise.first), _cells(places))
    found = {"spread_tilted": law.spread}
    return found | ({"tilted": law.mass.reshape(places["row"].size, -1)} if "row" in places else {})


def _framed(noise: Any, ran: Any, frames: Any) -> Any:
    """A path at the frames; between its times points move straight in x / a."""
    levels, wanted = noise(ran.t), noise(noise.time(frames))
    return wanted.a[:, None, None] * between(levels.log_snr, ran.x / levels.a[:, None, None], frames)


@jit
def seen_few(found: Judged, seen: tuple) -> dict[str, Any]:
    """What is told and drawn of a learned map."""
    centre, axes, _ = seen
    return {
        "one_error": found.errors[0, 0],
        "few_errors": found.errors,
        "few_w2sq": found.w2sq,
        "few_ends": (found.ends - centre[None, None, :]) @ axes,
        "residual": found.residuals,
        "looked_log_snr": found.log_snr,
    }
