"""The study: parameters, data and presets."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from lab.datasets import Data, responses
from lab.datasets.transport import planar
from lab.numerics.host import placed
from lab.sampling import bases
from lab.sampling.families import FAMILIES
from lab.sampling.nested import DESIGNS, DPP, MOST
from lab.studies.contract import Choice, DataSource, Limit, Paper, Preset, Real, Study, Whole
from lab.studies.vocabulary import size

from .claims import CLAIMS, REPORTED
from .experiment import LEVELS, Inputs, compute, response
from .pictures import PICTURES
from .story import STORY


class DPPLeastSquares(Study):
    """Stable least squares from little more than m evaluations, at points that repel each other."""

    slug = "dpp-least-squares"
    title = "Least squares on repelling points"
    field = "Diverse sampling"
    paper = Paper(
        "Nouy, Michel",
        "Weighted least-squares approximation with determinantal point processes and generalized volume sampling",
        "arXiv",
        2023,
        "https://arxiv.org/abs/2312.14057",
    )
    text = "dpp_least_squares.md"
    kind = responses.KIND

    data = DataSource("runge", doc="a named function, or a table: points, and the values in the last column (or y)")
    family = Choice(
        list(FAMILIES),
        label="functions",
        doc="legendre: polynomials on [-1, 1]; hermite: polynomials, normal measure; fourier: waves on [0, 1), m odd; haar: "
        "piecewise constant on [0, 1), m a power of 2; a table has polynomials of its columns",
    )
    m = Whole(
        10,
        bounds=(1, 100),
        soft=(2, 40),
        symbol="m",
        traced=False,
        doc="number of functions; in several variables the largest complete set of at most so many",
    )
    oversampling = Whole(
        3, bounds=(1, MOST), symbol="n/m", label="points per function", doc="evaluations divided by functions"
    )
    sampler = Choice(
        [DPP, *(name for name in DESIGNS[::-1] if name != DPP)],
        label="design",
        doc="design that is shown and thinned; all five are always drawn",
    )
    delta = Real(
        0.5,
        bounds=(0, 1),
        inclusive_bounds=(False, False),
        soft=(0.2, 0.9),
        symbol="δ",
        doc="a design is stable where the smallest eigenvalue of G is at least 1 - δ",
    )
    dimension = Whole(
        1, bounds=(1, 3), symbol="d", label="variables", traced=False, doc="number of variables; a table has its own"
    )
    space = Choice(list(bases.SPACES), label="index set", doc="set of products of univariate functions, for d above 1")
    replicates = size(500, (10, 50_000), (100, 5000), label="draws", doc="independent replicates of every design")
    thinned = Whole(
        0,
        bounds=(0, 1000),
        soft=(0, 50),
        label="thinned designs",
        traced=False,
        doc="number of stable designs from which points are deleted while they stay stable; 0: none",
    )
    t = Real(
        1.0,
        bounds=(0, 1),
        soft=(0, 1),
        symbol="t",
        label="share of the Christoffel measure",
        group="more",
        doc="independent points come from (1 - t) μ + t ν; 1: optimal, 1/2: no weight above 2",
    )

    dims: ClassVar = {
        "n_over_m": ("n/m", ""),
        "kept": ("draw", ""),
        "coord": ("coordinate", ""),
        "step": ("points so far", ""),
        "axis": ("coordinate", ""),
        "level": ("quantile", ""),
        "thin": ("thinned design", ""),
    }
    presets = (
        Preset(
            "table-legendre",
            "Legendre, m = 10",
            "2000 draws of each design at n = 5 m.",
            {"oversampling": 5, "replicates": 2000},
        ),
        Preset(
            "thin",
            "Thin stable designs",
            "From 3 m points to about 1.1 m, still stable. Compare the error estimates before and after.",
            {"thinned": 25},
        ),
        Preset(
            "haar",
            "Piecewise constant functions",
            "A DPP of Haar functions has one point in each cell, so G is the identity.",
            {"data": "jump", "family": "haar", "m": 16, "oversampling": 1},
        ),
        Preset(
            "plane",
            "Two variables",
            "Fifteen polynomials of total degree at most 4 on the square.",
            {"dimension": 2, "m": 15, "data": "ridge"},
        ),
        Preset(
            "diabetes",
            "A table: diabetes",
            "A constant and ten linear functions, fitted to few of 442 patients.",
            {"data": "diabetes-progression", "m": 11},
        ),
    )
    compute = staticmethod(compute)
    pictures = PICTURES
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> Inputs:
        """The name of the function, or the table and its rows in the plane."""
        if "formula" in data.arrays:
            none = placed(np.zeros((0, 1)))
            return Inputs(none, placed(np.zeros(0)), none, responses.function_of(data.arrays))
        x, y = np.asarray(data.arrays["x"], float), np.asarray(data.arrays["y"], float)
        plane = x
        if x.shape[1] > 2:
            spread = x.std(axis=0)
            z = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
            plane = planar(z, z)["x_2d"]
        return Inputs(placed(x), placed(y), placed(plane))

    def check(self, data: Data) -> None:
        """Require that the basis exists."""
        super().check(data)
        response(self.inputs(data), self)

    def limits(self, data: Data) -> Mapping[str, Limit]:
        """At most as many functions as different rows."""
        if "formula" in data.arrays:
            return {}
        most = min(100, len(np.unique(data.arrays["x"], axis=0)))
        return {"m": Limit(1, most, "the number of different rows, and 100 at most")}

    @classmethod
    def coords(cls, data: Data, inputs: Inputs, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Names of designs and of columns."""
        made = {"design": list(DESIGNS), "n_over_m": np.arange(1, MOST + 1), "level": np.array(LEVELS)}
        if not inputs.formula:
            d = inputs.x.shape[1]
            names = data.axes.get("x", [f"column {i}" for i in range(1, d + 1)])
            made["axis"] = list(names) if d <= 2 else ["first principal axis", "second principal axis"]
        return made

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Warn of unstable designs, useless error estimates, and exact fits."""
        if "n_over_m" not in result.dims:
            return ""
        if float(result.stable) == 0:
            return (
                "No draw of this design is stable: raise n/m or δ, or choose the DPP; the means are over unstable fits."
            )
        if "thin_estimate" in result and np.isfinite(result.thin_estimate).any():
            over = float(np.nanmedian(result.thin_estimate))
            if over > 3:
                return (
                    f"Thinned to n = {float(np.nanmean(result.n_used)):.3g}, near m: the error estimate "
                    f"is {over:.2g} times the true squared error. Use the estimate of the whole design."
                )
        if float(result.err2_best) == 0:
            return "f lies in the space: every fit is exact, and there is no best error to compare with."
        return ""
