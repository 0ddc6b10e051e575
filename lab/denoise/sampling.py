r"""Samples from a denoiser, in VE coordinates.

DDIM is Euler's method for $dx / d\sigma = (x - D(x, \sigma)) / \sigma$, and Heun's is of second order.
"""

from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PRNGKeyArray

from lab.choices import chosen
from lab.denoise.base import Denoiser
from lab.numerics import Loop, Method, Reason, pure, random, tell
from lab.numerics.arguments import real, whole


class Samples(NamedTuple):
    """Images, and how they came about."""

    x: Array  # the last estimate of the clean image, in the shape of the start
    path: Array | None  # (levels, ...), the estimate at each level, where it was kept
    reason: Any
    steps: Any


def released_levels(steps: int = 10) -> Float[Array, " levels"]:
    r"""The noise levels of the paper's runs, $\sigma = \sqrt{(1 - \bar a_t) / \bar a_t}$, falling, and 0.

    $\beta$ is from 1e-4 to 0.02 in 1000 steps, at t = 900, 800, ..., 0 for 10 steps.

    Args:
        steps: how many, from 1 to 1000.

    Returns:
        (steps + 1,) levels.

    Raises:
        ValueError: fewer than 1 or more than 1000 steps.

    Source:
        Lukoianov, Yuan, Solomon, Sitzmann, Locality in Image Diffusion Models Emerges from Data Statistics, 2025.

    Examples:
        >>> from lab import denoise
        >>> [round(float(level), 2) for level in denoise.released_levels(2)]  # at t = 500 and 0
        [3.44, 0.01, 0.0]
    """
    return jnp.asarray(released(steps))


