"""The paper's numbers beside ours, on the page of a study."""

from collections.abc import Sequence

import panel as pn

from lab.studies import Study
from lab.studies.contract.reported import HEADS, Line, lines

from . import theme


def reported_table(study: type[Study]) -> pn.pane.HTML:
    """The table of a study that declares one."""
    return theme.html(table(lines(study)), theme.asset("reported.css"), css_classes=["reported"])


def table(rows: Sequence[Line]) -> str:
    """Its HTML: a number with its setting in each cell."""
    heads = "".join(f'<th scope="col">{head.capitalize()}</th>' for head in HEADS)
    made = "; ".join(sorted({row.made for row in rows if row.made}))
    foot = f'<p class="made">Our numbers are precomputed ({theme.escape(made)}).</p>' if made else ""
    body = "".join(map(_row, rows))
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>{foot}"


def _row(row: Line) -> str:
    note = f'<div class="note">{theme.escape(row.note)}</div>' if row.note else ""
    cells = [
        f'<th scope="row">{theme.escape(row.quantity)}<div class="small">{theme.escape(row.where)}</div>{note}</th>',
        _cell("paper", row.paper, row.paper_setting),
        _cell("ours", row.ours, row.our_setting),
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _cell(kind: str, value: str, setting: str) -> str:
    return f'<td class="{kind}"><b>{theme.escape(value)}</b><div class="small">{theme.escape(setting)}</div></td>'
