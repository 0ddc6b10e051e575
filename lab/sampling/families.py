r"""Orthonormal functions of one variable: values, distribution functions, nodes, random matrices.

$F_j(x) = \int_{-\infty}^x \varphi_j^2 d\mu$ is known in closed form, so that a draw of $\varphi_j^2 d\mu$ is its inverse at a
uniform number, by bisection: exact to float64, of fixed shape, without rejection.

$$ F_j = F_{j-1} + \tfrac12 [x (P_j^2 + P_{j-1}^2) - 2 P_j P_{j-1}] \quad\text{(Legendre)}, \qquad
   F_j = F_{j-1} - \varphi_j \varphi_{j-1}\, g / \sqrt{j} \quad\text{(Hermite, g the normal density)}. $$

Source: the recursions of the distribution functions are derived in the lab.
"""

import math
from abc import abstractmethod
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jaxtyping import Array, Float, Num

from lab.numerics import arguments, random
from lab.precision import need_float64

_BISECTIONS = 54  # of a bracket, to the last bit of float64


class Family(eqx.Module):
    """The first ``size`` functions, j = 0 .. size - 1, orthonormal in a law on the line."""

    size: int = eqx.field(static=True)

    def __check_init__(self):
        need_float64("a projection DPP")
        arguments.whole("m", self.size, 1)

    @abstractmethod
    def values(self, x: Float[Array, " n"]) -> Float[Array, "n m"]:
        """At points of the line."""

    @abstractmethod
    def cdf(self, x: Float[Array, " n"], j: Num[Array, " n"]) -> Float[Array, " n"]:
        r"""$F_j(x) = \int_{-\infty}^x \varphi_j^2 d\mu$, for a function of each point."""

    def draw(self, key: Array, n: int) -> Float[Array, " n"]:
        """From the law."""
        low, high = self.bracket
        return random.uniform(key, (n,), minval=low, maxval=high)

    def density(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """Of the law, for Lebesgue measure."""
        low, high = self.bracket
        return jnp.where((x >= low) & (x <= high), 1 / (high - low), 0.0)

    def log_density(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Its logarithm, -inf where it is 0."""
        low, high = self.bracket
        return jnp.where((x >= low) & (x <= high), -math.log(high - low), -jnp.inf)

    @property
    def support(self) -> tuple[float, float]:
        """Between which ends the law has mass."""
        return self.bracket

    @property
    @abstractmethod
    def bracket(self) -> tuple[float, float]:
        """Where draws lie, but for less than 1e-16 of the mass."""

    @abstractmethod
    def gauss(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """About n nodes and masses, exact at least for products of two of the functions."""

    @abstractmethod
    def eigenvalues(self, key: Array) -> Float[Array, " m"]:
        """The projection DPP of all the functions, as eigenvalues of a random matrix, in any order."""

    @property
    def degrees(self) -> np.ndarray:
        """(size,): polynomial degree, frequency or level of each function, by which index sets are cut."""
        return np.arange(self.size)

    @classmethod
    def up_to(cls, degree: int) -> "Family":
        """All functions up to a degree."""
        return cls(degree + 1)


class Legendre(Family):
    r"""$\varphi_j = \sqrt{2j+1}\, P_j$ on [-1, 1] with the uniform law; $\sup k_m = m^2$."""

    @property
    def bracket(self):
        return -1.0, 1.0

    def values(self, x):
        def step(carry, j):
            before, now = carry
            return (now, ((2 * j + 1) * x * now - j * before) / (j + 1)), now

        degrees = jnp.arange(self.size, dtype=x.dtype)
        _, rows = jax.lax.scan(step, (jnp.zeros_like(x), jnp.ones_like(x)), degrees)
        return (rows * jnp.sqrt(2 * degrees + 1)[:, None]).T

    def cdf(self, x, j):
        def step(i, carry):
            before, now, mass, found = carry
            before, now = now, ((2 * i - 1) * x * now - (i - 1) * before) / i
            mass = mass + (x * (now * now + before * before) - 2 * now * before) / 2
            return before, now, mass, jnp.where(j == i, mass, found)

        start = (x + 1) / 2
        return jax.lax.fori_loop(1, self.size, step, (jnp.zeros_like(x), jnp.ones_like(x), start, start))[3]

    def gauss(self, n):
        x, w = scipy.special.roots_legendre(max(n, self.size))
        return x, w / 2

    def eigenvalues(self, key):
        # Jacobi unitary ensemble with weight 1, as the tridiagonal matrix of Killip and Nenciu (2004), theorem 2: with
        # alpha_k = 1 - 2 Beta(s_k, t_k) independent, k = 0 .. 2m - 2, and alpha_{-1} = alpha_{2m-1} = -1, on [-2, 2]
        m = self.size
        k = np.arange(2 * m - 1)
        s, t = m - k // 2, m - (k + 1) // 2
        first, second = _gammas(key, np.stack([s, t]))
        alpha = jnp.concatenate([-jnp.ones(1), (second - first) / (first + second), -jnp.ones(1)])
        before, here, after = alpha[0:-1:2], alpha[1::2], alpha[2::2]  # alpha_{2i-1}, alpha_{2i}, alpha_{2i+1}
        earlier = jnp.concatenate([jnp.zeros(1), here[:-1]])
        diagonal = (1 - before) * here - (1 + before) * earlier
        beside = jnp.sqrt((1 - before) * (1 - here**2) * (1 + after))[:-1]
        return jnp.clip(_tridiagonal(diagonal, beside) / 2, -1.0, 1.0)


class Hermite(Family):
    r"""$\varphi_j = He_j / \sqrt{j!}$ with the standard normal law."""

    @property
    def bracket(self):
        edge = 2 * math.sqrt(self.size) + 8
        return -edge, edge

    def values(self, x):
        def step(carry, j):
            before, now = carry
            return (now, (x * now - jnp.sqrt(j) * before) / jnp.sqrt(j + 1)), now

        degrees = jnp.arange(self.size, dtype=x.dtype)
        return jax.lax.scan(step, (jnp.zeros_like(x), jnp.ones_like(x)), degrees)[1].T

    def cdf(self, x, j):
        g = self.density(x)
        degrees = jnp.sqrt(jnp.arange(self.size, dtype=x.dtype))

        def step(i, carry):
            before, now, mass, found = carry
            before, now = now, (x * now - degrees[i - 1] * before) / degrees[i]
            mass = mass - now * before * g / degrees[i]
            return before, now, mass, jnp.where(j == i, mass, found)

        start = jax.scipy.special.ndtr(x)
        return jax.lax.fori_loop(1, self.size, step, (jnp.zeros_like(x), jnp.ones_like(x), start, start))[3]

    def draw(self, key, n):
        return random.normal(key, (n,))

    def density(self, x):
        return jnp.exp(-x * x / 2) / math.sqrt(2 * math.pi)

    def log_density(self, x):
        return -x * x / 2 - math.log(2 * math.pi) / 2

    @property
    def support(self):
        return -math.inf, math.inf

    def gauss(self, n):
        x, w = scipy.special.roots_hermitenorm(max(n, self.size))
        return x, w / w.sum()

    def eigenvalues(self, key):
        # the Gaussian unitary ensemble, as a tridiagonal matrix: N(0, 1), and chi_{2(m-i)} / sqrt 2 beside (Dumitriu, Edelman)
        first, second = jax.random.split(key)
        diagonal = random.normal(first, (self.size,))
        return _tridiagonal(diagonal, jnp.sqrt(_gammas(second, np.arange(self.size - 1, 0, -1))))


class Fourier(Family):
    r"""$1, \sqrt2 \cos 2\pi k x, \sqrt2 \sin 2\pi k x$ for k = 1 .. (m - 1) / 2, uniform on [0, 1); $k_m = m$. m is odd."""

    def __check_init__(self):
        if arguments.whole("m", self.size) % 2 == 0:
            raise ValueError(
                f"m = {self.size} cuts a sine from its cosine: a Fourier basis has odd m, "
                f"take {self.size - 1} or {self.size + 1}"
            )

    @property
    def bracket(self):
        return 0.0, 1.0

    @property
    def degrees(self):
        return (np.arange(self.size) + 1) // 2

    @classmethod
    def up_to(cls, degree):
        return cls(2 * degree + 1)

    def values(self, x):
        angles = 2 * jnp.pi * x[:, None] * jnp.arange(1, self.size // 2 + 1)[None, :]
        waves = math.sqrt(2) * jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=2)
        return jnp.concatenate([jnp.ones_like(x)[:, None], waves.reshape(len(x), -1)], axis=1)

    def cdf(self, x, j):
        k = jnp.maximum((j + 1) // 2, 1)
        wave = jnp.sin(4 * jnp.pi * k * x) / (4 * jnp.pi * k)
        return x + jnp.where(j == 0, 0.0, jnp.where(j % 2 == 1, wave, -wave))

    def gauss(self, n):
        n = max(n, self.size)
        return (np.arange(n) + 0.5) / n, np.full(n, 1 / n)

    def eigenvalues(self, key):
        # eigenangles of a Haar unitary: Q of a Ginibre matrix with the phases of the diagonal of R
        q, r = jnp.linalg.qr(_ginibre(key, (self.size, self.size)))
        phases = jnp.diagonal(r) / jnp.abs(jnp.diagonal(r))
        return jnp.mod(jnp.angle(jnp.linalg.eigvals(q * phases[None, :])) / (2 * jnp.pi), 1.0)


class Haar(Family):
    r"""1 and the Haar wavelets of levels 0 .. J - 1, uniform on [0, 1): constant on $m = 2^J$ equal cells; $k_m = m$."""

    def __check_init__(self):
        if arguments.whole("m", self.size, 1) & (self.size - 1):
            near = 1 << self.size.bit_length()
            raise ValueError(f"m = {self.size}, but a Haar basis has m = 2^J functions: take {near // 2} or {near}")

    @property
    def bracket(self):
        return 0.0, 1.0

    @property
    def degrees(self):
        return np.array([i.bit_length() for i in range(self.size)])

    @classmethod
    def up_to(cls, degree):
        return cls(1 << degree)

    def _place(self):
        level = np.maximum(self.degrees - 1, 0)
        return 2.0**level, np.where(np.arange(self.size) > 0, np.arange(self.size) - 2**level, 0)

    def values(self, x):
        scale, shift = map(jnp.asarray, self._place())
        u = x[:, None] * scale[None, :] - shift[None, :]
        wave = jnp.where((u >= 0) & (u < 1), jnp.where(u < 0.5, 1.0, -1.0), 0.0) * jnp.sqrt(scale)[None, :]
        return wave.at[:, 0].set(1.0)

    def cdf(self, x, j):
        scale, shift = map(jnp.asarray, self._place())
        return jnp.clip(x * scale[j] - shift[j], 0.0, 1.0)

    def gauss(self, n):
        x, w = scipy.special.roots_legendre(max(1, -(-n // self.size)))
        x = (np.arange(self.size)[:, None] + (x[None, :] + 1) / 2) / self.size
        return x.ravel(), np.tile(w / (2 * self.size), self.size)

    def eigenvalues(self, key):
        # the kernel is m on the diagonal cells and 0 off them: one uniform point in each cell
        return (jnp.arange(self.size) + random.uniform(key, (self.size,))) / self.size


type Name = Literal["legendre", "hermite", "fourier", "haar"] | str
FAMILIES: dict[Name, type[Family]] = {"legendre": Legendre, "hermite": Hermite, "fourier": Fourier, "haar": Haar}


def invert(family: Family, j: Array, level: Array) -> Array:
    """x with F_j(x) = level, by bisection."""
    low, high = family.bracket

    def halve(_, bracket):
        low, high = bracket
        middle = (low + high) / 2
        under = family.cdf(middle, j) < level
        return jnp.where(under, middle, low), jnp.where(under, high, middle)

    bracket = jnp.full_like(level, low), jnp.full_like(level, high)
    low, high = jax.lax.fori_loop(0, _BISECTIONS, halve, bracket)
    return (low + high) / 2


def uniform(key: Array, shape: tuple[int, ...]) -> Array:
    """Uniform numbers, drawn flat: under ``vmap`` XLA compiles the counters of more axes for seconds."""
    return random.uniform(key, (math.prod(shape),)).reshape(shape)


def _ginibre(key: Array, shape: tuple[int, ...]) -> Array:
    """Standard complex normal entries: E|z|^2 = 1."""
    re, im = random.normal(key, (2 * math.prod(shape),)).reshape(2, *shape)
    return (re + 1j * im) / math.sqrt(2)


def _gammas(key: Array, shapes: np.ndarray) -> Array:
    """Gamma variables of whole shapes, as sums of exponential ones: far quicker to compile than rejection."""
    most = max(1, int(shapes.max(initial=1)))
    terms = -jnp.log1p(-uniform(key, (*shapes.shape, most)))
    return jnp.where(np.arange(most) < shapes[..., None], terms, 0.0).sum(axis=-1)


def _tridiagonal(diagonal: Array, beside: Array) -> Array:
    """Eigenvalues of the symmetric tridiagonal matrix: as singular values, once a shift has made it positive.

    LAPACK's eigenvalues of 30 rows and more wait for its threads, a hundred times as long where cores are busy.
    """
    apart = jnp.abs(beside)
    reach = jnp.abs(diagonal) + jnp.pad(apart, (0, 1)) + jnp.pad(apart, (1, 0))
    shift = reach.max()  # Gershgorin
    matrix = jnp.diag(diagonal + shift) + jnp.diag(beside, 1) + jnp.diag(beside, -1)
    return jnp.linalg.svd(matrix, compute_uv=False) - shift
