"""A server as others meet it: who gets in, what every answer says, and that nobody starves the rest."""

import http.client
import json
import os
import re
import select
import socket
import subprocess
import sys
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from weakref import WeakSet

import panel as pn
import pytest
from bokeh.util.token import get_token_payload
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine
from tornado.web import create_signed_value
from waiting import wait

from lab import studies
from lab.app import faults, gate, limits, login
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
from lab.studies.contract import study as base
given = json.loads(sys.argv[1])
Limits = limits.PUBLIC.but(pages=given.pop("pages"))
ran = []
load = base.Study.load
base.Study.load = lambda study: (ran.append(study.slug), load(study))[1]
base.Study.execute = lambda *given: sys.exit("it computed")
server = app.make_server(warm=False, limits=Limits, **given)
server.run_until_shutdown()
"""


@contextmanager
def serving(token: str | None = TOKEN, pages: int = 3, log=None, **more):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = json.dumps({"port": port, "token": token, "pages": pages, **more})
    process = subprocess.Popen([sys.executable, "-c", SERVE, given], env=os.environ.copy(), stderr=log)

    def listens() -> bool:
        assert process.poll() is None
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait(listens)
        yield port
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def port():
    with serving() as port:
        yield port


def ask(port, path, method="GET", body=None, come_from="127.0.0.1", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60, source_address=(come_from, 0))
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
    handshake = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec_WebSocket_Version": "13",
        "Sec_WebSocket_Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    answers = [
        ask(port, "/sparse-ot", **known),
        ask(port, "/sparse-ot"),
        ask(port, "/absent", **known),
        ask(port, "/liveness"),
        ask(port, "/static/js/bokeh.min.js", **known),
        ask(port, "/static/js/absent.js", **known),
        ask(port, "/favicon.ico", **known),
        ask(port, "/sparse-ot", "POST", **known),
        ask(port, "/", Host="evil.com"),
        ask(port, "/sparse-ot/ws", Origin="http://evil.com", **handshake, **known),
        ask(port, "/sparse-ot/ws", **handshake),
        ask(port, "/sparse-ot/ws", **known),
        ask(port, f"/?token={TOKEN}"),
        ask(
            port, "/sparse-ot/ws", Origin=f"http://127.0.0.1:{port}", Sec_WebSocket_Protocol="bokeh, x.y", Cookie="x=y"
        ),
    ]
    for answer in answers:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"
        told = answer.headers["Content-Security-Policy"]
        assert "frame-ancestors 'self'" in told
        assert "'unsafe-inline'" not in told.partition("script-src")[2].partition(";")[0]
        assert answer.headers["Access-Control-Allow-Origin"] is None
    assert [a.status for a in answers] == [200, 401, 404, 200, 200, 404, 200, 405, 403, 403, 401, 403, 302, 401]


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


# ---- many hands at the door ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    """A server without a token, and what it logs."""
    path = tmp_path_factory.mktemp("door") / "log"
    with path.open("wb") as log, serving("", log=log) as port:
        yield port
    assert "Traceback" not in path.read_text()


FORM = {"Content_Type": "application/x-www-form-urlencoded"}


def raw(port, text: str, come_from="127.0.0.1") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=30, source_address=(come_from, 0))
    connection.sendall(text.encode())
    return connection


def post(port, length: int) -> str:
    kind = "Content-Type: application/x-www-form-urlencoded"
    return f"POST /login HTTP/1.1\r\nHost: localhost:{port}\r\n{kind}\r\nContent-Length: {length}\r\n\r\n"


def session_token(text: str) -> str:
    found = re.search(r'"token":\s*"([^"]+)"', text)
    assert found is not None
    return found[1]


def opened(port, token: str, line: str) -> socket.socket:
    """A handshake for the session of a token."""
    told = (
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
        + "A" * 22
        + "=="
    )
    told += f"\r\nSec-WebSocket-Protocol: bokeh, {token}\r\n{line}"
    return raw(port, f"GET /sparse-ot/ws HTTP/1.1\r\nHost: localhost:{port}\r\n{told}\r\n\r\n")


@pytest.mark.slow
def test_an_address_imports_and_makes_nothing(door):
    """Panel imports MODULE for /components/MODULE/... and makes a page for /liveness?endpoint=..., for anyone."""
    for name in ("antigravity", "this", "turtle", "idlelib.idle"):
        assert ask(door, f"/components/{name}/x/css/y").status == 404
    assert ask(door, "/sparse-ot/autoload.js?bokeh-autoload-element=x").status == 404
    assert ask(door, "/liveness?endpoint=/sparse-ot").status == 404
    assert ask(door, "/liveness").status == 200


@pytest.mark.slow
def test_a_connection_belongs_to_a_page(door):
    answer = ask(door, "/sparse-ot", Cookie="lab-scheme=dark; secret=hidden", User_Agent="hidden")
    token = session_token(answer.text)
    payload = get_token_payload(token)
    assert payload["cookies"] == {"lab-scheme": "dark"}  # scripts can read it
    assert "hidden" not in str(payload)
    held = []

    def shown(token: str, origin: str = f"http://localhost:{door}") -> str:
        held.append(opened(door, token, f"Origin: {origin}"))
        return held[-1].recv(12).decode()[-3:]

    for made_up in ("x.y", "e30.AAAA", f"{token}x", token.partition(".")[0], "", f"{token}, more"):
        assert shown(made_up) == "403", made_up
    assert shown(token, "http://evil.com") == "403"
    assert [shown(token) for _ in range(4)] == ["101"] * 4
    wait(lambda: shown(token) == "429")  # once the four are with their page
    for query in ("bokeh-token=x", f"bokeh-token={token}", "bokeh-session-id=x"):
        assert ask(door, f"/sparse-ot?{query}").status == 400
    for connection in held:
        connection.close()


@pytest.mark.slow
def test_other_sites_have_links_and_no_more(door):
    own = f"localhost:{door}"
    for told in (
        {"Origin": "http://evil.com"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Dest": "image"},
    ):
        assert ask(door, "/", **told).status == 403
    assert ask(door, "/absent", Sec_Fetch_Site="cross-site", Sec_Fetch_Dest="document").status == 404
    assert ask(door, "/absent", Origin=f"http://{own}", Host=own).status == 404


@pytest.mark.slow
def test_a_request_is_small_and_soon_there(door):
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "HEAD", "WHATEVER"):
        assert ask(door, "/sparse-ot", method).status == 405
    for bomb in ("x: " + "a" * 70_000, "\r\n".join(f"x{n}: {n}" for n in range(9000)), "Cookie: " + 'a="\\;' * 17_000):
        with suppress(ConnectionError):  # closed while the rest was sent
            assert raw(door, f"GET / HTTP/1.1\r\nHost: localhost\r\n{bomb}\r\n\r\n").recv(9) == b""
    assert raw(door, post(door, 95 * 2**20)).recv(12) == b"HTTP/1.1 400"
    # Headers that never end, on more connections than an address may have with 3 pages; another one comes in.
    slow = [raw(door, "GET / HTTP/1.1\r\n", "127.0.0.2") for _ in range(35)]
    told = select.select(slow, [], [], 10)[0]
    while len(told) < 5:
        told = select.select(slow, [], [], 10)[0]
    assert all(each.recv(12) == b"HTTP/1.1 429" for each in told)
    assert ask(door, "/liveness").status == 200
    for connection in slow:
        connection.close()


@pytest.mark.slow
def test_tries_are_counted_before_their_bodies(port):
    body = f"token={TOKEN}"
    waiting = [raw(port, post(port, len(body)), "127.0.0.3") for _ in range(14)]
    for _ in range(3):  # what came before these requests is read before they are answered
        ask(port, "/liveness")
    answers = []
    for connection in waiting:
        connection.sendall(body.upper().encode())
        answers.append(connection.recv(12).decode()[-3:])
    assert sorted(answers) == ["401"] * 10 + ["429"] * 4
    answer = ask(port, "/login", "POST", body, come_from="127.0.0.3", **FORM)
    assert answer.status == ask(port, f"/?token={TOKEN}", come_from="127.0.0.3").status == 429
    assert 1 <= int(answer.headers["Retry-After"]) <= 6
    assert [ask(port, "/login", "POST", body, **FORM).status for _ in range(12)] == [302] * 12  # right is no try


@pytest.mark.slow
def test_a_login_counts_tries_and_pages_by_user(tmp_path):
    (tmp_path / "users.json").write_text('{"ann": "right", "bob": "right"}')
    with serving(None, pages=2, auth={"basic_auth": str(tmp_path / "users.json")}) as port:
        assert ask(port, "/sparse-ot/metadata").status == 302

        def log_in(name: str, password: str) -> dict[str, str] | None:
            answer = ask(port, "/login", "POST", f"username={name}&password={password}", **FORM)
            cookies = [each.partition(";")[0] for each in answer.headers.get_all("Set-Cookie") or ()]
            return (
                None if answer.status == 429 else {"Cookie": "".join(each for each in cookies if each[:5] == "user=")}
            )

        names = [log_in(name, "right") for name in ("ann", "bob") * 6]
        ann, bob = (each or {} for each in names[:2])
        assert all(each and each["Cookie"] for each in names)
        pages = [ask(port, "/sparse-ot", **ann) for _ in range(3)]
        assert [each.status for each in pages] == [200, 200, 429]
        for who, status in ((bob, "403"), (ann, "101")):
            line = f"Cookie: {who['Cookie']}"
            assert opened(port, session_token(pages[0].text), line).recv(12).decode()[-3:] == status
        assert ask(port, "/sparse-ot", Cookie=f"{ann['Cookie']}; is_guest=1").status == 429  # as Panel would believe
        assert ask(port, "/sparse-ot", **bob).status == 200
        wrong = [log_in("ann", "wrong") for _ in range(12)]
        assert wrong == [{"Cookie": ""}] * 10 + [None] * 2
        answer = ask(port, "/login", "POST", "username=ann&password=right", come_from="127.0.0.3", **FORM)
        assert answer.status == 302  # another address is not locked out


@pytest.mark.slow
def test_a_cookie_from_before_the_login_is_worth_nothing_after_it(tmp_path):
    """Who plants a cookie in somebody's browser does not share the login that follows."""
    (tmp_path / "users.json").write_text('{"ann": "right"}')
    with serving(None, auth={"basic_auth": str(tmp_path / "users.json")}) as port:
        before = [each.partition(";")[0] for each in ask(port, "/login").headers.get_all("Set-Cookie") or ()]
        forged = create_signed_value("another secret", "user", "ann").decode()
        for planted in (["user=ann"], [f"user={forged}"], ["is_guest=1"], before):
            cookie = "; ".join(planted)
            answer = ask(port, "/login", "POST", "username=ann&password=right", Cookie=cookie, **FORM)
            (made,) = [each.partition(";")[0] for each in answer.headers.get_all("Set-Cookie") if each[:5] == "user="]
            assert made not in planted
            assert ask(port, "/sparse-ot/metadata", Cookie=made).status == 200
            assert ask(port, "/sparse-ot/metadata", Cookie=cookie).status == 302


