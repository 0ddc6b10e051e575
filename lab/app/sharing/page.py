"""The text of a share: one HTML file, which asks nobody for anything."""

import base64
import json
import re
import shlex
import zlib
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any

import lab
from lab.figures.embed import html_recipe
from lab.studies import Picture, Study
from lab.studies.contract import as_text

from .. import claims_tab, theme, verdicts
from ..numbers import ADVICE_CSS, TOLD_CSS, numbers_html
from ..recipe_tab import tables
from .cells import Cell, Runs
from .packing import PLACES, SHADES, Pack

_LOCAL = ":host { display: block; }"
_STEPS_CSS = ".copy { display: none; }"  # a file has no address that others could open


def page(
    runs: Runs,
    heroes: Sequence[Picture],
    more: Sequence[Picture],
    recipe: Mapping[str, Any],
    content: bytes,
    scripts: Mapping[str, tuple[list[str], str]],
    said: Sequence[str],
    made: str,
    file: str,
) -> str:
    """The file.

    Args:
        heroes, more: pictures that stand first, and those below.
        recipe: of the state.
        content: what the script of the page reads.
        scripts: of the figures, by name: arguments and text.
        said: what the file says of itself: what was rounded, what was left out.
        made: the day.
        file: its name.
    """
    study, state = runs.study, runs.state
    code = _script(scripts)
    drawer = _bokeh()
    policy = (
        f"default-src 'none'; script-src '{_hash(code)}' '{_hash(drawer)}'; style-src 'unsafe-inline'; img-src data: blob:; "
        "connect-src 'none'; base-uri 'none'; form-action 'none'"
    )
    packed = base64.b64encode(zlib.compress(drawer.encode(), 9)).decode()
    parts = [
        _head(study),
        '<p id="note" role="alert" hidden></p>',
        _hero(runs, heroes),
        _numbers(study, state),
        _steps(runs),
    ]
    parts += [f'<section class="more">{"".join(map(_card, more))}</section>'] if more else []
    parts += [_claims(study), _recipe(study, state, file), _made(said, made)]
    style = theme.root_css() + theme.asset("share.css")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="generator" content="transport-lab {escape(lab.__version__)}">\n'
        f"<title>{escape(study.title)}</title>\n<style>{style}</style>\n{html_recipe(recipe)}\n</head>\n<body>\n<main>\n"
        + "\n".join(filter(None, parts))
        + f'\n</main>\n<script type="text/plain" id="lab-bokeh">{packed}</script>\n'
        f'<script type="text/plain" id="lab-data">{content.decode()}</script>\n<script>{code}</script>\n</body>\n</html>\n'
    )


def told(study: Study, cell: Cell) -> str:
    """The numbers of a cell, and what there is to say of it."""
    if cell.error:
        return f'<div class="bar error">{escape(cell.error)}</div>'
    result = cell.result
    bars = [
        f'<div class="bar advice">{escape(text)}</div>' for text in filter(None, [str(result.attrs.get("advice", ""))])
    ]
    return numbers_html(cell.study, result, stored=True) + "".join(bars)


def citation(study: Study) -> str:
    """BibTeX of the paper, and of the lab."""
    version = escape(lab.__version__, quote=False)
    return (
        f"{study.paper.bibtex}\n\n@software{{transport-lab,\n  title = {{transport-lab}},\n"
        f"  author = {{{{The transport-lab authors}}}},\n  version = {{{version}}}\n}}"
    )


def _head(study: Study) -> str:
    paper = escape(study.paper.short)
    if study.paper.url.startswith(("https://", "http://")):
        paper = f'<a href="{escape(study.paper.url)}" target="_blank" rel="noopener noreferrer">{paper}</a>'
    said = study.story.phenomenon if study.story is not None else study.about.partition(". ")[0].rstrip(".") + "."
    return (
        f'<header><div><h1>{escape(study.title)}</h1><span class="paper">{paper}</span>'
        f'<p class="phenomenon">{escape(said)}</p></div>'
        '<button type="button" id="theme" title="Light or dark" aria-label="light or dark">◐</button></header>'
    )


def _hero(runs: Runs, heroes: Sequence[Picture]) -> str:
    inside = _shadow("player.css", "scrubber.css")
    sliders = [f'<div class="slider" id="slider-{number}">{inside}</div>' for number in range(len(runs.grid))]
    back = '<button type="button" id="back">Back to the slider</button>'
    line = f'<div class="line"><span id="here" role="status"></span>{back}</div>'
    stage = f'<div class="stage">{"".join(map(_card, heroes))}</div>'
    return f'<section id="hero">{stage}{"".join(sliders)}{line}</section>'


def _card(picture: Picture) -> str:
    caption = picture.caption
    if picture.edits or picture.drags or picture.clicks:
        caption += ". Dragging and clicking are for the lab itself."
    under = f'<div class="under">{_shadow("player.css")}</div>' if picture.plays else ""
    return (
        f'<article id="picture-{escape(picture.name)}"><h3>{escape(picture.title)}</h3>'
        f'<p class="caption"><b hidden>{escape(picture.title)} · </b>{escape(caption)}</p><p class="why" hidden></p>'
        f'<div class="place"></div>{under}</article>'
    )


