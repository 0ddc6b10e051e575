r"""Random problems for the functions of ``lab.numerics`` that compute: mixtures, selection, projections, roots, statistics.

Valid input is compared with NumPy, SciPy, JAX and exhaustive search. Invalid input must raise a ValueError or TypeError that
names the argument.

    python -m benchmarks.fuzz_numerics [--problems 2500] [--seed 0]
"""

# Arrays of NumPy and lists are given on purpose where annotations name arrays of JAX.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jaxtyping import Array, Bool, Float, Int
from scipy import stats

from benchmarks import fuzzing
from benchmarks.fuzzing import Check, close, refused
from lab.numerics import arguments as checks
from lab.numerics import (
    eigen,
    host,
    map_rows,
    mixtures,
    neighbours,
    principal,
    projections,
    pure,
    quantiles,
    random,
    roots,
    select,
    sorting,
    statistics,
)

type Rng = np.random.Generator

NORMAL: Any = stats.multivariate_normal
M, N = 5, 4  # one size, since each is a program


def _spd(rng: Rng, d: int, rank: int | None = None) -> np.ndarray:
    half = rng.normal(size=(d, rank or d))
    return half @ half.T * 10 ** rng.uniform(-3, 3)


def _columns(rng: Rng) -> np.ndarray:
    """In units from 1e-3 to 1e3, often with ties."""
    values = rng.normal(size=(M, N))
    return np.round(values) if rng.random() < 0.5 else values * 10 ** rng.uniform(-3, 3)


def mixture(rng: Rng) -> None:
    """Each quantity by SciPy, for the three forms of covariances."""
    weights, means = rng.dirichlet(np.ones(3)), rng.normal(size=(3, 2))
    form = rng.integers(3)
    given = (rng.uniform(0.1, 2, 3), rng.uniform(0.1, 2, (3, 2)), np.stack([_spd(rng, 2) for _ in range(3)]))[form]
    full = [v * np.eye(2) if form == 0 else np.diag(v) if form == 1 else v + 0.1 * np.eye(2) for v in given]
    law = mixtures.Mixture(weights.tolist(), means, given if form < 2 else np.stack(full))
    x = rng.normal(size=(4, 2))
    each = np.stack([w * NORMAL(m, c).pdf(x) for w, m, c in zip(weights, means, full, strict=True)], axis=1)
    close(np.exp(law.log_prob(x.tolist())), each.sum(axis=1), 1e-9)
    parts = each / each.sum(axis=1, keepdims=True)
    close(law.responsibilities(x), parts, 1e-8)
    slopes = np.stack([-(x - m) @ np.linalg.inv(c) for m, c in zip(means, full, strict=True)], axis=1)
    slope = np.einsum("nk,nkd->nd", parts, slopes)
    close(law.score(x) / np.abs(slope).max(), slope / np.abs(slope).max(), 1e-7)
    mean = weights @ means
    apart = means - mean
    close(law.moments().mean, mean, 1e-12)
    close(law.moments().covariance, sum(w * (c + np.outer(r, r)) for w, c, r in zip(weights, full, apart, strict=True)))
    a, v = rng.uniform(0.2, 2), rng.uniform(0.1, 2)
    denoised, log_density = law.denoise(jnp.asarray(x), a, v)
    noisy = mixtures.Mixture(weights, a * means, np.stack([a**2 * c + v * np.eye(2) for c in full]))
    close(log_density, noisy.log_prob(jnp.asarray(x)), 1e-9)
    close(a * denoised, x + v * np.asarray(noisy.score(jnp.asarray(x))), 1e-6)
    operator, noise = rng.normal(size=(1, 2)), rng.uniform(0.1, 2)
    seen = law.observe(operator, [0.3], [[noise]])
    precise = [np.linalg.inv(c) + operator.T @ operator / noise for c in full]
    close(seen.covariances, [np.linalg.inv(p) for p in precise], 1e-7)
    evidence = [w * NORMAL(operator @ m, operator @ c @ operator.T + noise).pdf([0.3])
                for w, m, c in zip(weights, means, full, strict=True)]  # fmt: skip
    close(seen.weights, np.array(evidence) / np.sum(evidence), 1e-7)
    match rng.integers(6):
        case 0:
            refused("weights", mixtures.Mixture, [2 * weights, -weights, weights[:2]][rng.integers(3)], means, given)
        case 1:
            refused("means", mixtures.Mixture, weights, [means[0], means * np.nan][rng.integers(2)], given)
        case 2:
            refused(
                "covariance", mixtures.Mixture, weights, means, [-given, given * np.nan, given[:2]][rng.integers(3)]
            )
        case 3:
            function = (law.log_prob, law.score, law.responsibilities)[rng.integers(3)]
            refused("x", function, [x[0], x[:, :1], x[None]][rng.integers(3)])
        case 4:
            refused("y", law.denoise, [x[0], x[:, :1]][rng.integers(2)], a, v)
        case 5:
            name = ("operator", "y", "noise")[rng.integers(3)]
            right = {"operator": operator, "y": np.zeros(1), "noise": np.eye(1)}
            refused(name, law.observe, **(right | {name: np.zeros((3, 3))}))
    refused("dimension", mixtures.standard, [0, -1, 1.5][rng.integers(3)])
    refused("n", law.sample, jax.random.key(0), [-1, 1.5][rng.integers(2)])


