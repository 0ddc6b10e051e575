"""Values of independent computations of the search over starts."""

from collections.abc import Callable
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from lab import datasets, diffusion
from lab.clustering.mixtures import fitted
from lab.diffusion import boundary, sharing
from lab.diffusion import boundary_theory as theory
from lab.diffusion.conditional import conditional
from lab.diffusion.samplers import DDIM
from lab.numerics.mixtures import Mixture
from lab.studies.contract import Claim, one_run
from lab.studies.vocabulary import Measure, number, of

_TABLE = {  # steps, metric: candidates, random, searched, zero, ancestral
    (5, "mse"): (200, 0.0831, 0.0729, 0.0582, 0.0750),
    (10, "mse"): (200, 0.0982, 0.0819, 0.0582, 0.0909),
    (40, "mse"): (100, 0.1161, 0.0905, 0.0593, 0.1111),
    (10, "perc"): (200, 0.1571, 0.1283, 0.0992, 0.1423),
    (40, "perc"): (100, 0.1824, 0.1416, 0.0998, 0.1737),
}
_COLUMNS = {"random": "a random start", "zero": "x_T = 0", "ancestral": "ancestral sampling"}
_LINE = {-1.2: -0.0010, -0.4: -0.110, 0.0: -0.744, 0.3: 0.135, 0.9: 0.0027}
_SETS = 5  # of candidates, whose best are averaged
_SEEDS = range(5)


def _known(value: Callable[[], float]) -> Measure:
    """What no run of the study is needed for."""
    return Measure(lambda runs: float(value()))


@cache
def _bed() -> tuple:
    """The images of the table: 1400 to fit, 50 to search, 200 to test."""
    pixels = datasets.resolve("digit-images", "images", seed=0).arrays["pixels"].reshape(-1, 64).astype(float)
    law = fitted(jnp.asarray(pixels[:1400]), 10, jax.random.key(0), least=0.02).mixture
    pool = np.kron(np.eye(4), [[0.5, 0.5]])
    operator = np.kron(pool, pool)
    made, z = conditional(law, operator, 0.02), pixels[1400:1650]
    y = z @ operator.T + 0.02 * np.random.default_rng(0).normal(size=(250, 16))
    return jax.tree.map(lambda each: each.astype(jnp.float32), (made, jnp.asarray(z), made.given(jnp.asarray(y))))


@cache
def _scores(steps: int, k: int) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    made, z, given = _bed()
    vp = diffusion.noise("vp")
    walk = boundary.Walk(made, vp, diffusion.grid(vp, steps), DDIM())
    starts = boundary.candidates(jax.random.key(0), _SETS * k, 64).astype(jnp.float32)
    starts = jnp.concatenate([starts, jnp.zeros_like(starts[:1])])
    gradients = boundary.Gradients(8, 8)
    found = boundary.search(walk, starts, z, given, also=(gradients,))
    noisy = boundary.Walk(made, vp, walk.times, DDIM(1.0))
    draw = jax.jit(jax.vmap(lambda given, key: noisy.drawn(starts[0], given, key)))
    drawn = jnp.stack([draw(given, jax.random.split(jax.random.key(seed), 250))[50:] for seed in range(4)])
    by_name = {"mse": boundary.squared, "perc": gradients}
    ancestral = {
        name: float(jax.vmap(jax.vmap(each), (0, None))(drawn, z[50:]).mean()) for name, each in by_name.items()
    }
    return {"mse": np.asarray(found.scores), "perc": np.asarray(found.also[0])}, ancestral


def _entry(steps: int, metric: str, column: str) -> Measure:
    """An entry of the table; of the best of K draws the mean over sets of candidates."""

    def measured() -> float:
        k = _TABLE[steps, metric][0]
        scores, ancestral = _scores(steps, k)
        table = scores[metric]
        if column == "ancestral":
            return ancestral[metric]
        if column == "zero":
            return float(table[50:, -1].mean())
        if column == "random":
            return float(table[50:, :-1].mean())
        sets = [table[:, i * k : (i + 1) * k] for i in range(_SETS)]
        return float(np.mean([each[50:, each[:50].mean(axis=0).argmin()].mean() for each in sets]))

    return _known(measured)


def _halves(steps: int) -> Measure:
    def measured() -> float:
        scores = _scores(steps, _TABLE[steps, "mse"][0])[0]["mse"][:50, :200]
        return float(sharing.halves(jnp.asarray(scores), jax.random.key(0)))

    return _known(measured)


def _optimum(y: float) -> Measure:
    prior = lambda: Mixture([0.5, 0.5], [[-1.0], [1.0]], [0.04, 0.09])  # noqa: E731
    return _known(lambda: float(theory.line_optimum(prior(), 0.5, jnp.asarray([y]))[0]))


CHECKS = one_run(
    "no training: means over images, sets of candidates and draws",
    (
        Claim(
            "gradients",
            "Gradient descent on the sphere finds a start with an error more than 10% below the searched start.",
            number("refined"),
            0.9 * number("searched"),
            "independent computation",
            "<",
            seeds=_SEEDS,
        ),
        Claim(
            "halving",
            "Successive halving selects one of the best five candidates.",
            of(lambda run: run.halving_rank),
            4.0,
            "Jamieson, Talwalkar 2016",
            "<=",
            seeds=_SEEDS,
        ),
        *(
            Claim(
                f"line-{i}",
                f"On a line at y = {y:g} the optimal start is {x:g}.",
                _optimum(y),
                x,
                "quantile of the mode",
                tolerance=6e-4,
            )
            for i, (y, x) in enumerate(_LINE.items())
        ),
        *(
            Claim(
                f"table-{metric}-{steps}-{name}",
                f"{steps} steps, {metric}: {words} scores {value:g}.",
                _entry(steps, metric, name),
                value,
                "independent computation on digits",
                tolerance=0.05,
                relative=True,
                quick=False,
            )
            for (steps, metric), (_, random, _, zero, ancestral) in _TABLE.items()
            for (name, words), value in zip(_COLUMNS.items(), (random, zero, ancestral), strict=True)
        ),
        *(
            Claim(
                f"table-{metric}-{steps}-searched",
                f"{steps} steps, {metric}: the best of {row[0]} scores {row[2]:g}.",
                _entry(steps, metric, "searched"),
                row[2],
                "independent computation; one draw of a best of K, whose deviation is 5 to 8%: the mean of five is compared",
                tolerance=0.12,
                relative=True,
                quick=False,
            )
            for (steps, metric), row in _TABLE.items()
        ),
        Claim(
            "table-halves",
            "In 40 steps the rank correlation of two halves of 50 images is .83.",
            _halves(40),
            0.83,
            "independent computation",
            tolerance=0.1,
            quick=False,
        ),
    ),
)
