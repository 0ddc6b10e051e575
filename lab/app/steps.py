"""The steps of a study's story: a question, what to set, and what is then found, with the numbers that say so."""

from typing import Any

import xarray as xr

from lab.figures.sweep import symbol
from lab.numerics import Report
from lab.studies import DataSource, Study
from lab.studies.contract import as_text
from lab.sweeps.single import run
from lab.words import readable

from . import theme
from .runner import SWEEP, Runner
from .session import Session
from .view import View, source


class Steps(View):
    """Guess, press, then look. An answer is shown when its run is done, or when it is asked for; ``show`` does that."""

    _esm = source("steps.js")
    css = theme.asset("steps.css")

    def __init__(self, session: Session):
        super().__init__(self._told)
        self._session = session
        study = session.study_class
        self._steps = study.story.steps if study.story is not None else ()
        self._made: dict[int, Study] = {}
        self._answers: dict[int, tuple[str, bool]] = {}  # the finding, and whether the numbers bear it out
        self._before: xr.Dataset | None = None
        self._refused: dict[int, str] = {}
        self._looked_up: int | None = None  # whose numbers are being had
        self._pressed: int | None = None
        self._runner = Runner(session.post, SWEEP)
        self.visible = bool(self._steps)
        if self._steps:
            session.param.watch(self._follow, ["study", "result", "fresh"])
        self._draw()

    def press(self, number: int) -> None:
        """Set what the step says, and tell its answer when the run is done."""
        self._pressed = number
        self._session.open(self._of(number))
        self._draw()

    def show(self, number: int) -> None:
        """Tell the answer of a step; what it needs is computed where it is not at hand."""
        if not 0 <= number < len(self._steps) or number in self._answers or self._looked_up == number:
            return
        made, default = self._of(number), self._session.study_class()
        self._looked_up = number

        def work(report: Report) -> tuple[xr.Dataset, xr.Dataset]:
            before = self._before if self._before is not None else run(default, report)
            session, held = self._session, self._session.result
            if held is not None and session.fresh and not session.rough and _same(session.study, made):
                return before, held
            return before, run(made, report)

        def done(both: tuple[xr.Dataset, xr.Dataset]) -> None:
            step = self._steps[number]
            self._before, self._looked_up = both[0], None
            self._answers[number] = step.told(*both), bool(step.holds(*both))
            self._draw()

        def failed(sentence: str) -> None:
            self._looked_up = None
            self._refused[number] = sentence
            self._draw()

        self._runner.submit(work, done=done, failed=failed)
        self._draw()

    def _told(self, message: dict[str, Any]) -> None:
        for name, call in (("press", self.press), ("answer", self.show)):
            if isinstance(number := message.get(name), int) and 0 <= number < len(self._steps):
                call(number)

    def _follow(self, *_: Any) -> None:
        session = self._session
        if session.fresh and not session.rough and self._pressed is not None:
            number, self._pressed = self._pressed, None
            if _same(session.study, self._of(number)):
                self.show(number)
        self._draw()

    def _of(self, number: int) -> Study:
        if number not in self._made:
            self._made[number] = self._session.study_class(**self._steps[number].change)
        return self._made[number]

    def _draw(self) -> None:
        rows = []
        for number, step in enumerate(self._steps):
            answer, holds = self._answers.get(number, ("", True))
            made = self._of(number)
            rows.append(
                {
                    "question": step.question,
                    "sets": in_words(made, step.change),
                    "answer": answer,
                    "holds": holds,
                    "refused": self._refused.get(number, ""),
                    "here": _same(self._session.study, made),
                    "waits": self._looked_up == number or self._pressed == number,
                    "link": made.as_link(),
                }
            )
        self.draw(steps=rows, slug=self._session.study_class.slug)


def in_words(study: Study, change: Any) -> str:
    """What a step sets: ``Set k = 1``."""
    if not change:
        return "Set the defaults"
    said = []
    for name, value in change.items():
        parameter = study.parameters()[name]
        if isinstance(parameter, DataSource):
            said.append(f"data = {value}")
        else:
            said.append(f"{symbol(parameter)} = {readable(as_text(value))}")
    return f"Set {', '.join(said)}"


def _same(one: Study, other: Study) -> bool:
    mine, theirs = one.values(), other.values()
    return all(value is theirs[name] or value == theirs[name] for name, value in mine.items())
