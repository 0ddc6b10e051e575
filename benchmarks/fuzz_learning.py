r"""Random small problems for ``lab.ode``, ``tuning``, ``policy``, ``valuation``, ``survival`` and ``clustering``.

Valid input is checked against independent computations: SciPy's integrators, scikit-learn, lifelines, POT, enumerated
decision processes, closed forms and finite differences. Each problem also makes one argument invalid, at random; the error
must name it.

    python -m benchmarks.fuzz_learning [--problems 2500] [--seed 0]
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import lifelines
import lifelines.statistics
import numpy as np
import ot as pot
from scipy import integrate
from sklearn import linear_model, metrics

from benchmarks import fuzzing
from benchmarks.fuzzing import Check, close, refused
from lab import clustering, ode, ot, policy, survival, tuning, valuation
from lab.clustering.metrics import scores
from lab.numerics import pure
from lab.policy import lqr, mdp
from lab.tuning import hypergradient
from lab.tuning.problem import Constants
from lab.tuning.quadratic import quadratic

type Rng = np.random.Generator


def one_of(rng: Rng, *choices: Any) -> Any:
    return choices[rng.integers(len(choices))]


def invalid(rng: Rng, given: dict[str, Any], function: Callable[..., Any], bad: dict[str, Any]) -> None:
    """One argument replaced by an invalid value, which the error must name."""
    name = one_of(rng, *bad)
    refused(name, function, **(given | {name: one_of(rng, *bad[name])}))


# ---- ode -----------------------------------------------------------------------------------------------------------


class Forced(eqx.Module):
    """Its numbers are traced: one program serves all problems."""

    a: Any
    strength: Any

    def __call__(self, t: Any, y: Any) -> Any:
        return self.a @ y + jnp.sin(y) + self.strength * jnp.sin(t)


def solve(rng: Rng) -> None:
    a, forced = rng.normal(size=(2, 2)), rng.normal()
    field = Forced(jnp.asarray(a), jnp.asarray(forced))
    known = lambda t, y: a @ y + np.sin(y) + forced * np.sin(t)  # noqa: E731
    y0, (t0, t1) = rng.normal(size=2).tolist(), rng.uniform(-1, 1, 2).tolist()
    given = {"field": field, "y0": y0, "t0": t0, "t1": t1, "rtol": 1e-8, "atol": 1e-8}
    found = ode.solve(**given, max_steps=128, method=one_of(rng, "tsit5", "dopri5"))
    wanted = integrate.solve_ivp(known, (t0, t1), y0, method="DOP853", rtol=1e-11, atol=1e-11).y[:, -1]
    close(found.y, wanted, 1e-6)
    assert bool(found.converged)
    steps = found.rows.h[found.rows.accepted].sum()
    close(steps, abs(t1 - t0), 1e-12)
    wrong = {"y0": [[np.nan, 0.0], [np.inf, 0.0]], "t1": [t0, np.nan, np.inf], "rtol": [-1.0, np.nan], "atol": [-1.0]}
    wrong |= {"field": [lambda t, y: y[:1], lambda t, y: jnp.sum(y), lambda t, y: (y, y)]}
    wrong |= {
        "max_steps": [0, 2.5, True],
        "h0": [-1.0, 0.0, np.nan],
        "method": ["euler"],
        "stops": [[t1, t0 - t1 + 9, t0]],
    }
    invalid(rng, given, ode.solve, wrong)


class Decay(eqx.Module):
    """y' = -rate y."""

    rate: Any

    def __call__(self, t: Any, y: Any) -> Any:
        return -self.rate * y


def derivative(rng: Rng) -> None:
    a, t, z, k = rng.normal(), rng.normal(), rng.normal(size=2), int(rng.integers(1, 4))
    found = ode.derivative(lambda t, z: a * z, k)(jnp.asarray(t), jnp.asarray(z))
    close(found, a**k * z, 1e-12)
    close(ode.bending(lambda t, z: a * z, k)(jnp.asarray(t), jnp.asarray(z)), ((a**k * z) ** 2).mean(), 1e-12)
    refused("k", one_of(rng, ode.derivative, ode.bending), lambda t, z: z, one_of(rng, 0, -1, 1.5))


def amplification(rng: Rng) -> None:
    z, tableau = -rng.uniform(0, 2, 3), one_of(rng, ode.TSIT5, ode.DOPRI5)
    step = ode.RungeKutta(lambda t, y: y, tableau.name)
    one = jnp.ones(1)
    found = [step(jnp.zeros(()), jnp.asarray(h), one, one).y[0] for h in z]
    close(found, ode.amplification(tableau, z.tolist()), 1e-12)
    assert (np.abs(ode.amplification(tableau, -np.linspace(0, tableau.limit, 9))) <= 1 + 1e-4).all()
    refused("z", ode.amplification, tableau, [np.nan])


def regularizers(rng: Rng) -> None:
    rate = rng.uniform(0.2, 3)
    field = Decay(jnp.asarray(rate))
    found = ode.solve(field, [1.0, rng.normal()], max_steps=32, rtol=1e-4, atol=1e-6)
    rows = found.rows
    kept = np.asarray(rows.accepted)
    h, E, S = (np.asarray(each)[kept] for each in (rows.h, rows.E, rows.S))
    how, by = one_of(rng, ("sum", np.sum), ("mean", np.mean), ("max", np.max))
    close(ode.error_of(found, how), by(E * h), 1e-12)
    close(ode.squared_error_of(found, how), by(E**2), 1e-12)
    close(ode.stiffness_of(found, how), by(S), 1e-12)
    close(S, np.full(S.shape, rate), 1e-5)
    close(ode.penalty("ER", found, 2.0, how=how), 2 * by(E * h), 1e-12)
    given = {"kind": "SR", "steps": found, "strength": 1.0}
    invalid(
        rng, given, ode.penalty, {"kind": ["tay"], "strength": [-1.0, np.nan], "limit": [0.0, -2.0], "how": ["all"]}
    )


# ---- tuning --------------------------------------------------------------------------------------------------------


def _quadratic(rng: Rng) -> Any:
    parts = [rng.normal(size=(6, 2)) for _ in range(3)]
    return quadratic(*parts, rng.normal(size=6), rng.normal(size=6))


