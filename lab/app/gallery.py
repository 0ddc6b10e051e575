"""The gallery: every study on a card with its question, a real result, its paper, and how many claims hold."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import partial

import panel as pn
import param
from panel import ui

import lab
from lab import memory
from lab.cards import as_uri
from lab.figures.sweep import symbol
from lab.studies import Real, Study, Whole, catalogue

from . import garbage, theme, thumbnails, verdicts
from .calm import calm
from .runner import BACKGROUND, Runner, poster
from .view import View, source

_CSS = theme.asset("gallery.css")
_QUIET, _OPENING = 0.5, 4.0  # seconds since a run, and since a page was opened
_LEAD = 6  # studies above which one stands first, wide
_SEARCH = {
    "& .MuiInputBase-root": {"background": "var(--card)"},
    "& .MuiInputBase-input": {"font": "12px/18px var(--font)", "padding": "6px 12px", "color": "var(--ink)"},
    "& .MuiInputBase-input::placeholder": {"color": "var(--muted)", "opacity": 1},
    "& .MuiOutlinedInput-notchedOutline": {"borderColor": "var(--line)", "borderRadius": "6px"},
}


class Fields(View):
    """Chips that show one field alone."""

    _esm = source("gallery.js")
    css = _CSS


class Gallery(pn.viewable.Viewer):
    """All studies with their questions, in one grid by field, with a search.

    Args:
        studies: those to show; the registry's by default.

    ``search`` is the search field, for a page that has a better place for it; ``in_page=False`` then leaves it out.
    """

    query = param.String("", doc="what was typed into the search")
    field = param.String("", doc="the field that is shown; all when empty")
    dark = param.Boolean(False)

    def __init__(self, studies: Sequence[type[Study]] | None = None, *, in_page: bool = True, dark: bool = False):
        super().__init__(dark=dark)
        self._studies = list(catalogue() if studies is None else studies)
        self.search = ui.TextInput(
            placeholder="Find a question, a paper, a parameter",
            label="",
            size="small",
            sizing_mode="stretch_width",
            max_width=300,
            margin=0,
            sx=_SEARCH,
            css_classes=["gallery-search"],
        )
        self.search.param.watch(lambda event: setattr(self, "query", event.new), "value_input")
        self.cards = {study: _Card(study) for study in self._studies}
        self._nothing = theme.html("", _CSS, css_classes=["nothing"], visible=False)
        fields = Counter(study.field for study in self._studies)
        self._chips = Fields(lambda message: setattr(self, "field", str(message.get("field", ""))))
        self._counts = dict(fields.most_common())
        first = next((study for study in self._studies if _plays(study)), None) if len(self._studies) > _LEAD else None
        ordered = sorted(self._studies, key=lambda study: (-fields[study.field], study.field))  # large fields first
        self._order = [self.cards[study] for study in ordered if study is not first]
        self._lead = self.cards[first] if first is not None else None
        if self._lead is not None:
            self._lead.lead()
        grid = theme.column(*(card.pane for card in self._order), css=_CSS, css_classes=["grid"])
        head = theme.html(
            "<h1>Play with the mathematics until it is understood.</h1>"
            f'<p class="lead">{_count(len(self._studies))}: move a parameter, see what happens, '
            "take the figure along.</p>",
            _CSS,
        )
        top = [head, pn.Row(self.search, margin=(4, 0, 0, 0))] if in_page else [head]
        featured = [self._lead.pane] if self._lead is not None else []
        parts = [*top, self._chips, *featured, grid, self._nothing]
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
        """Draw the thumbnails that are not there yet, one after the other, behind everything else, where nobody waits."""
        card = next((card for card in self.cards.values() if card.waiting), None)
        if card is None:
            return

        def done(images: dict[str, bytes]) -> None:
            card.show(images)
            self.draw_missing()

        def failed(sentence: str) -> None:
            card.fail(sentence)
            self.draw_missing()

        nobody_waits = partial(calm, _QUIET, _OPENING)
        self._runner.submit(partial(thumbnails.make, card.study), when=nobody_waits, done=done, failed=failed)

    @param.depends("query", "field", watch=True)
    def _filter(self) -> None:
        cards, named = [self._lead, *self._order] if self._lead is not None else self._order, ""
        for card in cards:
            shown = card.matches(self.query) and self.field in ("", card.study.field)
            if card is not self._lead:
                card.head(card.study.field if shown and card.study.field != named else "")
                named = card.study.field if shown else named
            card.pane.visible = shown
        found = sum(card.pane.visible for card in cards)
        self._chips.draw(
            chips=[("", "All", len(cards)), *((name, name, count) for name, count in self._counts.items())],
            active=self.field,
        )
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
            card.pane.css_classes = [*card.classes, "dark"] if self.dark else card.classes


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
        self.classes = ["card"]
        self._head = ""
        self._words = _plain(" ".join(_searchable(study)))
        self._picture = '<div class="wait" role="img" aria-label="the picture is being drawn"></div>'
        self.pane = theme.html("", _CSS, css_classes=["card"])
        try:
            found = thumbnails.find(study)
            ships = None if found else thumbnails.shipping(study)
        except Exception:  # of anybody's study; drawing it will say why
            found = ships = None
        if found or ships:
            self.show(found or ships or {})
            self.waiting = not found  # the present code may draw another
        else:
            self._refresh()

    def matches(self, query: str) -> bool:
        """Every word of the query is somewhere in what the card stands for."""
        return all(word in self._words for word in _plain(query).split())

    def show(self, images: dict[str, bytes]) -> None:
        what = theme.escape(f"a result of {self.study.title}")
        self._picture = "".join(
            f'<img class="{tone}" src="{as_uri(png)}" alt="{what}">' for tone, png in images.items()
        )
        self._refresh()
        self.waiting = False

    def fail(self, sentence: str) -> None:
        self._picture = f'<div class="none">{theme.escape(sentence)}</div>'
        self._refresh()
        self.waiting = False

    def lead(self) -> None:
        """Stand first, as wide as the page."""
        self.classes = ["card", "featured"]
        self._refresh()

    def head(self, field: str) -> None:
        """Say which field begins here; "" where none does."""
        if field != self._head:
            self._head = field
            self._refresh()

    def _refresh(self) -> None:
        study, featured = self.study, "featured" in self.classes
        paper = theme.escape(study.paper.short)
        question = study.story.question if study.story is not None else ""
        said = (
            f'<p class="about">{theme.escape(study.story.phenomenon)}</p>'
            if featured and study.story is not None
            else ""
        )
        label = f"{theme.escape(study.field)} · begin here" if featured else theme.escape(self._head)
        above = "" if featured else f"<h2>{label}</h2>"
        inside = f'<div class="label">{label}</div>' if featured else ""
        opens = '<span class="open">Open and play</span>' if featured else ""
        self.pane.object = (
            f'{above}<a href="/{theme.escape(study.slug)}"><div class="picture">{self._picture}</div><div class="foot">{inside}'
            f'<div class="question">{theme.escape(question or study.title)}</div>{said}'
            f'<div class="sub" title="{theme.escape(_subtitle(study))}">{theme.escape(study.title)}</div>{opens}'
            f'<div class="line"><span class="sub" title="{paper}">{theme.escape(_who(study))}</span>{_mark(study)}</div>'
            "</div></a>"
        )


def _mark(study: type[Study]) -> str:
    """How many claims hold, of all that can be checked."""
    if not study.claims:
        return ""
    count, every = verdicts.tally(verdicts.load(study).values()), len(study.claims)
    bar = f'<i class="track"><i style="width:{100 * count.hold / every:.0f}%"></i></i>'
    why = f"{count.hold} of {every} claims were checked and hold"
    if count.surprising:
        why = f"{count.surprising} that should hold {'does' if count.surprising == 1 else 'do'} not"
    elif known := count.measured - count.hold:
        why += f"; {known} known not to hold: the page says why"
    tone = "mark second" if count.surprising else "mark"
    return f'<span class="{tone}" title="{why}">{"✗ " if count.surprising else ""}{bar}{count.hold} / {every}</span>'


def _plays(study: type[Study]) -> bool:
    """Its story moves by itself: what one sees first should."""
    story = study.story
    return story is not None and len(story.hero) == 1 and study.pictures[story.hero[0]].plays == story.moves[0] == "t"


def _count(studies: int) -> str:
    return f"{studies} questions" if studies != 1 else "One question"


def _who(study: type[Study]) -> str:
    if not study.paper.title:
        return ""
    authors = [name.strip() for name in study.paper.authors.replace(" and ", ", ").split(",") if name.strip()]
    who = f"{authors[0]} et al." if len(authors) > 2 else " & ".join(authors)
    return (
        f"{who} · {study.paper.venue} {study.paper.year}".replace("  ", " ")
        if study.paper.venue
        else f"{who} {study.paper.year}"
    )


def _subtitle(study: type[Study]) -> str:
    """What can be moved."""
    main = [
        symbol(parameter)
        for parameter in study.parameters().values()
        if isinstance(parameter, Real | Whole) and parameter.group == "parameters"
    ]
    return ", ".join(main[:6])


def _searchable(study: type[Study]):
    yield from (study.slug, study.title, study.field, study.about, *map(str, study.paper))
    if study.story is not None:
        yield from (study.story.question, study.story.phenomenon)
    for name, parameter in study.parameters().items():
        yield from (name, parameter.label or "", parameter.symbol, parameter.doc or "")
    for item in (*study.presets, *study.pictures):
        yield item.title


def _plain(text: str) -> str:
    """Without case and accents, so that ``poincare`` finds Poincaré."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))
