"""Programs are compiled ahead by a process that takes what is opened first, and ends with the server."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

import pytest

from lab.app import warming

SERVER = """
import time
from lab.app import warming
warming.COMMAND = warming.COMMAND.replace("from lab", "import time; time.sleep(60); from lab")
warming.begin([])
time.sleep(1)
warming.give_way(True)
print(warming._process.pid, flush=True)
time.sleep(60)
"""


def test_what_is_opened_is_next_and_the_end_of_the_server_is_its_end(monkeypatch):
    ended = []
    monkeypatch.setattr(os, "_exit", ended.append)
    monkeypatch.setattr(sys, "stdin", io.StringIO("c\nno-such-study\nb\n"))
    waiting, opened = deque("abc"), threading.Event()
    warming._listen(waiting, opened)
    assert waiting == deque("bca")
    assert opened.is_set()
    assert ended == [0]


def test_what_is_opened_comes_before_what_is_under_way(monkeypatch):
    import jax
    import jax.numpy as jnp

    waiting, opened, ran = deque(["a", "b", "c"]), threading.Event(), []

    class Default:
        """Of ``a``: the page of ``b`` is opened between its two programs."""

        def __init__(self, slug):
            self.slug = slug

        def execute(self, warm):
            jax.jit(lambda x: x + len(ran))(jnp.arange(3.0))
            if self.slug == "a" and not ran:
                waiting.remove("b")
                waiting.appendleft("b")
                opened.set()
            ran.append(self.slug)
            jax.jit(lambda x: x * len(ran))(jnp.arange(5.0))
            ran.append(self.slug)
            return self

    Default.warm = None  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setattr("lab.studies.find", lambda slug: lambda: Default(slug))
    monkeypatch.setattr("lab.app.kept.identity", lambda study: "")

    def look(event, **_):
        return warming._look(event, opened)

    jax.monitoring.register_event_listener(look)
    try:
        while waiting:
            warming._take(waiting, opened)
    finally:
        jax.monitoring.unregister_event_listener(look)
    assert "".join(ran) == "abbaacc"


@pytest.mark.slow
def test_it_keeps_programs_says_what_cannot_be_run_and_goes_when_its_input_is_closed(tmp_path):
    command = [sys.executable, "-c", warming.COMMAND, "no-such-study", "diverse-subset"]
    environment = os.environ | {"LAB_HOME": str(tmp_path), "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "jax")}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        told = process.stderr.read()  # until it ends
        assert process.wait() == 0
    assert told.startswith("the default of no-such-study can't be run: ")
    assert told.count("\n") == 1
    assert len([*(tmp_path / "jax").iterdir()]) >= 5
    with subprocess.Popen(
        [*command, "sgd-stability"], env=environment, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        process.communicate(timeout=30)  # closes its input


def test_without_a_process_nothing_is_asked_for(monkeypatch):
    monkeypatch.setattr(warming, "_process", None)
    warming.first("sparse-ot")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system does not tell what a process does")
def test_it_is_halted_where_something_else_needs_the_machine(monkeypatch):
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    monkeypatch.setattr(warming, "_process", process)
    monkeypatch.setattr(warming, "_halted", False)
    try:
        for halt, states in ((True, "T"), (True, "T"), (False, "RSD"), (True, "T")):
            warming.give_way(halt)
            for _ in range(100):
                state = Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2][0]
                if state in states:
                    break
                time.sleep(0.05)
            assert state in states
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of Linux")
def test_one_that_is_halted_ends_with_a_server_that_is_killed():
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        halted = int(server.stdout.readline())
        server.kill()
    state = "T"
    for _ in range(100):
        with suppress(OSError):
            state = Path(f"/proc/{halted}/stat").read_text().rpartition(") ")[2][0]
        if state == "Z" or not Path(f"/proc/{halted}").exists():  # gone, or to be buried
            return
        time.sleep(0.05)
    os.kill(halted, signal.SIGKILL)
    raise AssertionError("it is left")
