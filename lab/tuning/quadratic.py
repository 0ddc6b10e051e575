r"""Problems with closed forms: a quadratic of both levels, and ridge regression with the logarithm of its decay.

$$ h = \tfrac12 \|A_2 x + A_3 \theta - b_2\|^2, \qquad g = \tfrac12 \|A_1 x - b_1\|^2 $$

has $\hat x(\theta) = (A_2^\top A_2)^{-1} A_2^\top (b_2 - A_3 \theta)$, so that f is a quadratic of theta.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from lab.numerics import arguments
from lab.numerics.host import placed
from lab.tuning.problem import Bilevel, Constants


class Quadratic(Bilevel):
    """Both levels are least squares; all constants are known, and so is everything else."""

    a1: Float[Array, "m d"]
    a2: Float[Array, "n d"]
    a3: Float[Array, "n p"]
    b1: Float[Array, " m"]
    b2: Float[Array, " n"]
    known: Constants

    def lower(self, x: Float[Array, " d"], theta: Float[Array, " p"]) -> Float[Array, ""]:
        return 0.5 * jnp.sum((self.a2 @ x + self.a3 @ theta - self.b2) ** 2)

    def upper(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        return 0.5 * jnp.sum((self.a1 @ x - self.b1) ** 2)

    def constants(self, x: Float[Array, " d"], theta: Float[Array, " p"]) -> Constants:
        return self.known

    def start(self, theta: Float[Array, " p"]) -> Float[Array, " d"]:
        return jnp.zeros(self.a2.shape[1], self.a2.dtype)

    @property
    def certified(self) -> bool:
        return self.a3.shape[1] <= 32

    def minimiser(self, theta: Float[Array, " p"]) -> Float[Array, " d"]:
        """xhat."""
        return jnp.linalg.solve(self.a2.T @ self.a2, self.a2.T @ (self.b2 - self.a3 @ theta))

    def loss(self, theta: Float[Array, " p"]) -> Float[Array, ""]:
        """f."""
        return self.upper(self.minimiser(theta))

    def slope(self, theta: Float[Array, " p"]) -> Float[Array, " p"]:
        """grad f."""
        pull = self.a1.T @ (self.a1 @ self.minimiser(theta) - self.b1)
        return -self.a3.T @ self.a2 @ jnp.linalg.solve(self.a2.T @ self.a2, pull)

    def least(self) -> tuple[Float[Array, " p"], Float[Array, ""]]:
        """The minimiser of f, and its value."""
        inverse = jnp.linalg.solve(self.a2.T @ self.a2, self.a2.T)
        theta = jnp.linalg.lstsq(self.a1 @ inverse @ self.a3, self.a1 @ inverse @ self.b2 - self.b1)[0]
        return theta, self.loss(theta)


def quadratic(a1: Any, a2: Any, a3: Any, b1: Any, b2: Any) -> Quadratic:
    """The problem of given matrices, with its constants.

    Raises:
        ValueError: shapes that do not fit, entries that are not finite, or A2 without full column rank; traced values are
            not checked.
    """
    given = {"A1": a1, "A2": a2, "A3": a3, "b1": b1, "b2": b2}
    a1, a2, a3, b1, b2 = (arguments.real(*each, dtype=float) for each in given.items())
    fits = a1.ndim == a2.ndim == a3.ndim == 2 and a1.shape[1] == a2.shape[1] and a3.shape[0] == a2.shape[0]
    if not fits or b1.shape != a1.shape[:1] or b2.shape != a2.shape[:1]:
        raise ValueError(
            f"A1, A2, A3, b1, b2 have the shapes {a1.shape}, {a2.shape}, {a3.shape}, {b1.shape}, {b2.shape}, but (m, d), "
            "(n, d), (n, p), (m,), (n,) are needed"
        )
    if 0 in (*a1.shape, *a2.shape, *a3.shape):
        raise ValueError(f"A1, A2 and A3 have the shapes {a1.shape}, {a2.shape}, {a3.shape}: none of them may be empty")
    if any(isinstance(each, Tracer) for each in (a1, a2)):
        spectrum, above, zero = jnp.linalg.eigvalsh(a2.T @ a2), jnp.linalg.eigvalsh(a1.T @ a1), jnp.zeros(())
        return Quadratic(a1, a2, a3, b1, b2, Constants(spectrum[0], spectrum[-1], above[-1], zero, zero))
    first, second = np.asarray(a1), np.asarray(a2)
    spectrum = np.linalg.eigvalsh(second.T @ second)
    if spectrum[0] <= 1e-12 * spectrum[-1]:
        raise ValueError(
            f"h is not strongly convex: the least eigenvalue of A2^T A2 is {spectrum[0]:.3g}, but the columns of A2 must be "
            "independent"
        )
    of_upper = float(np.linalg.eigvalsh(first.T @ first)[-1])
    mu, smooth, upper, zero = (placed(np.asarray(v)) for v in (spectrum[0], spectrum[-1], of_upper, 0.0))
    return Quadratic(a1, a2, a3, b1, b2, Constants(mu, smooth, upper, zero, zero))


def random_quadratic(seed: int, n: int = 1000, d: int = 10, noise: ArrayLike = 0.01) -> Quadratic:
    r"""The experiment of the paper: matrices of uniform entries, right sides of points that are known but for noise.

    $$ h = \tfrac12 \|A_2 x + A_3 \theta - b_2\|^2, \qquad g = \tfrac12 \|A_1 x - b_1\|^2 $$

    Args:
        seed: of NumPy's generator.
        n: rows.
        d: columns, of all three matrices.
        noise: standard deviation, of the right sides.

    Returns:
        the problem, with its constants and its minimiser.

    Raises:
        ValueError: A2 has no full column rank, as with n < d; counts below 1 or a negative noise.

    Source:
        Salehi, Mukherjee, Roberts and Ehrhardt (2023), of the experiment.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import tuning
        >>> problem = tuning.random_quadratic(0, n=20, d=2)
        >>> theta, least = problem.least()
        >>> bool(abs(problem.slope(theta)).max() < 1e-9), bool(least <= problem.loss(jnp.zeros(2)))
        (True, True)
    """
    n, d = arguments.whole("n", n, 1), arguments.whole("d", d, 1)
    noise = arguments.real("noise", noise, (), low=0)
    rng = np.random.default_rng(arguments.whole("seed", seed, 0))
    a1, a2, a3 = (rng.uniform(size=(n, d)) for _ in range(3))
    x1, x2, theta = (rng.uniform(size=d) for _ in range(3))
    b1 = a1 @ x1 + noise * rng.normal(size=n)
    b2 = a2 @ x2 + a3 @ theta + noise * rng.normal(size=n)
    return quadratic(a1, a2, a3, b1, b2)


class Ridge(Bilevel):
    r"""$h = \tfrac{1}{2n} \|A x - b\|^2 + \tfrac12 e^\theta \|x\|^2$ and g the mean squared error of other rows;
    theta is one number.

    The Hessian does not hang on x, and J = e^theta x.
    """

    a: Float[Array, "n d"]
    b: Float[Array, " n"]
    other: Float[Array, "m d"]
    values: Float[Array, " m"]

    def lower(self, x: Float[Array, " d"], theta: Float[Array, " p"]) -> Float[Array, ""]:
        return 0.5 * jnp.mean((self.a @ x - self.b) ** 2) + 0.5 * jnp.exp(theta[0]) * jnp.vdot(x, x)

    def upper(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        return 0.5 * jnp.mean((self.other @ x - self.values) ** 2)

    def constants(self, x: Float[Array, " d"], theta: Float[Array, " p"]) -> Constants:
        decay = jnp.exp(theta[0])
        spectrum, above = (jnp.linalg.eigvalsh(each.T @ each / len(each)) for each in (self.a, self.other))
        return Constants(spectrum[0] + decay, spectrum[-1] + decay, above[-1], jnp.zeros_like(decay), decay)

    def start(self, theta: Float[Array, " p"]) -> Float[Array, " d"]:
        return jnp.zeros(self.a.shape[1], self.a.dtype)

    @property
    def certified(self) -> bool:
        return True

    def slope(self, theta: Float[Array, " p"]) -> Float[Array, " p"]:
        """grad f in closed form."""
        hessian = self.a.T @ self.a / len(self.a) + jnp.exp(theta[0]) * jnp.eye(self.a.shape[1])
        x = jnp.linalg.solve(hessian, self.a.T @ self.b / len(self.a))
        pull = self.other.T @ (self.other @ x - self.values) / len(self.other)
        return -jnp.exp(theta[0]) * jnp.vdot(x, jnp.linalg.solve(hessian, pull))[None]
