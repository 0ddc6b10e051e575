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
# # Least squares on repelling points
#
# Nouy and Michel, *Weighted least-squares approximation with determinantal point processes and generalized volume sampling*,
# 2023.
#
# A function is expensive, and is to be approximated by m others from n of its values. Where to evaluate it? This notebook
# draws points that repel each other, shows what that buys against independent and Sobol points, gives a design for a
# Python function of your own, and says when its error estimate can be trusted.

# %%
import lab

lab.notebook()  # float64, and the pictures inline

# %%
import holoviews as hv
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from scipy.stats import qmc

from lab import sampling
from lab.sampling import least_squares
from lab.studies import DPPLeastSquares

hv.output(size=100)
pictures = DPPLeastSquares.pictures

# %% [markdown]
# ## Point by point
#
# The density of the next point of a DPP vanishes at the earlier points. Independent points come from the dashed density.

# %%
study = DPPLeastSquares()
result = lab.run(study)
pictures.chain.strip(result, 3).cols(1)

# %% [markdown]
# Each of these curves is $(|\varphi(x)|^2 - |Q_k^T \varphi(x)|^2) / (m - k)$, times the density of $\mu$. By hand:

# %%
basis = sampling.legendre(10)
points = jnp.asarray(result.points.sel(design="dpp").isel(kept=0).values[:10])
x = jnp.asarray(result.grid.values)
q, _ = jnp.linalg.qr(basis(points[:4]).T)
by_hand = ((basis(x) ** 2).sum(1) - ((basis(x) @ q) ** 2).sum(1)) / (10 - 4) / 2  # the law has density 1/2
print(f"at most {float(abs(by_hand - result.conditional.values[4]).max()):.1e} apart")

# %% [markdown]
# ## Stability
#
# A design is stable where the smallest eigenvalue of $G = \frac1n \sum w \varphi \varphi^T$ is at least $1 - \delta$. With
# $n = 3m$ nearly half of the repeated DPPs are stable, but only 2% of the designs of independent points from the optimal
# measure.

# %%
pictures.stability(result)

# %%
result[["probability", "lambda_median", "ratio_mean", "ratio_stable"]].sel(n_over_m=3).to_dataframe()

# %% [markdown]
# A few draws dominate the *mean* error of independent points, so compare quantiles.

# %%
pictures.errors(result)

# %% [markdown]
# ## The same in four lines
#
# Rules are data, and nest. This one draws three DPPs until they are stable together. The fit is NumPy's `lstsq` of the
# weighted problem.

# %%
rule = sampling.Conditioned(sampling.Repeated(sampling.Projection(), 3), delta=0.5)
design = sampling.sample(jax.random.key(1), rule, basis)


def f(x):
    return 1 / (1 + 25 * x[:, 0] ** 2)


fitted = least_squares.fit(basis(design.points), design.weights, f(design.points))

root = np.sqrt(np.asarray(design.weights))
c = np.linalg.lstsq(root[:, None] * np.asarray(basis(design.points)), root * np.asarray(f(design.points)), rcond=None)[
    0
]
truth = sampling.truth(basis, f, 400)
print(
    f"{int(design.tries)} tries, λmin = {float(design.lambda_min):.3f}, {abs(c - fitted.coefficients).max():.0e} from NumPy,"
    f" squared error {float(truth.squared_error(fitted.coefficients) / truth.best):.3f} times the best"
)

# %% [markdown]
# ## Against what exists
#
# The law has a second description: $2 x - 1$ for the eigenvalues $x$ of $(A + B)^{-1} A$, with $A, B$ complex Wishart matrices.
# NumPy's dense eigenvalues, the lab's draws and the integrals of the kernel agree:

# %%
rng = np.random.default_rng(0)
g = (rng.normal(size=(2, 400, 10, 10)) + 1j * rng.normal(size=(2, 400, 10, 10))) / np.sqrt(2)
a, b = g @ g.conj().swapaxes(2, 3)
theirs = ((2 * np.linalg.eigvals(np.linalg.solve(a + b, a)).real - 1) ** 2).sum(axis=1)
ours = result.linear.sel(design="dpp").values
exact = sampling.linear_statistic(basis, lambda x: x[:, 0] ** 2)
pd.DataFrame(
    {
        "mean of Σ x²": [theirs.mean(), ours.mean(), float(exact.mean)],
        "variance": [theirs.var(), ours.var(), float(exact.variance)],
    },
    index=["random matrices", "lab", "exact"],
)

# %% [markdown]
# And Sobol points, the usual space-filling design, with equal weights: they fill the interval evenly, where polynomials need
# points at its ends.

# %%
sobol = 2 * qmc.Sobol(1, seed=0).random(32) - 1
plain = least_squares.fit(basis(jnp.asarray(sobol)), jnp.ones(32), f(jnp.asarray(sobol)))
print(
    f"λmin {float(plain.lambda_min):.3f} of 32 Sobol points, {float(design.lambda_min):.3f} of 30 repelling ones; "
    f"squared error {float(truth.squared_error(plain.coefficients) / truth.best):.2f} and "
    f"{float(truth.squared_error(fitted.coefficients) / truth.best):.2f} times the best"
)

# %% [markdown]
# ## A function of your own
#
# `sampling.design` takes any Python function of points (n, d): it chooses the points, evaluates the function there once, and
# returns the fit, the integral and an error estimate. It may be a simulation that knows nothing of JAX.


# %%
def simulation(x: np.ndarray) -> np.ndarray:
    """Range of a thrown ball with drag, for launch angle (degrees) and speed (m/s): a loop in time."""
    angle, speed = np.radians(x[:, 0]), x[:, 1]
    velocity = np.stack([speed * np.cos(angle), speed * np.sin(angle)])
    place = np.zeros_like(velocity)
    best = np.zeros(len(x))
    for _ in range(400):
        velocity = velocity - 0.02 * (np.array([[0.0], [9.81]]) + 0.01 * np.linalg.norm(velocity, axis=0) * velocity)
        place = place + 0.02 * velocity
        best = np.where(place[1] >= 0, place[0], best)
    return best


found = sampling.design(simulation, bounds=[[20, 70], [10, 30]], degree=4)
test = np.random.default_rng(0).uniform([20, 10], [70, 30], (2000, 2))
true = np.sqrt(np.mean((np.asarray(found(test)) - simulation(test)) ** 2))
print(
    f"{len(found.points)} evaluations for {found.basis.m} polynomials; mean range {float(found.integral):.2f} m; "
    f"error estimated {float(found.error):.3f} m, measured {true:.3f} m"
)

# %% [markdown]
# One point at a time works as well (`vectorized=False`), and so do rules of your own (`rule=`), or another basis. What is
# wrong is told in a sentence:

# %%
for bad in (lambda x: x, lambda x: np.full(len(x), np.nan)):
    try:
        sampling.design(bad, bounds=[0, 1])
    except ValueError as sentence:
        print(sentence)

# %% [markdown]
# ## Thinning, and an estimate that is far too large
#
# Points of a stable design can be deleted until little more than m remain, still stable. **The error estimate of
# the thinned design is then far too large**, since few points are left for testing: red points lie orders of magnitude above
# the dashed line of equality. Use the estimate of the design before thinning.

# %%
thinned = study.but(thinned=15, replicates=300).run()
print(thinned.attrs["advice"])
pictures.thinning(thinned)

# %% [markdown]
# ## What to try
#
# `DPPLeastSquares.preset("plane")` for two variables, `"diabetes"` for a table: there the points are rows, and few outcomes
# replace the regression on all of them. `study.panel()` opens the page here.
