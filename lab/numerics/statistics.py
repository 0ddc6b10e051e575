"""What a sample says of a mean, on the host."""

from typing import Any, NamedTuple

import numpy as np
import scipy


class Interval(NamedTuple):
    """A mean with its standard error and the ends of its interval; all but the mean are NaN of a single value."""

    mean: float
    error: float
    low: float
    high: float

    @property
    def half(self) -> float:
        """Half of its width."""
        return (self.high - self.low) / 2


def mean_interval(values: Any, share: float = 0.95) -> Interval:
    r"""The mean of independent values, and the interval that holds their expectation in a share of all samples.

    $$ \bar x \pm t_{n-1,\,(1 + \mathrm{share})/2}\, \frac{s}{\sqrt n}, \qquad s^2 = \frac{1}{n-1} \sum_i (x_i - \bar x)^2 $$

    Args:
        values: of any shape; each entry counts once.
        share: between 0 and 1.

    Raises:
        ValueError: a share outside (0, 1), no values, or values that are not numbers. (The mean of a NaN is NaN.)

    >>> found = mean_interval([1.0, 2.0, 3.0])
    >>> f"{found.mean:.2f} from {found.low:.2f} to {found.high:.2f}"
    '2.00 from -0.48 to 4.48'
    """
    numbers = _numbers("values", values).ravel()
    if not numbers.size:
        raise ValueError("0 values were given, but a mean needs at least one")
    reach, mean = float(student(numbers.size, share)), float(numbers.mean())
    error = float(numbers.std(ddof=1) / numbers.size**0.5) if numbers.size > 1 else float("nan")
    return Interval(mean, error, mean - reach * error, mean + reach * error)


def student(count: Any, share: float = 0.95) -> Any:
    r"""How many standard errors the interval of a mean of n values reaches to either side, $t_{n-1,\,(1+\mathrm{share})/2}$.

    Args:
        count: n, (...); NaN is returned for those below 2.
        share: that the interval is to hold, between 0 and 1.

    Returns:
        (...), as ``count``.

    Raises:
        ValueError: a share outside (0, 1), or counts that are not numbers.
    """
    if not 0 < share < 1:
        raise ValueError(f"share = {share}, but it must be between 0 and 1")
    return scipy.special.stdtrit(_numbers("count", count) - 1.0, (1 + share) / 2)


def _numbers(name: str, given: Any) -> np.ndarray:
    array = np.asarray(given)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name} = {given!r} is not allowed: {name} must be numbers")
    return array.astype(float)
