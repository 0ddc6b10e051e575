"""What the documents show is run as it stands: each block of Python in a fresh process, as a user pastes it."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "docs").rglob("*.md")
    if path.parent.name not in ("papers", "make")
)
BLOCKS = [
    pytest.param(block, id=f"{name}-{number}")
    for name in ("README.md", "CONTRIBUTING.md")
    for number, block in enumerate(
        re.findall(r"^```python\n(.*?)^```", (ROOT / name).read_text(), re.DOTALL | re.MULTILINE)
    )
]
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    *(name for name in PAGES if name != "docs/clusters.md"),  # whose lines need a queue
    "data/README.md",
    "benchmarks/README.md",
    "CHANGELOG.md",
)
TEXTS = {name: (ROOT / name).read_text() for name in DOCUMENTS}
LINES = [line for text in TEXTS.values() for line in re.findall(r"^    (lab .*)$", text, re.MULTILINE)]
WORDS = [shlex.split(line, comments=True)[1:] for line in LINES]
COMMANDS = [words for words in WORDS if words[0] != "serve"]
NOTEBOOKS = [path.read_text() for path in (ROOT / "notebooks").glob("*.py")]
SERVED = [words for words in WORDS if words[0] == "serve"]
INLINE = [
    words.split()[1:] for text in TEXTS.values() for words in re.findall(r"`(lab [a-z][^`]*)`", text.replace("\n", " "))
]
USED = """
import lab
lab.notebook()
result = UnbalancedLine().run()
assert result.attrs["converged"]
UnbalancedLine.pictures.plan(result)
from lab.studies.contract import verify
assert all(verdict.holds for verdict in verify(UnbalancedLine))
"""  # what CONTRIBUTING says follows from its class


def run(text: str, folder: Path) -> subprocess.CompletedProcess:
    script = folder / "pasted.py"
    script.write_text(text)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_ENABLE_X64": "0", "LAB_HOME": str(folder / "home")}
    del environment["LAB_RESULTS"]  # a reader has what ships
    return subprocess.run(
        [sys.executable, script], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


def save_studies(folder: Path) -> None:
    """Save the studies of the documents as the documents say: class Damping as damping.py."""
    for (block,) in (each.values for each in BLOCKS):
        for name in re.findall(r"^class (\w+)\(Study\)", block, re.MULTILINE):
            words = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
            (folder / f"{words}.py").write_text(block)


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_runs_when_pasted(block, tmp_path):
    done = run(block + (USED if "class UnbalancedLine" in block else ""), tmp_path)
    assert done.returncode == 0, done.stderr


ALL_BLOCKS = """
import sys, traceback

for name, block in {blocks!r}:
    there = {{"__name__": "__main__"}}
    try:
        exec(compile(block, name, "exec"), there)
        if "class Heron" in block:
            found = there["Heron"](a=10.0).run()
            assert abs(float(found.root) - 10**0.5) < 1e-12
            assert found.sizes["iteration"] == int(found.iterations)
        if "class Coin" in block:
            from lab.studies.contract import verify

            study = there["Coin"]
            assert study(prior=10.0).run().attrs["converged"]
            study.pictures.posterior(study().run())
            assert all(verdict.holds for verdict in verify(study))
    except Exception:
        sys.exit(name + ": " + traceback.format_exc())
"""


@pytest.mark.slow
def test_the_blocks_of_the_pages_run(tmp_path):
    """Each by itself, one after the other in one process."""
    blocks = [
        (name, block)
        for name in PAGES
        for block in re.findall(r"^```python\n(.*?)^```", (ROOT / name).read_text(), re.DOTALL | re.MULTILINE)
    ]
    assert len(blocks) >= 12
    done = run(ALL_BLOCKS.format(blocks=blocks), tmp_path)
    assert done.returncode == 0, done.stderr


def test_each_document_has_its_blocks():
    assert len(BLOCKS) >= 6
    assert len(COMMANDS) >= 12
    assert len(SERVED) >= 5
    assert len(INLINE) >= 20


SHELL = """
import contextlib, io, re
from lab.cli import main

for words in {lines!r}:
    if words[0] == "open":  # KEY is the start of a key, of those that lab runs tells
        words[words.index("KEY")] = re.search("^[0-9a-f]{{4}}", listed, re.MULTILINE)[0]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            status = main(words)
        except SystemExit as end:
            status = end.code
    assert not status, (words, status, out.getvalue())
    listed = out.getvalue() if words[0] == "runs" else ""
