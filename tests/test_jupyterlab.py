"""What the lab shows in JupyterLab itself: one server and one browser for all."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.request
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from waiting import LIMIT, animation_frames, wait

pytestmark = [pytest.mark.browser, pytest.mark.notebook]

HERE = Path(__file__).parent
CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
BEGIN = "import lab\nlab.notebook()"
LIVE = [
    BEGIN,
    "from lab.studies import SparseOT",
    'study = SparseOT(data="one-bump-to-two", k=2, gamma=0.1)\nstudy.panel()',
]
PICTURES = [
    BEGIN,
    "import lab.app\nfrom lab.studies import SparseOT, load_file",
    f"load_file({str(HERE / 'app' / 'halving.py')!r})\nfrom lab import studies\nstudy = studies.find('halving')()\n"
    "result = study.run()",
    *["study.pictures.iterates(result)"] * 20,
]
SLOW = [
    BEGIN,
    "from lab import studies, sweeps\nsweeps.plan._TASK = 0.0  # each cell is kept for itself\n"
    f"studies.load_file({str(HERE / 'app' / 'gradual.py')!r})\n"
    "slow = studies.find('gradual')(rate=0.001, slow=True, tolerance=1e-9)",
    "result = slow.run()",
    "result.attrs['reason'], result.sizes['iteration'] > 0",
    "grid = lab.sweep(slow.but(rate=0.3), gamma=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], store=False)",
    "sorted(set(grid.cell_error.values)), grid.attrs['advice']",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("notebooks")


@pytest.fixture(scope="module")
def server(folder, tmp_path_factory):
    """The address of a JupyterLab that serves ``folder``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = tmp_path_factory.mktemp("jupyter")
    own = {
        name: str(home / name)
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    }
    own |= {"LAB_HOME": str(home / "lab"), "PYTHONPATH": str(HERE.parent)}
    words = [
        "--no-browser",
        "--allow-root",
        f"--port={port}",
        "--ServerApp.ip=127.0.0.1",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={folder}",
        "--IdentityProvider.token=",
        "--expose-app-in-browser",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.news_url=None",
    ]
    with open(home / "log", "w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *words], env=os.environ | own, stdout=log, stderr=log
        )
    address = f"http://127.0.0.1:{port}"

    def up():
        assert process.poll() is None, (home / "log").read_text()
        with suppress(OSError):
            urllib.request.urlopen(f"{address}/api/status", timeout=10).close()
            return True

    wait(up)
    yield address
    process.terminate()
    process.wait()


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.fail("there is no Chromium here: name one in the environment variable CHROMIUM")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


class Notebook:
    """A notebook that is open in JupyterLab, with all that the browser complained of or asked others for."""

    def __init__(self, browser, server, folder, name, cells=None, theme="light"):
        self.path = folder / f"{name}.ipynb"
        if cells is not None:
            import nbformat

            made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
            made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
            nbformat.write(made, self.path)
        self.page = browser.new_page(viewport={"width": 1440, "height": 1200})
        self.page.set_default_timeout(1000 * LIMIT)
        self.wrong, self.outside = [], []
        self.page.on("console", lambda m: self.wrong.append(m.text.split("\n")[0]) if m.type == "error" else None)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", self._note)
        self._address = f"{server}/lab/workspaces/{name}/tree/{name}.ipynb"
        self.open()

    def open(self):
        self.page.goto(self._address)
        self.page.wait_for_function("window.jupyterapp?.shell.currentWidget?.context?.isReady")
        self.page.wait_for_function("jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'")

    def _note(self, request):
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname != "127.0.0.1":
            self.outside.append(request.url)

    def command(self, name, **arguments):
        self.page.evaluate("([name, given]) => { jupyterapp.commands.execute(name, given) }", [name, arguments])

    def run_all(self):
        self.command("notebook:run-all-cells")
        self.until(self.is_done)

    def run(self, at):
        """Run one cell."""
        self.page.evaluate(
            """async (at) => {
              jupyterapp.shell.currentWidget.content.activeCellIndex = at
              await jupyterapp.commands.execute("notebook:run-cell")
            }""",
            at,
        )

    def is_done(self):
        return self.page.evaluate(
            """() => {
              const cells = [...jupyterapp.shell.currentWidget.content.model.cells]
              return cells.every(cell => cell.type !== "code" || cell.executionCount != null)
                && jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === "idle"
            }"""
        )

    def until(self, what):
        return wait(what, lambda: self.page.wait_for_timeout(50), self.wrong)

    def save(self):
        """Save, and give what is in the file."""
        self.page.evaluate("() => jupyterapp.commands.execute('docmanager:save')")
        return json.loads(self.path.read_text())

    def outputs(self):
        return [output for cell in self.save()["cells"] for output in cell["outputs"]]

    def cards(self):
        """For each card of the live page how many colours its picture has; 0 without one."""
        return self.page.evaluate(
            """async () => {
              const all = (node) => [node, ...[...(node.shadowRoot?.children ?? []), ...node.children].flatMap(all)]
              const found = []
              for (const card of document.querySelectorAll(".jp-OutputArea").values().flatMap(all)
                  .filter(node => node.classList.contains("card") && node.checkVisibility())) {
                card.scrollIntoView({block: "center"})
                await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))
                const canvas = all(card).find(node => node.tagName === "CANVAS")
                if (!canvas?.width) { found.push(0); continue }
                const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", {willReadFrequently: true})
                copy.drawImage(canvas, 0, 0)
                const {data} = copy.getImageData(0, 0, canvas.width, canvas.height)
                found.push(new Set(new Uint32Array(data.buffer)).size)
              }
              return found
            }"""
        )

    def overhang(self):
        """By how many pixels a card of the live page stands out below it."""
        return self.page.evaluate(
            """() => {
              const all = (node) => [node, ...[...(node.shadowRoot?.children ?? []), ...node.children].flatMap(all)]
              const low = (node) => node.getBoundingClientRect().bottom
              const cards = [...document.querySelectorAll(".jp-OutputArea")].flatMap(all)
                .filter(node => node.classList.contains("card") && node.checkVisibility())
              return Math.max(...cards.map(low)) - low(document.querySelector(".lab-live"))
            }"""
        )

    def inks(self):
        """The colours of the axis labels of all pictures."""
        return set(
            self.page.evaluate(
                """() => {
                  const all = (view) => [view, ...[...view.children()].flatMap(all)]
                  return [...Bokeh.index].flatMap(all).filter(v => v.model.type === "Figure")
                    .flatMap(v => v.model.below.map(axis => axis.axis_label_text_color))
                }"""
            )
        )

    def says(self):
        return self.page.locator(".row [role=status]").first.text_content()


