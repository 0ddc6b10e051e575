"""What the paper and mathematics say of rectified flow, measured."""

from typing import Any

import numpy as np
from scipy.linalg import sqrtm

from lab.datasets.gaussians import S0, S1
from lab.studies.contract import Claim, Runs, one_run
from lab.studies.vocabulary import number, of

_EIGHT: dict[str, Any] = {"data": "eight-gaussians", "particles": 10_000, "pairs": 50}
_SEEDS = range(8)
_LINE: dict[str, Any] = {"data": "gaussians-1d", "particles": 10_000, "pairs": 50}
_CROSSED: dict[str, Any] = {"data": "crossed-gaussians", "particles": 800, "pairs": 50}
T = np.array([[1.038944, -0.804542], [-1.499374, 2.867449]])
"""The rectified linear map between the Gaussians that do not commute."""


def _fitted(run: Any) -> np.ndarray:
    return np.linalg.lstsq(run.paths.values[0], run.paths.values[-1], rcond=None)[0].T


def _linear_cost(map_: np.ndarray) -> float:
    return float(np.trace((map_ - np.eye(2)) @ S0 @ (map_ - np.eye(2)).T))


def _optimal_cost() -> float:
    root = np.real(sqrtm(S0))
    return float(np.trace(S0 + S1 - 2 * np.real(sqrtm(root @ S1 @ root))))


def _slope(run: Any) -> float:
    return np.polyfit(run.euler.values[0, :, 0], run.euler.values[-1, :, 0], 1)[0]


def _from_monotone(run: Any) -> float:
    """The largest distance of a particle from where the quantile function of the data takes it."""
    from scipy.stats import norm

    way = run.paths.values[..., 0]
    grid = np.linspace(-12, 12, 20_001)
    source = np.mean([norm.cdf(way[0], m, 0.5) for m in (-3, 3)], axis=0)
    target = np.mean([norm.cdf(grid, m, v**0.5) for m, v in ((-6, 0.5), (0, 0.33), (6, 0.5))], axis=0)
    inside = (source > 1e-3) & (source < 1 - 1e-3)  # beyond, the inverse is lost in rounding
    return np.abs(np.interp(source, target, grid) - way[-1])[inside].max()


def _growth(runs: Runs) -> float:
    """The largest ratio of a convex cost after a rectification to that before."""
    given: tuple[dict, ...] = ({"data": "two-mode-pair"}, {"data": "modes-1d"}, _EIGHT)
    return max(of(lambda run: (run.cost / run.cost_before).max(), **chosen)(runs) for chosen in given)


