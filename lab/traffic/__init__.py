r"""Road agents: graphs of who is near whom, their spectra, behaviour, and where everyone will be.

$$ A_{ij} = e^{-|v_i - v_j| / s} \ \text{where}\ |v_i - v_j| < r, \qquad L = \mathrm{diag}(A 1) - A = U \Lambda U^\top $$

>>> import jax.numpy as jnp
>>> from lab import traffic
>>> positions = jnp.array([[0.0, 0.0], [3.0, 0.0], [90.0, 0.0]])  # metres; the third drives alone
>>> found = traffic.spectrum(traffic.laplacian(traffic.adjacency(positions)))
>>> int((abs(found.values) < 1e-9).sum())  # one for each part of the graph
2

Frequently used names are here; the rest is in ``graphs``, ``spectra``, ``clusters`` (k-means in the spectral embedding),
``behaviour`` (labels by a rule), ``simulation`` (drivers of known kind), ``windows`` (past and future), ``forecasting`` and
``streams`` (baselines and networks) and ``metrics``.
"""

from lab.parts import parts
from lab.traffic.behaviour import label, rate
from lab.traffic.clusters import kmeans
from lab.traffic.forecasting import constant_velocity, ridge
from lab.traffic.graphs import adjacency, laplacian
from lab.traffic.metrics import ade, fde
from lab.traffic.simulation import Drivers, Road, draw, simulate
from lab.traffic.spectra import Spectrum, align, embedding, spectrum
from lab.traffic.windows import Windows, cut

__all__ = [
    "Drivers",
    "Road",
    "Spectrum",
    "Windows",
    "ade",
    "adjacency",
    "align",
    "constant_velocity",
    "cut",
    "draw",
    "embedding",
    "fde",
    "kmeans",
    "label",
    "laplacian",
    "rate",
    "ridge",
    "simulate",
    "spectrum",
]

__getattr__, __dir__ = parts(__name__)
