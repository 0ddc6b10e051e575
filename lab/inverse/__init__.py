r"""Inverse problems $y = A(x) + \sigma\varepsilon$: operators, problems, and posteriors that are known.

>>> import jax
>>> from lab import inverse
>>> blur = inverse.Blur((1, 8, 8), inverse.gaussian(1.0))
>>> problem = inverse.measure(blur, jax.numpy.ones((1, 8, 8)), 0.1, jax.random.key(0))
>>> problem.y.shape, round(float(blur.norm()), 6)
((1, 8, 8), 1.0)
"""

from lab.inverse.fourier import MaskedFourier, lines
from lab.inverse.kernels import Blur, gaussian, motion, uniform
from lab.inverse.linear import Dense, Identity, Mask, Separable, average, bicubic, box, free_form, scattered
from lab.inverse.nonlinear import Clip, LinearLightBlur, PhaseRetrieval
from lab.inverse.operators import Composed, Function, Linear, Operator, adjoint_error, operator
from lab.inverse.problems import Problem, evidence, measure, posterior, problem
from lab.inverse.tomography import Radon, filtered_backprojection, radon
from lab.parts import parts

__all__ = [
    "Blur",
    "Clip",
    "Composed",
    "Dense",
    "Function",
    "Identity",
    "Linear",
    "LinearLightBlur",
    "Mask",
    "MaskedFourier",
    "Operator",
    "PhaseRetrieval",
    "Problem",
    "Radon",
    "Separable",
    "adjoint_error",
    "average",
    "bicubic",
    "box",
    "evidence",
    "filtered_backprojection",
    "free_form",
    "gaussian",
    "lines",
    "measure",
    "motion",
    "operator",
    "posterior",
    "problem",
    "radon",
    "scattered",
    "uniform",
]

__getattr__, __dir__ = parts(__name__)
