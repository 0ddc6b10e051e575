"""Derivatives of ``lab.paths``: each public function, the schedules, laws and potentials, against central differences."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from derivatives import entries
from derivatives.entries import Case, Entry

from lab import paths
from lab.numerics import pure
from lab.paths import chi_squared, kinetic, metrics, potentials, separation
from lab.paths.cubic import MonotoneCubic


def _on_device(make):
    def arrays(rng):
        function, inputs = make(rng)
        return function, {name: jnp.asarray(value, float) for name, value in inputs.items()}

    return arrays


KEY = jax.random.key(0)
OFFSETS = jnp.asarray(np.random.default_rng(0).normal(size=(8, 2)) / 5)
GRID = np.array([0.1, 0.3, 0.6, 0.9])
JUMP = "the accepted steps jump"
SAMPLING = "sampling: the component of a sample jumps"


def _points(rng, n=4, d=2):
    return rng.normal(size=(n, d))


def _field(theta):
    return lambda t, x: paths.Field(-theta * x * (1 + t), -x, x, x, x, x[:, 0])


def _velocity(theta):
    return lambda t, x: -theta * jnp.sin(x) * (1 + t)


def _balanced(d):
    return d - d.mean()


def _symmetric(d):
    return (d + np.swapaxes(d, -1, -2)) / 2


def _spd(rng, d=2):
    half = rng.normal(size=(d, d))
    return half @ half.T + np.eye(d)


def _flow(solve, **more):
    """Cases of an integrator: the velocity's number, the points and what else it takes."""

    def make(rng):
        return solve, {"theta": 0.7, "x": _points(rng)} | {name: value(rng) for name, value in more.items()}

    return make


def _mixture(rng, k=3):
    return {
        "weights": rng.dirichlet(np.ones(k)),
        "means": rng.normal(size=(k, 2)),
        "covariances": rng.uniform(0.5, 1.5, (k, 2)),
    }


def _exact(rng):
    def of(a, mean, weights, means, covariances, t, x):
        source, target = paths.gaussian(mean, 0.7), paths.Mixture(weights, means, covariances)
        return paths.exact(paths.Linear(paths.Brownian(a)), source, target)(t, x)

    return of, {"a": 0.5, "mean": rng.normal(size=2), "t": 0.4, "x": _points(rng)} | _mixture(rng)


def _exact_points(rng):
    def of(theta, points, t, x):
        field = paths.exact(
            paths.Linear(), paths.standard(2), points, tilt=lambda pairs: -theta * pairs.squared_distance
        )
        return field(t, x)

    return of, {"theta": 0.3, "points": _points(rng, 5), "t": 0.4, "x": _points(rng)}


def _exact_joint(rng):
    def of(x0, x1, bandwidth, t, x):
        return paths.exact(paths.Trigonometric(), paths.Pairs(x0, x1, bandwidth))(t, x)

    inputs = {"x0": _points(rng, 5), "x1": _points(rng, 5), "bandwidth": 0.5}
    return of, inputs | {"t": 0.4, "x": _points(rng)}


def _schedule(make, **parameters):
    """A schedule's coefficients, in its parameters and in time."""

    def of(t, **given):
        c = make(**given)(t)
        return c.alpha, c.beta, c.gamma, c.d_alpha, c.d_beta, c.gg

    names = ("t", *parameters)
    return Entry((Case(lambda rng: (of, {"t": np.array([0.13, 0.4, 0.71])} | parameters), names),))


def _sampled(law):
    return lambda **given: law(**given).sample(KEY, 5)


def _boxes(rng):
    low = rng.normal(size=(3, 2))
    return {"low": low, "high": low + rng.uniform(0.5, 1.5, (3, 2)), "weights": rng.dirichlet(np.ones(3))}


def _joint(weights, source, target, source_covariances, target_covariances, cross):
    return paths.Joint(weights, source, target, source_covariances, target_covariances, cross)


