"""Volume-rescaled sampling and the rules that build on it: exact laws on a finite space, and what conditioning promises."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from lab import sampling
from lab.sampling import least_squares, rules
from lab.sampling.rules import Boosted, Conditioned, Independent, Projection, Repeated, Thinned, Volume

M, ATOMS, DRAWS = 2, 5, 20_000


@pytest.fixture(scope="module")
def space():
    rng = np.random.default_rng(5)
    return sampling.finite(rng.normal(size=(ATOMS, M)), rng.uniform(0.2, 1, ATOMS))


def law(space, n, t):
    """All tuples of n atoms with their probability by the density, and nu and w at the atoms."""
    phi = np.asarray(space(jnp.arange(ATOMS)[:, None]))
    nu = np.asarray(space.masses) * ((1 - t) + t * (phi**2).sum(axis=1) / M)
    w = np.asarray(space.masses) / nu
    tuples = np.array(list(itertools.product(range(ATOMS), repeat=n)))
    gram = np.einsum("sia,sib,si->sab", phi[tuples], phi[tuples], w[tuples]) / n
    scale = math.factorial(n - M) * n**M / math.factorial(n)
    return phi, nu, w, tuples, scale * np.linalg.det(gram) * nu[tuples].prod(axis=1)


@pytest.mark.parametrize("t", [0.0, 0.5, 1.0])
def test_density_composition_and_unbiasedness(space, t):
    """The density is normalised, is that of the composition, and least squares is unbiased: all by enumeration."""
    for n in (2, 3):
        phi, nu, w, tuples, chance = law(space, n, t)
        assert abs(chance.sum() - 1) < 1e-12
        composed = np.zeros(len(tuples))
        mass = np.asarray(space.masses)
        for places in itertools.combinations(range(n), M):
            rest = [i for i in range(n) if i not in places]
            pair = tuples[:, places]
            dpp = np.linalg.det(phi[pair]) ** 2 / math.factorial(M) * mass[pair].prod(axis=1)
            composed += dpp * nu[tuples[:, rest]].prod(axis=1) / math.comb(n, M)
        assert abs(composed - chance).max() < 1e-14
        f = np.random.default_rng(6).normal(size=ATOMS)
        c = phi.T @ (mass * f)
        possible = chance > 1e-14
        one = jax.jit(jax.vmap(least_squares.fit))
        found = one(*map(jnp.asarray, (phi[tuples[possible]], w[tuples[possible]], f[tuples[possible]])))
        np.testing.assert_allclose(chance[possible] @ found.coefficients, c, atol=1e-12)
        gram = jax.vmap(least_squares.gram)(*map(jnp.asarray, (phi[tuples[possible]], w[tuples[possible]])))
        inverse = np.einsum("s,sab->ab", chance[possible], np.linalg.inv(gram))
        assert np.linalg.eigvalsh(inverse)[-1] <= n / (n - M + 1) + 1e-12  # equal where there are no atoms
        marginal = np.array([chance[tuples[:, 0] == i].sum() for i in range(ATOMS)])
        optimal = mass * (phi**2).sum(axis=1) / M
        np.testing.assert_allclose(marginal, M / n * optimal + (n - M) / n * nu, atol=1e-13)


@pytest.mark.slow
def test_sampler_draws_that_law(space):
    for t in (0.0, 0.5):
        *_, chance = law(space, 3, t)
        found = sampling.sample(jax.random.key(3), Volume(3, jnp.asarray(t)), space, DRAWS)  # one program for all t
        code = np.asarray(found.points)[..., 0] @ np.array([ATOMS**2, ATOMS, 1])
        counts = np.bincount(code, minlength=ATOMS**3)
        possible = chance > 1e-14
        assert counts[~possible].sum() == 0
        assert scipy.stats.chisquare(counts[possible], chance[possible] * DRAWS).pvalue > 1e-3
    assert (found.weights <= 2 + 1e-12).all()


@pytest.fixture(scope="module")
def line():
    return sampling.legendre(10)


@pytest.fixture(scope="module")
def designs(line):
    """500 designs of 30 points of each kind."""
    return {
        name: sampling.sample(jax.random.key(1), sampling.named(name, 30, line), line, 500)
        for name in ("iid-optimal", "volume-optimal", "dpp")
    }


@pytest.mark.slow
def test_stability_grows_with_repulsion(designs):
    means = [float(found.lambda_min.mean()) for found in designs.values()]
    assert means[0] < means[1] - 0.03
    assert means[1] < means[2] - 0.05
    share = (designs["dpp"].lambda_min >= 0.5).mean()
    assert abs(share - 0.46) < 4 * np.sqrt(0.25 / 500)
    assert designs["dpp"].points.shape == (500, 30, 1)
    assert (designs["dpp"].n == 30).all()


@pytest.mark.slow
def test_gram_averages_to_the_identity(line, designs):
    phi = jax.vmap(line)(designs["dpp"].points)
    mean = jnp.einsum("sia,sib,si->ab", phi, phi, designs["dpp"].weights) / (500 * 30)
    np.testing.assert_allclose(mean, np.eye(10), atol=0.06)
    np.testing.assert_allclose(designs["dpp"].weights * (phi**2).sum(axis=2), 10, rtol=1e-12)


@pytest.mark.slow
def test_conditioning_and_boosting(line, designs):
    rule = Conditioned(Repeated(Projection(), 3), 0.5)
    found = sampling.sample(jax.random.key(0), rule, line, 100)
    assert (found.lambda_min >= 0.5).all()
    assert abs(found.tries.mean() - 1 / 0.46) < 4 * found.tries.std() / 10
    best = sampling.sample(jax.random.key(0), Boosted(Independent(30), 4), line, 50)
    assert best.lambda_min.mean() > designs["iid-optimal"].lambda_min.mean() + 0.05
    assert (best.tries == 4).all()
    with pytest.raises(
        RuntimeError, match=r"was not reached in 3 tries by 1 of 1 designs of n = 10 points .* below 0.33"
    ):
        sampling.sample(jax.random.key(0), Conditioned(Projection(), 0.01, 3), line)


@pytest.mark.slow
def test_thinning(line):
    """Against the greedy choice by brute force."""
    rule = Conditioned(Repeated(Projection(), 3), 0.5)
    found = sampling.sample(jax.random.key(2), Thinned(rule, 0.5), line, 20)
    full = found._replace(used=jnp.ones_like(found.used))
    assert (found.lambda_min >= 0.5).all()
    assert abs(found.n.mean() - 11.2) < 1
    for i in range(2):
        phi, w = np.asarray(line(full.points[i])), np.asarray(full.weights[i])
        left = list(range(30))
        while len(left) > 10:
            least = []
            for j in left:
                rest = [k for k in left if k != j]
                least.append(np.linalg.eigvalsh(phi[rest].T @ (w[rest][:, None] * phi[rest]) / len(rest))[0])
            if max(least) < 0.5:
                break
            left.pop(int(np.argmax(least)))
        assert np.flatnonzero(found.used[i]).tolist() == left
        np.testing.assert_allclose(
            least_squares.stability(line(full.points[i]), full.weights[i], found.used[i]),
            found.lambda_min[i],
            rtol=1e-9,
        )


@pytest.mark.slow
def test_same_key_same_design(line):
    rule = Volume(15)
    many = sampling.sample(jax.random.key(8), rule, line, 3)
    assert (sampling.sample(jax.random.key(8), rule, line, 3).points == many.points).all()
    one = sampling.sample(jax.random.split(jax.random.key(8), 3)[1], rule, line)
    np.testing.assert_allclose(one.points, many.points[1], atol=1e-12)
    np.testing.assert_allclose(rules.weight(line, one.points), one.weights, rtol=1e-12)


def test_bad_rules(line):
    key = jax.random.key(0)
    for rule, message in (
        (lambda: Volume(9), "n = 9, but volume-rescaled sampling needs at least m = 10"),
        (lambda: Repeated.to(25, line), "no multiple of the 10 points of one design.* take n = 20 or 30"),
        (lambda: Repeated(Projection(), 0), "r = 0"),
        (lambda: Independent(0), "n = 0"),
        (lambda: Independent(5, 1.5), "t = 1.5"),
        (lambda: Conditioned(Projection(), 1.0), "delta = 1.0, but must lie strictly between"),
        (lambda: Thinned(Projection(), 0.0), "delta = 0.0"),
        (lambda: Boosted(Projection(), 0), "tries = 0"),
        (lambda: sampling.named("sobol", 10, line), "must be one of"),
        (lambda: sampling.named("volume", 5, line), "needs at least m = 10"),
    ):
        with pytest.raises(ValueError, match=message):
            sampling.sample(key, rule(), line)
