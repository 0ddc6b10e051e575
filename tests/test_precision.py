"""One rule of precision: nothing is cut without a word, what needs float64 says how to turn it on, the rest converges in
float32 as it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import denoise, ot, paths, sampling, stability, studies
from lab.paths import weighted
from lab.survival.bags import bags

WIDE = np.random.default_rng(0).normal(size=(6, 2))
NARROW = WIDE.astype(np.float32)
HOW = r'begin with lab\.notebook\(\) or jax\.config\.update\("jax_enable_x64", True\)'


def field():
    return paths.exact(paths.Linear(), paths.standard(2), paths.standard(2))


DOORS = {
    "points": lambda x: ot.from_points(x, x),
    "cost": lambda x: ot.problem(x @ x.T),
    "masses": lambda x: ot.problem(np.eye(6, dtype=np.float32), abs(x[:, 0])),
    "cloud": lambda x: ot.cloud(x, x),
    "law": lambda x: paths.Empirical(x),
    "mixture": lambda x: paths.Mixture(np.full(6, 1 / 6, x.dtype), x, np.ones(6, x.dtype)),
    "field": lambda x: field()(0.5, x),
    "ode": lambda x: paths.ode(field(), x, steps=1),
    "adaptive": lambda x: paths.adaptive(field(), x),
    "sde": lambda x: paths.sde(field(), x, jax.random.key(0), steps=1),
    "likelihood": lambda x: paths.log_density(field(), x, paths.standard(2), steps=1),
    "images": lambda x: denoise.Images(np.clip(x, -1, 1).reshape(3, 1, 2, 2)),
    "denoiser": lambda x: denoise.Posterior(paths.standard(2), (1, 1, 2))(x, 1.0),
    "bags": lambda x: bags(x, np.arange(6) % 2, np.ones(2), np.ones(2)),
}


@pytest.mark.parametrize("door", DOORS)
def test_an_array_that_would_be_cut_is_refused(door):
    with (
        jax.enable_x64(False),
        pytest.raises(ValueError, match=f"is float64, which JAX would cut .* {HOW}, or give float32$"),
    ):
        DOORS[door](WIDE)


@pytest.mark.slow
@pytest.mark.parametrize("door", [door for door in DOORS if door != "masses"])
def test_float32_is_taken_as_it_is(door):
    with jax.enable_x64(False):
        leaves = jax.tree.leaves(DOORS[door](NARROW))
    assert {leaf.dtype for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating)} <= {np.dtype(np.float32)}


@pytest.mark.parametrize(
    "call",
    [
        lambda: sampling.legendre(3),
        lambda: sampling.finite(NARROW),
        lambda: sampling.diverse(jax.random.key(0), NARROW, 2),
        lambda: sampling.ensembles.spectrum(np.eye(3, dtype=np.float32)),
        lambda: stability.critical(stability.modes(jnp.eye(3)), 1.0),
        lambda: studies.find("sparse-ot")().run(),
    ],
)
def test_what_needs_float64_says_how_to_turn_it_on(call):
    with jax.enable_x64(False), pytest.raises(ValueError, match=f"needs float64, which is off: {HOW}"):
        call()


def test_float64_that_is_on_is_asked_for_by_array():
    with pytest.raises(ValueError, match="needs float64, but L is float32: give float64"):
        sampling.ensembles.spectrum(np.eye(3, dtype=np.float32))


@pytest.mark.slow
@pytest.mark.parametrize(
    "solve",
    [
        lambda p: ot.solve(p, ot.Quadratic(0.1)),
        lambda p: ot.solve(p, ot.Entropic(1.0)),
        lambda p: ot.solve(p, ot.Entropic(0.1), method="newton"),
        lambda p: ot.solve(p, ot.Entropic(0.3), marginals=ot.Partial(0.6)),
        lambda p: ot.solve(p, ot.Entropic(0.3), marginals=ot.Unbalanced(1.0, 1.0)),
    ],
)
def test_defaults_converge_in_float32(solve):
    with jax.enable_x64(False):
        found = solve(ot.from_points(NARROW, NARROW[:5]))
        assert bool(found.converged)
        assert found.value.dtype == jnp.float32
        assert float(jnp.abs(found.plan().sum(axis=0) - found.problem.b).sum()) < 1e-4 or found.formulation == "dual"


@pytest.mark.slow
def test_potentials_reach_what_float32_bears():
    with jax.enable_x64(False):
        x = jnp.asarray(NARROW)
        assert weighted.entropic(x, x, 0.5).reason == 1
        with pytest.raises(ValueError, match=rf"1e-07 with float32 costs, which resolve 1e-05 at best: {HOW}"):
            ot.solve(ot.from_points(NARROW, NARROW), ot.Entropic(1.0), tolerance=1e-7)


def test_lists_and_numbers_have_no_precision():
    with jax.enable_x64(False):
        assert ot.problem(np.asarray([[0, 1], [1, 0]])).cost.dtype == jnp.float32
        assert paths.Mixture([0.5, 0.5], [[0.0], [1.0]], [1.0, 1.0]).means.dtype == jnp.float32
