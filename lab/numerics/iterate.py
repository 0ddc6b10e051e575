r"""The iteration loop, written once.

A method is data: four pure functions over a problem $p$ and a state $s$ (any pytrees; functions may be leaves of p),

$$ s_0 = \mathrm{init}(p), \qquad s_{t+1} = \mathrm{step}(p, s_t), \qquad
   \mathrm{done}(p, s_t) \in \{\text{go on}, \text{reason to end}\}, $$

and the scalars ``measure(p, s)`` that are recorded at every iteration. Two loops run any method:

- ``pure``: one ``lax.while_loop``. It works under ``jit`` and ``vmap`` and cannot be stopped. ``scanned`` is the same with a
  fixed number of steps, which reverse mode can differentiate.
- ``Chunked``: short jitted chunks of one kind of step, driven from Python. It reports progress, stops when asked,
  and hands back the state, from which it can go on later.

Both return a ``Run`` and both give bitwise the same iterates.
"""

import enum
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Int

from lab.numerics.host import placed
from lab.numerics.jit import jit, trace_state_clean

type Tree = Any
_BUFFER = 64  # rows of the trace buffer of one chunk; a chunk never runs more iterations


class Reason(enum.IntEnum):
    """Why an iteration ended. ``advice`` says what to do about it."""

    RUNNING = 0
    CONVERGED = 1
    STALLED = 2
    MAX_ITERATIONS = 3
    STOPPED = 4
    NOT_FINITE = 5

    @property
    def converged(self) -> bool:
        return self is Reason.CONVERGED

    @property
    def advice(self) -> str:
        return _ADVICE[self]


_ADVICE = {
    Reason.RUNNING: "still running",
    Reason.CONVERGED: "the stopping rule was met",
    Reason.STALLED: "no further progress was possible at this precision: loosen the tolerance, "
    "or strengthen the regularization",
    Reason.MAX_ITERATIONS: "the iteration limit was reached: raise max_iterations or loosen the tolerance",
    Reason.STOPPED: "stopped on request: this is the best answer so far, run again to finish it",
    Reason.NOT_FINITE: "a value became infinite or NaN: strengthen the regularization, rescale the cost, "
    "or use float64",
}


def first_failure(*reasons: Any) -> Int[Array, "*batch"]:
    r"""The first reason that is not CONVERGED, of parts that were run one after the other; CONVERGED where there is none.

    $$ r_{i^*}, \qquad i^* = \min \{ i : r_i \ne \text{CONVERGED} \} $$

    Args:
        reasons: each a ``Reason``, a whole number or an int32 array, traced or not; arrays have one shape.

    Returns:
        an int32 array of that shape.

    Source:
        Rader, Lyons, Kidger, Optimistix: modular optimisation in JAX and Equinox, 2024, on result codes.

    Examples:
        >>> from lab.numerics import Reason, first_failure
        >>> Reason(int(first_failure(Reason.CONVERGED, Reason.STOPPED, Reason.STALLED))).name
        'STOPPED'
    """
    if reasons and not any(isinstance(reason, Tracer) for reason in reasons):
        codes = np.broadcast_arrays(*(np.asarray(reason, np.int32) for reason in reasons))
        failed = np.stack(codes) != Reason.CONVERGED
        first = np.take_along_axis(np.stack(codes), failed.argmax(axis=0)[None], axis=0)[0]
        return placed(np.where(failed.any(axis=0), first, np.int32(Reason.CONVERGED)))
    found = jnp.int32(Reason.CONVERGED)
    for reason in reversed(reasons):
        reason = jnp.asarray(reason, jnp.int32)
        found = jnp.where(reason == Reason.CONVERGED, found, reason)
    return found


class NotConverged(UserWarning):
    """An answer that is not the one asked for: the sentence says how far it got and what to do."""


