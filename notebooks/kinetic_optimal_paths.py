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
# # The probability path of least kinetic energy
#
# Shaul, Chen, Nickel, Le and Lipman, *On Kinetic Optimal Probability Paths for Generative Models*, ICML 2023.
#
# A Gaussian path $x_t = a_t x_1 + m_t z$ leads from noise to data. Diffusions, cosine schedules and straight lines
# (conditional optimal transport) are all of this kind and differ in $(a_t, m_t)$ only. Which of them is easiest to follow?
# This notebook computes the energy of any schedule from one curve of the data, finds the best one in closed form, compares
# it with the paper's own procedure, gradient descent over a family of schedules, and follows it in few steps. No network
# is trained until the end.

# %%
import lab

lab.notebook()  # float64, and the pictures inline

# %%
import tempfile
from pathlib import Path

import holoviews as hv
import jax
import jax.numpy as jnp
import numpy as np
import ot as pot
import pandas as pd
from scipy.integrate import solve_ivp
from scipy.optimize import minimize

from lab import figures, paths
from lab.paths import kinetic, separation
from lab.studies import KineticOptimalPaths, draw

hv.output(size=100)
pictures = KineticOptimalPaths.pictures

# %% [markdown]
# ## Two Euler steps
#
# The data are a checkerboard, whose denoiser $E[x_1 | x_t]$ is known exactly. The same noise moves by three schedules, in
# two Euler steps each. The shade is the exact density of the path.

# %%
study = KineticOptimalPaths(nfe=2)
result = lab.run(study)
pictures.particles(result)

# %% [markdown]
# As a film, here four frames:

# %%
pictures.particles.strip(result, 4)

# %% [markdown]
# A result is a labelled dataset whose attributes hold everything that is needed to compute it again.

# %%
result

# %% [markdown]
# ## One curve of the data
#
# The energy depends on the data through one curve, which measures how well they can be separated from noise: $\lambda(s)$ is
# the mean square of the optimal denoiser at $y = s x_1 + z$, per dimension, and $\gamma$ is its gain over the optimal linear
# denoiser.

# %%
pictures.separation(result)

# %% [markdown]
# Checked against its definition, with nothing but NumPy: 40,000 samples of the board represent the distribution, and the
# denoiser is a softmax over them.

# %%
rng = np.random.default_rng(0)
law = paths.checkerboard()
atoms = np.asarray(law.sample(jax.random.key(1), 40_000))
rows = []
for s in (0.5, 1.0, 2.0):
    y = s * np.asarray(law.sample(jax.random.key(2), 200)) + rng.normal(size=(200, 2))
    logits = s * y @ atoms.T - s**2 * (atoms**2).sum(1)[None] / 2
    w = np.exp(logits - logits.max(1, keepdims=True))
    squares = ((w @ atoms / w.sum(1, keepdims=True)) ** 2).mean(1)
    known = np.interp(np.arctan(s), result.theta, result.lam)
    rows.append(
        {"s": s, "λ by NumPy": squares.mean(), "its error": squares.std() / np.sqrt(200), "λ of the lab": known}
    )
pd.DataFrame(rows).set_index("s")

# %% [markdown]
# ## The best path is a chord
#
# With $\tan\theta = a/m$, $r^2 = a^2 + m^2$ and $\varphi = \int_0^\theta \sqrt\gamma$ the energy is
# $\int \dot r^2 + r^2 \dot\varphi^2$, that of a point in the flat plane. The best path is straight, at even speed.

# %%
pictures.chord(result)

# %% [markdown]
# The paper's theorem states the same as a differential equation for $\theta$ with one constant $b$. Solved by SciPy, for
# two points at -1 and 1, where $\gamma$ is known by quadrature:

# %%
two = jax.jit(separation.of_two_points)()
best = kinetic.KineticOptimal(two)
b = float(two.least)


gamma_at = jax.jit(lambda theta: two(theta))
schedule_at = jax.jit(lambda t: jax.vmap(best)(t))


def turn(t, theta):
    gamma = np.maximum(np.asarray(gamma_at(theta)), 1e-16)
    return np.sqrt(b - b**2 / 4) / ((1 - b * t + b * t * t) * np.sqrt(gamma))


times = np.linspace(0.01, 0.99, 60)
at = schedule_at(times)
angle = np.arctan2(at.beta, at.alpha)
solved = solve_ivp(turn, (times[0], times[-1]), angle[:1], t_eval=times, rtol=1e-8, atol=1e-10)
print("chord and equation apart", np.abs(solved.y[0] - angle).max())

# %% [markdown]
# ## Compared with descent
#
# The authors fit a spline to $\lambda$ and descend on the energy over a network with ten parameters. Here the same with ten
# parameters of a monotone angle, a radius on the theorem's one-parameter family, and SciPy's BFGS on exact gradients. It comes
# near the chord's energy and never below.

# %%


class Angle(paths.Custom):
    """r and θ from ten numbers; derivatives by JAX."""

    def __init__(self, p):
        shares, bend = jax.nn.softmax(p[:9]), 2 * jax.nn.sigmoid(p[9])
        powers = jnp.asarray([0.34, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0])

        def ends(t):
            theta = jnp.pi / 2 * (shares * t[..., None] ** powers).sum(-1)
            r = jnp.sqrt(1 - bend * t * (1 - t))
            return r * jnp.cos(theta), r * jnp.sin(theta)

        self.alpha = jax.tree_util.Partial(lambda t: ends(t)[0])
        self.beta = jax.tree_util.Partial(lambda t: ends(t)[1])
        self.gamma_squared = None


