"""Rotate a map or learn one; then measure its Monge gap and its fit, beside other maps."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from lab.numerics import Loop, Reason, first_failure
from lab.numerics.jit import jit
from lab.numerics.principal import Plane
from lab.ot import bures, convex, maps, monge
from lab.studies.contract import Outputs, Run, out
from lab.studies.ot import map_comparison

COSTS: dict[str, Any] = {
    "squared": "squared",
    "distance": "distance",
    "power": monge.PNorm(1.5),
    "geodesic": "geodesic",
}
_SEEN, _TURNED = 300, 200  # points from which the entropic map is made; at which the rotated maps are measured

_UNKNOWN = "the optimal map of these data is not known: choose planted-map"
_NO_SPHERE = (
    "the points are not on a sphere in space: choose patches-of-the-sphere, the cost geodesic and the form sphere"
)
_OWN = "a map of your own has no rotations"


class Experiment(Outputs):
    """One map on held-out points."""

    gap: Float[Array, ""] = out("gap", "excess cost of the pairs over an optimal assignment, exact", headline=True)
    displacement: Float[Array, ""] = out("mean cost", "of the pairs", headline=True)
    least: Float[Array, ""] = out("minimum cost", "of an optimal assignment of points and images", headline=True)
    crossing: Int[Array, ""] = out("crossing lines", "pairs of lines from points to images that cross", headline=True)
    gap_entropic: Float[Array, ""] = out("entropic gap", "gap of the training loss, at least ε log n", headline=True)
    fit: Float[Array, ""] = out("divergence", "Sinkhorn divergence of images and held-out targets", headline=True)
    uvp: Float[Array, ""] | None = out(
        "unexplained variance", "L2-UVP: 100 for the constant map", unit="%", headline=True, absent=_UNKNOWN
    )
    source: Float[Array, "point axis"] = out("position", "points")
    mapped: Float[Array, "point axis"] = out("position", "images of the points")
    target: Float[Array, "goal axis"] = out("position", "held-out targets")
    on_sphere: Float[Array, "point space"] | None = out("position", "points on the sphere", absent=_NO_SPHERE)
    mapped_on_sphere: Float[Array, "point space"] | None = out("position", "images on the sphere", absent=_NO_SPHERE)
    share_of_gap: Float[Array, " point"] = out("contribution", "of each pair to the gap, by the optimal potentials")
    gap_turned: Float[Array, " turn"] | None = out("gap", "of the rotated maps on the points", absent=_OWN)
    gap_closed: Float[Array, " turn"] | None = out(
        "gap",
        "of Gaussians with these moments: 2 (1 - cos θ) tr C in the plane",
        absent="this cost has no closed form: choose squared",
    )
    entropic_by: Float[Array, " epsilon_share"] = out("entropic gap", "of the same pairs")
    kl_by: Float[Array, " epsilon_share"] = out("gap in KL form", "of the same pairs")
    low_by: Float[Array, " epsilon_share"] = out("lower bound", "gap + ε log n")
    high_by: Float[Array, " epsilon_share"] = out("upper bound", "gap + 2 ε log n")
    uvp_of: Float[Array, " rival"] | None = out("unexplained variance", "of several maps", unit="%", absent=_UNKNOWN)
    gap_of: Float[Array, " rival"] = out("gap", "of several maps")
    fit_of: Float[Array, " rival"] = out("divergence", "of their images and held-out targets")
    iterations: Int[Array, ""] | None = out("steps", "training steps that were done")
    converged: Bool[Array, ""] | None = out("converged", "whether all solvers converged and the training was completed")


def compute(inputs: Any, p: Any, loop: Loop, own: Any = None) -> Run[Experiment]:
    """Rotate a map, learn one, or take the user's; then measure the cost of its pairs."""
    angle = None if own else p.angle
    bench, (constant, gaussian, entropic), move = _begin(inputs, p.only("points", "cost", "fit_share"), angle)
    x, cost = bench.x, bench.cost
    move, iterations, reason = own or move, 0, Reason.CONVERGED
    if not own and p.train_steps:
        learn, begun = _lesson(inputs, p, bench.epsilon)
        taught = map_comparison.teach(loop, x, begun or gaussian, learn, steps=p.train_steps)
        move, reason, iterations = taught.map, taught.reason, taught.iterations
    moves = constant, gaussian, entropic, move
    if p.cost == "geodesic":
        moves = [map_comparison.OnSphere(each) for each in moves]
    images = [each(x) for each in moves]
    here = monge.gap(x, images[-1], cost, epsilon=_mean(x, images[-1], cost, p.share), tolerance=1e-6, loop=loop)
    found, ended = _measured(inputs, bench, images, here, jnp.asarray(reason), not own)
    if p.cost == "geodesic" and x.shape[1] == 3:
        found |= {"on_sphere": x, "mapped_on_sphere": images[-1]}
    return Run(Experiment(**found), ended, iterations)