class Method(NamedTuple):
    """Four module-level pure functions. Everything that varies is in the problem or the state."""

    init: Callable[[Tree], Tree]
    step: Callable[[Tree, Tree], Tree]
    done: Callable[[Tree, Tree], jax.Array]  # int32 scalar, a Reason; RUNNING to go on
    measure: Callable[[Tree, Tree], dict[str, jax.Array]]  # scalars, recorded after every step
    kind: Callable[[Tree], jax.Array] | None = (
        None  # int32 scalar: of the next step, where some take longer than others
    )


class Run(NamedTuple):
    """What a loop returns. ``trace`` has one row per iteration, NaN after the last one."""

    state: Tree
    iterations: Any  # int32 scalar
    reason: Any  # int32 scalar, a Reason
    trace: Mapping[str, Any]  # name -> (rows,)


class Progress(NamedTuple):
    """What a report callback receives after every chunk."""

    iteration: int
    max_iterations: int
    trace: Mapping[str, np.ndarray]  # the whole trace so far
    state: Tree
    seconds: float  # since the loop began, without compilation of the first chunk
    part: int = 1  # of a run that has several loops, which begin at 0 each


def tell(what: str, reason: Any, iterations: Any) -> None:
    r"""Warn of a run that ended without converging; inside ``jit`` and ``vmap``, where that is not known, do nothing.

    It warns where $r \ne \text{CONVERGED}$, with the reason's advice.

    Args:
        what: the name of what ran, with which the sentence begins.
        reason: a ``Reason`` or its number.
        iterations: how many were done.

    Warns:
        NotConverged: the run did not converge.

    Source:
        Rader, Lyons, Kidger, Optimistix: modular optimisation in JAX and Equinox, 2024, on result codes.

    Examples:
        >>> import warnings
        >>> from lab.numerics import Reason, tell
        >>> with warnings.catch_warnings(record=True) as seen:
        ...     warnings.simplefilter("always")
        ...     tell("lab.ot.solve", Reason.STOPPED, 3)
        >>> print(str(seen[0].message).partition(": ")[0])  # and then what to do
        lab.ot.solve did not converge in 3 iterations
    """
    if not isinstance(reason, Tracer) and not Reason(int(reason)).converged:
        advice = Reason(int(reason)).advice
        warnings.warn(f"{what} did not converge in {int(iterations)} iterations: {advice}", NotConverged, stacklevel=3)


type Report = Callable[[Progress], bool | None]
"""Called after every chunk. Return True to end the loop and keep the state; raise to abandon it."""


@runtime_checkable
class Loop(Protocol):
    """What a study's ``compute`` receives: ``pure`` or a ``Chunked``."""

    def __call__(self, method: Method, problem: Tree, state: Tree = None, *, max_iterations: int) -> Run: ...


def _advance(
    method: Method,
    rows: int,
    problem: Tree,
    state: Tree,
    reason: jax.Array,
    limit: jax.Array,
    alike: bool,
    loop: Callable = jax.lax.while_loop,
):
    """Run at most ``limit <= rows`` steps, only ``alike`` ones; returns state, steps, reason and the trace of these steps."""
    kind = method.kind if alike and method.kind is not None else lambda state: jnp.int32(0)
    first = kind(state)
    shapes = jax.eval_shape(partial(method.measure, problem), state)
    buffers = {name: jnp.full((rows,), jnp.nan, shape.dtype) for name, shape in shapes.items()}

    def keep_going(carry):
        state, count, reason, _ = carry
        return (reason == Reason.RUNNING) & (count < limit) & (kind(state) == first)

    def body(carry):
        state, count, _, buffers = carry
        state = method.step(problem, state)
        measured = method.measure(problem, state)
        buffers = {name: buffers[name].at[count].set(measured[name]) for name in buffers}
        return state, count + 1, jnp.asarray(method.done(problem, state), jnp.int32), buffers

    return loop(keep_going, body, (state, jnp.int32(0), jnp.asarray(reason, jnp.int32), buffers))


