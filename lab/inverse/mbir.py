r"""Volumes from a prior of slices, and total variation across them: DiffusionMBIR, and total variation alone.

A reverse diffusion $x \leftarrow x + \delta_i\,s(x, \sigma_i) + \sqrt{\delta_i}\,\varepsilon$ with
$\delta_i = \sigma_i^2 - \sigma_{i-1}^2$ and $s = (D - x) / \sigma^2$, slice by slice, a Langevin step, and after each one step
(or several) of ADMM for

$$ \min_x\; \tfrac12 |y - A x|^2 + \lambda |D_z x|_1 : \qquad
   \begin{aligned}
   x &\leftarrow \mathrm{CG}_M\big(A^* A + \rho D_z^\top D_z,\; A^* y + \rho D_z^\top (u - w)\big), \\
   u &\leftarrow \mathrm{shrink}(D_z x + w, \lambda / \rho), \qquad w \leftarrow w + D_z x - u ,
   \end{aligned} $$

whose u and w are carried from one diffusion step to the next. A is divided by its norm, so that $\lambda$ and $\rho$ have no
scale.

References: Chung, Ryu, McCann, Klasky, Ye, Solving 3D Inverse Problems using Pre-trained 2D Diffusion Models, CVPR 2023.
"""

import warnings
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, Key

from lab.choices import chosen
from lab.denoise.base import Denoiser, Shape
from lab.inverse.metrics import psnr
from lab.inverse.operators import Linear, known
from lab.inverse.problems import Problem
from lab.inverse.solving import Reconstruction, answer, empty_path, ended, kept_finite, normal, noted, static_counts
from lab.numerics import Loop, Reason, tell
from lab.numerics import Method as Iteration
from lab.numerics.arguments import real, whole
from lab.numerics.differentiation import refuse_derivative, without_derivative
from lab.numerics.jit import jit
from lab.numerics.roots import square_root

type Corrector = Literal["next", "same", "none"]

_FLOOR = 1e-6  # of a column sum, in the last step towards the data
_SMALL = 1e-10  # of the right-hand side: conjugate gradients are done
_EXACT = 100.0  # dB of a slice that is exact
_WILD = 2.0  # times as rough as the noise level says
_TEST = 10  # steps of ADMM between tests of convergence
_HELD = 1e-9  # of the squared norm of the operator
_CONJUGATE = 500  # half the steps of conjugate gradients of a derivative, at most


class Slices(Denoiser):
    """A denoiser of slices as one of volumes (Z, H, W), a slice at a time.

    Args:
        slice: of images (1, H, W).
        count: Z.
    """

    slice: Denoiser
    shape: Shape = eqx.field(static=True)
    name: str = eqx.field(static=True)

    def __init__(self, slice: Denoiser, count: int):
        if slice.shape[0] != 1 or count < 1:
            raise ValueError(
                f"a denoiser of images {slice.shape} and {count} slices: one channel and at least one are needed"
            )
        self.slice, self.shape, self.name = slice, (count, *slice.shape[1:]), slice.name

    def denoise(self, x: Float[Array, "b n"], sigma: Float[Array, ""]) -> Float[Array, "b n"]:
        return self.slice.denoise(x.reshape(-1, self.slice.n), sigma).reshape(x.shape)

    @property
    def sigma_range(self) -> tuple[float, float]:
        return self.slice.sigma_range


def differences(x: Float[Array, "Z *slice"], periodic: bool = False) -> Float[Array, "Z *slice"]:
    """$(D_z x)_k = x_{k+1} - x_k$; of the last slice 0, or where it is periodic $x_0 - x_{Z-1}$."""
    moved = jnp.roll(x, -1, axis=0) - x
    return moved if periodic else moved.at[-1].set(0)


def differences_adjoint(p: Float[Array, "Z *slice"], periodic: bool = False) -> Float[Array, "Z *slice"]:
    """$D_z^\\top p$."""
    p = p if periodic else p.at[-1].set(0)
    return jnp.roll(p, 1, axis=0) - p


