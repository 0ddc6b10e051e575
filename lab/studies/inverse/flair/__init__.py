"""FLAIR (Erbach et al., NeurIPS 2025) as a study: its three parts, each of which can be switched off, beside the posterior."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab import inverse
from lab.datasets import Data
from lab.inverse import ambiguous
from lab.inverse.beds import NONLINEAR
from lab.inverse.flair import SCHEDULES
from lab.numerics import Loop, first_failure
from lab.studies.contract import Choice, Mood, Paper, Real, Result, Switch, Whole
from lab.studies.inverse.imaging import Imaging, bed, shared
from lab.studies.vocabulary import positive, size

from . import variables
from .claims import CLAIMS
from .pictures import PICTURES
from .presets import PRESETS
from .reported import REPORTED
from .story import STORY

_PARTICLES = 300  # in the plane
_GRID = np.linspace(-2.4, 2.4, 41)
_UNKNOWN = "the posterior is known of linear damages, or under the prior “optimal”"
_ONE = "one step"


class FLAIR(Imaging):
    """One estimate that is noised, pulled at by a flow model and put back on the data, time after time."""

    slug = "flair"
    title = "FLAIR"
    paper = Paper(
        "Erbach, Narnhofer, Dombos, Schiele, Lenssen, Schindler", "Solving Inverse Problems with FLAIR", "NeurIPS", 2025,
        "https://arxiv.org/abs/2506.02680",
    )
    text = "flair.md"

    c = positive(
        0.25, (0.02, 2), label="weight of the prior", symbol="c",
        doc="strength of the pull to the flow model; the released value is 0.5",
    )
    steps = size(50, (1, 2000), (10, 200), label="steps", symbol="N", doc="calls of the denoiser for each answer")
    t_min = Real(
        0.18, bounds=(0, 1), inclusive_bounds=(False, False), soft=(0.02, 0.5), label="last time", symbol="t_min",
        doc="the times fall from 1, which is noise, to here, both ends excluded",
    )
    dta = Choice(
        [name for name in SCHEDULES if name != "none"], label="trajectory adjustment", symbol="α(t)",
        doc="how much of the new noise is the model's own noise end, by time; 1 - t as released",
    )
    alpha_scale = Real(
        1.0, bounds=(0, 1), label="scale of α", symbol="DTA", doc="times α(t): at 0 the noise is fresh in every step, no DTA"
    )
    hdc = Choice(
        ["auto", "project", "prox", "sgd", _ONE], label="data step", symbol="HDC",
        doc="project on the data, prox until the misfit is that of the noise, or gradient descent; one step of it is "
        "HDC off; auto projects for masks and takes the prox for other linear damages",
    )
    crw = Switch(True, label="calibrated weight", symbol="CRW", doc="off, the weight is c at all times")
    data_steps = Whole(
        15, bounds=(0, 1000), soft=(0, 50), label="gradient steps", when={"hdc": "sgd"}, doc="on the data in each step, at most"
    )
    data_rate = positive(
        0.1, (0.01, 0.5), bounds=(0, 1), label="their rate", when={"hdc": ("sgd", _ONE)},
        doc="in units of 1 / |A|²; the released one is 0.1",
    )
    shift = Real(
        0.0, bounds=(0, 1), soft=(0, 0.3), label="shift", group="more", when={"crw": True},
        doc="added to the calibrated weights before the factor c",
    )
    answers = Whole(
        16, bounds=(2, 256), soft=(2, 64), label="answers", traced=False, group="more",
        doc="for each image, each with noise of its own; all are one program",
    )

    dims: ClassVar = {
        **Imaging.dims, "sample": ("answer", ""), "t": ("time t", ""), "step": ("step", ""), "moment": ("step", ""),
        "way": ("way", ""), "particle": ("answer", ""), "axis": ("coordinate", ""), "mode": ("mode", ""), "law": ("law", ""),
        "gx": ("x₁", ""), "gy": ("x₂", ""),
    }
    results = (
        Result("psnr_one", (), "PSNR of an answer", "mean over answers and test images, over the range 2", "dB", headline=True),
        Result("psnr_average", (), "PSNR of their mean", "of the mean of all answers, mean over test images", "dB",
               headline=True),
        Result("psnr_exact", (), "PSNR of E[x|y]", "of the exact posterior mean, mean over test images", "dB", headline=True,
               absent=_UNKNOWN),
        Result("spread", (), "spread", "standard deviation over answers, mean over the pixels that are hidden, or all",
               headline=True),
        Result("spread_exact", (), "spread of the posterior", "standard deviation over the same pixels", headline=True,
               absent=_UNKNOWN),
        Result("spread_seen", (), "spread where it is seen", "standard deviation over answers at the pixels of a mask that are "
               "seen; of other damages 0 too"),
        Result("residual", (), "misfit", "root mean square of Ax - y over the noise: 1 is as far as the truth", headline=True),
        Result("dta_gain", (), "gain by DTA", "of PSNR over fresh noise in every step, mean over test images", "dB",
               headline=True, half="dta_gain_half", judge=lambda value, result: _gain(value, result)),
        Result("dta_gain_half", (), "± gain", "half width of the 95% interval of that mean: Student's t over test images"),
        Result("psnr_fresh", (), "PSNR without DTA", "of an answer, with fresh noise in every step", "dB"),
        Result("relaxation_most", (), "largest λ/t", "over the times that are visited: above 1 a step overshoots, above 2 it "
               "is unstable", headline=True, judge=lambda value, result: "warn" if value > 2 else "good" if value <= 1 else ""),
        Result("plane_distance", (), "W₁ in the plane", "of the answers from the posterior, with DTA"),
        Result("plane_distance_fresh", (), "W₁ in the plane, no DTA", "of the answers from the posterior, without it"),
        Result("psnr", ("sample", "test"), "PSNR", "of each answer", "dB"),
        Result("data_residual", ("sample", "test"), "misfit", "of each answer, root mean square in units of the noise"),
        Result("sample_std", ("test",), "spread", "over answers, mean over the pixels that are hidden, or all"),
        Result("e", ("t",), "e(t)", "mean squared error a pixel of the velocity on unseen images"),
        Result("lambda_R", ("t",), "λ(t)", "weight of the prior"),
        Result("relaxation", ("t",), "λ(t)/t", "how far a step goes towards the denoised estimate"),
        Result("time", ("step",), "time t", "that is visited"),
        Result("mu", ("step", "channel", "y", "x"), "grey value", "the estimate after each step, of the first answer"),
        Result("x_t", ("step", "channel", "y", "x"), "grey value", "what the model is shown"),
        Result("x0_hat", ("step", "channel", "y", "x"), "grey value", "the denoised image that it says"),
        Result("x1_hat", ("step", "channel", "y", "x"), "grey value", "the noise end that it says"),
        Result("samples", ("sample", "channel", "y", "x"), "grey value", "the answers for this image"),
        Result("average", ("channel", "y", "x"), "grey value", "their mean"),
        Result("std_map", ("channel", "y", "x"), "standard deviation", "over answers"),
        Result("hidden", ("channel", "y", "x"), "hidden", "1 where a mask hides a pixel; of other damages everywhere"),
        Result("plane_path", ("way", "moment", "particle", "axis"), "position", "x_t in the plane, and the answers last"),
        Result("plane_mode", ("way", "particle"), "mode", "that each answer is in"),
        Result("plane_share", ("law", "mode"), "share", "of each mode"),
        Result("plane_density", ("moment", "gy", "gx"), "density", "of exact posterior samples, noised as much"),
        *Imaging.results,
    )
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    def check(self, data: Data) -> None:
        """Only gradient descent can follow what is not linear."""
        super().check(data)
        if self.damage in NONLINEAR and self.hdc in ("project", "prox"):
            why = f"the damage {self.damage} is not linear: choose auto or sgd"
            raise ValueError(self.parameters()["hdc"].refuse(self.hdc, why))

    @staticmethod
    def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        """All answers for all test images, with DTA and without; one answer step by step; the same method in the plane."""
        made = bed(inputs, p, loop)
        table = variables.calibrated(inputs, p, made)
        how, steps = ("sgd", jnp.int32(1)) if p.hdc == _ONE else (p.hdc, jnp.asarray(p.data_steps))
        method = inverse.Flair(
            table if p.crw else None, p.c, p.steps, p.t_min, p.dta, p.alpha_scale, how, steps, p.data_rate, p.shift
        )
        fresh = method._replace(adjust_scale=jnp.zeros(()))
        found, plain = (
            inverse.solve(made.problem, made.prior, each, key=made.key, seeds=p.answers, loop=loop) for each in (method, fresh)
        )
        image = jnp.asarray(p.example, jnp.int32)
        one = inverse.Problem(made.problem.operator, jnp.take(made.problem.y, image, axis=0), made.problem.noise)
        film = inverse.solve(one, made.prior, method, key=jax.random.fold_in(made.key, image), keep=True, loop=loop)
        plane = ambiguous.decide(method, p.noise, jax.random.fold_in(made.key, 1), _PARTICLES, loop)
        reason = first_failure(made.reason, found.reason, plain.reason, film.reason, plane.reason)
        output = shared(made, p.example) | variables.numbers(made, method, table, found.x, plain.x, image)
        output |= variables.film(method, film.path, film.beside, jnp.asarray(film.iterations), made.shape)
        output |= variables.plane(method, plane._replace(reason=None), p.noise, jnp.asarray(_GRID))
        return output | {"iterations": found.iterations, "reason": reason}

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Times of the calibration, steps, and the plane."""
        return {
            "t": np.linspace(1, 0, 100), "step": np.arange(1, p.steps + 1), "moment": variables.moments(p.steps) + 1,
            "way": ["with DTA", "without"], "axis": ["x₁", "x₂"], "law": ["posterior", "with DTA", "without"],
            "gx": _GRID, "gy": _GRID,
        }

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Where the weight is too large for the step."""
        most, quality = float(result.relaxation_most), float(result.psnr_one)
        if most > 2:
            what = f"The weight λ reaches {most:.2g} t, above 2 t: there what the denoiser takes away grows in every step."
            return f"{what} Lower c, raise the last time, or calibrate the weight."
        if quality < float(result.psnr_start.mean()):
            return f"The answers, {quality:.1f} dB, are worse than the start: lower c, or take the data step “auto”."
        return ""


def _gain(value: float, result: xr.Dataset) -> Mood:
    return "good" if value - float(result.dta_gain_half) > 0 else ""
