"""Derivatives of the modules of ``lab.ot`` beside its solvers; the solvers are in ``test_ot_derivatives``."""

import jax
import jax.numpy as jnp
import numpy as np
from derivatives.entries import Case, Entry, tests_of

from lab import ot
from lab.ot import bounds, labelled, maps, mixture, monge, plans, routing, semidiscrete, singular, sliced

_JUMP = "the choice jumps"
_SAMPLING = "heights come of random batches"
_TRAINING = "a training does not end at a minimum"


def _case(function, gradient=(), refused=None, moves=None, tolerance=1e-5, compiled=True, **draw):
    """A case whose inputs are drawn by shape, or by a function of the generator."""

    def make(rng):
        drawn = {name: how(rng) if callable(how) else rng.normal(size=how) for name, how in draw.items()}
        return function, drawn

    return Case(make, gradient, refused or {}, moves or {}, tolerance=tolerance, compiled=compiled)


def _positive(rng):
    return rng.uniform(0.5, 1.5)


def _masses(n):
    return lambda rng: rng.dirichlet(np.full(n, 3.0))


def _still(direction):  # the total stays
    return direction - direction.mean()


def _covariance(rng):
    root = rng.normal(size=(3, 3))
    return root @ root.T + np.eye(3)


def _symmetric(direction):
    return (direction + direction.T) / 2


def _plan(rng):
    return rng.uniform(0.5, 1, (4, 3)) / 9


def _problem(cost, a, b):
    return ot.Problem(jnp.asarray(cost), jnp.asarray(a), jnp.asarray(b))


_OF_PROBLEM = {"cost": lambda rng: rng.random((4, 3)), "a": _masses(4), "b": _masses(3)}
_MOVES = {"a": _still, "b": _still}
_CLOUDS = {"x": (5, 2), "y": (5, 2)}
_THETA = {"theta": lambda rng: np.asarray(sliced.directions(jax.random.key(0), 4, 2))}
_WEIGHTED = {"x": (5, 2), "y": (3, 2), **_THETA, "a": _masses(5), "b": _masses(3)}
_CELLS = {"heights": lambda rng: 0.1 * rng.normal(size=5), "y": (5, 2), "x": (6, 2)}
_SOURCE = np.array([0, 0, 1, 1, 2])


def _of_maps(rng):
    def function(source, target, strength, learning_rate):
        return maps.learn(
            jax.random.key(0), source, target, strength=strength, learning_rate=learning_rate, steps=1, batch=2
        ).loss

    return function, {
        **{n: rng.normal(size=(4, 2)) for n in ("source", "target")},
        "strength": 1.0,
        "learning_rate": 1e-3,
    }


def _train(rng):
    def function(x, learning_rate):
        data = mixture.Labelled(x, jnp.array([0, 1, 0, 1]))
        settings = mixture.Settings(batch=2, epochs=1, experts=2, width=2)
        return mixture.train(jax.random.key(0), data, data, settings, learning_rate, classes=2)[1].loss

    return function, {"x": rng.normal(size=(4, 2)), "learning_rate": 1e-3}


def _routed(router):
    return lambda gates: router(gates, 2).combine


def _gates(rng):
    return rng.dirichlet(np.ones(3), 4)


