"""What is told of a correspondence, and what a run fills it with."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lab.numerics import Loop, Reason, first_failure, random
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.shapes import correspondence, functional_maps, survey
from lab.shapes.diffusion_net import DiffusionNet
from lab.shapes.own_net import Net, checked_features
from lab.studies.contract import Result

WAYS = ("random", "signatures", "nearest", "map", "sharpened", "best map")
SHOWN = 4  # eigenfunctions of each surface
THRESHOLDS = np.linspace(0, 25, 51)
_UNTRAINED = "nothing was learned: set the training steps above 0"
_UNKNOWN = "the truth of these data is not known: bring truth, or choose a named pair"
_PLAIN = "nothing was refined: set the training steps and the steps of refining above 0"

RESULTS = (
    Result("error", (), "error", "mean geodesic error of the correspondence, in % of the root of the area", "%", headline=True,
           absent=_UNKNOWN),
    Result("error_map", (), "by the map", "the same, of the functional map of the nearest features, not sharpened", "%",
           headline=True, absent=_UNKNOWN),
    Result("error_nearest", (), "by features", "the same, of the nearest features alone", "%", headline=True, absent=_UNKNOWN),
    Result("error_solved", (), "by the solve", "the same, of the functional map that is solved for from features", "%",
           absent=_UNKNOWN),
    Result("error_waves", (), "by signatures", "the same, of the nearest wave kernel signatures", "%", absent=_UNKNOWN),
    Result("floor", (), "best map", "the same, of the best functional map of so many eigenfunctions", "%", headline=True,
           absent=_UNKNOWN),
    Result("area_under", (), "AUC", "under the curve of correct points, up to a tenth of the root of the area", headline=True,
           absent=_UNKNOWN),
    Result("bijectivity", (), "bijectivity", "|C_xy C_yx - I|² + |C_yx C_xy - I|²", headline=True),
    Result("orthogonality", (), "orthogonality", "|C'C - I|² of both maps"),
    Result("isometry", (), "commutation", "|C Λ - Λ C|² of both maps"),
    Result("coupling", (), "coupling", "of the maps from those of the soft correspondences"),
    Result("error_refined", (), "refined, by the map", "mean geodesic error after refining", "%", absent=_PLAIN),
    Result("error_refined_nearest", (), "refined, by features", "the same, of the nearest features", "%", absent=_PLAIN),
    Result("p2p", ("w",), "vertex of X", "of each vertex of Y, by the correspondence"),
    Result("off", ("w",), "error", "of each vertex of Y", "%", absent=_UNKNOWN),
    Result("off_nearest", ("w",), "error", "of each vertex of Y, by the nearest features", "%", absent=_UNKNOWN),
    Result("x", ("v", "axis"), "place", "vertices of X, of area 1"),
    Result("y", ("w", "axis"), "place", "vertices of Y, of area 1"),
    Result("x_faces", ("face", "corner"), "vertex", "of the faces of X"),
    Result("y_faces", ("side", "corner"), "vertex", "of the faces of Y"),
    Result("marked", (), "vertex of Y", "that is marked"),
    Result("c", ("row", "column"), "entry", "of the functional map from X to Y that is solved for"),
    Result("c_best", ("row", "column"), "entry", "of the map of the truth", absent=_UNKNOWN),
    Result("values_x", ("i",), "eigenvalue", "of X, of area 1"),
    Result("values_y", ("i",), "eigenvalue", "of Y, of area 1"),
    Result("phi_x", ("shown", "v"), "eigenfunction", "of X, the first that are not constant"),
    Result("phi_y", ("shown", "w"), "eigenfunction", "of Y"),
    Result("correct", ("way", "threshold"), "correct points", "share of the vertices of Y with at most this error",
           absent=_UNKNOWN),
    Result("floor_by", ("size",), "best map", "mean error of the best functional map, by eigenfunctions", "%", absent=_UNKNOWN),
    Result("map_by", ("size",), "map of the features", "mean error of that of the nearest features", "%", absent=_UNKNOWN),
    Result("zoom_error", ("zoomed",), "sharpened", "mean error as ZoomOut goes on", "%",
           absent="nothing was sharpened: set sharpen to above k"),
    Result("zoom_size", ("zoomed",), "eigenfunctions", "as ZoomOut goes on", absent="nothing was sharpened"),
    Result("sliced", ("lines",), "sliced distance", "of the features of X and of Y's seen on X"),
    Result("sliced_error", ("lines",), "standard error", "of the choice of directions"),
    Result("energy", ("lines",), "energy-based", "directions weighed by what they see"),
    Result("weight", ("direction",), "weight", "of each direction, in the mean 1"),
    Result("seen", ("direction",), "W₂²", "that a direction sees"),
    Result("terms", ("term", "train_step"), "term", "of the loss before its weight", absent=_UNTRAINED),
    Result("loss", ("train_step",), "loss", "of each step", absent=_UNTRAINED),
    Result("maps", ("frame", "row", "column"), "entry", "of the functional map as it is learned", absent=_UNTRAINED),
    Result("film_error", ("frame",), "by the map", "mean error as it is learned", "%", absent=_UNTRAINED),
    Result("film_nearest", ("frame",), "by features", "the same, of the nearest features", "%", absent=_UNTRAINED),
)
DIMS: Mapping[str, tuple[str, str]] = {
    "v": ("vertex of X", ""), "w": ("vertex of Y", ""), "axis": ("axis", ""), "face": ("face of X", ""),
    "side": ("face of Y", ""), "corner": ("corner", ""), "row": ("eigenfunction of Y", ""),
    "column": ("eigenfunction of X", ""), "i": ("number", ""), "shown": ("eigenfunction", ""), "way": ("correspondence", ""),
    "threshold": ("error", "%"), "size": ("eigenfunctions", ""), "zoomed": ("step", ""), "lines": ("directions", ""),
    "direction": ("direction", ""), "term": ("term", ""), "train_step": ("training step", ""), "frame": ("step", ""),
}


def own_features(own: Any, given: survey.Pair) -> dict[str, Any]:
    """The features that a function of one's own gives, or a network before it is learned."""
    found = []
    for on in (given.x, given.y):
        try:
            made = np.asarray(own(jax.tree.map(np.asarray, on)), on.mass.dtype)
        except Exception as problem:
            raise TypeError(f"the features can't be had of a surface of {len(on.mass)} vertices: {problem}") from problem
        if not np.isfinite(checked_features(made, on, "the function")).all():
            raise ValueError("the function gives features that are not finite: mend it there")
        found.append(placed(made))
    if found[0].shape[1] != found[1].shape[1]:
        of_x, of_y = (each.shape[1] for each in found)
        raise ValueError(f"the function gives {of_x} features of X and {of_y} of Y: as many of both are needed")
    return {"features": tuple(found)}


