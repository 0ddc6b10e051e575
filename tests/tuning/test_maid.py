"""MAID, HOAG and fixed accuracies: every decision against NumPy, every step against the closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.numerics import Chunked
from lab.tuning import descent, maid, problem, quadratic, rivals
from lab.tuning.descent import Ending, Rules

PAPER = quadratic.random_quadratic(29)
ONES = jnp.ones(10)
STEPS = 60
RULES = Rules()


def run(eps=0.1, alpha=0.1, adaptive=True, **more):
    return maid.minimise(PAPER, ONES, eps=eps, alpha=alpha, adaptive=adaptive, max_iterations=STEPS, **more)


@pytest.fixture(scope="module")
def found():
    return run()


class _Counted:
    """The problem of the paper in NumPy, which counts gradients and products."""

    def __init__(self):
        self.a1, self.a2, self.a3, self.b1, self.b2 = (np.asarray(getattr(PAPER, n)) for n in "a1 a2 a3 b1 b2".split())
        spectrum = np.linalg.eigvalsh(self.a2.T @ self.a2)
        self.mu, self.smooth = spectrum[0], spectrum[-1]
        self.upper = np.linalg.eigvalsh(self.a1.T @ self.a1)[-1]
        self.size = np.linalg.norm(self.a2.T @ self.a3, 2)
        self.gradients = self.products = 0

    def g(self, x):
        residual = self.a1 @ x - self.b1
        return 0.5 * residual @ residual, self.a1.T @ residual

    def lower(self, theta, x, eps):
        root = np.sqrt(self.mu / self.smooth)
        before = y = x
        while True:
            pull = self.a2.T @ (self.a2 @ y + self.a3 @ theta - self.b2)
            self.gradients += 1
            if np.linalg.norm(pull) <= self.mu * eps:
                return y, np.linalg.norm(pull) / self.mu
            x = y - pull / self.smooth
            y, before = x + (1 - root) / (1 + root) * (x - before), x

    def cg(self, b, q, delta):
        apply = lambda p: self.a2.T @ (self.a2 @ p)  # noqa: E731
        r = b - apply(q)
        p, self.products = r, self.products + 1
        while np.linalg.norm(r) > delta:
            image, square = apply(p), r @ r
            self.products += 1
            step = square / (p @ image)
            q, r = q + step * p, r - step * image
            p = r + r @ r / square * p
        return q, np.linalg.norm(r)


def _by_numpy(eps, alpha, steps, eta=0.9, lam=0.1, rho=0.5, nu=0.5):
    """MAID as in the paper's table of steps, in plain loops."""
    of, theta, x, q, delta, rows = _Counted(), np.ones(10), np.zeros(10), np.zeros(10), eps, []
    for _ in range(steps):
        j = 10
        while True:
            while True:
                x, near = of.lower(theta, x, eps)
                level, pull = of.g(x)
                q, left = of.cg(pull, q, delta)
                z = -of.a3.T @ (of.a2 @ q)
                omega = of.upper * of.size / of.mu * near + of.size / of.mu * left
                if omega <= (1 - eta) * np.linalg.norm(z):
                    break
                eps, delta = nu * eps, nu * delta
            below = level - np.linalg.norm(pull) * near
            for i in range(j):
                a = alpha * rho**i
                new, close = of.lower(theta - a * z, x, eps)
                value, slope = of.g(new)
                above = value + np.linalg.norm(slope) * close + of.upper / 2 * close**2
                accepted = above - below + lam * a * (z @ z) <= 0
                if accepted:
                    break
            if accepted:
                break
            j, eps, delta = j + 1, nu * eps, nu * delta
        theta, x = theta - a * z, new
        rows.append([eps, a, np.linalg.norm(z), omega, value, of.gradients, of.products])
        alpha, eps, delta = 10 / 9 * a, 1.05 * eps, 1.05 * delta
    return theta, np.array(rows)