def _limit(max_iterations: int | None) -> int:
    if max_iterations is None:
        raise ValueError(
            "loop(method, problem) has no max_iterations: give the maximum number of iterations, as in loop(method, problem, "
            "max_iterations=1000)"
        )
    return max_iterations


def pure(method: Method, problem: Tree, state: Tree = None, *, max_iterations: int | None = None) -> Run:
    r"""Run a method to its end in one ``lax.while_loop``.

    $$ s_0 = \mathrm{init}(p), \qquad s_{t+1} = \mathrm{step}(p, s_t) \quad \text{until} \quad \mathrm{done}(p, s_t) $$

    Works under ``jit`` and ``vmap``. Under ``vmap`` a member that is done keeps its state unchanged while the others go on.
    Derivatives, forward and reverse, are those of the iterations that were run; reverse mode stores the state of every
    iteration up to ``max_iterations``.

    Args:
        method: four pure functions.
        problem: a pytree, what they are given; its numbers are traced, the rest is compiled in.
        state: from which it goes on; ``method.init(problem)`` when omitted.
        max_iterations: static: it sizes the trace.

    Returns:
        a ``Run``: the last state, the iterations, the ``Reason`` and the trace, NaN after the last row.

    Source:
        Rader, Lyons, Kidger, Optimistix: modular optimisation in JAX and Equinox, 2024, on one loop for all methods.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab.numerics import Method, Reason, pure
        >>> def done(least, x):
        ...     return jnp.where(x < least, Reason.CONVERGED, Reason.RUNNING)
        >>> halve = Method(lambda least: jnp.ones(()), lambda least, x: x / 2, done, lambda least, x: {"x": x})
        >>> run = pure(halve, 0.1, max_iterations=10)
        >>> float(run.state), int(run.iterations), Reason(int(run.reason)).name  # 1/16
        (0.0625, 4, 'CONVERGED')
    """
    max_iterations = _limit(max_iterations)
    numbers, rest = _split(problem)
    return _pure(method, rest, max_iterations, numbers, _arrays(state))


def _split(tree: Tree) -> tuple[list, tuple]:
    """The numbers of a pytree, which are traced, and the rest, such as a network's activation, which is compiled in."""
    leaves, shape = jax.tree.flatten(tree)
    numbers, rest = eqx.partition(leaves, eqx.is_array_like)
    return _arrays(numbers), (tuple(rest), shape)


def _arrays(tree: Tree) -> Tree:
    """Plain numbers become arrays, which are traced."""
    return jax.tree.map(lambda leaf: leaf if isinstance(leaf, float) or eqx.is_array(leaf) else jnp.asarray(leaf), tree)


def _whole(numbers: list, rest: tuple) -> Tree:
    return jax.tree.unflatten(rest[1], eqx.combine(numbers, list(rest[0])))


@jit
def _pure(method: Method, rest: tuple, max_iterations: int, numbers: list, state: Tree) -> Run:
    def run(loop: Callable, numbers: list, state: Tree) -> Run:
        problem = _whole(numbers, rest)
        state = method.init(problem) if state is None else state
        start = jnp.asarray(method.done(problem, state), jnp.int32)
        state, count, reason, trace = _advance(
            method, max_iterations, problem, state, start, jnp.int32(max_iterations), False, loop
        )
        return Run(state, count, jnp.where(reason == Reason.RUNNING, Reason.MAX_ITERATIONS, reason), trace)

    loop = partial(differentiable_while, most=max_iterations)
    return with_derivative(partial(run, jax.lax.while_loop), partial(run, loop))(numbers, state)


