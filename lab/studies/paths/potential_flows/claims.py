"""Theorems and statements of the paper, and how they are measured."""

from functools import partial
from typing import Any

import numpy as np

from lab.datasets.gaussians import S0, S1
from lab.paths import potentials
from lab.studies.contract import ONLY_HERE, PREDICTED, Claim, Reported, Runs, one_run
from lab.studies.vocabulary import number, of

DIGITS: dict[str, Any] = {"data": "digit-samples", "train_steps": 2000}
LONG: dict[str, Any] = DIGITS | {"pde": "none", "train_steps": 6000}
CROSSED: dict[str, Any] = {"potential": "quadratic", "data": "crossed-gaussians"}
SHOCK: dict[str, Any] = {"amplitude": 2.0, "time": 3.0}
SHORT: dict[str, Any] = {"amplitude": 0.3, "time": 1.0}

_trained = partial(Claim, quick=False, seeds=range(5))


def _bures(runs: Runs) -> float:
    """W₂² between the two Gaussians, by matrix square roots of SciPy."""
    from scipy.linalg import sqrtm

    root = np.real(sqrtm(S0))
    return float(np.trace(S0 + S1 - 2 * np.real(sqrtm(root @ S1 @ root))))


def _shifted(runs: Runs) -> float:
    """Energy over W₂² of the wave that moves N(0, C) by m, by Gauss quadrature that is exact for t²."""
    import jax.numpy as jnp

    spread = jnp.asarray(S0)
    made = potentials.joined(jnp.zeros(2), spread, jnp.array([2.0, -1.0]), spread)
    nodes, weights = np.polynomial.legendre.leggauss(3)
    speeds = [float(potentials.gaussian_energy(made.wave, made.wave.flow(t).shift, spread, t)) for t in (1 + nodes) / 2]
    return float(weights @ np.array(speeds) / 2 / made.squared)


CLAIMS = one_run(
    "no training: closed forms and exact assignments",
    (
        Claim(
            "hj-is-optimal",
            "Between Gaussians the kinetic energy of the Hamilton-Jacobi flow is W₂².",
            number("energy_hj", **CROSSED),
            _bures,
            "Benamou-Brenier theorem; W₂² by matrix square roots of SciPy",
            "==",
            1e-8,
        ),
        Claim(
            "heat-costs-more",
            "The quadratic heat flow has at least the energy W₂².",
            number("ratio_heat", **CROSSED),
            1.0,
            "Benamou-Brenier theorem",
            ">=",
        ),
        Claim(
            "rest-costs-a-third",
            "A wave that starts from rest and shifts a Gaussian has the energy 4/3 W₂².",
            _shifted,
            4 / 3,
            "wave equation with ∇u(·, 0) = 0: z = z₀ + m t²",
            "==",
            1e-9,
        ),
        Claim(
            "waves-pay-more",
            "Between Gaussians that spread in one direction, the energy of waves is above 4/3 W₂².",
            number("ratio_wave", **CROSSED),
            4 / 3,
            "wave equation with ∇u(·, 0) = 0: z = exp(A t²/2) z₀",
            ">=",
        ),
        Claim(
            "until-lines-meet",
            "The Hamilton-Jacobi flow of ripples is optimal until its lines cross.",
            number("ratio_hj", **SHORT),
            1.0,
            "Brenier's theorem: gradients of convex functions are optimal",
            "==",
            1e-6,
        ),
        Claim(
            "and-not-after",
            "After the lines have crossed, the energy of ripples is at least 10% above W₂².",
            number("ratio_hj", **SHOCK),
            1.1,
            "Benamou-Brenier theorem; W₂² by linear assignment",
            ">=",
        ),
        Claim(
            "no-flow-is-below",
            "No flow has an energy below W₂².",
            of(lambda run: np.nanmin(run.ratio)),
            1.0,
            "Benamou-Brenier theorem",
            ">=",
            1e-6,
        ),
        _trained(
            "waves-are-told-apart",
            "A classifier predicts the potential of more than 90% of pairs if potentials follow the wave equation.",
            number("accuracy", **DIGITS),
            0.9,
            "Song et al. 2023, Section 4: each potential changes one attribute",
            ">",
        ),
        _trained(
            "none-is-steep",
            "Without an equation the output changes more than ten times as much as with the wave equation.",
            number("jvp", **DIGITS, pde="none"),
            10 * number("jvp", **DIGITS),
            "Song et al. 2023: the Jacobian term is unbounded, and only the equation limits it",
            ">",
        ),
        _trained(
            "none-is-not-told-apart",
            "Without an equation the classifier is right for at most 70% of pairs after 2,000 steps.",
            number("accuracy", **DIGITS, pde="none"),
            0.7,
            "independent computation: 0.445 to 0.546",
            "<=",
            should_hold=False,
            note="Here 0.88 to 0.97 after 2,000 steps, and 0.59 to 0.84 after 6,000. How soon the change of the output "
            "dominates depends on the initial weights, which the source does not give.",
        ),
        _trained(
            "none-decays",
            "Without an equation the classification accuracy is lower after 6,000 steps than after 2,000.",
            number("accuracy", **LONG),
            number("accuracy", **DIGITS, pde="none"),
            "Song et al. 2023: without the equation the Jacobian term dominates the loss",
            "<",
        ),
        _trained(
            "vp-saturates",
            "At the length of a full traversal, straight lines in random directions have a VP score above 0.95.",
            number("vp", {"way": "random directions", "length": 5}, **DIGITS),
            0.95,
            "VP score of Zhu et al. 2020; Section 4 of Song et al. 2023 compares directions by it",
            ">",
        ),
    ),
)

_TABLE = "tables of VP scores"
_THEIRS = "SNGAN, BigGAN, StyleGAN2 and VAEs"
_OURS = "digits, autoencoder of 8 latent dimensions, 4 potentials, one seed"


def _vp_scores_are_close(runs: Any) -> bool:
    return abs(float(runs.preset("digits").vp_short - runs.preset("digits-none").vp_short)) < 0.05


REPORTED = (
    Reported(
        "VP score, wave potentials",
        _TABLE,
        None,
        _THEIRS,
        _OURS + ", short traversals",
        ours=lambda runs: float(runs.preset("digits").vp_short),
    ),
    Reported(
        "VP score, no equation",
        _TABLE,
        None,
        _THEIRS,
        _OURS + ", short traversals",
        ours=lambda runs: float(runs.preset("digits-none").vp_short),
        note="The two scores differ by less than 0.05: at this size the VP score does not show the paper's advantage.",
        holds=_vp_scores_are_close,
    ),
    Reported(
        "Energy of the Hamilton-Jacobi flow between Gaussians",
        "Benamou-Brenier theorem",
        PREDICTED,
        "W₂² of the endpoints",
        "crossed Gaussians",
        claim="hj-is-optimal",
    ),
    Reported(
        "Energy over W₂² of a wave that starts from rest",
        "wave equation",
        PREDICTED,
        "shift of a Gaussian",
        "the same",
        claim="rest-costs-a-third",
    ),
    Reported(
        "Energy over W₂², wave potential",
        ONLY_HERE,
        None,
        "theory: at least 1",
        "noisy moons, ripples",
        ours="ratio_wave",
    ),
)