def run(inputs: Any, p: Any, loop: Loop, own: Any = None) -> dict[str, Any]:
    """Features, learned or not; the correspondence that they give, sharpened; and how good it is."""
    given, faces = inputs["pair"], inputs["faces"]
    # where nothing can be learned of what is one's own, there is no rate to set
    rate, weight = getattr(p, "learning_rate", 1e-3), getattr(p, "ot_weight", 0.0)
    settings = correspondence.Settings(transport=weight, strength=p.strength, tau=p.tau, rate=rate, last_rate=0.1 * rate)
    features, reason, output = (survey.waves(given.x), survey.waves(given.y)), Reason.CONVERGED, {}
    plain = found = survey.told(given, features[0], features[1], p.k, settings)
    if own is not None:
        features = inputs["features"]
    if steps := getattr(p, "train_steps", 0):
        net = _net(given, p) if own is None else own
        features, reason, output = _learned(given, net, p, settings, loop)
    if own is not None or steps:
        found = survey.told(given, features[0], features[1], p.k, settings)
    zoom = survey.zoomed(loop, given, found.c_map, p.zoom)
    output |= {"x_faces": faces[0], "y_faces": faces[1], "iterations": zoom.iterations + output.pop("steps", 0)}
    output |= {name: found.losses[name] for name in ("bijectivity", "orthogonality", "isometry", "coupling")}
    if p.zoom > p.k:
        output |= {"zoom_size": zoom.trace["size"], "zoom_error": zoom.trace["error"]}
    output |= _looked(given, p.only("k", "point", "seed", "tau"), found, plain, zoom.state.p2p, features)
    if given.truth is None:
        output = {name: value for name, value in output.items() if name not in _OF_TRUTH}
    return output | {"reason": first_failure(reason, zoom.reason)}


_OF_TRUTH = {result.name for result in RESULTS if result.absent == _UNKNOWN} | {
    "zoom_error", "film_error", "film_nearest", "error_refined", "error_refined_nearest",
}


def _net(given: survey.Pair, p: Any) -> DiffusionNet:
    return DiffusionNet(
        jax.random.fold_in(jax.random.key(p.seed), 1), given.x.descriptors.shape[1], p.units, width=p.units, blocks=p.blocks,
        gradients=p.gradients, dtype=jnp.float32,
    )


