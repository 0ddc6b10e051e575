"""Studies: one declaration from which every face is derived."""

from importlib import import_module
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
    Outputs,
    Paper,
    Parameter,
    Picture,
    Pictures,
    Preset,
    Real,
    Reported,
    Result,
    Run,
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
    out,
    register,
    verify,
)
from .contract.registry import of_class

__all__ = [
    "Choice",
    "Claim",
    "DataSource",
    "Group",
    "Limit",
    "Live",
    "Measured",
    "Outcome",
    "Outputs",
    "Paper",
    "Parameter",
    "Picture",
    "Pictures",
    "Preset",
    "Real",
    "Reported",
    "Result",
    "Run",
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
    "out",
    "register",
    "verify",
]


_OWN = {
    "bilevel_study": "tuning.own_bilevel",
    "boundary_study": "diffusion.own_boundary",
    "correspondence_study": "shapes.own_surfaces",
    "environment_study": "policy.own_environment",
    "field_study": "ode.own_field",
    "inverse_study": "inverse.own_problem",
    "map_study": "ot.own_map",
    "model_study": "stability.own_model",
    "path_study": "paths.own_path",
    "traversal_study": "paths.own_generator",
}
"""What makes a study of one's own field, path, model, ... : by name, where it stands."""


def __getattr__(name: str) -> Any:
    """Built-in studies by class name: ``from lab.studies import SparseOT``; and what makes a study of one's own."""
    if name in _OWN:
        return getattr(import_module(f"{__name__}.{_OWN[name]}"), name)
    if name[:1].isupper() and (study := of_class(name)) is not None:
        return study
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    ours = [study.__name__ for study in catalogue() if study.__module__.startswith(__name__)]
    return sorted({*globals(), *ours, *_OWN})
