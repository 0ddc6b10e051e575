"""What stands in front of all pages: who may ask, and what every answer tells the browser to refuse.

See docs/serving.md for what this protects from, and what not.
"""

import hmac
import ipaddress
import math
import re
import socket
import sys
import time
from base64 import b64encode
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from secrets import token_urlsafe
from typing import Any, ClassVar, NamedTuple
from urllib.parse import urlencode, urlsplit
from weakref import WeakSet

from bokeh.core.types import ID
from bokeh.server.server import BaseServer
from bokeh.server.util import check_allowlist
from bokeh.util.token import check_token_signature, get_session_id, get_token_payload
from tornado.httputil import HTTPHeaders, HTTPMessageDelegate, HTTPServerRequest
from tornado.iostream import IOStream
from tornado.routing import Router
from tornado.web import OutputTransform, RequestHandler

from . import buttons, limits, theme

_LOCAL = ("localhost", "127.0.0.1", "::1")
_TRIES, _WITHIN = 10, 60.0  # wrong tokens and passwords of an address, and the seconds in which they are forgotten
_SOCKETS = 4  # to one page: a browser that comes back may be before the end of the connection that it lost
_EACH = 10  # connections for each page that a visitor may have: six for its files, one for itself
WRONG = "That is not the token of this server: it stands where the server was started."
_UNUSED = 15.0  # seconds after which Bokeh gives up a page that no browser opened
_OPEN = ("/liveness",)  # what a proxy asks to know whether the server lives
HTTP = {  # no page is posted: what is uploaded comes by its websocket
    "max_body_size": 16 * 2**10,
    "body_timeout": 10.0,
    "idle_connection_timeout": 30.0,  # the headers of a request are all there by then, too
}
_SCRIPT = re.compile(rb"<script\b([^>]*>.*?</script>)", re.DOTALL | re.IGNORECASE)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def policy(scripts: Iterable[str] = ()) -> str:
    """The content-security policy: nothing from elsewhere, and of the scripts in a page only those that it was sent with.

    BokehJS makes functions of texts ('unsafe-eval') and Panel loads our components from blobs; styles stand in elements.
    A handler in an element, as injected HTML has it, is not run.
    """
    return "; ".join(
        (
            "default-src 'self'",
            f"script-src {' '.join(["'self'", "'unsafe-eval'", 'blob:', *scripts])}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "media-src 'self' blob:",
            "connect-src 'self' blob:",
            "worker-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            "frame-ancestors 'self'",
        )
    )


class Headers(OutputTransform):
    """Tornado's hook for every answer: pages, files, errors, handshakes."""

    def __init__(self, request: HTTPServerRequest):
        pass

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        for name, value in _HEADERS.items():
            headers[name] = value
        for name in [name for name in headers if name.startswith("Access-Control-")]:
            del headers[name]
        scripts: list[str] = []
        if finishing and headers.get("Content-Type", "").startswith("text/html"):
            nonce = token_urlsafe(16)
            chunk = _SCRIPT.sub(rb'<script nonce="%b"\1' % nonce.encode(), chunk)
            scripts = [f"'nonce-{nonce}'", "'unsafe-hashes'", *_HANDLERS]
            headers["Cache-Control"] = "no-store"  # its nonce is for once
            if "Content-Length" in headers:
                headers["Content-Length"] = str(len(chunk))
        headers["Content-Security-Policy"] = policy(scripts)
        return status_code, headers, chunk


def _hashed(code: bytes) -> str:
    return f"'sha256-{b64encode(sha256(code).digest()).decode()}'"


_HANDLERS = [_hashed(code.encode()) for code in buttons.HANDLERS]


@dataclass
class Access:
    """Who may ask.

    Attributes:
        names: the hosts that a request may name; any other, as of a page elsewhere that rebinds its name, is refused.
        token: what has to be shown; "" for nothing.
        users: the passwords by user, or one for all; "" where there is no such login.
        by_name: each visitor has a login of their own.
    """

    names: Collection[str] = _LOCAL
    token: str = ""
    users: Mapping[str, str] | str = ""
    by_name: bool = False

    def cookie(self) -> str:
        return sha256(f"lab {self.token}".encode()).hexdigest()