def shrink(a: Array, by: ArrayLike) -> Array:
    """The number nearest to 0 within ``by`` of each: the prox of by |.|."""
    return jnp.sign(a) * jnp.maximum(jnp.abs(a) - by, 0)


def conjugate_gradients(apply: Callable[[Array], Array], b: Array, x: Array, steps: ArrayLike) -> Array:
    """So many steps for a symmetric positive definite operator, from x; one is steepest descent with an exact line search."""

    def improve(_, carry):
        x, r, p, rr = carry
        image = apply(p)
        curvature = jnp.vdot(p, image)
        going = (curvature > 0) & (rr > (_SMALL**2) * jnp.vdot(b, b))
        size = jnp.where(going, rr / jnp.where(going, curvature, 1), 0)
        x, r = x + size * p, r - size * image
        new = jnp.vdot(r, r)
        return x, r, r + jnp.where(going, new / jnp.where(rr > 0, rr, 1), 0) * p, new

    r = b - apply(x)
    return jax.lax.fori_loop(0, steps, improve, (x, r, r, jnp.vdot(r, r)))[0]


class Split(NamedTuple):
    """What ADMM carries: u stands for D_z x, w is the scaled dual."""

    u: Float[Array, "Z H W"]
    w: Float[Array, "Z H W"]


@jit
def _scaled(problem: Problem) -> tuple[Array, Array, Array]:
    """A measurement in units where the operator has norm 1, its adjoint there, and the unit."""
    made: Any = problem.operator
    scale = (1 / made.norm()).astype(problem.y.real.dtype)
    y = problem.y * scale
    return y, scale * made.adjoint(y), scale


class Data(eqx.Module):
    """A measured volume, in units where the operator has norm 1."""

    operator: Linear
    y: Array
    pulled: Array  # the adjoint of y
    scale: Float[Array, ""]  # 1 / |A|
    lam: Float[Array, ""]
    rho: Float[Array, ""]
    periodic: bool = eqx.field(static=True)

    @classmethod
    def of(cls, problem: Problem, lam: ArrayLike, rho: ArrayLike, periodic: bool) -> "Data":
        """Of a problem with a linear operator.

        Raises:
            ValueError: another operator, a volume of one slice with lam above 0, numbers outside their domain.

        Warns:
            UserWarning: rho is so large that a diffusion diverges.
        """
        made = problem.operator
        if not isinstance(made, Linear) or len(made.inputs) != 3:
            raise ValueError("a linear operator on volumes (slices, height, width) is needed")
        if known(lam, rho):
            if not (np.asarray(lam) >= 0 and np.asarray(rho) > 0):
                raise ValueError(f"lam = {lam}, rho = {rho}: lam must be at least 0, and rho above 0")
            if made.inputs[0] < 2 and np.asarray(lam) > 0:
                raise ValueError(
                    "a volume of one slice has no variation across slices: set lam to 0, or give more slices"
                )
            if np.asarray(rho) > 1:
                warnings.warn(
                    f"rho = {rho} is above the squared norm of the operator, 1: a diffusion diverges", stacklevel=3
                )
        dtype = problem.y.real.dtype
        return cls(made, *_scaled(problem), jnp.asarray(lam, dtype), jnp.asarray(rho, dtype), periodic)

    def apply(self, x: Array) -> Array:
        return self.scale * self.operator.apply(x)

    def back(self, y: Array) -> Array:
        return self.scale * self.operator.back(y)

    def step(self, x: Array, split: Split, inner: ArrayLike) -> tuple[Array, Split]:
        """One of ADMM."""

        def normal_operator(x):
            rough = differences_adjoint(differences(x, self.periodic), self.periodic)
            return self.scale**2 * self.operator.normal(x) + self.rho * rough

        right = self.pulled + self.rho * differences_adjoint(split.u - split.w, self.periodic)
        x = conjugate_gradients(normal_operator, right, x, inner)
        d = differences(x, self.periodic)
        u = shrink(d + split.w, self.lam / self.rho)
        return x, Split(u, split.w + d - u)

    def consistent(self, x: Array) -> Array:
        """One step of SIRT towards the data."""
        weight = self.scale**2 * self.operator.normal(jnp.ones_like(x))
        return x + self.back(self.y - self.apply(x)) / jnp.maximum(weight, _FLOOR)

    def error(self, x: Array, split: Split) -> Array:
        """Of the optimality conditions, as ``total_variation`` defines it."""
        p, d = self.rho * split.w, differences(x, self.periodic)
        slope = self.scale**2 * self.operator.normal(x) - self.pulled + differences_adjoint(p, self.periodic)
        tiny = jnp.finfo(x.dtype).tiny
        slack = jnp.sqrt(jnp.maximum(2 * (self.lam * jnp.abs(d) - p * d).sum(), 0))
        of, to = ((jnp.maximum(jnp.linalg.norm(each), tiny)) for each in (self.pulled, self.y))
        return jnp.maximum(jnp.linalg.norm(slope) / of, slack / to)

    def residual(self, x: Array) -> Array:
        """|A x - y| / |y|; where it is 0, so is its derivative."""
        return square_root((jnp.abs(self.apply(x) - self.y) ** 2).sum()) / jnp.linalg.norm(self.y)


