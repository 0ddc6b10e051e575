r"""Total variation in the plane, the prior of images that are made of plain areas, without a denoiser:

$$ \min_x\; \frac{|A x - y|^2}{2 \sigma_v^2} + \lambda \sum_p |(D x)_p| , \qquad
   (D x)_{p} = (x_{\mathrm{below}} - x,\; x_{\mathrm{right}} - x) , $$

differences across the border being 0, with the Euclidean length of a pixel's two differences (*isotropic*) or the sum of
their sizes (*anisotropic*). ADMM with u for D x and the scaled dual w, multiplied by $\sigma_v^2$:

$$ \begin{aligned}
   x &\leftarrow \mathrm{CG}\big(A^* A + \rho D^\top D,\; A^* y + \rho D^\top (u - w)\big), \\
   u &\leftarrow \mathrm{shrink}(D x + w,\; \lambda \sigma_v^2 / \rho), \qquad w \leftarrow w + D x - u .
   \end{aligned} $$

At the end $p = \rho w / (\lambda \sigma_v^2)$ has lengths of at most 1, and
$A^*(A x - y) + \lambda \sigma_v^2 D^\top p = 0$: what is optimal can be told from x and w alone.

References: Rudin, Osher, Fatemi, Nonlinear Total Variation Based Noise Removal Algorithms, 1992; Goldstein, Osher, The Split
    Bregman Method for L1-Regularized Problems, 2009.
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
from lab.inverse.operators import Linear, known
from lab.inverse.problems import Problem
from lab.inverse.solving import Reconstruction, answer, empty_path, ended, kept_finite, noted
from lab.numerics import Loop
from lab.numerics import Method as Iteration


@chosen
class Variation(NamedTuple):
    """The solver, for ``inverse.solve`` with a linear operator on images (C, H, W) and noise above 0. No denoiser is asked.

    Attributes:
        lam: strength; 1 over the mean length of a difference is that of the most likely image under a Laplace law. Traced.
        rate: rho as a multiple of lam and the variance of the noise: differences are cut by 1 over it in each step. It decides
            how fast it goes, not where it ends. Traced.
        steps, inner: of ADMM, and of conjugate gradients in each.
        kind: *isotropic*, which knows no direction, or *anisotropic*.
    """

    lam: ArrayLike = 5.0
    rate: ArrayLike = 5.0
    steps: int = 100
    inner: int = 5
    kind: Literal["isotropic", "anisotropic"] | str = "isotropic"

    def run(
        self, problem: Problem, denoiser: Denoiser, keys: Key[Array, " seeds"], start: Array, loop: Loop, keep: bool
    ) -> Reconstruction:
        """See ``inverse.solve``."""
        check_choices(self)
        made = problem.operator
        if not isinstance(made, Linear) or len(made.inputs) != 3:
            raise ValueError("total variation needs a linear operator on images (channels, height, width)")
        if known(problem.noise) and not float(problem.noise) > 0:
            raise ValueError("noise = 0, but total variation weighs the data by it: take a little")
        if self.steps < 1 or self.inner < 1:
            raise ValueError(f"steps = {self.steps}, inner = {self.inner}: at least 1 of both is needed")
        for name in ("lam", "rate"):
            value = getattr(self, name)
            if known(value) and not float(np.asarray(value)) > 0:
                raise ValueError(f"{name} = {value}, but it must be above 0")
        dtype = start.dtype
        cut = jnp.asarray(self.lam, dtype) * problem.noise**2
        task = _Task(problem, cut, cut * self.rate, start, self.steps, self.inner, self.kind == "isotropic", keep)
        found = loop(_TURNS, task, max_iterations=self.steps)
        state: Any = found.state
        return answer(found, state.x, state.lost)


def gradient(x: Float[Array, "C H W"]) -> Float[Array, "2 C H W"]:
    """D x: to the pixel below, and to that on the right."""
    down = jnp.diff(x, axis=1, append=x[:, -1:])
    right = jnp.diff(x, axis=2, append=x[:, :, -1:])
    return jnp.stack([down, right])


def gradient_adjoint(p: Float[Array, "2 C H W"]) -> Float[Array, "C H W"]:
    r"""$D^\top p$."""
    down, right = p[0].at[:, -1].set(0), p[1].at[:, :, -1].set(0)
    return jnp.roll(down, 1, axis=1) - down + jnp.roll(right, 1, axis=2) - right


def lengths(p: Float[Array, "2 C H W"], isotropic: bool = True) -> Float[Array, "C H W"]:
    """Of each pixel's two differences."""
    if not isotropic:
        return jnp.abs(p).sum(axis=0)
    squared = (p**2).sum(axis=0)
    return jnp.where(squared > 0, jnp.sqrt(jnp.where(squared > 0, squared, 1)), 0)


class _Task(eqx.Module):
    problem: Problem
    cut: Float[Array, ""]  # lambda sigma_v^2
    rho: Float[Array, ""]
    start: Float[Array, "seeds n"]
    steps: int = eqx.field(static=True)
    inner: int = eqx.field(static=True)
    isotropic: bool = eqx.field(static=True)
    keep: bool = eqx.field(static=True)


class _State(NamedTuple):
    x: Float[Array, "seeds n"]
    u: Float[Array, "seeds 2 C H W"]
    w: Float[Array, "seeds 2 C H W"]
    lost: Bool[Array, " seeds"]
    step: Int[Array, ""]
    path: Array | None


def _init(task: _Task) -> _State:
    path = empty_path(task.keep, task.steps, task.start)
    images = task.start.reshape(-1, *task.problem.operator.inputs)
    u = jax.vmap(gradient)(images)
    return _State(task.start, u, 0 * u, jnp.zeros(len(images), bool), jnp.int32(0), path)


def _step(task: _Task, state: _State) -> _State:
    made: Any = task.problem.operator

    def one(x, u, w, y):
        def curved(x):
            return made.normal(x) + task.rho * gradient_adjoint(gradient(x))

        right = made.back(y) + task.rho * gradient_adjoint(u - w)
        x = conjugate_gradients(curved, right, x.reshape(made.inputs), task.inner)
        d = gradient(x)
        u = shortened(d + w, task.cut / task.rho, task.isotropic)
        return x.ravel(), u, w + d - u

    x, u, w = jax.vmap(one)(state.x, state.u, state.w, task.problem.y)
    x, lost = kept_finite(x, state.x, state.lost)
    return _State(x, u, w, lost, state.step + 1, noted(state.path, state.step, x))


def shortened(v: Float[Array, "2 C H W"], by: ArrayLike, isotropic: bool) -> Float[Array, "2 C H W"]:
    """The prox of ``by`` times the sum of lengths."""
    if not isotropic:
        return jnp.sign(v) * jnp.maximum(jnp.abs(v) - by, 0)
    long = lengths(v)
    return v * jnp.where(long > by, 1 - by / jnp.where(long > by, long, 1), 0)[None]


def objective(task: _Task, state: _State) -> Float[Array, ""]:
    """The mean over images, times the variance of the noise."""
    images = state.x.reshape(-1, *task.problem.operator.inputs)
    rough = jax.vmap(lambda x: lengths(gradient(x), task.isotropic).sum())(images)
    return (task.problem.misfit(images) / 2 + task.cut * rough).mean()


_TURNS = Iteration(
    _init,
    _step,
    lambda task, state: ended(state.step, task.steps, state.lost),
    lambda task, state: {"objective": objective(task, state)},
)