@pytest.mark.slow
@pytest.mark.parametrize("eps", [10.0, 0.1, 1e-5])
def test_every_decision_and_every_count_is_that_of_plain_loops(eps):
    theta, rows = _by_numpy(eps, 0.1, STEPS)
    found = run(eps)
    names = "eps alpha grad_norm omega loss cost_lower cost_cg".split()
    ours = np.stack([found.trace[name] for name in names], axis=1)
    np.testing.assert_array_equal(ours[:40, 5:], rows[:40, 5:])  # calls
    np.testing.assert_allclose(ours[:40, :2], rows[:40, :2], rtol=1e-12)
    np.testing.assert_allclose(ours[:40, 2:5], rows[:40, 2:5], rtol=1e-5)
    np.testing.assert_allclose(found.theta, theta, rtol=1e-3)  # later a borderline search may differ by rounding


@pytest.mark.slow
def test_each_accepted_step_lowers_the_true_loss_by_what_is_certified(found):
    loss = np.asarray(jax.vmap(PAPER.loss)(found.path))
    fall = loss[:-1] - loss[1:]
    certified = 0.1 * found.trace["alpha"] * found.trace["grad_norm"] ** 2
    assert found.certified
    assert len(fall) == STEPS
    assert (fall >= certified).all()
    assert fall.min() > 0
    errors = [
        np.linalg.norm(z - np.asarray(PAPER.slope(t))) for z, t in zip(found.state.slopes, found.path, strict=False)
    ]
    assert (np.array(errors) <= found.trace["omega"]).all()
    assert (found.trace["omega"] <= 0.1 * found.trace["grad_norm"] * (1 + 1e-12)).all()


def test_accuracies_shrink_only_at_a_failed_test_and_grow_after_a_step(found):
    for name in ("eps", "delta"):
        values = np.r_[0.1 / 1.05, found.trace[name]]
        np.testing.assert_allclose(values[1:], values[:-1] * 1.05 * 0.5 ** found.trace["shrinks"], rtol=1e-12)
    assert 0 < found.trace["shrinks"].sum() < STEPS
    alpha = np.r_[0.1 * 0.9, found.trace["alpha"]]
    halved = np.log(alpha[:-1] * 10 / 9 / alpha[1:]) / np.log(2)
    np.testing.assert_allclose(halved, np.round(halved), atol=1e-9)
    assert (found.trace["reached"] <= found.trace["eps"]).all()


@pytest.mark.slow
def test_five_first_accuracies_end_at_one_loss():
    """The experiment of the paper: f - f* agrees to 1e-4, of itself."""
    least = float(PAPER.least()[1])
    assert float(PAPER.loss(ONES)) == pytest.approx(4440.09, abs=0.01)
    assert least == pytest.approx(0.0507, abs=1e-4)
    left = []
    for eps in (10.0, 1.0, 0.1, 1e-3, 1e-5):
        descended = maid.minimise(PAPER, ONES, eps=eps, alpha=0.1, max_iterations=200)
        left.append(float(PAPER.loss(descended.theta)) - least)
        assert (np.diff(jax.vmap(PAPER.loss)(descended.path)) < 0).all()
        assert 6000 < int(descended.state.lower_cost) < 10_000
        assert 1000 < int(descended.state.linear_cost) < 2000
    assert np.ptp(left) < 1e-4 * left[0]
    assert left[0] == pytest.approx(55.3, abs=0.5)


@pytest.mark.slow
def test_the_test_of_a_step_is_above_the_true_change():
    draws, slope = np.random.default_rng(2), PAPER.slope(ONES)
    smooth, z = float(PAPER.known.upper), np.asarray(slope)
    for _ in range(20):
        alpha, eps = 10 ** draws.uniform(-5, -2), 10 ** draws.uniform(-4, 0)
        theta = ONES - alpha * z
        off = lambda: draws.normal(size=10) / np.sqrt(10)  # noqa: E731
        old, new = off(), off()
        old, new = (eps * each / max(1, np.linalg.norm(each)) for each in (old, new))
        above = maid.upper_bound(PAPER, PAPER.minimiser(theta) + new, eps, smooth)
        below = maid.lower_bound(PAPER, PAPER.minimiser(ONES) + old, eps, smooth)
        assert float(above - below) >= float(PAPER.loss(theta) - PAPER.loss(ONES))
    bent = problem.Own(lambda x, t: jnp.sum((x - t) ** 2), lambda x: jnp.sum(jnp.cos(x)), jnp.zeros(2))
    at = jnp.asarray([0.1, 0.2])
    assert float(maid.lower_bound(bent, at, 0.5, 1.0)) == pytest.approx(
        float(jnp.cos(at).sum() - 0.5 * jnp.linalg.norm(jnp.sin(at)) - 0.125)
    )


