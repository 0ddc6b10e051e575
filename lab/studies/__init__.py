"""Studies: one declaration from which every face is derived."""

from typing import Any

from .contract import (
    Choice,
    Claim,
    DataSource,
    Group,
    Limit,
    Live,
    Measured,
    Outcome,
    Paper,
    Parameter,
    Picture,
    Pictures,
    Preset,
    Real,
    Result,
    Step,
    Story,
    Study,
    Switch,
    Verdict,
    Whole,
    bounds_of,
    catalogue,
    edited,
    find,
    first_picture,
    headlines,
    kind_of,
    load_file,
    load_files,
    named,
    register,
    verify,
)

__all__ = [
    "Choice",
    "Claim",
    "DataSource",
    "Group",
    "Limit",
    "Live",
    "Measured",
    "Outcome",
    "Paper",
    "Parameter",
    "Picture",
    "Pictures",
    "Preset",
    "Real",
    "Result",
    "Step",
    "Story",
    "Study",
    "Switch",
    "Verdict",
    "Whole",
    "bounds_of",
    "catalogue",
    "edited",
    "find",
    "first_picture",
    "headlines",
    "kind_of",
    "load_file",
    "load_files",
    "named",
    "register",
    "verify",
]


def __getattr__(name: str) -> Any:
    """Built-in studies by class name: ``from lab.studies import SparseOT``; and what makes a study of one's own."""
    if name == "path_study":
        from .paths.own_path import path_study

        return path_study
    if name == "model_study":
        from .stability.sgd_stability.own import model_study

        return model_study
    if name == "inverse_study":
        from .inverse.inverse_problems.own import inverse_study

        return inverse_study
    if name == "traversal_study":
        from .paths.potential_flows.own import traversal_study

        return traversal_study
    if name[:1].isupper():
        for study in catalogue():
            if study.__name__ == name and study.__module__.startswith(__name__):
                return study
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    ours = [study.__name__ for study in catalogue() if study.__module__.startswith(__name__)]
    return sorted({*globals(), *ours, "inverse_study", "model_study", "path_study", "traversal_study"})