class TotalVariation(NamedTuple):
    """Total variation across slices by ADMM alone."""

    x: Float[Array, "Z H W"]
    residual: Float[Array, ""]
    split: Split
    error: Float[Array, ""]  # of the optimality conditions, see ``total_variation``
    iterations: Int[Array, ""]
    reason: Int[Array, ""]

    @property
    def converged(self) -> Array:
        """Whether the optimality conditions hold to the tolerance."""
        return self.reason == Reason.CONVERGED


def total_variation(
    problem: Problem,
    lam: ArrayLike = 1e-3,
    rho: ArrayLike = 0.05,
    *,
    steps: ArrayLike = 3000,
    inner: ArrayLike = 10,
    periodic: bool = False,
    tolerance: ArrayLike = 1e-5,
) -> TotalVariation:
    r"""Solve total variation across slices by ADMM alone, without a prior of slices.

    $$ \min_x \tfrac12 |y - A x|^2 + \lambda |D_z x|_1, \qquad (D_z x)_k = x_{k+1} - x_k, $$

    with A and y divided by the norm of A, from the adjoint. With the dual $p = \rho w$, whose entries are at most $\lambda$,
    x is optimal where the larger of

    $$ |A^\top (A x - y) + D_z^\top p| / |A^\top y|, \qquad
       \sqrt{2\,(\lambda |D_z x|_1 - \langle p, D_z x\rangle)} / |y| $$

    is 0: the solver stops when this error is within the tolerance. The solution x is differentiable in y and $\lambda$ by the
    implicit function theorem: differences that are 0 stay 0. The derivative is that of the solution only if the solver
    converged.

    Args:
        problem: of a linear operator on volumes (Z, H, W).
        lam: $\lambda$, at least 0; traced.
        rho: penalty of ADMM, above 0; decides the speed, not the solution; traced.
        steps: of ADMM, at most; traced.
        inner: of conjugate gradients in each; traced.
        periodic: the last slice is beside the first.
        tolerance: of the error; 0 takes all steps without a test of convergence; traced.

    Returns:
        a ``TotalVariation``: x (Z, H, W), the residual |A x - y| / |y|, what ADMM carries, the error, the steps taken and the
        reason why they ended.

    Raises:
        ValueError: another operator, a volume of one slice with lam above 0, numbers outside their domain.

    Warns:
        NotConverged: the error is above the tolerance after all steps.

    Source:
        Chung, Ryu, McCann, Klasky, Ye, Solving 3D inverse problems using pre-trained 2D diffusion models, CVPR 2023.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import inverse
        >>> given = inverse.problem(inverse.Identity((2, 1, 1)), jnp.asarray([1.0, 3.0]).reshape(2, 1, 1), 0.0)
        >>> inverse.total_variation(given, 0.5, 1.0).x.round(4).ravel().tolist()  # each moves by lam
        [1.5, 2.5]
    """
    for name, count in (("steps", steps), ("inner", inner)):
        if known(count):
            whole(name, int(count) if np.ndim(count) == 0 and count == int(count) else count, 1)  # type: ignore[arg-type]
    tolerance = real("tolerance", tolerance, (), low=0)
    data = Data.of(problem, lam, rho, periodic)
    made = _varied(data, jnp.asarray(steps, jnp.int32), jnp.asarray(inner, jnp.int32), tolerance)
    if not (known(tolerance) and float(tolerance) == 0):
        tell("lab.inverse.total_variation", made.reason, made.iterations)
    return made


