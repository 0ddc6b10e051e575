"""A line of choices, and a button for a file that takes a while to make."""

from collections.abc import Callable, Sequence
from typing import Any

from . import buttons, theme
from .runner import SWEEP, Runner
from .view import View, source


class Choose(View):
    """Selects, segments and texts side by side; ``on_choice`` is called with the name and the value, a text."""

    _esm = source("fields.js", "choose.js")
    css = theme.asset("controls.css") + theme.asset("choose.css")

    def __init__(self, on_choice: Callable[[str, str], None], **params: Any):
        super().__init__(lambda message: on_choice(str(message["name"]), str(message["value"])), **params)
        self.offer([])

    def offer(self, fields: Sequence[dict[str, Any]]) -> None:
        """Draw these fields; see ``field``."""
        self.draw(fields=list(fields))


def field(
    name: str, title: str, value: str, options: Sequence[tuple[str, str]] = (), *, kind: str = "select", hint: str = ""
) -> dict[str, Any]:
    """One choice; ``kind`` is ``select``, ``segments`` or ``text``, ``options`` are pairs of a value and its title."""
    return {"name": name, "title": title, "kind": kind, "options": list(options), "value": value, "hint": hint}


class Later(buttons.Download):
    """A download whose file is made in a thread when the button is pressed.

    Args:
        prepare: called in the page's thread; gives the work, which returns the name of the file and its content, or
            raises ValueError with a sentence.
        wrong: called with the sentence, or with "" when a new attempt begins.
    """

    def __init__(
        self,
        label: str,
        prepare: Callable[[], Callable[[Any], tuple[str, bytes]]],
        wrong: Callable[[str], None],
        post: Any,
        strong: bool = False,
    ):
        super().__init__(label, lambda: ("", b""), strong)
        self._prepare, self._wrong, self._words = prepare, wrong, label
        self.runner = Runner(post, SWEEP)

    def _pressed(self, message: dict[str, Any]) -> None:
        if not self.ready:
            return
        self._wrong("")
        self._say("Making the file …", ready=False)
        try:
            self.runner.submit(self._prepare(), done=self._made, failed=self._not_made)
        except ValueError as refusal:
            self._not_made(str(refusal))

    def _made(self, file: tuple[str, bytes]) -> None:
        self._say(self._words, ready=True)
        self.hand(*file)

    def _not_made(self, sentence: str) -> None:
        self._say(self._words, ready=True)
        self._wrong(sentence)

    def _say(self, label: str, ready: bool) -> None:
        self._label = label
        self.offer(ready)
