"""The sliced distance W2 of two clouds, and its slope, beside POT's ``sliced_wasserstein_distance``; growth with n.

The same clouds, directions and power, in float64. POT's value is by NumPy; the slope is ours alone (value and slope), since POT
needs another library for that. Runs are interleaved, medians told, compilation apart.

    python -m benchmarks.sliced [--sizes 1000 10000 100000] [--dimensions 3 64] [--directions 100] [--repeats 5]
"""

import argparse
import statistics
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import ot as pot

from lab.home import start
from lab.ot import sliced


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--dimensions", type=int, nargs="+", default=[3, 64])
    parser.add_argument("--directions", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    start()
    jax.config.update("jax_enable_x64", True)
    value = jax.jit(lambda x, y, theta: sliced.sliced(x, y, theta).value)
    slope = jax.jit(jax.value_and_grad(lambda x, y, theta: sliced.sliced(x, y, theta).value))
    for d in given.dimensions:
        before: dict[str, float] = {}
        for n in given.sizes:
            random = np.random.default_rng(n)
            x, y = random.normal(size=(n, d)), random.normal(size=(n, d)) * np.linspace(0.5, 2, d) + 1
            theta = np.asarray(sliced.directions(jax.random.key(0), given.directions, d))
            ours = tuple(jnp.asarray(each) for each in (x, y, theta))
            ways: dict[str, Any] = {
                "lab": lambda ours=ours: jax.block_until_ready(value(*ours)),
                "POT": lambda x=x, y=y, theta=theta: pot.sliced_wasserstein_distance(x, y, projections=theta.T),
                "with slope": lambda ours=ours: jax.block_until_ready(slope(*ours))[0],
            }
            first, found, clock = {}, {}, {name: [] for name in ways}
            for name, way in ways.items():
                began = time.perf_counter()
                found[name] = float(way())
                first[name] = time.perf_counter() - began
            for _ in range(given.repeats):
                for name, way in ways.items():
                    began = time.perf_counter()
                    way()
                    clock[name].append(time.perf_counter() - began)
            median = {name: statistics.median(seconds) for name, seconds in clock.items()}
            grew = (
                f"; {median['lab'] / before['lab']:.1f} and {median['POT'] / before['POT']:.1f} times the size before"
                if before
                else ""
            )
            print(
                f"d = {d}, n = {n:,}: {1e3 * median['lab']:.1f} ms, POT {1e3 * median['POT']:.1f} ms "
                f"({median['POT'] / median['lab']:.2f} times), with the slope {1e3 * median['with slope']:.1f} ms{grew}; first "
                f"call {first['lab']:.1f} s; values differ by {abs(found['lab'] - found['POT']):.1e}"
            )
            before = median


if __name__ == "__main__":
    main()
