"""The story of a study: what it shows, the picture that shows it best, steps to try, groups of pictures with their finding."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import xarray as xr

from lab.inputs import listed

from .comparisons import Comparison
from .pictures import Finding, Pictures
from .telling import is_whole, names_in, told

if TYPE_CHECKING:
    from .declare import Result

type Check = Callable[[xr.Dataset, xr.Dataset], bool]


@dataclass(frozen=True)
class Step:
    """Something to try.

    Attributes:
        question: what one asks.
        change: the parameters to set, the others as they are by default.
        finding: what is then seen, in one sentence. Numbers in it are live: ``{w2sq:.3g}`` is that of the changed run,
            ``{before.w2sq:.3g}`` that of the default.
        holds: whether the numbers bear it out: takes the result by default and that with the change.
        look: the picture to look at; the hero's when empty.
    """

    question: str
    change: Mapping[str, Any]
    finding: str
    holds: Check = field(compare=False)
    look: str = ""

    def told(self, before: xr.Dataset, after: xr.Dataset) -> str:
        """The finding with its numbers."""
        return told(self.finding, after, before)


@dataclass(frozen=True)
class Group:
    """Pictures that make one point.

    Attributes:
        title: a few words.
        finding: what they show together, in one sentence with live numbers, or a function of the result that gives it.
        pictures: their names, the most telling one first.
    """

    title: str
    finding: Finding
    pictures: tuple[str, ...]


@dataclass(frozen=True)
class Story:
    """What a page tells first.

    Attributes:
        phenomenon: one sentence.
        hero: the name of the picture that shows it, or of two that belong together; a third where no result has all of them.
        moves: what moves it, the first one most: parameters, or the dimension along which it plays.
        steps: three to five things to try.
        groups: all other pictures, each in one group.
        says: up to four sentences on what is seen now; their numbers are live.
        question: what the study answers, for the gallery; the title of the study when empty.
        measure: the number that is drawn along the first parameter that moves the hero; the first that is told of when empty.
        finds: what pictures of the groups show now, by name, in a few words that are their heads: with live numbers, or given
            by a function of the result that is drawn, which says what is so in this one. "" where there is nothing to say.
        compares: the comparisons of methods; the summary of the page begins with the sentences of the first two.
        repeats: the states that are computed with several seeds: ``default``, ``best`` (``Comparison.best_at``), ``step``,
            and single presets as ``preset-NAME``.
        seeds: with how many seeds, from 0 on.
        owners: who answers for a text that ranks outside of the comparisons: a part of the text, and the claim by its name, or
            the test as ``tests/...::name``.
    """

    phenomenon: str
    hero: tuple[str, ...]
    moves: tuple[str, ...]
    steps: tuple[Step, ...]
    groups: tuple[Group, ...]
    says: tuple[str, ...] = ()
    question: str = ""
    measure: str = ""
    finds: Mapping[str, Finding] = field(default_factory=dict, compare=False)
    compares: tuple[Comparison, ...] = ()
    repeats: tuple[str, ...] = ("default", "best", "step")
    seeds: int = 5
    owners: Mapping[str, str] = field(default_factory=dict, compare=False)

    def summary(self, result: xr.Dataset) -> list[str]:
        """The sentences on a result: of the comparisons first, then ``says``; those that lack a number are left out."""
        said = [
            *(comparison.sentence(result) for comparison in self.compares[:2]),
            *(told(text, result) for text in self.says),
        ]
        return [text for text in said if text and is_whole(text)]

    def flaw(self, pictures: Pictures, parameters: Mapping[str, Any], results: "Sequence[Result]") -> str:
        """What is not whole, as the end of a sentence that begins with "it"; "" when all is well."""
        names = {picture.name for picture in pictures}
        grouped = [name for group in self.groups for name in group.pictures]
        unknown = [
            name
            for name in (*self.hero, *grouped, *(s.look for s in self.steps if s.look), *self.finds)
            if name not in names
        ]
        if unknown:
            return f"names the picture {unknown[0]}; there are {listed(names)}"
        twice = [name for name in grouped if grouped.count(name) > 1 or name in self.hero]
        if twice:
            return f"shows the picture {twice[0]} twice"
        if left := [name for name in names if name not in (*grouped, *self.hero)]:
            return f"leaves out the picture {left[0]}: name it in a group"
        played = {picture.plays for picture in pictures if picture.plays}
        if moves := [name for name in self.moves if name not in parameters and name not in played]:
            return f"is moved by {moves[0]}, which is neither a parameter nor what a picture plays along"
        if changed := [name for step in self.steps for name in step.change if name not in parameters]:
            return f"has a step that changes {changed[0]}, which is no parameter"
        numbers = {result.name for result in results if not result.dims}
        if self.measure and self.measure not in numbers:
            return f"measures {self.measure}, which is no number among its results: they are {listed(sorted(numbers))}"
        if wrong := next(filter(None, (each.flaw(results, parameters) for each in self.compares)), ""):
            return wrong
        found = (text for text in self.finds.values() if isinstance(text, str))
        for text in (
            *(step.finding for step in self.steps),
            *(group.finding for group in self.groups if isinstance(group.finding, str)),
            *self.says,
            *found,
        ):
            for name in names_in(text):
                if name not in numbers:
                    return f"tells of {name}, which is no number among its results: they are {listed(sorted(numbers))}"
        if not (1 <= len(self.hero) <= 3 and self.moves and 3 <= len(self.steps) <= 5 and len(self.says) <= 4):
            return "needs one to three hero pictures, what moves them, three to five steps and at most four sentences"
        return ""
