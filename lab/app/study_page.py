"""The page of a study: what it is, what to move, what comes out. Knows the contract of a study, and no study."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import panel as pn

from lab import datasets
from lab.studies import Study, headlines

from . import theme

# the tabs too, though they are built later: a browser is told the types of all views when the page is made
from .cards import Cards
from .claims_tab import ClaimsTab
from .compare_tab import CompareTab, Keep
from .controls import Controls, DataCard, Presets, RunState
from .export_tab import ExportTab
from .mathematics import mathematics
from .recipe_tab import RecipeTab
from .session import Session
from .sweep_tab import SweepTab
from .theme import escape
from .upload import Upload
from .view import View, source

_HEAD = """
h1 { font-size: 24px; font-weight: 700; letter-spacing: -.01em; line-height: 1.25; margin: 0 0 6px; }
.paper { font-size: 12px; margin-bottom: 10px; }
.about { max-width: 62em; font-size: 13.5px; line-height: 1.6; }
"""
_TOLD = """
.strip { display: flex; flex-wrap: wrap; gap: 10px 26px; padding: 4px 0 2px; }
.strip b { display: block; font-size: 15px; font-weight: 600; line-height: 1.4; }
.strip span { font-size: 12px; color: var(--muted); }
.first { padding: 4px 0 2px; }
.good b { color: var(--good); }
.warn b { color: var(--second); }
.stale { opacity: .4; transition: opacity .2s .25s; }
.strip + .bar { margin-top: 14px; }
.bar { border-left: 3px solid var(--second); border-radius: 0 6px 6px 0; background: var(--wash); padding: 8px 12px; }
.bar + .bar { margin-top: 8px; }
.notice { border-left-color: var(--accent); }
.error { border-left-color: var(--stop); }
.error b { color: var(--stop); font-weight: 600; }
"""
_FIRST = "Computing. A first run compiles its programs, which can take half a minute; then the pictures come."
_STACK = ":host { gap: 14px; }"
_COLUMN = ":host { gap: 22px; }"
_INLINE_COLUMN = """
:host { flex: 0 0 290px; width: 290px; box-sizing: border-box; padding: 14px; background: var(--card);
  border: 1px solid var(--line); border-radius: 10px; }
