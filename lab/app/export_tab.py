"""Export: a picture as it will stand on the page of a paper, and the file with its recipe inside."""

import io
import shlex
from pathlib import Path
from typing import Any, NamedTuple

import panel as pn
import param
import xarray as xr

from lab import figures
from lab.cards import as_uri
from lab.numerics import Progress, Report
from lab.studies import Picture, Study

from . import buttons, theme
from .runner import SWEEP, Runner
from .session import Session
from .view import View, source

_CSS = theme.asset("export.css")
_FRAMES = 3  # of a picture that moves: one would not show that
_DELAY = 0.25  # seconds of quiet before a new preview is drawn
_ASKED = ("picture", "panels", "format", "at", "frames", "camera", "width", "width_inches", "height_inches", "style")
_SHARP = 2  # preview pixels for each CSS pixel, of which an inch has 96


class _Made(NamedTuple):
    """A figure that is ready: the file, what it shows, and a PNG of it for the screen."""

    name: str
    file: bytes
    shown: xr.Dataset
    preview: bytes
    inches: tuple[float, float]


class ExportTab(pn.viewable.Viewer):
    """The export of the session's result. Nothing is drawn before ``active`` is set, or while it is off.

    A result that began from its neighbour is computed again from the start first: what is kept for good must not depend
    on the way one came.
    """

    active = param.Boolean(False, doc="the tab is in view")
    picture = param.Selector(objects=[""], doc="name of the picture")
    panels = param.String("", doc="further pictures of the figure, by name, with commas between")
    format = param.Selector(default="pdf", objects=[*figures.FORMATS, *figures.MOVING])
    at = param.String("", doc="of a picture that moves: the place of the frame, empty for the last")
    frames = param.String("", doc="of a picture that moves: so many frames beside each other, where ``at`` names none")
    camera = param.String("", doc="of a picture that turns: azimuth and elevation, as on the page; empty for its own")
    width = param.Selector(default="column", objects=["column", "text", "inches"])
    width_inches = param.String("5", doc="the width where ``width`` is inches")
    height_inches = param.String("", doc="empty for what suits the picture")
    style = param.Selector(default="paper", objects=list(figures.STYLES))
    ready = param.Boolean(False, doc="the file on offer is the one that was asked for")

    def __init__(self, session: Session):
        super().__init__()
        self.pictures = list(session.study_class.pictures)
        self.param.picture.objects = [picture.name for picture in self.pictures] or [""]
        self.picture = self.param.picture.objects[0]
        self._session = session
        self._runner = Runner(session.post, SWEEP)  # never in the way of a run
        self._made: _Made | None = None
        self._cold: dict[str, xr.Dataset] = {}
        self._chosen = False
        self._says = theme.html("", _CSS, css_classes=["says"])
        self._paper = theme.html("", _CSS, css_classes=["paper"])
        self._notes = theme.html("", _CSS, css_classes=["notes"])
        self._file = buttons.Download("Download the figure", self.file, strong=True)
        self._numbers = buttons.Download("Its numbers (.nc)", self.numbers)
        offers = pn.Row(self._file, self._numbers, margin=(4, 0, 14, 0))
        self._form = ExportForm(self)
        left = theme.column(self._form, offers, self._notes, css=_CSS, css_classes=["fields"])
        right = theme.column(self._says, self._paper, css=_CSS, css_classes=["sheet"])
        self._view = theme.column(left, right, css=_CSS, css_classes=["export"])
        session.param.watch(self._follow_camera, "cameras")
        self.param.watch(self._follow_camera, "picture")  # before what draws it
        session.param.watch(self._changed, ["result", "study", "fresh", "error"])
        self.param.watch(
            self._changed,
            ["active", *_ASKED],
        )
        if pn.state.curdoc is not None and pn.state.curdoc.session_context is not None:
            pn.state.on_session_destroyed(lambda context: self._runner.abandon())
        self._changed()

    def __panel__(self):
        return self._view

    def open(self) -> None:
        """The tab came into view."""
        self.active = True

    def _follow_camera(self, event: Any) -> None:
        """The figure has the camera that one sees on the page."""
        self.camera = ", ".join(f"{angle:g}" for angle in self._session.cameras.get(self.picture, ()))

    # ---- from what was asked for to a file -----------------------------------------------------------------------

    def _changed(self, *events: Any) -> None:
        self._withdraw()
        session = self._session
        if not self.picture:
            self._say("This study has no pictures to export.")
        elif session.result is None:
            self._say(session.error or "The figure comes with the first result.")
        elif session.fresh and self.active:
            if not self._chosen:  # begin with a picture that this result can be drawn as
                self._chosen = True
                study, result = session.study, session.result
                drawable = next((p.name for p in study.pictures if not p.along and not p.applies(result)), self.picture)
                if drawable != self.picture:
                    self.picture = drawable  # which comes back here
                    return
            try:
                setting = self._setting()
            except ValueError as refusal:
                self._say(str(refusal), wrong=True)
                return
            study, result = session.study, session.result
            picture = study.pictures[self.picture]
            self._say("Drawing …")
            self._runner.submit(
                lambda report: self._make(study, picture, result, setting, report),
                delay=_DELAY if session.live else 0.0,
                stage=lambda stage: self._say("Computing what this figure shows …"),
                done=self._offer,
                failed=lambda sentence: self._say(sentence, wrong=True),
                fault=("this figure can't be made", "choose another picture, format or size"),
            )

    def _setting(self) -> dict[str, Any]:
        width = self.width_inches if self.width == "inches" else self.width
        setting = {"width": width, "height": self.height_inches.strip() or None, "style": self.style}
        figures.check(**setting)
        picture = self._session.study_class.pictures[self.picture]
        if names := self._beside():
            figures.check_panels(self._session.study, [self.picture, *names])
            if self.format in figures.MOVING:
                raise ValueError("a film is of one picture: leave out the others, or take another format")
            return setting | {"format": self.format}
        at, frames = (None, None) if not picture.plays else (_number(self.at, float), _number(self.frames, int))
        moving = self.format in figures.MOVING
        at, frames = (
            (None if moving else at),
            (None if moving or at is not None or not picture.plays else frames or _FRAMES),
        )
        figures.check_motion(picture, self.format, at, frames)
        camera = (self.camera.strip() or None) if picture.turns else None
        picture.camera(camera)
        return setting | {"format": self.format, "at": at, "frames": frames, "camera": camera}

    def _beside(self) -> list[str]:
        """The further pictures, in order; the first one is among them only once."""
        known = [picture.name for picture in self.pictures]
        return [name for name in self.panels.split(",") if name in known and name != self.picture]

    def _make(self, study: Study, picture: Picture, result: xr.Dataset, setting: Any, report: Report) -> _Made:
        """The file of a picture; called in a thread."""
        shown = self._from_the_start(study, picture, result, report)
        why = picture.applies(shown)
        if why:
            raise ValueError(why)
        file, screen = io.BytesIO(), io.BytesIO()

        def told(progress: Progress) -> bool | None:
            words = f"Drawing frame {progress.iteration} of {progress.max_iterations} …"
            self._session.post(lambda: None if self.ready else self._say(words))
            return report(progress)

        names = [picture.name, *self._beside()]

        def write(target: io.BytesIO, **how: Any) -> None:
            if len(names) > 1:
                run = shown if picture.along is None else self._from_the_start(study, None, result, report)
                figures.export_panels(study, names, run, target, report=report, **how)
            else:
                figures.export_picture(picture, shown, target, report=told, **how)

        write(file, **setting)
        if setting["format"] == "png":
            screen = file
        else:
            write(screen, **(setting | {"format": "png"}))
        preview, inches = _for_screen(screen.getvalue(), figures.find_style(setting["style"]).dpi)
        name = f"{study.slug}-{picture.name}.{setting['format']}"
        return _Made(name, file.getvalue(), shown, preview, inches)

    def _from_the_start(self, study: Study, picture: Picture | None, result: xr.Dataset, report: Report) -> xr.Dataset:
        """What a picture shows, or the run itself."""
        swept = picture if picture is not None and picture.along is not None else None
        key = result.attrs["recipe"] + (swept.name if swept else "")
        if key not in self._cold:
            if swept is not None:
                made = study.picture_result(swept, result, report)
            else:
                made = study.run(report) if result.attrs["warm_start"] else result
            self._cold = {**dict(list(self._cold.items())[-3:]), key: made}
        return self._cold[key]

    def _offer(self, made: _Made) -> None:
        self._made = made
        wide, high = made.inches
        kind = {
            "pdf": "vector, fonts embedded",
            "svg": "vector, type as outlines",
            "png": "pixels",
            "eps": "vector, no transparency",
            "gif": "a film",
            "mp4": "a film",
        }[self.format]
        self._say(f"{wide:.3g} × {high:.3g} in · {self.format.upper()}, {kind} · {size(len(made.file))}")
        uri = as_uri(made.preview)
        self._paper.object = (
            f'<div class="page"><img src="{uri}" alt="the figure at print size" style="width:{wide}in"></div>'
        )
        command = self._command(made.name)
        study, names = self._session.study, [self.picture, *self._beside()]
        under = figures.caption(study, names, made.shown, made.name)
        cited = buttons.copy("Copy BibTeX", study.paper.bibtex) if study.paper.title else ""
        self._notes.object = (
            "<p>The recipe is inside the file: parameters, data, versions. This computes it again and compares:</p>"
            f"<pre>lab reproduce {theme.escape(made.name)}</pre>"
            f"<p>And this makes the figure without a browser:</p><pre>{theme.escape(command)}</pre>"
            f'<div class="copies">{buttons.copy("Copy command", command)}'
            f"{buttons.copy('Copy LaTeX with caption', under)}{cited}</div>"
        )
        self._file.offer(True)
        self._numbers.offer(True)
        self.ready = True

    def _withdraw(self) -> None:
        """What was on offer is not what is asked for any more."""
        self._runner.abandon()
        self._file.offer(False)
        self._numbers.offer(False)
        self._notes.object = ""
        self.ready = False
        if self._paper.object and "stale" not in self._paper.object:
            self._paper.object = self._paper.object.replace('class="page"', 'class="page stale"')

    def _say(self, sentence: str, wrong: bool = False) -> None:
        self._says.object = f'<p class="{"wrong" if wrong else ""}">{theme.escape(sentence)}</p>'
        if wrong:
            self._paper.object = ""

    def _command(self, file: str) -> str:
        study = self._session.study
        beside = self._beside()
        words = [
            "lab",
            "figure",
            f"{study.slug}:{','.join([self.picture, *beside])}",
            *shlex.split(study.as_command())[3:],
        ]
        if self.width != "column":
            words += ["--width", self.width_inches.strip() if self.width == "inches" else self.width]
        if self.height_inches.strip():
            words += ["--height", self.height_inches.strip()]
        if self.style != "paper":
            words += ["--style", self.style]
        if beside:
            return shlex.join([*words, "-o", file])
        if study.pictures[self.picture].plays and self.format not in figures.MOVING:
            for name in ("at", "frames"):
                if (value := getattr(self, name).strip()) and not (name == "frames" and "--at" in words):
                    words += [f"--{name}", value]
        if study.pictures[self.picture].turns and self.camera.strip():
            words.append(f"--camera={self.camera.replace(' ', '')}")
        return shlex.join([*words, "-o", file])

    def file(self) -> tuple[str, bytes]:
        """Name and content of the figure on offer."""
        assert self._made is not None
        return self._made.name, self._made.file

    def numbers(self) -> tuple[str, bytes]:
        """Name and content of the netCDF file of what the figure shows."""
        assert self._made is not None
        buffer = io.BytesIO()
        self._made.shown.to_netcdf(buffer, engine="h5netcdf")
        return f"{Path(self._made.name).stem}.nc", buffer.getvalue()


