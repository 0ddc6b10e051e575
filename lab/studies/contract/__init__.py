"""The contract: what a study declares, and what it inherits."""

from .along import curve, logarithmic, measure, scrubbed, span
from .claims import Claim, Measured, Runs, Verdict, one_run
from .comparisons import Comparison
from .declare import Limit, Live, Mood, Paper, Preset, Result, headlines
from .outputs import Outputs, Run, out
from .parameters import (
    Choice,
    DataSource,
    Parameter,
    Real,
    Switch,
    Whole,
    as_text,
    bounds_of,
    choices,
    kind_of,
    option,
)
from .pictures import Grid, Picture, Pictures, first_picture
from .registry import catalogue, find, load_file, load_files, named, register
from .reported import ONLY_HERE, PREDICTED, Reported
from .story import Group, Step, Story
from .study import Outcome, Study, edited
from .telling import told
from .verify import verify

__all__ = [
    "ONLY_HERE",
    "PREDICTED",
    "Choice",
    "Claim",
    "Comparison",
    "DataSource",
    "Grid",
    "Group",
    "Limit",
    "Live",
    "Measured",
    "Mood",
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
    "Runs",
    "Step",
    "Story",
    "Study",
    "Switch",
    "Verdict",
    "Whole",
    "as_text",
    "bounds_of",
    "catalogue",
    "choices",
    "curve",
    "edited",
    "find",
    "first_picture",
    "headlines",
    "kind_of",
    "load_file",
    "load_files",
    "logarithmic",
    "measure",
    "named",
    "one_run",
    "option",
    "out",
    "register",
    "scrubbed",
    "span",
    "told",
    "verify",
]
