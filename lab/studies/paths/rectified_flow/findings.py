"""What the pictures of rectified flow show now."""

from collections.abc import Callable

import numpy as np
import xarray as xr

from lab.studies.contract import Comparison, sweeping
from lab.studies.vocabulary.training import settled
from lab.words import number, percent

from .pictures import least_bending, rounds_of, share_of_costs

W2SQ = Comparison(
    "w2sq", "W₂² to held-out data",
    {"w2sq": "the flow in K Euler steps", "w2sq_fine": "the finely integrated flow", "w2sq_distilled": "one-step distillation"},
)

type _Finding = Callable[[xr.Dataset], str]


def _where_whole(*names: str) -> Callable[[_Finding], _Finding]:
    """Of a run that was stopped these variables are NaN, and nothing can be said of what they show."""

    def guarded(find: _Finding) -> _Finding:
        def told(result: xr.Dataset) -> str:
            return find(result) if all(np.isfinite(result[name]).all() for name in names) else "It was stopped too early"

        return told

    return guarded


def _strays(way: xr.DataArray) -> float:
    """How far particles come from motion along a line at constant speed, as a share of their way; on average."""
    x = way.transpose("t", "particle", "axis").values
    straight = x[0] + way.t.values[:, None, None] * (x[-1] - x[0])
    return np.linalg.norm(x - straight, axis=2).max(0).mean() / np.linalg.norm(x[-1] - x[0], axis=1).mean()


@_where_whole("paths")
def _rewired(result: xr.Dataset) -> str:
    first, second = (percent(_strays(result.paths.sel(k=k))) for k in (1, 2))
    return f"Particles stray from a straight line by {first} of their way at k = 1, by {second} at k = 2"


@_where_whole("square_cost", "cost_before")
def _ledger(result: xr.Dataset) -> str:
    rounds = rounds_of(result)
    before = [float(result.cost_before.sel(k=k, p=2.0)) for k in rounds]
    first, last = (float(result.square_cost.sel(k=rounds[place])) for place in (0, -1))
    fall = 1 - first / before[0]
    change = f"takes {percent(fall)} off" if fall >= 0 else f"adds {percent(-fall)} to"
    text = f"Round {rounds[0]} {change} the cost"
    if len(rounds) == 1:
        return text
    later = (first - last) / before[0]
    if abs(later) < 5e-5:
        return f"{text}, later ones nothing"
    rest = f"round {rounds[1]}" if len(rounds) == 2 else f"rounds {rounds[1]} to {rounds[-1]}"
    return f"{text}, {rest} {'another' if fall >= 0 <= later else 'take off' if later >= 0 else 'add'} {percent(abs(later))}"


@_where_whole("w2sq_steps")
def _steps(result: xr.Dataset) -> str:
    rounds, few = rounds_of(result), result.few.values
    first, second = (result.w2sq_steps.sel(k=k).values for k in (rounds[0], rounds[:2][-1]))
    if len(rounds) == 1:
        return f"One Euler step leaves W₂² = {number(first[0], 3)}, and {few[-1]} leave {number(first[-1], 3)}"
    as_near = few[first <= second[0]]
    if not as_near.size:
        return f"The W₂² of {few[-1]} Euler steps at k = {rounds[0]} exceeds that of one at k = {rounds[1]}"
    if as_near[0] == few[0]:
        return f"The W₂² of one Euler step is no higher at k = {rounds[0]} than at k = {rounds[1]}"
    return f"k = {rounds[0]} takes {as_near[0]} Euler steps to reach the W₂² of one step at k = {rounds[1]}"


@_where_whole("curvature")
def _bending(result: xr.Dataset) -> str:
    rounds = rounds_of(result)
    bent = [k for k in rounds if result.curvature.sel(k=k).max() > least_bending(result)]
    if not bent:
        return "Particles are not accelerated at any time"
    at = float(result.t[int(result.curvature.sel(k=bent[0]).values.argmax())])
    text = f"k = {bent[0]} bends most at t = {at:.2g}"
    if len(bent) == 1:
        none = [k for k in rounds if k not in bent]
        return f"{text}; k = {' and '.join(map(str, none))} {'does' if len(none) == 1 else 'do'} not bend" if none else text
    mean = {k: float(result.curvature.sel(k=k).mean()) for k in (bent[0], bent[-1])}
    return f"{text}; at k = {bent[-1]} E|Z″|² is {percent(mean[bent[-1]] / mean[bent[0]])} of that on average"


