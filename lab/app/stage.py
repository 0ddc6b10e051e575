"""How the pictures of a study stand: the hero with what moves it, the groups under their titles, and chips for the rest."""

from collections.abc import Callable, Sequence
from typing import Any

from lab.figures.sweep import symbol
from lab.studies import Group, Picture
from lab.studies.contract import as_text, told

from . import theme
from .cards import Card
from .scrubber import Scrubber
from .session import Session
from .view import View, source

_STAGE = """
:host { display: flex !important; flex-flow: row nowrap !important; gap: 18px; align-items: stretch; }
@media (max-width: 900px) { :host { gap: 10px; } }
@media (max-width: 560px) { :host { flex-flow: column nowrap !important; } }
"""
_GRID = """
:host { display: grid !important; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 16px; align-items: stretch; }
@media (max-width: 1000px) { :host { grid-template-columns: minmax(0, 1fr); } }
"""
_STAGE_WIDE = 1036
_ABOVE = 30  # of them, above and below what is drawn
_HERO_HIGH = {True: 372, False: 360}  # pixels of the pictures of a hero: of one alone, of several


def rooms(heroes: Sequence[Picture], stage: float = _STAGE_WIDE) -> dict[str, tuple[float, float]]:
    """The pixels that the pictures of a hero have beside each other: width and height, by name.

    Args:
        stage: pixels of all of them; those of a wide page when omitted.
    """
    whole = sum(picture.share for picture in heroes)
    high = _HERO_HIGH[len(heroes) == 1] - _ABOVE
    return {picture.name: (stage * picture.share / whole, high) for picture in heroes}


class Title(View):
    """What a group of pictures shows together, as it is now. A press folds its cards away, which then compute nothing."""

    _esm = source("group.js")
    css = theme.asset("group.css")

    def __init__(self, cards: list[Card]):
        super().__init__(lambda message: self.fold(message.get("open") is not True))
        self._cards, self._words, self._open = cards, ("", ""), True

    def tell(self, title: str, finding: str) -> None:
        """Show these words."""
        self._words = title, finding
        self.draw(title=title, finding=finding, open=self._open)

    def fold(self, folded: bool) -> None:
        """Put the cards away, or show them again."""
        self._open = not folded
        for card in self._cards:
            card.fold(folded)
        self.tell(*self._words)


class Chips(View):
    """Pictures that these data or values do not have: why, and where one press helps, what to set."""

    _esm = source("chips.js")
    css = theme.asset("chips.css")


