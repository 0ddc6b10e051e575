r"""Losses of survival models: from log risks, or from hazards in bins of time.

Bag i was seen until time $t_i$; $e_i = 1$ where the event came then, 0 where it had not come yet (censored). All losses
are 0, with gradient 0, where there is nothing to compare; bags that are not ``present`` (padding) do not count.

Sources: Cox, Regression Models and Life-Tables, JRSS B 1972; Breslow 1974 and Efron 1977 for ties; Zadeh and Schmid, Bias
in Cross-Entropy-Based Training of Deep Survival Networks, PAMI 2020, for the discrete likelihood.
"""

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from lab.choices import choices, chosen
from lab.numerics import arguments
from lab.survival.censored import censored, check, real

type Ties = Literal["breslow", "efron"] | str
TIES = choices(Ties)


@chosen
def cox(
    risk: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    present: ArrayLike | None = None,
    *,
    ties: Ties = "breslow",
) -> Float[Array, ""]:
    r"""Minus the mean log partial likelihood of Cox, for each event.

    $$ -\frac{1}{\max(1, \sum_i e_i)} \sum_{i: e_i = 1} \Big( r_i - \log \sum_{j: t_j \ge t_i} e^{r_j} \Big) $$

    The risk set holds all bags of the same time (Breslow). Efron's form takes the events of one time out of it one by one:
    with m of them of total $E = \sum e^{r}$, the l-th sees $\sum_{j} e^{r_j} - \frac{l}{m} E$, l = 0 ... m - 1. Both are
    unchanged when all r shift. Time O(n log n), memory O(n).

    Args:
        risk: log risks r, (n,).
        time: (n,) times t.
        event: (n,) 1 or True where the event came, 0 where censored.
        present: (n,) bools; all when omitted.
        ties: ``breslow`` or ``efron``; equal where no two events have one time.

    Returns:
        the loss, in nats; 0 without an event.

    Raises:
        ValueError: shapes that differ, an event that is not 0 or 1, or another word for ties.

    Source:
        Cox (1972); Breslow (1974) and Efron (1977), of ties.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import survival
        >>> round(float(survival.cox(jnp.zeros(2), jnp.array([1.0, 2.0]), jnp.ones(2))), 6)  # (log 2 + log 1) / 2
        0.346574
    """
    risk = real(risk)
    time, event, present = censored(time, event, present, risk)
    check("risk", jnp.isfinite(risk), risk, present, "finite")
    event = event.astype(risk.dtype)
    later = -jnp.where(present, time, -jnp.inf)  # ascending from the latest; what is absent comes last, in no risk set
    order = jnp.argsort(later)
    later, r, e = later[order], jnp.where(present, risk, 0)[order], event[order]
    first, last = (jnp.searchsorted(later, later, side=side) for side in ("left", "right"))  # of the same time
    at_risk = jax.lax.cumlogsumexp(r)[last - 1]
    if ties == "efron":
        before = jnp.cumsum(e) - e
        rank, count = before - before[first], jnp.cumsum(e)[last - 1] - before[first]
        tied = jnp.zeros_like(r).at[first].add(e * jnp.exp(r - at_risk))[first]
        at_risk = at_risk + jnp.log1p(-rank / jnp.maximum(count, 1) * tied)
    return -(e * (r - at_risk)).sum() / jnp.maximum(1, e.sum())


def cuts(time: ArrayLike, event: ArrayLike, bins: int = 4) -> Float[Array, " bins_less_1"]:
    """Inner ends of bins of time with equally many events in each; inside ``jit`` the values are not checked.

    Raises:
        ValueError: an event that is not 0 or 1, fewer than 2 bins, no event, or so few different times of events that two
            ends coincide.
    """
    bins = arguments.whole("bins", bins, 2)
    time, event, _ = censored(time, event)
    seen = jnp.where(event, time, jnp.nan)
    ends = jnp.nanquantile(seen, jnp.arange(1, bins) / bins)
    if not isinstance(ends, Tracer):
        if np.isnan(ends).any():
            raise ValueError("all bags are censored: without an event there are no times to cut into bins")
        if (np.diff(ends) <= 0).any():
            raise ValueError(f"the events have too few different times for {bins} bins: take fewer")
    return ends


def bin_of(time: ArrayLike, ends: ArrayLike) -> Int[Array, " n"]:
    """The bin of each time; a bin holds its left end, the first and the last are open.

    Raises:
        ValueError: ends that do not rise.
    """
    ends, time = real(ends), real(time)
    if not isinstance(ends, Tracer) and not (np.diff(ends) > 0).all():
        raise ValueError(
            f"the ends of the bins are {np.asarray(ends).tolist()}, but each must lie above the one before"
        )
    return jnp.searchsorted(ends, time, side="right").astype(jnp.int32)


