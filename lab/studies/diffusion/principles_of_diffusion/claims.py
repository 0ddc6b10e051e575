"""Claims of the monograph, measured, and its numbers beside ours."""

from collections.abc import Callable
from functools import cache
from typing import Any

import jax.numpy as jnp
import numpy as np

from lab import diffusion
from lab.diffusion import flow_maps, predictions
from lab.numerics.mixtures import Mixture, gaussian
from lab.studies.contract import ONLY_HERE, PREDICTED, Claim, Reported, one_run
from lab.studies.diffusion import sampler_comparison
from lab.studies.vocabulary import Measure, number, of

_ORDERS = {"euler": 1, "heun": 2, "edm-heun": 2, "ddim": 1, "dpm-2": 2, "dpm++2m": 2}
EXACT = "exact: one equation, integrated"
GUIDED: dict[str, Any] = {"guided": True, "w": 3.0, "steps": 40}
_ONE: dict[str, Any] = {"train_steps": 3000, "schedule": "edm"}
_MEANFLOW: dict[str, Any] = {"train_steps": 3000, "learns": "meanflow", "schedule": "linear"}


@cache
def exact_errors() -> sampler_comparison.Errors:
    """Errors of all samplers for a mixture and 16 starts, on a grid even in log-SNR."""
    law = diffusion.Exact(
        Mixture(
            [0.3, 0.5, 0.2],
            [[2.0, 0.0], [-1.0, 1.5], [-0.5, -2.0]],
            [[[0.2, 0.1], [0.1, 0.3]], [[0.4, 0.0], [0.0, 0.1]], [[0.15, -0.05], [-0.05, 0.25]]],
        )
    )
    vp, x = diffusion.noise("vp"), jnp.asarray(np.random.default_rng(3).normal(size=(16, 2)))
    return sampler_comparison.errors(law, vp, x, flow_maps.solved(law, vp, x, vp.last, vp.first), "log-snr")


def known(measure: Callable[[], Any]) -> Measure:
    """A number that needs no run."""
    return Measure(lambda runs: float(measure()))


def _order(name: str) -> Measure:
    return known(lambda: exact_errors().order[sampler_comparison.COMPARED.index(name)])


def _guided_end(part: str) -> Measure:
    """Mean and deviation after 200 guided steps from two starts, for the Gaussians of the closed form."""

    def measured() -> float:
        vp = diffusion.noise("vp")
        law = diffusion.Guided(
            diffusion.Exact(gaussian([1.5], 0.25)), diffusion.Exact(gaussian([0.0], 1.0)), jnp.asarray(2.0)
        )
        end = diffusion.sample(law, vp, diffusion.grid(vp, 200), jnp.array([[-1.0], [1.0]])).end[:, 0]
        return float(end.mean() if part == "mean" else (end[1] - end[0]) / 2)

    return known(measured)


CLAIMS = one_run(
    "no training: exact denoisers; distances are means over samples",
    (
        *(
            Claim(
                f"order-{name}",
                f"{name} is of order {order}.",
                _order(name),
                float(order),
                "observed between 80 and 160 steps",
                "==",
                0.25,
                one_run=EXACT,
            )
            for name, order in _ORDERS.items()
        ),
        Claim(
            "equal-calls",
            "With ten evaluations, DPM-Solver++ (2M) has a smaller error than DDIM.",
            number("error"),
            number("error", sampler="ddim"),
            "Lu et al., DPM-Solver++: second order with one evaluation per step",
            "<=",
        ),
        Claim(
            "tilted",
            "Guidance does not sample the tilted distribution: its samples are at least 10% narrower.",
            number("spread", **GUIDED),
            0.9 * number("spread_tilted", **GUIDED),
            "the closed form of Gaussians",
            "<=",
        ),
        Claim(
            "guided-mean",
            "Guidance w = 2 from N(0, 1) to N(1.5, 1/4) ends at mean 2.25.",
            _guided_end("mean"),
            known(lambda: predictions.guided_gaussian(1.5, 0.5, 2.0).mean),
            "closed form",
            "==",
            0.02,
            one_run=EXACT,
        ),
        Claim(
            "guided-deviation",
            "Guidance w = 2 from N(0, 1) to N(1.5, 1/4) ends at standard deviation 1/8; the tilted distribution has 0.316.",
            _guided_end("deviation"),
            0.125,
            "closed form, s0^(1+w)",
            "==",
            2e-3,
            one_run=EXACT,
        ),
        Claim(
            "one-call",
            "One call of a consistency model has a smaller error than eight steps of DDIM with the exact denoiser.",
            number("one_error", **_ONE),
            of(lambda run: run.few_errors.sel(maker="ddim", few=8), **_ONE),
            "Song et al., Consistency Models, 2023",
            "<=",
            quick=False,
            seeds=range(5),
        ),
        Claim(
            "mean-flow",
            "One call of MeanFlow, trained without a teacher, has a smaller error than eight steps of DDIM.",
            number("one_error", **_MEANFLOW),
            of(lambda run: run.few_errors.sel(maker="ddim", few=8), **_MEANFLOW),
            "Geng et al., Mean Flows, 2025",
            "<=",
            quick=False,
            seeds=range(5),
        ),
    ),
)

_FEW = "W₂²; three Gaussians in the plane, exact denoiser, 250 particles"


def _predicted(quantity: str, claim: str, where: str, theirs: str, ours: str) -> Reported:
    return Reported(quantity, where, PREDICTED, theirs, ours, claim=claim)


_GAUSSIANS = "classifier-free guidance", "closed form, w = 2", "N(1.5, 1/4) against N(0, 1)"
_SOLVERS = "chapter on solvers", "order of the method", "Gaussian mixture, exact denoiser, 80 to 160 steps"

REPORTED = (
    _predicted("Order of convergence, DDIM", "order-ddim", *_SOLVERS),
    _predicted("Order of convergence, Heun in EDM's variables", "order-edm-heun", *_SOLVERS),
    _predicted("Order of convergence, DPM-Solver-2", "order-dpm-2", *_SOLVERS),
    _predicted("Order of convergence, DPM-Solver++ 2M", "order-dpm++2m", *_SOLVERS),
    _predicted("Mean of a Gaussian under guidance", "guided-mean", *_GAUSSIANS),
    _predicted("Standard deviation of a Gaussian under guidance", "guided-deviation", *_GAUSSIANS),
    Reported(
        "Distance of the samples from the data",
        "FID of EDM",
        "FID 1.97",
        "CIFAR-10, 35 evaluations",
        f"{_FEW}, DPM-Solver++ 2M, 10 evaluations",
        ours="w2sq",
        checked=False,
        note="FID and W₂² have different units; two samples of the data have the distance in the next row.",
    ),
    Reported("Distance of two samples of the data", ONLY_HERE, None, "floor of the measure", _FEW, ours="w2sq_floor"),
)
