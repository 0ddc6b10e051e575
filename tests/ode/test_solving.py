"""The adaptive solver: against closed forms, finite differences, diffrax, and a reference of fifty digits."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import ode
from lab.numerics import Chunked, Reason, pure
from lab.ode import fields, on_diffrax, steppers
from lab.ode.learning import between

Y0 = jnp.array([2.0, 0.0])


def van_der_pol(mu):
    return fields.field("van-der-pol", mu)


def one_step(field, y0, h, t=0.0, step=None):
    step = ode.RungeKutta(field, ode.TSIT5) if step is None else step
    begin = jnp.asarray(t)
    return step(begin, jnp.asarray(h), y0, step.begin(begin, y0))


def test_the_stiffness_of_a_line_is_exact():
    for rate in (-40.0, -0.3, 2.0):
        for h in (1e-3, 0.1, 2.0):
            tried = one_step(lambda t, y, rate=rate: rate * y, jnp.array([1.3]), h)
            assert abs(float(tried.over[0] / tried.under[0])) == pytest.approx(abs(rate), rel=1e-7)


def test_orders_on_a_fixed_grid():
    """y1 of order 5, the error of a step of order 5 in its length."""

    def field(t, y):
        return y * jnp.sin(5 * t)

    @jax.jit
    def end(count, h):
        step, y = ode.RungeKutta(field, ode.TSIT5), jnp.array([1.0])

        def go(_, at):
            t, y, memory = at
            tried = step(t, h, y, memory)
            return t + h, tried.y, tried.memory

        return jax.lax.fori_loop(0, count, go, (jnp.zeros(()), y, step.begin(jnp.zeros(()), y)))[1][0]

    exact = np.exp((1 - np.cos(10.0)) / 5)
    missed = [abs(float(end(n, 2 / n)) - exact) for n in (16, 32, 64, 128)]  # the next order is large, and dies out
    slopes = np.log2(np.array(missed[:-1]) / missed[1:])
    assert abs(slopes[-1] - 5) < 0.2
    one = jax.jit(lambda h: one_step(field, jnp.array([1.0]), h, 0.3).error)
    errors = [float(jnp.linalg.norm(one(h))) for h in (0.02, 0.01, 0.005)]
    assert abs(np.log2(errors[1] / errors[2]) - 5) < 0.2


@pytest.mark.parametrize(("mu", "accepted", "rejected"), [(1, 8, 0), (5, 16, 1), (20, 25, 3), (60, 57, 13)])
def test_the_steps_are_those_of_the_reference(mu, accepted, rejected):
    found = ode.solve(van_der_pol(mu), Y0, h0=0.01)
    assert (int(found.accepted), int(found.rejected)) == (accepted, rejected)
    assert int(found.evaluations) == 1 + 6 * (accepted + rejected)
    assert found.converged
    rows = found.rows
    taken = np.asarray(rows.accepted)
    np.testing.assert_allclose(np.asarray(rows.h)[taken].sum(), 1, atol=1e-12)
    assert (np.asarray(rows.E)[taken] < 1).all()
    assert (np.asarray(rows.E)[~taken & (np.asarray(rows.h) > 0)] >= 1).all()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["tsit5", "dopri5"])
def test_diffrax_takes_the_same_steps(method):
    """Plain, and wrapped so that it adds up E and S."""
    field, solver = van_der_pol(5.0), {"tsit5": diffrax.Tsit5(), "dopri5": diffrax.Dopri5()}[method]
    term = diffrax.ODETerm(lambda t, y, args: field(t, y))
    control = diffrax.PIDController(rtol=1e-6, atol=1e-6)
    plain = diffrax.diffeqsolve(term, solver, 0.0, 1.0, 0.01, Y0, stepsize_controller=control)
    ours = ode.solve(field, Y0, h0=0.01, method=method)
    told = on_diffrax.solve(term, Y0, 0.0, 1.0, h0=0.01, solver=solver)
    for counts in (
        (plain.stats["num_accepted_steps"], plain.stats["num_rejected_steps"]),
        (told.accepted, told.rejected),
    ):
        assert (int(ours.accepted), int(ours.rejected)) == tuple(map(int, counts))
    np.testing.assert_allclose(ours.y, plain.ys[-1], rtol=1e-10)
    np.testing.assert_allclose(ours.y, told.y, rtol=1e-10)
    assert float(ode.error_of(ours)) == pytest.approx(float(told.R_E), abs=1e-10)
    assert float(ode.stiffness_of(ours)) == pytest.approx(float(told.R_S), rel=1e-9)
    assert float(ode.stiffness_of(ours, by_h=True)) == pytest.approx(float(told.R_S_h), rel=1e-9)
    assert float(ode.squared_error_of(ours)) == pytest.approx(float(told.E_squared), rel=1e-8)


def test_a_controller_with_memory_is_that_of_diffrax():
    field = van_der_pol(20.0)
    control = diffrax.PIDController(rtol=1e-5, atol=1e-7, pcoeff=0.4, icoeff=0.3)
    term = diffrax.ODETerm(lambda t, y, args: field(t, y))
    theirs = diffrax.diffeqsolve(term, diffrax.Tsit5(), 0.0, 3.0, 0.01, Y0, stepsize_controller=control)
    memory = ode.Controller(proportional=0.4, integral=0.3)
    ours = ode.solve(field, Y0, 0.0, 3.0, h0=0.01, rtol=1e-5, atol=1e-7, controller=memory)
    assert int(ours.accepted) == int(theirs.stats["num_accepted_steps"])
    assert int(ours.rejected) == int(theirs.stats["num_rejected_steps"])
    np.testing.assert_allclose(ours.y, theirs.ys[-1], rtol=1e-9)


def test_the_first_step_follows_from_the_slope():
    """Of y' = -r y all sizes are known. (diffrax wraps its terms before it looks, and takes 0.01.)"""
    rate, y, scale = 7.0, 3.0, 3e-3 + 1e-6
    guess = 0.01 / rate
    curved = rate**2 * y / scale
    known = min(100 * guess, (0.01 / max(rate * y / scale, curved)) ** (1 / 5))
    found = ode.solve(lambda t, y: -rate * y, jnp.array([y]), rtol=1e-3, atol=1e-6)
    assert float(found.rows.h[0]) == pytest.approx(known, rel=1e-12)
    assert int(found.evaluations) == 3 + 6 * int(found.accepted + found.rejected)


