"""What stands in front of all pages: who may ask, and what every answer tells the browser to refuse.

See docs/serving.md for what this protects from, and what not.
"""

import hmac
import ipaddress
import re
import socket
import sys
import time
from base64 import b64encode
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from secrets import token_urlsafe
from typing import Any, ClassVar
from urllib.parse import urlencode, urlsplit

from bokeh.server.server import BaseServer
from bokeh.util.token import get_session_id
from tornado.httputil import HTTPHeaders, HTTPMessageDelegate, HTTPServerRequest
from tornado.routing import Router
from tornado.web import OutputTransform, RequestHandler

from . import buttons, limits, theme

_LOCAL = ("localhost", "127.0.0.1", "::1")
_TRIES, _WITHIN = 10, 60.0  # wrong tokens of an address, and seconds
_OPEN = ("/liveness",)  # what a proxy asks to know whether the server lives
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
    return "; ".join((
        "default-src 'self'", f"script-src {' '.join(["'self'", "'unsafe-eval'", "blob:", *scripts])}",
        "style-src 'self' 'unsafe-inline'", "img-src 'self' data: blob:", "font-src 'self' data:", "media-src 'self' blob:",
        "connect-src 'self' blob:", "worker-src 'self' blob:", "object-src 'none'", "base-uri 'self'", "form-action 'self'",
        "frame-ancestors 'self'",
    ))  # fmt: skip


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
    """

    names: Collection[str] = _LOCAL
    token: str = ""

    def cookie(self) -> str:
        return sha256(f"lab {self.token}".encode()).hexdigest()


class Gate(Router):
    """Refuses a request, or hands it to the server's own handlers."""

    def __init__(self, server: BaseServer, access: Access):
        self._server, self._application, self.access = server, server._tornado, access
        self._wrong: dict[str, list[float]] = {}

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> HTTPMessageDelegate | None:
        status, sentence, form = self._refusal(request)
        if status == 302:
            return self._application.get_handler_delegate(
                request, _Enter, {"access": self.access, "port": self._server.port}
            )
        if status:
            told = {"status": status, "sentence": sentence, "form": form}
            return self._application.get_handler_delegate(request, _Refused, told)
        return self._application.find_handler(request, **kwargs)

    def _refusal(self, request: HTTPServerRequest) -> tuple[int, str, bool]:
        if host_of(request.host) not in self.access.names:
            return 403, "This server is not known by that name: start it with --address and the name you use.", False
        if request.path.rstrip("/").endswith("/autoload.js"):
            return 404, "These pages are not put into others by a script.", False
        if self.access.token and request.path not in _OPEN:
            refusal = self._unknown(request)
            if refusal[0]:
                return refusal
        if request.path.startswith("/components/") and not _loaded(request.path):
            return 404, "There is no such part.", False
        return self._too_many(request)

    def _unknown(self, request: HTTPServerRequest) -> tuple[int, str, bool]:
        """Whether the visitor has shown the token: in a cookie, or now."""
        cookie = request.cookies.get(cookie_name(self._server.port))
        if cookie is not None and hmac.compare_digest(cookie.value.encode(), self.access.cookie().encode()):
            return 0, "", False
        given = request.arguments.get("token")
        posted = request.path == "/login" and request.method == "POST"
        if not given and not posted:
            return 401, "This server asks for a token: it stands where the server was started.", True
        who, now = str(request.remote_ip), time.monotonic()
        if len(self._wrong) > 10_000:
            self._wrong.clear()
        tries = self._wrong[who] = [at for at in self._wrong.get(who, ()) if now - at < _WITHIN]
        if len(tries) >= _TRIES:
            return 429, "Too many wrong tokens: wait a minute.", False
        if posted:  # its body has not been read yet: the handler compares
            return 302, "", False
        assert given is not None
        if hmac.compare_digest(given[-1], self.access.token.encode()):
            return 302, "", False
        tries.append(now)
        return 401, "That is not the token of this server: it stands where the server was started.", True

    def wrong(self, who: str) -> None:
        self._wrong.setdefault(who, []).append(time.monotonic())

    def _too_many(self, request: HTTPServerRequest) -> tuple[int, str, bool]:
        """Whether there is room for one more page, where the request would open one."""
        contexts = self._application._applications
        page, socket_ = request.path.rstrip("/") or "/", request.path.endswith("/ws")
        page = (page.removesuffix("/ws") or "/") if socket_ else page
        context = contexts.get(page)
        if context is None or (socket_ and _session_of(request) in context._sessions):
            return 0, "", False
        there = [held for each in contexts.values() for held in each._session_contexts.values()]
        own = sum(getattr(getattr(held, "request", None), "remote_ip", None) == request.remote_ip for held in there)
        count = len(there) + sum(len(each._pending_sessions) for each in contexts.values())
        if own >= limits.present.pages:
            return (
                429,
                f"You have {own} pages open, and this server gives a visitor {limits.present.pages:g}: close one.",
                False,
            )
        if count >= limits.present.pages_all:
            return 503, f"All {limits.present.pages_all:g} pages of this server are open: try again in a while.", False
        return 0, "", False


def stand_before(server: BaseServer, access: Access) -> Gate:
    """Put the gate before everything that a server answers."""
    gate = Gate(server, access)
    server._http.request_callback = gate
    server._tornado.settings["lab_gate"] = gate
    return gate


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
    return token_urlsafe(24)


def cookie_name(port: int | None) -> str:
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


def _session_of(request: HTTPServerRequest) -> str:
    try:
        return get_session_id(request.headers["Sec-WebSocket-Protocol"].split(",")[1].strip())
    except Exception:  # no token, or one that somebody made up
        return ""


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
            self._let_in("/")
            return
        self.settings["lab_gate"].wrong(str(self.request.remote_ip))
        self.set_status(401)
        self.finish(page("That is not the token of this server: it stands where the server was started.", form=True))

    def _let_in(self, where: str) -> None:
        secure = self.request.protocol == "https"
        told = {"httponly": True, "samesite": "Lax", "secure": secure, "path": "/"}
        self.set_cookie(cookie_name(self._port), self._access.cookie(), **told)
        self.set_header("Cache-Control", "no-store")
        self.redirect(where)


class _Refused(RequestHandler):
    """A sentence instead of a page."""

    SUPPORTED_METHODS: ClassVar = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")  # type: ignore[assignment]

    def initialize(self, status: int, sentence: str, form: bool) -> None:
        self._told = status, sentence, form

    def prepare(self) -> None:
        status, sentence, form = self._told
        self.set_status(status)
        self.set_header("Cache-Control", "no-store")
        self.finish(page(sentence, form))


def page(sentence: str, form: bool = False) -> str:
    """A page that says one thing, with a field for the token."""
    field = (
        '<form method="post" action="/login"><input type="password" name="token" aria-label="token" autofocus '
        'autocomplete="current-password"> <button>Open</button></form>'
    )
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>TransportLab</title><style>'
        f'{theme.root_css()}{theme.asset("page.css")}</style></head><body><header><a class="mark" href="/">Transport'
        f'<span>Lab</span></a></header><div class="without-column frame"><main><p>{escape(sentence)}</p>'
        f"{field if form else ''}</main></div></body></html>"
    )
