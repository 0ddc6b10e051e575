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
# # Regularized neural differential equations
#
# Pal, Ma, Shah and Rackauckas, *Opening the Blackbox: Accelerating Neural Differential Equations by Regularizing Internal
# Solver Heuristics*, ICML 2021.
#
# An adaptive solver knows at each step how wrong it is, and how stiff the field is. What it knows costs nothing, and put into
# the loss of a training it makes fields that are cheap to solve.

# %%
import lab

lab.notebook()  # float64, and the pictures inline

# %%
import tempfile
import time
from pathlib import Path

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from lab import datasets, figures, ode, studies
from lab.numerics import Chunked
from lab.ode import fields, learning, on_diffrax
from lab.studies.ode.regularized_ndes import RegularizedNDEs

pictures = RegularizedNDEs.pictures

# %% [markdown]
# ## Every step tells its error and its stiffness
#
# `ode.solve` returns all steps, rejected ones too. Van der Pol's oscillator on [0, 1]:

# %%
field, start = fields.field("van-der-pol", 5.0), jnp.array([2.0, 0.0])
steps = ode.solve(field, start, 0.0, 1.0, h0=0.01)
rows = steps.rows
count = int(steps.accepted + steps.rejected)
pd.DataFrame({name: np.asarray(getattr(rows, name))[:count] for name in ("t", "h", "E", "S", "accepted")})

# %% [markdown]
# ## The same as diffrax
#
# With the same controller diffrax takes the same steps, and a solver that is wrapped adds up the same terms.

# %%
term = diffrax.ODETerm(lambda t, y, args: field(t, y))
theirs = on_diffrax.solve(term, start, 0.0, 1.0, h0=0.01)
pd.DataFrame(
    {
        "ours": [float(steps.y[0]), int(steps.accepted), int(steps.rejected), float(ode.error_of(steps))],
        "diffrax": [float(theirs.y[0]), int(theirs.accepted), int(theirs.rejected), float(theirs.R_E)],
    },
    index=["y₁ at the end", "accepted", "rejected", "R_E"],
)

# %% [markdown]
# ## The edge of stability
#
# Where the field is stiff, stability limits the steps, $h S \le 3.5068$, not the tolerance.

# %%
study = RegularizedNDEs.preset("stiff-loose")
result = lab.run(study)
pictures.steps(result)

# %%
pictures.errors(result)

# %% [markdown]
# ## Two slopes of one number
#
# $R_E$ by the parameter, with the lengths of steps held fixed, and through them. They differ in sign: the controller answers a
# larger error with shorter steps, so the number itself falls. Training needs the first.


# %%
def term_of(mu, diff_h):
    return ode.error_of(ode.solve(fields.field("van-der-pol", mu), start, 0.0, 1.0, h0=0.01, diff_h=diff_h))


apart = (term_of(5.0 + 1e-5, False) - term_of(5.0 - 1e-5, False)) / 2e-5
pd.Series(
    {
        "held": float(jax.grad(term_of)(5.0, False)),
        "through": float(jax.grad(term_of)(5.0, True)),
        "by differences": float(apart),
    },
    name="slope of R_E",
)

# %% [markdown]
# ## A classifier that is cheap to solve
#
# Digits are carried along a learned field and read by a linear map. Here 10 of 40 epochs, with the error of the solver in the
# loss and without; the presets `digits` and `digits-vanilla` are whole.

# %%
samples = RegularizedNDEs.prepare(datasets.load("digit-classes"))["samples"]
model = learning.classifier(jax.random.key(0), 64, 32, 10)
rows = {}
for kind in ("vanilla", "ER"):
    began = time.perf_counter()
    taught = learning.learn(
        jax.random.key(1), model, samples, learning.Settings(strength=1.0), kind=kind, steps=60, loop=Chunked()
    )
    seconds = time.perf_counter() - began
    looked = learning.look(taught.model, samples, 1e-6)
    rows[kind] = [float(looked.nfe), float(looked.accuracy), float(ode.error_of(looked.steps)), round(seconds, 1)]
pd.DataFrame(rows, index=["evaluations", "right", "R_E", "seconds with compilation"])

# %%
trained = lab.run(RegularizedNDEs.preset("digits"))
pictures.flow(trained, 1.0)

# %% [markdown]
# ## A field of your own
#
# A function and where to begin: a page, every picture, sweeps, figures. In a file, `lab serve my_field.py`.

# %%
Lorenz = studies.field_study(
    "Lorenz",
    lambda t, y, mu: jnp.stack([10 * (y[1] - y[0]), y[0] * (mu - y[2]) - y[1], y[0] * y[1] - 8 / 3 * y[2]]),
    [1.0, 1.0, 20.0],
    mu=28.0,
    length=15.0,
)
run = Lorenz().run()
pictures.plane(run)

# %% [markdown]
# ## The figures
#
# Each file carries its recipe: `lab reproduce FILE` computes it again.

# %%
folder = Path(tempfile.mkdtemp())
figures.export_picture(pictures.steps, result, folder / "steps.pdf", width="column")
sorted(path.name for path in folder.iterdir())
