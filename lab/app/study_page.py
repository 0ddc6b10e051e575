"""The page of a study: what it is, what to move, what comes out. Knows the contract of a study, and no study."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import panel as pn

from lab import datasets
from lab.studies import Study
from lab.words import readable

from . import theme

# the tabs too, though they are built later: a browser is told the types of all views when the page is made
from .bar import TopBar
from .claims_tab import ClaimsTab
from .compare_tab import CompareTab, Keep
from .controls import Controls, DataCard, Presets, RunState
from .export_tab import ExportTab
from .mathematics import mathematics
from .numbers import ADVICE_CSS, TOLD_CSS, numbers_html
from .recipe_tab import RecipeTab
from .reported_table import reported_table
from .session import Session
from .share_tab import ShareTab
from .stage import Cards
from .steps import Steps
from .sweep_tab import SweepTab
from .theme import escape
from .upload import Upload
from .view import View, source

_HEAD = """
.head { display: var(--away, block); }
h1 { display: inline; font-size: 25px; font-weight: 700; letter-spacing: -.01em; line-height: 32px; margin: 0 14px 0 0; }
.paper { font-size: 12px; white-space: nowrap; }
@media (max-width: 560px) { .paper { white-space: normal; } }
.phenomenon { font-size: 15px; line-height: 22px; margin-top: 4px; }
@media (max-width: 900px) { h1 { font-size: 20px; line-height: 28px; } .phenomenon { font-size: 14px; line-height: 20px; } }
"""
_PART = "h2 { font-size: 16px; font-weight: 700; margin: 14px 0 0; } .about { max-width: 62em; line-height: 1.6; }"
_OF = {  # parts of tabs, by which old addresses name them
    "explore": "understand",
    "sweep": "measure",
    "compare": "measure",
    "mathematics": "claims",
    "export": "take",
    "recipe": "take",
}
_TURNED = "camera."  # before the name of a picture in an address
_FIRST = (
    "The pictures come: what is kept is read, all else is computed. A first run compiles its programs, which can take half a "
    "minute."
)
_STACK = ":host { gap: 12px; }"
_REST = ":host { display: var(--away, flex) !important; gap: 14px; }"
_COLUMN = ":host { gap: 22px; }"
_INLINE_COLUMN = """
:host { flex: 0 0 290px; width: 290px; box-sizing: border-box; padding: 14px; background: var(--card);
  border: 1px solid var(--line); border-radius: 10px; }
