"""Rectification: its fields, the first flow, and rounds in parts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from lab import paths
from lab.numerics import Chunked, Reason
from lab.paths import rectified
from lab.paths.laws import Pairs, effective_pairs
from lab.paths.points import View


def test_first_flow_on_a_line_is_the_quantile_map():
    """N(0, 1) to a mixture, at five quantiles of the source, against the inverse of the distribution function."""
    source = paths.standard(1)
    target = paths.Mixture([0.3, 0.7], [[-2.0], [1.0]], [0.25, 0.64])
    q = np.array([0.05, 0.25, 0.3, 0.5, 0.9])
    work = rectified.begin(jax.random.key(0), source, target, paths.Linear(), 1, 0.1, 5, 5)
    ends = paths.ode(work.first, jnp.asarray(norm.ppf(q))[:, None], grid=work.times).end

    def gap(z, q):
        return 0.3 * norm.cdf(z, -2, 0.5) + 0.7 * norm.cdf(z, 1, 0.8) - q

    wanted = [brentq(gap, -8, 8, args=(each,)) for each in q]
    np.testing.assert_allclose(ends[:, 0], wanted, atol=1e-4)
    np.testing.assert_allclose(wanted, [-2.48374, -1.52009, -0.94585, 0.54724, 1.85406], atol=1e-4)
    back = paths.ode(work.first, ends, grid=work.times, reverse=True).end  # the way back
    np.testing.assert_allclose(back[:, 0], norm.ppf(q), atol=1e-5)


def test_kernel_field_is_the_mean_over_pairs():
    """Written out for a few pairs."""
    rng = np.random.default_rng(0)
    x0, x1, x = rng.normal(size=(7, 2)), rng.normal(size=(7, 2)), rng.normal(size=(4, 2))
    t, h = 0.3, 0.4
    logits = -(((x[:, None] - (1 - t) * x0 - t * x1) ** 2).sum(2)) / (2 * h * h)
    w = np.exp(logits - logits.max(1, keepdims=True))
    w /= w.sum(1, keepdims=True)
    pairs = rectified.Ends(jnp.asarray(x0), jnp.asarray(x1))
    np.testing.assert_allclose(rectified.smoothed(pairs, h)(t, jnp.asarray(x)).velocity, w @ (x1 - x0), rtol=1e-12)
    middle = np.exp(-(((x[:, None] - (x0 + x1) / 2) ** 2).sum(2)) / (2 * h * h))
    middle /= middle.sum(1, keepdims=True)
    seen = effective_pairs(Pairs(*pairs, h), jnp.asarray(x))
    np.testing.assert_allclose(seen, (1 / (middle**2).sum(1)).mean(), rtol=1e-10)


@pytest.mark.slow
def test_reparametrised_lines_give_the_same_curves():
    """alpha = 1 - t^2, beta = t^2: the same particles at other times."""
    target = paths.Mixture([0.5, 0.5], [[2.0, 0], [-1.0, 1]], [0.3, 0.1])
    a = rectified.begin(jax.random.key(0), paths.standard(2), target, paths.Linear(), 1, 0.1, 40, 5)
    slow = paths.exact(paths.Custom(lambda t: 1 - t**2, lambda t: t**2), a.source, target)
    x = a.particles.x0
    times = jnp.linspace(0, 1, rectified.STEPS + 1)
    by_square = paths.ode(a.first, x, grid=times**2).x
    np.testing.assert_allclose(paths.ode(slow, x, grid=times).x, by_square, atol=1e-3)


@pytest.mark.slow
def test_parts_of_a_round_make_the_round(monkeypatch):
    """In blocks of 16 points, step by step, two rounds and Euler's polygons are what they are at once; a stop keeps a round."""
    target, found = paths.Empirical(np.random.default_rng(0).normal(size=(9, 2))), []
    for short in (rectified.SHORT, 0):
        monkeypatch.setattr(rectified, "SHORT", short)
        monkeypatch.setattr(rectified, "PART", 10_000_000 if short else 1)
        work = rectified.begin(jax.random.key(0), paths.standard(2), target, paths.Linear(), 2, 0.3, 25, 30)
        assert work.whole == bool(short)
        assert work.rows == (55 if short else 16)
        run = rectified.rectify(Chunked(), work)
        view = View(jnp.zeros(2), jnp.eye(2))
        drawn = rectified.polygons(Chunked(), work, run.state, 3, view, jnp.linspace(0, 1, 5), 8)
        assert (run.reason, drawn.reason) == (Reason.CONVERGED, Reason.CONVERGED)
        found.append((run.state._replace(made=None), drawn.ends, drawn.seen))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), *found)
    half = rectified.rectify(Chunked(lambda progress: progress.trace["rounds"][-1] > 1.2), work)
    assert half.reason == Reason.STOPPED
    assert int(half.state.round) == 1
    np.testing.assert_array_equal(half.state.pairs.x1, run.state.fitted.x1)