def test_a_loop_that_reports_takes_the_same_steps_and_stops(found):
    seen = []
    again = run(loop=Chunked(lambda progress: seen.append(progress.iteration)))
    assert seen[-1] == STEPS
    np.testing.assert_array_equal(again.path, found.path)
    stopped = run(loop=Chunked(lambda progress: True))
    assert int(stopped.iterations) < STEPS
    np.testing.assert_array_equal(stopped.path[1], found.path[1])


@pytest.mark.slow
def test_what_is_traced_needs_no_program_of_its_own():
    batch = jax.vmap(lambda eps: run(eps).theta)(jnp.asarray([0.1, 1.0]))
    np.testing.assert_allclose(batch[1], run(1.0).theta, rtol=1e-9)


def test_hoag_follows_its_schedule_and_its_rule():
    known_rules: tuple[tuple[rivals.Schedule, np.ndarray], ...] = (
        ("geometric", 0.9 ** np.arange(STEPS)),
        ("cubic", (1.0 + np.arange(STEPS)) ** -3),
    )
    for schedule, known in known_rules:
        found = rivals.hoag(PAPER, ONES, 0.1, alpha=1e-4, schedule=schedule, max_iterations=STEPS)
        np.testing.assert_allclose(found.trace["eps"], 0.1 * known, rtol=1e-12)
        np.testing.assert_allclose(found.trace["delta"], 0.1 * known, rtol=1e-12)
        alpha, loss, eps = (np.asarray(found.trace[name]) for name in ("alpha", "loss", "eps"))
        went = np.linalg.norm(np.diff(found.path, axis=0), axis=1)
        np.testing.assert_allclose(went, alpha * found.trace["grad_norm"], rtol=1e-9)
        for k in range(1, STEPS):
            fine = loss[k - 1] + eps[k] + eps[k - 1] * (1 + went[k - 1]) - went[k - 1] ** 2 / (2 * alpha[k - 1])
            factor = 1 / 0.95 if loss[k] <= fine else 1.0 if loss[k] <= loss[k - 1] else 0.5
            assert alpha[k] == pytest.approx(alpha[k - 1] * factor), k
    assert float(PAPER.loss(found.theta)) < 0.1 * 4440


def test_a_fixed_accuracy_stalls_where_nothing_can_be_certified():
    rough = run(0.1, adaptive=False)
    assert Ending(int(rough.ending)) is Ending.NO_STEP
    assert int(rough.reason) == 2  # stalled
    assert (rough.trace["eps"][: int(rough.iterations)] == 0.1).all()
    with pytest.raises(descent.Stalled, match="no step length certifies a decrease at this accuracy") as told:
        run(0.1, adaptive=False, strict=True)
    np.testing.assert_array_equal(told.value.history.theta, rough.theta)
    fine = run(1e-8, adaptive=False)
    assert int(fine.iterations) == STEPS
    assert int(fine.cost) > 1.2 * int(run(0.1).cost)


def test_why_it_ends_is_said():
    for rules, ending in (
        (Rules(budget=500), Ending.BUDGET),
        (Rules(tolerance=1e4), Ending.STATIONARY),
        (Rules(eps_min=1e-3), Ending.FLOOR),
    ):
        found = run(rules=rules)
        assert Ending(int(found.ending)) is ending
        assert int(found.iterations) < STEPS
    assert int(run(rules=Rules(budget=500)).reason) == 1
    with pytest.raises(descent.Stalled, match="no accuracy above eps_min"):
        run(rules=Rules(eps_min=1e-3), strict=True)


def _near(x, theta):
    return 0.5 * jnp.sum((x - 3.0) ** 2) + 0.5 * jnp.exp(theta[0]) * jnp.sum(x**2)


def _off(x):
    return 0.5 * jnp.sum((x - 1.0) ** 2)


def _ridge(**known):
    """Two numbers near (3, 3), pulled to 0 by exp(theta), best at (1, 1)."""
    return problem.Own(_near, _off, jnp.zeros(2), **known)


