"""Strict numerics for every test: x64, no silent rank promotion, shapes and types checked at run time."""

import atexit
import os
import platform
import shutil
import tempfile
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
if "LAB_TEST_HOME" not in os.environ:
    os.environ["LAB_TEST_HOME"] = tempfile.mkdtemp(prefix="lab-tests-")  # workers of one run share it
    atexit.register(shutil.rmtree, os.environ["LAB_TEST_HOME"], ignore_errors=True)
os.environ["LAB_HOME"] = os.environ["LAB_TEST_HOME"]
os.environ["LAB_RESULTS"] = ""  # what ships is not taken where the computing is what is tested
# Most of the time of a test is compilation, of programs that run once: less of it, and each program once for all processes,
# and for all checkouts and runs of the tests on this machine (`make clean` removes them).
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
PROGRAMS = CACHE / "transport-lab" / "tests" / platform.node()
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(PROGRAMS))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

os.fsync = lambda opened: None  # what tests write is gone with them: no test waits for a disk

import jax

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")

from jaxtyping import install_import_hook

import lab

install_import_hook([f"lab.{field}" for field in (*lab.FIELDS, "numerics")], "beartype.beartype")

import pytest
from spent import SLUGS, pytest_runtest_setup, pytest_runtest_teardown, pytest_terminal_summary  # noqa: F401

from lab import home, memory
from lab.datasets import registry as data_sets
from lab.studies.contract import registry as contract

home._ready[:] = [
    None
]  # a test puts other code in place of the lab's, which a program kept on the disk would not know of


def pytest_sessionfinish(session):
    """Delete the compiled programs that were not used for longest, down to 2 GiB."""
    if not hasattr(session.config, "workerinput") and PROGRAMS.exists():
        held = 0
        for path in sorted(PROGRAMS.iterdir(), key=lambda path: path.stat().st_atime, reverse=True):
            held += path.stat().st_size
            if held > 2 << 30:
                path.unlink(missing_ok=True)


def pytest_collection_modifyitems(items):
    """What is long goes first: the types, the contract of each study, the notebooks."""
    first = ("test_types.py", "test_contract.py", "test_notebooks.py")
    items.sort(key=lambda item: (*first, item.path.name).index(item.path.name))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """A worker takes a file whole, since its tests share what was computed and compiled; the contract of a study goes with the
    file of that study, and notebooks one by one. (The ``loadgroup`` of xdist 3.8 has no effect under pytest 9.2.)"""
    from xdist.scheduler import LoadScopeScheduling

    class Parts(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file, _, test = nodeid.partition("::")
            if file.endswith("test_notebooks.py"):
                return nodeid
            if not file.endswith("test_contract.py"):
                return file
            of = test.partition("[")[2]
            slug = next((slug for slug in SLUGS if of.startswith(slug)), "")
            return file.replace("contract", slug.replace("-", "_")) if slug else file

    config.option.loadscopereorder = False
    return Parts(config, log)


@pytest.fixture(autouse=True)
def _forgets():
    """What a test registers is forgotten at its end; built-in studies, which are found when they are needed, stay."""
    yield from _as_it_was()


@pytest.fixture(autouse=True, scope="module")
def _forgets_of_the_module():
    yield from _as_it_was()


def _as_it_was():
    before = dict(data_sets._entries), dict(contract._found)
    yield
    for known, old, stay in zip((data_sets._entries, contract._found), before, ((), contract._built_in()), strict=True):
        for name in {*known} - {*old} - {*stay}:
            del known[name]
        known.update(old)


_programs = [0]  # compiled, or read from the disk, since the memory maps were counted last


def _counts(event: str, seconds: float, **named: str | int) -> None:
    if event.endswith("backend_compile_duration"):
        _programs[0] += 1


jax.monitoring.register_event_duration_secs_listener(_counts)


@pytest.fixture(autouse=True)
def _few_programs():
    """Each compiled program holds memory maps, of which Linux gives a process 65,530: drop them in time.

    A program has some two hundred maps at most, so counting them after every fifty programs is soon enough.
    """
    yield
    if _programs[0] >= 50:
        _programs[0] = 0
        memory.make_room(30_000, left=0)
