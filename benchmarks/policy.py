"""The tabular experiment of policy gradients, 24 seeds x 5 methods x 4,000 updates as one program, beside a loop in NumPy.

The loop does the same work by the same formulas, one seed and one method after the other: episodes by tables of cumulative
probabilities, gradients and Hessian-vector products of a softmax in closed form. It is linear in the updates, so it runs a
share of them. Runs are interleaved, medians told, compilation apart.

    python -m benchmarks.policy [--seeds 24] [--updates 4000] [--share 0.02] [--repeats 3]
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.report import Report, options, turns
from lab import datasets
from lab.home import start
from lab.numerics import Chunked
from lab.policy import ascent, environments, mdp, policies, rollouts

H, GAMMA = 20, 0.95
G0 = (0.1, 1.0, 1.0, 1.0, 0.1)
_WEIGHTS = GAMMA ** np.arange(H)


class Loop:
    """By NumPy."""

    def __init__(self, arrays: Any):
        self.moves = np.cumsum(arrays["transitions"], axis=2)
        self.rewards, self.first = arrays["rewards"], np.cumsum(arrays["start"])

    def episode(self, theta: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Probabilities, states, actions, and rewards to come."""
        pi = np.exp(theta - theta.max(axis=1, keepdims=True))
        pi /= pi.sum(axis=1, keepdims=True)
        below, last = np.cumsum(pi, axis=1), theta.shape[1] - 1
        draws = rng.random((H + 1, 2))
        s = min(int(self.first.searchsorted(draws[H, 0])), len(self.first) - 1)
        states, actions = np.empty(H, int), np.empty(H, int)
        for h in range(H):
            a = min(int(below[s].searchsorted(draws[h, 0])), last)
            states[h], actions[h] = s, a
            s = min(int(self.moves[s, a].searchsorted(draws[h, 1])), len(self.first) - 1)
        earned = _WEIGHTS * self.rewards[states, actions]
        return pi, states, actions, np.cumsum(earned[::-1])[::-1]

    def weighted(self, pi: np.ndarray, states: Any, actions: Any, weights: np.ndarray) -> np.ndarray:
        """A weighted sum of scores."""
        sums, of_states = np.zeros_like(pi), np.bincount(states, weights, len(pi))
        np.add.at(sums, (states, actions), weights)
        return sums - of_states[:, None] * pi

    def gradient(self, theta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return self.weighted(*self.episode(theta, rng))

    def curvature(self, theta: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        pi, states, actions, q = self.episode(theta, rng)
        mean = (pi * v).sum(axis=1, keepdims=True)
        curved = -np.bincount(states, q, len(pi))[:, None] * pi * (v - mean)
        along = (v[states, actions] - mean[states, 0]).sum()
        return curved + self.weighted(pi, states, actions, q) * along

    def climb(self, rule: ascent.Rule, g0: float, updates: int, rng: np.random.Generator) -> np.ndarray:
        theta = np.zeros_like(self.rewards)
        before, direction = theta, np.zeros_like(theta)
        for t in range(updates):
            base = 2 / (t + 2)
            eta = base**rule.momentum
            at = theta + (1 - eta) / eta * (theta - before) if rule.ahead else theta
            if rule.corrected:
                share = rng.random()
                direction = direction + self.curvature(share * theta + (1 - share) * before, theta - before, rng)
            direction = (1 - eta) * direction + eta * self.gradient(at, rng)
            way = direction / (np.linalg.norm(direction) + 1e-12) if rule.normalised else direction
            theta, before = theta + g0 * base**rule.step * way, theta
        return theta


def main(argv: list[str] | None = None) -> dict[str, Any]:
    given = options(__doc__, argv, seeds=24, updates=4000, share=0.02, repeats=3)
    start()
    arrays = datasets.load("five-states").arrays
    process = mdp.checked(*(arrays[key] for key in ("transitions", "rewards", "start")))
    task = rollouts.task(environments.Tabular(process), policies.tabular(5, 3), H, GAMMA)
    oracle = ascent.sampled(task, 1)  # without exact errors, which the loop does not have either
    exact = mdp.Exact(process, H, jnp.asarray(GAMMA))
    keys = jax.random.split(jax.random.key(0), given.seeds)
    few = max(1, round(given.share * given.updates))
    loop = Loop(arrays)

    def ours(updates: int = given.updates) -> Any:
        begin = jnp.zeros((given.seeds, 15))
        found = ascent.ascend(oracle, begin, keys, g0=G0, updates=updates, at=np.array([updates - 1]), loop=Chunked())
        return np.asarray(jax.block_until_ready(found.theta))

    def by_loop() -> Any:
        seeds = range(given.seeds)
        rules = zip(ascent.RULES.values(), G0, strict=True)
        return np.array([[loop.climb(rule, g0, few, np.random.default_rng(k)) for k in seeds] for rule, g0 in rules])

    times = turns({"lab": ours, "NumPy": by_loop}, given.repeats)
    lab, first, ends = times["lab"].median, times["lab"].first, times["NumPy"].result
    numpy = times["NumPy"].median * given.updates / few
    print(
        f"{given.seeds} seeds x 5 methods x {given.updates:,} updates: {lab:.2f} s, NumPy {numpy:.0f} s, from {few} updates "
        f"({numpy / lab:.0f} times); first call {first:.1f} s"
    )
    J = jax.jit(jax.vmap(jax.vmap(lambda theta: exact(theta)[0])))
    same = J(jnp.asarray(ours(few)))
    other = J(jnp.asarray(np.moveaxis(ends, 3, 2).reshape(5, given.seeds, 15)))
    for rule, a, b in zip(ascent.RULES, np.asarray(same), np.asarray(other), strict=True):
        error = np.hypot(a.std(), b.std()) / np.sqrt(given.seeds)
        print(f"  J of {rule} after {few} updates: {a.mean():.3f}, NumPy {b.mean():.3f}, standard error {error:.3f}")
    report = Report("policy", given)
    report.row({"seeds": given.seeds, "updates": given.updates}, {"lab": times["lab"], "NumPy": numpy}, measured=few)
    return report.end()


if __name__ == "__main__":
    main()
