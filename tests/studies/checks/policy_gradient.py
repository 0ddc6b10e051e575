"""Values of independent computations of policy gradients, and properties of every update."""

from functools import partial
from typing import Any

from lab.studies.contract import Claim, one_run, sweeping
from lab.studies.policy.policy_gradient.claims import SWING
from lab.studies.vocabulary import number, of

_LONG: dict[str, Any] = {"seeds": 24, "updates": 4000}
_long = partial(
    Claim,
    source="independent computation",
    relation="==",
    quick=False,
    one_run="mean over 24 trainings in one run",
)


def _initial(run: Any) -> float:
    return float(run.value.values[0, 0, 0])


def _first(run: Any) -> float:
    """The mean return of the first recorded updates."""
    return float(run.ret[0, :, 0].mean())


def _doubled(run: Any) -> float:
    """Steps of the environment of N-HARPG, as a multiple of the steps of N-PG-IGT."""
    return float((run.steps.sel(rule="N-HARPG") / run.steps.sel(rule="N-PG-IGT"))[0, -1])


def _lengths(run: Any) -> float:
    """The largest ratio of a step of N-PG-IGT, projected on two axes, to γ: a projection is never longer than the step."""
    way, t = run.way.sel(rule="N-PG-IGT").values, run["update"].values
    gamma = sweeping.parameters(run)["g0"] * 2 / (t + 2)
    first = [i for i in range(len(way) - 1) if int(t[i + 1]) == int(t[i]) + 1]
    return max(float(((way[i + 1] - way[i]) ** 2).sum() ** 0.5 / gamma[i]) for i in first)


CHECKS = one_run(
    "no training: a property of every step, or a mean over episodes with its standard error",
    (
        Claim(
            "order-momentum",
            "The gradient error of N-PG-M is below a tenth of the error of plain ascent.",
            number("err_npgm"),
            0.1 * number("err_pg"),
            "independent computation: 0.73 and 11.4",
            "<",
            seeds=range(5),
        ),
        Claim("begin", "The initial J is 6.105.", of(_initial), 6.105, "independent computation", "==", 5e-4),
        Claim(
            "twice", "An update of HARPG uses twice the episodes.", of(_doubled), 2.0, "separate episodes for g and B v"
        ),
        Claim("length", "No step of a normalized method is longer than γ.", of(_lengths), 1.0, "d / |d|", "<=", 1e-6),
        _long(
            "sheet-momentum",
            "With 24 starts and 4,000 updates the slope of N-PG-M is -0.34.",
            number("slope_npgm", **_LONG),
            -0.34,
            tolerance=0.12,
        ),
        _long(
            "sheet-igt",
            "With 24 starts and 4,000 updates the slope of N-PG-IGT is -0.43.",
            number("slope_igt", **_LONG),
            -0.43,
            tolerance=0.12,
        ),
        _long(
            "sheet-harpg",
            "With 24 starts and 4,000 updates the slope of N-HARPG is -0.58.",
            number("slope_nharpg", **_LONG),
            -0.58,
            tolerance=0.16,
        ),
        Claim(
            "swing",
            "After 400 updates the cost of a pendulum episode is at least a third lower.",
            number("last_igt", **SWING),
            of(_first, **SWING) * (2 / 3),
            "independent computation: -473 and -915",
            ">",
            quick=False,
            seeds=range(5),
        ),
    ),
)
