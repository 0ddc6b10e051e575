"""What stands around a page: the top bar, the column beside it, the theme; and the server of all pages."""

import gc
import logging
import threading
from base64 import b64encode
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

import jax
import panel as pn
import param
from jinja2 import Environment
from panel.io.server import Server, get_server
from tornado.ioloop import PeriodicCallback
from tornado.web import RequestHandler

from lab.studies import Study, catalogue, find, load_file
from lab.studies.base import device

from . import theme
from .runner import BACKGROUND, Runner, quiet_for
from .session import Session
from .study_page import StudyPage
from .view import View, source

_NAME = "TransportLab"
_log = logging.getLogger("lab.app")


class Scheme(View):
    """Which theme the browser's page has."""

    dark = param.Boolean(False)

    _esm = source("scheme.js")


def study_page(study: type[Study] | str) -> pn.Template:
    """The whole page of a study for a server: state from the address, theme from the browser."""
    _begin()
    study = find(study) if isinstance(study, str) else study
    session = Session(study, dark=_wants_dark())
    page = StudyPage(session, address=True)
    session.from_query(_query())
    session.start()
    return _shell(page.main, column=page.column, crumbs=(study.field, study.title), title=study.title, owner=session)


def gallery_page() -> pn.Template:
    """The gallery for a server."""
    from .gallery import Gallery

    gallery = Gallery(in_page=False, dark=_wants_dark())
    return _shell(gallery, search=gallery.search, title=_NAME, owner=gallery)


def page(study: Study | type[Study]) -> pn.viewable.Viewable:
    """The live page of a study without a shell, for a notebook cell."""
    _begin()
    session = Session(study)
    made = StudyPage(session)
    session.start()
    return made.__panel__()


def serve(
    files: Sequence[str] = (),
    port: int = 5006,
    host: str = "127.0.0.1",
    show: bool = False,
    address: str | None = None,
    warm: bool = True,
) -> None:
    """Serve the gallery and a page for each study, until interrupted.

    Args:
        files: Python files with studies of the user's own.
        port: 0 takes a free one.
        host: the interface to listen on; only this machine by default.
        show: open a browser.
        address: the ``host:port`` that browsers see where it is another, behind a proxy say.
        warm: as for ``make_server``.
    """
    for file in files:
        load_file(file)
    server = make_server(port=port, host=host, address=address, warm=warm)
    seen = address or f"{'localhost' if host in ('0.0.0.0', '::', '') else host}:{server.port}"
    print(f"{_NAME} is at http://{seen}", flush=True)
    if show:
        server.io_loop.add_callback(server.show, "/")
    # To look through all objects for garbage stops every page for 0.1 to 0.4 s, in the middle of a redraw if Python chooses
    # the moment. What is there now stays for good and is left out; the rest is looked through while nothing runs.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*gc.get_threshold()[:2], 200)
    server.io_loop.add_callback(PeriodicCallback(_tidy, 1000).start)
    server.run_until_shutdown()


def make_server(port: int = 5006, host: str = "127.0.0.1", address: str | None = None, warm: bool = True) -> Server:
    """The server that ``serve`` runs, not yet started: for tests and for those who embed it.

    Args:
        warm: run the default of each study in the background, so that the first visitor does not wait for compilation.
    """
    _begin()
    studies = catalogue()
    routes: dict[str, Any] = {"/": gallery_page} | {study.slug: _route(study) for study in studies}
    origins = {address} if address else {f"{name}:{port}" for name in {host, "localhost", "127.0.0.1"}}
    titles = {"/": _NAME} | {study.slug: study.title for study in studies}  # Panel would name the tab after itself
    server = get_server(
        routes,
        title=titles,
        port=port,
        address=host,
        websocket_origin=sorted(origins) if port else None,
        liveness=True,
        websocket_max_message_size=_MESSAGE,
        websocket_compression_level=1,
        default_handler_class=_Missing,
    )
    if warm:
        threading.Thread(target=_warm, args=(studies,), daemon=True, name="warm").start()
    return server


def _tidy() -> None:
    if quiet_for(_QUIET) and gc.get_count()[2]:
        gc.collect()


_QUIET = 3.0  # seconds
_MESSAGE = 20 * 2**20  # bytes; larger uploads travel in parts


class _Missing(RequestHandler):
    """What stands at an address that is no page."""

    def prepare(self) -> None:
        self.set_status(404)
        page = Environment(autoescape=True).from_string(theme.asset("missing.html"))
        css = theme.root_css() + theme.asset("page.css")
        self.finish(page.render(name=_NAME, css=css, favicon=_favicon(), path=unquote(self.request.path)))


def _favicon() -> str:
    return "data:image/svg+xml;base64," + b64encode(theme.asset("mark.svg").encode()).decode()


def _route(study: type[Study]):
    def make() -> pn.Template:
        return study_page(study)

    return make


def _warm(studies: Sequence[type[Study]]) -> None:
    """Compile what the default of each study needs before the first visitor does, behind all that visitors ask for."""
    runner, ended = Runner(lambda call: call(), BACKGROUND), threading.Event()
    for study in studies:
        ended.clear()
        try:
            default = study()
            programs = default.programs(default.load())
        except (ValueError, TypeError, OSError) as refusal:
            _log.error("the default of %s can't be run: %s", study.slug, refusal)
            continue

        def failed(sentence: str, slug: str = study.slug) -> None:
            _log.error("the default of %s can't be run: %s", slug, sentence)
            ended.set()

        runner.submit(default.execute, programs=programs, done=lambda outcome: ended.set(), failed=failed)
        ended.wait()


def _begin() -> None:
    """Load what draws, once; and where a page is being made, what sets formulas: a tab opened later needs it."""
    from lab.studies.draw.look import backends

    backends()
    if pn.state.curdoc is not None:
        pn.extension("mathjax")


def _shell(main, *, title: str, owner: Any, column=None, search=None, crumbs: tuple[str, ...] = ()):
    """A whole page: the top bar, the column of inputs, the rest."""
    scheme = Scheme(dark=owner.dark, sizing_mode="fixed", width=0, height=0)
    scheme.param.watch(lambda event: setattr(owner, "dark", event.new), "dark")
    template = pn.Template(theme.asset("page.html"), items={"main": pn.panel(main), "scheme": scheme})
    if column is not None:
        template.add_panel("column", column)
    if search is not None:
        template.add_panel("search", search)
    precision = "float64" if jax.config.jax_enable_x64 else "float32"
    said = {
        "device": f"{device()} · {precision}".replace(", ", " · "),
        "css": theme.root_css() + theme.asset("page.css"),
    }
    for name, value in said.items() | {"home": "./", "crumbs": crumbs}.items():
        template.add_variable(name, value)
    template.add_variable("column", column is not None)
    template.add_variable("search", search is not None)
    template.add_variable("favicon", _favicon())
    if pn.state.curdoc is not None:
        pn.state.curdoc.title = title
    return template


def _wants_dark() -> bool:
    return (pn.state.cookies or {}).get("lab-scheme") == "dark"


def _query() -> dict[str, str]:
    arguments = pn.state.session_args or {}
    return {name: values[-1].decode(errors="replace") for name, values in arguments.items() if values}