def _joint_inputs(rng):
    c0, c1 = np.stack([_spd(rng) for _ in range(3)]), np.stack([_spd(rng) for _ in range(3)])
    return {
        "weights": rng.dirichlet(np.ones(3)),
        "source": rng.normal(size=(3, 2)),
        "target": rng.normal(size=(3, 2)),
        "source_covariances": c0,
        "target_covariances": c1,
        "cross": 0.1 * rng.normal(size=(3, 2, 2)),
    }


def _kinetic(rng):
    def of(eigenvalues, t):
        return tuple(paths.KineticOptimal(separation.of_gaussian(eigenvalues))(t))[:5]

    return of, {"eigenvalues": np.array([0.3, 0.7, 2.0]), "t": np.array([0.2, 0.7])}


def _potential(make, inputs, wanted=lambda u, z, t: (u(z, t), u.flow(t)(z), u.log_density_change(t))):
    def of(z, t, **given):
        return wanted(make(**given), z, t)

    return lambda rng: (of, {"z": rng.normal(size=3), "t": 0.3} | inputs(rng))


def _matrix(rng):
    return _symmetric(rng.normal(size=(3, 3))) / 4


QUADRATIC = {"a": _symmetric, "s": _symmetric, "precision": _symmetric, "covariance": _symmetric}