@pytest.fixture
def open_notebook(browser, server, folder):
    opened = []

    def make(name, cells=None):
        opened.append(Notebook(browser, server, folder, name, cells))
        return opened[-1]

    yield make
    for each in opened:
        each.page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.shutdown()")
        each.page.close()


def test_the_live_page_is_whole_and_survives_a_reload(open_notebook):
    seen = open_notebook("live", LIVE)
    seen.run_all()
    seen.until(lambda: len(seen.cards()) == 6 and min(seen.cards()) > 3)
    slider = seen.page.locator("input[type=range][name=gamma]")
    slider.focus()
    seen.page.keyboard.press("ArrowRight")
    moved = seen.page.locator("input.box[name=gamma]").input_value()
    assert float(moved) > 0.1
    seen.until(lambda: "Done in" in seen.says())
    seen.command("apputils:change-theme", theme="JupyterLab Dark")
    seen.until(lambda: seen.inks() == {"#e6eaf0"})
    for tab in ("Measure", "Mathematics & claims", "Take along", "Understand"):
        seen.page.get_by_role("tab", name=tab).click()
        animation_frames(seen.page)
    assert not seen.page.locator(".lab-still").is_visible()
    assert 10_000 < len(json.dumps(seen.outputs()[-1])) < 200_000  # a still picture, and not the page
    seen.open()
    seen.until(lambda: len(seen.cards()) == 6 and min(seen.cards()) > 3)
    assert seen.page.locator("input.box[name=gamma]").input_value() == moved
    assert not seen.page.locator(".lab-still").is_visible()
    assert seen.overhang() < 0
    seen.page.set_viewport_size({"width": 1000, "height": 1200})  # the controls above, and not beside
    seen.until(lambda: seen.page.locator("div[role=tablist]").bounding_box()["width"] > 400)
    seen.until(lambda: seen.overhang() < 0)
    assert (seen.wrong, seen.outside) == ([], [])
    seen.page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    seen.page.locator(".lab-still img").wait_for(state="visible")  # and no page that would do nothing
    seen.until(
        lambda: seen.page.evaluate("jupyterapp.shell.currentWidget.sessionContext.session.kernel.status") == "idle"
    )
    seen.page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    seen.page.reload()
    seen.page.locator(".lab-still img").wait_for(state="visible")
    assert seen.outside == []  # of the restart JupyterLab itself complains


LATE = """
const before = window.fetch
window.fetch = async (...given) => {
  if (/api.sessions/.test(given[0].url ?? given[0]))
    for (let frame = 0; frame < %d; frame++) await new Promise(requestAnimationFrame)
  return before(...given)
}
"""


SESSIONS = """import gc
from lab.app.session import Session
[each._started for each in gc.get_objects() if isinstance(each, Session)]"""


