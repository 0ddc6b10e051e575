"""Strict numerics for every test: x64, no silent rank promotion, shapes and types checked at run time."""

import os
import tempfile
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["LAB_HOME"] = os.environ.get("LAB_TEST_HOME") or tempfile.mkdtemp(prefix="lab-tests-")
os.environ["LAB_TEST_HOME"] = os.environ["LAB_HOME"]  # workers of one run share it

import jax

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")

from jaxtyping import install_import_hook

install_import_hook(["lab.ot", "lab.numerics", "lab.paths", "lab.survival", "lab.denoise"], "beartype.beartype")

import pytest

# Studies whose programs take minutes to compile: their notebooks, and what their contract computes again and again, are run by
# `make test-all` only, until they are cheaper. Their own tests, and the rest of the contract, are run always.
_LONG = ("kinetic-optimal-paths", "rectified-flow", "stochastic-interpolants")
_DEEP = ("test_compute_is_pure", "test_traced_parameters_compile_nothing", "test_quick_claims_hold")


def _is_long(item):
    given = getattr(item, "callspec", None)
    if item.get_closest_marker("notebook"):
        return given.params["path"].stem.replace("_", "-") in _LONG
    return item.path.name == "test_contract.py" and item.originalname in _DEEP and given.params["study"].slug in _LONG


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """For ``--dist loadgroup``: a file stays with one worker. What is long goes first, and in parts: each notebook, and the
    contract of each study."""

    def group(item):
        if item.get_closest_marker("notebook"):
            return 0, item.nodeid
        if item.path.name == "test_contract.py" and hasattr(item, "callspec"):
            return 1, f"contract of {item.callspec.params['study'].slug}"
        return 2, f"{item.path.parent.name}/{item.path.name}"

    items.sort(key=lambda item: group(item)[0])
    for item in items:
        if _is_long(item):
            item.add_marker(pytest.mark.long)
        item.add_marker(pytest.mark.xdist_group(group(item)[1]))


@pytest.fixture(autouse=True, scope="module")
def _few_programs():
    """Each compiled program holds memory maps, of which Linux gives a process 65,530: drop them in time."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and len(maps.read_bytes().splitlines()) > 30_000:
        jax.clear_caches()
