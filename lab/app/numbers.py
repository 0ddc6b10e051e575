"""What came out of a run, in numbers and sentences, as pages and shares show it."""

from typing import Any

from lab.studies import Study, headlines

from . import theme
from .theme import escape

TOLD_CSS = """
:host { display: block; }
.strip { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); min-height: 50px; }
.strip > div { display: flex; align-items: center; gap: 12px; min-width: 0; padding: 0 14px; box-sizing: border-box; }
.strip > div:first-child { padding-left: 0; }
.strip > div + div { border-left: 1px solid var(--line); }
.strip b { font-size: 21px; font-weight: 700; line-height: 1.2; white-space: nowrap; }
.strip span { font-size: 12px; line-height: 16px; color: var(--muted); min-width: 0; }
.says { font-size: 13.5px; line-height: 1.55; color: var(--ink); margin-top: 6px; }
details { margin-top: 4px; font-size: 12px; }
summary { cursor: pointer; color: var(--muted); }
.all { display: flex; flex-wrap: wrap; gap: 8px 26px; padding: 8px 0 2px; }
.all b { display: block; font-size: 15px; font-weight: 600; line-height: 1.4; }
.all span { color: var(--muted); }
.away { display: var(--away, block); }
.first { padding: 16px 0; }
.good b { color: var(--good); }
.warn b { color: var(--second); }
.stale { opacity: .4; transition: opacity .2s .15s; }
@media (max-width: 1180px) {
  .strip { grid-template-columns: repeat(2, minmax(0, 1fr)); row-gap: 6px; }
  .strip > div:nth-child(odd) { padding-left: 0; border-left: 0; }
  .strip b { font-size: 17px; }
}
"""
ADVICE_CSS = """
.advice-line { display: var(--away, block); min-height: 36px; }
.bar { border-left: 3px solid var(--second); border-radius: 0 6px 6px 0; background: var(--wash); padding: 8px 12px;
  line-height: 20px; }
.bar + .bar { margin-top: 8px; }
.notice { border-left-color: var(--accent); }
.error { border-left-color: var(--stop); }
.error b { color: var(--stop); font-weight: 600; }
.stale { opacity: .4; transition: opacity .2s .15s; }
"""


def numbers_html(study: Study, result: Any, rough: bool = False, stored: bool = False, stale: str = "") -> str:
    """What came out: four numbers large, the sentences of the story, all numbers on a press."""
    cells = headline(study, result, rough, stored)
    told = [f'<div class="strip{stale}">{"".join(first(cells, study.ended(result)[1] == "good" and not rough))}</div>']
    said = [escape(text) for text in (study.story.summary(result) if study.story is not None else ())]
    told += [f'<p class="says away{stale}">{" ".join(said)}</p>'] if said else []
    told.append(
        f'<details class="away"><summary>All numbers</summary><div class="all">{"".join(cells)}</div></details>'
    )
    return "".join(told)


def first(cells: list[str], converged: bool) -> list[str]:
    """The four cells that stand large; of a run that has not fully converged, its status is one of them."""
    *numbers, status, _ = cells
    return [*numbers[:4]] if converged else [*numbers[:3], status]


def headline(study: Study, result: Any, rough: bool = False, from_store: bool = False) -> list[str]:
    """The scalars that matter, each with what it is and whether it is as it should be; then convergence and time."""
    cells = []
    for declared, value, mood in headlines(study.results, result):
        text, why = theme.number(value), declared.undefined_at(value)
        if declared.half in result and not why:
            text += f" ± {theme.number(result[declared.half].item(), 2)}"
        label = theme_label(declared)
        cells.append(_cell(text, f"{label}, {why}" if why else label, mood, declared.doc))
    attrs, (ended, mood) = result.attrs, study.ended(result)
    after = "by its own rule"
    if "iterations" in result:
        count = int(result.iterations)
        after = f"after {theme.number(count)} iteration{'' if count == 1 else 's'}"
    if rough:
        cells.append(_cell("a sketch", after, "warn", "what there is so far; the run goes on and will replace it"))
    else:
        *parts, ended = ended.split(", ")
        cells.append(
            _cell(
                ended,
                ", ".join(parts) or after,
                mood,
                attrs["advice"] if mood == "warn" else "the stopping rule was met",
            )
        )
    compiled = (
        f"compiled in {theme.duration(attrs['compile_seconds'])}" if attrs["programs_compiled"] else "compiled before"
    )
    told = (
        "run · ships with the lab"
        if "shipped" in attrs
        else "run · from the store"
        if from_store
        else f"run · {compiled}"
    )
    cells.append(_cell(theme.duration(attrs["run_seconds"]), told, "", "time of the run that is shown"))
    return cells


def theme_label(declared: Any) -> str:
    """The words under a number."""
    return f"{declared.label} ({declared.unit})" if declared.unit and declared.unit != "1" else declared.label


def _cell(value: str, label: str, mood: str, doc: str) -> str:
    return f'<div class="{mood}" title="{escape(doc)}"><b>{escape(value)}</b><span>{escape(label)}</span></div>'
