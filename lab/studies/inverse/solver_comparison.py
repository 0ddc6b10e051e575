r"""All solvers on one problem: what each needs, how each is begun, and what its answers are worth beside the posterior.

Three kinds of row. Without a denoiser: the pseudo-inverse (or adjoint) that solvers begin with, filtered backprojection,
Tikhonov's $\min |A x - y|^2 / \sigma^2 + |x - m|^2 / v$ with the mean m and the mean variance v of training images, the best
linear answer $m + S A^\top (A S A^\top + \sigma^2 I)^{-1} (y - A m)$ with their covariance, and total variation. With a
denoiser: plug-and-play, RED, and the diffusion solvers. And samples of the exact posterior, where it is known.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from lab.denoise.base import Denoiser
from lab.denoise.images import Spectrum
from lab.denoise.metrics import nearest_distance
from lab.inverse import metrics
from lab.inverse.beds import Known, gaussian_posterior, posterior_draws
from lab.inverse.flair import Calibration, Flair, calibrated
from lab.inverse.guided import DDRM, DPS, PiGDM
from lab.inverse.operators import Linear
from lab.inverse.plug import PlugAndPlay
from lab.inverse.problems import Problem
from lab.inverse.reddiff import REDDiff
from lab.inverse.solving import Method, solve
from lab.inverse.spectral import prepared, short
from lab.inverse.tomography import filtered_backprojection
from lab.inverse.variation import Variation, gradient, lengths
from lab.numerics import Loop, Reason
from lab.numerics.jit import jit

START, BACK, TIKHONOV, LINEAR, VARIATION = PLAIN = (
    "pseudo-inverse",
    "backprojection",
    "Tikhonov",
    "linear",
    "total variation",
)
ADMM, HQS, RED, DPS_, PIGDM, DDRM_, REDDIFF, FLAIR = ASKING = (
    "PnP-ADMM",
    "PnP-HQS",
    "RED",
    "DPS",
    "PiGDM",
    "DDRM",
    "RED-diff",
    "FLAIR",
)
EXACT = "exact sample"
METHODS = (*PLAIN, *ASKING, EXACT)
SAMPLERS = (DPS_, PIGDM, DDRM_, REDDIFF, FLAIR, EXACT)
"""Their answers depend on the seed."""
GUIDED = (DPS_, PIGDM)
"""They differentiate the denoiser in each step."""
_LINEAR = (TIKHONOV, LINEAR, VARIATION, ADMM, HQS, RED, PIGDM, DDRM_)
REASONS = (
    "",
    "needs a linear damage",
    "differentiates the denoiser, which is piecewise constant",
    "needs a posterior that is known: a linear damage, or the prior “optimal”",
    "is for tomography",
    "needs a singular value decomposition, and these images are too large for one",
)
_BENT, _STEPPED, _UNKNOWN, _FLAT, _LARGE = range(1, 6)
LEVEL = 0.9
"""Of the intervals whose coverage is measured."""
_ALIVE = 0.02  # standard deviation over training images from which a pixel counts as one that varies
_FALL = 20.0  # the first level of half-quadratic splitting, as a multiple of the last
_WINDOW = 7  # pixels a side that SSIM needs
_STEPS = 100  # of total variation, which asks no denoiser


class Strengths(NamedTuple):
    """What each solver is told about how much to trust the denoiser; all traced.

    Attributes:
        variation: times 1 over the mean length of a difference in training images.
        plug: noise level of plug-and-play, and of RED.
        red: lam of RED.
        zeta: of DPS.
        reddiff, rate: lam and learning rate of RED-diff, whose lambda is of the released code.
        flair: c of FLAIR.
    """

    variation: ArrayLike = 1.0
    plug: ArrayLike = 0.3
    red: ArrayLike = 1.0
    zeta: ArrayLike = 0.5
    reddiff: ArrayLike = 0.25
    rate: ArrayLike = 0.1
    flair: ArrayLike = 0.25


class Meeting(eqx.Module):
    """What is solved, and what is known of it.

    Attributes:
        problem: of several images.
        pixels: training images (N, n), and their mean and covariance.
        start: (images, n).
        known: the posterior, where it is known.
        calibration: of the prior, for FLAIR.
        angles: (views,) in degrees, where the operator is a tomography of square images.
    """

    problem: Problem
    prior: Denoiser
    pixels: Float[Array, "N n"]
    spectrum: Spectrum
    start: Float[Array, "images n"]
    known: Known | None
    calibration: Calibration
    angles: Float[Array, " views"] | None = None


class Answers(NamedTuple):
    """Of one method.

    Attributes:
        x: (images, seeds, n); one seed where the method draws nothing.
        diverged: (images, seeds).
    """

    x: Float[Array, "images seeds n"]
    diverged: Bool[Array, "images seeds"]
    reason: Any


def meet(
    problem: Problem,
    prior: Denoiser,
    pixels: Float[Array, "N n"],
    spectrum: Spectrum,
    known: Known | None,
    held: Float[Array, "B n"],
    angles: Any = None,
) -> Meeting:
    """The meeting, with what many need found once: the operator's decomposition, and the prior's calibration.

    Args:
        held: images that the prior has not seen.
    """
    made = problem.operator
    if isinstance(made, Linear):
        try:
            made = prepared(made)
        except ValueError:  # too large: solvers go by conjugate gradients
            made = problem.operator
    problem = Problem(made, problem.y, problem.noise)
    start = problem.start().reshape(len(problem.y), -1)
    measured = calibrated(prior, held, jax.random.key(0))
    views = None if angles is None else jnp.asarray(angles, start.dtype)
    return Meeting(problem, prior, pixels.astype(start.dtype), spectrum, start, known, measured, views)


def absent(name: str, of: Meeting) -> int:
    """The number of the reason among ``REASONS`` why a method has no answer here; 0 where it has."""
    made = of.problem.operator
    if name == EXACT:
        return 0 if of.known is not None else _UNKNOWN
    if name == BACK:
        return 0 if of.angles is not None else _FLAT
    if name in _LINEAR and not isinstance(made, Linear):
        return _BENT
    if name in GUIDED and not of.prior.differentiable:
        return _STEPPED
    if name == DDRM_ and short(made) is None:  # type: ignore[arg-type]
        return _LARGE
    return 0


def solver(name: str, of: Meeting, steps: int, strengths: Strengths) -> Method:
    """The configured method of a name, of those that ``inverse.solve`` takes: all that ask a denoiser, and total variation.

    Args:
        steps: calls of the denoiser.
    """
    match name:
        case "total variation":
            lam = _by_roughness(jnp.asarray(strengths.variation), of.pixels, of.problem.operator.inputs)
            return Variation(lam=lam, steps=_STEPS)
        case "PnP-ADMM":
            return PlugAndPlay(strengths.plug, steps=steps)
        case "PnP-HQS":
            level = jnp.asarray(strengths.plug) / 5
            return PlugAndPlay(level, first=_FALL * level, steps=steps, scheme="hqs")
        case "RED":
            return PlugAndPlay(strengths.plug, steps=steps, scheme="red", lam=strengths.red)
        case "DPS":
            return DPS(strengths.zeta, steps=steps)
        case "PiGDM":
            return PiGDM(steps=steps)
        case "DDRM":
            return DDRM(steps=steps)
        case "RED-diff":
            return REDDiff(lam=strengths.reddiff, rate=strengths.rate, steps=steps)
        case "FLAIR":
            return Flair(of.calibration, strengths.flair, steps=steps)
    raise ValueError(f"{name} is no iteration")


def answers(
    name: str, of: Meeting, steps: int, seeds: int, strengths: Strengths, key: PRNGKeyArray, loop: Loop
) -> Answers:
    """What a method makes of all images.

    Args:
        seeds: answers of those in ``SAMPLERS``; the others have one.
    """
    if name in ASKING or name == VARIATION:
        count = seeds if name in SAMPLERS else 1
        found = solve(of.problem, of.prior, solver(name, of, steps, strengths), key=key, seeds=count, loop=loop)
        return Answers(found.x.reshape(len(of.start), count, -1), found.diverged, found.reason)
    x = _exact(of, key, seeds) if name == EXACT else _direct(name, of)
    return Answers(x, jnp.zeros(x.shape[:2], bool), Reason.CONVERGED)


def _direct(name: str, of: Meeting) -> Float[Array, "images 1 n"]:
    """What is computed at once."""
    if name == START:
        return of.start[:, None]
    if name == BACK:
        return _backprojected(of)[:, None]
    return _gaussian(of, name == TIKHONOV)[:, None]


@jit
def _gaussian(of: Meeting, white: bool) -> Float[Array, "images n"]:
    n = of.start.shape[1]
    level = jnp.full(n, of.spectrum.trace / n, of.start.dtype)
    flat = Spectrum(of.spectrum.mean, level, jnp.eye(n, dtype=of.start.dtype), of.spectrum.trace)
    return gaussian_posterior(of.problem, flat if white else of.spectrum).mean


@jit
def _backprojected(of: Meeting) -> Float[Array, "images n"]:
    """Of images whose background is -1: backprojection is of what vanishes outside."""
    made: Any = of.problem.operator
    lifted = of.problem.y + made.apply(jnp.ones(made.inputs, of.start.dtype))[None]
    return jax.vmap(lambda y: filtered_backprojection(y, of.angles))(lifted).reshape(of.start.shape) - 1


@jit
def _exact(of: Meeting, key: PRNGKeyArray, seeds: int) -> Float[Array, "images seeds n"]:
    if of.known is None:
        raise ValueError("the posterior is not known")
    return posterior_draws(of.problem, of.spectrum, of.known, of.pixels, key, seeds)


@jit
def _by_roughness(strength: Array, pixels: Float[Array, "N n"], inputs: tuple[int, ...]) -> Float[Array, ""]:
    """A strength in units of the mean length of a difference between neighbours."""
    return strength / jax.lax.map(lambda x: lengths(gradient(x)).mean(), pixels.reshape(-1, *inputs)).mean()


class Worth(NamedTuple):
    """What answers are worth, image by image; NaN where the posterior is not known, or there is one seed to tell a spread from.

    Attributes:
        psnr: of one answer, the mean over seeds, in dB.
        psnr_mean: of the mean over seeds.
        ssim: of one answer; NaN of images below 7 pixels a side.
        to_mean: of the mean over seeds from the posterior mean, RMS a pixel.
        nearest: of one answer from the nearest training image, RMS a pixel.
        spread: the standard deviation over seeds, root mean square over pixels.
        coverage: share of the pixels that vary whose true value lies in the interval that holds ``LEVEL`` of the answers.
    """

    psnr: Float[Array, " images"]
    psnr_mean: Float[Array, " images"]
    ssim: Float[Array, " images"]
    to_mean: Float[Array, " images"]
    nearest: Float[Array, " images"]
    spread: Float[Array, " images"]
    coverage: Float[Array, " images"]


@jit
def worth(x: Float[Array, "images seeds n"], clean: Float[Array, "images n"], of: Meeting) -> Worth:
    """Of the answers of one method."""
    inputs = of.problem.operator.inputs
    count = x.shape[1]
    truth = jnp.broadcast_to(clean[:, None], x.shape)
    none = jnp.full(len(x), jnp.nan, x.dtype)
    middle = x.mean(axis=1)
    alike = none
    if min(inputs[-2:]) >= _WINDOW:
        alike = metrics.ssim(x.reshape(-1, *inputs), truth.reshape(-1, *inputs)).reshape(x.shape[:2]).mean(axis=1)
    near = nearest_distance(x[:, 0], of.pixels.astype(x.dtype))
    away = wide = inside = none
    if of.known is not None:
        away = jnp.sqrt(((middle - of.known.mean) ** 2).mean(axis=1))
    if count > 1:
        alive = of.pixels.std(axis=0) > _ALIVE
        wide = jnp.sqrt(x.var(axis=1, ddof=1).mean(axis=1))
        ends = jnp.asarray([(1 - LEVEL) / 2, (1 + LEVEL) / 2], x.dtype)
        low, high = jnp.quantile(x, ends, axis=1)
        held = metrics.between(clean, low, high) & alive[None]
        inside = held.sum(axis=1) / jnp.maximum(alive.sum(), 1)
    single = metrics.psnr(x, truth, axes=1).mean(axis=1)
    return Worth(single, metrics.psnr(middle, clean, axes=1), alike, away, near, wide, inside)


class Looked(NamedTuple):
    """One image, and one pixel of it."""

    answer: Float[Array, " n"]
    mean: Float[Array, " n"]
    deviation: Float[Array, " n"]  # NaN of one seed
    some: Float[Array, "shown n"]  # the first answers
    pixel: Float[Array, " seeds"]  # all answers there


@jit
def look(x: Float[Array, "images seeds n"], image: Array, pixel: Array, shown: int) -> Looked:
    """What one method makes of an image, ``shown`` answers at most."""
    own = jnp.take(x, image, axis=0)
    spread = own.std(axis=0, ddof=1) if len(own) > 1 else jnp.full_like(own[0], jnp.nan)
    return Looked(own[0], own.mean(axis=0), spread, own[:shown], jnp.take(own, pixel, axis=1))
