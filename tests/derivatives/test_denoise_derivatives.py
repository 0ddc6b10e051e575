"""Derivatives of denoisers, their metrics and their samples."""

import jax
import jax.numpy as jnp
import numpy as np
from derivatives.entries import Case, Entry, tests_of

from lab import denoise
from lab.paths.network import Residual

SHAPE, N, COUNT = (1, 2, 3), 6, 5
KEY = jax.random.key(2)


def covariance(rng, spectrum=denoise.dense_spectrum):
    def run(pixels):
        found = spectrum(pixels)
        return found.mean, found.values, found.wiener(0.5), found.trace

    return run, {"pixels": rng.normal(size=(8, 4))}


def whole(rng):
    return covariance(rng, lambda pixels: denoise.spectrum(denoise.Images(pixels, (1, 2, 2))))


def sampled(solver):
    def case(rng):
        pixels = jnp.asarray(rng.normal(size=(COUNT, N)))

        def run(x, levels, pixels):
            made = denoise.Optimal(denoise.Images(pixels, SHAPE))
            return denoise.sample(made, x, levels, solver=solver).x

        return run, {"x": 2 * rng.normal(size=(2, N)), "levels": np.asarray([2.0, 1.0, 0.4]), "pixels": pixels}

    return Case(case, ("x", "levels", "pixels"), tolerance=2e-5)


def optimal():
    return denoise.Optimal(denoise.Images(np.random.default_rng(0).normal(size=(COUNT, *SHAPE))))


def two(function, a=(3, N), b=(3, N), names=("a", "b")):
    return Case(lambda rng: (function, {names[0]: rng.normal(size=a), names[1]: rng.normal(size=b)}), names)


def inputs(rng):
    return {"pixels": rng.normal(size=(COUNT, N)), "x": rng.normal(size=(2, N)), "sigma": 0.8}


def of_images(make, gradient=("pixels", "x", "sigma", "tau"), tolerance=2e-5):
    """Estimate, score and sensitivity of a denoiser that is made of images."""

    def case(rng):
        def run(pixels, x, sigma, **settings):
            made = make(denoise.Images(pixels, SHAPE), **settings)
            return made(x, sigma), made.score(x, sigma), made.sensitivity(x, sigma, 2)

        return run, inputs(rng) | ({"tau": 1.3} if "tau" in gradient else {})

    return Entry((Case(case, gradient, tolerance=tolerance),))


def wiener(rng):
    def run(mean, values, x, sigma):
        made = denoise.Wiener(denoise.Spectrum(mean, values, jnp.eye(N), values.sum()), SHAPE)
        return made(x, sigma), made.log_density(x, sigma), made.expected_error(sigma)

    return run, {"mean": rng.normal(size=N), "values": rng.random(N), "x": rng.normal(size=(2, N)), "sigma": 0.7}


def network(rng):
    core = Residual(KEY, N, width=4, depth=1, frequencies=1, dtype=jnp.float64)

    def run(x, sigma, sigma_data):
        return denoise.Network(core, sigma_data, SHAPE)(x, sigma)

    return run, {"x": rng.normal(size=(2, N)), "sigma": 0.6, "sigma_data": 0.8}


def coordinates(rng):
    made = optimal()

    def run(z, t):
        return made.x0_from_vp(z, t), made.eps(z, t), made.x0_from_flow(z, t), made.velocity(z, t), made.x1_hat(z, t)

    return run, {"z": rng.normal(size=(2, N)), "t": 0.4}


def curve(rng):
    made = optimal()

    def run(images, v):
        return made.mse_curve(images, [0.5, 1.0], KEY).mean, made.pullback(images, 0.8, v)

    return run, {"images": rng.normal(size=(3, N)), "v": rng.normal(size=N)}


def masked(rng):
    def run(mask, x):
        return denoise.Masked(denoise.Images(np.random.default_rng(0).normal(size=(COUNT, *SHAPE))), mask)(x, 0.8)

    return run, {"mask": rng.random((N, N)), "x": rng.normal(size=(2, N))}