def survival(logits: Float[Array, "n bins"]) -> Float[Array, "n bins"]:
    r"""$S(b) = \prod_{q \le b} (1 - h_q)$, the probability of no event in the first bins, with hazards
    $h = \mathrm{sigmoid}(\text{logits})$."""
    return jnp.exp(_log_survival(logits))


def _log_survival(logits: Array) -> Array:
    return -jnp.cumsum(jax.nn.softplus(logits), axis=1)


def nll(
    logits: Any,
    bin: ArrayLike,
    event: ArrayLike,
    present: ArrayLike | None = None,
    *,
    alpha: ArrayLike = 0.5,
) -> Float[Array, ""]:
    r"""Mean negative log likelihood of hazards in bins of time.

    With y the bin of a bag and S as in ``survival``, $S(-1) = 1$,

    $$ \ell = (1 - \alpha)(\ell_u + \ell_c) + \alpha\, \ell_u, \qquad
       \ell_u = -e\, [\log S(y - 1) + \log h_y], \quad \ell_c = -(1 - e) \log S(y). $$

    Logarithms are clamped below at log 1e-7, as in the published code. Time and memory O(n bins).

    Args:
        logits: of the hazards, (n, bins).
        bin: from ``bin_of``, (n,).
        event: (n,) 1 or True where the event came.
        present: (n,) bools; all when omitted.
        alpha: weight that is taken off the censored bags.

    Returns:
        the loss, in nats.

    Raises:
        ValueError: shapes that differ, a bin that is not among those of the logits, alpha outside [0, 1].

    Source:
        Zadeh and Schmid, Bias in Cross-Entropy-Based Training of Deep Survival Networks (2020).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import survival
        >>> logits = jnp.zeros((1, 3))  # hazards of 1/2: the event comes in bin 1 with probability 1/4
        >>> round(float(jnp.exp(-survival.nll(logits, jnp.array([1]), jnp.array([1])))), 9)
        0.25
    """
    logits = arguments.real("logits", logits, (None, None), finite=False)
    bins = logits.shape[1]
    number, event, present = censored(bin, event, present, logits[:, 0])
    event = event.astype(logits.dtype)
    check("logits", jnp.isfinite(logits).all(axis=1), logits, present, "finite")
    check(
        "bin", (number >= 0) & (number < bins) & (number % 1 == 0), bin, present, f"a whole number from 0 to {bins - 1}"
    )
    bin = jnp.where(present, number, 0).astype(jnp.int32)
    alpha = arguments.real("alpha", alpha, (), low=0, high=1, dtype=logits.dtype)
    floor = np.log(1e-7)
    log_s = jnp.pad(_log_survival(jnp.where(present[:, None], logits, 0)), ((0, 0), (1, 0)))  # from S(-1) = 1 on
    pick = lambda table, at: jnp.take_along_axis(table, at[:, None], axis=1)[:, 0]  # noqa: E731
    log_h = -jax.nn.softplus(-jnp.where(present[:, None], logits, 0))
    before, here, hazard = (
        jnp.maximum(pick(table, at), floor) for table, at in ((log_s, bin), (log_s, bin + 1), (log_h, bin))
    )
    seen, unseen = -event * (before + hazard), -(1 - event) * here
    losses = jnp.where(present, (1 - alpha) * (seen + unseen) + alpha * seen, 0)
    return losses.sum() / jnp.maximum(1, present.sum())


def risk_of(logits: Float[Array, "n bins"]) -> Float[Array, " n"]:
    r"""The risk that hazards amount to, $-\sum_b S(b)$: minus the bins that are survived on average."""
    return -survival(logits).sum(axis=1)


def ranking(risk: ArrayLike, time: ArrayLike, event: ArrayLike, present: ArrayLike | None = None) -> Float[Array, ""]:
    r"""Minus the mean of $\mathrm{sigmoid}(r_i - r_j)$ over pairs with $t_i < t_j$ and $e_i = 1$: a smooth C-index.

    Time and memory O(n^2).

    Args:
        risk: (n,), higher where the event is to come sooner.
        time: (n,) times t.
        event: (n,) 1 or True where the event came, 0 where censored.
        present: (n,) bools; all when omitted.

    Returns:
        the loss, in [-1, 0]; 0 where there is no pair.

    Raises:
        ValueError: shapes that differ, an event that is not 0 or 1.

    Source:
        Ren et al. (2025), OTSurv.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import survival
        >>> float(survival.ranking(jnp.array([0.0, 0.0]), jnp.array([1.0, 2.0]), jnp.array([1, 0])))
        -0.5
    """
    risk = real(risk)
    time, event, present = censored(time, event, present, risk)
    check("risk", jnp.isfinite(risk), risk, present, "finite")
    pair = event[:, None] & (time[:, None] < time[None, :]) & present[:, None] & present[None, :]
    right = jnp.where(pair, jax.nn.sigmoid(jnp.where(pair, risk[:, None] - risk[None, :], 0)), 0)
    return -right.sum() / jnp.maximum(1, pair.sum())
