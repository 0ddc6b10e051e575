r"""RED-diff: a variational answer by stochastic optimisation, one denoiser call a step and no derivative of it.

With $x_t = \alpha_t \mu + \sigma_t \varepsilon$ in VP coordinates and $\hat x_0 = D(x_t / \alpha_t, \sigma_t / \alpha_t)$,
$\hat\varepsilon = (x_t - \alpha_t \hat x_0) / \sigma_t$, a step goes down

$$ \tfrac v2 \frac{|y - A(\mu)|^2}{m}
   + \frac{\lambda_t}{n} \langle \mathrm{sg}[\hat\varepsilon - \varepsilon], \mu\rangle, \qquad
   \lambda_t = \lambda\, w(\sigma_t / \alpha_t) . $$

With the *linear* weight the second gradient is $\lambda\,(\mu - \hat x_0)$: the pull of RED.

References: Mardani, Song, Kautz, Vahdat, A Variational Perspective on Solving Inverse Problems with Diffusion Models, ICLR
    2024.
"""

from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray

from lab.choices import check_choices, chosen
from lab.denoise.base import Denoiser
from lab.denoise.images import Spectrum
from lab.inverse.operators import Linear, known
from lab.inverse.problems import Problem, flat
from lab.inverse.solving import Reconstruction, answer, empty_path, ended, kept_finite, normal, noted, solve
from lab.numerics import Loop
from lab.numerics import Method as Iteration
from lab.numerics.jit import jit
from lab.numerics.matrix_functions import symmetric
from lab.numerics.mixtures import Mixture, widened

type Weight = Literal["linear", "sqrt", "square", "log", "trunc_linear", "power2over3", "const"] | str
type Order = Literal["descending", "ascending", "random"] | str

_ADAM = optax.scale_by_adam(0.9, 0.99)
_WEIGHTS = {
    "linear": lambda r: r,
    "sqrt": jnp.sqrt,
    "square": jnp.square,
    "log": jnp.log1p,
    "trunc_linear": lambda r: jnp.minimum(r, 1),
    "power2over3": lambda r: r ** (2 / 3),
    "const": jnp.ones_like,
}
WEIGHTS = tuple(_WEIGHTS)


@chosen
def weight(name: Weight, r: Float[Array, "*times"]) -> Float[Array, "*times"]:
    r"""$w(r)$ of the family of the released code, $r = \sigma_t / \alpha_t$."""
    return _WEIGHTS[name](r)


def abar(steps: int = 1000, low: float = 1e-4, high: float = 0.02) -> np.ndarray:
    r"""$\bar\alpha$ (steps,), the products of $1 - \beta$ for $\beta$ in equal steps from low to high."""
    return np.cumprod(1 - np.linspace(low, high, steps))


class Times(NamedTuple):
    """The noise at each step, in the order of the steps."""

    alpha: Float[Array, " steps"]
    sigma: Float[Array, " steps"]
    strength: Float[Array, " steps"]  # lambda_t


