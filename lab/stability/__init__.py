r"""Which minima SGD can hold, and the Hessian of anything.

>>> import jax
>>> import jax.numpy as jnp
>>> from lab import stability
>>> x = jnp.eye(3)
>>> params = jnp.ones(3)
>>> basis = stability.modes(stability.gram(lambda w, x: w @ x, params, x))
>>> f"{stability.critical(basis, stability.noise(len(x), batch=1)).value:.3f}"  # the largest stable learning rate
'2.000'
>>> operator = stability.hessian(lambda w, x, y: ((x @ w - y) ** 2).mean(), params, x, x[0])
>>> stability.eigenpairs(operator, jax.random.key(0), 1).values.round(3)
Array([0.667], dtype=float64)

Frequently used names are here; the rest is in ``closed``, ``gradients``, ``hessian``, ``initial``, ``lanczos``, ``models``,
``moments``, ``spectrum``, ``thresholds`` and ``training``.
"""

from lab.parts import parts
from lab.stability.analysis import Analysis, Stability, analyze, stability
from lab.stability.gradients import Sizes, alignment, call, gram, jacobian, residuals, sizes
from lab.stability.hessian import (
    Block,
    BlockNorms,
    Hessian,
    Landscape,
    Split,
    block_norms,
    blocks,
    full,
    hessian,
    landscape,
    pooled,
    sharpness,
    split,
    square,
)
from lab.stability.lanczos import Eigen, eigenpairs, tridiagonal
from lab.stability.models import (
    Convolutional,
    Data,
    Diagonal,
    Perceptron,
    TwoLayer,
    convolutional,
    diagonal,
    perceptron,
    sparse_regression,
    teacher,
    two_layer,
)
from lab.stability.moments import Epochs, Modes, modes, modes_of, noise, reshuffled
from lab.stability.spectrum import Density, Estimate, Quadrature, density, quadrature, trace
from lab.stability.thresholds import Bounds, Limits, Threshold, bounds, critical, growth, limits, loss_bound
from lab.stability.training import Settings, Training, sweep, train

__all__ = [
    "Analysis",
    "Block",
    "BlockNorms",
    "Bounds",
    "Convolutional",
    "Data",
    "Density",
    "Diagonal",
    "Eigen",
    "Epochs",
    "Estimate",
    "Hessian",
    "Landscape",
    "Limits",
    "Modes",
    "Perceptron",
    "Quadrature",
    "Settings",
    "Sizes",
    "Split",
    "Stability",
    "Threshold",
    "Training",
    "TwoLayer",
    "alignment",
    "analyze",
    "block_norms",
    "blocks",
    "bounds",
    "call",
    "convolutional",
    "critical",
    "density",
    "diagonal",
    "eigenpairs",
    "full",
    "gram",
    "growth",
    "hessian",
    "jacobian",
    "landscape",
    "limits",
    "loss_bound",
    "modes",
    "modes_of",
    "noise",
    "perceptron",
    "pooled",
    "quadrature",
    "reshuffled",
    "residuals",
    "sharpness",
    "sizes",
    "sparse_regression",
    "split",
    "square",
    "stability",
    "sweep",
    "teacher",
    "trace",
    "train",
    "tridiagonal",
    "two_layer",
]

__getattr__, __dir__ = parts(__name__)