@jax.jit
@jax.value_and_grad
def action(p):
    return kinetic.energy(Angle(p), two, panels=64).marginal


found = minimize(lambda p: tuple(np.asarray(v) for v in action(p)), np.zeros(10), jac=True, method="BFGS")
energy = jax.jit(kinetic.energy)
pd.Series(
    {
        "W2², a bound from below": 2 - 2 * np.sqrt(2 / np.pi),
        "the chord": b,
        f"descent, {found.nit} steps": found.fun,
        "trigonometric": float(energy(paths.Trigonometric(), two).marginal),
        "linear": float(energy(paths.Linear(), two).marginal),
    },
    name="energy",
)

# %% [markdown]
# ## Where energy cancels
#
# Single pairs on straight lines have energy 2; where lines of different pairs cross, the marginal velocity averages them.

# %%
pictures.integrand(result)

# %% [markdown]
# ## Fewer steps
#
# Squared distance of the particles from held-out samples of the data, by exact transport: the lab's, and POT's to other
# held-out samples. Two held-out samples have $W_2^2$ of about 0.05, the floor of the measure.

# %%
fresh = np.asarray(law.sample(jax.random.key(4), 500))
mass = np.full(500, 1 / 500)
by_pot = [
    pot.emd2(mass, mass, pot.dist(result.position.sel(schedule=name).values[-1].astype(float), fresh))
    for name in result.schedule.values
]
pd.DataFrame({"W2² by the lab": result.w2sq, "by POT, other samples": by_pot}, index=result.schedule.values)

# %% [markdown]
# By the number of steps (`study.picture_result(pictures.steps)` has three seeds):

# %%
swept = study.along(nfe=[1, 2, 4, 16], seed=[0], keep=["w2sq", "w2sq_floor"])
pictures.steps(swept)

# %% [markdown]
# Between the kinetic optimal and the linear schedule:

# %%
mixed = study.along(weight=[0.0, 0.5, 1.0], keep=["w2sq", "energy"]).sel(schedule="between")
mixed[["energy", "w2sq"]].to_dataframe()[["energy", "w2sq"]]

# %% [markdown]
# ## Where it is optimal transport, and where not
#
# To a Gaussian with two distinct eigenvalues the best Gaussian path *is* the path of optimal transport, so that one Euler
# step is exact. With three it is not.

# %%
rows = {}
for spectrum in ("1.6, 0.4", "2, 0.9, 0.1"):
    e = np.array([float(value) for value in spectrum.split(",")])
    curve = separation.of_gaussian(jnp.asarray(e))
    rows[spectrum] = {"least energy": float(curve.least), "W2² / d": 2 - 2 * np.sqrt(e).mean()}
pd.DataFrame(rows).T

# %% [markdown]
# ## Many dimensions
#
# Few points in many dimensions are told apart at the first sign of signal: $\lambda \to 1$, the chord becomes the line from
# $(1, 0)$ to $(0, 1)$, and straight lines *are* the best schedule. Real images behave likewise.

# %%
dimensions = (2, 256)
lines = []
for d, tint in zip(dimensions, draw.colours(len(dimensions), ordered=True), strict=True):
    cloud = jnp.asarray(np.random.default_rng(0).normal(size=(50, d)))
    curve = separation.of_points(jax.random.key(0), cloud, draws=10)
    lines.append(draw.curve(curve.theta, curve.lam, f"d = {d}, E* = {float(curve.least):.2f}", color=tint))
theta = np.asarray(curve.theta)
draw.plot(
    draw.band(theta, 0 * theta, np.sin(theta) ** 2, color=draw.MUTED),
    *lines,
    xlabel="angle θ (rad)",
    ylabel="λ",
    ylim=(0, 1.05),
)

# %% [markdown]
# ## A user's own schedule
#
# Anything that is called at a time and returns its coefficients has an energy on these data; so has a
# `paths.Custom` of two functions.

# %%
mine = paths.Custom(lambda t: (1 - t) ** 2, lambda t: 1 - (1 - t) ** 2)
board = separation.Separation(*(jnp.asarray(result[name].values) for name in ("theta", "gamma", "gamma_error")))
print("energy", float(kinetic.energy(mine, board).marginal), "  least", float(board.least))

# %% [markdown]
# Exported figures are vector graphics at the width of a journal's column and carry their recipe: `lab reproduce FILE`
# computes them again.

# %%
folder = Path(tempfile.mkdtemp())
figures.export_picture(pictures.chord, result, folder / "chord.pdf", width="column")
sorted(path.name for path in folder.iterdir())

# %% [markdown]
# ## Where to go from here
#
# `study.panel()` opens the live page in a cell: move the number of steps, choose digits or MNIST at three sizes, bring your
# own samples, or set *training steps* above 0 to see what a trained network leaves of the differences. `lab verify
# kinetic-optimal-paths` measures what the paper and mathematics claim.
