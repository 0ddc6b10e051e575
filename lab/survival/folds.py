"""Bags dealt into folds, and how well a model does on the fold that it has not seen."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from lab.numerics import arguments
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.survival import statistics
from lab.survival.bags import Bags, numbers


class Parts(NamedTuple):
    """The bags of an experiment, by number."""

    train: Int[Array, " t"]
    check: Int[Array, " v"]  # those that decide when a training ends; may be none
    test: Int[Array, " s"]


class Folds(eqx.Module):
    """Bags that are dealt into folds, each for the test in its turn."""

    order: Int[Array, " n"]  # the bags sorted by fold
    sizes: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, fold: Int[np.ndarray, " n"]):
        """From the fold of each bag, whole numbers from 0 without a gap."""
        self.order = placed(np.argsort(fold, kind="stable").astype(np.int32))
        self.sizes = tuple(int(size) for size in np.bincount(fold))

    def parts(self, test: int, check: bool = False) -> Parts:
        """The bags to test on, those of one fold; to check, those of the next fold if asked for; and all others."""
        ends = np.cumsum(self.sizes)
        folds = [self.order[end - size : end] for end, size in zip(ends, self.sizes, strict=True)]
        following = (test + 1) % len(folds)
        others = [part for k, part in enumerate(folds) if k != test and not (check and k == following)]
        return Parts(jnp.concatenate(others), folds[following] if check else self.order[:0], folds[test])


class Evaluation(NamedTuple):
    """How well a risk orders the bags of the test."""

    cindex: Float[Array, ""]
    cindex_others: Float[Array, ""]  # of the bags that were not tested
    cindex_oracle: Float[Array, ""] | None  # of the true risk on the test, where it is known
    tested: Bool[Array, " n"]
    log_rank: statistics.LogRank  # of the two groups
    times: Float[Array, " steps"]  # 0 and the times of the test
    curves: statistics.Survival  # (2, steps): above and below the median risk


@arguments.arrays()
def evaluate(
    bags: Bags, risk: Float[Array, " n"], test: Int[Array, " s"], true_risk: Float[Array, " n"] | None = None
) -> Evaluation:
    r"""The C-index of the bags of the test and of the others; of the test, the survival above and below the median risk.

    $$ \mathrm{high}_i = [\, r_i > \mathrm{median}_{j \in \mathrm{test}}\, r_j \,] $$

    Args:
        bags: n, of which times and events are used.
        risk: of each bag, (n,).
        test: the bags to test on, by number, (s,).
        true_risk: of each bag, (n,), where it is known.

    Returns:
        C-indices, the log-rank test of the two groups, and their Kaplan-Meier curves (2, s + 1).

    Raises:
        ValueError: risks that do not fit the bags or are not finite, no bag to test on, or a number that is no bag's.

    Source:
        Ren et al. (2025), OTSurv.

    Examples:
        >>> import jax.numpy as jnp
        >>> import numpy as np
        >>> from lab import survival
        >>> bags = survival.bags(np.ones((4, 1)), np.arange(4), np.array([1.0, 2.0, 3.0, 4.0]), np.ones(4))
        >>> found = survival.evaluate(bags, jnp.array([3.0, 2.0, 1.0, 0.0]), jnp.arange(3))
        >>> float(found.cindex), found.curves.survival[0].tolist()  # of the one bag above the median
        (1.0, [1.0, 0.0, 0.0, 0.0])
    """
    for name, given in (("risk", risk), ("true_risk", true_risk)):
        if given is not None and given.shape != (bags.count,):
            raise ValueError(f"{name} has shape {given.shape}: shape ({bags.count},) is needed, one for each bag")
    numbers("test", test, bags.count)
    return _evaluate(bags, risk, test, true_risk)


@jit
def _evaluate(bags: Bags, risk: Array, test: Array, true_risk: Array | None) -> Evaluation:
    tested = jnp.zeros(bags.count, bool).at[test].set(True)
    time, event = bags.time[test], bags.event[test]
    high = statistics.above_median(risk[test])
    times = jnp.concatenate([jnp.zeros(1, time.dtype), jnp.sort(time)])
    curves = jax.vmap(lambda group: statistics.kaplan_meier(time, event, times, group))(jnp.stack([high, ~high]))
    return Evaluation(
        statistics.cindex(risk[test], time, event),
        statistics.cindex(risk, bags.time, bags.event, ~tested),
        None if true_risk is None else statistics.cindex(true_risk[test], time, event),
        tested,
        statistics.log_rank(time, event, high),
        times,
        curves,
    )
