"""Quiet buttons: press, copy to the clipboard, download."""

from collections.abc import Callable
from html import escape
from typing import Any

from panel import ui

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
    "& .MuiButton-startIcon": {"display": "none"},
}
_STRONG = {"color": "var(--on-accent)", "background": "var(--accent)", "borderColor": "var(--accent)"}
STRONG = _STRONG | {
    "&:hover": _STRONG | {"opacity": 0.9, "boxShadow": "none"},
    "&.Mui-disabled": _STRONG | {"opacity": 0.4},
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


def button(label: str, look: dict[str, Any] | None = None, **params: Any) -> ui.Button:
    """A button; ``look`` is ``STRONG`` or ``STOP`` or nothing."""
    return ui.Button(label=label, **_styled(look, params))


def copy(label: str, text: str, prefix: str = "") -> str:
    """HTML of a button that copies a text; ``prefix="origin"`` puts the address of the server before it."""
    code = f"this.dataset.copy = location.origin + this.dataset.path;{_COPY}" if prefix == "origin" else _COPY
    name = "path" if prefix == "origin" else "copy"
    return f'<button type="button" data-{name}="{escape(text)}" onclick="{escape(code)}">{escape(label)}</button>'


def download(label: str, make: Callable[[], Any], look: dict[str, Any] | None = None, **params: Any) -> ui.FileDownload:
    """A button that downloads what ``make`` returns, an open binary file, when it is pressed."""
    return ui.FileDownload(callback=make, label=label, embed=False, auto=True, **_styled(look, params))


def _styled(look: dict[str, Any] | None, params: dict[str, Any]) -> dict[str, Any]:
    style: dict[str, Any] = {"variant": "outlined", "size": "small", "margin": (0, 8, 0, 0), "sx": _SX | (look or {})}
    return style | params
