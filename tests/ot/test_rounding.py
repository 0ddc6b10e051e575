import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.ot.rounding import round_plan


@pytest.mark.parametrize(("m", "n", "mass"), [(7, 7, 1.0), (5, 9, 40.0), (12, 3, 0.02)])
@pytest.mark.parametrize("kind", ["random", "zero", "sparse"])
def test_rounded_plan_is_feasible_and_near(m, n, mass, kind):
    rng = np.random.default_rng([m, n])
    a, b = mass * rng.dirichlet(np.ones(m)), mass * rng.dirichlet(np.ones(n))
    plan = mass * rng.random((m, n)) / m / n
    plan = {"random": plan, "zero": 0 * plan, "sparse": np.where(plan > np.quantile(plan, 0.8), plan, 0)}[kind]
    rounded = np.asarray(round_plan(jnp.asarray(plan), jnp.asarray(a), jnp.asarray(b)))
    assert rounded.min() >= 0
    np.testing.assert_allclose(rounded.sum(1), a, atol=1e-14 * mass)
    np.testing.assert_allclose(rounded.sum(0), b, atol=1e-14 * mass)
    moved = np.abs(rounded - plan).sum()
    assert moved <= 2 * (np.abs(plan.sum(1) - a).sum() + np.abs(plan.sum(0) - b).sum()) + 1e-12 * mass


def test_feasible_plan_is_left_alone():
    rng = np.random.default_rng(3)
    plan = rng.random((6, 4))
    rounded = round_plan(jnp.asarray(plan), jnp.asarray(plan.sum(1)), jnp.asarray(plan.sum(0)))
    np.testing.assert_allclose(rounded, plan, rtol=1e-14)


@pytest.mark.slow
def test_vmap_and_grad():
    rng = np.random.default_rng(4)
    plans, a, b = rng.random((3, 5, 6)), rng.dirichlet(np.ones(5), 3), rng.dirichlet(np.ones(6), 3)
    together = jax.vmap(round_plan)(jnp.asarray(plans), jnp.asarray(a), jnp.asarray(b))
    for i in range(3):
        alone = round_plan(jnp.asarray(plans[i]), jnp.asarray(a[i]), jnp.asarray(b[i]))
        np.testing.assert_allclose(together[i], alone, atol=1e-15)
    slope = jax.grad(lambda p: (round_plan(p, jnp.asarray(a[0]), jnp.asarray(b[0])) ** 2).sum())(jnp.zeros((5, 6)))
    assert np.isfinite(slope).all()
