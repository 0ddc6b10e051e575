"""A study's mathematics: Markdown with LaTeX between dollars, set by the MathJax that Bokeh brings along."""

from pathlib import Path

import bokeh
import panel as pn
import param
from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.dollarmath import dollarmath_plugin

from lab import watch

from .view import View, source

_CSS = """
:host { color: inherit; font-size: 13.5px; line-height: 1.6; max-width: 54em; }
:host p, :host ul, :host ol { margin: 0 0 10px; max-width: 46em; }
:host h1, :host h2, :host h3, :host h4 { font-size: 13.5px; font-weight: 700; margin: 18px 0 6px; }
:host mjx-container { color: inherit; }
:host mjx-container[display="true"] { display: block; margin: 12px 0; overflow-x: auto; overflow-y: hidden; }
:host a { color: inherit; }
:host code { font-size: 12px; }
"""


def to_html(text: str) -> str:
    r"""HTML of the Markdown, its LaTeX left between ``\(`` and ``\)`` or ``$$`` for MathJax. Raw HTML is escaped."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    dollarmath_plugin(parser, allow_space=True, allow_digits=True, double_inline=True)
    parser.add_render_rule("math_inline", lambda self, tokens, i, options, env: rf"\({_one_line(tokens[i])}\)")
    for rule in ("math_block", "math_inline_double"):
        parser.add_render_rule(rule, lambda self, tokens, i, options, env: f"$${_one_line(tokens[i])}$$")
    return parser.render(text)


def _one_line(token: Token) -> str:
    return " ".join(token.content.split())


class Formulas(View):
    """The text with its formulas. (A type whose name begins with an underscore Bokeh does not tell the browser of.)"""

    code = param.String("", doc="of MathJax; where it is empty the browser asks for it where it got Bokeh")

    _esm = source("mathjax.js")
    css = _CSS


def mathematics(text: str) -> pn.viewable.Viewable:
    """The pane that shows it. Formulas are drawn as SVG outlines: they need no font and follow the theme's ink.

    No page has to load the two megabytes of MathJax before it is shown. A notebook is sent them with the pane.
    """
    scripts = Path(bokeh.__file__).parent / "server/static/js"
    code = (scripts / "bokeh-mathjax.min.js").read_text("utf-8") if watch.in_notebook() else ""
    made = Formulas(code=code, css_classes=["mathematics"])
    made.draw(text=to_html(text))
    return made