@jit
def _varied(data: Data, steps: Array, inner: Array, tolerance: Array) -> TotalVariation:
    fixed: Data = jax.lax.stop_gradient(data)

    def improve(carry):
        x, split, step, _ = carry
        x, split = fixed.step(x, split, inner)
        # the test costs as much as an inner step
        test, skip = (lambda: fixed.error(x, split)), (lambda: jnp.inf * fixed.scale)
        error = jax.lax.cond(step % _TEST == _TEST - 1, test, skip)
        return x, split, step + 1, error

    zero = jnp.zeros_like(fixed.pulled)
    carry = fixed.pulled, Split(zero, zero), jnp.int32(0), jnp.inf * fixed.scale
    x, split, step, _ = jax.lax.while_loop(lambda carry: (carry[2] < steps) & ~(carry[3] <= tolerance), improve, carry)
    error = fixed.error(x, split)
    ended = jnp.where(error <= tolerance, Reason.CONVERGED, Reason.MAX_ITERATIONS)
    reason = jnp.where(jnp.isfinite(x).all(), ended, Reason.NOT_FINITE).astype(jnp.int32)
    message = "ADMM's split and error have no derivative: differentiate x and residual of total_variation"
    split, error = without_derivative((split, error), data, message)
    x = x + _moved(data, x, split.u)
    return TotalVariation(x, data.residual(x), split, error, step, reason)


def _moved(data: Data, x: Array, u: Array) -> Array:
    r"""Zero, whose derivative is that of the solution: with the differences of zero held, it solves
    $P A^\top A P\,dx = P\,d(A^\top y - \lambda D_z^\top s - A^\top A x)$, with s the signs of u and P onto equal neighbors."""
    active = jnp.sign(u)
    together = jnp.cumsum(active != 0, axis=0) - (active != 0)  # the number of the run of each slice
    if data.periodic:
        last = together[-1] + (active[-1] != 0)
        together = together % jnp.maximum(last, 1)[None]
    same = (together[:, None] == together[None]).astype(x.dtype)
    same = same / same.sum(axis=1, keepdims=True)
    project = lambda z: jnp.einsum("kl...,l...->k...", same, z)  # noqa: E731
    # the small multiple of the identity only matters where data and differences leave x undetermined
    normal = lambda z: data.scale**2 * project(data.operator.normal(project(z))) + _HELD * z  # noqa: E731
    slope = data.pulled - data.scale**2 * data.operator.normal(x)
    slope = project(slope - data.lam * differences_adjoint(active, data.periodic))
    steps = min(_CONJUGATE, x.size)
    solve = lambda matvec, right: conjugate_gradients(matvec, right, jnp.zeros_like(right), 2 * steps)  # noqa: E731
    change = slope - jax.lax.stop_gradient(slope)
    return project(jax.lax.custom_linear_solve(normal, change, solve, symmetric=True))


