"""Where the processor's time of the tests went, told at their end: by study or part of the lab, and by kind.

The processor seconds of a test are those of its process and of the processes that it waited for. Those of compiling are what
JAX says that lowering and compiling took.
"""

import os
from collections import Counter, defaultdict
from pathlib import Path

import jax
import pytest

SLUGS = sorted(
    (path.stem for path in (Path(__file__).parent.parent / "dashboards").glob("*.py")), key=len, reverse=True
)
KINDS = ("compile", "run", "browser", "notebook")
BEGAN = pytest.StashKey[tuple[float, float]]()
_compiled = 0.0


def _listen(event: str, seconds: float, **named: str | int) -> None:
    global _compiled
    if event.endswith(("backend_compile_duration", "jaxpr_to_mlir_module_duration")):
        _compiled += seconds


jax.monitoring.register_event_duration_secs_listener(_listen)


def _now() -> tuple[float, float]:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system, _compiled


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item):
    item.stash[BEGAN] = _now()
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item):
    try:
        return (yield)
    finally:
        spent, compiled = (after - before for after, before in zip(_now(), item.stash[BEGAN], strict=True))
        kind = next((kind for kind in KINDS if item.get_closest_marker(kind)), "")
        parts = {kind: spent} if kind else {"compile": min(compiled, spent), "run": max(spent - compiled, 0.0)}
        item.user_properties.append(("spent", parts))


def of(nodeid: str) -> str:
    """The study that a test is of, or else the folder or file that it is in; notebooks share a kernel, which tells no parts."""
    if "test_notebooks" in nodeid:
        return "test_notebooks"
    spoken = nodeid.replace("_", "-")
    study = next((slug for slug in SLUGS if slug in spoken), "")
    parts = Path(nodeid.partition("::")[0]).parts
    return study or (parts[1] if len(parts) > 2 else Path(parts[-1]).stem)


def pytest_terminal_summary(terminalreporter):
    table: dict[str, Counter] = defaultdict(Counter)
    for report in terminalreporter.stats.get("", []):
        if report.when == "teardown":
            for parts in (value for name, value in report.user_properties if name == "spent"):
                table[of(report.nodeid)].update(parts)
    whole = sum(table.values(), Counter())
    if not whole.total() > 60:  # of a few tests nobody asks
        return
    terminalreporter.section("processor seconds")
    terminalreporter.line(f"{'':28}{'all':>8}" + "".join(f"{kind:>10}" for kind in KINDS))
    rows = sorted(table.items(), key=lambda row: -row[1].total())
    for name, spent in [*rows, ("all", whole)]:
        parts = "".join(f"{spent[kind]:10.0f}" for kind in KINDS)
        terminalreporter.line(f"{name:28}{spent.total():8.0f}{parts}")
