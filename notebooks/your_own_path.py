# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A probability path of your own
#
# A path from noise to data is a *schedule*, how much of the source and of the data is in the mix at each time, and a
# *coupling*, which source is mixed with which datum. Give one of them, and the lab makes a study of it: the particles on
# their way, without a network between you and the path, next to those of the straight path; how well they end; what they
# spent; how they bend; a page, a sweep, figures and films.

# %%
import lab

lab.notebook()  # float64, and the pictures inline

# %%
import jax.numpy as jnp

from lab import paths, studies
from lab.paths import weighted

# %% [markdown]
# ## A schedule in ten lines
#
# Two functions of the time are enough; JAX takes their derivatives. This one hurries at first and takes its time at the
# end. Wrong ends are refused with the value that was found.

# %%
swift = paths.Custom(
    alpha=lambda t: (1 - t) ** 2,  # of the source: 1 at t = 0, 0 at t = 1
    beta=lambda t: 1 - (1 - t) ** 2,  # of the data
)
Swift = studies.path_study("Swift", swift, about="A path that hurries at first. Move the steps. Look at the bends.")
result = Swift(data="eight-gaussians", n=300, steps=16).run()
result[["own_fit", "straight_fit", "floor", "own_energy", "straight_energy", "nfe"]]

# %% [markdown]
# The particles on their way: blue is where they are, orange where the data lie. `movie` has every frame; on the page of the
# study (`Swift().panel()`, or `lab serve` with a file that holds these lines) it plays.

# %%
Swift.pictures.particles.movie(result)

# %%
Swift.pictures.coefficients(result) + Swift.pictures.speed(result)

# %% [markdown]
# How many steps does it need? A study can be swept along any of its parameters.

# %%
fit = Swift.pictures.fit
fit(Swift(n=300).along(steps=[1, 4, 16], keep=fit.keep))

# %% [markdown]
# ## Latent noise
#
# A third function, the *variance* of a latent noise, keeps particles from passing through where they should not meet. It is
# asked for squared, since $\gamma\gamma' = (\gamma^2)'/2$ stays finite where $\gamma'$ does not.

# %%
bridge = paths.Custom(lambda t: 1 - t, lambda t: t, gamma_squared=lambda t: t * (1 - t))
Bridge = studies.path_study("Bridge", bridge)
noisy = Bridge(data="modes-1d", n=300, steps=16).run()
Bridge.pictures.particles(noisy, at=0.5)

# %% [markdown]
# ## A coupling
#
# A coupling is a log-weight for each pair of a source and a datum: here near ones count more, as in weighted flow matching.
# The path is shorter. Does it still end at the data? Look at the fit, not at the energy alone.

# %%
Near = studies.path_study("Near pairs", tilt=weighted.Gibbs(jnp.asarray(4.0), "norm"))
near = Near(data="two-moons", n=300, steps=16).run()
near[["own_fit", "straight_fit", "floor", "own_energy", "straight_energy"]]

# %%
Near.pictures.particles.strip(near, 4)

# %% [markdown]
# ## For the paper
#
# A figure, a strip of frames or a film, each with its recipe inside: `lab reproduce` computes it again and compares, when it
# is told the file that holds the path (`lab reproduce film.gif --study my_path.py`).

# %%
import tempfile
from pathlib import Path

from lab import figures

folder = Path(tempfile.mkdtemp())
figures.export_picture(Swift.pictures.particles, result, folder / "strip.pdf", width="text", frames=4)
figures.export_picture(Swift.pictures.particles, result, folder / "film.gif", width=3)
{path.name: f"{path.stat().st_size / 1000:.0f} kB" for path in sorted(folder.iterdir())}
