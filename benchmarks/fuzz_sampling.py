r"""Random small problems of ``lab.sampling`` and ``lab.stability``, checked against enumeration, dense algebra and NumPy.

Determinantal point processes are enumerated over all subsets; thresholds and growth rates are compared with eigenvalues of
the dense second-moment operator; draws must have their inclusion probabilities within six standard errors. Invalid input
must raise an error that names the argument.

    python -m benchmarks.fuzz_sampling [--problems 2500] [--seed 0]
"""

# Arrays of NumPy and lists are given on purpose where annotations name arrays of JAX.
# pyright: reportArgumentType=false, reportCallIssue=false, reportAttributeAccessIssue=false
import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy

from benchmarks import fuzzing
from benchmarks.fuzzing import close, refused
from lab import sampling, stability
from lab.numerics import pure
from lab.sampling import chains, coresets, distributions, ensembles, least_squares, subsets
from lab.stability import closed, moments

N, M, DRAWS = 6, 3, 400
FAMILIES = {"legendre": (1, 3, 6), "hermite": (1, 3, 6), "fourier": (1, 3, 7), "haar": (1, 2, 8)}


def key_of(rng: np.random.Generator) -> Any:
    return jax.random.key(int(rng.integers(2**31)))


def kernel_of(rng: np.random.Generator, rank: int = N) -> np.ndarray:
    """Positive semi-definite, in units from 1e-3 to 1e3; sometimes a multiple of the identity, or with repeated rows."""
    f = rng.normal(size=(N, rank))
    kind = rng.integers(4)
    if kind == 0:
        f[1] = f[0]
    if kind == 1 and rank == N:
        f = np.eye(N)
    return f @ f.T * 10 ** rng.uniform(-3, 3)


def subset_law(kernel: np.ndarray, k: int) -> tuple[list, np.ndarray]:
    sets = list(itertools.combinations(range(N), k))
    dets = np.array([max(np.linalg.det(kernel[np.ix_(s, s)]), 0.0) for s in sets])
    return sets, dets / dets.sum()


def inclusion(sets: list, law: np.ndarray) -> np.ndarray:
    return np.array([sum(p for s, p in zip(sets, law, strict=True) if i in s) for i in range(N)])


def near(frequency: Any, probability: Any) -> None:
    """Frequencies over ``DRAWS`` draws, within six standard errors."""
    probability = np.clip(np.asarray(probability), 0, 1)
    apart = np.abs(np.asarray(frequency) - probability)
    assert (apart <= 6 * np.sqrt(probability * (1 - probability) / DRAWS) + 6 / DRAWS).all(), (
        f"apart by {apart.max():.2g}"
    )


def of_indices(drawn: Any) -> np.ndarray:
    drawn = np.asarray(drawn)
    assert all(len(set(one)) == len(one) for one in drawn.tolist()), "an item was drawn twice"
    return (drawn[:, :, None] == np.arange(N)).any(axis=1).mean(axis=0)


# --- subsets ---


def spectrum(rng):
    kernel = kernel_of(rng, int(rng.integers(1, N + 1)))
    found = sampling.spectrum(kernel.tolist())
    close((found.vectors * found.values) @ found.vectors.T / np.abs(kernel).max(), kernel / np.abs(kernel).max())
    refused("L", sampling.spectrum, kernel + np.triu(np.ones((N, N)), 1) * kernel.max())
    refused("L", sampling.spectrum, -kernel)
    refused("L", sampling.spectrum, kernel[:2])


def spectrum_of_features(rng):
    f = rng.normal(size=(N, M)) * 10 ** rng.uniform(-3, 3)
    f = f[:, :1] @ f[:1] if rng.random() < 0.3 else f
    found = sampling.spectrum_of_features(f)
    close(found.values / found.values[0], np.linalg.svd(f, compute_uv=False)[: found.rank] ** 2 / found.values[0])
    refused("features", sampling.spectrum_of_features, np.where(f == f.max(), np.nan, f))


def marginals(rng):
    kernel = kernel_of(rng)
    given = sampling.spectrum(kernel)
    k = int(rng.integers(1, min(given.rank, 3) + 1))
    close(ensembles.marginals(given, k), inclusion(*subset_law(kernel, k)), 1e-7)
    close(jnp.diagonal(ensembles.marginal_kernel(given)), np.diagonal(kernel @ np.linalg.inv(np.eye(N) + kernel)), 1e-7)
    close(ensembles.marginals(given), jnp.diagonal(ensembles.marginal_kernel(given)))
    refused("k", ensembles.marginals, given, given.rank + 1)


def log_elementary(rng):
    values, k = rng.random(N) * (rng.random(N) < 0.8) * 10 ** rng.uniform(-3, 3), int(rng.integers(1, 4))
    total = sum(math.prod(values[list(s)]) for s in itertools.combinations(range(N), k))
    close(jnp.exp(ensembles.log_elementary(values, k)) / max(total, 1e-300), float(total > 0))


def k_dpp(rng):
    kernel = kernel_of(rng)
    given = sampling.spectrum(kernel)
    near(of_indices(sampling.k_dpp(key_of(rng), given, 2, DRAWS)), inclusion(*subset_law(kernel, 2)))
    for wrong in (0, N + 1, 1.5, True):
        refused("k", sampling.k_dpp, key_of(rng), given, wrong)
    refused("size", sampling.k_dpp, key_of(rng), given, 1, -1)