def largest(rng: Rng) -> None:
    """By NumPy's sort; of equal values the first rows."""
    values, k = _columns(rng), int(rng.integers(1, M + 1))
    close(select.kth_largest(jnp.asarray(values), jnp.asarray(k)), np.sort(values, axis=0)[::-1][k - 1], 0)
    order = np.argsort(-values, axis=0, kind="stable")
    wanted = np.zeros((M, N), bool)
    np.put_along_axis(wanted, order[:k], True, axis=0)
    assert (np.asarray(select.largest(jnp.asarray(values), jnp.asarray(k))) == wanted).all()
    function = (select.kth_largest, select.largest)[rng.integers(2)]
    refused("k", function, jnp.asarray(values), jnp.asarray([0, -1, M + 1][rng.integers(3)]))
    refused("k", function, jnp.asarray(values), jnp.asarray(1.5))
    refused("values", function, jnp.asarray([values[0], np.full((M, N), np.nan)][rng.integers(2)]), jnp.asarray(1))


def projected(rng: Rng) -> None:
    """The nearest point of the simplex among all sets of rows that may be positive."""
    v, b, k = _columns(rng), rng.uniform(0, 3, N) * (rng.random(N) < 0.8), int(rng.integers(1, M + 1))

    def nearest(most: int) -> np.ndarray:
        found = np.empty(N)
        for j in range(N):
            best = np.inf
            for rows in itertools.chain(*(itertools.combinations(range(M), r) for r in range(1, most + 1))):
                t = np.zeros(M)
                t[list(rows)] = v[list(rows), j] - (v[list(rows), j].sum() - b[j]) / len(rows)
                if (t >= -1e-12).all():
                    best = min(best, ((t - v[:, j]) ** 2).sum())
            found[j] = best
        return found

    for (t, _), most in (
        (projections.simplex(jnp.asarray(v), jnp.asarray(b)), M),
        (projections.sparse_simplex(jnp.asarray(v), jnp.asarray(b), jnp.asarray(k)), k),
    ):
        t = np.asarray(t)
        assert (t >= 0).all()
        assert ((t > 0).sum(axis=0) <= most).all()
        close(t.sum(axis=0), b, 1e-12)
        wanted = nearest(most)
        close(((t - v) ** 2).sum(axis=0) / max(wanted.max(), 1), wanted / max(wanted.max(), 1), 1e-9)
    u = np.abs(v)
    q = np.asarray(projections.share(jnp.asarray(u), jnp.asarray(k)))
    for j in range(N):
        if (u[:, j] > 0).sum() <= k:
            assert np.isinf(q[j])
        else:
            close(np.minimum(q[j] * u[:, j], 1).sum(), k, 1e-9)
    refused("k", projections.sparse_simplex, jnp.asarray(v), jnp.asarray(b), jnp.asarray([0, M + 1][rng.integers(2)]))
    function = (projections.simplex, lambda v, b: projections.sparse_simplex(v, b, jnp.asarray(1)))[rng.integers(2)]
    refused("b", function, jnp.asarray(v), jnp.asarray([-1 - b, b[:2], b * np.nan][rng.integers(3)]))
    refused("v", function, jnp.asarray(v[0]), jnp.asarray(b))


