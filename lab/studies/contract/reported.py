"""The paper's numbers beside ours, with the size and data of both: one table per study."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import xarray as xr

from lab.store import Store, shipped, unpack
from lab.words import number, quantity

from .claims import Measured

if TYPE_CHECKING:
    from .study import Study

FILE = "reported.json"
ONLY_HERE = "measured only here"
"""The place of a number that the paper does not have, to our knowledge, and that a number beside it is compared with."""
PREDICTED = "predicted"
"""Stands for the paper's number where a theorem gives it: the expected value of the row's claim."""
_RELATIONS = {"==": "", "<=": "≤ ", ">=": "≥ ", "<": "< ", ">": "> "}


@dataclass(frozen=True)
class Reported:
    """One quantity: the number in the paper and ours.

    Our number is never typed: it is read from a precomputed run (``ours``) or from a stored verdict (``claim``).

    Attributes:
        quantity: what both numbers measure.
        where: table, figure, equation or section of the paper.
        paper: the paper's number, or a text where it is a range or a statement; ``PREDICTED`` where a theorem gives it;
            None where the paper's value is not available to us.
        paper_setting: size and data in the paper.
        ours: a number of the default result by name, or a function of precomputed runs that returns it.
        claim: the claim whose measured value is ours, instead of ``ours``. Without both, nothing is computed here, and the
            note says why.
        our_setting: size and data here.
        unit: of both numbers.
        note: why the two differ beyond their sizes, in full sentences.
        holds: whether the precomputed runs bear out the note, where it ranks methods.
        checked: False where the paper's number was recalled and not compared with the paper.
    """

    quantity: str
    where: str
    paper: float | str | None
    paper_setting: str
    our_setting: str
    ours: "str | Callable[[Shipped], float | Measured]" = field(default="", compare=False)
    claim: str = ""
    unit: str = ""
    note: str = ""
    holds: "Callable[[Shipped], bool] | None" = field(default=None, compare=False)
    checked: bool = True


class Line(NamedTuple):
    """A row of the table as text; ``made`` states the version, and for a verdict the day, of our number."""

    quantity: str
    where: str
    paper: str
    paper_setting: str
    ours: str
    our_setting: str
    note: str
    made: str


HEADS = ("quantity", "paper", "this lab")


class Shipped:
    """The precomputed runs of a study; nothing is computed.

    ``runs(k=3)`` is a whole run, ``runs("w2", k=3)`` the named variables of a run of which only these are stored.
    """

    def __init__(self, study: "type[Study]"):
        self._study, self.versions = study, set[str]()
        self._known: dict[str, tuple[xr.Dataset, str]] = {}

    def __call__(self, *names: str, **values: Any) -> xr.Dataset:
        asked = repr((names, sorted(values.items())))
        if asked not in self._known:
            made = self._study(**values)
            key = Store.key(made.recipe(made.load()))
            place = shipped.find(key, names)
            if place is None:
                raise LookupError(f"no precomputed run of {self._study.slug} has {values or 'the default values'}")
            ((cells, (row,)),) = shipped.read([key], names or None)
            self._known[asked] = unpack(cells, row), place.version
        result, version = self._known[asked]
        self.versions.add(version)
        return result

    def compared(self, name: str, method: str) -> Measured:
        """The mean over seeds of a method in a comparison of the story, with its 95% interval."""
        compared = next(each for each in self._study.story.compares if each.name == name) if self._study.story else None
        standing = compared.standing(self()) if compared else None
        if standing is None or not standing.certain:
            raise LookupError(f"the comparison {name} of {self._study.slug} has no interval")
        self.versions.add(f"mean over {standing.seeds} seeds")
        mean, half = standing.means[method], standing.halves[method]
        return Measured(mean, mean - half, mean + half)

    def preset(self, name: str) -> xr.Dataset:
        """The run of a preset."""
        return self(**self._study.preset(name).changed())


def measured(study: "type[Study]", verdicts: Mapping[str, Any], runs: Shipped) -> dict[str, dict[str, Any]]:
    """Our number of each row, by quantity, from precomputed runs and stored verdicts.

    Args:
        study: the class.
        verdicts: the entry of the study in ``docs/measured.json``.
        runs: its precomputed runs.

    Raises:
        LookupError: a run is not precomputed, or a claim has no verdict.
    """
    return {
        row.quantity: _of_claim(study, row, verdicts) if row.claim else _of_runs(study, row, runs)
        for row in study.reported
        if row.claim or row.ours
    }


def _of_claim(study: "type[Study]", row: Reported, verdicts: Mapping[str, Any]) -> dict[str, Any]:
    verdict = verdicts["claims"][row.claim]
    relation = next(claim.relation for claim in study.claims if claim.name == row.claim)
    found = {name: verdict.get(name) for name in ("measured", "interval", "expected")}
    return found | {"relation": relation, "made": f"lab {verdicts['lab']}, {verdicts['day']}"}


def _of_runs(study: "type[Study]", row: Reported, runs: Shipped) -> dict[str, Any]:
    runs.versions.clear()
    if isinstance(row.ours, str):
        result = runs()
        value, interval = float(result[row.ours]), None
        half = next(declared.half for declared in study.results if declared.name == row.ours)
        if half:
            interval = [value - float(result[half]), value + float(result[half])]
    else:
        found = row.ours(runs)
        value, interval = float(found.value if isinstance(found, Measured) else found), None
        if isinstance(found, Measured):
            interval = [float(found.low), float(found.high)]
    return {"measured": value, "interval": interval, "made": f"lab {', '.join(sorted(runs.versions))}"}


def lines(study: "type[Study]") -> list[Line]:
    """The rows of a study's table as text; our numbers are those that ship in ``data/results/reported.json``."""
    stored = load().get(study.slug, {})
    return [_line(row, stored.get(row.quantity, {})) for row in study.reported]


