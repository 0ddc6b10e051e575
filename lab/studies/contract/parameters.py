"""What a study can be asked to vary: ``param`` parameters that also know scale, unit, symbol and group.

Every face reads the same declaration, so bounds are enforced everywhere with the same sentence.
"""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from typing import Any, ClassVar, Literal

import param
from param.parameterized import Undefined

from lab import datasets
from lab.choices import check_choice
from lab.inputs import listed, shown

_EXTRA = {
    "symbol": "",  # how it is written in mathematics, plain Unicode: "γ"
    "unit": "",
    "scale": "linear",  # or "log"
    "group": "parameters",  # heading on the page: "parameters" or "more"
    "traced": True,  # False: another value is another compiled program
    "sweepable": True,
    "when": {},  # {"regularizer": ("k-sparse",)} or {"train_steps": range(1, 100)}: only meaningful then
    "soft": None,  # (low, high) that a slider spans; the data may narrow it
}


class _Described:
    """The extra slots and the one sentence shared by all kinds of parameter."""

    __slots__ = ()

    def _describe(self, extra: Mapping[str, Any]) -> None:
        check_choice("scale", extra.get("scale", "linear"), Literal["linear", "log"])
        settings = dict(extra)
        if "when" in settings:
            settings["when"] = {
                name: of if isinstance(of, tuple | range) else tuple(of) if isinstance(of, list | set) else (of,)
                for name, of in settings["when"].items()
            }
        for slot in _EXTRA:
            setattr(self, slot, settings.get(slot, Undefined))

    name: str
    allowed: Callable[[], str]  # what may be given: "it must be ..."
    parse: Callable[[str], Any]  # the value that a text from a command line or a link stands for
    mark: ClassVar[str] = ","  # between several values in one text

    def refuse(self, value: Any, why: str = "") -> str:
        """The sentence: the name, the value given, what is allowed."""
        given = "auto" if value is None else shown(value)
        return f"{self.name} = {given} is not allowed: {why or self.allowed()}"

    def into(self, value: Any, low: float | None, high: float | None, who: str) -> tuple[Any, list[str]]:
        """The nearest value that is allowed, and a sentence where that is another."""
        moved = type(value)(low) if low is not None and value < low else value
        moved = type(value)(high) if high is not None and moved > high else moved
        if moved is value:
            return value, []
        if low is None or high is None:
            span = f"at least {low:g}" if high is None else f"at most {high:g}"
        else:
            span = f"{low:g} to {high:g}"
        was = f"{value:g}" if isinstance(value, float) else shown(value)
        return moved, [f"{self.name} was {was}, {who} {span}: set to {moved:g}"]


def _span(bounds: tuple[Any, Any] | None, open_low: bool = False) -> str:
    low, high = bounds or (None, None)
    if low is None and high is None:
        return ""
    if high is None:
        return f" {'greater than' if open_low else 'of at least'} {low:g}"
    if low is None:
        return f" of at most {high:g}"
    return f" {'above' if open_low else 'from'} {low:g} {'and up to' if open_low else 'to'} {high:g}"


class Real(_Described, param.Number):
    """A real number, with a linear or logarithmic scale."""

    __slots__ = list(_EXTRA)
    _slot_defaults: ClassVar[dict[str, Any]] = {**param.Number._slot_defaults, **_EXTRA}

    def __init__(self, default: float = 0.0, **settings: Any):
        self._describe(settings)
        super().__init__(default, **{k: v for k, v in settings.items() if k not in _EXTRA})

    def allowed(self) -> str:
        open_low = self.inclusive_bounds[0] is False
        return f"it must be a number{_span(self.bounds, open_low)}"

    def _validate(self, val: Any) -> None:
        if callable(val) or isinstance(val, bool) or not _is_number(val):
            raise TypeError(self.refuse(val))
        low, high = self.bounds or (None, None)
        below = low is not None and (val < low if self.inclusive_bounds[0] else val <= low)
        above = high is not None and (val > high if self.inclusive_bounds[1] else val >= high)
        if below or above or not math.isfinite(val):
            raise ValueError(self.refuse(val))

    def parse(self, text: str) -> float:
        try:
            return float(_digits(text))
        except ValueError:
            raise TypeError(self.refuse(text)) from None


