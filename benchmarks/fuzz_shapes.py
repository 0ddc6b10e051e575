r"""Random problems for ``lab.shapes``, ``lab.traffic`` and the modules of ``lab.ot`` beside its solvers.

Each valid problem is checked against an oracle (POT, SciPy, NumPy, closed forms, brute force) or an invariant; each invalid one
must raise a ValueError or TypeError that names the argument. Sizes are few, since each is a program.

    python -m benchmarks.fuzz_shapes [--problems 2500] [--seed 0]
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import ot as pot
import scipy

from benchmarks import fuzzing
from benchmarks.fuzzing import Check, close, refused
from lab import ot, shapes, traffic
from lab.ot import bounds, labelled, maps, monge, plans, routing, semidiscrete, singular, sliced
from lab.shapes import figures, functional_maps, geodesics, laplacian, mesh, spectrum
from lab.traffic import behaviour, clusters, forecasting, graphs, metrics, simulation, spectra, streams, windows

KEY = jax.random.key(0)
CHECKS: dict[str, Check] = {}


def check(name: str) -> Callable[[Check], Check]:
    """Register a check under the public function that it tests."""

    def add(function: Check) -> Check:
        CHECKS[name] = function
        return function

    return add


def masses(rng: np.random.Generator, n: int, zeros: bool = True) -> np.ndarray:
    """Masses of total 1, equal, random or with zeros."""
    found = rng.dirichlet(np.full(n, rng.choice([0.3, 1, 100])))
    if zeros and rng.random() < 0.3:
        found[rng.integers(n)] = 0
    return found / found.sum()


def points(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    """Points in units from 1e-2 to 1e2, sometimes with duplicates or whole coordinates."""
    found = rng.normal(size=(n, d)) * 10 ** rng.uniform(-2, 2)
    kind = rng.integers(4)
    if kind == 0:
        found[rng.integers(n)] = found[rng.integers(n)]
    return np.round(found) if kind == 1 else found


def broken(rng: np.random.Generator, array: np.ndarray) -> Any:
    """An array with a value that is NaN or infinite, with one axis more, or of text."""
    kind = rng.integers(3)
    if kind == 0:
        found = np.array(array, float)
        found.reshape(-1)[rng.integers(found.size)] = rng.choice([np.nan, np.inf, -np.inf])
        return found
    return np.asarray(array, float)[None, None] if kind == 1 else "text"


def covariance(rng: np.random.Generator, d: int) -> np.ndarray:
    root = rng.normal(size=(d, rng.integers(1, d + 2)))
    return root @ root.T * 10 ** rng.uniform(-2, 2)


# -- lab.ot: sliced ----------------------------------------------------------------------------------------------------


@check("ot.sliced.on_line")
def _(rng):
    u, v, a, b, p = (
        points(rng, 6, 1)[:, 0],
        points(rng, 4, 1)[:, 0],
        masses(rng, 6),
        masses(rng, 4),
        float(rng.choice([1, 2, 3])),
    )
    given = (u.tolist(), v.tolist(), a.tolist(), b.tolist()) if rng.random() < 0.3 else (u, v, a, b)
    found = float(sliced.on_line(*given, p=p))
    wanted = pot.lp.emd2_1d(u, v, a, b, metric="minkowski", p=p)
    close(found / max(wanted, 1e-9), wanted / max(wanted, 1e-9), 1e-7)
    match rng.integers(4):
        case 0:
            refused("a", sliced.on_line, u, v, a[:3], b)
        case 1:
            refused("b", sliced.on_line, u, v, a, -b)
        case 2:
            refused("u", sliced.on_line, broken(rng, u) if rng.random() < 0.5 else [np.nan] * 6, v, a, b)
        case 3:
            refused("p", sliced.on_line, u, v, p=rng.choice([0.5, -1, np.nan]))


@check("ot.sliced.sliced")
def _(rng):
    x, y, theta = (
        points(rng, 6, 2),
        points(rng, 6, 2),
        np.asarray(sliced.directions(jax.random.key(int(rng.integers(99))), 8, 2)),
    )
    found = sliced.sliced(x, y, theta)
    wanted = pot.sliced_wasserstein_distance(x, y, projections=theta.T)
    wanted = np.sqrt(wanted**2 + 1e-12)  # the root is moved away from 0, where it has no derivative
    close(found.value / wanted, 1.0, 1e-5)
    assert (found.by_direction >= 0).all()
    best = sliced.max_sliced(x, y, theta, steps=20)
    assert float(best.value) >= float(found.value) * (1 - 1e-9)
    assert float(sliced.energy_based(x, y, theta).value) >= float(found.value) * (1 - 1e-9)
    assert abs(float((best.theta**2).sum()) - 1) < 1e-9
    name = ("x", "y", "theta")[rng.integers(3)]
    refused(name, sliced.sliced, **({"x": x, "y": y, "theta": theta} | {name: broken(rng, x)}))
    refused("count", sliced.directions, KEY, 0, 2)


@check("ot.sliced.bidirectional")
def _(rng):
    x, y, theta = points(rng, 5, 2), points(rng, 5, 2), np.asarray(sliced.directions(KEY, 8, 2))
    order = rng.permutation(5)
    close(sliced.bidirectional(x, y, y[order], x[order], theta), 1e-6, 1e-6)
    refused("x_seen", sliced.bidirectional, x, y, y[:3], x, theta)


# -- lab.ot: semidiscrete and singular ---------------------------------------------------------------------------------


@check("ot.semidiscrete.on_line")
def _(rng):
    y, nu = np.sort(rng.normal(size=5)), masses(rng, 5, zeros=False)
    nu = np.maximum(nu, 1e-3) / np.maximum(nu, 1e-3).sum()
    gaussian = bool(rng.integers(2))
    found = semidiscrete.on_line(y, nu, "gaussian" if gaussian else "uniform")
    q = (np.arange(20_000) + 0.5) / 20_000
    x = scipy.special.ndtri(q) if gaussian else q
    wanted = ((x - y[np.minimum(np.searchsorted(np.cumsum(nu), q), 4)]) ** 2).mean()
    close(found.cost, wanted, 3e-3)
    where = np.asarray(semidiscrete.assign(found.heights, y[:, None], x[:, None]))
    close(np.bincount(where, minlength=5) / len(q), nu, 1e-3)
    match rng.integers(4):
        case 0:
            refused("weights", semidiscrete.on_line, y, nu[:3])
        case 1:
            refused("weights", semidiscrete.on_line, y, 2 * nu)
        case 2:
            refused("y", semidiscrete.on_line, broken(rng, y[:, None]))
        case 3:
            refused("heights", semidiscrete.assign, np.zeros(3), y[:, None], x[:9, None])


@check("ot.semidiscrete.in_square")
def _(rng):
    y, nu = rng.random((6, 2)), np.full(6, 1 / 6)
    found = semidiscrete.in_square(y.tolist(), nu)
    close(found.masses, nu, 1e-9)
    close(semidiscrete.areas(y, found.heights), nu, 1e-9)
    x = (np.stack(np.meshgrid(*2 * [np.arange(60)]), -1).reshape(-1, 2) + 0.5) / 60
    where = np.asarray(semidiscrete.assign(found.heights, y, x))
    close(found.cost, ((x - y[where]) ** 2).sum(1).mean(), 2e-3)
    refused("heights", semidiscrete.areas, y, np.zeros(4))
    refused("heights", semidiscrete.in_square, y, nu, np.zeros(4))
    refused("weights", semidiscrete.in_square, y, -nu)


@check("ot.semidiscrete.by_samples")
def _(rng):
    y = rng.random((4, 2))
    key = jax.random.key(int(rng.integers(1000)))
    found = semidiscrete.by_samples(semidiscrete.Uniform(2), y, key=key, iterations=60, batch=256)
    exact = semidiscrete.in_square(y)
    assert abs(float(found.masses.sum()) - 1) < 1e-9
    assert float(found.standard_error) > 0
    assert float(found.cost) > float(exact.cost) - 6 * float(found.standard_error) - 0.1 * float(
        abs(found.masses - 0.25).max()
    )
    name, value = (("iterations", 0), ("batch", 0.5), ("rate", -1.0), ("heights", np.zeros(2)), ("tested", 0))[
        rng.integers(5)
    ]
    refused(
        name, semidiscrete.by_samples, semidiscrete.Uniform(2), y, **({"key": key, "iterations": 1} | {name: value})
    )
    refused("dimension", semidiscrete.Gaussian, 0)


@check("ot.semidiscrete.floor")
def _(rng):
    nu, n = masses(rng, 4), int(rng.integers(1, 30))
    k = np.arange(n + 1)
    wanted = sum((scipy.stats.binom.pmf(k, n, p) * np.abs(k / n - p)).sum() for p in nu) / 2
    close(semidiscrete.floor(nu, n).total_variation, wanted, 1e-9)
    counts = rng.multinomial(n + 1, nu)
    nu = np.full(4, 0.25)
    total = counts.sum()
    close(semidiscrete.chi_squared(counts.tolist(), nu), (counts * (counts - 1) / nu).sum() / (total * (total - 1)) - 1)
    refused("weights", semidiscrete.chi_squared, counts, 0 * nu)
    refused("counts", semidiscrete.chi_squared, counts[:2], nu)
    refused("points", semidiscrete.floor, nu, 0)


@check("ot.singular")
def _(rng):
    y, x, h = points(rng, 5, 2), points(rng, 7, 2), rng.normal(size=5)
    scores = x @ y.T + h
    found = singular.best(h, y, x, 3)
    close(found.score, np.sort(scores, axis=1)[:, ::-1][:, :3], 1e-12)
    close(np.take_along_axis(scores, np.asarray(found.index), 1), found.score, 1e-12)
    normals = np.c_[y, -np.ones(5)] / np.linalg.norm(np.c_[y, -np.ones(5)], axis=1, keepdims=True)
    close(np.cos(singular.angle(y[:4], y[1:])), (normals[:4] * normals[1:]).sum(1), 1e-9)
    kept = singular.jump(h, y, x)
    close(kept.x, y[scores.argmax(axis=1)], 0 if len(np.unique(y, axis=0)) == 5 else 1e-9)
    middle = np.asarray(singular.centres(h, y, x))
    where = scores.argmax(axis=1)
    if len(np.unique(y, axis=0)) == 5:
        for i in range(5):
            close(middle[i], x[where == i].mean(0) if (where == i).any() else x.mean(0), 1e-9)
    name = ("heights", "y", "x")[rng.integers(3)]
    refused(name, singular.jump, **({"heights": h, "y": y, "x": x} | {name: broken(rng, y)}))
    refused("heights", singular.centres, h[:3], y, x)
    refused("k", singular.best, h, y, x, int(rng.choice([0, 6])))


# -- lab.ot: labelled, monge, gaussian, maps ---------------------------------------------------------------------------


@check("ot.labelled.mixture")
def _(rng):
    matrix, source, p, b = (
        rng.random((6, 4)) * 10 ** rng.uniform(-1, 1),
        np.array([0, 0, 1, 1, 1, 2]),
        masses(rng, 3),
        masses(rng, 4),
    )
    a = np.asarray(labelled.shares(p, source))
    close(a, p[source] / np.bincount(source)[source])
    exact = labelled.exact_mixture(p, matrix, source, b)
    close(exact.value, pot.emd2(a, b, matrix), 1e-9)
    epsilon = matrix.mean() * rng.uniform(0.1, 1)
    found = labelled.mixture(p, matrix, source, epsilon, b)
    rows, columns = a > 0, b > 0  # POT divides by masses
    plan = np.zeros_like(matrix)
    plan[np.ix_(rows, columns)] = pot.sinkhorn(
        a[rows], b[columns], matrix[np.ix_(rows, columns)], epsilon, stopThr=1e-12, numItermax=10_000
    )
    product = np.outer(a, b)
    kl = np.where(plan > 0, plan * np.log(np.where(plan > 0, plan, 1) / np.where(product > 0, product, 1)), 0).sum()
    close(found.value, (plan * matrix).sum() + epsilon * kl, 1e-6)
    match rng.integers(5):
        case 0:
            refused("b", labelled.exact_mixture, p, matrix, source, -b)
        case 1:
            refused("b", labelled.exact_mixture, p, matrix, source, 2 * b)
        case 2:
            refused("shares", labelled.exact_mixture, 2 * p, matrix, source)
        case 3:
            refused("epsilon", labelled.mixture, p, matrix, source, -epsilon)
        case 4:
            refused("p", labelled.mixture, 2 * p, matrix, source, epsilon)


@check("ot.labelled.label_distances")
def _(rng):
    x, y, of_x, of_y = points(rng, 6, 2), points(rng, 5, 2), np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 1, 1, 1])
    found = labelled.label_distances(x, of_x, y, of_y)
    wanted = np.array([[pot.emd2([], [], pot.dist(x[of_x == i], y[of_y == j])) for j in (0, 1)] for i in (0, 1)])
    close(found / max(np.max(wanted), 1e-9), wanted / max(np.max(wanted), 1e-9), 1e-8)
    c = labelled.cost(x, of_x, y, of_y, found, 1.0, 2.0)
    close(c, pot.dist(x, y) / 2 + found[of_x][:, of_y], 1e-9)
    refused("others", labelled.cost, x, of_x, y, of_y + 1, found)
    refused("between", labelled.cost, x, of_x, y, of_y, -1 - found)
    refused("labels", labelled.label_distances, x, of_x - 1, y, of_y)


@check("ot.monge.gap")
def _(rng):
    x, y = points(rng, 6, 2), points(rng, 6, 2)
    matrix = pot.dist(x, y)
    exact = monge.exact_gap(x, y)
    wanted = np.diag(matrix).mean() - pot.emd2([], [], matrix)
    scale = max(matrix.max(), 1e-9)
    close(exact.value / scale, wanted / scale, 1e-9)
    close(np.mean(exact.contributions) / scale, wanted / scale, 1e-7)
    epsilon = max(matrix.mean(), 1e-9) * rng.uniform(0.05, 1)
    found = monge.gap(x, y, epsilon=epsilon)
    slack, bias = 1e-6 * scale, epsilon * np.log(6)
    assert wanted + bias - slack <= float(found.entropic) <= wanted + 2 * bias + slack
    close(monge.loss(x, y, epsilon) / scale, found.entropic / scale, 1e-6)
    assert float(monge.divergence(x, y, epsilon)) >= -1e-6 * scale
    match rng.integers(4):
        case 0:
            refused("epsilon", monge.loss, x, y, rng.choice([0, -1, np.nan]))
        case 1:
            refused("x", monge.gap, np.full((6, 2), np.nan), y)
        case 2:
            refused("y", monge.divergence, x, broken(rng, y), epsilon)
        case 3:
            refused("epsilon", monge.divergence, x, y, -epsilon)


@check("ot.monge.gaussian_gap")
def _(rng):
    s, a = covariance(rng, 3), rng.normal(size=(3, 3))
    root = np.real(scipy.linalg.sqrtm(s + 1e-14 * np.eye(3)))
    k = root @ a @ root
    scale = max(np.abs(k).max(), 1e-9)
    close(monge.gaussian_gap(s.tolist(), a) / scale, 2 * (np.linalg.svd(k)[1].sum() - np.trace(k)) / scale, 1e-5)
    x, y = rng.normal(size=5), rng.normal(size=5)
    close(monge.line_gap(x.tolist(), y, jnp.square), ((x - y) ** 2).mean() - ((np.sort(x) - np.sort(y)) ** 2).mean())
    close(monge.unexplained(x[:, None], y[:, None], 2.0), 50 * ((x - y) ** 2).mean())
    refused("covariance", monge.gaussian_gap, -np.eye(3), a)
    refused("matrix", monge.gaussian_gap, s, a[:2])
    refused("variance", monge.unexplained, x[:, None], y[:, None], 0.0)
    refused("epsilon", monge.entropic_map, x[:, None], y, -1.0)


@check("ot.bures")
def _(rng):
    m, n, s, t = rng.normal(size=3), rng.normal(size=3), covariance(rng, 3) + np.eye(3), covariance(rng, 3)
    found = ot.bures(m.tolist(), s, n, t)
    flat = covariance(rng, 3)
    if np.linalg.matrix_rank(flat) < 3:  # the map of the range, where the first covariance has an inverse
        inside, size = flat @ np.linalg.pinv(flat), np.trace(t + flat)
        matrix = np.asarray(ot.bures(m, flat, n, t).matrix)
        close(matrix @ flat @ matrix / size, inside @ t @ inside / size, 1e-5)
    root = scipy.linalg.sqrtm(s)
    values = np.linalg.eigvalsh(root @ t @ root)  # SciPy's root of a singular matrix may be NaN
    wanted = ((m - n) ** 2).sum() + np.trace(s + t) - 2 * np.sqrt(np.maximum(values, 0)).sum()
    scale = np.trace(s + t)
    close(found.squared / scale, wanted / scale, 1e-6)
    close(found.matrix @ s @ found.matrix / scale, t / scale, 1e-6)
    points_ = rng.normal(size=(5, 3))
    mean, variance = maps.moments(points_)
    close(mean, points_.mean(0))
    close(variance, np.cov(points_.T, ddof=0))
    match rng.integers(4):
        case 0:
            refused("covariance_a", ot.bures, m, -np.eye(3), n, t)
        case 1:
            refused("covariance_b", ot.bures, m, s, n, np.triu(np.ones((3, 3))))
        case 2:
            refused("mean_a", ot.bures, np.full(3, np.nan), s, n, t)
        case 3:
            refused("x", found, rng.normal(size=(2, 2)))


@check("ot.maps.learn")
def _(rng):
    x, y = rng.normal(size=(8, 2)), rng.normal(size=(8, 2))
    name, value = (
        ("strength", -1.0),
        ("fit_epsilon", 0.0),
        ("gap_epsilon", -1.0),
        ("batch", 1),
        ("form", "none"),
        ("source", np.full((8, 2), np.nan)),
        ("target", np.zeros(3)),
        ("network", None),
    )[rng.integers(8)]
    if name == "network":
        learned = maps.prepare(KEY, x, y, batch=4).map
        optimal = ot.bures(x.mean(0), np.cov(x.T, ddof=0), y.mean(0), np.cov(y.T, ddof=0))
        close(learned(jnp.asarray(x)), optimal(x), 1e-6)
    else:
        refused(name, maps.learn, **({"key": KEY, "source": x, "target": y, "batch": 4, "steps": 1} | {name: value}))


# -- lab.ot: routing, bounds, plans ------------------------------------------------------------------------------------


@check("ot.routing")
def _(rng):
    gates = rng.dirichlet(np.ones(3), 6)
    k = int(rng.integers(1, 4))
    for choice, axis in (("experts", 0), ("tokens", 1)):
        found = routing.top_k_routing(gates, k, choice=choice)
        order = np.argsort(-gates, axis=axis)
        wanted = np.zeros_like(gates, bool)
        np.put_along_axis(wanted, np.take(order, np.arange(k), axis=axis), True, axis=axis)
        assert (np.asarray(found.dispatch) == wanted).all()
        for router in (routing.sinkhorn_routing, routing.sparse_ot_routing):
            assert (np.asarray(router(gates, k, choice=choice).dispatch).sum(axis=axis) <= k).all()
    told = routing.statistics(gates, found)
    close(told.gate_mass, gates[wanted].sum() / 6)
    router = (routing.top_k_routing, routing.sinkhorn_routing, routing.sparse_ot_routing)[rng.integers(3)]
    refused("gates", router, -gates, k)
    refused("k", router, gates, int(rng.choice([0, -2])))
    refused("epsilon", routing.sinkhorn_routing, gates, k, epsilon=-1.0)
    refused("gamma", routing.sparse_ot_routing, gates, k, gamma=0.0)


@check("ot.bounds")
def _(rng):
    t, k = rng.normal(size=5), int(rng.integers(1, 6))
    w = np.sort(np.abs(t))[::-1]
    r = next(
        r
        for r in range(k)
        if (np.inf if k - r - 1 == 0 else w[k - r - 2]) > w[k - r - 1 :].sum() / (r + 1) >= w[k - r - 1] - 1e-12
    )
    close(
        bounds.k_support_norm(t.tolist(), k) ** 2,
        (w[: k - r - 1] ** 2).sum() + w[k - r - 1 :].sum() ** 2 / (r + 1),
        1e-9,
    )
    plan = rng.dirichlet(np.ones(12)).reshape(4, 3)
    scaled = plan / np.sqrt(plan.sum(1, keepdims=True)) / np.sqrt(plan.sum(0, keepdims=True))
    close(ot.second_singular_value(plan.tolist()), np.linalg.svd(scaled)[1][1], 1e-7)
    rate = ot.sinkhorn_rate(plan)
    close(rate.spectral_gap, 1 - rate.s2**2)
    cost = rng.random((4, 3))
    problem = ot.problem(cost, plan.sum(1), plan.sum(0))
    lp, gamma = pot.emd2(plan.sum(1), plan.sum(0), cost), rng.uniform(0.1, 1)
    inside = bounds.bounds(problem, lp, gamma, 4)
    value = float(ot.solve(problem, ot.Quadratic(gamma), tolerance=1e-9).value)
    assert float(inside.lower) - 1e-6 <= value <= float(inside.upper) + 1e-6
    assert float(bounds.duality_gap(problem, value, plan, gamma, 4)) >= -1e-6
    refused("k", bounds.k_support_norm, t, int(rng.choice([0, 6])))
    refused("plan", ot.second_singular_value, broken(rng, plan))
    refused("plan", ot.second_singular_value, -plan)
    refused("gamma", bounds.bounds, problem, lp, -gamma, 2)
    refused("epsilon", ot.vertex_bound, problem, 1.0, 0.0)


@check("ot.plans")
def _(rng):
    plan, x, y = rng.dirichlet(np.ones(12)).reshape(4, 3), points(rng, 4, 2), points(rng, 3, 2)
    plan[rng.integers(4)] *= rng.integers(2)
    sent = plan.sum(1, keepdims=True)
    wanted = np.where(sent > 0, plan @ y / np.where(sent > 0, sent, 1), x)
    close(ot.barycentric(plan.tolist(), x, y.tolist()), wanted, 1e-12)
    problem = ot.problem(rng.random((4, 3)))
    found = ot.figures(problem, plan)
    close(found.transport_cost, (plan * np.asarray(problem.cost)).sum())
    close(found.row_error_l1, np.abs(plan.sum(1) - 0.25).sum())
    assert int(found.nnz) == (plan > 0).sum()
    entries = np.sort(plan.ravel())[::-1]
    close(plans.ranked(jnp.asarray(plan), np.arange(1, 13)).mass_beyond, plan.sum() - np.cumsum(entries))
    name = ("plan", "x", "y")[rng.integers(3)]
    refused(name, ot.barycentric, **({"plan": plan, "x": x, "y": y} | {name: broken(rng, plan)}))
    refused("plan", ot.figures, problem, plan.T)


# -- lab.traffic -------------------------------------------------------------------------------------------------------


@check("traffic.adjacency")
def _(rng):
    x, mask, radius, scale = points(rng, 5, 2), rng.random(5) < 0.8, rng.uniform(1, 50), rng.uniform(0.1, 10)
    apart = scipy.spatial.distance.cdist(x, x)
    there = mask[:, None] & mask[None, :] & ~np.eye(5, dtype=bool)
    hidden = np.where(mask[:, None], x, np.nan)
    found = traffic.adjacency(hidden, mask.tolist(), radius=radius, scale=scale)
    wanted = np.where(there & (apart < radius), np.exp(-apart / scale), 0)
    close(found, wanted, 1e-9)
    laplace = traffic.laplacian(found)
    close(laplace, np.diag(wanted.sum(1)) - wanted, 1e-12)
    pairs = traffic.spectrum(laplace, mask)
    close(pairs.vectors * pairs.values[None, :] @ pairs.vectors.T, laplace, 1e-9)
    close(np.sort(pairs.values), np.linalg.eigvalsh(laplace), 1e-9)
    assert traffic.embedding(pairs, 2, mask).shape == (5, 2)
    match rng.integers(5):
        case 0:
            refused("positions", traffic.adjacency, np.c_[x, x[:, :1]])
        case 1:
            refused("radius", traffic.adjacency, x, radius=rng.choice([0, -1, np.nan]))
        case 2:
            refused("mask", traffic.adjacency, x, mask[:3])
        case 3:
            refused("position", traffic.adjacency, np.full((5, 2), np.nan))
        case 4:
            refused("nearest", traffic.adjacency, x, nearest=0, neighbours="nearest")
    refused("weights", traffic.laplacian, np.ones((2, 3)))
    refused("k", traffic.embedding, pairs, int(rng.choice([0, 6])))


@check("traffic.graphs.cumulative")
def _(rng):
    w = rng.random((4, 3, 3))
    window = int(rng.integers(1, 6))
    wanted = np.stack([w[max(t - window + 1, 0) : t + 1].max(axis=0) for t in range(4)])
    close(graphs.cumulative(w, window=window), wanted)
    close(graphs.degree(w), w.sum(-1))
    refused("window", graphs.cumulative, w, window=0)
    refused("weights", graphs.cumulative, broken(rng, w))


@check("traffic.align")
def _(rng):
    base = np.linalg.qr(rng.normal(size=(4, 4)))[0][:, :2]
    turned = np.stack([base * rng.choice([-1, 1], 2) for _ in range(4)])
    found = np.asarray(traffic.align(turned))
    close(found, np.broadcast_to(found[0], found.shape), 1e-12)
    close(np.abs(found), np.abs(turned), 1e-12)
    mixed = np.stack([base @ scipy.stats.ortho_group.rvs(2, random_state=rng) for _ in range(4)])
    close(
        traffic.align(mixed, "procrustes")[1:], np.broadcast_to(traffic.align(mixed, "procrustes")[0], (3, 4, 2)), 1e-9
    )
    values = np.sort(rng.normal(size=4))
    close(spectra.gaps(values), [min(np.diff(values)[max(i - 1, 0) : i + 1]) for i in range(4)])
    refused("vectors", traffic.align, broken(rng, mixed))
    refused("error", spectra.bounds, values, -1.0)


@check("traffic.kmeans")
def _(rng):
    x = np.r_[rng.normal(size=(4, 2)), rng.normal(size=(4, 2)) + 50] * 10 ** rng.uniform(-2, 2)
    found = traffic.kmeans(x.tolist(), 2)
    labels = np.asarray(found.labels)
    assert len(set(labels[:4])) == len(set(labels[4:])) == 1
    assert labels[0] != labels[4]
    close(
        np.asarray(found.centres)[labels[[0, 4]]] / np.abs(x).max(),
        np.stack([x[:4].mean(0), x[4:].mean(0)]) / np.abs(x).max(),
    )
    mask = np.arange(8) != 2
    hidden = np.where(mask[:, None], x, np.nan)
    assert np.isfinite(np.asarray(traffic.kmeans(hidden, 2, mask).centres)).all()
    close(clusters.centres(x, found.labels, 2)[0] / np.abs(x).max(), x[:4].mean(0) / np.abs(x).max())
    refused("k", traffic.kmeans, x, int(rng.choice([0, 9])))
    refused("points", traffic.kmeans, hidden, 2)
    refused("mask", traffic.kmeans, x, 2, mask[:4])


@check("traffic.label")
def _(rng):
    theta, dt, threshold = rng.random((4, 3)), rng.uniform(0.1, 2), rng.uniform(0, 0.2)
    rates = traffic.rate(theta.tolist(), dt)
    close(rates, np.diff(theta, axis=0).mean(0) / dt, 1e-12)
    labels = np.asarray(traffic.label(rates, threshold))
    assert (labels == np.where(rates > threshold, 1, np.where(rates < -threshold, -1, 0))).all()
    truth = rng.integers(-1, 2, 20)
    told = rng.integers(-1, 2, 20)
    counts = behaviour.confusion(truth, told)
    close(counts, [[((truth == i) & (told == j)).sum() for j in (-1, 0, 1)] for i in (-1, 0, 1)])
    close(behaviour.weighted_accuracy(counts), (truth == told).mean())
    refused("dt", traffic.rate, theta, rng.choice([0, -1, np.nan]))
    refused("threshold", traffic.label, rates, -1.0)
    refused("counts", behaviour.recall, -np.ones((3, 3)))


@check("traffic.ridge")
def _(rng):
    past, future, there, penalty = (
        rng.normal(size=(9, 2, 2)),
        rng.normal(size=(9, 1, 2)),
        rng.random(9) < 0.8,
        rng.uniform(0.01, 1),
    )
    there[0] = True
    x, y = past[there].reshape(there.sum(), -1), future[there].reshape(there.sum(), -1)
    centred = x - x.mean(0)
    w = np.linalg.solve(centred.T @ centred + penalty * np.eye(4), centred.T @ (y - y.mean(0)))
    past = np.where(there[:, None, None], past, np.nan)
    found = traffic.ridge(past, future.tolist(), there, penalty)
    close(found.weights, w, 1e-9)
    close(found.intercept, y.mean(0) - x.mean(0) @ w, 1e-9)
    told = found(past)
    close(np.asarray(told)[there].reshape(-1, 2), x @ w + np.asarray(found.intercept), 1e-9)
    moments = forecasting.missed(told, future, there)
    away = np.asarray(told)[there] - future[there]
    close(moments, np.einsum("spi,spj->pij", away, away) / there.sum(), 1e-9)
    match rng.integers(4):
        case 0:
            refused("penalty", traffic.ridge, past, future, there, rng.choice([0, -5, np.nan]))
        case 1:
            refused("past", traffic.ridge, past * np.nan, future, there)
        case 2:
            refused("past", found, np.ones((4, 3, 2)))
        case 3:
            refused("there", traffic.ridge, past, future, there[:4])


@check("traffic.constant_velocity")
def _(rng):
    start_, speed = rng.normal(size=(3, 1, 2)), rng.normal(size=(3, 1, 2))
    whole = start_ + speed * np.arange(6)[None, :, None]
    found = traffic.constant_velocity(whole[:, :3].tolist(), 3)
    close(found, whole[:, 3:], 1e-12)
    truth = whole[:, 3:] + rng.normal(size=(3, 3, 2))
    apart = metrics.distances(found, truth)
    there = np.array([True, False, True])
    norms = np.linalg.norm(np.asarray(found) - truth, axis=-1)
    close(apart, norms)
    close(traffic.ade(apart, there), norms[there].mean())
    close(traffic.fde(apart, there), norms[there, -1].mean())
    close(metrics.rmse(apart, there), np.sqrt((norms[there] ** 2).mean(0)))
    assert float(traffic.ade(apart, there)) <= float(np.sqrt((norms[there] ** 2).mean())) + 1e-12
    refused("past", traffic.constant_velocity, whole[:, :1], 3)
    refused("steps", traffic.constant_velocity, whole, 0)
    refused("there", traffic.ade, apart, there[:2])


@check("traffic.cut")
def _(rng):
    x, mask = rng.normal(size=(8, 3, 2)), rng.random((8, 3)) < 0.9
    hidden = np.where(mask[..., None], x, np.nan)
    found = traffic.cut(hidden, mask, [0, 2, 4], 2, 2, bool(rng.integers(2)))
    road = np.asarray(windows.outward(found.future, found.origin, found.heading))
    for s, first in enumerate((0, 2, 4)):
        assert (np.asarray(found.there)[s] == mask[first : first + 4].all(0)).all()
        for agent in np.flatnonzero(np.asarray(found.there)[s]):
            close(road[s, agent], x[first + 2 : first + 4, agent], 1e-12)
    close(np.linalg.norm(found.heading, axis=-1), np.ones((3, 3)), 1e-12)
    refused("first", traffic.cut, x, mask, [-1], 2, 2)
    refused("observed", traffic.cut, x, mask, [0], 0, 2)
    refused("positions", traffic.cut, np.ones((8, 3, 3)), mask, [0], 2, 2)


@check("traffic.simulate")
def _(rng):
    drawn = traffic.draw(int(rng.integers(1000)), 5, slow=rng.uniform(0, 0.5), fast=rng.uniform(0, 0.5))
    found = traffic.simulate(drawn.road, drawn.drivers, 20, 5)
    assert found.position.shape == (4, 5, 2)
    assert np.isfinite(np.asarray(found.position)).all()
    close(found.position[0], drawn.road.position)
    order = rng.permutation(5)
    road, drivers = (jax.tree.map(lambda a: np.asarray(a)[order], each) for each in drawn[:2])
    close(traffic.simulate(road, drivers, 5, 5).position[-1], np.asarray(drawn.road.position)[order])
    v, wanted, headway, gap, approach = rng.uniform(1, 30, 5)
    wished = 10 + v * headway + v * approach / (2 * np.sqrt(15))
    close(simulation.idm(v, wanted, headway, gap, approach), 3 * (1 - (v / wanted) ** 4 - (wished / gap) ** 2), 1e-12)
    match rng.integers(4):
        case 0:
            refused("steps", traffic.simulate, drawn.road, drawn.drivers, 0)
        case 1:
            refused("dt", traffic.simulate, drawn.road, drawn.drivers, 5, 1, -0.1)
        case 2:
            refused("drivers", traffic.simulate, drawn.road, traffic.Drivers(*(each[:2] for each in drawn.drivers)), 5)
        case 3:
            refused("slow", traffic.draw, 0, 3, slow=rng.choice([-0.1, 1.1, np.nan]))


@check("traffic.streams.nll")
def _(rng):
    mean, sigma, rho, x = (
        rng.normal(size=(3, 2)),
        rng.uniform(0.1, 2, (3, 2)),
        rng.uniform(-0.9, 0.9, 3),
        rng.normal(size=(3, 2)),
    )
    told = streams.Gaussian(*map(jnp.asarray, (mean, sigma, rho)))
    matrices = np.asarray(streams.covariance(told))
    wanted = [-scipy.stats.multivariate_normal.logpdf(x[i], mean[i], matrices[i]) for i in range(3)]
    close(streams.nll(told, x), wanted, 1e-9)
    refused("sigma", streams.nll, told._replace(sigma=0 * told.sigma), x)
    refused("rho", streams.covariance, told._replace(rho=told.rho + 2))


# -- lab.shapes --------------------------------------------------------------------------------------------------------


@check("shapes.figures")
def _(rng):
    m, n, radii = int(rng.integers(3, 7)), int(rng.integers(3, 7)), tuple(rng.uniform(0.5, 2, 2))
    torus = shapes.flat_torus(m, n, radii)
    operator = laplacian.laplacian(torus)
    found = spectrum.spectrum(operator, m * n - 1)
    exact = figures.flat_torus_values(m, n, radii)
    close(found.values / exact[-1], exact[:-1] / exact[-1], 1e-9)
    close(found.inverse @ found.functions, np.eye(m * n - 1), 1e-8)
    width, height = rng.uniform(0.1, 5, 2)
    sheet = shapes.sheet(m, n, width, height)
    close(sheet.area, width * height, 1e-12)
    radius = rng.uniform(0.1, 10)
    ball = shapes.sphere(1, radius)
    close(np.linalg.norm(ball.vertices, axis=1), np.full(42, radius))
    match rng.integers(4):
        case 0:
            refused("radius", shapes.sphere, 1, rng.choice([0, -1, np.nan]))
        case 1:
            refused("radii", shapes.flat_torus, m, n, (1.0, -1.0))
        case 2:
            refused("width", shapes.sheet, m, n, rng.choice([0, -1, np.nan]))
        case 3:
            refused("times", shapes.sphere, rng.choice([-1, 8, 0.5]))


@check("shapes.laplacian")
def _(rng):
    ball = shapes.sphere(1)
    shape = mesh.mesh(ball.vertices * rng.uniform(0.5, 2, 3), ball.faces)
    operator = laplacian.laplacian(shape)
    f = rng.normal(size=42)
    energy = 0.0
    for i, j, k in shape.faces:  # of the linear function on each face
        p, q, r = shape.vertices[[i, j, k]]
        edge = np.stack([q - p, r - p], axis=1)
        slope = np.linalg.pinv(edge.T) @ np.array([f[j] - f[i], f[k] - f[i]])
        energy += slope @ slope * np.linalg.norm(np.cross(*edge.T)) / 2
    close(f @ (operator.stiffness @ f), energy, 1e-9)
    close(operator.mass.sum(), shape.area, 1e-12)
    order = rng.permutation(42)
    moved = mesh.permuted(shape, order)
    close(spectrum.spectrum(laplacian.laplacian(moved), 5).values, spectrum.spectrum(operator, 5).values, 1e-9)
    along = geodesics.geodesics(shape, "edges")
    direct = scipy.spatial.distance.cdist(shape.vertices, shape.vertices) / np.sqrt(shape.area)
    assert (along >= direct - 1e-12).all()
    close(along, along.T, 1e-12)
    refused("vert", mesh.mesh, broken(rng, shape.vertices), shape.faces)
    refused("face", mesh.mesh, shape.vertices, shape.faces + 1)
    refused("face", shapes.repaired, shape.vertices, shape.faces.astype(float))
    refused("k", spectrum.spectrum, operator, int(rng.choice([0, 42])))
    refused("matrix", mesh.transformed, shape, np.ones((3, 2)))


@check("shapes.signatures")
def _(rng):
    values = np.r_[0.0, np.sort(rng.uniform(1, 50, 6))]
    of = shapes.Spectrum(values, rng.normal(size=(9, 7)), rng.uniform(0.1, 1, 9))
    times = rng.uniform(0, 1, 3)
    close(shapes.heat_kernel(of, times.tolist()), of.functions**2 @ np.exp(-np.outer(values, times)), 1e-12)
    waves = shapes.wave_kernel(of, 30)
    close(of.mass @ waves**2, np.ones(30), 1e-9)
    traced = jax.jit(lambda values: shapes.wave_kernel(of._replace(values=values), 30))(values)
    close(traced, waves, 1e-9)
    refused("times", shapes.heat_kernel, of, [-1.0])
    refused("channels", shapes.wave_kernel, of, int(rng.integers(-3, 29)))
    refused("mass", shapes.heat_kernel, of._replace(mass=of.mass[:3]), times)


@check("shapes.functional_maps.solve")
def _(rng):
    k = int(rng.choice([1, 3]))
    a, b, strength, ridge = rng.normal(size=(k, 5)), rng.normal(size=(3, 5)), rng.uniform(0, 9), rng.uniform(1e-6, 0.1)
    x, y = np.sort(rng.uniform(0, 9, k)), np.r_[0.0, np.sort(rng.uniform(1, 9, 2))]
    x[0] = 0
    penalty = np.asarray(functional_maps.mask(x, y, rng.uniform(0.2, 2)))
    assert np.isfinite(penalty).all()
    assert (penalty >= 0).all()
    close(functional_maps.mask([0.0], [0.0]), [[0.0]])
    close(functional_maps.mask(y, x).T, functional_maps.mask(x, y), 1e-12)
    found = np.asarray(functional_maps.solve(a.tolist(), b, penalty, strength, ridge))
    gram = a @ a.T + ridge * np.trace(a @ a.T) / k * np.eye(k)
    for i in range(3):
        close((gram + strength * np.diag(penalty[i])) @ found[i], (b @ a.T)[i], 1e-8)
    name, value = (
        ("strength", -1.0),
        ("ridge", -5.0),
        ("penalty", -penalty - 1),
        ("penalty", penalty[:2]),
        ("a", broken(rng, a)),
    )[rng.integers(5)]
    refused(name, functional_maps.solve, **({"a": a, "b": b, "penalty": penalty} | {name: value}))
    refused("values_x", functional_maps.mask, -1 - x, y)
    refused("gamma", functional_maps.mask, x, y, rng.choice([0, -1, np.nan]))


@check("shapes.functional_maps losses")
def _(rng):
    c, d = rng.normal(size=(3, 3)), rng.normal(size=(3, 3))
    turn = scipy.stats.ortho_group.rvs(3, random_state=rng)
    close(functional_maps.bijectivity(turn, turn.T), 0, 1e-12)
    close(functional_maps.orthogonality(turn, turn.T), 0, 1e-12)
    close(functional_maps.bijectivity(c, d), ((c @ d - np.eye(3)) ** 2).sum() + ((d @ c - np.eye(3)) ** 2).sum(), 1e-12)
    x, y = rng.random(3), rng.random(3)
    wanted = ((c * x - y[:, None] * c) ** 2).sum() + ((d * y - x[:, None] * d) ** 2).sum()
    close(functional_maps.isometry(c.tolist(), d, x, y), wanted, 1e-12)
    v, weights = rng.normal(size=(4, 2)), rng.random(3)
    ends = np.array([[0, 1], [1, 2], [2, 3]])
    close(
        functional_maps.dirichlet(v, ends, weights), (weights[:, None] * (v[ends[:, 0]] - v[ends[:, 1]]) ** 2).sum() / 2
    )
    refused("c_yx", functional_maps.bijectivity, c, d[:2])
    refused("ends", functional_maps.dirichlet, v, ends + 1, weights)
    refused("values_y", functional_maps.isometry, c, d, x, y[:2])


@check("shapes.functional_maps.soft")
def _(rng):
    x, y, tau = points(rng, 5, 3), points(rng, 6, 3), rng.uniform(0.05, 1)
    unit = [f / np.maximum(np.linalg.norm(f, axis=1, keepdims=True), 1e-12) for f in (x, y)]
    close(functional_maps.soft(x, y.tolist(), tau), scipy.special.softmax(unit[0] @ unit[1].T / tau, axis=1), 1e-9)
    found = functional_maps.refined(x, y, rng.uniform(0.2, 1))
    close(np.asarray(found.yx).sum(1), np.ones(6), 1e-9)
    back = np.asarray(functional_maps.nearest_features(x, y))
    scores = unit[1] @ unit[0].T
    close(scores[np.arange(6), back], scores.max(1), 1e-9)
    refused("tau", functional_maps.soft, x, y, rng.choice([0, -1, np.nan]))
    refused("sigma", functional_maps.refined, x, y, 0.0)
    refused("features_y", functional_maps.refined, x, y[:, :2])


@check("shapes.point_map")
def _(rng):
    c, x, y = rng.normal(size=(3, 3)), rng.normal(size=(6, 3)), rng.normal(size=(5, 3))
    found = np.asarray(shapes.point_map(c.tolist(), x, y))
    assert (found == scipy.spatial.distance.cdist(y, x @ c.T).argmin(1)).all()
    inverse = rng.normal(size=(3, 5))
    close(shapes.of_point_map(found.tolist(), x, inverse), inverse @ x[found], 1e-12)
    sharp = shapes.zoomout(c[:2, :2], x, y, inverse)
    start_ = scipy.spatial.distance.cdist(y[:, :2], x[:, :2] @ c[:2, :2].T).argmin(1)
    close(sharp.c_xy, inverse @ x[start_], 1e-9)
    distances = rng.random((6, 6))
    errors = shapes.geodesic_errors(found, found[::-1], distances)
    close(errors, distances[found, found[::-1]])
    curve = shapes.correct_keypoints(errors, most=0.5, count=7)
    close(curve.share, [(errors <= t).mean() for t in curve.threshold])
    match rng.integers(5):
        case 0:
            refused("point map", shapes.of_point_map, found + 6, x, inverse)
        case 1:
            refused("functions_y", shapes.point_map, c, x, y[:, :2])
        case 2:
            refused("errors", shapes.correct_keypoints, [np.nan, 1.0])
        case 3:
            refused("distances", shapes.geodesic_errors, found, found, distances[:, :3])
        case 4:
            refused("inverse_y", shapes.zoomout, c[:2, :2], x, y, inverse[:2])


@check("shapes.learn")
def _(rng):
    on = _small_surface()
    drawn = jax.tree.map(lambda w: w + rng.normal(size=w.shape), _small_net().weights)
    net = eqx.tree_at(lambda net: net.weights, _small_net(), drawn)
    found = shapes.match(net, on, on, 3)
    assert (np.asarray(found.nearest) == np.arange(12)).mean() > 0.5
    close(found.c_xy, found.c_yx, 1e-9)
    settings = shapes.correspondence.Settings(ridge=-5.0)
    refused("ridge", shapes.match, net, on, on, 3, settings)
    name, value = (("k", 9), ("steps", 0), ("directions", 0), ("pairs", [[0, 5]]), ("transport", "all"))[
        rng.integers(5)
    ]
    refused(name, shapes.learn, **({"key": KEY, "surfaces": [on, on], "net": net, "k": 3, "steps": 1} | {name: value}))
    refused("width", shapes.DiffusionNet, KEY, 3, 4, width=0)


@check("shapes.refine")
def _(rng):
    on = _small_surface()
    drawn = jax.tree.map(lambda w: w + rng.normal(size=w.shape), _small_net().weights)
    net = eqx.tree_at(lambda net: net.weights, _small_net(), drawn)
    given = {"key": jax.random.key(int(rng.integers(99))), "x": on, "y": on, "net": net, "k": 3, "steps": 2}
    found = shapes.refine(**given, directions=8)
    loss = np.asarray(found.trace["loss"])
    assert loss.shape == (3,)
    again = shapes.refine(**(given | {"net": found.net, "steps": 0}), directions=8)
    close(again.trace["loss"][0], loss.min(), 1e-6)  # the network of the lowest loss is the one that is returned
    name, value = (("k", 9), ("k", 0), ("steps", -1), ("directions", 0), ("transport", "all"), ("root", "x"))[
        rng.integers(6)
    ]
    refused(name, shapes.refine, **(given | {name: value}))


@check("shapes.functional_maps of parts")
def _(rng):
    c, d = rng.normal(size=(2, 4, 4))
    full, part = np.sort(rng.uniform(0, 9, (2, 4)), axis=1)
    r = (part < full.max()).sum()
    diagonal = (np.arange(4) <= r).astype(float)
    close(functional_maps.partial_rank(full.tolist(), part), diagonal, 0)
    losses = functional_maps.partial_losses(c, d.tolist(), full, part)
    close(losses, (((c @ d - np.diag(diagonal)) ** 2).sum(), ((c @ c.T - np.diag(diagonal)) ** 2).sum()), 1e-12)
    phi_x, phi_y, back_x, back_y = (rng.normal(size=size) for size in ((5, 4), (6, 4), (4, 5), (4, 6)))
    xy, yx = rng.dirichlet(np.ones(6), 5), rng.dirichlet(np.ones(5), 6)
    coupled = functional_maps.coupling(c, d, xy, yx.tolist(), (phi_x, back_x), (phi_y, back_y))
    close(coupled, ((c - back_y @ yx @ phi_x) ** 2).sum() + ((d - back_x @ xy @ phi_y) ** 2).sum(), 1e-12)
    f = points(rng, 5, 3)
    norms = np.linalg.norm(f, axis=1, keepdims=True)
    close(functional_maps.unit_rows(f.tolist()), np.where(norms > 0, f / np.where(norms > 0, norms, 1), 0), 1e-12)
    refused("values_part", functional_maps.partial_rank, full, part[:2])
    refused("c_pf", functional_maps.partial_losses, c, d[:2], full, part)
    refused("pi_xy", functional_maps.coupling, c, d, broken(rng, xy), yx, (phi_x, back_x), (phi_y, back_y))
    refused("features", functional_maps.unit_rows, broken(rng, f))


@check("shapes.mesh")
def _(rng):
    m, n = int(rng.integers(2, 6)), int(rng.integers(2, 6))
    one = shapes.sheet(m, n, 1.0, 1.0)
    ends = mesh.edges(one).ends
    assert one.n - len(ends) + len(one.faces) == 1  # Euler's number of a disk
    rim = mesh.boundary(one)
    assert set(map(tuple, rim)) <= set(map(tuple, ends))
    assert (np.bincount(rim.ravel(), minlength=one.n)[np.unique(rim)] == 2).all()
    twice = mesh.mesh(np.r_[one.vertices, one.vertices + 9], np.r_[one.faces, one.faces + one.n])
    assert (np.unique(mesh.components(twice), return_counts=True)[1] == one.n).all()
    assert any("2 parts" in fault for fault in mesh.faults(twice))
    assert mesh.faults(shapes.sphere(1)) == ()
    moved = mesh.normalised(mesh.transformed(one, rng.normal(size=(3, one.vertices.shape[1])), rng.normal(size=3)))
    close(moved.area, 1.0, 1e-9)
    close(moved.vertices.mean(axis=0), np.zeros(3), 1e-9)
    order = rng.permutation(one.n)
    close(np.sort(mesh.permuted(one, order).areas), np.sort(one.areas), 1e-12)
    again = shapes.repaired(np.r_[one.vertices, one.vertices[:1]], np.r_[one.faces, [[0, 0, 1]]])
    close(again.area, one.area, 1e-12)
    assert mesh.flat_faces(again).size == 0
    refused("order", mesh.permuted, one, [order[:2], np.zeros(one.n, int), order * 0.5][rng.integers(3)])
    refused("matrix", mesh.transformed, one, [np.full((3, 3), np.nan), np.ones(3)][rng.integers(2)])


@cache
def _small_net() -> shapes.OwnNet:  # one, since each is a program
    return shapes.OwnNet(jax.tree_util.Partial(lambda w, on: on.descriptors @ w, jnp.ones((3, 4))), jnp.float64)


@cache
def _small_surface() -> Any:
    ball = shapes.sphere(0)
    return shapes.surface.surface(
        mesh.mesh(ball.vertices * [1.0, 1.3, 0.8], ball.faces), 5, ball.vertices, dtype=np.float64
    )


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Draw, check and print; returns the content of the line of JSON."""
    return fuzzing.main("fuzz_shapes", __doc__, CHECKS, argv)


if __name__ == "__main__":
    main()
