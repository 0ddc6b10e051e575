"""The study: parameters, data and presets."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab import ot
from lab.datasets import Data
from lab.ot.plans import spread_ranks
from lab.ot.traces import COUNTS
from lab.studies.contract import Choice, DataSource, Paper, Preset, Real, Study, Switch, Whole, sweeping
from lab.studies.vocabulary import positive, size

from .claims import ASSIGNMENT, CLAIMS, ETA, MNIST_L1, MNIST_L2, PAPER, REPORTED
from .experiment import SOLVERS, compute
from .pictures import PICTURES
from .story import STORY

_FRACTION: dict[str, Any] = {"bounds": (0, 1), "inclusive_bounds": (True, True), "scale": "log"}


class SinkhornNewtonSparse(Study):
    """Entropic transport by Newton steps with a sparsified Hessian, compared with Sinkhorn's algorithm."""

    slug = "sinkhorn-newton-sparse"
    title = "Sinkhorn-Newton-Sparse"
    field = "Optimal transport"
    paper = Paper(
        "Tang, Shavlovsky, Rahmanian, Tardini, Thekumparampil, Xiao, Ying",
        "Accelerating Sinkhorn Algorithm with Sparse Newton Iterations",
        "ICLR",
        2024,
        "https://arxiv.org/abs/2401.12253",
    )
    text = "sinkhorn_newton_sparse.md"
    kind = "transport"
    data_options = ("n", "side", "seed")

    data = DataSource("mnist-pixels", doc="a named data set, or the path of your file: cost and masses, or points")
    epsilon = positive(
        0.004,
        (1e-3, 1),
        label="regularization",
        symbol="ε",
        unit="unit cost",
        doc="entropic regularization, in multiples of the unit cost; Sinkhorn is slow where it is small",
    )
    threshold = Choice(
        ["adaptive", "entries", "absolute"],
        label="sparsification",
        when={"backend": ("host", "ell")},
        doc="adaptive: drops at most θ or the error, in mass; entries: keeps the largest (paper); absolute: drops below ρ",
    )
    theta = Real(
        1e-2,
        **_FRACTION,
        soft=(1e-4, 1),
        label="dropped mass",
        symbol="θ",
        when={"threshold": ("adaptive",)},
        doc="largest mass that the Hessian may drop; it never drops more than the marginal error",
    )
    per_row = Real(
        2.0,
        bounds=(1, None),
        soft=(1, 64),
        scale="log",
        label="entries per row",
        symbol="λn",
        when={"threshold": ("entries",)},
        doc="average number of entries per row that the Hessian keeps, the largest of the plan",
    )
    rho = Real(
        1e-5,
        **_FRACTION,
        soft=(1e-9, 1e-2),
        label="smallest entry",
        symbol="ρ",
        unit="mass",
        when={"threshold": ("absolute",)},
        doc="fraction of the mass below which an entry is dropped",
    )
    ladder = Switch(True, label="ε scaling", doc="starts at a large ε and lowers it; off: starts at ε, as in the paper")
    sweeps = Whole(
        1,
        bounds=(0, 100_000),
        soft=(0, 1000),
        label="sweeps before Newton",
        symbol="N₁",
        doc="Sinkhorn sweeps before the first Newton step, at each level of ε",
    )
    ground = Choice(
        ["given", "manhattan"],
        label="cost",
        doc="given: the data's own cost, or squared distances; manhattan: L1 distances, for which many plans are optimal",
    )
    baseline = Choice(
        ["plain", "relaxed", "anderson"],
        label="baseline",
        doc="Sinkhorn sweeps with the kernel: plain, over-relaxed, or with Anderson acceleration and ε scaling",
    )
    cost_unit = Choice(
        ["mean", "largest", "one"],
        label="unit cost",
        group="more",
        doc="unit of ε: mean or maximum of the cost above its minimum, or the cost's own unit",
    )
    backend = Choice(
        ["host", "ell", "dense"],
        label="Hessian",
        group="more",
        doc="host: compressed rows and CG in SciPy; ell: equally many entries per column, compiled; dense: exact Newton",
    )
    per_column = size(
        32,
        (1, 4096),
        (8, 64),
        label="entries per column",
        group="more",
        when={"backend": ("ell",)},
        doc="maximum number of entries of a column that ell keeps; where these hold too little mass, it keeps all",
    )
    n = size(
        None,
        (2, 4096),
        (16, 512),
        allow_None=True,
        label="size",
        symbol="n",
        group="more",
        doc="points, bins or colors",
    )
    side = Whole(
        None,
        allow_None=True,
        bounds=(2, 28),
        soft=(6, 28),
        label="pixels per side",
        group="more",
        traced=False,
        doc="side of images whose pixels are the points; the number of points is its square",
    )
    tolerance = Real(
        1e-8,
        bounds=(0, 1),
        inclusive_bounds=(False, False),
        soft=(1e-12, 1e-2),
        scale="log",
        label="tolerance",
        group="more",
        doc="stop when the L1 error of both marginals is below this fraction of the mass",
    )
    max_iterations = size(
        500, (1, 10_000), (10, 1000), label="iteration limit", group="more", doc="sweeps and Newton steps together"
    )
    max_sweeps = size(
        20_000, (1, 30_000), (1, 30_000), label="limit of Sinkhorn", group="more", doc="1: no comparison with Sinkhorn"
    )

    dims: ClassVar = {
        "row": ("source i", ""),
        "col": ("target j", ""),
        "count": ("iteration", ""),
        "rank": ("entries per row", ""),
    }
    presets = (
        Preset(
            "digits",
            "Two digits, L1 cost",
            "Pixels with an L1 cost, for which many plans are optimal: Sinkhorn needs thousands of sweeps.",
            {"ground": "manhattan"},
        ),
        Preset(
            "knee",
            "The paper's main figure (n = 200)",
            "Twenty sweeps, then Newton steps: the optimality gap drops at the first Newton steps.",
            {"data": "random-assignment", "n": 200, "sweeps": 20, "ladder": False, "tolerance": 1e-10} | ETA,
        ),
        Preset(
            "large-epsilon",
            "Large ε",
            "At half the mean cost a few sweeps suffice.",
            {"data": "normal-clouds", "epsilon": 0.5},
        ),
        Preset(
            "table-assignment",
            "Table 1: random assignment",
            "Paper: 20 + 9 iterations; Sinkhorn: 56,199.",
            PAPER | ASSIGNMENT,
        ),
        Preset(
            "table-mnist-l2", "Table 1: MNIST, L2²", "Paper: 20 + 33 iterations; Sinkhorn: 2,041.", PAPER | MNIST_L2
        ),
        Preset(
            "table-mnist-l1", "Table 1: MNIST, L1", "Paper: 700 + 77 iterations; Sinkhorn: 5,748.", PAPER | MNIST_L1
        ),
    )
    compute = staticmethod(compute)
    pictures = PICTURES
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> dict[str, Any]:
        """The problem with each cost that these data have."""
        wide = jnp.result_type(float)  # a file of float32 is worked on in the lab's precision
        arrays = {name: array.astype(wide) if array.dtype.kind == "f" else array for name, array in data.arrays.items()}
        masses, own = (arrays["a"], arrays["b"]), "cost" in arrays
        problem = ot.problem(arrays["cost"], *masses) if own else ot.from_points(arrays["x"], arrays["y"], *masses)
        inputs: dict[str, Any] = {"given": problem}
        if "x" in arrays:
            apart = sum(np.abs(arrays["x"][:, None, k] - arrays["y"][None, :, k]) for k in range(arrays["x"].shape[1]))
            inputs["manhattan"] = ot.problem(apart, *masses)
        return inputs

    def check(self, data: Data) -> None:
        """Distances need points."""
        super().check(data)
        if self.ground == "manhattan" and "x" not in data.arrays:
            why = "it must be given for these data, which have a cost but no points"
            raise ValueError(self.parameters()["ground"].refuse(self.ground, why))

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Stored iterations and ranks, and positions of points that lie on a line in order."""
        m, n = inputs["given"].cost.shape
        coords: dict[str, Any] = {"solver": list(SOLVERS), "count": COUNTS, "rank": spread_ranks(m, n) / m}
        axes, unit = data.axes.get("x", ()), data.axes.get("unit", "")
        for dim, points, name in (("row", "x", "source"), ("col", "y", "target")):
            place = data.arrays.get(points)
            if place is not None and place.shape[1] == 1 and (np.diff(place[:, 0]) > 0).all():
                label = f"{name} {axes[0] if axes else 'position'}"
                coords[dim] = (dim, place[:, 0], {"long_name": label, "units": "" if unit in axes else unit})
        return coords

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """What it means that the baseline reached its limit."""
        p = sweeping.parameters(result)
        if not result.attrs["converged"] or p["max_sweeps"] == 1 or float(result.sinkhorn_error) <= p["tolerance"]:
            return ""
        return (
            f"Sinkhorn met its limit of {int(result.sinkhorn_sweeps)} sweeps at an error of "
            f"{float(result.sinkhorn_error):.2g}, so the work saved is a lower bound."
        )