def ordered(rng: Rng) -> None:
    x = np.round(rng.normal(size=(2, int(rng.choice([7, 1200])))), int(rng.integers(0, 6)))
    x[0, rng.integers(7)] = rng.choice([np.inf, -np.inf, 0.0])
    found = sorting.ascending(x.tolist() if rng.random() < 0.3 else jnp.asarray(x))
    assert (np.asarray(found) == np.sort(x)).all()
    change = rng.normal(size=x.shape)
    moved = jax.jvp(sorting.ascending, (jnp.asarray(x),), (jnp.asarray(change),))[1]
    close(moved.sum(axis=1), change.sum(axis=1), 1e-12)
    close(moved, np.take_along_axis(change, np.argsort(x, kind="stable"), axis=1), 0)
    refused("x", sorting.ascending, [1.0, "text", None][rng.integers(3)])


def intervals(rng: Rng) -> None:
    """Student's intervals by SciPy, and quantiles of samples in which some are missing."""
    x, share = rng.normal(size=int(rng.integers(2, 9))), rng.uniform(0.05, 0.99)
    found = statistics.mean_interval(x.tolist(), share)
    close((found.low, found.high), stats.t.interval(share, len(x) - 1, x.mean(), stats.sem(x)), 1e-9)
    close(found.half, statistics.student(len(x), share) * stats.sem(x), 1e-9)
    assert np.isnan(statistics.mean_interval(x[:1]).half)
    refused("share", statistics.mean_interval, x, [0.0, 1.0, -0.5, np.nan][rng.integers(4)])
    refused("values", statistics.mean_interval, [[], ["a"], None][rng.integers(3)])
    refused("count", statistics.student, ["a", None][rng.integers(2)])
    table, levels = np.where(rng.random((3, 6)) < 0.3, np.nan, rng.normal(size=(3, 6))), rng.uniform(0, 1, 2)
    table[:, 0] = 0.5
    wanted = np.nanquantile(table, levels, axis=1).T
    close(quantiles.quantiles(jnp.asarray(table), levels.tolist()), wanted, 1e-9)
    refused("levels", quantiles.quantiles, jnp.asarray(table), [[-0.1], [1.5], [np.nan], ["a"]][rng.integers(4)])
    refused("values", quantiles.quantiles, jnp.asarray(1.0), [0.5])


def near(rng: Rng) -> None:
    x, candidates, k = (
        np.round(rng.normal(size=(4, 2)), 1),
        np.round(rng.normal(size=(6, 2)), 1),
        int(rng.integers(1, 4)),
    )
    found = neighbours.nearest(jnp.asarray(x), jnp.asarray(candidates), k)
    apart = scipy.spatial.distance.cdist(x, candidates)
    close(found.distance, np.sort(apart, axis=1)[:, :k], 1e-9)
    close(np.take_along_axis(apart, np.asarray(found.index), 1), found.distance, 1e-9)
    refused("k", neighbours.nearest, jnp.asarray(x), jnp.asarray(candidates), [0, 7, 1.5, True][rng.integers(4)])
    refused("candidates", neighbours.nearest, jnp.asarray(x), jnp.asarray(candidates[:, :1]))


def matrices(rng: Rng) -> None:
    """Roots, inverses on the range, rotations and decompositions by NumPy and SciPy."""
    s, a, rank = _spd(rng, 3), rng.normal(size=(3, 3)), int(rng.integers(1, 4))
    scale = np.abs(s).max()
    root = np.asarray(roots.root(jnp.asarray(s)))
    close(root @ root / scale, s / scale, 1e-10)
    close(root, root.T, 1e-10)
    x = np.asarray(roots.sylvester(jnp.asarray(root), jnp.asarray(a)))
    close(root @ x + x @ root, a, 1e-6)
    low = _spd(rng, 3, rank)
    wanted = np.linalg.pinv(low, rcond=1e-10, hermitian=True)
    close(np.asarray(roots.inverse(jnp.asarray(low))) / np.abs(wanted).max(), wanted / np.abs(wanted).max(), 1e-5)
    turn = np.asarray(roots.rotation(jnp.asarray(a)))
    close(turn, scipy.linalg.polar(a)[0], 1e-8)
    z = rng.normal(size=(4, 2)) * rng.integers(0, 2, (4, 1))
    close(roots.length(jnp.asarray(z)), np.linalg.norm(z, axis=1), 1e-12)
    assert np.isfinite(jax.grad(lambda z: roots.length(z).sum())(jnp.asarray(z))).all()
    values, vectors = eigen.eigh(jnp.asarray(low), 1e-10)
    close((vectors * values) @ vectors.T / np.abs(low).max(), low / np.abs(low).max(), 1e-10)
    factor = rng.normal(size=(4, rank))
    sizes, left = eigen.left_singular(jnp.asarray(factor), 1e-10)
    close(sizes, np.linalg.svd(factor, compute_uv=False), 1e-10)
    close((left * sizes**2) @ left.T, factor @ factor.T, 1e-9)
    points = rng.normal(size=(6, 3)) * [3, 2, 1]
    axes = principal.principal_axes(points, 2)
    spread = np.linalg.eigvalsh(np.cov(points.T))[::-1]
    close(np.var(points @ axes, axis=0, ddof=1), spread[:2], 1e-9)
    assert (np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None], 0) > 0).all()
    plane = principal.principal_plane(points)
    close(plane.project(points).mean(axis=0), np.zeros(2), 1e-10)