def l_ensemble(rng):
    kernel = kernel_of(rng)
    given = sampling.spectrum(kernel)
    drawn = sampling.l_ensemble(key_of(rng), given, DRAWS)
    near(drawn.mean(axis=0), np.diagonal(kernel @ np.linalg.inv(np.eye(N) + kernel)))
    refused("size", sampling.l_ensemble, key_of(rng), given, 0)


def cholesky(rng):
    kernel = kernel_of(rng)
    marginal = kernel @ np.linalg.inv(np.eye(N) + kernel)
    marginal = (marginal + marginal.T) / 2
    drawn = np.asarray(sampling.cholesky(key_of(rng), marginal.tolist(), DRAWS))
    near(drawn.mean(axis=0), np.diagonal(marginal))
    near(drawn[:, :2].all(axis=1).mean(), np.linalg.det(marginal[:2, :2]))
    refused("K", sampling.cholesky, key_of(rng), 2 * np.eye(N))
    refused("K", sampling.cholesky, key_of(rng), marginal[:2])


def subset(rng):
    f = rng.normal(size=(N, M))
    q = np.linalg.qr(f)[0]
    method = ("chain", "rejection")[rng.integers(2)]
    near(of_indices(sampling.subset(key_of(rng), f.tolist(), method, DRAWS)), (q**2).sum(axis=1))
    refused("features", sampling.subset, key_of(rng), np.ones((N, 2)))


def volume(rng):
    f, s = rng.normal(size=(N, M)), int(rng.integers(M, M + 2))
    sets = list(itertools.combinations(range(N), s))
    law = np.exp([float(ensembles.log_volume(jnp.asarray(f), jnp.asarray(one))) for one in sets])
    close(law.sum(), 1.0)
    near(of_indices(sampling.volume(key_of(rng), f, s, DRAWS)), inclusion(sets, law))
    for wrong in (M - 1, N + 1, 3.5):
        refused("s", sampling.volume, key_of(rng), f, wrong)


def densities_of_subsets(rng):
    kernel, f = kernel_of(rng), rng.normal(size=(N, 2))
    sets, law = subset_law(kernel, 2)
    close(jnp.exp(distributions.KDPP(kernel, 2).log_prob(jnp.asarray(sets))), law, 1e-7)
    projected = distributions.ProjectionDPP(f).log_prob(jnp.asarray(sets))
    close(jnp.exp(projected), subset_law(f @ f.T, 2)[1], 1e-7)
    masks = np.array(list(itertools.product([False, True], repeat=N)))
    close(jnp.exp(distributions.LEnsemble(kernel).log_prob(masks)).sum(), 1.0, 1e-7)


def diverse(rng):
    rows, name = rng.normal(size=(N, 2)), ("gaussian", "matern", "laplace")[rng.integers(3)]
    length = rng.uniform(0.3, 2)
    found = sampling.diverse(key_of(rng), rows.tolist(), 2, name, length, DRAWS)
    wanted = inclusion(*subset_law(np.asarray(subsets.kernel_matrix(rows, rows, name, length)), 2))
    close(found.probabilities, wanted, 1e-7)
    near(of_indices(found.indices), wanted)
    close(found.weights, 1 / wanted[np.asarray(found.indices)], 1e-6)
    refused("k", sampling.diverse, key_of(rng), rows, N + 1)
    refused("length_scale", sampling.diverse, key_of(rng), rows, 2, length_scale=-1.0)
    refused("kernel", sampling.diverse, key_of(rng), rows, 2, "cosine")


# --- functions and fits ---


def bases(rng):
    name = tuple(FAMILIES)[rng.integers(4)]
    m = FAMILIES[name][rng.integers(3)]
    basis = getattr(sampling, name)(m)
    nodes, masses = basis.quadrature(m)
    phi = np.asarray(basis(nodes))
    close(phi.T @ (phi * np.asarray(masses)[:, None]), np.eye(m), 1e-8)
    for wrong in (0, -1, 2.5):
        refused("m", getattr(sampling, name), wrong)


def product(rng):
    d, p = int(rng.integers(1, 4)), int(rng.integers(0, 4))
    space = ("total-degree", "hyperbolic-cross", "box")[rng.integers(3)]
    allowed = {
        "total-degree": lambda a: sum(a) <= p,
        "hyperbolic-cross": lambda a: math.prod(i + 1 for i in a) <= p + 1,
        "box": lambda a: True,
    }[space]
    found = sampling.product("legendre", d, p, space)
    assert set(found.indices) == {a for a in itertools.product(range(p + 1), repeat=d) if allowed(a)}
    refused("d", sampling.product, "legendre", 0, p)
    refused("degree", sampling.product, "legendre", d, -1)
    refused("space", sampling.product, "legendre", d, p, "sphere")


def finite(rng):
    f, masses = rng.normal(size=(N, M)), rng.dirichlet(np.ones(N)) + 1e-3
    basis = sampling.finite(f.tolist(), masses.tolist())
    phi = np.asarray(basis(jnp.arange(N)[:, None]))
    close(phi.T @ (phi * np.asarray(basis.masses)[:, None]), np.eye(M), 1e-8)
    close(phi @ np.linalg.lstsq(phi, f, rcond=None)[0], f, 1e-8)
    refused("masses", sampling.finite, f, -masses)
    refused("features", sampling.finite, np.ones((N, 2)))
    refused("nodes", sampling.finite, f, None, f[:2])


def polynomials(rng):
    x = rng.normal(size=(N, 2))
    basis = sampling.polynomials(x.tolist(), 3)
    phi = np.asarray(basis(jnp.arange(N)[:, None]))
    close(phi.T @ phi / N, np.eye(3), 1e-8)
    close(phi @ (phi.T @ x) / N, x, 1e-8)  # lines are in the span
    refused("m", sampling.polynomials, x, 0)


