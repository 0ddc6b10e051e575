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
# # Bilevel learning at adaptive accuracy
#
# Salehi, Mukherjee, Roberts and Ehrhardt, *An adaptively inexact first-order method for bilevel optimization with application
# to hyperparameter learning*, SIAM J. Math. Data Sci. 2025.
#
# The loss of a hyperparameter is the loss of its minimizer, which is never computed exactly. This notebook bounds the error
# of an inexact gradient, descends with certified steps, and reports their cost.

# %%
import lab

lab.notebook()  # float64, and the pictures inline

# %%
import holoviews as hv
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from lab import studies
from lab.studies import MaidBilevel
from lab.tuning import hypergradient, lower, maid, problem, quadratic, rivals
from lab.tuning.descent import Ending, Rules

hv.output(size=100)
pictures = MaidBilevel.pictures

# %% [markdown]
# ## A gradient and the bound on its error
#
# For a quadratic, minimizer, loss and gradient are known. The error of an inexact gradient never exceeds the bound, and is
# usually much smaller.

# %%
paper = quadratic.random_quadratic(29)
theta, x, q = jnp.ones(10), jnp.zeros(10), jnp.zeros(10)
known = paper.constants(x, theta)
rows = {}
for accuracy in (1.0, 1e-2, 1e-4):
    solved = lower.solve(paper, theta, x, accuracy, known)
    z, linear, pull = hypergradient.inexact(paper, theta, solved.x, q, accuracy)
    size = paper.cross_norm(solved.x, theta)
    omega = hypergradient.bound(known, 0.0, 0.0, size, problem.norm(pull), solved.accuracy, linear.residual)
    rows[accuracy] = {"error": float(problem.norm(z - paper.slope(theta))), "bound": float(omega)}
pd.DataFrame(rows).T

# %% [markdown]
# ## MAID from five initial accuracies
#
# MAID tightens only if a test fails: all runs reach the same loss. With a fixed accuracy, the run ends when no step can be
# certified.

# %%
least = float(paper.least()[1])
ends = {}
for eps in (10.0, 1.0, 0.1, 1e-3, 1e-5):
    both = [maid.minimise(paper, theta, eps, adaptive=adaptive, max_iterations=200) for adaptive in (True, False)]
    ends[eps] = [float(paper.loss(found.theta)) - least for found in both] + [Ending(int(both[1].ending)).name]
pd.DataFrame(ends, ["MAID", "fixed", "ending of the fixed run"]).T

# %% [markdown]
# Each accepted step decreases the true loss by at least the certified amount.

# %%
found = maid.minimise(paper, theta, 0.1, max_iterations=200)
loss = np.asarray(jax.vmap(paper.loss)(found.path))
certified = 0.1 * found.trace["alpha"] * found.trace["grad_norm"] ** 2
bool((loss[:-1] - loss[1:] >= certified).all()), found.certified

# %% [markdown]
# HOAG tightens its accuracy by a schedule. **A well-chosen schedule is cheaper**, but it is not known in advance.

# %%
schedules = {name: rivals.hoag(paper, theta, 0.1, alpha=1e-3, schedule=name) for name in rivals.SCHEDULES}
pd.Series({name: float(paper.loss(each.theta)) - least for name, each in schedules.items()})

# %% [markdown]
# ## Photographs
#
# Weight and smoothing of total variation, learned from two noisy photographs.

# %%
study = MaidBilevel()
result = lab.run(study)
result[["loss", "psnr_noisy", "psnr", "psnr_test", "agreement", "fixed_spread"]].to_pandas()

# %%
pictures.fan(result)

# %%
pictures.images(result)

# %%
pictures.accuracies(result)

# %%
pictures.plane(result)

# %% [markdown]
# ## Losses of your own
#
# Any lower and upper loss in JAX. Missing constants are estimated, and then nothing is certified. A lower loss that is not
# strongly convex raises an error.


# %%
def h(x, theta):
    return 0.5 * jnp.sum((x - 3.0) ** 2) + 0.5 * jnp.exp(theta[0]) * jnp.sum(x**2)


def g(x):
    return 0.5 * jnp.sum((x - 1.0) ** 2)


own = problem.Own(h, g, jnp.zeros(2), of_upper=1.0, is_convex=True)
learned = maid.minimise(own, jnp.zeros(1), alpha=1.0, rules=Rules(tolerance=1e-6))
print(float(jnp.exp(learned.theta[0])), learned.certified, Ending(int(learned.ending)).advice)
try:
    maid.minimise(problem.Own(lambda x, theta: -h(x, theta), g, jnp.zeros(2)), jnp.zeros(1))
except ValueError as refusal:
    print(refusal)

# %% [markdown]
# `bilevel_study` turns two losses into a page, with commands, rivals and every picture that applies; `lab serve my_losses.py`
# and `lab run my_losses.py` accept a file of ten lines.

# %%
Pulled = studies.bilevel_study(
    "Pulled to zero", h, g, [0.0, 0.0], [0.0], upper=1.0, convex=True, alpha0=1.0, steps=30, budget=300
)
mine = Pulled().run()
Pulled.pictures.fan(mine)

# %% [markdown]
# ## Where to go from here
#
# `study.panel()` opens the live page. `lab verify maid-bilevel` measures the claims of the paper and of mathematics.
