"""Derivatives of ``lab.shapes``."""

from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from derivatives.entries import Case, Entry, tests_of

from lab import shapes
from lab.shapes import diffusion_net, functional_maps, geodesics, laplacian, mesh, spectrum, surface

_HOST = "the type: a Mesh holds NumPy arrays, and SciPy the sparse matrices of it; laplacian.dense has the derivative"
_JUMP = "the nearest vertex jumps"
_TRAINING = "a training does not end at a minimum"


@cache
def _surface():
    ball = shapes.sphere(0)
    places = ball.vertices * np.array([1.0, 1.3, 0.8])
    return surface.surface(mesh.mesh(places, ball.faces), 5, places, dtype=np.float64)


def _net(weights):
    return shapes.OwnNet(jax.tree_util.Partial(lambda w, on: jnp.tanh(on.descriptors @ w), weights), jnp.float64)


def _on(descriptors):
    return eqx.tree_at(lambda s: s.descriptors, _surface(), jnp.asarray(descriptors))


def _spectrum_inputs(rng):
    return {
        "values": np.r_[0.0, np.sort(rng.uniform(1, 9, 5))],
        "functions": rng.normal(size=(7, 6)),
        "mass": rng.uniform(0.5, 1, 7),
    }


def _heat(rng):
    times = rng.uniform(0.1, 1, 3)

    def function(values, functions, mass, times):
        return shapes.heat_kernel(shapes.Spectrum(values, functions, mass), times)

    return function, {**_spectrum_inputs(rng), "times": times}


def _wave(rng):
    def function(values, functions, mass):
        return shapes.wave_kernel(shapes.Spectrum(values, functions, mass), 29)

    return function, _spectrum_inputs(rng)


def _above(direction):  # the first eigenvalue stays 0
    return np.r_[0.0, direction[1:]]


def _learn(rng):
    def function(descriptors, tau, weights):
        settings = shapes.correspondence.Settings(tau=tau)
        return shapes.learn(
            jax.random.key(0), [_on(descriptors)] * 2, net=_net(weights), k=3, steps=1, settings=settings
        ).net.weights

    return function, {"descriptors": rng.normal(size=(12, 3)), "tau": 0.1, "weights": rng.normal(size=(3, 4))}


def _refine(rng):
    def function(descriptors, tau, weights):
        x, settings = _on(descriptors), shapes.correspondence.Settings(tau=tau)
        return shapes.refine(jax.random.key(0), x, x, _net(weights), k=3, steps=1, settings=settings).net.weights

    return function, {"descriptors": rng.normal(size=(12, 3)), "tau": 0.1, "weights": rng.normal(size=(3, 4))}


def _match(rng):
    def function(x, y, weights, strength):
        settings = shapes.correspondence.Settings(strength=strength)
        return shapes.match(_net(weights), _on(x), _on(y), 3, settings)

    given = {"x": rng.normal(size=(12, 3)), "y": rng.normal(size=(12, 3))}
    return function, {**given, "weights": rng.normal(size=(3, 4)), "strength": 3.0}


def _maps(rng):
    return {"c_xy": rng.normal(size=(3, 3)), "c_yx": rng.normal(size=(3, 3))}


def _modes(rng):
    return {"functions_x": rng.normal(size=(8, 5)), "functions_y": rng.normal(size=(7, 5))}


def _of_mesh(function):
    """A function of a mesh, as one of its vertices."""
    ball = shapes.sphere(0)
    return lambda rng: (lambda vertices: function(mesh.mesh(vertices, ball.faces)), {"vertices": ball.vertices.copy()})


def _network(rng):
    net = shapes.DiffusionNet(jax.random.key(0), 3, 2, width=4, blocks=1, dtype=jnp.float64)
    net = eqx.tree_at(lambda n: n.blocks[0].times, net, jnp.full(4, 0.1))

    def function(descriptors, times, functions):
        on = eqx.tree_at(lambda s: s.functions, _on(descriptors), jnp.asarray(functions))
        return eqx.tree_at(lambda n: n.blocks[0].times, net, jnp.asarray(times))(on)

    inputs = {"descriptors": rng.normal(size=(12, 3)), "times": rng.uniform(0.1, 0.3, 4)}
    return function, {**inputs, "functions": np.asarray(_surface().functions)}


def _slopes(rng):
    def function(f, real, imaginary):
        return diffusion_net.slope_features(f, _surface(), real, imaginary)

    return function, {
        "f": rng.normal(size=(12, 4)),
        "real": rng.normal(size=(4, 4)),
        "imaginary": rng.normal(size=(4, 4)),
    }