def fit(rng):
    phi, w, f = rng.normal(size=(N, M)), rng.random(N) + 0.1, rng.normal(size=N)
    used = rng.permutation(N) < 5 if rng.random() < 0.5 else np.ones(N, bool)
    found = sampling.fit(phi.tolist(), w.tolist(), f.tolist(), used)
    root = np.sqrt(np.where(used, w, 0))
    close(found.coefficients, np.linalg.lstsq(root[:, None] * phi, root * f, rcond=None)[0], 1e-7)
    gram = (phi * (root**2)[:, None]).T @ phi / used.sum()
    close((found.lambda_min, found.lambda_max), np.linalg.eigvalsh(gram)[[0, -1]], 1e-8)
    refused("weights", sampling.fit, phi, -w, f)
    refused("values", sampling.fit, phi, w, f[1:])
    refused("phi", sampling.fit, phi[:2], w[:2], f[:2])


def cross_validation(rng):
    phi, w, f = rng.normal(size=(N, 2)), rng.random(N) + 0.1, rng.normal(size=N)
    parts, total = (3, 6)[rng.integers(2)], 0.0
    for part in np.arange(N).reshape(parts, -1):
        root = np.sqrt(np.where(np.isin(np.arange(N), part), 0, w))
        c = np.linalg.lstsq(root[:, None] * phi, root * f, rcond=None)[0]
        total += (w[part] * (f[part] - phi[part] @ c) ** 2).sum() / N
    close(least_squares.cross_validation(*map(jnp.asarray, (phi, w, f)), parts).value / total, 1.0, 1e-7)


def truth(rng):
    basis, a = sampling.legendre(M), rng.normal(size=5)
    found = sampling.truth(basis, lambda x: jnp.polyval(jnp.asarray(a), x[:, 0]), 12)
    x, w = np.polynomial.legendre.leggauss(12)
    f, phi = np.polyval(a, x), np.asarray(basis(x[:, None]))
    c = phi.T @ (w / 2 * f)
    close(found.coefficients, c)
    close(found.best, (w / 2 * f**2).sum() - c @ c)
    refused("n", sampling.truth, basis, lambda x: x[:, 0], -1)


def linear_statistic(rng):
    basis, a = sampling.legendre(M), rng.normal(size=3)
    found = sampling.linear_statistic(basis, lambda x: jnp.polyval(jnp.asarray(a), x[:, 0]), 12)
    x, w = np.polynomial.legendre.leggauss(12)
    f, phi = np.polyval(a, x), np.asarray(basis(x[:, None]))
    k = phi @ phi.T
    close(found.mean, (w / 2 * f * np.diagonal(k)).sum())
    double = np.einsum("i,j,i,j,ij->", w / 2, w / 2, f, f, k**2)
    close(found.variance, (w / 2 * f**2 * np.diagonal(k)).sum() - double)


def conditional_densities(rng):
    basis = sampling.legendre(M)
    nodes, masses = basis.quadrature(10)
    found = sampling.conditional_densities(basis, rng.uniform(-1, 1, (2, 1)).tolist(), nodes)
    close(found @ masses, np.ones(3))
    refused("points", sampling.conditional_densities, basis, np.zeros((4, 1)), nodes)


def design_rules(rng):
    basis, t = sampling.legendre(M), rng.random()
    rule = (sampling.Independent(N, t), sampling.Volume(N, t), sampling.Repeated(sampling.Projection(), 2))[
        rng.integers(3)
    ]
    found = sampling.sample(key_of(rng), rule, basis)
    t = 1.0 if isinstance(rule, sampling.Repeated) else t
    phi = np.asarray(basis(found.points))
    weights = 1 / ((1 - t) + t * (phi**2).sum(axis=1) / M)
    close(found.weights, weights)
    close(sampling.weight(basis, found.points.tolist(), t), weights)
    close(found.lambda_min, np.linalg.eigvalsh((phi * weights[:, None]).T @ phi / N)[0], 1e-8)
    fewer = sampling.thin(found, basis, 0.9)
    kept = np.asarray(fewer.used)
    assert kept.sum() >= M
    close(fewer.lambda_min, np.linalg.eigvalsh((phi * (weights * kept)[:, None]).T @ phi / kept.sum())[0], 1e-7)
    refused("t", sampling.weight, basis, found.points, 1.5)
    refused("delta", sampling.thin, found, basis, 2.0)
    refused("n", sampling.Independent, 0)
    refused("name", sampling.named, "grid", N, basis)
    refused("size", sampling.sample, key_of(rng), rule, basis, 0)


def design(rng):
    a, low = rng.normal(size=3), rng.normal()
    bounds = [[low, low + rng.uniform(0.1, 3)]]
    rule = sampling.Repeated(sampling.Projection(), 2)
    found = sampling.design(lambda x: np.polyval(a, x[:, 0]), bounds=bounds, degree=2, rule=rule, key=key_of(rng))
    grid = np.linspace(*bounds[0], 5)[:, None]
    close(found(grid.tolist()), np.polyval(a, grid[:, 0]), 1e-6)
    whole = np.polyint(a)
    close(found.integral, (np.polyval(whole, bounds[0][1]) - np.polyval(whole, low)) / (bounds[0][1] - low), 1e-6)
    refused("bounds", sampling.design, np.sin, bounds=[[1, 0]])
    refused("f is NaN", sampling.design, lambda x: np.full(len(x), np.nan), degree=2, rule=rule)


