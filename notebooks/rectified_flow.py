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
# # Rectified flow
#
# Liu, Gong and Liu, *Flow Straight and Fast: Learning to Generate and Transfer Data with Rectified Flow*, ICLR 2023.
#
# Straight lines between random pairs of noise and data cross, so no flow can follow them. The flow with the *mean* velocity
# of the lines through each point has the same marginals, and its own pairs cross less. This notebook builds that flow from
# exact fields, without a network, checks the balance of its transport cost, rectifies it again until one Euler step is
# enough, shows a straight flow that is not optimal, compares with POT and diffrax, and ends with the paper's figures.

# %%
import lab

lab.notebook()  # float64, and the pictures inline

# %%
import tempfile
from pathlib import Path

import holoviews as hv
import jax
import numpy as np
import ot as pot
import pandas as pd
from scipy.stats import norm

from lab import figures, paths
from lab.datasets.gaussians import S0, S1
from lab.numerics import Chunked
from lab.paths.schedules import OneOf
from lab.studies import RectifiedFlow, draw
from lab.studies.paths.rectified_flow.experiment import SCHEDULES

hv.output(size=100)
pictures = RectifiedFlow.pictures

# %% [markdown]
# ## Two modes to two modes
#
# Left, particles on the lines between random pairs; in the middle, particles on the flow
#
# $$ \dot Z_t = v(Z_t, t), \qquad v(x, t) = E[X_1 - X_0 \mid X_t = x], \qquad X_t = (1-t) X_0 + t X_1; $$
#
# right, the same flow in one Euler step. At each time the first two clouds have the same distribution.

# %%
study = RectifiedFlow()
result = lab.run(study)
pictures.motion.strip(result, 3).cols(1)

# %% [markdown]
# A result is a labeled dataset whose attributes hold everything needed to compute it again.
# `pictures.motion.movie(result)` plays it.

# %%
result

# %% [markdown]
# ## The field, without a study
#
# Both distributions are Gaussian mixtures, so the velocity has a closed form. The table compares it with the definition, the
# mean velocity of the random lines that pass within 0.05 of a point.

# %%
source = paths.Mixture([0.5, 0.5], [[0.0, 3.0], [0.0, -3.0]], [0.25, 0.25])
target = paths.Mixture([0.5, 0.5], [[5.0, 3.0], [5.0, -3.0]], [0.25, 0.25])
field = paths.exact(paths.Linear(), source, target)

keys = jax.random.split(jax.random.key(1))
x0, x1 = np.asarray(source.sample(keys[0], 1_000_000)), np.asarray(target.sample(keys[1], 1_000_000))
t, at = 0.4, np.array([2.0, 1.0])
through = np.linalg.norm((1 - t) * x0 + t * x1 - at, axis=1) < 0.05
pd.DataFrame(
    [
        np.asarray(field.velocity(t, at[None]))[0],
        (x1 - x0)[through].mean(0),
        (x1 - x0)[through].std(0) / through.sum() ** 0.5,
    ],
    index=["exact", "mean of lines", "its standard error"],
    columns=["first", "second"],
)

# %% [markdown]
# ## Balance of the transport cost
#
# The cost decreases by the bending S of the flow plus the crossing V of the lines:
#
# $$ E|X_1 - X_0|^2 - E|Z_1 - Z_0|^2 = S + V. $$
#
# The identity holds in expectation; the balance error is measured on particles and has a standard error.

# %%
noise = RectifiedFlow(data="eight-gaussians")
eight = noise.run()
pd.Series(
    {
        "cost of random pairs": float(eight.cost_before.sel(p=2)),
        "cost of the flow's pairs": float(eight.square_cost),
        "S": float(eight.S),
        "V": float(eight.V_before),
        "balance error": float(eight.identity_gap),
        "its standard error": float(eight.identity_error),
    }
)

# %% [markdown]
# By Jensen's inequality, applied twice, every convex cost E|Z₁ - Z₀|ᵖ decreases, although the flow minimizes none of them.

# %%
pd.DataFrame({"before": result.cost_before, "after": result.cost}, index=pd.Index(result.p.values, name="p"))

# %% [markdown]
# ## Compared with POT
#
# POT's network simplex finds the optimal coupling of the same endpoints. On eight Gaussians the cost of the first
# rectification is within 1% of its cost.

# %%
z0, z1 = eight.paths.values[0], eight.paths.values[-1]
optimal = pot.emd2([], [], pot.dist(z0, z1))
print(f"flow {((z1 - z0) ** 2).sum(1).mean():.6f}, optimal by POT {optimal:.6f}")

# %% [markdown]
# ## Reflow
#
# Lines between the flow's own pairs do not cross. The next field is fitted to these pairs: at each point a mean over the
# nearby lines, weighted by a kernel of bandwidth $h$. Its flow is straight, and one Euler step is exact.

# %%
drawn_below = {name for picture in (pictures.rewired, pictures.ledger, pictures.steps) for name in picture.keep}
rounds = study.along(k=[0, 1, 2, 3], keep=sorted(drawn_below))
pictures.rewired(rounds)

# %%
pictures.ledger(rounds)

# %% [markdown]
# The loop in full: draw new initial samples, follow the flow, store the pairs, fit the next field. The study runs it as a
# method of `lab.numerics`, which provides trace, progress and Stop.


# %%
laws = RectifiedFlow.inputs(study.load())  # the two above


