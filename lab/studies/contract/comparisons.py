"""Comparisons of methods, declared as data: which method is best, by how much, and whether the intervals overlap.

A story lists its comparisons, and every sentence that names a best method is made from one of them. To convert a study:

1. Declare what is compared. Name all methods that the result has, with the words for each::

       W2 = Comparison(
           "w2", "W₂ to held-out data", result="w2", along="way",
           methods={"DPM-OT": "DPM-OT", "flow": "the flow", "no map": "the sampler without a map"},
           ours="DPM-OT", best_at={"k": 0},
       )

   Where each method has a scalar result of its own, leave out ``result`` and ``along``: the keys of ``methods`` are then the
   names of the results. Where the result has a dimension of repetitions, name it in ``over``; where another result holds the
   standard errors, name it in ``error``; where nothing is random, set ``random=False``.
2. Put it into the story, ``Story(..., compares=(W2,))``. The summary of the page then begins with ``W2.sentence(result)``,
   and with that of a second one; further ones are for findings.
3. Use ``W2.finding`` as the finding of a picture or of a group (``finds={"table": W2.finding}``). No other text of the story
   may contain a word of ``RANKS`` ("best", "nearest", "better"), unless ``Story.owners`` names its claim or test. Steps are
   owned by their ``holds``.
4. Compute the seeds: ``python -m lab.app.shipping --seeds SLUG`` runs the default, the steps and ``best_at`` with five seeds
   and writes the values to ``data/results/comparisons.json``. A training that takes minutes sets ``Story.repeats`` to fewer
   states; one with wide intervals sets ``Story.seeds`` above 5. Where the file lacks a state, the sentence says "one seed".
5. Run ``tests/studies/test_comparisons.py`` with ``-k SLUG``.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import xarray as xr

from lab.choices import chosen
from lab.inputs import listed
from lab.store import canonical, shipped
from lab.words import number, percent

from .parameters import as_text

if TYPE_CHECKING:
    from .declare import Result
    from .study import Study

FILE = "comparisons.json"
FEWEST = 5
"""Repetitions without which no order of methods is certain."""
MOST = 95
"""Characters of a finding."""
RANKS = re.compile(
    r"\b(best|better|worse|worst|lowest|highest|(?:nearest|closest)(?= to\b)|least(?!-squares)|most|wins?|beats?)\b"
    r"(?<!at least)(?<!at most)",
    re.IGNORECASE,
)
"""Words that rank methods; "at least" and "at most" state bounds, "the nearest point" no rank."""
_SAME = 1e-3  # relative difference of values without intervals that counts as a tie
_STUDENT = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}


class Standing(NamedTuple):
    """How the methods compare.

    Attributes:
        means: the mean of each method, the best first.
        halves: half the width of its 95% interval; 0 where nothing is random, NaN where there is one seed.
        best: the methods whose intervals overlap that of the best mean, in order, or whose values agree to 0.1% where there are
            no intervals; one where it is alone.
        seeds: repetitions behind the means; 0 where nothing is random.
        leads: by how much the best mean is ahead of a tied method in paired differences, and half the width of the 95%
            interval, where that interval excludes 0: repetitions that share data may separate methods whose intervals overlap.
        certain: whether nothing is random, or there are at least five repetitions.
    """

    means: Mapping[str, float]
    halves: Mapping[str, float]
    best: tuple[str, ...]
    seeds: int
    leads: Mapping[str, tuple[float, float]]

    @property
    def certain(self) -> bool:
        return self.seeds == 0 or self.seeds >= FEWEST


@chosen
@dataclass(frozen=True)
class Comparison:
    """One quantity, of all methods.

    Attributes:
        name: a key, unique in the study.
        quantity: the quantity in words, without an article: "W₂ to held-out data".
        methods: the words for each method, with an article where English needs one; the keys are names of scalar results or,
            with ``along``, coordinates.
        better: which direction is better.
        result: the result that holds all methods along the dimension ``along``.
        over: the dimension of ``result`` along which runs are repeated.
        error: the result that holds the standard errors, of the shape of ``result``, from ``count`` repetitions.
        count: repetitions behind ``error``, a number or the name of a parameter.
        single: methods that repetitions leave as they are, as a greedy choice: ``result`` has one value of each along ``over``.
        at: which entries along other dimensions of ``result`` are compared: a label, the name of a parameter whose value is
            the label, or the last one (-1).
        random: whether the values depend on the seed.
        share: whether the values are fractions, written as percentages.
        ours: the paper's method.
        best_at: parameters with which ``ours`` is the best or ties for it; the default when empty, None where it is in no
            precomputed run.
        repeats: what the repetitions along ``over`` are.
    """

    name: str
    quantity: str
    methods: Mapping[str, str]
    better: Literal["lower", "higher"] = "lower"
    result: str = ""
    along: str = ""
    over: str = ""
    error: str = ""
    count: int | str = 5
    single: tuple[str, ...] = ()
    at: Mapping[str, Any] = field(default_factory=dict)
    random: bool = True
    share: bool = False
    ours: str = ""
    best_at: Mapping[str, Any] | None = field(default_factory=dict)
    repeats: str = "seeds"

    def flaw(self, results: "Sequence[Result]", parameters: Mapping[str, Any]) -> str:
        """What is wrong with the declaration, as the end of a sentence that begins with "it"; "" when nothing is."""
        known = {result.name: result for result in results}
        needed = [self.result, *filter(None, [self.error])] if self.along else [*self.methods]
        if unknown := [name for name in needed if name not in known]:
            return f"compares {unknown[0]}, which is no result: they are {listed(sorted(known))}"
        if self.along and self.along not in known[self.result].dims:
            return (
                f"compares {self.result} along {self.along}, but its dimensions are {listed(known[self.result].dims)}"
            )
        if self.ours and self.ours not in self.methods:
            return f"compares {self.ours} with others, but its methods are {listed(self.methods)}"
        if unknown := [name for name in self.best_at or {} if name not in parameters]:
            return f"says where {self.ours} is best by {unknown[0]}, which is no parameter"
        return "" if len(self.methods) > 1 else "compares fewer than two methods"

    @property
    def keep(self) -> tuple[str, ...]:
        """The results that it compares."""
        return (self.result, *filter(None, [self.error])) if self.along else tuple(self.methods)

    @property
    def stored(self) -> bool:
        """Whether its values over seeds are kept in a file, as the result of one run has no interval."""
        return self.random and not self.over and not self.error

    def values(self, result: xr.Dataset, name: str = "") -> dict[str, np.ndarray]:
        """The values of each method in this result, (repetitions,); methods without finite values are left out."""
        known, found = json.loads(result.attrs.get("parameters", "{}")), {}
        for method in self.methods:
            variable = name or self.result or method
            if variable not in result or (self.along and method not in result[self.along].values):
                continue
            values = result[variable].sel({self.along: method}) if self.along else result[variable]
            labels = {dim: known.get(at, at) if isinstance(at, str) else at for dim, at in self.at.items()}
            if any(label != -1 and label not in values[dim] for dim, label in labels.items()):
                continue
            values = values.isel({dim: -1 for dim, label in labels.items() if label == -1})
            values = values.sel({dim: label for dim, label in labels.items() if label != -1})
            row = np.atleast_1d(values.values.astype(float))
            row = row[np.isfinite(row)][:1] if method in self.single else row
            if values.dims == ((self.over,) if self.over else ()) and row.size and np.isfinite(row).all():
                found[method] = row
        return found

    def standing(self, result: xr.Dataset) -> Standing | None:
        """How the methods compare in this result, or over the stored seeds of its parameters; None below two methods."""
        rows = self.values(result)
        if len(rows) < 2:
            return None
        if self.stored and (known := _seeds_of(result, self.name)):
            rows = {method: np.asarray(known[method]) for method in rows if method in known}
        means = {method: float(row.mean()) for method, row in rows.items()}
        if self.error:
            count = (
                self.count if isinstance(self.count, int) else int(json.loads(result.attrs["parameters"])[self.count])
            )
            errors = self.values(result, self.error)
            halves = {method: _student(count) * float(errors[method][0]) for method in means if method in errors}
        else:
            sizes = [len(row) for method, row in rows.items() if method not in self.single]
            count = min(sizes, default=1) if self.random else 0
            halves = {
                method: _student(count) * float(row.std(ddof=1)) / math.sqrt(count)
                if count > 1 and len(row) > 1
                else 0.0
                for method, row in rows.items()
            }
        if 0 < count < FEWEST:
            halves = dict.fromkeys(means, math.nan)
        return _ranked(means, halves, count, self.better == "lower", rows)

    def sentence(self, result: xr.Dataset) -> str:
        """The best of all methods with its number, the others, and when the paper's method is the best; "" where absent."""
        standing = self.standing(result)
        if standing is None:
            return ""
        first, *_ = standing.best
        many = len(standing.means)
        rank = f"{self._rank} {self.quantity} among {many} methods"
        if len(standing.best) == 1:
            begun = f"{self._words(first)} has the {rank}, {self._value(standing, first)}"
        else:
            tied = _all([self._words(method) for method in standing.best])
            values = _all([self._value(standing, method) for method in standing.best])
            begun = f"{tied} tie for the {rank}: {values}"
        begun = _capital(begun) if standing.certain else f"With {_seeds(standing)}, {begun}"
        how = " (other seeds may rank them differently)"
        if standing.certain:
            overlap = ", which overlap" * (len(standing.best) > 1)
            how = f" (means over {standing.seeds} {self.repeats} with 95% intervals{overlap})" if standing.seeds else ""
        others = [method for method in standing.means if method not in standing.best]
        rest = [f"{self._words(method)} {self._value(standing, method)}" for method in others]
        then = f"; then {', '.join(rest)}" if rest else ""
        ahead = [
            f"{self._words(tied)} by {self._plain(lead)} ± {self._half(half)}"
            for tied, (lead, half) in standing.leads.items()
        ]
        paired = f" In paired differences {self._words(first)} is ahead of {_all(ahead)}." if ahead else ""
        return f"{begun}{how}{then}.{paired}{self._when(standing)}"

    def finding(self, result: xr.Dataset) -> str:
        """The same in at most ``MOST`` characters, for the head of a picture; "" where absent."""
        standing = self.standing(result)
        if standing is None:
            return ""
        one = "" if standing.certain else f"{_capital(_seeds(standing))}: "
        best, means = standing.best, standing.means
        rank = f"the {self._rank} {self.quantity}"
        if len(best) == 1:
            text = f"{self._words(best[0])} has {rank}, {self._value(standing, best[0])}"
            other = self.ours if self.ours in means and self.ours != best[0] else [*means][1]
            tails = [f"; {self._words(other)} {self._value(standing, other)}", ""]
        else:
            some = f"{len(best)} of {len(means)} methods" if len(best) < len(means) else f"all {len(means)} methods"
            low, high = self._plain(means[best[0]]), self._plain(means[best[-1]])
            span = f": {low} to {high}" if low != high else f", {low}"
            tied = _all([self._words(method) for method in best])
            whole = f"{tied} tie for {rank}{span}"
            text = whole if len(whole) <= MOST - len(one) else f"{some} tie for {rank}{span}"
            tails = [""]
        text = one + (text if one else _capital(text))
        return next((text + tail for tail in tails if len(text + tail) <= MOST), text)

    def best_by(self, result: xr.Dataset, name: str) -> list[tuple[Any, str]]:
        """The method with the best value at each value of a swept parameter, in order; of the seeds in the result alone."""
        found = []
        for place in np.argsort(result[name].values) if result[name].dtype.kind in "iuf" else range(result.sizes[name]):
            cell = result.isel({name: place})
            means = {method: float(row.mean()) for method, row in self.values(cell).items()}
            if means:
                pick = min if self.better == "lower" else max
                found.append((cell[name].item(), pick(means, key=lambda method: means[method])))
        return found

    def finding_by(self, result: xr.Dataset, name: str, symbol: str = "", seeds: int = 1) -> str:
        """Which method is best at which value of a swept parameter, in a few words; from how many seeds, where that matters.

        Args:
            result: a sweep along ``name``.
            name: a parameter.
            symbol: what to call it.
            seeds: repetitions behind each value of the result, where it has no dimension ``over``.
        """
        best, symbol = self.best_by(result, name), symbol or name
        if not best:
            return ""
        count = result.sizes[self.over] if self.over else seeds
        one = f"{_capital(f'means over {count} seeds' if count > 1 else 'one seed')}: " if self.random else ""
        values, methods = zip(*best, strict=True)
        turns = [at for at in range(1, len(methods)) if methods[at] != methods[at - 1]]
        first = f"{self._words(methods[0])} has the {self._rank} {self.quantity}"
        if not turns:
            text = f"{first} at every {symbol} from {as_text(values[0])} to {as_text(values[-1])}"
        elif len(turns) == 1:
            until = f"up to {symbol} = {as_text(values[turns[0] - 1])}"
            text = f"{first} {until}, {self._words(methods[-1])} from {as_text(values[turns[0]])} on"
        else:
            often = sorted(set(methods), key=lambda method: -methods.count(method))
            counts = [f"{self._words(method)} at {methods.count(method)}" for method in often[1:]]
            text = f"{self._words(often[0])} has the {self._rank} {self.quantity} at {methods.count(often[0])} of {len(best)} "
            text += f"values of {symbol}"
            tail = f", {', '.join(counts)}"
            text += tail if len(one + text + tail) <= MOST else ""
        return one + (text if one else _capital(text))

    @property
    def _rank(self) -> str:
        return "lowest" if self.better == "lower" else "highest"

    def _words(self, method: str) -> str:
        return self.methods[method]

    def _plain(self, value: float) -> str:
        return percent(value) if self.share else number(value, 3)

    def _value(self, standing: Standing, method: str) -> str:
        half = standing.halves.get(method, math.nan)
        if not half > 1e-9 * abs(standing.means[method]):
            return self._plain(standing.means[method])
        return f"{self._plain(standing.means[method])} ± {self._half(half)}"

    def _half(self, value: float) -> str:
        return percent(value) if self.share else number(value, 2)

    def _when(self, standing: Standing) -> str:
        if not self.ours or self.ours in standing.best or self.ours not in standing.means or not standing.certain:
            return ""
        words = _capital(self._words(self.ours))
        if self.best_at is None:
            return f" {words} is not best in any precomputed run."
        told = _all(
            [f"{name} = {as_text(value)}" for name, value in self.best_at.items()] or ["the default parameters"]
        )
        return f" {words} is best (or tied) at {told}."


