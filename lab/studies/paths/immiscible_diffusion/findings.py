"""What the pictures of immiscible diffusion show now."""

import numpy as np
import xarray as xr

from lab.studies.contract import Comparison, sweeping
from lab.studies.vocabulary.training import settled
from lab.words import number, percent

from .pictures import known_rules, size_swept

MIXING = Comparison(
    "mixing", "miscibility H",
    {"H_independent": "independent noise", "H_assignment": "batch assignment", "H_nearest": "the nearest of k noises"},
    ours="H_nearest", best_at={"k": 64},
)
MISPLACED = Comparison(
    "misplaced", "error in the images' shares of samples",
    {"independent": "independent noise", "assignment": "batch assignment", "nearest": "the nearest of k noises"},
    result="share_error", along="rule", share=True, ours="nearest",
)


def _told(result: xr.Dataset, values: dict[str, str]) -> str:
    """The values under each rule, one after the other."""
    k = sweeping.parameters(result)["k"]
    names = {"independent": "for independent noise", "assignment": "assigned", "nearest": f"for the nearest of {k}"}
    return ", ".join(f"{value} {names[rule]}" for rule, value in values.items())


def _small(value: float) -> str:
    if not np.isfinite(value):
        return "unknown"
    return f"{value:.2g}" if value >= 0.001 else "<0.001" if value > 1e-9 else "0"


def _miscibility(result: xr.Dataset) -> str:
    here = {rule: _small(float(result[f"H_{rule}"])) for rule in known_rules(result, "H")}
    return f"At ᾱ = {float(sweeping.parameters(result)['alpha_bar']):.3g} H is {_told(result, here)}"


def _loss(result: xr.Dataset) -> str:
    worst = {rule: np.nanmax(result.eps_mse.sel(rule=rule)) for rule in known_rules(result, "eps_mse")}
    return f"ε-MSE peaks at {_told(result, {rule: _small(value) for rule, value in worst.items()})}"


def _posterior(result: xr.Dataset) -> str:
    sure = {}
    for rule in known_rules(result, "w"):
        w, whose = result.w.sel(rule=rule).values, result.query_image.sel(rule=rule).values
        sure[rule] = percent(w[np.arange(len(w)), whose.astype(int)].mean())
    return f"The true image gets {_told(result, sure)}"


def _scales(result: xr.Dataset) -> str:
    order = np.argsort(result.scaling.values)
    c, independent, nearest = (result[name].values[order] for name in ("scaling", "H_independent", "H_nearest"))
    if not np.isfinite([independent, nearest]).all():
        return "Not all of these runs came to their end"
    here = int(np.abs(np.log(c)).argmin())
    theirs = f"the nearest of {sweeping.parameters(result)['k']}"
    enough = c[independent <= nearest[here]]
    if not enough.size:
        return f"Even at c = {c[-1]:g} independent noise mixes more than {theirs} at c = {c[here]:g}"
    if enough[0] <= c[here]:
        return f"At c = {c[here]:g} independent noise mixes no more than {theirs}"
    return f"Independent noise needs c = {enough[0]:g} to mix as little as {theirs} at c = {c[here]:g}"


def _assigned(result: xr.Dataset) -> str:
    batch, chance = sweeping.parameters(result)["batch"], 1 / result.sizes["image"]
    sure = float(result.sharpness.sel(rule="assignment").mean())
    return f"With B = {batch} it is {percent(sure)} sure on average whose a noise is, by chance {percent(chance)}"


def _batches(result: xr.Dataset) -> str:
    run = result.sortby("batch")
    value, B = run.reduction.sel(rule="assignment").values, run.batch.values
    nearest, k = float(run.reduction.sel(rule="nearest").mean()) / 100, sweeping.parameters(result)["k"]
    ends = (0,) if len(B) == 1 else (0, -1)
    told = ", ".join(f"{percent(value[place] / 100)} at B = {B[place]}" for place in ends)
    return f"Assigned noise is nearer by {told}, the nearest of {k} by {percent(nearest)}"


def _times(result: xr.Dataset) -> str:
    run = result.sel(batch=result.batch.max())
    ours, theirs = (float(run.time_ms.sel(rule=rule)) for rule in ("assignment", "nearest"))
    k = sweeping.parameters(result)["k"]
    return f"Batches of {int(run.batch):,} take {number(ours, 2)} ms to assign, {number(theirs, 2)} ms by the nearest of {k}"


