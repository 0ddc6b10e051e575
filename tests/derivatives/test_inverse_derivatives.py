"""Derivatives of inverse problems: operators, problems, posteriors, solvers, flows and metrics."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from derivatives.entries import Case, Entry, tests_of

from lab import denoise, inverse
from lab.inverse import metrics, pmrf
from lab.numerics.differentiation import NotDifferentiableError
from lab.numerics.mixtures import Mixture

SHAPE, N = (1, 2, 3), 6
KEY = jax.random.key(3)


def white():
    pixels = np.random.default_rng(1).normal(size=(9, *SHAPE))
    return denoise.Wiener(denoise.spectrum(denoise.Images(pixels)), SHAPE)


PRIOR = white()


def matrix(rng, rows=4):
    return rng.normal(size=(rows, N))


def spd(rng, n):
    half = rng.normal(size=(n, n))
    return half @ half.T / n + 0.2 * np.eye(n)


def symmetric(direction):
    return direction + direction.T


def operators(make):
    """Apply, adjoint and norm of an operator that is made of one array."""

    def case(rng):
        made, values = make(rng)
        sizes = made(values).inputs, made(values).outputs

        def all_of(values, x, y):
            operator = made(values)
            return operator(x), operator.adjoint(y), operator.norm()

        return all_of, {"values": values, "x": rng.normal(size=sizes[0]), "y": rng.normal(size=sizes[1])}

    return Entry((Case(case, gradient=("values", "x", "y"), tolerance=2e-5),))


def of_image(operator):
    def parts(x):
        y = operator(x)
        return (y.real, y.imag) if operator.is_complex else y

    return Entry((Case(lambda rng: (parts, {"x": 0.2 + 0.5 * rng.random(operator.inputs)}), gradient=("x",)),))


def solver(make, gradient=("y", "noise", "weights"), start=0.1, tolerance=3e-5, rows=4, **settings):
    """The solution in the measurement, the noise, the matrix, and the settings of a method."""

    def case(rng):
        def run(y, noise, weights, start, **settings):
            given = inverse.problem(inverse.Dense(weights, SHAPE), y, noise)
            return inverse.solve(given, PRIOR, make(**settings), key=KEY, start=start).x

        fixed = {
            "y": rng.normal(size=rows),
            "noise": 0.3,
            "weights": matrix(rng, rows),
            "start": rng.normal(size=SHAPE),
        }
        return run, fixed | settings

    return Entry((Case(case, gradient=(*gradient, *settings), tolerance=tolerance),))


def problem(rng):
    inputs = {"y": rng.normal(size=4), "noise": 0.4, "weights": matrix(rng), "x": rng.normal(size=SHAPE)}

    def run(y, noise, weights, x):
        given = inverse.problem(inverse.Dense(weights, SHAPE), y, noise)
        return given.misfit(x), given.start(), given.noise

    return run, inputs


def mixture(rng):
    return Mixture([0.4, 0.6], rng.normal(size=(2, N)), np.stack([spd(rng, N), spd(rng, N)]))


def bayes(function):
    def case(rng):
        prior, weights = mixture(rng), matrix(rng)

        def run(y, noise, means):
            given = inverse.problem(inverse.Dense(weights, SHAPE), y, noise)
            return function(given, Mixture(prior.weights, means, prior.covariances))

        return run, {"y": rng.normal(size=4), "noise": 0.5, "means": prior.means}

    return Case(case, gradient=("y", "noise", "means"), tolerance=2e-5)


def restored(outputs):
    def case(rng):
        def run(covariance, operator, noise):
            return outputs(inverse.restoration(covariance, operator, noise))

        return run, {"covariance": spd(rng, 3), "operator": rng.normal(size=(3, 3)), "noise": spd(rng, 3)}

    return Case(
        case,
        gradient=("covariance", "operator", "noise"),
        moves={"covariance": symmetric, "noise": symmetric},
        tolerance=3e-5,
    )


def projections(rng):
    x = rng.normal(size=(2, 5, 5))
    return (lambda angles, x: inverse.radon((2, 5, 5), angles)(x)), {"angles": [3.0, 40.0, 100.0], "x": x}


def variation(rng):
    y = np.repeat(rng.normal(size=(2, 2, 2)), 2, axis=0) + 0.1 * rng.normal(size=(4, 2, 2))
    operator = inverse.Identity(y.shape)

    def run(y, lam):
        found = inverse.total_variation(inverse.problem(operator, y, 0.1), lam, 0.3, tolerance=1e-8)
        return found.x, found.residual

    return run, {"y": y, "lam": 0.15}


def pair_restored(rng):
    made = inverse.PairFlow(*(jnp.asarray(rng.normal(size=(4, 2))) for _ in range(2)), 0.7)
    return (lambda z: inverse.restore(made, z, 3).end), {"z": rng.normal(size=(3, 2))}


def calibrated(function):
    return Case(
        lambda rng: (
            (lambda images: function(PRIOR_OF_POINTS, images, KEY).error),
            {"images": rng.normal(size=(2, N))},
        ),
        gradient=("images",),
        tolerance=1e-4,
    )


PRIOR_OF_POINTS = denoise.denoiser(lambda x, sigma: jnp.tanh(x) / (1 + sigma[0]), SHAPE)


def volume_solver(rng):
    """MBIR of a volume, whose prior denoises slices."""
    operator = inverse.Identity((3, 2, 1))

    def run(y, gain, **settings):
        own = jax.tree_util.Partial(lambda gain, x, sigma: jnp.tanh(gain * x), gain)
        prior = denoise.denoiser(own, (3, 2, 1))
        method = inverse.MBIR(steps=3, admm=2, inner=2, **settings)
        return inverse.solve(inverse.problem(operator, y, 0.1), prior, method, key=KEY).x

    numbers = {"gain": 0.7, "lam": 0.02, "rho": 0.3, "sigma_min": 0.1, "sigma_max": 2.0, "snr": 0.2}
    return run, {"y": rng.normal(size=(3, 2, 1))} | numbers


def clipped(rng):
    """FLAIR by gradient descent on a misfit that is not linear."""
    prior = denoise.denoiser(lambda x, sigma: x / 2, (3, 2, 1))

    def run(y, **settings):
        method = inverse.Flair(steps=2, data="sgd", data_steps=3, **settings)
        return inverse.solve(inverse.problem(inverse.Clip((3, 2, 1)), y, 0.1), prior, method, key=KEY).x

    return run, {"y": rng.normal(size=(3, 2, 1)), "c": 0.3, "data_rate": 0.2}


def singular_flow(rng):
    made = inverse.restoration(spd(rng, 3), rng.normal(size=(2, 3)), spd(rng, 2))
    return (lambda noise: made.flow(noise).map()), {"noise": 0.2}


def pair_flow(rng):
    x, star, z = (rng.normal(size=(4, 2)) for _ in range(3))
    return (lambda x, star, z, noise: pmrf.PairFlow(x, star, noise)(0.4, z)), {
        "x": x,
        "star": star,
        "z": z,
        "noise": 0.7,
    }


def calibration(rng):
    error = np.linspace(1, 2, 100) + rng.random(100) / 10
    t = jnp.linspace(1, 0, 100)
    return (lambda error, c, shift: inverse.Calibration(t, error).weights(c, shift)), {
        "error": error,
        "c": 0.4,
        "shift": 0.9,
    }


def two(function, size=(2, 1, 8, 8)):
    return Entry((Case(lambda rng: (function, {"x": rng.random(size), "truth": rng.random(size)}), ("x", "truth")),))


SOLVED = solver(lambda: inverse.REDDiff(steps=3), ("y", "weights", "start"))

TABLE = {
    "adjoint_error": Entry(fixed=("made", "key")),  # a number of rounding's size
    "average": Entry(of_image(inverse.average((1, 4, 4), 2)).cases, ("inputs", "by")),
    "bicubic": Entry(of_image(inverse.bicubic((1, 4, 4), 2)).cases, ("inputs", "by")),
    "box": Entry(fixed=("sides", "top", "left", "height", "width")),  # truth values
    "calibrate": Entry((calibrated(inverse.calibrate),), ("denoiser", "key")),
    "calibrated": Entry((calibrated(inverse.calibrated),), ("prior", "key"), {"held": "images"}),
    "evidence": Entry((bayes(inverse.evidence),), also={"given": "y", "prior": "means"}),
    "filtered_backprojection": Entry(
        (
            Case(
                lambda rng: (
                    inverse.filtered_backprojection,
                    {"sinogram": rng.normal(size=(1, 5, 3)), "angles": np.asarray([3.0, 50.0, 100.0])},
                ),
                ("sinogram", "angles"),
            ),
        )
    ),
    "free_form": Entry(fixed=("key", "sides", "strokes", "width")),  # truth values
    "gaussian": Entry(
        (Case(lambda rng: (lambda sigma: inverse.gaussian(sigma, 5), {"sigma": 1.2}), ("sigma",)),), ("size",)
    ),
    "lines": Entry(fixed=("key", "sides", "acceleration")),  # truth values
    "measure": Entry(
        (
            Case(
                lambda rng: (
                    lambda x, noise, weights: inverse.measure(inverse.Dense(weights, SHAPE), x, noise, KEY).y,
                    {"x": rng.normal(size=SHAPE), "noise": 0.3, "weights": matrix(rng)},
                ),
                ("x", "noise", "weights"),
            ),
        ),
        ("key",),
        {"operator": "weights"},
    ),
    "motion": Entry(
        (Case(lambda rng: (lambda angle: inverse.motion(5, angle), {"angle": 20.0}), ("angle",), step=1e-6),),
        ("length",),
    ),
    "operator": Entry(
        (
            Case(
                lambda rng: (
                    lambda w, x: inverse.operator(lambda z: jnp.tanh(w * z), (3,))(x),
                    {"w": rng.normal(size=3), "x": rng.normal(size=3)},
                ),
                ("w", "x"),
            ),
        ),
        ("inputs", "linear", "adjoint"),
        {"function": "w"},
    ),
    "posterior": Entry((bayes(lambda *of: inverse.posterior(*of)),), also={"given": "y", "prior": "means"}),
    "prepared": Entry(
        (
            Case(
                lambda rng: (
                    lambda weights, y: inverse.prepared(inverse.Dense(weights, (3,))).pinv(y),
                    {"weights": rng.normal(size=(3, 3)), "y": rng.normal(size=3)},
                ),
                ("weights", "y"),
                tolerance=1e-4,
            ),
        ),
        also={"made": "weights"},
    ),
    "problem": Entry((Case(problem, ("y", "noise", "weights", "x")),), also={"operator": "weights"}),
    "radon": Entry((Case(projections, ("angles", "x")),), ("inputs",)),
    "restoration": Entry(
        (
            restored(lambda made: (made.gain, made.mmse, made.best, made.between(0.3), made.transport.matrix)),
            restored(lambda made: (made.flow(0.2).map(), made.flow(0.2).map(2), made.flow(0.2).velocity(0.4))),
        )
    ),
    "restore": Entry((Case(pair_restored, ("z",)),), ("field", "steps", "loop")),
    "scattered": Entry(fixed=("key", "sides", "share")),  # truth values
    "solve": Entry(SOLVED.cases, ("denoiser", "method", "key", "seeds", "keep", "loop"), {"problem": "y"}),
    "total_variation": Entry(
        (Case(variation, ("y", "lam"), tolerance=1e-4),),
        ("rho", "steps", "inner", "periodic", "tolerance"),  # they decide the speed, not the solution
        {"problem": "y"},
    ),
    "uniform": Entry(fixed=("size",)),
    # methods of classes
    "Dense": operators(lambda rng: (lambda w: inverse.Dense(w, SHAPE), matrix(rng))),
    "Blur": operators(lambda rng: (lambda k: inverse.Blur((1, 4, 4), k), rng.random((3, 3)))),
    "Blur.reflect": operators(lambda rng: (lambda k: inverse.Blur((1, 4, 4), k, "reflect"), rng.random((3, 3)))),
    "Separable": operators(lambda rng: (lambda w: inverse.Separable(w, w[:1], 1), rng.normal(size=(2, 3)))),
    "Radon": operators(lambda rng: (lambda a: inverse.Radon((1, 5, 5), a), np.asarray([3.0, 40.0, 100.0]))),
    "Mask": of_image(inverse.Mask([[[True, False, True]]])),
    "MaskedFourier": of_image(inverse.MaskedFourier((1, 2, 2), [[True, False], [True, True]])),
    "Identity": of_image(inverse.Identity(SHAPE)),
    "PhaseRetrieval": of_image(inverse.PhaseRetrieval((1, 3, 3))),
    "LinearLightBlur": of_image(inverse.LinearLightBlur(inverse.Blur((1, 4, 4), np.ones((3, 3)) / 9))),
    "Clip": Entry(
        (
            Case(
                lambda rng: (
                    lambda x, gain: inverse.Clip((4,), gain)(x),
                    {"x": rng.uniform(-0.9, 0.9, 4), "gain": 1.1},
                ),
                ("x", "gain"),
            ),
        )
    ),
    "Restoration.flow": Entry((Case(singular_flow, ("noise",), tolerance=1e-4),)),
    "PairFlow": Entry((Case(pair_flow, ("x", "star", "z", "noise")),)),
    "Calibration.weights": Entry((Case(calibration, ("error", "c", "shift")),)),
    "DPS": solver(lambda **s: inverse.DPS(steps=3, **s), ("y", "weights"), zeta=0.3),
    "PiGDM": solver(lambda **s: inverse.PiGDM(steps=3, **s), eta=0.6, strength=0.8, tolerance=1e-4, rows=N),
    "DDRM": solver(lambda **s: inverse.DDRM(steps=3, **s), eta=0.6, eta_b=0.9, tolerance=1e-4, rows=N),
    "REDDiff": solver(
        lambda **s: inverse.REDDiff(steps=3, **s),
        ("y", "weights", "start"),
        lam=0.3,
        v=0.9,
        rate=0.05,
        dispersion=0.1,
        decay=0.2,
    ),
    "Flair": solver(lambda **s: inverse.Flair(steps=3, **s), ("y", "weights"), c=0.3, t_min=0.2, adjust_scale=0.7),
    "Flair.sgd": Entry((Case(clipped, ("y", "c", "data_rate")),)),
    "MBIR": Entry(
        (
            Case(
                volume_solver,
                ("y", "gain", "lam", "rho", "sigma_min", "sigma_max", "snr"),
                tolerance=3e-5,
            ),
        )
    ),
    "PlugAndPlay": solver(lambda **s: inverse.PlugAndPlay(steps=3, **s), sigma=0.3, first=0.9, rows=N),
    "PlugAndPlay.red": solver(
        lambda **s: inverse.PlugAndPlay(steps=3, scheme="red", **s), sigma=0.3, lam=0.8, rate=0.7, tolerance=1e-4
    ),
    "Variation": solver(
        lambda **s: inverse.Variation(steps=6, **s),
        ("y", "noise", "weights", "start"),
        lam=0.5,
        rate=2.0,
        tolerance=1e-4,
    ),
    "metrics.psnr": two(metrics.psnr),
    "metrics.ssim": two(metrics.ssim),
    "metrics.distance": two(lambda x, truth: metrics.distance(x, truth[0], (1, 8, 8))),
    "metrics.rings": two(metrics.rings),
    "metrics.nearest": two(lambda x, truth: metrics.nearest(x, truth)),
}

test_every_public_function_and_argument_is_listed, test_derivative = tests_of("inverse", TABLE)


@pytest.mark.parametrize(
    "method",
    [lambda n: inverse.MBIR(steps=2, inner=n), lambda n: inverse.Flair(steps=2, data="sgd", data_steps=n)],
    ids=["MBIR", "Flair"],
)
def test_a_traced_number_of_inner_steps_cannot_be_stored_in_a_derivative(method):
    prior = denoise.denoiser(lambda x, sigma: x / 2, (3, 2, 1))

    def run(y, count):
        given = inverse.problem(inverse.Identity((3, 2, 1)), y, 0.1)
        return inverse.solve(given, prior, method(count), key=KEY).x.sum()

    y = jnp.ones((3, 2, 1))
    assert jnp.isfinite(jax.jit(run)(y, 3))
    with pytest.raises(NotDifferentiableError, match="not traced"):
        jax.grad(jax.jit(run))(y, 3)


def test_the_derivative_of_mbir_is_finite_where_residual_and_roughness_are_zero():
    prior = denoise.denoiser(lambda x, sigma: x / 2, (1, 2, 1))
    method = inverse.MBIR(steps=2, lam=0.0, snr=0.0, rho=0.5, inner=2)

    def run(y):
        return inverse.solve(inverse.problem(inverse.Identity((1, 2, 1)), y, 0.1), prior, method, key=KEY).x

    assert jnp.allclose(jax.jacrev(run)(jnp.ones((1, 2, 1)))[0].reshape(2, 2), jnp.eye(2), atol=1e-6)