def hypergradients(rng: Rng) -> None:
    problem, theta = _quadratic(rng), rng.normal(size=2)
    close(tuning.implicit(problem, theta.tolist(), rng.normal(size=2)), problem.slope(jnp.asarray(theta)), 1e-7)
    given = {"problem": problem, "theta": theta, "x": np.zeros(2)}
    invalid(
        rng,
        given,
        tuning.implicit,
        {"theta": [[np.nan, 0], [[0.0, 1.0]]], "tolerance": [0.0, -1.0], "x": [[np.inf, 0.0]]},
    )


def descents(rng: Rng) -> None:
    problem = _quadratic(rng)
    solver = one_of(rng, tuning.minimise, tuning.hoag)
    theta, given = [0, 0], {"problem": problem, "eps": 1e-2, "alpha": 0.01, "max_iterations": 15}
    found = solver(theta=theta, **given)
    assert found.theta.dtype == jnp.float64
    last = float(problem.loss(found.theta))
    assert last >= float(problem.least()[1]) - 1e-8, "below the minimum"
    if solver is tuning.minimise:
        assert last <= float(problem.loss(jnp.zeros(2))) + 1e-9, "a certified descent went up"
    wrong = {
        "theta": [[[0.0]], 0.0, []],
        "eps": [0.0, -1.0, np.nan],
        "alpha": [-1.0, np.nan],
        "max_iterations": [0, 1.5, -1],
    }
    invalid(rng, given | {"theta": theta}, solver, wrong)


def quadratics(rng: Rng) -> None:
    parts = [rng.normal(size=(6, 2)) for _ in range(3)] + [rng.normal(size=6), rng.normal(size=6)]
    problem, theta = quadratic(*(part.tolist() for part in parts)), rng.normal(size=2)
    wanted = np.linalg.lstsq(parts[1], parts[4] - parts[2] @ theta)[0]
    close(problem.minimiser(jnp.asarray(theta)), wanted, 1e-8)
    place, name = one_of(rng, *enumerate(("A1", "A2", "A3", "b1", "b2")))
    parts[place] = parts[place][:1] if rng.random() < 0.5 else parts[place] * np.nan
    refused(name, quadratic, *parts)


def multinomial(rng: Rng) -> None:
    a, b = rng.normal(size=(12, 2)), rng.normal(size=(8, 2))
    labels, others = rng.permutation(np.resize(np.arange(3), 12)), rng.permutation(np.resize(np.arange(3), 8))
    given = {"a": a.tolist(), "labels": labels.tolist(), "other": b, "others": others, "classes": 3}
    problem, x = tuning.multinomial(**given), rng.normal(size=(2, 3))
    logits = b @ x
    p = np.exp(logits - logits.max(1, keepdims=True))
    close(problem.upper(jnp.asarray(x)), metrics.log_loss(others, p / p.sum(1, keepdims=True), labels=[0, 1, 2]), 1e-8)
    wrong = {
        "a": [np.full((12, 2), np.nan), a[:5]],
        "other": [np.ones((8, 3)), np.full((8, 2), np.inf)],
        "classes": [0, 2.5],
    }
    wrong = {name: [each for each in values if name != "a" or len(each) == 12] for name, values in wrong.items()}
    invalid(rng, given, tuning.multinomial, wrong)


def psnr(rng: Rng) -> None:
    x, clean, span = rng.random((2, 4, 4)), rng.random((2, 4, 4)), rng.uniform(0.5, 255)
    close(
        tuning.psnr(x.tolist(), clean, span),
        10 * np.log10(span**2 / ((x - clean) ** 2).mean(axis=(1, 2))),
    )
    wrong = {
        "x": [x[0], np.full_like(x, np.nan)],
        "clean": [clean[:, :2], np.full_like(x, np.inf)],
        "span": [0.0, -1.0, np.nan],
    }
    invalid(rng, {"x": x, "clean": clean}, tuning.psnr, wrong)


def ranges(rng: Rng) -> None:
    low = rng.normal()
    made = tuning.Range(low=low, high=low + 2), tuning.Range(log=True), tuning.Range(low=low), tuning.Range(high=low)
    lam = rng.normal(size=(3, 4))
    found = np.asarray(tuning.values(made, lam.tolist()))
    back = np.stack([each.inverse(found[:, i]) for i, each in enumerate(made)], axis=1)
    close(back, lam, 1e-7)
    refused("lam", tuning.values, made, one_of(rng, [[np.nan] * 4], [1.0, 2.0], 3.0))


def linear_network(rng: Rng) -> None:
    x, t, lam = rng.normal(size=(9, 3)), rng.normal(size=9), rng.normal()
    if rng.random() < 0.5:
        x[:, rng.integers(3)] = 0
    found = tuning.ridge.linear_network(tuning.ridge.Part(jnp.asarray(x), jnp.asarray(t))).weights(lam)
    close(found, np.linalg.solve(x.T @ x + np.exp(lam) * np.eye(3), x.T @ t), 1e-8)
    numbers = dict(zip(("inverse", "cross", "size", "pull", "eps", "delta"), rng.random(6), strict=True))
    known = Constants(2.0, 1.0, 3.0)
    factor = 3 * numbers["size"] / 2 + numbers["inverse"] * numbers["pull"] * numbers["size"]
    factor += numbers["cross"] * numbers["pull"] / 2
    wanted = (
        factor * numbers["eps"] + numbers["size"] / 2 * numbers["delta"] + numbers["cross"] * 1.5 * numbers["eps"] ** 2
    )
    close(hypergradient.bound(known, **{name: [value] for name, value in numbers.items()}), [wanted], 1e-12)
    invalid(rng, {"known": known} | numbers, hypergradient.bound, {name: [-1.0, np.nan] for name in numbers})


def tune(rng: Rng) -> None:
    task = tuning.ridge.RidgeTask(tuning.ridge.made(jax.random.key(0), 0.1, jnp.ones((2, 1)), n=4, tests=4), 2)
    given = {"loop": pure, "task": task, "key": jax.random.key(1), "starts": [[0]], "frames": 1, "every": 1}
    wrong = {
        "starts": [[0.0], [[np.nan]]],
        "frames": [0, -1, 1.5],
        "every": [0],
        "sigma": [0.0, -1.0, [0.1, 0.2], np.nan],
    }
    wrong |= {"schedule": [[[0.0]], [[[np.nan]]]]}
    invalid(rng, given, tuning.tune, wrong)