def with_derivative(function: Callable, same: Callable) -> Callable:
    """A function whose derivatives are those of another one that computes the same.

    Args:
        function: of pytrees of arrays, what is evaluated.
        same: of the same arguments, what is differentiated; only with respect to what is perturbed.

    Returns:
        a function of the same arguments.
    """

    def called(*given: Any) -> Any:
        leaves, shape = jax.tree.flatten(given)
        arrays = [i for i, leaf in enumerate(leaves) if eqx.is_array_like(leaf)]  # functions, for one, are none

        def whole(places: list[int], some: Sequence[Any], others: Sequence[Any]) -> Any:
            filled = list(others)
            for i, leaf in zip(places, some, strict=True):
                filled[i] = leaf
            return jax.tree.unflatten(shape, filled)

        made = jax.custom_jvp(lambda *some: function(*whole(arrays, some, leaves)))

        def rule(primals: tuple, tangents: tuple) -> tuple:
            moved = [i for i, move in enumerate(tangents) if not isinstance(move, SymbolicZero)]
            others = jax.tree.leaves(whole(arrays, primals, leaves))

            def of(*some: Any) -> Any:  # the others have no tangent: 0 times an infinite slope would be NaN
                return same(*whole([arrays[i] for i in moved], some, others))

            return jax.jvp(of, tuple(primals[i] for i in moved), tuple(tangents[i] for i in moved))

        made.defjvp(rule, symbolic_zeros=True)
        return made(*(leaves[i] for i in arrays))

    return called


def differentiable_while(keep_going: Callable, body: Callable, carry: Any, most: int) -> Any:
    """``lax.while_loop`` of at most ``most`` turns, with derivatives in both modes; reverse mode stores every turn.

    All turns are run, those after the end from the first carry, where slopes are finite; ``lax.cond`` instead cannot be
    transposed under ``vmap``.
    """
    first = carry

    def turn(carry, _):
        goes = keep_going(carry)
        choose = partial(jax.tree.map, partial(jnp.where, goes))
        return choose(body(choose(carry, first)), carry), None

    return jax.lax.scan(turn, carry, length=most)[0]


@jit
def _scanned(method: Method, rest: tuple, steps: int, numbers: list, state: Tree) -> Run:
    problem = _whole(numbers, rest)
    state = method.init(problem) if state is None else state
    shapes = jax.eval_shape(partial(method.measure, problem), state)

    def go(carry):
        state, count, _ = carry
        state = method.step(problem, state)
        reason = jnp.asarray(method.done(problem, state), jnp.int32)
        return (state, count + 1, reason), method.measure(problem, state)

    def stay(carry):
        return carry, {name: jnp.full(shape.shape, jnp.nan, shape.dtype) for name, shape in shapes.items()}

    def one(carry, _):
        return jax.lax.cond(carry[2] == Reason.RUNNING, go, stay, carry)

    start = state, jnp.int32(0), jnp.asarray(method.done(problem, state), jnp.int32)
    (state, count, reason), trace = jax.lax.scan(one, start, length=steps)
    return Run(state, count, jnp.where(reason == Reason.RUNNING, Reason.MAX_ITERATIONS, reason), trace)


def scanned(method: Method, problem: Tree, state: Tree = None, *, max_iterations: int) -> Run:
    """Run a method as ``pure`` does, in one ``lax.scan``: differentiable in reverse mode too.

    For methods whose number of steps is known, such as integrators. Memory of the backward pass: O(max_iterations) states.

    Args:
        method: as for ``pure``.
        problem: as for ``pure``.
        state: as for ``pure``.
        max_iterations: static; steps after the method is done cost nothing, unless under ``vmap``.

    Returns:
        a ``Run``, as ``pure`` returns it.
    """
    numbers, rest = _split(problem)
    return _scanned(method, rest, max_iterations, numbers, _arrays(state))


def traceable(loop: Loop) -> Loop:
    """``scanned`` instead of ``pure`` inside ``jit``, ``vmap`` and ``grad``; any other loop as it is."""
    return scanned if loop is pure and not trace_state_clean() else loop


