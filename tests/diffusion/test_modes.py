"""Mode mixture: rates by hand, posteriors and Mahalanobis radii by NumPy, the classifier beside scikit-learn's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from lab.diffusion import modes
from lab.numerics.mixtures import Mixture

LAW = Mixture([0.5, 0.3, 0.2], [[0.0, 0.0], [3.0, 0.0], [0.0, 2.0]], [0.04, 0.25, 0.09])
FULL = Mixture([0.6, 0.4], [[0.0, 0.0], [3.0, 1.0]], [[[0.5, 0.2], [0.2, 0.3]], [[0.2, 0.0], [0.0, 0.4]]])
X = np.random.default_rng(5).normal(scale=2, size=(300, 2))


def test_rates_by_hand():
    p = jnp.array([[0.9, 0.1, 0.0], [0.5, 0.3, 0.2], [0.34, 0.33, 0.33], [1.0, 0.0, 0.0]])
    np.testing.assert_allclose(modes.mixture_rate(p, jnp.array([0.1, 0.11, 0.31, 0.34])), [0.75, 0.5, 0.25, 0.0])
    assert float(modes.mixture_rate(p, 0.11)) == 0.5
    np.testing.assert_array_equal(modes.mixed(p, 0.2), [False, True, True, False])
    assert float(modes.mass_apart(p, jnp.array([0.5, 0.25, 0.25]))) == pytest.approx(0.5)


@pytest.mark.parametrize("law", [LAW, FULL], ids=["isotropic", "full"])
def test_posterior_of_the_mixture_with_noise(law):
    d = np.asarray(law.covariances)
    full = d[:, None, None] * np.eye(2) if d.ndim == 1 else d
    wide = full + 0.3**2 * np.eye(2)
    each = np.stack(
        [w * stats.multivariate_normal(m, c).pdf(X) for w, m, c in zip(law.weights, law.means, wide, strict=True)], 1
    )
    found = modes.Posterior(law, 0.3)(jnp.asarray(X))
    np.testing.assert_allclose(found, each / each.sum(1, keepdims=True), atol=1e-10)
    apart = X[:, None] - np.asarray(law.means)[None]
    squared = np.einsum("nka,kab,nkb->nk", apart, np.linalg.inv(full), apart).min(1)
    off = modes.off_mode(law, jnp.asarray(X), 16.0)
    np.testing.assert_array_equal(off.off, squared > 16)
    assert float(off.share) == pytest.approx((squared > 16).mean())


@pytest.mark.parametrize("d", [2, 16])
def test_radii_leave_out_as_much_in_every_dimension(d):
    assert stats.chi2.sf(modes.radius_squared(d), d) == pytest.approx(np.exp(-8), rel=1e-9)


def test_the_classifier_is_scikit_learns():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(3)
    label = rng.integers(4, size=500)
    x = rng.normal(size=(500, 5)) + np.eye(4, 5)[label] * 2
    found = modes.classifier(x, label)
    theirs = LogisticRegression(C=1.0, tol=1e-10, max_iter=5000).fit(x, label)
    np.testing.assert_allclose(found(jnp.asarray(x)), theirs.predict_proba(x), atol=1e-3)
    with pytest.raises(ValueError, match="numbers from 0 on are needed"):
        modes.classifier(x, label + 1)
    with pytest.raises(ValueError, match="x and classes have shapes"):
        modes.classifier(x, label[:-1])


def test_classes_as_gaussians():
    rng = np.random.default_rng(4)
    label = np.repeat([2, 7], [400, 100])
    x = rng.normal(size=(500, 3)) * [1.0, 2.0, 0.5] + (label == 7)[:, None] * 5
    law = modes.of_classes(x, label, 0.0)
    np.testing.assert_allclose(law.weights, [0.8, 0.2])
    np.testing.assert_allclose(law.means[1], x[400:].mean(0))
    np.testing.assert_allclose(law.covariances[0], np.cov(x[:400].T, bias=True))
    whole = modes.of_classes(x, label, 1.0)
    within = np.concatenate([x[:400] - x[:400].mean(0), x[400:] - x[400:].mean(0)])
    np.testing.assert_allclose(whole.covariances[1], (within**2).mean() * np.eye(3), atol=1e-12)
    sample = law.sample(jax.random.key(0), 4000)
    assert float(modes.off_mode(law, sample, modes.radius_squared(3)).share) < 0.002
