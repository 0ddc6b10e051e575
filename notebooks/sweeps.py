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
# # Sweeps: from three cells to hundreds
#
# A sweep asks a study the same question over a grid of parameters. The answer is one `xarray.Dataset`: that of a single
# run with one dimension more for each parameter. Every cell is kept in the store under the content of its recipe, so
# nothing is computed twice, and whatever was interrupted goes on where it was.

# %%
import lab

lab.notebook()  # float64, and the pictures inline

# %%
import json
import os
import tempfile
import time
from pathlib import Path

import holoviews as hv
import numpy as np
import xarray as xr

from lab import sweeps
from lab.store import Store
from lab.studies import SparseOT

scratch = Path(tempfile.mkdtemp())
store = Store(scratch / "store")  # of this notebook alone; leave ``store=`` out for the lab's own

# %% [markdown]
# ## Three cells
#
# Transport between the colours of two photographs, where each target may receive from at most $k$ sources.

# %%
study = SparseOT(n=24, gamma=0.1)
small = lab.sweep(study, k=[1, 2, 8], store=store)
small

# %% [markdown]
# Every variable has the dimension `k` in front. What is labelled stays labelled: pick cells by value, not by place.

# %%
small.row_error_l1.sel(k=2).item(), small.plan.sel(k=8).sum("row").dims

# %% [markdown]
# The study's own pictures draw a cell of a sweep as they draw a run. A plan with few sources for each target is sparse,
# and misses the row marginals where columns tie.


# %%
def plan_at(k):
    image = hv.Image(small.plan.sel(k=k).values[::-1], kdims=["target", "source"], vdims="mass")
    return image.opts(cmap="Blues", xaxis=None, yaxis=None, frame_width=200, frame_height=200, title=f"k = {k}")


hv.Layout([plan_at(k) for k in small.k.values]).opts(shared_axes=False)

# %% [markdown]
# ## A plan before anything runs
#
# `Plan` checks the grid and says what will be done. A grid is a list, or the text that the command line takes:
# `1,2,4`, `0:5`, `1e-3:1:log12`. What can't work is refused in one sentence, before anything is computed.

# %%
plan = sweeps.Plan(study, {"k": "1:8", "gamma": "1e-2:1:log12"}, store=store)
print(plan)

# %%
for wrong in ({"k": "8:1"}, {"gamma": "0:1:log5"}, {"kk": [1, 2]}, {"k": []}, {"k": [1, 1000]}):
    try:
        sweeps.Plan(study, wrong, store=store)
    except ValueError as refusal:
        print(refusal)

# %% [markdown]
# ## What regularization costs
#
# The gap between the regularized value and the linear program grows with $\gamma$ and falls with $k$. The dashed lines
# are the bound that is known before solving.

# %%
grid = sweeps.run(plan)
gap, bound = ((values / np.abs(grid.lp)) for values in (grid.lp_gap, grid.upper - grid.lp))
curves = [
    hv.Curve((grid.gamma.values, gap.sel(k=k).values), "gamma", "gap / LP", label=f"k = {k}")
    * hv.Curve((grid.gamma.values, bound.sel(k=k).values)).opts(line_dash="dashed", color="grey", alpha=0.5)
    for k in (1, 2, 8)
]
hv.Overlay(curves).collate().opts(logx=True, logy=True, frame_width=420, frame_height=260, legend_position="right")

# %% [markdown]
# Whatever one asks of the grid is a line of xarray: where does a plan with two sources first miss the rows by 11 %?

# %%
misses = grid.row_error_l1.sel(k=2)
misses.gamma.where(misses > 0.11 * float(grid.a.isel(k=0, gamma=0).sum())).min().item()

# %% [markdown]
# ## Stop, and go on
#
# A sweep of hundreds of cells, stopped on the way. `report` is called as cells arrive, and stops the sweep by returning
# True; Ctrl-C on the command line, and Stop on the page, do the same.

# %%
hundreds = {"k": [1, 2, 4, 8], "gamma": "1e-3:1:log13", "seed": "0:5"}
colours = SparseOT(n=24)


def until_a_quarter(filling):
    return filling.done >= filling.cells // 4


part = lab.sweep(colours, **hundreds, store=store, report=until_a_quarter, keep=["value", "row_error_l1", "nnz"])
int((part.cell_error == "").sum()), part.cell_error.size

# %% [markdown]
# Asked for again, it goes on from there. A third time it costs only reading, and gives the same numbers to the last bit.

# %%
whole = lab.sweep(colours, **hundreds, store=store, keep=["value", "row_error_l1", "nnz"])
began = time.perf_counter()
again = lab.sweep(colours, **hundreds, store=store, keep=["value", "row_error_l1", "nnz"])
took = time.perf_counter() - began
assert whole.sizes == again.sizes == {"k": 4, "gamma": 13, "seed": 5}
assert whole.identical(again)
assert (part.value.values == whole.value.values)[part.cell_error.values == ""].all()
print(f"{whole.value.size} cells again in {took:.1f} s")

# %% [markdown]
# The seed chooses which colours stand for the photographs: five choices give a band.

# %%
two = whole.row_error_l1.sel(k=[1, 2, 4])
hv.Overlay(
    [
        hv.Curve((two.gamma.values, two.sel(k=k).mean("seed").values), "gamma", "row error", label=f"k = {k}")
        * hv.Spread((two.gamma.values, two.sel(k=k).mean("seed").values, two.sel(k=k).std("seed").values)).opts(
            alpha=0.2
        )
        for k in two.k.values
    ]
).collate().opts(logx=True, frame_width=420, frame_height=260, legend_position="right")

# %% [markdown]
# ## Out of the store, and into a file
#
# A sweep saved as NetCDF carries its grid and recipe; any xarray opens it. One of its cells has the key that a single
# run would have: `lab run` and the page find it.

# %%
whole.to_netcdf(scratch / "grid.nc")
opened = xr.open_dataset(scratch / "grid.nc")
print(opened.attrs["command"][:90], "...")
print({name: len(values) for name, values in json.loads(opened.attrs["swept"]).items()})

# %%
cell = colours.but(k=2, gamma=json.loads(opened.attrs["swept"])["gamma"][7], seed=3)
assert store.held([Store.key(cell.recipe())])
print(f"{len(store.entries())} commits, {store.bytes() / 1e6:.1f} MB in {os.path.relpath(store.folder, scratch)}")
