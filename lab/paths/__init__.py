r"""Probability paths from a source to data, with the exact truth beside every approximation.

$$ x_t = \alpha(t)\, x_0 + \beta(t)\, x_1 + \gamma(t)\, z, \qquad x_0 \sim \text{source at } t = 0, \quad
   x_1 \sim \text{data at } t = 1 $$

>>> import jax
>>> from lab import paths
>>> field = paths.exact(paths.Linear(), paths.standard(2), paths.checkerboard())
>>> particles = paths.standard(2).sample(jax.random.key(0), 500)
>>> paths.ode(field, particles, steps=20).x.shape
(21, 500, 2)

What one names often is here. The rest, by concept:

- couplings and their choice: ``couplings``, ``weighted``, ``rectified``, ``immiscible`` with ``immiscible_rules``,
  ``immiscible_denoisers`` and ``immiscible_learning``;
- energy and cost of paths: ``separation``, ``kinetic``, ``bridge``, ``misfits``, ``misfit_divergence``,
  ``interpolant_costs``;
- integrators: ``steps``, ``carry``, ``sampling``, ``likelihood``;
- networks: ``network``, ``training``, ``interpolant_learning``;
- to measure: ``metrics``, ``points``, ``chi_squared``, ``convert``.
"""

from lab.parts import parts
from lab.paths.carry import Carried, carry, even
from lab.paths.fields import Exact, Field, Pairing, exact
from lab.paths.interpolants import Interpolant, interpolant
from lab.paths.kinetic import KineticOptimal
from lab.paths.laws import (
    Boxes,
    Empirical,
    Joint,
    Mixture,
    Pairs,
    checkerboard,
    gaussian,
    law,
    product,
    standard,
)
from lab.paths.likelihood import divergence, feynman_kac, log_density
from lab.paths.sampling import Path, adaptive, between, ode, sde
from lab.paths.schedules import (
    VE,
    VP,
    Brownian,
    Bump,
    Coefficients,
    ConstantSpeedVP,
    Custom,
    EncoderDecoder,
    ExpPolynomial,
    Linear,
    Mirror,
    Quadratic,
    Schedule,
    SineSquared,
    SubVP,
    Trigonometric,
    conditional_velocity,
    interpolate,
)

__all__ = [
    "VE",
    "VP",
    "Boxes",
    "Brownian",
    "Bump",
    "Carried",
    "Coefficients",
    "ConstantSpeedVP",
    "Custom",
    "Empirical",
    "EncoderDecoder",
    "Exact",
    "ExpPolynomial",
    "Field",
    "Interpolant",
    "Joint",
    "KineticOptimal",
    "Linear",
    "Mirror",
    "Mixture",
    "Pairing",
    "Pairs",
    "Path",
    "Quadratic",
    "Schedule",
    "SineSquared",
    "SubVP",
    "Trigonometric",
    "adaptive",
    "between",
    "carry",
    "checkerboard",
    "conditional_velocity",
    "divergence",
    "even",
    "exact",
    "feynman_kac",
    "gaussian",
    "interpolant",
    "interpolate",
    "law",
    "log_density",
    "ode",
    "product",
    "sde",
    "standard",
]

__getattr__, __dir__ = parts(__name__)