"""


@pytest.mark.slow
def test_the_lines_of_the_shell_run(tmp_path):
    """As they stand, one after the other in one process; ``my.npz`` is the reader's own."""
    random = np.random.default_rng(0)
    np.savez(tmp_path / "my.npz", x=random.normal(size=(6, 2)), y=random.normal(size=(5, 2)))
    save_studies(tmp_path)
    done = run(SHELL.format(lines=COMMANDS), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    written = {words[words.index("-o") + 1] for words in COMMANDS if "-o" in words}
    assert {"run.nc", "plan.pdf", "strip.pdf", "grid.nc", "cell.pdf", "kept.nc"} <= written
    assert all((tmp_path / name).stat().st_size for name in written)


SERVE = """
import os, sys
from threading import Thread
from urllib.request import urlopen
from lab.app import shell
from lab.cli import main

answered, make = [], shell.make_server

def made(**given):
    server = make(**given | {{"port": 0, "warm": False}})
    def look():
        try:
            answered.append(urlopen(f"http://127.0.0.1:{{server.port}}/liveness", timeout=60).status)
        finally:
            server.io_loop.add_callback(server.io_loop.stop)
    server.io_loop.add_callback(Thread(target=look).start)
    return server

shell.make_server = made
os._exit = sys.exit
for words in {lines!r}:
    try:
        status = main(words)
    except SystemExit as end:
        status = end.code
    assert not status, (words, status)
assert answered == [200] * {count}, answered
"""


@pytest.mark.slow
def test_what_the_documents_serve_answers(tmp_path):
    """With the options as they stand, at a port that is free."""
    (tmp_path / "users.json").write_text('{"ann": "a password"}')
    save_studies(tmp_path)
    done = run(SERVE.format(lines=SERVED, count=len(SERVED)), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_named_in_the_documents_is_there():
    """Commands and their options; studies with their pictures and presets; sets of data; by the words in backquotes."""
    from lab import cli, datasets, studies

    every = studies.catalogue()
    pictures = {study.slug: {picture.name for picture in study.pictures} for study in every}
    for command, *rest in WORDS + INLINE:
        assert command in cli.COMMANDS
        if command not in ("run", "sweep", "figure", "share"):  # whose options are their study's
            known = cli._plain_parser(command)._option_string_actions
            assert not [word for word in rest if word.startswith("--") and word not in known], (command, rest)
    names = {*pictures, *(entry.name for entry in datasets.catalogue())}
    names |= {name for study in every for name in pictures[study.slug] | {preset.name for preset in study.presets}}
    names |= {result.name for study in every for result in study.results}
    for name, text in TEXTS.items():
        for slug, picture in re.findall(r"\b([a-z0-9]+(?:-[a-z0-9]+)+):([a-z0-9-]+)\b", text):
            assert picture in pictures.get(slug, ()), f"{slug}:{picture} in {name}"
        for word in re.findall(r"`([a-z0-9]+(?:-[a-z0-9]+)+)`", text):
            assert word in names | {"unsafe-eval"}, f"{word} in {name}"
    for study, preset in re.findall(r"([A-Z]\w+)\.preset\(\"([^\"]+)\"", "".join(NOTEBOOKS)):
        assert preset in {each.name for each in getattr(studies, study).presets}, (study, preset)


def test_the_version_is_the_same_everywhere():
    import lab

    assert f"version {lab.__version__}," in " ".join(TEXTS["README.md"].split())
    assert f"## {lab.__version__} " in TEXTS["CHANGELOG.md"]
    assert "version" not in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


EXAMPLES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted((ROOT / "lab").rglob("*.py"))
    if ">>>" in path.read_text()
]


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_the_examples_of_docstrings_hold(part, tmp_path):
    """As a user types them: in a process without the checks of types that the tests have."""
    assert len(EXAMPLES) >= 12
    script = f"""
import doctest, importlib
import jax
jax.config.update("jax_enable_x64", True)
failed = {{name: doctest.testmod(importlib.import_module(name)).failed for name in {EXAMPLES[part::4]!r}}}
assert not any(failed.values()), failed
"""
    done = run(script, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
