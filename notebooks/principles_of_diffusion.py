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
# # The principles of diffusion
#
# Lai, Song, Kim, Mitsufuji and Ermon, *The Principles of Diffusion Models*, 2025.
#
# One flow carries noise to data. Schedules say when it passes which level, parametrisations what a network predicts of it,
# samplers how it is followed in few steps. On laws whose denoiser is known the flow can be solved, and all errors are true
# ones.

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
import pandas as pd

from lab import diffusion, figures, paths
from lab.diffusion import flow_maps, predictions
from lab.numerics.mixtures import Mixture, gaussian
from lab.studies.diffusion import sampler_comparison
from lab.studies.diffusion.principles_of_diffusion import PrinciplesOfDiffusion

hv.output(size=100)
pictures = PrinciplesOfDiffusion.pictures

# %% [markdown]
# ## Five predictions of one flow
#
# Data, noise, score, velocity and v hold the same. From each to each, and back:

# %%
law = Mixture(
    [0.3, 0.5, 0.2],
    [[2.0, 0.0], [-1.0, 1.5], [-0.5, -2.0]],
    [[[0.2, 0.1], [0.1, 0.3]], [[0.4, 0.0], [0.0, 0.1]], [[0.15, -0.05], [-0.05, 0.25]]],
)
exact, vp = diffusion.Exact(law), diffusion.noise("vp")
level, x = vp(0.4), jnp.asarray(np.random.default_rng(0).normal(size=(5, 2)))
data = exact(x, level.a, level.s)
kinds = ("data", "noise", "score", "velocity", "v")
value = {kind: diffusion.convert(level, x, data, "data", kind) for kind in kinds}
apart = {
    have: [float(abs(diffusion.convert(level, x, value[have], have, want) - value[want]).max()) for want in kinds]
    for have in kinds
}
pd.DataFrame(apart, index=list(kinds))

# %% [markdown]
# ## Errors, and their orders
#
# The flow is solved by steps of order 8; six samplers follow it on a grid that is even in $\log(a/s)$. These are the numbers of
# the sheet, to its digits.

# %%
starts = jnp.asarray(np.random.default_rng(3).normal(size=(16, 2)))
truth = flow_maps.solved(exact, vp, starts, vp.last, vp.first)
found = sampler_comparison.errors(exact, vp, starts, truth, "log-snr")
table = pd.DataFrame(
    np.asarray(found.error), index=list(sampler_comparison.COMPARED), columns=list(sampler_comparison.COUNTS)
)
table.assign(order=np.asarray(found.order))

# %%
study = PrinciplesOfDiffusion()
result = lab.run(study)
pictures.errors(result)

# %%
pictures.motion.strip(result, 3).cols(1)

# %% [markdown]
# ## One equation for all schedules
#
# In $x/a$ along $\log(a/s)$ all schedules give $dy/d\lambda = D - y$. On the same $\lambda$ DDIM and the DPM-Solvers end in the
# same points, whatever the schedule; Euler's method in time does not.

# %%
ends = {}
for name in sampler_comparison.SCHEDULES:
    noise = diffusion.noise(name)
    times = noise.time(jnp.linspace(-3.0, 3.0, 9))
    levels = noise(times)
    for sampler in ("dpm++2m", "euler"):
        run = diffusion.sample(exact, noise, times, starts * levels.s[0], sampler)
        ends[name, sampler] = np.asarray(run.end / levels.a[-1])
pd.DataFrame(
    {
        sampler: {name: abs(ends[name, sampler] - ends["vp", sampler]).max() for name in sampler_comparison.SCHEDULES}
        for sampler in ("dpm++2m", "euler")
    }
)

# %%
pictures.grids(result)

# %% [markdown]
# ## On a line the flow is known
#
# The flow keeps the order of points, so it matches quantiles, $\Psi_{t \to r} = F_r^{-1} \circ F_t$. Few-step models learn
# identities of this map; their residuals vanish for the exact map.

