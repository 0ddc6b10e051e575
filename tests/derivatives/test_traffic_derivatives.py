"""Derivatives of ``lab.traffic``."""

import jax.numpy as jnp
import numpy as np
from derivatives.entries import Case, Entry, tests_of

from lab import traffic
from lab.traffic import behaviour, clusters, forecasting, graphs, metrics, simulation, spectra, streams, windows

_MASK = np.array([True, True, False, True, True])
_JUMP = "a label jumps"


def _case(function, gradient=(), refused=None, **draw):
    """A case whose inputs are drawn by shape, or by a function of the generator."""

    def make(rng):
        drawn = {name: how(rng) if callable(how) else rng.normal(size=how) for name, how in draw.items()}
        return function, drawn

    return Case(make, gradient, refused or {})


def _positive(rng):
    return rng.uniform(0.5, 1.5)


def _laplacian(rng):
    weights = rng.uniform(0.5, 1.5, (5, 5))
    weights = np.triu(weights, 1) + np.triu(weights, 1).T
    return np.diag(weights.sum(0)) - weights


def _distinct(laplacian):
    return traffic.Spectrum(*jnp.linalg.eigh((laplacian + laplacian.T) / 2))


def _absent(positions):  # an agent that is not there has no position; another two are at one place
    return jnp.asarray(positions).at[2].set(jnp.nan).at[4].set(positions[3])


def _roads(rng):
    drawn = simulation.draw(3, 8)
    fields = {f"road_{name}": np.asarray(getattr(drawn.road, name)) for name in ("position", "heading", "speed")}
    fields |= {f"drivers_{name}": np.asarray(getattr(drawn.drivers, name)) for name in ("speed", "headway")}
    fields["drivers_speed"] = np.minimum(fields["drivers_speed"], 29.0)  # within the limit of speed

    def function(road_position, road_heading, road_speed, drivers_speed, drivers_headway, dt):
        road = drawn.road._replace(
            position=jnp.asarray(road_position), heading=jnp.asarray(road_heading), speed=jnp.asarray(road_speed)
        )
        drivers = drawn.drivers._replace(speed=jnp.asarray(drivers_speed), headway=jnp.asarray(drivers_headway))
        found = traffic.simulate(road, drivers, 4, 2, dt)
        return found.position, found.speed

    return function, {**fields, "dt": 0.1}