@pytest.mark.slow
def test_gradients_of_diffrax_are_those_with_lengths_held():
    def ours(mu):
        return ode.error_of(ode.solve(van_der_pol(mu), Y0, h0=0.01))

    def theirs(mu):
        field = van_der_pol(mu)
        return on_diffrax.solve(diffrax.ODETerm(lambda t, y, args: field(t, y)), Y0, 0.0, 1.0, h0=0.01).R_E

    slope = float(jax.grad(ours)(5.0))
    assert slope == pytest.approx(float(jax.grad(theirs)(5.0)), rel=1e-8)
    assert slope == pytest.approx(0.1055, abs=1e-4)


@pytest.mark.slow
def test_gradients_through_lengths_are_finite_differences():
    """And have the other sign here: the controller holds E near its goal."""
    value = jax.jit(jax.value_and_grad(lambda mu: ode.error_of(ode.solve(van_der_pol(mu), Y0, h0=0.01, diff_h=True))))
    _, slope = value(5.0)
    apart = float(value(5.0 + 1e-5)[0] - value(5.0 - 1e-5)[0]) / 2e-5
    assert float(slope) == pytest.approx(apart, rel=1e-3)
    assert float(slope) == pytest.approx(-0.11452, abs=1e-4)


@pytest.mark.slow
def test_gradients_on_a_fixed_grid_are_finite_differences():
    """A tolerance that every step meets, and a controller that keeps the length."""
    keep = ode.Controller(longest=1.0)

    def both(mu):
        found = ode.solve(van_der_pol(mu), Y0, h0=0.125, rtol=1.0, atol=1.0, controller=keep, max_steps=10)
        return jnp.stack([ode.error_of(found), ode.stiffness_of(found), ode.stiffness_of(found, by_h=True)])

    slopes = jax.jit(jax.jacrev(both))(2.0)
    value = jax.jit(both)
    np.testing.assert_allclose(slopes, (value(2.0 + 1e-5) - value(2.0 - 1e-5)) / 2e-5, rtol=1e-6)