TABLE = {
    "agreement": Entry(
        (two(lambda a, b: denoise.agreement(a, b)[:5], (2, 2, 3, N), (2, 3, N)),),
        also={"estimates": "a", "reference": "b"},
    ),
    "calibrated": Entry(
        fixed=("make", "values", "reference", "images", "sigmas", "key")
    ),  # chooses one of finitely many
    "denoiser": Entry(
        (
            Case(
                lambda rng: (
                    lambda w, x, sigma: denoise.denoiser(lambda z, s: jnp.tanh(w * z) / (1 + s[0]), SHAPE)(x, sigma),
                    {"w": 0.7, "x": rng.normal(size=(2, N)), "sigma": 0.8},
                ),
                ("w", "x", "sigma"),
            ),
        ),
        ("shape",),
        {"given": "w"},
    ),
    "dense_spectrum": Entry((Case(covariance, ("pixels",), tolerance=1e-4),)),
    "edm_levels": Entry(
        (
            Case(
                lambda rng: (lambda **ends: denoise.edm_levels(4, **ends), {"low": 0.1, "high": 3.0, "rho": 5.0}),
                ("low", "high", "rho"),
            ),
        ),
        ("steps",),
    ),
    "flex_crops": Entry(
        (
            Case(
                lambda rng: (denoise.flex_crops, {"fields": rng.random((4, 4)), "fraction": 0.6}),
                refused={"fields": "which pixels a crop holds jumps", "fraction": "which pixels a crop holds jumps"},
            ),
        )
    ),
    "geometric_levels": Entry(
        (
            Case(
                lambda rng: (lambda **ends: denoise.geometric_levels(4, **ends), {"low": 0.1, "high": 3.0}),
                ("low", "high"),
            ),
        ),
        ("steps",),
    ),
    "learn": Entry(
        fixed=("key", "core", "images", "steps", "batch", "settings", "name", "state", "loop")
    ),  # a training
    "mse": Entry((two(denoise.mse),)),
    "nearest_distance": Entry((two(denoise.nearest_distance, names=("x", "images")),)),
    "network_of": Entry(fixed=("state", "shape", "name")),  # of a training
    "pooled_r2": Entry((two(denoise.pooled_r2),)),
    "r2": Entry((two(denoise.r2),)),
    "released_levels": Entry(fixed=("steps",)),
    "sample": Entry((sampled("ddim"), sampled("heun")), ("denoiser", "solver", "clip", "keep", "loop")),
    "spectrum": Entry((Case(whole, ("pixels",), tolerance=1e-4),), ("rank", "seed"), {"images": "pixels"}),
    "start": Entry(
        (Case(lambda rng: (lambda sigma: denoise.start(KEY, 2, 3, sigma), {"sigma": 2.0}), ("sigma",)),),
        ("key", "count", "n", "dtype", "vp"),
    ),
    "stream": Entry(
        (
            Case(
                lambda rng: (
                    lambda x, sigma: denoise.stream(optimal(), x, sigma).x0,
                    {"x": rng.normal(size=(2, N)), "sigma": 0.8},
                ),
                ("x", "sigma"),
            ),
        ),
        ("denoiser", "loop"),
    ),
    # methods of classes
    "Optimal": of_images(denoise.Optimal),
    "LS": of_images(lambda images, tau: denoise.LS(images, 3, tau=tau)),
    "ELS": of_images(lambda images, tau: denoise.ELS(images, 3, tau=tau)),
    "ES": of_images(lambda images, tau: denoise.ES(images, tau)),
    "SquareComposite": of_images(lambda images, tau: denoise.SquareComposite(images, 2, tau)),
    "FlexComposite": of_images(lambda images, tau: denoise.FlexComposite(images, np.eye(N), tau)),
    "Masked": Entry((Case(masked, ("mask", "x")),)),
    "Wiener": Entry((Case(wiener, ("mean", "values", "x", "sigma")),)),
    "Network": Entry((Case(network, ("x", "sigma", "sigma_data")),)),
    "Denoiser.x0_from_vp": Entry((Case(coordinates, ("z", "t"), tolerance=2e-5),)),
    "Denoiser.mse_curve": Entry((Case(curve, ("images", "v"), tolerance=2e-5),)),
    "Nearest": Entry(
        (
            Case(
                lambda rng: (
                    lambda x: denoise.Nearest(denoise.Images(np.random.default_rng(0).normal(size=(COUNT, *SHAPE))))(
                        x, 0.5
                    ),
                    {"x": rng.normal(size=(2, N))},
                ),
                refused={"x": "the nearest image is piecewise constant"},
            ),
        )
    ),
}

test_every_public_function_and_argument_is_listed, test_derivative = tests_of("denoise", TABLE)