TABLE = {
    "vertex_gap": Entry(
        (
            _case(
                lambda cost, a: ot.vertex_gap(ot.Problem(cost, a, np.full(3, 1 / 3))),
                ("cost",),
                {"a": "the gap jumps where vertices become degenerate"},
                compiled=False,
                cost=(3, 3),
                a=lambda rng: np.full(3, 1 / 3),
            ),
        ),
        also={"problem": "cost"},
    ),  # what lab.ot lists of these modules
    "bures": Entry(
        (
            _case(
                lambda mean_a, covariance_a, mean_b, covariance_b: ot.bures(mean_a, covariance_a, mean_b, covariance_b),
                ("mean_a", "covariance_a", "mean_b", "covariance_b"),
                moves={"covariance_a": _symmetric, "covariance_b": _symmetric},
                mean_a=3,
                covariance_a=_covariance,
                mean_b=3,
                covariance_b=_covariance,
            ),
            _case(  # all eigenvalues are equal
                lambda covariance_a, covariance_b: ot.bures(jnp.zeros(3), covariance_a, jnp.ones(3), covariance_b),
                ("covariance_a", "covariance_b"),
                moves={"covariance_a": _symmetric, "covariance_b": _symmetric},
                covariance_a=lambda rng: np.eye(3),
                covariance_b=lambda rng: 2 * np.eye(3),
            ),
        )
    ),
    "second_singular_value": Entry((_case(ot.second_singular_value, ("plan",), plan=_plan),)),
    "sinkhorn_rate": Entry((_case(ot.sinkhorn_rate, ("plan",), plan=_plan),)),
    "vertex_bound": Entry(
        (
            _case(
                lambda cost, a, b, gap, epsilon: ot.vertex_bound(_problem(cost, a, b), gap, epsilon),
                ("a", "gap", "epsilon"),
                **_OF_PROBLEM,
                gap=lambda rng: 1.0,
                epsilon=lambda rng: 0.1,
            ),
        ),
        (),
        {"problem": "a"},
    ),
    "barycentric": Entry(
        (
            _case(
                lambda plan, x, y: ot.barycentric(jnp.asarray(plan).at[0].set(0.0), x, y),
                ("plan", "x", "y"),
                plan=_plan,
                x=(4, 2),
                y=(3, 2),
            ),
        )
    ),
    "figures": Entry(
        (
            _case(
                lambda cost, a, b, plan: ot.figures(_problem(cost, a, b), plan),
                ("cost", "a", "b", "plan"),
                **_OF_PROBLEM,
                plan=_plan,
            ),
        ),
        (),
        {"problem": "cost"},
    ),
}