# ---- policy --------------------------------------------------------------------------------------------------------


def processes(rng: Rng) -> None:
    transitions, rewards, begin = rng.dirichlet(np.ones(2), (2, 2)), rng.normal(size=(2, 2)), rng.dirichlet(np.ones(2))
    process, theta, discount = mdp.checked(transitions, rewards, begin), rng.normal(size=(2, 2)), rng.uniform(0, 1)
    horizon = 3
    told = mdp.enumerated(process, horizon)
    pi = np.exp(theta) / np.exp(theta).sum(1, keepdims=True)
    states, actions = np.asarray(told.states), np.asarray(told.actions)
    chance = np.asarray(told.chance) * pi[states, actions].prod(1)
    returns = (rewards[states, actions] * discount ** np.arange(horizon)).sum(1)
    value, slope = mdp.value_and_gradient(process, theta.tolist(), horizon, discount)
    close(value, chance @ returns, 1e-12)
    close(slope, jax.grad(lambda theta: mdp.value(process, theta, horizon, discount))(jnp.asarray(theta)), 1e-10)
    policies = [np.array(each) for each in np.ndindex(*(2,) * 6)]
    best = max(_planned(transitions, rewards, begin, each.reshape(3, 2), discount) for each in policies)
    close(mdp.optimum(process, horizon, discount), best, 1e-10)
    close(np.linalg.eigvalsh(mdp.fisher(process, theta, horizon, discount)).min(), 0, 1e-10)
    given = {"mdp": process, "theta": theta, "horizon": 3, "discount": 0.9}
    wrong = {"theta": [theta[:1], np.full((2, 2), np.nan)], "horizon": [0, -1, 1.5], "discount": [-0.1, np.nan]}
    invalid(rng, given, one_of(rng, mdp.value, mdp.gradient, mdp.values), wrong)


def _planned(p: np.ndarray, r: np.ndarray, state: np.ndarray, plan: np.ndarray, discount: float) -> float:
    total = 0.0
    for h, actions in enumerate(plan):
        total += discount**h * state @ r[[0, 1], actions]
        state = state @ p[[0, 1], actions]
    return float(total)


def regulators(rng: Rng) -> None:
    system, gain = policy.double_integrator(rng.uniform(0.1, 0.5)), 0.5 * rng.normal(size=(1, 2))
    sigma, discount = rng.uniform(0.1, 1), rng.uniform(0.5, 1)
    value, slope = lqr.value_and_gradient(system, gain.tolist(), sigma, 4, discount)
    close(slope, jax.grad(lambda K: lqr.value(system, K, sigma, 4, discount))(jnp.asarray(gain)), 1e-9)
    assert float(value) <= float(lqr.optimum(system, sigma, 4, discount)) + 1e-9
    refused("tau", policy.double_integrator, one_of(rng, 0.0, -1.0, np.nan))
    given = {"system": system, "K": gain, "sigma": 0.1, "horizon": 4, "discount": 0.9}
    invalid(
        rng, given, lqr.value, {"K": [gain[:, :1], gain * np.nan], "sigma": [-1.0], "horizon": [0], "discount": [-1.0]}
    )


def estimates(rng: Rng) -> None:
    one = policy.Softmax((2, 3))
    theta, v = rng.normal(size=one.size), rng.normal(size=one.size)
    x, r = rng.normal(size=(2, 3, 2)), rng.normal(size=(2, 3))
    actions = rng.integers(0, 3, (2, 3))
    batch = policy.Episode(*map(jnp.asarray, (x, actions, r)), jnp.ones((2, 3), bool))
    to_go = np.cumsum((r * 0.9 ** np.arange(3))[:, ::-1], axis=1)[:, ::-1]

    def surrogate(theta):
        logits = np.einsum("nhi,ai->nha", x, theta.reshape(3, 3)[:, :2]) + theta.reshape(3, 3)[:, 2]
        logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        return (to_go * np.take_along_axis(logs, actions[:, :, None], 2)[:, :, 0]).sum(1).mean()

    found = policy.gradient(one, theta.tolist(), batch, 0.9)
    close(found @ jnp.asarray(v), (surrogate(theta + 1e-6 * v) - surrogate(theta - 1e-6 * v)) / 2e-6, 1e-6)
    assert np.isfinite(policy.hvp(one, theta, batch, v, 0.9, kind=one_of(rng, "product", "dice"))).all()
    given = {"policy": one, "theta": theta, "batch": batch, "v": v, "discount": 0.9}
    wrong = {
        "theta": [theta[:3], theta * np.nan],
        "v": [v[:2], v * np.inf],
        "discount": [-1.0],
        "less": [[1.0, 2.0]],
        "kind": ["x"],
    }
    invalid(rng, given, policy.hvp, wrong)


def policies(rng: Rng) -> None:
    sizes = [int(size) for size in rng.integers(1, 4, 3)]
    one = policy.network("continuous", sizes[0], sizes[1], (sizes[2],))
    assert one.size == sizes[2] * (sizes[0] + 1) + sizes[1] * (sizes[2] + 1) + sizes[1]
    close(
        np.exp([policy.tabular(2, 3).log_prob(jnp.zeros(6), jnp.eye(2)[0], jnp.asarray(a)) for a in range(3)]).sum(), 1
    )
    refused("sigma", policy.Gaussian, (2, 1), sigma=one_of(rng, 0.0, -1.0, np.nan))
    refused("sizes", one_of(rng, policy.Gaussian, policy.Softmax), one_of(rng, (2,), (2, 0), (2, 1.5)))
    invalid(rng, {"states": 2, "actions": 2}, policy.tabular, {"states": [0, 1.5], "actions": [-1]})
    given = {"kind": "discrete", "observations": 2, "actions": 2, "units": ()}
    invalid(rng, given, policy.network, {"kind": ["x"], "observations": [0], "actions": [0], "units": [(0,)]})
    cart = policy.named("CartPole")
    given = {"environment": cart, "policy": policy.network("discrete", 4, 2, ()), "horizon": 3, "discount": 0.9}
    invalid(rng, given, policy.task, {"horizon": [0, 2.5], "discount": [0.0, 1.5, np.nan, [0.9]]})
    refused("x", policy.named, "x")


