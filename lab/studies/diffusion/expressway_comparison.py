r"""The expressway beside other ways from noise to data with as many questions: what each comes to, and what is seen.

| way | what it does |
|---|---|
| DPM-OT | one jump by the map, then the last k steps |
| no map | the same k steps from noise of their first level, which no map has moved |
| flow | k steps of Euler's method along the probability flow, from the largest level on |
| annealed | k steps of the sampler over all levels |
| full | the sampler with all levels, five Langevin steps at each |
| stored points | drawn among them: what a perfect map without steps has |
| fresh data | the floor of every measure |
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lab.diffusion import grids, modes, samplers
from lab.diffusion.expressway import Driven, Expressed, drive, expressway, memory, targets
from lab.diffusion.predictions import Exact
from lab.diffusion.samplers import Euler, Langevin
from lab.diffusion.schedules import Karras
from lab.numerics import random
from lab.numerics.jit import jit
from lab.ot import semidiscrete, singular
from lab.paths.laws import Empirical
from lab.studies.diffusion.sampler_comparison import scale

WAYS = ("DPM-OT", "no map", "flow", "annealed", "full", "stored points", "fresh data")
FILMED = ("DPM-OT", "flow", "annealed", "full")
EXTENSIONS = ("none", "pair", "mass-centre")
IMAGES = ("DPM-OT", "where it jumped", "nearest stored", "flow")
LAST = ("langevin", "ddim", "ancestral", "dpm++2m")
FRAMES, JUMP = 25, 0.4  # of the film, and the share of it in which the jump is drawn
BALANCED = 17  # frames of cells that balance
SHOWN = 100  # points whose way is kept
_SPARE = 3  # starts for each that is carried on, of which some may be rejected
LOOKED_AT = 8192  # points of the source that tell masses of frames, and mass centres
_PICTURED = 10  # images of a kind
_REPEATS = 5  # Langevin steps at each level of the full sampler


class Law(NamedTuple):
    """What is known of the data: the law that scores come from, what fresh data are drawn from, and what tells modes."""

    score: Any
    fresh: Any
    classify: Any  # None where no modes are known
    components: Any  # a mixture, of which samples may be off
    weights: Any  # of the modes


def source(name: str, dimension: int) -> Any:
    """The law that the map begins at, by its name."""
    return (semidiscrete.Gaussian if name == "gaussian" else semidiscrete.Uniform)(dimension)


def sampler(name: str, size: Any) -> Any:
    """Of the last steps, by its name."""
    return Langevin(size, 1) if name == "langevin" else samplers.SAMPLERS[name]


class Begun(NamedTuple):
    """What all ways share."""

    noise: Karras
    times: Float[Array, " times"]
    y: Float[Array, "m d"]  # targets of the map
    z: Float[Array, "spare d"]  # points of the source
    x: Float[Array, "n d"]  # N(0, I), which levels scale
    again: Float[Array, "n d"]  # stored points
    fresh: Float[Array, "n d"]
    goals: Float[Array, "n d"]
    keys: Any


@jit
def begin(law: Law, stored: Array, draw: Any, key: Any, k: Any, levels: int, ends: Any, n: int) -> Begun:
    """Levels that are even in log(s), from ``ends[0]`` down to ``ends[1]``, and what is drawn."""
    keys = jax.random.split(key, 9)
    noise = Karras(ends[1], ends[0])
    times = grids.padded(noise, levels, levels)
    y = targets(noise, times, k, stored, keys[0])
    z = draw(keys[1], _SPARE * n)
    x = random.normal(keys[2], (n, stored.shape[1]))
    fresh, goals = (law.fresh.sample(each, n) for each in keys[3:5])
    again = jax.random.choice(keys[8], stored, (n,))
    return Begun(noise, times, y, z, x, again, fresh, goals, tuple(keys[5:8]))


def marks(iterations: int) -> np.ndarray:
    """Iterations that the film of cells shows: more of the first ones."""
    return np.round(iterations * np.linspace(0, 1, BALANCED) ** 2).astype(np.int32)


class Ways(NamedTuple):
    express: Expressed
    others: tuple[Driven, ...]  # no map, flow, annealed, full
    clouds: Float[Array, "ways 2 n d"]  # ends and goals, of all and of fresh data


@jit
def carry(
    law: Law,
    begun: Begun,
    heights: Array,
    draw: Any,
    k: Any,
    last: Any,
    size: Any,
    threshold: Any,
    relative: bool,
    extend: str,
    reject: bool,
) -> Ways:
    """All ways, to their ends."""
    noise, times, n = begun.noise, begun.times, begun.x.shape[0]
    steps, shown = times.shape[0] - 1, min(SHOWN, n)
    keys = jax.random.split(begun.keys[0], 6)
    middle = None
    if extend == "mass-centre":
        middle = singular.centres(heights, begun.y, draw(keys[5], LOOKED_AT))
    express = expressway(
        law.score,
        noise,
        times,
        k,
        begun.y,
        heights,
        begun.z,
        last,
        key=keys[0],
        n=n,
        threshold=threshold,
        relative=relative,
        extend=extend,
        reject=reject,
        centres=middle,
        shown=shown,
    )
    few = grids.padded(noise, jnp.maximum(k, 1), steps)
    high, entry = times[0], times[steps - k]
    both = jax.vmap(
        lambda grid, x, key, first, end: drive(law.score, noise, grid, x, last, key, first, end, shown=shown)
    )(
        jnp.stack([times, few]),
        jnp.stack([entry, high])[:, None, None] * begun.x[None],
        keys[1:3],
        jnp.stack([steps - k, jnp.zeros_like(k)]),
        jnp.stack([jnp.full_like(k, steps), k]),
    )  # as many steps of one sampler: one loop
    no_map, annealed = (jax.tree.map(lambda each, at=at: each[at], both) for at in (0, 1))
    flow = drive(law.score, noise, few, high * begun.x, Euler(), keys[3], 0, k, shown=shown)
    full = drive(law.score, noise, times, high * begun.x, Langevin(size, _REPEATS), keys[4], shown=shown)
    others = (no_map, flow, annealed, full)
    ends = jnp.stack([express.end, *(each.end for each in others), begun.again, begun.fresh])
    return Ways(express, others, jnp.stack([ends, jnp.broadcast_to(begun.goals[None], ends.shape)], axis=1))


@jit
def look(
    law: Law,
    begun: Begun,
    stored: Array,
    ways: Ways,
    cells: Any,
    draw: Any,
    k: Any,
    tau: Any,
    seen: tuple,
    w2sq: Array,
    lift: Any = None,
) -> dict[str, Any]:
    """All that is measured and seen of the ways."""
    centre, axes, variance, off_radius = seen
    ends = ways.clouds[:, 0]
    near = jax.lax.map(lambda x: memory(x, stored), ends)
    asked = (ways.express.evaluations, *(each.evaluations for each in ways.others))
    nfe = jnp.stack([*(jnp.asarray(each, jnp.int32) for each in asked), jnp.int32(0), jnp.int32(0)])
    found: dict[str, Any] = {
        "w2": jnp.sqrt(w2sq),
        "nn_to_target": near.distance,
        "nfe": nfe,
        "from_own": jnp.sqrt(((ends[0] - stored[ways.express.index]) ** 2).sum(axis=1)).mean(),
        "kept": ways.express.kept,
        "angles": ways.express.angle,
        "singular": ways.express.singular.astype(float),
        "samples": (ends - centre[None, None, :]) @ axes,
        "stored": (stored - centre[None, :]) @ axes,
    }
    if law.classify is not None:
        told = jax.vmap(law.classify)(ends)
        found |= {
            "mmr": jax.vmap(lambda p: modes.mixture_rate(p, tau))(told),
            "mixed": jax.vmap(lambda p: modes.mixed(p, tau))(told).astype(float),
        }
    if law.components is not None:
        outside = jax.vmap(lambda x: modes.off_mode(law.components, x, off_radius))(ends)
        found |= {"off_mode": outside.share, "off": outside.off.astype(float)}
    nu = jnp.full(stored.shape[0], 1 / stored.shape[0])
    floor = semidiscrete.floor(nu, cells["points"])
    found |= {
        "tv": jnp.abs(cells["masses"] - nu).sum() / 2,
        "tv_floor": floor.total_variation,
        "empty": (cells["masses"] <= 0).sum().astype(float),
        "chi_squared": semidiscrete.chi_squared(jnp.round(cells["masses"] * cells["points"]).astype(jnp.int32), nu),
    }
    found |= {
        "w2_express": found["w2"][0],
        "w2_stored": found["w2"][-2],
        "w2_floor": found["w2"][-1],
        "nfe_express": nfe[0],
    }
    found |= {"nn_express": near.distance[0], "nn_fresh": near.distance[-1]}
    if law.classify is not None:
        found |= {"mmr_express": found["mmr"][0], "mmr_fresh": found["mmr"][-1]}
    if law.components is not None:
        found |= {"off_express": found["off_mode"][0], "off_flow": found["off_mode"][2]}
    if lift is not None:
        found["images"] = _pictured(lift, ends, stored, ways.express.index, near.nearest[0])
    found["paths"] = _films(begun, ways, k, centre, axes, variance)
    if stored.shape[1] == 2:
        x = draw(begun.keys[1], LOOKED_AT)
        count = jax.lax.map(lambda h: jnp.zeros_like(h).at[semidiscrete.assign(h, begun.y, x)].add(1.0), cells["path"])
        found |= {"heights": cells["path"], "cell_mass": count / LOOKED_AT, "targets": begun.y}
    return found


def _films(begun: Begun, ways: Ways, k: Any, centre: Array, axes: Array, variance: Any) -> Array:
    """Where points are, (frame, way, particle, axis), on the scale of the data."""
    noise, times = begun.noise, begun.times
    steps, share = times.shape[0] - 1, jnp.linspace(0.0, 1.0, FRAMES)
    few = grids.padded(noise, jnp.maximum(k, 1), steps)

    def at(path, grid, first, last, share, end):
        """Between the steps first to last, straight; at the last frame the denoised end."""
        on_scale = path / scale(noise(grid), variance)[:, None, None]
        place = first + (last - first) * share
        low = jnp.clip(jnp.floor(place).astype(jnp.int32), 0, steps - 1)
        part = (place - low)[:, None, None]
        between = (1 - part) * on_scale[low] + part * on_scale[low + 1]
        return between.at[-1].set(end[: path.shape[1]])

    express, (_, flow, annealed, full) = ways.express, ways.others
    begin = steps - k
    after = jnp.clip((share - JUMP) / (1 - JUMP), 0, 1)
    driven = at(express.path, times, begin, steps, after, express.end)
    noise_shown = express.start[: express.path.shape[1]] * jnp.sqrt(variance)
    jumping = jnp.clip(share / JUMP, 0, 1)[:, None, None]
    jumped = (1 - jumping) * noise_shown[None] + jumping * driven[0][None]
    films = [
        jnp.where((share < JUMP)[:, None, None], jumped, driven),
        at(flow.path, few, 0, k, share, flow.end),
        at(annealed.path, few, 0, k, share, annealed.end),
        at(full.path, times, 0, steps, share, full.end),
    ]
    return (jnp.stack(films, axis=1) - centre[None, None, None, :]) @ axes


def law_of(known: Law, score: str, stored: Array, rest: Array) -> Law:
    """What is known of the data, with the score that is asked for.

    Args:
        known: a ``Law`` whose score is that of a smooth law; where ``fresh`` is None fresh data are those of ``rest``.
        score: "law", or "points": that of the stored points, which remembers them.
        rest: points that are not stored.
    """
    known = known if known.fresh is not None else known._replace(fresh=Empirical(rest))
    return known if score == "law" else known._replace(score=Exact(Empirical(stored)))


def _pictured(lift: Mapping[str, Any], ends: Array, stored: Array, index: Array, near: Array) -> Array:
    """(kinds, images, height, width), from -1 to 1 as the data are."""
    rows = jnp.stack([ends[0, :_PICTURED], stored[index[:_PICTURED]], stored[near[:_PICTURED]], ends[2, :_PICTURED]])
    pixels = rows @ jnp.asarray(lift["axes"]).T * lift["scale"] + jnp.asarray(lift["mean"])[None, None, :]
    return pixels.reshape(*rows.shape[:2], *lift["image"])


def floor(m: int, points: Any) -> np.ndarray:
    """The total variation of balanced cells from equal masses, as so many points estimate it."""
    each = jax.vmap(lambda n: semidiscrete.floor(jnp.full(m, 1 / m), n).total_variation)
    return np.asarray(each(jnp.atleast_1d(jnp.asarray(points, float)))).reshape(np.shape(points))


def unmet(m: int, points: int) -> float:
    """So many of m balanced cells may be without one of the points: three deviations above their mean."""
    mean = m * (1 - 1 / m) ** points
    return mean + 3 * mean**0.5 + 0.5
