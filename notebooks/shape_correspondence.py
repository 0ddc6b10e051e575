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
# # Shape correspondence
#
# Le, Nguyen, Sun, Ho and Xie, *Integrating Efficient Optimal Transport and Functional Maps for Unsupervised Shape
# Correspondence Learning*, CVPR 2024.
#
# Two surfaces, and no labels: which point of one is which of the other? This notebook looks at what is intrinsic to a surface,
# at the small matrix that makes a correspondence of it, and at features that are learned from one pair alone.

# %%
import lab

lab.notebook()  # float64, and the pictures inline

# %%
import jax
import numpy as np
import pandas as pd

from lab.datasets import meshes
from lab.ot import sliced
from lab.shapes import figures, geodesics, laplacian, signatures, spectrum
from lab.studies import ShapeCorrespondence

pictures = ShapeCorrespondence.pictures

# %% [markdown]
# ## Surfaces with known spectra
#
# A flat torus of squares, divided along their diagonals, has its eigenvalues in closed form, of the mesh itself; a sphere has
# $l (l + 1)$ with multiplicity $2 l + 1$.

# %%
torus = spectrum.spectrum(laplacian.laplacian(figures.flat_torus(20, 24)), 12).values
ball = spectrum.spectrum(laplacian.laplacian(figures.sphere(4)), 12).values
pd.DataFrame(
    {
        "torus": torus,
        "known of the torus": figures.flat_torus_values(20, 24)[:12],
        "sphere": ball,
        "l (l + 1)": np.repeat([0, 2, 6, 12], [1, 3, 5, 3]),
    }
).round(6)

# %% [markdown]
# ## What a pose leaves
#
# A figure as it stands and in a pose. Each vertex of Y has the colour of the vertex of X that it is matched to. On a page the
# figures turn under the mouse.

# %%
study = ShapeCorrespondence()
result = lab.run(study)
pictures.matched(result)

# %% [markdown]
# Wave kernel signatures are alike on limbs that are alike, so the nearest ones are far off. The functional map of them is
# smooth, and ZoomOut sharpens it, one eigenfunction more at a time.

# %%
pd.Series(
    {name: float(result[name]) for name in ("error_waves", "error_map", "error", "floor")}, name="error, %"
).round(2)

# %%
pictures.map(result)

# %%
pictures.sizes(result)

# %% [markdown]
# ## Features that are learned
#
# A network of diffusions, learned on this pair alone: both maps must be each other's way back, keep areas, and be maps of
# points; a sliced distance brings the features of both together. Without it (w = 0) features take longer to agree; on one pair
# a large weight holds them back later.

# %%
learned = {weight: lab.run(study.but(train_steps=96, ot_weight=weight)) for weight in (0.0, 10.0)}
pd.DataFrame(
    {
        f"w = {weight:g}": {name: float(run[name]) for name in ("error_nearest", "error_map", "error")}
        for weight, run in learned.items()
    }
).round(2)

# %%
pictures.matched(learned[10.0])

# %%
pictures.course(learned[10.0])

# %% [markdown]
# ## In a few lines
#
# The same without the study, of a mesh of one's own (`meshes.read_mesh` takes .off, .obj, .ply and .stl).

# %%
cortex = meshes.cortex("white")
found = spectrum.spectrum(laplacian.laplacian(cortex), 40)
waves = signatures.wave_kernel(found)
far = geodesics.geodesics(meshes.body("person"), "edges")
cortex.n, cortex.area, waves.shape, far.max()

# %% [markdown]
# A sliced distance of features, with its standard error:

# %%
theta = sliced.directions(jax.random.key(0), 200, 128)
inflated = spectrum.spectrum(laplacian.laplacian(meshes.cortex("inflated")), 40)
one = sliced.sliced(waves, signatures.wave_kernel(inflated), theta)
float(one.value), float(one.standard_error)
