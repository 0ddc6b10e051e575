"""Tests of the app check what a page shows and its public protocol: they read no private attributes of the lab's objects."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
SHARED = "visitor.py"  # has the hooks of Panel and Bokeh through which a browser and a page communicate

# Private attributes that tests of the app still use, by file. A number may only fall.
LEFT = {
    "test_garbage.py": 1,  # the time when a page was opened last, which a test resets
    "test_serving.py": 2,  # pages of other tests, and Panel's hook that checks a password
    "test_shipping.py": 1,  # what was reported as lost, which a test resets
    "test_threads.py": 2,  # methods of Panel and of HoloViews
    "test_wire.py": 4,  # Bokeh's method that handles a message, which the lab overrides
}


def names_of_the_lab() -> set[str]:
    """The private names in lower case that the sources of the lab define: methods, functions, attributes and variables."""
    found = set()
    for path in (TESTS.parent / "lab").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found.add(node.name)
            elif isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.attr if isinstance(node, ast.Attribute) else node.id)
    return {name for name in found if re.match("_[a-z]", name)}


def used(text: str, private: set[str]) -> list[str]:
    """The private names that a source reads or sets on other objects, replaces through ``setattr``, or imports."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and not (
            isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
        ):
            found.append(node.attr)
        elif isinstance(node, ast.ImportFrom):
            found += [alias.name for alias in node.names]
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("setattr", "delattr")
        ):
            texts = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
            found += [each.rpartition(".")[2] for each in texts]
    return [name for name in found if name in private]


def test_tests_of_the_app_use_no_private_attributes():
    private = names_of_the_lab()
    found = {path.name: used(path.read_text(), private) for path in sorted((TESTS / "app").glob("*.py"))}
    del found[SHARED]
    grown = {file: names for file, names in found.items() if len(names) > LEFT.get(file, 0)}
    assert not grown, f"{grown} are private attributes: check what the page shows, with tests/app/{SHARED}"
    fallen = {file: len(found[file]) for file, number in LEFT.items() if len(found[file]) < number}
    assert not fallen, f"lower the numbers in LEFT: {fallen}"


@pytest.mark.parametrize(
    ("source", "number"),
    [
        ("tab._says.object", 1),
        ("monkeypatch.setattr(card, '_sweep', f)", 1),
        ("monkeypatch.setattr('lab.app.cards._sweep', f)", 1),
        ("from lab.app.cards import _sweep", 1),
        ("self._says = 1", 0),  # of the test's own class
        ("progress._replace(part=1)", 0),  # of Python
        ("monkeypatch.setattr(runner, '_CALM', 0.0)", 0),  # a constant
    ],
)
def test_private_attributes_are_found(source, number):
    assert len(used(source, {"_says", "_sweep"})) == number
