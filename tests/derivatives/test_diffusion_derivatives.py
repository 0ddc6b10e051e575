"""Derivatives of ``lab.diffusion``: each public function and the modules beside it, against central differences."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from derivatives import entries
from derivatives.entries import Case, Entry

from lab import diffusion
from lab.diffusion import boundary, conditional, expressway, flow_maps, predictions, sharing, shortest, spectra
from lab.diffusion import boundary_theory as theory
from lab.diffusion import shortest_sampling as back
from lab.numerics.mixtures import Mixture
from lab.paths import VP, Boxes


def _on_device(make):
    def arrays(rng):
        function, inputs = make(rng)
        return function, {name: jnp.asarray(value, float) for name, value in inputs.items()}

    return arrays


KEY = jax.random.key(0)
CELL = "the map is constant within a cell and jumps between cells"
KINDS = ("data", "noise", "score", "velocity", "v")
LINE = {"weights": np.array([0.4, 0.6]), "means": np.array([[-1.0], [1.2]]), "variances": np.array([0.3, 0.2])}


def _balanced(d):
    return d - d.mean()


def _symmetric(d):
    return (d + d.T) / 2


def _spd(rng, d=2):
    half = rng.normal(size=(d, d))
    return half @ half.T + np.eye(d)


def _two(means):
    return diffusion.Exact(Mixture(jnp.array([0.4, 0.6]), means, jnp.array([0.3, 0.2])))


SCALES = jnp.asarray(0.8), jnp.asarray(0.6)


def _points(rng, n=3, d=2):
    return rng.normal(size=(n, d))


def _case(function, inputs, gradient=None, refused=(), **more):
    """The inputs as functions of a generator, or as they are; all are differentiated when no names are given."""

    def make(rng):
        return function, {name: value(rng) if callable(value) else value for name, value in inputs.items()}

    return Case(make, tuple(inputs) if gradient is None else gradient, dict(refused), **more)


def _schedule(name):
    return _case(
        lambda t, first, last: (
            tuple(diffusion.noise(name, first=first, last=last)(t)),
            diffusion.noise(name, first=first, last=last).first,
            diffusion.noise(name, first=first, last=last).last,
        ),
        {"t": np.array([0.3, 0.6]), "first": 0.01, "last": 0.9},
    )


def _sampled(name, parameter=None):
    def of(means, times, x, **given):
        sampler = type(diffusion.SAMPLERS[name])(**given) if given else name
        return diffusion.sample(_two(means), diffusion.noise("vp"), times, x, sampler, key=KEY).end

    inputs = {"means": _points(np.random.default_rng(3), 2), "times": np.array([0.9, 0.5, 0.2]), "x": _points}
    return _case(of, inputs | (parameter or {}))


def _express(means, times, y, heights, z, threshold):
    return expressway.expressway(
        _two(means), diffusion.noise("vp"), times, 2, y, heights, z, key=KEY, threshold=threshold
    ).end


def _table(rng):
    return rng.normal(size=(6, 4))


TABLE = {
    "noise": Entry(tuple(map(_schedule, ("vp", "cosine", "edm"))), fixed=("name",)),
    "Noise.time": Entry(
        (
            _case(
                # the slope as well: its derivative is a second one
                lambda log_snr, beta: jax.jvp(
                    diffusion.Reversed(VP(0.1, beta)).time, (log_snr,), (jnp.ones_like(log_snr),)
                ),
                {"log_snr": np.array([-1.0, 0.4]), "beta": 12.0},
            ),
        )
    ),
    "grid": Entry(
        (
            _case(
                lambda rho, first: diffusion.grid(diffusion.noise("vp", first=first), 4, "karras", rho=rho),
                {"rho": 5.0, "first": 0.01},
            ),
            _case(
                lambda first, last: diffusion.grid(diffusion.noise("cosine", first=first, last=last), 4),
                {"first": 0.05, "last": 0.9},
            ),
        ),
        fixed=("steps", "spacing"),
        also={"noise": "first"},
    ),
    "by_change": Entry(
        (
            _case(
                lambda means, x, last: diffusion.by_change(diffusion.noise("vp", last=last), _two(means), x, 3, 8),
                {"means": lambda rng: _points(rng, 2), "x": _points, "last": 0.9},
            ),
        ),
        fixed=("steps", "fine"),
        also={"predict": "means", "noise": "last"},
    ),
    "convert": Entry(
        tuple(
            _case(
                lambda t, x, value, have=have, want=want: diffusion.convert(
                    diffusion.noise("subvp")(t), x, value, have, want
                ),
                {"t": 0.4, "x": _points, "value": _points},
                ("t", "value") if (have, want) == ("noise", "score") else None,
            )
            for have, want in zip(KINDS, (*KINDS[1:], KINDS[0]), strict=True)
        ),
        fixed=("have", "want"),
        also={"level": "t"},
    ),
    "error_ratios": Entry(
        (_case(lambda t: diffusion.error_ratios(diffusion.noise("vp")(t)), {"t": np.array([0.3, 0.6])}),),
        also={"level": "t"},
    ),
    "preconditioning": Entry(
        (_case(diffusion.preconditioning, {"sigma": np.array([0.2, 3.0]), "deviation": 0.6}),),
    ),
    "bound": Entry((_case(diffusion.bound, {"snr": np.array([0.1, 0.7, 2.0]), "error": np.array([1.0, 0.6, 0.2])}),)),
    "of_class": Entry(
        (
            _case(
                lambda weights, means, x: diffusion.of_class(Mixture(weights, means, jnp.ones(3)), [0, 2]).log_prob(x),
                {"weights": np.array([0.2, 0.3, 0.5]), "means": _points, "x": _points},
                moves={"weights": _balanced},
            ),
            _case(
                lambda low: diffusion.of_class(Boxes(low, low + 1.0), [1]).moments(),
                {"low": _points},
            ),
        ),
        fixed=("members",),
        also={"law": "means"},
    ),
    "sample": Entry(
        (
            *(_sampled(name) for name in ("euler", "heun", "edm-heun", "dpm-2", "dpm++2m")),
            _sampled("ddim", {"eta": 0.6}),
            _sampled("sde", {"eta": 0.6}),
            _sampled("corrected", {"ratio": 0.2}),
            _sampled("langevin", {"size": 0.2}),
        ),
        fixed=("noise", "sampler", "key", "keep", "loop"),
        also={"predict": "means"},
    ),
    "start": Entry(
        (_case(lambda last: diffusion.start(diffusion.noise("edm", last=last), KEY, 3, 2), {"last": 9.0}),),
        fixed=("key", "n", "d"),
        also={"noise": "last"},
    ),
    "Guided": Entry(
        (
            _case(
                lambda means, w, x: diffusion.Guided(_two(means), _two(-2 * means), w)(x, *SCALES),
                {"means": lambda rng: _points(rng, 2), "w": 1.5, "x": _points},
            ),
        )
    ),
    "predictions.guided_gaussian": Entry(
        (_case(predictions.guided_gaussian, {"mean": 1.5, "deviation": 0.5, "w": 2.0}),)
    ),
    "predictions.tilted_gaussian": Entry(
        (_case(predictions.tilted_gaussian, {"mean": 1.5, "deviation": 0.5, "w": 2.0}),)
    ),
    "conditional": Entry(
        (
            _case(
                lambda means, covariance, operator, noise, y, x: (
                    (
                        made := conditional.conditional(
                            Mixture([0.4, 0.6], means, jnp.stack([covariance, 2 * covariance])), operator, noise
                        )
                    ),
                    made(jax.tree.map(lambda each: each[0], made.given(y)))(x, *SCALES),
                )[1],
                {
                    "means": lambda rng: _points(rng, 2),
                    "covariance": np.eye(2),  # equal eigenvalues
                    "operator": lambda rng: rng.normal(size=(1, 2)),
                    "noise": 0.4,
                    "y": lambda rng: rng.normal(size=(1, 1)),
                    "x": _points,
                },
                moves={"covariance": _symmetric},
            ),
        )
    ),
    "flow_maps.solved": Entry(
        (
            _case(
                lambda means, x, t, r: flow_maps.solved(_two(means), diffusion.noise("edm"), x, t, r),
                {"means": lambda rng: _points(rng, 2), "x": _points, "t": 3.0, "r": 0.5},
            ),
        )
    ),
    "flow_maps.of_gaussian": Entry(
        (
            _case(
                lambda mean, covariance, x, t, r: flow_maps.of_gaussian(
                    mean, covariance, diffusion.noise("vp"), x, t, r
                ),
                {"mean": lambda rng: rng.normal(size=2), "covariance": np.eye(2), "x": _points, "t": 0.8, "r": 0.2},
                moves={"covariance": _symmetric},
            ),
        )
    ),
    "flow_maps.on_line": Entry(
        (
            _case(
                # the slope as well: its derivative is a second one
                lambda weights, means, variances, x, t, r: jax.jvp(
                    lambda x: flow_maps.on_line(Mixture(weights, means, variances), diffusion.noise("vp"), x, t, r),
                    (x,),
                    (jnp.ones_like(x),),
                ),
                LINE | {"x": np.array([-0.5, 0.7]), "t": 0.7, "r": 0.2},
                moves={"weights": _balanced},
                tolerance=1e-4,
            ),
        )
    ),
    "expressway": Entry(
        (
            _case(
                _express,
                {
                    "means": lambda rng: _points(rng, 2),
                    "times": np.array([0.9, 0.5, 0.2]),
                    "y": lambda rng: _points(rng, 5),
                    "heights": lambda rng: rng.normal(size=5) / 9,
                    "z": _points,
                    "threshold": 1.0,
                },
                ("means", "times", "y"),
                {"heights": CELL, "z": CELL, "threshold": "singular points are counted"},
            ),
        )
    ),
    # boundary
    "boundary.search": Entry(
        (
            _case(
                lambda starts, z: boundary.search(lambda x, y: jnp.sin(x) + y, starts, z, z / 2)[2:5],
                {"starts": _points, "z": lambda rng: _points(rng, 4)},
            ),
        )
    ),
    "boundary.down": Entry(
        (
            _case(
                lambda x, z: boundary.down(lambda x, y: jnp.sin(x) + y, x, z, z / 2, steps=3).x,
                {"x": lambda rng: rng.normal(size=3), "z": lambda rng: _points(rng, 4, 3)},
                tolerance=1e-4,
            ),
        )
    ),
    "boundary_theory.best_of": Entry((_case(theory.best_of, {"k": np.array([50.0, 1e6]), "d": np.array([8.0, 1.5])}),)),
    "boundary_theory.line": Entry(
        (
            _case(
                lambda weights, means, variances, noise, y, x: (
                    (law := theory.on_line(Mixture(weights, means, variances), noise, y)),
                    (theory.line_end(law, x), theory.line_mode(law), theory.line_density(law, x)),
                    theory.line_optimum(Mixture(weights, means, variances), noise, y),
                )[1:],
                LINE | {"noise": 0.5, "y": np.array([-1.2, 0.1]), "x": np.array([-0.4, 0.9])},
                moves={"weights": _balanced},
            ),
        )
    ),
    "sharing": Entry(
        (_case(lambda scores: (sharing.gap(scores, KEY, 20)[:3], sharing.use(scores, 1)[:3]), {"scores": _table}),)
    ),
    # shortest paths
    "shortest.geodesic": Entry(
        (
            _case(
                lambda first, last, s: (shortest.geodesic(first, last, s), shortest.distance(first, last)),
                {"first": np.eye(2), "last": _spd, "s": 0.3},
                moves={"first": _symmetric, "last": _symmetric},
            ),
        )
    ),
    "shortest.shortest": Entry(
        (
            _case(
                lambda power, tau, gamma, warp: shortest.shortest(power, tau, gamma, warp),
                {"power": np.array([3.0, 0.2, 1.4]), "tau": np.array([0.8, 0.4]), "gamma": 0.9, "warp": 1.2},
            ),
            _case(  # where a frequency is white
                lambda power: shortest.shortest(power, jnp.array([0.8, 0.4])), {"power": np.array([1.0, 1.0])}
            ),
        )
    ),
    "shortest_sampling.outcome": Entry(
        (
            _case(
                lambda power, tau: back.outcome(power, shortest.shortest(power, tau), "small"),
                {"power": np.array([3.0, 0.2, 1.4]), "tau": np.array([0.8, 0.4, 0.1])},
            ),
        )
    ),
    "shortest_sampling.sample": Entry(
        (
            _case(
                lambda power: (
                    back.sample(
                        back.OfGaussian(power), shortest.shortest(power, jnp.array([0.8, 0.4, 0.1])), KEY, 2, 3
                    ).end
                ),
                {"power": np.array([3.0, 0.2, 1.4])},
            ),
        )
    ),
    "spectra.fit": Entry(
        (
            _case(
                lambda power, radius: spectra.fit(power, jnp.append(0.0, radius)),  # radii are not negative
                {
                    "power": np.array([9.0, 3.0, 1.4, 0.6, 0.31, 0.2]),
                    "radius": np.array([0.5, 1.0, 1.9, 3.0, 4.5]),
                },
                tolerance=1e-3,
            ),
        )
    ),
}

TABLE = {
    name: replace(entry, cases=tuple(replace(case, make=_on_device(case.make)) for case in entry.cases))
    for name, entry in TABLE.items()
}
test_every_public_function_and_argument_is_listed, test_derivative = entries.tests_of("diffusion", TABLE)
