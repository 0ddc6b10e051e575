"""Pages that are collected from many places: studies by field, what does not hold, papers, benchmarks, notebooks."""

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from lab.studies import Study

from . import study as of_study
from . import words


def studies(every: Sequence[type[Study]], pictures: Path) -> str:
    """The studies by field, each with the question that it answers."""
    parts = [
        "# Studies",
        "Each page is made of what its study declares; the numbers in it were measured with this code.",
    ]
    for field, group in groupby(every, lambda each: each.field):
        cards = []
        for each in group:
            question = (each.story and each.story.question) or each.title
            lines = [f"-   [**{words.plain(question)}**]({each.slug}.md)"]
            if (pictures / f"{each.slug}-light.png").exists():
                tones = (f"![](../pictures/{each.slug}-{tone}.png#only-{tone})" for tone in ("light", "dark"))
                lines.append("    " + " ".join(tones))
            lines.append(f"    {words.plain(each.title)}. {words.plain(each.paper.short)}")
            cards.append("\n\n".join(lines))
        parts.append(f"## {field}\n\n" + '<div class="grid cards" markdown>\n\n' + "\n\n".join(cards) + "\n\n</div>")
    return "\n\n".join(parts) + "\n"


def limits(written: str, every: Sequence[type[Study]], measured: Mapping[str, Any]) -> str:
    """What was written by hand, then each claim that does not hold."""
    parts = [written.strip()]
    for each in every:
        verdicts = measured.get(each.slug, {}).get("claims", {})
        failing = of_study.failing(each, measured.get(each.slug, {}))
        if failing:
            rows = [of_study.claim_row(claim, verdicts.get(claim.name)) for claim in failing]
            head = ("what is said", "expected", "measured", "", "by")
            parts.append(f"### [{words.plain(each.title)}](studies/{each.slug}.md)\n\n" + words.table(head, rows))
    return "\n\n".join(parts) + "\n"


def bibliography(every: Sequence[type[Study]]) -> str:
    """The papers of the studies, in words and as BibTeX."""
    papers: dict[str, list[type[Study]]] = {}
    for each in sorted(every, key=lambda each: (each.paper.authors, each.paper.year)):
        papers.setdefault(words.key(each.paper), []).append(each)
    lines, entries = [], []
    for of in papers.values():
        paper = of[0].paper
        title = f"*{words.plain(paper.title)}*"
        title = f"[{title}]({paper.url})" if paper.url else title
        where = ", ".join(f"[{each.slug}](studies/{each.slug}.md)" for each in of)
        lines.append(
            f"- {words.plain(paper.authors)}, {title}, {words.plain(paper.venue)} {paper.year}. Study: {where}."
        )
        entries.append(words.bibtex(paper))
    return (
        "# Bibliography\n\nThe papers that the studies stand for. What else a method rests on is named in its docstring, in "
        "the [reference](reference/ot.md), and in the mathematics of its study.\n\n"
        + "\n".join(lines)
        + "\n\n## BibTeX\n\nOf authors the lab keeps family names.\n\n```bibtex\n"
        + "\n\n".join(entries)
        + "\n```\n"
    )


def notebooks(titles: Mapping[str, str], run: Sequence[str]) -> str:
    """The notebooks by name."""
    lines = [f"- [{title}]({name}.md){' (with its pictures)' if name in run else ''}" for name, title in titles.items()]
    return (
        "# Notebooks\n\nOne for each study, and two that go across. `make notebook` opens them in JupyterLab; the tests run "
        "all of them. Those that take seconds are shown with what they print and draw; of the others the text and the code.\n\n"
        + "\n".join(lines)
        + "\n"
    )


def brought(text: str, links: Mapping[str, str]) -> str:
    """A document of the repository as a page of the site: its links lead to pages, those without one become plain words."""

    def moved(found: re.Match[str]) -> str:
        shown, target = found[1], found[2]
        file, mark, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target) or not file:
            return found[0]
        return f"[{shown}]({links[file]}{mark}{anchor})" if file in links else shown

    parts = re.split(r"(^```.*?^```$)", text, flags=re.DOTALL | re.MULTILINE)
    return "".join(
        part if part.startswith("```") else re.sub(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)", moved, part) for part in parts
    )