class Whole(_Described, param.Integer):
    """A whole number; None, written ``auto``, where ``allow_None`` lets the data decide."""

    __slots__ = list(_EXTRA)
    _slot_defaults: ClassVar[dict[str, Any]] = {**param.Integer._slot_defaults, **_EXTRA}

    def __init__(self, default: int | None = 0, **settings: Any):
        self._describe(settings)
        super().__init__(default, **{k: v for k, v in settings.items() if k not in _EXTRA})

    def allowed(self) -> str:
        return f"it must be a whole number{_span(self.bounds)}{', or auto' if self.allow_None else ''}"

    def _validate(self, val: Any) -> None:
        if val is None and self.allow_None:
            return
        if isinstance(val, bool) or not isinstance(val, Integral):
            raise TypeError(self.refuse(val))
        low, high = self.bounds or (None, None)
        if (low is not None and int(val) < low) or (high is not None and int(val) > high):
            raise ValueError(self.refuse(val))

    def parse(self, text: str) -> int | None:
        if text == "auto" and self.allow_None:
            return None
        try:
            return int(_digits(text))
        except ValueError:
            raise TypeError(self.refuse(text)) from None


class Choice(_Described, param.Selector):
    """One of a few named options."""

    __slots__ = list(_EXTRA)
    _slot_defaults: ClassVar[dict[str, Any]] = {**param.Selector._slot_defaults, **_EXTRA}

    def __init__(self, objects: list[str], default: str | None = None, **settings: Any):
        settings.setdefault("traced", False)
        self._describe(settings)
        super().__init__(
            objects=objects,
            default=objects[0] if default is None else default,
            **{k: v for k, v in settings.items() if k not in _EXTRA},
        )

    @property
    def mark(self) -> str:
        return ";" if any("," in option for option in self.objects) else ","  # several numbers are one option

    def allowed(self) -> str:
        return f"it must be one of {listed(self.objects, 160, f'{self.mark} ')}"

    def _validate(self, val: Any) -> None:
        if not isinstance(val, str) or val not in self.objects:
            raise ValueError(self.refuse(val))

    def parse(self, text: str) -> str:
        return text


class Switch(_Described, param.Boolean):
    """On or off."""

    __slots__ = list(_EXTRA)
    _slot_defaults: ClassVar[dict[str, Any]] = {**param.Boolean._slot_defaults, **_EXTRA}

    def __init__(self, default: bool = False, **settings: Any):
        settings.setdefault("traced", False)
        self._describe(settings)
        super().__init__(default, **{k: v for k, v in settings.items() if k not in _EXTRA})

    def allowed(self) -> str:
        return "it must be true or false"

    def _validate(self, val: Any) -> None:
        if not isinstance(val, bool):
            raise TypeError(self.refuse(val))

    def parse(self, text: str) -> bool:
        words = {
            "true": True,
            "yes": True,
            "on": True,
            "1": True,
            "false": False,
            "no": False,
            "off": False,
            "0": False,
        }
        if text.lower() not in words:
            raise TypeError(self.refuse(text))
        return words[text.lower()]


