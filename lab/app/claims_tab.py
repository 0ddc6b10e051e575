"""Does it hold? What the paper or mathematics says, against what is measured here."""

from collections.abc import Sequence

import panel as pn
import param

from lab.studies import Claim, Verdict

from . import buttons, theme, verdicts
from .runner import Runner
from .session import Session

_BACKGROUND = 2  # behind every run and sweep
_CSS = theme.asset("claims.css")
_RELATIONS = {"==": "=", "<=": "≤", ">=": "≥", "<": "&lt;", ">": "&gt;"}


class ClaimsTab(pn.viewable.Viewer):
    """The table of claims with their verdicts.

    ``title`` says how many hold, of all that there are. Nothing is measured before it is asked for.
    """

    title = param.String("", doc="how many hold, of all")
    current = param.Parameter(doc="the claim that is being measured, None when none is")
    left = param.Integer(0, doc="claims still to be measured, this one included")

    def __init__(self, session: Session):
        super().__init__()
        self._study = session.study_class
        self._found = verdicts.load(self._study)
        self._bench = verdicts.Bench(self._study)
        self._runner = Runner(session.post, _BACKGROUND)
        self._queue: list[Claim] = []
        self._asked = 0
        self._says = theme.html("", _CSS, css_classes=["says"])
        self._bar = theme.html("", _CSS, css_classes=["bar"])
        self._stop = buttons.Press("Stop", stop=True)
        self._stop.on_click(lambda event: self.stop())
        self._long = buttons.Press("")
        self._long.on_click(lambda event: self.check([c for c in self._unmeasured() if not c.quick]))
        self._quick = buttons.Press("")
        self._quick.on_click(lambda event: self.check_quick())
        self._again = buttons.Press("Check again")
        self._again.on_click(lambda event: self.check(self._measured(), again=True))
        self._table = theme.html("", _CSS, css_classes=["claims"])
        row = pn.Row(self._stop, self._quick, self._long, self._again, margin=(0, 0, 14, 0))
        self._view = theme.column(self._says, self._bar, row, self._table, css=_CSS)
        if pn.state.curdoc is not None and pn.state.curdoc.session_context is not None:
            pn.state.on_session_destroyed(lambda context: self._runner.abandon())
        self._refresh()

    def __panel__(self):
        return self._view

    def check_quick(self) -> None:
        """Measure the quick claims of which nothing is known yet."""
        self.check([claim for claim in self._unmeasured() if claim.quick])

    def check(self, claims: Sequence[Claim], again: bool = False) -> None:
        """Measure these claims one after the other, behind everything else that runs.

        Args:
            again: also those that have a verdict.
        """
        if again:
            self._bench = verdicts.Bench(self._study)
            self._found = {name: v for name, v in self._found.items() if v.claim not in claims}
        queued = [claim for claim in claims if claim not in self._queue]
        self._queue += queued
        self._asked += len(queued)
        if self.current is None:
            self._next()

    def stop(self) -> None:
        """Leave the rest unmeasured."""
        self._runner.abandon()
        self._queue, self._asked = [], 0
        self.param.update(current=None, left=0)
        self._refresh()

    def _next(self) -> None:
        if not self._queue:
            self._asked = 0
            self.param.update(current=None, left=0)
            self._refresh()
            return
        claim = self._queue[0]
        self.param.update(current=claim, left=len(self._queue))
        self._refresh()

        def done(verdict: Verdict) -> None:
            self._queue.pop(0)
            self._found[claim.name] = verdict
            self._next()

        def failed(sentence: str) -> None:
            self._queue.pop(0)
            self._next()

        def work(report):
            verdict = self._bench.measure(claim, report)
            verdicts.save(self._study, [verdict])
            return verdict

        self._runner.submit(work, done=done, failed=failed)

    def _unmeasured(self) -> list[Claim]:
        return [claim for claim in self._study.claims if claim.name not in self._found]

    def _measured(self) -> list[Claim]:
        return [claim for claim in self._study.claims if claim.name in self._found]

    def _refresh(self) -> None:
        count = verdicts.tally(self._found.values())
        self.title = f"{count.hold} / {len(self._study.claims)}"
        self._says.object = f"<p>{self._sentence(count)}</p>"
        busy = self.current is not None
        done = self._asked - len(self._queue)
        self._bar.visible = self._stop.visible = busy
        self._bar.object = f'<div class="track"><div style="width:{100 * done / max(self._asked, 1):.0f}%"></div></div>'
        quick = [claim for claim in self._unmeasured() if claim.quick]
        self._quick.visible = bool(quick) and not busy
        self._quick.label = f"Check the {len(quick)} quick ones" if len(quick) > 1 else "Check the quick one"
        long = [claim for claim in self._unmeasured() if not claim.quick]
        self._long.visible = bool(long) and not busy
        self._long.label = self._offer(long)
        self._again.visible = bool(self._found) and not busy
        rows = (row(claim, self._found.get(claim.name), claim is self.current) for claim in self._study.claims)
        self._table.object = table("".join(rows))

    def _sentence(self, count: verdicts.Tally) -> str:
        if not self._study.claims:
            return "This study makes no claims yet."
        if self.current is not None:
            return f"Checking: {theme.escape(self.current.statement)}"
        if not count.measured:
            return "Nothing has been checked with this version yet."
        known = count.measured - count.hold - count.surprising
        parts = [
            f"All {count.measured} claims that were checked hold."
            if count.hold == count.measured
            else f"{count.hold} of the {count.measured} claims that were checked hold."
        ]
        if count.surprising:
            verb = "does" if count.surprising == 1 else "do"
            parts.append(f'<span class="fails">{count.surprising} that should hold {verb} not.</span>')
        if known:
            parts.append(f"{known} {'is' if known == 1 else 'are'} known not to hold here; the note says why.")
        waiting = len(self._unmeasured())
        if waiting:
            parts.append(f"{waiting} {'has' if waiting == 1 else 'have'} not been checked.")
        return " ".join(parts)

    def _offer(self, long: list[Claim]) -> str:
        usual = verdicts.usual_seconds(self._study) if long else {}
        which = "one long one" if len(long) == 1 else f"{len(long)} long ones"
        known = [usual[claim.name] for claim in long if claim.name in usual]
        about = f" (about {theme.duration(sum(known))})" if len(known) == len(long) and known else ""
        return f"Run the {which} too{about}"


