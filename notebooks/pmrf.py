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
# # Posterior-mean rectified flow
#
# Ohayon, Michaeli and Elad, *Posterior-Mean Rectified Flow: Towards Minimum MSE Photo-Realistic Image Restoration*, ICLR 2025.
#
# The posterior mean has the least error and looks blurred; a sample of the posterior looks right and has twice that error. Of
# all estimators distributed like clean data the best is the optimal map of the posterior mean. A rectified flow from the
# posterior mean comes near it. Here both are exact, beside what one could do instead.

# %%
import lab

lab.notebook()  # float64, and the pictures inline

# %%
import holoviews as hv
import jax
import numpy as np
import ot as pot
import pandas as pd

from lab.inverse import pmrf, restoring
from lab.studies.inverse.pmrf import PMRF

hv.output(size=100)
pictures = PMRF.pictures

# %% [markdown]
# ## One number
#
# X from N(0, 1), Y = X + N(0, 1): the minimum error is 1/2, an estimator distributed like X has at least 2 - √2, and a sample
# of the posterior has 1. On a line the flow is the optimal map.

# %%
scalar = pmrf.restoration([[1.0]], [[1.0]], [[1.0]])
flows = {sigma_s: scalar.flow(sigma_s) for sigma_s in (0.0, 0.1, 0.5)}
pd.Series(
    {"MMSE": float(scalar.mmse), "D_max": float(scalar.best), "sampling": float(scalar.sampling)}
    | {f"PMRF, noise {sigma_s}": float(flow.error(flow.map())) for sigma_s, flow in flows.items()}
)

# %% [markdown]
# ## Gaussians: the error of every estimator
#
# $Y = HX + N(0, Q)$ with a random H: $v(z, t) = B_t C_t^{-1} z$, so the flow is a matrix. The flow from Y itself can be far
# worse than sampling; PMRF never is. POT agrees about the distance.

# %%
study = PMRF.preset("from-measurement")
result = lab.run(study)
result[["mse", "w2"]].to_dataframe()

# %%
s = np.asarray(study.load().arrays["variances"][0])
h, q = (np.asarray(each) for each in restoring.task("mixing", 3, (), study.noise, jax.random.key(study.seed)))
made = pmrf.restoration(s, h, q)
zero = np.zeros(3)
theirs = pot.gaussian.bures_wasserstein_distance(zero, zero, np.asarray(made.star), s)
print(f"W2 of the posterior mean: {float(result.w2_mean):.9f}, by POT {float(theirs):.9f}")

# %% [markdown]
# ## The plane
#
# The same for images, of which the restorer knows mean and covariance: errors are exact for these digits. Dashed: the optimal
# trade-off. K Euler steps move from the posterior mean to the distribution of the data.

# %%
digits = PMRF()
images = lab.run(digits)
pictures.plane(images)

# %%
images.cov_error_steps.to_series()  # Euler's method has order one: ten times the steps, a tenth of the error

# %% [markdown]
# ## The noise of the start
#
# Where Y does not determine all of x, the posterior mean has fewer dimensions, and no map fills the others without noise. Noise
# costs error.

# %%
small = digits.but(particles=60, task="inpainting", noise=0.05)
pictures.sigma(small.picture_result(pictures.sigma))

# %% [markdown]
# ## In the plane
#
# Three modes, and far more noise than their width: from the posterior mean the trajectories are short.

# %%
ring = PMRF.preset("ring").but(particles=200, pairs=300, euler_steps=25)
modes = ring.run()
pictures.paths.strip(modes, 3).cols(1)

# %% [markdown]
# ## By pairs, and by a network
#
# The flow of pairs needs no known distribution, and ends in the x of single pairs; a network is trained as in the paper, on
# stratified times.

# %%
pairs = ring.but(knows="pairs").run()
network = ring.but(train_steps=300).run()
pd.DataFrame(
    {"error": [modes.mse_pmrf, pairs.mse_pmrf, network.net_mse], "W2": [modes.w2_pmrf, pairs.w2_pmrf, network.net_w2]},
    index=["exact", "pairs", "network"],
).astype(float)

# %% [markdown]
# ## The paper's figure
#
# A measurement, its posterior mean, PMRF in few and many steps, a sample of the posterior, and the truth. The middle of each
# digit was hidden.

# %%
hidden = lab.run(PMRF.preset("inpainting"))
pictures.images(hidden)

# %%
pictures.plane(hidden)