TABLE = {
    "ode": Entry(
        (
            Case(
                _flow(lambda theta, x, grid: paths.ode(_velocity(theta), x, grid=grid), grid=lambda rng: GRID),
                ("theta", "x", "grid"),
            ),
            Case(
                _flow(
                    lambda theta, x, interval: paths.ode(_velocity(theta), x, 3, interval=interval, solver="heun"),
                    interval=lambda rng: np.array([0.1, 0.8]),
                ),
                ("interval",),
            ),
        ),
        fixed=("steps", "solver", "reverse", "keep"),
        also={"velocity": "theta"},
    ),
    "adaptive": Entry(
        (
            Case(
                _flow(
                    lambda theta, x, times, rtol, atol: paths.adaptive(
                        _velocity(theta), x, times, rtol=rtol, atol=atol, max_steps=64
                    ),
                    times=lambda rng: np.array([0.1, 0.5, 0.9]),
                    rtol=lambda rng: 1e-9,
                    atol=lambda rng: 1e-9,
                ),
                ("theta", "x", "times"),
                {"rtol": JUMP, "atol": JUMP},
            ),
        ),
        fixed=("solver", "max_steps"),
        also={"velocity": "theta"},
    ),
    "sde": Entry(
        (
            Case(
                _flow(
                    lambda theta, x, epsilon, grid: paths.sde(_field(theta), x, KEY, epsilon, grid=grid),
                    epsilon=lambda rng: 0.5,
                    grid=lambda rng: GRID,
                ),
                ("theta", "x", "epsilon", "grid"),
            ),
            Case(
                _flow(
                    lambda theta, x, interval: paths.sde(_field(theta), x, KEY, steps=3, interval=interval),
                    interval=lambda rng: np.array([0.1, 0.8]),
                ),
                ("interval",),
            ),
        ),
        fixed=("key", "steps", "scheme", "reverse", "keep"),
        also={"field": "theta"},
    ),
    "carry": Entry(
        (
            Case(
                _flow(
                    lambda theta, x, times, epsilon, extra, frames: paths.carry(
                        pure,
                        _field(theta),
                        x,
                        times,
                        solver="heun",
                        epsilon=epsilon,
                        key=KEY,
                        extra=extra,
                        rate=lambda t, x, e: theta * x.sum(axis=1) * e,
                        after=lambda t, x, e, key: (x * (1 - theta / 10), e),
                        frames=frames,
                    )[1:4],
                    times=lambda rng: GRID,
                    epsilon=lambda rng: 0.4,
                    extra=lambda rng: rng.normal(size=4),
                    frames=lambda rng: np.array([0.2, 0.55]),
                ),
                ("theta", "x", "times", "epsilon", "extra", "frames"),
            ),
        ),
        fixed=("loop", "solver", "key", "steps", "euler_last", "keep", "rows", "sees_extra", "state"),
        also={"fields": "theta", "rate": "theta", "after": "theta"},
    ),
    "even": Entry(fixed=("steps", "most")),
    "checkerboard": Entry(fixed=("half", "dtype")),
    "standard": Entry(fixed=("dimension", "dtype")),
    "between": Entry(
        (
            Case(
                lambda rng: (
                    paths.between,
                    {"times": GRID, "x": rng.normal(size=(4, 2)), "wanted": np.array([0.2, 0.5])},
                ),
                ("times", "x", "wanted"),
            ),
        )
    ),
    "divergence": Entry(
        (
            Case(
                _flow(lambda theta, t, x: paths.divergence(_velocity(theta), t, x).value, t=lambda rng: 0.3),
                ("theta", "t", "x"),
            ),
            Case(
                _flow(lambda theta, x: paths.divergence(lambda t, x: theta * x[:, ::-1] ** 2 * x, 0.3, x, KEY, 4)),
                ("theta", "x"),
            ),
        ),
        fixed=("key", "probes"),
        also={"velocity": "theta"},
    ),
    "log_density": Entry(
        (
            Case(
                _flow(
                    lambda theta, x, mean, grid: (
                        paths.log_density(_velocity(theta), x, paths.gaussian(mean), grid=grid).log_density
                    ),
                    mean=lambda rng: rng.normal(size=2),
                    grid=lambda rng: GRID,
                ),
                ("theta", "x", "mean", "grid"),
            ),
            Case(
                _flow(
                    lambda theta, x, interval: (
                        paths.log_density(_velocity(theta), x, paths.standard(2), 3, interval=interval).log_density
                    ),
                    interval=lambda rng: np.array([0.1, 0.8]),
                ),
                ("interval",),
            ),
        ),
        fixed=("steps", "solver", "key", "probes"),
        also={"velocity": "theta", "source": "mean"},
    ),
    "feynman_kac": Entry(
        (
            Case(
                _flow(
                    lambda theta, x, mean, epsilon, grid: (
                        paths.feynman_kac(
                            _field(theta), x, paths.gaussian(mean), KEY, epsilon, 3, grid=grid
                        ).log_density
                    ),
                    mean=lambda rng: rng.normal(size=2),
                    epsilon=lambda rng: 0.3,
                    grid=lambda rng: GRID,
                ),
                ("theta", "x", "mean", "epsilon", "grid"),
            ),
            Case(
                _flow(
                    lambda theta, x, interval: (
                        paths.feynman_kac(
                            _field(theta), x, paths.standard(2), KEY, 0.3, 3, 3, interval=interval
                        ).log_density
                    ),
                    interval=lambda rng: np.array([0.1, 0.8]),
                ),
                ("interval",),
            ),
        ),
        fixed=("key", "rollouts", "steps"),
        also={"field": "theta", "source": "mean"},
    ),
    "exact": Entry(
        (
            Case(
                _exact,
                ("a", "mean", "weights", "means", "covariances", "t", "x"),
                moves={"weights": _balanced},
            ),
            Case(_exact_points, ("theta", "points", "t", "x")),
            Case(_exact_joint, ("x0", "x1", "bandwidth", "t", "x")),
        ),
        also={"schedule": "a", "source": "mean", "target": "means", "tilt": "theta"},
    ),
    "interpolant": Entry(
        (
            Case(
                lambda rng: (
                    lambda a, mean, target, t, x: paths.interpolant(
                        "linear", "brownian", a, paths.gaussian(mean), paths.gaussian(target)
                    ).field(t, x),
                    {"a": 0.5, "mean": np.ones(2), "target": -np.ones(2), "t": 0.4, "x": _points(rng)},
                ),
                ("a", "mean", "target"),
            ),
        ),
        fixed=("name", "latent", "joint"),
        also={"source": "mean"},
    ),
    "gaussian": Entry(
        (
            Case(
                lambda rng: (
                    lambda mean, covariance: paths.gaussian(mean, covariance).log_prob(jnp.asarray(np.ones((3, 2)))),
                    {"mean": rng.normal(size=2), "covariance": _spd(rng)},
                ),
                ("mean", "covariance"),
                moves={"covariance": _symmetric},
            ),
        )
    ),
    "law": Entry(
        (
            Case(
                lambda rng: (
                    lambda given, y: paths.law(given).denoise(y, 0.7, 0.5),
                    {"given": _points(rng, 5), "y": _points(rng)},
                ),
                ("given", "y"),
            ),
        )
    ),
    "product": Entry(
        (
            Case(
                lambda rng: (
                    lambda source, target, weights: (
                        paths.product(
                            paths.gaussian(source), paths.Mixture(weights, target, np.ones(3))
                        ).cross_covariance()
                        + paths.product(paths.gaussian(source), paths.Mixture(weights, target, np.ones(3))).target.sum()
                        + paths.product(paths.gaussian(source), paths.standard(2)).source.sum()
                    ),
                    {"source": rng.normal(size=2), "target": rng.normal(size=(3, 2)), "weights": np.full(3, 1 / 3)},
                ),
                ("source", "target"),
            ),
        )
    ),
    **{
        name: Entry(
            (
                Case(
                    lambda rng, name=name: (
                        lambda a, t, x0, x1, z: getattr(paths, name)(paths.Linear(paths.Brownian(a)), t, x0, x1, z),
                        {"a": 0.5, "t": rng.uniform(0.2, 0.8, 4)} | {end: _points(rng) for end in ("x0", "x1", "z")},
                    ),
                    ("a", "t", "x0", "x1", "z"),
                ),
            ),
            also={"schedule": "a"},
        )
        for name in ("interpolate", "conditional_velocity")
    },
    # schedules
    "Linear": _schedule(lambda a: paths.Linear(paths.Quadratic(a)), a=0.7),
    "Trigonometric": _schedule(lambda a: paths.Trigonometric(paths.SineSquared(a)), a=0.7),
    "EncoderDecoder": _schedule(lambda f: paths.EncoderDecoder(paths.Bump(f)), f=9.0),
    "Mirror": _schedule(lambda c: paths.Mirror(paths.ExpPolynomial(c)), c=np.array([0.2, -0.3, 0.4])),
    "ConstantSpeedVP": _schedule(paths.ConstantSpeedVP),
    "VP": _schedule(paths.VP, beta_min=0.2, beta_max=8.0),
    "SubVP": _schedule(paths.SubVP, beta_min=0.2, beta_max=8.0),
    "VE": _schedule(paths.VE, sigma_min=0.1, sigma_max=5.0),
    "Custom": _schedule(
        lambda p: paths.Custom(lambda t: (1 - t) ** p, lambda t: t**p, lambda t: p * t * (1 - t)), p=1.5
    ),
    "KineticOptimal": Entry((Case(_kinetic, ("eigenvalues", "t"), moves={"eigenvalues": _balanced}),)),
    "kinetic.energy": Entry(
        (
            Case(
                lambda rng: (
                    lambda eigenvalues, start, stop: kinetic.energy(
                        paths.Linear(), separation.of_gaussian(eigenvalues), start, stop, 16
                    ),
                    {"eigenvalues": np.array([0.3, 0.7, 2.0]), "start": 0.1, "stop": 0.8},
                ),
                ("eigenvalues", "start", "stop"),
                moves={"eigenvalues": _balanced},
            ),
        )
    ),
    "MonotoneCubic.inverse": Entry(
        (
            Case(
                lambda rng: (
                    # the slope of the inverse as well: its derivative is a second one
                    lambda values, at: jax.jvp(
                        MonotoneCubic.through(jnp.linspace(0.0, 1.0, 5), values).inverse, (at,), (jnp.ones_like(at),)
                    ),
                    {"values": np.array([0.5, 0.9, 1.4, 1.2, 2.0]), "at": np.array([0.2, 0.55])},
                ),
                ("values", "at"),
            ),
        )
    ),
    # laws
    "Mixture.sample": Entry(
        (
            Case(
                lambda rng: (_sampled(paths.Mixture), _mixture(rng)),
                ("means", "covariances"),
                {"weights": SAMPLING},
            ),
        )
    ),
    "Boxes": Entry(
        (
            Case(
                lambda rng: (
                    lambda y, **given: (paths.Boxes(**given).denoise(y, 0.7, 0.5), paths.Boxes(**given).moments()),
                    _boxes(rng) | {"y": _points(rng)},
                ),
                ("low", "high", "weights", "y"),
                moves={"weights": _balanced},
            ),
            Case(lambda rng: (_sampled(paths.Boxes), _boxes(rng)), ("low", "high"), {"weights": SAMPLING}),
        )
    ),
    "Empirical.sample": Entry(
        (
            Case(
                lambda rng: (
                    _sampled(paths.Empirical),
                    {"points": _points(rng), "weights": rng.dirichlet(np.ones(4))},
                ),
                ("points",),
                {"weights": SAMPLING},
            ),
        )
    ),
    "Joint": Entry(
        (
            Case(
                lambda rng: (
                    lambda x, **given: _joint(**given).posterior(paths.Linear(paths.Brownian())(0.4), x),
                    _joint_inputs(rng) | {"x": _points(rng)},
                ),
                ("weights", "source", "target", "source_covariances", "target_covariances", "cross", "x"),
                moves={"weights": _balanced, "source_covariances": _symmetric, "target_covariances": _symmetric},
            ),
            Case(
                lambda rng: (_sampled(_joint), _joint_inputs(rng)),
                ("source", "target", "source_covariances"),
                {"weights": SAMPLING},
                moves={"source_covariances": _symmetric},
            ),
        )
    ),
    # potentials
    "Wave": Entry(
        (
            Case(
                _potential(potentials.Wave, lambda rng: {"a": np.eye(3), "g": rng.normal(size=3), "c": 0.8}),
                ("a", "g", "c", "z", "t"),
                moves=QUADRATIC,
            ),
        )
    ),
    "Heat": Entry(
        (
            Case(
                _potential(potentials.Heat, lambda rng: {"a": _matrix(rng), "g": rng.normal(size=3), "c": 0.8}),
                ("a", "g", "c", "z", "t"),
                moves=QUADRATIC,
            ),
        )
    ),
    "HamiltonJacobi": Entry(
        (
            Case(
                _potential(potentials.HamiltonJacobi, lambda rng: {"s": _matrix(rng), "b": rng.normal(size=3)}),
                ("s", "b", "z", "t"),
                moves=QUADRATIC,
            ),
        )
    ),
    "FokkerPlanck": Entry(
        (
            Case(
                _potential(
                    potentials.FokkerPlanck,
                    lambda rng: {
                        "mean": rng.normal(size=3),
                        "covariance": _spd(rng, 3),
                        "goal": rng.normal(size=3),
                        "precision": _spd(rng, 3),
                        "beta": 1.3,
                    },
                    lambda u, z, t: (u(z, t), u.law(t)),
                ),
                ("mean", "covariance", "goal", "precision", "beta", "z", "t"),
                moves=QUADRATIC,
            ),
        )
    ),
    "hopf_lax": Entry(
        (
            Case(
                lambda rng: (
                    lambda theta, z, t: potentials.hopf_lax(lambda y: theta * jnp.cos(y).sum(), z, t, OFFSETS),
                    {"theta": 0.7, "z": rng.normal(size=2), "t": 0.4},
                ),
                ("theta", "z", "t"),
            ),
        )
    ),
    # distances and laws of lengths
    "metrics.squared_wasserstein": Entry(
        (Case(lambda rng: (metrics.squared_wasserstein, {"x": _points(rng), "y": _points(rng)}), ("x", "y")),)
    ),
    "metrics.energy_distance": Entry(
        (Case(lambda rng: (metrics.energy_distance, {"x": _points(rng), "y": _points(rng)}), ("x", "y")),)
    ),
    "chi_squared.log_survival": Entry(
        (
            Case(
                lambda rng: (
                    lambda r, noncentrality: chi_squared.log_survival(r, 5, noncentrality),
                    {"r": np.array([2.0, 9.0]), "noncentrality": np.array([1.0, 4.0])},
                ),
                ("r", "noncentrality"),
            ),
        )
    ),
}

TABLE = {
    name: replace(entry, cases=tuple(replace(case, make=_on_device(case.make)) for case in entry.cases))
    for name, entry in TABLE.items()
}
test_every_public_function_and_argument_is_listed, test_derivative = entries.tests_of("paths", TABLE)