def _ranked(
    means: Mapping[str, float], halves: Mapping[str, float], count: int, lower: bool, rows: Mapping[str, np.ndarray]
) -> Standing:
    ordered = dict(sorted(means.items(), key=lambda each: each[1] if lower else -each[1]))
    first = next(iter(ordered))

    def ties(method: str) -> bool:
        apart = abs(ordered[method] - ordered[first])
        if count < FEWEST:
            return apart <= _SAME * max(abs(ordered[method]), abs(ordered[first]))
        return apart <= halves.get(method, math.inf) + halves.get(first, math.inf)

    def lead(method: str) -> tuple[float, float]:
        apart = rows[method] - rows[first]
        return abs(float(apart.mean())), _student(count) * float(apart.std(ddof=1)) / math.sqrt(count)

    best = tuple(each for each in ordered if each == first or ties(each))
    paired = [each for each in best[1:] if count >= FEWEST and len(rows[each]) == len(rows[first]) == count]
    leads = {each: lead(each) for each in paired}
    clear = {each: told for each, told in leads.items() if told[0] > max(told[1], _SAME * abs(ordered[first]))}
    return Standing(ordered, halves, best, count, clear)


def _student(count: int) -> float:
    """The 97.5% quantile of Student's t distribution with ``count - 1`` degrees of freedom."""
    return _STUDENT.get(count - 1, 1.96 + 2.6 / max(count - 1, 1))  # 0.01 too wide at most


