"""What the scrubber of a page moves: the first parameter that moves a story's hero, with one number of the result along it."""

import math
import string
from typing import TYPE_CHECKING, Any

import numpy as np

from .parameters import Real, Whole
from .pictures import Picture

if TYPE_CHECKING:
    from lab.datasets import Data

    from .study import Study

_FEW, _VALUES = 12, 10  # whole numbers that are all tried; values along a longer way


def scrubbed(study: "type[Study]") -> str:
    """The parameter that the scrubber moves: the first of ``Story.moves`` that has a range; "" where there is none."""
    if study.story is None:
        return ""
    parameters = study.parameters()
    ranges = (name for name in study.story.moves if name in parameters and _ranges(parameters[name]))
    return next(ranges, "")


def measure(study: "type[Study]") -> str:
    """The number that is drawn along it: ``Story.measure``, or the first one that the story tells of; "" without one."""
    if study.story is None:
        return ""
    if study.story.measure:
        return study.story.measure
    texts = (*(step.finding for step in study.story.steps), *study.story.says)
    told = (name for text in texts for _, name, _, _ in string.Formatter().parse(text) if name)
    return next((name.removeprefix("before.") for name in told), "")


def curve(study: "type[Study]") -> Picture | None:
    """The runs that the curve over the scrubber needs, as a picture that is never drawn; None where there is none."""
    name, number = scrubbed(study), measure(study)
    if not name or not number:
        return None

    def values(made: "Study", data: "Data") -> list[Any]:
        return places(made, name, data)

    return Picture("scrubber", "Along the scrubber", "", lambda result: None, needs=(number,), along={name: values})


def places(study: "Study", name: str, data: "Data") -> list[Any]:
    """Values from one end of the range to the other, the default among them, even on the parameter's scale."""
    parameter = study.parameters()[name]
    low, high = span(parameter, study.limits(data).get(name))
    assert low is not None
    assert high is not None
    default = parameter.default if low <= parameter.default <= high else low
    whole = isinstance(parameter, Whole)
    if whole and high - low < _FEW:
        return list(range(int(low), int(high) + 1))
    between = np.geomspace if logarithmic(parameter, low, high) else np.linspace
    found = [float(f"{value:.2g}") for value in between(low, high, _VALUES)[1:-1]]
    if whole:
        return sorted({int(low), int(high), default, *(round(value) for value in found)})
    return sorted({low, high, default, *(value for value in found if low < value < high)})


def logarithmic(parameter: Any, low: float, high: float) -> bool:
    """Whether the scrubber's scale is logarithmic: as declared, or of whole numbers over a long way."""
    return low > 0 and (parameter.scale == "log" or (isinstance(parameter, Whole) and high >= 16 * low))


def _ranges(parameter: Any) -> bool:
    return isinstance(parameter, Real | Whole) and parameter.sweepable and None not in span(parameter, None)


def span(parameter: Any, limit: Any) -> tuple[float | None, float | None]:
    """The ends of a slider: soft range within bounds within what the data allow."""
    soft, bounds = parameter.soft or (None, None), parameter.bounds or (None, None)
    low = soft[0] if soft[0] is not None else bounds[0]
    high = soft[1] if soft[1] is not None else bounds[1]
    if limit is not None:
        low = limit.low if low is None else max(low, limit.low)
        high = limit.high if high is None else min(high, limit.high)
    finite = (v if v is not None and math.isfinite(v) else None for v in (low, high))
    whole = isinstance(parameter, Whole)
    low, high = (int(v) if whole and v is not None else v for v in finite)
    return low, high
