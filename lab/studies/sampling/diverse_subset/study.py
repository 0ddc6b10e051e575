"""The study: parameters, data and presets."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from lab.datasets import Data, Needs
from lab.numerics.host import placed
from lab.numerics.principal import principal_plane
from lab.sampling import coresets, subsets
from lab.studies.contract import Choice, DataSource, Limit, Paper, Preset, Study, Switch, Whole
from lab.studies.vocabulary import positive, size

from .claims import CLAIMS, REPORTED
from .experiment import Inputs, compute
from .pictures import PICTURES
from .story import STORY

ROWS = 20_000  # maximum number of rows


class DiverseSubset(Study):
    """Select a few diverse rows, with weights under which they represent all rows."""

    slug = "diverse-subset"
    title = "A diverse subset of rows"
    field = "Diverse sampling"
    paper = Paper(
        "Kulesza, Taskar",
        "k-DPPs: Fixed-Size Determinantal Point Processes",
        "ICML",
        2011,
        "https://icml.cc/2011/papers/611_icmlpaper.pdf",
    )
    text = "diverse_subset.md"
    kind = "samples"
    needs = Needs(n=(2, ROWS))
    data_options = ("n", "seed")

    data = DataSource("digit-samples", doc="a named set of samples, or your table with one item per row")
    k = Whole(20, bounds=(1, 500), soft=(2, 60), symbol="k", traced=False, doc="number of rows to choose")
    length = positive(
        1.0,
        (0.02, 2),
        symbol="ℓ",
        label="length-scale",
        unit="median distance",
        doc="distance below which rows are similar; short: like random selection, long: selects extremes",
    )
    kernel = Choice(
        list(subsets.KERNELS), doc="decay of similarity with distance: gaussian is the smoothest, laplace the roughest"
    )
    standardise = Switch(
        False, label="standardize columns", doc="scale every column to variance 1, for columns with different units"
    )
    n = size(
        600,
        (2, ROWS),
        (50, 2000),
        label="rows",
        doc="number of rows of a named set (files are used whole)",
    )
    draws = size(
        200,
        (2, 10_000),
        (20, 1000),
        label="draws",
        group="more",
        doc="number of independent subsets over which distances and errors are averaged",
    )

    dims: ClassVar = {
        "chosen": ("chosen row", ""),
        "step": ("rows chosen so far", ""),
        "way": ("selection", ""),
        "axis": ("axis", ""),
        "mode": ("eigenvector", ""),
    }
    compute = staticmethod(compute)
    presets = (
        Preset(
            "moons",
            "Two moons",
            "Points along both moons; the length-scale sets how evenly.",
            {"data": "two-moons", "length": 0.3},
        ),
        Preset(
            "long",
            "A long length-scale",
            "The extremes come first: the kernel hardly distinguishes neighbors.",
            {"data": "two-moons", "length": 1.0, "k": 12},
        ),
        Preset(
            "gaussian",
            "A Gaussian cloud",
            "Rows in sparse regions are chosen more often and have smaller weights.",
            {"data": "gaussian-points", "n": 500, "length": 0.5},
        ),
        Preset(
            "eight",
            "Eight Gaussians, eight points",
            "The k-DPP meets about six of the eight components, random rows five.",
            {"data": "eight-gaussians", "k": 8, "length": 0.3},
        ),
        Preset(
            "all-digits", "Fifty of all 1,797 digits", "A coreset to label first.", {"n": 1797, "k": 50, "draws": 50}
        ),
    )
    pictures = PICTURES
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> Inputs:
        """Rows in float64, median distances, and positions in the plane."""
        x = np.asarray(data.arrays["x"], float)
        spread = x.std(axis=0)
        standard = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
        plane = x[:, :2] if x.shape[1] >= 2 else np.c_[x, np.zeros(len(x))]
        if x.shape[1] > 2:
            some = standard if np.ptp(spread) > 10 * np.median(spread) else x
            plane = principal_plane(some).project(some)
        classes = data.arrays.get("classes", np.zeros(len(x)))
        return Inputs(
            placed(x),
            placed(standard),
            subsets.median_distance(x),
            subsets.median_distance(standard),
            placed(plane),
            placed(np.asarray(classes, np.int32)),
            "classes" in data.arrays,
        )

    def check(self, data: Data) -> None:
        """Require rows that differ."""
        x = data.arrays["x"]
        if len(np.unique(x, axis=0)) < 2:
            raise ValueError(f"{data.name} has {len(x)} rows, all equal, but a selection needs rows that differ")
        super().check(data)
        inputs = self.inputs(data)
        if not float(inputs.median_standard if self.standardise else inputs.median) > 0:
            raise ValueError(
                f"more than half of the pairs of rows of {data.name} are equal, so their median distance is 0: "
                "remove repeated rows"
            )

    def limits(self, data: Data) -> Mapping[str, Limit]:
        """Bound k by the number of distinct rows."""
        most = min(500, len(np.unique(data.arrays["x"], axis=0)))
        return {"k": Limit(1, most, "the number of distinct rows")} if most < 500 else {}

    @classmethod
    def coords(cls, data: Data, inputs: Inputs, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Names of the selections and axes."""
        d = inputs.rows.shape[1]
        names = list(data.axes.get("x", ("x₁", "x₂")))[:2]
        if d > 2 or len(names) < 2:
            names = ["first principal axis", "second principal axis"] if d > 2 else ["x", ""]
        return {"way": list(coresets.WAYS), "axis": names}

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Warn if the k-DPP is no better than random selection."""
        if "draw" not in result.dims or result.error.ndim:
            return ""
        if float(result.error) > 0.98 * float(result.error_random):
            return "Sums are no more accurate than over random rows: try a longer length-scale, or standardize."
        return ""