def _hurry(way: xr.DataArray) -> float:
    """The share of the way that is done in the busiest eighth of the time."""
    x = way.transpose("t", "particle", "axis").values
    done = np.linalg.norm(np.diff(x, axis=0), axis=2).mean(1).reshape(8, -1).sum(1)
    return done.max() / done.sum()


@_where_whole("paths")
def _speeds(result: xr.Dataset) -> str:
    most = {str(name): _hurry(result.paths.sel(schedule=name)) for name in result.schedule.values}
    fast, even = max(most, key=lambda name: most[name]), min(most, key=lambda name: most[name])
    text = f"{fast} does {percent(most[fast])} of its way in one eighth of the time"
    return text if fast == even else f"{text}, {even} at most {percent(most[even])}"


@_where_whole("above_optimal")
def _optimal(result: xr.Dataset) -> str:
    above = float(result.above_optimal)
    more = f"{percent(above)} more than" if above > 5e-5 else "no more than"
    return f"This coupling costs {more} the optimal coupling of the same endpoints"


@_where_whole("cost", "cost_before")
def _costs(result: xr.Dataset) -> str:
    share, p = share_of_costs(result), result.p.values
    falls, rises = share < 1 - 1e-6, share > 1 + 1e-6
    if not (falls | rises).any():
        return "No cost has changed"
    if falls.all():
        least, most = int(share.argmax()), int(share.argmin())
        by = (f"by {percent(1 - share[place])} at p = {p[place]:g}" for place in (least, most))
        return f"Every cost falls, {' and '.join(by)}"
    worst = int(share.argmax())
    return f"{falls.sum()} of {len(p)} costs fall; that of p = {p[worst]:g} is {percent(share[worst])} of that before"


def _blur(result: xr.Dataset) -> str:
    w2sq, h = result.w2sq_fine.values, result.bandwidth.values
    known = np.isfinite(w2sq)
    if not known.any():
        return "It was stopped too early"
    w2sq, h = w2sq[known], h[known]
    low, high = w2sq.argmin(), w2sq.argmax()
    if number(w2sq[low], 3) == number(w2sq[high], 3):
        return f"The flow has W₂² = {number(w2sq[low], 3)} at any bandwidth here"
    ends = [f"{number(w2sq[at], 2)} at h = {h[at]:g}" for at in (low, high)]
    return f"The W₂² of the flow ranges from {ends[0]} to {ends[1]}"


def _images(result: xr.Dataset) -> str:
    spread = result.images.std("image").mean(["row", "column", "channel"]).values
    if not spread[2] > 0:
        return "All images of the flow are alike"
    one, few = (percent(spread[place] / spread[2]) for place in (0, 1))
    steps = sweeping.parameters(result)["euler_steps"]
    more = f", those of {steps} steps {few}" if steps > 1 else ""
    return f"Images of one Euler step vary {one} as much as the flow's{more}"


def _network(result: xr.Dataset) -> str:
    learnt, exact = float(result.net_w2sq), float(result.w2sq_fine)
    if not np.isfinite(learnt):
        return "The network's particles went astray"
    return f"The network's particles end at W₂² = {number(learnt, 3)} from the data, the flow's at {number(exact, 3)}"


def _training(result: xr.Dataset) -> str:
    ends = settled(result.curve_loss)
    if not np.isfinite(ends):
        return "The training diverged at once"
    if sweeping.parameters(result)["learns"] == "one step":
        return f"The loss ends at {number(ends, 2)}"
    return f"The loss ends at {number(ends, 3)}, its lower bound is V = {number(float(result.V_before), 3)}"


FINDS = {
    "rewired": _rewired, "ledger": _ledger, "steps": _steps, "bending": _bending, "speeds": _speeds, "optimal": _optimal,
    "costs": _costs, "blur": _blur, "images": _images, "network": _network, "training": _training,
}
