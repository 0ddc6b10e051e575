"""The page of a study, made of what it declares."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab.studies import Claim, Study
from lab.studies.contract.parameters import as_text, option
from lab.studies.contract.reported import lines
from lab.words import number

from . import words

RELATIONS = {"==": "", "<=": "≤ ", ">=": "≥ ", "<": "< ", ">": "> "}
OUTCOMES = {True: "holds", False: "does not hold"}


def page(study: type[Study], measured: Mapping[str, Any], beside: str = "", hero: str = "", notebook: str = "") -> str:
    """Its Markdown.

    Args:
        measured: what ``docs/measured.json`` has of it.
        beside: what was written by hand on the paper's figures and ours.
        hero: Markdown of its picture.
        notebook: the address of its notebook.
    """
    parts = [
        f"# {words.plain(study.title)}",
        _head(study, notebook),
        hero,
        words.plain(study.about),
        _steps(study, measured),
        f"## Mathematics\n\n{study.mathematics}" if study.mathematics else "",
        _parameters(study),
        _pictures(study, measured),
        _results(study),
        _presets(study),
        _claims(study, measured),
        _reported(study),
        f"## The paper's figures and ours\n\n{beside}" if beside else "",
        f"## BibTeX\n\n```bibtex\n{words.bibtex(study.paper)}\n```",
    ]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _head(study: type[Study], notebook: str) -> str:
    paper = study.paper
    title = f"*{words.plain(paper.title)}*"
    link = f"[{title}]({paper.url})" if paper.url else title
    phenomenon = words.plain(study.story.phenomenon) if study.story else ""
    return "\n\n".join(
        [
            f"{phenomenon}\n{{ .phenomenon }}" if phenomenon else "",
            f"{words.plain(paper.authors)}, {link}, {words.plain(paper.venue)} {paper.year}. {study.field}. "
            f"`lab.studies.{study.__name__}`" + (f"; [its notebook]({notebook})." if notebook else "."),
        ]
    )


def change(values: Mapping[str, Any]) -> str:
    """Values of parameters as a command line has them: ``--k 1``."""
    return " ".join(f"{option(name)} {_quoted(as_text(value))}" for name, value in values.items())


def _quoted(text: str) -> str:
    return f"'{text}'" if " " in text or ";" in text else text


def _steps(study: type[Study], measured: Mapping[str, Any]) -> str:
    if study.story is None:
        return ""
    found = measured.get("steps", [])
    lines = [
        f"{at}. **{words.plain(step.question)}** `{change(step.change)}`  \n"
        f"   {words.plain(found[at - 1]) if len(found) >= at else 'Move it, and look.'}"
        for at, step in enumerate(study.story.steps, 1)
    ]
    begin = f"On its page (`lab serve`), or by `lab run {study.slug}` with what stands behind each question."
    return f"## Steps\n\n{begin}\n\n" + "\n".join(lines)


def _parameters(study: type[Study]) -> str:
    rows = []
    for name, p in study.parameters().items():
        unit = f", in {p.unit}" if p.unit else ""
        when = "".join(
            f"; only with {other} = {' or '.join(map(as_text, of if isinstance(of, tuple | list | set) else (of,)))}"
            for other, of in (p.when or {}).items()
        )
        allowed = "a data set or file" if name == "data" else p.allowed().removeprefix("it must be ")
        rows.append(
            (
                words.code(name) + (f" {words.plain(p.symbol)}" if p.symbol and p.symbol != name else ""),
                words.code(as_text(p.default)),
                words.plain(allowed + unit),
                words.plain(f"{p.doc}{when}"),
            )
        )
    sets = ", ".join(words.code(entry.name) for entry in study.sets())
    told = f"Data of the kind *{study.kind}*: {sets}, or [your own](../how-to/own-data.md)."
    return "## Parameters\n\n" + words.table(("parameter", "default", "allowed", "meaning"), rows) + f"\n{told}"


def _pictures(study: type[Study], measured: Mapping[str, Any]) -> str:
    finds = measured.get("finds", {})
    rows = [
        (words.code(p.name), words.plain(p.title), words.plain(p.caption), words.plain(finds.get(p.name, "")))
        for p in study.pictures
    ]
    command = f"`lab figure {study.slug}:{next(iter(study.pictures)).name} -o figure.pdf` draws one for print."
    return f"## Pictures\n\n{command}\n\n" + words.table(
        ("name", "title", "how to read it", "what it shows by default"), rows
    )


def _results(study: type[Study]) -> str:
    rows = [
        (
            words.code(r.name),
            words.code(", ".join(r.dims)),
            words.plain(r.label + (f", in {r.unit}" if r.unit else "")),
            words.plain(r.doc),
        )
        for r in study.results
    ]
    return "## Results\n\n" + words.table(("variable", "dimensions", "label", "meaning"), rows)


def _presets(study: type[Study]) -> str:
    rows = [(words.code(p.name), words.plain(p.title), words.plain(p.doc)) for p in study.presets]
    return "## Presets\n\n" + words.table(("preset", "title", "what it shows"), rows) if rows else ""


def _claims(study: type[Study], measured: Mapping[str, Any]) -> str:
    verdicts = measured.get("claims", {})
    rows = [claim_row(claim, verdicts.get(claim.name)) for claim in study.claims]
    if not rows:
        return ""
    later = sorted({verdict["day"] for verdict in verdicts.values() if "day" in verdict})
    day = measured.get("day", "") + (f" (what takes longer: {' and '.join(later)})" if later else "")
    day = f"Measured {day} with JAX {measured['jax']}, on a CPU in float64." if verdicts else ""
    long = sum(claim.name not in verdicts for claim in study.claims)
    rest = f"{long} of {len(rows)} take longer and were not run for this page." if long else ""
    told = f"{day} {rest} `lab verify {study.slug}` measures all of them.".strip()
    return f"## Claims\n\n{told}\n\n" + words.table(("what is said", "expected", "measured", "", "by"), rows)


def _reported(study: type[Study]) -> str:
    """The paper's numbers beside ours."""
    rows = [
        (
            f"{words.plain(line.quantity)}<br>*{words.plain(line.where)}*",
            f"{words.plain(line.paper)}<br>{words.plain(line.paper_setting)}",
            f"{words.plain(line.ours)}<br>{words.plain(line.our_setting)}",
            words.plain(line.note),
        )
        for line in lines(study)
    ]
    if not rows:
        return ""
    made = f"Our numbers are precomputed: {words.plain('; '.join(sorted({line.made for line in lines(study)})))}."
    return f"## The paper's numbers and ours\n\n{made}\n\n" + words.table(
        ("quantity", "paper", "this lab", "note"), rows
    )


