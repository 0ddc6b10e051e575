"""What a cell of a notebook shows of a computation, and its stop button; without a notebook."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tqdm import tqdm
from waiting import wait

from lab import studies, sweeps, watch

HERE = Path(__file__).parent


@pytest.fixture
def cell(monkeypatch):
    """As in the cell of a notebook, whose stop button can be pressed."""
    studies.load_file(HERE / "app" / "gradual.py")
    monkeypatch.setattr(watch, "in_notebook", lambda: True)
    monkeypatch.setattr(watch, "_PATIENCE", 0.0)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a server of another test has its own

    def press(at):
        """When the bar has come so far."""

        def updated(bar, more):
            update(bar, more)
            if bar.n >= at:
                signal.raise_signal(signal.SIGINT)
                monkeypatch.setattr(tqdm, "update", update)

        update = tqdm.update
        monkeypatch.setattr(tqdm, "update", updated)

    yield press
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler


def test_a_run_in_a_cell_is_stopped_with_what_it_has(cell, capsys):
    study = studies.find("gradual")(rate=0.001, slow=True, tolerance=1e-9)
    study.but(rate=0.5).run()  # compiled
    cell(3)
    result = study.run()
    assert result.attrs["reason"] == "stopped"
    assert 0 < int(result.iterations) < 2000
    said = capsys.readouterr().out
    assert "/2000 [" in said
    assert said.endswith("Stopped: this is what there is so far, and the result says so.\n")


def test_a_sweep_in_a_cell_is_stopped_with_what_it_has(cell, capsys, monkeypatch):
    monkeypatch.setattr(sweeps.plan, "_TASK", 0.0)
    study = studies.find("gradual")(rate=0.3, slow=True)
    study.run()
    cell(3)
    grid = sweeps.sweep(study, gamma=np.linspace(1, 2, 20).tolist(), store=False)
    assert set(grid.cell_error.values) == {"", "stopped before this cell"}
    assert "of 20 cells are empty" in grid.attrs["advice"]
    assert capsys.readouterr().out.endswith("and the result says so.\n")


def test_a_run_to_the_end_says_so(cell, capsys):
    study = studies.find("gradual")()
    result = study.run()
    assert f"{int(result.iterations)}/{int(result.iterations)}" in capsys.readouterr().out.rsplit("\r", 1)[-1]
    assert study.along(gamma=[1.0, 2.0]).total.shape == (2,)
    assert "2/2" in capsys.readouterr().out


@pytest.mark.slow
def test_the_pages_leave_the_design_of_pictures_alone():
    said = subprocess.run(
        [sys.executable, "-c", "import lab.app, panel; print(panel.config.design)"],
        cwd=HERE.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert said.stdout == "None\n"


_PAGE = """
import sys
sys.path.insert(0, {folder!r})
import lab
lab.notebook()
from gradual import Gradual
from lab.app.inline import Inline
from lab.app.session import Session
page = Inline(Session(Gradual()))
page
"""
_SLOW = """
page._session.set(rate=0.001, tolerance=1e-9, slow=True)
"""
_ENDED = "not page._session.busy and (page._session.result.attrs['reason'], page._session.unfinished)"


@pytest.mark.slow
def test_the_stop_button_of_a_kernel_that_runs_no_cell_ends_what_a_page_computes():
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel()
    try:

        def ask(code):
            said = []
            answer = client.execute_interactive(code, timeout=600, output_hook=said.append)
            assert answer["content"]["status"] == "ok"
            return "".join(message["content"].get("text", "") for message in said)

        ask(_PAGE.format(folder=str(HERE / "app")))
        ask(_SLOW)
        wait(lambda: ask("print(page._session.progress is not None)") == "True\n")
        manager.interrupt_kernel()
        assert wait(lambda: ask(f"print({_ENDED} or '')").strip()) == "('stopped', True)"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