@jit
def _start(method: Method, rest: tuple, numbers: list, state: Tree) -> tuple[Tree, jax.Array]:
    """Where a loop begins, and whether it has ended there."""
    problem = _whole(numbers, rest)
    state = method.init(problem) if state is None else state
    return state, jnp.asarray(method.done(problem, state), jnp.int32)


@jit
def _chunk(method: Method, rest: tuple, numbers: list, state: Tree, reason: Any, limit: Any) -> tuple:
    return _advance(method, _BUFFER, _whole(numbers, rest), state, reason, limit, True)


class Chunked:
    """Run a method in jitted chunks of about ``seconds``, reporting after each.

    Args:
        report: called with a ``Progress`` after every chunk; returning True ends the loop and keeps
            the state, an exception passes through.
        seconds: aimed duration of a chunk, so that a stop is felt at once.
        pause: end once, as if asked to, after this many seconds. ``paused`` then says so, and after ``replay`` the same
            calls go on where they were.
    """

    def __init__(self, report: Report | None = None, seconds: float = 0.1, pause: float | None = None):
        self.report = report
        self.seconds = seconds
        self.pause = pause
        self.paused = False
        self._runs: list[Run] = []  # by call
        self._calls = 0

    def replay(self) -> None:
        """From now on the first call returns what the first call returned, and so on; the one that paused goes on."""
        self._calls, self.pause, self.paused = 0, None, False

    def __call__(self, method: Method, problem: Tree, state: Tree = None, *, max_iterations: int | None = None) -> Run:
        max_iterations = _limit(max_iterations)
        call, self._calls = self._calls, self._calls + 1
        if call < len(self._runs):
            before = self._runs[call]
            if before.reason != Reason.STOPPED:
                return before
            run = self._loop(method, problem, before.state, before.iterations, before.trace, max_iterations)
            self._runs[call:] = [run]  # what followed was computed from less
            return run
        run = self._loop(method, problem, state, 0, {}, max_iterations)
        if self.pause is not None:
            self._runs.append(run)
        return run

    def _loop(self, method: Method, problem: Tree, state: Tree, done: int, trace: Mapping, max_iterations: int) -> Run:
        numbers, rest = _split(problem)
        loop = self._calls
        state, reason = _start(method, rest, numbers, _arrays(state))
        parts, first = [dict(trace)] if trace else [], done
        size, elapsed = 1, 0.0  # of the first steps nobody knows how long they take
        while int(reason) == Reason.RUNNING and done < max_iterations:
            limit = min(size, _BUFFER, max_iterations - done)
            began = time.perf_counter()
            state, count, reason, trace = _chunk(method, rest, numbers, state, reason, np.int32(limit))
            count = int(count)  # waits for the device
            spent = time.perf_counter() - began
            parts.append({name: np.asarray(rows)[:count] for name, rows in trace.items()})
            if done > first or spent < self.seconds:  # a first chunk that takes longer may have compiled
                elapsed += spent
                size = int(np.clip(size * self.seconds / max(spent, 1e-6), 1, min(4 * size, _BUFFER)))
                if self.pause is not None:
                    left = (self.pause - elapsed) * count / max(spent, 1e-6)
                    size = max(1, min(size, int(left))) if left > 0 else size
            if count < limit:
                size = 1  # the next step is of another kind
            done += count
            stop = self.report and self.report(Progress(done, max_iterations, _joined(parts), state, elapsed, loop))
            if int(reason) == Reason.RUNNING:
                self.paused = not stop and self.pause is not None and elapsed >= self.pause
                if stop or self.paused:
                    reason = Reason.STOPPED
        if int(reason) == Reason.RUNNING:
            reason = Reason.MAX_ITERATIONS
        if not parts:  # a start that is already done still has a trace, of no rows
            measured = jax.eval_shape(partial(method.measure, problem), state)
            parts = [{name: np.empty(0, shape.dtype) for name, shape in measured.items()}]
        return Run(state, done, int(reason), _joined(parts))


def _joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
