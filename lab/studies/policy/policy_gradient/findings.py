"""What the pictures of policy gradients show now."""

import numpy as np
import xarray as xr

from lab.studies.contract import Comparison, sweeping
from lab.words import number, percent

from .pictures import alive, plane_of, rules
from .variables import SHORT

_ALL = {name: name for name in SHORT}
RETURN = Comparison(
    "return", "final expected return J", _ALL, "higher", result="value", along="rule", over="run", at={"update": -1},
    ours="N-HARPG",
)
DIRECTION = Comparison(
    "direction", "gradient error", _ALL, result="err", along="rule", over="run", at={"update": -1}, ours="N-HARPG",
)
LAST = Comparison("last", "final return", {f"last_{SHORT[name]}": name for name in _ALL}, "higher")


def _robust(result: xr.Dataset) -> str:
    return LAST.finding_by(result, "g0", "γ₀", sweeping.parameters(result)["seeds"]) or "All methods diverged"


def _path(result: xr.Dataset) -> str:
    names, way = rules(result), result.way.values
    seen = [each[np.isfinite(each).all(axis=1)] for each in way]
    far = [float(np.linalg.norm(each[-1] - each[0])) if len(each) else 0.0 for each in seen]
    most = int(np.argmax(far))
    text = f"{names[most]} ends farthest from its start, {number(far[most], 2)} away"
    if len(names) == 1:
        text = f"{names[0]} ends {number(far[0], 2)} from its start"
    if "N-PG-IGT" not in names:
        return text
    which = names.index("N-PG-IGT")
    ahead = np.linalg.norm(result.sampled.values[which] - way[which], axis=1)
    ahead = ahead[np.isfinite(ahead)]
    who = "it" if most == which else "N-PG-IGT"
    return f"{text}; {who} draws episodes up to {number(float(ahead.max()), 2)} ahead" if ahead.size else text


def _rates(result: xr.Dataset) -> str:
    t, weights = int(result["update"][-1]), dict(zip(rules(result), result.eta.values[:, -1], strict=True))
    weights = {name: float(weight) for name, weight in weights.items() if weight < 1}
    if not weights:
        return "Nothing is remembered: a direction is the new gradient"
    short, long = max(weights, key=lambda name: weights[name]), min(weights, key=lambda name: weights[name])
    text = f"At t = {t} a new gradient weighs {percent(weights[long])} in {long}"
    return f"{text}, {percent(weights[short])} in {short}" if weights[short] > weights[long] else text


def _episode(result: xr.Dataset) -> str:
    steps = [alive(result, part) for part in range(2)]
    earned = [float(result.reward.values[part, :n].sum()) for part, n in enumerate(steps)]
    if not np.isfinite(earned).all():
        return "The training diverged"
    before, after = (number(each, 4) for each in earned)
    if steps[0] == steps[1]:
        return f"The episode earns {after} after the training, {before} before it"
    return f"The episode earns {after} in {steps[1]} steps after the training, {before} in {steps[0]} before it"


def _choices(result: xr.Dataset) -> str:
    value, seen = plane_of(result)[2], result.choice.values
    if not np.isfinite(seen).all():
        return "The training diverged"
    if value == "probability":
        sure = int((seen.max(axis=1) > 0.9).sum())
        which = f"In {sure} of {len(seen)} states an" if sure else "In no state an"
        return f"{which} action has more than 90% of the probability"
    if value == "mean action":
        return f"Over these states the mean action goes from {number(seen.min(), 2)} to {number(seen.max(), 2)}"
    sure = float((np.maximum(seen, 1 - seen) > 0.9).mean())
    return f"In {percent(sure)} of these states the choice is within 0.1 of the first or of the last action"


def _spectrum(result: xr.Dataset) -> str:
    """Null are those below a millionth of the largest, as everywhere on the page."""
    values = result.spectrum.values
    values = values[np.isfinite(values).all(axis=1)]
    if not len(values) or values[-1].max() <= 0:
        return "The training diverged"
    end, peaks = values[-1], values.max(axis=1)
    null = int((end < 1e-6 * peaks[-1]).sum())
    if not null:
        return f"No direction is null: the smallest eigenvalue is {percent(end.min() / peaks[-1])} of the largest"
    first, last = (number(peak, 2) for peak in peaks[[0, -1]])
    return f"{null} of {len(end)} directions are null; the largest eigenvalue goes from {first} to {last}"


def _norms(result: xr.Dataset) -> str:
    seen = [values[np.isfinite(values)] for values in (result.g_norm.values, result.bv_norm.values)]
    if not all(values.size for values in seen):
        return "The estimates are not finite"
    most, middle = ([number(float(each(values)), 2) for values in seen] for each in (np.max, np.median))
    return f"|B v| is {middle[1]} in the median and at most {most[1]}, |g| {middle[0]} and at most {most[0]}"


FINDS = {
    "gaps": RETURN.finding, "robust": _robust, "path": _path, "rates": _rates, "episode": _episode, "choices": _choices,
    "spectrum": _spectrum, "norms": _norms,
}