def table(rows: str) -> str:
    """The table of such rows; nothing without one."""
    heads = "".join(f"<th>{text}</th>" for text in ("", "claim", "expected", "measured", "tolerance", "time"))
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>" if rows else ""


def row(claim: Claim, verdict: Verdict | None, checking: bool = False) -> str:
    """A claim, and what came of it; ``checking`` while it is measured."""
    text = f'{theme.escape(claim.statement)}<div class="source">{theme.escape(claim.source)}</div>'
    if claim.note and not (verdict is not None and verdict.holds and claim.should_hold):
        text += f'<div class="note">{theme.escape(claim.note)}</div>'
    if verdict is not None and verdict.error:
        text += f'<div class="note">It could not be measured: {theme.escape(verdict.error)}</div>'
    kind, mark = _mark(verdict, checking=checking, quick=claim.quick)
    if verdict is None:
        numbers = ["", "", "", ""]
    else:
        relation = _RELATIONS[claim.relation]
        numbers = [f"{relation} {_figure(verdict.expected)}", _measured(verdict)]
        numbers += [_tolerance(verdict), theme.duration(verdict.seconds)]
    cells = "".join(f'<td class="number">{number}</td>' for number in numbers)
    return f'<tr class="{kind}"><td class="mark">{mark}</td><td>{text}</td>{cells}</tr>'


def _mark(verdict: Verdict | None, checking: bool, quick: bool) -> tuple[str, str]:
    """The class of the row and what stands before it: a word, so that nothing is said by colour alone."""
    if verdict is None:
        return ("checking", "… checking") if checking else ("unknown", "not checked" if quick else "long, not checked")
    if verdict.holds:
        return "holds", "✓ holds, a tie" if verdict.tie else "✓ holds"
    if verdict.error:
        return "fails", "✗ no answer"
    if verdict.tie:
        return "fails" if verdict.claim.should_hold else "known", "✗ fails, a tie"
    return ("fails", "✗ fails") if verdict.claim.should_hold else ("known", "✗ fails, as known")


def _figure(value: float) -> str:
    """Enough digits that a deviation within the tolerance can be seen."""
    if value != value:
        return "–"
    small = value and not 1e-4 <= abs(value) < 1e7
    return theme.number(value, 2) if small else f"{value:.8g}".replace("-", "−")


def _measured(verdict: Verdict) -> str:
    """The number, with its interval where it has one."""
    if verdict.interval is None:
        return _figure(verdict.measured)
    ends = f"{' to '.join(theme.number(end, 3) for end in verdict.interval)}"
    return f'{theme.number(verdict.measured, 4)}<div class="source">{verdict.basis}: {ends}</div>'


def _tolerance(verdict: Verdict) -> str:
    if verdict.tolerance != verdict.tolerance:
        return "–"
    if verdict.tolerance == 0:
        return "exact"
    sign = "± " if verdict.claim.relation == "==" else ""
    return sign + theme.number(verdict.tolerance, 2)