class ExportForm(View):
    """The fields of the export."""

    _esm = source("fields.js", "export.js")
    css = theme.asset("controls.css") + _CSS

    def __init__(self, tab: ExportTab):
        super().__init__(self._take)
        self._tab = tab
        tab.param.watch(self._follow, list(_ASKED))
        self._follow()

    def _take(self, message: dict[str, Any]) -> None:
        name, value = message.get("name"), str(message.get("value"))
        if name in _ASKED and value in (getattr(self._tab.param[name], "objects", None) or [value]):
            setattr(self._tab, name, value)

    def _follow(self, *events: Any) -> None:
        tab = self._tab
        widths = [(name, f"{name} {size:g}″") for name, size in figures.WIDTHS.items()]
        styles = [(style.name, f"{style.name}: {style.doc.partition(':')[0]}") for style in figures.STYLES.values()]
        plays, turns = (
            any(getattr(p, way) for p in tab.pictures if p.name == tab.picture) for way in ("plays", "turns")
        )
        kinds = [*figures.FORMATS, *(figures.MOVING if plays else ())]
        fields = [
            _field("picture", "Picture", "select", options=[(p.name, p.title) for p in tab.pictures]),
            _field(
                "panels",
                "Together with",
                "several",
                options=[(p.name, p.title) for p in tab.pictures],
                hint="no other picture",
            ),
            _field("format", "Format", "segments", options=[(kind, kind.upper()) for kind in kinds]),
            _field("at", "Frame", "text", hint="where; empty for several frames"),
            _field("frames", "Frames", "text", hint=f"2 to 12; empty for {_FRAMES}"),
            _field("camera", "Camera", "text", hint="azimuth, elevation in degrees"),
            _field("width", "Width", "segments", options=[*widths, ("inches", "other")]),
            _field("width_inches", "", "text", hint="inches, 1 to 20"),
            _field("height_inches", "Height", "text", hint="what suits the picture, or inches"),
            _field("style", "Style", "select", options=styles),
        ]
        hidden = [] if tab.width == "inches" else ["width_inches"]
        together = bool(tab._beside())
        if not plays or together or tab.format in figures.MOVING:
            hidden += ["at", "frames"]
        hidden += ["camera"] if together or not turns else []
        self.draw(fields=fields, values={name: getattr(tab, name) for name in _ASKED}, hidden=hidden)


def _number(words: str, kind: type) -> Any:
    try:
        return kind(words) if words.strip() else None
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise ValueError(f"{words!r} is no frame: give {what}, or leave it empty") from None


def _field(name: str, title: str, kind: str, options: Any = (), hint: str = "") -> dict[str, Any]:
    return {"name": name, "title": title, "kind": kind, "options": options, "hint": hint}


def _for_screen(png: bytes, dpi: int) -> tuple[bytes, tuple[float, float]]:
    """The figure in as many pixels as a screen shows of it, and its size in inches."""
    from PIL import Image

    image = Image.open(io.BytesIO(png))
    inches = image.width / dpi, image.height / dpi
    share = min(1.0, _SHARP * 96 / dpi)
    small = image.resize((round(image.width * share), round(image.height * share)), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    small.save(out, "PNG")
    return out.getvalue(), inches


def size(count: int) -> str:
    """Bytes in words: 1.2 MB."""
    return f"{count / 1000:.0f} kB" if count < 1e6 else f"{count / 1e6:.1f} MB"