@pytest.mark.parametrize("known", [{"ann": "right", "bob": "a much longer password than that of ann"}, "right"])
def test_a_login_compares_the_same_for_every_user_and_password(known, monkeypatch):
    """One comparison of two digests, of users that there are not too: the time shows neither names nor beginnings."""
    compared = []
    compare = login.hmac.compare_digest
    monkeypatch.setattr(
        login.hmac, "compare_digest", lambda *both: compared.append([*map(len, both)]) or compare(*both)
    )
    gate = SimpleNamespace(access=SimpleNamespace(users=known), right=lambda request: None)
    handler = SimpleNamespace(settings={"lab_gate": gate}, request=None)
    tries = [("ann", "wrong"), ("nobody", "right"), ("nobody", ""), ("", ""), ("bob", "r"), ("ann", "x" * 10_000)]
    accepted = [login.Login._validate(handler, *each) for each in [*tries, ("ann", "right")]]
    assert accepted == [isinstance(known, str) and password == "right" for _, password in tries] + [True]
    assert compared == [[32, 32]] * 7


def test_one_password_makes_no_users(monkeypatch):
    monkeypatch.setattr(type(pn.config), "cookie_secret", "secret")
    cookie = create_signed_value("secret", "user", "ann").decode()
    request = HTTPServerRequest(
        start_line=RequestStartLine("GET", "/", "HTTP/1.1"),
        headers=HTTPHeaders({"Host": "x", "Cookie": f"user={cookie}"}),
    )
    request.remote_ip = "192.168.0.7"
    limits.recognise(request, by_name=False)
    assert limits.visitor_of(request) == "192.168.0.7"
    limits.recognise(request, by_name=True)
    assert limits.visitor_of(request) == "user ann"


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '"x"', '{"ann": ""}', '{"ann": 3}', '{"": "x"}', "[" * 100_000, "\x00"]
)
def test_a_file_of_users_has_users(text, tmp_path):
    (tmp_path / "users").write_text(text)
    with pytest.raises(ValueError, match="is no JSON file of users") as refusal:
        login.users(str(tmp_path / "users"))
    assert len(str(refusal.value)) <= 300
    with pytest.raises(ValueError, match="--basic-auth is empty"):
        login.users(" ")