def replicate(rng):
    rows = rng.normal(size=N)
    basis = sampling.polynomials(np.linspace(0, 1, N)[:, None], 2)
    problem, run = sampling.replicate(key_of(rng), sampling.Response(basis, rows=jnp.asarray(rows)), 2, rng.random())
    phi = np.asarray(basis(jnp.arange(N)[:, None]))
    best = ((rows - phi @ (phi.T @ rows) / N) ** 2).mean()
    close(problem.truth.best, best, 1e-8)
    assert (np.asarray(run.state.err2) >= best * (1 - 1e-9)).all()
    refused("size", sampling.replicate, key_of(rng), problem.response, 0)
    refused("t", sampling.replicate, key_of(rng), problem.response, 1, 1.5)


# --- stability of SGD ---


def gradients_of(rng: np.random.Generator) -> np.ndarray:
    a = rng.normal(size=(5, 2, 3))
    kind = rng.integers(4)
    if kind == 0:
        a[:, :, 2] = 0  # a direction in which no gradient points
    if kind == 1:
        a[1] = a[0]
    return a * 10 ** rng.uniform(-2, 2)


def dense(step, r: int) -> np.ndarray:
    return np.stack([np.asarray(step(jnp.asarray(e.reshape(r, r)))).ravel() for e in np.eye(r * r)], axis=1)


def modes(rng):
    a = gradients_of(rng)
    rows = a.reshape(10, 3)
    scale = np.abs(rows @ rows.T).max()
    for basis in (stability.modes_of(a.tolist()), stability.modes(rows @ rows.T, 2)):
        found = np.asarray(basis.rows).reshape(10, -1)
        close(found @ found.T / scale, rows @ rows.T / scale)
        close(found.T @ found / 5 / scale, np.diag(basis.values) / scale)
    refused("k", stability.modes, rows, 2)
    refused("outputs", stability.modes, rows @ rows.T, 3)
    refused("a", stability.modes_of, np.where(a == a.max(), np.nan, a))


def thresholds(rng):
    a, c = gradients_of(rng), rng.random()
    basis = stability.modes_of(a)
    eta = stability.critical(basis, [c])
    assert bool(eta.converged.all())
    h = np.einsum("nki,nkj->ij", a, a) / 5
    values, vectors = np.linalg.eigh(h)
    real = vectors[:, values > 1e-10 * values[-1]]
    b, r = a @ real, real.shape[1]
    h = np.einsum("nki,nkj->ij", b, b) / 5
    each = np.einsum("nki,nkj->nij", b, b)
    d = dense(lambda m: (1 - c) * h @ m @ h + c * np.mean([g @ m @ g for g in each], axis=0), r)
    two_c = dense(lambda m: h @ m + m @ h, r)
    wanted = 1 / scipy.linalg.eigh(d, two_c, eigvals_only=True)[-1]
    close(eta.value / wanted, [1.0], 1e-6)
    step = wanted * rng.uniform(0.3, 2)
    keep = np.eye(r) - step * h
    t = dense(lambda m: keep @ m @ keep + step**2 * c * (np.mean([g @ m @ g for g in each], axis=0) - h @ m @ h), r)
    close(stability.growth(basis, step, c).value, np.linalg.eigvals(t).real.max(), 1e-6)
    scalar = stability.bounds(stability.sizes(jnp.asarray(a.reshape(10, 3) @ a.reshape(10, 3).T), 2), c, 2)
    assert all(float(one) >= wanted * (1 - 1e-9) for one in scalar), "a necessary bound lies below the threshold"
    for wrong in (-0.1, 1.5, math.nan):
        refused("c", stability.critical, basis, wrong)
    refused("eta", stability.growth, basis, 0.0, c)
    refused("beta", stability.growth, basis, 1.0, c, 1.0)
    refused("outputs", stability.bounds, stability.sizes(jnp.eye(2)), c, 0)


def momentum(rng):
    a, c, beta = gradients_of(rng), rng.random(), rng.uniform(0, 0.9)
    basis = stability.modes_of(a)
    kept = np.asarray(basis.values) > 0
    basis = moments.Modes(basis.rows[:, :, kept], basis.values[kept])
    eta = float(stability.critical(basis, c, beta).value) * rng.uniform(0.5, 1.5)
    r = int(kept.sum())
    t = dense(lambda m: moments.momentum_moment(basis, m, eta, c, beta), 2 * r)
    close(stability.growth(basis, eta, c, beta).value, np.abs(np.linalg.eigvals(t)).max(), 1e-5)
    refused("beta", stability.critical, basis, c, -0.5)


def noise(rng):
    n = int(rng.integers(2, 6))
    b, x = int(rng.integers(1, n + 1)), rng.normal(size=n)
    means = [x[list(s)].mean() for s in itertools.combinations(range(n), b)]
    close(stability.noise(n, b, False) * x.var(), np.var(means))
    close(stability.noise(n, [b, 1]), [1 / b, 1.0])
    found = stability.limits(float(stability.noise(n, b)), 2)
    close(found.trace, 2 * b)
    close(stability.loss_bound(2.0, b, 0.5), math.sqrt(b / 0.5) / 2)
    refused("batch", stability.noise, n, 0)
    refused("batch", stability.noise, n, n + 1, False)
    refused("n", stability.noise, 0, 1)
    refused("c", stability.limits, -1.0)
    refused("beta", stability.limits, 0.5, 1, 1.0)
    refused("mu", stability.loss_bound, 1.0, 1, -1.0)