# %%
line = lab.run(PrinciplesOfDiffusion.preset("line"))
pictures.spacetime(line)

# %%
modes = Mixture([0.3, 0.5, 0.2], [[-2.0], [0.5], [3.0]], np.array([0.4, 0.8, 0.25]) ** 2)
left = flow_maps.identities(
    lambda x, t, r: flow_maps.on_line(modes, vp, x, t, r),
    lambda x, t: flow_maps.velocity(diffusion.Exact(modes), vp, x[:, None], t)[:, 0],
    jnp.linspace(-2.0, 2.0, 9),
    0.7,
    0.2,
)
pd.Series({name: float(abs(each).max()) for name, each in left._asdict().items()}, name="largest residual")

# %% [markdown]
# ## Guidance does not sample the tilted distribution
#
# For two Gaussians there is a closed form: from N(0, 1) to N(m, s²), guidance ends at standard deviation $s^{1+w}$.

# %%
rows = {}
for w in (0.0, 1.0, 2.0, 4.0):
    guided = diffusion.Guided(diffusion.Exact(gaussian([1.5], 0.25)), diffusion.Exact(gaussian([0.0], 1.0)), w)
    end = diffusion.sample(guided, vp, diffusion.grid(vp, 200), jnp.array([[-1.0], [1.0]])).end[:, 0]
    known, tilted = predictions.guided_gaussian(1.5, 0.5, w), predictions.tilted_gaussian(1.5, 0.5, w)
    rows[w] = [
        float(end.mean()),
        float(known.mean),
        float(end[1] - end[0]) / 2,
        float(known.deviation),
        float(tilted.deviation),
    ]
pd.DataFrame(rows, index=["mean", "closed form", "deviation", "closed form", "tilted"]).T

# %%
pictures.motion(lab.run(PrinciplesOfDiffusion.preset("guided")), 32)

# %% [markdown]
# ## Empirical distributions
#
# The optimal denoiser is a softmax over the data, and its flow ends in data points: it memorizes.

# %%
points = PrinciplesOfDiffusion.preset("digits").load().arrays["x"]
remembers = diffusion.Exact(paths.Empirical(points))
end = diffusion.sample(
    remembers, vp, diffusion.grid(vp, 20), diffusion.start(vp, jax.random.key(0), 5, points.shape[1])
).end
float(np.sqrt(((np.asarray(end)[:, None] - points[None]) ** 2).sum(2)).min(1).max())  # from the nearest of the data

# %% [markdown]
# ## A sampler of your own
#
# A step function with the number of its evaluations, and nothing else.


# %%
class Midpoint:
    """Euler's method to the middle, and from there a whole step by the slope that is found."""

    evaluations = 2

    def begin(self, x):
        return None

    def __call__(self, predict, step, x, memory):
        now, middle, later = step.now, step.middle, step.later

        def slope(knot, x):
            data = predict(x, knot.level.a, knot.level.s)
            return diffusion.convert(knot.level, x, data, "data", "velocity"), data

        first, data = slope(now, x)
        second, _ = slope(middle, x + (middle.t - now.t) * first)
        return diffusion.samplers.Moved(x + (later.t - now.t) * second, data, None)


def missed(steps):
    end = diffusion.sample(exact, vp, diffusion.grid(vp, steps), starts, Midpoint()).end
    return float(jnp.sqrt(((end - truth) ** 2).sum(1).mean()))


{steps: missed(steps) for steps in (20, 40, 80)}

# %% [markdown]
# ## The figures
#
# Error by evaluations, as a file that carries its recipe: `lab reproduce FILE` computes it again.

# %%
folder = Path(tempfile.mkdtemp())
figures.export_picture(pictures.errors, result, folder / "errors.pdf", width="column")
figures.export_picture(pictures.schedules, result, folder / "schedules.pdf", width="column")
sorted(path.name for path in folder.iterdir())
