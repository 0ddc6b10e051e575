"""Studies: one file for each method, the contract they keep, and the registry that finds them."""

from typing import Any

from .contract.base import Outcome, Study, edited
from .contract.declare import (
    Claim,
    Limit,
    Live,
    Measured,
    Paper,
    Picture,
    Pictures,
    Preset,
    Result,
    Verdict,
    first_picture,
    headlines,
)
from .contract.parameters import Choice, DataSource, Parameter, Real, Switch, Whole, bounds_of, kind_of
from .contract.registry import catalogue, find, load_file, load_files, named, register
from .contract.verify import verify

__all__ = [
    "Choice", "Claim", "DataSource", "Limit", "Live", "Measured", "Outcome", "Paper", "Parameter", "Picture",
    "Pictures", "Preset", "Real", "Result", "Study", "Switch", "Verdict", "Whole", "bounds_of", "catalogue", "edited",
    "find", "first_picture", "headlines", "kind_of", "load_file", "load_files", "named", "register", "verify",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Built-in studies by class name: ``from lab.studies import SparseOT``; and what makes a study of one's own."""
    if name == "path_study":
        from .paths.own_path import path_study

        return path_study
    if name == "model_study":
        from .stability.sgd_stability.own import model_study

        return model_study
    if name[:1].isupper():
        for study in catalogue():
            if study.__name__ == name and study.__module__.startswith(__name__):
                return study
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    ours = [study.__name__ for study in catalogue() if study.__module__.startswith(__name__)]
    return sorted({*globals(), *ours, "model_study", "path_study"})
