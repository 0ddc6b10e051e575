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
# # Stochastic interpolants
#
# Albergo, Boffi and Vanden-Eijnden, *Stochastic Interpolants: A Unifying Framework for Flows and Diffusions*, JMLR 2025.
#
# A path between any two laws mixes a sample of each with latent noise, $x_t = \alpha x_0 + \beta x_1 + \gamma z$. Between
# Gaussian mixtures its velocity and score are known in closed form, so that one sees what the *path* does, without a
# network. This notebook builds the field and checks it against a library for diffusions, samples the path with and
# without noise, measures what a misfit of the fields costs, finds the bridge of Schrödinger, which Sinkhorn's algorithm
# confirms, and rectifies the path.

# %%
import lab

lab.notebook()  # float64, and the pictures inline

# %%
import jax
import jax.numpy as jnp
import numpy as np
import ot as pot
import pandas as pd

from lab import ot as transport
from lab import paths
from lab.studies import StochasticInterpolants

pictures = StochasticInterpolants.pictures

# %% [markdown]
# ## The path
#
# From two modes to three, on a line. Without latent noise ($\gamma = 0$) each of the six pairs of modes has its own ridge.

# %%
study = StochasticInterpolants(a=1.0)
result = study.run()
pictures.smoothing(result)

# %%
pictures.spacetime(result)

# %% [markdown]
# Black: the ODE $\dot X = b$. Orange: the SDE $dX = (b + \epsilon s)\,dt + \sqrt{2\epsilon}\,dW$. Their trajectories have
# nothing in common but the density at each time. In motion (a slider where a server is, `result` plays on the page):

# %%
pictures.motion(result, at=0.5)

# %% [markdown]
# ## The field, checked
#
# The field of ``lab.paths`` solves the transport equation $\partial_t \rho + \nabla\cdot(b\rho) = 0$. By differences of
# second order, not by the derivatives that the lab takes itself:

# %%
source = paths.Mixture([0.5, 0.5], [[-3.0], [3.0]], [0.25, 0.25])
target = paths.Mixture(np.full(3, 1 / 3), [[-6.0], [0.0], [6.0]], [0.5, 0.33, 0.5])
field = paths.exact(paths.Linear(paths.Brownian(1.0)), source, target)
x, t, h = np.linspace(-7, 7, 29)[:, None], 0.4, 1e-4


def flux(x):
    at = field(t, x)
    return np.asarray(at.velocity)[:, 0] * np.exp(at.log_density)


rate = (np.exp(field.log_density(t + h, x)) - np.exp(field.log_density(t - h, x))) / (2 * h)
abs(rate + (flux(x + h) - flux(x - h)) / (2 * h)).max()

# %% [markdown]
# And against brute force: $10^6$ draws of $(x_0, x_1, z)$, those that come near a point, and the mean of what moves them.

# %%
keys = jax.random.split(jax.random.key(0), 3)
n = 1_000_000
x0, x1, z = (
    np.asarray(draw)
    for draw in (source.sample(keys[0], n), target.sample(keys[1], n), jax.random.normal(keys[2], (n, 1)))
)
z = np.concatenate([z, -z])  # both signs
x0, x1 = np.concatenate([x0, x0]), np.concatenate([x1, x1])
xt = jax.jit(paths.interpolate)(field.schedule, t, x0, x1, z)
moved = jax.jit(paths.conditional_velocity)(field.schedule, t, x0, x1, z)
rows = []
for place in (-4.0, -1.5, 0.5, 2.0):
    near = np.abs(np.asarray(xt[:, 0]) - place) < 0.02
    draws = np.asarray(moved)[near, 0]
    rows.append(
        {
            "x": place,
            "exact": float(field.velocity(t, jnp.array([[place]]))[0, 0]),
            "brute force": draws.mean(),
            "standard error": draws.std() / np.sqrt(draws.size),
        }
    )
pd.DataFrame(rows).set_index("x").round(4)

# %% [markdown]
# ## The same density at any noise level
#
# Mean, standard deviation and the shares of the three modes at the end, of 4000 particles; the ODE is $\epsilon = 0$.

# %%
particles = source.sample(jax.random.key(1), 4000)
rows = {}
for epsilon in (0.0, 0.1, 5.0):
    end = np.asarray(paths.sde(field, particles, jax.random.key(2), epsilon, steps=200, keep=False).end)[:, 0]
    shares = np.histogram(end, [-20, -3, 3, 20])[0] / end.size
    rows[f"ε = {epsilon:g}"] = [end.mean(), end.std(), *shares]
