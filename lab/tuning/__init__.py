r"""Hyperparameters by gradient: descent on what a minimiser returns, with its errors, and tuning while one trains.

$$ \min_\theta f(\theta) = g(\hat x(\theta)) + r(\theta), \qquad \hat x(\theta) = \arg\min_x h(x, \theta) $$

>>> import jax.numpy as jnp
>>> from lab import tuning
>>> line = tuning.quadratic.quadratic([[1.0]], [[1.0]], [[1.0]], [2.0], [5.0])  # x = 5 - theta is to be 2
>>> found = tuning.minimise(line, jnp.zeros(1), alpha=1.0, max_iterations=60)
>>> round(float(found.theta[0]), 3)
3.0

What one names often is here. The rest, by concept:

- two levels: ``problem``, with closed forms in ``quadratic``, ``regression`` (multinomial), ``denoising`` (of images);
- to descend: ``maid``, ``rivals`` (HOAG), with ``descent`` (rules, results), ``lower`` (solves) and ``hypergradient``;
- self-tuning networks: ``self_tuning``, ``responses``, ``ranges``, and ``ridge``, which has closed forms.
"""

from lab.parts import parts
from lab.tuning.denoising import psnr
from lab.tuning.descent import Descent, Ending, Rules
from lab.tuning.hypergradient import implicit
from lab.tuning.maid import minimise
from lab.tuning.problem import Bilevel, Constants, Own
from lab.tuning.quadratic import random_quadratic
from lab.tuning.ranges import Range, values
from lab.tuning.regression import multinomial
from lab.tuning.rivals import hoag
from lab.tuning.self_tuning import Rates, tune

__all__ = [
    "Bilevel",
    "Constants",
    "Descent",
    "Ending",
    "Own",
    "Range",
    "Rates",
    "Rules",
    "hoag",
    "implicit",
    "minimise",
    "multinomial",
    "psnr",
    "random_quadratic",
    "tune",
    "values",
]

__getattr__, __dir__ = parts(__name__)
