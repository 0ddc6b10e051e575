"""Optimal transport: regularized problems, their duals, and how to solve them."""

from lab.ot.operators import Evaluation, dual, semi_dual
from lab.ot.problem import Problem, from_points, problem
from lab.ot.regularizers import Entropic, KSparse, Quadratic, Regularizer
from lab.ot.solution import Ell, Solution
from lab.ot.solve import solve

__all__ = [
    "Ell",
    "Entropic",
    "Evaluation",
    "KSparse",
    "Problem",
    "Quadratic",
    "Regularizer",
    "Solution",
    "dual",
    "from_points",
    "problem",
    "semi_dual",
    "solve",
]