@chosen
class REDDiff(NamedTuple):
    """The solver, for ``inverse.solve``.

    Attributes:
        lam, v: strengths of the prior and of the data, not negative; traced.
        rate: learning rate, positive; traced.
        steps: K, spread evenly over ``levels``.
        weight: of the times.
        order: *descending* from much noise to little, which is part of the method, *ascending* or *random*.
        optimizer: *adam* (betas 0.9, 0.99) or *sgd*.
        dispersion: s, the answer is a Gaussian of this width; traced.
        reduction: *mean*, as released, divides the data term by m and the prior by n; *sum* does not.
        decay: of the rate, ``rate / (1 + decay step)``; traced.
        levels: the steps of the forward process, beta from 1e-4 to 0.02; only its part up to ``latest`` is visited.
        latest: a share of the levels: at the last ones the linear weight is 157.
    """

    lam: ArrayLike = 0.25
    v: ArrayLike = 1.0
    rate: ArrayLike = 0.05
    steps: int = 300
    weight: Weight = "linear"
    order: Order = "descending"
    optimizer: Literal["adam", "sgd"] | str = "adam"
    dispersion: ArrayLike = 0.0
    reduction: Literal["mean", "sum"] | str = "mean"
    decay: ArrayLike = 0.0
    levels: int = 1000
    latest: float = 1.0

    def times(self, key: PRNGKeyArray | None = None) -> Times:
        """What is visited; the key decides a random order."""
        last = round(self.latest * self.levels) - 1
        place = np.round(np.linspace(0, last, self.steps)).astype(int)
        kept = abar(self.levels)[place]
        if self.order == "descending":
            kept = kept[::-1]
        elif self.order == "random":
            kept = jax.random.permutation(jax.random.key(0) if key is None else key, kept)
        return _times(jnp.asarray(kept), jnp.asarray(self.lam), self.weight)

    def check(self) -> None:
        """Refuse what is outside its domain."""
        check_choices(self)
        for name, least, strict in (("lam", 0, False), ("v", 0, False), ("rate", 0, True), ("dispersion", 0, False)):
            value = getattr(self, name)
            if known(value) and not (np.asarray(value) > least if strict else np.asarray(value) >= least):
                raise ValueError(f"{name} = {value}, but it must be {'above' if strict else 'at least'} {least}")
        if self.steps < 1:
            raise ValueError(f"steps = {self.steps}, but at least one is needed")
        if not (self.levels >= 2 and 0 < self.latest <= 1):
            raise ValueError(
                f"levels = {self.levels}, latest = {self.latest}: at least 2 levels and a share above 0, at most 1"
            )

    def run(
        self, problem: Problem, denoiser: Denoiser, keys: Key[Array, " seeds"], start: Array, loop: Loop, keep: bool
    ) -> Reconstruction:
        """See ``inverse.solve``."""
        self.check()
        dtype = start.dtype
        given = [jnp.asarray(z, dtype) for z in (self.v, self.rate, self.decay, self.dispersion)]
        first = keys[0] if self.order == "random" else None
        times, *shares = _units(self.times(first), problem.operator, denoiser.n, self.reduction == "mean", dtype.name)
        task_of: Any = _Task
        task = task_of(problem, denoiser, times, *given, *shares, keys, start, self.optimizer == "adam", keep)
        found = loop(_DESCENT, task, max_iterations=self.steps)
        state: Any = found.state
        return answer(found, state.mu, state.lost)


@jit
def _times(kept: Array, lam: Array, name: Weight) -> Times:
    alpha, sigma = jnp.sqrt(kept), jnp.sqrt(1 - kept)
    return Times(alpha, sigma, lam * weight(name, sigma / alpha))


@jit
def _units(times: Times, made: Any, n: int, mean: bool, dtype: str) -> tuple[Times, Array, Array]:
    """The times in a precision, and what both terms are divided by."""
    shares = (made.measurements, n) if mean else (1, 1)
    measured, pixels = (jnp.asarray(share, dtype) for share in shares)
    return Times(*(z.astype(dtype) for z in times)), measured, pixels


class _Task(eqx.Module):
    problem: Problem
    denoiser: Denoiser
    times: Times
    v: Array
    rate: Array
    decay: Array
    dispersion: Array
    measured: Array  # the data term is divided by it
    pixels: Array
    keys: Key[Array, " seeds"]
    start: Float[Array, "seeds n"]
    adam: bool = eqx.field(static=True)
    keep: bool = eqx.field(static=True)

    def data(self, x: Array) -> Array:
        """Half the mean square misfit of each seed."""
        inputs = self.problem.operator.inputs
        return self.v * self.problem.misfit(x.reshape(-1, *inputs)) / (2 * self.measured)


class _State(NamedTuple):
    mu: Float[Array, "seeds n"]
    moments: Any
    lost: Bool[Array, " seeds"]
    step: Int[Array, ""]
    told: tuple[Array, Array]  # data term and prior term
    path: Array | None


def _init(task: _Task) -> _State:
    steps, nothing = len(task.times.alpha), jnp.zeros((), task.start.dtype)
    path = empty_path(task.keep, steps, task.start)
    lost = jnp.zeros(len(task.start), bool)
    return _State(task.start, _ADAM.init(task.start), lost, jnp.int32(0), (nothing, nothing), path)


