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
# # Latent traversals as potential flows
#
# Song, Keller, Sebe and Welling, *Latent Traversals in Generative Models as Potential Flows*, ICML 2023.
#
# A latent point moves along the gradient of a potential, $\dot z = \nabla u(z, t)$, and the output of a generator changes with
# it. The equation that the potential solves determines the motion and its kinetic energy.

# %%
import lab

lab.notebook()  # float64, and the pictures inline

# %%
import holoviews as hv
import jax
import jax.numpy as jnp
import numpy as np
import ot as pot
import pandas as pd

from lab import paths, studies
from lab.numerics import pure
from lab.paths import potential_learning, potentials
from lab.paths.potential_learning import Settings
from lab.paths.potentials import Climb, HamiltonJacobi, Heat, Wave

hv.output(size=100)
PotentialFlows = studies.PotentialFlows
pictures = PotentialFlows.pictures

# %% [markdown]
# ## Residuals and the Laplacian
#
# The residual of each equation is 0 if the potential solves it. The Laplacian is the trace of the Hessian. The released code
# differentiates the sum of the gradient instead, which gives the row sums of the Hessian, a vector, and thus another equation.

# %%
A = jnp.array([[0.3, -0.5], [-0.5, 0.4]])
g, z = jnp.array([0.2, -0.1]), jnp.array([0.7, -1.2])
wave = Wave(A, g, 1.3)
found = potentials.derivatives(wave, z, 0.6)
rows = jax.grad(lambda z: jax.grad(wave)(z, 0.6).sum())(z)
pd.Series(
    {
        "residual": float(potentials.residual("wave", z, found, 1.3)),
        "Laplacian": float(found.laplacian),
        "row sums": np.round(np.asarray(rows), 3),
    },
    name="wave",
)

# %% [markdown]
# ## One map, three energies
#
# Quadratic potentials of the three equations can take one Gaussian to another by the same Brenier map. By the Benamou-Brenier
# theorem no flow between these distributions has a kinetic energy below $W_2^2$; the Hamilton-Jacobi flow attains it. POT
# computes $W_2$.

# %%
start, goal = jnp.array([[1.0, 0.6], [0.6, 0.5]]), jnp.array([[0.4, -0.2], [-0.2, 1.2]])
mean, shift = jnp.zeros(2), jnp.array([1.0, 0.5])
made = potentials.joined(mean, start, shift, goal)
nodes, weights = np.polynomial.legendre.leggauss(20)


def energy(u):
    speeds = []
    for t in (1 + nodes) / 2:
        way = u.flow(t)
        speeds.append(potentials.gaussian_energy(u, way.shift, way.matrix @ start @ way.matrix.T, t))
    return float(np.array(speeds) @ weights / 2)


table = pd.Series({type(u).__name__: energy(u) for u in (made.wave, made.heat, made.hamilton_jacobi)}, name="energy")
distance = float(pot.gaussian.bures_wasserstein_distance(mean, shift, start, goal)) ** 2
table.to_frame().assign(over_w2=table / distance)

# %% [markdown]
# Waves start from rest, $\nabla u(\cdot, 0) = 0$. A shift by m is then $z_0 + m t^2$, with energy $4/3\,|m|^2$, a third above
# the optimum. The excess is larger where points spread and smaller where they concentrate.

# %%
result = lab.run(PotentialFlows(potential="quadratic"))
pictures.energies(result)

# %%
pictures.motion.strip(result, 3).cols(1)

# %% [markdown]
# ## Straight lines are optimal until they cross
#
# From ripples, waves oscillate, the heat flow slows down, and points of the Hamilton-Jacobi flow move on straight lines. These
# are optimal until they first cross. The Hopf-Lax solution then has ridges, whose gradient straight lines do not follow.

# %%
result = PotentialFlows(amplitude=2.0, time=2.0).run()
pictures.motion.strip(result, 3).cols(1)

# %%
pd.Series({name: float(result[name]) for name in ("shock", "met", "ratio_wave", "ratio_heat", "ratio_hj")}).to_frame(
    "value"
)

# %% [markdown]
# ## Unit steps of Euler
#
# The paper takes unit steps. One step is exact for straight lines; for waves and heat the error of Euler's method has order 1,
# of RK4 order 4. With decreasing times the same potential leads back to the initial points.

# %%
points = jnp.asarray(np.random.default_rng(0).normal(size=(50, 2)))
errors = {}
for u in (Wave(A, g), Heat(A, g), HamiltonJacobi(A, g)):
    for solver in ("euler", "rk4"):
        ends = [paths.carry(pure, Climb(u), points, jnp.linspace(0, 1, n + 1), solver=solver).end for n in (1, 4, 16)]
        errors[type(u).__name__, solver] = [float(jnp.abs(end - u.flow(1.0)(points)).max()) for end in ends]
pd.DataFrame(errors, index=[1, 4, 16]).rename_axis("steps")

# %%
there = paths.carry(pure, Climb(wave), points, jnp.linspace(0, 1, 21)).end
back = paths.carry(pure, Climb(wave), there, jnp.linspace(1, 0, 21)).end
float(jnp.abs(back - points).max())

# %% [markdown]
# ## Trained potentials
#
# Potentials can be trained on any frozen generator, a JAX function of a latent point. Here three numbers set position and width
# of a spot. Three potentials are trained so that a classifier can predict from two images which potential connects them.

# %%
y, x = jnp.mgrid[-1:1:8j, -1:1:8j]


def spots(z):
    return jnp.exp(-((x - 0.4 * z[0]) ** 2 + (y - 0.4 * z[1]) ** 2) / (0.1 + 0.1 * jnp.tanh(z[2]) ** 2))


taught = potential_learning.train(
    pure,
    jax.random.key(0),
    spots,
    3,
    3,
    "heat",
    Settings(learning_rate=3e-3),
    times=3,
    steps=300,
    hidden=16,
    shared=False,
)
pd.DataFrame({name: np.asarray(each).reshape(6, 50).mean(axis=1) for name, each in taught.trace.items()})

# %% [markdown]
# `studies.traversal_study` makes a study of such a generator, with page, commands and pictures. The preset `digits` of
# `PotentialFlows` trains four waves on an autoencoder of digits.

# %%
Spots = studies.traversal_study("Spots", spots, 3, potentials=3, times=3, units=16, train_steps=100, shared=False)
Spots().as_command()