def reshuffled(rng):
    a = gradients_of(rng)
    basis = stability.modes_of(a)
    top = np.linalg.eigvalsh(np.einsum("nki,nkj->ij", a, a) / 5)[-1]
    found = stability.reshuffled(key_of(rng), basis, 1.5 / top, 5, permutations=2, iterations=200)
    values = np.asarray(basis.values)
    close(
        found.rho, ((1 - 1.5 * values[values > 0] / top) ** 2).max(), 1e-5
    )  # an epoch of one batch is gradient descent
    refused("permutations", stability.reshuffled, key_of(rng), basis, 0.1, 2, permutations=1)
    refused("batch", stability.reshuffled, key_of(rng), basis, 0.1, 0)
    refused("eta", stability.reshuffled, key_of(rng), basis, -0.1, 2)


def gaussian(rng):
    values, batch = rng.random(3) * 10 ** rng.uniform(-2, 2), float(rng.integers(1, 20))
    eta = float(closed.gaussian(jnp.asarray(values), batch))
    close(eta / batch * (values / (2 - eta * values * (1 + 1 / batch))).sum(), 1.0, 1e-7)


class Symmetric(stability.Hessian):
    """A dense symmetric matrix as an operator."""

    def __init__(self, h):
        self.function, self.free, self.fixed, self.rest, self.data, self.chunk = None, h, None, (), (), None

    size = property(lambda self: self.free.shape[0])
    dtype = property(lambda self: self.free.dtype)

    def __call__(self, v):
        return self.free @ v


def symmetric_of(rng: np.random.Generator, rank: int = 8) -> np.ndarray:
    f = rng.normal(size=(8, rank))
    return f @ np.diag(rng.normal(size=rank)) @ f.T * 10 ** rng.uniform(-3, 3)


def eigenpairs(rng):
    h = symmetric_of(rng, int(rng.integers(1, 9)))
    which = ("largest", "smallest", "magnitude")[rng.integers(3)]
    found = stability.eigenpairs(Symmetric(jnp.asarray(h)), rng.normal(size=8).tolist(), 1, which=which)
    values = np.linalg.eigvalsh(h)
    wanted = {"largest": values[-1], "smallest": values[0], "magnitude": values[np.abs(values).argmax()]}[which]
    scale = np.abs(values).max()
    close(found.values / scale, [wanted / scale], 1e-8)
    close(h @ found.vectors[0] / scale, found.values[0] * found.vectors[0] / scale, 1e-6)
    refused("count", stability.eigenpairs, Symmetric(jnp.asarray(h)), np.ones(8), 0)
    refused("start", stability.eigenpairs, Symmetric(jnp.asarray(h)), np.zeros(8))
    refused("which", stability.eigenpairs, Symmetric(jnp.asarray(h)), np.ones(8), which="middle")
    refused("steps", stability.tridiagonal, Symmetric(jnp.asarray(h)), np.ones(8), 0)


def tridiagonal(rng):
    h = symmetric_of(rng)
    found = stability.tridiagonal(Symmetric(jnp.asarray(h)), rng.normal(size=8).tolist(), 8)
    q = np.asarray(found.basis)[: int(found.count)]
    t = np.diag(found.alpha) + np.diag(found.beta[:-1], 1) + np.diag(found.beta[:-1], -1)
    scale = np.abs(h).max()
    close(q @ h @ q.T / scale, t[: len(q), : len(q)] / scale, 1e-8)
    close(q @ q.T, np.eye(len(q)), 1e-9)


def quadrature(rng):
    h = symmetric_of(rng)
    found = stability.quadrature(key_of(rng), Symmetric(jnp.asarray(h)), probes=2, steps=8)
    close(found.weights.sum(axis=1), np.ones(2))
    values, scale = np.linalg.eigvalsh(h), np.abs(h).max()
    assert (np.abs(np.asarray(found.nodes)[:, :, None] - values).min(axis=2) <= 1e-7 * scale).all()
    smooth = stability.density(found, width=scale)
    grid = np.linspace(values[0] - 8 * scale, values[-1] + 8 * scale, 300)
    close(np.trapezoid(stability.density(found, grid.tolist(), scale).density, grid), 1.0, 1e-6)
    assert smooth.density.shape == (512,)
    refused("probes", stability.quadrature, key_of(rng), Symmetric(jnp.asarray(h)), probes=1)
    refused("width", stability.density, found, width=0.0)


def trace(rng):
    low = symmetric_of(rng, 2)
    scale = np.abs(low).max()
    close(
        stability.trace(key_of(rng), Symmetric(jnp.asarray(low)), 8, "xtrace").value / scale,
        np.trace(low) / scale,
        1e-7,
    )
    close(
        stability.trace(key_of(rng), Symmetric(jnp.asarray(low)), 12, "hutch++").value / scale,
        np.trace(low) / scale,
        1e-7,
    )
    flat = np.diag(np.diagonal(low))
    found = stability.trace(key_of(rng), Symmetric(jnp.asarray(flat)), 4, "hutchinson")
    close((found.value / scale, found.error / scale), (np.trace(low) / scale, 0.0))
    refused("products", stability.trace, key_of(rng), Symmetric(jnp.asarray(low)), 1)
    refused("method", stability.trace, key_of(rng), Symmetric(jnp.asarray(low)), 8, "exact")


def loss_of(w, x, y):
    return ((jnp.tanh(x @ w) - y) ** 2).mean()