def climbs(rng: Rng) -> None:
    task = policy.task(policy.double_integrator(), policy.Gaussian((2, 1), sigma=0.3), 3, 0.9)
    given = {"oracle": policy.sampled(task, 2), "start": [[0, 0, 0]], "keys": jax.random.split(jax.random.key(0), 1)}
    given |= {"g0": 0.1, "updates": 2, "rules": ["PG"]}
    episode = policy.rollout(task, rng.normal(size=3).tolist(), jax.random.key(int(rng.integers(99))))
    s, a = np.asarray(episode.observations), np.asarray(episode.actions)
    close(episode.rewards, -((s**2).sum(1) + 0.1 * (a**2).sum(1)), 1e-10)
    assert policy.ascend(**given).theta.shape == (1, 1, 3)
    wrong = {
        "start": [[0.0, 0.0, 0.0], [[np.nan] * 3]],
        "g0": [0.0, -1.0, np.nan],
        "updates": [0, 1.5],
        "rules": [["SGD"]],
    }
    wrong |= {"eta0": [0.0, 1.5], "at": [[1, 0], [5], []], "keys": [jax.random.split(jax.random.key(0), 2)]}
    name = one_of(rng, *wrong)
    words = {"rules": "SGD", "keys": "keys"}.get(name, name)
    refused(words, policy.ascend, **(given | {name: one_of(rng, *wrong[name])}))
    refused("theta", policy.rollout, task, one_of(rng, [0.0], [np.nan] * 3), jax.random.key(0))
    invalid(
        rng, {"task": task, "batch": 2}, policy.sampled, {"batch": [0, 1.5], "curvature_batch": [0], "baseline": ["x"]}
    )


# ---- valuation -----------------------------------------------------------------------------------------------------

SOURCE = np.repeat(np.arange(3), (3, 2, 4))


def _costs(rng: Rng) -> tuple[np.ndarray, Any]:
    matrix = rng.random((9, 5)) * 10 ** rng.uniform(-2, 2)
    return matrix, valuation.Costs(jnp.asarray(matrix))


def distances(rng: Rng) -> None:
    matrix, costs = _costs(rng)
    p, epsilon = rng.dirichlet(np.ones(3), 2), float(matrix.mean() * rng.uniform(0.05, 1))
    found = valuation.distances(p.tolist(), costs, SOURCE.tolist(), epsilon, tolerance=1e-11, sweeps=50_000)
    assert bool(found.converged)
    b = np.full(5, 0.2)
    a = p[0][SOURCE] / np.bincount(SOURCE)[SOURCE]
    plan = pot.sinkhorn(a, b, matrix, epsilon, method="sinkhorn_log", stopThr=1e-12, numItermax=50_000)
    wanted = (plan * matrix).sum() + epsilon * (plan * np.log(plan / np.outer(a, b))).sum()
    close(found.value[0] / matrix.mean(), wanted / matrix.mean(), 1e-7)
    given = {"p": p, "costs": costs, "source": SOURCE, "epsilon": epsilon}
    wrong = {
        "p": [1.1 * p, p * np.nan, p[0]],
        "source": [SOURCE[:3], 0 * SOURCE, SOURCE * 1.0],
        "epsilon": [0.0, -1.0, np.inf],
    }
    wrong |= {"costs": [valuation.Costs(costs.matrix * jnp.nan)], "sweeps": [0]}
    name = one_of(rng, *wrong)
    words = {"p": ""}.get(name, name)  # "a mixture is ..., but shares ..."
    refused(words, valuation.distances, **(given | {name: one_of(rng, *wrong[name])}))


def costs(rng: Rng) -> None:
    x, y = rng.normal(size=(9, 2)), rng.normal(size=(8, 2))
    labels, others = np.resize([0, 1], 9), np.resize([0, 1], 8)
    found = valuation.costs(x.tolist(), labels, y, others, 2, "means", 0.5).matrix
    means = [[((x[labels == i].mean(0) - y[others == j].mean(0)) ** 2).sum() for j in (0, 1)] for i in (0, 1)]
    wanted = ((x[:, None] - y[None]) ** 2).sum(2) / 2 + 0.25 * np.array(means)[labels][:, others]
    close(found, wanted, 1e-10)
    given = {"x": x, "labels": labels, "y": y, "others": others, "classes": 2}
    wrong = {
        "x": [x * np.nan, x[0]],
        "labels": [labels[:3], labels + 1, labels * 0.5],
        "y": [y[:, :1]],
        "others": [others - 1],
    }
    invalid(rng, given, valuation.costs, wrong | {"classes": [0], "metric": ["x"], "label_weight": [-1.0, np.nan]})


def fits(rng: Rng) -> None:
    p, t, y, weights = rng.dirichlet(np.ones(3), 16), rng.random(16), rng.normal(size=16), rng.integers(0, 3, 16)
    weights[:12] = 1
    alpha, model = float(rng.uniform(0.1, 2)), one_of(rng, "linear", "PQ-OT", "quadratic", "linear-OT", "notebook")
    found = valuation.fit(p.tolist(), t.tolist(), y, model, ridge=alpha, weights=weights.tolist())
    z = np.asarray(valuation.fits.columns(jnp.asarray(p), jnp.asarray(t), model))
    mean = np.average(z, axis=0, weights=weights)
    spread = np.sqrt(np.average((z - mean) ** 2, axis=0, weights=weights))
    known = linear_model.Ridge(alpha=alpha).fit((z - mean) / spread, y, sample_weight=weights)
    close(valuation.predict(found, p.tolist(), t, model), known.predict((z - mean) / spread), 1e-7)
    close(valuation.errors(y, t, weights).mae, metrics.mean_absolute_error(t, y, sample_weight=weights), 1e-12)
    close(valuation.errors(y, t, weights).r2, metrics.r2_score(t, y, sample_weight=weights), 1e-9)
    given = {"p": p, "distance": t, "y": y}
    wrong = {"p": [p[0], p * np.nan], "distance": [t[:3], t * np.inf], "y": [y[:2], y * np.nan], "model": ["x"]}
    invalid(
        rng, given, valuation.fit, wrong | {"ridge": [-1.0, np.nan], "weights": [0 * y, -weights, weights * np.nan]}
    )
    given = {"predicted": y, "measured": t, "weights": weights}
    invalid(rng, given, valuation.errors, {"predicted": [y * np.nan], "measured": [t[:2]], "weights": [0 * y]})