class Refusal(NamedTuple):
    """What is answered in place of what was asked for."""

    status: int
    sentence: str
    form: bool = False  # with a field for the token
    wait: float = 0.0  # seconds


class Gate(Router):
    """Refuses a request, or hands it to the server's own handlers."""

    def __init__(self, server: BaseServer, access: Access):
        self._server, self._application, self.access = server, server._tornado, access
        self._tries = limits.Allowance(_TRIES, _WITHIN)

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> HTTPMessageDelegate | None:
        limits.recognise(request, self.access.by_name)
        refusal = self._refusal(request)
        if refusal is None:
            return self._application.find_handler(request, **kwargs)
        if refusal.status == 302:
            return self._application.get_handler_delegate(
                request, _Enter, {"access": self.access, "port": self._server.port}
            )
        return self._application.get_handler_delegate(request, _Refused, {"refusal": refusal})

    def right(self, request: HTTPServerRequest) -> None:
        """A try that was none: what was shown is right."""
        self._tries.take(limits.place(str(request.remote_ip)), -1.0)

    def _refusal(self, request: HTTPServerRequest) -> Refusal | None:
        if host_of(request.host) not in self.access.names:
            return Refusal(403, "This server is not known by that name: start it with --address and the name you use.")
        if self._foreign(request):
            return Refusal(403, "Another site asked for this: it may have a link to these pages, and nothing more.")
        if request.path.rstrip("/").endswith("/autoload.js"):
            return Refusal(404, "These pages are not put into others by a script.")
        # Nothing but a login is posted. It counts now: many bodies may come after the headers of all.
        if request.method == "POST" and (refusal := self._tried(request)):
            return refusal
        if self.access.token and request.path not in _OPEN and (refusal := self._unknown(request)):
            return refusal
        if request.path in _OPEN and request.query:
            return Refusal(404, "There is no such question: Panel would make a whole page to answer it.")
        if request.path.startswith("/components/") and not _loaded(request.path):
            return Refusal(404, "There is no such part.")
        return self._no_page(request)

    def _foreign(self, request: HTTPServerRequest) -> bool:
        """Whether a page elsewhere asks, by what browsers say of it; a link that was followed is the visitor's own asking."""
        site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
        if site in ("same-origin", "none"):
            return False
        if origin is not None:
            with suppress(ValueError):
                asks = urlsplit(origin).netloc.lower()
                return asks != request.host.lower() and not check_allowlist(
                    asks, list(self._application.websocket_origins)
                )
            return True
        return site is not None and request.headers.get("Sec-Fetch-Dest") != "document"

    def _tried(self, request: HTTPServerRequest) -> Refusal | None:
        wait = self._tries.wait(limits.place(str(request.remote_ip)))
        told = f"Too many wrong tokens or passwords from your address: wait {math.ceil(wait)} s."
        return Refusal(429, told, wait=wait) if wait else None

    def _unknown(self, request: HTTPServerRequest) -> Refusal | None:
        """Whether the visitor has shown the token: in a cookie, or now."""
        cookie = request.cookies.get(cookie_name(self._server.port))
        if cookie is not None and hmac.compare_digest(cookie.value.encode(), self.access.cookie().encode()):
            return None
        if request.path == "/login" and request.method == "POST":
            return Refusal(302, "")  # its body has not been read yet: the handler compares
        given = request.arguments.get("token")
        if not given:
            return Refusal(401, "This server asks for a token: it stands where the server was started.", form=True)
        if request.method != "POST" and (refusal := self._tried(request)):
            return refusal
        if hmac.compare_digest(given[-1], self.access.token.encode()):
            self.right(request)
            return Refusal(302, "")
        return Refusal(401, WRONG, form=True)

    def _no_page(self, request: HTTPServerRequest) -> Refusal | None:
        """Why a page is not made, or not connected to, where the request would have it so."""
        page, to_socket = request.path.rstrip("/") or "/", request.path.endswith("/ws")
        page = (page.removesuffix("/ws") or "/") if to_socket else page
        context = self._application._applications.get(page)
        if context is None or request.method != "GET":
            return None
        if {"bokeh-token", "bokeh-session-id"} & request.arguments.keys() or "Bokeh-Session-Id" in request.headers:
            return Refusal(400, "A page has no other address than its own: leave out what names a session.")
        if to_socket:
            session = self._session_of(request)
            if not session:
                return Refusal(403, "This connection belongs to no page of this server: load the page again.")
            if held := context._sessions.get(session):
                if self.access.by_name and _visitor(context._session_contexts[session]) != limits.visitor_of(request):
                    return Refusal(403, "This page is another user's.")
                many = held.connection_count >= _SOCKETS
                return Refusal(429, "This page has too many connections: load it again.") if many else None
        return self._no_room(request)

    def _session_of(self, request: HTTPServerRequest) -> ID | None:
        """The session that a handshake shows a token for, which must be of this server and not too old."""
        try:
            bokeh, token = (part.strip() for part in request.headers["Sec-WebSocket-Protocol"].split(","))
            signed = check_token_signature(token, secret_key=self._application.secret_key, signed=True)
            live = signed and get_token_payload(token)["session_expiry"] > time.time()
            return get_session_id(token) if bokeh == "bokeh" and live else None
        except Exception:  # no token, or one that somebody made up
            return None

    def _no_room(self, request: HTTPServerRequest) -> Refusal | None:
        """Why one more page is not made; takes it from what the visitor may have made."""
        contexts, who = self._application._applications.values(), limits.visitor_of(request)
        there = [held for each in contexts for held in each._session_contexts.values()]
        own = sum(_visitor(held) == who for held in there)
        count = len(there) + sum(len(each._pending_sessions) for each in contexts)
        if own >= limits.present.pages:
            told = f"You have {own} pages open, and this server gives a visitor {limits.present.pages:g}: close one."
            return Refusal(429, told, wait=_UNUSED)
        if count >= limits.present.pages_all:
            told = f"All {limits.present.pages_all:g} pages of this server are open: try again in a while."
            return Refusal(503, told, wait=_UNUSED)
        if wait := limits.made.wait(who):
            told = f"You opened many pages within seconds, and each has to be made: wait {math.ceil(wait)} s."
            return Refusal(429, told, wait=wait)
        return None


