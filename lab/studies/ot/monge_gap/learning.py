"""How the map of a run is learned, and how the training is looked at."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from lab.numerics.principal import Plane
from lab.ot import convex, maps, monge, monge_survey

COSTS: dict[str, Any] = {
    "squared": "squared", "distance": "distance", "power": monge.PNorm(1.5), "geodesic": "geodesic",
}


def lesson(inputs: Any, p: Any, fit: Any) -> tuple[Callable[..., Any], Any]:
    """What learns the map of these parameters, and the map it begins with: none for the Gaussian one."""
    key, seen, goals = jax.random.key(p.seed), inputs["x0_seen"], inputs["x_seen"]
    if p.form == "convex":
        return partial(convex.learn, key, seen, goals, batch=p.batch, learning_rate=p.learning_rate), None
    given: dict[str, Any] = {
        "cost": COSTS[p.cost], "form": p.form, "strength": p.strength, "batch": p.batch, "fit_epsilon": fit,
        "conservative": p.conservative if p.form == "structured" else 0.0, "gap_epsilon": p.share * inputs["mean"][p.cost],
    }
    learn = partial(maps.learn, key, seen, goals, learning_rate=p.learning_rate, **given)
    return learn, maps.prepare(key, seen, goals, **given).map


def project(plane: Plane, x: Any) -> Any:
    """Points (..., d) in the plane that is looked at, of JAX."""
    return (x - jnp.broadcast_to(jnp.asarray(plane.centre, x.dtype), x.shape)) @ jnp.asarray(plane.axes, x.dtype)


def seen(inputs: Any, p: Any, x: Any, taught: monge_survey.Taught, bench: monge_survey.Bench) -> dict[str, Any]:
    """A training at its frames."""
    cost, epsilon = COSTS[p.cost], p.share * inputs["mean"][p.cost]
    film, source = (project(inputs["plane"], each) for each in (taught.moved, x))
    gaps = [monge.gap(x, each, cost, epsilon=epsilon, tolerance=1e-4).entropic for each in taught.moved]
    return {
        "iterations": taught.iterations, "curve_loss": taught.loss, "film": film, "film_entropic": jnp.stack(gaps),
        "film_gap": jnp.stack([jnp.asarray(monge.exact_gap(x, each, cost).value) for each in taught.moved]),
        "film_floor": epsilon * jnp.log(x.shape[0]), "film_fit": jnp.stack([bench.fit(each) for each in taught.moved]),
        "film_crossing": jnp.stack([monge_survey.crossings(source, each) for each in film]),
    }