@pytest.mark.slow
def test_ones_own_losses_with_estimated_constants_and_a_penalty():
    """x = 3 / (1 + e^theta): best where it is 1, or where the penalty says."""
    found = maid.minimise(_ridge(), jnp.zeros(1), alpha=1.0, max_iterations=40)
    assert not found.certified
    assert float(found.theta[0]) == pytest.approx(np.log(2), abs=1e-4)
    leaning = _ridge(r=lambda theta: 0.3 * jnp.sum(theta**2))
    found = maid.minimise(leaning, jnp.zeros(1), alpha=1.0, max_iterations=40)
    x = lambda t: 3 / (1 + np.exp(t))  # noqa: E731
    t = float(found.theta[0])
    assert -2 * (x(t) - 1) * 3 * np.exp(t) / (1 + np.exp(t)) ** 2 + 0.6 * t == pytest.approx(0, abs=1e-3)
    assert t < 0.6


@pytest.mark.slow
def test_a_slope_of_nothing_is_not_trusted_where_constants_are_estimated():
    """x = 0 is within 10 of the minimiser and J is 0 there: the slope is 0 and no secant tells that it is wrong."""
    found = maid.minimise(_ridge(), jnp.zeros(1), eps=10.0, alpha=1.0, max_iterations=40)
    assert float(found.theta[0]) == pytest.approx(np.log(2), abs=1e-4)
    fixed = maid.minimise(_ridge(), jnp.zeros(1), eps=10.0, alpha=1.0, max_iterations=40, adaptive=False)
    assert Ending(int(fixed.ending)) is Ending.NO_STEP


@pytest.mark.slow
def test_bad_input_gets_a_sentence():
    ridge, zero = _ridge(mu=1.0, smooth=9.0, of_upper=1.0), jnp.zeros(1)
    for told, call in (
        ("eps is 0, but it must be above 0", lambda: maid.minimise(ridge, zero, eps=0.0)),
        ("delta is -1, but it must be above 0", lambda: maid.minimise(ridge, zero, delta=-1.0)),
        ("alpha is 0, but", lambda: rivals.hoag(ridge, zero, alpha=0.0)),
        ("lam = 0.95 and eta = 0.9, but 0 < lam < eta < 1", lambda: maid.minimise(ridge, zero, rules=Rules(lam=0.95))),
        ("rho = 1.5 and rho_up", lambda: maid.minimise(ridge, zero, rules=Rules(rho=1.5))),
        (
            "nu = 0.5 and nu_up = 0.9, but 0 < nu < 1 <= nu_up",
            lambda: maid.minimise(ridge, zero, rules=Rules(nu_up=0.9)),
        ),
        ("theta has the shape \\(\\), but a vector", lambda: maid.minimise(ridge, jnp.zeros(()))),
        (
            "g gives an array of shape \\(2,\\), but a loss must be a number",
            lambda: maid.minimise(problem.Own(ridge.h, lambda x: x, jnp.zeros(2)), zero),
        ),
        (
            "can't be called with theta of shape \\(1,\\)",
            lambda: maid.minimise(problem.Own(lambda x, t: x @ t, ridge.g, jnp.zeros(2)), zero),
        ),
        ("h is .*not finite at the first theta", lambda: maid.minimise(ridge, jnp.asarray([jnp.nan]))),
        (
            "h is not strongly convex at theta = \\(0\\): a direction there has the curvature -2,",
            lambda: maid.minimise(problem.Own(lambda x, t: -jnp.sum(x**2) + t[0], ridge.g, jnp.ones(2)), zero),
        ),
        (
            "h is not strongly convex.*the curvature -2,",
            lambda: maid.minimise(
                problem.Own(
                    lambda x, t: x[0] ** 2 - 3 * x[1] ** 2 + 0 * t[0],
                    ridge.g,
                    jnp.zeros(2),
                    mu=1.0,
                    smooth=6.0,
                    of_upper=1.0,
                ),
                zero,
                max_iterations=3,
            ),
        ),
        ("schedule = 'linear', but it must be one of", lambda: rivals.hoag(ridge, zero, schedule="linear")),  # type: ignore[arg-type]
    ):
        with pytest.raises(ValueError, match=told):
            call()
    with pytest.raises(descent.Stalled, match="reached its cap"):
        maid.minimise(ridge, zero, eps=1e-3, rules=Rules(cap=2), strict=True, max_iterations=3)
