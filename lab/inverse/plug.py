r"""What variational solvers are compared with.

A denoiser in the place of a prox (plug-and-play) or as a pull (RED). With a Wiener denoiser plug-and-play by ADMM ends at the
posterior mean of the Gaussian, whatever its noise level is, and RED at

$$ \big(H^\top H / \sigma_v^2 + \lambda (S + \sigma^2 I)^{-1}\big)\,x
   = H^\top y / \sigma_v^2 + \lambda (S + \sigma^2 I)^{-1} m . $$

References: Venkatakrishnan, Bouman, Wohlberg, Plug-and-Play Priors, 2013; Romano, Elad, Milanfar, The Little Engine that Could,
    2017.
"""

from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, Key

from lab.choices import check_choices, chosen
from lab.denoise.base import Denoiser
from lab.inverse.mbir import conjugate_gradients
from lab.inverse.operators import Basis, Linear, known
from lab.inverse.problems import Problem
from lab.inverse.solving import Reconstruction, answer, empty_path, ended, kept_finite, noted
from lab.inverse.spectral import pulled, short
from lab.numerics import Loop
from lab.numerics import Method as Iteration
from lab.numerics.jit import jit

_BEYOND = 1e6  # times start, data and noise: what a denoiser that expands drives farther does not come back


@chosen
class PlugAndPlay(NamedTuple):
    """A denoiser in the place of the prox of a prior, for ``inverse.solve`` with a linear operator and noise above 0.

    Attributes:
        sigma: noise level of the denoiser in the last step; traced.
        first: that of the first step, from where it falls in equal ratios; None for the same throughout.
        steps: iterations.
        scheme: *admm*; *hqs*, half-quadratic splitting, which has no memory; *red*, gradient steps with the pull x - D(x).
        inner: conjugate gradients in each step, where the operator's decomposition is not known (``spectral.basis``).
        lam, rate: of *red*: the strength of the pull, and the step as a part of the longest that is stable; traced.
    """

    sigma: ArrayLike = 0.1
    first: ArrayLike | None = None
    steps: int = 100
    scheme: Literal["admm", "hqs", "red"] | str = "admm"
    inner: int = 20
    lam: ArrayLike = 1.0
    rate: ArrayLike = 0.9

    def run(
        self, problem: Problem, denoiser: Denoiser, keys: Key[Array, " seeds"], start: Array, loop: Loop, keep: bool
    ) -> Reconstruction:
        """See ``inverse.solve``."""
        check_choices(self)
        if not isinstance(problem.operator, Linear):
            raise ValueError("plug-and-play needs a linear operator: choose REDDiff or DPS")
        if known(problem.noise) and not float(problem.noise) > 0:
            raise ValueError("noise = 0, but plug-and-play weighs the data by it: take a little")
        if self.steps < 1 or self.inner < 1:
            raise ValueError(f"steps = {self.steps}, inner = {self.inner}: at least 1 of both is needed")
        for name in ("sigma", "first", "rate"):
            value = getattr(self, name)
            if value is not None and known(value) and not float(np.asarray(value)) > 0:
                raise ValueError(f"{name} = {value}, but it must be above 0")
        found = None if self.scheme == "red" else short(problem.operator)
        numbers = _numbers(self, problem, found, start)
        task_of: Any = _Task
        task = task_of(problem, denoiser, found, *numbers, start, self.scheme, self.inner, keep)
        found = loop(_TURNS, task, max_iterations=self.steps)
        state: Any = found.state
        return answer(found, state.x, state.lost)


@jit
def _numbers(method: PlugAndPlay, problem: Problem, found: Basis | None, start: Array) -> tuple[Array, ...]:
    """Those of ``_Task``."""
    made: Any = problem.operator
    dtype = start.dtype
    last = jnp.asarray(method.sigma, dtype)
    first = last if method.first is None else jnp.asarray(method.first, dtype)
    levels = first * (last / first) ** jnp.linspace(0.0, 1.0, method.steps, dtype=dtype)
    largest = made.norm() if found is None else found.values.max()
    squared = largest.astype(dtype) ** 2
    backs = jax.vmap(lambda y: made.back(y).ravel())(problem.y)
    limit = _BEYOND * (jnp.abs(start).max() + jnp.abs(backs).max() / squared + levels.max())
    return levels, squared, jnp.asarray(method.lam, dtype), jnp.asarray(method.rate, dtype), limit