def _visitor(held: Any) -> str:
    return limits.visitor_of(getattr(held, "request", None))


def stand_before(server: BaseServer, access: Access) -> Gate:
    """Put the gate before everything that a server answers."""
    gate = Gate(server, access)
    server._http.request_callback = gate
    server._tornado.settings["lab_gate"] = gate
    return gate


def bound_connections(server: BaseServer) -> None:
    """Refuse connections of an address that holds very many. Not behind a proxy: there all are of one."""
    held: defaultdict[str, WeakSet[IOStream]] = defaultdict(WeakSet)
    handle = server._http.handle_stream

    def handle_stream(stream: IOStream, address: Any) -> None:
        if len(held) > 10_000:
            for name in [name for name, streams in held.items() if not streams]:
                del held[name]
        streams = held[limits.place(address[0])]
        if sum(not each.closed() for each in streams) < _EACH * limits.present.pages:
            streams.add(stream)
            handle(stream, address)
            return
        told = stream.write(b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 30\r\nConnection: close\r\n\r\n")
        told.add_done_callback(lambda _: stream.close())

    server._http.handle_stream = handle_stream


def is_public(host: str, addresses: Iterable[str] = ()) -> bool:
    """Whether others than this machine's users are served."""
    return any(not _loopback(name) for name in (host, *map(host_of, addresses)))


def own_names() -> set[str]:
    """The names and addresses by which other machines may call this one."""
    names = {socket.gethostname(), socket.getfqdn()}
    with suppress(OSError):
        names |= {str(found[4][0]) for found in socket.getaddrinfo(socket.gethostname(), None)}
    for family, outside in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:  # no packet is sent
            probe.connect((outside, 9))
            names.add(probe.getsockname()[0])
    return {name.lower().partition("%")[0] for name in names if name}


def checked_address(text: str) -> str:
    """An address that browsers see, ``host`` or ``host:port``; ValueError where it is none."""
    place = (urlsplit(text).netloc if "://" in text else text.rstrip("/")).lower()
    if not re.fullmatch(r"(\[[0-9a-f:.]+\]|[\w.-]+)(:\d{1,5})?", place, re.ASCII):
        raise ValueError(f"--address {text[:60]} is not allowed: give a host, or host:port, as browsers see it; no *")
    return place


def new_token() -> str:
    """A token that nobody guesses: 24 random bytes as 32 letters."""
    return token_urlsafe(24)


def cookie_name(port: int | None) -> str:
    """The name of the cookie that holds the token of the server at this port."""
    return f"lab-token-{port}"  # cookies do not tell ports apart


def _loopback(name: str) -> bool:
    try:
        return name == "localhost" or ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def host_of(place: str) -> str:
    """The name in ``name:port``, without brackets."""
    found = re.fullmatch(r"\[?(.*?)\]?(:\d+)?", place if place.count(":") <= 1 or "[" in place else f"[{place}]")
    return found[1].lower().rstrip(".") if found else ""


def _loaded(path: str) -> bool:
    """Whether a part that a page asks for is of a module at hand: Panel would import any that the address names."""
    return path.split("/")[2] in sys.modules


class _Enter(RequestHandler):
    """Takes the token for a cookie, and goes on without it in the address."""

    def initialize(self, access: Access, port: int) -> None:
        self._access, self._port = access, port

    def get(self, *_: Any) -> None:
        rest = {name: values for name, values in self.request.arguments.items() if name != "token"}
        query = urlencode(rest, doseq=True)
        self._let_in("/" + self.request.path.lstrip("/\\") + (f"?{query}" if query else ""))

    def post(self, *_: Any) -> None:
        if hmac.compare_digest(self.get_body_argument("token", "").encode(), self._access.token.encode()):
            self.settings["lab_gate"].right(self.request)
            self._let_in("/")
            return
        self.set_status(401)
        self.finish(page(WRONG, form=True))

    def _let_in(self, where: str) -> None:
        secure = self.request.protocol == "https"
        told = {"httponly": True, "samesite": "Lax", "secure": secure, "path": "/"}
        self.set_cookie(cookie_name(self._port), self._access.cookie(), **told)
        self.set_header("Cache-Control", "no-store")
        self.redirect(where)


class _Refused(RequestHandler):
    """A sentence instead of a page."""

    SUPPORTED_METHODS: ClassVar = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")  # type: ignore[assignment]

    def initialize(self, refusal: Refusal) -> None:
        self._refusal = refusal

    def prepare(self) -> None:
        self.set_status(self._refusal.status)
        self.set_header("Cache-Control", "no-store")
        if self._refusal.wait:
            self.set_header("Retry-After", str(math.ceil(self._refusal.wait)))
        self.finish(page(self._refusal.sentence, self._refusal.form))


def page(sentence: str, form: bool = False) -> str:
    """A page that says one thing, with a field for the token."""
    field = (
        '<form method="post" action="/login"><input type="password" name="token" aria-label="token" autofocus '
        'autocomplete="current-password"> <button>Open</button></form>'
    )
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, '
        'initial-scale=1"><title>TransportLab</title><style>'
        f'{theme.root_css()}{theme.asset("page.css")}</style></head><body><header><a class="mark" href="/">Transport'
        f'<span>Lab</span></a></header><div class="without-column frame"><main><p>{escape(sentence)}</p>'
        f"{field if form else ''}</main></div></body></html>"
    )
