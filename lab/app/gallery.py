"""The gallery: every study on a card with a real result, its parameters, its paper, and how many claims hold."""

import unicodedata
from collections.abc import Sequence
from functools import partial
from itertools import groupby

import panel as pn
import param
from panel import ui

import lab
from lab import memory
from lab.cards import as_uri
from lab.studies import Real, Study, Whole, catalogue

from . import garbage, theme, thumbnails, verdicts
from .runner import BACKGROUND, Runner, poster

_CSS = theme.asset("gallery.css")
_SEARCH = {
    "& .MuiInputBase-root": {"background": "var(--card)"},
    "& .MuiInputBase-input": {"font": "12px/18px var(--font)", "padding": "6px 12px", "color": "var(--ink)"},
    "& .MuiInputBase-input::placeholder": {"color": "var(--muted)", "opacity": 1},
    "& .MuiOutlinedInput-notchedOutline": {"borderColor": "var(--line)", "borderRadius": "6px"},
}


class Gallery(pn.viewable.Viewer):
    """All studies, grouped by field, with a search.

    Args:
        studies: those to show; the registry's by default.

    ``search`` is the search field, for a page that has a better place for it; ``in_page=False`` then leaves it out.
    """

    query = param.String("", doc="what was typed into the search")
    dark = param.Boolean(False)

    def __init__(self, studies: Sequence[type[Study]] | None = None, *, in_page: bool = True, dark: bool = False):
        super().__init__(dark=dark)
        self._studies = list(catalogue() if studies is None else studies)
        self.search = ui.TextInput(
            placeholder="Find a method, a paper, a parameter",
            label="",
            size="small",
            width=300,
            margin=0,
            sx=_SEARCH,
            css_classes=["gallery-search"],
        )
        self.search.param.watch(lambda event: setattr(self, "query", event.new), "value_input")
        self.cards = {study: _Card(study) for study in self._studies}
        self._nothing = theme.html("", _CSS, css_classes=["nothing"], visible=False)
        self._groups: list[tuple[pn.Column, list[_Card]]] = []
        for field, members in groupby(self._studies, key=lambda study: study.field):
            group = [self.cards[study] for study in members]
            grid = theme.column(*(card.pane for card in group), css=_CSS, css_classes=["grid"])
            heading = theme.html(f"<h2>{theme.escape(field)}</h2>", _CSS)
            self._groups.append((theme.column(heading, grid), group))
        head = theme.html(
            "<h1>Play with the mathematics until it is understood.</h1>"
            '<p class="lead">Each study is one method from one paper: move its parameters, see what happens, sweep '
            "them, and leave with the figure and its recipe.</p>",
            _CSS,
        )
        top = [head, pn.Row(self.search, margin=(4, 0, 0, 0))] if in_page else [head]
        parts = [*top, *(group for group, _ in self._groups), self._nothing]
        parts += [] if in_page else [theme.html(f'<p class="held">{theme.escape(_held())}</p>', _CSS)]
        self._view = theme.column(*parts, css=_CSS, css_classes=["gallery"])
        post, live = poster()
        self._runner = Runner(post, BACKGROUND)
        if live:
            pn.state.onload(self.draw_missing)
            pn.state.on_session_destroyed(lambda context: self._runner.abandon())
        self._filter()
        self._tint()

    def __panel__(self):
        return self._view

    def draw_missing(self) -> None:
        """Draw the thumbnails that are not there yet, one after the other, behind everything else that runs."""
        card = next((card for card in self.cards.values() if card.waiting), None)
        if card is None:
            return

        def done(images: dict[str, bytes]) -> None:
            card.show(images)
            self.draw_missing()

        def failed(sentence: str) -> None:
            card.fail(sentence)
            self.draw_missing()

        self._runner.submit(partial(thumbnails.make, card.study), done=done, failed=failed)

    @param.depends("query", watch=True)
    def _filter(self) -> None:
        found = 0
        for group, cards in self._groups:
            for card in cards:
                card.pane.visible = card.matches(self.query)
            shown = sum(card.pane.visible for card in cards)
            group.visible = shown > 0
            found += shown
        self._nothing.visible = found == 0
        if not self._studies:
            self._nothing.object = "<p>There are no studies here yet.</p>"
        elif not found:
            self._nothing.object = (
                f"<p>No study matches “{theme.escape(self.query.strip())}”. "
                "Try the name of a method, of an author, or of a parameter.</p>"
            )

    @param.depends("dark", watch=True)
    def _tint(self) -> None:
        for card in self.cards.values():
            card.pane.css_classes = ["card", "dark"] if self.dark else ["card"]


