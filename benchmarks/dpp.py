"""Designs of least squares, and subsets of a finite set, side by side with DPPy in one process.

DPPy is no dependency of the lab; it is pure Python, and is measured if it can be imported:

    pip install --no-deps --target /tmp/dppy dppy
    PYTHONPATH=/tmp/dppy python -m benchmarks.dpp [--designs 2000] [--draws 1000] [--rounds 5]

``--tables`` prints instead the table of stability and error of each design for three functions, and of thinning.
Times are medians over rounds in which all take turns, in float64, compilation apart.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from lab import sampling
from lab.home import start
from lab.sampling import rules


def clock(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    jax.block_until_ready(run())
    return time.perf_counter() - began


def evaluate(basis: sampling.Product, f: Callable, found: sampling.Design) -> sampling.Fit:
    return _evaluate(basis, f, found.points, found.weights, found.used)


def _evaluate(basis, f, points, weights, used):
    one = lambda x, w, u: sampling.fit(basis(x), w, f(x), u)  # noqa: E731
    return jax.jit(jax.vmap(one))(points, weights, used)


def runge(x):
    return 1 / (1 + 25 * x[:, 0] ** 2)


def designs(count: int) -> None:
    """Five kinds of designs, each drawn, fitted and tested for stability."""
    basis = sampling.legendre(10)
    began = time.perf_counter()
    print(f"{count} designs of m = 10, n = 50, drawn and fitted   first (with compilation)   again")
    again = 0.0
    for name in rules.NAMES:
        rule = sampling.named(name, 50, basis)

        def run(seed, rule=rule):
            return evaluate(basis, runge, sampling.sample(jax.random.key(seed), rule, basis, count)).lambda_min

        times = [clock(lambda run=run, seed=seed: run(seed)) for seed in range(2)]
        again += times[1]
        print(f"  {name:16} {times[0]:40.2f} s {times[1]:14.2f} s", flush=True)
    whole = time.perf_counter() - began - again
    print(f"  all five {whole:47.2f} s {again:14.2f} s")


def subsets(draws: int, rounds: int, n: int = 1000, m: int = 20) -> None:
    """A discrete projection DPP: Legendre functions on Gauss nodes."""
    basis = sampling.legendre(m)
    nodes, masses = basis.quadrature(n)
    rows = np.asarray(basis(nodes) * jnp.sqrt(masses)[:, None])
    ways = {
        method: lambda seed, method=method: sampling.subset(jax.random.key(seed), rows, method, draws)
        for method in ("chain", "rejection")
    }
    for name, run in ways.items():
        print(f"  {name:12} first call {clock(lambda run=run: run(0)):.2f} s")
    try:
        from dppy.finite_dpps import FiniteDPP
    except ImportError:
        print("  DPPy is not installed here: see the docstring")
    else:

        def theirs(seed: int, mode: str):
            law = FiniteDPP("correlation", projection=True, K_eig_dec=(np.ones(m), rows))
            state = np.random.RandomState(seed)
            return np.array([law.sample_exact(mode=mode, random_state=state) for _ in range(draws)])

        ways |= {f"DPPy {mode}": lambda seed, mode=mode: theirs(seed, mode) for mode in ("GS", "GS_bis")}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for seed in range(1, rounds + 1):
        for name, run in ways.items():
            times[name].append(clock(lambda run=run, seed=seed: run(seed)))
    middle = {name: statistics.median(t) for name, t in times.items()}
    best = min(middle[name] for name in ("chain", "rejection"))
    print(f"{draws} draws of a projection DPP, N = {n}, m = {m}: median of {rounds} rounds [range]")
    for name, t in times.items():
        print(
            f"  {name:12} {middle[name]:8.3f} s [{min(t):.3f}, {max(t):.3f}]   {middle[name] / best:6.1f} times our best"
        )
    wanted = (rows**2).sum(axis=1)
    for name, run in ways.items():
        counts = np.bincount(np.concatenate([np.ravel(run(100 + i)) for i in range(4)]), minlength=n) / (4 * draws)
        print(f"  {name:12} inclusion frequencies off by at most {abs(counts - wanted).max():.3f} in {4 * draws} draws")


def large(n: int = 20_000, m: int = 200) -> None:
    rows = np.linalg.qr(np.random.default_rng(0).normal(size=(n, m)))[0]
    for method in ("chain", "rejection"):
        run = lambda seed, method=method: sampling.subset(jax.random.key(seed), rows, method)  # noqa: E731
        first, again = (clock(lambda run=run, seed=seed: run(seed)) for seed in range(2))
        count = len(set(run(1).tolist()))
        print(f"one draw, N = {n}, m = {m}, {method}: {first:.2f} s, again {again:.2f} s; {count} distinct items")


def table(title: str, basis: sampling.Product, f: Callable, ratios: tuple[int, ...], nodes: int, count: int) -> None:
    truth = sampling.truth(basis, f, nodes)
    print(f"{title}: best error {float(jnp.sqrt(truth.best)):.4g}")
    print("  n/m design           P(lmin >= .5)  median lmin  mean ratio  median ratio")
    for ratio in ratios:
        for name in rules.NAMES:
            rule = sampling.named(name, ratio * basis.m, basis)
            found = sampling.sample(jax.random.key(ratio), rule, basis, count)
            fits = evaluate(basis, f, found)
            error = truth.squared_error(fits.coefficients) / truth.best
            print(
                f"  {ratio:3} {name:16} {float((fits.lambda_min >= 0.5).mean()):13.3f} "
                f"{float(jnp.median(fits.lambda_min)):12.3g} {float(error.mean()):11.4g} {float(jnp.median(error)):13.4g}",
                flush=True,
            )


def tables(count: int) -> None:
    line = sampling.legendre(10)
    table("Legendre m = 10, 1 / (1 + 25 x^2)", line, runge, (1, 2, 3, 5, 10), 400, count)
    table("Hermite m = 10, 1 / (1 + x^2)", sampling.hermite(10), lambda x: 1 / (1 + x[:, 0] ** 2), (5,), 400, count)
    table("Legendre m = 20, |x|", sampling.legendre(20), lambda x: jnp.abs(x[:, 0]), (5, 10), 4000, count)
    truth = sampling.truth(line, runge, 400)
    print("conditioned on lmin >= .5 and thinned: n at start, tries, n, mean and median ratio")
    for name, n in (("dpp", 30), ("dpp", 50), ("iid-optimal", 100)):
        rule = sampling.Thinned(sampling.Conditioned(sampling.named(name, n, line)))
        found = sampling.sample(jax.random.key(n), rule, line, 200)
        error = truth.squared_error(evaluate(line, runge, found).coefficients) / truth.best
        print(
            f"  {name:12} {n:4} {float(found.tries.mean()):6.2f} {float(found.n.mean()):6.1f} "
            f"[{int(found.n.min())}, {int(found.n.max())}] {float(error.mean()):6.2f} {float(jnp.median(error)):6.2f}"
        )


def main(count: int = 2000, draws: int = 1000, rounds: int = 5):
    start()
    print(f"{jax.devices()[0]}, float64")
    designs(count)
    subsets(draws, rounds)
    large()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--designs", type=int, default=2000)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tables", action="store_true")
    given = parser.parse_args()
    if given.tables:
        start()
        tables(given.designs)
    else:
        main(given.designs, given.draws, given.rounds)
