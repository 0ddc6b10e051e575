"""The variables of the result, from what was computed."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from lab.inverse import modes, reddiff
from lab.inverse.beds import posterior_draw
from lab.inverse.judging import along, frequencies, judged
from lab.inverse.reddiff import Followed
from lab.numerics.jit import jit
from lab.studies.inverse.imaging import Bed, psnr

STEPS = 1000
"""Of the companion in the plane."""
TICKS = np.r_[0:50:2, 50 : STEPS + 1 : 25]
ACROSS, UP = np.linspace(-1.2, 1.2, 81), np.linspace(-1.6, 1.6, 81)
_FRAMES = 25


def frames(steps: int) -> np.ndarray:
    """The steps that are shown."""
    return np.unique(np.round(np.linspace(0, steps - 1, min(_FRAMES, steps))).astype(int))


@jit
def numbers(
    made: Bed, x: Array, diverged: Array, traces: tuple[Array, Array], lam: Any, image: Array, steps: int
) -> dict[str, Any]:
    """Of all answers (images, answers, *inputs)."""
    drawn = None
    if made.known is not None:
        key = jax.random.fold_in(made.key, 1)
        drawn = posterior_draw(made.problem, made.spectrum, made.known, made.pixels, key)
    data, prior = (jnp.pad(each, (0, steps - len(each)), constant_values=jnp.nan) for each in traces)
    return judged(made.problem, x, made.clean, made.start, made.pixels, made.known, drawn) | {
        "answers": jnp.take(x, image, axis=0), "diverged": diverged.T, "lost": diverged.sum(),
        "trace_data": data, "trace_reg": prior, "lambda_t": reddiff.strengths(lam).T,
    }


@jit
def film(way: Followed, clean: Array, image: Array, shape: tuple[int, int, int]) -> dict[str, Any]:
    """One answer step by step."""
    some, clean = frames(len(way.mu)), jnp.take(clean, image, axis=0)
    mu, x = way.mu[some], way.noised[some]
    return along(way.mu, clean, shape) | {
        "mu_path": mu.reshape(-1, *shape), "x_path": x.reshape(-1, *shape), "mu_amplitude": frequencies(mu, shape),
        "x_amplitude": frequencies(x, shape), "clean_amplitude": frequencies(clean[None], shape)[0],
    }


@jit
def at_rest(rest: Array, made: Bed, image: Array) -> dict[str, Any]:
    """Where the averaged objective rests, of each image."""
    apart = jnp.sqrt(((rest - made.known.mean) ** 2).mean()) if made.known else jnp.nan
    shown = jnp.take(rest, image, axis=0).reshape(made.shape)
    return {"rest": shown, "quality_rest": psnr(rest, made.clean).mean(), "rest_apart": apart}


@jit
def plane(found: modes.Descent, noise: Any) -> dict[str, Any]:
    """Of the companion in the plane."""
    return {
        "modes_path": found.path[TICKS], "modes_weight": found.weights,
        "modes_density": modes.density(noise, jnp.asarray(ACROSS), jnp.asarray(UP)),
        "modes_share": found.share, "modes_width": found.width, "modes_spread": found.spread,
    }
