"""One look for all pages: tokens as CSS variables, the base style of every component, numbers in words.

Components live in shadow roots, but CSS variables reach into them: a page sets the tokens once, for light and dark, and
every stylesheet says only ``var(--ink)``.
"""

import re
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import panel as pn

from lab.words import duration, number

_ASSETS = Path(__file__).parent / "assets"
# rules for windows in which the column still stands beside the page
_WINDOW = re.compile(r"@media \(max-width: (1000|1180)px\) (\{(?:[^{}]*\{[^{}]*\})*[^{}]*\})")
_NO_BUTTON = ".scroll-button { display: none !important; }"  # Panel's, which would take a place in a row or a grid
_BESIDE = 367  # pixels of the column and the margins

TOKENS = {
    "light": {
        "ground": "#f7f8fa",
        "card": "#ffffff",
        "line": "#e3e7ee",
        "wash": "#edf1f8",
        "ink": "#1b2430",
        "muted": "#667080",
        "accent": "#2456a6",
        "on-accent": "#ffffff",
        "second": "#c2581f",
        "good": "#2d7d5a",
        "stop": "#b3372a",
    },
    "dark": {
        "ground": "#12161c",
        "card": "#1a2029",
        "line": "#2a323e",
        "wash": "#252d3a",
        "ink": "#e6eaf0",
        "muted": "#98a3b3",
        "accent": "#7aa7de",
        "on-accent": "#12161c",
        "second": "#e58c5a",
        "good": "#6cc09a",
        "stop": "#f0826f",
    },
}
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, Ubuntu, Cantarell, "DejaVu Sans", sans-serif'
MONO = 'ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace'


@cache
def asset(name: str) -> str:
    """The text of a file in ``lab/app/assets``."""
    return (_ASSETS / name).read_text(encoding="utf-8")


def path(name: str) -> Path:
    """A file in ``lab/app/assets``, for those who open it themselves."""
    return _ASSETS / name


def tokens(scheme: str) -> str:
    """The CSS declarations of ``"light"`` or ``"dark"``."""
    return "".join(f"--{name}:{value};" for name, value in TOKENS[scheme].items()) + f"color-scheme:{scheme};"


def root_css() -> str:
    """The tokens of a whole page: light, and dark where ``<html data-theme="dark">``; where that is not set, the system's."""
    fonts, dark = f"--font:{FONT};--mono:{MONO};", tokens("dark")
    system = f"@media (prefers-color-scheme: dark){{:root:not([data-theme]){{{dark}}}}}"
    return f':root{{{fonts}{tokens("light")}}} :root[data-theme="dark"]{{{dark}}} {system}'


def host_css() -> str:
    """The same on one component, for a page inside a notebook: dark where it has the class ``dark``."""
    fonts = f"--font:{FONT};--mono:{MONO};"
    return f":host{{{fonts}{tokens('light')}background:var(--ground);}} :host(.dark){{{tokens('dark')}}}"


def base_css() -> str:
    """What every component starts from: type, links, buttons, chips, tables, code."""
    return asset("base.css")


def html(text: str, css: str = "", **params: Any) -> pn.pane.HTML:
    """A pane of trusted HTML in the base style; put text of users through ``escape`` first."""
    params.setdefault("sizing_mode", "stretch_width")
    params.setdefault("margin", 0)
    return pn.pane.HTML(text, stylesheets=[base_css(), *([fitted(css)] if css else [])], sanitize_html=False, **params)


class Column(pn.Column):
    """A column as high as what is in it."""

    # Panel would infer a height and a least height from those of the parts: a page in a notebook was cut off there
    def _compute_sizing_mode(self, children: Any, props: Any) -> dict[str, Any]:
        return {}


def fitted(css: str) -> str:
    """A style whose rules for a window that is hardly wide enough hold for a page in a notebook, too, which has less of the
    window: there a part of the page is a container named ``page``."""
    return _WINDOW.sub(lambda m: f"{m[0]} @container page (max-width: {int(m[1]) - _BESIDE}px) {m[2]}", css)


def column(*objects: Any, css: str = "", **params: Any) -> Column:
    """A column as wide as it may be, without margins."""
    params.setdefault("sizing_mode", "stretch_width")
    params.setdefault("margin", 0)
    return Column(*objects, stylesheets=[base_css(), _NO_BUTTON + fitted(css)], **params)


__all__ = [
    "FONT",
    "MONO",
    "TOKENS",
    "asset",
    "base_css",
    "column",
    "duration",
    "escape",
    "fitted",
    "host_css",
    "html",
    "number",
    "root_css",
    "tokens",
]