moments = target.moments()
rows["exact"] = [float(moments.mean[0]), float(moments.covariance[0, 0] ** 0.5), 1 / 3, 1 / 3, 1 / 3]
pd.DataFrame(rows, index=["mean", "standard deviation", "at -6", "at 0", "at 6"]).T.round(3)

# %% [markdown]
# ## The likelihood
#
# The integral of the divergence along the ODE gives the log-density of every sample. On a line the exact one can be drawn
# beside it.

# %%
pictures.samples(result)

# %% [markdown]
# ## What a misfit costs
#
# Learned fields miss. With $\hat b$ and $\hat s$ off by a little, how far is the law of the samples from that of the data?
# For the SDE it is bounded,
#
# $$ \mathrm{KL} \le \frac1{2\epsilon}\int E|\hat b - b|^2 + \frac\epsilon2\int E|\hat s - s|^2, $$
#
# and for the ODE it is not. The lab computes the divergence itself: the ratio of the two laws solves a linear equation,
# which on a line is integrated without sampling. Between Gaussians the mean of the samples solves
# $\dot m = (\mathrm{Var}'/2 - \epsilon)\,m/\mathrm{Var} + \delta$, and $\mathrm{KL} = m_1^2 / 2\,\mathrm{Var}_1$:

# %%
gaussians = StochasticInterpolants(data="two-gaussians", a=1.0, misfit_b=0.3, misfit_s=0.6)


def by_means(epsilon, delta, steps=4000):
    """Heun's method for the mean."""

    def slope(t, m):
        variance = (1 - t) ** 2 + t**2 / 4 + t * (1 - t)
        rate = -2 * (1 - t) + t / 2 + 1 - 2 * t
        return (rate / 2 - epsilon) / variance * m + delta

    m, dt = 0.0, 1 / steps
    for k in range(steps):
        first = slope(k * dt, m)
        m += dt * (first + slope((k + 1) * dt, m + dt * first)) / 2
    return 2 * m**2  # the variance at the end is 1/4


levels = [0.0, 0.1, 0.3, 0.5, 1.0, 2.0]
missed = gaussians.along(epsilon=levels, keep=[*pictures.kl.keep, "kl_bound_quoted"])
pd.DataFrame(
    {
        "KL": missed.kl.values,
        "by means": [by_means(epsilon, 0.3 + 0.6 * epsilon) for epsilon in levels],
        "bound": missed.kl_bound.values,
        "as quoted": missed.kl_bound_quoted.values,
    },
    index=pd.Index(levels, name="ε"),
).round(6)

# %% [markdown]
# The last column is the bound as it is often quoted, with the half squares of the losses: at $\epsilon = 0.5$ it is
# smaller than the divergence. With whole squares it holds.

# %%
pictures.kl(missed)

# %% [markdown]
# When the score is nearly right, noise heals: the divergence falls with $\epsilon$.

# %%
healed = StochasticInterpolants.preset("noise-heals").along(
    epsilon=[0.0, 0.1, 0.3, 1.0, 3.0, 10.0], keep=["kl", "kl_error", "kl_ode", "kl_bound", "epsilon_star"]
)
pictures.kl(healed)

# %% [markdown]
# ## The bridge of Schrödinger
#
# Among all paths the bridge has the least drift energy $\int E|b + \epsilon s|^2 dt$. Between two Gaussians it is found in
# the family $\gamma^2 = a\,t(1-t)$, with *independent* ends, at $a^* = 2\sqrt{\sigma_0^2\sigma_1^2 + \epsilon^2}$.

# %%
bridge = StochasticInterpolants(data="two-gaussians").along(
    epsilon=[0.1, 0.3, 1.0], a=np.geomspace(0.3, 6, 6).tolist(), keep=["drift_energy", "bridge_a"]
)
pictures.drift(bridge)

# %% [markdown]
# The whole latent noise can be sought, not only its size: $\gamma^2 = t(1-t)\,e^{p(t)}$ with the polynomial p of least drift
# energy (the choice *bridge* of the study). Newton's method finds the constant $p = \log a^*$:

# %%
epsilon = 0.3
closed = 2 * np.sqrt(1 * 0.25 + epsilon**2)
fitted = paths.bridge.fit(paths.gaussian([0.0], 1.0), paths.gaussian([2.0], 0.25), epsilon, degree=2)
[*np.asarray(fitted.latent.coefficients), np.log(closed)]

