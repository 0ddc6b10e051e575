"""The law that the sheet's numbers are of."""

import numpy as np

from lab.numerics.mixtures import Mixture

WEIGHTS = np.array([0.3, 0.5, 0.2])
MEANS = np.array([[2.0, 0.0], [-1.0, 1.5], [-0.5, -2.0]])
COVARIANCES = np.array([[[0.2, 0.1], [0.1, 0.3]], [[0.4, 0.0], [0.0, 0.1]], [[0.15, -0.05], [-0.05, 0.25]]])
PLANE = Mixture(WEIGHTS, MEANS, COVARIANCES)
LINE = Mixture(WEIGHTS, [[-2.0], [0.5], [3.0]], np.array([0.4, 0.8, 0.25]) ** 2)
NAMES = ("vp", "cosine", "subvp", "ve", "edm", "linear", "trigonometric")
