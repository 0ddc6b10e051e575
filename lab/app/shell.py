"""What stands around a page: the top bar, the column beside it, the theme; and the server of all pages."""

import gc
import socket
import sys
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from secrets import token_bytes, token_hex
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import jax
import panel as pn
import param
from jinja2 import Environment
from panel.io.server import Server, get_server
from tornado.ioloop import PeriodicCallback
from tornado.process import task_id
from tornado.web import RequestHandler

from lab import watch
from lab.studies import Study, catalogue, find, load_files
from lab.studies.contract.recipe import device

from . import faults, gate, login, theme, wire, worker
from .calm import hurried, page_opened
from .garbage import look_where_nothing_waits
from .gate import Access, Headers, checked_address, host_of, is_public, new_token, own_names, stand_before
from .inline import Inline
from .limits import LOCAL, PUBLIC, Limits, apply
from .session import Session
from .study_page import StudyPage
from .view import View, source

_NAME = "TransportLab"
_TURN = 5e-4  # seconds: what compiles gives way to a redraw so soon; Python's 5 ms add up, for a redraw asks often
_OPENING = 1.5  # seconds in which a page has its first picture
_LOOK = 250  # milliseconds
_FORKED = (
    "These pages can't be served by several processes, since a page would come from one and its socket from another: "
    "leave out --num-procs, for one process serves many pages at a time."
)


class Scheme(View):
    """Which theme the browser's page has."""

    dark = param.Boolean(False)

    _esm = source("scheme.js")


def study_page(study: type[Study] | str) -> pn.Template:
    """The whole page of a study for a server: state from the address, theme from the browser.

    Args:
        study: the class, or a name as for ``find``.

    Returns:
        a template of Panel, for a route of a server; outside of one the study computes at once.

    Examples:
        >>> from lab import app
        >>> from lab.studies import DataSource, Paper, Result, Study, Whole
        >>> class Twice(Study):
        ...     slug, kind, paper = "twice", "transport", Paper("Diophantus", "Arithmetica", "Alexandria", 250)
        ...     data = DataSource("bump-to-bump", doc="not looked at")
        ...     n = Whole(2, doc="a number")
        ...     results = (Result("twice", (), "twice", "the number"),)
        ...     compute = staticmethod(lambda inputs, p, loop, warm=None: {"twice": 2 * p.n})
        >>> type(app.study_page(Twice)).__name__
        'Template'
    """
    _begin()
    study = find(study) if isinstance(study, str) else study
    if task_id() is not None:
        return _says(_FORKED, study.title)
    worker.first(study.slug)
    session = Session(study, dark=_wants_dark())
    faults.attach(session.refuse)
    page = StudyPage(session, address=True)
    faults.guarded(session.from_query)(_query())
    pn.state.onload(session.start)  # nothing is computed for who asks for the page and does not open it
    session.post(session.prepare)  # the first picture is drawn while the browser reads the page
    return _shell(
        page.main, column=page.column, bar=page.bar, crumbs=(study.field, study.title), title=study.title, owner=session
    )


def gallery_page() -> pn.Template:
    """The gallery for a server.

    Returns:
        a template of Panel, for a route of a server.

    Examples:
        >>> from lab import app
        >>> type(app.gallery_page()).__name__
        'Template'
    """
    from .gallery import Gallery

    if task_id() is not None:
        return _says(_FORKED, _NAME)
    gallery = Gallery(in_page=False, dark=_wants_dark())
    return _shell(gallery, search=gallery.search, title=_NAME, owner=gallery)


def page(study: Study | type[Study]) -> pn.viewable.Viewable:
    """The live page of a study without a shell, for a notebook cell or for who embeds it.

    Args:
        study: its class, or one with parameters set.

    Returns:
        something that Panel shows; outside of a notebook the study computes at once.

    Examples:
        >>> import panel as pn
        >>> from lab import app
        >>> from lab.studies import DataSource, Paper, Result, Study, Whole
        >>> class Twice(Study):
        ...     slug, kind, paper = "twice", "transport", Paper("Diophantus", "Arithmetica", "Alexandria", 250)
        ...     data = DataSource("bump-to-bump", doc="not looked at")
        ...     n = Whole(2, doc="a number")
        ...     results = (Result("twice", (), "twice", "the number"),)
        ...     compute = staticmethod(lambda inputs, p, loop, warm=None: {"twice": 2 * p.n})
        >>> isinstance(app.page(Twice(n=3)), pn.viewable.Viewable)
        True
    """
    _begin()
    session = Session(study)
    if watch.in_notebook():
        return Inline(session)
    made = StudyPage(session)
    session.start()
    return made.__panel__()


