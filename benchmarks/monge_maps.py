"""A step of learning a Monge map, beside the same step by OTT's ``monge_gap_from_samples`` and ``sinkdiv``.

Same network, weights, batches, epsilons, threshold of the marginals (1e-3, L1) and Adam of optax, in float32; of the step a
value and a gradient. Neither has the term of the targets alone. OTT's part of neural methods wants flax, which the lab does not
install: ``pip install flax``. Runs are interleaved, medians told, compilation apart; then how near the two gradients are.

    python -m benchmarks.monge_maps [--batch 256] [--dimensions 2 16 64] [--steps 50] [--repeats 5]
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.report import Report, Times, clocked, options, turns
from lab.home import start
from lab.ot import maps


def main(argv: list[str] | None = None) -> dict[str, Any]:
    given = options(__doc__, argv, batch=256, dimensions=[2, 16, 64], steps=50, repeats=5)
    start()
    report = Report("monge_maps", given)
    peer = report.has("OTT", "ott") and report.has("OTT", "flax")
    with jax.enable_x64(False), jax.numpy_rank_promotion("allow"):  # OTT mixes its types in float64
        measure(given, report, peer)
    return report.end()


def measure(given: Any, report: Report, peer: bool) -> None:
    """One row for each dimension."""
    for d in given.dimensions:
        random = np.random.default_rng(d)
        x = random.normal(size=(4096, d)).astype(np.float32)
        y = (random.normal(size=(4096, d)) * np.linspace(0.3, 2, d) + 2).astype(np.float32)
        objective = maps.prepare(jax.random.key(0), x, y, form="residual", batch=given.batch)
        network = objective.map.network
        fit, gap = float(objective.fit_epsilon), float(objective.gap_epsilon)

        def theirs(network: Any, key: Any, objective: Any = objective, fit: float = fit, gap: float = gap) -> Any:
            from ott.neural.methods.monge_gap import monge_gap_from_samples
            from ott.tools import sinkhorn_divergence

            of_x, of_y, _ = jax.random.split(key, 3)
            x, y = (maps.draw(s, k, given.batch) for s, k in ((objective.source, of_x), (objective.target, of_y)))
            moved = x + jax.vmap(network)(x)
            apart, _ = sinkhorn_divergence.sinkdiv(
                moved, y, epsilon=fit, static_b=True, solve_kwargs={"threshold": 1e-3, "max_iterations": 2000}
            )
            extra: Any = monge_gap_from_samples(x, moved, epsilon=gap, threshold=1e-3, max_iterations=2000)
            return apart + extra

        losses = {"lab": objective.loss} | ({"OTT": theirs} if peer else {})
        ways = {name: jax.jit(jax.value_and_grad(loss)) for name, loss in losses.items()}
        keys = jax.random.split(jax.random.key(1), given.steps)
        first, slopes = {}, {}
        for name, way in ways.items():
            first[name], (_, slope) = clocked(partial(way, network, keys[0]))
            slopes[name] = jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(slope)])

        def steps(way: Any, network: Any = network, keys: Any = keys) -> None:
            for key in keys:
                jax.block_until_ready(way(network, key))

        rounds = turns({name: lambda way=way: steps(way) for name, way in ways.items()}, given.repeats)
        times = {name: Times(first[name], [s / given.steps for s in each.spent], None) for name, each in rounds.items()}
        print(f"d = {d}, {given.steps} steps of {given.batch} points")
        apart = {name: float(jnp.linalg.norm(slopes["lab"] - s) / jnp.linalg.norm(s)) for name, s in slopes.items()}
        for name, each in times.items():
            ratio = each.median / times["lab"].median
            print(
                f"  {name} {1e3 * each.median:.1f} ms a step (the first {each.first:.1f} s), {ratio:.2f} times; "
                f"the gradients differ by {apart[name]:.1e}"
            )
        report.row({"d": d, "batch": given.batch, "steps": given.steps}, times, gradients_apart=apart)


if __name__ == "__main__":
    main()
