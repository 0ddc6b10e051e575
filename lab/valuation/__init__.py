r"""What a data source is worth: performance of mixtures predicted by transport, and the best of them found.

$$ \hat L(p, N) \ \text{of}\ p,\ T(p) = \mathrm{OT}_\varepsilon\Big(\sum_i p_i \mu_i,\ \nu\Big), \qquad p \in \Delta_m $$

>>> from lab import valuation
>>> valuation.simplex_grid(2, 2)
array([[1. , 0. ],
       [0.5, 0.5],
       [0. , 1. ]])
>>> float(valuation.project(4000, 1000, 2000, 70.0, 75.0))  # linear in log N
80.0

Frequently used names are here; the rest is in ``designs`` (mixtures), ``draws`` (training sets of a mixture), ``distance``
(to a validation set), ``fits`` (scores at one size), ``projection`` (to other sizes), ``selection`` (the best mixture) and
``logistic`` (trained regressions).
"""

from lab.parts import parts
from lab.valuation.designs import dirichlet, mixtures, simplex_grid
from lab.valuation.distance import Costs, Distances, calibrated, costs, distances
from lab.valuation.draws import counts
from lab.valuation.fits import Fit, errors, fit, predict
from lab.valuation.projection import project
from lab.valuation.selection import Score, Selection, select

__all__ = [
    "Costs",
    "Distances",
    "Fit",
    "Score",
    "Selection",
    "calibrated",
    "costs",
    "counts",
    "dirichlet",
    "distances",
    "errors",
    "fit",
    "mixtures",
    "predict",
    "project",
    "select",
    "simplex_grid",
]

__getattr__, __dir__ = parts(__name__)