def projections(rng: Rng) -> None:
    first, second = sorted(rng.uniform(10, 1000, 2).tolist())
    size, scores = rng.uniform(10, 5000), rng.uniform(20, 60, 2)
    line = scores[0] + (scores[1] - scores[0]) * np.log(size / first) / np.log(second / first)
    close(valuation.project(size, first, second, *scores), np.clip(line, 0, 100), 1e-9)
    close(valuation.project(size, first, second, *np.exp(scores / 20), "log-loss") / np.exp(line / 20), 1, 1e-9)
    given = {"size": size, "first": first, "second": second, "at_first": 0.5, "at_second": 0.4, "kind": "log-loss"}
    wrong = {"size": [0.0, -1.0, np.nan], "at_first": [-0.5, 0.0, np.nan], "at_second": [-1.0, np.inf], "kind": ["x"]}
    invalid(rng, given, valuation.project, wrong)
    mean, p = rng.normal(size=(2, 3)), rng.dirichlet(np.ones(3), 2)
    close(valuation.calibrated(mean, p), (mean - (p * mean).sum(1, keepdims=True)) / (1 - p), 1e-12)


def mixtures(rng: Rng) -> None:
    sources, steps = int(rng.integers(1, 5)), int(rng.integers(1, 6))
    grid = valuation.simplex_grid(sources, steps)
    close(valuation.mixtures(grid.tolist(), sources).sum(1), np.ones(len(grid)))
    assert len(np.unique(np.round(grid * steps), axis=0)) == len(grid)
    key = jax.random.key(int(rng.integers(99)))
    close(valuation.dirichlet(key, 4, 3, rng.uniform(0.5, 3)).sum(1), np.ones(4))
    p, size = rng.dirichlet(np.ones(3), 2), int(rng.integers(0, 9))
    drawn = np.asarray(valuation.counts(key, p.tolist(), SOURCE.tolist(), size, 8))
    assert (drawn.sum(1) == size).all()
    assert (drawn >= 0).all()
    invalid(rng, {"sources": 2, "steps": 2}, valuation.simplex_grid, {"sources": [0, 1.5], "steps": [0, -1]})
    given = {"key": key, "count": 2, "sources": 2, "concentration": 1.0}
    invalid(rng, given, valuation.dirichlet, {"count": [0], "sources": [0], "concentration": [0.0, -1.0, np.nan]})
    given = {"key": key, "p": p, "source": SOURCE, "size": 3, "most": 8}
    invalid(
        rng, given, valuation.counts, {"size": [-1, 9, np.nan, [1, 2, 3]], "most": [-1, 2.5], "source": [0 * SOURCE]}
    )
    refused("mixture", valuation.mixtures, one_of(rng, [0.5, 0.6], [np.nan, 1.0], [-0.5, 1.5], [[[1.0]]]))


def selections(rng: Rng) -> None:
    matrix, costs = _costs(rng)
    epsilon, slopes = float(matrix.mean() * rng.uniform(0.05, 0.5)), np.zeros((2, 9))
    slopes[:, 0] = -1 / matrix.std()
    none = jnp.zeros(2)
    score = valuation.Score(valuation.fits.Fit(none, jnp.asarray(slopes), none, none), jnp.array([0.0, 1.0]))
    found = valuation.select(score, costs, SOURCE, epsilon, "linear-OT", rate=2.0, steps=150)
    again = valuation.distances(found.p[None], costs, SOURCE, epsilon, tolerance=1e-10, sweeps=50_000).value[0]
    close(found.distance / matrix.mean(), again / matrix.mean(), 1e-6)
    grid = valuation.distances(valuation.simplex_grid(3, 8), costs, SOURCE, epsilon).value
    assert float(found.distance) <= float(grid.min()) + 0.01 * matrix.std(), "a mixture of the grid is nearer"
    given = {"score": score, "costs": costs, "source": SOURCE, "epsilon": epsilon, "model": "linear-OT"}
    wrong = {
        "source": [SOURCE[:2], 0 * SOURCE],
        "epsilon": [0.0, -1.0],
        "model": ["x"],
        "rate": [0.0, np.nan],
        "steps": [0],
    }
    invalid(rng, given, valuation.select, wrong)


# ---- survival ------------------------------------------------------------------------------------------------------


def _bags(rng: Rng) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    time = rng.integers(1, 9, 12).astype(float) if rng.random() < 0.5 else rng.exponential(size=12)
    event = (rng.random(12) < 0.7).astype(float)
    event[0] = 1
    return rng.normal(size=12).round(1), time, event


def statistics(rng: Rng) -> None:
    risk, time, event = _bags(rng)
    if ((time[:, None] < time[None]) & (event[:, None] > 0)).any():
        close(
            survival.cindex(risk.tolist(), time.tolist(), event),
            lifelines.utils.concordance_index(time, -risk, event),
            1e-12,
        )
    at = np.sort(rng.uniform(0, 9, 4))
    known = lifelines.KaplanMeierFitter().fit(time, event)
    close(
        survival.kaplan_meier(time, event, at.tolist()).survival, known.survival_function_at_times(at).to_numpy(), 1e-12
    )
    group = rng.permutation(np.arange(12) % 2)
    test = lifelines.statistics.logrank_test(time[group == 1], time[group == 0], event[group == 1], event[group == 0])
    close(survival.log_rank(time, event, group).chi2, test.test_statistic, 1e-8)
    given = {"risk": risk, "time": time, "event": event}
    wrong = {"risk": [risk * np.nan], "time": [time * np.nan], "event": [event * 2 + 1, event * np.nan]}
    invalid(rng, given, one_of(rng, survival.cindex, survival.cox, survival.ranking), wrong)
    refused("at", survival.kaplan_meier, time, event, [np.nan])
    refused("group", survival.log_rank, time, event, group + 1)


