"""Semi-discrete transport of N(0, I) to 5,000 points in 16 dimensions, beside OTT's ``solve_semidiscrete`` on one budget.

Both draw the same number of points in as many iterations, with exact assignment (epsilon = 0) and equal weights. OTT is given
Adam by optax with the same falling rate, from the same start, and an average of its last potentials (of weight 0.05, which was
not tuned: its default of 0.99 hardly averages, 0.01 would remember the start of so short a run). Then the masses of both on a
million fresh points, the same for both: their total variation from equal masses, beside the floor that right masses have. Runs
are interleaved, medians told, compilation apart.

    python -m benchmarks.semidiscrete [--targets 5000] [--dimension 16] [--iterations 200] [--batch 4096] [--repeats 3]
"""

import statistics
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.report import Report, Times, clocked, options
from lab.home import start
from lab.ot import semidiscrete

_EMA = 0.05  # the weight of a new potential in OTT's average, which then is of some twenty


def apart(heights: Any, y: Any, points: int) -> float:
    """Total variation of the masses on the same fresh points."""
    m, d = y.shape
    source, block = semidiscrete.Gaussian(d), min(50_000, points)

    @jax.jit
    def counted(key):
        return jnp.zeros(m).at[semidiscrete.assign(heights, y, source(key, block))].add(1.0)

    keys = jax.random.split(jax.random.key(123), points // block)
    return float(jnp.abs(sum(counted(key) for key in keys) / points - 1 / m).sum() / 2)


def otts(y: Any, begin: Any, rate: float, given: Any) -> dict[str, Callable[[Any], Any]]:
    """OTT's solver in both precisions: a key in, heights out."""
    import optax
    from ott.geometry import costs, semidiscrete_pointcloud
    from ott.problems.linear.semidiscrete_linear_problem import SemidiscreteLinearProblem
    from ott.solvers.linear.semidiscrete import SemidiscreteSolver

    steps = given.iterations
    geometries = {
        name: semidiscrete_pointcloud.SemidiscretePointCloud(
            lambda rng, shape, dtype=None: jax.random.normal(rng, shape, dtype or jnp.float64),
            y.astype(dtype),
            cost_fn=costs.SqEuclidean(),
            epsilon=0.0,
        )
        for name, dtype in (("OTT", jnp.float64), ("OTT, float32", jnp.float32))
    }
    # a potential is twice a height and a square: so is its rate
    optimizer = optax.adam(lambda count: 2 * rate * 10.0 ** (-3.0 * count / steps), b1=0.9, b2=0.99)
    lengths = (y**2).sum(axis=1)

    def theirs(name: str) -> Callable[[Any], Any]:
        geometry, dtype = geometries[name], geometries[name].dtype
        first = jnp.asarray(2 * begin + lengths, dtype)

        solver = SemidiscreteSolver(
            num_iterations=steps,
            batch_size=given.batch,
            optimizer=optimizer,
            error_eval_every=steps,  # once, at the end
            error_num_repeats=1,
            threshold=0.0,
            potential_ema=_EMA,
        )
        problem = SemidiscreteLinearProblem(geometry)
        solved = jax.jit(lambda key: solver(key, problem, g_init=first).g)

        def run(key):
            with jax.numpy_rank_promotion("allow"):
                return (solved(key).astype(y.dtype) - lengths) / 2

        return run

    return {name: theirs(name) for name in geometries}


def main(argv: list[str] | None = None) -> dict[str, Any]:
    settings = {"iterations": 200, "batch": 4096, "repeats": 3, "tested": 1_000_000}
    given = options(__doc__, argv, targets=5000, dimension=16, **settings)
    start()
    report = Report("semidiscrete", given)
    y = jnp.asarray(np.random.default_rng(0).normal(size=(given.targets, given.dimension)))
    source, spread = semidiscrete.Gaussian(given.dimension), float(jnp.sqrt(y.var(axis=0).sum()))
    begin = semidiscrete.matched(source, y, jax.random.key(0))
    steps, rate = given.iterations, 0.02 * spread

    def ours(key: Any) -> Any:
        found = semidiscrete.by_samples(
            source, y, key=key, iterations=steps, batch=given.batch, rate=rate, heights=begin, tested=1
        )
        return found.heights

    solvers: dict[str, Callable[[Any], Any]] = {"lab": ours}
    if report.has("OTT", "ott"):
        solvers |= otts(y, begin, rate, given)
    compiled = {name: clocked(lambda solve=solve: solve(jax.random.key(99)))[0] for name, solve in solvers.items()}
    spent: dict[str, list[float]] = {name: [] for name in solvers}
    missed: dict[str, list[float]] = {name: [] for name in solvers}
    for turn in range(given.repeats):
        for name, solve in solvers.items():
            seconds, heights = clocked(lambda solve=solve, turn=turn: solve(jax.random.key(turn)))
            spent[name].append(seconds)
            missed[name].append(apart(heights, y, given.tested))
    floor = float(semidiscrete.floor(jnp.full(given.targets, 1 / given.targets), given.tested).total_variation)
    drawn = float(semidiscrete.floor(jnp.full(given.targets, 1 / given.targets), steps * given.batch).total_variation)
    print(
        f"{jax.devices()[0]}, {given.targets} targets, {given.dimension} axes, {steps} iterations of {given.batch} points"
    )
    first = apart(begin, y, given.tested)
    print(f"start: TV {first:.3f}; floor of the estimate {floor:.4f}, of all points drawn {drawn:.4f}")
    base = statistics.median(spent["lab"])
    for name, times in spent.items():
        middle = statistics.median(times)
        print(
            f"{name:13} {middle:7.2f} s [{min(times):.2f}, {max(times):.2f}], ratio {middle / base:.2f}, "
            f"TV {statistics.median(missed[name]):.4f} [{min(missed[name]):.4f}, {max(missed[name]):.4f}], "
            f"first call {compiled[name]:.1f} s",
            flush=True,
        )
    times = {name: Times(compiled[name], each, None) for name, each in spent.items()}
    size = {"targets": given.targets, "d": given.dimension, "iterations": steps, "batch": given.batch}
    report.row(
        size, times, total_variation={name: statistics.median(each) for name, each in missed.items()}, floor=floor
    )
    return report.end()


if __name__ == "__main__":
    main()
