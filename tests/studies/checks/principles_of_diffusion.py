"""Checks of samplers, schedules, guidance and flow maps, and errors of an independent computation."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lab import diffusion
from lab.diffusion import flow_maps
from lab.numerics.mixtures import Mixture
from lab.studies.contract import Claim, one_run
from lab.studies.diffusion import sampler_comparison
from lab.studies.diffusion.principles_of_diffusion.claims import EXACT, GUIDED, exact_errors, known
from lab.studies.vocabulary import Measure, number, of

_TABLE = {  # RMS errors of 10, 20, 40 and 80 steps
    "euler": (0.199, 0.0944, 0.0450, 0.0219),
    "heun": (0.0376, 0.0116, 0.00346, 0.000931),
    "edm-heun": (0.182, 0.0368, 0.00821, 0.00195),
    "ddim": (0.287, 0.141, 0.0691, 0.0342),
    "dpm-2": (0.0987, 0.0171, 0.00394, 0.000947),
    "dpm++2m": (0.0957, 0.0213, 0.00490, 0.00121),
}
_CLASS: dict[str, Any] = GUIDED | {"w": 0.0}
_NO_CLASS: dict[str, Any] = GUIDED | {"w": -1.0}


def _entry(name: str, steps: int) -> Measure:
    at = sampler_comparison.COMPARED.index(name), sampler_comparison.COUNTS.index(steps)
    return known(lambda: exact_errors().error[at])


def _ways_apart(sampler: str) -> float:
    """The largest difference between the ends of all schedules on the same log-SNRs."""
    law = diffusion.Exact(Mixture([0.4, 0.6], [[-2.0], [1.0]], [0.1, 0.3]))
    x, ends = jnp.asarray(np.random.default_rng(0).normal(size=(8, 1))), []
    for name in sampler_comparison.SCHEDULES:
        noise = diffusion.noise(name)
        times = noise.time(jnp.linspace(-3.0, 3.0, 9))
        levels = noise(times)
        ends.append(diffusion.sample(law, noise, times, x * levels.s[0], sampler).end / levels.a[-1])
    return max(float(jnp.abs(end - ends[0]).max()) for end in ends)


def _line_apart() -> float:
    """Quantile map against the equation solved, on a line."""
    law = Mixture([0.3, 0.5, 0.2], [[-2.0], [0.5], [3.0]], np.array([0.4, 0.8, 0.25]) ** 2)
    vp, x = diffusion.noise("vp"), jnp.linspace(-2.0, 2.0, 9)
    solved = flow_maps.solved(diffusion.Exact(law), vp, x[:, None], 1.0, 0.01)[:, 0]
    return float(jnp.abs(flow_maps.on_line(law, vp, x, 1.0, 0.01) - solved).max())


def _identity(name: str) -> float:
    """What is left of an identity of the exact map on a line."""
    law = Mixture([0.3, 0.5, 0.2], [[-2.0], [0.5], [3.0]], np.array([0.4, 0.8, 0.25]) ** 2)
    vp, x = diffusion.noise("vp"), jnp.linspace(-2.0, 2.0, 9)
    left = flow_maps.identities(
        lambda *at: flow_maps.on_line(law, vp, *at),
        lambda x, t: flow_maps.velocity(diffusion.Exact(law), vp, x[:, None], t)[:, 0],
        x,
        0.7,
        0.2,
    )
    return float(jnp.abs(getattr(left, name)).max())


def _likelihood() -> float:
    law = diffusion.Exact(Mixture([0.3, 0.7], [[1.0, 0.0], [-1.0, 0.5]], [0.2, 0.3]))
    edm = diffusion.noise("edm", last=4000.0)  # so late that the law is N(0, T^2)
    x, first = law.law.sample(jax.random.key(0), 6), edm(edm.first)
    found = flow_maps.log_density(law, edm, x, 200).log_density
    return float(jnp.abs(found - law.log_density(x, first.a, first.s)).max())


CHECKS = one_run(
    "no training: exact denoisers; distances are means over samples",
    (
        *(
            Claim(
                f"table-{name}-{steps}",
                f"{name} in {steps} steps misses the exact flow by {value:g}.",
                _entry(name, steps),
                value,
                "independent computation",
                "==",
                0.02 * value,
                one_run=EXACT,
            )
            for name, row in _TABLE.items()
            for steps, value in zip((10, 20, 40, 80), row, strict=True)
        ),
        *(
            Claim(
                f"schedules-{name}",
                f"On the same log-SNRs {name} ends in the same points for all schedules.",
                known(lambda name=name: _ways_apart(name)),
                0.0,
                "in x/a along log(a/s) they are one equation",
                "<=",
                1e-8,
            )
            for name in ("ddim", "edm-heun", "dpm-2", "dpm++2m")
        ),
        Claim(
            "straight",
            "On the linear schedule DDIM is Euler's method.",
            number("error", sampler="ddim", schedule="linear", spacing="time"),
            number("error", sampler="euler", schedule="linear", spacing="time"),
            "the same equations",
            "==",
            1e-9,
        ),
        Claim(
            "ancestral",
            "With η = 0 ancestral sampling is DDIM.",
            number("w2sq", sampler="ancestral", eta=0.0),
            number("w2sq", sampler="ddim"),
            "the same equations",
            "==",
            1e-9,
        ),
        Claim(
            "floor",
            "In 40 steps of 2M the samples are as near to fresh data as those of the exact flow, within 0.05.",
            number("w2sq", steps=40) - number("w2sq_exact", steps=40),
            0.0,
            "the error is below that of the samples",
            "<=",
            0.05,
        ),
        Claim(
            "noise-helps",
            "In 200 steps the reverse equation has the law of the data, within 0.2 of the floor in W2 squared.",
            number("w2sq", sampler="sde", steps=200) - number("w2sq_floor"),
            0.0,
            "Anderson's reversal",
            "<=",
            0.2,
        ),
        Claim(
            "no-guidance",
            "With w = 0 the samples are those of the class.",
            number("w2sq", **_CLASS),
            number("w2sq_floor", **_CLASS),
            "D_w = D(x|c)",
            "==",
            0.1,
        ),
        Claim(
            "no-class",
            "With w = -1 the class is in the samples as often as in the data.",
            number("share", **_NO_CLASS),
            0.5,
            "D_w = D(x)",
            "==",
            0.09,
        ),
        Claim(
            "quantiles", "On a line the flow matches quantiles.", known(_line_apart), 0.0, "monotone maps", "<=", 1e-6
        ),
        *(
            Claim(
                f"identity-{name}",
                f"The exact map obeys the {name} identity.",
                known(lambda name=name: _identity(name)),
                0.0,
                "what few-step models learn",
                "<=",
                1e-5,
            )
            for name in ("semigroup", "eulerian", "lagrangian", "meanflow", "shortcut")
        ),
        Claim(
            "likelihood",
            "Log-densities by the flow are the exact ones.",
            known(_likelihood),
            0.0,
            "change of variables",
            "<=",
            1e-3,
        ),
        Claim("finite", "No step loses the points.", of(lambda run: run.lost), 0.0, "the samplers' definitions", "=="),
    ),
)