def losses(rng: Rng) -> None:
    risk, time, event = _bags(rng)
    known = [risk[i] - np.log(np.exp(risk[time >= time[i]]).sum()) for i in np.flatnonzero(event)]
    close(survival.cox(risk.tolist(), time, event), -np.mean(known), 1e-10)
    pair = (event[:, None] > 0) & (time[:, None] < time[None])
    wanted = -(pair / (1 + np.exp(risk[None] - risk[:, None]))).sum() / max(pair.sum(), 1)
    close(survival.ranking(risk, time, event), wanted, 1e-10)
    logits, bins, alpha = rng.normal(size=(12, 3)), rng.integers(0, 3, 12), rng.random()
    hazard = 1 / (1 + np.exp(-logits))
    alive = np.c_[np.ones(12), np.cumprod(1 - hazard, axis=1)]
    rows = np.arange(12)
    seen = -event * (np.log(alive[rows, bins]) + np.log(hazard[rows, bins]))
    unseen = -(1 - event) * np.log(alive[rows, bins + 1])
    close(survival.nll(logits.tolist(), bins, event, alpha=alpha), (seen + (1 - alpha) * unseen).mean(), 1e-9)
    given = {"logits": logits, "bin": bins, "event": event}
    wrong = {
        "logits": [logits * np.nan, logits[0]],
        "bin": [bins + 3, bins + 0.5],
        "event": [event + 2],
        "alpha": [-0.1, 2.0],
    }
    invalid(rng, given, survival.nll, wrong)
    refused("ties", survival.cox, risk, time, event, ties="x")


def bags(rng: Rng) -> None:
    bag = np.r_[0, 1, 2, rng.integers(0, 3, 6)]
    x, (time, event) = rng.normal(size=(9, 2)), (rng.exponential(size=3), np.array([1, 0, 1]))
    made = survival.bags(x.tolist(), bag.tolist(), time.tolist(), event.tolist())
    taken, here = made.take(jnp.arange(3), 9)
    for i in range(3):
        close(np.asarray(taken)[i][np.asarray(here)[i]], x[bag == i])
    model = survival.model(jax.random.key(0), 2, k=2, width=3, pooling=one_of(rng, "ot", "mean", "attention"))
    told = survival.score(model, made, survival.Transport(rho=0.7))
    close(told.mass.sum(1), np.ones(3), 1e-6)
    given = {"x": x, "bag": bag, "time": time, "event": event}
    wrong = {
        "x": [x * np.nan, x[0]],
        "bag": [bag + 1, bag + 0.5, bag[:2]],
        "time": [-time, time * np.nan],
        "event": [event + 1],
    }
    invalid(rng, given, survival.bags, wrong)
    kind, values = rng.integers(-1, 3, (2, 3)), rng.normal(size=(2, 3))
    wanted = [values[kind == c].mean() if (kind == c).any() else 0 for c in range(3)]
    close(survival.mean_by_kind(kind, values, 3), wanted, 1e-12)


# ---- clustering ----------------------------------------------------------------------------------------------------


def similarities(rng: Rng) -> None:
    x, k, width = rng.normal(size=(7, 2)), int(rng.integers(1, 4)), rng.uniform(0.5, 3)
    found = clustering.similarity(x.tolist(), k, width)
    squared = ((x[:, None] - x[None]) ** 2).sum(2)
    wanted = np.exp(-np.sort(squared + 99 * np.eye(7), axis=1)[:, :k] / (4 * width**2))
    close(found.values, wanted, 1e-9)
    invalid(
        rng,
        {"features": x},
        clustering.similarity,
        {"features": [x * np.nan, x[0]], "k": [0, 7, 1.5], "width": [0.0, -1.0]},
    )


def agreement(rng: Rng) -> None:
    classes, clusters = rng.integers(0, 3, 12), rng.integers(0, 3, 12)
    found = scores(classes, clusters, 3)
    close(found.nmi, metrics.normalized_mutual_info_score(classes, clusters), 1e-9)
    counts = metrics.confusion_matrix(classes, clusters, labels=[0, 1, 2])
    agreed = counts[np.asarray(found.match), [0, 1, 2]].sum()
    assert agreed == max(
        counts[list(order), [0, 1, 2]].sum()
        for order in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
    )
    given = {"classes": classes, "clusters": clusters, "k": 3}
    invalid(rng, given, scores, {"classes": [classes - 1, classes[:2], classes * 0.5], "clusters": [clusters + 3]})


def labels(rng: Rng) -> None:
    cost, rho, epsilon = rng.random((6, 2)), rng.uniform(0.2, 1), rng.uniform(0.05, 1)
    problem, settings = (
        ot.Problem(jnp.asarray(cost), jnp.full(6, 1 / 6), jnp.full(2, 0.5)),
        clustering.Settings(epsilon=epsilon),
    )
    near = clustering.similarity(cost, 2) if rng.random() < 0.5 else None
    found = clustering.label(problem, settings._replace(strength=0.05), rho, near)
    plan = np.asarray(found.plan)
    close(plan.sum(), rho, 1e-5)
    assert (plan.sum(1) <= 1 / 6 + 1e-6).all()
    if near is not None:
        numbers = {"rho": rho, "lam": 1.0, "strength": 0.05}
        value = clustering.sp2ot_objective(problem, ot.Entropic(epsilon), near, found.plan, **numbers)
        s = np.asarray(near.dense())
        sizes, rest = plan.sum(0), np.maximum(1 / 6 - plan.sum(1), 1e-300)
        held = (plan * np.log(np.maximum(plan, 1e-300)) - plan).sum() + (rest * np.log(rest) - rest).sum() + 1
        wanted = (plan * cost).sum() - 0.05 * (s * (plan @ plan.T)).sum() + epsilon * held
        wanted += (sizes * np.log(sizes / (rho / 2)) - sizes + rho / 2).sum()
        close(value, wanted, 1e-7)
    given = {"costs": problem, "settings": settings, "rho": rho}
    invalid(rng, given, clustering.label, {"rho": [0.0, -1.0, 1.5, np.nan], "solver": ["x"]})


# ---- what the others leave out -------------------------------------------------------------------------------------


