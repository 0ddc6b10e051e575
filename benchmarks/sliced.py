"""The sliced distance W2 of two clouds, and its slope, beside POT's ``sliced_wasserstein_distance``; growth with n.

The same clouds, directions and power, in float64. POT's value is by NumPy; the slope is ours alone (value and slope), since POT
needs another library for that. Runs are interleaved, medians told, compilation apart.

    python -m benchmarks.sliced [--sizes 1000 10000 100000] [--dimensions 3 64] [--directions 100] [--repeats 5]
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.report import Report, options, turns
from lab.home import start
from lab.ot import sliced


def main(argv: list[str] | None = None) -> dict[str, Any]:
    given = options(__doc__, argv, sizes=[1000, 10_000, 100_000], dimensions=[3, 64], directions=100, repeats=5)
    start()
    report = Report("sliced", given)
    peer = report.has("POT", "ot")
    value = jax.jit(lambda x, y, theta: sliced.sliced(x, y, theta).value)
    slope = jax.jit(jax.value_and_grad(lambda x, y, theta: sliced.sliced(x, y, theta).value))
    for d in given.dimensions:
        before: dict[str, float] = {}
        for n in given.sizes:
            random = np.random.default_rng(n)
            x, y = random.normal(size=(n, d)), random.normal(size=(n, d)) * np.linspace(0.5, 2, d) + 1
            theta = np.asarray(sliced.directions(jax.random.key(0), given.directions, d))
            ours = tuple(jnp.asarray(each) for each in (x, y, theta))
            runs: dict[str, Any] = {
                "lab": lambda ours=ours: value(*ours),
                "lab, with the slope": lambda ours=ours: slope(*ours)[0],
            }
            if peer:
                import ot as pot

                runs["POT"] = lambda x=x, y=y, theta=theta: pot.sliced_wasserstein_distance(x, y, projections=theta.T)
            times = turns(runs, given.repeats)
            apart = {name: abs(float(each.result) - float(times["lab"].result)) for name, each in times.items()}
            print(f"d = {d}, n = {n:,}; first call {times['lab'].first:.1f} s")
            for name, each in times.items():
                grew = f", {each.median / before[name]:.1f} times the size before" if before else ""
                ratio = each.median / times["lab"].median
                print(
                    f"  {name:20} {1e3 * each.median:9.1f} ms, ratio {ratio:.2f}{grew}; values differ by {apart[name]:.1e}"
                )
            report.row({"n": n, "d": d}, times, apart=apart)
            before = {name: each.median for name, each in times.items()}
    return report.end()


if __name__ == "__main__":
    main()
