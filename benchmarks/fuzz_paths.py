r"""Random problems for the public functions of ``lab.paths`` and ``lab.diffusion``.

Each function gets random valid input, whose output is compared with an oracle or an invariant: SciPy, closed forms of
Gaussians, finite differences, matrix exponentials, symmetries and round trips. Half of the checks then pass an invalid
value, which must raise a ValueError or TypeError that names the argument.

    python -m benchmarks.fuzz_paths [--problems 2500] [--seed 0]
"""

import itertools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy
from scipy import integrate, stats

from benchmarks import fuzzing
from benchmarks.fuzzing import close, refused
from lab import denoise, diffusion, paths
from lab.diffusion import boundary_theory as theory
from lab.diffusion import flow_maps, predictions, sharing, shortest, spectra
from lab.diffusion import shortest_sampling as back
from lab.numerics import pure
from lab.paths import chi_squared, couplings, metrics, potentials, separation

type Rng = np.random.Generator

NORMAL: Any = stats.multivariate_normal
CHI2: Any = stats.chi2
CDIST = scipy.spatial.distance.cdist
SCHEDULES = ("vp", "cosine", "subvp", "ve", "edm", "linear", "trigonometric")
FLOWING = ("euler", "heun", "edm-heun", "ddim", "dpm-2", "dpm++1s", "dpm++2m")


def _spd(rng: Rng, d: int = 2) -> np.ndarray:
    half = rng.normal(size=(d, d))
    return half @ half.T + 0.1 * np.eye(d)


