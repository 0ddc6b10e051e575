"""Derivatives of denoisers, their metrics and their samples."""

import jax
import jax.numpy as jnp
import numpy as np
from derivatives.entries import Case, Entry, tests_of

from lab import denoise

SHAPE, N, COUNT = (1, 2, 3), 6, 5
KEY = jax.random.key(2)


def covariance(rng):
    def run(pixels):
        found = denoise.dense_spectrum(pixels)
        return found.mean, found.values, found.wiener(0.5), found.trace

    return run, {"pixels": rng.normal(size=(8, 4))}


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
    "spectrum": Entry(
        (
            Case(
                lambda rng: (
                    lambda pixels: denoise.spectrum(denoise.Images(pixels, SHAPE)).values,
                    {"pixels": rng.normal(size=(8, N))},
                ),
                refused={
                    "pixels": "it is computed on the host, of images that need not fit in memory; dense_spectrum has it"
                },
            ),
        ),
        ("rank", "seed"),
        {"images": "pixels"},
    ),
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
}

test_every_public_function_and_argument_is_listed, test_derivative = tests_of("denoise", TABLE)
