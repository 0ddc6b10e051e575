r"""Diffusion models with the truth beside them: schedules, parametrisations, samplers, guidance, flow maps, densities.

$$ x_t = a(t)\,x_0 + s(t)\,\varepsilon, \qquad D(x; a, s) = E[x_0 \mid x_t = x] $$

>>> import jax
>>> from lab import diffusion
>>> from lab.numerics.mixtures import Mixture
>>> two = Mixture([0.5, 0.5], [[-1.0, 0.0], [1.0, 0.0]], [0.04, 0.04])
>>> vp = diffusion.noise("vp")
>>> x = diffusion.start(vp, jax.random.key(0), 500, 2)
>>> diffusion.sample(diffusion.Exact(two), vp, diffusion.grid(vp, 20), x, "dpm++2m").end.shape
(500, 2)

Beside what is named here: ``flow_maps`` (exact ones, identities, densities), ``predictions`` (guidance of Gaussians in closed
form), ``shortest`` (a schedule for each frequency) with ``shortest_sampling`` and ``spectra``, ``few_steps`` (networks that
learn the flow's map), ``conditional`` (denoisers given a measurement), ``boundary`` (which start to choose for all inputs),
``tableau`` (a sampler of your own), ``expressway`` and ``modes`` (transport instead of most steps).
"""

from lab.diffusion.grids import by_change, grid
from lab.diffusion.parametrisations import convert, error_ratios, preconditioning
from lab.diffusion.predictions import Denoised, Exact, Guided, of_class
from lab.diffusion.samplers import SAMPLERS, Sampler, Trajectory, sample, start
from lab.diffusion.schedules import Cosine, Karras, Level, Noise, Reversed, bound, noise
from lab.parts import parts

__all__ = [
    "SAMPLERS",
    "Cosine",
    "Denoised",
    "Exact",
    "Guided",
    "Karras",
    "Level",
    "Noise",
    "Reversed",
    "Sampler",
    "Trajectory",
    "bound",
    "by_change",
    "convert",
    "error_ratios",
    "grid",
    "noise",
    "of_class",
    "preconditioning",
    "sample",
    "start",
]

__getattr__, __dir__ = parts(__name__)
