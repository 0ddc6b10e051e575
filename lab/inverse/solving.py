"""One door for all solvers: a problem, a denoiser as the prior, a method; and what comes back."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PRNGKeyArray

from lab.denoise.base import Denoiser
from lab.inverse.operators import known
from lab.inverse.problems import Problem
from lab.numerics import Loop, Reason, Run, pure, random, tell
from lab.numerics.arguments import whole
from lab.numerics.differentiation import is_traced
from lab.numerics.jit import jit


class Reconstruction(NamedTuple):
    """Of each seed an answer; the last that was finite where a solver diverged.

    Of several images (images, seeds) stands for (seeds).
    """

    x: Float[Array, "seeds ..."]
    diverged: Array  # (seeds,)
    iterations: Any
    reason: Any
    trace: Mapping[str, Any]  # by iteration
    path: Array | None  # (iterations, seeds, ...), where it is kept
    beside: Mapping[str, Array] | None = None  # and what else the method tells of each iteration, by name


@runtime_checkable
class Method(Protocol):
    """A configured solver: ``REDDiff()``, ``Flair()``."""

    @property
    def steps(self) -> int:
        """Iterations, which is fixed."""
        ...

    def run(
        self, problem: Problem, denoiser: Denoiser, keys: Key[Array, " seeds"], start: Array, loop: Loop, keep: bool
    ) -> Reconstruction:
        """The answers, from starts (seeds, n), to a problem whose y is (seeds, *outputs)."""
        ...


def solve(
    problem: Problem,
    denoiser: Denoiser,
    method: Method,
    *,
    key: PRNGKeyArray | None = None,
    seeds: int = 1,
    start: Any = None,
    keep: bool = False,
    loop: Loop = pure,
) -> Reconstruction:
    r"""Find x from $y = A(x) + \sigma\varepsilon$ with a denoiser as the prior.

    Args:
        problem: one measurement, or one of each of several images.
        denoiser: any of ``lab.denoise``; a function of one's own is one by ``denoise.denoiser``.
        method: a configured solver.
        key: of all draws; each seed has its own, whatever their number.
        seeds: answers in parallel, as one program; of each image where the problem has several.
        start: (*inputs) or (seeds, *inputs), of several images (images, *inputs) or (images, seeds, *inputs); when omitted the
            pseudo-inverse where there is one (``Problem.start``).
        keep: the answers after each step.
        loop: ``lab.numerics.pure``, or a ``Chunked`` that reports and stops.

    Returns:
        a ``Reconstruction``: x (seeds, *inputs), or (images, seeds, *inputs), which of them diverged, the reason, the trace and
        the path where it is kept.

    Raises:
        ValueError: a denoiser of other images than the operator's, seeds below 1, a start that does not fit or is not finite.

    Warns:
        NotConverged: stopped, or all seeds diverged.

    Source:
        Venkatakrishnan, Bouman, Wohlberg, Plug-and-play priors for model based reconstruction, 2013; each method names its own.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import denoise, inverse, paths
        >>> prior = denoise.denoiser(paths.standard(2), (1, 1, 2))
        >>> given = inverse.problem(inverse.Mask([[[True, False]]]), [[[1.0, 0.0]]], 0.0)
        >>> found = inverse.solve(given, prior, inverse.Flair(steps=2))
        >>> found.x.shape, round(float(found.x[0, 0, 0, 0]), 6)  # what is seen without noise stays
        ((1, 1, 1, 2), 1.0)
    """
    for name, value, kind in (
        ("problem", problem, Problem),
        ("denoiser", denoiser, Denoiser),
        ("method", method, Method),
    ):
        if not isinstance(value, kind) or isinstance(value, type):
            raise TypeError(f"{name} is a {type(value).__name__}: a {kind.__module__}.{kind.__name__} is needed")
    whole("seeds", seeds, 1)
    whole("method.steps", method.steps, 1)
    inputs = problem.operator.inputs
    n = int(np.prod(inputs))
    if denoiser.n != n:
        raise ValueError(
            f"the denoiser is of images {denoiser.shape}, {denoiser.n} numbers, but the operator takes {inputs}, {n}"
        )
    images = problem.images
    lead = (seeds,) if images is None else (images, seeds)
    if start is not None:
        start = jnp.asarray(start, problem.y.real.dtype)
        if start.shape not in (inputs, (*lead, *inputs), (*lead[:-1], *inputs)):
            of = "" if images is None else f" of {images} images"
            raise ValueError(
                f"start has shape {start.shape}, but {inputs}, or one for each of {seeds} seeds{of}, is needed"
            )
        if known(start) and not np.isfinite(np.asarray(start)).all():
            raise ValueError("start has values that are not finite")
    _asked(denoiser, n)
    y, keys, begun = _laid_out(problem, jax.random.key(0) if key is None else key, start, seeds)
    found = method.run(Problem(problem.operator, y, problem.noise), denoiser, keys, begun, loop, keep)
    if loop is pure:
        tell("lab.inverse.solve", found.reason, found.iterations)
    x, diverged, path, beside = _gathered(found.x, found.diverged, found.path, found.beside, lead, inputs)
    return found._replace(x=x, diverged=diverged, path=path, beside=beside)


@jit
def _laid_out(problem: Problem, key: PRNGKeyArray, start: Array | None, seeds: int) -> tuple[Array, Array, Array]:
    """The measurement, the key and the start (n,) of each seed of each image."""
    inputs, images = problem.operator.inputs, problem.images
    lead = (seeds,) if images is None else (images, seeds)
    keys = _folded(key, seeds) if images is None else jax.vmap(lambda of: _folded(of, seeds))(_folded(key, images))
    begun = problem.start() if start is None else start
    if images is not None and begun.ndim == len(inputs) + 1:
        begun = begun[:, None]
    begun = jnp.broadcast_to(begun, (*lead, *inputs)).reshape(-1, int(np.prod(inputs)))
    return each(problem, seeds).y, keys.reshape(-1), begun


@jit
def _gathered(
    x: Array, diverged: Array, path: Array | None, beside: Any, lead: tuple[int, ...], inputs: tuple[int, ...]
) -> tuple[Array, Array, Array | None, Any]:
    """As arrays of the images that were given, what was found of rows."""
    path, beside = jax.tree.map(lambda each: each.reshape(-1, *lead, *inputs), (path, beside))
    return x.reshape(*lead, *inputs), diverged.reshape(lead), path, beside


def _folded(key: PRNGKeyArray, count: int) -> Key[Array, " count"]:
    """Keys, each of its number alone."""
    return jax.vmap(lambda number: jax.random.fold_in(key, number))(jnp.arange(count))


def each(problem: Problem, seeds: int) -> Problem:
    """The measurement of each seed, y (seeds, *outputs) or (images seeds, *outputs)."""
    y = problem.y if problem.images is not None else problem.y[None]
    return Problem(problem.operator, jnp.repeat(y, seeds, axis=0), problem.noise)


def _asked(denoiser: Denoiser, n: int) -> None:
    """Refuse a denoiser that gives something else than it takes."""
    given = jax.ShapeDtypeStruct((2, n), jnp.result_type(float))
    found = jax.eval_shape(denoiser.denoise, given, jax.ShapeDtypeStruct((), given.dtype))
    if found.shape != given.shape:
        raise ValueError(f"the denoiser {denoiser.name!r} makes {found.shape} of {given.shape}: it must keep the shape")


def ended(step: Array, steps: int, lost: Array) -> Array:
    """The reason of a solver with a fixed number of steps; all of whose seeds may be lost."""
    over = jnp.where(step >= steps, Reason.CONVERGED, Reason.RUNNING)
    return jnp.where(lost.all(), Reason.NOT_FINITE, over).astype(jnp.int32)


def static_counts(given: Any, *counts: Any) -> tuple[int, ...] | None:
    """Numbers of inner steps that a derivative can store: whole numbers in the program of what is traced, else None."""
    return tuple(int(np.asarray(count)) for count in counts) if is_traced(given) and known(*counts) else None


def answer(found: Run, x: Array, diverged: Array) -> Reconstruction:
    """What a solver hands back of its run, whose state has a ``path``."""
    state: Any = found.state
    return Reconstruction(x, diverged, found.iterations, found.reason, found.trace, state.path)


def empty_path(keep: bool, steps: int, like: Array) -> Array | None:
    """Room for the answers after each step, if they are kept."""
    return jnp.zeros((steps, *like.shape), like.dtype) if keep else None


def noted(path: Array | None, step: Array, x: Array) -> Array | None:
    """The path with the answers after a step."""
    return None if path is None else path.at[step].set(x)


def kept_finite(new: Array, old: Array, lost: Array) -> tuple[Array, Array]:
    """Of each seed the new iterate, or the last that was finite; and which seeds are lost for good."""
    lost = lost | ~jnp.isfinite(new).all(axis=1)
    return jnp.where(lost[:, None], old, new), lost


def normal(keys: Key[Array, " seeds"], step: Array, what: int, shape: int, dtype: Any) -> Float[Array, "seeds n"]:
    """Noise for each seed that depends on its key, the step and what it is for alone."""
    draw = lambda key: random.normal(jax.random.fold_in(jax.random.fold_in(key, step), what), (shape,), dtype)  # noqa: E731
    return jax.vmap(draw)(keys)
