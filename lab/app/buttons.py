"""Quiet buttons: press, copy to the clipboard, download."""

from collections.abc import Callable
from html import escape
from typing import Any

import param

from . import theme
from .view import View, source

# Outside https and localhost there is no clipboard interface; a selected text area serves there.
_COPY = """
const button = this, label = button.textContent
const told = (text) => { button.textContent = text; setTimeout(() => { button.textContent = label }, 1600) }
const by_hand = () => {
  const area = document.createElement('textarea')
  area.value = button.dataset.copy
  area.style.cssText = 'position:fixed;opacity:0'
  document.body.append(area)
  area.select()
  told(document.execCommand('copy') ? 'Copied' : 'Could not copy')
  area.remove()
}
if (navigator.clipboard && window.isSecureContext)
  navigator.clipboard.writeText(button.dataset.copy).then(() => told('Copied'), by_hand)
else by_hand()
"""


_PLACED = f"this.dataset.copy = location.origin + this.dataset.path;{_COPY}"
HANDLERS = (_COPY, _PLACED)  # the code in elements that a page's content-security policy lets run


class Press(View):
    """A button; ``stop`` for one that ends something."""

    label = param.String("")
    clicks = param.Integer(0)

    _esm = source("button.js")
    css = theme.asset("download.css")

    def __init__(self, label: str, stop: bool = False):
        super().__init__(label=label, sizing_mode=None, margin=(0, 8, 0, 0), css_classes=["stop"] if stop else [])

    def on_click(self, call: Callable[[Any], None]) -> None:
        """Have each press call this with the event."""
        self.param.watch(call, "clicks")


def copy(label: str, text: str, prefix: str = "") -> str:
    """HTML of a button that copies a text; ``prefix="origin"`` puts the address of the server before it."""
    code = _PLACED if prefix == "origin" else _COPY
    name = "path" if prefix == "origin" else "copy"
    return f'<button type="button" data-{name}="{escape(text)}" onclick="{escape(code)}">{escape(label)}</button>'


class Download(View):
    """A button that downloads a file which is made when it is pressed.

    Args:
        make: gives the name of the file and its content; None where ``hand`` gives them later.
        strong: the main thing to do on its page.
    """

    _esm = source("download.js")
    css = theme.asset("download.css")

    def __init__(self, label: str, make: Callable[[], tuple[str, bytes] | None], strong: bool = False, **params: Any):
        super().__init__(self._pressed, **({"sizing_mode": None, "margin": (0, 8, 0, 0)} | params))
        self._label, self._strong, self._make = label, strong, make
        self.offer(False)

    def offer(self, ready: bool) -> None:
        """Say whether there is something to download."""
        self.ready = ready
        self.draw(label=self._label, strong=self._strong, ready=ready)

    def _pressed(self, message: dict[str, Any]) -> None:
        if self.ready and (file := self._make()) is not None:
            self.hand(*file)

    def hand(self, name: str, content: bytes) -> None:
        """Have the browser save a file."""
        self._send_msg({"name": name, "content": content})