"""


class Tabs(View):
    """The heads of the tabs."""

    _esm = source("tabs.js")
    css = theme.asset("tabs.css")


class Told(View):
    """What came out, in numbers, and what there is to say about it."""

    # not a pane of HTML: at each change of one Bokeh lays out the whole page
    _esm = source("told.js")
    css = _TOLD


class StudyPage(pn.viewable.Viewer):
    """A live page.

    Args:
        session: its state; shared by all parts.
        address: keep the state in the browser's address bar.

    ``column`` holds all that can be changed, ``main`` everything else; a shell sets them side by side.
    """

    def __init__(self, session: Session, *, address: bool = False):
        super().__init__()
        self.session = session
        self.column = theme.column(*self._inputs(address), css=_COLUMN)
        self._told = Told()
        self._advice = ""
        self.cards = Cards(session)
        explore = theme.column(self._told, self.cards.view, css=_STACK)
        self._tabs: dict[str, Any] = {}  # those that work only while they are in view
        self._claims_tab = ClaimsTab(session)
        self._claims_tab.param.watch(lambda event: self._heads(self._open), "title")
        self._builders: dict[str, tuple[str, Callable[[], Any]]] = {
            "explore": ("Explore", lambda: explore),
            "sweep": ("Sweep", self._sweep),
            "compare": ("Compare", self._compare),
            "mathematics": ("Mathematics", self._mathematics),
            "claims": ("Does it hold?", self._claims),
            "export": ("Export", self._export),
            "recipe": ("Recipe", self._recipe),
        }
        study = session.study
        if not study.mathematics:
            del self._builders["mathematics"]
        if not study.claims:
            del self._builders["claims"]
        self._bodies = {name: theme.column(visible=False, css=_STACK) for name in self._builders}
        self._address = address
        self.tabs = Tabs(self._asked)
        self.main = theme.column(self._title(study), self.tabs, *self._bodies.values(), css=_STACK)
        self.open("explore")
        session.param.watch(self._tell, ["result", "fresh", "rough", "error", "notices"])
        self._tell()

    def __panel__(self) -> pn.viewable.Viewable:
        page = theme.column(
            pn.Row(
                theme.column(self.column, css=_INLINE_COLUMN, width=290, sizing_mode=None),
                self.main,
                sizing_mode="stretch_width",
                margin=0,
                stylesheets=[":host { gap: 24px; }"],
            ),
            css=theme.host_css() + ":host { padding: 20px; border-radius: 10px; }",
            css_classes=["dark"] if self.session.dark else [],
        )
        self.session.param.watch(lambda event: setattr(page, "css_classes", ["dark"] if event.new else []), "dark")
        return page

    def open(self, tab: str) -> None:
        """Show a tab; it is built when it is first opened."""
        if tab not in self._bodies:
            return
        self._open = tab
        body = self._bodies[tab]
        if not len(body):
            body.append(self._builders[tab][1]())
        for name, each in self._tabs.items():
            each.active = name == tab
        for name, each in self._bodies.items():
            each.visible = name == tab
        self._heads(tab)

    def _asked(self, message: dict[str, Any]) -> None:
        """A press, or the address with which the page was opened."""
        tab = str(message["tab"])
        self.open(tab)
        if tab == "sweep" and message.get("asked"):
            self._tabs[tab].set_axes({str(name): str(text) for name, text in message.items() if name != "tab"})

    def _heads(self, active: str) -> None:
        titles = {name: title for name, (title, _) in self._builders.items()}
        if "claims" in titles:
            titles["claims"] = self._claims_tab.title  # with how many hold
        place = {} if active == "explore" else {"tab": active}
        place |= self._tabs[active].axes if active == "sweep" and active in self._tabs else {}
        told = {"address": self._address, "path": f"/{self.session.study.slug}", "hash": urlencode(place, safe=":,")}
        self.tabs.draw(active=active, tabs=list(titles.items()), **told)

    # ---- the parts -----------------------------------------------------------------------------------------------

    def _inputs(self, address: bool) -> list[Any]:
        session = self.session
        brought = [Upload(session)] if datasets.is_kind(session.study_class.kind) else []
        return [
            theme.column(DataCard(session), *brought, css=":host { gap: 8px; }"),
            Presets(session),
            Controls(session),
            RunState(session, address=address),
            Keep(session),
        ]

    @staticmethod
    def _title(study: Study) -> pn.pane.HTML:
        paper = escape(study.paper.short)
        if study.paper.url:
            paper = f'<a href="{escape(study.paper.url)}" target="_blank" rel="noopener">{paper}</a>'
        return theme.html(
            f'<h1>{escape(study.title)}</h1><p class="muted paper" title="{escape(study.paper.title)}">{paper}</p>'
            f'<p class="about">{escape(study.about)}</p>',
            _HEAD,
        )

    def _mathematics(self) -> Any:
        return mathematics(self.session.study.mathematics)

    def _claims(self) -> Any:
        self._claims_tab.open()
        return self._claims_tab

    def _sweep(self) -> Any:
        tab = self._tabs["sweep"] = SweepTab(self.session, self._show)
        tab.param.watch(lambda event: self._heads(self._open), "axes")
        return tab

    def _compare(self) -> Any:
        self._tabs["compare"] = CompareTab(self.session, self._show)
        return self._tabs["compare"]

    def _show(self, study: Study) -> None:
        """Open a run of a sweep, or one that is kept."""
        self.session.open(study)
        self.open("explore")

    def _export(self) -> Any:
        self._tabs["export"] = ExportTab(self.session)
        return self._tabs["export"]

    def _recipe(self) -> Any:
        return RecipeTab(self.session)

    # ---- following -------------------------------------------------------------------------------------------------

    def _tell(self, *_: Any) -> None:
        session = self.session
        result = session.result
        stale, stored = "" if session.fresh else " stale", session.from_store
        told = []
        if result is not None:
            cells = "".join(headline(session.study, result, session.rough, stored))
            told.append(f'<div class="strip{stale}">{cells}</div>')
        elif not session.error:
            told.append(f'<p class="muted first" role="status">{_FIRST}</p>')
        if session.error:
            told.append(f'<div class="bar error" role="alert"><b>{_sentence(session.error)}</b></div>')
        told += [f'<div class="bar notice">{_sentence(notice)}</div>' for notice in session.notices]
        if result is not None and not session.rough:
            self._advice = result.attrs["advice"]
        if self._advice:  # kept, dimmed, beside a sketch: nothing jumps
            dimmed = " stale" if session.rough else stale
            told.append(f'<div class="bar advice{dimmed}">{escape(self._advice)}</div>')
        self._told.draw(html="".join(told), stale=bool(stale))


def headline(study: Study, result: Any, rough: bool = False, from_store: bool = False) -> list[str]:
    """The scalars that matter, each with what it is and whether it is as it should be; then convergence and time."""
    cells = []
    for declared, value, mood in headlines(study.results, result):
        text = theme.number(value)
        if declared.half in result:
            text += f" ± {theme.number(result[declared.half].item(), 2)}"
        cells.append(_cell(text, theme_label(declared), mood, declared.doc))
    attrs = result.attrs
    after = f"after {theme.number(int(result.iterations))} iterations" if "iterations" in result else "by its own rule"
    if rough:
        cells.append(_cell("a sketch", after, "warn", "what there is so far; the run goes on and will replace it"))
    elif attrs["converged"]:
        cells.append(_cell("converged", after, "good", "the stopping rule was met"))
    else:
        cells.append(_cell(attrs["reason"].replace("_", " "), after, "warn", attrs["advice"]))
    compiled = (
        f"compiled in {theme.duration(attrs['compile_seconds'])}" if attrs["programs_compiled"] else "compiled before"
    )
    told = (
        "run · ships with the lab"
        if "shipped" in attrs
        else "run · from the store"
        if from_store
        else f"run · {compiled}"
    )
    cells.append(_cell(theme.duration(attrs["run_seconds"]), told, "", "time of the run that is shown"))
    return cells


def theme_label(declared: Any) -> str:
    """The words under a number."""
    return f"{declared.label} ({declared.unit})" if declared.unit and declared.unit != "1" else declared.label


def _cell(value: str, label: str, mood: str, doc: str) -> str:
    return f'<div class="{mood}" title="{escape(doc)}"><b>{escape(value)}</b><span>{escape(label)}</span></div>'


def _sentence(text: str) -> str:
    """First letter up, a full stop at the end: a refusal as it stands on a page."""
    text = text.strip()
    first = text.split(" ", 1)[0]
    if first.islower() and first.isalpha() and len(first) > 1 and " = " not in text[: len(first) + 3]:
        text = text[0].upper() + text[1:]
    return escape(text if text.endswith((".", "!", "?")) else text + ".")