def rectified(k):
    first = OneOf(tuple(SCHEDULES.values()), 0)  # straight lines, of the schedules that one program serves
    work = paths.rectified.begin(
        jax.random.key(0), laws["source"], laws["target"], first, k, bandwidth=0.2, n=400, pairs=400
    )
    return work, paths.rectified.rectify(Chunked(), work)


work, run = rectified(3)
pd.DataFrame({name: np.asarray(rows)[:3] for name, rows in run.state.history.items()}, index=[1, 2, 3])

# %% [markdown]
# ## Evaluations of an adaptive solver
#
# The paper counts evaluations of the velocity by RK45 at a tolerance of 1e-5: straight flows need fewer. With diffrax:


# %%
fields = {1: work.first, 2: paths.rectified.smoothed(rectified(2)[1].state.fitted, work.bandwidth)}
{f"k = {k}": int(paths.adaptive(each, work.particles.x0).nfe) for k, each in fields.items()}

# %% [markdown]
# ## Bandwidth
#
# On eight Gaussians the bandwidth matters: a wide kernel blurs the pairs and shrinks the data; a narrow one repeats pairs.

# %%
blur = noise.along(bandwidth=[0.05, 0.1, 0.2, 0.8], k=[2], keep=pictures.blur.keep)
pictures.blur(blur)

# %% [markdown]
# ## Straight is not optimal
#
# Between centered Gaussians the flow is linear, $Z_1 = T Z_0$. If the covariances do not commute, $T$ is straight, because
# its eigenvalues are positive and so no lines cross, but $T$ is not symmetric, hence not the gradient of a convex function.

# %%
gaussians = [paths.Mixture(np.ones(1), np.zeros((1, 2)), covariance[None]) for covariance in (S0, S1)]
crossed = paths.exact(paths.Linear(), *gaussians)
start = np.random.default_rng(0).multivariate_normal(np.zeros(2), S0, 200)
end = np.asarray(paths.ode(crossed, start).end)
linear = np.linalg.lstsq(start, end, rcond=None)[0].T
bures = pot.gaussian.bures_wasserstein_distance(np.zeros(2), np.zeros(2), S0, S1) ** 2
best, _ = pot.gaussian.bures_wasserstein_mapping(np.zeros(2), np.zeros(2), S0, S1)
print("T =", linear.round(6).tolist(), "eigenvalues", np.linalg.eigvals(linear).round(4))
print("T S0 T' less S1:", abs(linear @ S0 @ linear.T - S1).max())
print(f"cost {np.trace((linear - np.eye(2)) @ S0 @ (linear - np.eye(2)).T):.6f}, optimal by POT {float(bures):.6f}")
draw.plot(
    draw.segments(*end.T, *(start @ best).T, color=draw.MUTED),
    draw.points(*end.T, size=0.6),
    draw.points(*(start @ best).T, color=draw.TARGET, size=0.6),
    xlabel="x₁",
    ylabel="x₂",
    equal=True,
    note="blue: ends of the flow, orange: optimal ends of the same starts",
)

# %% [markdown]
# On a line every straight coupling is optimal: the first rectification is the monotone map.

# %%
sides, thirds = np.array([[-3.0], [3.0]]), np.array([[-6.0], [0.0], [6.0]])
on_a_line = paths.exact(
    paths.Linear(),
    paths.Mixture(np.full(2, 1 / 2), sides, np.full(2, 0.25)),
    paths.Mixture(np.full(3, 1 / 3), thirds, np.full(3, 0.4)),
)
start = np.linspace(-4.5, 4.5, 181)
end = np.asarray(paths.ode(on_a_line, start[:, None]).end[:, 0])
levels, grid = norm.cdf(start[:, None], sides.T, 0.5).mean(1), np.linspace(-10, 10, 20_001)
quantiles = np.interp(levels, norm.cdf(grid[:, None], thirds.T, 0.4**0.5).mean(1), grid)
draw.plot(
    draw.curve(start, end, "flow"),
    draw.curve(start, quantiles, "quantiles", color=draw.TARGET, dash=True),
    xlabel="start",
    ylabel="end",
    note=f"at most {abs(end - quantiles).max():.1e} apart",
)

# %% [markdown]
# ## Diffusions bend
#
# The probability flow of a diffusion uses another schedule, $X_t = \alpha_t X_0 + \beta_t X_1$. The marginals at both ends are
# the same; the paths bend, and their speed is uneven.

# %%
schedules = study.picture_result(pictures.speeds)
pictures.speeds(schedules)

# %% [markdown]
# ## Training a network
#
# The loss of a network trained on the same pairs decreases toward V, the loss of the exact field and the lower bound.

# %%
trained = study.but(train_steps=600).run()
pictures.training(trained)

# %% [markdown]
# ## The paper's figures
#
# Squared distance to the data by the number of Euler steps, for one, two and three rectifications:

# %%
pictures.steps(rounds)

# %% [markdown]
# Exported figures are vector graphics as wide as a journal column and contain their recipe: `lab reproduce FILE` computes
# them again.

# %%
folder = Path(tempfile.mkdtemp())
for name, drawn in {"rewired": rounds, "steps": rounds}.items():
    figures.export_picture(pictures[name], drawn, folder / f"{name}.pdf", width="column")
sorted(path.name for path in folder.iterdir())

# %% [markdown]
# ## Where to go from here
#
# `study.panel()` opens the live page in a cell: move $k$, $K$ and $h$, choose two moons or digits, or load your own samples.
# `lab verify rectified-flow` measures each claim of the paper.
