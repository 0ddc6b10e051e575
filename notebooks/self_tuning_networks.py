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
# # Self-tuning networks
#
# MacKay, Vicol, Lorraine, Duvenaud, Grosse, *Self-Tuning Networks: Bilevel Optimization of Hyperparameters using Structured
# Best-Response Functions*, ICLR 2019.
#
# Weights are made a function of the hyperparameters, fitted where these are by perturbing them; the hyperparameters then
# descend the validation loss through it, in the same training. On a ridge regression all of this is known exactly.

# %%
import lab

lab.notebook()  # float64, and the pictures inline

# %%
import holoviews as hv
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

from lab.numerics import Chunked
from lab.studies import SelfTuningNetworks
from lab.tuning import ridge, self_tuning

pictures = SelfTuningNetworks.pictures

# %% [markdown]
# ## What is known of a ridge regression
#
# The best response, its slope in the logarithm of the penalty, the slope of the validation loss, and where that is least.

# %%
table = ridge.made(jax.random.key(3), 1.0, jnp.asarray(ridge.grouped(20, 1)), n=30)
lam = jnp.array([-1.0])
differences = (table.validated(lam + 1e-5) - table.validated(lam - 1e-5)) / 2e-5
searched = minimize_scalar(lambda at: float(table.validated(jnp.array([at]))), bounds=(-6, 3), method="bounded")
pd.Series(
    {
        "hypergradient": float(table.hypergradient(lam)[0]),
        "by differences": float(differences),
        "best λ": float(ridge.optimum(table)[0]),
        "by SciPy": searched.x,
    }
)

# %% [markdown]
# ## Found within one training
#
# Four starts on the same draws. None of them is told anything of the above.

# %%
tuned = self_tuning.tune(
    Chunked(),
    ridge.RidgeTask(table, 32),
    jax.random.key(0),
    jnp.array([[-6.0], [-3.0], [0.0], [2.0]]),
    rates=self_tuning.Rates(hyper=0.01, scale=0.01),
)
pd.DataFrame({"λ": tuned.seen["lam"][-1, :, 0], "slope off": tuned.seen["jac_error"][-1]})

# %% [markdown]
# The study draws the same. Gray: the optimal weights; short lines: the approximations of each training.

# %%
study = SelfTuningNetworks()
result = lab.run(study)
pictures.response(result, 20)

# %%
pictures.schedules(result)

# %% [markdown]
# ## How large a perturbation
#
# A tiny perturbation reveals no slope; with a large one, the response is no longer linear.

# %%
swept = lab.sweep(study, sigma=[1e-3, 1e-2, 0.1, 1.0, 3.0], tuned=[False])
pictures.by_scale(swept)

# %% [markdown]
# ## Why gates
#
# In a linear network with a penalty on its Jacobian, the optimal hidden units are gated by sigmoids of the hyperparameter.

# %%
unit = ridge.linear_network(table.train)
x, t = map(np.asarray, table.train)
known = np.linalg.solve(x.T @ x + np.exp(0.5) * np.eye(20), x.T @ t)
print(f"apart by {np.abs(np.asarray(unit.weights(0.5)) - known).max():.1e}")
lam = np.linspace(-8, 4, 97)
gates = np.asarray(jax.vmap(unit.gates)(jnp.asarray(lam + np.log(len(x)))))
hv.Overlay([hv.Curve((lam, gate), "λ", "gate") for gate in gates.T])

# %% [markdown]
# ## A network
#
# A perceptron with three rates of dropout on digits, tuned during training.

# %%
digits = lab.run(SelfTuningNetworks.preset("digits"))
print(f"{float(digits.accuracy_end):.1%} right")
pictures.schedules(digits)