def claim_row(claim: Claim, verdict: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Statement with its name, expected, measured, whether it holds, source."""
    statement = f"{words.plain(claim.statement)} {words.code(claim.name)}"
    if not claim.should_hold or (verdict and not verdict["holds"]):
        statement += f"<br>*{words.plain(claim.note)}*" if claim.note else ""
    if verdict is None:
        fixed = "" if callable(claim.expected) else RELATIONS[claim.relation] + number(float(claim.expected))
        return statement, fixed, "", "not run" if claim.should_hold else "does not hold", words.plain(claim.source)
    low_high = verdict.get("interval")
    value = verdict["error"] or number(verdict.get("measured", float("nan")))
    if low_high:
        value += f" ({number(float(low_high[0]))} to {number(float(low_high[1]))})"
    expected = RELATIONS[claim.relation] + number(verdict.get("expected", float("nan")))
    return statement, expected, value, OUTCOMES[verdict["holds"]], words.plain(claim.source)


def failing(study: type[Study], measured: Mapping[str, Any]) -> list[Claim]:
    """The claims that do not hold here: known ones, and those that were found not to."""
    verdicts = measured.get("claims", {})
    return [c for c in study.claims if not c.should_hold or not verdicts.get(c.name, {"holds": True})["holds"]]


def written(path: Path, study: type[Study], measured: Mapping[str, Any]) -> str:
    """What was written by hand on a study's paper, with what was measured in place of the names of claims: ``{order-euler}``.

    Raises:
        ValueError: a name that is none of its claims.
    """
    if not path.exists():
        return ""
    verdicts, names = measured.get("claims", {}), {claim.name for claim in study.claims}

    def number_of(found: re.Match[str]) -> str:
        if found[1] not in names:
            raise ValueError(f"{path.name} tells of {found[1]}, which is no claim of {study.slug}")
        verdict = verdicts.get(found[1])
        return number(verdict["measured"]) if verdict and "measured" in verdict else f"(`{found[1]}`)"

    return re.sub(r"\{([^{}\n]+)\}", number_of, path.read_text(encoding="utf-8")).strip()
