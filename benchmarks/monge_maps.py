"""A step of learning a Monge map, beside the same step by OTT's ``monge_gap_from_samples`` and ``sinkdiv``.

Same network, weights, batches, epsilons, threshold of the marginals (1e-3, L1) and Adam of optax, in float32; of the step a
value and a gradient. Neither has the term of the targets alone. OTT's part of neural methods wants flax, which the lab does not
install: ``pip install flax``. Runs are interleaved, medians told, compilation apart; then how near the two gradients are.

    python -m benchmarks.monge_maps [--batch 256] [--dimensions 2 16 64] [--steps 50] [--repeats 5]
"""

import argparse
import statistics
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ott.tools import sinkhorn_divergence

from lab.home import start
from lab.ot import maps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--dimensions", type=int, nargs="+", default=[2, 16, 64])
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    start()
    jax.config.update("jax_enable_x64", False)  # in which OTT mixes its types otherwise
    from ott.neural.methods.monge_gap import monge_gap_from_samples

    for d in given.dimensions:
        random = np.random.default_rng(d)
        x = random.normal(size=(4096, d)).astype(np.float32)
        y = (random.normal(size=(4096, d)) * np.linspace(0.3, 2, d) + 2).astype(np.float32)
        objective = maps.prepare(jax.random.key(0), x, y, form="residual", batch=given.batch)
        network = objective.map.network
        fit, gap = float(objective.fit_epsilon), float(objective.gap_epsilon)

        def theirs(network: Any, key: Any, objective: Any = objective, fit: float = fit, gap: float = gap) -> Any:
            of_x, of_y, _ = jax.random.split(key, 3)
            x, y = (maps.draw(s, k, given.batch) for s, k in ((objective.source, of_x), (objective.target, of_y)))
            moved = x + jax.vmap(network)(x)
            apart, _ = sinkhorn_divergence.sinkdiv(
                moved, y, epsilon=fit, static_b=True, solve_kwargs={"threshold": 1e-3, "max_iterations": 2000}
            )
            extra: Any = monge_gap_from_samples(x, moved, epsilon=gap, threshold=1e-3, max_iterations=2000)
            return apart + extra

        ways = {"lab": jax.jit(jax.value_and_grad(objective.loss)), "OTT": jax.jit(jax.value_and_grad(theirs))}
        keys = jax.random.split(jax.random.key(1), given.steps)
        clock: dict[str, list[float]] = {name: [] for name in ways}
        slopes = {}
        with jax.numpy_rank_promotion("allow"):
            for name, way in ways.items():
                began = time.perf_counter()
                slopes[name] = jax.block_until_ready(way(network, keys[0]))[1]
                print(f"d = {d}: {name} compiles and steps once in {time.perf_counter() - began:.1f} s")
            for _ in range(given.repeats):
                for name, way in ways.items():
                    began = time.perf_counter()
                    for key in keys:
                        jax.block_until_ready(way(network, key))
                    clock[name].append((time.perf_counter() - began) / given.steps)
        mine, other = (jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(slopes[name])]) for name in ways)
        median = {name: statistics.median(seconds) for name, seconds in clock.items()}
        print(
            f"d = {d}: a step of {given.batch} points takes {1e3 * median['lab']:.1f} ms, OTT {1e3 * median['OTT']:.1f} ms: "
            f"{median['OTT'] / median['lab']:.2f} times; the gradients differ by "
            f"{float(jnp.linalg.norm(mine - other) / jnp.linalg.norm(other)):.1e} of theirs"
        )


if __name__ == "__main__":
    main()