def aggregates(rng: Rng) -> None:
    values, counted = rng.normal(size=6), rng.random(6) < 0.6
    some = values[counted]
    close(ode.aggregate(values.tolist(), counted.tolist(), "sum"), some.sum(), 1e-12)
    close(ode.aggregate(values, counted, "mean"), some.mean() if some.size else 0, 1e-12)
    close(ode.aggregate(values, counted, "max"), max(some.max(initial=0), 0), 1e-12)
    field = Decay(jnp.asarray(rng.uniform(0.2, 3)))
    t0, t1 = rng.uniform(-1, 1, 2)
    found = ode.solve(field, [1.0], t0, t1, max_steps=32)
    key = jax.random.key(int(rng.integers(1000)))
    local = float(ode.local_error_of(found, key, t0, t1))
    h, E = np.asarray(found.rows.h), np.asarray(found.rows.E)
    at = abs(float(jax.random.uniform(key, ())) * (t1 - t0))
    place = np.flatnonzero(np.asarray(found.rows.accepted))
    place = place[np.searchsorted(np.cumsum(h[place]), at, side="right")]
    close(local, E[place] * h[place], 1e-9)
    given = {"values": values, "counted": counted, "how": "sum"}
    invalid(rng, given, ode.aggregate, {"values": [values[0]], "counted": [counted[:2], values], "how": ["median"]})
    given = {"steps": found, "key": key, "t0": t0, "t1": t1}
    invalid(rng, given, ode.local_error_of, {"t0": [np.nan, [0.0, 1.0]], "t1": [np.inf, "x"]})


def own_problems(rng: Rng) -> None:
    """A quadratic problem written as one's own has the same slope; the random one has its closed-form minimum."""
    seed = int(rng.integers(1000))
    problem = tuning.random_quadratic(seed, n=8, d=2, noise=rng.uniform(0, 0.1))
    theta, least = problem.least()
    close(problem.slope(theta), np.zeros(2), 1e-7)
    place = rng.normal(size=2)
    assert float(problem.loss(jnp.asarray(place))) >= float(least) - 1e-9
    a, b, t = rng.normal(size=(6, 2)), rng.normal(size=6), rng.uniform(-1, 1, 1)
    own = tuning.Own(_lower, _upper, np.zeros(2), data=(jnp.asarray(a), jnp.asarray(b)))
    ridge = a.T @ a + np.exp(t[0]) * np.eye(2)
    x = np.linalg.solve(ridge, a.T @ b)
    slope = -x @ np.linalg.solve(ridge, x) * np.exp(t[0])
    close(tuning.implicit(own, t.tolist(), np.zeros(2)), [slope], 1e-6)
    wrong = {"n": [0, -1, 1.5], "d": [0, 2.5], "noise": [-1.0, np.nan], "seed": [-1, 1.5]}
    invalid(rng, {"seed": seed, "n": 8, "d": 2, "noise": 0.1}, tuning.random_quadratic, wrong)
    refused("x0", tuning.Own, _lower, _upper, one_of(rng, [np.nan], "x"))


def _lower(x: Any, theta: Any, data: Any) -> Any:
    return ((data[0] @ x - data[1]) ** 2).sum() / 2 + jnp.exp(theta[0]) * (x @ x) / 2


def _upper(x: Any, data: Any) -> Any:
    return (x @ x) / 2


def environments(rng: Rng) -> None:
    """Steps of the classic control tasks by Gymnasium, and of one's own by hand."""
    name = one_of(rng, "CartPole", "Acrobot", "pendulum")
    mine, other = policy.named(name), _gymnasium(name)
    _, state = mine.reset(jax.random.key(int(rng.integers(1000))))
    state = np.asarray(state) + 0.3 * rng.normal(size=np.shape(state)) * (name != "CartPole")
    action = int(rng.integers(mine.actions)) if mine.kind == "discrete" else rng.normal(size=1) * 2
    other.reset()
    other.unwrapped.state = state.copy()
    if name == "CartPole":
        other.unwrapped.steps_beyond_terminated = None
    seen, reward, done, *_ = other.step(action)
    moved = mine.step(jax.random.key(0), jnp.asarray(state), jnp.asarray(action))
    close(moved.observation, seen, 1e-6)  # Gymnasium returns float32
    close(moved.reward, reward, 1e-6)
    assert bool(moved.done) == done
    pull = rng.normal()
    line = policy.own(lambda s, a: (s + pull * a, -abs(s), abs(s) > 5), 0.0, 2)
    place = rng.normal() * 5
    moved = line.step(jax.random.key(0), jnp.asarray(place), 1)
    close((moved.state, moved.reward, float(moved.done)), (place + pull, -abs(place), float(abs(place) > 5)), 1e-12)
    given = {"step": lambda s, a: (s, 0.0, False), "start": 0.0, "actions": 2}
    refused("actions", policy.own, **(given | {"actions": one_of(rng, 0, -1, 1.5, True)}))
    refused("kind", policy.own, **(given | {"kind": "both"}))
    wrong = one_of(rng, lambda s, a: (s, 0.0), lambda s, a: (jnp.ones(2), 0.0, False), lambda s: s, 3.0)
    refused("step", policy.own, **(given | {"step": wrong}))


@cache
def _gymnasium(name: str) -> Any:
    return gymnasium.make({"CartPole": "CartPole-v1", "Acrobot": "Acrobot-v1", "pendulum": "Pendulum-v1"}[name])


def evaluations(rng: Rng) -> None:
    """C-indices of some bags by lifelines, and the plan of each bag by the masses of its score."""
    bag = np.r_[0, 1, 2, 3, 4, 5, rng.integers(0, 6, 4)]
    time, event = rng.exponential(size=6), np.array([1, 0, 1, 1, 0, 1])
    made = survival.bags(rng.normal(size=(10, 2)), bag, time, event)
    risk, test = rng.normal(size=6), rng.permutation(6)[:4]
    found = survival.evaluate(made, risk.tolist(), test.tolist())
    t, e = time[test], event[test]
    if ((t[:, None] < t[None]) & (e[:, None] > 0)).any():
        close(found.cindex, lifelines.utils.concordance_index(t, -risk[test], e), 1e-12)
    high = risk[test] > np.median(risk[test])
    known = lifelines.KaplanMeierFitter().fit(t[high], e[high])
    close(found.curves.survival[0], known.survival_function_at_times(np.asarray(found.times)).to_numpy(), 1e-12)
    model, transport = _pooling(), survival.Transport(rho=0.7)
    told = survival.score(model, made, transport)
    index = int(rng.integers(6))
    plan = survival.bag_plan(model, made, index, told.potentials, transport)
    count = (bag == index).sum()
    mass = np.asarray(plan.plan)[:count]
    close(mass.sum(axis=0) / mass.sum(), told.mass[index], 1e-5)
    close(mass.sum(axis=1) + np.asarray(plan.slack)[:count], np.full(count, 1 / count), 1e-5)
    given = {"bags": made, "risk": risk, "test": test}
    wrong = {"risk": [risk[:2], risk * np.nan], "test": [[6], [-1], [0.5], [], [[0]]], "true_risk": [risk[:3]]}
    invalid(rng, given, survival.evaluate, wrong)
    given = {"model": model, "bags": made, "index": 0, "potentials": told.potentials, "transport": transport}
    invalid(
        rng, given, survival.bag_plan, {"index": [6, -1, 0.5], "potentials": [told.potentials[:2], np.zeros((6, 1))]}
    )
    given = {"key": jax.random.key(0), "bags": made, "settings": survival.Settings(), "width": 2, "epochs": 0}
    wrong = {"which": [[6], [-1], [0.5], []], "check": [[6], [-1]], "k": [0, 1.5], "width": [0, 1.5]}
    wrong |= {"loss": ["x"], "pooling": ["x"], "epochs": [-1, 1.5], "batch": [0, 1, 2.5]}
    invalid(rng, given, survival.train, wrong)


