"""Markdown of tables, and BibTeX."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from lab.studies import Paper

_JOURNALS = ("JMLR", "SIAM J. Math. Data Sci.", "IEEE RA-L", "Math. Comp.")


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table in Markdown; empty where there are no rows."""
    lines = ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
    return "\n".join([_bar(head), "|" + "---|" * len(head), *lines]) + "\n" if lines else ""


def _bar(head: Sequence[str]) -> str:
    return "| " + " | ".join(head) + " |"


def _cell(value: Any) -> str:
    return " ".join(str(value).split()).replace("|", "\\|") or " "


def plain(text: str) -> str:
    """A sentence of a declaration, which is no Markdown: what Markdown or HTML would take for its own is spelt out."""
    return re.sub(r"([\\`*_\[\]<>$|~])", lambda found: f"&#{ord(found[1])};", text)


def code(text: Any) -> str:
    """The text as code."""
    return f"`{text}`" if str(text) else ""


def key(paper: Paper) -> str:
    """The name of a paper in a bibliography: ``liu2023sparsity``."""
    first = re.sub(r"\W", "", re.split(r",| and ", paper.authors)[0]).lower()
    word = next(each for each in re.findall(r"[^\W\d_]+", paper.title.lower()) if each not in _SMALL)
    return f"{first}{paper.year}{word}"


_SMALL = {"a", "an", "the", "on", "of", "in", "for", "and", "to"}


def bibtex(paper: Paper) -> str:
    """The entry of a paper. Of authors the lab knows family names only."""
    journal = next((name for name in _JOURNALS if paper.venue.startswith(name)), "")
    kind = "article" if journal else "misc" if paper.venue == "arXiv" else "inproceedings"
    where = {"article": "journal", "misc": "howpublished", "inproceedings": "booktitle"}[kind]
    fields = {
        "author": " and ".join(each.strip() for each in re.split(r",| and ", paper.authors)),
        "title": f"{{{paper.title}}}",
        where: paper.venue,
        "year": str(paper.year),
        "url": paper.url,
    }
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@{kind}{{{key(paper)},", *lines, "}"])