def _held() -> str:
    """What this server holds, for who looks after it."""
    held, most = memory.resident(), garbage.bound()
    told = (
        f"holds {held / 2**20:,.0f} MiB, and gives up above {most / 2**20:,.0f} what it can make again" if held else ""
    )
    return f"TransportLab {lab.__version__}" + (f" · {told}" if told else "")


class _Card:
    """One study on the gallery."""

    def __init__(self, study: type[Study]):
        self.study = study
        self.waiting = True
        self._words = _plain(" ".join(_searchable(study)))
        self._picture = '<div class="wait" role="img" aria-label="the picture is being drawn"></div>'
        self.pane = theme.html("", _CSS, css_classes=["card"])
        try:
            found = thumbnails.find(study)
            ships = None if found else thumbnails.shipping(study)
        except Exception:  # of anybody's study; drawing it will say why
            found = ships = None
        if found:
            self.show(found)
        elif ships:
            self.show(ships[0])
            self.waiting = not ships[1]  # the present code may draw another
        else:
            self._refresh()

    def matches(self, query: str) -> bool:
        """Every word of the query is somewhere in what the card stands for."""
        return all(word in self._words for word in _plain(query).split())

    def show(self, images: dict[str, bytes]) -> None:
        self.waiting = False
        what = theme.escape(f"a result of {self.study.title}")
        self._picture = "".join(
            f'<img class="{tone}" src="{as_uri(png)}" alt="{what}">' for tone, png in images.items()
        )
        self._refresh()

    def fail(self, sentence: str) -> None:
        self.waiting = False
        self._picture = f'<div class="none">{theme.escape(sentence)}</div>'
        self._refresh()

    def _refresh(self) -> None:
        study = self.study
        self.pane.object = (
            f'<a href="/{theme.escape(study.slug)}"><div class="picture">{self._picture}</div><div class="foot">'
            f'<div class="line"><span class="title">{theme.escape(study.title)}</span>{_mark(study)}</div>'
            f'<div class="sub" title="{theme.escape(study.paper.short)}">{theme.escape(_subtitle(study))}</div>'
            "</div></a>"
        )


def _mark(study: type[Study]) -> str:
    found = verdicts.load(study).values()
    count = verdicts.tally(found)
    if not count.measured:
        return ""
    if count.surprising:
        why = f"{count.surprising} that should hold {'does' if count.surprising == 1 else 'do'} not"
        return f'<span class="mark second" title="{why}">✗ {count}</span>'
    known = count.measured - count.hold
    why = f"{known} known not to hold; the page says why" if known else "all claims that were checked hold"
    return f'<span class="mark" title="{why}">✓ {count}</span>'


def _subtitle(study: type[Study]) -> str:
    main = [
        parameter.symbol or name
        for name, parameter in study.parameters().items()
        if isinstance(parameter, Real | Whole) and parameter.group == "parameters"
    ]
    authors = [name.strip() for name in study.paper.authors.replace(" and ", ", ").split(",") if name.strip()]
    who = f"{authors[0]} et al." if len(authors) > 2 else " & ".join(authors)
    return " · ".join(filter(None, [", ".join(main[:4]), f"{who} {study.paper.year}"]))


def _searchable(study: type[Study]):
    yield from (study.slug, study.title, study.field, study.about, *map(str, study.paper))
    for name, parameter in study.parameters().items():
        yield from (name, parameter.label or "", parameter.symbol, parameter.doc or "")
    for item in (*study.presets, *study.pictures):
        yield item.title


def _plain(text: str) -> str:
    """Without case and accents, so that ``poincare`` finds Poincaré."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))