def test_the_live_page_comes_however_late_the_kernel_is(open_notebook, folder):
    os.mkfifo(held := folder / "held")
    load = f"from lab import studies\nstudies.load_file({str(HERE / 'app' / 'gradual.py')!r})"
    seen = open_notebook(
        "late", [BEGIN, f"{load}\nstudies.find('gradual')().panel()", f"open({str(held)!r}).read()", SESSIONS]
    )  # the channel is opened when the last cell is done, and heard before
    shown = seen.page.locator(".lab-live .card").count
    seen.command("notebook:run-all-cells")
    seen.until(seen.page.locator(".lab-still").count)
    for _ in range(30):
        animation_frames(seen.page)
    held.write_text("")  # the kernel waits for this
    seen.until(seen.is_done)
    seen.until(shown)
    seen.until(lambda: seen.page.locator(".bk-Figure").count() >= 2)
    assert seen.overhang() < 0
    seen.save()
    for frames in (90, 360):  # Panel still looks for the kernel; it has given up
        seen.page.add_init_script(LATE % frames)
        seen.open()
        seen.until(shown)
    for at in (1, 3):
        seen.run(at)
    assert seen.outputs()[-1]["data"]["text/plain"] == ["[False, True]"]  # the first page is not computed for any more


def test_what_a_page_was_told_does_not_come_back(open_notebook, folder):
    heard = folder / "heard.txt"
    listen = (
        "from lab.app import inline\nhear = inline.Inline._on_msg\ndef listen(self, ref, manager, msg):\n"
        f"    with open({str(heard)!r}, 'a') as file:\n"
        "        file.writelines(f\"{e['kind']} {e.get('attr')}\\n\" for e in msg['content']['events'])\n"
        "    hear(self, ref, manager, msg)\ninline.Inline._on_msg = listen"
    )
    load = f"from lab import studies\nstudies.load_file({str(HERE / 'app' / 'gradual.py')!r})"
    cells = [
        BEGIN,
        listen,
        f"{load}\nstudies.find('gradual')(data='gaussians-2d').panel()",
    ]  # with a picture of equal scales
    seen = open_notebook("equal", cells)
    seen.run_all()
    seen.until(lambda: seen.page.locator(".bk-Figure").count() >= 3)
    slider = seen.page.locator("input[type=range][name=gamma]")
    for _ in range(3):
        before = heard.stat().st_size if heard.exists() else 0
        slider.focus()
        seen.page.keyboard.press("ArrowRight")
        seen.until(lambda before=before: heard.exists() and heard.stat().st_size > before)
        seen.until(lambda: "Done in" in seen.says())
        seen.until(lambda: not _dimmed_for_a_while(seen.page))
    told = heard.read_text().split("\n")
    assert sum(line.startswith("MessageSent") for line in told) >= 4
    assert not {"ModelChanged state", "ModelChanged tags", "ModelChanged data", "ModelChanged reset_start"} & set(told)


def _dimmed_for_a_while(page):
    return any(animation_frames(page) or page.evaluate(_DIMMED) for _ in range(30))


_DIMMED = """() => {
  const all = (node) => [node, ...[...(node.shadowRoot?.children ?? []), ...node.children].flatMap(all)]
  return [...document.querySelectorAll(".jp-OutputArea")].flatMap(all)
    .some((node) => node.style?.getPropertyValue("--shown"))
}"""


def test_pictures_are_small_and_ask_for_nothing(open_notebook):
    seen = open_notebook("pictures", PICTURES)
    seen.run_all()
    seen.until(lambda: seen.page.locator(".bk-Figure").count() == 20)
    seen.save()
    assert seen.path.stat().st_size < 2_000_000
    assert (seen.wrong, seen.outside) == ([], [])


def test_a_cell_shows_how_far_it_is_and_the_stop_button_keeps_what_there_is(open_notebook):
    seen = open_notebook("slow", SLOW)
    seen.command("notebook:run-all-cells")
    for unit in ("iterations", "cells"):
        bar = seen.page.locator(".jp-OutputArea-output pre", has_text=unit)
        seen.until(
            lambda bar=bar: bar.count() and re.search(r"[1-9]\d*/\d+ \[00:\d\d<\d\d:\d\d", bar.first.inner_text())
        )
        seen.command("notebook:interrupt-kernel")
        seen.until(lambda bar=bar: "Stopped: this is what there is so far" in bar.first.inner_text())
    seen.until(seen.is_done)
    told = [
        "".join(output["data"]["text/plain"]) for output in seen.outputs() if "text/plain" in output.get("data", {})
    ]
    assert told[-2] == "('stopped', True)"
    assert "stopped before this cell" in told[-1]
    assert (seen.wrong, seen.outside) == ([], [])