def residual(denoiser: Denoiser, alpha: Array, sigma: Array, x: Array, eps: Array) -> Float[Array, "seeds n"]:
    r"""$\hat\varepsilon(\alpha x + \sigma\varepsilon) - \varepsilon$, which a step uses as it is, without its derivative."""
    at = alpha * x + sigma * eps
    x0 = denoiser.denoise(at / alpha, sigma / alpha)
    return (at - alpha * x0) / sigma - eps


def _step(task: _Task, state: _State) -> _State:
    alpha, sigma, strength = (each[state.step] for each in task.times)
    count, n = state.mu.shape
    eps = normal(task.keys, state.step, 0, n, state.mu.dtype)
    # a fifth of the time of a step with a Wiener denoiser, which most runs need not spend
    dispersed = lambda: state.mu + task.dispersion * normal(task.keys, state.step, 1, n, state.mu.dtype)  # noqa: E731
    x = jax.lax.cond(task.dispersion > 0, dispersed, lambda: state.mu)
    pull = strength * residual(task.denoiser, alpha, sigma, x, eps) / task.pixels
    data, slope = jax.value_and_grad(lambda x: task.data(x).sum())(x)
    slope = slope + pull
    update: Any = slope
    moments = state.moments
    if task.adam:
        update, moments = _ADAM.update(slope, state.moments)
    rate = task.rate / (1 + task.decay * state.step)
    mu, lost = kept_finite(state.mu - rate * update, state.mu, state.lost)
    path = noted(state.path, state.step, mu)
    told = data / count, (pull * x).sum() / count
    return _State(mu, moments, lost, state.step + 1, told, path)


def _done(task: _Task, state: _State) -> Array:
    return ended(state.step, len(task.times.alpha), state.lost)


def _measure(task: _Task, state: _State) -> dict[str, Array]:
    return {"data": state.told[0], "prior": state.told[1]}


_DESCENT = Iteration(_init, _step, _done, _measure)


@jit
def strengths(lam: ArrayLike, levels: int = 1000) -> Float[Array, "weights levels"]:
    r"""$\lambda_t$ of each weight of ``WEIGHTS``, by level."""
    kept = jnp.asarray(abar(levels))
    r = jnp.sqrt((1 - kept) / kept)
    return jnp.asarray(lam) * jnp.stack([weight(name, r) for name in WEIGHTS])


@jit
def noised(
    times: Times,
    dispersion: ArrayLike,
    keys: Key[Array, " seeds"],
    start: Float[Array, "seeds n"],
    path: Float[Array, "steps seeds n"],
) -> Float[Array, "steps seeds n"]:
    r"""$x_t / \alpha_t$ that the denoiser was given at each step of a run that left this path from these keys."""
    before = jnp.concatenate([start[None], path[:-1]])

    def at(step: Array, mu: Array, r: Array) -> Array:
        eps, xi = (normal(keys, step, what, mu.shape[1], mu.dtype) for what in (0, 1))
        return mu + dispersion * xi + r * eps

    return jax.vmap(at)(jnp.arange(len(path)), before, times.sigma / times.alpha)


class Followed(NamedTuple):
    """One answer on its way. Steps that were not done are NaN."""

    mu: Float[Array, "steps n"]
    noised: Float[Array, "steps n"]  # what the denoiser was given, over alpha
    reason: Any


def follow(
    problem: Problem, denoiser: Denoiser, method: REDDiff, key: PRNGKeyArray, image: ArrayLike, loop: Loop
) -> Followed:
    """The first seed of one of several images, as ``inverse.solve`` answers them with this key.

    In random order it has an order of its own.
    """
    alone, own, first = _alone(problem, key, jnp.asarray(image))
    found = solve(alone, denoiser, method, key=own, keep=True, loop=loop)
    assert found.path is not None
    seen = _seen(alone, method.times(first), method.dispersion, first, found.path, jnp.asarray(found.iterations))
    return Followed(*seen, found.reason)