# %% [markdown]
# Sinkhorn's algorithm knows nothing of paths, but the entropic plan of the same two Gaussians, with cost $|x - y|^2/2$ and
# regularization $2\epsilon$, is the joint law of the ends of the bridge. Its covariance is $a^*/2 - \epsilon$. In the domain of
# logarithms, by the lab and by POT:

# %%
x, y = np.linspace(-6, 6, 300), np.linspace(-1, 5, 300)
p, q = np.exp(-(x**2) / 2), np.exp(-2 * (y - 2) ** 2)
p, q, cost = p / p.sum(), q / q.sum(), (x[:, None] - y[None, :]) ** 2 / 2
solved = transport.solve(
    transport.Problem(jnp.asarray(cost), jnp.asarray(p), jnp.asarray(q)),
    transport.Entropic(2 * epsilon),
    method=transport.Sinkhorn(domain="log"),
    tolerance=1e-10,
)
plans = {
    "lab.ot": np.asarray(solved.plan()),
    "POT": pot.sinkhorn(p, q, cost, 2 * epsilon, method="sinkhorn_log", stopThr=1e-10, numItermax=5000),
}
covariances = {name: x @ plan @ y - (plan.sum(1) @ x) * (plan.sum(0) @ y) for name, plan in plans.items()}
size = float(np.exp(fitted.latent.coefficients[0]))
pd.Series(covariances | {"fitted path": size / 2 - epsilon, "closed form": closed / 2 - epsilon})

# %% [markdown]
# Between other laws no latent noise makes independent ends the bridge, but the fitted one comes nearer than a = 1, above:

# %%
nearest = paths.bridge.fit(source, target, 1.0, degree=2)
pd.Series(
    {"a = 1": float(result.drift_energy), "fitted": float(nearest.energy)}, name="drift energy, two modes to three"
)

# %% [markdown]
# ## Rectification
#
# The flow of independent ends has a map T. Take $(x_0, T(x_0))$ as the ends instead (the coupling *rectified* of the study):
# without latent noise, and where the lines $\alpha x_0 + \beta T(x_0)$ do not cross, the new flow goes along them, and **its
# map is T again**; only $\rho(t)$ inside has changed. Between Gaussians the flow is affine, $T(x) = T(0) + Ax$, and all is
# known from where it takes the origin and the unit vectors:


# %%
def carry(path, *ends):
    """Where the flow takes the origin, its slope there half way, and at the end."""
    corners = np.concatenate([np.zeros((1, 2)), np.eye(2)])
    middle, end = np.asarray(paths.ode(paths.exact(path, *ends), corners, steps=100).x[50::50])
    return end[:1], (middle[1:] - middle[0]).T, (end[1:] - end[0]).T


axes = {
    "the same axes": (np.diag([1.2, 1.0]), np.diag([0.4, 0.6])),
    "turned axes": (np.array([[1.2, 0.9], [0.9, 1.0]]), np.array([[0.4, -0.3], [-0.3, 0.6]])),
}
rows = {}
for kind, (first, last) in axes.items():
    start, stop = paths.gaussian([0.0, 0.0], first), paths.gaussian([2.0, 0.0], last)
    for name, latent in {"no latent noise": None, "a = 1": paths.Brownian(1.0)}.items():
        path = paths.Linear(latent)
        end, half, slope = carry(path, start, stop)
        both = paths.Joint([1.0], [[0.0, 0.0]], end, [first], [slope @ first @ slope.T], [first @ slope.T])
        _, half_again, again = carry(path, both)
        rows[kind, name] = [np.trace(A @ first @ A.T) / 2 for A in (half, half_again)] + [np.abs(again - slope).max()]
pd.DataFrame(rows, index=["variance half way", "rectified", "change of the map"]).T

# %% [markdown]
# Where the axes turn on the way, latent noise blurs the lines and moves the map; on a line, or along axes that stay, it does
# not.

# %% [markdown]
# ## Other schedules
#
# The same laws, all through noise at $t = 1/2$; and all schedules there are.

# %%
encoder = lab.run(StochasticInterpolants.preset("encode-decode"))
pictures.spacetime(encoder)

# %%
pictures.schedules(encoder)

# %% [markdown]
# ## Results are data
#
# A result is a labelled dataset whose attributes hold everything that is needed to compute it again.

# %%
result