@chosen
class MBIR(NamedTuple):
    """The solver, for ``inverse.solve`` with a denoiser of volumes (``Slices``).

    Its derivatives are those of the steps that are taken; ``admm`` and ``inner`` must not be traced then.

    Attributes:
        lam, rho: of ADMM; traced.
        steps: N levels, in equal ratios from sigma_max to sigma_min.
        sigma_min, sigma_max: of the noise; grey values between 0 and 1.
        admm, inner: K steps of ADMM after each level, M of conjugate gradients in each; traced.
        share: whether u and w are carried from level to level.
        corrector: the Langevin step, of strength ``snr``: at the level that the step leads to (next), or as released at the
            one that it comes from (same); or none.
        periodic: whether the last slice is next to the first.
        finish: one step of SIRT at the end.
    """

    lam: ArrayLike = 4e-3
    rho: ArrayLike = 0.025
    steps: int = 200
    sigma_min: ArrayLike = 0.01
    sigma_max: ArrayLike = 20.0
    admm: ArrayLike = 1
    inner: ArrayLike = 5
    share: bool = True
    corrector: Corrector | str = "next"
    snr: ArrayLike = 0.16
    periodic: bool = False
    finish: bool = False

    def levels(self) -> Float[Array, " steps"]:
        """Falling."""
        return jnp.geomspace(self.sigma_max, self.sigma_min, self.steps)

    def run(
        self, problem: Problem, denoiser: Denoiser, keys: Key[Array, " seeds"], start: Array, loop: Loop, keep: bool
    ) -> Reconstruction:
        """See ``inverse.solve``. It begins with noise, whatever the start is."""
        ends = self.sigma_min, self.sigma_max
        if known(*ends) and not 0 < np.asarray(ends[0]) < np.asarray(ends[1]):
            raise ValueError(
                f"sigma_min = {self.sigma_min}, sigma_max = {self.sigma_max}: 0 < sigma_min < sigma_max is needed"
            )
        few = any(known(count) and np.asarray(count) < 0 for count in (self.admm, self.inner))
        if self.steps < 2 or few:
            raise ValueError(
                f"steps = {self.steps}, admm = {self.admm}, inner = {self.inner}: at least 2, 0 and 0 are needed"
            )
        real("snr", self.snr, (), low=0)
        data = Data.of(problem, self.lam, self.rho, self.periodic)
        dtype = start.dtype
        task = _Task(
            data,
            denoiser,
            self.levels().astype(dtype),
            jnp.asarray(self.snr, dtype),
            keys,
            start,
            jnp.asarray(self.admm, jnp.int32),
            jnp.asarray(self.inner, jnp.int32),
            static_counts((data, denoiser, start, self), self.admm, self.inner),
            self.share,
            self.corrector,
            self.finish,
            keep,
        )
        if task.counts is None:
            task = refuse_derivative(task, "Derivatives of MBIR need whole numbers admm and inner that are not traced.")
        found = loop(_DIFFUSION, task, max_iterations=self.steps)
        state: Any = found.state
        return answer(found, state.x, state.lost | state.wild)


class _Task(eqx.Module):
    data: Data
    denoiser: Denoiser
    levels: Float[Array, " steps"]
    snr: Float[Array, ""]
    keys: Key[Array, " seeds"]
    like: Float[Array, "seeds n"]
    admm: Int[Array, ""]
    inner: Int[Array, ""]
    counts: tuple[int, ...] | None = eqx.field(static=True)  # admm and inner in a derivative, which needs them known
    share: bool = eqx.field(static=True)
    corrector: str = eqx.field(static=True)
    finish: bool = eqx.field(static=True)
    keep: bool = eqx.field(static=True)


class _State(NamedTuple):
    x: Float[Array, "seeds n"]
    split: Split
    lost: Bool[Array, " seeds"]
    wild: Bool[Array, " seeds"]  # rougher across slices than the noise level allows
    step: Int[Array, ""]
    told: tuple[Array, Array]  # residual and roughness over sigma
    path: Array | None


def _init(task: _Task) -> _State:
    seeds, n = task.like.shape
    dtype = task.like.dtype
    zero = jnp.zeros((seeds, *task.data.operator.inputs), dtype)
    path = empty_path(task.keep, len(task.levels), task.like)
    x = task.levels[0] * normal(task.keys, jnp.int32(2**30), 0, n, dtype)
    no, nothing = jnp.zeros(seeds, bool), jnp.zeros((), dtype)
    return _State(x, Split(zero, zero), no, no, jnp.int32(0), (nothing, nothing), path)


