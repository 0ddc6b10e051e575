"""What is documented as traced compiles nothing for another value, as a number of Python or of NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import clustering, denoise, ot, paths, sampling, stability, survival
from lab.numerics.jit import jit
from lab.ot import routing
from lab.paths import couplings, immiscible, laws, schedules, weighted
from lab.sampling import rules
from lab.studies.contract.clock import clocked

KEY = jax.random.key(0)
RANDOM = np.random.default_rng(0)
X, Y = (jnp.asarray(RANDOM.normal(size=(n, 2))) for n in (6, 8))
PROBLEM = ot.from_points(X, Y)
NORMAL, TWO = (
    paths.standard(2),
    paths.Mixture(np.array([0.5, 0.5]), np.array([[-1.0, 0.0], [1.0, 0.0]]), np.array([0.2, 0.3])),
)
IMAGES = denoise.Images(RANDOM.uniform(-1, 1, (6, 1, 4, 4)))
NOISY = RANDOM.normal(size=(2, 16))
BASIS = sampling.legendre(3)
MODES = stability.modes(stability.gram(lambda w, x: w @ x, jnp.ones(2), X))
ALIKE = clustering.similarity(X, 2)
PLAIN = schedules.Linear()


def field(schedule, tilt=None):
    if tilt is not None:
        return paths.exact(schedule, NORMAL, X, tilt=tilt)(0.5, Y).velocity
    return paths.ode(paths.exact(schedule, NORMAL, TWO), X, grid=(0.1, 0.5), solver="euler", keep=False).end


_COUPLED = jit(lambda coupling, x: coupling(KEY, x, x[::-1]).log_weights)

# each takes a number v from 1 to 1.1; those with a whole number take round(100 (v - 1)) + 1
CASES = {
    "ot.Quadratic": lambda v: ot.solve(PROBLEM, ot.Quadratic(v)).value,
    "ot.KSparse": lambda v: ot.solve(PROBLEM, ot.KSparse(v, 2)).value,
    "ot.KSparse, lbfgs": lambda v: ot.solve(PROBLEM, ot.KSparse(v, 2), method="lbfgs", tolerance=v * 1e-2).value,
    "ot.Entropic, Sinkhorn": lambda v: ot.solve(PROBLEM, ot.Entropic(v)).value,
    "ot.Entropic, Newton": lambda v: ot.solve(PROBLEM, ot.Entropic(v), method="newton", tolerance=v * 1e-6).value,
    "ot.Sinkhorn": lambda v: ot.solve(PROBLEM, ot.Entropic(1.0), method=ot.Sinkhorn(relaxation=v, memory=0)).value,
    "ot.Partial": lambda v: ot.solve(PROBLEM, ot.Entropic(v), marginals=ot.Partial(v / 2, 2 * v)).value,
    "ot.Unbalanced": lambda v: ot.solve(PROBLEM, ot.Entropic(v), marginals=ot.Unbalanced(v, 2 * v)).value,
    "ot.routing": lambda v: routing.sparse_ot_routing(jax.nn.softmax(X), 2, gamma=v, learning_rate=v / 100).combine,
    "latent Brownian": lambda v: field(schedules.Linear(schedules.Brownian(v))),
    "latent Quadratic": lambda v: field(schedules.Trigonometric(schedules.Quadratic(v))),
    "latent SineSquared": lambda v: field(schedules.EncoderDecoder(schedules.SineSquared(v))),
    "latent Bump": lambda v: field(schedules.Linear(schedules.Bump(v))),
    "schedule VP": lambda v: field(schedules.VP(v, 20 * v)),
    "schedule SubVP": lambda v: field(schedules.SubVP(v)),
    "schedule VE": lambda v: field(schedules.VE(v / 100)),
    "tilt Gibbs": lambda v: field(PLAIN, weighted.Gibbs(v, "half-squared")),
    "tilt NearestNoise": lambda v: field(PLAIN, immiscible.NearestNoise(v)),
    "tilt NearestNoise, whole": lambda v: field(PLAIN, immiscible.NearestNoise(round(100 * (v - 1)) + 1)),
    "tilt Entropic": lambda v: field(PLAIN, weighted.entropic(X, X, v)),
    "weighted.tilt": lambda v: weighted.tilt(X, Y, v).ess,
    "coupling Weighted": lambda v: _COUPLED(couplings.Weighted(v), X),
    "coupling Resampled": lambda v: _COUPLED(couplings.Resampled(v), X),
    "coupling Entropic": lambda v: _COUPLED(couplings.Entropic(v), X),
    "coupling Nearest": lambda v: _COUPLED(couplings.Nearest(round(100 * (v - 1)) + 1), X),
    "field at a time": lambda v: paths.exact(PLAIN, NORMAL, TWO)(v / 2, X).velocity,
    "law Pairs": lambda v: paths.exact(PLAIN, laws.Pairs(X, X[::-1], v))(0.5, X).velocity,
    "sde": lambda v: paths.sde(paths.exact(PLAIN, NORMAL, TWO), X, KEY, v, 2, keep=False).end,
    "adaptive": lambda v: paths.adaptive(paths.exact(PLAIN, NORMAL, TWO), X, rtol=v * 1e-2, atol=v * 1e-2).x,
    "denoiser Optimal": lambda v: denoise.Optimal(IMAGES, v)(NOISY, v),
    "denoiser Wiener": lambda v: denoise.Wiener(denoise.spectrum(IMAGES), (1, 4, 4))(NOISY, v),
    "denoiser LS": lambda v: denoise.LS(IMAGES, 3, tau=v)(NOISY, v),
    "denoiser ELS": lambda v: denoise.ELS(IMAGES, 3, tau=v)(NOISY, v),
    "denoiser PCALocality": lambda v: denoise.PCALocality(IMAGES, denoise.spectrum(IMAGES), v / 10, v)(NOISY, v),
    "denoiser SquareComposite": lambda v: denoise.SquareComposite(IMAGES, 2, tau=v)(NOISY, v),
    "rule Independent": lambda v: rules.sample(KEY, rules.Independent(5, v / 2), BASIS).weights,
    "rule Volume": lambda v: rules.sample(KEY, rules.Volume(5, v / 2), BASIS).weights,
    "rule Conditioned": lambda v: rules.sample(KEY, rules.Conditioned(rules.Independent(9), v * 0.8, 9), BASIS).weights,
    "diverse": lambda v: sampling.diverse(KEY, X, 2, length_scale=v).weights,
    "stability.critical": lambda v: stability.critical(MODES, v / 2).value,
    "stability.growth": lambda v: stability.growth(MODES, v / 2, 0.1).value,
    "clustering": lambda v: clustering.sp2ot(PROBLEM, ot.Entropic(v), ALIKE, rho=v / 2, lam=v, strength=v).plan,
    "survival": lambda v: survival.OTPooling(2, 2, KEY)(X, jnp.ones(6, bool), survival.Transport(v / 2, v, v)).vectors,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_another_value_compiles_nothing(name):
    case = CASES[name]
    for kind in (float, np.float64):
        jax.block_until_ready(case(kind(1.01)))
        with clocked() as clock:
            jax.block_until_ready(case(kind(1.02)))
        assert clock.programs == 0, f"{clock.programs} programs for another {kind.__name__}"


def test_a_number_takes_the_precision_of_the_arrays():
    double = jit(lambda x, number: x * number)
    for number in (0.5, np.float64(0.5), np.float32(0.5)):
        assert double(jnp.ones(2, jnp.float32), number).dtype == jnp.float32
        assert double(jnp.ones(2), number).dtype == jnp.float64


def test_whole_numbers_are_static():
    assert jit(lambda n: jnp.zeros(n))(3).shape == (3,)


def test_a_function_that_holds_what_is_traced_is_part_of_the_larger_program():
    applied = jit(lambda function, x: function(x).sum())
    x = jnp.arange(3.0)
    value = lambda a: applied(lambda each: a * each**2, x)  # noqa: E731
    assert float(jax.grad(value)(2.0)) == 5.0
    assert float(jax.jit(value)(2.0)) == 10.0
    np.testing.assert_array_equal(jax.vmap(value)(x), 5.0 * x)
    slope = jax.grad(lambda a: paths.ode(lambda t, x: a * x, jnp.ones((1, 1)), steps=10).end.sum())(-1.0)
    assert float(slope) == pytest.approx(np.exp(-1), rel=1e-4)
    with jax.disable_jit():
        assert float(value(2.0)) == 10.0