TABLE = {
    "ade": Entry(
        (_case(lambda apart: traffic.ade(apart, jnp.array([True, False])), ("apart",), apart=(2, 3)),), ("there",)
    ),
    "fde": Entry(
        (_case(lambda apart: traffic.fde(apart, jnp.array([True, False])), ("apart",), apart=(2, 3)),), ("there",)
    ),
    "adjacency": Entry(
        (
            _case(
                lambda positions, scale, radius: traffic.adjacency(positions, scale=scale, radius=radius),
                ("positions", "scale"),
                {"radius": "weights jump at the radius"},
                positions=(5, 2),
                scale=_positive,
                radius=lambda rng: 9.0,
            ),
            _case(
                lambda positions, scale: traffic.adjacency(_absent(positions), jnp.asarray(_MASK), scale=scale),
                ("positions", "scale"),
                positions=(5, 2),
                scale=_positive,
            ),
            _case(
                lambda positions: traffic.adjacency(positions, nearest=2, neighbours="nearest"),
                ("positions",),
                positions=(5, 2),
            ),
        ),
        ("mask", "nearest", "neighbours"),
    ),
    "align": Entry(
        (
            _case(traffic.align, ("vectors",), vectors=(3, 4, 2)),
            _case(lambda vectors: traffic.align(vectors, "procrustes"), ("vectors",), vectors=(3, 4, 2)),
        ),
        ("how",),
    ),
    "constant_velocity": Entry(
        (_case(lambda past: traffic.constant_velocity(past, 3), ("past",), past=(2, 3, 2)),), ("steps",)
    ),
    "cut": Entry(
        tuple(
            _case(
                lambda positions, turn=turn: traffic.cut(
                    positions, jnp.ones((6, 3), bool), np.array([0, 2]), 2, 2, turn
                ),
                ("positions",),
                positions=(6, 3, 2),
            )
            for turn in (False, True)
        ),
        ("mask", "first", "observed", "predicted", "turn"),
    ),
    "draw": Entry(
        (
            _case(
                lambda slow, fast: traffic.draw(0, 4, slow, fast).road,
                (),
                dict.fromkeys(("slow", "fast"), "sampling"),
                slow=lambda rng: 0.2,
                fast=lambda rng: 0.3,
            ),
        ),
        ("seed", "agents"),
    ),
    "embedding": Entry(
        (
            _case(lambda laplacian: traffic.embedding(_distinct(laplacian), 2), ("laplacian",), laplacian=_laplacian),
            _case(
                lambda laplacian: traffic.embedding(_distinct(laplacian), 2, jnp.asarray(_MASK)),
                ("laplacian",),
                laplacian=_laplacian,
            ),
        ),
        ("k", "mask"),
        {"found": "laplacian"},
    ),
    "kmeans": Entry(
        (_case(lambda points: traffic.kmeans(points, 2, jnp.asarray(_MASK)).centres, ("points",), points=(5, 2)),),
        ("k", "mask", "steps"),
    ),
    "label": Entry(
        (_case(traffic.label, (), dict.fromkeys(("rates", "threshold"), _JUMP), rates=4, threshold=_positive),)
    ),
    "laplacian": Entry((_case(traffic.laplacian, ("weights",), weights=(4, 4)),)),
    "rate": Entry((_case(traffic.rate, ("theta", "dt"), theta=(3, 4), dt=_positive),)),
    "ridge": Entry(
        (
            _case(
                lambda past, future, penalty: traffic.ridge(past, future, jnp.ones(6, bool), penalty),
                ("past", "future", "penalty"),
                past=(6, 2, 2),
                future=(6, 1, 2),
                penalty=_positive,
            ),
            _case(  # a window that does not count is NaN
                lambda past: traffic.ridge(past.at[0].set(jnp.nan), 2 * past, jnp.arange(6) > 0, 0.1),
                ("past",),
                past=(6, 2, 2),
            ),
        ),
        ("there",),
    ),
    "simulate": Entry(
        (
            Case(
                _roads,
                ("road_position", "road_heading", "road_speed", "drivers_speed", "dt"),
                step=1e-6,
            ),
        ),
        ("steps", "every"),
        {"road": "road_position", "drivers": "drivers_speed"},
    ),
    "spectrum": Entry(
        (
            _case(
                lambda laplacian: traffic.spectrum((laplacian + laplacian.T) / 2), ("laplacian",), laplacian=_laplacian
            ),
            _case(
                lambda laplacian: (
                    traffic.spectrum(
                        (laplacian + laplacian.T) / 2 * _MASK[:, None] * _MASK[None, :], jnp.asarray(_MASK)
                    ).values
                ),
                ("laplacian",),
                laplacian=_laplacian,
            ),
        ),
        ("mask",),
    ),
    # the modules
    "behaviour.recall": Entry((_case(lambda counts: behaviour.recall(counts**2), ("counts",), counts=(3, 3)),)),
    "behaviour.macro_recall": Entry(
        (_case(lambda counts: behaviour.macro_recall(counts**2), ("counts",), counts=(3, 3)),)
    ),
    "clusters.centres": Entry(
        (
            _case(
                lambda positions: clusters.centres(positions, jnp.array([0, 1, 0, 1, 1]), 2, jnp.asarray(_MASK)),
                ("positions",),
                positions=(5, 2),
            ),
        )
    ),
    "forecasting.missed": Entry(
        (
            _case(
                lambda told, truth: forecasting.missed(told, truth, jnp.ones(3, bool)),
                ("told", "truth"),
                told=(3, 2, 2),
                truth=(3, 2, 2),
            ),
        )
    ),
    "forecasting.turned": Entry(
        (_case(forecasting.turned, ("covariance", "heading"), covariance=(3, 2, 2, 2), heading=(3, 2)),)
    ),
    "graphs.cumulative": Entry((_case(graphs.cumulative, ("weights",), weights=(3, 4, 4)),)),
    "graphs.arrival": Entry(
        (_case(lambda laplacian, w: graphs.arrival(laplacian, w**2), ("laplacian", "w"), laplacian=(3, 3), w=3),)
    ),
    "metrics.distances": Entry(
        (
            _case(metrics.distances, ("told", "truth"), told=(3, 2), truth=(3, 2)),
            _case(  # one forecast is exact
                lambda told: metrics.distances(told * jnp.array([[0.0], [1.0]]), jnp.zeros((2, 2))),
                ("told",),
                told=(2, 2),
            ),
        )
    ),
    "metrics.rmse": Entry((_case(lambda apart: metrics.rmse(apart, jnp.ones(3, bool)), ("apart",), apart=(3, 2)),)),
    "simulation.idm": Entry(
        (
            _case(
                simulation.idm,
                ("speed", "wanted", "headway", "gap", "approach"),
                speed=_positive,
                wanted=_positive,
                headway=_positive,
                gap=_positive,
                approach=_positive,
            ),
        )
    ),
    "spectra.gaps": Entry((_case(spectra.gaps, ("values",), values=lambda rng: np.sort(rng.normal(size=4))),)),
    "spectra.low_rank_degree": Entry(
        (
            _case(
                lambda laplacian: spectra.low_rank_degree(spectra.largest(_distinct(laplacian), 2)),
                ("laplacian",),
                laplacian=_laplacian,
            ),
        )
    ),
    "streams.nll": Entry(
        (
            _case(
                lambda mean, sigma, rho, truth: streams.nll(streams.Gaussian(mean, sigma, rho), truth),
                ("mean", "sigma", "rho", "truth"),
                mean=(3, 2),
                sigma=lambda rng: rng.uniform(0.5, 1, (3, 2)),
                rho=lambda rng: rng.uniform(-0.5, 0.5, 3),
                truth=(3, 2),
            ),
        )
    ),
    "windows.headings": Entry(
        (
            _case(windows.headings, ("past",), past=(3, 2, 2)),
            _case(  # one agent stands still
                lambda past: windows.headings(past * jnp.array([0.0, 1.0, 1.0])[:, None, None]),
                ("past",),
                past=(3, 2, 2),
            ),
        )
    ),
}

test_every_public_function_and_argument_is_listed, test_derivative = tests_of("traffic", TABLE)