@pytest.mark.slow
def test_where_nothing_moves_all_is_0_and_finite():
    def loss(scale):
        found = ode.solve(lambda t, y: scale * y, jnp.ones((3, 2)), h0=1e-3)
        return ode.error_of(found) + ode.stiffness_of(found) + ode.squared_error_of(found), found

    (value, found), slope = jax.value_and_grad(loss, has_aux=True)(0.0)
    assert float(value) == 0
    assert np.isfinite(float(slope))
    taken = np.asarray(found.rows.h[: int(found.accepted)])
    np.testing.assert_allclose(taken[1:-1] / taken[:-2], 10)


def test_rejected_steps_are_not_counted():
    """A first step that must be rejected: the terms are those of the solution from the step that is accepted."""
    field = van_der_pol(20.0)
    long = ode.solve(field, Y0, h0=0.9)
    first = int(np.asarray(long.rows.accepted).argmax())
    assert first > 0
    short = ode.solve(field, Y0, h0=float(long.rows.h[first]))
    assert int(short.rejected) == int(long.rejected) - first
    for measure in (ode.error_of, ode.stiffness_of, ode.squared_error_of):
        assert float(measure(short)) == pytest.approx(float(measure(long)), rel=1e-9)


def test_a_turned_state_has_the_same_terms():
    angle = 0.7
    turn = jnp.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    field = van_der_pol(5.0)
    plain = ode.solve(field, Y0, h0=0.01, rtol=0.0, atol=1e-6)
    turned = ode.solve(lambda t, y: turn @ field(t, turn.T @ y), turn @ Y0, h0=0.01, rtol=0.0, atol=1e-6)
    assert int(plain.accepted) == int(turned.accepted)
    for scaled in (True, False):
        assert float(ode.error_of(plain, scaled=scaled)) == pytest.approx(
            float(ode.error_of(turned, scaled=scaled)), rel=1e-7
        )
    assert float(ode.stiffness_of(plain)) == pytest.approx(float(ode.stiffness_of(turned)), rel=1e-8)


