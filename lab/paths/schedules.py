r"""Schedules: how source, target and latent noise mix at each time.

$$ x_t = \alpha(t)\, x_0 + \beta(t)\, x_1 + \gamma(t)\, z, \qquad t \in [0, 1], \quad z \sim N(0, I) $$

with the source at t = 0 and the data at t = 1. A schedule is a pytree that is called at a time and returns its
``Coefficients``; its numbers may be traced, so that one compiled program serves a whole family. Where the source is
N(0, I) it plays the latent noise itself, and none is added ("one-sided").

Nothing here ever forms $\gamma'$, which is infinite at the ends for a Brownian latent: the velocity needs only the
product $\gamma\gamma'$. Values are exact at the ends; where $\alpha'$ or $\beta'$ has no finite value there, ``inside``
gives the coefficients at the nearest time that has.

Sources: Albergo, Boffi, Vanden-Eijnden, *Stochastic interpolants*, JMLR 26 (2025), section 4 and table 8; Liu, Gong, Liu,
*Flow straight and fast*, ICLR 2023; Song et al., *Score-based generative modeling through SDEs*, ICLR 2021.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from lab.numerics.arguments import real
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.numerics.roots import square_root

type Number = float | Array


class Coefficients(NamedTuple):
    """A schedule at a time; every field has the shape of the time."""

    alpha: Array  # of the source
    beta: Array  # of the target
    gamma: Array  # of the latent noise
    d_alpha: Array
    d_beta: Array
    gg: Array  # gamma gamma'


@runtime_checkable
class Schedule(Protocol):
    """Anything that is called at a time and returns its ``Coefficients``; a pytree, to be an argument under ``jit``."""

    def __call__(self, t: ArrayLike) -> Coefficients: ...


# ------------------------------------------------------------------------------------------------- latent noise


class Latent(eqx.Module):
    r"""The latent noise of a schedule: called at t it gives $(\gamma, \gamma\gamma')$."""

    @abstractmethod
    def __call__(self, t: ArrayLike) -> tuple[Array, Array]: ...


class Brownian(Latent):
    r"""$\gamma^2 = a\,t(1-t)$, the variance of a Brownian bridge; $\gamma\gamma' = a(1-2t)/2$ is not zero at the ends."""

    a: Number

    def __init__(self, a: ArrayLike = 1.0):
        self.a = _positive("a", a)

    def __call__(self, t: ArrayLike) -> tuple[Array, Array]:
        t = checked_time(t)
        return square_root(self.a * t * (1 - t)), self.a * (1 - 2 * t) / 2


class ExpPolynomial(Latent):
    r"""$\gamma^2 = t(1-t)\,e^{p(t)}$ with $p(t) = \sum_k c_k (2t - 1)^k$: a Brownian bridge whose variance is bent.

    Args:
        coefficients: (m,), of real numbers; ``[log(a)]`` is ``Brownian(a)``. See ``lab.paths.bridge`` for the best ones.
    """

    coefficients: Float[Array, " m"]

    def __init__(self, coefficients: ArrayLike | Sequence):
        self.coefficients = real("coefficients", coefficients, (None,))
        if self.coefficients.shape[0] == 0:
            raise ValueError("the coefficients are empty, but at least one is needed")

    def __call__(self, t: ArrayLike) -> tuple[Array, Array]:
        t = checked_time(t)
        s = 2 * t - 1
        power, slope, log_scale = jnp.ones_like(t), jnp.zeros_like(t), jnp.zeros_like(t)
        for k, c in enumerate(self.coefficients.astype(t.dtype)):
            log_scale = log_scale + c * power
            slope = slope + (2 * k * c * s ** (k - 1) if k else 0)
            power = power * s
        scale = jnp.exp(log_scale)
        return square_root(scale * t * (1 - t)), scale * (1 - 2 * t + t * (1 - t) * slope) / 2


class Quadratic(Latent):
    r"""$\gamma = a\,t(1-t)$."""

    a: Number

    def __init__(self, a: ArrayLike = 1.0):
        self.a = _positive("a", a)

    def __call__(self, t: ArrayLike) -> tuple[Array, Array]:
        t = checked_time(t)
        gamma = self.a * t * (1 - t)
        return gamma, gamma * self.a * (1 - 2 * t)


class SineSquared(Latent):
    r"""$\gamma = a\sin^2(\pi t)$."""

    a: Number

    def __init__(self, a: ArrayLike = 1.0):
        self.a = _positive("a", a)

    def __call__(self, t: ArrayLike) -> tuple[Array, Array]:
        t = checked_time(t)
        s = _sine(t)
        gamma = self.a * s * s
        return gamma, gamma * self.a * 2 * jnp.pi * s * _cosine(t)


class Bump(Latent):
    r"""$\gamma = \sigma(f(t-\tfrac12)+1) - \sigma(f(t-\tfrac12)-1) - \sigma(1-\tfrac f2) + \sigma(-1-\tfrac f2)$, a plateau
    with the logistic function $\sigma$; the constants make it zero at both ends."""

    f: Number

    def __init__(self, f: ArrayLike = 10.0):
        self.f = _positive("f", f)

    def __call__(self, t: ArrayLike) -> tuple[Array, Array]:
        t = checked_time(t)
        # by |t - 1/2|, so that it is exactly even and exactly zero at both ends
        s = self.f * (0.5 - jnp.abs(t - 0.5)) - self.f / 2
        edge = jnp.zeros_like(t) - self.f / 2
        up, down = jax.nn.sigmoid(s + 1), jax.nn.sigmoid(s - 1)
        gamma = up - down - (jax.nn.sigmoid(edge + 1) - jax.nn.sigmoid(edge - 1))
        slope = self.f * (up * (1 - up) - down * (1 - down))
        return gamma, gamma * jnp.where(t > 0.5, -slope, slope)


# ---------------------------------------------------------------------------------------------------- schedules


class Linear(eqx.Module):
    r"""$\alpha = 1-t,\ \beta = t$: straight lines; conditional optimal transport, rectified flow."""

    latent: Latent | None = None

    def __call__(self, t: ArrayLike) -> Coefficients:
        t = checked_time(t)
        one = jnp.ones_like(t)
        return Coefficients(1 - t, t, *_latent(self.latent, t, -one, one))


class Trigonometric(eqx.Module):
    r"""$\alpha = \sqrt{1-\gamma^2}\cos\tfrac{\pi t}{2},\ \beta = \sqrt{1-\gamma^2}\sin\tfrac{\pi t}{2}$: keeps the variance
    where source and target are standardised.

    Where gamma touches 1, at t = 1/2 (a = 1 in sin^2, a = 4 in the others), nothing is left but noise, $\sqrt{1-\gamma^2}$ has
    a corner, and $\alpha', \beta'$ jump; at the corner itself they are the means of both sides. Let a step end there.

    Raises:
        ValueError: a latent whose gamma exceeds 1.
    """

    latent: Latent | None

    def __init__(self, latent: Latent | None = None):
        self.latent = latent
        if latent is not None and known(latent):
            largest = float(jnp.max(latent(jnp.linspace(0.0, 1.0, 129))[0]))
            if largest > 1 + 4 * jnp.finfo(jnp.result_type(float)).eps:
                raise ValueError(
                    f"gamma reaches {largest:.4g}, but it must not exceed 1 in the trigonometric schedule: "
                    "lower a (to 4 at most in a t(1-t) and its root, to 1 in sin^2)"
                )

    def __call__(self, t: ArrayLike) -> Coefficients:
        t = checked_time(t)
        cos, sin = _cosine(t / 2), _sine(t / 2)
        rate = jnp.pi / 2
        if self.latent is None:
            zero = jnp.zeros_like(t)
            return Coefficients(cos, sin, zero, -rate * sin, rate * cos, zero)
        gamma, gg = self.latent(t)
        r = square_root(1 - gamma * gamma)
        slope = jnp.where(r > 0, -gg / jnp.where(r > 0, r, 1), 0)
        return Coefficients(r * cos, r * sin, gamma, slope * cos - rate * r * sin, slope * sin + rate * r * cos, gg)


class ConstantSpeedVP(eqx.Module):
    r"""$\alpha = \sqrt{1-t^2},\ \beta = t$: the diffusion of constant variance with the data at constant speed
    (SBDM of the interpolants' paper). $\alpha'(1) = -\infty$."""

    latent: ClassVar[None] = None

    def __call__(self, t: ArrayLike) -> Coefficients:
        t = checked_time(t)
        alpha, zero = square_root((1 - t) * (1 + t)), jnp.zeros_like(t)
        return Coefficients(alpha, t, zero, _divide(-t, alpha), jnp.ones_like(t), zero)


class VP(eqx.Module):
    r"""The variance preserving diffusion, $\beta = \exp(-\tfrac14 (b_1-b_0)(1-t)^2 - \tfrac12 b_0 (1-t)),\
    \alpha = \sqrt{1-\beta^2}$. $\beta(0)$ is small but not 0 (0.0066 by default), and $\alpha'(1) = -\infty$."""

    latent: ClassVar[None] = None
    beta_min: Number
    beta_max: Number

    def __init__(self, beta_min: ArrayLike = 0.1, beta_max: ArrayLike = 20.0):
        self.beta_min, self.beta_max = _positive("beta_min", beta_min), _positive("beta_max", beta_max)

    def __call__(self, t: ArrayLike) -> Coefficients:
        t = checked_time(t)
        log, beta, d_beta = _diffused(t, self.beta_min, self.beta_max)
        alpha, zero = square_root(-jnp.expm1(2 * log)), jnp.zeros_like(t)
        return Coefficients(alpha, beta, zero, _divide(-beta * d_beta, alpha), d_beta, zero)


class SubVP(eqx.Module):
    r"""The sub-VP diffusion: $\beta$ of ``VP`` and $\alpha = 1-\beta^2$."""

    latent: ClassVar[None] = None
    beta_min: Number
    beta_max: Number

    def __init__(self, beta_min: ArrayLike = 0.1, beta_max: ArrayLike = 20.0):
        self.beta_min, self.beta_max = _positive("beta_min", beta_min), _positive("beta_max", beta_max)

    def __call__(self, t: ArrayLike) -> Coefficients:
        t = checked_time(t)
        log, beta, d_beta = _diffused(t, self.beta_min, self.beta_max)
        zero = jnp.zeros_like(t)
        return Coefficients(-jnp.expm1(2 * log), beta, zero, -2 * beta * d_beta, d_beta, zero)


class VE(eqx.Module):
    r"""The variance exploding diffusion, $\beta = 1,\ \alpha = \sigma_{max}(\sigma_{min}/\sigma_{max})^t$. It does not meet
    the boundary values of the others: at t = 0 it is data plus much noise, at t = 1 data plus little."""

    latent: ClassVar[None] = None
    sigma_min: Number
    sigma_max: Number

    def __init__(self, sigma_min: ArrayLike = 0.01, sigma_max: ArrayLike = 50.0):
        self.sigma_min, self.sigma_max = _positive("sigma_min", sigma_min), _positive("sigma_max", sigma_max)
        if (
            known((self.sigma_min, self.sigma_max))
            and not (np.asarray(self.sigma_min) < np.asarray(self.sigma_max)).all()
        ):
            raise ValueError(
                f"sigma_min = {sigma_min} and sigma_max = {sigma_max}, but the noise must fall to the data"
            )

    def __call__(self, t: ArrayLike) -> Coefficients:
        t = checked_time(t)
        rate, zero = jnp.log(self.sigma_min / self.sigma_max), jnp.zeros_like(t)
        alpha = self.sigma_max * jnp.exp(rate * t)
        return Coefficients(alpha, jnp.ones_like(t), zero, rate * alpha, zero, zero)


class EncoderDecoder(eqx.Module):
    r"""$\alpha = \cos^2(\pi t)$ until t = 1/2, $\beta = \cos^2(\pi t)$ after it: the source is wholly turned into the latent
    noise, and the noise into data.

    Raises:
        ValueError: no latent: all mass would be at the origin at t = 1/2.
    """

    latent: Latent

    def __init__(self, latent: Latent | None = None):
        self.latent = SineSquared() if latent is None else latent
        if known(self.latent) and not float(self.latent(jnp.asarray(0.5))[0]) > 0:
            raise ValueError("gamma is zero at t = 1/2, where the encoder-decoder schedule has no other term: raise it")

    def __call__(self, t: ArrayLike) -> Coefficients:
        t = checked_time(t)
        cos, zero = _cosine(t), jnp.zeros_like(t)
        value, slope = cos * cos, -2 * jnp.pi * _sine(t) * cos
        first = t < 0.5
        gamma, gg = self.latent(t)
        return Coefficients(
            jnp.where(first, value, zero),
            jnp.where(first, zero, value),
            gamma,
            jnp.where(first, slope, zero),
            jnp.where(first, zero, slope),
            gg,
        )


class Mirror(eqx.Module):
    r"""$x_t = x_1 + \gamma z$ from the data to itself: noised, then denoised. $\alpha = 0,\ \beta = 1$."""

    latent: Latent

    def __init__(self, latent: Latent | None = None):
        self.latent = Brownian() if latent is None else latent

    def __call__(self, t: ArrayLike) -> Coefficients:
        t = checked_time(t)
        zero = jnp.zeros_like(t)
        return Coefficients(zero, jnp.ones_like(t), *_latent(self.latent, t, zero, zero))


class Custom(eqx.Module):
    r"""A schedule from your own functions of the time; their derivatives are taken by JAX.

    Args:
        alpha, beta: functions of an array of times, elementwise, in JAX; or equinox modules with parameters to learn.
        gamma_squared: likewise, the variance of the latent noise; none when omitted. It is asked for squared because
            $\gamma\gamma' = (\gamma^2)'/2$ stays finite where $\gamma'$ does not.
        tolerance: of the boundary values.

    Raises:
        ValueError: a boundary value other than alpha(0) = beta(1) = 1, alpha(1) = beta(0) = gamma(0) = gamma(1) = 0, or a
            negative or not finite value between.

    >>> swift = Custom(lambda t: (1 - t) ** 2, lambda t: 1 - (1 - t) ** 2)
    >>> float(swift(0.5).d_beta)
    1.0
    """

    alpha: Callable
    beta: Callable
    gamma_squared: Callable | None

    def __init__(self, alpha: Any, beta: Any, gamma_squared: Any = None, *, tolerance: float = 1e-6):
        functions = {"alpha": alpha, "beta": beta, "gamma_squared": gamma_squared}
        for name, function in functions.items():
            if function is not None and not callable(function):
                raise TypeError(f"{name} is a {type(function).__name__}, but a function of the time is needed")
        self.alpha, self.beta = as_pytree(alpha), as_pytree(beta)
        self.gamma_squared = None if gamma_squared is None else as_pytree(gamma_squared)
        ends = {"alpha": (1.0, 0.0), "beta": (0.0, 1.0), "gamma_squared": (0.0, 0.0)}
        for name, values in ends.items():
            function = getattr(self, name)
            if function is None or not known(function):
                continue
            given = _elementwise(function)(jnp.linspace(0.0, 1.0, 65))
            if isinstance(given, Tracer):  # of a number that the function closes over
                continue
            given = np.asarray(given)
            for time, got, wanted in ((0, given[0], values[0]), (1, given[-1], values[1])):
                if not abs(got - wanted) <= tolerance:
                    raise ValueError(
                        f"{name}({time}) = {got:.6g}, but it must be {wanted:g} within {tolerance:g}: "
                        "the path must start at the source and end at the data"
                    )
            if not (np.isfinite(given).all() and (given >= -tolerance).all()):
                worst = int(np.argmax(~(np.isfinite(given) & (given >= -tolerance))))
                raise ValueError(
                    f"{name}({worst / 64:.4g}) = {given[worst]:.6g}, but it must be finite and not negative"
                )

    def __call__(self, t: ArrayLike) -> Coefficients:
        t = checked_time(t)

        def both(function):
            value, slope = jax.jvp(_elementwise(function), (t,), (jnp.ones_like(t),))
            return value, slope

        (alpha, d_alpha), (beta, d_beta) = both(self.alpha), both(self.beta)
        if self.gamma_squared is None:
            gamma = gg = jnp.zeros_like(t)
        else:
            squared, slope = both(self.gamma_squared)
            gamma, gg = square_root(squared), slope / 2
        return Coefficients(alpha, beta, gamma, d_alpha, d_beta, gg)


class OneOf(eqx.Module):
    """One of some schedules, by its number or truth value, which may be traced: one program serves them all."""

    schedules: tuple
    number: Int[Array, ""]

    def __init__(self, schedules: tuple, number: Any):
        whole = placed(np.int32(number)) if isinstance(number, int) else jnp.asarray(number).astype(jnp.int32)
        self.schedules, self.number = schedules, whole

    def __call__(self, t: ArrayLike) -> Coefficients:
        return jax.tree.map(lambda *each: jnp.stack(each)[self.number], *(schedule(t) for schedule in self.schedules))


# --------------------------------------------------------------------------------------------- what one does with them


def inside(schedule: Schedule, t: ArrayLike) -> Coefficients:
    """The coefficients at t, or, at an end where one of the derivatives is not finite, four units of rounding inside.

    There alpha alpha' and beta beta' have their limits, and alpha or beta is about 1e-8 (float64) instead of 0.
    """
    t = checked_time(t)
    at_end = jax.lax.stop_gradient(schedule(t))
    finite = jnp.isfinite(at_end.d_alpha) & jnp.isfinite(at_end.d_beta)
    step = 4 * jnp.finfo(t.dtype).eps
    return schedule(jnp.where(finite, t, jnp.clip(t, step, 1 - step)))


def interpolate(
    schedule: Schedule,
    t: ArrayLike | Sequence,
    x0: ArrayLike | Sequence,
    x1: ArrayLike | Sequence,
    z: ArrayLike | Sequence | None = None,
) -> Float[Array, "n d"]:
    r"""The path between its ends, $x_t = \alpha x_0 + \beta x_1 + \gamma z$.

    Args:
        schedule: called at t it returns ``Coefficients``.
        t: a time () or a time of each row (n,).
        x0: (n, d), of the source.
        x1: (n, d), of the data.
        z: (n, d) latent noise; left out when omitted.

    Returns:
        points of the path, (n, d).

    Raises:
        ValueError: shapes that do not fit, or times outside [0, 1].

    Source:
        Albergo, Boffi, Vanden-Eijnden, Stochastic interpolants, JMLR 26 (2025).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import paths
        >>> paths.interpolate(paths.Linear(), 0.25, jnp.asarray([[0.0]]), jnp.asarray([[4.0]])).tolist()
        [[1.0]]
    """
    t, x0, x1, z = _ends(t, x0, x1, z)
    c = _rows(schedule(t), x0)
    x = c.alpha * x0 + c.beta * x1
    return x if z is None else x + c.gamma * z


def conditional_velocity(
    schedule: Schedule,
    t: ArrayLike | Sequence,
    x0: ArrayLike | Sequence,
    x1: ArrayLike | Sequence,
    z: ArrayLike | Sequence | None = None,
) -> Float[Array, "n d"]:
    r"""What a network for the velocity regresses on, $\alpha' x_0 + \beta' x_1 + \gamma' z$. Times inside (0, 1).

    At an end where it is not finite, it is taken at the nearest time where it is (``inside``).

    Args:
        schedule: called at t it returns ``Coefficients``.
        t: a time () or a time of each row (n,).
        x0: (n, d), of the source.
        x1: (n, d), of the data.
        z: (n, d) latent noise; left out when omitted.

    Returns:
        velocities (n, d), in units of x.

    Raises:
        ValueError: shapes that do not fit, or times outside [0, 1].

    Source:
        Albergo, Boffi, Vanden-Eijnden, Stochastic interpolants, JMLR 26 (2025).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import paths
        >>> x0, x1 = jnp.asarray([[1.0]]), jnp.asarray([[3.0]])
        >>> paths.conditional_velocity(paths.Linear(), 0.5, x0, x1).tolist()  # x1 - x0
        [[2.0]]
    """
    t, x0, x1, z = _ends(t, x0, x1, z)
    c = _rows(inside(schedule, t), x0)
    v = c.d_alpha * x0 + c.d_beta * x1
    return v if z is None else v + _divide(c.gg, c.gamma) * z


def _ends(t: Any, x0: Any, x1: Any, z: Any) -> tuple[Array, Array, Array, Array | None]:
    """Times, both ends and the latent noise, in shapes that fit."""
    x0 = real("x0", x0, ("n", "d"), finite=False)
    x1 = real("x1", x1, x0.shape, finite=False)
    z = None if z is None else real("z", z, x0.shape, finite=False)
    t = checked_time(t)
    if t.ndim and t.shape != x0.shape[:1]:
        raise ValueError(f"t has shape {t.shape}, but one time, or one for each of the {x0.shape[0]} rows, is needed")
    return t, x0, x1, z


def _rows(c: Coefficients, like: Array) -> Coefficients:
    """In the dtype of the points, and to be multiplied with rows of points."""
    return Coefficients(*(jnp.reshape(z, (-1, 1)).astype(like.dtype) for z in c))


def _latent(latent: Latent | None, t: Array, d_alpha: Array, d_beta: Array) -> tuple[Array, Array, Array, Array]:
    gamma, gg = latent(t) if latent is not None else (jnp.zeros_like(t), jnp.zeros_like(t))
    return gamma, d_alpha, d_beta, gg


def _diffused(t: Array, low: Number, high: Number) -> tuple[Array, Array, Array]:
    """log beta, beta and its derivative, of the diffusion with a linear rate."""
    left = 1 - t
    log = -(high - low) * left * left / 4 - low * left / 2
    beta = jnp.exp(log)
    return log, beta, beta * (low + (high - low) * left) / 2


def checked_time(t: ArrayLike | Sequence, high: float = 1.0) -> Array:
    """Times as floating-point numbers.

    Raises:
        ValueError: a time outside [0, high].
    """
    t = jnp.asarray(t)
    t = t if jnp.issubdtype(t.dtype, jnp.floating) else t.astype(jnp.result_type(float))
    if not isinstance(t, Tracer):
        given = np.asarray(t)
        outside = ~((given >= 0) & (given <= high))
        if outside.any():
            raise ValueError(f"t = {given[outside][0]:.6g} is not allowed: times must be in [0, {high:g}]")
    return t


def _sine(t: Array) -> Array:
    """sin(pi t), exactly zero at 0 and 1 and exactly symmetric about 1/2."""
    return jnp.sin(jnp.pi * (0.5 - jnp.abs(t - 0.5)))


def _cosine(t: Array) -> Array:
    """cos(pi t) by the sine: exactly zero at 1/2."""
    return jnp.sin(jnp.pi * (0.5 - t))


def _divide(a: Array, b: Array) -> Array:
    """a / b, with its infinity where b is 0, but no NaN in the derivative elsewhere."""
    return jnp.where(b == 0, jnp.sign(a) * jnp.inf, a / jnp.where(b == 0, 1, b))


def _elementwise(function: Callable) -> Callable:
    return lambda t: jnp.broadcast_to(jnp.asarray(function(t), t.dtype), t.shape)


def as_pytree(function: Callable) -> Callable:
    """A plain function is no pytree; a Partial of it is one, without leaves."""
    if isinstance(function, (eqx.Module, jax.tree_util.Partial)):
        return function  # type: ignore[return-value]
    return jax.tree_util.Partial(function)


def known(tree) -> bool:
    """Whether its numbers are there to be checked, not traced."""
    return not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(tree))


def has_latent(schedule: Schedule) -> bool:
    """Whether gamma is not 0 throughout; looked up at once, also inside ``jit``.

    Raises:
        TypeError: it hangs on a traced number.
    """
    for name in ("latent", "gamma_squared"):
        if hasattr(schedule, name):
            return getattr(schedule, name) is not None
    if isinstance(schedule, OneOf) and not any(map(has_latent, schedule.schedules)):
        return False
    with jax.ensure_compile_time_eval():
        gamma = at(schedule, 0.5).gamma
    if isinstance(gamma, Tracer):
        raise TypeError("whether this schedule has latent noise cannot be seen inside jit: say latent=True or False")
    return float(gamma) > 0


@jit
def at(schedule: Schedule, t: ArrayLike) -> Coefficients:
    """``schedule(t)`` as one program, where each of its operations would be one."""
    return schedule(t)


def _positive(name: str, value: ArrayLike) -> Number:
    if known(value) and not (np.isfinite(value).all() and (np.asarray(value) > 0).all()):
        raise ValueError(f"{name} = {value}, but it must be positive and finite")
    return value if isinstance(value, float | Array) else jnp.asarray(value, jnp.result_type(float))