def _case(function, gradient=(), refused=None, **draw):
    """A case whose inputs are drawn by shape, or by a function of the generator."""

    def make(rng):
        drawn = {name: how(rng) if callable(how) else rng.normal(size=how) for name, how in draw.items()}
        return function, drawn

    return Case(make, gradient, refused or {})


def _values(rng):
    return np.r_[0.0, np.sort(rng.uniform(1, 9, 2))]


def _positive(rng):
    return rng.uniform(0.3, 0.6)


TABLE = {
    "correct_keypoints": Entry(
        (
            _case(
                lambda errors: shapes.correct_keypoints(jnp.abs(errors)).share,
                (),
                {"errors": "the curve counts"},
                errors=5,
            ),
        ),
        ("most", "count"),
    ),
    "flat_torus": Entry(
        (_case(lambda radii: shapes.flat_torus(4, 4, radii).vertices, (), {"radii": _HOST}, radii=2),), ("m", "n")
    ),
    "geodesic_errors": Entry(
        (
            _case(
                lambda distances: shapes.geodesic_errors([0, 1, 2], [1, 0, 2], distances),
                ("distances",),
                distances=(3, 3),
            ),
        ),
        ("p2p", "truth"),
    ),
    "heat_kernel": Entry((Case(_heat, ("values", "functions", "times")),), ("channels",), {"spectrum": "values"}),
    "wave_kernel": Entry(
        (Case(_wave, ("values", "functions", "mass"), moves={"values": _above}),), ("channels",), {"spectrum": "values"}
    ),
    "learn": Entry(
        (Case(_learn, (), dict.fromkeys(("descriptors", "tau", "weights"), _TRAINING)),),
        ("key", "pairs", "k", "steps", "transport", "root", "directions", "loop", "state"),
        {"surfaces": "descriptors", "settings": "tau", "net": "weights"},
    ),
    "refine": Entry(
        (Case(_refine, (), dict.fromkeys(("descriptors", "tau", "weights"), _TRAINING)),),
        ("key", "k", "steps", "transport", "root", "directions", "loop", "moments"),
        {"x": "descriptors", "y": "descriptors", "settings": "tau", "net": "weights"},
    ),
    "match": Entry(
        (Case(_match, ("x", "y", "weights", "strength")),), ("k",), {"net": "weights", "settings": "strength"}
    ),
    "of_point_map": Entry(
        (
            _case(
                lambda functions_x, inverse_y: shapes.of_point_map([0, 2, 2, 1], functions_x, inverse_y),
                ("functions_x", "inverse_y"),
                functions_x=(3, 2),
                inverse_y=(2, 4),
            ),
        ),
        ("p2p",),
    ),
    "point_map": Entry(
        (
            Case(
                lambda rng: (shapes.point_map, {"c_xy": rng.normal(size=(5, 5)), **_modes(rng)}),
                (),
                dict.fromkeys(("c_xy", "functions_x", "functions_y"), _JUMP),
            ),
        )
    ),
    "zoomout": Entry(
        (
            Case(
                lambda rng: (
                    shapes.zoomout,
                    {"c_xy": rng.normal(size=(3, 3)), **_modes(rng), "inverse_y": rng.normal(size=(5, 7))},
                ),
                ("functions_x", "inverse_y"),
                dict.fromkeys(("c_xy", "functions_y"), _JUMP),
            ),
        ),
        ("step",),
    ),
    "repaired": Entry(
        (
            _case(
                lambda vertices: shapes.repaired(vertices, [[0, 1, 2]]).vertices,
                (),
                {"vertices": _HOST},
                vertices=(3, 3),
            ),
        ),
        ("faces",),
    ),
    "sheet": Entry(
        (
            Case(
                lambda rng: (
                    lambda **sizes: shapes.sheet(3, 3, **sizes).vertices,
                    {"width": 2.0, "height": 1.0, "turn": 1.0},
                ),
                (),
                dict.fromkeys(("width", "height", "turn"), _HOST),
            ),
        ),
        ("m", "n"),
    ),
    "sphere": Entry(
        (_case(lambda radius: shapes.sphere(0, radius).vertices, (), {"radius": _HOST}, radius=()),), ("times",)
    ),
    # the modules
    "laplacian.laplacian": Entry((Case(_of_mesh(lambda m: laplacian.laplacian(m).mass), (), {"vertices": _HOST}),)),
    "laplacian.dense": Entry(
        (
            _case(
                lambda vertices: laplacian.dense(vertices, shapes.sphere(0).faces),
                ("vertices",),
                vertices=lambda rng: shapes.sphere(0).vertices + 0.1 * rng.normal(size=(12, 3)),
            ),
        )
    ),
    "spectrum.spectrum": Entry(
        (
            _case(
                lambda vertices: spectrum.spectrum(laplacian.dense(vertices, shapes.sphere(0).faces), 4)[:2],
                ("vertices",),
                vertices=lambda rng: shapes.sphere(0).vertices + 0.1 * rng.normal(size=(12, 3)),
            ),
        )
    ),
    "geodesics.geodesics": Entry((Case(_of_mesh(lambda m: geodesics.geodesics(m, "edges")), (), {"vertices": _HOST}),)),
    "surface.surface": Entry(
        (
            _case(
                lambda descriptors: surface.surface(shapes.sphere(0), 3, descriptors, dtype=float).descriptors,
                ("descriptors",),
                descriptors=(12, 2),
            ),
        )
    ),
    "DiffusionNet": Entry((Case(_network, ("descriptors", "times", "functions")),)),
    "diffusion_net.slope_features": Entry((Case(_slopes, ("f", "real", "imaginary")),)),
    "functional_maps.mask": Entry(
        (
            _case(
                functional_maps.mask,
                ("values_x", "values_y", "gamma"),
                values_x=lambda rng: np.sort(rng.uniform(1, 9, 3)),
                values_y=lambda rng: np.sort(rng.uniform(1, 9, 4)),
                gamma=_positive,
            ),
            _case(  # an eigenvalue that is 0 beside others
                lambda y: functional_maps.mask(jnp.array([0.0, 1.0, 2.0]), jnp.concatenate([jnp.zeros(1), y])),
                ("y",),
                y=lambda rng: rng.uniform(1, 9, 3),
            ),
        )
    ),
    "functional_maps.solve": Entry(
        (
            _case(
                functional_maps.solve,
                ("a", "b", "penalty", "strength", "ridge"),
                a=(3, 6),
                b=(4, 6),
                penalty=lambda rng: rng.random((4, 3)),
                strength=_positive,
                ridge=_positive,
            ),
        )
    ),
    **{
        f"functional_maps.{function.__name__}": Entry(
            (Case(lambda rng, f=function: (f, _maps(rng)), ("c_xy", "c_yx")),)
        )
        for function in (functional_maps.bijectivity, functional_maps.orthogonality)
    },
    "functional_maps.isometry": Entry(
        (
            Case(
                lambda rng: (
                    functional_maps.isometry,
                    {**_maps(rng), "values_x": _values(rng), "values_y": _values(rng)},
                ),
                ("c_xy", "c_yx", "values_x", "values_y"),
            ),
        )
    ),
    "functional_maps.coupling": Entry(
        (
            _case(
                lambda c_xy, c_yx, pi_xy, pi_yx, phi, back: functional_maps.coupling(
                    c_xy,
                    c_yx,
                    pi_xy,
                    pi_yx,
                    (jnp.asarray(phi), jnp.asarray(back)),
                    (2 * jnp.asarray(phi), jnp.asarray(back)),
                ),
                ("c_xy", "c_yx", "pi_xy", "pi_yx", "phi", "back"),
                c_xy=(2, 2),
                c_yx=(2, 2),
                pi_xy=(4, 4),
                pi_yx=(4, 4),
                phi=(4, 2),
                back=(2, 4),
            ),
        )
    ),
    "functional_maps.partial_losses": Entry(
        (
            _case(
                functional_maps.partial_losses,
                ("c_fp", "c_pf"),
                dict.fromkeys(("values_full", "values_part"), "the rank jumps"),
                c_fp=(3, 3),
                c_pf=(3, 3),
                values_full=_values,
                values_part=_values,
            ),
        )
    ),
    "functional_maps.dirichlet": Entry(
        (
            _case(
                lambda v, weights: functional_maps.dirichlet(v, jnp.array([[0, 1], [1, 2]]), weights),
                ("v", "weights"),
                v=(3, 2),
                weights=2,
            ),
        )
    ),
    "functional_maps.unit_rows": Entry((_case(functional_maps.unit_rows, ("features",), features=(3, 2)),)),
    "functional_maps.soft": Entry(
        (
            _case(
                functional_maps.soft,
                ("features_x", "features_y", "tau"),
                features_x=(4, 3),
                features_y=(5, 3),
                tau=_positive,
            ),
        )
    ),
    "functional_maps.refined": Entry(
        (
            _case(
                functional_maps.refined,
                ("features_x", "features_y", "sigma"),
                features_x=(4, 3),
                features_y=(5, 3),
                sigma=_positive,
            ),
        )
    ),
    "functional_maps.nearest_features": Entry(
        (
            _case(
                functional_maps.nearest_features,
                (),
                dict.fromkeys(("features_x", "features_y"), _JUMP),
                features_x=(4, 3),
                features_y=(5, 3),
            ),
        )
    ),
}

test_every_public_function_and_argument_is_listed, test_derivative = tests_of("shapes", TABLE)
