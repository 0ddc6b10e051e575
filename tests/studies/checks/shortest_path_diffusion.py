"""Values of independent computations and closed forms of shortest-path diffusion."""

from lab.studies.contract import Claim, one_run
from lab.studies.diffusion.shortest_path_diffusion.claims import CIFAR
from lab.studies.vocabulary import number

_TABLE = {  # independent computation: length, sum of KLs, KL by large and small variance and DDIM, in 100 steps
    "by frequency": (101.2964, 50.029, 0.0031, 4.514, 0.3402),
    "cosine": (106.6319, 98.308, 1.3918, 18.312, 6.549),
    "linear": (106.6267, 179.599, 6.7399, 43.036, 16.04),
}
_FEW = {"by frequency": 0.0657, "cosine": 2.902, "linear": 204.7}  # in 25 steps
_SAMPLERS = ("large", "small", "ddim")

CHECKS = one_run(
    "no training: exact Gaussian processes",
    (
        *(
            Claim(
                f"length-{name}",
                f"The path “{name}” is {row[0]:g} long.",
                number("fisher_length", {"schedule": name}, **CIFAR),
                row[0],
                "independent computation",
                "==",
                1e-3,
            )
            for name, row in _TABLE.items()
        ),
        *(
            Claim(
                f"sum-{name}",
                f"The KLs of its steps add up to {row[1]:g}.",
                number("sum_kl", {"schedule": name}, **CIFAR),
                row[1],
                "independent computation",
                "==",
                2e-4 * row[1],
            )
            for name, row in _TABLE.items()
        ),
        *(
            Claim(
                f"kl-{name}-{sampler}",
                f"On “{name}” the sampler {sampler} ends at KL = {value:g}.",
                number("kl", {"schedule": name, "sampler_name": sampler}, **CIFAR),
                value,
                "independent computation",
                "==",
                2e-3 * value + 6e-5,
            )
            for name, row in _TABLE.items()
            for sampler, value in zip(_SAMPLERS, row[2:], strict=True)
        ),
        *(
            Claim(
                f"few-{name}",
                f"In 25 steps it is {value:g}.",
                number("budget_kl", {"schedule": name, "sampler_name": "large", "budget": 25}, **CIFAR),
                value,
                "independent computation",
                "==",
                2e-3 * value,
            )
            for name, value in _FEW.items()
        ),
        Claim(
            "white",
            "White data are no way from white noise.",
            number("length", spectrum="law", c1=1.0, m=0.0),
            0.0,
            "D = 1",
            "==",
            1e-9,
        ),
    ),
)
