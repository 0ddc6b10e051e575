"""Match two surfaces by features, trained or not, a functional map and ZoomOut, and measure the errors."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from lab.numerics import Loop, Reason, first_failure, frames, random
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.shapes import correspondence, functional_maps
from lab.shapes.diffusion_net import DiffusionNet
from lab.shapes.own_net import Net, checked_features
from lab.studies.contract import Outputs, Run, out
from lab.studies.shapes.surface_pair import Pair, errors, lightened, waves, zoomed

WAYS = ("random", "signatures", "nearest", "map", "sharpened", "best map")
SIZES = (10, 15, 20, 30, 40, 50, 60, 80, 100)
"""Numbers of eigenfunctions of the error curves."""
THRESHOLDS = np.linspace(0, 25, 51)
SHOWN = 4  # eigenfunctions of each surface
_UNTRAINED = "no features were learned: set the training steps above 0"
_UNKNOWN = "the truth of these data is not known: bring truth, or choose a named pair"
_PLAIN = "nothing was refined: set the training steps and the steps of refinement above 0"


class Experiment(Outputs):
    """A correspondence from Y to X; its errors are lengths on X in percent of the square root of the area."""

    error: Float[Array, ""] | None = out(
        "error", "mean geodesic error of the correspondence", unit="%", headline=True, absent=_UNKNOWN
    )
    error_map: Float[Array, ""] | None = out(
        "unrefined map",
        "mean error of the functional map of nearest features",
        unit="%",
        headline=True,
        absent=_UNKNOWN,
    )
    error_nearest: Float[Array, ""] | None = out(
        "nearest features", "mean error of nearest features", unit="%", headline=True, absent=_UNKNOWN
    )
    error_solved: Float[Array, ""] | None = out(
        "solved map", "mean error of the map solved from features", unit="%", absent=_UNKNOWN
    )
    error_waves: Float[Array, ""] | None = out("signatures", "mean error of signatures", unit="%", absent=_UNKNOWN)
    floor: Float[Array, ""] | None = out(
        "true map", "mean error of the functional map of the truth", unit="%", headline=True, absent=_UNKNOWN
    )
    area_under: Float[Array, ""] | None = out(
        "AUC", "area under the curve of correct points up to an error of 10%", headline=True, absent=_UNKNOWN
    )
    bijectivity: Float[Array, ""] = out("bijectivity", "|C_xy C_yx - I|² + |C_yx C_xy - I|²", headline=True)
    error_refined: Float[Array, ""] | None = out("after refinement", "mean error", unit="%", absent=_PLAIN)
    p2p: Int[Array, " w"] = out("vertex of X", "image of each vertex of Y")
    off: Float[Array, " w"] | None = out("error", "of each vertex of Y", unit="%", absent=_UNKNOWN)
    off_nearest: Float[Array, " w"] | None = out("error", "with nearest features", unit="%", absent=_UNKNOWN)
    x: Float[Array, "v axis"] = out("position", "vertices of X, area 1")
    y: Float[Array, "w axis"] = out("position", "vertices of Y, area 1")
    x_faces: Int[Array, "face corner"] = out("vertex", "of the faces of X")
    y_faces: Int[Array, "side corner"] = out("vertex", "of the faces of Y")
    marked: Int[Array, ""] = out("vertex of Y", "marked vertex")
    c: Float[Array, "row column"] = out("entry", "of the functional map from X to Y, solved from features")
    c_best: Float[Array, "row column"] | None = out("entry", "of the functional map of the truth", absent=_UNKNOWN)
    values_x: Float[Array, " i"] = out("eigenvalue", "of X")
    values_y: Float[Array, " i"] = out("eigenvalue", "of Y")
    phi_x: Float[Array, "shown v"] = out("eigenfunction", "of X, without the constant")
    phi_y: Float[Array, "shown w"] = out("eigenfunction", "of Y, without the constant")
    correct: Float[Array, "way threshold"] | None = out(
        "correct points", "fraction of the vertices of Y with at most this error", absent=_UNKNOWN
    )
    floor_by: Float[Array, " size"] | None = out("true map", "mean error per size", unit="%", absent=_UNKNOWN)
    map_by: Float[Array, " size"] | None = out("map of features", "mean error per size", unit="%", absent=_UNKNOWN)
    zoom_error: Float[Array, " zoomed"] | None = out(
        "ZoomOut", "mean error per iteration", unit="%", absent="ZoomOut did not run: set its size above k"
    )
    zoom_size: Float[Array, " zoomed"] | None = out("eigenfunctions", "per iteration", absent="ZoomOut did not run")
    film_error: Float[Array, " frame"] | None = out("map", "mean error in training", unit="%", absent=_UNTRAINED)
    film_nearest: Float[Array, " frame"] | None = out(
        "nearest features", "mean error in training", unit="%", absent=_UNTRAINED
    )


def compute(inputs: Any, p: Any, loop: Loop, own: Any = None) -> Run[Experiment]:
    """Features, the correspondence that they give, and its errors."""
    given, faces = inputs["pair"], inputs["faces"]
    rate, weight = getattr(p, "learning_rate", 1e-3), getattr(p, "ot_weight", 0.0)  # absent if nothing can be learned
    settings = correspondence.Settings(
        transport=weight, strength=p.strength, tau=p.tau, rate=rate, last_rate=0.1 * rate
    )
    features, reason, steps, found = (waves(given.x), waves(given.y)), Reason.CONVERGED, 0, {}
    plain = matched = match(given, features[0], features[1], p.k, settings)
    if own is not None:
        features = inputs["features"]
    if getattr(p, "train_steps", 0):
        features, reason, steps, found = _learned(given, _net(given, p) if own is None else own, p, settings, loop)
    if own is not None or getattr(p, "train_steps", 0):
        matched = match(given, features[0], features[1], p.k, settings)
    zoom = zoomed(loop, given, matched.c_map, p.zoom)
    if p.zoom > p.k:
        found |= {"zoom_size": zoom.trace["size"], "zoom_error": zoom.trace["error"]}
    found |= _measured(given, p.only("k", "point"), matched, plain, zoom.state.p2p)
    if given.truth is None:
        found = {name: value for name, value in found.items() if name not in _OF_TRUTH}
    outputs = Experiment(**found, x_faces=faces[0], y_faces=faces[1], bijectivity=matched.bijectivity)
    return Run(outputs, first_failure(reason, zoom.reason), zoom.iterations + steps)


_OF_TRUTH = {result.name for result in Experiment.results() if result.absent == _UNKNOWN} | {
    "zoom_error",
    "film_error",
    "film_nearest",
    "error_refined",
}


class Match(NamedTuple):
    """A correspondence given by features."""

    p2p: Int[Array, " ny"]  # from Y to X, by the functional map of the nearest features
    nearest: Int[Array, " ny"]  # from Y to X, by the nearest features
    c_xy: Float[Array, "k k"]  # solved from features
    c_map: Float[Array, "k k"]  # of the nearest features
    bijectivity: Float[Array, ""]


@jit
def match(given: Pair, fx: Float[Array, "nx c"], fy: Float[Array, "ny c"], k: int, settings: Any) -> Match:
    """Functional maps of k eigenfunctions and point maps, from features."""
    x, y = given.x, given.y
    phi_x, phi_y = x.functions[:, :k], y.functions[:, :k]
    nearest = functional_maps.nearest_features(fx, fy)
    c_map = functional_maps.of_point_map(nearest, phi_x, y.inverse[:k])
    c_xy, c_yx = correspondence.functional_maps(x, y, fx, fy, k, settings)
    p2p = functional_maps.point_map(c_map, phi_x, phi_y)
    return Match(p2p, nearest, c_xy, c_map, functional_maps.bijectivity(c_xy, c_yx))


@jit
def _by_size(given: Pair, start: Int[Array, " ny"], sizes: Int[Array, " sizes"]) -> Float[Array, " sizes"]:
    """Mean errors of the functional maps of a point map, turned back into points; zeros beyond k: one program for all k."""
    x, y = given.x, given.y
    index, whole = jnp.arange(x.values.size), y.inverse @ x.functions[start]

    def one(k: Array) -> Array:
        kept = index < k
        c = jnp.where(kept[:, None] & kept[None, :], whole, 0)
        p2p = functional_maps.point_map(c, x.functions, jnp.where(kept[None, :], y.functions, 0))
        return errors(given, p2p).mean()

    return jax.lax.map(one, sizes)


def own_features(own: Any, given: Pair) -> dict[str, Any]:
    """Features of the user's function, or of the user's network before training."""
    found = []
    for on in (given.x, given.y):
        try:
            made = np.asarray(own(jax.tree.map(np.asarray, on)), on.mass.dtype)
        except Exception as problem:
            raise TypeError(f"the function failed on a surface of {len(on.mass)} vertices: {problem}") from problem
        if not np.isfinite(checked_features(made, on, "the function")).all():
            raise ValueError("the function gives features that are not finite: correct it")
        found.append(placed(made))
    if found[0].shape[1] != found[1].shape[1]:
        of_x, of_y = (each.shape[1] for each in found)
        raise ValueError(f"the function gives {of_x} features of X and {of_y} of Y: as many of both are needed")
    return {"features": tuple(found)}


def _net(given: Pair, p: Any) -> DiffusionNet:
    return DiffusionNet(
        jax.random.fold_in(jax.random.key(p.seed), 1),
        given.x.descriptors.shape[1],
        p.units,
        width=p.units,
        blocks=p.blocks,
        gradients=p.gradients,
        dtype=jnp.float32,
    )


def _learned(given: Pair, net: Net, p: Any, settings: Any, loop: Loop) -> tuple[Any, Any, Any, dict[str, Any]]:
    """Features of a trained network, why the training ended, its steps, and errors on the way."""
    key, dtype, light = jax.random.key(p.seed), given.distances.dtype, lightened(given)

    def learn(**more: Any) -> correspondence.Learned:
        surfaces = [light.x, light.y, *light.others]
        return correspondence.learn(
            key,
            surfaces,
            net=net,
            k=p.k,
            settings=settings,
            transport=p.transport,
            root="separate",
            directions=p.directions,
            **more,
        )

    def look(net: Any) -> tuple[Array, Array]:
        found = match(light, net(light.x), net(light.y), p.k, settings)
        return errors(light, found.p2p).mean(), errors(light, found.nearest).mean()

    followed = frames.followed(loop, learn, lambda part: look(part.net), look(net), p.train_steps)
    last = followed.last
    film_error, film_nearest = (jnp.stack(each) for each in zip(*followed.seen, strict=True))
    found, reason = {"film_error": film_error, "film_nearest": film_nearest}, last.reason
    if p.refine_steps:
        refined = correspondence.refine(
            jax.random.fold_in(key, 2),
            light.x,
            light.y,
            last.net,
            k=p.k,
            steps=p.refine_steps,
            transport=p.transport,
            root="separate",
            directions=200,
            settings=settings._replace(rate=0.1 * p.learning_rate),
            loop=loop,
        )
        after = match(light, refined.net(light.x), refined.net(light.y), p.k, settings)
        found["error_refined"] = errors(light, after.p2p).mean()
        reason = first_failure(reason, refined.reason)
    return tuple(last.net(each).astype(dtype) for each in (light.x, light.y)), reason, last.state.step, found


@jit
def _measured(given: Pair, p: Any, matched: Match, plain: Match, p2p: Any) -> dict[str, Any]:
    """Errors of each correspondence, and spectra."""
    x, y = given.x, given.y
    phi_x, phi_y = x.functions[:, : p.k], y.functions[:, : p.k]
    sizes = jnp.asarray([size for size in SIZES if size <= x.values.size])
    truth = p2p if given.truth is None else given.truth
    best = functional_maps.of_point_map(truth, phi_x, y.inverse[: p.k])
    random_map = random.randint(jax.random.key(0), p2p.shape, 0, len(x.mass))
    by_best = functional_maps.point_map(best, phi_x, phi_y)
    maps = random_map, plain.nearest, matched.nearest, matched.p2p, p2p, by_best
    off = {name: errors(given, each) for name, each in zip(WAYS, maps, strict=True)}
    within = jnp.linspace(0, 10, 40)
    share = (off["sharpened"][None, :] <= within[:, None]).mean(axis=1)
    shown = slice(1, 1 + SHOWN)
    return {
        "error": off["sharpened"].mean(),
        "error_map": off["map"].mean(),
        "error_nearest": off["nearest"].mean(),
        "error_solved": errors(given, functional_maps.point_map(matched.c_xy, phi_x, phi_y)).mean(),
        "error_waves": off["signatures"].mean(),
        "floor": off["best map"].mean(),
        "area_under": jnp.trapezoid(share, within / 10),
        "p2p": p2p,
        "off": off["sharpened"],
        "off_nearest": off["nearest"],
        "x": x.vertices,
        "y": y.vertices,
        "marked": p.point % len(y.mass),
        "c": matched.c_xy,
        "c_best": best,
        "values_x": x.values,
        "values_y": y.values,
        "phi_x": x.functions[:, shown].T,
        "phi_y": y.functions[:, shown].T,
        "correct": jnp.stack([(each[None, :] <= THRESHOLDS[:, None]).mean(axis=1) for each in off.values()]),
        "floor_by": _by_size(given, truth, sizes),
        "map_by": _by_size(given, matched.nearest, sizes),
    }
