r"""FLAIR: an answer that a flow model and the data pull at in turn, without training.

In flow coordinates $x_t = (1 - t)\,\mu + t\,\varepsilon$ with $v(x, t) = E[\varepsilon - x_0 \mid x_t = x] = (x - D) / t$ a
step is

$$ \varepsilon = a\,\hat x_1 + \sqrt{1 - a^2}\,\xi, \qquad \hat x_1 \leftarrow x_t + (1 - t)\,v, \qquad
   \mu \leftarrow \mu - \lambda(t)\,\big(v - (\varepsilon - \mu)\big) = \mu + \tfrac{\lambda(t)}{t} (D - \mu), $$

and then the data: a projection on $A\mu = y$, a prox, or some steps of gradient descent. a = a(t) is the trajectory adjustment
(DTA), and $\lambda(t)$ is calibrated (CRW) by how well the model predicts at each time.

References: Erbach, Narnhofer, Dombos, Schiele, Lenssen, Schindler, Solving Inverse Problems with FLAIR, NeurIPS 2025.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray

from lab.choices import check_choices, chosen
from lab.denoise.base import Denoiser
from lab.denoise.posterior import Wiener
from lab.inverse.operators import Linear, Operator, known
from lab.inverse.problems import Problem
from lab.inverse.solving import Reconstruction, answer, empty_path, ended, kept_finite, normal, noted, static_counts
from lab.inverse.spectral import prepared
from lab.numerics import Loop, random
from lab.numerics import Method as Iteration
from lab.numerics.arguments import real, whole
from lab.numerics.differentiation import refuse_derivative
from lab.numerics.iterate import differentiable_while, with_derivative
from lab.numerics.jit import jit

type Schedule = (
    Literal["1-t", "t", "sqrt-t", "cbrt-t", "sine", "half-1-t", "0.9-1-t", "sqrt-1-t", "square-1-t", "none", "one"]
    | str
)
type Data = Literal["auto", "project", "prox", "sgd"] | str

SCHEDULES = {
    "1-t": lambda t: 1 - t,
    "t": lambda t: t,
    "sqrt-t": jnp.sqrt,
    "cbrt-t": jnp.cbrt,
    "sine": lambda t: jnp.sin(jnp.pi * t / 2),
    "half-1-t": lambda t: (1 - t) / 2,
    "0.9-1-t": lambda t: 0.9 * (1 - t),
    "sqrt-1-t": lambda t: jnp.sqrt(1 - t),
    "square-1-t": lambda t: (1 - t) ** 2,
    "none": jnp.zeros_like,
    "one": jnp.ones_like,
}
_TABLE = 100  # times of a calibration
_ENDS = 2e-3  # the first and the last of them keep away from 1 and 0 so far
_EPS = 1e-7
_CONJUGATE = 50  # steps of a prox at most
_SOFT = 1e-3  # of |A|^2: how much a prox holds on to where it came from
_CLOSE = 1e-4  # mean square misfit at which gradient descent on the data ends


class Calibration(NamedTuple):
    r"""$e(t) = E|v(x_t, t) - (\varepsilon - x_0)|^2 / n$ at ``t`` falling from 1 to 0: arrays or lists of one length."""

    t: Float[Array, " times"]
    error: Float[Array, " times"]

    def weights(self, c: ArrayLike, shift: ArrayLike = 0.0) -> Float[Array, " times"]:
        r"""$\lambda(t_j) = c \max(b_j - b_\mathrm{last} + s, 0)$ with $b \propto 1 / e$ of mean 1."""
        inverse = 1 / (jnp.asarray(self.error, float) + _EPS)
        b = inverse / inverse.mean()
        return jnp.asarray(c) * jnp.maximum(b - b[-1] + shift, 0)

    def at(self, t: Any, c: ArrayLike, shift: ArrayLike = 0.0) -> Float[Array, " steps"]:
        """The weights at the nearest times of the table."""
        near = jnp.abs(jnp.asarray(t)[:, None] - jnp.asarray(self.t, float)[None, :]).argmin(axis=1)
        return self.weights(c, shift)[near]


def calibrate(denoiser: Denoiser, images: Any, key: PRNGKeyArray) -> Calibration:
    r"""How well a denoiser predicts at each time, from clean images that it has not seen.

    $$ e(t) = \frac1n E|v(x_t, t) - (\varepsilon - x_0)|^2 = \mathrm{MSE}_D\big(t / (1 - t)\big) / t^2 $$

    Args:
        denoiser: any of ``lab.denoise``.
        images: (B, n) or (B, C, H, W); None takes the closed form of a ``Wiener``.
        key: of the noise.

    Returns:
        a ``Calibration``: e at 100 times from 1 to 0.

    Raises:
        ValueError: images that do not fit, or None for a denoiser without a closed form.

    Source:
        Erbach, Narnhofer, Dombos, Schiele, Lenssen, Schindler, Solving Inverse Problems with FLAIR, NeurIPS 2025.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from lab import denoise, inverse
        >>> normal = denoise.Spectrum(jnp.zeros(1), jnp.ones(1), jnp.eye(1), jnp.ones(()))
        >>> found = inverse.calibrate(denoise.Wiener(normal, (1, 1, 1)), None, jax.random.key(0))
        >>> round(float(found.error.max()), 2)  # 1 / (t^2 + (1 - t)^2), most at t = 1/2
        2.0
    """
    t = np.linspace(1, 0, _TABLE)
    inner = np.clip(t, _ENDS, 1 - _ENDS)
    low, high = denoiser.sigma_range
    levels = np.clip(inner / (1 - inner), low, high)
    if isinstance(denoiser, Wiener) and images is None:
        found = _expected(denoiser, levels)
    else:
        if images is None:
            raise ValueError(
                f"images = None is not allowed for the denoiser {denoiser.name!r}: only a Wiener denoiser has a closed form. "
                f"Give clean images (count, {denoiser.n})"
            )
        clean = real("images", images)
        if clean.size == 0 or clean.size % denoiser.n or clean.shape[-1] not in (denoiser.n, denoiser.shape[-1]):
            raise ValueError(f"the images have shape {clean.shape}, but (count, {denoiser.n}) is needed")
        found = _errors(denoiser, clean.reshape(-1, denoiser.n), jnp.asarray(levels, clean.dtype), key)
    return Calibration(jnp.asarray(t), _scaled(found, inner))


def calibrated(prior: Denoiser, held: Any, key: PRNGKeyArray) -> Calibration:
    r"""How well a denoiser predicts at each time, in closed form for the Wiener one, else on images that it has not seen.

    $$ e(t) = \mathrm{MSE}_D\big(t / (1 - t)\big) / t^2 $$

    Of few training images the closed form knows no error outside their span, so that nothing is left to weigh: then the images
    decide too.

    Args:
        prior: any denoiser of ``lab.denoise``.
        held: images (B, n) or (B, C, H, W) that it has not seen.
        key: of the noise.

    Returns:
        a ``Calibration``: e at 100 times from 1 to 0.

    Raises:
        ValueError: images that do not fit.

    Source:
        Erbach, Narnhofer, Dombos, Schiele, Lenssen, Schindler, Solving Inverse Problems with FLAIR, NeurIPS 2025.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from lab import denoise, inverse
        >>> normal = denoise.Spectrum(jnp.zeros(1), jnp.full(1, 0.25), jnp.eye(1), jnp.asarray(0.25))
        >>> found = inverse.calibrated(denoise.Wiener(normal, (1, 1, 1)), jnp.ones((2, 1)), jax.random.key(0))
        >>> round(float(found.error.max()), 2)  # 1 / (4 t^2 + (1 - t)^2), most at t = 1/5
        1.25
    """
    if not isinstance(prior, Wiener):
        return calibrate(prior, held, key)
    own = calibrate(prior, None, key)
    alive = _alive(own)
    if known(alive) and bool(alive):
        return own
    seen = calibrate(prior, held, key)
    return Calibration(own.t, jnp.where(alive, own.error, seen.error))


@jit
def _expected(denoiser: Wiener, levels: Any) -> Float[Array, " times"]:
    return jax.vmap(denoiser.expected_error)(levels)


@jit
def _scaled(error: Array, t: Any) -> Float[Array, " times"]:
    return error / t**2


@jit
def _alive(own: Calibration) -> Bool[Array, ""]:
    """Whether something is left to weigh."""
    return own.weights(1.0).max() > 0


@jit
def _errors(denoiser: Denoiser, clean: Array, levels: Array, key: PRNGKeyArray) -> Float[Array, " times"]:
    """The mean squared error a pixel at each level, of one noise; level by level, so that it is one small program."""
    noise = random.normal(key, clean.shape, clean.dtype)
    return jax.lax.map(lambda s: ((denoiser.denoise(clean + s * noise, s) - clean) ** 2).mean(), levels)


@chosen
class Flair(NamedTuple):
    """The solver, for ``inverse.solve``.

    Attributes:
        calibration: of the denoiser; None makes the weight ``c`` at all times.
        c: strength of the prior; traced.
        steps: N, of equal steps from t = 1 to ``t_min``, both ends excluded.
        t_min: between 0 and 1; traced.
        adjust: a(t) of the trajectory adjustment, evaluated at the new time.
        adjust_scale: between 0 and 1, times a(t); traced.
        data: *project* on A x = y by the pseudo-inverse; *prox*, conjugate gradients until the misfit is that of the noise;
            *sgd*, gradient descent until the mean square misfit is 1e-4; *auto*: project for masks, prox for other linear
            operators, sgd for the rest.
        data_steps, data_rate: of *sgd*; traced (in derivatives only the rate), the rate in units of 1 / |A|^2 for a linear
            operator.
        shift: of the calibrated weights; traced.
    """

    calibration: Calibration | None = None
    c: ArrayLike = 0.25
    steps: int = 50
    t_min: ArrayLike = 0.18
    adjust: Schedule = "1-t"
    adjust_scale: ArrayLike = 1.0
    data: Data = "auto"
    data_steps: ArrayLike = 15
    data_rate: ArrayLike = 0.5
    shift: ArrayLike = 0.0

    def times(self) -> Float[Array, " steps"]:
        """The times that are visited."""
        return jnp.linspace(1.0, self.t_min, self.steps + 2)[1:-1]

    def weights(self) -> Float[Array, " steps"]:
        """lambda(t) at each."""
        times = self.times()
        if self.calibration is None:
            return jnp.full(self.steps, jnp.asarray(self.c, times.dtype))
        return self.calibration.at(times, self.c, self.shift)

    @property
    def is_stable(self) -> Bool[Array, ""]:
        r"""Whether $\lambda(t) \le 2 t$ at all times: beyond it directions that the denoiser takes away grow."""
        return (self.weights() <= 2 * self.times()).all()

    def check(self) -> None:
        """Refuse what is outside its domain."""
        check_choices(self)
        real("t_min", self.t_min, (), low=0, high=1, strict=True)
        whole("steps", self.steps, 1)
        if known(self.data_steps):
            whole("data_steps", np.asarray(self.data_steps).item(), 0)
        real("adjust_scale", self.adjust_scale, (), low=0, high=1)
        real("c", self.c, (), low=0)
        real("data_rate", self.data_rate, (), low=0, strict=True)
        real("shift", self.shift, ())
        if self.calibration is None:
            return
        errors = real("calibration.error", self.calibration.error, ("times",), low=0, strict=True)
        real("calibration.t", self.calibration.t, errors.shape, low=0, high=1)
        if known(errors, self.c, self.shift, self.t_min) and np.asarray(self.c) > 0 and not self.weights().any():
            raise ValueError(
                "the calibrated weights are 0 at all times, so that the prior has no effect: calibrate on held-out images "
                "(inverse.calibrated), or choose a shift above 0"
            )

    def run(
        self, problem: Problem, denoiser: Denoiser, keys: Key[Array, " seeds"], start: Array, loop: Loop, keep: bool
    ) -> Reconstruction:
        """See ``inverse.solve``."""
        self.check()
        made = problem.operator
        how = self.data
        if how == "auto":
            how = "project" if hasattr(made, "seen") else "prox" if isinstance(made, Linear) else "sgd"
        if how != "sgd" and not isinstance(made, Linear):
            raise ValueError(f"data = {how!r} needs a linear operator: choose 'sgd'")
        if how == "project":
            try:
                made = prepared(made)  # type: ignore[arg-type]
            except ValueError as unknown:
                raise ValueError(
                    "data = 'project' needs a pseudo-inverse, which is not known here: choose 'prox'"
                ) from unknown
            problem = Problem(made, problem.y, problem.noise)
        numbers = _numbers(self, made, keys, start)
        task_of: Any = _Task
        counts = static_counts((problem, denoiser, keys, start, self), self.data_steps)
        task = task_of(
            problem, denoiser, *numbers, keys, start, jnp.asarray(self.data_steps, jnp.int32), counts, how, keep
        )
        if how == "sgd" and counts is None:
            task = refuse_derivative(
                task, "Derivatives of Flair with data = 'sgd' need a whole number data_steps that is not traced."
            )
        found = loop(_TURNS, task, max_iterations=self.steps)
        state: Any = found.state
        beside = {"x_t": state.noisy, "x1_hat": state.ends} if keep else None
        return answer(found, state.mu, state.lost)._replace(beside=beside)


@jit
def _numbers(method: Flair, made: Operator, keys: Key[Array, " seeds"], start: Array) -> tuple[Array, ...]:
    """Those of ``_Task`` that a method, an operator and keys decide."""
    dtype = start.dtype
    times = method.times().astype(dtype)
    adjust = jnp.clip(jnp.asarray(method.adjust_scale, dtype) * SCHEDULES[method.adjust](times), 0, 1)
    squared = made.norm().astype(dtype) ** 2 if isinstance(made, Linear) else jnp.ones((), dtype)
    first = jax.vmap(lambda key: random.normal(jax.random.fold_in(key, 2**30), start.shape[1:], dtype))(keys)
    return times, method.weights().astype(dtype), adjust, squared, jnp.asarray(method.data_rate, dtype), first


class _Task(eqx.Module):
    problem: Problem
    denoiser: Denoiser
    t: Float[Array, " steps"]
    weight: Float[Array, " steps"]
    adjust: Float[Array, " steps"]
    squared: Float[Array, ""]  # |A|^2
    data_rate: Float[Array, ""]
    first: Float[Array, "seeds n"]  # the noise end that the first step knows
    keys: Key[Array, " seeds"]
    start: Float[Array, "seeds n"]
    data_steps: Int[Array, ""]
    counts: tuple[int, ...] | None = eqx.field(static=True)  # data_steps in a derivative, which needs it known
    data: str = eqx.field(static=True)
    keep: bool = eqx.field(static=True)


class _State(NamedTuple):
    mu: Float[Array, "seeds n"]
    x1: Float[Array, "seeds n"]
    lost: Bool[Array, " seeds"]
    step: Int[Array, ""]
    misfit: Float[Array, ""]
    path: Array | None
    noisy: Array | None  # x_t of each step
    ends: Array | None  # and the noise end that is read off there


def _init(task: _Task) -> _State:
    path = empty_path(task.keep, len(task.t), task.start)
    lost = jnp.zeros(len(task.start), bool)
    return _State(task.start, task.first, lost, jnp.int32(0), jnp.zeros((), task.start.dtype), path, path, path)


def _step(task: _Task, state: _State) -> _State:
    t, weight, a = (each[state.step] for each in (task.t, task.weight, task.adjust))
    n = state.mu.shape[1]
    xi = normal(task.keys, state.step, 0, n, state.mu.dtype)
    eps = a * state.x1 + jnp.sqrt(1 - a**2) * xi
    x = (1 - t) * state.mu + t * eps
    v = (x - task.denoiser.denoise(x / (1 - t), t / (1 - t))) / t
    mu = state.mu - weight * (v - (eps - state.mu))
    (data_steps,) = task.counts or (task.data_steps,)
    mu = consistent(task.problem, mu, task.data, task.squared, data_steps, task.data_rate)
    mu, lost = kept_finite(mu, state.mu, state.lost)
    x1 = x + (1 - t) * v
    rows = (noted(rows, state.step, new) for rows, new in zip(state[-3:], (mu, x, x1), strict=True))
    inputs = task.problem.operator.inputs
    misfit = task.problem.misfit(mu.reshape(-1, *inputs)).mean()
    return _State(mu, x1, lost, state.step + 1, misfit, *rows)


@chosen
def consistent(
    problem: Problem,
    mu: Float[Array, "seeds n"],
    how: Literal["project", "prox", "sgd"] | str,
    squared: Array,
    steps: ArrayLike,
    rate: Array,
) -> Float[Array, "seeds n"]:
    """Each seed brought to the data; see ``Flair.data``."""
    made: Any = problem.operator

    def one(x: Array, y: Array) -> Array:
        x = x.reshape(made.inputs)
        if how == "project":
            return made.project(x, y).ravel()
        given = Problem(made, y, problem.noise)
        if how == "prox":
            return _prox(given, x, squared).ravel()
        return _descended(given, x, squared, steps, rate).ravel()

    return jax.vmap(one)(mu, problem.y)


def _prox(problem: Problem, x: Array, squared: Array) -> Array:
    r"""Conjugate gradients for $(A^* A + \rho I)\,x' = A^* y + \rho x$ from x, until $|A x' - y|^2 \le m \sigma^2$."""
    return with_derivative(
        partial(_conjugate, jax.lax.while_loop), partial(_conjugate, partial(differentiable_while, most=_CONJUGATE))
    )(problem, x, squared)


def _conjugate(loop: Callable, problem: Problem, x: Array, squared: Array) -> Array:
    made: Any = problem.operator
    rho = _SOFT * squared
    enough = made.measurements * problem.noise**2

    def misfit(x):
        return (jnp.abs(made.apply(x) - problem.y) ** 2).sum()

    def improve(carry):
        x, r, p, rr, count = carry
        image = made.back(made.apply(p)) + rho * p
        curvature = jnp.vdot(p, image)
        size = jnp.where(curvature > 0, rr / jnp.where(curvature > 0, curvature, 1), 0)
        x, r = x + size * p, r - size * image
        new = jnp.vdot(r, r)
        p = r + jnp.where(rr > 0, new / jnp.where(rr > 0, rr, 1), 0) * p
        return x, r, p, new, count + 1

    r = made.back(problem.y - made.apply(x))
    begun = jnp.vdot(r, r)
    small = (10 * jnp.finfo(x.dtype).eps) ** 2 * begun

    def unsettled(carry):
        x, _, _, rr, count = carry
        return (misfit(x) > enough) & (rr > small) & (count < _CONJUGATE)

    return loop(unsettled, improve, (x, r, r, begun, jnp.int32(0)))[0]


def _descended(problem: Problem, x: Array, squared: Array, steps: ArrayLike, rate: Array) -> Array:
    """Gradient descent on the squared misfit, at most so many steps."""
    made: Any = problem.operator

    def misfit(x):
        return (jnp.abs(made.apply(x) - problem.y) ** 2).sum()

    enough = _CLOSE * problem.y.size

    def improve(_, x):
        value, slope = jax.value_and_grad(misfit)(x)
        return jnp.where(value < enough, x, x - rate / squared * slope)

    return jax.lax.fori_loop(0, steps, improve, x)


def _done(task: _Task, state: _State) -> Array:
    return ended(state.step, len(task.t), state.lost)


def _measure(task: _Task, state: _State) -> dict[str, Array]:
    return {"misfit": state.misfit}


_TURNS = Iteration(_init, _step, _done, _measure)