_MODULES = {
    "Bures.__call__": Entry(
        (_case(lambda x: ot.bures(jnp.zeros(2), jnp.eye(2), jnp.ones(2), 4 * jnp.eye(2))(x), ("x",), x=(3, 2)),)
    ),
    # semidiscrete
    "semidiscrete.assign": Entry((_case(semidiscrete.assign, (), dict.fromkeys(_CELLS, _JUMP), **_CELLS),)),
    "semidiscrete.voronoi": Entry((_case(semidiscrete.voronoi, ("y",), y=(5, 2)),)),
    "semidiscrete.on_line": Entry(
        tuple(
            _case(
                lambda y, weights, source=source: semidiscrete.on_line(y, weights, source)[:3],
                ("y", "weights"),
                moves={"weights": _still},
                y=5,
                weights=_masses(5),
            )
            for source in ("uniform", "gaussian")
        )
    ),
    "semidiscrete.in_square": Entry(
        (
            _case(
                lambda y, weights: semidiscrete.in_square(y, weights)._replace(path=None),
                ("y", "weights"),
                compiled=False,
                moves={"weights": _still},
                y=lambda rng: rng.random((6, 2)),
                weights=_masses(6),
            ),
        )
    ),
    "semidiscrete.areas": Entry(
        (
            _case(
                semidiscrete.areas,
                ("y", "heights"),
                compiled=False,
                y=lambda rng: rng.random((6, 2)),
                heights=lambda rng: rng.random(6) / 9,
            ),
        )
    ),
    "semidiscrete.by_samples": Entry(
        (
            _case(
                lambda y, weights, heights, rate: semidiscrete.by_samples(
                    semidiscrete.Gaussian(2),
                    y,
                    weights,
                    key=jax.random.key(0),
                    iterations=1,
                    batch=8,
                    rate=rate,
                    heights=heights,
                )[:3],
                (),
                dict.fromkeys(("y", "weights", "heights", "rate"), _SAMPLING),
                y=(3, 2),
                weights=_masses(3),
                heights=3,
                rate=_positive,
            ),
        )
    ),
    "semidiscrete.matched": Entry(
        (_case(lambda y: semidiscrete.matched(semidiscrete.Gaussian(2), y, jax.random.key(0)), ("y",), y=(5, 2)),)
    ),
    "semidiscrete.floor": Entry(
        (
            _case(
                semidiscrete.floor,
                ("weights",),
                {"points": "it counts"},
                moves={"weights": _still},
                weights=_masses(4),
                points=lambda rng: 7.0,
            ),
        )
    ),
    "semidiscrete.chi_squared": Entry(
        (_case(lambda weights: semidiscrete.chi_squared([3, 1, 5], weights), ("weights",), weights=_masses(3)),)
    ),
    # singular
    "singular.best": Entry(
        (_case(lambda heights, y, x: singular.best(heights, y, x, 2).score, ("heights", "y", "x"), **_CELLS),)
    ),
    "singular.angle": Entry(
        (
            _case(singular.angle, ("first", "second"), first=(3, 2), second=(3, 2)),
            _case(  # of equal targets it is 0
                lambda first: singular.angle(first, first.at[0].add(1.0)), ("first",), first=(3, 2)
            ),
        )
    ),
    "singular.jump": Entry(
        (
            _case(
                lambda heights, y, x, threshold, centres: singular.jump(
                    heights, y, x, threshold, extend="mass-centre", centres=centres
                )[::3],
                ("y", "x", "centres"),
                dict.fromkeys(("heights", "threshold"), _JUMP),
                **_CELLS,
                threshold=lambda rng: 3.0,
                centres=(5, 2),
            ),
        )
    ),
    "singular.centres": Entry((_case(singular.centres, ("x",), dict.fromkeys(("heights", "y"), _JUMP), **_CELLS),)),
    # sliced
    "sliced.on_line": Entry(
        (
            _case(sliced.on_line, ("u", "v"), u=(2, 5), v=(2, 5)),
            _case(
                lambda u, v, a, b, p: sliced.on_line(u, v, a, b, p=p),
                ("u", "v", "a", "b", "p"),
                moves=_MOVES,
                u=(2, 5),
                v=(2, 3),
                a=_masses(5),
                b=_masses(3),
                p=lambda rng: 1.5,
            ),
        )
    ),
    "sliced.by_direction": Entry(
        (_case(sliced.by_direction, ("x", "y", "theta", "a", "b"), moves=_MOVES, **_WEIGHTED),)
    ),
    "sliced.sliced": Entry(
        (
            _case(
                lambda x, y, theta, a, b, p: sliced.sliced(x, y, theta, a, b, p=p)[:3],
                ("x", "y", "theta", "a", "b", "p"),
                moves=_MOVES,
                **_WEIGHTED,
                p=lambda rng: 1.5,
            ),
        )
    ),
    "sliced.energy_based": Entry(
        (_case(lambda x, y, theta: sliced.energy_based(x, y, theta)[:3], ("x", "y", "theta"), **_CLOUDS, **_THETA),)
    ),
    "sliced.bidirectional": Entry(
        tuple(
            _case(
                lambda x, y, x_seen, y_seen, theta, root=root: sliced.bidirectional(
                    x, y, x_seen, y_seen, theta, root=root, energy=root == "joint"
                ),
                ("x", "y", "x_seen", "y_seen", "theta"),
                **_CLOUDS,
                x_seen=(5, 2),
                y_seen=(5, 2),
                **_THETA,
            )
            for root in ("joint", "separate")
        )
    ),
    "sliced.max_sliced": Entry(
        (
            _case(
                lambda x, y, p: sliced.max_sliced(x, y + 3, np.eye(2), p=p).value,
                ("x", "y", "p"),
                tolerance=1e-4,
                **_CLOUDS,
                p=lambda rng: 2.5,
            ),
            _case(
                lambda x, y, theta: (sliced.max_sliced(x, y, theta).value, jax.lax.stop_gradient(theta)),
                (),
                {"theta": "the choice among the starts jumps"},
                **_CLOUDS,
                **_THETA,
            ),
        )
    ),
    # labelled
    "labelled.label_distances": Entry(
        tuple(
            _case(
                lambda x, y, how=how: labelled.label_distances(x, [0] * 3 + [1] * 3, y, [0] * 4, how),
                ("x", "y"),
                compiled=False,
                x=(6, 2),
                y=(4, 2),
            )
            for how in ("exact", "gaussian", "means")
        )
    ),
    "labelled.cost": Entry(
        (
            _case(
                lambda x, y, between, feature, label: labelled.cost(
                    x, jnp.array([0, 1, 1]), y, jnp.array([0, 1]), between, feature, label
                ),
                ("x", "y", "between", "feature", "label"),
                x=(3, 2),
                y=(2, 2),
                between=lambda rng: rng.random((2, 2)),
                feature=_positive,
                label=_positive,
            ),
        )
    ),
    "labelled.shares": Entry(
        (_case(lambda p: labelled.shares(p, _SOURCE), ("p",), moves={"p": _still}, p=_masses(3)),)
    ),
    "labelled.mixture": Entry(
        (
            _case(
                lambda p, matrix, epsilon, b, own: labelled.mixture(
                    p, matrix, _SOURCE, epsilon, b, own=own + own.T, tolerance=1e-12
                )[:5],
                ("p", "matrix", "epsilon", "b", "own"),
                moves={"p": _still, "b": _still},
                tolerance=1e-4,
                p=_masses(3),
                matrix=lambda rng: rng.random((5, 4)),
                epsilon=lambda rng: 0.5,
                b=_masses(4),
                own=lambda rng: rng.random((5, 5)),
            ),
            _case(
                lambda matrix: labelled.mixture([0.3, 0.7, 0.0], matrix, _SOURCE, 0.5, tolerance=1e-12)[:5],
                ("matrix",),
                tolerance=1e-4,
                matrix=lambda rng: rng.random((5, 4)),
            ),
        )
    ),
    "labelled.exact_mixture": Entry(
        (
            _case(
                lambda p, matrix: labelled.exact_mixture(p, matrix, _SOURCE).value,
                ("p", "matrix"),
                compiled=False,
                moves={"p": _still},
                p=_masses(3),
                matrix=lambda rng: rng.random((5, 4)),
            ),
        )
    ),
    # monge
    "monge.pairwise": Entry(
        tuple(_case(lambda x, y, c=c: monge.pairwise(x, y, c), ("x", "y"), **_CLOUDS) for c in ("squared", "distance"))
    ),
    "monge.of_pairs": Entry((_case(monge.of_pairs, ("x", "y"), **_CLOUDS),)),
    "monge.gap": Entry(
        (
            _case(
                lambda x, y, epsilon: monge.gap(x, y, epsilon=epsilon, tolerance=1e-12)[:5],
                ("x", "y", "epsilon"),
                tolerance=1e-4,
                **_CLOUDS,
                epsilon=_positive,
            ),
        )
    ),
    "monge.loss": Entry(
        tuple(
            _case(
                lambda x, y, epsilon, debiased=debiased: monge.loss(x, y, epsilon, debiased=debiased, tolerance=1e-12),
                ("x", "y", "epsilon"),
                **_CLOUDS,
                epsilon=_positive,
            )
            for debiased in (False, True)
        )
    ),
    "monge.divergence": Entry(
        (
            _case(
                lambda x, y, epsilon: monge.divergence(x, y, epsilon, tolerance=1e-12),
                ("x", "y", "epsilon"),
                **_CLOUDS,
                epsilon=_positive,
            ),
        )
    ),
    "monge.exact_gap": Entry((_case(lambda x, y: monge.exact_gap(x, y)[:2], ("x", "y"), **_CLOUDS),)),
    "monge.gaussian_gap": Entry(
        (
            _case(
                monge.gaussian_gap,
                ("covariance", "matrix"),
                moves={"covariance": _symmetric},
                covariance=_covariance,
                matrix=(3, 3),
            ),
            _case(
                monge.gaussian_gap,
                ("covariance",),
                moves={"covariance": _symmetric},
                covariance=lambda rng: np.eye(3),
                matrix=(3, 3),
            ),
        )
    ),
    "monge.line_gap": Entry((_case(lambda x, y: monge.line_gap(x, y, jnp.square), ("x", "y"), x=6, y=6),)),
    "monge.conservativity": Entry(
        (
            _case(
                lambda x: monge.conservativity(lambda z: jnp.array([z[0] * z[1], z[0] ** 3]), x, jax.random.key(0), 2),
                ("x",),
                x=(3, 2),
            ),
        )
    ),
    "monge.unexplained": Entry(
        (_case(monge.unexplained, ("mapped", "wanted", "variance"), mapped=(3, 2), wanted=(3, 2), variance=_positive),)
    ),
    "monge.entropic_map": Entry(
        (
            _case(
                lambda y, beta, epsilon, weights, x: monge.entropic_map(y, beta, epsilon, weights)(x),
                ("y", "beta", "epsilon", "weights", "x"),
                y=(4, 2),
                beta=4,
                epsilon=_positive,
                weights=_masses(4),
                x=(3, 2),
            ),
        )
    ),
    # maps, mixture
    "maps.learn": Entry(
        (Case(_of_maps, (), dict.fromkeys(("source", "target", "strength", "learning_rate"), _TRAINING)),)
    ),
    "maps.moments": Entry((_case(maps.moments, ("points",), points=(5, 2)),)),
    "mixture.train": Entry((Case(_train, (), dict.fromkeys(("x", "learning_rate"), _TRAINING)),)),
    # routing
    **{
        f"routing.{name}": Entry((_case(_routed(getattr(routing, name)), ("gates",), gates=_gates),))
        for name in ("top_k_routing", "sinkhorn_routing", "sparse_ot_routing")
    },
    "routing.settings": Entry(
        (
            _case(
                lambda epsilon: routing.sinkhorn_routing(jnp.full((4, 3), 1 / 3), 2, epsilon=epsilon).combine,
                (),
                {"epsilon": "the decision jumps"},
                epsilon=_positive,
            ),
            _case(
                lambda gamma, learning_rate: (
                    routing.sparse_ot_routing(
                        jnp.full((4, 3), 1 / 3), 2, gamma=gamma, learning_rate=learning_rate
                    ).combine
                ),
                (),
                dict.fromkeys(("gamma", "learning_rate"), "the decision jumps"),
                gamma=_positive,
                learning_rate=_positive,
            ),
        )
    ),
    "routing.statistics": Entry(
        (
            _case(
                lambda gates: routing.statistics(gates, routing.top_k_routing(gates, 2)).gate_mass,
                ("gates",),
                gates=_gates,
            ),
        )
    ),
    # bounds, plans
    "bounds.bounds": Entry(
        (
            _case(
                lambda cost, a, b, lp, gamma: bounds.bounds(_problem(cost, a, b), lp, gamma, 2),
                ("b", "lp", "gamma"),
                moves=_MOVES,
                **_OF_PROBLEM,
                lp=_positive,
                gamma=_positive,
            ),
        )
    ),
    "bounds.k_support_norm": Entry((_case(lambda t: bounds.k_support_norm(t, 2), ("t",), t=5),)),
    "bounds.relaxed_primal": Entry(
        (
            _case(
                lambda plan, cost, gamma: bounds.relaxed_primal(plan, cost, gamma, 2),
                ("plan", "cost", "gamma"),
                plan=_plan,
                cost=(4, 3),
                gamma=_positive,
            ),
        )
    ),
    "bounds.duality_gap": Entry(
        (
            _case(
                lambda cost, a, b, value, plan, gamma: bounds.duality_gap(_problem(cost, a, b), value, plan, gamma, 2),
                ("cost", "a", "b", "value", "plan", "gamma"),
                moves=_MOVES,
                **_OF_PROBLEM,
                value=_positive,
                plan=_plan,
                gamma=_positive,
            ),
        )
    ),
    "bounds.cost_unit": Entry(
        tuple(_case(lambda cost, u=u: bounds.cost_unit(cost, u), ("cost",), cost=(4, 3)) for u in ("mean", "largest"))
    ),
    "bounds.effective_strength": Entry(
        (
            _case(
                lambda b, lp, gamma: bounds.effective_strength(
                    _problem(jnp.ones((4, 3)), jnp.ones(4) / 4, b), lp, gamma
                ),
                ("b", "lp", "gamma"),
                b=_masses(3),
                lp=_positive,
                gamma=_positive,
            ),
        )
    ),
    "plans.ranked": Entry((_case(lambda plan: plans.ranked(plan, np.array([1, 3, 5])), ("plan",), plan=_plan),)),
    "plans.recoloured": Entry(
        (
            _case(
                lambda plan, x, y: plans.recoloured(plan, x, y, jnp.array([[0, 1]])),
                (),
                dict.fromkeys(("plan", "x", "y"), "colors are rounded"),
                plan=_plan,
                x=lambda rng: rng.random((4, 3)),
                y=lambda rng: rng.random((3, 3)),
            ),
        )
    ),
}

_, test_derivative = tests_of("ot", {**TABLE, **_MODULES})