def _lesson(inputs: Any, p: Any, fit: Any) -> tuple[Callable[..., Any], Any]:
    """The training of these parameters, and the map with which it begins: None for the Gaussian map."""
    key, seen, goals = jax.random.key(p.seed), inputs["x0_seen"], inputs["x_seen"]
    if p.form == "convex":
        return partial(convex.learn, key, seen, goals, batch=p.batch, learning_rate=p.learning_rate), None
    given: dict[str, Any] = {
        "cost": COSTS[p.cost],
        "form": p.form,
        "strength": p.strength,
        "batch": p.batch,
        "fit_epsilon": fit,
        "conservative": p.conservative if p.form == "structured" else 0.0,
        "gap_epsilon": p.share * inputs["mean"][p.cost],
    }
    learn = partial(maps.learn, key, seen, goals, learning_rate=p.learning_rate, **given)
    return learn, maps.prepare(key, seen, goals, **given).map


def _project(plane: Plane, x: Any) -> Any:
    """Points (..., d) in the plane of the pictures."""
    return (x - jnp.broadcast_to(jnp.asarray(plane.centre, x.dtype), x.shape)) @ jnp.asarray(plane.axes, x.dtype)


@jit
def scales(sources: Any, goals: Any) -> tuple[Any, dict[str, Any]]:
    """The mean squared distance among targets, and the mean of each cost to them."""
    sources, goals = sources[:_SEEN], goals[:_SEEN]
    means = {name: monge.pairwise(sources, goals, cost).mean() for name, cost in COSTS.items()}
    return monge.pairwise(goals, goals).mean(), means


@jit
def _begin(inputs: dict[str, Any], p: Any, angle: Any) -> tuple[map_comparison.Bench, tuple[Any, ...], Any]:
    """Held-out points, three maps for comparison, and the rotated map."""
    seen, goals = inputs["x0_seen"], inputs["x_seen"]
    x, held = (inputs[name][: p.points] for name in ("x0_held", "x_held"))
    truth = inputs["moved_held"][: p.points] if "moved_held" in inputs else None
    best = bures(*(first := maps.moments(seen)), *maps.moments(goals))
    known = (
        map_comparison.Affine(0 * best.matrix, best.source, best.target),
        map_comparison.turned(best, first[1], 0.0),
        map_comparison.entropic(seen[:_SEEN], goals[:_SEEN]),
    )
    bench = map_comparison.Bench(x, held, COSTS[p.cost], p.fit_share * inputs["spread"], truth)
    return bench, known, None if angle is None else map_comparison.turned(best, first[1], angle)


@jit
def _mean(x: Any, mapped: Any, cost: Any, share: Any) -> Any:
    """A fraction of the mean cost of all pairs."""
    return share * monge.pairwise(x, mapped, cost).mean()


@jit
def _measured(
    inputs: dict[str, Any], bench: map_comparison.Bench, images: list[Any], here: monge.Gap, reason: Any, turns: bool
) -> tuple[dict[str, Any], Any]:
    """Costs of maps with these images, the last of them in full."""
    x, cost, plane = bench.x, bench.cost, inputs["plane"]
    told = jax.lax.map(bench.told, jnp.stack(images))
    own = jax.tree.map(lambda leaf: leaf[-1], told)
    shares = map_comparison.by_share(x, images[-1], own.gap.value, cost)
    mapped, source, target = (_project(plane, each) for each in (images[-1], x, bench.y))
    found = {
        "gap": own.gap.value,
        "displacement": own.gap.displacement,
        "least": own.gap.displacement - own.gap.value,
        "gap_entropic": here.entropic,
        "fit": own.fit,
        "source": source,
        "mapped": mapped,
        "target": target,
        "crossing": map_comparison.crossings(source, mapped),
        "share_of_gap": own.gap.contributions,
        "entropic_by": shares.entropic,
        "kl_by": shares.kl,
        "low_by": shares.low,
        "high_by": shares.high,
        "gap_of": told.gap.value,
        "fit_of": told.fit,
    }
    if turns:
        by_angle = map_comparison.by_angle(inputs["x0_seen"][:_TURNED], inputs["x_seen"][:_SEEN], cost)
        found |= {"gap_turned": by_angle.gap} | ({"gap_closed": by_angle.closed} if cost == "squared" else {})
    if bench.truth is not None:
        found |= {"uvp": own.unexplained, "uvp_of": told.unexplained}
    solved = jnp.where(shares.converged, Reason.CONVERGED.value, Reason.MAX_ITERATIONS.value)
    return found, first_failure(reason, here.reason, solved)
