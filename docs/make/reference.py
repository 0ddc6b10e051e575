"""Pages of the reference: which names of which module stand on them. mkdocstrings reads the docstrings."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType

import lab

PARTS = {
    "Mathematics": (*lab.FIELDS, "numerics"),
    "Studies": ("studies", "studies.contract", "studies.draw", "studies.vocabulary", "datasets"),
    "Keeping and showing": ("sweeps", "store", "figures", "app"),
}  # fmt: skip

ELSEWHERE = {
    "jax": ("https://docs.jax.dev/en/latest/", {
        "jax.Array": "_autosummary/jax.Array.html",
        "jax.jit": "_autosummary/jax.jit.html",
        "jax.vmap": "_autosummary/jax.vmap.html",
        "jax.grad": "_autosummary/jax.grad.html",
        "jax.numpy": "jax.numpy.html",
        "jax.random": "jax.random.html",
    }),
    "xarray": ("https://docs.xarray.dev/en/stable/", {
        "xarray.Dataset": "generated/xarray.Dataset.html",
        "xarray.DataArray": "generated/xarray.DataArray.html",
        "xarray.open_dataset": "generated/xarray.open_dataset.html",
    }),
    "ott": ("https://ott-jax.readthedocs.io/en/latest/", {
        "ott.geometry": "geometry.html",
        "ott.problems.linear": "problems/linear.html",
        "ott.solvers.linear": "solvers/linear.html",
    }),
    "numpy": ("https://numpy.org/doc/stable/", {"numpy.ndarray": "reference/generated/numpy.ndarray.html"}),
    "python": ("https://docs.python.org/3/", {
        "pathlib.Path": "library/pathlib.html#pathlib.Path",
        "collections.abc.Callable": "library/collections.abc.html#collections.abc.Callable",
        "collections.abc.Mapping": "library/collections.abc.html#collections.abc.Mapping",
        "collections.abc.Sequence": "library/collections.abc.html#collections.abc.Sequence",
        "collections.abc.Iterator": "library/collections.abc.html#collections.abc.Iterator",
        "typing.Literal": "library/typing.html#typing.Literal",
        "typing.Any": "library/typing.html#typing.Any",
    }),
}  # fmt: skip
"""Addresses of other documentations, kept by hand: their own inventories would have to be fetched."""


def inventory() -> bytes:
    """The addresses as Sphinx keeps them, from which mkdocstrings links."""
    from mkdocstrings import Inventory, InventoryItem

    items = [
        InventoryItem(name, "py", "class" if name.rpartition(".")[2][0].isupper() else "function", base + address)
        for base, names in ELSEWHERE.values()
        for name, address in names.items()
    ]
    return Inventory(items, project="elsewhere", version="").format_sphinx()


def page(part: str) -> str:
    """The reference of ``lab.PART``: first what the package itself offers, then its modules."""
    package = importlib.import_module(f"lab.{part}")
    offered = [*getattr(package, "__all__", ())]
    own = [name for name in offered if not isinstance(getattr(package, name), ModuleType)]
    says = 'Examples are in float64: begin with `lab.notebook()`, or `jax.config.update("jax_enable_x64", True)`.'
    blocks = [f"# lab.{part}", says, _directive(f"lab.{part}", own, heading=2)]
    for module in _modules(package):
        public = [name for name in _public(module) if getattr(package, name, None) is not getattr(module, name)]
        if public:
            blocks += [f"## {module.__name__}", _directive(module.__name__, public, heading=3)]
    return "\n\n".join(blocks) + "\n"


def _directive(name: str, members: list[str], heading: int) -> str:
    chosen = "".join(f"\n        - {each}" for each in members) or " false"
    shown = f"heading_level: {heading}\n      show_root_heading: false\n      show_root_toc_entry: false"
    return f"::: {name}\n    options:\n      {shown}\n      members:{chosen}"


def _modules(package: ModuleType) -> Iterator[ModuleType]:
    if package.__name__ in ("lab.studies", "lab.app"):  # rooms of their own; components of pages
        return
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if not found.name.rpartition(".")[2].startswith("_"):
            yield importlib.import_module(found.name)


def _public(module: ModuleType) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isfunction(value) or inspect.isclass(value) or hasattr(value, "__wrapped__"))
        and getattr(value, "__module__", "") == module.__name__
        and inspect.getdoc(value)
    ]
