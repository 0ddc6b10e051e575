"""What the pictures of weighted conditional flow matching show now."""

import numpy as np
import xarray as xr

from lab.studies.contract import Comparison
from lab.studies.vocabulary.training import settled
from lab.words import number, percent

from .pictures import FID, followed, kappa_here, known_field, mean_level

_ALL = {name: name for name in ("I-CFM", "W-CFM", "OT-CFM", "EOT-CFM")}
W2SQ = Comparison("w2sq", "W₂² to held-out data", _ALL, result="fit_w2sq", along="coupling", ours="W-CFM")
BENDING = Comparison(
    "bending", "bending of the paths", _ALL, result="straightness", along="coupling", ours="W-CFM", best_at=None,
)

_NO_END = "W-CFM did not come to its end"
_SMALL = 0.1  # tilt of the data


def _trap(result: xr.Dataset) -> str:
    energy = result.pe.sel(coupling="W-CFM").values / float(result.w2sq_laws.mean())
    at, fit = result.epsilon.values, result.w2sq.values
    if not np.isfinite(fit).any():
        return _NO_END
    low, best = int(np.nanargmin(energy)), int(np.nanargmin(fit))
    if energy[low] >= 1:
        return f"The energy is nowhere too low: {number(energy[low], 3)} times W₂² of source and data at least"
    text = f"At ε = {at[low]:g} the energy is {percent(1 - energy[low])} too low"
    if fit[low] < 1.05 * fit[best]:
        return f"{text}, and yet W₂² is about as small as anywhere"
    return f"{text}, and W₂² {number(fit[low] / fit[best], 2)} times that at ε = {at[best]:g}"


def _tradeoff(result: xr.Dataset) -> str:
    if not np.isfinite(result.w2sq).any():
        return _NO_END
    least = result.w2sq <= 1.0001 * result.w2sq.min()  # of points several may be alike
    best = int(result.npe_weighted.where(least, np.inf).argmin("epsilon"))
    fit, npe = (number(float(result[name][best]), 2) for name in ("w2sq", "npe_weighted"))
    text = f"W₂² is minimal at ε = {float(result.epsilon[best]):g}: {fit}, with NPE {npe}"
    if "I-CFM" not in followed(result):
        return text
    theirs, npe = (number(mean_level(result, name, "I-CFM"), 2) for name in ("fit_w2sq", "npe"))
    return f"{text}; I-CFM has {theirs} and {npe}"


def _trajectories(result: xr.Dataset) -> str:
    run = result.sortby("epsilon").isel(epsilon=[0, -1])
    ways = run.paths.sel(coupling="W-CFM").transpose("epsilon", "t", "particle", "axis").values
    lengths, fit = np.linalg.norm(np.diff(ways, axis=1), axis=3).sum(1).mean(1), run.w2sq.values
    low, high = (f"ε = {e:g}" for e in run.epsilon.values)
    if not np.isfinite([*lengths, *fit]).all():
        return _NO_END
    if low == high:
        return f"At {low} paths are {number(lengths[0], 2)} long and end at W₂² = {number(fit[0], 2)}"
    times = number(fit[0] / fit[1], 2)
    return f"Paths at {low} are {percent(lengths[0] / lengths[1])} as long as at {high}, W₂² is {times} times as large"


def _elbow(result: xr.Dataset) -> str:
    tilt, kappa = result.tilt_kappa.transpose("end", "kappa").values[1], result.kappa.values
    here, large = f"ε here is κ = {kappa_here(result):.2g}", np.flatnonzero(~(tilt < _SMALL))
    if large.size and large[-1] + 1 == len(kappa):
        return f"The data's R is {_SMALL} or more at every κ; {here}"
    start = large[-1] + 1 if large.size else 0
    return f"The data's R is below {_SMALL} from κ = {kappa[start]:.2g} on; {here}"


def _plans(result: xr.Dataset) -> str:
    names = {"I-CFM": "if independent", "W-CFM": "weighted", "EOT-CFM": "entropic", "OT-CFM": "by transport"}
    told = []
    for name, words in names.items():
        plan = result.plan.sel(coupling=name).transpose("i", "j").values
        if np.isfinite(plan).all():
            partners = plan.sum(1) ** 2 / np.maximum((plan**2).sum(1), 1e-300)  # effective, as by the share of a weight
            told.append(f"{partners[plan.sum(1) > 0].mean():.2g} {words}")
    if not told:
        return _NO_END
    return f"Partners of a source: {', '.join(told)}"


def _batches(result: xr.Dataset) -> str:
    run = result.sortby("batch")
    cost, weighted, B = run.pair_cost.sel(coupling="OT-CFM").values, mean_level(run, "pair_cost", "W-CFM"), run.batch.values
    cheap = B[cost <= weighted]
    if not cheap.size:
        return f"Pairs of OT-CFM cost {number(cost[-1], 3)} at B = {B[-1]:,}, those of W-CFM less, {number(weighted, 3)}"
    return f"From B = {cheap[0]:,} on OT-CFM's pairs cost no more than W-CFM's ({number(weighted, 3)})"


def _masses(result: xr.Dataset) -> str:
    _, whose = np.unique(result.points.values, axis=0, return_inverse=True)  # some may stand at one place
    places = np.eye(whose.max() + 1)[whose.ravel()]
    told = []
    for name in followed(result):
        off = np.abs((result.mass.sel(coupling=name).values - 1 / len(places)) @ places).sum() / 2
        told.append(f"{name} {percent(off)}")
    return f"Mass at the wrong data point: {', '.join(told)}"


def _network(result: xr.Dataset) -> str:
    learnt, exact = float(result.net_w2sq), float(result.fit_w2sq.sel(coupling=known_field(result)))
    if not np.isfinite(learnt):
        return "The network's particles went astray"
    return f"The network's particles end at W₂² = {number(learnt, 3)}, the exact field's at {number(exact, 3)}"


def _training(result: xr.Dataset) -> str:
    end, share = settled(result.curve_loss), settled(result.curve_ess)
    if not np.isfinite(end + share):
        return "The training diverged at once"
    return f"The loss ends at {number(end, 3)}; weights leave {percent(share)} of a batch"


def _fid(result: xr.Dataset) -> str:
    best = int(np.argmin(FID["W-CFM"]))
    told = f"FID in the paper is minimal at ε = {FID['epsilon'][best]:g}: {FID['W-CFM'][best]}"
    return f"{told}; OT-CFM has {FID['OT-CFM']:.2f}"


FINDS = {
    "trap": _trap, "tradeoff": _tradeoff, "trajectories": _trajectories, "elbow": _elbow, "table": W2SQ.finding,
    "plans": _plans,
    "batches": _batches, "masses": _masses, "network": _network, "training": _training, "fid": _fid,
}