def test_an_allowance_comes_back(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(limits.time, "monotonic", lambda: now[0])
    made = limits.Allowance(10, 10.0)
    assert [made.wait("ann") for _ in range(12)] == [0.0] * 10 + [1.0] * 2
    assert made.wait("bob") == 0
    now[0] = 2.0
    assert [made.wait("ann") for _ in range(3)] == [0.0, 0.0, 1.0]
    made.take("ann", -100)
    now[0] = 3.0
    assert made.take("ann", 0) == 10


def test_a_machine_is_one_visitor():
    assert limits.place("192.168.0.7") == limits.place("::ffff:192.168.0.7") == "192.168.0.7"
    assert limits.place("2001:db8:1:2::7") == limits.place("2001:db8:1:2:3:4:5:6") != limits.place("2001:db8:1:3::7")
    assert limits.place("unix") == "unix"


@pytest.mark.parametrize("text", ["*", "*:5006", "http://*", "a b", "evil.com/path", "x:123456", "ä.org", "\n"])
def test_an_address_names_a_host(text):
    with pytest.raises(ValueError, match="--address"):
        gate.checked_address(text)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--address *", "--address * is not allowed"),
        ("--token short", "--token is too short to be safe"),
        ("--memory 0", "--memory 0.0 is not allowed: it must be a number of GiB above 0"),
        ("--basic-auth x --no-token", "are for a server without a login"),
        ("--basic-auth absent/users", "absent/users is no JSON file of users"),
        ("--basic-auth absent.json", "absent.json is no JSON file of users"),
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
        limits.spend(name, 0.03)
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
    assert (
        faults.sentence(KeyError("x"), "it can't be read", "bring another")
        == "it can't be read (KeyError): bring another"
    )
    assert (
        faults.undrawn(ValueError("shapes differ"), "the plan")
        == "the plan could not be drawn (ValueError): choose other values"
    )
    assert faults.sentence(FileNotFoundError(2, "No such file", "a.csv")) == "a.csv: no such file"
