"""What tests of pages and of their runners share."""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from waiting import wait

from lab.app import worker

HERE = Path(__file__).parent
SERVE = """
import gc, sys, threading
from lab.home import start
start()
from lab import app, studies
for file in sys.argv[1:-1]:
    studies.load_file(file)
from lab.app import thumbnails
make = thumbnails.make
thumbnails.make = lambda study, report: make(studies.find("gradual"), report)  # others take long
server = app.make_server(port=int(sys.argv[-1]), warm=False)

async def count():  # the pages that are held, without those that no browser looks at: Bokeh waits half a minute for one
    for context in server._tornado._applications.values():
        await context._cleanup_sessions(0)
    gc.collect()
    print("held", sum(type(thing) is app.Session for thing in gc.get_objects()), flush=True)

def listen():
    for _ in sys.stdin:
        server.io_loop.add_callback(count)

threading.Thread(target=listen, daemon=True).start()
server.run_until_shutdown()
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home of the lab that only this test uses."""
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def gate():
    """Work that takes until ``gate.set()``, without a report, as while XLA compiles."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture(autouse=True)
def _no_background_process(monkeypatch):
    """A server that an earlier test has made leaves its background process to nobody."""
    monkeypatch.setattr(worker, "present", None)
    yield
    if worker.present is not None:
        worker.present.end()


@pytest.fixture
def background(monkeypatch):
    """A background process that takes every run."""
    made = worker.Worker()
    monkeypatch.setattr(worker, "present", made)
    monkeypatch.setattr(worker, "is_long", lambda study, data: True)
    yield made
    made.end()


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"LAB_HOME": str(tmp_path_factory.mktemp("home")), "PYTHONPATH": str(HERE)}
    command = [
        sys.executable,
        "-c",
        SERVE,
        *(str(HERE / f"{name}.py") for name in ("gradual", "drifting", "told")),
        str(port),
    ]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    process = subprocess.Popen(command, env=environment, text=True, **pipes)

    def up():
        assert process.poll() is None, process.stderr.read()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait(up)
    yield process
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def server(process):
    return f"http://127.0.0.1:{process.args[-1]}"