def released(steps: int) -> np.ndarray:
    """``released_levels`` on the host."""
    whole("steps", steps, 1, 1000)
    abar = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    times = (np.arange(steps) * (1000 // steps))[::-1]
    return np.append(np.sqrt((1 - abar[times]) / abar[times]), 0.0)


def edm_levels(
    steps: int = 18, low: ArrayLike = 0.002, high: ArrayLike = 80.0, rho: ArrayLike = 7.0
) -> Float[Array, " levels"]:
    r"""The noise levels of EDM, $(\sigma_+^{1/\rho} + \frac{i}{N - 1}(\sigma_-^{1/\rho} - \sigma_+^{1/\rho}))^\rho$, and 0.

    Args:
        steps: N, at least 1.
        low: the smallest level before 0, above 0.
        high: the largest.
        rho: how many of them are small; 1 is even.

    Returns:
        (steps + 1,) levels, falling.

    Raises:
        ValueError: fewer steps than 1, or ends that do not fall.

    Source:
        Karras, Aittala, Aila, Laine, Elucidating the design space of diffusion-based generative models, NeurIPS 2022, eq. 5.

    Examples:
        >>> from lab import denoise
        >>> [round(float(level), 3) for level in denoise.edm_levels(4)]
        [80.0, 9.723, 0.47, 0.002, 0.0]
    """
    _check_levels(steps, low, high)
    real("rho", rho, (), low=0, strict=True)
    of: Any = np if _known(low, high, rho) else jnp
    ends = high ** (1 / rho), low ** (1 / rho)
    return jnp.asarray(of.append(of.linspace(*ends, steps) ** rho, 0.0))


def geometric_levels(steps: int, low: ArrayLike, high: ArrayLike) -> Float[Array, " levels"]:
    r"""The noise levels from high to low by equal ratios, $\sigma_i = \sigma_+ (\sigma_- / \sigma_+)^{i / (N - 1)}$, and 0.

    Args:
        steps: N, at least 1.
        low: the smallest level before 0, above 0.
        high: the largest.

    Returns:
        (steps + 1,) levels, falling.

    Raises:
        ValueError: fewer steps than 1, or ends that do not fall.

    Source:
        Song, Ermon, Generative modeling by estimating gradients of the data distribution, NeurIPS 2019.

    Examples:
        >>> from lab import denoise
        >>> [round(float(level), 6) for level in denoise.geometric_levels(3, 1.0, 4.0)]
        [4.0, 2.0, 1.0, 0.0]
    """
    _check_levels(steps, low, high)
    of: Any = np if _known(low, high) else jnp
    return jnp.asarray(of.append(of.geomspace(high, low, steps), 0.0))


def _check_levels(steps: int, low: Any, high: Any) -> None:
    whole("steps", steps, 1)
    for name, level in (("low", low), ("high", high)):
        real(name, level, (), low=0, strict=True)
    if _known(low, high) and not low <= high:
        raise ValueError(f"low = {low} and high = {high} are not allowed: low must be at most high")


def _known(*values: Any) -> bool:
    return not any(isinstance(value, Tracer) for value in values)


def start(
    key: PRNGKeyArray, count: int, n: int, sigma: Any, dtype: Any = float, vp: bool = True
) -> Float[Array, "count n"]:
    r"""Where a path begins: $\sqrt{1 + \sigma^2}\,\varepsilon$, which is N(0, I) in VP coordinates, or $\sigma\varepsilon$.

    Args:
        key: of the noise.
        count: how many images.
        n: pixels of each.
        sigma: the first level.
        dtype: of the numbers.
        vp: False takes $\sigma\varepsilon$.

    Returns:
        (count, n).

    Source:
        Song, Meng, Ermon, Denoising diffusion implicit models, ICLR 2021.

    Examples:
        >>> import jax
        >>> from lab import denoise
        >>> x = denoise.start(jax.random.key(0), 500, 2, 3.0)
        >>> x.shape, bool(abs((x**2).mean() / 10 - 1) < 0.2)  # 1 + 3^2
        ((500, 2), True)
    """
    whole("count", count, 1)
    whole("n", n, 1)
    real("sigma", sigma, (), low=0)
    noise = random.normal(key, (count, n), dtype)
    sigma = jnp.asarray(sigma, dtype)
    return noise * (jnp.sqrt(1 + sigma**2) if vp else sigma)


class _Walk(eqx.Module):
    denoiser: Denoiser
    x: Float[Array, "b n"]
    levels: Float[Array, " levels"]
    clip: bool = eqx.field(static=True)
    heun: bool = eqx.field(static=True)
    keep: bool = eqx.field(static=True)


class _State(NamedTuple):
    x: Float[Array, "b n"]
    x0: Float[Array, "b n"]
    path: Float[Array, "levels b n"] | None
    step: Int[Array, ""]


def _init(walk: _Walk) -> _State:
    nothing = jnp.zeros_like(walk.x)
    path = jnp.zeros((len(walk.levels) - 1, *walk.x.shape), walk.x.dtype) if walk.keep else None
    return _State(walk.x, nothing, path, jnp.int32(0))


def _step(walk: _Walk, state: _State) -> _State:
    x, now, then = state.x, walk.levels[state.step], walk.levels[state.step + 1]
    found = walk.denoiser.denoise(x, now)
    eps, x0 = (x - found) / now, jnp.clip(found, -1, 1) if walk.clip else found
    after = x0 + then * eps  # to level 0: the estimate itself
    if walk.heun:
        level = jnp.where(then > 0, then, now)  # the last step has no second half
        again = walk.denoiser.denoise(after, level)
        second = (after - again) / level
        after = jnp.where(then > 0, x + (then - now) * (eps + second) / 2, after)
    path = None if state.path is None else state.path.at[state.step].set(x0)
    return _State(after, x0, path, state.step + 1)


def _done(walk: _Walk, state: _State) -> Array:
    over = jnp.where(state.step >= len(walk.levels) - 1, Reason.CONVERGED, Reason.RUNNING)
    return jnp.where(jnp.isfinite(state.x).all(), over, Reason.NOT_FINITE).astype(jnp.int32)


def _measure(walk: _Walk, state: _State) -> dict[str, Array]:
    return {"sigma": walk.levels[state.step], "distance": jnp.sqrt(((state.x - state.x0) ** 2).mean())}


_WALK = Method(_init, _step, _done, _measure, lambda state: state.step)  # each step may take long: report after each


@chosen
def sample(
    denoiser: Denoiser,
    x: Any,
    levels: Any,
    *,
    solver: Literal["ddim", "heun"] | str = "ddim",
    clip: bool = False,
    keep: bool = False,
    loop: Loop = pure,
) -> Samples:
    r"""Follow a denoiser from noise to images.

    $$ x \leftarrow \hat x_0 + \sigma' \frac{x - D}{\sigma}, \qquad \hat x_0 = D \text{, or D clipped to } [-1, 1] $$

    is DDIM, where the noise is still that of the unclipped D, as in ``diffusers``. Heun: the same step and its correction by
    the trapezoidal rule.

    Args:
        denoiser: whose ``sigma_range`` must hold all levels.
        x: the start, (B, n) or (B, C, H, W), at the first level; ``start`` makes it.
        levels: falling, the last one may be 0: ``released_levels``, ``edm_levels``, ``geometric_levels``.
        solver: "ddim" or "heun", which asks the denoiser twice a step.
        clip: the estimates to [-1, 1], for "ddim".
        keep: the estimate at each level.
        loop: ``pure``, or a ``Chunked`` that reports after each step, and stops.

    Returns:
        a ``Samples``: the last estimate, of the shape of the start, the path where it was kept, the reason and the steps.

    Raises:
        ValueError: levels that do not fall or that the denoiser does not know, an unknown solver, clipping with "heun".

    Warns:
        NotConverged: stopped, or a pixel became infinite or NaN.

    Source:
        Song, Meng, Ermon, ICLR 2021 (DDIM); Karras, Aittala, Aila, Laine, NeurIPS 2022 (Heun).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import denoise, paths
        >>> D = denoise.denoiser(paths.standard(1), (1, 1, 1))  # x / (1 + sigma^2)
        >>> denoise.sample(D, jnp.full((1, 1), 2.0), jnp.asarray([1.0, 0.0])).x.tolist()
        [[1.0]]
    """
    if clip and solver == "heun":
        raise ValueError("clip goes with solver = 'ddim': Heun's step has no clipped form")
    levels = real("levels", levels)
    if levels.ndim != 1 or len(levels) < 2:
        raise ValueError(f"the levels have shape {levels.shape}, but at least two in a row are needed")
    if not isinstance(levels, Tracer):
        given = np.asarray(levels)
        if not (np.isfinite(given).all() and (np.diff(given) < 0).all() and given[-1] >= 0):
            raise ValueError("the levels must fall from step to step, and not below 0")
        for level in (given[0], given[-2]):
            denoiser._given(jnp.zeros(denoiser.n), float(level))
    x, rows, _ = denoiser._given(x, 1.0 if isinstance(levels, Tracer) else float(np.asarray(levels)[0]))
    walk = _Walk(denoiser, rows, levels.astype(rows.dtype), clip, solver == "heun", keep)
    run = loop(_WALK, walk, max_iterations=len(levels) - 1)
    tell("lab.denoise.sample", run.reason, run.iterations)
    state = run.state
    path = None if state.path is None else state.path.reshape(-1, *x.shape)
    return Samples(state.x0.reshape(x.shape), path, run.reason, run.iterations)
