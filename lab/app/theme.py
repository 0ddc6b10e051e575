"""One look for all pages: tokens as CSS variables, the base style of every component, numbers in words.

Components live in shadow roots, but CSS variables reach into them: a page sets the tokens once, for light and dark, and
every stylesheet says only ``var(--ink)``.
"""

import math
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import panel as pn

_ASSETS = Path(__file__).parent / "assets"
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

TOKENS = {
    "light": {
        "ground": "#f7f8fa", "card": "#ffffff", "line": "#e3e7ee", "wash": "#edf1f8", "ink": "#1b2430",
        "muted": "#667080", "accent": "#2456a6", "on-accent": "#ffffff", "second": "#c2581f", "good": "#2d7d5a",
        "stop": "#b3372a",
    },
    "dark": {
        "ground": "#12161c", "card": "#1a2029", "line": "#2a323e", "wash": "#252d3a", "ink": "#e6eaf0",
        "muted": "#98a3b3", "accent": "#7aa7de", "on-accent": "#12161c", "second": "#e58c5a", "good": "#6cc09a",
        "stop": "#f0826f",
    },
}  # fmt: skip
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
    return pn.pane.HTML(text, stylesheets=[base_css(), *([css] if css else [])], sanitize_html=False, **params)


def column(*objects: Any, css: str = "", **params: Any) -> pn.Column:
    """A column as wide as it may be, without margins."""
    params.setdefault("sizing_mode", "stretch_width")
    params.setdefault("margin", 0)
    return pn.Column(*objects, stylesheets=[base_css(), *([css] if css else [])], **params)


def number(value: Any, digits: int = 4) -> str:
    """A number as one reads it: ``1024``, ``0.02525``, ``3.1·10⁻⁵``, ``yes``."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace(",", " ")
    if not isinstance(value, float):
        return str(value)
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if -4 <= exponent < 6:
        text = f"{value:.{max(digits - 1 - exponent, 0)}f}"
        return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", "−")
    mantissa, power = f"{value:.1e}".split("e")
    mantissa = mantissa.removesuffix(".0").replace("-", "−")
    return f"{mantissa}·10{str(int(power)).translate(_SUPERSCRIPTS)}"


def duration(seconds: float) -> str:
    """``8 ms``, ``1.2 s``, ``3 min``."""
    if seconds < 0.9995:
        return f"{max(round(seconds * 1000), 1)} ms"
    if seconds < 99.5:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min"


__all__ = [
    "FONT", "MONO", "TOKENS", "asset", "base_css", "column", "duration", "escape", "host_css", "html", "number",
    "root_css", "tokens",
]  # fmt: skip
