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
# # DiffusionMBIR
#
# Chung, Ryu, McCann, Klasky and Ye, *Solving 3D Inverse Problems using Pre-trained 2D Diffusion Models*, CVPR 2023.
#
# A diffusion prior models single slices of a volume. Reconstructed one by one from few measurements, neighboring slices do not
# agree: the volume flickers. A penalty on differences between neighbors, in one ADMM step after each step of the diffusion,
# makes them agree. This notebook builds the scan, takes the steps one by one, shows where they diverge, and ends in the paper's
# figure.

# %%
import lab

lab.notebook()  # float64, and the pictures inline

# %%
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from scipy.ndimage import map_coordinates

from lab import datasets, denoise, figures, inverse
from lab.inverse import mbir
from lab.studies import DiffusionMBIR

pictures = DiffusionMBIR.pictures

# %% [markdown]
# ## Eight views of a volume
#
# Above an axial slice, below two planes along z. Slice by slice the diffusion flickers along z; with the penalty it does not.

# %%
study = DiffusionMBIR()
result = lab.run(study)
pictures.planes(result)

# %% [markdown]
# A result is a labelled dataset whose attributes hold everything that is needed to compute it again.

# %%
result

# %% [markdown]
# ## The scan, without a study
#
# Sums along parallel lines, slice by slice, with an exact adjoint: beside them one view by SciPy's interpolation.

# %%
data = datasets.load("ellipsoid-volume")
volume = jnp.asarray(data.arrays["volume"], float)
scan = inverse.radon(volume.shape, 8)
given = inverse.problem(scan, scan(volume), noise=0.0)

turn, side = np.deg2rad(22.5), np.arange(24) - 12
i, j = np.meshgrid(side, side, indexing="ij")
at = [np.cos(turn) * i - np.sin(turn) * j + 12, np.cos(turn) * j + np.sin(turn) * i + 12]
theirs = map_coordinates(np.asarray(volume[7]), at, order=1, mode="grid-constant").sum(axis=0)
pd.Series(
    {
        "from SciPy": float(abs(given.y[7, :, 1] - theirs).max()),
        "adjoint": inverse.adjoint_error(scan),
        "|A|": float(scan.norm()),
    }
)

# %% [markdown]
# ## The step across slices
#
# $\min_x \frac12 |y - Ax|^2 + \lambda |D_z x|_1$ by ADMM. With the identity in place of A it is known: two slices move
# towards each other by $\lambda$, or meet.

# %%
two = inverse.problem(inverse.Identity((2, 1, 3)), np.array([[[0.0, 1.0, 2.0]], [[1.0, 1.1, -2.0]]]), 0.0)
inverse.total_variation(two, lam=0.3, rho=0.3, steps=400, inner=4).x[:, 0]

# %% [markdown]
# ## The diffusion, in three lines
#
# A prior of slices, here the Wiener filter of slices from 200 other volumes; any denoiser of `lab.denoise` will do, or a
# function of your own (`denoise.denoiser`).

# %%
slices = jnp.asarray(data.arrays["training"] / 255.0)
prior = inverse.Slices(denoise.Wiener(denoise.dense_spectrum(slices.reshape(len(slices), -1)), (1, 24, 24)), 16)
found = inverse.solve(given, prior, inverse.MBIR(steps=50, sigma_max=5.0), key=jax.random.fold_in(jax.random.key(0), 1))

apart = float(abs(found.x[0] - result.volume.values).max())
print(f"{float(mbir.planes(found.x[0], volume).volume):.2f} dB, from the study's volume {apart:.1e}")

# %% [markdown]
# ## Step by step
#
# `pictures.film.movie(result)` plays it.

# %%
pictures.film.strip(result, 3).cols(1)

# %% [markdown]
# ## Shared variables make one step enough
#
# u and w of ADMM are carried from level to level. If they restart, one step per level barely applies the penalty; twenty steps
# do, at twenty times the cost.

# %%
rows = {"shared, K = 1": {}, "restarted, K = 1": {"share": False}, "restarted, K = 20": {"share": False, "admm": 20}}
runs = {name: lab.run(study.but(**change)) for name, change in rows.items()}
pd.DataFrame(
    {name: [float(run.psnr), float(run.tv_z), float(run.residual)] for name, run in runs.items()},
    index=["PSNR (dB)", "flicker", "residual"],
).T

# %%
four = study.picture_result(pictures.progress)
pictures.progress(four)

# %% [markdown]
# ## Where it diverges
#
# u lags one step behind. A large $\rho$ ties x to the noisier differences of the previous level and undoes the denoising. The
# roughness compares the volume with unrelated slices.

# %%
wild = lab.run(study.but(rho=1.0, sigma_max=20.0))
print(wild.attrs["advice"])
pictures.roughness(wild)

# %% [markdown]
# ## A prior trained on other images
#
# A prior trained on digits fails slice by slice, but not with the penalty, as the paper reports for other anatomies.

# %%
other = study.but(learnt="digits").run()
pictures.planes(other)

# %% [markdown]
# ## Magnetic resonance
#
# The same method with half of the lines of the Fourier transform.

# %%
resonance = study.but(scanner="MRI").run()
pictures.measured(resonance)

# %%
pictures.planes(resonance)

# %% [markdown]
# ## Comparison with the Gaussian MAP
#
# The Gaussian MAP is the exact posterior mean of this prior, slice by slice, and has no sampling noise. The table compares it
# with DiffusionMBIR and the others on one volume.

# %%
pictures.table(result)

# %% [markdown]
# ## The paper's figure
#
# Truth, filtered back-projection, total variation, slice-wise diffusion and DiffusionMBIR in three planes, as vector graphics
# at the width of a page; it carries its recipe, and `lab reproduce FILE` computes it again.

# %%
folder = Path(tempfile.mkdtemp())
figures.export_picture(pictures.planes, result, folder / "planes.pdf", width="text")
sorted(path.name for path in folder.iterdir())

# %%
pictures.planes(result)

# %% [markdown]
# ## Where to go from here
#
# `study.panel()` opens the live page in a cell: click places, move the views and $\lambda$, bring a volume of yours
# (`DiffusionMBIR(data="volume.npy")`, and in an `.npz` an array `training`). `DiffusionMBIR.preset("table")` is the table of
# all methods, and `lab verify diffusion-mbir` measures what the paper claims.
