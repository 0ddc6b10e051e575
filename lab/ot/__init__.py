"""Optimal transport: regularized problems, their duals, and how to solve them."""

from lab.ot.bounds import second_singular_value, sinkhorn_rate, vertex_bound
from lab.ot.exact import vertex_gap
from lab.ot.gaussian import Bures, bures
from lab.ot.geometry import Cloud, cloud
from lab.ot.marginals import Partial, Unbalanced
from lab.ot.operators import Evaluation, dual, semi_dual
from lab.ot.plans import barycentric, figures
from lab.ot.problem import Problem, from_points, problem
from lab.ot.regularizers import Entropic, KSparse, Quadratic, Regularizer
from lab.ot.sinkhorn import Sinkhorn
from lab.ot.sinkhorn_newton import Absolute, Adaptive, Density, SinkhornNewton
from lab.ot.solution import Ell, Solution
from lab.ot.solve import solve
from lab.parts import parts

__all__ = [
    "Absolute",
    "Adaptive",
    "Bures",
    "Cloud",
    "Density",
    "Ell",
    "Entropic",
    "Evaluation",
    "KSparse",
    "Partial",
    "Problem",
    "Quadratic",
    "Regularizer",
    "Sinkhorn",
    "SinkhornNewton",
    "Solution",
    "Unbalanced",
    "barycentric",
    "bures",
    "cloud",
    "dual",
    "figures",
    "from_points",
    "problem",
    "second_singular_value",
    "semi_dual",
    "sinkhorn_rate",
    "solve",
    "vertex_bound",
    "vertex_gap",
]

__getattr__, __dir__ = parts(__name__)
