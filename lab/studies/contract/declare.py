"""What a study declares in words and numbers: paper, results, presets, limits, what a page follows."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import xarray as xr

from . import sweeping

type Mood = Literal["good", "warn", ""]


class Paper(NamedTuple):
    """The paper that a study reproduces; a study without one has ``Paper()``, whose texts are empty."""

    authors: str = ""
    title: str = ""
    venue: str = ""
    year: int = 0
    url: str = ""

    @property
    def short(self) -> str:
        return f"{self.authors} · {self.venue} {self.year}" if self.title else ""

    @property
    def citation(self) -> str:
        return f"{self.authors}, {self.title}, {self.venue} {self.year}" if self.title else ""

    @property
    def bibtex(self) -> str:
        """An entry for a bibliography, with the family names of the authors; "" without a paper."""
        if not self.title:
            return ""
        names = [name.strip() for name in self.authors.replace(" and ", ", ").split(",") if name.strip()]
        words = re.findall(r"[a-z0-9]+", _plain(self.title))
        word = next((word for word in words if len(word) > 3), words[0] if words else "paper")
        key = f"{_plain(names[0]).replace(' ', '') if names else 'anonymous'}{self.year}{word}"
        preprint = self.url.partition("arxiv.org/abs/")[2]
        journal = re.match(r"(JMLR|TMLR|IEEE|SIAM|Journal|Transactions)", self.venue)
        kind, where = ("article", "journal") if journal else ("inproceedings", "booktitle")
        fields = {"author": " and ".join(names), "title": f"{{{_tex(self.title)}}}", "year": str(self.year)}
        if self.venue == "arXiv":
            kind = "misc"
        else:
            fields[where] = _tex(self.venue)
        if preprint:
            fields |= {"eprint": preprint, "archivePrefix": "arXiv"}
        elif self.url:
            fields["url"] = self.url
        told = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items())
        return f"@{kind}{{{key},\n{told}\n}}"


def _plain(text: str) -> str:
    """Lower case letters without accents."""
    return unicodedata.normalize("NFKD", text.lower()).encode("ascii", "ignore").decode()


def _tex(text: str) -> str:
    return re.sub(r"([&%$#_{}])", r"\\\1", text)


@dataclass(frozen=True)
class Result:
    """One variable of a result.

    Attributes:
        dims: names of its dimensions; () for a scalar.
        label: a few words under the number, on a page or on an axis.
        doc: one sentence.
        headline: shown in the strip of scalars and in the table of ``lab run``.
        judge: what a value means: ``"good"``, ``"warn"`` or nothing; sees the value and the whole result.
        absent: why some results lack it, and what to choose to have it: "no network was trained: set the training steps
            above 0"; "" where all have it.
        undefined: why it may be NaN or infinite although the run converged: "all measured scores are equal". A run does not
            converge if a headline number without such a reason is not finite, or if an array without it is infinite.
        half: the result that holds half the width of its 95% interval, which is shown beside it.
    """

    name: str
    dims: tuple[str, ...]
    label: str
    doc: str
    unit: str = ""
    headline: bool = False
    judge: Callable[[float, xr.Dataset], Mood] | None = field(default=None, compare=False)
    absent: str = ""
    undefined: str = ""
    half: str = ""

    def undefined_at(self, value: float) -> str:
        """Give the text that replaces a NaN on every interface.

        Args:
            value: the number of a run.

        Returns:
            "not defined: " and the declared reason; "" for a number, and for a NaN without a declared reason.

        Examples:
            >>> from lab.studies import Result
            >>> Result("r", (), "correlation", "of x and y", undefined="x is constant").undefined_at(float("nan"))
            'not defined: x is constant'
        """
        return f"not defined: {self.undefined}" if self.undefined and value != value else ""

    def is_sound(self, values: np.ndarray) -> bool:
        """Check that values may come from a run that converged.

        A headline number must be finite. Other values may be NaN but not infinite, except along an iteration. Results with a
        declared ``undefined`` may have any value.

        Args:
            values: the values of a run.

        Returns:
            False if the run has not converged, whatever its stopping rule states.

        Examples:
            >>> import numpy as np
            >>> from lab.studies import Result
            >>> Result("path", ("time",), "path", "of a particle").is_sound(np.array([0.0, np.inf]))
            False
        """
        if values.dtype.kind != "f" or self.undefined or "iteration" in self.dims:
            return True
        if self.headline and not self.dims:
            return bool(np.isfinite(values).all())
        return not np.isinf(values).any()


def headlines(results: Sequence[Result], result: xr.Dataset) -> Iterator[tuple[Result, float, Mood]]:
    """The scalars that matter and are there, each with its value and what it means; convergence is told in words instead.

    A part of a result may lack what a judge looks at: it then means nothing.

    Args:
        results: what the study declares.
        result: a Dataset; of it the variables without dimensions count.

    Yields:
        the declaration, the value, and ``"good"``, ``"warn"`` or "".

    Examples:
        >>> import xarray as xr
        >>> from lab.studies import Result, headlines
        >>> gap = Result("gap", (), "gap", "of the solver", headline=True, judge=lambda gap, _: "warn" if gap > 0 else "good")
        >>> [(declared.name, value, mood) for declared, value, mood in headlines([gap], xr.Dataset({"gap": 0.5}))]
        [('gap', 0.5, 'warn')]
    """
    for declared in results:
        if not declared.headline or declared.name not in result or result[declared.name].dims:
            continue
        if declared.name == "converged":
            continue
        value, mood = result[declared.name].item(), ""
        try:
            mood = declared.judge(value, result) if declared.judge else ""
        except (AttributeError, KeyError) as problem:
            if not sweeping.absent(problem):
                raise
        yield declared, value, mood


class Live(NamedTuple):
    """Curves on one scale that a page draws while a run goes on, and writes the last values of.

    Attributes:
        label: what they are.
        lines: their names, each with the measure of the run's method that it follows; those that are absent are left out.
        level: a value to compare them with, or the measure that says it.
    """

    label: str
    lines: Mapping[str, str]
    level: float | str | None = None


@dataclass(frozen=True)
class Preset:
    """A named set of parameter values: a figure of the paper, or a phenomenon worth seeing."""

    name: str
    title: str
    doc: str
    values: Mapping[str, Any]


class Limit(NamedTuple):
    """The range of a parameter that the data at hand allow, and why."""

    low: float
    high: float  # infinite where there is none
    why: str
