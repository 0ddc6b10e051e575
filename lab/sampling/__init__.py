r"""Points that repel each other: determinantal point processes, volume sampling, and least squares on few points.

>>> import jax
>>> from lab import sampling
>>> basis = sampling.legendre(10)
>>> rule = sampling.Repeated(sampling.Projection(), 3)
>>> designs = sampling.sample(jax.random.key(0), rule, basis, size=100)
>>> designs.points.shape, designs.weights.shape
((100, 30, 1), (100, 30))

What one names often is here; the rest is in ``bases``, ``projection``, ``conditional``, ``ensembles``, ``chains``, ``rules``,
``least_squares``, ``responses``, ``nested`` and ``replicates`` (designs compared at all n/m), ``subsets``, ``coresets`` (and
rows at random) and ``distributions`` (numpyro).
"""

from lab.parts import parts
from lab.sampling.approximate import Approximation, design
from lab.sampling.bases import Basis, Finite, Product, finite, fourier, haar, hermite, legendre, polynomials, product
from lab.sampling.ensembles import Spectrum, cholesky, k_dpp, l_ensemble, spectrum, spectrum_of_features, volume
from lab.sampling.least_squares import Fit, Truth, fit, truth
from lab.sampling.projection import conditional_densities, linear_statistic, subset
from lab.sampling.replicates import replicate
from lab.sampling.responses import Response
from lab.sampling.rules import (
    Boosted,
    Conditioned,
    Design,
    Independent,
    Projection,
    Repeated,
    Rule,
    Thinned,
    Volume,
    named,
    sample,
    thin,
    weight,
)
from lab.sampling.subsets import Subset, diverse

__all__ = [
    "Approximation",
    "Basis",
    "Boosted",
    "Conditioned",
    "Design",
    "Finite",
    "Fit",
    "Independent",
    "Product",
    "Projection",
    "Repeated",
    "Response",
    "Rule",
    "Spectrum",
    "Subset",
    "Thinned",
    "Truth",
    "Volume",
    "cholesky",
    "conditional_densities",
    "design",
    "diverse",
    "finite",
    "fit",
    "fourier",
    "haar",
    "hermite",
    "k_dpp",
    "l_ensemble",
    "legendre",
    "linear_statistic",
    "named",
    "polynomials",
    "product",
    "replicate",
    "sample",
    "spectrum",
    "spectrum_of_features",
    "subset",
    "thin",
    "truth",
    "volume",
    "weight",
]

__getattr__, __dir__ = parts(__name__)
