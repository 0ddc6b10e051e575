"""Quiet buttons: press, copy to the clipboard, download."""

from collections.abc import Callable
from html import escape
from typing import Any

from panel import ui

from . import theme
from .view import View, source

_SX = {
    "font": "500 12px/18px var(--font)",
    "letterSpacing": 0,
    "textTransform": "none",
    "whiteSpace": "nowrap",
    "minWidth": 0,
    "padding": "4px 11px !important",
    "borderRadius": "6px",
    "color": "var(--ink)",
    "background": "var(--card)",
    "borderColor": "var(--line)",
    "boxShadow": "none",
    "&:hover": {"borderColor": "var(--muted)", "background": "var(--card)", "boxShadow": "none"},
    "&.Mui-disabled": {"color": "var(--muted)", "borderColor": "var(--line)"},
}
STOP = {"color": "var(--stop)", "borderColor": "var(--stop)"}

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


def button(label: str, look: dict[str, Any] | None = None, **params: Any) -> ui.Button:
    """A button; ``look`` is ``STOP`` or nothing."""
    style: dict[str, Any] = {"variant": "outlined", "size": "small", "margin": (0, 8, 0, 0), "sx": _SX | (look or {})}
    return ui.Button(label=label, **(style | params))


def copy(label: str, text: str, prefix: str = "") -> str:
    """HTML of a button that copies a text; ``prefix="origin"`` puts the address of the server before it."""
    code = _PLACED if prefix == "origin" else _COPY
    name = "path" if prefix == "origin" else "copy"
    return f'<button type="button" data-{name}="{escape(text)}" onclick="{escape(code)}">{escape(label)}</button>'


class Download(View):
    """A button that downloads a file which is made when it is pressed.

    Args:
        make: gives the name of the file and its content.
        strong: the main thing to do on its page.
    """

    _esm = source("download.js")
    css = theme.asset("download.css")

    def __init__(self, label: str, make: Callable[[], tuple[str, bytes]], strong: bool = False, **params: Any):
        super().__init__(self._pressed, **({"sizing_mode": None, "margin": (0, 8, 0, 0)} | params))
        self._label, self._strong, self._make = label, strong, make
        self.offer(False)

    def offer(self, ready: bool) -> None:
        """Say whether there is something to download."""
        self.ready = ready
        self.draw(label=self._label, strong=self._strong, ready=ready)

    def _pressed(self, message: dict[str, Any]) -> None:
        if self.ready:
            name, content = self._make()
            self._send_msg({"name": name, "content": content})