CLAIMS = one_run("no training: exact velocities; means over thousands of pairs", (
    Claim("eight-cost", "From N(0, I) to eight Gaussians, the 1-rectified flow has cost 14.40.",
          number("square_cost", **_EIGHT), 14.40, "exact fields, computed independently", "==", 0.2),
    Claim("eight-S", "The bending S of the flow to eight Gaussians is 3.43.",
          number("S", **_EIGHT), 3.43, "exact fields", "==", 0.1),
    Claim("eight-V", "The crossing V of random pairs is 9.80.", number("V_before", **_EIGHT), 9.80, "exact fields", "==", 0.3),
    Claim("eight-energy", "The path energy of the flow to eight Gaussians is 17.83.",
          number("energy", **_EIGHT), 17.83, "exact fields", "==", 0.25),
    Claim("eight-one-step", "One Euler step to eight Gaussians has W2 squared of 25.7 from the data.",
          number("w2sq", **_EIGHT), 25.7, "exact fields", "==", 0.6),
    Claim("eight-optimal", "The cost of the flow to eight Gaussians is within 1% of optimal transport's.",
          number("above_optimal", **_EIGHT), 0.0,
          "linear assignment", "<=", 0.01),
    Claim("one-step-is-the-mean", "One Euler step takes every particle to the mean of the data.",
          number("euler", place={"t": -1}, reduce=lambda ends: np.abs(ends).max(), **_EIGHT), 0.0,
          "v(x, 0) = E[X1] - x", "<=", 1e-9),
    Claim("modes-cost", "Two modes to two modes: the cost falls from 44 to exactly 25.",
          number("square_cost"), 25.0, "a product of lines, on each the monotone map", "==", 1e-6),
    Claim("modes-before", "The mean squared displacement of random pairs is 44.", number("cost_before", {"p": 2.0}), 44.0,
          "closed form", "==", 1.0,
          seeds=_SEEDS),
    Claim("modes-norm-before", "At random, E|X1 - X0| is 6.44.", number("cost_before", {"p": 1.0}), 6.44,
          "exact fields", "==", 0.07, seeds=_SEEDS),
    Claim("modes-fourth-before", "At random, E|X1 - X0|^4 is 2308.", number("cost_before", {"p": 4.0}), 2308.0,
          "exact fields", "==", 100.0, seeds=_SEEDS),
    Claim("modes-S", "The bending of the 1-rectified flow is 13.1.", number("S"), 13.1, "exact fields", "==", 0.8,
          seeds=_SEEDS),
    Claim("modes-V", "The crossing term of the straight lines is V = 5.98.", number("V_before"), 5.98,
          "exact fields", "==", 0.5, seeds=_SEEDS),
    Claim("modes-one-step", "One Euler step of the 1-rectified flow has W2 squared of 9.4.", number("w2sq"), 9.4,
          "exact fields", "==", 0.6, seeds=_SEEDS),
    Claim("modes-norm", "The cost |.| falls to 5.", number("cost", {"p": 1.0}), 5.0, "closed form", "==", 1e-6),
    Claim("modes-fourth", "The cost |.|^4 falls to 625.", number("cost", {"p": 4.0}), 625.0, "closed form", "==", 1e-3),
    Claim("reflow-is-straight", "After one reflow the bending is below 1e-12.", number("S", k=2), 0.0,
          "a straight coupling is a fixed point", "<=", 1e-12),
    Claim("reflow-in-one-step", "After one reflow one Euler step is as good as the flow.", number("w2sq", k=2),
          number("w2sq_fine", k=2), "S = 0", "==", 1e-6),
    Claim("convex-costs", "No convex cost |.|^p of p = 1, 1.5, 2, 4 rises.", _growth, 1.0, "theorem 3.5, Jensen", "<=",
          quick=False),
    Claim("books", "The fall of the cost is S + V, within 4 standard errors.",
          abs(number("identity_gap", **_EIGHT) / number("identity_error", **_EIGHT)), 4.0, "Pythagoras", "<="),
    Claim("sum-over-rounds", "All S and V of three rounds sum to at most the cost of random pairs.",
          number("history_S", reduce=np.sum, k=3) + number("V_before", k=1) + number("history_V", reduce=np.sum, k=3),
          number("cost_before", {"p": 2.0}, k=1), "theorem 3.7", "<="),
    Claim("monotone", "On a line the first rectification is the monotone map.",
          of(_from_monotone, data="modes-1d"), 0.0, "quantile functions", "<=", 2e-3, quick=False),
    Claim("line-V", "N(0, 1) to N(2, 0.09): V = pi/2 s0 s1.", number("V_before", **_LINE), np.pi / 2 * 0.3,
          "closed form", "==", 0.02, True, quick=False),
    Claim("line-S", "N(0, 1) to N(2, 0.09): S = (2 - pi/2) s0 s1.",
          number("S", **_LINE), (2 - np.pi / 2) * 0.3, "closed form", "==", 0.02, True,
          quick=False),
    Claim("line-spread", "N(0, 1) to N(2, 0.09): the flow narrows the deviation to 0.3.",
          of(lambda run: np.std(run.paths[-1]) / np.std(run.paths[0]), **_LINE), 0.3, "closed form", "==", 1e-6, quick=False),
    *(
        Claim(f"euler-{steps}", f"In {steps} Euler step{'s' if steps > 1 else ''} it narrows to {spread:.5g}.",
              of(_slope, **_LINE, euler_steps=steps), spread, "product over the steps", "==", 1e-5, quick=False)
        for steps, spread in ((1, 0.0), (2, 0.08257), (4, 0.17725), (8, 0.23473), (32, 0.28245))
    ),
    Claim("crossed-map", "Between Gaussians that do not commute the 1-rectified flow is the straight linear map T.",
          of(lambda run: np.abs(_fitted(run) - T).max(), **_CROSSED), 0.0, "linear differential equation", "<=", 1e-5,
          quick=False),
    Claim("crossed-law", "The map T takes one covariance to the other.",
          of(lambda run: np.abs(_fitted(run) @ S0 @ _fitted(run).T - S1).max(), **_CROSSED), 0.0, "marginals are kept",
          "<=", 1e-6, quick=False),
    Claim("crossed-cost", "The cost of T, 0.9194, is above the optimum, 0.8582.",
          of(lambda run: _linear_cost(_fitted(run)), **_CROSSED),
          lambda runs: _optimal_cost() + 0.06, "Bures distance", ">=", quick=False),
    Claim("crossed-straight", "The lines of T do not cross, as T has no negative eigenvalue.",
          of(lambda run: np.real(np.linalg.eigvals(_fitted(run))).min(), **_CROSSED), 0.0, "straight couplings", ">=",
          quick=False),
    Claim("diffusion-bends", "The probability flow of VP bends more than the linear one.",
          number("S", schedule="vp"), number("S"), "section 3.3", ">="),
    Claim("eight-reflow", "One reflow takes W2 squared of one Euler step from 25.7 to below 2.",
          number("w2sq", data="eight-gaussians", k=2, pairs=2000, particles=1000), 2.0, "figure 8, in small", "<=",
          quick=False),
    Claim("network-reaches-V", "A network's training loss approaches V within 15%.",
          of(lambda run: run.curve_loss[-500:].mean(), train_steps=4000), number("V_before"),
          "V is the least loss", "==", 0.15, True, quick=False, seeds=_SEEDS),
))
