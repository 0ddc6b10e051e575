"""A thousand starts x six samplers x six numbers of steps on three Gaussians in the plane, as one program.

Beside it the denoiser alone, asked as often as the samplers need it (2,835 times), and the exact flow by diffrax's Dopri8 with
tolerances of 1e-8, which the errors are measured from. Medians of some repeats; compilation apart.

    python -m benchmarks.diffusion [--starts 1000] [--repeats 5]
"""

from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.report import Report, options, turns
from lab import diffusion
from lab.diffusion import flow_maps
from lab.home import start
from lab.numerics.mixtures import Mixture
from lab.studies.diffusion import sampler_comparison

LAW = Mixture(
    [0.3, 0.5, 0.2],
    [[2.0, 0.0], [-1.0, 1.5], [-0.5, -2.0]],
    [[[0.2, 0.1], [0.1, 0.3]], [[0.4, 0.0], [0.0, 0.1]], [[0.15, -0.05], [-0.05, 0.25]]],
)


def main(argv: list[str] | None = None) -> dict[str, Any]:
    given = options(__doc__, argv, starts=1000, repeats=5)
    start()
    law, vp = diffusion.Exact(LAW), diffusion.noise("vp")
    x = diffusion.start(vp, jax.random.key(0), given.starts, 2)
    truth = flow_maps.solved(law, vp, x, vp.last, vp.first)
    asked = int(sampler_comparison.errors(law, vp, x, truth, "log-snr").calls.sum())

    @jax.jit
    def alone(x):
        return jax.lax.fori_loop(0, asked, lambda _, x: law(x, jnp.asarray(0.6), jnp.asarray(0.8)), x)

    runs = {
        "exact flow by Dopri8": lambda: flow_maps.solved(law, vp, x, vp.last, vp.first, rtol=1e-8, atol=1e-8),
        "lab": lambda: sampler_comparison.errors(law, vp, x, truth, "log-snr").error,
        "denoiser alone": lambda: alone(x),
    }
    times = {name: turns({name: run}, given.repeats)[name] for name, run in runs.items()}
    (flow, whole, bare), report = times.values(), Report("diffusion", given)
    print(f"exact flow by Dopri8: {flow.median:.2f} s, first {flow.first:.1f} s")
    print(
        f"six samplers x six counts: {whole.median:.2f} s, first {whole.first:.1f} s; the denoiser alone, {asked} times: "
        f"{bare.median:.2f} s"
    )
    report.row({"starts": given.starts}, times, evaluations=asked)
    return report.end()


if __name__ == "__main__":
    main()