class _Task(eqx.Module):
    problem: Problem
    denoiser: Denoiser
    basis: Basis | None
    levels: Float[Array, " steps"]
    squared: Float[Array, ""]  # |A|^2
    lam: Float[Array, ""]
    rate: Float[Array, ""]
    limit: Float[Array, ""]  # of |x|, beyond which a seed has diverged
    start: Float[Array, "seeds n"]
    scheme: str = eqx.field(static=True)
    inner: int = eqx.field(static=True)
    keep: bool = eqx.field(static=True)


class _State(NamedTuple):
    x: Float[Array, "seeds n"]
    z: Float[Array, "seeds n"]
    dual: Float[Array, "seeds n"]
    lost: Bool[Array, " seeds"]
    step: Int[Array, ""]
    change: Float[Array, ""]
    path: Array | None


def _init(task: _Task) -> _State:
    path = empty_path(task.keep, len(task.levels), task.start)
    lost, nothing = jnp.zeros(len(task.start), bool), jnp.zeros((), task.start.dtype)
    return _State(task.start, task.start, 0 * task.start, lost, jnp.int32(0), nothing, path)


def _step(task: _Task, state: _State) -> _State:
    sigma = task.levels[state.step]
    if task.scheme == "red":
        pull = (state.x - task.denoiser.denoise(state.x, sigma)) / sigma**2
        steepest = task.squared / task.problem.noise**2 + task.lam / sigma**2
        x = state.x - task.rate / steepest * (_slope(task.problem, state.x) + task.lam * pull)
        z, dual = x, state.dual
    else:
        dual = state.dual if task.scheme == "admm" else 0 * state.dual
        x = _nearest(task.problem, task.basis, state.z - dual, state.x, sigma, task.inner)
        z = task.denoiser.denoise(x + dual, sigma)
        dual = dual + x - z
    x, lost = kept_finite(jnp.where(jnp.abs(x) < task.limit, x, jnp.nan), state.x, state.lost)
    path = noted(state.path, state.step, x)
    change = jnp.sqrt(((x - state.x) ** 2).mean())
    return _State(x, z, dual, lost, state.step + 1, change, path)


def _slope(problem: Problem, x: Float[Array, "seeds n"]) -> Float[Array, "seeds n"]:
    r"""$A^* (A x - y) / \sigma_v^2$."""
    made: Any = problem.operator

    def one(x, y):
        return made.back(made.apply(x.reshape(made.inputs)) - y).ravel()

    return jax.vmap(one)(x, problem.y) / problem.noise**2


def _nearest(
    problem: Problem, found: Basis | None, to: Array, start: Array, sigma: Array, steps: int
) -> Float[Array, "seeds n"]:
    r"""$\min_x |A x - y|^2 / \sigma_v^2 + |x - z|^2 / \sigma^2$: along the singular vectors, or by conjugate gradients."""
    made: Any = problem.operator
    weight = (problem.noise / sigma) ** 2

    def one(to, start, y):
        to, start = to.reshape(made.inputs), start.reshape(made.inputs)
        if found is not None:
            return to + pulled(found, y - made.apply(to), jnp.ones_like(weight), weight)
        right = made.back(y) + weight * to
        return conjugate_gradients(lambda x: made.back(made.apply(x)) + weight * x, right, start, steps)

    return jax.vmap(one)(to, start, problem.y).reshape(to.shape)


_TURNS = Iteration(
    _init,
    _step,
    lambda task, state: ended(state.step, len(task.levels), state.lost),
    lambda task, state: {"change": state.change},
)
