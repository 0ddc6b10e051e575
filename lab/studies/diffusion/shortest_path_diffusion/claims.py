"""What the paper and mathematics say of shortest paths, measured."""

from typing import Any

import numpy as np

from lab.studies.contract import Claim, one_run
from lab.studies.vocabulary import Measure, number, of

_CIFAR: dict[str, Any] = {"spectrum": "law"}
_TABLE = {  # independent computation: length, sum of KLs, KL by large and small variance and DDIM, in 100 steps
    "by frequency": (101.2964, 50.029, 0.0031, 4.514, 0.3402), "cosine": (106.6319, 98.308, 1.3918, 18.312, 6.549),
    "linear": (106.6267, 179.599, 6.7399, 43.036, 16.04),
}
_FEW = {"by frequency": 0.0657, "cosine": 2.902, "linear": 204.7}  # in 25 steps
_SAMPLERS = ("large", "small", "ddim")


def _least(family: str, sampler: str) -> Measure:
    """Where a parameter has its least KL."""

    def measured(run):
        own = run.sel(family=family)
        return own.family_value.values[own.family_kl.sel(sampler_name=sampler).values.argmin()]

    return of(measured, **_CIFAR)


def _even(run) -> float:
    speed = run.speed.sel(schedule="by frequency").values
    return float(np.abs(speed / float(run.distance) - 1).max())


CLAIMS = one_run("no training: exact Gaussian processes", (
    *(
        Claim(f"length-{name}", f"The path “{name}” is {row[0]:g} long.", number("fisher_length", {"schedule": name}, **_CIFAR),
              row[0], "independent computation", "==", 1e-3)
        for name, row in _TABLE.items()
    ),
    *(
        Claim(f"sum-{name}", f"The KLs of its steps add up to {row[1]:g}.", number("sum_kl", {"schedule": name}, **_CIFAR),
              row[1], "independent computation", "==", 2e-4 * row[1])
        for name, row in _TABLE.items()
    ),
    *(
        Claim(f"kl-{name}-{sampler}", f"On “{name}” the sampler {sampler} ends at KL = {value:g}.",
              number("kl", {"schedule": name, "sampler_name": sampler}, **_CIFAR), value,
              "independent computation", "==", 2e-3 * value + 6e-5)
        for name, row in _TABLE.items()
        for sampler, value in zip(_SAMPLERS, row[2:], strict=True)
    ),
    *(
        Claim(f"few-{name}", f"In 25 steps it is {value:g}.",
              number("budget_kl", {"schedule": name, "sampler_name": "large", "budget": 25}, **_CIFAR), value,
              "independent computation", "==", 2e-3 * value)
        for name, value in _FEW.items()
    ),
    Claim("geodesic", "The path by frequency is as long as the distance.", number("length"), number("distance"),
          "the geodesic of Gaussians", "==", 1e-9, True),
    Claim("even", "The path by frequency has constant speed.", of(_even), 0.0, "the geodesic of Gaussians", "==", 1e-9),
    Claim("shortest", "No deviation that is compared is shorter.",
          of(lambda run: float(run.family_length.min()) / float(run.distance)), 1 - 1e-9, "the geodesic of Gaussians", ">="),
    Claim("one-line", "One schedule for all frequencies goes the straight line of covariances, whatever its betas.",
          number("fisher_length", {"schedule": "cosine"}), number("fisher_length", {"schedule": "linear"}),
          "a S + (1 - a) I lies on it", "==", 1e-3, True),
    Claim("best-gamma", "With the paper's variance the least KL is at γ = 1.", _least("gamma", "large"), 1.0,
          "any deviation hurts", "==", 1e-9),
    Claim("best-warp", "With the paper's variance the least KL is at p = 1.",
          _least("warp", "large"), 1.0, "any deviation hurts", "==", 1e-9),
    Claim("best-gamma-ddim", "With DDIM the least KL is at γ = 1.",
          _least("gamma", "ddim"), 1.0, "any deviation hurts", "==", 1e-9,
          should_hold=False, note="of DDIM the least is slightly off γ = 1; the paper's sampler adds the large variance"),
    Claim("best-gamma-small", "With the small variance the least KL is at γ = 1.",
          _least("gamma", "small"), 1.0, "any deviation hurts",
          "==", 1e-9, should_hold=False, note="of the small variance the least is well above γ = 1"),
    Claim("squared", "Twice as many steps have a quarter of the KL.",
          number("budget_kl", {"schedule": "by frequency", "sampler_name": "large", "budget": 50})
          / number("budget_kl", {"schedule": "by frequency", "sampler_name": "large", "budget": 100}), 4.0,
          "second order in 1/T", "==", 0.5),
    Claim("wasserstein", "In W2 squared the shortest path is best as well, with DDIM.",
          number("w2sq", {"schedule": "by frequency", "sampler_name": "ddim"}),
          number("w2sq", {"schedule": "linear", "sampler_name": "ddim"}), "any deviation hurts", "<=", should_hold=False,
          note="W2 weighs strong frequencies, which the linear schedule takes in smaller steps"),
    Claim("flat", "Where the power falls slowly, m = 3/4, the shortest path is best as well.",
          number("law_kl", {"schedule": "by frequency", "sampler_name": "large", "exponent": 0.75}),
          number("law_kl", {"schedule": "cosine", "sampler_name": "large", "exponent": 0.75}), "any deviation hurts", "<=",
          should_hold=False, note="such data are nearly white, and of white data the large variance is exact"),
    Claim("drawn", "Images drawn in 10 steps are nearer to held out ones than with the cosine schedule.", number("sliced"),
          number("sliced_cosine"), "fewer steps are needed", "<="),
    Claim("white", "White data are no way from white noise.", number("length", spectrum="law", c1=1.0, m=0.0), 0.0, "D = 1",
          "==", 1e-9),
))