def serve(
    files: Sequence[str] = (),
    port: int = 5006,
    host: str = "127.0.0.1",
    show: bool = False,
    address: str | Sequence[str] | None = None,
    warm: bool = True,
    token: str | None = None,
    limits: Limits | None = None,
    auth: Mapping[str, Any] | None = None,
    proxy: bool = False,
    memory: int | None = None,
) -> None:
    """Serve the gallery and a page for each study, until interrupted.

    Args:
        files: Python files with studies of the user's own; one that can't be used is told (``LeftOut``), and all else
            is served.
        port: 0 takes a free one.
        host: the interface to listen on; only this machine by default.
        show: open a browser.
        address: the ``host:port`` that browsers see, as for ``make_server``.
        warm: compile what the default of each study needs in a process of its own.
        token: what a visitor must show once, as for ``make_server``.
        limits: of each visitor, as for ``make_server``.
        auth: how visitors log in, as for ``make_server``.
        proxy: take the visitor's address and the protocol from the headers of a proxy; only safe behind one.
        memory: bytes above which what can be made again is let go of: compiled programs that nobody used for half a minute, and
            all else once nothing runs; 1.5 GB when left out, or a quarter of the machine where that is less.

    Raises:
        ValueError: files are given and none of them can be used; or what ``make_server`` refuses.
        OSError: the port is taken.

    Examples:
        >>> from lab import app
        >>> app.serve(["/nowhere.py"])
        Traceback (most recent call last):
        ValueError: there is no file /nowhere.py
    """
    gc.disable()  # what is imported stays, and to look through it takes a second
    try:
        load_files(files)
        server = make_server(
            port=port, host=host, address=address, warm=warm, token=token, limits=limits, auth=auth, proxy=proxy
        )
    finally:
        gc.enable()
    token = server._tornado.settings["lab_gate"].access.token
    places = [address] if isinstance(address, str) else list(address or ())
    wide = host in ("0.0.0.0", "::", "")
    seen = (
        places[0] if places else f"{(socket.gethostname() if token else 'localhost') if wide else host}:{server.port}"
    )
    seen = seen if "://" in seen else f"http://{seen}"
    print(f"{_NAME} is at {seen}{f'/?token={token}' if token else ''}", flush=True)
    if is_public(host, places) and not token and not auth:
        print("Warning: whoever reaches this machine can compute on it and read what its store keeps.", flush=True)
    if show:
        server.io_loop.add_callback(server.show, "/")
    look_where_nothing_waits(server, memory)
    sys.setswitchinterval(_TURN)
    server.run_until_shutdown()


def make_server(
    port: int = 5006,
    host: str = "127.0.0.1",
    address: str | Sequence[str] | None = None,
    warm: bool = True,
    token: str | None = None,
    limits: Limits | None = None,
    auth: Mapping[str, Any] | None = None,
    proxy: bool = False,
) -> Server:
    """The server that ``serve`` runs, not yet started: for tests and for those who embed it.

    Args:
        port: 0 takes a free one.
        host: the interface to listen on; only this machine by default.
        address: the ``host:port`` that browsers see, one or several, where it is another, behind a proxy say.
        warm: compile what the default of each study needs in a process of its own, so that visitors do not wait for it.
        token: what a visitor must show once; made where others can reach the server and there is no ``auth``, unless it is
            "".
        limits: of each visitor; ``limits.LOCAL`` or, where others can reach the server, ``limits.PUBLIC`` when left out.
        auth: how visitors log in, as Panel takes it: ``basic_auth`` (a password, or a JSON file of users, which is read
            now), ``oauth_provider``, ...
        proxy: take the visitor's address and the protocol from the headers of a proxy; only safe behind one.

    Returns:
        a server of Bokeh, which listens and does not answer before it is run.

    Raises:
        ValueError: an address or a login that can't be, in a sentence.
        OSError: the port is taken.

    Examples:
        >>> from lab import app
        >>> server = app.make_server(port=0, warm=False)
        >>> server.port > 0
        True
        >>> server.stop()
    """
    auth = dict(auth or {})
    users = login.users(auth.pop("basic_auth")) if "basic_auth" in auth else ""
    _begin()
    from panel import ui  # noqa: F401  now, or the first visitor would wait for it

    studies = catalogue()
    routes: dict[str, Any] = {"/": _spoken(gallery_page, _NAME)} | {study.slug: _route(study) for study in studies}
    places = [checked_address(each) for each in ([address] if isinstance(address, str) else address or ())]
    public = is_public(host, places)
    titles = {"/": _NAME} | {study.slug: study.title for study in studies}  # Panel would name the tab after itself
    wire.install()
    server = get_server(
        routes,
        title=titles,
        port=port,
        address=host,
        liveness=True,
        transforms=[Headers],
        sign_sessions=True,
        secret_key=token_bytes(32),
        http_server_kwargs={"xheaders": proxy, **gate.HTTP},
        # The page can read the token of its session: no header and no cookie is in there but what builds the page, or, with
        # OAuth, what Panel counts users by.
        include_headers=[],
        include_cookies=["lab-scheme", *(["user"] if auth.get("oauth_provider") else [])],
        websocket_max_message_size=wire.MESSAGE,
        websocket_compression_level=1,
        default_handler_class=_Missing,
        **_login(auth, users),
    )
    names = {host, "localhost", "127.0.0.1", "::1"} | (own_names() if public and not places else set())
    names -= {"0.0.0.0", "::", ""}
    bracketed = {f"[{name}]" if ":" in name else name for name in names}
    server._tornado.websocket_origins.update(places, (f"{name}:{server.port}" for name in bracketed))
    asked = token if token is not None else new_token() if public and not auth and not users else ""
    by_name = bool(auth.get("oauth_provider")) or isinstance(users, dict)
    stand_before(server, Access({*names, *map(host_of, places)}, asked, users, by_name))
    if not proxy:
        gate.bound_connections(server)
    # Panel begins this by itself, at the first event of a page; in a page's thread it never gets there and tries for ever
    server.io_loop.add_callback(pn.state._schedule_busy_cleanup)
    apply(limits or (PUBLIC if public else LOCAL))
    worker.begin(study.slug for study in studies) if warm else worker.begin()
    turns = PeriodicCallback(lambda: worker.give_way(hurried(_OPENING)), _LOOK)
    server.io_loop.add_callback(turns.start)
    return server


