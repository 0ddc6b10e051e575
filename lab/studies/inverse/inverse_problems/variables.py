"""The variables of the result, from what was computed: a row for each of METHODS, NaN for those that are absent."""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array

from lab.denoise.metrics import nearest_distance
from lab.inverse import metrics
from lab.inverse.beds import Known
from lab.inverse.meeting import ASKING, EXACT, GUIDED, METHODS, VARIATION, Looked, Worth
from lab.numerics.jit import jit

NUMBERS = {
    "plug": "PnP-ADMM", "dps": "DPS", "pigdm": "PiGDM", "reddiff": "RED-diff", "flair": "FLAIR", "variation": VARIATION,
}
"""Methods that have numbers of their own in the story."""
COVERED = {"dps": "DPS", "reddiff": "RED-diff", "exact": EXACT}
_AT = {name: number for number, name in enumerate(METHODS)}
_ASKED = np.array([_AT[name] for name in ASKING])


def of_calls(why: Sequence[int], steps: int) -> dict[str, np.ndarray]:
    """What each method costs, and why it is absent."""
    return {
        "why": np.asarray(why), "calls": np.array([steps if name in ASKING else 0 for name in METHODS]),
        "slopes": np.array([steps if name in GUIDED else 0 for name in METHODS]),
    }


@jit
def of_answers(worths: Mapping[str, Worth], lost: Mapping[str, Array], clean: Array, pixels: Array) -> dict[str, Array]:
    """What all answers are worth."""
    found = {name: _rows({key: getattr(worth, name) for key, worth in worths.items()}) for name in Worth._fields}
    middle = {name: rows.mean(axis=1) for name, rows in found.items()}
    return {
        **found, "diverged": _rows({name: each.mean() for name, each in lost.items()}),
        "psnr_damaged": middle["psnr"][0], "psnr_best": jnp.nanmax(middle["psnr_mean"][_ASKED]),
        "spread_dps": middle["spread"][_AT["DPS"]], "spread_reddiff": middle["spread"][_AT["RED-diff"]],
        "nearest_plug": middle["nearest"][_AT["PnP-ADMM"]], "nearest_exact": middle["nearest"][_AT[EXACT]],
        "nearest_clean": nearest_distance(clean, pixels),
        **{f"psnr_{name}": middle["psnr_mean"][_AT[of]] for name, of in NUMBERS.items()},
        **{f"coverage_{name}": middle["coverage"][_AT[of]] for name, of in COVERED.items()},
    }


@jit
def of_posterior(known: Known, clean: Array, away: Array) -> dict[str, Array]:
    """What is known of it."""
    wide = jnp.sqrt((known.deviation**2).mean(axis=1))
    return {
        "psnr_bound": metrics.psnr(known.mean, clean, axes=1).mean(), "away_best": jnp.nanmin(away.mean(axis=1)[_ASKED]),
        "spread_posterior": wide, "spread_true": wide.mean(),
    }


@jit
def of_image(looked: Mapping[str, Looked], shape: tuple[int, int, int]) -> dict[str, Array]:
    """What each method makes of one image and one pixel."""
    found = {name: _rows({key: getattr(seen, name) for key, seen in looked.items()}) for name in Looked._fields}
    return {name: rows if name == "pixel" else rows.reshape(*rows.shape[:-1], *shape) for name, rows in found.items()}


def _rows(of: Mapping[str, Array]) -> Array:
    """Of each method; one that draws nothing has one answer, and the others are NaN."""
    largest = max(jnp.shape(values) for values in of.values())
    none = jnp.full(largest, jnp.nan, next(iter(of.values())).dtype)

    def whole(values: Array) -> Array:
        more = [(0, wanted - there) for wanted, there in zip(largest, values.shape, strict=True)]
        return jnp.pad(values, more, constant_values=jnp.nan) if more else values

    return jnp.stack([whole(of[name]) if name in of else none for name in METHODS])