@container cell (max-width: 780px) {
  :host { flex: none !important; width: auto !important; align-self: stretch !important; max-height: 320px; overflow-y: auto; }
}
"""
_BESIDE = """
:host { gap: 24px; }
@container cell (max-width: 780px) { :host { flex-direction: column !important; gap: 14px; } }
"""
_IN_CELL = """
:host { container: page / inline-size; min-width: 0; }
@container cell (max-width: 780px) { :host { flex: none !important; align-self: stretch !important; } }
"""


class Tabs(View):
    """The heads of the tabs."""

    _esm = source("tabs.js")
    css = theme.asset("tabs.css")


class Told(View):
    """What came out, in numbers."""

    # not a pane of HTML: at each change of one Bokeh lays out the whole page
    _esm = source("told.js")
    css = TOLD_CSS


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
        # no class of its own: a browser is told of each in every picture of a notebook
        self._advises = Told(stylesheets=[ADVICE_CSS])
        self._advice = ""
        # a server draws for many visitors: of later results only what they see. A notebook keeps the whole page.
        self.cards, self.steps = Cards(session, unseen=not address), Steps(session)
        self.bar = TopBar(session, address=address)
        rest = theme.column(self.steps, self.cards.view, css=_REST)
        explore = theme.column(self.cards.hero, self._told, self._advises, rest, css=_STACK)
        self._parts: dict[str, Any] = {}  # those that work only while they are in view
        self._claims_tab = ClaimsTab(session)
        self._claims_tab.param.watch(lambda event: self._heads(self._open), "title")
        study = session.study
        self._builders: dict[str, tuple[str, Callable[[], Any]]] = {
            "understand": ("Understand", lambda: explore),
            "measure": ("Measure", self._measure),
            "claims": ("Mathematics & claims" if study.mathematics else "Claims", self._claims),
            "take": ("Take along", self._take),
        }
        if not study.claims and not study.mathematics:
            del self._builders["claims"]
        self._bodies = {name: theme.column(visible=False, css=_STACK) for name in self._builders}
        self._address = address
        self.tabs = Tabs(self._asked)
        self.main = theme.column(self.tabs, self._title(study), *self._bodies.values(), css=_STACK)
        self.open("understand")
        session.param.watch(lambda event: self._heads(self._open), "cameras")
        session.param.watch(self._tell, ["result", "fresh", "rough", "error", "notices"])
        self._tell()

    def __panel__(self) -> pn.viewable.Viewable:
        page = theme.column(
            pn.Row(
                theme.column(self.column, css=_INLINE_COLUMN, width=290, sizing_mode=None),
                theme.column(self.bar, self.main, css=_STACK + _IN_CELL),
                sizing_mode="stretch_width",
                margin=0,
                stylesheets=[_BESIDE],
            ),
            css=theme.host_css() + ":host { padding: 20px; border-radius: 10px; container: cell / inline-size; }",
            css_classes=["dark"] if self.session.dark else [],
        )
        self.session.param.watch(lambda event: setattr(page, "css_classes", ["dark"] if event.new else []), "dark")
        return page

    def open(self, tab: str) -> None:
        """Show a tab, by its name or by that of a part of it; it is built when it is first opened."""
        tab = _OF.get(tab, tab)
        if tab not in self._bodies:
            return
        self._open = tab
        body = self._bodies[tab]
        if not len(body):
            body.append(self._builders[tab][1]())
        for name, each in self._parts.items():
            each.active = _OF[name] == tab
        for name, each in self._bodies.items():
            each.visible = name == tab
        self._heads(tab)

    def _asked(self, message: dict[str, Any]) -> None:
        """A press, or the address with which the page was opened."""
        tab = _OF.get(str(message.get("tab", self._open)), str(message.get("tab", self._open)))
        self.open(tab)
        if not message.get("asked"):
            return
        texts = {str(name): str(text) for name, text in message.items() if name not in ("tab", "asked", "step")}
        self._turn({name.removeprefix(_TURNED): texts.pop(name) for name in list(texts) if name.startswith(_TURNED)})
        if tab == "measure":
            self._parts["sweep"].set_axes(texts)

    def _turn(self, cameras: dict[str, str]) -> None:
        """Turn pictures as the address says."""
        session, turned, refused = self.session, {}, []
        for name, text in cameras.items():
            try:
                turned[name] = session.study.pictures[name].camera(text)
            except ValueError as refusal:
                refused.append(f"{refusal}; left as it was")
        if turned:
            session.cameras = {**session.cameras, **turned}
        if refused:
            session.notices = [*session.notices, *refused]

    def _heads(self, active: str) -> None:
        badges = {"claims": self._claims_tab.title} if self.session.study.claims else {}
        tabs = [(name, title, badges.get(name, "")) for name, (title, _) in self._builders.items()]
        place = {} if active == "understand" else {"tab": active}
        place |= self._parts["sweep"].axes if active == "measure" and "sweep" in self._parts else {}
        place |= {
            _TURNED + name: f"{azimuth:g},{elevation:g}" for name, (azimuth, elevation) in self.session.cameras.items()
        }
        told = {"address": self._address, "path": f"/{self.session.study.slug}", "hash": urlencode(place, safe=":,")}
        self.tabs.draw(active=active, tabs=tabs, also=_OF, **told)

    # ---- the parts -----------------------------------------------------------------------------------------------

    def _inputs(self, address: bool) -> list[Any]:
        session = self.session
        brought = [Upload(session)] if datasets.is_kind(session.study_class.kind) else []
        data = [theme.column(DataCard(session), *brought, css=":host { gap: 8px; }")]
        if session.study_class.kind == datasets.NO_DATA:
            data = []
        return [
            Controls(session),
            Presets(session),
            *data,
            RunState(session, address=address),
            Keep(session),
        ]

    @staticmethod
    def _title(study: Study) -> pn.pane.HTML:
        paper = escape(study.paper.short)
        if study.paper.url:
            paper = f'<a href="{escape(study.paper.url)}" target="_blank" rel="noopener">{paper}</a>'
        said = study.story.phenomenon if study.story is not None else study.about.partition(". ")[0].rstrip(".") + "."
        whole = escape(study.paper.title)
        return theme.html(
            f'<div class="head"><h1>{escape(study.title)}</h1><span class="muted paper" title="{whole}">{paper}</span>'
            f'<p class="phenomenon">{escape(said)}</p></div>',
            _HEAD,
        )

    def _claims(self) -> Any:
        study = self.session.study
        parts = [theme.html(f'<p class="about">{escape(study.about)}</p>', _PART)]
        parts += [mathematics(study.mathematics)] if study.mathematics else []
        if study.reported:
            head = theme.html("<h2>The paper's numbers and ours</h2>", _PART)
            parts += [head, reported_table(type(study))]
        parts += [theme.html("<h2>Does it hold?</h2>", _PART), self._claims_tab] if study.claims else []
        return theme.column(*parts, css=_STACK)

    def _measure(self) -> Any:
        sweep = self._parts["sweep"] = SweepTab(self.session, self._show)
        sweep.param.watch(lambda event: self._heads(self._open), "axes")
        compare = self._parts["compare"] = CompareTab(self.session, self._show)
        return theme.column(sweep, theme.html("<h2>Compare what was kept</h2>", _PART), compare, css=_STACK)

    def _show(self, study: Study) -> None:
        """Open a run of a sweep, or one that is kept."""
        self.session.open(study)
        self.open("understand")

    def _take(self) -> Any:
        export = self._parts["export"] = ExportTab(self.session)
        heads = [theme.html(f"<h2>{title}</h2>", _PART) for title in ("Share", "Recipe")]
        parts = [export, heads[0], ShareTab(self.session), heads[1], RecipeTab(self.session)]
        return theme.column(*parts, css=_STACK)

    # ---- following -------------------------------------------------------------------------------------------------

    def _tell(self, *_: Any) -> None:
        session = self.session
        result = session.result
        stale, stored = "" if session.fresh else " stale", session.from_store
        told, bars = [], []
        if result is not None:
            told.append(numbers_html(session.study, result, session.rough, stored, stale))
        elif not session.error:
            told.append(f'<p class="muted first" role="status">{_FIRST}</p>')
        if session.error:
            bars.append(f'<div class="bar error" role="alert"><b>{_sentence(session.error)}</b></div>')
        bars += [f'<div class="bar notice">{_sentence(session.named(notice))}</div>' for notice in session.notices]
        if result is not None and not session.rough:
            self._advice = result.attrs["advice"]
        if self._advice:  # kept, dimmed, beside a sketch: nothing jumps
            dimmed = " stale" if session.rough else stale
            bars.append(f'<div class="bar advice{dimmed}">{escape(self._advice)}</div>')
        self._told.draw(html="".join(told), stale=bool(stale))
        self._advises.draw(html=f'<div class="advice-line">{"".join(bars)}</div>', stale=bool(stale))


def _sentence(text: str) -> str:
    """First letter up, a full stop at the end: a refusal as it stands on a page."""
    text = text.strip()
    first = text.split(" ", 1)[0]
    named = text[len(first) :].startswith((" = ", " was "))  # a parameter
    if first.islower() and first.isalpha() and len(first) > 1 and not named:
        text = text[0].upper() + text[1:]
    return escape(readable(text if text.endswith((".", "!", "?")) else text + "."))
