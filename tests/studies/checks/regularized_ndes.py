"""Independent values and solvers for regularized neural differential equations."""

from functools import cache
from typing import Any

from lab import ode
from lab.studies.contract import Claim, one_run
from lab.studies.ode.regularized_ndes.claims import DIGITS, VANILLA
from lab.studies.vocabulary import Measure, number

_SEEDS = range(5)
_UNIT: dict[str, Any] = {"length": 1.0}
_STEPS = {1.0: (8, 0), 5.0: (16, 1), 20.0: (25, 3), 60.0: (57, 13)}  # accepted and rejected, van der Pol on [0, 1]
_SLOPES: dict[str, Any] = _UNIT | {"mu": 5.0}


def _known(measure: Any) -> Measure:
    """A number that needs no run."""
    return Measure(lambda runs: float(measure()))


@cache
def _by_diffrax() -> dict[str, float]:
    """Distances from diffrax's Tsit5 with the same controller: of the end, of R_E, of the number of steps."""
    import diffrax
    import jax.numpy as jnp

    from lab.ode import fields, on_diffrax

    field, y0 = fields.field("van-der-pol", 5.0), jnp.array([2.0, 0.0])
    theirs = on_diffrax.solve(diffrax.ODETerm(lambda t, y, args: field(jnp.asarray(t), y)), y0, 0.0, 1.0, h0=0.01)
    ours = ode.solve(field, y0, h0=0.01)
    return {
        "end": float(jnp.abs(ours.y - theirs.y).max()),
        "R_E": float(abs(ode.error_of(ours) - theirs.R_E)),
        "steps": float(abs(ours.accepted - theirs.accepted) + abs(ours.rejected - theirs.rejected)),
    }


CHECKS = one_run(
    "no training: one equation, solved exactly",
    (
        *(
            Claim(
                f"{what}-{mu:g}",
                f"Van der Pol of μ = {mu:g} on [0, 1] takes {count} {what} steps.",
                number(what, mu=mu, **_UNIT),
                float(count),
                "a reference of fifty digits",
                "==",
            )
            for mu, counts in _STEPS.items()
            for what, count in zip(("accepted", "rejected"), counts, strict=True)
        ),
        Claim(
            "held",
            "With fixed step sizes the derivative of R_E by μ is +0.1055.",
            number("slope_held", **_SLOPES),
            0.1055,
            "independent computation",
            "==",
            1e-4,
        ),
        Claim(
            "through",
            "Through the step sizes the derivative of R_E by μ is -0.1145.",
            number("slope_through", **_SLOPES),
            -0.1145,
            "independent computation",
            "==",
            1e-4,
        ),
        Claim(
            "limit",
            "Tsit5 is stable up to 3.506847 on the real axis.",
            _known(lambda: ode.real_limit(ode.TSIT5)),
            3.506847,
            "the stability polynomial",
            "==",
            1e-6,
        ),
        Claim(
            "diffrax-end",
            "diffrax's Tsit5 with the same controller has the same endpoint.",
            _known(lambda: _by_diffrax()["end"]),
            0.0,
            "an independent solver",
            "<=",
            1e-10,
        ),
        Claim(
            "diffrax-term",
            "diffrax's Tsit5 with the same controller has the same R_E.",
            _known(lambda: _by_diffrax()["R_E"]),
            0.0,
            "an independent solver",
            "<=",
            1e-10,
        ),
        Claim(
            "diffrax-steps",
            "diffrax's Tsit5 with the same controller takes the same steps.",
            _known(lambda: _by_diffrax()["steps"]),
            0.0,
            "an independent solver",
            "==",
        ),
        Claim(
            "accurate",
            "At 1e-6 the true error of the endpoint is below 1e-5.",
            number("error", **_SLOPES),
            1e-5,
            "a solution at 1e-8",
            "<=",
        ),
        Claim(
            "digits-vanilla",
            "On digits a field trained without a regularizer takes 37 evaluations.",
            number("nfe", **VANILLA),
            37.0,
            "independent computation",
            "==",
            2.1,
            quick=False,
            seeds=_SEEDS,
        ),
        Claim(
            "digits-error",
            "With λ₀ = 1 it takes at most 19.",
            number("nfe", **DIGITS),
            19.0,
            "independent computation",
            "<=",
            quick=False,
            seeds=_SEEDS,
        ),
    ),
)
