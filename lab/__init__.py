"""The transport lab: studies of transport, probability paths, denoisers, sampling and SGD.

Importing this package is cheap: JAX, HoloViews and Panel are loaded by the parts that need them. Examples in docstrings are in
float64: begin with ``lab.notebook()``, or ``jax.config.update("jax_enable_x64", True)``.
"""

from importlib import import_module
from typing import Any

from lab.parts import parts

__version__ = "0.2.0"

FIELDS = (  # a new field of mathematics is named here, and nowhere else
    *("ot", "paths", "diffusion", "denoise", "inverse", "sampling", "stability", "ode", "clustering", "survival"),
    *("shapes", "valuation", "policy", "traffic", "tuning"),
)
_PARTS = (*FIELDS, "numerics", "datasets", "studies", "sweeps", "store", "figures", "app")
_part, _listed = parts(__name__, _PARTS)


def __getattr__(name: str) -> Any:
    if name == "run":
        return import_module("lab.sweeps.single").run
    if name == "share":
        return _part("app").share
    return import_module("lab.sweeps").sweep if name == "sweep" else _part(name)


def __dir__() -> list[str]:
    return [*_listed(), "run", "share", "sweep"]


def notebook() -> None:
    """First cell of a notebook: float64, the cache of compiled programs, and pictures that need no network.

    Call it before the first array of JAX. A cell then shows of a result a card above what xarray shows of it.

    Examples:
        >>> import jax
        >>> import lab
        >>> lab.notebook()
        >>> jax.numpy.ones(2).dtype
        dtype('float64')
    """
    from lab import offline
    from lab.home import start

    start()
    offline.load()
    _show_results()


def _show_results() -> None:
    """Have a cell show what a result says above what xarray shows of it."""
    import sys

    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is not None:
        html = shell.display_formatter.formatters["text/html"]
        html.for_type_by_name("xarray.core.dataset", "Dataset", lambda result: _part("figures").card_of(result))