class DataSource(_Described, param.Parameter):
    """The name of a data set, the path of a file, or what ``lab.datasets.held`` takes, which is then kept as ``Data``."""

    __slots__ = list(_EXTRA)
    _slot_defaults: ClassVar[dict[str, Any]] = {**param.Parameter._slot_defaults, **_EXTRA}
    mark: ClassVar[str] = ";"  # a comma joins two files

    def __init__(self, default: str = "", **settings: Any):
        self._describe({"traced": False, "group": "more"} | settings)
        super().__init__(default, **{k: v for k, v in settings.items() if k not in _EXTRA})

    def allowed(self) -> str:
        return "it must be the name of a data set, the path of a file, arrays, or a lab.datasets.Data"

    def __set__(self, obj: Any, val: Any) -> None:
        super().__set__(obj, val if obj is None else self.taken(val, obj.kind))

    def taken(self, value: Any, kind: str) -> Any:
        """What is kept of a value for a study that takes this kind of data: a text, or ``Data``."""
        if value is None or isinstance(value, str | bytes | int | float):
            return value  # refused, where it is no text
        return os.fspath(value) if isinstance(value, os.PathLike) else datasets.held(value, kind)

    def _validate(self, val: Any) -> None:
        if not (isinstance(val, str) and val) and not isinstance(val, datasets.Data):
            raise TypeError(self.refuse(val))

    def parse(self, text: str) -> str:
        return text


type Parameter = Real | Whole | Choice | Switch | DataSource


def kind_of(parameter: Parameter) -> str:
    """The type that ``lab show --json`` reports.

    Args:
        parameter: a declared parameter.

    Returns:
        ``"number"``, ``"integer"``, ``"choice"``, ``"boolean"`` or ``"data"``.

    Examples:
        >>> from lab.studies import Real, Switch, kind_of
        >>> kind_of(Real(0.5)), kind_of(Switch())
        ('number', 'boolean')
    """
    return {Real: "number", Whole: "integer", Choice: "choice", Switch: "boolean", DataSource: "data"}[type(parameter)]


def bounds_of(parameter: Parameter) -> list[Any] | None:
    """What may be given, in short: the bounds of a number, the options of a choice.

    Args:
        parameter: a declared parameter.

    Returns:
        [low, high] of a number, with None where it is open; the options of a choice; None of any other.

    Examples:
        >>> from lab.studies import Choice, Real, Switch, bounds_of
        >>> bounds_of(Real(0.5, bounds=(0, None))), bounds_of(Choice(["adam", "sgd"])), bounds_of(Switch())
        ([0, None], ['adam', 'sgd'], None)
    """
    if isinstance(parameter, Choice):
        return list(parameter.objects)
    if isinstance(parameter, Real | Whole):
        return list(parameter.bounds) if parameter.bounds else [None, None]
    return None


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return not isinstance(value, str | bytes) and getattr(value, "ndim", 0) == 0


def _digits(text: str) -> str:
    """The text of a number, where Python would also take ``1_000`` and digits of other scripts."""
    if "_" in text or not text.isascii():
        raise ValueError
    return text


def as_text(value: Any) -> str:
    """A value as a command line, a link and a control write it; ``parse`` of its parameter reads it back.

    Args:
        value: of a parameter; data are written by their name.

    Returns:
        ``auto`` for None, ``true`` or ``false``, a number with at most 12 significant digits; any other as it is printed.

    Examples:
        >>> from lab.studies.contract import as_text
        >>> as_text(None), as_text(True), as_text(0.1 + 0.2)
        ('auto', 'true', '0.3')
    """
    if value is None:
        return "auto"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.12g}" if isinstance(value, float) else str(getattr(value, "name", value))  # data have a name


def choices(allowed: Sequence[Any]) -> str:
    """The values of one's choice, in words.

    Args:
        allowed: values of a parameter; a range is told by its beginning.

    Returns:
        the values with *or* between them.

    Examples:
        >>> from lab.studies.contract import choices
        >>> choices((0.1, "auto")), choices(range(1, 100))
        ('0.1 or auto', 'at least 1')
    """
    return f"at least {allowed.start}" if isinstance(allowed, range) else " or ".join(map(as_text, allowed))


def option(name: str) -> str:
    """A parameter's option on the command line.

    Args:
        name: of the parameter.

    Returns:
        the name with hyphens, behind two of them.

    Examples:
        >>> from lab.studies.contract import option
        >>> option("batch_size")
        '--batch-size'
    """
    return f"--{name.replace('_', '-')}"
