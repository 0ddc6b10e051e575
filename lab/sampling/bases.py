r"""Orthonormal functions of a probability law, and how to draw from the law and from its Christoffel density.

A basis is $\varphi = (\varphi_1, ..., \varphi_m)$ with $\int \varphi \varphi^T d\mu = I$. Its inverse Christoffel function is
$k_m(x) = |\varphi(x)|^2$, with $\int k_m d\mu = m$, and the Christoffel density is $d\nu_m = (k_m / m)\, d\mu$.

In one dimension ``Legendre`` (uniform on [-1, 1]), ``Hermite`` (standard normal), ``Fourier`` and ``Haar`` (uniform on
[0, 1)); ``Product`` multiplies them over an index set; ``Finite`` holds any features on finitely many points.

A draw of $\nu_m$ takes one function at random, then x from $\varphi_j^2 d\mu$ by bisection of its distribution function, which
is known in closed form; so draws are exact to float64, of fixed shape, without rejection:

$$ F_j = F_{j-1} + \tfrac12 [x (P_j^2 + P_{j-1}^2) - 2 P_j P_{j-1}] \quad\text{(Legendre)}, \qquad
   F_j = F_{j-1} - \varphi_j \varphi_{j-1}\, g / \sqrt{j} \quad\text{(Hermite, g the normal density)}. $$

Points are arrays (n, d), for ``Finite`` indices (n, 1); ``coordinates`` gives what a function is evaluated at.

Source: Nouy and Michel, arXiv 2312.14057, 2023; the recursions of the distribution functions are derived in the lab.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Num

_BISECTIONS = 54  # of a bracket, to the last bit of float64


class Quadrature(NamedTuple):
    """Points and masses of a law with mass 1."""

    points: Num[Array, "n d"]
    masses: Float[Array, " n"]


# --- one dimension ---


class Family(eqx.Module):
    """The first ``size`` functions, j = 0 .. size - 1, orthonormal in a law on the line."""

    size: int = eqx.field(static=True)

    def __check_init__(self):
        _need_x64()
        if self.size < 1:
            raise ValueError(f"m = {self.size}, but a basis has at least one function: give m >= 1")

    def values(self, x: Float[Array, " n"]) -> Float[Array, "n m"]:
        raise NotImplementedError

    def cdf(self, x: Float[Array, " n"], j: Num[Array, " n"]) -> Float[Array, " n"]:
        r"""$F_j(x) = \int_{-\infty}^x \varphi_j^2 d\mu$, for a function of each point."""
        raise NotImplementedError

    def draw(self, key: Array, n: int) -> Float[Array, " n"]:
        """From the law."""
        low, high = self.bracket
        return jax.random.uniform(key, (n,), minval=low, maxval=high)

    def density(self, x: Float[Array, " n"]) -> Float[Array, " n"]:
        """Of the law, for Lebesgue measure."""
        low, high = self.bracket
        return jnp.where((x >= low) & (x <= high), 1 / (high - low), 0.0)

    @property
    def bracket(self) -> tuple[float, float]:
        """Where draws lie, but for less than 1e-16 of the mass."""
        raise NotImplementedError

    def gauss(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """About n nodes and masses, exact at least for products of two of the functions."""
        raise NotImplementedError

    def eigenvalues(self, key: Array) -> Float[Array, " m"]:
        """The projection DPP of all the functions, as eigenvalues of a random matrix, in any order."""
        raise NotImplementedError

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
        return jax.random.normal(key, (n,))

    def density(self, x):
        return jnp.exp(-x * x / 2) / math.sqrt(2 * math.pi)

    def gauss(self, n):
        x, w = scipy.special.roots_hermitenorm(max(n, self.size))
        return x, w / w.sum()

    def eigenvalues(self, key):
        # the Gaussian unitary ensemble, as a tridiagonal matrix: N(0, 1), and chi_{2(m-i)} / sqrt 2 beside (Dumitriu, Edelman)
        first, second = jax.random.split(key)
        diagonal = jax.random.normal(first, (self.size,))
        return _tridiagonal(diagonal, jnp.sqrt(_gammas(second, np.arange(self.size - 1, 0, -1))))


class Fourier(Family):
    r"""$1, \sqrt2 \cos 2\pi k x, \sqrt2 \sin 2\pi k x$ for k = 1 .. (m - 1) / 2, uniform on [0, 1); $k_m = m$. m is odd."""

    def __check_init__(self):
        if self.size % 2 == 0:
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
        if self.size >= 1 and self.size & (self.size - 1):
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
        return (jnp.arange(self.size) + jax.random.uniform(key, (self.size,))) / self.size


FAMILIES: dict[str, type[Family]] = {"legendre": Legendre, "hermite": Hermite, "fourier": Fourier, "haar": Haar}
SPACES = ("total-degree", "hyperbolic-cross", "box")


# --- bases ---


class Basis(eqx.Module):
    """m orthonormal functions of a law that can be drawn from. See the module."""

    @property
    def m(self) -> int:
        raise NotImplementedError

    def __call__(self, points: Num[Array, "n d"]) -> Float[Array, "n m"]:
        """The functions at points."""
        raise NotImplementedError

    def coordinates(self, points: Num[Array, "n d"]) -> Float[Array, "n e"]:
        """Where a point lies: the point itself, or the row that an index names."""
        return points

    def evaluate(self, coordinates: Float[Array, "n e"]) -> Float[Array, "n m"]:
        """The functions at any coordinates, drawn or not."""
        return self(coordinates)

    def christoffel(self, points: Num[Array, "n d"]) -> Float[Array, " n"]:
        """$k_m(x) = |\\varphi(x)|^2$."""
        return (self(points) ** 2).sum(axis=1)

    def draw(self, key: Array, n: int) -> Num[Array, "n d"]:
        r"""n independent points of $\mu$."""
        raise NotImplementedError

    def draw_christoffel(self, key: Array, n: int) -> Num[Array, "n d"]:
        r"""n independent points of $\nu_m$."""
        raise NotImplementedError

    def quadrature(self, n: int = 200) -> Quadrature:
        """Points and masses that integrate products of two of the functions exactly; n a coordinate."""
        raise NotImplementedError

    def eigenvalues(self, key: Array) -> Float[Array, "m d"] | None:
        """The projection DPP by a random matrix, where there is one."""
        return None


class Product(Basis):
    r"""$\varphi_a(x) = \prod_i \varphi_{a_i}(x_i)$ for a in an index set.

    Args:
        families: of each coordinate.
        indices: the m index vectors, which may not repeat.

    Time of a draw O(n d 54 size), of an evaluation O(n m d).
    """

    families: tuple[Family, ...]
    indices: tuple[tuple[int, ...], ...] = eqx.field(static=True)

    def __check_init__(self):
        if not self.indices:
            raise ValueError("the index set is empty, but a basis has at least one function: raise the degree")
        if len(set(self.indices)) < len(self.indices):
            raise ValueError("an index occurs twice, but the functions of a basis must differ: leave repeated ones out")

    @property
    def m(self):
        return len(self.indices)

    @property
    def d(self) -> int:
        return len(self.families)

    def __call__(self, points):
        index = np.asarray(self.indices)
        value = self.families[0].values(points[:, 0])[:, index[:, 0]]
        for i in range(1, self.d):
            value = value * self.families[i].values(points[:, i])[:, index[:, i]]
        return value

    def density(self, points: Float[Array, "n d"]) -> Float[Array, " n"]:
        """Of the law, for Lebesgue measure."""
        return jnp.stack([family.density(points[:, i]) for i, family in enumerate(self.families)]).prod(axis=0)

    def draw(self, key, n):
        keys = jax.random.split(key, self.d)
        return jnp.stack([family.draw(keys[i], n) for i, family in enumerate(self.families)], axis=1)

    def draw_christoffel(self, key, n):
        levels = uniform(key, (self.d + 1, n))
        chosen = jnp.asarray(self.indices)[(levels[-1] * self.m).astype(int)]
        columns = [_invert(family, chosen[:, i], levels[i]) for i, family in enumerate(self.families)]
        return jnp.stack(columns, axis=1)

    def quadrature(self, n=200):
        axes = [family.gauss(n) for family in self.families]
        points = np.stack(np.meshgrid(*(x for x, _ in axes), indexing="ij"), axis=-1).reshape(-1, self.d)
        masses = axes[0][1]
        for _, w in axes[1:]:
            masses = np.multiply.outer(masses, w)
        return Quadrature(jnp.asarray(points), jnp.asarray(masses.reshape(-1)))

    def eigenvalues(self, key):
        whole = self.d == 1 and sorted(self.indices) == [(i,) for i in range(self.families[0].size)]
        return self.families[0].eigenvalues(key)[:, None] if whole else None


class Finite(Basis):
    r"""Features on N points of masses $\mu_i$, orthonormalised: $B = \sqrt\mu\, \varphi$ has orthonormal columns.

    Made by ``finite``. Points are indices (n, 1).
    """

    rows: Float[Array, "N m"]  # B
    masses: Float[Array, " N"]
    nodes: Float[Array, "N e"]
    below: Float[Array, "2 N"]  # cumulative masses of mu and of nu_m
    triangle: Float[Array, "m m"]  # features = phi triangle
    features: Callable | None = eqx.field(static=True, default=None)

    @property
    def m(self):
        return self.rows.shape[1]

    def __call__(self, points):
        index = points[:, 0]
        return self.rows[index] / jnp.sqrt(self.masses[index])[:, None]

    def coordinates(self, points):
        return self.nodes[points[:, 0]]

    def evaluate(self, coordinates):
        if self.features is None:
            raise ValueError(
                "these features are known on their points only: make the basis from a function to evaluate it"
            )
        return _solve_right(self.features(coordinates), self.triangle)

    def _draw(self, key, n, below):
        levels = jax.random.uniform(key, (n,)) * below[-1]
        return jnp.searchsorted(below, levels, side="right")[:, None]

    def draw(self, key, n):
        return self._draw(key, n, self.below[0])

    def draw_christoffel(self, key, n):
        return self._draw(key, n, self.below[1])

    def quadrature(self, n=200):
        return Quadrature(jnp.arange(self.rows.shape[0])[:, None], self.masses)


def finite(
    features: ArrayLike | Sequence | Callable,
    masses: ArrayLike | Sequence | None = None,
    nodes: ArrayLike | Sequence | None = None,
    check: bool = False,
) -> Finite:
    r"""Any features, orthonormal in a law on finitely many points: data, quadrature nodes, or a large sample.

    With $\sqrt\mu\, \psi = B R$ (QR) the basis is $\varphi = \psi R^{-1}$; R' is the Cholesky factor of the Gram matrix.

    Args:
        features: (N, m) values, or a function of nodes (N, e) with such values.
        masses: (N,), positive; equal if not given. They are scaled to sum 1.
        nodes: (N, e) coordinates; needed with a function, and the values themselves if not given.
        check: the features must be orthonormal as given, to 1e-8.

    Raises:
        ValueError: shapes, masses, features that are dependent or, with check, not orthonormal.
    """
    _need_x64()
    function = features if callable(features) else None
    if function is not None and nodes is None:
        raise ValueError("features is a function, but there are no nodes to evaluate it at: give nodes (N, e) as well")
    nodes = None if nodes is None else jnp.asarray(nodes, float)
    values = jnp.asarray(features if function is None else function(nodes), float)
    if values.ndim != 2 or values.shape[1] < 1 or values.shape[0] < values.shape[1]:
        raise ValueError(f"features have shape {values.shape}, but must be (N, m) with 1 <= m <= N: one row a point")
    n, m = values.shape
    nodes = values if nodes is None else nodes
    if nodes.ndim != 2 or nodes.shape[0] != n:
        raise ValueError(f"nodes have shape {nodes.shape}, but must be ({n}, e): one row for each row of the features")
    mass = jnp.full(n, 1 / n) if masses is None else jnp.asarray(masses, float)
    if mass.shape != (n,):
        raise ValueError(f"masses have shape {mass.shape}, but must be ({n},): one for each point")
    if not isinstance(values, Tracer) and not bool(jnp.isfinite(values).all()):
        raise ValueError("features hold NaN or infinity: leave these rows out, or fill them in")
    if not isinstance(mass, Tracer) and not bool(((mass > 0) & jnp.isfinite(mass)).all()):
        raise ValueError("masses must be positive and finite: leave points without mass out")
    mass = mass / mass.sum()
    weighted = jnp.sqrt(mass)[:, None] * values
    rows, triangle = jnp.linalg.qr(weighted)
    if not isinstance(values, Tracer):
        if check and (gap := float(jnp.abs(weighted.T @ weighted - jnp.eye(m)).max())) > 1e-8:
            raise ValueError(
                f"the features are not orthonormal: their Gram matrix differs from the identity by {gap:.2g}; "
                "leave check out to have them orthonormalised"
            )
        sizes = jnp.linalg.svd(triangle / jnp.linalg.norm(triangle, axis=0)[None, :], compute_uv=False)
        if not float(sizes[-1]) > n * jnp.finfo(values.dtype).eps * float(sizes[0]):
            raise ValueError(
                f"the {m} features are linearly dependent on these {n} points: leave some features out, or add points"
            )
    return Finite(
        rows=rows,
        masses=mass,
        nodes=nodes,
        below=jnp.stack([jnp.cumsum(mass), jnp.cumsum((rows**2).sum(axis=1))]),
        triangle=triangle,
        features=function,
    )


def _whole(family: Family) -> Product:
    return Product((family,), tuple((i,) for i in range(family.size)))


def legendre(m: int) -> Product:
    """Polynomials up to degree m - 1 on [-1, 1], uniform law."""
    return _whole(Legendre(m))


def hermite(m: int) -> Product:
    """Polynomials up to degree m - 1 on the line, standard normal law."""
    return _whole(Hermite(m))


def fourier(m: int) -> Product:
    """Trigonometric polynomials on [0, 1), m odd."""
    return _whole(Fourier(m))


def haar(m: int) -> Product:
    """Functions that are constant on m equal cells of [0, 1), m a power of 2."""
    return _whole(Haar(m))


def product(family: str, d: int, degree: int, space: str = "total-degree") -> Product:
    r"""Products of d functions of one family, over an index set. With $|a_i|$ the degree, frequency or level:

    - ``total-degree``: $\sum_i |a_i| \le p$;
    - ``hyperbolic-cross``: $\prod_i (|a_i| + 1) \le p + 1$;
    - ``box``: $\max_i |a_i| \le p$.

    Args:
        family: one of ``FAMILIES``.
        d: dimension.
        degree: p, from 0.
        space: one of ``SPACES``.
    """
    if family not in FAMILIES:
        raise ValueError(f"the family {family!r} is unknown: choose one of {', '.join(FAMILIES)}")
    if space not in SPACES:
        raise ValueError(f"the space {space!r} is unknown: choose one of {', '.join(SPACES)}")
    if d < 1 or degree < 0:
        raise ValueError(f"d = {d} and degree = {degree}, but d must be at least 1 and the degree at least 0")
    one = FAMILIES[family].up_to(degree)
    return Product((one,) * d, index_set(one.degrees, d, degree, space))


def index_set(degrees: Sequence[int] | np.ndarray, d: int, degree: int, space: str) -> tuple[tuple[int, ...], ...]:
    """The index vectors of ``product``, sorted by total degree. ``degrees`` are those of the functions of each coordinate."""
    degrees = [int(i) for i in degrees]

    def grow(left: int, budget: float) -> Iterator[tuple[int, ...]]:
        if left == 0:
            yield ()
            return
        for j, size in enumerate(degrees):
            cost = (budget - size) if space == "total-degree" else budget / (size + 1)
            if space == "box":
                rest = itertools.product(*(range(len(degrees)),) * (left - 1))
            elif cost >= (0 if space == "total-degree" else 1 - 1e-9):
                rest = grow(left - 1, cost)
            else:
                continue
            yield from ((j, *tail) for tail in rest)

    found = grow(d, float(degree if space == "total-degree" else degree + 1))
    return tuple(sorted(found, key=lambda a: (sum(degrees[i] for i in a), a)))


def _invert(family: Family, j: Array, level: Array) -> Array:
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
    return jax.random.uniform(key, (math.prod(shape),)).reshape(shape)


def _ginibre(key: Array, shape: tuple[int, ...]) -> Array:
    """Standard complex normal entries: E|z|^2 = 1."""
    re, im = jax.random.normal(key, (2 * math.prod(shape),)).reshape(2, *shape)
    return (re + 1j * im) / math.sqrt(2)


def _gammas(key: Array, shapes: np.ndarray) -> Array:
    """Gamma variables of whole shapes, as sums of exponential ones: far quicker to compile than rejection."""
    most = max(1, int(shapes.max(initial=1)))
    terms = -jnp.log1p(-uniform(key, (*shapes.shape, most)))
    return jnp.where(np.arange(most) < shapes[..., None], terms, 0.0).sum(axis=-1)


def _tridiagonal(diagonal: Array, beside: Array) -> Array:
    """Eigenvalues of the symmetric tridiagonal matrix."""
    return jnp.linalg.eigvalsh(jnp.diag(diagonal) + jnp.diag(beside, 1) + jnp.diag(beside, -1), symmetrize_input=False)


def _solve_right(values: Array, triangle: Array) -> Array:
    return jax.scipy.linalg.solve_triangular(triangle, values.T, trans=1).T


def _need_x64() -> None:
    if not jax.config.jax_enable_x64:  # pyright: ignore[reportAttributeAccessIssue]
        raise ValueError(
            "repelling points need float64, where float32 loses their orthogonality: "
            'call jax.config.update("jax_enable_x64", True) first'
        )
