"""A diverse subset of the rows of a data set, by a k-DPP, as a study."""

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.core import Tracer

from lab.datasets import Data
from lab.datasets.samples import check
from lab.numerics import Loop, Method, Reason
from lab.numerics.jit import jit
from lab.numerics.principal import principal_plane
from lab.sampling import ensembles, subsets
from lab.studies.contract import Choice, DataSource, Limit, Paper, Real, Result, Study, Switch, Whole

from .claims import CLAIMS
from .pictures import PICTURES
from .presets import PRESETS
from .text import ABOUT, MATHEMATICS

WAYS = DPP, RANDOM, GREEDY = ("k-DPP", "random", "greedy")
ROWS = 20_000
"""The most rows that are taken."""


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
    )  # fmt: skip
    about = ABOUT
    mathematics = MATHEMATICS
    kind = "samples"
    data_options = ("n", "seed")

    data = DataSource("digit-samples", doc="a named set of samples, or a table of yours: a row is an item")
    k = Whole(20, bounds=(1, 500), soft=(2, 60), symbol="k", traced=False, doc="how many rows are chosen")
    length = Real(
        1.0, bounds=(0, None), inclusive_bounds=(False, True), soft=(0.02, 2), scale="log", symbol="ℓ",
        label="length-scale", unit="median distance",
        doc="distance at which rows count as alike; short: the choice is chance, long: the extremes",
    )  # fmt: skip
    kernel = Choice(
        list(subsets.KERNELS), doc="how similarity falls with distance: gaussian smoothest, laplace roughest"
    )
    standardise = Switch(
        False, label="standardise columns", doc="scale every column to variance 1: where their units differ"
    )
    n = Whole(
        600, bounds=(2, ROWS), soft=(50, 2000), scale="log", label="rows", traced=False,
        doc="how many rows a named set has (those of a file are taken as they are)",
    )  # fmt: skip
    draws = Whole(
        200, bounds=(2, 10_000), soft=(20, 1000), scale="log", label="draws", traced=False, group="more",
        doc="independent subsets, of which distances and errors are taken",
    )  # fmt: skip

    dims: ClassVar = {
        "row": ("row", ""),
        "chosen": ("chosen row", ""),
        "step": ("rows so far", ""),
        "way": ("chosen by", ""),
        "draw": ("draw", ""),
        "axis": ("axis", ""),
        "mode": ("eigenvector", ""),
    }
    results = (
        Result("cover", (), "distance to the chosen", "mean over rows of the distance to the nearest chosen row, over draws",
               unit="median distance", headline=True),
        Result("cover_random", (), "of random rows", "the same of k rows at random", unit="median distance", headline=True),
        Result("error", (), "error of sums", "root mean square over draws of the distance of mean embeddings, best weights",
               headline=True),
        Result("error_random", (), "of random rows", "the same of k rows at random", headline=True),
        Result("rank", (), "rank of the kernel", "to rounding: no more rows can be chosen", headline=True),
        Result("classes_found", (), "classes found", "mean number of classes among the chosen, where they are known",
               headline=True, optional=True),
        Result("classes_random", (), "by random rows", "the same of k rows at random", headline=True, optional=True),
        Result("converged", (), "finished", "whether all draws were made"),
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
    )  # fmt: skip
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS

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
            jnp.asarray(x), jnp.asarray(standard), subsets.median_distance(x), subsets.median_distance(standard),
            jnp.asarray(plane), jnp.asarray(classes, jnp.int32), "classes" in data.arrays,
        )  # fmt: skip

    def check(self, data: Data) -> None:
        """Rows must differ."""
        check(data.name, data.arrays)
        x = data.arrays["x"]
        if len(x) > ROWS:
            raise ValueError(f"{data.name} has {len(x):,} rows, but at most {ROWS:,} are taken: keep fewer")
        if len(x) < 2 or len(np.unique(x, axis=0)) < 2:
            raise ValueError(
                f"{data.name} has {len(x)} row{'s' * (len(x) > 1)}, all the same, but a choice needs rows that differ"
            )
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
        work = Work(rows, length, median, found, jax.random.key(p.seed), inputs.classes, p.k, p.kernel, p.draws)
        run = loop(DRAW, work, max_iterations=-(-p.draws // work.batch))
        output = _describe(work, run.state)
        if not inputs.labelled:
            output = {name: value for name, value in output.items() if not name.startswith("classes")}
        return output | {"position": inputs.plane, "median": median, "reason": run.reason}

    @classmethod
    def coords(cls, data: Data, inputs: Inputs) -> Mapping[str, Any]:
        """Ways by name."""
        d = inputs.rows.shape[1]
        names = list(data.axes.get("x", ("x₁", "x₂")))[:2]
        if d > 2 or len(names) < 2:
            names = ["first principal axis", "second principal axis"] if d > 2 else ["x", ""]
        return {"way": list(WAYS), "axis": names}

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


@partial(jax.jit, static_argnames=("k", "kernel"))
def _decompose(rows: Any, length: Any, k: int, kernel: str) -> ensembles.Spectrum:
    return subsets.decompose(rows, k, kernel, length)


class Work(eqx.Module):
    """What a step needs."""

    rows: Any
    length: Any
    median: Any
    found: ensembles.Spectrum
    key: Any
    classes: Any
    k: int = eqx.field(static=True)
    kernel: str = eqx.field(static=True)
    total: int = eqx.field(static=True)  # draws

    @property
    def batch(self) -> int:
        """Draws of a step."""
        return min(_BATCH, self.total)

    @property
    def features(self) -> Any:
        """Whose products are the kernel."""
        return self.found.vectors * jnp.sqrt(self.found.values)[None, :]


class Drawn(NamedTuple):
    """Filled draw by draw; NaN where there is none yet."""

    done: Any
    judged: Any  # (quantity, way, draw)
    first: Any  # (way, k) of the first draw


def _init(work: Work) -> Drawn:
    n = -(-work.total // work.batch) * work.batch
    judged = jnp.full((6, len(WAYS), n), jnp.nan, work.rows.dtype)
    return Drawn(jnp.int32(0), judged, jnp.zeros((len(WAYS), work.k), int))


def _step(work: Work, state: Drawn) -> Drawn:
    """Another batch of subsets, and how well each of them stands for all rows."""
    n, k, draws = work.rows.shape[0], work.k, work.batch
    first, second = jax.random.split(jax.random.fold_in(work.key, state.done))
    chosen = subsets.from_spectrum(first, work.found, k, draws)
    chance = jax.lax.map(lambda key: jax.random.permutation(key, n)[:k], jax.random.split(second, draws))
    greedy = subsets.low_rank(work.rows, k, work.kernel, work.length).pivots
    picked = jnp.stack([chosen.indices, chance, jnp.broadcast_to(greedy[None], (draws, k))])
    even = jnp.full((draws, k), n / k)
    features = work.features
    mean = features.mean(axis=0)

    def judged(pair):
        indices, weight = pair
        own = features[indices]
        apart = subsets.coverage(work.rows, indices) / work.median
        wrong = mean - weight @ own / n
        # least over weights: the distance of the mean from the span of the chosen rows
        triangle = jnp.linalg.cholesky(own @ own.T + 1e-12 * jnp.eye(k))
        taken = jax.scipy.linalg.solve_triangular(triangle, own @ mean, lower=True)
        best = jnp.sqrt(jnp.maximum(mean @ mean - taken @ taken, 0.0))
        kernel = subsets.kernel_matrix(work.rows[indices], work.rows[indices], work.kernel, work.length)
        volume = jnp.linalg.slogdet(kernel)[1]
        hit = jnp.zeros(_CLASSES).at[jnp.clip(work.classes[indices], 0, _CLASSES - 1)].set(1.0).sum()
        return jnp.stack([apart.mean(), apart.max(), jnp.sqrt(wrong @ wrong), best, volume, hit])

    flat = picked.reshape(-1, k), jnp.stack([chosen.weights, even, even]).reshape(-1, k)
    made = jax.lax.map(judged, flat).reshape(len(WAYS), draws, -1).transpose(2, 0, 1)
    put = jax.lax.dynamic_update_slice_in_dim(state.judged, made, state.done * draws, axis=2)
    return Drawn(state.done + 1, put, jnp.where(state.done == 0, picked[:, 0], state.first))


def _done(work: Work, state: Drawn) -> Any:
    whole = state.done * work.batch >= work.total
    return jnp.where(whole, jnp.int32(Reason.CONVERGED), jnp.int32(Reason.RUNNING))


DRAW = Method(_init, _step, _done, lambda work, state: {"draws": (state.done * work.batch).astype(float)})


@jit
def _describe(work: Work, drawn: Drawn) -> dict[str, Any]:
    cover, far, mmd, best, volume, hit = drawn.judged[..., : work.total]
    error = jnp.sqrt(jnp.nanmean(best**2, axis=1))
    chance = ensembles.marginals(work.found, work.k)
    return {
        "indices": drawn.first, "weights": 1 / chance[drawn.first[0]], "probability": chance,
        "residual": _residuals(work.rows, drawn.first[0], work.kernel, work.length), "coverage": cover, "farthest": far,
        "mmd": mmd, "mmd_best": best, "volume": volume, "cover": jnp.nanmean(cover[0]), "cover_random": jnp.nanmean(cover[1]),
        "error": error[0], "error_random": error[1], "rank": (work.found.values > 0).sum(),
        "classes_found": jnp.nanmean(hit[0]), "classes_random": jnp.nanmean(hit[1]),
        "eigenvalue": work.found.values[:_MODES],
        "taken": ensembles.eigenvector_probabilities(work.found.values, work.k)[:_MODES],
    }  # fmt: skip


_BATCH = 25
_CLASSES = 1000
_MODES = 200  # eigenvalues that are kept


def _residuals(rows: Any, order: Any, kernel: str, length: Any) -> Any:
    """$L_{ii} - L_{iS} L_{SS}^{-1} L_{Si}$ for the first 0, 1, ..., k of the rows: Cholesky, column by column."""
    k = order.shape[0]
    across = subsets.kernel_matrix(rows, rows[order], kernel, length)
    triangle = jnp.linalg.cholesky(across[order] + 1e-12 * jnp.eye(k))
    parts = jax.scipy.linalg.solve_triangular(triangle, across.T, lower=True)
    left = 1.0 - jnp.cumsum(parts**2, axis=0)
    return jnp.maximum(jnp.concatenate([jnp.ones((1, rows.shape[0])), left]), 0.0)
