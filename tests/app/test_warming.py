"""Programs are compiled ahead by a process that takes what is opened first, and ends with the server."""

import io
import os
import subprocess
import sys
from collections import deque

import pytest

from lab.app import warming


def test_what_is_opened_is_next_and_the_end_of_the_server_is_its_end(monkeypatch):
    ended = []
    monkeypatch.setattr(os, "_exit", ended.append)
    monkeypatch.setattr(sys, "stdin", io.StringIO("c\nno-such-study\nb\n"))
    waiting = deque("abc")
    warming._listen(waiting)
    assert waiting == deque("bca")
    assert ended == [0]


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
