r"""Statistics of censored times: the C-index, Kaplan-Meier curves, the log-rank test.

Bag i was seen until time $t_i$; $e_i = 1$ where the event came then, 0 where it had not come yet (censored). Bags that are
not ``present`` do not count. All of them are pure and work under ``jit`` and ``vmap``; outside, what is no event, group or
time is refused.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import erfc
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from lab.numerics import arguments
from lab.numerics.differentiation import refuse_derivative
from lab.survival.censored import censored, check, real, zero_or_one

_EQUAL = 1e-8  # risks this close are tied
_Z = 1.959963984540054  # 97.5 % quantile of the normal distribution


def cindex(risk: ArrayLike, time: ArrayLike, event: ArrayLike, present: ArrayLike | None = None) -> Float[Array, ""]:
    """Harrell's C-index: the share of comparable pairs that the risk puts in the right order.

    A pair (i, j) is comparable where $e_i = 1$ and i's event came first: $t_i < t_j$, or $t_i = t_j$ with $e_j = 0$, for j
    then outlived i. It is right where $r_i > r_j$, and half right where the two differ by at most 1e-8.
    Time O(n^2), memory O(n).

    Args:
        risk: (n,), higher where the event is to come sooner.
        time: (n,) times t.
        event: (n,) 1 or True where the event came, 0 where censored.
        present: (n,) bools; all when omitted.

    Returns:
        the share; NaN where no pair is comparable.

    Raises:
        ValueError: shapes that differ, an event that is not 0 or 1, a risk or time that is NaN.

    Source:
        Harrell et al., Evaluating the Yield of Medical Tests (1982).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import survival
        >>> float(survival.cindex(jnp.array([2.0, 1.0, 0.0]), jnp.array([1.0, 2.0, 3.0]), jnp.array([1, 1, 0])))
        1.0
        >>> float(survival.cindex(jnp.array([0.0, 0.0, 0.0]), jnp.array([1.0, 2.0, 3.0]), jnp.array([1, 1, 0])))
        0.5
    """
    risk = real(risk)
    time, event, present = censored(time, event, present, risk)
    check("risk", ~jnp.isnan(risk), risk, present, "a number")
    risk = refuse_derivative(risk, "the C-index counts pairs and jumps: train on lab.survival.cox or ranking")

    def row(i):
        outlived = (time[i] < time) | ((time[i] == time) & ~event)
        pair = event[i] & outlived & present
        ahead = risk[i] - risk
        score = jnp.where(jnp.abs(ahead) <= _EQUAL, 0.5, (ahead > 0).astype(risk.dtype))
        return jnp.where(pair, score, 0).sum(), pair.sum()

    right, pairs = jax.lax.map(row, jnp.arange(risk.shape[0]), batch_size=min(256, risk.shape[0]))
    return jnp.where(pairs.sum() > 0, right.sum() / jnp.maximum(pairs.sum(), 1), jnp.nan)


class Survival(NamedTuple):
    """A Kaplan-Meier curve at given times."""

    survival: Float[Array, " times"]
    variance: Float[Array, " times"]  # Greenwood's
    low: Float[Array, " times"]  # of the 95 % band
    high: Float[Array, " times"]


def kaplan_meier(
    time: ArrayLike,
    event: ArrayLike,
    at: ArrayLike,
    present: ArrayLike | None = None,
) -> Survival:
    r"""The product-limit estimate of the probability to live beyond each time, with its pointwise 95% band.

    $$ S(t) = \prod_{u \le t} \Big(1 - \frac{d_u}{n_u}\Big), \qquad
       \mathrm{Var}\, S(t) = S(t)^2 V(t), \quad V(t) = \sum_{u \le t} \frac{d_u}{n_u (n_u - d_u)} $$

    with $d_u$ events among $n_u$ bags still seen at time u (Greenwood). The band is the log-log one (exponential Greenwood),
    $S^{\exp(\pm 1.96 \sqrt{V} / \log S)}$, which stays in [0, 1]; it has no width before the first event, and is NaN where
    no bag is left, S = 0. Time O(n log n).

    Args:
        time: (n,) times t.
        event: (n,) 1 or True where the event came, 0 where censored.
        at: times at which the curve is wanted.
        present: (n,) bools; all when omitted.

    Returns:
        survival, variance and band, each in the shape of ``at``.

    Raises:
        ValueError: shapes that differ, an event that is not 0 or 1, a time that is NaN.

    Source:
        Kaplan and Meier (1958); Kalbfleisch and Prentice, The Statistical Analysis of Failure Time Data (2002), section 1.4.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import survival
        >>> time, event = jnp.array([1.0, 2.0, 3.0, 4.0]), jnp.array([1, 0, 1, 1])
        >>> survival.kaplan_meier(time, event, jnp.array([0.0, 1.0, 3.0])).survival  # 3/4, then half of it
        Array([1.   , 0.75 , 0.375], dtype=float64)
    """
    time, event, present = censored(time, event, present)
    at = refuse_derivative(arguments.real("at", at), "a Kaplan-Meier curve is a step function of time: it jumps")
    ordered, died, first, last, n = _by_time(time, event, present)
    at_risk = jnp.maximum(n - first, 1).astype(time.dtype)
    d = _once(died, first, last)
    left = at_risk - d
    s = jnp.cumprod(left / at_risk)
    v = jnp.cumsum(jnp.where(d > 0, d / (at_risk * jnp.where(left > 0, left, jnp.inf)), 0))
    upto = jnp.searchsorted(ordered, at, side="right")
    s, v = (jnp.concatenate([jnp.full(1, before, time.dtype), values])[upto] for before, values in ((1, s), (0, v)))
    inside = (s < 1) & (s > 0)
    spread = jnp.where(inside, _Z * jnp.sqrt(v) / jnp.log(jnp.where(inside, s, 0.5)), 0)
    low, high = (jnp.where(inside, s ** jnp.exp(sign * spread), jnp.where(s > 0, s, jnp.nan)) for sign in (-1, 1))
    return Survival(s, s * s * v, low, high)


class LogRank(NamedTuple):
    """A statistic of 1 degree of freedom, and how likely one as large is by chance."""

    chi2: Float[Array, ""]
    p: Float[Array, ""]


def log_rank(time: ArrayLike, event: ArrayLike, group: ArrayLike, present: ArrayLike | None = None) -> LogRank:
    r"""Whether two groups have the same survival: Mantel's test, 1 degree of freedom.

    $$ \chi^2 = \frac{\big(\sum_u d_{1u} - d_u \frac{n_{1u}}{n_u}\big)^2}
       {\sum_u d_u \frac{n_{1u}}{n_u}\big(1 - \frac{n_{1u}}{n_u}\big)\frac{n_u - d_u}{n_u - 1}} $$

    over the times u of events: $d_u$ events among $n_u$ bags still seen, $d_{1u}$ and $n_{1u}$ of them in the group, whose bags
    have 1 or True. 0, with p = 1, where a group is empty. Time O(n log n).

    Args:
        time: (n,) times t.
        event: (n,) 1 or True where the event came, 0 where censored.
        group: (n,) 1 or True in the group.
        present: (n,) bools; all when omitted.

    Returns:
        chi2 and p.

    Raises:
        ValueError: shapes that differ, an event or group that is not 0 or 1, a time that is NaN.

    Source:
        Mantel (1966); Peto and Peto (1972).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import survival
        >>> alike = survival.log_rank(jnp.array([1.0, 1.0, 2.0, 2.0]), jnp.array([1, 1, 1, 1]), jnp.array([0, 1, 0, 1]))
        >>> float(alike.chi2), float(alike.p)
        (0.0, 1.0)
    """
    time, event, here = censored(time, event, present, group)
    group = zero_or_one("group", group, here)
    _, died, first, last, n = _by_time(time, event, here)
    order = jnp.argsort(jnp.where(here, time, jnp.inf))
    ours = group[order].astype(time.dtype)
    d, d1 = _once(died, first, last), _once(died * ours, first, last)
    left = (n - first).astype(time.dtype)
    left1 = (ours.sum() - (jnp.cumsum(ours) - ours))[first]
    share = left1 / jnp.maximum(left, 1)
    variance = (d * share * (1 - share) * (left - d) / jnp.maximum(left - 1, 1)).sum()
    chi2 = jnp.where(variance > 0, (d1 - d * share).sum() ** 2 / jnp.where(variance > 0, variance, 1), 0)
    return LogRank(chi2, chi2_tail(chi2))


def chi2_tail(chi2: ArrayLike) -> Float[Array, ""]:
    """The probability that a chi-squared variable of 1 degree of freedom is larger."""
    return erfc(jnp.sqrt(jnp.asarray(chi2) / 2))


def above_median(risk: ArrayLike, present: ArrayLike | None = None) -> Bool[Array, " n"]:
    """The group of high risk: above the median of those present."""
    risk = refuse_derivative(real(risk), "the group of high risk jumps")
    here = jnp.ones(risk.shape, bool) if present is None else jnp.asarray(present).astype(bool)
    return here & (risk > jnp.nanmedian(jnp.where(here, risk, jnp.nan)))


def _by_time(time: Array, event: Array, here: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Times in ascending order, whether each ends in an event, the first and last place of its time, how many there are."""
    shown = jnp.where(here, time, jnp.inf)
    order = jnp.argsort(shown)
    ordered = shown[order]
    died = event[order].astype(time.dtype)
    first, end = (jnp.searchsorted(ordered, ordered, side=side) for side in ("left", "right"))
    return ordered, died, first, end - 1, here.sum()


def _once(counted: Array, first: Array, last: Array) -> Array:
    """How many at each time, told at the first place of the time and 0 at its others."""
    total = jnp.cumsum(counted)
    return jnp.where(first == jnp.arange(first.size), total[last] - (total - counted)[first], 0)
