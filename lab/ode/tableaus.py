r"""Embedded Runge-Kutta pairs as data, and how far along the real axis they are stable.

$$ k_i = f(t + c_i h,\; y + h \sum_j a_{ij} k_j), \qquad y_1 = y + h \sum_i b_i k_i, \qquad
   \mathrm{err} = h \sum_i (b_i - \hat b_i)\, k_i $$

In all pairs here the last stage is at $y_1$ (first same as last: it is the first slope of the next step), and the last two
stages are at one time, so that the largest eigenvalue is estimated for nothing (Hairer, Wanner, *Solving Ordinary Differential
Equations II*, section IV.2):

$$ S = \frac{|k_s - k_{s-1}|}{|g_s - g_{s-1}|}, \qquad g_i = y + h \sum_j a_{ij} k_j. $$

Sources: Tsitouras, *Runge-Kutta pairs of order 5(4) satisfying only the first column simplifying assumption*, 2011; Dormand,
Prince, *A family of embedded Runge-Kutta formulae*, 1980;
Shampine, *Some practical Runge-Kutta formulas*, 1986 (its error estimate).
"""

from dataclasses import dataclass
from typing import Any, Literal

import jax
import numpy as np
from jax.core import Tracer

from lab.choices import chosen

type Pair = Literal["tsit5", "dopri5"] | str


@dataclass(frozen=True, eq=False)
class Tableau:
    """A pair of s stages whose last stage is at the end of the step.

    Attributes:
        a: (s, s), strictly lower triangular; its last row is b.
        b: (s,), weights of the solution of order ``order``.
        error: (s,), b less the weights of the solution of one order less.
        c: (s,), times of the stages.
        order: of the solution.
        limit: the largest z for which steps of y' = -y of length z do not grow.
    """

    name: str
    a: np.ndarray
    b: np.ndarray
    error: np.ndarray
    c: np.ndarray
    order: int
    limit: float

    @property
    def evaluations(self) -> int:
        """Of the field in a step, whether it is accepted or not: the first slope is there already."""
        return len(self.b) - 1


def amplification(tableau: Tableau, z: Any) -> Any:
    r"""By what a step of $y' = \lambda y$ multiplies y: $R(z) = 1 + z\, b^T (I - zA)^{-1} 1$ with $z = \lambda h$.

    Args:
        tableau: the pair.
        z: of any shape, real or complex.

    Returns:
        R(z), elementwise; of numpy, but for a jax array, in which it is differentiable.

    Raises:
        ValueError: z that is not finite.

    Source:
        Hairer and Wanner, Solving Ordinary Differential Equations II, section IV.2.

    Examples:
        >>> from lab import ode
        >>> round(float(ode.amplification(ode.TSIT5, -0.1)), 6)  # exp(-0.1)
        0.904837
    """
    s, z = len(tableau.b), z if isinstance(z, jax.Array) else np.asarray(z)
    if z.dtype.kind not in "fciu" or (not isinstance(z, Tracer) and not np.isfinite(np.asarray(z)).all()):
        raise ValueError("z must be an array of finite real or complex numbers")
    powers, power = [], np.ones(s)
    for _ in range(s):
        powers.append(tableau.b @ power)
        power = tableau.a @ power
    return 1 + sum(weight * z ** (k + 1) for k, weight in enumerate(powers))


def real_limit(tableau: Tableau) -> float:
    r"""The largest x such that $|R(-z)| \le 1$ for all z in [0, x], by bisection.

    Args:
        tableau: the pair; looked at up to x = 20.

    Returns:
        the limit of $-\lambda h$ of a real negative $\lambda$.

    Source:
        Hairer and Wanner, Solving Ordinary Differential Equations II, section IV.2.

    Examples:
        >>> from lab import ode
        >>> round(ode.real_limit(ode.TSIT5), 4), round(ode.real_limit(ode.DOPRI5), 4)
        (3.5068, 3.3066)
    """
    grid = np.linspace(1e-3, 20, 20_000)
    beyond = grid[np.abs(amplification(tableau, -grid)) > 1][0]
    low, high = beyond - (grid[1] - grid[0]), beyond
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if abs(amplification(tableau, -middle)) > 1 else (middle, high)
    return float(low)


def _lower(rows: tuple[tuple[float, ...], ...]) -> np.ndarray:
    made = np.zeros((len(rows), len(rows)))
    for i, row in enumerate(rows):
        made[i, : len(row)] = row
    return made


_TSIT5_B = (
    0.09646076681806523, 0.01, 0.4798896504144996, 1.379008574103742, -3.290069515436081, 2.324710524099774, 0.0,
)  # fmt: skip
TSIT5 = Tableau(
    "tsit5",
    _lower(
        (
            (),
            (0.161,),
            (-0.008480655492356989, 0.335480655492357),
            (2.8971530571054935, -6.359448489975075, 4.3622954328695815),
            (5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525),
            (5.86145544294642, -12.92096931784711, 8.159367898576159, -0.071584973281401, -0.028269050394068383),
            _TSIT5_B[:6],
        )
    ),
    np.array(_TSIT5_B),
    np.array(
        [
            0.00178001105222577714, 0.0008164344596567469, -0.007880878010261995, 0.1447110071732629,
            -0.5823571654525552, 0.45808210592918697, -1 / 66,
        ]
    ),
    np.array([0.0, 0.161, 0.327, 0.9, 0.9800255409045097, 1.0, 1.0]),
    5,
    3.506846993804954,
)  # fmt: skip
_DOPRI5_B = (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0.0)
# the error estimate of Shampine, which diffrax takes too
_DOPRI5_HAT = (1951 / 21600, 0.0, 22642 / 50085, 451 / 720, -12231 / 42400, 649 / 6300, 1 / 60)
DOPRI5 = Tableau(
    "dopri5",
    _lower(
        (
            (),
            (1 / 5,),
            (3 / 40, 9 / 40),
            (44 / 45, -56 / 15, 32 / 9),
            (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
            (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
            _DOPRI5_B[:6],
        )
    ),
    np.array(_DOPRI5_B),
    np.array(_DOPRI5_B) - np.array(_DOPRI5_HAT),
    np.array([0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0]),
    5,
    3.3065678926349444,
)
PAIRS = {tableau.name: tableau for tableau in (TSIT5, DOPRI5)}


@chosen
def pair(name: Pair | Tableau) -> Tableau:
    r"""The pair of that name, $y_1 = y + h \sum_i b_i k_i$ with its error estimate; one of your own is itself.

    Args:
        name: "tsit5", "dopri5", or a ``Tableau``.

    Returns:
        the pair.

    Raises:
        ValueError: there is none of that name, or one of your own whose last two stages are not at the end of the step.

    Source:
        Tsitouras (2011); Dormand and Prince (1980); Shampine (1986).

    Examples:
        >>> from lab import ode
        >>> ode.pair("dopri5").order, ode.pair("dopri5").evaluations
        (5, 6)
    """
    if isinstance(name, Tableau):
        if not (np.array_equal(name.a[-1], name.b) and name.c[-1] == name.c[-2] == 1):
            raise ValueError(
                f"the tableau {name.name} does not end with two stages at the end of the step, the last of them at y1: error "
                "and stiffness are told of such pairs, tsit5 or dopri5 say"
            )
        return name
    return PAIRS[name]
