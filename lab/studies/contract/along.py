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
    """The parameter that the scrubber of a page moves: the first of ``Story.moves`` that has a range.

    Args:
        study: the class of a study.

    Returns:
        the name of the parameter; "" where the study has no story, or none of its moves has a range.

    Examples:
        >>> from lab.studies import find
        >>> from lab.studies.contract import scrubbed
        >>> scrubbed(find("sparse-ot"))
        'k'
    """
    if study.story is None:
        return ""
    parameters = study.parameters()
    ranges = (name for name in study.story.moves if name in parameters and _ranges(parameters[name]))
    return next(ranges, "")


def measure(study: "type[Study]") -> str:
    """The number that is drawn along the scrubber: ``Story.measure``, or the first one that the story tells of.

    Args:
        study: the class of a study.

    Returns:
        the name of a result; "" where the study has no story, or one that tells no number.

    Examples:
        >>> from lab.studies import find
        >>> from lab.studies.contract import measure
        >>> study = find("sparse-ot")
        >>> measure(study) in {result.name for result in study.results}
        True
    """
    if study.story is None:
        return ""
    if study.story.measure:
        return study.story.measure
    texts = (*(step.finding for step in study.story.steps), *study.story.says)
    told = (name for text in texts for _, name, _, _ in string.Formatter().parse(text) if name)
    return next((name.removeprefix("before.") for name in told), "")


def curve(study: "type[Study]") -> Picture | None:
    """The runs that the curve over the scrubber needs, as a picture that is never drawn.

    Args:
        study: the class of a study.

    Returns:
        a picture that needs ``measure(study)`` along ``scrubbed(study)``; None where one of the two is missing.

    Examples:
        >>> from lab.studies import find
        >>> from lab.studies.contract import curve
        >>> list(curve(find("sparse-ot")).along)
        ['k']
    """
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
    """Whether the scrubber's scale is logarithmic: as declared, or of whole numbers over a long way.

    Args:
        parameter: a ``Real`` or ``Whole``.
        low: the lower end of the range, in the parameter's unit; a scale from 0 or below is never logarithmic.
        high: the upper end; whole numbers up to at least 16 times ``low`` count as a long way.

    Returns:
        True for a logarithmic scale.

    Examples:
        >>> from lab.studies import Real, Whole
        >>> from lab.studies.contract import logarithmic
        >>> logarithmic(Real(1.0, scale="log"), 0.1, 1.0), logarithmic(Whole(1), 1, 16), logarithmic(Whole(1), 1, 15)
        (True, True, False)
    """
    return low > 0 and (parameter.scale == "log" or (isinstance(parameter, Whole) and high >= 16 * low))


def _ranges(parameter: Any) -> bool:
    return isinstance(parameter, Real | Whole) and parameter.sweepable and None not in span(parameter, None)


def span(parameter: Any, limit: Any) -> tuple[float | None, float | None]:
    """The ends of a slider: the soft range, or else the bounds, cut to what the data allow.

    Args:
        parameter: a ``Real`` or ``Whole``.
        limit: the ``Limit`` of the data at hand; None where there is none.

    Returns:
        the low and the high end, whole numbers for a ``Whole``; None in the place of an end that is open.

    Examples:
        >>> from lab.studies import Limit, Whole
        >>> from lab.studies.contract import span
        >>> k = Whole(2, bounds=(1, None), soft=(1, 8))
        >>> span(k, None), span(k, Limit(1, 5, "there are 5 columns"))
        ((1, 8), (1, 5))
    """
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
