r"""Signatures of a point by the spectrum of its surface: the same on isometric surfaces, and at mirrored points.

$$ \mathrm{WKS}(x, t) = \frac{\sum_i w_{ti}\, \varphi_i(x)^2}{\sum_i w_{ti}}, \quad
   w_{ti} = e^{-(e_t - \log \lambda_i)^2 / 2 \sigma^2}, \qquad
   \mathrm{HKS}(x, t) = \sum_i e^{-\lambda_i t}\, \varphi_i(x)^2 . $$

Source: Aubry, Schlickewei, Cremers, *The wave kernel signature*, 2011; Sun, Ovsjanikov, Guibas, *A concise and provably
informative multi-scale signature based on heat diffusion*, 2009.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from lab.numerics.arguments import whole
from lab.shapes.spectrum import Spectrum

_ZERO = 1e-5  # of an eigenvalue, in 1 / area, that has no logarithm


def _of_spectrum(spectrum: Spectrum, *others: Any) -> tuple[Any, Spectrum]:
    """NumPy, or JAX where anything is traced, and the arrays in it: of NumPy nothing is compiled or rounded to float32."""
    xp: Any = jnp if any(isinstance(leaf, Tracer) for leaf in (*spectrum, *others)) else np
    values, functions, mass = (xp.asarray(each) for each in spectrum)
    if (
        values.ndim != 1
        or functions.ndim != 2
        or functions.shape[1] != len(values)
        or mass.shape != functions.shape[:1]
    ):
        raise ValueError(
            f"the spectrum has values of shape {values.shape}, functions {functions.shape} and mass {mass.shape}, but (k,), "
            "(n, k) and (n,) are needed"
        )
    return xp, Spectrum(values, functions, mass)


def wave_kernel(spectrum: Spectrum, channels: int = 128) -> Any:
    r"""The wave kernel signature of each vertex, each channel divided by its M-norm.

    $$ \mathrm{WKS}(x, t) = \frac{\sum_i w_{ti}\, \varphi_i(x)^2}{\sum_i w_{ti}}, \qquad
       w_{ti} = e^{-(e_t - \log \lambda_i)^2 / 2 \sigma^2} $$

    Energies evenly from $\log \lambda_2 + 2 \sigma$ to $\log \lambda_K - 2 \sigma$, with
    $\sigma = 7 (\log \lambda_K - \log \lambda_2) / \mathrm{channels}$.

    Args:
        spectrum: of the surface.
        channels: energies, at least 29.

    Returns:
        signatures (n, channels); differentiable in a traced spectrum, whose eigenvalues must be above 0 but for the first.

    Raises:
        ValueError: fewer than 29 channels, of which the energies would have no room, or less than two eigenvalues above 0.

    Source:
        Aubry, Schlickewei and Cremers, The wave kernel signature (2011).

    Examples:
        >>> import numpy as np
        >>> from lab import shapes
        >>> of = shapes.spectrum.spectrum(shapes.laplacian.laplacian(shapes.sphere(1)), 9)
        >>> norms = of.mass @ shapes.wave_kernel(of, 29) ** 2
        >>> bool(np.allclose(norms, 1))
        True
    """
    whole("channels", channels)
    if channels <= 28:
        raise ValueError(
            f"channels = {channels}, but at least 29 are needed: below, 4 sigma is wider than the spectrum"
        )
    xp, spectrum = _of_spectrum(spectrum)
    # which eigenvalues are above 0 is not known of traced ones: there all but the first
    above = slice(1, None) if xp is jnp else spectrum.values > _ZERO / spectrum.mass.sum()
    logs = xp.log(spectrum.values[above])
    if logs.size < 2 or (xp is np and logs[-1] - logs[0] < 1e-9):
        raise ValueError(f"there are {logs.size} eigenvalues above 0, but at least 2 unlike ones are needed: raise k")
    sigma = 7 * (logs[-1] - logs[0]) / channels
    energies = xp.linspace(logs[0] + 2 * sigma, logs[-1] - 2 * sigma, channels)
    weights = xp.exp(-((energies[:, None] - logs[None, :]) ** 2) / (2 * sigma**2))
    raw = spectrum.functions[:, above] ** 2 @ (weights / weights.sum(axis=1, keepdims=True)).T
    return raw / xp.sqrt(spectrum.mass @ raw**2)[None, :]


def heat_kernel(spectrum: Spectrum, times: Any = None, channels: int = 16) -> Any:
    r"""The heat kernel signature of each vertex, $\mathrm{HKS}(x, t) = \sum_i e^{-\lambda_i t}\, \varphi_i(x)^2$.

    Without times it is at ``channels`` of them, evenly in the logarithm from $4 \log 10 / \lambda_K$ to
    $4 \log 10 / \lambda_2$, between which the k eigenfunctions tell something.

    Args:
        spectrum: of the surface.
        times: which are areas, at least 0.
        channels: how many times there are when they are not given.

    Returns:
        signatures (n, times); differentiable in a traced spectrum and in the times.

    Raises:
        ValueError: a time below 0, or no eigenvalue above 0.

    Source:
        Sun, Ovsjanikov and Guibas (2009).

    Examples:
        >>> from lab import shapes
        >>> of = shapes.spectrum.spectrum(shapes.laplacian.laplacian(shapes.sphere(1)), 4)
        >>> (of.mass @ shapes.heat_kernel(of, [0.0, 99.0])).round(6).tolist()  # the trace: 4 functions, then the constant
        [4.0, 1.0]
    """
    xp, spectrum = _of_spectrum(spectrum, times)
    if times is None and xp is jnp:
        if len(spectrum.values) < 2:
            raise ValueError("there is no eigenvalue above 0: raise k")
        times = jnp.geomspace(4 * np.log(10) / spectrum.values[-1], 4 * np.log(10) / spectrum.values[1], channels)
    if times is None:
        whole("channels", channels, 1)
        above = spectrum.values[spectrum.values > _ZERO / spectrum.mass.sum()]
        if not above.size:
            raise ValueError("there is no eigenvalue above 0: raise k")
        times = np.geomspace(4 * np.log(10) / above[-1], 4 * np.log(10) / above[0], channels)
    times = xp.atleast_1d(xp.asarray(times, float))
    if times.ndim != 1 or (not isinstance(times, Tracer) and not ((times >= 0) & (times < np.inf)).all()):
        raise ValueError("the times must be at least 0 and finite, in one row")
    return spectrum.functions**2 @ xp.exp(-spectrum.values[:, None] * times[None, :])
