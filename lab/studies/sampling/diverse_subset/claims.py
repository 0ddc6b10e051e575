"""What mathematics says of diverse subsets, measured."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from lab.studies.contract import Claim, Runs

_MOONS = {"data": "two-moons", "length": 0.3, "n": 300}
_FEW = {"data": "gaussian-points", "n": 9, "k": 3, "length": 0.7, "draws": 10_000}


def _number(name: str, share: float = 1.0, **parameters: Any) -> Callable[[Runs], float]:
    return lambda runs: share * float(runs(**parameters)[name])


def _by_enumeration(run: Any) -> tuple[np.ndarray, float]:
    """P(row in S) and the expected log-determinant over all subsets, from the determinants themselves."""
    x, k = run.position.values, run.sizes["chosen"]
    apart = np.linalg.norm(x[:, None] - x[None], axis=2)
    kernel = np.exp(-((apart / (0.7 * float(run["median"]))) ** 2) / 2)
    chance, mean, total = np.zeros(len(x)), 0.0, 0.0
    for s in itertools.combinations(range(len(x)), k):
        d = np.linalg.det(kernel[np.ix_(s, s)])
        chance[list(s)] += d
        mean += d * np.log(d)
        total += d
    return chance / total, mean / total


def _marginal_error(runs: Runs) -> float:
    run = runs(**_FEW)
    return float(np.abs(run.probability.values - _by_enumeration(run)[0]).max())


def _volume(runs: Runs) -> float:
    return float(runs(**_FEW).volume.sel(way="k-DPP").mean())


CLAIMS = (
    Claim("marginals", "Of nine rows, P(row in S) is that of all 84 subsets, summed.", _marginal_error, 0.0, "enumeration",
          "<=", 1e-10),
    Claim("volume", "The mean log-determinant of the chosen three is that of the law.", _volume,
          lambda runs: _by_enumeration(runs(**_FEW))[1], "enumeration, 10,000 draws", "==", 0.06),
    Claim("sum", "The probabilities sum to k.", lambda runs: float(runs().probability.sum()), 20.0, "linearity", "==", 1e-8),
    Claim("sums", "On two moons the error of sums is at most two thirds of that of random rows.", _number("error", **_MOONS),
          _number("error_random", 2 / 3, **_MOONS), "repulsion lowers the variance", "<="),
    Claim("cover", "And other rows are nearer to the chosen ones, by a tenth at least.", _number("cover", **_MOONS),
          _number("cover_random", 0.9, **_MOONS), "repulsion spreads them", "<="),
    Claim("chance", "With a very short length-scale the choice is chance: every row with probability k/N.",
          lambda runs: float(np.ptp(runs(**(_MOONS | {"length": 1e-4})).probability.values)), 0.0,
          "L is the identity", "<=", 1e-6),
    Claim("digits", "Twenty digits by the k-DPP have more of the ten classes than random ones.", _number("classes_found"),
          _number("classes_random"), "classes lie apart", ">=", quick=False),
    Claim("eight", "Eight rows of eight Gaussians meet more of them than rows at random, which meet 5.25 on average.",
          lambda runs: _modes(runs, "k-DPP"), 8 * (1 - (7 / 8) ** 8), "random rows: 8 (1 - (7/8)^8)", ">=", quick=False),
)  # fmt: skip


def _modes(runs: Runs, way: str) -> float:
    """Gaussians of the ring met by the first draw, over 40 seeds."""
    met = []
    for seed in range(40):
        run = runs(data="eight-gaussians", k=8, length=0.3, draws=2, seed=seed, n=300)
        at = run.position.values[run.indices.sel(way=way).values]
        met.append(len(np.unique(np.round(np.arctan2(at[:, 1], at[:, 0]) / (np.pi / 4)).astype(int) % 8)))
    return float(np.mean(met))
