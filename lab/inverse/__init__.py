r"""Inverse problems $y = A(x) + \sigma\varepsilon$: operators, problems, posteriors that are known, and solvers.

>>> import jax
>>> from lab import inverse
>>> blur = inverse.Blur((1, 8, 8), inverse.gaussian(1.0))
>>> problem = inverse.measure(blur, jax.numpy.ones((1, 8, 8)), 0.1, jax.random.key(0))
>>> problem.y.shape, round(float(blur.norm()), 6)
((1, 8, 8), 1.0)
"""

from lab.inverse.flair import Calibration, Flair, calibrate, calibrated
from lab.inverse.fourier import MaskedFourier, lines
from lab.inverse.guided import DDRM, DPS, PiGDM
from lab.inverse.kernels import Blur, gaussian, motion, uniform
from lab.inverse.linear import Dense, Identity, Mask, Separable, average, bicubic, box, free_form, scattered
from lab.inverse.mbir import MBIR, Slices, total_variation
from lab.inverse.nonlinear import Clip, LinearLightBlur, PhaseRetrieval
from lab.inverse.operators import Composed, Function, Linear, Operator, adjoint_error, operator
from lab.inverse.plug import PlugAndPlay
from lab.inverse.pmrf import LinearFlow, PairFlow, Restoration, restoration, restore
from lab.inverse.problems import Problem, evidence, measure, posterior, problem
from lab.inverse.reddiff import REDDiff
from lab.inverse.solving import Reconstruction, solve
from lab.inverse.spectral import prepared
from lab.inverse.tomography import Radon, filtered_backprojection, radon
from lab.inverse.variation import Variation
from lab.parts import parts

__all__ = [
    "DDRM",
    "DPS",
    "MBIR",
    "Blur",
    "Calibration",
    "Clip",
    "Composed",
    "Dense",
    "Flair",
    "Function",
    "Identity",
    "Linear",
    "LinearFlow",
    "LinearLightBlur",
    "Mask",
    "MaskedFourier",
    "Operator",
    "PairFlow",
    "PhaseRetrieval",
    "PiGDM",
    "PlugAndPlay",
    "Problem",
    "REDDiff",
    "Radon",
    "Reconstruction",
    "Restoration",
    "Separable",
    "Slices",
    "Variation",
    "adjoint_error",
    "average",
    "bicubic",
    "box",
    "calibrate",
    "calibrated",
    "evidence",
    "filtered_backprojection",
    "free_form",
    "gaussian",
    "lines",
    "measure",
    "motion",
    "operator",
    "posterior",
    "prepared",
    "problem",
    "radon",
    "restoration",
    "restore",
    "scattered",
    "solve",
    "total_variation",
    "uniform",
]

__getattr__, __dir__ = parts(__name__)