def _login(auth: Mapping[str, Any], users: Mapping[str, str] | str) -> dict[str, Any]:
    """Panel's settings for a login; its own page of that loads from elsewhere."""
    if not auth and not users:
        return {}
    page = str(theme.path("login.html"))
    made = {"cookie_secret": token_hex(32), "login_template": page} | dict(auth)
    return made | {"auth_provider": login.Provider(login_template=made["login_template"])} if users else made


class Template(pn.Template):
    def __repr__(self) -> str:  # Panel asks for it at each part that is added; its own prints the whole page each time
        return type(self).__name__


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
    return _spoken(lambda: study_page(study), study.title)


def _spoken(make: Callable[[], pn.Template], title: str) -> Callable[[], pn.Template]:
    """The same page, or one that says why it can't be made: no page loads for ever."""

    def made() -> pn.Template:
        try:
            return make()
        except Exception as problem:
            return _says(faults.sentence(problem), title)

    return made


def _says(sentence: str, title: str) -> pn.Template:
    told = theme.html(f'<p role="alert">{theme.escape(sentence)}</p>', "")
    return _shell(told, title=title, owner=SimpleNamespace(dark=_wants_dark()))


def _begin() -> None:
    """Load what draws on a page, once; and where one is being made, what its widgets look like."""
    from lab.studies.draw.look import backends

    backends("bokeh")
    if pn.state.curdoc is not None:
        from panel import ui  # not above: its import sets its design for all that a notebook shows

        pn.extension(design=ui.MaterialUIDesign)


def _shell(main, *, title: str, owner: Any, column=None, search=None, bar=None, crumbs: tuple[str, ...] = ()):
    """A whole page: the top bar, the column of inputs, the rest."""
    page_opened()
    worker.give_way(True)
    scheme = Scheme(dark=owner.dark, sizing_mode="fixed", width=0, height=0)
    scheme.param.watch(lambda event: setattr(owner, "dark", event.new), "dark")
    template = Template(theme.asset("page.html"), items={"main": pn.panel(main), "scheme": scheme})
    if column is not None:
        template.add_panel("column", column)
    if search is not None:
        template.add_panel("search", search)
    if bar is not None:
        template.add_panel("bar", bar)
    precision = "float64" if jax.config.jax_enable_x64 else "float32"
    said = {
        "device": f"{device()} · {precision}".replace(", ", " · "),
        "css": theme.root_css() + theme.asset("page.css"),
    }
    for name, value in said.items() | {"home": "./", "crumbs": crumbs}.items():
        template.add_variable(name, value)
    template.add_variable("column", column is not None)
    template.add_variable("search", search is not None)
    template.add_variable("bar", bar is not None)
    template.add_variable("favicon", _favicon())
    if pn.state.curdoc is not None:
        pn.state.curdoc.title = title
    return template


def _wants_dark() -> bool:
    return (pn.state.cookies or {}).get("lab-scheme") == "dark"


def _query() -> dict[str, str]:
    arguments = pn.state.session_args or {}
    return {name: values[-1].decode(errors="replace") for name, values in arguments.items() if values}
