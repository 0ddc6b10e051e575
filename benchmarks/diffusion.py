"""A thousand starts x six samplers x six numbers of steps on three Gaussians in the plane, as one program.

Beside it the denoiser alone, asked as often as the samplers need it (2,835 times), and the exact flow by diffrax's Dopri8 with
tolerances of 1e-8, which the errors are measured from. Medians of some repeats; compilation apart.

    python -m benchmarks.diffusion [--starts 1000] [--repeats 5]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from lab import diffusion
from lab.diffusion import comparison, flow_maps
from lab.home import start
from lab.numerics.mixtures import Mixture

LAW = Mixture(
    [0.3, 0.5, 0.2],
    [[2.0, 0.0], [-1.0, 1.5], [-0.5, -2.0]],
    [[[0.2, 0.1], [0.1, 0.3]], [[0.4, 0.0], [0.0, 0.1]], [[0.15, -0.05], [-0.05, 0.25]]],
)


def clocked(run: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Seconds of the first call, and the median of those that follow."""
    spent = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        jax.block_until_ready(run())
        spent.append(time.perf_counter() - began)
    return spent[0], statistics.median(spent[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    start()
    law, vp = diffusion.Exact(LAW), diffusion.noise("vp")
    x = diffusion.start(vp, jax.random.key(0), given.starts, 2)
    first, flow = clocked(lambda: flow_maps.solved(law, vp, x, vp.last, vp.first, rtol=1e-8, atol=1e-8), given.repeats)
    print(f"exact flow by Dopri8: {flow:.2f} s, first {first:.1f} s")
    truth = flow_maps.solved(law, vp, x, vp.last, vp.first)
    first, whole = clocked(lambda: comparison.errors(law, vp, x, truth, "log-snr").error, given.repeats)
    asked = int(comparison.errors(law, vp, x, truth, "log-snr").calls.sum())

    @jax.jit
    def alone(x):
        return jax.lax.fori_loop(0, asked, lambda _, x: law(x, jnp.asarray(0.6), jnp.asarray(0.8)), x)

    _, bare = clocked(lambda: alone(x), given.repeats)
    print(
        f"six samplers x six counts: {whole:.2f} s, first {first:.1f} s; the denoiser alone, {asked} times: {bare:.2f} s"
    )


if __name__ == "__main__":
    main()
