"""Examples that stand in the text of a docstring are code: Markdown would take ``>>>`` for a quotation in a quotation."""

import re
from typing import Any

from markdown import Extension, Markdown
from markdown.preprocessors import Preprocessor

FENCE = re.compile(r"\s*(```|~~~)")


class _Fences(Preprocessor):
    def run(self, lines: list[str]) -> list[str]:
        made: list[str] = []
        fenced = inside = False
        for line in lines:
            fenced ^= bool(FENCE.match(line)) and not inside
            if not fenced and not inside and line.startswith(">>> "):
                made += ["", "```pycon"]
                inside = True
            elif inside and not line.strip():
                made.append("```")
                inside = False
            made.append(line)
        return [*made, "```"] if inside else made


class Examples(Extension):
    """From a line that begins with ``>>>`` to the next empty one."""

    def extendMarkdown(self, md: Markdown) -> None:
        md.preprocessors.register(_Fences(md), "examples", 28)  # before fences are read, after lines are


def makeExtension(**given: Any) -> Examples:
    """What Markdown asks for by the name of this module."""
    return Examples(**given)
