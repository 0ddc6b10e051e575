"""What a map is looked at beside, and by."""

from typing import Any

import jax
import jax.numpy as jnp

from lab.numerics import Reason, first_failure
from lab.numerics.jit import jit
from lab.ot import bures, maps, monge, monge_survey

from .learning import COSTS, project

GRID = 15
_SEEN, _TURNED = 300, 200  # points of which the entropic map is made; at which the turned maps are looked at


@jit
def scales(sources: Any, goals: Any) -> tuple[Any, dict[str, Any]]:
    """The mean squared distance among targets, and the mean of each cost to them."""
    sources, goals = sources[:_SEEN], goals[:_SEEN]
    means = {name: monge.pairwise(sources, goals, cost).mean() for name, cost in COSTS.items()}
    return monge.pairwise(goals, goals).mean(), means


@jit
def begin(inputs: dict[str, Any], p: Any, angle: Any) -> tuple[monge_survey.Bench, tuple[Any, ...], Any]:
    """What maps are looked at on, three that are always there, and the turned one."""
    seen, goals = inputs["x0_seen"], inputs["x_seen"]
    x, held = (inputs[name][: p.points] for name in ("x0_held", "x_held"))
    truth = inputs["moved_held"][: p.points] if "moved_held" in inputs else None
    best = bures(*(first := maps.moments(seen)), *maps.moments(goals))
    known = (
        monge_survey.Affine(0 * best.matrix, best.source, best.target), monge_survey.turned(best, first[1], 0.0),
        monge_survey.entropic(seen[:_SEEN], goals[:_SEEN]),
    )
    bench = monge_survey.Bench(x, held, COSTS[p.cost], p.fit_share * inputs["spread"], truth)
    return bench, known, None if angle is None else monge_survey.turned(best, first[1], angle)


@jit
def mean(x: Any, mapped: Any, cost: Any, share: Any) -> Any:
    """A share of the mean cost of all pairs."""
    return share * monge.pairwise(x, mapped, cost).mean()


@jit
def looked(
    inputs: dict[str, Any], bench: monge_survey.Bench, images: list[Any], to: Any, here: monge.Gap, reason: Any, turns: bool
) -> dict[str, Any]:
    """What maps with these images cost, the last of them in full; ``to``: where that takes the grid."""
    x, cost, plane = bench.x, bench.cost, inputs["plane"]
    told = jax.lax.map(bench.told, jnp.stack(images))
    own = jax.tree.map(lambda leaf: leaf[-1], told)
    shares = monge_survey.by_share(x, images[-1], own.gap.value, cost)
    mapped, source, target = (project(plane, each) for each in (images[-1], x, bench.y))
    output = {
        "gap": own.gap.value, "displacement": own.gap.displacement, "least": own.gap.displacement - own.gap.value,
        "gap_entropic": here.entropic, "gap_kl": here.kl, "fit": own.fit, "source": source, "mapped": mapped,
        "best": mapped[own.gap.target], "target": target, "crossing": monge_survey.crossings(source, mapped),
        "share_of_gap": own.gap.contributions, "entropic_by": shares.entropic, "kl_by": shares.kl,
        "primal_by": shares.primal, "low_by": shares.low, "high_by": shares.high, "gap_of": told.gap.value,
        "fit_of": told.fit,
    }
    if turns:
        by_angle = monge_survey.by_angle(inputs["x0_seen"][:_TURNED], inputs["x_seen"][:_SEEN], cost)
        output |= {"gap_turned": by_angle.gap} | ({"gap_closed": by_angle.closed} if cost == "squared" else {})
    if bench.truth is not None:
        output |= {"uvp": own.unexplained, "uvp_of": told.unexplained}
    if to is not None:
        output["field_to"] = (to - inputs["grid"]).reshape(GRID, GRID, 2)
    solved = jnp.where(shares.converged, Reason.CONVERGED.value, Reason.MAX_ITERATIONS.value)
    return output | {"reason": first_failure(reason, here.reason, solved)}