@pytest.mark.slow
def test_backwards_stops_and_between_steps():
    def field(t, y):
        return jnp.stack([y[1], -y[0]])

    there = ode.solve(field, jnp.array([1.0, 0.0]), 0.0, 2.0, rtol=1e-9, atol=1e-9, keep=True)
    np.testing.assert_allclose(there.y, [np.cos(2), -np.sin(2)], atol=1e-8)
    back = ode.solve(field, there.y, 2.0, 0.0, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(back.y, [1, 0], atol=2e-8)
    times = jnp.array([0.3, 0.31, 1.7, 2.0])
    met = ode.solve(field, jnp.array([1.0, 0.0]), stops=times, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(met.ys, np.stack([np.cos(times), -np.sin(times)], axis=1), atol=1e-8)
    at = jnp.linspace(0.0, 2.0, 23)
    np.testing.assert_allclose(between(there, at, field)[:, 0], np.cos(at), atol=2e-5)
    np.testing.assert_allclose(between(there, jnp.array([0.0, 2.0]), field)[:, 0], [1, np.cos(2)], atol=1e-8)


def test_beside_is_integrated_and_has_no_part_in_the_error():
    matrix = jnp.array([[-0.5, 1.0], [-2.0, -0.3]])

    def field(t, y):
        return matrix @ y

    found = ode.solve(field, jnp.array([1.0, 0.5]), beside=ode.bending(field, 2), rtol=1e-9, atol=1e-9)
    alone = ode.solve(field, jnp.array([1.0, 0.5]), rtol=1e-9, atol=1e-9)
    assert int(found.accepted) == int(alone.accepted)
    np.testing.assert_array_equal(found.y, alone.y)
    from scipy.integrate import simpson
    from scipy.linalg import expm

    grid = np.linspace(0, 1, 101)
    turn = np.asarray(matrix)
    second = np.stack([turn @ turn @ expm(turn * t) @ [1.0, 0.5] for t in grid])
    known = simpson((second**2).sum(axis=1) / 2, x=grid)
    assert float(found.beside) == pytest.approx(known, rel=1e-6)


def test_derivatives_along_a_solution():
    """Of y' = t y^2: y'' = y^2 + 2 t^2 y^3, y''' = 6 t y^3 + 6 t^3 y^4."""

    def field(t, y):
        return t * y**2

    t, y = jnp.array(0.4), jnp.array([1.5])
    np.testing.assert_allclose(ode.derivative(field, 2)(t, y), y**2 + 2 * t**2 * y**3, rtol=1e-12)
    np.testing.assert_allclose(ode.derivative(field, 3)(t, y), 6 * t * y**3 + 6 * t**3 * y**4, rtol=1e-12)


def test_aggregates_and_terms():
    found = ode.solve(van_der_pol(5.0), Y0, h0=0.01)
    rows, taken = found.rows, np.asarray(found.rows.accepted)
    E, h, S = (np.asarray(each)[taken] for each in (rows.E, rows.h, rows.S))
    for how, by in (("sum", np.sum), ("mean", np.mean), ("max", np.max)):
        assert float(ode.error_of(found, how)) == pytest.approx(by(E * h), rel=1e-12)
        assert float(ode.stiffness_of(found, how)) == pytest.approx(by(S), rel=1e-12)
    assert float(ode.squared_error_of(found)) == pytest.approx((E**2).sum(), rel=1e-12)
    limit = ode.TSIT5.limit
    expected = 2 * (np.mean(E * h) + 0.1 * np.mean(S) / limit)
    assert float(ode.penalty("ER+SR", found, 2.0)) == pytest.approx(expected, rel=1e-12)
    assert float(ode.penalty("STEER+SR", found, 2.0, how="max")) == pytest.approx(2 * S.max() / limit, rel=1e-12)
    assert float(ode.penalty("vanilla", found, 2.0)) == float(ode.penalty("STEER", found, 2.0)) == 0
    keys = jax.random.split(jax.random.key(0), 4000)
    drawn = jax.vmap(lambda key: ode.local_error_of(found, key, 0.0, 1.0))(keys)
    assert float(drawn.mean()) == pytest.approx((E * h**2).sum(), rel=0.05)  # a step is drawn by its length
    with pytest.raises(ValueError, match="give a key"):
        ode.penalty("local", found)
    with pytest.raises(ValueError, match="must not be negative"):
        ode.penalty("ER", found, -1.0)
    with pytest.raises(ValueError, match="beside="):
        ode.penalty("Tay2", found)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"t1": 0.0}, "times must be finite and go one way"),
        ({"stops": jnp.array([0.5, 0.4])}, "stops = .* go one way"),
        ({"rtol": 0.0, "atol": 0.0}, "one of them must be above 0"),
        ({"rtol": -1e-3}, "must not be negative"),
        ({"h0": -0.1}, "first step must be longer than 0"),
        ({"y0": jnp.array([jnp.nan, 1.0])}, "y0 has values that are not finite"),
        ({"max_steps": 0}, "max_steps = 0"),
        ({"method": "rk4"}, "method = 'rk4'"),
    ],
    ids=str,
)
def test_what_can_not_be_solved_is_refused(values, said):
    with pytest.raises(ValueError, match=said):
        ode.solve(van_der_pol(1.0), **({"y0": Y0} | values))