def _mixture(rng: Rng, d: int = 2, k: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return rng.dirichlet(np.ones(k)), rng.normal(size=(k, d)), np.stack([_spd(rng, d) for _ in range(k)])


def _log_density(law: tuple, x: np.ndarray, a: float = 1.0, s: float = 0.0) -> np.ndarray:
    weights, means, covariances = law
    eye = np.eye(x.shape[1])
    parts = [
        NORMAL(a * m, a**2 * c + s**2 * eye).logpdf(x).reshape(-1) for m, c in zip(means, covariances, strict=True)
    ]
    return scipy.special.logsumexp(np.stack(parts), axis=0, b=weights[:, None])


def _noise(rng: Rng) -> tuple[diffusion.Noise, str]:
    name = SCHEDULES[rng.integers(len(SCHEDULES))]
    return diffusion.noise(name), name


def _time(rng: Rng, noise: diffusion.Noise) -> float:
    return float(noise.first + rng.uniform(0.1, 0.9) * (noise.last - noise.first))


class Along(eqx.Module):
    """The velocity (1 + bend t) A x; its numbers are traced, so that one program serves all problems."""

    matrix: Any
    bend: Any = 0.0

    def __call__(self, t: Any, x: Any) -> Any:
        return x @ self.matrix.T * (1 + self.bend * t)


def _still(t: Any, x: Any) -> Any:
    return jnp.zeros_like(x)


# ---- paths


def schedules(rng: Rng) -> None:
    a = rng.uniform(0.2, 0.9)
    latent = (paths.Brownian(a), paths.Quadratic(a), paths.SineSquared(a), paths.Bump(10 * a))[rng.integers(4)]
    made = (
        paths.Linear(latent),
        paths.Trigonometric(latent),
        paths.EncoderDecoder(),
        paths.Mirror(latent),
        paths.VP(a, 10 * a),
        paths.SubVP(a, 10 * a),
        paths.VE(a, 10 * a),
        paths.ConstantSpeedVP(),
    )[rng.integers(8)]
    t, h = rng.uniform(0.05, 0.95), 1e-6
    if abs(t - 0.5) < 1e-3:
        return
    before, here, after = made(t - h), made(t), made(t + h)
    close((after.alpha - before.alpha) / (2 * h), here.d_alpha, 1e-6)
    close((after.beta - before.beta) / (2 * h), here.d_beta, 1e-6)
    close((after.gamma**2 - before.gamma**2) / (4 * h), here.gg, 1e-6)
    refused("t", made, [-0.1, 1.5, np.nan][rng.integers(3)])
    refused("a", paths.Brownian, [0.0, np.nan, -1.0][rng.integers(3)])


def exact(rng: Rng) -> None:
    """Against SciPy's density, its finite differences, and the continuity equation."""
    source, target, gamma = _mixture(rng), _mixture(rng), rng.uniform(0.2, 1)
    field = paths.exact(paths.Linear(paths.Brownian(gamma)), paths.Mixture(*source), paths.Mixture(*target))
    t, x, h = rng.uniform(0.1, 0.9), rng.normal(size=(3, 2)), 1e-5

    def log_density(t: float, x: np.ndarray) -> np.ndarray:
        parts = []
        for w, m, c in zip(*source, strict=True):
            for v, n, d in zip(*target, strict=True):
                spread = (1 - t) ** 2 * c + t**2 * d + gamma * t * (1 - t) * np.eye(2)
                parts.append(np.log(w * v) + NORMAL((1 - t) * m + t * n, spread).logpdf(x))
        return scipy.special.logsumexp(np.stack(parts), axis=0)

    found = field(t, x.tolist())
    close(found.log_density, log_density(t, x), 1e-9)
    steps = h * np.eye(2)
    slope = np.stack([(log_density(t, x + e) - log_density(t, x - e)) / (2 * h) for e in steps], axis=1)
    close(found.score, slope, 1e-5)
    rate = (log_density(t + h, x) - log_density(t - h, x)) / (2 * h)
    spread = paths.divergence(field, t, x).value
    close(rate + spread + (found.velocity * found.score).sum(axis=1), np.zeros(3), 1e-4)
    close((1 - t) * found.x0 + t * found.x1 + np.sqrt(gamma * t * (1 - t)) * found.z, x, 1e-9)
    refused("t", field, [1.5, np.nan, np.ones(2)][rng.integers(3)], x)
    refused("x", field, t, [x[:, :1], x[0], "x"][rng.integers(3)])


def laws(rng: Rng) -> None:
    """Mixtures, points and boxes: the denoiser is Tweedie's formula of the log-density."""
    points = rng.normal(size=(5, 2))
    low = rng.normal(size=(3, 2))
    law = (
        paths.Mixture(*_mixture(rng)),
        paths.law(points.tolist()),
        paths.Boxes(low, low + rng.uniform(0.2, 2, (3, 2))),
        paths.checkerboard(int(rng.integers(1, 4))),
    )[rng.integers(4)]
    a, v, y = rng.uniform(0.3, 1), rng.uniform(0.2, 1), rng.normal(size=(4, 2))
    mean, _ = law.denoise(jnp.asarray(y), a, v)
    score = jax.grad(lambda y: law.denoise(y, a, v)[1].sum())(jnp.asarray(y))
    close(a * mean, y + v * score, 1e-8)
    draws = law.sample(jax.random.key(int(rng.integers(1000))), 4000)
    moments = law.moments()
    scale = np.sqrt(np.trace(moments.covariance))
    assert np.abs(draws.mean(axis=0) - moments.mean).max() < 6 * scale / 4000**0.5
    refused("weights", paths.Empirical, points, [np.ones(5), -np.ones(5) / 5, np.full(5, np.nan)][rng.integers(3)])
    refused("points", paths.Empirical, [points[0], np.full((2, 2), np.nan)][rng.integers(2)])
    refused("high", paths.Boxes, low, low)


def gaussian(rng: Rng) -> None:
    m, c, x = rng.normal(size=2), _spd(rng), rng.normal(size=(3, 2))
    close(paths.gaussian(m.tolist(), c.tolist()).log_prob(jnp.asarray(x)), NORMAL(m, c).logpdf(x))
    refused("covariance", paths.gaussian, m, [-1.0, np.nan, -c][rng.integers(3)])
    refused("mean", paths.gaussian, [c, [np.nan, 0.0]][rng.integers(2)])
    one, two = paths.gaussian(m, c), paths.Mixture(*_mixture(rng))
    joint = paths.product(one, two)
    close(joint.cross_covariance(), np.zeros((2, 2)), 1e-12)
    close(joint.weights, two.weights, 1e-12)
    refused("dimensions", paths.product, one, paths.standard(3))


def ends(rng: Rng) -> None:
    t, x0, x1, z = rng.uniform(0.1, 0.9, 3), *rng.normal(size=(3, 3, 2))
    schedule, h = paths.Trigonometric(paths.SineSquared(0.7)), 1e-6
    before, after = (paths.interpolate(schedule, (t + e).tolist(), x0.tolist(), x1, z) for e in (-h, h))
    close((after - before) / (2 * h), paths.conditional_velocity(schedule, t, x0, x1, z), 1e-6)
    function = (paths.interpolate, paths.conditional_velocity)[rng.integers(2)]
    refused("x1", function, schedule, t, x0, x1[:2])
    refused("z", function, schedule, t, x0, x1, z[0])
    refused("t", function, schedule, t[:2], x0, x1)
    refused("t", function, schedule, 1 + t, x0, x1)


def ode(rng: Rng) -> None:
    """Linear fields, by the matrix exponential; back again; with a grid, an interval and any solver."""
    a, x = rng.normal(size=(2, 2)), rng.normal(size=(3, 2))
    field = Along(jnp.asarray(a))
    low, high = np.sort(rng.uniform(0, 1, 2)) if rng.random() < 0.5 else (0.0, 1.0)
    if high - low < 0.05:
        return
    found = paths.ode(field, x.tolist(), 40, interval=(low, high))
    close(found.end, x @ scipy.linalg.expm(a * (high - low)).T, 1e-4)
    close(paths.ode(field, found.end, 40, interval=(low, high), reverse=True).end, x, 1e-4)
    exact = paths.adaptive(
        field, x, [low, high], solver=("tsit5", "dopri5", "dopri8")[rng.integers(3)], rtol=1e-9, atol=1e-9
    )
    close(exact.end, x @ scipy.linalg.expm(a * (high - low)).T, 1e-5)
    refused("steps", paths.ode, field, x, [0, 1.5, True, "x"][rng.integers(4)])
    refused("interval", paths.ode, field, x, interval=[(0.0, 2.0), (0.0, np.nan), (0.1,)][rng.integers(3)])
    refused("grid", paths.ode, field, x, grid=[[0.5], [0.0, 0.0], [[0.0, 1.0]]][rng.integers(3)])
    refused("x", paths.ode, field, [x[0], np.full((2, 2), np.nan), "x"][rng.integers(3)])
    refused("solver", paths.ode, field, x, solver="rk5")
    refused("rtol", paths.adaptive, field, x, rtol=[-1.0, np.nan][rng.integers(2)])
    refused("max_steps", paths.adaptive, field, x, max_steps=[0, -1][rng.integers(2)])


def carry(rng: Rng) -> None:
    """The same points as ``ode`` with the same grid."""
    a, x = rng.normal(size=(2, 2)), rng.normal(size=(3, 2))
    times = np.sort(rng.uniform(0, 1, 5))
    field = Along(jnp.asarray(a), 1.0)
    solver = ("euler", "midpoint", "heun", "rk4")[rng.integers(4)]
    found = paths.carry(pure, field, x.tolist(), times.tolist(), solver=solver)
    close(found.x, paths.ode(field, x, grid=times, solver=solver).x, 1e-12)
    refused("x", paths.carry, pure, field, x[0], times)
    refused("times", paths.carry, pure, field, x, [[0.5], [0.0, np.nan], [0.0, 0.0]][rng.integers(3)])
    refused("epsilon", paths.carry, pure, field, x, times, epsilon=-1.0, key=jax.random.key(0), solver="euler")
    refused("rows", paths.carry, pure, field, x, times, rows=[0, 1.5][rng.integers(2)])
    refused("steps", paths.carry, pure, field, x, times, steps=[0, 9][rng.integers(2)])
    k = int(rng.integers(1, 9))
    close(paths.even(k), np.arange(k + 1) / k, 1e-14)
    refused("steps", paths.even, [0, -1, 2.5][rng.integers(3)])


def sde(rng: Rng) -> None:
    """Without noise it is ``ode``; with noise the moments of an Ornstein-Uhlenbeck process."""
    x, epsilon = rng.normal(size=(4000, 1)), rng.uniform(0.1, 1)
    field = (Along(-jnp.eye(1)), _still)
    key = jax.random.key(int(rng.integers(1000)))
    close(paths.sde(field, x, key, 0.0, 20).end, paths.ode(field[0], x, 20, solver="heun").end, 1e-9)
    end = np.asarray(paths.sde(field, x, key, epsilon, 20).end)
    variance = np.exp(-2) * x.var() + epsilon * (1 - np.exp(-2))
    assert abs(end.var() / variance - 1) < 6 * (2 / 4000) ** 0.5 + 2e-3
    refused("epsilon", paths.sde, field, x, key, [np.nan, -0.1, np.inf, np.ones(3)][rng.integers(4)])
    refused("x", paths.sde, field, x[:, 0], key)


def density(rng: Rng) -> None:
    """The density that a linear flow gives to Gaussian points; the mean over noise of Feynman and Kac."""
    a, x = rng.normal(size=(2, 2)) / 2, rng.normal(size=(3, 2))
    field = Along(jnp.asarray(a))
    grown = scipy.linalg.expm(a)
    wanted = NORMAL(np.zeros(2), grown @ grown.T).logpdf(x)
    found = paths.log_density(field, x.tolist(), paths.standard(2), 20)
    close(found.log_density, wanted, 1e-4)
    close(paths.divergence(field, 0.3, x).value, np.full(3, np.trace(a)), 1e-12)
    still = (field, _still)
    key = jax.random.key(0)
    close(paths.feynman_kac(still, x, paths.standard(2), key, 0.0, 2, 40).log_density, wanted, 1e-3)
    refused("probes", paths.divergence, field, 0.3, x, key, [1, 0, 2.5][rng.integers(3)])
    refused("rollouts", paths.feynman_kac, still, x, paths.standard(2), key, rollouts=[1, 2.5][rng.integers(2)])
    refused("x", paths.log_density, field, x[0], paths.standard(2))


def between(rng: Rng) -> None:
    t, x, wanted = np.sort(rng.uniform(size=6)), rng.normal(size=(6, 2)), rng.uniform(-0.5, 1.5, 4)
    found = paths.between(t.tolist(), x.tolist(), wanted.tolist())
    close(found, np.stack([np.interp(wanted, t, column) for column in x.T], axis=1), 1e-9)
    refused("times", paths.between, [t[::-1], t[:1], t[:, None]][rng.integers(3)], x, wanted)
    refused("x", paths.between, t, x[:3], wanted)
    refused("wanted", paths.between, t, x, [[np.nan], [[0.5]]][rng.integers(2)])


def interpolants(rng: Rng) -> None:
    """Mean and covariance of a path of Gaussians are those of its exact field."""
    m, n, c, d = *rng.normal(size=(2, 2)), _spd(rng), _spd(rng)
    name = ("linear", "trigonometric")[rng.integers(2)]
    path = paths.interpolant(name, "quadratic", rng.uniform(0.1, 1), paths.gaussian(m, c), paths.gaussian(n, d))
    t, x = rng.uniform(0.1, 0.9), rng.normal(size=(3, 2))
    mean, covariance = path.moments(t)
    close(path.field.log_density(t, x), NORMAL(mean, covariance).logpdf(x), 1e-8)
    refused("name", paths.interpolant, "lines", "none", 1.0, paths.standard(2), paths.standard(2))
    refused(
        "a", paths.interpolant, name, "brownian", [-1.0, np.nan][rng.integers(2)], paths.standard(2), paths.standard(2)
    )


def kinetic(rng: Rng) -> None:
    """The best path of a Gaussian has the energy of its own bound, and no other schedule less."""
    e = rng.uniform(0.1, 3, 3)
    found = separation.of_gaussian((e / e.mean()).tolist())
    best = paths.kinetic.energy(paths.KineticOptimal(found), found, 0.0, 1.0, 64).marginal
    close(best, found.least, 1e-3)
    assert best <= paths.kinetic.energy(paths.Linear(), found).marginal + 1e-4
    t, h = rng.uniform(0.1, 0.9), 1e-6
    schedule = paths.KineticOptimal(found)
    close((schedule(t + h).alpha - schedule(t - h).alpha) / (2 * h), schedule(t).d_alpha, 1e-5)
    refused("t", schedule, 1.5)
    refused("eigenvalues", separation.of_gaussian, [[-1.0, 3.0], [1.0, 2.0], [np.nan, 1.0]][rng.integers(3)])
    refused("start", paths.kinetic.energy, paths.Linear(), found, [-0.1, np.nan][rng.integers(2)], 1.0)


def quadratic(rng: Rng) -> None:
    """Potentials whose flows are known, by the matrix exponential and by their equations."""
    s, g, c, t = _spd(rng) - 0.5 * np.eye(2), rng.normal(size=2), rng.uniform(0.5, 2), rng.uniform(0.05, 0.3)
    z = rng.normal(size=(3, 2))
    kind = rng.integers(3)
    u = (potentials.Wave, potentials.Heat, potentials.HamiltonJacobi)[kind](
        *(s.tolist(), g.tolist(), c)[: 3 - (kind == 2)]
    )
    flow = u.flow(t)
    if kind < 2:
        clock = t**2 / 2 if kind == 0 else t
        whole = np.zeros((3, 3))
        whole[:2, :2], whole[:2, 2] = s * clock, g * clock
        grown = scipy.linalg.expm(whole)
        close(flow(z), z @ grown[:2, :2].T + grown[:2, 2], 1e-8)
    close(flow(z[0]), flow(z)[0], 1e-12)
    pde = ("wave", "heat", "hamilton-jacobi")[kind]
    close(potentials.residual(pde, jnp.asarray(z[0]), potentials.derivatives(u, jnp.asarray(z[0]), t), c), 0.0, 1e-8)
    close(u.log_density_change(t), -np.linalg.slogdet(np.asarray(flow.matrix))[1], 1e-8)
    refused("z", flow, [np.ones(3), np.ones((2, 3))][rng.integers(2)])
    refused(
        "a", potentials.Wave, [[[1.0, 0.2], [0.0, 1.0]], np.ones((2, 3)), np.full((2, 2), np.nan)][rng.integers(3)], g
    )
    refused("g", potentials.Heat, s, g[:1])
    m0, m1, c0, c1 = g, z[0], _spd(rng), _spd(rng)
    three = potentials.joined(m0.tolist(), c0.tolist(), m1, c1, 1.0)
    for each in three[:3]:
        end = each.flow(1.0)
        close(end(m0), m1, 1e-8)
        close(end.matrix @ c0 @ end.matrix.T, c1, 1e-7)
    refused("covariance", potentials.joined, m0, -c0, m1, c1)
    refused("time", potentials.joined, m0, c0, m1, c1, [0.0, -1.0, np.nan][rng.integers(3)])


def squares(rng: Rng) -> None:
    d, nc = int(rng.integers(1, 40)), rng.uniform(0, 30)
    r = (stats.ncx2(d, nc) if nc else CHI2(d)).ppf(rng.uniform(0.01, 0.99, 3))
    close(chi_squared.log_survival(r.tolist(), d, nc), stats.ncx2(d, nc).logsf(r), 1e-8)
    x = rng.chisquare(d, 50)
    statistic, _ = chi_squared.kolmogorov(x.tolist(), d)
    close(statistic, stats.kstest(x, CHI2(d).cdf).statistic, 1e-9)
    close(chi_squared.mean_square_density((x / d).tolist(), d), d * CHI2(d).pdf(x), 1e-9)
    refused("d", chi_squared.mean_square_density, x, [0, 1.5][rng.integers(2)])
    refused("noncentrality", chi_squared.log_survival, r, d, [-1.0, np.nan][rng.integers(2)])
    refused("squared", chi_squared.kolmogorov, [[], -x, np.full(3, np.nan)][rng.integers(3)], d)


def distances(rng: Rng) -> None:
    x, y = np.sort(rng.normal(size=(2, 6)), axis=1)
    wanted = ((x - y) ** 2).mean()
    order = rng.permutation(6)
    close(metrics.squared_wasserstein(jnp.asarray(x[order, None]), jnp.asarray(y[:, None])), wanted, 1e-12)
    close(
        metrics.sliced_wasserstein(jax.random.key(0), jnp.asarray(x[:, None]), jnp.asarray(y[:, None]), 8).value,
        wanted,
        1e-9,
    )
    m, n, c, d = *rng.normal(size=(2, 2)), _spd(rng), _spd(rng)
    inverse = np.linalg.inv(d)
    kl = (np.trace(inverse @ c) - 2 + (n - m) @ inverse @ (n - m) + np.log(np.linalg.det(d) / np.linalg.det(c))) / 2
    close(metrics.gaussian_kl(*map(jnp.asarray, (m, c, n, d))), kl, 1e-9)


# ---- diffusion


def noise(rng: Rng) -> None:
    """Slopes by finite differences; time inverts the signal-to-noise ratio."""
    made, name = _noise(rng)
    t = _time(rng, made)
    h = 1e-6 * t
    here, before, after = made([t]), made(t - h), made(t + h)
    close((after.a - before.a) / (2 * h), here.da[0], 1e-5)
    close((after.s - before.s) / (2 * h), here.ds[0], 1e-5)
    close(made.time(here.log_snr), [t], 1e-8)
    refused("t", made, [-0.1, np.nan, *([1.5] if name != "edm" else [])][rng.integers(2)])
    first, last = sorted(rng.uniform(0.05, 0.9, 2))
    assert float(diffusion.noise(name, first=first, last=last).first) == first
    refused("first", diffusion.noise, name, first=last, last=first)
    refused("first", diffusion.noise, name, first=[np.nan, -1.0, [0.1, 0.2]][rng.integers(3)])
    refused("name", diffusion.noise, "ddpm")


def grid(rng: Rng) -> None:
    made, _ = _noise(rng)
    steps, rho = int(rng.integers(1, 9)), rng.uniform(1, 8)
    spacing = ("time", "log-snr", "karras", "quadratic")[rng.integers(4)]
    times = np.asarray(diffusion.grid(made, steps, spacing, rho=rho))
    assert (np.diff(times) < 0).all()
    level = made(np.clip(times, float(made.first), float(made.last)))
    even = {
        "time": times,
        "quadratic": np.sqrt(times),
        "log-snr": level.log_snr,
        "karras": np.exp(-np.asarray(level.log_snr) / rho),
    }[spacing]
    close(np.diff(even), np.full(steps, (even[-1] - even[0]) / steps), 1e-6)
    refused("steps", diffusion.grid, made, [0, 1.5, True, "x"][rng.integers(4)])
    refused("rho", diffusion.grid, made, steps, "karras", rho=[0.0, -1.0, np.nan, [1.0]][rng.integers(4)])
    refused("spacing", diffusion.grid, made, steps, "even")


def kinds(rng: Rng) -> None:
    """Round trips between what a network may predict, and the probability flow's velocity of a Gaussian."""
    made, _ = _noise(rng)
    level = made(_time(rng, made))
    names = ("data", "noise", "score", "velocity", "v")
    have, want = names[rng.integers(5)], names[rng.integers(5)]
    x, value = rng.normal(size=(2, 3, 2))
    there = diffusion.convert(level, x.tolist(), value.tolist(), have, want)
    close(diffusion.convert(level, x, there, want, have), value, 1e-6)
    other = value + rng.normal(size=value.shape)
    apart = [np.asarray(diffusion.convert(level, x, v, "data", want)) for v in (value, other)]
    ratio = ((apart[1] - apart[0]) ** 2).sum() / ((other - value) ** 2).sum()
    close(np.log(ratio), np.log(diffusion.error_ratios(level)[want]), 1e-6)
    refused("value", diffusion.convert, level, x, value[:2], have, want)
    refused("have", diffusion.convert, level, x, value, "mean", want)
    sigma = rng.uniform(0.1, 5, 3)
    c = diffusion.preconditioning(sigma.tolist(), 0.5)
    close(c.into**2 * (sigma**2 + 0.25), np.ones(3), 1e-12)
    close(c.out**2 * c.weight, np.ones(3), 1e-12)
    refused("sigma", diffusion.preconditioning, [[0.0], [-1.0], [np.nan]][rng.integers(3)])
    refused("deviation", diffusion.preconditioning, sigma, [0.0, -1.0, np.nan][rng.integers(3)])


def bound(rng: Rng) -> None:
    snr, error = np.sort(rng.uniform(0, 5, 6)), rng.uniform(0, 2, 6)
    found = diffusion.bound(snr.tolist(), error.tolist())
    close(found.terms, np.diff(snr) * error[:-1] / 2, 1e-12)
    close(found.limit, np.trapezoid(error, snr) / 2, 1e-12)
    refused("snr", diffusion.bound, [-snr, [1.0], np.full(6, np.nan)][rng.integers(3)], error)
    refused("error", diffusion.bound, snr, [error[:3], -error, np.full(6, np.inf)][rng.integers(3)])


def sampled(rng: Rng) -> None:
    """Every deterministic sampler comes near the closed flow of a Gaussian; the same clouds for lists."""
    name = FLOWING[rng.integers(len(FLOWING))]
    vp = diffusion.noise("vp")
    m, c, x = rng.normal(size=2) / 2, _spd(rng) / 2, rng.normal(size=(4, 2))
    law = diffusion.Exact(paths.gaussian(m, c))
    times = diffusion.grid(vp, 160)
    end = diffusion.sample(law, vp, times.tolist(), x.tolist(), name).end
    close(end, flow_maps.of_gaussian(jnp.asarray(m), jnp.asarray(c), vp, jnp.asarray(x), vp.last, vp.first), 0.15)
    refused(
        "times", diffusion.sample, law, vp, [times[::-1], times[:1], times + 1, np.full(3, np.nan)][rng.integers(4)], x
    )
    refused("x", diffusion.sample, law, vp, times, [x[0], np.full((2, 2), np.nan)][rng.integers(2)])
    refused("sampler", diffusion.sample, law, vp, times, x, "dpm3")
    refused("eta", diffusion.samplers.SDE, [-1.0, np.nan][rng.integers(2)])
    refused("repeats", diffusion.samplers.Langevin, 0.1, [0, 1.5][rng.integers(2)])
    refused("n", diffusion.start, vp, jax.random.key(0), [0, -1, 1.5][rng.integers(3)], 2)


def classes(rng: Rng) -> None:
    law = _mixture(rng)
    members = sorted(set(rng.integers(0, 3, 2).tolist()))
    part = diffusion.of_class(paths.Mixture(*law), members)
    x, w = rng.normal(size=(4, 2)), law[0][members]
    close(part.log_prob(jnp.asarray(x)), _log_density((w / w.sum(), law[1][members], law[2][members]), x), 1e-9)
    refused("members", diffusion.of_class, paths.Mixture(*law), [[], [3], [-1], [0.5], [[0]]][rng.integers(5)])


def guidance(rng: Rng) -> None:
    """The end of guided sampling by SciPy's quadrature of the formula, and the tilted Gaussian by its precision."""
    m, s, w = rng.normal(), rng.uniform(0.3, 1.5), rng.uniform(-0.9, 3)
    found = predictions.guided_gaussian(m, s, w)

    def spread(a: float) -> float:
        return 1 - a**2 * (1 - s**2)

    power = 1 + (1 + w) / 2
    wanted = integrate.quad(
        lambda a: (1 + w) * m * (s**2) ** ((1 + w) / 2) * spread(a) ** -power, 0, 1, epsabs=1e-13, limit=200
    )[0]
    close(found.mean, wanted, 1e-7)
    close(found.deviation, s ** (1 + w), 1e-12)
    tilted = predictions.tilted_gaussian(m, s, w)
    precision = (1 + w) / s**2 - w
    if precision > 0:
        close(tilted.deviation, precision**-0.5, 1e-12)
        close(tilted.mean, (1 + w) * m / s**2 / precision, 1e-12)
    function = (predictions.guided_gaussian, predictions.tilted_gaussian)[rng.integers(2)]
    refused("deviation", function, m, [0.0, -0.5, np.nan][rng.integers(3)], w)
    refused("w", function, m, s, [np.nan, "x"][rng.integers(2)])


def maps(rng: Rng) -> None:
    """On a line the map keeps probabilities; there and back; of a Gaussian in closed form."""
    w, m, v = rng.dirichlet(np.ones(3)), rng.normal(size=(3, 1)), rng.uniform(0.05, 1, 3)
    law, made = paths.Mixture(w, m, v), diffusion.noise("vp")
    t, r, x = rng.uniform(0.5, 1), rng.uniform(0.05, 0.4), rng.normal(size=4)
    end = flow_maps.on_line(law, made, jnp.asarray(x), t, r)

    def below(x: np.ndarray, level: diffusion.Level) -> np.ndarray:
        return (w * stats.norm.cdf(x[:, None], float(level.a) * m[:, 0], np.sqrt(level.a**2 * v + level.s**2))).sum(
            axis=1
        )

    close(below(np.asarray(end), made(r)), below(x, made(t)), 1e-9)
    close(flow_maps.on_line(law, made, end, r, t), x, 1e-7)


def best(rng: Rng) -> None:
    d, k = float(np.exp(rng.uniform(0, 6))), float(np.exp(rng.uniform(0, 14)))
    bend = np.log(CHI2.ppf(-np.expm1(-1 / k), d))

    def left(v: float) -> float:
        below = CHI2.cdf(np.exp(v), d)
        return float(np.exp(v + k * (np.log1p(-below) if below < 0.5 else CHI2.logsf(np.exp(v), d))))

    width = min(1.0, (2 / d) ** 0.5)
    places = np.unique(bend + np.array([-40, -20, -8, -3, 0, 12, *(width * np.array([-8, -3, -1, 1, 3, 8]))]))
    wanted = np.exp(places[0]) + sum(
        integrate.quad(left, a, b, epsabs=0, epsrel=1e-11, limit=200)[0] for a, b in itertools.pairwise(places)
    )
    close(theory.best_of(k, d) * d / wanted, 1.0, 1e-7)
    refused("k", theory.best_of, [0.5, np.nan, -1.0][rng.integers(3)], d)
    refused("d", theory.best_of, k, [0.0, -1.0, np.nan][rng.integers(3)])
    prior = paths.Mixture(rng.dirichlet(np.ones(2)), rng.normal(size=(2, 1)), rng.uniform(0.05, 0.5, 2))
    y, sigma = rng.normal(size=3), rng.uniform(0.2, 1)
    law = theory.on_line(prior, sigma, y.tolist())
    start = theory.line_optimum(prior, sigma, y.tolist())
    close(np.diagonal(theory.line_end(law, start)), theory.line_mode(law), 1e-6)
    refused("noise", theory.line_optimum, prior, [0.0, -1.0, np.nan][rng.integers(3)], y)


def scores(rng: Rng) -> None:
    table = rng.normal(size=(12, 5)) + rng.normal(size=5)
    found = sharing.gap(table.tolist(), jax.random.key(0))
    mean = np.sort(table.mean(axis=0))
    close(found.value, mean[1] - mean[0], 1e-12)
    assert int(found.best) == table.mean(axis=0).argmin()
    close(
        sharing.spearman(jnp.asarray(table[0]), jnp.asarray(table[1])),
        stats.spearmanr(table[0], table[1]).statistic,
        1e-9,
    )
    refused(
        "scores", sharing.gap, [table[:, :1], table[0], np.full((3, 3), np.nan)][rng.integers(3)], jax.random.key(0)
    )
    refused("draws", sharing.gap, table, jax.random.key(0), [0, 1.5][rng.integers(2)])


def geodesics(rng: Rng) -> None:
    """By SciPy's matrix powers; the length of the pieces is the distance of the ends."""
    first, last, s = _spd(rng, 3), _spd(rng, 3), rng.uniform(0, 1)
    root = scipy.linalg.sqrtm(first).real
    inner = np.linalg.inv(root) @ last @ np.linalg.inv(root)
    wanted = root @ scipy.linalg.fractional_matrix_power(inner, s).real @ root
    close(shortest.geodesic(first.tolist(), last.tolist(), s), wanted, 1e-7)
    length = np.sqrt((np.log(scipy.linalg.eigvalsh(last, first)) ** 2).sum() / 2)
    close(shortest.distance(first, last), length, 1e-8)
    path = np.stack([np.asarray(shortest.geodesic(first, last, u)) for u in (0.0, s, 1.0)])
    close(shortest.path_length(path), length, 1e-7)
    refused(
        "last",
        shortest.geodesic,
        first,
        [-last, last[:2], np.full((3, 3), np.nan), last + np.triu(last, 1)][rng.integers(4)],
        s,
    )
    refused("s", shortest.geodesic, first, last, [np.nan, [0.5]][rng.integers(2)])
    signal, noise = shortest.filters(first, s)
    close(signal @ signal + noise @ noise, np.eye(3), 1e-8)
    refused("tau", shortest.filters, first, [1.5, -0.1, np.nan][rng.integers(3)])


def corruptions(rng: Rng) -> None:
    power, tau = np.exp(rng.normal(size=4)), np.sort(rng.uniform(0, 1, 5))[::-1]
    found = shortest.shortest(power.tolist(), tau.tolist())
    close(found.signal * power[None] + found.noise, power[None] ** tau[:, None], 1e-9)
    close(found.signal + found.noise, np.ones((5, 4)), 1e-9)
    close(np.cumprod(found.alpha, axis=0), found.signal, 1e-9)
    outcome = back.outcome(power.tolist(), found, "none")
    assert float(outcome.kl) >= -1e-12
    refused("power", shortest.shortest, [-power, [np.nan], power[:, None]][rng.integers(3)], tau)
    refused("tau", shortest.shortest, power, [tau + 1, [np.nan], 0.5][rng.integers(3)])
    refused("warp", shortest.shortest, power, tau, 1.0, [0.0, -1.0, np.nan][rng.integers(3)])
    refused("steps", shortest.times, [1, 2.5, -3][rng.integers(3)])
    refused("t", shortest.cosine_at, [[1.5], [-0.1], [np.nan]][rng.integers(3)])
    refused("share", shortest.blended, found, found, [1.5, np.nan][rng.integers(2)])
    c1, c2, m = np.exp(rng.uniform(-1, 1, 3))
    radius = np.linspace(0, 8, 20)
    law = spectra.fit((c1 / (c2 + radius) ** m).tolist(), radius.tolist())
    close(np.log([law.c1, law.c2, law.m]), np.log([c1, c2, m]), 1e-4)
    refused("power", spectra.fit, -radius, radius)


def custom(rng: Rng) -> None:
    """A schedule of powers, and latent noise with a bent variance, by their own formulas."""
    p, c, t = rng.uniform(1, 3), rng.normal(size=int(rng.integers(1, 4))), rng.uniform(0.05, 0.95)
    here = paths.Custom(lambda t: (1 - t) ** p, lambda t: t**p, lambda t: t * (1 - t))(t)
    close((here.alpha, here.beta, here.gamma), ((1 - t) ** p, t**p, np.sqrt(t * (1 - t))), 1e-12)
    close((here.d_alpha, here.d_beta, here.gg), (-p * (1 - t) ** (p - 1), p * t ** (p - 1), 0.5 - t), 1e-9)
    latent = paths.ExpPolynomial(c.tolist())
    log_scale = np.polynomial.polynomial.polyval(2 * t - 1, c)
    gamma, gg = latent(t)
    close(gamma**2, t * (1 - t) * np.exp(log_scale), 1e-12)
    h = 1e-6
    close((latent(t + h)[0] ** 2 - latent(t - h)[0] ** 2) / (4 * h), gg, 1e-6)
    refused("alpha", paths.Custom, (lambda t: 1 - t / 2, "x")[rng.integers(2)], lambda t: t)
    refused("beta", paths.Custom, lambda t: 1 - t, lambda t: t + 10 * t * (t - 1))
    refused("coefficients", paths.ExpPolynomial, [[], [np.nan], [[1.0]]][rng.integers(3)])


def pairs(rng: Rng) -> None:
    """The field of given pairs is their Nadaraya-Watson mean."""
    x0, x1 = rng.normal(size=(2, 5, 2))
    w, h = rng.dirichlet(np.ones(5)), rng.uniform(0.1, 1)
    t, x = rng.uniform(0.05, 0.95), rng.normal(size=(3, 2))
    found = paths.exact(paths.Linear(), paths.Pairs(x0.tolist(), x1, h, w.tolist()))(t, x)
    apart = ((x[:, None] - (1 - t) * x0 - t * x1) ** 2).sum(axis=2)
    near = scipy.special.softmax(np.log(w) - apart / (2 * h**2), axis=1)
    close(found.velocity, near @ (x1 - x0), 1e-8)
    close(found.x1, near @ x1, 1e-8)
    close(found.log_density, scipy.special.logsumexp(np.log(w) - apart / (2 * h**2), axis=1) - np.log(2 * np.pi * h**2))
    refused("pairs", paths.Pairs, [x0[:2], x0 * np.nan, x0[0]][rng.integers(3)], x1)
    refused("bandwidth", paths.Pairs, x0, x1, [-1.0, np.nan, np.inf][rng.integers(3)])
    refused("weights", paths.Pairs, x0, x1, h, [2 * w, -w, w[:2], w * np.nan][rng.integers(4)])


def polygons(rng: Rng) -> None:
    """Energies of polygons by loops, weights and distances of samples by NumPy."""
    times, z = np.r_[0, np.sort(rng.uniform(0.05, 0.95, 3)), 1], rng.normal(size=(5, 4, 2))
    if (np.diff(times) < 1e-3).any():
        return
    squares = (np.diff(z, axis=0) ** 2).sum(axis=2) / np.diff(times)[:, None]
    close(metrics.path_energy(z.tolist(), times.tolist()).value, squares.sum(axis=0).mean(), 1e-12)
    chord = ((z[-1] - z[0]) ** 2).sum(axis=1).mean()
    close(metrics.straightness(z, times).value, squares.sum(axis=0).mean() - chord, 1e-9)
    close(
        metrics.over_time(jnp.asarray(z[:, :, 0]), jnp.asarray(times)), np.trapezoid(z[:, :, 0], times, axis=0), 1e-12
    )
    a, b = rng.normal(size=(2, 4, 2))
    accelerations = metrics.curvature(2 * a * times[:, None, None] + b, times).value  # of velocities that are lines
    close(accelerations, np.full(5, 4 * (a**2).sum(axis=1).mean()), 1e-7)
    w = rng.normal(size=6) * 5
    close(metrics.effective_sample_size(w.tolist()), np.exp(w).sum() ** 2 / (6 * (np.exp(w) ** 2).sum()), 1e-9)
    x, y = rng.normal(size=(5, 2)), rng.normal(size=(4, 2))
    wanted = 2 * CDIST(x, y).mean() - CDIST(x, x).sum() / 20 - CDIST(y, y).sum() / 12
    close(metrics.energy_distance(x, y.tolist()).value, wanted, 1e-12)
    seen = metrics.modes(jnp.asarray(x), jnp.asarray(y))
    close(seen.distance, CDIST(x, y).min(axis=1), 1e-12)
    close(seen.counts, np.bincount(CDIST(x, y).argmin(axis=1), minlength=4))
    function = (metrics.path_energy, metrics.straightness)[rng.integers(2)]
    refused("times", function, z, [times[:3], np.zeros(5), times * np.nan][rng.integers(3)])
    refused("positions", function, z[0], times)
    refused("x", metrics.energy_distance, [x * np.nan, x[0]][rng.integers(2)], y)
    refused("points", metrics.energy_distance, x[:1], y)
    refused("centres", metrics.modes, jnp.asarray(x), jnp.asarray(y[:, :1]))


def coupled(rng: Rng) -> None:
    """Assignments by SciPy; costs of points by loops."""
    x, y = rng.normal(size=(2, 6, 2)) * 10 ** rng.uniform(-2, 2)
    kind = ("norm", "half-squared")[rng.integers(2)]
    wanted = CDIST(x, y) if kind == "norm" else CDIST(x, y, "sqeuclidean") / 2
    cost = couplings.cost_matrix(jnp.asarray(x), jnp.asarray(y), kind)
    close(cost / wanted.max(), wanted / wanted.max(), 1e-7)
    close(couplings.cost_between(jnp.asarray(x), jnp.asarray(y), kind) / wanted.max(), np.diag(wanted) / wanted.max())
    columns = np.asarray(couplings.assignment(cost))
    assert sorted(columns) == list(range(6))
    rows, best = scipy.optimize.linear_sum_assignment(wanted)
    close(wanted[rows, columns].sum() / wanted.max(), wanted[rows, best].sum() / wanted.max(), 1e-6)
    size = int(rng.integers(1, 8))
    order, weights = couplings.by_batches(jnp.asarray(x), jnp.asarray(y), size)
    count = 6 // size * size
    close(weights, np.where(np.arange(6) < count, 1 / max(count, 1), 0), 1e-12)
    assert sorted(np.asarray(order)) == list(range(6))
    refused("costs", couplings.assignment, [cost[:2], cost[0], cost * np.nan][rng.integers(3)])
    refused("size", couplings.by_batches, jnp.asarray(x), jnp.asarray(y), [0, -1][rng.integers(2)])
    refused("cost", couplings.cost_matrix, jnp.asarray(x), jnp.asarray(y), "squared")
    refused("y", couplings.cost_matrix, jnp.asarray(x), jnp.asarray(y[:, :1]))


def reversed_(rng: Rng) -> None:
    """A schedule of paths run backwards, and guidance as a combination of two denoisers."""
    t, w = rng.uniform(0.05, 0.95), rng.uniform(-1, 3)
    back, path = diffusion.Reversed(paths.Linear()), paths.Linear()(1 - t)
    level = back(t)
    close((level.a, level.s, level.da, level.ds), (path.beta, path.alpha, -path.d_beta, -path.d_alpha), 1e-12)
    laws = [paths.gaussian(rng.normal(size=2), _spd(rng)) for _ in range(2)]
    x, a, s = jnp.asarray(rng.normal(size=(3, 2))), jnp.asarray(0.7), jnp.asarray(rng.uniform(0.1, 1))
    one, two = (diffusion.Exact(law)(x, a, s) for law in laws)
    found = diffusion.Guided(*map(diffusion.Exact, laws), w)(x, a, s)
    close(found, (1 + w) * np.asarray(one) - w * np.asarray(two), 1e-12)
    close(one, laws[0].denoise(x, a, s**2)[0], 1e-10)
    flat = denoise.denoiser(lambda x, sigma: x / (1 + sigma**2), (1, 1, 2))
    close(diffusion.Denoised(flat)(x, a, s), x / a / (1 + (s / a) ** 2), 1e-12)
    refused("latent", diffusion.Reversed, paths.Linear(paths.Brownian(0.5)))
    kind = (diffusion.Cosine, diffusion.Karras, lambda **ends: diffusion.Reversed(paths.Linear(), **ends))
    name = ("first", "last")[rng.integers(2)]
    refused(name, kind[rng.integers(3)], **{name: [np.nan, -1.0, [0.1, 0.2]][rng.integers(3)]})


def changes(rng: Rng) -> None:
    """Of a Gaussian around 0 the denoised points move by a known amount."""
    s2, steps = rng.uniform(0.3, 2), int(rng.integers(1, 5))
    edm = diffusion.noise("edm")
    times = np.asarray(diffusion.by_change(edm, diffusion.Exact(paths.gaussian([0.0], s2)), [[80.0]], steps, 2000))
    assert times.shape == (steps + 1,)
    assert (np.diff(times) < 0).all()
    place = np.sqrt(s2 / (s2 + times**2))  # D is a multiple of this along the flow
    close(np.diff(place), np.full(steps, (place[-1] - place[0]) / steps), 5e-3)
    law = diffusion.Exact(paths.gaussian([0.0], s2))
    refused("steps", diffusion.by_change, edm, law, [[80.0]], [0, 1.5, -1][rng.integers(3)])
    refused("x", diffusion.by_change, edm, law, [[[np.nan]], [80.0]][rng.integers(2)], steps)
    refused("fine", diffusion.by_change, edm, law, [[80.0]], steps, [0, 2.5][rng.integers(2)])


CHECKS = {
    "paths.Schedule": schedules,
    "paths.exact": exact,
    "paths.law, Mixture, Boxes, Empirical": laws,
    "paths.gaussian, product": gaussian,
    "paths.interpolate, conditional_velocity": ends,
    "paths.ode, adaptive": ode,
    "paths.carry, even": carry,
    "paths.sde": sde,
    "paths.log_density, divergence, feynman_kac": density,
    "paths.between": between,
    "paths.interpolant": interpolants,
    "paths.kinetic, KineticOptimal, separation": kinetic,
    "paths.potentials": quadratic,
    "paths.chi_squared": squares,
    "paths.metrics": distances,
    "diffusion.noise": noise,
    "diffusion.grid": grid,
    "diffusion.convert, error_ratios": kinds,
    "diffusion.bound": bound,
    "diffusion.sample, start": sampled,
    "diffusion.of_class": classes,
    "diffusion.predictions": guidance,
    "diffusion.flow_maps": maps,
    "diffusion.boundary_theory": best,
    "diffusion.sharing": scores,
    "diffusion.shortest: geodesics": geodesics,
    "diffusion.shortest, spectra": corruptions,
    "paths.Custom, ExpPolynomial": custom,
    "paths.Pairs": pairs,
    "paths.metrics of polygons and samples": polygons,
    "paths.couplings": coupled,
    "diffusion.Reversed, Cosine, Karras, Guided, Denoised": reversed_,
    "diffusion.by_change": changes,
}


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Draw, check and print; returns the content of the line of JSON."""
    return fuzzing.main("fuzz_paths", __doc__, CHECKS, argv)


if __name__ == "__main__":
    main()
