"""RED-diff on a Gaussian test bed (Mardani et al., ICLR 2024): a sketch in the vocabulary, with its real mathematics.

The prior is N(m, S), whose denoiser is known, the measurement y = H x + noise. The solver descends
v |y - H mu|^2 / 2 + E lambda_t <sg[eps_theta(x_t, t) - eps], mu> over times from high to low.
"""

from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lab.datasets import Data
from lab.numerics import Method, Reason
from lab.studies import Choice, Claim, DataSource, Paper, Picture, Pictures, Preset, Result, Study, draw
from lab.studies.vocabulary import number, positive, size

WEIGHTS = {
    "linear": lambda r: r, "sqrt": jnp.sqrt, "square": jnp.square, "const": jnp.ones_like,
    "log": jnp.log1p, "truncated": lambda r: jnp.minimum(r, 1),
}


class Descent(NamedTuple):
    """What is descended: the prior, the measurement, the times from high to low."""

    mean: jax.Array
    eigen: tuple  # of the covariance: (d,) and (d, d)
    forward: jax.Array
    measured: jax.Array
    alpha: jax.Array  # (steps,) from high noise to low
    weight: jax.Array  # (steps,) lambda_t
    rate: jax.Array
    strength: jax.Array
    key: jax.Array


class State(NamedTuple):
    """Where the descent is."""

    mu: jax.Array
    adam: optax.OptState
    step: jax.Array


def denoised(work, x, level):
    """D(x, s) = m + S (S + s^2 I)^-1 (x - m)."""
    values, vectors = work.eigen
    return work.mean + vectors @ (values / (values + level**2) * (vectors.T @ (x - work.mean)))


def _init(work):
    mu = jnp.linalg.pinv(work.forward) @ work.measured
    return State(mu, optax.adam(1.0, b1=0.9, b2=0.99).init(mu), jnp.int32(0))


def _step(work, state):
    alpha = work.alpha[state.step]
    sigma = jnp.sqrt(1 - alpha**2)
    noise = jax.random.normal(jax.random.fold_in(work.key, state.step), state.mu.shape)
    noisy = alpha * state.mu + sigma * noise
    residual = (noisy - alpha * denoised(work, noisy / alpha, sigma / alpha)) / sigma - noise
    m, n = work.forward.shape
    slope = -work.forward.T @ (work.measured - work.forward @ state.mu) / m
    slope = slope + work.strength * work.weight[state.step] * residual / n
    change, adam = optax.adam(1.0, b1=0.9, b2=0.99).update(slope, state.adam)
    return State(state.mu + work.rate * change, adam, state.step + 1)


def _done(work, state):
    ended = jnp.where(state.step >= work.alpha.size, Reason.CONVERGED, Reason.RUNNING)
    return jnp.where(jnp.isfinite(state.mu).all(), ended, Reason.NOT_FINITE)


def _misfit(work, state):
    return {"misfit": jnp.sqrt(((work.measured - work.forward @ state.mu) ** 2).mean())}


DESCENT = Method(_init, _step, _done, _misfit)