class Cards:
    """All pictures of a session's study: the hero with its scrubber, and the rest in a grid; those that do not apply stand as
    chips at its end.

    ``hero`` is the stage that stands first, ``view`` the groups under their titles. Without a story the first picture that
    shows one run is the hero.

    Args:
        unseen: draw each result out of sight too.
    """

    def __init__(self, session: Session, unseen: bool = True):
        self._session = session
        story, pictures = session.study.story, session.study.pictures
        self._groups: list[tuple[Group, Title, list[Card]]] = []
        first = next((picture.name for picture in pictures if picture.along is None), "")
        heroes = story.hero if story is not None else tuple(filter(None, [first]))
        high = _HERO_HIGH[len(heroes) == 1]
        self.heroes = [
            Card(session, pictures[name], self._fold, high=high, room=wide / tall, across=wide)
            for name, (wide, tall) in rooms([pictures[name] for name in heroes]).items()
        ]
        self.cards = list(self.heroes)
        shown: list[Any] = []
        if story is None:
            rest = [
                Card(session, picture, self._fold, unseen=unseen) for picture in pictures if picture.name not in heroes
            ]
            self.cards += rest
            shown = [card.view for card in rest]
        else:
            for group in story.groups:
                cards = [Card(session, pictures[name], self._fold, unseen=unseen) for name in group.pictures]
                title = Title(cards)
                self._groups.append((group, title, cards))
                self.cards += cards
                shown += [title, *(card.view for card in cards)]
        self._folded = Chips(lambda message: session.set(**self._switch(str(message.get("name")))))
        self.view = theme.column(*shown, self._folded, css=_GRID)
        self.hero = theme.column(
            theme.column(*(card.view for card in self.heroes), css=_STAGE),
            self._under(session),
            css=theme.asset("hero.css"),
            css_classes=["hero"],
        )
        self._judge()
        self._fold()
        session.param.watch(self._judge, ["study", "data"])
        session.param.watch(self._follow, ["result", "fresh"])
        session.param.watch(self._retheme, "dark")
        self._follow()

    def _under(self, session: Session) -> Any:
        """What moves the hero: the player of what the story moves first, where a picture plays along it, or the scrubber."""
        story = session.study.story
        playing = [card for card in self.heroes if card.player is not None]
        leads = [card for card in playing if story is not None and card.picture.plays == story.moves[0]]
        scrubber = None if leads else Scrubber(session)
        if scrubber is not None and not scrubber.name_of and playing:
            leads, scrubber = playing[:1], None
        if leads:
            leads[0].lead()
        players = [card.player for card in playing if card.player is not None]
        return theme.column(*([scrubber] if scrubber is not None else []), *players, css=theme.asset("under.css"))

    def _switch(self, name: str) -> dict[str, Any]:
        """What makes a picture that is folded away show something."""
        study, data = self._session.study, self._session.data
        values, picture = study.values(), study.pictures[name]
        try:
            asked = picture.when if data is None else picture.asks(study, data)
        except (ValueError, TypeError):
            asked = picture.when
        return {key: allowed[0] for key, allowed in asked.items() if values[key] not in allowed}

    def _judge(self, *_: Any) -> None:
        for card in self.cards:
            card.judge()

    def _follow(self, *_: Any) -> None:
        session = self._session
        if session.fresh:
            result = session.result
            self._one_by_one(Card.refresh, lambda: session.result is result, 1 if session.rough else None)
            self._tell()

    def _retheme(self, *_: Any) -> None:
        dark = self._session.dark
        self._one_by_one(Card.retheme, lambda: self._session.dark == dark)  # also where a result comes meanwhile

    def _one_by_one(self, draw: Callable[[Card], None], wanted: Callable[[], bool], most: int | None = None) -> None:
        """Draw the cards, those in sight first, the first now, each other in a turn of its own: the first picture is sent
        before the second is drawn, and what the user does meanwhile comes in between. It ends where it is no longer wanted,
        as when a newer result begins anew.

        Args:
            most: how many are drawn; of a sketch the first picture is enough.
        """
        waiting = sorted(self.cards, key=lambda card: (card.picture.along is not None, not card.head.seen))[:most]

        def turn() -> None:
            if waiting and wanted():
                # what the page's own player plays is ready before pictures that nobody sees
                ahead = next((card for card in self.heroes if card.filling), None)
                if ahead is not None and waiting[0] not in self.heroes and not waiting[0].head.seen:
                    ahead.when_filled(turn)
                    return
                draw(waiting.pop(0))
                self._session.post_drawing(turn)

        turn()

    def _tell(self) -> None:
        """The titles of the groups, with what they show now; none of a group whose pictures don't apply."""
        result = self._session.result
        for group, title, cards in self._groups:
            title.visible = any(not card.why for card in cards)
            found = told(group.finding, result) if result is not None else ""
            written = group.finding if isinstance(group.finding, str) else ""
            title.tell(group.title, "" if "–" in found and "–" not in written else found)  # numbers are missing

    def _fold(self) -> None:
        self._tell()
        for *_, cards in self._groups:  # none stands beside an empty place
            there = [card for card in cards if not card.why]
            for card in cards:
                card.widen(len(there) % 2 == 1 and card is there[0])
        if len(self.heroes) == 3:  # where the page is narrow there is room for two
            last, away = self.heroes[2].view, any(card.why for card in self.heroes)
            classes = ["card", "staged", *([] if away else ["third"])]
            if last.css_classes != classes:
                last.css_classes = classes
        study = self._session.study
        chips = []
        for card in self.cards:
            if card.why:
                sets = self._switch(card.picture.name)
                words = [f"{symbol(study.parameters()[name])} = {as_text(value)}" for name, value in sets.items()]
                chips.append(
                    {
                        "name": card.picture.name,
                        "title": card.picture.title,
                        "why": self._session.named(card.why),
                        "set": ", ".join(words),
                    }
                )
        self._folded.visible = bool(chips)
        self._folded.draw(chips=chips)
