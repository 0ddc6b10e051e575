"""What a function that the lab offers says of itself: arguments, what comes back, what is refused, and an example.

Offered is what a package lists in ``__all__``. The examples are run by ``test_documents``.
"""

import ast
import builtins
import doctest
import importlib
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator

import pytest

import lab
from lab.parts import parts

FIELDS = (*lab.FIELDS, "numerics")
PARTS = (
    *FIELDS,
    "studies", "studies.contract", "studies.draw", "studies.vocabulary", "datasets", "sweeps", "store", "figures", "app",
)  # fmt: skip


def offered(package: str) -> Iterator[tuple[str, Callable]]:
    """Its functions, by the names that a user types."""
    module = importlib.import_module(package)
    for name in getattr(module, "__all__", ()):
        value = getattr(module, name)
        if callable(value) and not inspect.isclass(value) and getattr(value, "__module__", "").startswith("lab"):
            yield f"{package}.{name}", value


def section(text: str, name: str) -> str:
    """The indented lines below ``name:``; "" where there are none."""
    found = re.search(rf"^{name}:\n((?:[ \t]+.*\n?|\n)+)", text, re.MULTILINE)
    return found[1] if found else ""


def refuses(function: Callable) -> bool:
    """Something is raised in its own lines."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    return any(isinstance(node, ast.Raise) and node.exc is not None for node in ast.walk(tree))


def strange(text: str) -> list[str]:
    """Names in its examples that a reader who pastes them does not have."""
    known, missing = {*dir(builtins)}, []
    for example in doctest.DocTestParser().get_examples(text):
        nodes = [*ast.walk(ast.parse(example.source))]
        bound = {node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
        bound |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.ExceptHandler)}  # type: ignore[misc]
        bound |= {node.arg for node in nodes if isinstance(node, ast.arg)}
        imported = [each for node in nodes if isinstance(node, ast.Import | ast.ImportFrom) for each in node.names]
        known |= bound | {(each.asname or each.name).partition(".")[0] for each in imported}
        missing += [node.id for node in nodes if isinstance(node, ast.Name) and node.id not in known]
    return missing


def lacks(function: Callable, part: str = "ot") -> list[str]:
    """What its docstring does not say."""
    text, signature = inspect.getdoc(function) or "", inspect.signature(function)
    told, missing = section(text, "Args"), []
    for argument in signature.parameters:
        if not re.search(rf"^\s+\*{{0,2}}{argument}:", told, re.MULTILINE):
            missing.append(f"argument {argument}")
    nothing = signature.return_annotation in (None, "None")
    if not nothing and not section(text, "Returns") and not section(text, "Yields"):
        missing.append("what it returns")
    if refuses(function) and not section(text, "Raises"):
        missing.append("what it raises")
    if ">>>" not in section(text, "Examples"):
        missing.append("an example")
    missing += [f"an import of {each}" for each in dict.fromkeys(strange(text))]
    if part in FIELDS and "$" in text and not section(text, "Source"):
        missing.append("the source of its formula")
    return missing


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_functions_say_what_they_do(part):
    found = {name: lacks(function, part) for name, function in offered(f"lab.{part}")}
    assert not {name: missing for name, missing in found.items() if missing}


@pytest.mark.parametrize("part", PARTS)
def test_each_function_has_a_docstring(part):
    package = importlib.import_module(f"lab.{part}")
    modules = {value for name in dir(package) if inspect.ismodule(value := getattr(package, name))} | {package}
    dumb = [
        f"{module.__name__}.{name}"
        for module in modules
        for name, value in vars(module).items()
        if not name.startswith("_")
        and callable(value)
        and getattr(value, "__module__", "") == module.__name__
        and module.__name__.startswith("lab.")
        and not inspect.getdoc(value)
    ]
    assert not dumb


def test_a_docstring_that_lacks_something_is_found():
    def bad(points, count):
        """Do something with points, $x^2$."""
        raise ValueError("no")

    assert lacks(bad) == [
        "argument points", "argument count", "what it returns", "what it raises", "an example",
        "the source of its formula",
    ]  # fmt: skip
    assert lacks(parts)
    assert strange(">>> import numpy as np\n>>> [np.sin(x) for x in far]") == ["far"]
