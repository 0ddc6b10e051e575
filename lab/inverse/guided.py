r"""Diffusion samplers that are guided to the data: DPS and PiGDM by a derivative, DDRM along the singular vectors.

DPS bends each ancestral step by $-\zeta\,\nabla_{x_t} |y - A(\hat x_0(x_t))|$.

PiGDM takes $p(x_0 \mid x_t)$ for a Gaussian around the denoised image with covariance C, so that with J the derivative of the
denoiser in $x = x_t / \sqrt{\bar\alpha_t}$, at $\sigma_t^2 = (1 - \bar\alpha_t) / \bar\alpha_t$,

$$ g = \nabla_x \log p(y \mid x) = J^\top A^\top (A C A^\top + \sigma_y^2 I)^{-1} (y - A D), \qquad
   C = r_t^2 I, \quad r_t^2 = \frac{\sigma_t^2}{1 + \sigma_t^2} . $$

Of a Gaussian prior $C = \sigma_t^2 J$ is exact, and $D + \sigma_t^2 g$ is then the mean given $x_t$ and y.

DDRM works with $\bar x = V^\top x$ and $\bar y = V^\top A^+ y$, of $A = U\,\mathrm{diag}(s)\,V^\top$. With $\bar x_0$ the
denoised image at the level before, at the next level $\sigma$ each $\bar x_i$ is drawn around

$$ \begin{aligned}
   s_i = 0:&\quad \bar x_0 + \sqrt{1 - \eta^2}\,\sigma\,(\bar x - \bar x_0) / \sigma_{\mathrm{before}}
      &&\text{with deviation } \eta\sigma, \\
   \sigma < \sigma_y / s_i:&\quad \bar x_0 + \sqrt{1 - \eta^2}\,\sigma\,(\bar y - \bar x_0)\, s_i / \sigma_y
      &&\text{with deviation } \eta\sigma, \\
   \sigma \ge \sigma_y / s_i:&\quad (1 - \eta_b)\,\bar x_0 + \eta_b\,\bar y
      &&\text{with variance } \sigma^2 - \eta_b^2 \sigma_y^2 / s_i^2 .
   \end{aligned} $$

If the denoised image were the true one, each would have the law $N(\bar x_0, \sigma^2)$ over y.

References: Chung, Kim, Mccann, Klasky, Ye, Diffusion Posterior Sampling for General Noisy Inverse Problems, ICLR 2023; Song,
    Vahdat, Mardani, Kautz, Pseudoinverse-Guided Diffusion Models for Inverse Problems, ICLR 2023; Kawar, Elad, Ermon, Song,
    Denoising Diffusion Restoration Models, NeurIPS 2022; Rozet, Andry, Lanusse, Louppe, Learning Diffusion Priors from
    Observations by Expectation Maximization, NeurIPS 2024 (the covariance by Tweedie's formula).
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
from lab.inverse.reddiff import abar
from lab.inverse.solving import Reconstruction, answer, empty_path, ended, kept_finite, normal, noted
from lab.inverse.spectral import basis, pulled, short
from lab.numerics import Loop
from lab.numerics import Method as Iteration
from lab.numerics.jit import jit
from lab.numerics.roots import square_root


class _Walk(NamedTuple):
    x: Float[Array, "seeds n"]
    lost: Bool[Array, " seeds"]
    step: Int[Array, ""]
    misfit: Float[Array, ""]
    path: Array | None


def _begun(task: Any, x: Array) -> _Walk:
    path = empty_path(task.keep, len(task.now), task.like)
    return _Walk(x, jnp.zeros(len(x), bool), jnp.int32(0), jnp.zeros((), x.dtype), path)


def _moved(task: Any, state: _Walk, x: Array, off: Array) -> _Walk:
    x, lost = kept_finite(x, state.x, state.lost)
    path = noted(state.path, state.step, x)
    return _Walk(x, lost, state.step + 1, off.mean(), path)


def _off(task: Any, x0: Array) -> Array:
    return jnp.sqrt(task.problem.misfit(x0.reshape(-1, *task.problem.operator.inputs)))


def _ended(task: Any, state: _Walk) -> Array:
    return ended(state.step, len(task.now), state.lost)


def _told(task: Any, state: _Walk) -> dict[str, Array]:
    return {"misfit": state.misfit}


def _noise_first(task: Any) -> Array:
    return normal(task.keys, jnp.int32(2**30), 0, task.like.shape[1], task.like.dtype)


def _products(steps: int, levels: int, dtype: Any) -> tuple[Array, Array]:
    r"""$\bar\alpha$ of each step and of the next, 1 after the last."""
    if not 1 <= steps <= levels:
        raise ValueError(f"steps = {steps}, but from 1 to {levels} are needed")
    place = np.round(np.linspace(0, levels - 1, steps)).astype(int)[::-1]
    kept = abar(levels)[place]
    return jnp.asarray(kept, dtype), jnp.asarray(np.append(kept[1:], 1.0), dtype)


def _differentiable(who: str, denoiser: Denoiser) -> None:
    if not denoiser.differentiable:
        raise ValueError(
            f"the denoiser {denoiser.name!r} is piecewise constant, but {who} differentiates it: choose REDDiff"
        )


def _linear(problem: Problem, who: str) -> None:
    if not isinstance(problem.operator, Linear):
        raise ValueError(f"{who} needs a linear operator: choose REDDiff or DPS")


def _between(name: str, value: ArrayLike, high: float = 1.0) -> None:
    if known(value) and not 0 <= float(np.asarray(value)) <= high:
        raise ValueError(
            f"{name} = {value}, but it must be at least 0" + (f", at most {high:g}" if high < np.inf else "")
        )


# --- DPS ---


@chosen
class DPS(NamedTuple):
    r"""Diffusion posterior sampling, for ``inverse.solve``: ancestral steps, each bent by
    $-\zeta\, \nabla_{x_t} |y - A(\hat x_0(x_t))|$, whose derivative goes through the denoiser.

    Attributes:
        zeta: strength; traced.
        weight: *constant*, as published; *score* takes the gradient for a part of the score, along which a step of
            $1 - \beta = \bar\alpha_t / \bar\alpha_{t-1}$ moves by $\beta / \sqrt{1 - \beta}$: zeta is then near 100.
        steps: of as many ``levels`` of the forward process, beta from 1e-4 to 0.02.
    """

    zeta: ArrayLike = 0.5
    weight: Literal["constant", "score"] | str = "constant"
    steps: int = 300
    levels: int = 1000

    def run(
        self, problem: Problem, denoiser: Denoiser, keys: Key[Array, " seeds"], start: Array, loop: Loop, keep: bool
    ) -> Reconstruction:
        """See ``inverse.solve``. It begins with noise, whatever the start is."""
        check_choices(self)
        _differentiable("DPS", denoiser)
        products = _products(self.steps, self.levels, start.dtype)
        _between("zeta", self.zeta, np.inf)
        task_of: Any = _Bent
        task = task_of(
            problem, denoiser, *products, jnp.asarray(self.zeta, start.dtype), keys, start, self.weight, keep
        )
        done = loop(_BENT, task, max_iterations=self.steps)
        state: Any = done.state
        return answer(done, state.x, state.lost)


class _Bent(eqx.Module):
    problem: Problem
    denoiser: Denoiser
    now: Float[Array, " steps"]  # abar
    then: Float[Array, " steps"]
    zeta: Float[Array, ""]
    keys: Key[Array, " seeds"]
    like: Float[Array, "seeds n"]
    weight: str = eqx.field(static=True)
    keep: bool = eqx.field(static=True)


def _bent_step(task: _Bent, state: _Walk) -> _Walk:
    now, then = task.now[state.step], task.then[state.step]
    inputs = task.problem.operator.inputs
    noise = normal(task.keys, state.step, 0, state.x.shape[1], state.x.dtype)

    def clean(x):
        x0 = task.denoiser.denoise(x / jnp.sqrt(now), jnp.sqrt((1 - now) / now))
        squared = task.problem.misfit(x0.reshape(-1, *inputs))
        off = jnp.sqrt(jnp.where(squared > 0, squared, 1)) * (squared > 0)
        return off.sum(), (x0, off)

    slope, (x0, off) = jax.grad(clean, has_aux=True)(state.x)
    beta = 1 - now / then
    mean = (jnp.sqrt(now / then) * (1 - then) * state.x + jnp.sqrt(then) * beta * x0) / (1 - now)
    spread = jnp.sqrt(beta * (1 - then) / (1 - now))
    along = beta / jnp.sqrt(now / then) if task.weight == "score" else 1.0
    return _moved(task, state, mean + spread * noise - task.zeta * along * slope, off)


_BENT = Iteration(lambda task: _begun(task, _noise_first(task)), _bent_step, _ended, _told)


# --- PiGDM ---


@chosen
class PiGDM(NamedTuple):
    r"""Pseudo-inverse guided diffusion, for ``inverse.solve`` with a linear operator; the derivative goes through the denoiser.

    Attributes:
        eta: from 0, where each step is determined by the one before, to 1, ancestral steps; traced.
        strength: times g; traced.
        weight: *adaptive*, as published, adds $r_t^2 g$ to the denoised image and leaves the predicted noise as it is; *score*
            adds $\sigma_t^2 g$ and predicts the noise from the sum, the plain sampler with the score given y.
        covariance: *isotropic*, $r_t^2 I$; *tweedie*, $\sigma_t^2 J$.
        steps: of as many ``levels`` of the forward process, beta from 1e-4 to 0.02.
        inner: conjugate gradients in each step, where no decomposition of the operator is known, and with *tweedie*.
    """

    eta: ArrayLike = 1.0
    strength: ArrayLike = 1.0
    weight: Literal["adaptive", "score"] | str = "adaptive"
    covariance: Literal["isotropic", "tweedie"] | str = "isotropic"
    steps: int = 100
    levels: int = 1000
    inner: int = 20

    def run(
        self, problem: Problem, denoiser: Denoiser, keys: Key[Array, " seeds"], start: Array, loop: Loop, keep: bool
    ) -> Reconstruction:
        """See ``inverse.solve``. It begins with noise, whatever the start is."""
        check_choices(self)
        _linear(problem, "PiGDM")
        _differentiable("PiGDM", denoiser)
        _between("eta", self.eta)
        _between("strength", self.strength, np.inf)
        if self.inner < 1:
            raise ValueError(f"inner = {self.inner}, but at least one step is needed")
        dtype = start.dtype
        products = _products(self.steps, self.levels, dtype)
        numbers = [jnp.asarray(z, dtype) for z in (self.eta, self.strength)]
        found = short(problem.operator) if self.covariance == "isotropic" else None  # type: ignore[arg-type]
        task_of: Any = _Guided
        task = task_of(
            problem, denoiser, found, *products, *numbers, keys, start, self.weight, self.covariance, self.inner, keep
        )
        done = loop(_GUIDED, task, max_iterations=self.steps)
        state: Any = done.state
        return answer(done, state.x, state.lost)


class _Guided(eqx.Module):
    problem: Problem
    denoiser: Denoiser
    basis: Basis | None
    now: Float[Array, " steps"]  # abar
    then: Float[Array, " steps"]
    eta: Float[Array, ""]
    strength: Float[Array, ""]
    keys: Key[Array, " seeds"]
    like: Float[Array, "seeds n"]
    weight: str = eqx.field(static=True)
    covariance: str = eqx.field(static=True)
    inner: int = eqx.field(static=True)
    keep: bool = eqx.field(static=True)


def _guided_step(task: _Guided, state: _Walk) -> _Walk:
    now, then = task.now[state.step], task.then[state.step]
    variance = (1 - now) / now
    x0, g = guidance(
        task.problem, task.denoiser, state.x / jnp.sqrt(now), variance, task.basis, task.covariance, task.inner
    )
    eps = normal(task.keys, state.step, 0, state.x.shape[1], state.x.dtype)
    if task.weight == "score":
        bent = x0 + task.strength * variance * g
        predicted = (state.x - jnp.sqrt(now) * bent) / jnp.sqrt(1 - now)
    else:
        bent = x0 + task.strength * variance / (1 + variance) * g
        predicted = (state.x - jnp.sqrt(now) * x0) / jnp.sqrt(1 - now)
    fresh = task.eta * jnp.sqrt((1 - now / then) * (1 - then) / (1 - now))
    x = jnp.sqrt(then) * bent + fresh * eps + square_root(1 - then - fresh**2) * predicted
    return _moved(task, state, x, _off(task, x0))


_GUIDED = Iteration(lambda task: _begun(task, _noise_first(task)), _guided_step, _ended, _told)


@chosen
def guidance(
    problem: Problem,
    denoiser: Denoiser,
    x: Float[Array, "seeds n"],
    variance: Float[Array, ""],
    found: Basis | None,
    covariance: Literal["isotropic", "tweedie"] | str,
    inner: int,
) -> tuple[Float[Array, "seeds n"], Float[Array, "seeds n"]]:
    r"""The denoised images and g, at images with noise of this variance; y (seeds, *outputs)."""
    made: Any = problem.operator
    x0, pull = jax.vjp(lambda x: denoiser.denoise(x, jnp.sqrt(variance)), x)
    images = x0.reshape(-1, *made.inputs)
    off = problem.y - jax.vmap(made.apply)(images)
    if covariance == "isotropic":
        r2 = variance / (1 + variance)
        step = jax.vmap(lambda off: _pulled(made, off, r2, problem.noise**2, found, inner))(off)
        return x0, pull(step.reshape(x0.shape))[0]

    def one(x, off):
        _, pull = jax.vjp(lambda x: denoiser.denoise(x[None], jnp.sqrt(variance))[0], x)
        apply, back, off = _real(made, off)

        def spread(u):
            return apply(variance * pull(back(u).ravel())[0].reshape(made.inputs)) + problem.noise**2 * u

        u = conjugate_gradients(spread, off, jnp.zeros_like(off), inner)
        return pull(back(u).ravel())[0]

    return x0, jax.vmap(one)(x, off)


def _pulled(made: Any, off: Array, r2: Array, squared: Array, found: Basis | None, inner: int) -> Array:
    r"""$A^\top (r^2 A A^\top + \sigma_y^2 I)^{-1}$ of what is missing."""
    if found is not None:
        return pulled(found, off, r2, squared)
    right = made.back(off)
    return conjugate_gradients(
        lambda z: r2 * made.back(made.apply(z)) + squared * z, right, jnp.zeros_like(right), inner
    )


def _real(made: Any, off: Array) -> tuple[Any, Any, Array]:
    """The operator, its adjoint and a measurement, with complex numbers as pairs."""
    if not made.is_complex:
        return made.apply, made.back, off
    pair = lambda z: jnp.stack([z.real, z.imag])  # noqa: E731
    return lambda x: pair(made.apply(x)), lambda u: made.back(u[0] + 1j * u[1]), pair(off)


# --- DDRM ---


class DDRM(NamedTuple):
    r"""Denoising diffusion restoration, for ``inverse.solve`` with a linear operator whose singular vectors are known or can be
    computed. No derivative of the denoiser is taken.

    Attributes:
        eta: between 0 and 1, the share of fresh noise in what the data do not say; traced.
        eta_b: between 0 and 1, how far the data replace the denoised image where they are less noisy; traced.
        steps: of as many ``levels`` of the forward process, beta from 1e-4 to 0.02.
    """

    eta: ArrayLike = 0.85
    eta_b: ArrayLike = 1.0
    steps: int = 20
    levels: int = 1000

    def run(
        self, problem: Problem, denoiser: Denoiser, keys: Key[Array, " seeds"], start: Array, loop: Loop, keep: bool
    ) -> Reconstruction:
        """See ``inverse.solve``. It begins with noise, whatever the start is; ``path`` has x without a scale."""
        _linear(problem, "DDRM")
        _between("eta", self.eta)
        _between("eta_b", self.eta_b)
        found = basis(problem.operator)  # type: ignore[arg-type]
        seen = _along(found, problem, *_products(self.steps, self.levels, start.dtype))
        numbers = [jnp.asarray(z, start.dtype) for z in (self.eta, self.eta_b)]
        task_of: Any = _Restored
        task = task_of(problem, denoiser, found.turn, *seen, *numbers, keys, start, keep)
        done = loop(_RESTORED, task, max_iterations=self.steps)
        state: Any = done.state
        return answer(done, state.x, state.lost)


@jit
def _along(found: Basis, problem: Problem, now: Array, then: Array) -> tuple[Array, Array, Array, Array]:
    """The measurements along the singular vectors and their noise; the levels, of the products."""
    s = found.values.astype(now.dtype)
    deviation = jnp.where(s > 0, problem.noise / jnp.where(s > 0, s, 1), jnp.inf)
    first, second = (jnp.sqrt((1 - a) / a) for a in (now, then))
    return jax.vmap(found.found.apply)(problem.y).astype(now.dtype), deviation, first, second


class _Restored(eqx.Module):
    problem: Problem
    denoiser: Denoiser
    turn: Linear  # V^T
    seen: Float[Array, "seeds ..."]  # y bar
    deviation: Float[Array, "..."]  # sigma_y / s, infinite where s = 0
    now: Float[Array, " steps"]  # sigma
    then: Float[Array, " steps"]
    eta: Float[Array, ""]
    eta_b: Float[Array, ""]
    keys: Key[Array, " seeds"]
    like: Float[Array, "seeds n"]
    keep: bool = eqx.field(static=True)


def _restored_init(task: _Restored) -> _Walk:
    sigma, drawn = task.now[0], task.deviation[None]
    eps = _parts(task, _noise_first(task))
    loud = sigma >= drawn
    mean = jnp.where(loud, task.seen, 0)
    z = mean + jnp.where(loud, square_root(sigma**2 - jnp.where(loud, drawn, 0) ** 2), sigma) * eps
    return _begun(task, _flat(task, z))


def _flat(task: _Restored, z: Array) -> Array:
    """Images from their parts along the singular vectors."""
    return jax.vmap(task.turn.back)(z).reshape(task.like.shape)


def _parts(task: _Restored, x: Array) -> Array:
    """Of images, along the singular vectors; noise too is drawn as an image: signs are free, and the compiler chooses them."""
    return jax.vmap(task.turn.apply)(x.reshape(-1, *task.problem.operator.inputs))


def _restored_step(task: _Restored, state: _Walk) -> _Walk:
    before, sigma = task.now[state.step], task.then[state.step]
    x0 = task.denoiser.denoise(state.x, before)
    eps = normal(task.keys, state.step, 0, state.x.shape[1], state.x.dtype)
    z, z0, eps = (_parts(task, each) for each in (state.x, x0, eps))
    seen, deviation = task.seen, task.deviation[None]
    missing, loud = jnp.isinf(deviation), sigma >= deviation
    safe = jnp.where(missing | loud, 1, deviation)
    predicted = jnp.where(missing, (z - z0) / before, (seen - z0) / safe)
    quiet = z0 + sigma * (jnp.sqrt(1 - task.eta**2) * predicted + task.eta * eps)
    left = sigma**2 - (task.eta_b * jnp.where(loud, deviation, 0)) ** 2
    said = (1 - task.eta_b) * z0 + task.eta_b * seen + square_root(left) * eps
    return _moved(task, state, _flat(task, jnp.where(loud, said, quiet)), _off(task, x0))


_RESTORED = Iteration(_restored_init, _restored_step, _ended, _told)
