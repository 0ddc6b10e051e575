"""A server as others meet it: who gets in, what every answer says, and that nobody starves the rest."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from types import SimpleNamespace
from weakref import WeakSet

import pytest

from lab import studies
from lab.app import faults, gate, limits
from lab.cli import main
from lab.numerics import Progress
from lab.studies import SparseOT

TOKEN = "a-token-of-the-tests"
SERVE = """
import json, sys
from lab.home import start
start()
from lab import app
from lab.app import limits, runner
from lab.studies import base
Limits = limits.PUBLIC.but(pages=3)
ran = []
load = base.Study.load
base.Study.load = lambda study: (ran.append(study.slug), load(study))[1]
base.Study.execute = lambda *given: sys.exit("it computed")
server = app.make_server(port=int(sys.argv[1]), warm=False, token=sys.argv[2], limits=Limits, **json.loads(sys.argv[3]))
server.run_until_shutdown()
"""


@contextmanager
def serving(token: str = TOKEN, **more):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-c", SERVE, str(port), token, json.dumps(more)], env=os.environ.copy())
    try:
        until = time.monotonic() + 90
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.1)
        yield port
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def port():
    with serving() as port:
        yield port


def ask(port, path, method="GET", body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    return SimpleNamespace(status=answer.status, headers=answer.headers, text=answer.read().decode(errors="replace"))


def let_in(port) -> dict[str, str]:
    answer = ask(port, f"/?token={TOKEN}")
    assert answer.status == 302
    return {"Cookie": answer.headers["Set-Cookie"].partition(";")[0]}


@pytest.mark.slow
def test_every_answer_has_the_headers(port):
    known = let_in(port)
    handshake = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Version": "13",
                 "Sec_WebSocket_Key": "AAAAAAAAAAAAAAAAAAAAAA=="}  # fmt: skip
    answers = [
        ask(port, "/sparse-ot", **known), ask(port, "/sparse-ot"), ask(port, "/absent", **known), ask(port, "/liveness"),
        ask(port, "/static/js/bokeh.min.js", **known), ask(port, "/static/js/absent.js", **known),
        ask(port, "/favicon.ico", **known), ask(port, "/sparse-ot", "POST", **known), ask(port, "/", Host="evil.com"),
        ask(port, "/sparse-ot/ws", Origin="http://evil.com", **handshake, **known), ask(port, "/sparse-ot/ws", **handshake),
        ask(port, "/sparse-ot/ws", **known), ask(port, f"/?token={TOKEN}"),
        ask(port, "/sparse-ot/ws", Origin=f"http://127.0.0.1:{port}", Sec_WebSocket_Protocol="bokeh, x.y", Cookie="x=y"),
    ]  # fmt: skip
    for answer in answers:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"
        told = answer.headers["Content-Security-Policy"]
        assert "frame-ancestors 'self'" in told
        assert "'unsafe-inline'" not in told.partition("script-src")[2].partition(";")[0]
        assert answer.headers["Access-Control-Allow-Origin"] is None
    assert [a.status for a in answers] == [200, 401, 404, 200, 200, 404, 200, 405, 403, 403, 401, 400, 302, 401]


@pytest.mark.slow
def test_the_token_lets_in_and_nothing_else_does(port):
    for path in (
        "/",
        "/sparse-ot",
        "/static/js/bokeh.min.js",
        "/sparse-ot/ws",
        "/components/this/a/b/c",
        "/sparse-ot/metadata",
    ):
        assert ask(port, path).status == 401
    for cookie in ("", TOKEN, f"{gate.cookie_name(port)}={TOKEN}", f"{gate.cookie_name(port)}=é"):
        assert ask(port, "/", Cookie=cookie.encode()).status == 401
    answer = ask(port, f"//evil.com/x?k=2&token={TOKEN}")
    assert answer.headers["Location"] == "/evil.com/x?k=2"  # on this server
    assert "HttpOnly" in answer.headers["Set-Cookie"]
    assert "SameSite=Lax" in answer.headers["Set-Cookie"]
    assert TOKEN not in answer.headers["Set-Cookie"]
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    assert ask(port, "/login", "POST", f"token={TOKEN}", **form).status == 302
    assert ask(port, "/login", "POST", "token=wrong", **form).status == 401


@pytest.mark.slow
def test_a_name_that_is_rebound_gets_nothing(port):
    for host in ("evil.com", f"evil.com:{port}", "127.0.0.1.evil.com", "[::1].evil.com", ""):
        assert ask(port, f"/?token={TOKEN}", Host=host).status in (400, 403)
    assert ask(port, "/", Host=f"localhost:{port}").status == 401


@pytest.mark.slow
def test_an_address_imports_no_module():
    """Panel resolves /components/MODULE/... by importing MODULE, for anyone."""
    with serving("") as port:
        for name in ("antigravity", "this", "turtle", "idlelib.idle"):
            assert ask(port, f"/components/{name}/x/css/y").status == 404
        assert ask(port, "/sparse-ot/autoload.js?bokeh-autoload-element=x").status == 404


@pytest.mark.slow
def test_asking_computes_nothing_and_pages_are_counted():
    """A GET is no open page; what it names is only looked at, however large."""
    with serving("") as port:
        nines = "9" * 400
        for query in (
            "n=1024&tolerance=1e-12",
            f"k={nines}&n={nines}&gamma={nines}",
            "data=../../etc/passwd&gamma=nan",
        ):
            assert ask(port, f"/sparse-ot?{query}").status == 200
        answer = ask(port, "/sparse-ot")
        assert answer.status == 429
        assert "You have 3 pages open" in answer.text
        assert ask(port, "/liveness").status == 200  # and it lives: nothing ran


@pytest.mark.parametrize("text", ["*", "*:5006", "http://*", "a b", "evil.com/path", "x:123456", "ä.org", "\n"])
def test_an_address_names_a_host(text):
    with pytest.raises(ValueError, match="--address"):
        gate.checked_address(text)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--address *", "--address * is not allowed"),
        ("--token short", "--token is too short to be safe"),
        ("--basic-auth x --no-token", "are for a server without a login"),
        ("--oauth-key x", "goes with --oauth-provider"),
        ("--pages 0", "--pages 0 is not allowed"),
        ("--seconds nan", "--seconds nan is not allowed"),
        ("--size x", "--size x is not allowed"),
    ],
)
def test_options_are_refused_in_a_sentence(words, sentence, capsys):
    assert main(["serve", *words.split()]) == 2
    assert sentence in capsys.readouterr().err


def test_who_is_public():
    assert not any(map(gate.is_public, ("127.0.0.1", "localhost", "::1", "127.1.2.3")))
    assert all(map(gate.is_public, ("0.0.0.0", "::", "", "192.168.0.1", "lab.example.org", "localhost.evil.com")))
    assert gate.is_public("127.0.0.1", ["lab.example.org:443"])


# ---- limits --------------------------------------------------------------------------------------------------------


@pytest.fixture
def few():
    limits.apply(limits.PUBLIC.but(seconds=0.05, seconds_all=0.2, uploads=1, uploads_all=2))
    yield
    limits.apply(limits.LOCAL)


def test_seconds_are_counted_by_visitor_and_in_all(few):
    done = limits.metered(lambda report: report(Progress(0, 1, {}, None, 0.0)), "ann")
    assert done(lambda progress: False) is False
    with pytest.raises(ValueError, match=r"of a visitor, 0\.05 s in an hour"):
        limits.spend("ann", 0.1)
    with pytest.raises(ValueError, match="is used up"):
        done(lambda progress: False)
    limits.spend("bob", 0.01)
    for name in ("bob", "cem"):
        limits._take(name, 0.04)
    with pytest.raises(ValueError, match=r"of all visitors together, 0\.2 s"):
        limits.spend("dan", 0.04)


def test_presets_and_sliders_are_never_too_large(few):
    for study in studies.catalogue():
        assert not any(limits.too_large(study(**preset.values)) for preset in study.presets), study.slug
    assert limits.too_large(SparseOT(k=10**400)).startswith("this run is too large for this server")


class Holder:
    def __init__(self, visitor):
        self.visitor = visitor

    def held(self):
        return 2**20


def test_uploads_are_counted_by_visitor_and_in_all(few, monkeypatch):
    monkeypatch.setattr(limits, "_holders", WeakSet())  # pages of other tests may still be there
    holders = [Holder(name) for name in ("ann", "bob")]
    for holder in holders:
        limits.hold(holder)
    assert "your pages hold 1 of at most 1 MiB" in limits.no_room("ann", 1)
    assert "all pages hold 2 of at most 2 MiB" in limits.no_room("cem", 1)


def test_a_fault_is_a_sentence():
    assert faults.sentence(ValueError("k = 3 is too much")) == "k = 3 is too much"
    told = faults.sentence(OverflowError("int too large\nto convert"))
    assert told == "something went wrong on this page: OverflowError: int too large to convert"
