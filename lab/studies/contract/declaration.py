"""What a study says: its attributes and parameters, their values, and which of them may be given."""

import math
import sys
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, Self

import param

from lab import datasets
from lab.datasets import NO_DATA, Data, Needs
from lab.inputs import listed, shown
from lab.numerics import Reason
from lab.numerics.values import Values

from .claims import Claim
from .declare import Limit, Live, Paper, Preset, Result
from .outputs import outputs_of
from .parameters import Choice, DataSource, Parameter, Real, Switch, Whole, choices
from .pictures import Pictures
from .reported import Reported
from .story import Story

_KINDS = (Real, Whole, Choice, Switch, DataSource)
_CONVERGED = Result("converged", (), "converged", "whether it ended as it should")
_ITERATIONS = Result("iterations", (), "iterations", "of its method", absent="its method is no iteration")


class Declaration(param.Parameterized):
    """The attributes and parameters of a study; ``Study`` says what they mean."""

    slug: ClassVar[str] = ""
    title: ClassVar[str] = ""
    field: ClassVar[str] = ""
    paper: ClassVar[Paper] = Paper()
    text: ClassVar[str] = ""
    about: ClassVar[str] = ""
    mathematics: ClassVar[str] = ""
    version: ClassVar[int] = 1
    kind: ClassVar[str] = NO_DATA
    needs: ClassVar[Needs] = Needs()
    results: ClassVar[tuple[Result, ...]] = ()
    dims: ClassVar[Mapping[str, tuple[str, str]]] = {}
    pictures: ClassVar[Pictures] = Pictures()
    presets: ClassVar[tuple[Preset, ...]] = ()
    claims: ClassVar[tuple[Claim, ...]] = ()
    reported: ClassVar[tuple[Reported, ...]] = ()
    live: ClassVar[tuple[Live, ...]] = ()
    story: ClassVar[Story | None] = None
    ends: ClassVar[Mapping[Reason, str]] = {}
    data_options: ClassVar[tuple[str, ...]] = ("seed",)

    data = DataSource(NO_DATA, doc="no data: this study computes from its parameters alone")
    seed = Whole(0, bounds=(0, 2**31 - 1), soft=(0, 20), group="more", traced=False, doc="seed of all that is random")

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        if "text" in vars(cls):
            cls.about, cls.mathematics = _text_beside(cls, cls.text)
        elif "slug" in vars(cls) and not cls.about and cls.__doc__:
            cls.about = " ".join(cls.__doc__.split())
        if "compute" in vars(cls) and (outputs := outputs_of(vars(cls)["compute"])) is not None:
            cls.results = outputs.results()
        if "results" in vars(cls):
            declared = {result.name for result in cls.results}
            cls.results += tuple(result for result in (_ITERATIONS, _CONVERGED) if result.name not in declared)
        finds = cls.story.finds if cls.story is not None else {}
        if {"pictures", "results"} & {*vars(cls)} or finds:
            cls.pictures = cls.pictures.of(cls.results, finds)

    def __init__(self, **values: Any):
        known = self.parameters()
        for name in values:
            if name not in known and name != "data":
                close = get_close_matches(name[:80], known, n=1)
                hint = f"did you mean {close[0]}?" if close else f"its parameters are {listed(known)}"
                raise ValueError(f"{self.slug} has no parameter {shown(name)}; {hint}")
        super().__init__(**values)

    def limits(self, data: Data) -> Mapping[str, Limit]:
        """Ranges that the data at hand allow beside the other parameters; enforced on every face, the sliders' ends."""
        return {}

    @classmethod
    def parameters(cls) -> dict[str, Parameter]:
        """The declared parameters: the data if it takes any, then its own, those of shared parts, and ``seed``."""
        own = {name: p for name, p in cls.param.objects("existing").items() if isinstance(p, _KINDS)}
        data = own.pop("data")
        first = {} if cls.kind == NO_DATA else {"data": data}
        last = {"seed": own.pop("seed")}
        parts = {name: p for name, p in own.items() if p.owner is not None and not p.owner.slug}
        return first | {name: p for name, p in own.items() if name not in parts} | parts | last

    def values(self) -> dict[str, Any]:
        """Every parameter's value by name."""
        return {name: getattr(self, name) for name in self.parameters()}

    def idle(self, name: str) -> str:
        """Why a parameter has no effect now, as the end of a sentence that begins with it; "" when it has."""
        values = self.values()
        for other, allowed in self.parameters()[name].when.items():
            if other in values and values[other] not in allowed:
                return f"has an effect only when {other} is {choices(allowed)}"
        if name not in self.data_options or name == "seed":  # which is of more than the data
            return ""
        entry = datasets.entry_of(self.data) if isinstance(self.data, str) else None
        if entry is not None and name in entry.options:
            return ""
        made = [each.name for each in self.sets() if name in each.options]
        return f"has an effect only when data is {listed(made, 60, ' or ')}" if made else "has no effect on any data"

    def but(self, **values: Any) -> Self:
        """A copy with other values."""
        return type(self)(**(self.values() | values))

    @classmethod
    def preset(cls, name: str) -> Self:
        """The study as a preset has it."""
        for preset in cls.presets:
            if preset.name == name:
                return cls(**preset.values)
        raise ValueError(
            f"{cls.slug} has no preset {shown(name)}; its presets are {listed(p.name for p in cls.presets) or 'none'}"
        )

    def given(self) -> Values:
        """The parameters as ``compute`` gets them: the numbers that are traced, and the seed, apart from the rest."""
        numbers, rest = {}, {}
        for name, parameter in self.parameters().items():
            value = getattr(self, name)
            traced = isinstance(parameter, Real | Whole) and (parameter.traced or name == "seed") and value is not None
            if name != "data":
                (numbers if traced else rest)[name] = value
        return Values(numbers, rest)

    def changed(self) -> dict[str, Any]:
        """The parameters that differ from their defaults."""
        return {name: value for name, value in self.values().items() if value != self.parameters()[name].default}

    @classmethod
    def sets(cls) -> list[datasets.Entry]:
        """The named data sets that have what it needs of its kind."""
        return datasets.catalogue(cls.kind, cls.needs)

    def load(self) -> Data:
        """The data at hand; raises ValueError with a sentence where they can't be had, or lack what is needed."""
        options = {name: getattr(self, name) for name in self.data_options}
        return datasets.resolve(self.data, self.kind, self.needs, **options)

    def check(self, data: Data) -> None:
        """Refuse parameters that these data do not allow."""
        for name, limit in self.limits(data).items():
            if not limit.low <= getattr(self, name) <= limit.high:
                parameter = self.parameters()[name]
                kind = "a whole number" if isinstance(parameter, Whole) else "a number"
                least = f"of at least {limit.low:g}"
                span = f"from {limit.low:g} to {limit.high:g}" if math.isfinite(limit.high) else least
                allowed = f"it must be {kind} {span}, {limit.why}"
                raise ValueError(parameter.refuse(getattr(self, name), allowed))

    def fitted(self, data: Data, but: Collection[str] = ()) -> tuple[Self, list[str]]:
        """The study with every parameter moved into what ``data`` allow, except those in ``but``; and what was moved."""
        study, notices = self, []
        for name, limit in self.limits(data).items():
            high = limit.high if math.isfinite(limit.high) else None
            value, notice = self.parameters()[name].into(getattr(study, name), limit.low, high, "the data allow")
            if notice and name not in but:
                study, notices = study.but(**{name: value}), [*notices, *notice]
        return study, notices


def _text_beside(study: type, name: str) -> tuple[str, str]:
    """What the Markdown file beside a study's module says: about it, and its mathematics."""
    path = Path(str(sys.modules[study.__module__].__file__)).with_name(name)
    about, _, mathematics = path.read_text(encoding="utf-8").partition("\n# Mathematics\n")
    return " ".join(about.removeprefix("# About\n").split()), mathematics.strip()