def draws(rng: Rng) -> None:
    """The bits of ``jax.random``."""
    key, shape = jax.random.key(int(rng.integers(2**31))), ((3,), (2, 3), (2, 2, 3))[rng.integers(3)]
    logits = jnp.asarray(rng.normal(size=(2, 3)))
    for own, known in (
        (random.normal(key, shape), jax.random.normal(key, shape)),
        (random.uniform(key, shape, minval=-1.0, maxval=2.0), jax.random.uniform(key, shape, minval=-1.0, maxval=2.0)),
        (random.randint(key, shape, 2, 9), jax.random.randint(key, shape, 2, 9)),
        (random.rademacher(key, shape), jax.random.rademacher(key, shape)),
        (random.categorical(key, logits), jax.random.categorical(key, logits)),
        (random.categorical(key, logits, 0), jax.random.categorical(key, logits, 0)),
        (random.categorical(key, logits, shape=(4, 2)), jax.random.categorical(key, logits, shape=(4, 2))),
    ):
        assert own.dtype == known.dtype
        assert (np.asarray(own) == np.asarray(known)).all()
    x = rng.normal(size=(5, 2))
    found, run_ = map_rows(pure, jnp.square, jnp.asarray(x))
    close(found, x**2, 0)
    assert run_ is not None
    held = host.placed(x)
    x[0] = 9
    assert (np.asarray(held)[0] != 9).all()


@checks.arrays(scale=checks.POSITIVE, x=checks.NOT_NEGATIVE)
def _checked(
    x: Float[Array, "n d"],
    y: Float[Array, " n"] | None = None,
    index: Int[Array, " n"] | None = None,
    mask: Bool[Array, " n"] | None = None,
    scale: float = 1.0,
) -> Any:
    return x, y, index, mask


def validation(rng: Rng) -> None:
    """Lists, integers and arrays of any library give the same; everything else raises an error with the name."""
    x = rng.integers(0, 9, (3, 2))
    kind = (list, np.asarray, jnp.asarray, lambda x: np.asarray(x, np.float32))[rng.integers(4)]
    found = _checked(kind(x.tolist()), [1, 2, 3], [0, 1, 2], [True, False, True])
    close(found[0], x, 0)
    assert jnp.issubdtype(found[0].dtype, jnp.floating)
    odd = (
        jax.random.key(0),
        jax.random.PRNGKey(0)[:1],
        "text",
        [[1.0], [1.0, 2.0]],
        [None, None],
        np.array([1j, 2j, 3j]),
        object(),
        {"a": 1.0},
        np.datetime64("2026-01-01"),
        [[[1.0, 2.0]]],
    )
    wrong = odd[rng.integers(len(odd))]
    name = ("x", "y", "index", "mask")[rng.integers(4)]
    refused(name, _checked, **({"x": x} | {name: wrong}))
    refused("x", _checked, [-1.0 - x, x * np.nan, x * np.inf, x[0]][rng.integers(4)])
    refused("scale", _checked, x, scale=[0.0, -1.0, np.nan, [1.0, -1.0]][rng.integers(4)])
    refused("a value", checks.real, "a value", wrong, ())
    refused("count", checks.whole, "count", [1.5, True, "1", None, -1, 9, np.nan][rng.integers(7)], 0, 8)
    assert checks.whole("count", np.int32(3), 0, 8) == 3


CHECKS: dict[str, Check] = {
    "numerics.mixtures": mixture,
    "numerics.select": largest,
    "numerics.projections": projected,
    "numerics.sorting": ordered,
    "numerics.statistics, quantiles": intervals,
    "numerics.neighbours": near,
    "numerics.roots, eigen, principal": matrices,
    "numerics.random, map_rows, placed": draws,
    "numerics.arguments": validation,
}


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Draw, check and print; returns the content of the line of JSON."""
    return fuzzing.main("fuzz_numerics", __doc__, CHECKS, argv)


if __name__ == "__main__":
    main()
