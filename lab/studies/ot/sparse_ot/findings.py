"""What the pictures of sparsity-constrained transport show now."""

import numpy as np
import xarray as xr

from lab.studies.contract import sweeping

from .pictures import FORMS, LEAST_GAP, PAPER, SOLVERS, routed


def _value(result: xr.Dataset) -> str:
    here = result.value.sel(k=sweeping.parameters(result)["k"], method="nearest")
    more = float(here / result.value[-1]) - 1
    return f"k = {int(here.k)} costs {f'{more:.2%} more than' if more >= 5e-5 else 'no more than'} no bound on k"


def _feasibility(result: xr.Dataset) -> str:
    columns = sweeping.parameters(result)["constraint"] == "columns"
    error = (result.row_error_l1 if columns else result.column_error_l1).values / float(result.a.isel(k=0).sum())
    k, misses = result.k.values, np.flatnonzero(error > 1e-4)
    if not misses.size:
        return "Both marginals are met at every k"
    if misses[-1] + 1 == len(k):
        return f"Mass is missed at every k, {error[-1]:.1%} even at k = {k[-1]}"
    return f"k = {k[0]} misses {error[0]:.0%} of the mass; from k = {k[misses[-1] + 1]} on none is missed"


def _convergence(result: xr.Dataset) -> str:
    best = float(result.value.max())
    gaps = {
        f"{name}, {form}": (best - float(result.value.sel(solver=solver, formulation=form))) / max(abs(best), 1e-300)
        for form in FORMS for solver, name in SOLVERS.items() if (form, solver) != ("dual", "auto")
    }
    there = [name for name, gap in gaps.items() if gap <= LEAST_GAP]
    if len(there) == 1:
        left = sorted(gaps.values())[1]
        return f"{there[0]} alone reaches the best value; the next ends {left:.0e} above it"
    return f"{len(there)} of {len(gaps)} solvers reach the best value to {LEAST_GAP:.0e}"


def _routing(result: xr.Dataset) -> str:
    ours, theirs = (float((~chosen.any(1)).mean()) for chosen in routed(result))
    return f"Transport leaves {ours:.0%} of the tokens without an expert, the top k gates {theirs:.0%}"


def _cells(result: xr.Dataset) -> str:
    p = sweeping.parameters(result)
    if p["constraint"] == "rows":
        return f"A source feeds {float(result.nnz) / result.sizes['row']:.2g} targets on average"
    return f"A target draws on {float(result.nnz) / result.sizes['col']:.2g} sources on average"


def _paper_plans(result: xr.Dataset) -> str:
    linear = result.lp_plan.values.reshape(-1, *result.lp_plan.shape[-2:])[0]
    entropic, quadratic, sparse = (int((result.plan.sel(regularizer=r, gamma=g) > 0).sum()) for r, g in PAPER)
    k, least = sweeping.parameters(result)["k"], (linear > 1e-12).sum()
    return f"Entries with mass: linear program {least}, entropic {entropic:,}, quadratic {quadratic}, and {sparse} with k = {k}"


FINDS = {
    "value": _value, "feasibility": _feasibility, "convergence": _convergence, "routing": _routing, "cells": _cells,
    "paper_plans": _paper_plans,
}
