r"""Along a ``Corruption`` and back: corrupted images, the best denoisers, the reverse chain and the law that it ends in.

With signal a and noise b of a frequency, $\alpha = a_t / a_{t-1}$ and $\beta = b_t - \alpha b_{t-1}$, a step back is

$$ u_{t-1} = \frac{\sqrt{a_{t-1}}\,\beta}{b_t}\,\hat u_0 + \frac{\sqrt{\alpha}\,b_{t-1}}{b_t}\,u_t + \sqrt{v}\,z, $$

the mean of $u_{t-1}$ given $u_t$ and $u_0$, with v = $\beta$ ("large"), $\beta b_{t-1} / b_t$ ("small"); or, "none", DDIM's
$\sqrt{a_{t-1}}\,\hat u_0 + \sqrt{b_{t-1}}\,\hat\varepsilon$. No noise is added in the last step. Of Gaussian data the best
denoiser is $\hat u_0 = g u$ with $g = \sqrt{a} D / (a D + b)$, so the chain is linear, and ``outcome`` is exact.

Source: Das et al., *Image generation with shortest path diffusion*, ICML 2023.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PRNGKeyArray

from lab.choices import chosen
from lab.diffusion.shortest import Corruption, divergence
from lab.diffusion.spectra import Basis, checked, coefficients, composed, even
from lab.numerics import random
from lab.numerics.arguments import real, whole
from lab.numerics.host import placed
from lab.numerics.iterate import Loop, Method, Reason, pure, traceable
from lab.numerics.jit import jit
from lab.numerics.roots import square_root

type Variance = Literal["large", "small", "none"] | str


@runtime_checkable
class Prediction(Protocol):
    """What a denoiser says of corrupted coefficients, $E[u_0 | u]$."""

    def __call__(
        self, u: Float[Array, "n k"], signal: Float[Array, " k"], noise: Float[Array, " k"]
    ) -> Float[Array, "n k"]: ...


class OfGaussian(eqx.Module):
    """The best denoiser of N(0, D)."""

    power: Float[Array, " k"]

    def __call__(self, u: Array, signal: Array, noise: Array) -> Array:
        return (jnp.sqrt(signal) * self.power / (signal * self.power + noise))[None, :] * u


class OfData(eqx.Module):
    """The best denoiser of a set of points: their mean, weighted by how likely each is; it remembers.

    Time O(n N k) a call, memory O(n N).
    """

    data: Float[Array, "N k"]  # coefficients

    def __call__(self, u: Array, signal: Array, noise: Array) -> Array:
        return denoised(self.data, u, signal, noise)


@jit
def denoised(
    data: Float[Array, "N k"], u: Float[Array, "n k"], signal: Float[Array, " k"], noise: Float[Array, " k"]
) -> Float[Array, "n k"]:
    r"""$E[u_0 \mid u]$ under the data themselves, in a real orthonormal basis; noise must be positive."""
    scale = jnp.sqrt(signal) / noise
    kept = jnp.sqrt(signal / noise)[None, :] * data
    logits = (u * scale[None, :]) @ data.T - (kept**2).sum(axis=1)[None, :] / 2
    return jax.nn.softmax(logits, axis=1) @ data


# ---------------------------------------------------------------------------------------------------------- forward


@chosen
def corrupt(
    x: Float[Array, "n h w"],
    signal: Float[Array, "*k"],
    noise: Float[Array, "*k"],
    key: PRNGKeyArray,
    basis: Basis = "fft",
) -> Float[Array, "n h w"]:
    """Images after corruption, whose coefficients keep ``signal`` of their power and get ``noise``.

    Args:
        signal, noise: (h, w) or (k,), in "fft" the same at f and -f.

    Raises:
        ValueError: in "fft" one that is not.
    """
    for each in (signal, noise) if isinstance(basis, str) and basis == "fft" else ():
        even(each.reshape(x.shape[1:]))
    u = coefficients(x, basis)
    fresh = random.normal(key, u.shape, u.dtype)  # white in one orthonormal basis is white in all
    both = jnp.sqrt(signal.reshape(1, -1)) * u + jnp.sqrt(noise.reshape(1, -1)) * fresh
    return composed(both.astype(u.dtype), (x.shape[1], x.shape[2]), basis)


# ------------------------------------------------------------------------------------------------------------- back


class Step(NamedTuple):
    """A step back, from ``signal`` and ``noise`` to those before; with ``Corruption`` rows stacked, all of them."""

    signal: Array
    noise: Array
    signal_before: Array  # nearer to the data
    noise_before: Array
    alpha: Array
    beta: Array


def steps_of(corruption: Corruption) -> Step:
    """All steps, the first one that to the data."""
    before = jnp.concatenate([jnp.ones_like(corruption.signal[:1]), corruption.signal[:-1]])
    noise_before = jnp.concatenate([jnp.zeros_like(corruption.noise[:1]), corruption.noise[:-1]])
    return Step(*corruption, before, noise_before, corruption.alpha, corruption.beta)


def moved(step: Step, u: Any, data: Any, variance: str) -> Any:
    """The mean of u one step back, where a denoiser says that it comes of ``data``."""
    if variance == "none":
        predicted = (u - jnp.sqrt(step.signal) * data) / jnp.sqrt(step.noise)
        return jnp.sqrt(step.signal_before) * data + square_root(step.noise_before) * predicted
    of_data = jnp.sqrt(step.signal_before) * step.beta / step.noise
    return of_data * data + jnp.sqrt(step.alpha) * step.noise_before / step.noise * u


def added(step: Step, variance: str) -> Array:
    """The variance of what is added; nothing in the last step."""
    small = step.beta * step.noise_before / step.noise
    found = {"large": step.beta, "small": small, "none": 0 * step.beta}[variance]
    return jnp.where(step.noise_before > 0, found, 0.0)


class Outcome(NamedTuple):
    """The law that the reverse chain of the best denoiser ends in, N(0, v), and how far it is from N(0, D)."""

    variance: Float[Array, " k"]
    kl: Float[Array, ""]
    w2_squared: Float[Array, ""]


@chosen
def outcome(power: ArrayLike | Sequence, corruption: Corruption, variance: Variance = "large") -> Outcome:
    r"""Exactly, from white noise: $v_{t-1} = k_t^2 v_t + \mathrm{variance}_t$.

    Args:
        variance: "large" $\beta_t$, "small" $\beta_t b_{t-1} / b_t$, or "none": DDIM.

    Raises:
        ValueError: a power that is not positive, or not a row.
    """
    power = real("power", power, finite=False)
    checked(power)
    if power.ndim != 1:
        raise ValueError(f"the power has shape {power.shape}, but a row (k,) is needed: ravel it")
    return _outcome(power, corruption, variance)


@jit
def _outcome(power: Array, corruption: Corruption, variance: str) -> Outcome:
    def back(v, step):
        gain = jnp.sqrt(step.signal) * power / (step.signal * power + step.noise)
        return moved(step, 1.0, gain, variance) ** 2 * v + added(step, variance), None

    v, _ = jax.lax.scan(back, jnp.ones_like(power), steps_of(corruption), reverse=True)
    apart = (jnp.sqrt(v) - jnp.sqrt(power)) ** 2
    return Outcome(v, divergence(v, power), apart.sum())


class Draws(NamedTuple):
    """Where a way back ends, and the way of some."""

    end: Float[Array, "n k"]  # NaN where it was stopped before
    path: Float[Array, "times followed k"]  # the data's end first; NaN at what was not reached
    steps: Int[Array, ""]
    reason: Any


class _Task(NamedTuple):
    predict: Any
    steps: Step
    start: Array
    key: PRNGKeyArray
    choice: Any  # a row of zeros for each "small" and "large": static by its length
    follow: Array


class _State(NamedTuple):
    u: Array
    path: Array
    left: Array


_VARIANCES = ("none", "small", "large")


def _init(task: _Task) -> _State:
    count = task.steps.signal.shape[0]
    followed = task.start[: task.follow.shape[0]]
    path = jnp.full((count + 1, *followed.shape), jnp.nan, followed.dtype).at[count].set(followed)
    return _State(task.start, path, jnp.int32(count))


def _step(task: _Task, state: _State) -> _State:
    at, variance = state.left - 1, _VARIANCES[task.choice.shape[0]]
    step = jax.tree.map(lambda each: each[at], task.steps)
    rows = (jnp.broadcast_to(each, state.u.shape[1:]) for each in (step.signal, step.noise))
    guess = task.predict(state.u, *rows)
    wide = jax.tree.map(lambda row: row[None, :], step)
    fresh = random.normal(jax.random.fold_in(task.key, at), state.u.shape, state.u.dtype)
    u = moved(wide, state.u, guess, variance) + square_root(added(wide, variance)) * fresh
    u = u.astype(state.u.dtype)
    return _State(u, state.path.at[at].set(u[: state.path.shape[1]]), at)


def _done(task: _Task, state: _State) -> Array:
    ended = jnp.where(state.left <= 0, Reason.CONVERGED, Reason.RUNNING)
    return jnp.where(jnp.isfinite(state.u).all(), ended, Reason.NOT_FINITE).astype(jnp.int32)


_WAY_BACK = Method(_init, _step, _done, lambda task, state: {"spread": jnp.sqrt((state.u**2).mean())})


@chosen
def sample(
    predict: Prediction,
    corruption: Corruption,
    key: PRNGKeyArray,
    n: int,
    k: int,
    variance: Variance = "large",
    *,
    follow: int | None = None,
    loop: Loop = pure,
) -> Draws:
    """The way back from white noise, by any denoiser of coefficients.

    Args:
        predict: an ``eqx.Module`` (``OfData``, ``OfGaussian``, a network with its weights) is given to the program, a plain
            function is compiled in.
        n, k: how many points, and coefficients of each.
        follow: of how many the way is kept; of all when omitted.
        loop: ``lab.numerics.pure``, or a ``Chunked`` that reports and stops.

    Raises:
        ValueError: an unknown variance, or a corruption of other coefficients.
    """
    n, k, loop = whole("n", n, 1), whole("k", k, 1), traceable(loop)
    if corruption.signal.shape[1] not in (1, k):
        raise ValueError(f"the corruption is of {corruption.signal.shape[1]} coefficients, but there are {k}")
    start, rest, steps = _begun(key, corruption, n, k)
    choice = placed(np.zeros(_VARIANCES.index(variance)))
    task = _Task(predict, steps, start, rest, choice, placed(np.zeros(n if follow is None else min(follow, n))))
    ran = loop(_WAY_BACK, task, max_iterations=corruption.signal.shape[0])
    state: _State = ran.state
    return Draws(*_ended(state, corruption.signal.shape[0]), ran.reason)


@jit
def _ended(state: _State, steps: int) -> tuple[Array, Array, Array]:
    """The end, if it was reached, the way there, and the steps done."""
    return jnp.where(state.left == 0, state.u, jnp.nan), state.path, steps - state.left


@jit
def _begun(key: PRNGKeyArray, corruption: Corruption, n: int, k: int) -> tuple[Array, PRNGKeyArray, Step]:
    first, second = jax.random.split(key)
    return random.normal(first, (n, k), corruption.signal.dtype), second, steps_of(corruption)