def _numbers(study: Study, state: Cell) -> str:
    return f'<div id="told">{_shadow(css=TOLD_CSS + ADVICE_CSS, inside=told(study, state))}</div>'


def _steps(runs: Runs) -> str:
    return f'<div id="steps">{_shadow("steps.css", css=_STEPS_CSS)}</div>' if runs.steps else ""


def _claims(study: Study) -> str:
    if not study.claims:
        return ""
    found = verdicts.load(type(study))
    count = verdicts.tally(found.values())
    head = (
        f"{count.hold} of the {count.measured} that were checked hold" if found else "not checked where this was made"
    )
    rows = "".join(claims_tab.row(claim, found.get(claim.name)) for claim in study.claims)
    says = "What the paper or mathematics says and this study can show. This checks them:"
    inside = _shadow("claims.css", inside=claims_tab.table(rows), css=":host { overflow-x: auto; }")
    return (
        f'<details class="sheet"><summary>{len(study.claims)} claim{"s" * (len(study.claims) > 1)}: {head}</summary>'
        f'<p class="small muted">{says} <code>{escape(f"lab verify {study.slug}")}</code></p><div>{inside}</div></details>'
    )


def _recipe(study: Study, state: Cell, file: str) -> str:
    texts = {
        "again": (
            "Inside this file. Compute the state again and compare, or write its numbers to a file:",
            _again(file),
        ),
        "command": ("The state from nothing:", study.as_command()),
        "python": ("In Python:", study.as_python()),
        "bibtex": ("BibTeX:", citation(study)),
    }
    rows = [
        f'<p class="small muted">{escape(says)} <button type="button" data-copy="{name}">Copy</button></p>'
        f'<pre id="{name}">{escape(text)}</pre>'
        for name, (says, text) in texts.items()
    ]
    rows.append(f"<div>{_shadow('recipe.css', inside=tables(study, state.result))}</div>")
    return f'<details class="sheet"><summary>Recipe, commands and BibTeX</summary>{"".join(rows)}</details>'


def _again(file: str) -> str:
    return f"lab reproduce {shlex.quote(file)}\nlab open {shlex.quote(file)} -o run.nc"


def _made(said: Sequence[str], made: str) -> str:
    first = f"Made by transport-lab {lab.__version__} on {made}, of results that were computed before."
    return f"<footer>{escape(' '.join([first, *said, 'Drawn by Bokeh (BSD licence).']))}</footer>"


def rounded(pack: Pack) -> list[str]:
    """What rounding changed, in sentences."""
    said = []
    if pack.shades.arrays:
        said.append(
            f"{pack.shades.arrays} pictures of values are rounded to {SHADES} steps of their range, by at most "
            f"{100 * pack.shades.largest:.2g}% of their colour scale, which has 256 colours."
        )
    if pack.places.arrays:
        said.append(
            f"{pack.places.arrays} columns of places are rounded to {PLACES:,} steps of their range, by at most "
            f"{1000 * pack.places.largest:.2g} pixels on a picture 1,000 wide."
        )
    which = "Other numbers" if said else "Numbers"
    said.append(f"{which} that are drawn are in single precision; those in words are of the whole results.")
    return said


def _shadow(*styles: str, css: str = "", inside: str = "") -> str:
    """The inside of a part of the page, whose styles are its own."""
    style = theme.base_css() + _LOCAL + "".join(map(theme.asset, styles)) + css
    return f'<template shadowrootmode="open"><style>{style}</style><div class="box">{inside}</div></template>'


def _script(scripts: Mapping[str, tuple[list[str], str]]) -> str:
    given = {name: ", ".join([*names, "cb_obj", "cb_data", "cb_context"]) for name, (names, _) in scripts.items()}
    codes = ",\n".join(
        f'{json.dumps(name)}: {{names: {json.dumps(names)}, call: function ({given[name]}) {{"use strict"\n{text}\n}}}}'
        for name, (names, text) in scripts.items()
    )
    parts = [f"const CODES = {{{codes}}}", theme.asset("dom.js")]
    parts += [f"const player = (() => {{{_part('curve.js', 'player.js')}return render}})()"]
    parts += [f"const stepper = (() => {{{_part('steps.js')}return render}})()"]
    code = "\n".join([*parts, theme.asset("share.js")])
    return f'"use strict";{{\n{re.sub(r"</(script)", chr(60) + chr(92) + r"/\1", code, flags=re.IGNORECASE)}\n}}'


def _part(*names: str) -> str:
    return "".join(theme.asset(name) for name in names).replace("export function render", "function render")


@cache
def _bokeh() -> str:
    import bokeh

    path = Path(bokeh.__file__).parent / "server" / "static" / "js" / "bokeh.min.js"
    return re.sub(r"//# sourceMappingURL=\S+", "", path.read_text(encoding="utf-8"))


def _hash(code: str) -> str:
    return f"sha256-{base64.b64encode(sha256(code.encode()).digest()).decode()}"


def setting(study: Study, names: Sequence[str]) -> str:
    """Where a cell stands on the sliders: ``k = 2, gamma = 0.1``."""
    declared = study.parameters()
    told = [f"{declared[name].symbol or name.replace('_', ' ')} = {as_text(getattr(study, name))}" for name in names]
    return ", ".join(told)
