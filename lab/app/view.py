"""A part of a page that is drawn in the browser from a state, and answers with messages."""

import json
from collections.abc import Callable
from typing import Any

import panel as pn
import param

from . import faults, theme


class View(pn.custom.JSComponent):
    """One-way flow: Python sets the state, the browser draws it and sends messages back.

    A subclass names its script in ``_esm`` and its style in ``css``; ``source`` joins the shared helpers to a script.
    """

    state = param.String("{}", doc="JSON of what is to be drawn")

    css = ""

    def __init__(self, on_message: Callable[[dict[str, Any]], None] | None = None, **params: Any):
        params = {"sizing_mode": "stretch_width", "margin": 0} | params
        params["stylesheets"] = [theme.base_css(), theme.fitted(self.css), *params.get("stylesheets", [])]
        super().__init__(**params)
        self._on_message = on_message

    def draw(self, **state: Any) -> None:
        """Draw this state; costs nothing when it is the present one."""
        self.state = json.dumps(state, separators=(",", ":"))

    def _handle_msg(self, data: Any) -> None:
        pressed = isinstance(data, dict) and data.pop("pressed", False)
        if self._on_message is not None:
            faults.guarded(lambda: self._on_message(_Message.of(data)))()  # pyright: ignore
        if pressed:
            self._send_msg({"heard": True})


class _Message(dict):
    """What a browser sent. A value that is absent is the visitor's fault: a sentence on the page, no traceback in the log."""

    @classmethod
    def of(cls, data: Any) -> "_Message":
        return cls(data) if isinstance(data, dict) else cls()

    def __missing__(self, name: str) -> Any:
        raise ValueError(f"the page sent a message without {name}: load the page again")


def source(*names: str) -> str:
    """The scripts of these names in one, with the helpers that all share; a notebook keeps them all, so without comments."""
    lines = "".join(theme.asset(name) for name in ("dom.js", *names)).splitlines(keepends=True)
    return "".join(line for line in lines if not line.lstrip().startswith("//"))