@cache
def _pooling() -> Any:
    return survival.model(jax.random.key(0), 2, k=2, width=3)


def clusterings(rng: Rng) -> None:
    """Scores of pseudo-labels by loops; what a training refuses."""
    classes, centres = rng.permutation(np.resize(np.arange(3), 9)), rng.normal(size=(3, 2)) * 10
    x = centres[classes] + 0.01 * rng.normal(size=(9, 2))
    plan = rng.dirichlet(np.ones(27)).reshape(9, 3)
    order = rng.permutation(3)
    model = clustering.training.Model(jnp.eye(2), jnp.asarray(centres[order]))
    rho = plan.sum() * rng.uniform(0.5, 1)
    given = {"plan": plan, "potentials": np.zeros(4), "rho": rho, "model": model, "x": x, "classes": classes}
    given |= {"sizes": np.full(3, 3.0)}
    found = clustering.judge(**given)
    if np.asarray(found.scores.accuracy) == 1:  # clusters are the classes: their order is known
        close(found.plan, plan[:, np.argsort(order)], 1e-12)
        close(found.mass, plan.sum(axis=0)[np.argsort(order)], 1e-12)
    share = plan.sum(axis=0) / plan.sum()
    close(found[-1], (share * np.log(3 * share)).sum(), 1e-9)
    close(found[-2], abs(plan.sum() - rho), 1e-12)
    wrong = {"plan": [plan[:2], plan * np.nan], "potentials": [np.zeros(3)], "rho": [-1.0, 1.5, np.nan]}
    wrong |= {
        "x": [x[:2], x * np.nan],
        "classes": [classes + 1, classes[:2], classes - 1],
        "sizes": [-np.ones(3), np.ones(2)],
    }
    invalid(rng, given, clustering.judge, wrong)
    given = {
        "key": jax.random.key(0),
        "x": jnp.asarray(x),
        "classes": jnp.asarray(classes),
        "settings": clustering.Settings(),
    }
    given |= {"k": 3, "epochs": 1}
    wrong = {"x": [x * np.nan, x[0]], "classes": [classes + 1, classes[:2], classes * 0.5], "k": [1, 10, 2.5]}
    wrong |= {"neighbours": [0, 1.5], "epochs": [-1, 1.5], "prior": [[0.5, 0.5], [1.0, 1.0, 1.0], [1.0, 1.0, -1.0]]}
    invalid(rng, given, clustering.train, wrong)
    problem = ot.Problem(jnp.asarray(rng.random((6, 2))), jnp.full(6, 1 / 6), jnp.full(2, 0.5))
    near = clustering.similarity(rng.normal(size=(6, 2)), 2)
    given = {
        "problem": problem,
        "regularizer": ot.Entropic(0.1),
        "similarity": near,
        "rho": 0.5,
        "lam": 1.0,
        "strength": 0.1,
    }
    wrong = {"rho": [0.0, -1.0, 1.5, np.nan], "lam": [-1.0, np.nan], "strength": [-1.0, np.nan]}
    wrong |= {"tolerance": [-1.0, np.nan], "max_iterations": [0, 1.5]}
    wrong |= {"similarity": [clustering.similarity(rng.normal(size=(5, 2)), 2), near._replace(values=-near.values)]}
    invalid(rng, given, clustering.sp2ot, wrong)


CHECKS: dict[str, Check] = {
    "ode.solve, problem, first_step": solve,
    "ode.derivative, bending": derivative,
    "ode.amplification, RungeKutta, real_limit": amplification,
    "ode.penalty, error_of, stiffness_of": regularizers,
    "tuning.implicit": hypergradients,
    "tuning.minimise, hoag": descents,
    "tuning.quadratic": quadratics,
    "tuning.multinomial": multinomial,
    "tuning.psnr": psnr,
    "tuning.values, Range": ranges,
    "tuning.ridge.linear_network, bound": linear_network,
    "tuning.tune (invalid input)": tune,
    "policy.mdp": processes,
    "policy.lqr, double_integrator": regulators,
    "policy.gradient, hvp": estimates,
    "policy.network, tabular, task, Gaussian": policies,
    "policy.ascend, sampled, rollout": climbs,
    "valuation.distances": distances,
    "valuation.costs": costs,
    "valuation.fit, predict, errors": fits,
    "valuation.project, calibrated": projections,
    "valuation.counts, dirichlet, mixtures": mixtures,
    "valuation.select": selections,
    "survival.cindex, kaplan_meier, log_rank": statistics,
    "survival.cox, nll, ranking": losses,
    "survival.bags, score, mean_by_kind": bags,
    "clustering.similarity": similarities,
    "clustering.metrics.scores": agreement,
    "clustering.label, sp2ot, sp2ot_objective": labels,
    "ode.aggregate, local_error_of": aggregates,
    "tuning.random_quadratic, Own": own_problems,
    "policy.named, own": environments,
    "survival.evaluate, bag_plan, train": evaluations,
    "clustering.judge, train, sp2ot": clusterings,
}


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Draw, check and print; returns the content of the line of JSON."""
    return fuzzing.main("fuzz_learning", __doc__, CHECKS, argv)


if __name__ == "__main__":
    main()