def load() -> dict[str, dict[str, dict[str, Any]]]:
    """The stored numbers by study and quantity; empty where none ship."""
    try:
        return json.loads((shipped.folder() / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _line(row: Reported, found: Mapping[str, Any]) -> Line:
    ours = quantity(found["measured"], row.unit) if "measured" in found else "not computed here"
    if found.get("interval"):
        low, high = (number(float(end), 4) for end in found["interval"])
        ours += f" (95%: {low} to {high})"
    where = row.where if row.checked else f"{row.where}; number recalled, not checked against the paper"
    told = (row.quantity, where, _papers(row, found), row.paper_setting, ours, row.our_setting, row.note)
    return Line(*told, found.get("made", ""))


def _papers(row: Reported, found: Mapping[str, Any]) -> str:
    if row.paper is None:
        return "no counterpart known" if row.where == ONLY_HERE else "value not available"
    if row.paper == PREDICTED:
        return f"{_RELATIONS[found['relation']]}{quantity(found['expected'], row.unit)} (theory)" if found else "theory"
    return row.paper if isinstance(row.paper, str) else quantity(float(row.paper), row.unit)


def flaw(study: "type[Study]") -> str:
    """What is wrong with the table's declaration, as the end of a sentence that begins with "it"; "" when nothing is."""
    scalars = {result.name for result in study.results if not result.dims}
    claims = {claim.name for claim in study.claims}
    names = [row.quantity for row in study.reported]
    for row in study.reported:
        if names.count(row.quantity) > 1:
            return f"has the quantity {row.quantity} twice"
        if row.claim and row.ours:
            return f"has the quantity {row.quantity} with both ours and claim"
        if not (row.claim or row.ours or row.note):
            return f"has the quantity {row.quantity} with no number of ours and no note that says why"
        if row.claim and row.claim not in claims:
            return f"has the quantity {row.quantity} with {row.claim}, which is none of its claims"
        if isinstance(row.ours, str) and row.ours and row.ours not in scalars:
            return f"has the quantity {row.quantity} with {row.ours}, which is no number among its results"
        if row.paper == PREDICTED and not row.claim:
            return f"has the quantity {row.quantity} with a predicted value, but without a claim that predicts it"
    return ""