def _step(task: _Task, state: _State) -> _State:
    last = state.step >= len(task.levels) - 1
    sigma = task.levels[state.step]
    after = jnp.where(last, 0, task.levels[jnp.minimum(state.step + 1, len(task.levels) - 1)])
    seeds, n = state.x.shape
    shape = task.data.operator.inputs
    one, two = (normal(task.keys, state.step, what, n, state.x.dtype) for what in (0, 1))
    change = sigma**2 - after**2
    x = state.x + change / sigma**2 * (task.denoiser.denoise(state.x, sigma) - state.x)
    x = x + jnp.where(last, 0, jnp.sqrt(change)) * one
    if task.corrector != "none":
        level = sigma if task.corrector == "same" else jnp.where(last, sigma, after)
        score = (task.denoiser.denoise(x, level) - x) / level**2

        def length(z):  # of a slice, on average
            return jnp.linalg.norm(z.reshape(seeds, shape[0], -1), axis=2).mean(axis=1)

        half = task.snr * length(two) / jnp.maximum(length(score), jnp.finfo(x.dtype).tiny)
        moved = x + (2 * half**2)[:, None] * score + (2 * half)[:, None] * two
        x = jnp.where(last, x, moved)
    split = state.split if task.share else jax.tree.map(jnp.zeros_like, state.split)

    def consistent(x, split, y, pulled):
        x, data = x.reshape(shape), eqx.tree_at(lambda data: (data.y, data.pulled), task.data, (y, pulled))
        admm, inner = task.counts or (task.admm, task.inner)
        x, split = jax.lax.fori_loop(0, admm, lambda _, carry: data.step(*carry, inner), (x, split))
        if task.finish:
            x = jnp.where(last, data.consistent(x), x)
        rough = square_root(differences(x, data.periodic).var() / 2)
        return x.ravel(), split, data.residual(x), rough

    x, split, residual, rough = jax.vmap(consistent)(x, split, task.data.y, task.data.pulled)
    x, lost = kept_finite(x, state.x, state.lost)
    wild = state.wild | (rough > _WILD * jnp.maximum(sigma, 0.25))  # grey values themselves differ by up to 1
    path = noted(state.path, state.step, x)
    return _State(x, split, lost, wild, state.step + 1, (residual.mean(), (rough / sigma).mean()), path)


def _done(task: _Task, state: _State) -> Array:
    return ended(state.step, len(task.levels), state.lost)


def _measure(task: _Task, state: _State) -> dict[str, Array]:
    return {"residual": state.told[0], "roughness": state.told[1]}


_DIFFUSION = Iteration(_init, _step, _done, _measure)


class Planes(NamedTuple):
    """The mean PSNR of the slices along each axis, in dB, over the range of the truth."""

    axial: Float[Array, ""]
    coronal: Float[Array, ""]
    sagittal: Float[Array, ""]
    volume: Float[Array, ""]  # of all at once


def planes(x: Float[Array, "Z H W"], truth: Any) -> Planes:
    """Of one volume. Slices in which the truth is the same everywhere, such as those beside the body, are left out of the
    means: they are exact, or as good as that, by any method."""
    x, truth = jnp.asarray(x), jnp.asarray(truth)
    span = truth.max() - truth.min()
    each = []
    for axis in range(3):
        one, other = jnp.moveaxis(x, axis, 0), jnp.moveaxis(truth, axis, 0)
        decibels = jnp.minimum(psnr(one, other, 1.0, 2) + 20 * jnp.log10(span), _EXACT)
        each.append(varied(decibels, other))
    whole = psnr(x, truth, 1.0, 3) + 20 * jnp.log10(span)
    return Planes(each[0], each[1], each[2], whole)


def varied(numbers: Float[Array, " slices"], truth: Float[Array, "slices a b"]) -> Float[Array, ""]:
    """The mean over slices in which the truth is not the same everywhere."""
    shown = truth.max(axis=(1, 2)) > truth.min(axis=(1, 2))
    return jnp.where(shown, numbers, 0).sum() / jnp.maximum(shown.sum(), 1)
