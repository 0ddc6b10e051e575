"""Draw subsets of rows from a k-DPP and compare them with random and greedy ones."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from lab.numerics import Loop
from lab.numerics.jit import jit
from lab.sampling import coresets, ensembles, subsets
from lab.studies.contract import Outputs, Run, out

_EIGENVALUES = 200  # stored
_UNKNOWN = "the classes of these rows are not known: choose data that have them"


class Experiment(Outputs):
    """Subsets drawn by the k-DPP, at random and greedily, and their quality."""

    cover: Float[Array, ""] = out(
        "distance to the chosen",
        "mean distance of a row to the nearest chosen row, over draws",
        unit="median distance",
        headline=True,
    )
    cover_random: Float[Array, ""] = out(
        "distance, random rows", "the same for k random rows", unit="median distance", headline=True
    )
    error: Float[Array, ""] = out(
        "error of sums",
        "root mean square over draws of the distance between mean embeddings, optimal weights",
        headline=True,
    )
    error_random: Float[Array, ""] = out("error of sums, random rows", "the same for k random rows", headline=True)
    rank: Int[Array, ""] = out("rank of the kernel", "numerical rank; k cannot be larger", headline=True)
    classes_found: Float[Array, ""] | None = out(
        "classes found", "mean number of classes among the chosen rows", headline=True, absent=_UNKNOWN
    )
    classes_random: Float[Array, ""] | None = out(
        "classes, random rows", "the same for k random rows", headline=True, absent=_UNKNOWN
    )
    indices: Int[Array, "way chosen"] = out("row", "chosen rows of the first draw, in the order of choice")
    weights: Float[Array, " chosen"] = out("weight", "1 / P(row in S) of the first draw of the k-DPP")
    probability: Float[Array, " row"] = out("P(row in S)", "inclusion probability under the k-DPP; sums to k")
    residual: Float[Array, "step row"] = out(
        "residual variance", "squared distance of a row's feature from the span of the rows chosen so far"
    )
    position: Float[Array, "row axis"] = out(
        "position", "rows, on two principal axes if they have more than two columns"
    )
    coverage: Float[Array, "way draw"] = out(
        "mean distance", "mean distance of a row to the nearest chosen row", unit="median distance"
    )
    farthest: Float[Array, "way draw"] = out(
        "largest distance", "largest distance of a row to the nearest chosen row", unit="median distance"
    )
    mmd: Float[Array, "way draw"] = out(
        "error of sums, unbiased weights",
        "distance between the mean embeddings of the weighted subset and of all rows; equal weights for the greedy subset",
    )
    mmd_best: Float[Array, "way draw"] = out(
        "error of sums, optimal weights", "the same with the weights that minimize it"
    )
    volume: Float[Array, "way draw"] = out("log det L", "log-determinant of the kernel of the chosen rows")
    eigenvalue: Float[Array, " mode"] = out("eigenvalue", "eigenvalues of the kernel")
    taken: Float[Array, " mode"] = out("P(selected)", "probability that an eigenvector is selected; sums to k")
    median: Float[Array, ""] = out("median distance", "median distance between rows")


class Inputs(eqx.Module):
    """The rows, as they are and with columns of variance 1."""

    rows: Any
    standard: Any
    median: Any  # distance between rows
    median_standard: Any
    plane: Any  # (N, 2)
    classes: Any  # (N,)
    labelled: bool = eqx.field(static=True)  # whether the classes are known


def compute(inputs: Inputs, p: Any, loop: Loop, warm: Any = None) -> Run[Experiment]:
    """Decompose the kernel, draw subsets, and measure them."""
    rows, median = (inputs.standard, inputs.median_standard) if p.standardise else (inputs.rows, inputs.median)
    length = jnp.asarray(p.length, rows.dtype) * median
    found = _decompose(rows, length, p.k, p.kernel)
    if not isinstance(found.values, Tracer) and (rank := int((found.values > 0).sum())) < p.k:
        raise ValueError(
            f"k = {p.k}, but the kernel has numerical rank {rank}: take k <= {rank}, or a length-scale shorter than "
            f"{float(p.length):.3g}"
        )
    key = jax.random.key(p.seed)
    problem = coresets.Comparison(rows, length, median, found, key, inputs.classes, p.k, p.kernel, p.draws)
    run = loop(coresets.COMPARE, problem, max_iterations=problem.steps)
    summary = _summary(problem, run.state)
    if not inputs.labelled:
        summary = {name: value for name, value in summary.items() if not name.startswith("classes")}
    return Run(Experiment(position=inputs.plane, median=median, **summary), run.reason)


@jit
def _decompose(rows: Any, length: Any, k: int, kernel: str) -> ensembles.Spectrum:
    return subsets.decompose(rows, k, kernel, length)


@jit
def _summary(problem: coresets.Comparison, state: coresets.Judged) -> dict[str, Any]:
    """Statistics over the draws."""
    found = coresets.summary(problem, state)
    return found.quality._asdict() | {
        "indices": state.first,
        "weights": found.weights,
        "probability": found.probability,
        "residual": found.residual,
        "cover": found.cover[0],
        "cover_random": found.cover[1],
        "error": found.error[0],
        "error_random": found.error[1],
        "classes_found": found.classes[0],
        "classes_random": found.classes[1],
        "rank": found.rank,
        "eigenvalue": problem.spectrum.values[:_EIGENVALUES],
        "taken": found.taken[:_EIGENVALUES],
    }