def hessian(rng):
    w, x, y = rng.normal(size=3), rng.normal(size=(5, 3)), rng.normal(size=5)
    operator = stability.hessian(loss_of, jnp.asarray(w), jnp.asarray(x), jnp.asarray(y))
    h = np.asarray(jax.hessian(loss_of)(w, x, y))
    close(stability.full(operator), h)
    close(
        stability.pooled(operator, np.array([0, 1, 3])),
        [[h[0, 0], h[0, 1:].mean()], [h[0, 1:].mean(), h[1:, 1:].mean()]],
    )
    close(stability.block_norms(key_of(rng), operator, range(4), 2).mean_square, h**2)
    g = np.asarray(operator.gradient())
    close(stability.sharpness(operator, g.tolist()), g @ h @ g / (g @ g))
    direction, offsets = rng.normal(size=(1, 3)), rng.normal(size=4)
    seen = stability.landscape(operator, direction.tolist(), offsets.tolist())
    close(seen.loss, [float(loss_of(w + s * direction[0], x, y)) for s in offsets])
    close(
        seen.quadratic,
        loss_of(w, x, y) + offsets * (direction[0] @ g) + offsets**2 / 2 * (direction[0] @ h @ direction[0]),
    )
    refused("cuts", stability.pooled, operator, (0, 2))
    refused("cuts", stability.block_norms, key_of(rng), operator, (0, 2, 1, 3))
    refused("probes", stability.block_norms, key_of(rng), operator, (0, 3), 1)
    refused("limit", stability.full, operator, limit=2)
    refused("directions", stability.landscape, operator, np.ones((1, 2)), offsets)
    refused("chunk", stability.hessian, loss_of, jnp.asarray(w), jnp.asarray(x), jnp.asarray(y), chunk=0)


def split(rng):
    w, x, y, v = rng.normal(size=3), rng.normal(size=(5, 3)), rng.normal(size=5), rng.normal(size=3)
    parts = stability.split(jnp.vdot, jnp.asarray(w), x.tolist(), y.tolist())
    newton, e = x.T @ x / 5, x @ w - y
    close(
        [part(jnp.asarray(v)) for part in parts], [newton @ v, newton @ v, 0 * v, (x * (e**2)[:, None]).T @ x @ v / 5]
    )


def gram(rng):
    w, x, y = rng.normal(size=3), rng.normal(size=(5, 3)), rng.normal(size=5)
    k = stability.gram(jnp.vdot, jnp.asarray(w), x.tolist())
    close(k, x @ x.T)
    close(stability.gram(jnp.vdot, jnp.asarray(w), x, 2, 1), x @ x.T)
    close(stability.jacobian(jnp.vdot, jnp.asarray(w), x.tolist())[:, 0], x)
    e = x @ w - y
    close(stability.residuals(jnp.vdot, jnp.asarray(w), x.tolist(), y.tolist())[:, 0], e)
    g = x.T @ x / 5
    found = stability.sizes(k)
    wanted = (np.trace(g), np.linalg.norm(g), np.linalg.eigvalsh(g)[-1], ((x**2).sum(axis=1) ** 2).mean())
    close(found, wanted, 1e-8)
    slopes = x * e[:, None]
    sigma = slopes.T @ slopes / 5 - np.outer(slopes.mean(axis=0), slopes.mean(axis=0))
    close(stability.alignment(k, e[:, None].tolist()), np.trace(sigma @ g) / (e @ e / 5 * (g**2).sum()))
    refused("y", stability.residuals, jnp.vdot, jnp.asarray(w), x, y[1:])
    refused("k", stability.sizes, x)
    refused("e", stability.alignment, k, np.ones((3, 1)))


def train(rng):
    w, x, y = rng.normal(size=3), rng.normal(size=(4, 3)), rng.normal(size=4)
    eta, beta = rng.uniform(0.01, 0.3), rng.uniform(0, 0.9)
    settings = stability.Settings(eta, 1, beta)
    data = stability.Data(x.tolist(), y.tolist())
    options: dict[str, Any] = {"predict": jnp.vdot, "sampling": "full", "steps": 4, "every": 2}
    found = stability.train(key_of(rng), jnp.asarray(w), data, settings, **options)
    swept = stability.sweep(
        jax.random.split(key_of(rng), 1),
        lambda key: (jnp.asarray(w), stability.Data(jnp.asarray(x), jnp.asarray(y))),
        [eta, 2 * eta],
        settings=settings,
        **options,
    )
    velocity, losses = np.zeros(3), [((x @ w - y) ** 2).mean() / 2]
    for _ in range(4):
        velocity = beta * velocity - eta * x.T @ (x @ w - y) / 4
        w = w + velocity
        losses.append(((x @ w - y) ** 2).mean() / 2)
    close(found.params, w)
    close(found.trace["loss"], losses[::2])
    close(swept.params[0, 0, 0], w)
    for name, wrong in (("learning_rate", -1.0), ("momentum", 1.0), ("clip", 0.0)):
        refused(name, stability.train, key_of(rng), jnp.ones(3), data, settings._replace(**{name: wrong}), **options)
    refused("steps", stability.train, key_of(rng), jnp.ones(3), data, **(options | {"steps": 3}))
    refused("batch_sizes", stability.sweep, key_of(rng)[None], lambda key: 0, [0.1], ())


