"""Grids: the values that each swept parameter takes, from texts or sequences, checked before anything runs."""

import math
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from numbers import Integral
from typing import Any

import numpy as np

from lab.inputs import cut, listed, shown
from lab.studies import DataSource, Parameter, Real, Study, Whole

MOST = 1_000_000  # values of a parameter, and cells of a sweep

SYNTAX = (
    "A,B,C lists values, A;B;C where commas are part of them. A:B counts through whole numbers, both ends included, save "
    "for a seed: 0:5 are the five seeds 0 to 4. A:B:N are N values at equal distances, A:B:logN at equal ratios, both ends "
    "included."
)


def split(
    study: type[Study], given: Mapping[str, Any], most: float = MOST
) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """What is fixed and what is swept.

    Args:
        study: the class.
        given: by parameter a value, a sequence of values, or a text as in ``SYNTAX``.
        most: how many values one parameter may have.

    Returns:
        the single values, and the lists of the swept parameters, in the order given.

    Raises:
        ValueError, TypeError: one sentence on what was given and what is allowed.

    Examples:
        >>> from lab import sweeps
        >>> from lab.studies import find
        >>> sweeps.split(find("sparse-ot"), {"k": "1:3", "gamma": "0.1:10:log3", "seed": 4})
        ({'seed': 4}, {'k': [1, 2, 3], 'gamma': [0.1, 1.0, 10.0]})
    """
    known = study.parameters()
    fixed: dict[str, Any] = {}
    grid: dict[str, list[Any]] = {}
    for name, value in given.items():
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"its parameters are {listed(known)}"
            raise ValueError(f"{study.slug} has no parameter {shown(name)}; {hint}")
        parameter = known[name]
        if isinstance(parameter, DataSource) and isinstance(value, tuple) and all(isinstance(v, str) for v in value):
            value = list(value)
        if isinstance(parameter, DataSource) and isinstance(value, list):
            value = [parameter.taken(each, study.kind) for each in value]
        if not _many(parameter, value):
            fixed[name] = parameter.parse(value) if isinstance(value, str) else value
            continue
        if not parameter.sweepable:
            raise ValueError(f"{study.slug} can't be swept along {name!r}: give it one value")
        grid[name] = _from_text(parameter, value, most) if isinstance(value, str) else [_plain(v) for v in value]
        _check(parameter, grid[name], most)
    return fixed, grid


def _many(parameter: Parameter, value: Any) -> bool:
    if isinstance(value, str):
        spans = isinstance(parameter, Real | Whole) and ":" in value
        return parameter.sweepable and (parameter.mark in value or spans or not value.strip())
    if isinstance(parameter, DataSource):
        return isinstance(value, list)  # of data sets; a tuple holds the arrays of one
    return isinstance(value, Sequence | np.ndarray | range) and np.ndim(value) > 0  # type: ignore[arg-type]


def _from_text(parameter: Parameter, text: str, most: float) -> list[Any]:
    values: list[Any] = []
    mark = parameter.mark
    parts = [part.strip() for part in text.strip().removesuffix(mark).split(mark)]  # "2," is a list of one value
    if any(parts) and not all(parts):
        raise ValueError(
            f"{parameter.name} = {shown(text)} has an empty place: give values with one {mark} between them"
        )
    for part in filter(None, parts):
        spans = isinstance(parameter, Real | Whole) and ":" in part
        values += _span(parameter, part, most) if spans else [parameter.parse(part)]
    return values


def _span(parameter: Parameter, text: str, most: float) -> list[Any]:
    name, whole = parameter.name, isinstance(parameter, Whole)
    ends, text = text.split(":"), cut(text)
    if len(ends) > 3:
        raise ValueError(f"{name} = {text} has too many colons: write first:last, first:last:count or first:last:log12")
    low, high = (_number(parameter, end) for end in ends[:2])
    if not low < high:
        raise ValueError(f"{name} = {text} runs backwards: the number before the colon must be below the one behind it")
    if len(ends) == 2:
        if not whole:
            raise ValueError(f"{name} = {text} has no end of numbers: say how many, {text}:9 or {text}:log9")
        last = int(high) + (name != "seed")
        _count(name, text, last - int(low), most)
        return list(range(int(low), last))
    geometric = ends[2].startswith("log")
    try:
        count = int(ends[2].removeprefix("log"))
    except ValueError:
        raise ValueError(
            f"{name} = {text}: behind the second colon goes how many values, as in {low:g}:{high:g}:log12"
        ) from None
    if count < 2:
        raise ValueError(f"{name} = {text} asks for {count} values: a range has at least 2")
    _count(name, text, count, most)
    if geometric and low <= 0:
        raise ValueError(f"{name} = {text} starts at {low:g}, which has no logarithm: start above 0, or leave out log")
    values = np.geomspace(low, high, count) if geometric else np.linspace(low, high, count)
    if whole:  # neighbours may round to the same number
        return [int(value) for value in dict.fromkeys(np.round(values).astype(int))]
    return [float(value) for value in values]


def _number(parameter: Parameter, text: str) -> float:
    try:
        value = int(text) if isinstance(parameter, Whole) else float(text)
        if not math.isfinite(value):  # an OverflowError where a whole number has hundreds of digits
            raise ValueError
        return value
    except (ValueError, OverflowError):
        raise ValueError(
            f"{parameter.name}: {shown(text)} is no {'whole ' * isinstance(parameter, Whole)}number that a range may end at"
        ) from None


def _check(parameter: Parameter, values: list[Any], most: float) -> None:
    name = parameter.name
    if not values:
        raise ValueError(f"{name} has an empty list: a sweep needs at least one value of each parameter")
    _count(name, f"{cut(values[0])}, ...", len(values), most)
    for value in values:
        parameter._validate(value)  # param has no public way to test a value without setting it
    seen: set[Any] = set()
    twice = next((value for value in values if value in seen or seen.add(value)), None)
    if twice is not None:
        raise ValueError(f"{name} has the value {cut(twice)} twice: give each value once")


def _count(name: str, text: str, count: int, most: float) -> None:
    if count > most:
        raise ValueError(f"{name} = {text} has {count:,} values: a sweep takes at most {most:,.0f} of one parameter")


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    return int(value) if isinstance(value, Integral) and not isinstance(value, bool) else value
