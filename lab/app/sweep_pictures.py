"""What a sweep shows: one number over its parameters, the run of a cell, the study's own pictures, and files of all."""

import io
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from html import escape
from typing import Any

import numpy as np
import panel as pn
import xarray as xr

import lab.studies.draw as drawing
from lab import figures, sweeps
from lab.figures.sweep import (
    MEAN,
    NOT_YET,
    View,
    draw_view,
    is_log,
    of_shape,
    sweep_picture,
    symbol,
    titled,
    value_text,
)
from lab.store import unpack
from lab.studies import Picture, Study
from lab.sweeps import Plan

from . import buttons, theme
from .choose import Choose, Later, field
from .runner import SWEEP, Runner
from .session import Session
from .sweep_cells import SweepCells
from .sweep_views import Row, Stage, draw

_ABREAST = 4  # runs in a row
_READ_KEPT = 16  # runs in memory
_LARGEST = 200e6  # bytes of a file that a browser is sent
_WORDS = theme.asset("sweep_words.css")
_CARD = theme.asset("sweep_card.css")
_TWO = theme.asset("sweep_two.css")
_STACK = ":host { gap: 14px; }"


class SweepPictures(pn.viewable.Viewer):
    """Draws what ``SweepCells`` holds. ``show`` takes another sweep, ``fill`` tells that more of it has come.

    Args:
        on_open: called with the study of a cell that is to be opened on the page.
    """

    def __init__(self, session: Session, on_open: Callable[[Study], None]):
        super().__init__()
        self.session = session
        self.cells: SweepCells | None = None
        self.chosen = 0
        study = session.study_class
        own = [each for each in study.results if not each.dims]
        first = next((each for each in own if each.headline), own[0] if own else None)
        self.view = View(first.name if first else "", "", kind="")  # its kind follows the sweep, until one is chosen
        self._chose_kind = False
        self._single = [picture for picture in study.pictures if picture.along is None]
        self._own = [picture for picture in study.pictures if picture.along is not None]
        self.picture = self._single[0].name if self._single else ""
        self.along = ""
        self._runs: OrderedDict[str, xr.Dataset] = OrderedDict()
        self._reader, self._own_reader = Runner(session.post, SWEEP), Runner(session.post, SWEEP)
        self._form = {"content": "numbers", "format": "pdf", "width": "column", "style": "paper"}
        self._build(on_open)
        session.param.watch(lambda event: self._redraw(), "dark")

    def __panel__(self):
        return self._view

    def _build(self, on_open: Callable[[Study], None]) -> None:
        self._choose = Choose(self.set)
        self._head = theme.html("", _WORDS)
        self._stage = Stage(self._tapped)
        self._cell_head = theme.html("", _WORDS)
        self._cell_stage = Stage()
        self._open = buttons.Press("Open this run on the page")
        self._open.on_click(lambda event: on_open(self.cells.study(self.chosen)) if self.cells is not None else None)
        self._link = theme.html("", _WORDS)
        self._offers = pn.Row(self._open, margin=(8, 0, 4, 0))
        self._cell_card = theme.column(
            self._cell_head, self._offers, self._cell_stage.view, css=_CARD, css_classes=["card"]
        )
        overview = theme.column(
            theme.column(self._head, self._stage.view, css=_CARD, css_classes=["card"]), self._cell_card, css=_TWO
        )
        self._row_head = theme.html("", _WORDS)
        self._row_choose = Choose(self.set)
        self._row = Row()
        self._own_head = theme.html("", _WORDS)
        self._own_view = theme.column(css=_TWO)
        self._own_stages: dict[str, tuple[pn.pane.HTML, Stage, Any]] = {}
        self._files_head = theme.html("<h2>Take it along</h2>", _WORDS)
        self._file_choose = Choose(self._set_file)
        self._said = theme.html("", _WORDS)
        self._figure = Later("Download the figure", self._prepare_figure, self._say, self.session.post, strong=True)
        self._data = Later("Download the sweep (.nc)", self._prepare_data, self._say, self.session.post)
        self._copies = theme.html("", _WORDS)
        buttons_row = pn.Row(self._figure, self._data, margin=0)
        files = theme.column(self._files_head, self._file_choose, buttons_row, self._copies, self._said, css=_STACK)
        row = theme.column(self._row_head, self._row_choose, self._row.view, css=_STACK)
        own = theme.column(self._own_head, self._own_view, css=_STACK)
        self._rest = theme.column(row, own, files, css=_STACK)  # once there is a cell
        self._body = theme.column(self._choose, overview, self._rest, css=_STACK, visible=False)
        self._view = theme.column(self._body)

    def close(self) -> None:
        """The page has gone."""
        for runner in (self._reader, self._own_reader, self._figure.runner, self._data.runner):
            runner.abandon()
        self._runs.clear()

    # ---- what is shown -------------------------------------------------------------------------------------------

    def show(self, cells: SweepCells | None) -> None:
        """Take this sweep."""
        before = None if self.cells is None else self.cells.point(self.chosen)
        self.cells = cells
        self._body.visible = cells is not None and bool(self.view.value)
        if cells is None or not self.view.value:
            return
        grid = cells.plan.grid
        if not self._chose_kind:
            several = [name for name in grid if name != "seed" and len(grid[name]) > 1]
            self.view = replace(self.view, kind="map" if len(several) > 1 else "lines")
        self.view = of_shape(self.view, grid)
        same = before is not None and before.keys() == grid.keys() and all(before[n] in grid[n] for n in grid)
        self.chosen = cells.place(before) if before and same else cells.nearest(cells.plan.study.values())
        if self.along not in grid:
            self.along = self.view.x
        self.fill(ended=True)

    def fill(self, ended: bool = False) -> None:
        """More cells are there; with ``ended`` all that will be."""
        if self.cells is None:
            return
        self._draw()
        begun = self.cells.missing < self.cells.plan.cells
        self._rest.visible = self._cell_card.visible = begun
        if not begun:
            return
        if ended or (self.cells.errors[self.chosen] == "" and self.cells.plan.keys[self.chosen] not in self._runs):
            self._draw_cell()
        if ended:
            self._draw_own()
        whole = not self.cells.missing and len(self.cells.failed) < self.cells.plan.cells
        self._figure.offer(whole)
        self._data.offer(whole)
        self._draw_files()

    def set(self, name: str, value: str) -> None:
        """One of the choices above the pictures, or beside the row of runs."""
        if self.cells is None:
            return
        view, grid = self.view, self.cells.plan.grid
        match name:
            case "picture":
                self.picture = value
            case "along":
                self.along = value
            case "x" | "y" if value and value == getattr(view, "y" if name == "x" else "x"):
                view = replace(view, x=view.y, y=view.x)  # they change places
            case _ if name.startswith("at "):
                at = MEAN if value == MEAN else grid[name[3:]][int(value)]
                view = replace(view, at={**view.at, name[3:]: at})
            case "value" | "kind" | "x" | "y" | "band" | "scale":
                view = replace(view, **{name: value})
                self._chose_kind |= name == "kind"
        self.view = of_shape(view, grid)
        if name in ("picture", "along"):
            self._draw_row()
            if name == "picture":
                self._draw_cell()
        else:
            self._draw()
            self._draw_files()

    def choose(self, place: int) -> None:
        """Look at the run of this cell."""
        if self.cells is not None and place != self.chosen:
            self.chosen = place
            self._draw()
            self._draw_cell()

    def _redraw(self) -> None:
        if self.cells is not None and self._body.visible:
            self.fill(ended=True)

    def _tapped(self, x: float, y: float) -> None:
        """A click on the map or the curves, in units of the axes."""
        if self.cells is None or x is None or y is None:
            return
        view, grid = self.view, self.cells.plan.grid
        point = self.cells.point(self.chosen) | {n: v for n, v in view.at.items() if v != MEAN}
        across = grid[view.x]
        if view.kind == "map":
            up = grid[view.y] if view.y else [None]
            j, i = round(x), round(y)
            if not (0 <= j < len(across) and 0 <= i < len(up)):
                return
            point |= {view.x: across[j]} | ({view.y: up[i]} if view.y else {})
        else:
            numbers = np.arange(len(across)) if isinstance(across[0], str | bool | None) else np.array(across, float)
            log = self.session.study.parameters()[view.x].scale == "log" and bool((numbers > 0).all()) and x > 0
            apart = np.abs(np.log(numbers / x)) if log else np.abs(numbers - x)
            point[view.x] = across[int(apart.argmin())]
            if view.y:
                column = self.cells.numbers[view.value]
                at = [column[self.cells.place(point | {view.y: v})] for v in grid[view.y]]
                if np.isfinite(at).any():
                    point[view.y] = grid[view.y][int(np.nanargmin(np.abs(np.array(at) - y)))]
        self.choose(self.cells.place(point))

    # ---- the overview --------------------------------------------------------------------------------------------

    def _draw(self) -> None:
        cells, view, study = self.cells, self.view, self.session.study_class
        assert cells is not None
        self._offer_choices()
        picture = sweep_picture(study, view)
        caption = picture.caption
        hint = "click a cell to see its run" if view.kind == "map" else "click a point to see its run"
        marks = []
        if view.kind == "map" and cells.missing:
            marks.append("stroke: not computed yet")
        if view.kind == "map" and len(cells.failed):
            marks.append("cross: failed, hover says why")
        if view.kind == "map" and "converged" in cells.numbers and (cells.numbers["converged"] == 0).any():
            marks.append("dot: not converged")
        caption = "; ".join(filter(None, [caption, *marks, hint]))
        self._head.object = f"<h3>{escape(picture.title)}</h3><p class='muted small'>{escape(caption)}</p>"
        with drawing.theme(self._tone, backend="bokeh"):
            element = draw_view(study, cells.dataset(), view, cells.point(self.chosen))
        scale = is_log(cells.numbers[view.value], view.scale)
        shape = (view.value, view.kind, view.x, view.y, tuple(map(str, cells.plan.grid[view.x])), scale and view.kind)
        shape += (tuple(map(str, cells.plan.grid[view.y])) if view.y else (),)
        self._stage.put(element, self.session.dark, shape)

    def _offer_choices(self) -> None:
        cells, view = self.cells, self.view
        assert cells is not None
        grid, study = cells.plan.grid, self.session.study_class
        parameters = study.parameters()
        titles = {name: titled(parameters[name]) for name in grid}
        numbers = [(r.name, r.label) for r in study.results if r.name in cells.numbers]
        fields = [field("value", "Show", view.value, numbers)]
        if len(grid) > 1:
            kinds = [("map", "Map"), ("lines", "Lines")]
            fields.append(field("kind", "As", view.kind, kinds, kind="segments"))
        fields.append(field("x", "Across", view.x, list(titles.items())))
        if len(grid) > 1:
            rest = [(name, title) for name, title in titles.items() if name != view.x]
            lines = view.kind == "lines"
            none = [("", "one line")] if lines else []
            fields.append(field("y", "A line for each" if lines else "Up", view.y, [*none, *rest]))
        for name, value in view.at.items():
            options = [(str(i), value_text(v)) for i, v in enumerate(grid[name])]
            at = MEAN if value == MEAN else str(grid[name].index(value))
            fields.append(field(f"at {name}", titles[name], at, [(MEAN, "mean over all"), *options]))
        if view.kind == "lines" and MEAN in view.at.values():
            bands = [("range", "least to largest"), ("interval", "95% of the mean")]
            fields.append(field("band", "Band", view.band, bands))
        scales = [("auto", "automatic"), ("linear", "linear"), ("log", "logarithmic")]
        fields.append(field("scale", "Scale", view.scale, scales))
        self._choose.offer(fields)

    @property
    def _tone(self) -> str:
        return "dark" if self.session.dark else "light"

    # ---- the run of a cell, and a row of runs --------------------------------------------------------------------

    def _draw_cell(self) -> None:
        cells = self.cells
        assert cells is not None
        place = self.chosen
        point = cells.point(place)
        why = cells.errors[place]
        study, parameters = self.session.study_class, self.session.study_class.parameters()
        title = ", ".join(f"{symbol(parameters[name])} = {value_text(value)}" for name, value in point.items())
        told = []
        for declared in study.results:
            value = cells.numbers.get(declared.name, np.full(cells.plan.cells, np.nan))[place]
            if declared.headline and not declared.dims and np.isfinite(value):
                said = ("yes" if value else "no") if declared.name == "converged" else theme.number(float(value))
                told.append(
                    f'<div title="{escape(declared.doc)}"><b>{said}</b><span>{escape(declared.label)}</span></div>'
                )
        wrong = "muted" if why == NOT_YET else "bad"
        said = (
            f'<div class="strip">{"".join(told)}</div>' if not why else f'<p class="{wrong}">{escape(_first(why))}</p>'
        )
        self._cell_head.object = f"<h3>{escape(title)}</h3>{said}"
        self._open.label = "Open this run on the page" if not why else "Try it on the page"
        self._draw_row()

    def _draw_row(self) -> None:
        cells = self.cells
        assert cells is not None
        if not self.picture:
            return
        grid, study = cells.plan.grid, self.session.study_class
        if self.along not in grid:
            self.along = self.view.x
        point, values = cells.point(self.chosen), grid[self.along]
        here = values.index(point[self.along])
        at = _spaced(len(values), here)
        places = [cells.place(point | {self.along: values[i]}) for i in at]
        sign = symbol(study.parameters()[self.along])
        titles = [f"{escape(sign)} = {escape(value_text(values[i]))}" for i in at]
        rest = ", ".join(
            f"{symbol(study.parameters()[n])} = {value_text(v)}" for n, v in point.items() if n != self.along
        )
        fields = [field("picture", "Picture", self.picture, [(p.name, p.title) for p in self._single])]
        fields.append(field("along", "Along", self.along, [(n, titled(study.parameters()[n])) for n in grid]))
        self._row_choose.offer(fields)
        where = f" at {escape(rest)}" if rest else ""
        self._row_head.object = f"<h2>Runs along {escape(sign)}{where}</h2>"
        wanted = [*places, self.chosen]
        known = dict(self._runs)

        def work(report: Any) -> dict[int, xr.Dataset | str]:
            return {place: self._run_of(cells, place, known) for place in dict.fromkeys(wanted)}

        def done(runs: dict[int, xr.Dataset | str]) -> None:
            for place, run in runs.items():
                if not isinstance(run, str):
                    self._runs[cells.plan.keys[place]] = run
            while len(self._runs) > _READ_KEPT:
                self._runs.popitem(last=False)
            if cells is self.cells:
                self._put_runs(runs, places, titles)

        self._reader.submit(work, done=done, failed=self._say)

    def _put_runs(self, runs: dict[int, xr.Dataset | str], places: Sequence[int], titles: Sequence[str]) -> None:
        picture = self.session.study_class.pictures[self.picture]
        run = runs[self.chosen]
        element = run if isinstance(run, str) else draw(picture, run, self.session.dark)
        if isinstance(element, str):
            self._cell_stage.clear()
        else:
            self._cell_stage.put(element, self.session.dark, picture.name)
        self._row.show(picture, [(t, runs[p]) for t, p in zip(titles, places, strict=True)], self.session.dark)

    @staticmethod
    def _run_of(cells: SweepCells, place: int, known: dict[str, xr.Dataset]) -> xr.Dataset | str:
        key = cells.plan.keys[place]
        if key in known:
            return known[key]
        if cells.errors[place]:
            return _first(cells.errors[place])
        try:
            return unpack(cells.plan.store.read([key]), 0)  # type: ignore[union-attr]
        except ValueError as problem:
            return str(problem)

    # ---- the study's own pictures of a sweep ---------------------------------------------------------------------

    def _draw_own(self) -> None:
        cells, data = self.cells, self.session.data
        assert cells is not None
        if not self._own or data is None:
            return
        point = cells.point(self.chosen)

        def work(report: Any) -> list[tuple[Picture, xr.Dataset | str]]:
            return [(picture, self._sweep_of(picture, cells, point, data)) for picture in self._own]

        def done(found: list[tuple[Picture, xr.Dataset | str]]) -> None:
            if cells is self.cells:
                self._put_own(found)

        self._own_reader.submit(work, done=done, failed=self._say)

    @staticmethod
    def _sweep_of(picture: Picture, cells: SweepCells, point: dict[str, Any], data: Any) -> xr.Dataset | str:
        """What a picture of a sweep draws, taken from this one; or the parameters that it still needs, in words."""
        plan = cells.plan
        assert picture.along is not None
        wanted = picture.grid(plan.study, data)
        fixed = {n: v[0] for n, v in wanted.items() if len(v) == 1 and n not in plan.grid}
        needs = [n for n in wanted if n not in plan.grid and n not in fixed]
        if needs or any(getattr(plan.study, name) != value for name, value in fixed.items()):
            return "needs " + " and ".join(needs or [f"{n} = {value_text(v)}" for n, v in fixed.items()])
        axes = {name: values for name, values in plan.grid.items() if name in wanted}
        base = plan.study.but(**{name: value for name, value in point.items() if name not in axes})
        part = Plan(base, axes, store=plan.store, keep=picture.keep)
        if not part.complete:
            return "needs all cells"
        return sweeps.run(part).expand_dims({name: [value] for name, value in fixed.items()})

    def _put_own(self, found: Sequence[tuple[Picture, xr.Dataset | str]]) -> None:
        shown, left = [], []
        for picture, sweep in found:
            element = sweep if isinstance(sweep, str) else draw(picture, sweep, self.session.dark)
            if isinstance(element, str):
                if element.startswith("needs "):
                    left.append(f"{picture.title} ({element.removeprefix('needs ')})")
                continue
            if picture.name not in self._own_stages:
                head, stage = theme.html("", _WORDS), Stage()
                view = theme.column(head, stage.view, css=_CARD, css_classes=["card"])
                head.object = f"<h3>{escape(picture.title)}</h3><p class='muted small'>{escape(picture.caption)}</p>"
                self._own_stages[picture.name] = head, stage, view
            _, stage, view = self._own_stages[picture.name]
            stage.put(element, self.session.dark, str(self.view.at))
            shown.append(view)
        if list(self._own_view) != shown:
            self._own_view[:] = shown
        heading = "<h2>The study's own pictures of this sweep</h2>" if shown else ""
        if left:
            heading += f'<p class="muted small">Drawn when the sweep has what they need: {escape(", ".join(left))}.</p>'
        self._own_head.object = heading

    # ---- files ---------------------------------------------------------------------------------------------------

    def _set_file(self, name: str, value: str) -> None:
        if name in self._form:
            self._form[name] = value
            self._draw_files()

    def _draw_files(self) -> None:
        cells, form = self.cells, self._form
        assert cells is not None
        formats = [(kind, kind.upper()) for kind in figures.FORMATS]
        widths = [(name, f"{name} {size:g}″") for name, size in figures.WIDTHS.items()]
        contents = [("numbers", "the numbers"), ("all", "whole runs")]
        self._file_choose.offer(
            [
                field("format", "Figure", form["format"], formats, kind="segments"),
                field("width", "Width", form["width"], widths, kind="segments"),
                field("style", "Style", form["style"], [(name, name) for name in figures.STYLES]),
                field("content", "Data", form["content"], contents, kind="segments"),
            ]
        )
        if cells.missing:
            waits = f"Files come when the sweep is complete: {cells.missing:,} cells are missing."
            self._copies.object = f'<p class="muted small">{waits}</p>'
            return
        command = sweeps.execute._command(cells.plan)
        self._copies.object = (
            f"{buttons.copy('Copy as command', f'{command} -o sweep.nc')} "
            f"{buttons.copy('Copy as Python', _python(cells.plan))}"
        )

    def _say(self, sentence: str) -> None:
        self._said.object = f'<p class="bad" role="alert">{escape(sentence)}</p>' if sentence else ""

    def _prepare_figure(self) -> Callable[[Any], tuple[str, bytes]]:
        cells, view, form = self.cells, self.view, dict(self._form)
        assert cells is not None
        plan = cells.plan
        study = type(plan.study)

        def work(report: Any) -> tuple[str, bytes]:
            keep = [name for name in (view.value, "converged") if name in cells.numbers]
            made = sweeps.run(Plan(plan.study, plan.grid, store=plan.store, keep=keep))
            file = io.BytesIO()
            figures.export_sweep(study, view, made, file, **{k: form[k] for k in ("format", "width", "style")})
            return f"{study.slug}-{view.value}-sweep.{form['format']}", file.getvalue()

        return work

    def _prepare_data(self) -> Callable[[Any], tuple[str, bytes]]:
        cells, whole = self.cells, self._form["content"] == "all"
        assert cells is not None
        plan = cells.plan

        def work(report: Any) -> tuple[str, bytes]:
            if whole:
                one = next((at for at, why in enumerate(cells.errors) if not why), None)
                size = 0 if one is None else plan.cells * unpack(plan.store.read([plan.keys[one]]), 0).nbytes  # type: ignore[union-attr]
                if size > _LARGEST:
                    raise ValueError(
                        f"the whole runs are {size / 1e6:,.0f} MB, more than a browser is sent: take the numbers here, "
                        "or all of it by the command (Copy as command)"
                    )
            made = sweeps.run(Plan(plan.study, plan.grid, store=plan.store, keep=() if whole else tuple(cells.numbers)))
            buffer = io.BytesIO()
            made.to_netcdf(buffer, engine="h5netcdf")
            return f"{plan.study.slug}-sweep.nc", buffer.getvalue()

        return work


def _first(error: Any) -> str:
    """An error as a cell tells it."""
    text = str(error).strip() or "it failed without a word"
    return text.splitlines()[0]


def _spaced(count: int, here: int) -> list[int]:
    """Up to ``_ABREAST`` places from first to last, ``here`` among them."""
    at = sorted({round(v) for v in np.linspace(0, count - 1, min(_ABREAST, count))})
    if here not in at:  # in the place of its neighbour, but not of an end
        inner = np.array(at[1:-1])
        at[1 + int(np.abs(inner - here).argmin())] = here
    return at


def _python(plan: Plan) -> str:
    """Code that gives this very sweep."""
    base = plan.study.but(**{name: plan.study.parameters()[name].default for name in plan.grid})
    code = base.as_python().replace("result = study.run()\n", "")
    return f"{code}result = lab.sweep(study, {', '.join(f'{name}={values!r}' for name, values in plan.grid.items())})\n"
