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
# Gradient descent is stable only where $\lambda_{\max}(H) \le 2/\eta$, SGD on single samples only where
# $\mathrm{tr}\,H \le 2/\eta$. The trace bounds the norm of what the network computes; the top eigenvalue does not.

# %%
import lab

lab.notebook()  # float64, and the pictures inline

# %%
import holoviews as hv
import jax
import jax.numpy as jnp

from lab.studies import SGDStability
from lab.studies.stability.labelled_analysis import ANALYSIS, analyze

hv.output(size=100)
pictures = SGDStability.pictures

# %% [markdown]
# ## The message
#
# A diagonal network $f(x) = \langle a \circ b, x \rangle$ on fewer samples than inputs, trained twice from the same weights,
# at several learning rates. Every run but the slowest interpolates.

# %%
result = lab.run(SGDStability())
pictures.sweep(result)

# %% [markdown]
# The trace of what SGD finds bends below the line $2/\eta$. Gradient descent crosses it and is stable all the same, since its
# top eigenvalue (dashed) is far below. What that is good for:

# %%
pictures.error(result)

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

# %% [markdown]
# ## Your own model
#
# Weights, a function from one sample to its output, and data make a study: with every picture above, sweeps over learning
# rate and batch size, and a page. The weights may be any pytree: a dictionary as here or of flax, an equinox module; or a
# function that makes them from a key, so that another seed is another start. Put these lines into a file, and
# `lab serve my_model.py` opens its page, `lab run my_model.py --eta 0.2 --B 4` computes, `lab sweep my_model.py --eta
# 0.01:1:log8 --B 1,2,4` sweeps.

# %%
from lab import studies

x = jax.random.normal(jax.random.key(3), (24, 5))
y = jnp.tanh(x[:, 0] - x[:, 1])


def make(key):
    w, v = jax.random.split(key)
    return {"w": 0.5 * jax.random.normal(w, (10, 5)), "v": 0.1 * jax.random.normal(v, (10,))}


def predict(params, x):
    return params["v"] @ jnp.tanh(params["w"] @ x)


Mine = studies.model_study("My model", make, (x, y), predict=predict, eta=0.5, steps=20_000, rates=0)
mine = Mine().run()
mine[["half_tr_sgd", "half_lmax_gd", "loss_sgd", "eta_star"]]

# %%
(Mine.pictures.diagram(mine) + Mine.pictures.hessian(mine)).cols(1)

# %% [markdown]
# What does not fit together is refused in a sentence that says what was found:

# %%
try:
    studies.model_study("Too many outputs", make, (x, y), predict=lambda params, x: params["w"] @ x)
except ValueError as problem:
    print(problem)

# %% [markdown]
# `analyze` looks at one point of any loss, square or not. Thresholds are computed where `predict` tells the outputs.

# %%
loss = lambda p, x, y: jnp.abs(jax.vmap(lambda each: predict(p, each))(x) - y).mean()  # noqa: E731
found = analyze(loss, make(jax.random.key(0)), x, y)
ANALYSIS.spectrum(found)

# %% [markdown]
# PyHessian and curvlinops compute spectra of PyTorch models at one point too; Lanczos without a test for an exhausted Krylov
# space, as in some libraries, reports eigenvalues that are not there where the Hessian has a low rank, as it does here. What
# they do not have is the thresholds.
#
# The live page: `SGDStability().panel()`, or `lab serve`.
