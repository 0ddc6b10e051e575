"""A diverse subset of the rows of a data set, by a k-DPP, as a study."""

from collections.abc import Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.core import Tracer

from lab.datasets import Data, Needs
from lab.numerics import Loop
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.numerics.principal import principal_plane
from lab.sampling import coresets, ensembles, subsets
from lab.studies.contract import Choice, DataSource, Limit, Paper, Result, Study, Switch, Whole
from lab.studies.vocabulary import positive, size

from .claims import CLAIMS
from .pictures import PICTURES
from .presets import PRESETS
from .reported import REPORTED
from .story import STORY

ROWS = 20_000
"""The most rows that are taken."""
_EIGENVALUES = 200  # that are kept
_UNKNOWN = "the classes of these rows are not known: choose data that have them"


class Inputs(eqx.Module):
    """The rows, as they are and with columns of variance 1."""

    rows: Any
    standard: Any
    median: Any  # distance of rows
    median_standard: Any
    plane: Any  # (N, 2)
    classes: Any  # (N,)
    labelled: bool = eqx.field(static=True)  # whether the classes are known


class DiverseSubset(Study):
    """A few rows that differ, with weights under which they stand for all."""

    slug = "diverse-subset"
    title = "A diverse subset of rows"
    field = "Diverse sampling"
    paper = Paper(
        "Kulesza, Taskar", "k-DPPs: Fixed-Size Determinantal Point Processes", "ICML", 2011,
        "https://icml.cc/2011/papers/611_icmlpaper.pdf",
    )
    text = "diverse_subset.md"
    kind = "samples"
    needs = Needs(n=(2, ROWS))
    data_options = ("n", "seed")

    data = DataSource("digit-samples", doc="a named set of samples, or a table of yours: a row is an item")
    k = Whole(20, bounds=(1, 500), soft=(2, 60), symbol="k", traced=False, doc="how many rows are chosen")
    length = positive(
        1.0, (0.02, 2), symbol="ℓ", label="length-scale", unit="median distance",
        doc="distance at which rows count as alike; short: the choice is chance, long: the extremes",
    )
    kernel = Choice(
        list(subsets.KERNELS), doc="how similarity falls with distance: gaussian smoothest, laplace roughest"
    )
    standardise = Switch(
        False, label="standardise columns", doc="scale every column to variance 1: where their units differ"
    )
    n = size(
        600, (2, ROWS), (50, 2000), label="rows",
        doc="how many rows a named set has (those of a file are taken as they are)",
    )
    draws = size(
        200, (2, 10_000), (20, 1000), label="draws", group="more",
        doc="independent subsets, of which distances and errors are taken",
    )

    dims: ClassVar = {
        "row": ("row", ""), "chosen": ("chosen row", ""), "step": ("rows so far", ""), "way": ("chosen by", ""),
        "draw": ("draw", ""), "axis": ("axis", ""), "mode": ("eigenvector", ""),
    }
    results = (
        Result("cover", (), "distance to the chosen", "mean over rows of the distance to the nearest chosen row, over draws",
               unit="median distance", headline=True),
        Result("cover_random", (), "distance, random rows", "the same of k rows at random", unit="median distance",
               headline=True),
        Result("error", (), "error of sums", "root mean square over draws of the distance of mean embeddings, best weights",
               headline=True),
        Result("error_random", (), "error of sums, random rows", "the same of k rows at random", headline=True),
        Result("rank", (), "rank of the kernel", "to rounding: no more rows can be chosen", headline=True),
        Result("classes_found", (), "classes found", "mean number of classes among the chosen, where they are known",
               headline=True, absent=_UNKNOWN),
        Result("classes_random", (), "classes, random rows", "the same of k rows at random", headline=True, absent=_UNKNOWN),
        Result("indices", ("way", "chosen"), "row", "of the first draw, in the order of choice"),
        Result("weights", ("chosen",), "weight", "1 / P(row in S) of the first draw of the k-DPP"),
        Result("probability", ("row",), "P(row in S)", "of the k-DPP; sums to k"),
        Result("residual", ("step", "row"), "what a row adds", "its squared distance from the span of those so far"),
        Result("position", ("row", "axis"), "position", "of the rows; of more than two columns on principal axes"),
        Result("coverage", ("way", "draw"), "mean distance", "of rows to the nearest chosen one", unit="median distance"),
        Result("farthest", ("way", "draw"), "largest distance", "of a row to the nearest chosen one", unit="median distance"),
        Result("mmd", ("way", "draw"), "error of sums, unbiased weights", "distance of the mean embeddings of weighted subset "
               "and all rows; of the greedy choice with equal weights"),
        Result("mmd_best", ("way", "draw"), "error of sums, best weights", "the same with the weights that make it least"),
        Result("volume", ("way", "draw"), "log det L", "of the chosen rows"),
        Result("eigenvalue", ("mode",), "eigenvalue", "of the kernel"),
        Result("taken", ("mode",), "P(taken)", "how probably an eigenvector takes part; sums to k"),
        Result("median", (), "median distance", "between rows"),
    )
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> Inputs:
        """Rows in float64, their median distances, and where they are shown."""
        x = np.asarray(data.arrays["x"], float)
        spread = x.std(axis=0)
        standard = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
        plane = x[:, :2] if x.shape[1] >= 2 else np.c_[x, np.zeros(len(x))]
        if x.shape[1] > 2:
            some = standard if np.ptp(spread) > 10 * np.median(spread) else x
            plane = principal_plane(some).project(some)
        classes = data.arrays.get("classes", np.zeros(len(x)))
        return Inputs(
            placed(x), placed(standard), subsets.median_distance(x), subsets.median_distance(standard),
            placed(plane), placed(np.asarray(classes, np.int32)), "classes" in data.arrays,
        )

    def check(self, data: Data) -> None:
        """Rows must differ."""
        x = data.arrays["x"]
        if len(np.unique(x, axis=0)) < 2:
            raise ValueError(f"{data.name} has {len(x)} rows, all the same, but a choice needs rows that differ")
        super().check(data)
        inputs = self.inputs(data)
        if not float(inputs.median_standard if self.standardise else inputs.median) > 0:
            raise ValueError(
                f"more than half of the pairs of rows of {data.name} are equal, so that there is no length to compare with: "
                "leave repeated rows out"
            )

    def limits(self, data: Data) -> Mapping[str, Limit]:
        """No more than there are different rows."""
        most = min(500, len(np.unique(data.arrays["x"], axis=0)))
        return {"k": Limit(1, most, "the number of different rows")} if most < 500 else {}

    @staticmethod
    def compute(inputs: Inputs, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        """Decompose the kernel, draw subsets, and look at them."""
        rows, median = (inputs.standard, inputs.median_standard) if p.standardise else (inputs.rows, inputs.median)
        length = jnp.asarray(p.length, rows.dtype) * median
        found = _decompose(rows, length, p.k, p.kernel)
        if not isinstance(found.values, Tracer) and (rank := int((found.values > 0).sum())) < p.k:
            raise ValueError(
                f"k = {p.k}, but the kernel has rank {rank} (to rounding), so that no {p.k} rows are told apart: take "
                f"k <= {rank}, or a shorter length-scale than {float(p.length):.3g}"
            )
        key = jax.random.key(p.seed)
        problem = coresets.Comparison(rows, length, median, found, key, inputs.classes, p.k, p.kernel, p.draws)
        run = loop(coresets.COMPARE, problem, max_iterations=problem.steps)
        output = _summary(problem, run.state)
        if not inputs.labelled:
            output = {name: value for name, value in output.items() if not name.startswith("classes")}
        return output | {"position": inputs.plane, "median": median, "reason": run.reason}

    @classmethod
    def coords(cls, data: Data, inputs: Inputs, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ways by name."""
        d = inputs.rows.shape[1]
        names = list(data.axes.get("x", ("x₁", "x₂")))[:2]
        if d > 2 or len(names) < 2:
            names = ["first principal axis", "second principal axis"] if d > 2 else ["x", ""]
        return {"way": list(coresets.WAYS), "axis": names}

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Where the kernel does not tell rows apart, or all from each other."""
        if "draw" not in result.dims or result.error.ndim:
            return ""
        if float(result.error) > 0.98 * float(result.error_random):
            return (
                "Sums over this subset are no better than over random rows: try a longer length-scale, or standardise."
            )
        return ""


@jit
def _decompose(rows: Any, length: Any, k: int, kernel: str) -> ensembles.Spectrum:
    return subsets.decompose(rows, k, kernel, length)


@jit
def _summary(problem: coresets.Comparison, state: coresets.Judged) -> dict[str, Any]:
    """What the draws say together; only the first eigenvalues."""
    found = coresets.summary(problem, state)
    return found.quality._asdict() | {
        "indices": state.first, "weights": found.weights, "probability": found.probability, "residual": found.residual,
        "cover": found.cover[0], "cover_random": found.cover[1], "error": found.error[0], "error_random": found.error[1],
        "classes_found": found.classes[0], "classes_random": found.classes[1], "rank": found.rank,
        "eigenvalue": problem.spectrum.values[:_EIGENVALUES], "taken": found.taken[:_EIGENVALUES],
    }