def models(rng):
    key, x = key_of(rng), rng.normal(size=4)
    net = stability.perceptron(key, [4, 3, 1], "relu", scale=rng.random())
    first, last = net.layers
    hidden = np.maximum(np.asarray(first.weight) @ x + first.bias, 0)
    close(net(x), (np.asarray(last.weight) @ hidden + last.bias)[0])
    two = stability.two_layer(key, 4, 3)
    close(two(x), np.asarray(two.a) @ np.maximum(np.asarray(two.w) @ x, 0))
    flat = stability.diagonal(key, 4)
    close(flat(x), (np.asarray(flat.a) * np.asarray(flat.b)) @ x)
    assert stability.convolutional(key, (4, 4), 2, 3)(jnp.zeros((4, 4))).shape == (3,)
    data = stability.sparse_regression(key, 4, 5, 2, 1)
    close(data.y, np.asarray(data.x)[:, :2].sum(axis=1))
    close(np.linalg.norm(stability.teacher(key, 4, 5, 2, 1).x, axis=1), np.full(4, math.sqrt(5)))
    assert stability.blocks(net)[-1].stop == 4 * 3 + 3 + 3 + 1
    refused("sizes", stability.perceptron, key, [4, 0])
    refused("activation", stability.perceptron, key, [4, 1], "cubic")
    refused("scale", stability.diagonal, key, 3, math.nan)
    refused("d", stability.two_layer, key, 0)
    refused("shape", stability.convolutional, key, (5, 4))
    refused("nonzero", stability.sparse_regression, key, 4, 5, 6)
    refused("units", stability.teacher, key, 4, 5, 0)


def analyze(rng):
    x, y = rng.normal(size=(4, 3)), rng.normal(size=4)
    w = jnp.asarray(np.linalg.lstsq(x, y, rcond=None)[0])
    found = stability.stability(jnp.vdot, w, x.tolist(), y.tolist(), [1, 2])
    k = x @ x.T
    wanted = [
        stability.critical(stability.modes(k), stability.noise(4, [1, 2], replacement)).value
        for replacement in (True, False)
    ]
    close(found.eta.value / wanted[0][0], np.asarray(wanted) / wanted[0][0], 1e-7)
    seen = stability.analyze(
        lambda w, x, y: ((x @ w - y) ** 2).mean() / 2,
        w,
        jnp.asarray(x),
        jnp.asarray(y),
        key=key_of(rng),
        probes=2,
        products=4,
    )
    close(seen.matrix, x.T @ x / 4)
    close(seen.top.values[0], np.linalg.eigvalsh(x.T @ x / 4)[-1], 1e-8)
    refused("batch_sizes", stability.stability, jnp.vdot, w, x, y, [0])


def chain(rng):
    """Chains visit sets in proportion to their determinants."""
    kernel = kernel_of(rng)
    found = chains.exchange(key_of(rng), kernel.tolist(), N, [0, 2], DRAWS, 20)
    near(of_indices(found.items), inclusion(*subset_law(kernel, 2)))
    items = np.asarray(found.items)
    close(found.log_det, [np.linalg.slogdet(kernel[np.ix_(s, s)])[1] for s in items], 1e-6)
    assert 0 <= float(found.acceptance) <= 1
    assert 1 <= found.effective_size() <= 10 * DRAWS
    kernel = kernel / np.abs(kernel).max() * rng.uniform(0.3, 2)
    grown = chains.add_delete(key_of(rng), kernel, N, [], DRAWS, N, 30)
    near(grown.masks(N).mean(axis=0), np.diagonal(kernel @ np.linalg.inv(np.eye(N) + kernel)))
    name, value = (
        ("kernel", kernel[:2]),
        ("kernel", kernel[:5, :5]),
        ("kernel", kernel * np.nan),
        ("n", 0),
        ("n", 1.5),
        ("start", [0, 0]),
        ("start", [0, N]),
        ("start", [-1]),
        ("start", [0.5, 1.5]),
        ("states", 0),
        ("states", 2.5),
        ("thin", 0),
        ("thin", -3),
    )[rng.integers(13)]
    right = {"key": key_of(rng), "kernel": kernel, "n": N, "start": [0, 2], "states": 2, "thin": 2}
    refused(name, chains.exchange, **(right | {name: value}))
    refused(name, chains.add_delete, **(right | {"limit": N, name: value}))
    refused("limit", chains.add_delete, **(right | {"limit": (1, N + 1, 2.5, True)[rng.integers(4)]}))