class RedDiff(Study):
    """A posterior found by descent, with a denoiser as its prior."""

    slug, title, field, kind = "red-diff-sketch", "RED-diff, a sketch", "Inverse problems", "gaussian-bed"
    paper = Paper("Mardani, Song, Kautz, Vahdat", "A Variational Perspective on Inverse Problems", "ICLR", 2024)
    about = "A measurement is inverted with a denoiser. Move the strength. Look for the least error."
    data_options = ()
    dims: ClassVar = {"coordinate": ("coordinate", ""), "iteration": ("step", ""), "time": ("step", "")}
    data = DataSource("bed", doc="a Gaussian prior with a measurement")
    lam = positive(0.25, (1e-3, 10), symbol="λ", doc="strength of the prior")
    rate = positive(0.05, (1e-3, 1), label="learning rate", symbol="η", doc="of Adam")
    weight = Choice(list(WEIGHTS), doc="of the times, by σ/α")
    steps = size(300, (1, 10_000), (30, 1000), label="steps", doc="of the descent, from high noise to low")
    results = (
        Result("error", (), "error", "distance from the posterior mean, over its norm", headline=True),
        Result("mu", ("coordinate",), "estimate", "where the descent ended"),
        Result("posterior", ("coordinate",), "posterior mean", "in closed form"),
        Result("misfit", ("iteration",), "misfit", "root mean square of what the measurement differs by"),
        Result("weights", ("time",), "weight", "of the prior by step"),
    )

    def load(self):
        rng = np.random.default_rng(3)
        basis = np.linalg.qr(rng.normal(size=(16, 16)))[0]
        covariance = basis * np.geomspace(2, 0.02, 16) @ basis.T
        truth = rng.multivariate_normal(np.full(16, 0.3), covariance)
        forward = np.eye(16)[::2]
        return Data("bed", "A Gaussian bed", self.kind, {
            "mean": np.full(16, 0.3), "covariance": covariance, "forward": forward,
            "measured": forward @ truth + 0.1 * rng.normal(size=8),
        }, "made here", "none needed")

    @staticmethod
    def compute(inputs, p, loop, warm=None):
        betas = np.linspace(1e-4, 0.02, 1000)
        at = np.linspace(0, 999, p.steps).round().astype(int)[::-1]
        alpha = jnp.asarray(np.sqrt(np.cumprod(1 - betas)))[at]
        weights = WEIGHTS[p.weight](jnp.sqrt(1 - alpha**2) / alpha)
        forward, measured, mean, covariance = (
            jnp.asarray(inputs[key]) for key in ("forward", "measured", "mean", "covariance")
        )
        work = Descent(
            mean, tuple(jnp.linalg.eigh(covariance)), forward, measured, alpha, weights, jnp.asarray(p.rate),
            jnp.asarray(p.lam), jax.random.key(p.seed),
        )
        run = loop(DESCENT, work, max_iterations=p.steps + 1)
        gain = covariance @ forward.T @ jnp.linalg.inv(forward @ covariance @ forward.T + 0.01 * jnp.eye(len(measured)))
        posterior = mean + gain @ (measured - forward @ mean)
        error = jnp.linalg.norm(run.state.mu - posterior) / jnp.linalg.norm(posterior)
        return {
            "error": error, "mu": run.state.mu, "posterior": posterior, "misfit": run.trace["misfit"],
            "weights": weights, "iterations": run.iterations, "reason": run.reason,
        }

    pictures = Pictures(
        Picture("estimate", "Estimate and posterior", "bars: where the descent ended; dots: the posterior mean",
                lambda result: draw.plot(draw.bars(result.coordinate, result.mu), draw.points(
                    result.coordinate, result.posterior, color=draw.TARGET), xlabel="coordinate", ylabel="value")),
        Picture("strength", "Error by strength", "too weak a prior keeps the noise, too strong a one the mean",
                lambda result: draw.over(result.lam, {w: result.error.sel(weight=w) for w in result.weight.values}, logy=True),
                needs=("error",), along={"lam": (0.01, 0.03, 0.1, 0.3, 1.0, 3.0), "weight": ("linear", "sqrt", "const")}),
        Picture("descent", "Descent", "misfit of the measurement by step",
                lambda result: draw.training({"misfit": result.misfit}, ylabel="misfit", logy=True)),
    )
    presets = (
        Preset("weak", "A weak prior", "What was not measured is hardly moved.", {"lam": 0.01}),
        Preset("square", "The square weight", "High noise counts most.", {"weight": "square"}),
    )
    claims = (
        Claim("near", "The default is near the posterior mean.", number("error"), 0.35, "the closed form", "<="),
        Claim("too-strong", "With too strong a prior it is farther off.", number("error", lam=3.0) - number("error"), 0.0,
              "the closed form", ">="),
    )