def _bargain(result: xr.Dataset) -> str:
    run = result.sel(rule="nearest", k=result.k.max())
    nearer, drift, share = float(run.reduction) / 100, abs(float(run.norm_drift)) / 100, float(run.share_error)
    return f"k = {int(run.k)}: noise {percent(nearer)} nearer, |n|² off by {percent(drift)}, {percent(share)} misplaced"


def _sampling(result: xr.Dataset) -> str:
    ours, theirs = (percent(float(result.share_error.sel(rule=rule))) for rule in ("nearest", "independent"))
    k, chance = sweeping.parameters(result)["k"], percent(float(result.share_floor))
    return f"The nearest of {k} misplaces {ours} of the samples, independent noise {theirs}, chance {chance}"


def _radius(result: xr.Dataset) -> str:
    def off(rule: str) -> str:
        drift = float(result.norm_drift.sel(rule=rule)) / 100
        return f"{percent(abs(drift))} {'below' if drift < 0 else 'above'}"

    k = sweeping.parameters(result)["k"]
    return f"Mean |n|² is {off('nearest')} that of N(0, I) for the nearest of {k}, {off('assignment')} if assigned"


def _denoised(result: xr.Dataset) -> str:
    off = {}
    for rule in ("independent", "nearest"):
        clean, found = (result[name].sel(rule=rule).values for name in ("clean", "denoised"))
        off[rule] = percent(np.sqrt(((found - clean) ** 2).mean()) / clean.std())
    return f"Denoised images err by {_told(result, off).replace('%', '% of the contrast', 1)}"


def _recovered(run: xr.Dataset) -> float:
    """How much of what sets the images apart is in what the denoiser makes of them."""
    clean, found = (run[name] - run[name].mean("shown") for name in ("clean", "denoised"))
    return float((clean * found).sum() / (clean**2).sum())


def _features(result: xr.Dataset) -> str:
    run = result.sel(rule="nearest").sortby("k")
    told = [f"{percent(_recovered(run.isel(k=place)))} at k = {int(run.k[place])}" for place in (0, -1)[: run.sizes["k"]]]
    given = "A noisy image" if float(result.coords.get("alpha_bar", 0.0)) else "Noise alone"
    return f"{given} gives back {', '.join(told)}, of what sets an image apart"


def _training(result: xr.Dataset) -> str:
    ends = {rule: settled(result.loss.sel(rule=rule)) for rule in result.rule.values.tolist()}
    told = {rule: number(end, 2) for rule, end in ends.items() if np.isfinite(end)}
    return f"The loss ends at {_told(result, told)}" if told else "The trainings diverged at once"


def _learnt(result: xr.Dataset) -> str:
    last = result.sliced_w2sq.isel(check=-1)
    ends = {rule: float(last.sel(rule=rule)) for rule in last.rule.values.tolist()}
    told = {rule: number(end, 2) for rule, end in ends.items() if np.isfinite(end)}
    return f"The distance ends at {_told(result, told)}" if told else "No network was trained to the end"


def _curves(result: xr.Dataset) -> str:
    H = result.H.sel(rule="nearest", t=result.t.min()).sortby("k")
    told = [f"{_small(float(value))} at k = {int(k)}" for k, value in zip(H.k.values, H.values, strict=True)]
    return f"With pure noise H is {told[0]}" + (f" and {told[-1]}" if len(told) > 1 else "")


def _sizes(result: xr.Dataset) -> str:
    name, at, run = size_swept(result)
    sign, nearer = "N" if name == "n" else "d", run.reduction.sel(rule="nearest").values / 100
    first, last = int(np.argmin(at)), int(np.argmax(at))
    told = (f"{percent(nearer[place])} nearer at {sign} = {at[place]}" for place in (first, last))
    return f"The nearest of {sweeping.parameters(result)['k']} is {', '.join(told)}"


FINDS = {
    "miscibility": _miscibility, "loss": _loss, "posterior": _posterior, "scales": _scales, "assigned": _assigned,
    "batches": _batches, "times": _times, "bargain": _bargain, "sampling": _sampling, "radius": _radius,
    "denoised": _denoised, "features": _features, "training": _training, "learnt": _learnt, "curves": _curves,
    "sizes": _sizes,
}