def test_what_does_not_end_says_where():
    with pytest.raises(RuntimeError, match=r"max_steps = 5 were reached at t = .* with a step of .* scaled error of"):
        ode.solve(van_der_pol(60.0), Y0, h0=0.01, max_steps=5)
    with pytest.raises(RuntimeError, match="20 steps in a row were not finite at t = 0"):
        ode.solve(lambda t, y: jnp.nan * y, Y0, h0=0.01)
    found = ode.solve(van_der_pol(60.0), Y0, h0=0.01, max_steps=5, throw=False)
    assert int(found.reason) == Reason.MAX_ITERATIONS
    assert not found.converged

    def walled(t, y):  # has no values beyond 1
        return jnp.sqrt(1 - y) + 0.1

    edge = ode.solve(walled, jnp.array([0.0]), 0.0, 0.5, h0=0.49)
    assert edge.converged


@pytest.mark.slow
def test_float32_stays_float32():
    found = ode.solve(lambda t, y: -y, jnp.ones(3, jnp.float32), rtol=1e-4, atol=1e-4)
    assert {leaf.dtype for leaf in (found.y, found.rows.E, found.rows.S, found.rows.h)} == {jnp.dtype("float32")}
    np.testing.assert_allclose(found.y, np.exp(-1), rtol=1e-4)


def test_the_loop_takes_the_same_steps_and_can_be_stopped():
    given = ode.problem(van_der_pol(20.0), Y0, h0=0.01)
    found = ode.solve(van_der_pol(20.0), Y0, h0=0.01)
    run = Chunked()(ode.SOLVING, given, max_iterations=256)
    assert run.reason == Reason.CONVERGED
    assert run.iterations == int(found.accepted + found.rejected)
    np.testing.assert_allclose(run.state.y, found.y, rtol=1e-12)
    np.testing.assert_allclose(run.trace["E"], found.rows.E[: run.iterations], rtol=1e-6)
    np.testing.assert_array_equal(run.trace["accepted"] > 0, found.rows.accepted[: run.iterations])
    half = Chunked(lambda told: told.iteration >= 3)(ode.SOLVING, given, max_iterations=256)
    assert half.reason == Reason.STOPPED
    rest = Chunked()(ode.SOLVING, given, half.state, max_iterations=256)
    np.testing.assert_array_equal(rest.state.y, run.state.y)
    both = jax.vmap(
        lambda mu: pure(ode.SOLVING, ode.problem(van_der_pol(mu), Y0, h0=0.01), max_iterations=80).iterations
    )
    assert both(jnp.array([20.0, 1.0])).tolist() == [28, 8]


def test_a_field_of_ones_own_takes_mu_or_not():
    own = fields.Own(lambda t, y, mu: -mu * y, jnp.asarray(3.0), True)
    plain = fields.Own(lambda t, y: -3.0 * y, jnp.asarray(0.0), False)
    ends = [ode.solve(each, jnp.ones(4)).y for each in (own, plain)]
    np.testing.assert_allclose(ends[0], np.exp(-3), rtol=1e-5)
    np.testing.assert_array_equal(*ends)
    assert isinstance(ode.RungeKutta(own, ode.TSIT5), steppers.Stepper)


@pytest.mark.slow
@pytest.mark.parametrize("name", fields.FIELDS)
def test_the_stiffness_of_fields_is_that_of_their_jacobians(name):
    """Along the solution, S is of the size of the largest eigenvalue; of the relaxation it is mu."""
    field = fields.field(name, 30.0 if name == "relaxation" else 2.5)
    found = ode.solve(field, jnp.array(fields.FIELDS[name].y0), 0.0, 2.0, keep=True)
    at = np.asarray(found.rows.accepted)
    norms = [
        np.linalg.norm(jax.jacfwd(field, argnums=1)(t, y), 2)
        for t, y in zip(found.rows.t[at][::4], found.at[at][::4], strict=True)
    ]
    S = np.asarray(found.rows.S[at][::4])
    assert (2.5 * np.array(norms) + 0.5 > S).all()
    if name == "relaxation":
        np.testing.assert_allclose(S[len(S) // 2 :], 30, rtol=0.05)
