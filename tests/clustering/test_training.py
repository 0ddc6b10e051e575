"""The schedule, the loss, and what the training is for: classes of uneven size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.clustering import training
from lab.clustering.metrics import scores
from lab.clustering.training import METHODS, Schedule, Settings, train
from lab.numerics import Chunked, Reason
from lab.ot import partial
from lab.ot.problem import problem
from lab.ot.regularizers import Entropic


def uneven(seed: int = 0, sizes=(120, 24, 12), spread: float = 0.45):
    """Three blobs on a circle, the first much larger, centred."""
    rng = np.random.default_rng(seed)
    classes = np.repeat(np.arange(3), sizes)
    angle = 2 * np.pi * classes / 3
    x = np.c_[np.cos(angle), np.sin(angle)] + spread * rng.normal(size=(len(classes), 2))
    return jnp.asarray(x - x.mean(0)), jnp.asarray(classes.astype(np.int32))


def run(key, x, classes, settings, epochs: int, loop=None):
    """In chunks, whose program is compiled once for every number of epochs."""
    return train(key, x, classes, settings, k=3, neighbours=5, epochs=epochs, loop=loop or Chunked())


def test_schedule_has_the_values_of_the_sheet():
    at = jnp.asarray([0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(Schedule()(at), [0.1061, 0.1541, 0.3579, 0.7584, 1], atol=6e-5)
    np.testing.assert_allclose(Schedule()(at), 0.1 + 0.9 * np.exp(-5 * (1 - np.asarray(at)) ** 2), atol=1e-12)
    np.testing.assert_allclose(Schedule(linear=True)(at), 0.1 + 0.9 * at, atol=1e-12)


@pytest.mark.slow
def test_balanced_labels_split_the_large_class_and_flexible_ones_do_not():
    """Of the distances from the true centres, pseudo-labels of clusters of equal size call most of the head a tail."""
    x, classes = uneven(spread=0.2)
    centres = jnp.stack([x[classes == c].mean(0) for c in range(3)])
    p = problem(((np.asarray(x)[:, None] - np.asarray(centres)[None]) ** 2).sum(-1))
    accuracy = {}
    for name, rho, lam in (("balanced", 1.0, np.inf), ("uot", 1.0, 0.1), ("p2ot", 0.8, 0.1)):
        plan = partial.solve(p, Entropic(0.02), rho=rho, lam=lam).plan()
        accuracy[name] = float(scores(classes, plan.argmax(1).astype(jnp.int32), 3).accuracy)
    assert accuracy["balanced"] < 0.85
    assert accuracy["p2ot"] > 0.97
    assert accuracy["uot"] > 0.97


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_plans_have_the_mass_that_the_schedule_says(name):
    x, classes = uneven()
    found = run(jax.random.key(0), x, classes, METHODS[name](Settings(strength=0.1 * len(classes))), 20)
    assert int(found.reason) == Reason.CONVERGED
    assert float(found.curves.residual.max()) < 1e-8
    curves = found.curves
    np.testing.assert_allclose(found.plan.sum(), curves.rho[-1], atol=1e-8)
    if name in ("balanced", "uot"):
        np.testing.assert_array_equal(curves.rho, 1)
    else:
        np.testing.assert_allclose(curves.rho[0], 0.1 + 0.9 * np.exp(-5), atol=1e-12)
        assert (np.diff(curves.rho) > 0).all()
    if name == "balanced":
        np.testing.assert_allclose(found.plan.sum(0), 1 / 3, atol=1e-8)
    assert (curves.recall <= curves.precision * curves.rho + 1e-12).all()
    assert curves.accuracy.shape == (20,)
    judged = scores(classes, found.clusters, 3)
    np.testing.assert_allclose([curves.accuracy[-1], curves.nmi[-1], curves.f1[-1]], judged[:3], atol=1e-12)


@pytest.mark.slow
def test_first_epoch_is_a_step_of_adam_on_the_loss():
    """One epoch by hand: plans of the two views, the cross-entropy of each with the other's, Adam's first step."""
    x, classes = uneven(1)
    settings = METHODS["p2ot"](Settings())
    key = jax.random.key(3)
    first, later = jax.random.split(key)
    centres, _ = training.kmeans(first, x, 3)
    noise = 0.1 * jax.random.normal(jax.random.fold_in(later, 0), (2, *x.shape))
    rho = float(Schedule()(0.0))

    def log_p(model, view):
        h = view @ model.layer
        h, w = (v / jnp.linalg.norm(v, axis=1, keepdims=True) for v in (h, model.head))
        return jax.nn.log_softmax(10 * h @ w.T, axis=1)

    model = training.Model(jnp.eye(2), centres)
    q = [len(x) * partial.solve(problem(-log_p(model, x + e)), Entropic(0.1), rho=rho, lam=1.0).plan() for e in noise]

    def loss(model):
        views = [log_p(model, x + e) for e in noise]
        return -((q[1] * views[0]).sum() + (q[0] * views[1]).sum()) / len(x)

    value, slope = jax.value_and_grad(loss)(model)
    found = run(key, x, classes, settings, 1)
    np.testing.assert_allclose(found.curves.loss[0], value / rho, rtol=1e-8)
    for after, before, g, rate in zip(found.model, model, slope, (5e-3, 2e-2), strict=True):
        np.testing.assert_allclose(after, before - rate * g / (jnp.abs(g) + 1e-8), atol=1e-6)


@pytest.mark.slow
def test_same_key_same_run_however_it_is_divided():
    x, classes = uneven(2)
    steps = Chunked(seconds=1e-9)  # one at a time
    whole, chunked = (
        run(jax.random.key(1), x, classes, Settings(), 3, loop) for loop in (Chunked(seconds=60.0), steps)
    )
    np.testing.assert_array_equal(whole.model.layer, chunked.model.layer)
    assert chunked.curves.loss.shape == (3,)


def test_refusals():
    x, classes = uneven()
    for change, sentence in (
        ({"k": 1}, "k = 1 clusters of 156 samples"),
        ({"prior": jnp.asarray([0.5, 0.5])}, r"the prior has shape \(2,\)"),
        ({"prior": jnp.asarray([0.5, 0.5, 0.5])}, "the prior sums to 1.5"),
        ({"prior": jnp.asarray([1.5, -0.5, 0.0])}, "must be positive"),
    ):
        with pytest.raises(ValueError, match=sentence):
            train(jax.random.key(0), x, classes, Settings(), **({"k": 3} | change))
