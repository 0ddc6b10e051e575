r"""Which minima SGD can hold, and the Hessian of anything.

>>> import jax
>>> from lab import stability
>>> basis = stability.modes(stability.gram(stability.call, model, x))
>>> stability.critical(basis, stability.noise(len(x), batch=4)).value  # the largest stable learning rate

>>> operator = stability.hessian(loss, params, x, y)
>>> stability.eigenpairs(operator, jax.random.key(0), 2).values
>>> stability.density(stability.quadrature(jax.random.key(1), operator))

What one names often is here; the rest is in ``closed``, ``gradients``, ``hessian``, ``lanczos``, ``models``, ``moments``,
``spectrum``, ``thresholds`` and ``training``.
"""

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
