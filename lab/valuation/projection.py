r"""From two pilot sizes to any size: a score that is linear in log N.

$$ L(N) = A + B \log N \;\Rightarrow\;
   L(N) = \frac{\log(N/N_0)\, L(N_1) - \log(N/N_1)\, L(N_0)}{\log(N_1/N_0)}, \qquad
   \frac{\mathrm{var}\, L(N)}{\sigma^2} = \frac{\log^2(N/N_0) + \log^2(N/N_1)}{\log^2(N_1/N_0)} $$

for independent errors of variance sigma² at both sizes. Far beyond N_1 they are multiplied, so project what was fitted, not
single trainings, and take N_1/N_0 as large as can be had.

Source: Kang et al., *Performance scaling via optimal transport*, NeurIPS 2023, stage 2.
"""

from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from lab.choices import chosen
from lab.numerics import arguments

type Kind = Literal["accuracy", "log-loss"] | str


def _logs(size: Any, first: Any, second: Any) -> tuple[Any, Any, Any]:
    if not any(isinstance(n, Tracer) for n in (size, first, second)):
        low, high, sizes = float(first), float(second), np.asarray(size, float)
        if not 0 < low < high < np.inf:
            raise ValueError(f"the pilot sizes are {low:g} and {high:g}, but 0 < N0 < N1 is needed")
        if not (np.isfinite(sizes).all() and (sizes > 0).all()):
            raise ValueError(f"the size is {size}, but numbers of points above 0 are needed")
    size, first, second = (jnp.asarray(n, float) for n in (size, first, second))
    return jnp.log(size / first), jnp.log(size / second), jnp.log(second / first)


def weights(size: Any, first: Any, second: Any) -> Float[Array, "2 *sizes"]:
    """What the scores at N0 and N1 count in that at N: two numbers with sum 1.

    Raises:
        ValueError: sizes that are not above 0, or N0 >= N1.
    """
    to_first, to_second, between = _logs(size, first, second)
    return jnp.stack([-to_second / between, to_first / between])


def amplification(size: Any, first: Any, second: Any) -> Float[Array, "*sizes"]:
    """By how much the variance of a score at a pilot size grows.

    >>> f"{float(amplification(10_000, 1000, 1500)):.1f}"
    '54.1'
    """
    return (weights(size, first, second) ** 2).sum(axis=0)


@chosen
def project(size: Any, first: Any, second: Any, at_first: Any, at_second: Any, kind: Kind = "accuracy") -> Array:
    r"""The score at N, of scores at N0 and N1: linear in log N.

    $$ L(N) = \frac{\log(N/N_0)\, L(N_1) - \log(N/N_1)\, L(N_0)}{\log(N_1/N_0)} $$

    Args:
        size: N, a number, or of a shape that broadcasts with that of the scores.
        first: N0.
        second: N1, above N0.
        at_first: accuracies in %, of which the answer is cut to [0, 100], or log-losses above 0, which are taken
            for powers of N: their logarithms are projected.
        at_second: likewise.
        kind: "accuracy" or "log-loss".

    Returns:
        scores at N.

    Raises:
        ValueError: sizes that are not above 0, N0 >= N1, scores that are not finite, log-losses that are not above 0, or
            another word.

    Source:
        Kang et al. (2023), stage 2.

    Examples:
        >>> from lab import valuation
        >>> float(valuation.project(4000, 1000, 2000, 70.0, 75.0))  # each doubling adds 5
        80.0
    """
    low = {"low": 0, "strict": True} if kind == "log-loss" else {}
    at_first, at_second = arguments.real("at_first", at_first, **low), arguments.real("at_second", at_second, **low)
    one, other = weights(size, first, second)
    if kind == "log-loss":
        return jnp.exp(one * jnp.log(at_first) + other * jnp.log(at_second))
    return jnp.clip(one * at_first + other * at_second, 0.0, 100.0)
