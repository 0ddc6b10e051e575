r"""Denoisers, where they look, and samples from them.

A denoiser is called as ``D(x, sigma)``: see ``lab.denoise.base`` for coordinates, score, velocity and sensitivity.

    >>> import jax.numpy as jnp
    >>> from lab.denoise import Images, Optimal
    >>> D = Optimal(Images(jnp.asarray([-1.0, 1.0]).reshape(2, 1, 1, 1)))
    >>> f"{D(jnp.asarray([[0.5]]), 1.0).item():.6f} {jnp.tanh(0.5):.6f}"
    '0.462117 0.462117'
"""

from lab.denoise.base import Curve, Denoiser
from lab.denoise.composites import FlexComposite, SquareComposite, flex_crops
from lab.denoise.given import Given, denoiser
from lab.denoise.images import Images, Spectrum, dense_spectrum, spectrum
from lab.denoise.levels import ByLevel, Calibrated, calibrated
from lab.denoise.locality import Masked, PCALocality
from lab.denoise.metrics import Agreement, agreement, mse, nearest_distance, pooled_r2, r2
from lab.denoise.networks import Learned, Network, learn, network_of
from lab.denoise.patches import ELS, ES, LS
from lab.denoise.posterior import Nearest, Optimal, Posterior, Wiener
from lab.denoise.sampling import Samples, edm_levels, geometric_levels, released_levels, sample, start
from lab.denoise.streaming import Streamed, stream
from lab.parts import parts

__all__ = [
    "ELS",
    "ES",
    "LS",
    "Agreement",
    "ByLevel",
    "Calibrated",
    "Curve",
    "Denoiser",
    "FlexComposite",
    "Given",
    "Images",
    "Learned",
    "Masked",
    "Nearest",
    "Network",
    "Optimal",
    "PCALocality",
    "Posterior",
    "Samples",
    "Spectrum",
    "SquareComposite",
    "Streamed",
    "Wiener",
    "agreement",
    "calibrated",
    "denoiser",
    "dense_spectrum",
    "edm_levels",
    "flex_crops",
    "geometric_levels",
    "learn",
    "mse",
    "nearest_distance",
    "network_of",
    "pooled_r2",
    "r2",
    "released_levels",
    "sample",
    "spectrum",
    "start",
    "stream",
]

__getattr__, __dir__ = parts(__name__)
