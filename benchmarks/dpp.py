"""Designs of least squares, and subsets of a finite set, side by side with DPPy in one process.

DPPy is no dependency of the lab; it is pure Python, and is measured if it can be imported:

    pip install --no-deps --target /tmp/dppy dppy
    PYTHONPATH=/tmp/dppy python -m benchmarks.dpp [--designs 2000] [--draws 1000] [--rounds 5]
        [--rules dpp ...] [--items 1000] [--large 20000]

``--tables`` prints instead the table of stability and error of each design for three functions, and of thinning.
Times are medians over rounds in which all take turns, in float64, compilation apart.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.report import Report, Times, clocked, options, turns
from lab import sampling
from lab.home import start
from lab.sampling import rules


def evaluate(basis: sampling.Product, f: Callable, found: sampling.Design) -> sampling.Fit:
    return _evaluate(basis, f, found.points, found.weights, found.used)


def _evaluate(basis, f, points, weights, used):
    one = lambda x, w, u: sampling.fit(basis(x), w, f(x), u)  # noqa: E731
    return jax.jit(jax.vmap(one))(points, weights, used)


def runge(x):
    return 1 / (1 + 25 * x[:, 0] ** 2)


def designs(report: Report, count: int, names: tuple[str, ...]) -> None:
    """All kinds of designs, each drawn, fitted and tested for stability."""
    basis = sampling.legendre(10)
    print(f"{count} designs of m = 10, n = 50, drawn and fitted   first (with compilation)   again")
    whole = again = 0.0
    for name in names:
        rule = sampling.named(name, 50, basis)

        def run(seed, rule=rule):
            return evaluate(basis, runge, sampling.sample(jax.random.key(seed), rule, basis, count)).lambda_min

        (first, _), (second, stable) = (clocked(lambda run=run, seed=seed: run(seed)) for seed in range(2))
        whole, again = whole + first, again + second
        print(f"  {name:16} {first:40.2f} s {second:14.2f} s", flush=True)
        times = {"lab": Times(first, [second], stable)}
        report.row({"designs": count, "rule": name, "m": 10, "n": 50}, times, stable=(stable >= 0.5).mean())
    print(f"  all of them {whole:44.2f} s {again:14.2f} s")


def subsets(report: Report, draws: int, rounds: int, n: int, m: int = 20) -> None:
    """A discrete projection DPP: Legendre functions on Gauss nodes."""
    basis = sampling.legendre(m)
    nodes, masses = basis.quadrature(n)
    rows = np.asarray(basis(nodes) * jnp.sqrt(masses)[:, None])
    ways = {
        method: lambda seed, method=method: sampling.subset(jax.random.key(seed), rows, method, draws)
        for method in ("chain", "rejection")
    }
    if report.has("DPPy", "dppy"):
        from dppy.finite_dpps import FiniteDPP

        def theirs(seed: int, mode: str):
            law = FiniteDPP("correlation", projection=True, K_eig_dec=(np.ones(m), rows))
            state = np.random.RandomState(seed)
            return np.array([law.sample_exact(mode=mode, random_state=state) for _ in range(draws)])

        ways |= {f"DPPy {mode}": lambda seed, mode=mode: theirs(seed, mode) for mode in ("GS", "GS_bis")}
    seeds = {name: iter(range(rounds + 1)) for name in ways}  # the same seeds for each
    times = turns({name: lambda name=name, run=run: run(next(seeds[name])) for name, run in ways.items()}, rounds)
    best = min(("chain", "rejection"), key=lambda name: times[name].median)
    print(f"{draws} draws of a projection DPP, N = {n}, m = {m}: median of {rounds} rounds [range]")
    for name, t in times.items():
        print(
            f"  {name:12} {t.median:8.3f} s [{min(t.spent):.3f}, {max(t.spent):.3f}], first call {t.first:.2f} s   "
            f"{t.median / times[best].median:6.1f} times our best"
        )
    wanted, apart = (rows**2).sum(axis=1), {}
    for name, run in ways.items():
        counts = np.bincount(np.concatenate([np.ravel(run(100 + i)) for i in range(4)]), minlength=n) / (4 * draws)
        apart[name] = abs(counts - wanted).max()
        print(f"  {name:12} inclusion frequencies off by at most {apart[name]:.3f} in {4 * draws} draws")
    report.row({"draws": draws, "N": n, "m": m}, {"lab": times[best], **times}, frequencies_apart=apart)


def large(report: Report, n: int) -> None:
    m = n // 100
    rows = np.linalg.qr(np.random.default_rng(0).normal(size=(n, m)))[0]
    for method in ("chain", "rejection"):
        run = lambda seed, method=method: sampling.subset(jax.random.key(seed), rows, method)  # noqa: E731
        (first, _), (again, items) = (clocked(lambda run=run, seed=seed: run(seed)) for seed in range(2))
        count = len(set(items.tolist()))
        print(f"one draw, N = {n}, m = {m}, {method}: {first:.2f} s, again {again:.2f} s; {count} distinct items")
        report.row({"N": n, "m": m, "method": method}, {"lab": Times(first, [again], items)}, distinct=count)


def table(
    report: Report, title: str, basis: sampling.Product, f: Callable, ratios: tuple[int, ...], nodes: int, count: int
) -> None:
    truth = sampling.truth(basis, f, nodes)
    print(f"{title}: best error {float(jnp.sqrt(truth.best)):.4g}")
    print("  n/m design           P(lmin >= .5)  median lmin  mean ratio  median ratio")
    for ratio in ratios:
        for name in rules.NAMES:
            rule = sampling.named(name, ratio * basis.m, basis)
            key = jax.random.key(ratio)
            seconds, found = clocked(lambda key=key, rule=rule: sampling.sample(key, rule, basis, count))
            fits = evaluate(basis, f, found)
            error = truth.squared_error(fits.coefficients) / truth.best
            print(
                f"  {ratio:3} {name:16} {float((fits.lambda_min >= 0.5).mean()):13.3f} "
                f"{float(jnp.median(fits.lambda_min)):12.3g} {float(error.mean()):11.4g} {float(jnp.median(error)):13.4g}",
                flush=True,
            )
            stable, mean = (fits.lambda_min >= 0.5).mean(), error.mean()
            size = {"table": title, "ratio": ratio, "rule": name, "designs": count}
            report.row(size, {"lab": seconds}, stable=stable, mean_ratio=mean, median_ratio=jnp.median(error))


def tables(report: Report, count: int) -> None:
    line = sampling.legendre(10)
    table(report, "Legendre m = 10, 1 / (1 + 25 x^2)", line, runge, (1, 2, 3, 5, 10), 400, count)
    hermite = sampling.hermite(10)
    table(report, "Hermite m = 10, 1 / (1 + x^2)", hermite, lambda x: 1 / (1 + x[:, 0] ** 2), (5,), 400, count)
    longer = sampling.legendre(20)
    table(report, "Legendre m = 20, |x|", longer, lambda x: jnp.abs(x[:, 0]), (5, 10), 4000, count)
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


def main(argv: list[str] | None = None) -> dict[str, Any]:
    numbers = {"designs": 2000, "draws": 1000, "rounds": 5, "items": 1000, "large": 20_000}
    given = options(__doc__, argv, rules=rules.NAMES, tables=False, **numbers)
    start()
    report = Report("dpp", given)
    if given.tables:
        tables(report, given.designs)
        return report.end()
    print(f"{jax.devices()[0]}, float64")
    designs(report, given.designs, given.rules)
    subsets(report, given.draws, given.rounds, given.items)
    large(report, given.large)
    return report.end()


if __name__ == "__main__":
    main()
