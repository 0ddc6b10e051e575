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
# # Policy gradients with momentum
#
# Fatkhullin, Barakat, Kireeva and He, *Stochastic Policy Gradient Methods: Improved Sample Complexity for Fisher-non-degenerate
# Policies*, ICML 2023.
#
# A policy is learned from what it earns. One episode gives a gradient that is right on average and far off each time. This
# notebook builds the estimates, checks them against exact gradients, compares five ways to remember them, and says where a
# smaller error of the gradient brings no higher return.

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
from lab.policy import environments, estimators, mdp, policies, rollouts
from lab.studies import PolicyGradient
from lab.studies.policy.policy_gradient.experiment import SHORT

hv.output(size=100)
pictures = PolicyGradient.pictures

# %% [markdown]
# ## A gradient from episodes
#
# Of a finite process everything is known. The mean of $g = \nabla \Phi$, $\Phi = \sum_h Q_h \log \pi(a_h|s_h)$, over
# episodes is the gradient, and that of $B v = \nabla^2 \Phi v + \nabla \Phi \langle \nabla \log p, v \rangle$ the
# Hessian-vector product: if the product is taken within each episode. A product of two means is not it.

# %%
rng = np.random.default_rng(0)
process = mdp.checked(rng.dirichlet(np.ones(3), (3, 2)), rng.random((3, 2)), np.ones(3) / 3)
task = rollouts.task(environments.Tabular(process), policies.tabular(3, 2), horizon=5, discount=0.9)
theta, v = jnp.asarray(rng.normal(size=6)), jnp.asarray(rng.normal(size=6))
exact = mdp.Exact(process, 5, jnp.asarray(0.9))
known = jax.jvp(lambda x: exact(x)[1], (theta,), (v,))[1]


@jax.jit
def estimates(key):
    batch = rollouts.rollouts(task, theta, key, 20_000)
    each = {
        "g": estimators.gradient(task.policy, theta, batch, 0.9) - exact(theta)[1],
        "B v": estimators.hvp(task.policy, theta, batch, v, 0.9) - known,
        "B v, differentiated twice": estimators.hvp(task.policy, theta, batch, v, 0.9, kind="dice") - known,
        "a product of means": estimators.product_of_means(task.policy, theta, batch, v, 0.9) - known,
    }
    return {name: jnp.linalg.norm(off) for name, off in each.items()}


pd.Series({name: float(off) for name, off in estimates(jax.random.key(0)).items()}, name="off").round(4)

# %% [markdown]
# ## Five methods
#
# One episode for each update, twelve seeds. Plain ascent has no memory; N-PG-M averages; N-PG-IGT draws its episodes ahead of
# where it is, so that the average is not late; N-HARPG moves the average along by a Hessian-vector product. **Errors of
# directions fall as the theory says.**

# %%
study = PolicyGradient()
result = lab.run(study)
slopes = {rule: float(result[f"slope_{short}"]) for rule, short in SHORT.items()}
theory = {"N-PG-M": -1 / 3, "N-PG-IGT": -2 / 5, "N-HARPG": -1 / 2, "HARPG": -1 / 2}
pd.DataFrame({"measured": slopes, "theory": theory}).round(2)

# %%
pictures.errors(result)

# %% [markdown]
# A smaller error of the gradient does not bring a higher return: the intervals of all five methods overlap. HARPG takes twice
# the episodes for an update.

# %%
pictures.returns(result)

# %%
pictures.path(result)

# %% [markdown]
# With steps three times as long, errors vanish, and learning too: the policy is all but sure of what it does, where a softmax
# has a degenerate Fisher matrix and no gradient.

# %%
large = lab.run(study.but(g0=3.0))
names = ["err_igt", "gap_igt", "err_nharpg", "gap_nharpg"]
pd.DataFrame({"γ₀ = 1": result[names].to_pandas(), "γ₀ = 3": large[names].to_pandas()}).round(3)

# %%
pictures.spectrum(large)

# %% [markdown]
# ## A pole on a cart, in small
#
# Two seeds, a small network; `PolicyGradient.preset("cart")` is the whole.

# %%
cart = PolicyGradient.preset("cart").but(seeds=2, updates=12, batch=8, batch_hessian=8, units=8).run()
pictures.returns(cart)

# %% [markdown]
# ## Your own environment
#
# A step function of `jax.numpy`, and where it begins. What can't be stepped is refused in a sentence, and a reward that is no
# number with the update and the seed.


# %%
def step(state, action):
    place = state + 0.5 * (action - 1.0)
    return place, -jnp.abs(place), jnp.abs(place) > 5


Walk = studies.environment_study("A walk", step, 2.0, actions=3, horizon=15, updates=20, seeds=2, units=4, batch=8)
walk = Walk().run()
print(f"from {float(walk.ret[0, :, 0].mean()):.1f} to {float(walk.ret[0, :, -1].mean()):.1f}")
try:
    studies.environment_study("Another", lambda state, action: state, 2.0, actions=3)
except ValueError as refusal:
    print(refusal)

# %% [markdown]
# ## Where to go from here
#
# `study.panel()` opens the live page. `lab verify policy-gradient` measures what the paper and mathematics claim.