@jit
def _alone(problem: Problem, key: PRNGKeyArray, image: Array) -> tuple[Problem, PRNGKeyArray, PRNGKeyArray]:
    """One of several images, with its key and that of its first seed."""
    own = jax.random.fold_in(key, image)
    one = Problem(problem.operator, jnp.take(problem.y, image, axis=0), problem.noise)
    return one, own, jax.random.fold_in(own, 0)


@jit
def _seen(
    alone: Problem, times: Times, dispersion: ArrayLike, key: PRNGKeyArray, path: Array, iterations: Array
) -> tuple[Array, Array]:
    """The answer after each step, and what the denoiser was given there; NaN where it was not done."""
    way = path.reshape(len(path), 1, -1)
    seen = noised(times, dispersion, key[None], alone.start().reshape(1, -1), way)
    done = jnp.arange(len(way))[:, None] < iterations
    return jnp.where(done, way[:, 0], jnp.nan), jnp.where(done, seen[:, 0], jnp.nan)


def stationary(problem: Problem, prior: Mixture, method: REDDiff) -> Float[Array, " n"]:
    r"""Where the objective averaged over all times rests, for a linear operator and a Gaussian prior N(m, S):

    $$ (v H^\top H + R)\,\mu = v H^\top y + R\,m, \qquad R = \mathrm{mean}_t\; \lambda_t \alpha_t \sigma_t
       (\alpha_t^2 S + \sigma_t^2 I)^{-1}, $$

    with v / m and R / n under the mean reduction. It is not the posterior mean: R is a blurred $S^{-1}$.
    """
    if len(prior.weights) != 1 or problem.images is not None:
        raise ValueError("where it rests is known for a single Gaussian, of one measurement")
    method.check()
    n, (h, y) = prior.dimension, flat(problem, prior)
    shares = (problem.operator.measurements, n) if method.reduction == "mean" else (1, 1)
    pull = _pull(widened(prior.covariances, 3, n)[0], method.times())
    return _rest(h, y[None], prior.means[0], pull, jnp.asarray(method.v), shares)[0]


def rests(problem: Problem, spectrum: Spectrum, method: REDDiff) -> Float[Array, "images n"]:
    """``stationary`` of each image, under the Gaussian of the Wiener denoiser of this spectrum."""
    made = problem.operator
    if not isinstance(made, Linear) or problem.images is None:
        raise ValueError("where it rests is known for linear operators, of measurements with an axis of images")
    method.check()
    y = problem.y.reshape(problem.images, -1)
    y = jnp.concatenate([y.real, y.imag], axis=1) if made.is_complex else y
    mean, values, vectors = (z.astype(y.dtype) for z in (spectrum.mean, spectrum.values, spectrum.vectors))
    shares = (made.measurements, len(mean)) if method.reduction == "mean" else (1, 1)
    alpha, sigma, strength = (z.astype(y.dtype) for z in method.times())
    spread = alpha[:, None] ** 2 * values[None, :] + sigma[:, None] ** 2
    gains = ((strength * alpha * sigma)[:, None] / spread).mean(axis=0)
    pull = (vectors * gains[None, :]) @ vectors.T
    return _rest(made.matrix(y.dtype), y, mean, pull, jnp.asarray(method.v), shares)


@jit
def _pull(covariance: Array, times: Times) -> Array:
    """R, with derivatives where eigenvalues are equal too."""
    made = symmetric(covariance)

    def at(time: Times) -> Array:
        alpha, sigma, strength = (z.astype(covariance.dtype) for z in time)
        return strength * alpha * sigma * made.affine(alpha**2, sigma**2).function(jnp.reciprocal)

    return jax.lax.map(at, times).mean(axis=0)


@jit
def _rest(h: Array, y: Array, mean: Array, pull: Array, v: Array, shares: tuple[Any, Any]) -> Array:
    v, r = v / shares[0], pull / shares[1]
    return jnp.linalg.solve(v * h.T @ h + r, (v * y @ h + (r @ mean)[None, :]).T).T