def _learned(given: survey.Pair, net: Net, p: Any, settings: Any, loop: Loop) -> tuple[Any, Any, dict[str, Any]]:
    """Features of a network, and the course of its training."""
    key, dtype = jax.random.key(p.seed), given.distances.dtype
    taught = survey.teach(
        loop, key, given, net, settings, k=p.k, steps=p.train_steps, transport=p.transport, root="separate",
        directions=p.directions,
    )
    output = {
        "terms": jnp.stack([taught.terms[name] for name in (*correspondence.TERMS, "norm")]), "loss": taught.terms["loss"],
        "maps": taught.maps, "film_error": taught.error, "film_nearest": taught.error_nearest, "steps": taught.iterations,
    }
    reason = taught.reason
    if p.refine_steps:
        light = survey.lightened(given)
        gentle = settings._replace(rate=0.1 * p.learning_rate)
        refined = correspondence.refine(
            jax.random.fold_in(key, 2), light.x, light.y, taught.net, k=p.k, steps=p.refine_steps, transport=p.transport,
            root="separate", directions=200, settings=gentle, loop=loop,
        )
        after = survey.told(light, refined.net(light.x), refined.net(light.y), p.k, settings)
        output |= {"error_refined": survey.errors(light, after.p2p).mean(),
                   "error_refined_nearest": survey.errors(light, after.nearest).mean()}
        reason = first_failure(reason, refined.reason)
    return (taught.fx.astype(dtype), taught.fy.astype(dtype)), reason, output


@jit
def _looked(
    given: survey.Pair, p: Any, found: survey.Told, plain: survey.Told, p2p: Any, features: tuple[Any, Any]
) -> dict[str, Any]:
    """How far from the truth each correspondence is; spectra, and what directions see of the features."""
    return _errors(given, p, found, plain, p2p) | _spectra(given) | _directions(p, features)


def _errors(given: survey.Pair, p: Any, found: survey.Told, plain: survey.Told, p2p: Any) -> dict[str, Any]:
    x, y = given.x, given.y
    sizes = jnp.asarray([size for size in survey.SIZES if size <= x.values.size])
    by_solve = functional_maps.point_map(found.c_xy, x.functions[:, : p.k], y.functions[:, : p.k])
    truth = p2p if given.truth is None else given.truth
    best = functional_maps.of_point_map(truth, x.functions[:, : p.k], y.inverse[: p.k])
    by_best = functional_maps.point_map(best, x.functions[:, : p.k], y.functions[:, : p.k])
    by_chance = random.randint(jax.random.key(0), p2p.shape, 0, len(x.mass))
    off = {name: survey.errors(given, each) for name, each in zip(
        WAYS, (by_chance, plain.nearest, found.nearest, found.p2p, p2p, by_best), strict=True)}
    correct = jnp.stack([(each[None, :] <= THRESHOLDS[:, None]).mean(axis=1) for each in off.values()])
    within = jnp.linspace(0, 10, 40)
    share = (off["sharpened"][None, :] <= within[:, None]).mean(axis=1)
    return {
        "error": off["sharpened"].mean(), "error_map": off["map"].mean(), "error_nearest": off["nearest"].mean(),
        "error_solved": survey.errors(given, by_solve).mean(), "error_waves": off["signatures"].mean(),
        "floor": off["best map"].mean(), "area_under": jnp.trapezoid(share, within / 10), "p2p": p2p, "off": off["sharpened"],
        "off_nearest": off["nearest"],
        "x": x.vertices, "y": y.vertices, "marked": p.point % len(y.mass), "c": found.c_xy, "c_best": best, "correct": correct,
        "floor_by": survey.by_size(given, truth, sizes), "map_by": survey.by_size(given, found.nearest, sizes),
    }


def _spectra(given: survey.Pair) -> dict[str, Any]:
    shown = slice(1, 1 + SHOWN)
    return {"values_x": given.x.values, "values_y": given.y.values, "phi_x": given.x.functions[:, shown].T,
            "phi_y": given.y.functions[:, shown].T}


def _directions(p: Any, features: Any) -> dict[str, Any]:
    found = survey.by_count(jax.random.fold_in(jax.random.key(p.seed), 3), features[0], features[1], p.tau)
    return {"sliced": found.value, "sliced_error": found.standard_error, "energy": found.energy,
            "weight": jnp.sort(found.weight)[::-1], "seen": found.by_direction[jnp.argsort(-found.by_direction)]}