def signature(parameters: Mapping[str, Any], data: str) -> str:
    """What tells apart states of a study: all parameters but the seed, and the name of the data.

    Args:
        parameters: every parameter's value by name, as a result's attribute ``parameters`` has them.
        data: the name of the data.

    Returns:
        sixteen hexadecimal digits.

    Examples:
        >>> from lab.studies.contract.comparisons import signature
        >>> signature({"k": 2, "seed": 0}, "moons") == signature({"k": 2.0, "seed": 4}, "moons")
        True
    """
    asked = {name: canonical(value) for name, value in parameters.items() if name != "seed"}
    return hashlib.sha256(json.dumps([data, asked], sort_keys=True).encode()).hexdigest()[:16]


def states(study: "type[Study]") -> dict[str, dict[str, Any]]:
    """The parameters of the states that are computed with several seeds, by name.

    Args:
        study: the class of a study, with a story.

    Returns:
        the changes from the default: of the default, of the steps, of where the paper's method is best, and of the presets that
        ``Story.repeats`` names.
    """
    assert study.story is not None
    found: dict[str, dict[str, Any]] = {"default": {}}
    found |= {f"best-{each.name}": dict(each.best_at) for each in study.story.compares if each.best_at and each.stored}
    found |= {f"step-{at}": dict(step.change) for at, step in enumerate(study.story.steps, 1)}
    found = {name: change for name, change in found.items() if name.partition("-")[0] in study.story.repeats}
    return found | {
        f"preset-{e.name}": dict(e.values) for e in study.presets if f"preset-{e.name}" in study.story.repeats
    }


def _seeds_of(result: xr.Dataset, name: str) -> Mapping[str, Sequence[float]]:
    """The values of each method over the seeds, where the file has the state of this result."""
    attrs = result.attrs
    if "parameters" not in attrs or not isinstance(attrs["parameters"], str):
        return {}
    known = recorded(shipped.folder()).get(attrs.get("study", ""), {})
    asked = signature(json.loads(attrs["parameters"]), attrs.get("data_name", ""))
    return next((state["values"].get(name, {}) for state in known.values() if state["of"] == asked), {})


@cache
def recorded(folder: Path) -> Mapping[str, Mapping[str, Any]]:
    """The values over seeds of all studies: by study and state ``of``, its signature, ``seeds`` and ``values`` by comparison
    and method; nothing where the folder has no such file.

    Args:
        folder: where precomputed results lie.
    """
    try:
        return json.loads((folder / FILE).read_text())
    except (OSError, ValueError):
        return {}


def _seeds(standing: Standing) -> str:
    return "one seed" if standing.seeds == 1 else f"{standing.seeds} seeds"


def _all(texts: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:] if not text[:2].isupper() else text
