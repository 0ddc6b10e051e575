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
# # Which minima SGD can hold
#
# Wu and Su, *The Implicit Regularization of Dynamical Stability in Stochastic Gradient Descent*, ICML 2023.
#
# Gradient descent can rest only where $\lambda_{\max}(H) \le 2/\eta$, SGD on single samples only where
# $\mathrm{tr}\,H \le 2/\eta$. The trace bounds the norm of what the network computes; the top eigenvalue does not.

# %%
import lab

lab.notebook()  # float64, and the pictures inline

# %%
import holoviews as hv
import jax
import jax.numpy as jnp

from lab.studies import SGDStability
from lab.studies.sgd_stability import ANALYSIS, analyze

hv.output(size=100)
pictures = SGDStability.pictures

# %% [markdown]
# ## The message
#
# A diagonal network $f(x) = \langle a \circ b, x \rangle$ on fewer samples than inputs, trained twice from the same weights,
# at several learning rates. Every run but the slowest interpolates.

# %%
result = SGDStability(n=30, d=60, rates=4).run()
pictures.sweep(result)

# %% [markdown]
# The trace of what SGD finds bends below the line $2/\eta$. Gradient descent crosses it and is stable all the same, since its
# top eigenvalue (dashed) is far below. What that is good for:

# %%
pictures.error(result)

# %%
pictures.table(result)

# %% [markdown]
# ## Along training
#
# SGD rolls down from the first steps on, until $\eta\,\mathrm{tr}/2$ is below 1, and balances the layers on the way.

# %%
pictures.edge(result)

# %%
pictures.balance.strip(result, 3).cols(3)

# %% [markdown]
# ## Exact thresholds
#
# For the minimum that SGD found, the growth $\rho$ of $E|\delta|^2$ at each learning rate and batch size; the black line is
# $\eta^*$, where it is 1. It moves from about $2/\mathrm{tr}$ to $2/\lambda_{\max}$.

# %%
pictures.diagram(result)

# %%
pictures.thresholds(result)

# %% [markdown]
# ## Your own model
#
# `analyze` takes any function of a pytree: an equinox module, a dictionary of flax or optax. Thresholds are computed where
# `predict` tells the outputs.

# %%
x = jax.random.normal(jax.random.key(3), (24, 5))
y = jnp.tanh(x[:, 0] - x[:, 1])
params = {"w": 0.5 * jax.random.normal(jax.random.key(4), (10, 5)), "v": jnp.zeros(10)}
predict = lambda p, x: p["v"] @ jnp.tanh(p["w"] @ x)  # noqa: E731
loss = lambda p, x, y: ((jax.vmap(lambda each: predict(p, each))(x) - y) ** 2).mean() / 2  # noqa: E731


@jax.jit
def trained(p):
    step = lambda p, _: (jax.tree.map(lambda a, g: a - 0.5 * g, p, jax.grad(loss)(p, x, y)), None)  # noqa: E731
    return jax.lax.scan(step, p, None, 20_000)[0]


found = analyze(loss, trained(params), x, y, predict=predict, batch_sizes=(1, 2, 4, 8, 24))
found[["loss", "trace", "tr", "lmax", "eta_star"]]

# %%
(ANALYSIS.spectrum(found) + ANALYSIS.hessian(found)).cols(1)

# %%
ANALYSIS.thresholds(found)

# %% [markdown]
# PyHessian and curvlinops compute spectra of PyTorch models at one point too; Lanczos without a test for an exhausted Krylov
# space, as in some libraries, reports eigenvalues that are not there where the Hessian has a low rank, as it does here. What
# they do not have is the thresholds.
#
# The live page: `SGDStability().panel()`, or `lab serve`.