def coreset(rng):
    """The quality of a subset by distances and least squares."""
    rows, k, length = rng.normal(size=(N, 2)), int(rng.integers(1, 4)), rng.uniform(0.5, 2)
    name = ("gaussian", "matern", "laplace")[rng.integers(3)]
    apart = scipy.spatial.distance.cdist(rows, rows)
    median = np.median(apart[np.triu_indices(N, 1)])
    close(subsets.median_distance(rows.tolist()), median, 1e-7)
    kernel = np.asarray(subsets.kernel_matrix(jnp.asarray(rows), jnp.asarray(rows), name, length))
    whole = subsets.decompose(rows, k, name, length)
    classes = jnp.asarray(rng.integers(0, 3, N))
    given = {"rows": jnp.asarray(rows), "length_scale": jnp.asarray(length), "median": jnp.asarray(median)}
    given |= {"spectrum": whole, "key": key_of(rng), "classes": classes, "k": k, "kernel": name, "size": 3}
    problem = coresets.Comparison(**given)
    chosen, weights = rng.permutation(N)[:k], rng.uniform(0, 3, k)
    features = np.asarray(problem.features)
    close(features @ features.T, kernel, 1e-9)
    mean = features.mean(axis=0)
    seen = coresets.quality(problem, *map(jnp.asarray, (features, mean, chosen, weights)))
    nearest = apart[:, chosen].min(axis=1)
    close((seen.coverage, seen.farthest), (nearest.mean() / median, nearest.max() / median), 1e-7)
    close(seen.mmd, np.linalg.norm(mean - weights @ features[chosen] / N), 1e-9)
    residual = mean - features[chosen].T @ np.linalg.lstsq(features[chosen].T, mean, rcond=None)[0]
    close(seen.mmd_best, np.linalg.norm(residual), 1e-4)
    close(seen.volume, np.linalg.slogdet(kernel[np.ix_(chosen, chosen)])[1], 1e-6)
    close(subsets.coverage(rows.tolist(), chosen.tolist()), nearest, 1e-7)
    left = subsets.residuals(jnp.asarray(rows), jnp.asarray(chosen), name, length)[-1]
    inner = kernel[np.ix_(chosen, chosen)]
    close(left, np.diagonal(kernel - kernel[:, chosen] @ np.linalg.solve(inner, kernel[chosen])), 1e-6)
    low = subsets.low_rank(rows, k, name, length)
    close(low.remainder, 1 - np.trace(low.features @ low.features.T) / N, 1e-9)
    close(low.features @ low.features[low.pivots].T, kernel[:, low.pivots], 1e-7)
    drawn = pure(coresets.COMPARE, problem, max_iterations=problem.steps).state
    found = coresets.summary(problem, drawn)
    close(found.probability.sum(), k, 1e-9)
    assert np.isfinite(found.cover).all()
    assert (np.asarray(found.error) >= 0).all()
    match rng.integers(7):
        case 0:
            refused("k", coresets.Comparison, **(given | {"k": (0, N + 1, 1.5, True)[rng.integers(4)]}))
        case 1:
            refused("size", coresets.Comparison, **(given | {"size": (0, -1, 2.5)[rng.integers(3)]}))
        case 2:
            refused("kernel", coresets.Comparison, **(given | {"kernel": "cosine"}))
        case 3:
            refused("rank", subsets.low_rank, rows, (0, N + 1, 1.5)[rng.integers(3)], name, length)
        case 4:
            refused("indices", subsets.coverage, rows, ([N], [-1], [0.5], [])[rng.integers(4)])
        case 5:
            refused("most", subsets.median_distance, rows, (0, 1, 2.5)[rng.integers(3)])
        case 6:
            refused("rows", subsets.median_distance, (rows[:1], rows[0], rows * np.nan)[rng.integers(3)])


def nested_rules(rng):
    """Rules around rules keep their promises on the smallest eigenvalue."""
    basis, delta = sampling.legendre(M), rng.uniform(0.5, 0.95)
    inner = sampling.Repeated(sampling.Projection(), 3)
    held = sampling.Conditioned(inner, delta)
    found = sampling.sample(key_of(rng), (held, sampling.Thinned(held, delta))[rng.integers(2)], basis)
    assert float(found.lambda_min) >= 1 - delta - 1e-9
    used = np.asarray(found.used)
    assert used.sum() >= M
    phi = np.asarray(basis(found.points))
    gram = (phi * (np.asarray(found.weights) * used)[:, None]).T @ phi / used.sum()
    close(np.linalg.eigvalsh(gram)[0], found.lambda_min, 1e-7)
    key = key_of(rng)
    best = sampling.Boosted(inner, 4)(key, basis)
    each = [inner(one, basis).lambda_min for one in jax.random.split(key, 4)]
    close(best.lambda_min, max(map(float, each)), 1e-9)
    rate, eta, n = least_squares.chernoff_rate(delta), rng.uniform(0.01, 0.9), int(rng.integers(1, 200))
    close(rate, delta + (1 - delta) * np.log(1 - delta), 1e-12)
    enough = least_squares.points_needed(M, delta, eta)
    assert least_squares.failure_bound(M, enough, delta) <= eta * (1 + 1e-9)
    assert least_squares.failure_bound(M, enough - 1, delta) > eta * (1 - 1e-9)
    close(least_squares.expected_ratio(n, delta, eta), 1 + 1 / ((1 - delta) * eta), 1e-12)
    match rng.integers(6):
        case 0:
            refused("tries", sampling.Boosted, inner, (0, 1.5)[rng.integers(2)])
        case 1:
            rule = (sampling.Conditioned, sampling.Thinned)[rng.integers(2)]
            refused("delta", rule, inner, (-0.1, 1.5, np.nan)[rng.integers(3)])
        case 2:
            refused("delta", least_squares.points_needed, M, (0.0, 1.5, np.nan)[rng.integers(3)], eta)
        case 3:
            refused("eta", least_squares.points_needed, M, delta, (0.0, -1.0, np.nan)[rng.integers(3)])
        case 4:
            refused("m", least_squares.failure_bound, (0, -1, 1.5)[rng.integers(3)], n, delta)
        case 5:
            refused("probability", least_squares.expected_ratio, n, delta, (0.0, 1.5, np.nan)[rng.integers(3)])


SAMPLING = (
    *(spectrum, spectrum_of_features, marginals, log_elementary, k_dpp, l_ensemble, cholesky, subset, volume),
    *(densities_of_subsets, diverse, bases, product, finite, polynomials, fit, cross_validation, truth),
    *(linear_statistic, conditional_densities, design_rules, design, replicate),
)
MORE = (chain, coreset, nested_rules)
STABILITY = (
    *(modes, thresholds, momentum, noise, reshuffled, gaussian, eigenpairs, tridiagonal, quadrature, trace, hessian),
    *(split, gram, train, models, analyze),
)
CHECKS = {
    f"{field}.{check.__name__}": check
    for field, checks in (("sampling", SAMPLING), ("stability", STABILITY), ("sampling", MORE))
    for check in checks
}


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Draw, check and print; returns the content of the line of JSON."""
    return fuzzing.main("fuzz_sampling", __doc__, CHECKS, argv)


if __name__ == "__main__":
    main()
