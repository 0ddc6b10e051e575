r"""Orthonormal functions of a probability law, and how to draw from the law and from its Christoffel density.

A basis is $\varphi = (\varphi_1, ..., \varphi_m)$ with $\int \varphi \varphi^T d\mu = I$. Its inverse Christoffel function is
$k_m(x) = |\varphi(x)|^2$, with $\int k_m d\mu = m$, and the Christoffel density is $d\nu_m = (k_m / m)\, d\mu$.

In one dimension ``Legendre`` (uniform on [-1, 1]), ``Hermite`` (standard normal), ``Fourier`` and ``Haar`` (uniform on
[0, 1)); ``Product`` multiplies them over an index set; ``Finite`` holds any features on finitely many points.

A draw of $\nu_m$ takes one function at random, then x from $\varphi_j^2 d\mu$ by its distribution function
(``lab.sampling.families``), exactly.

Points are arrays (n, d), for ``Finite`` indices (n, 1); ``coordinates`` gives what a function is evaluated at.

Source: Nouy and Michel, arXiv 2312.14057, 2023.
"""

import itertools
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Num

from lab.choices import choices, chosen
from lab.numerics import arguments, random
from lab.precision import need_float64
from lab.sampling.families import FAMILIES, Family, Fourier, Haar, Hermite, Legendre, Name, invert, uniform

type Space = Literal["total-degree", "hyperbolic-cross", "box"] | str
SPACES = choices(Space)


class Quadrature(NamedTuple):
    """Points and masses of a law with mass 1."""

    points: Num[Array, "n d"]
    masses: Float[Array, " n"]


class Basis(eqx.Module):
    """m orthonormal functions of a law that can be drawn from. See the module."""

    @property
    @abstractmethod
    def m(self) -> int:
        """How many functions there are."""

    @abstractmethod
    def __call__(self, points: Num[Array, "n d"]) -> Float[Array, "n m"]:
        """The functions at points."""

    def coordinates(self, points: Num[Array, "n d"]) -> Float[Array, "n e"]:
        """Where a point lies: the point itself, or the row that an index names."""
        return points

    def evaluate(self, coordinates: Float[Array, "n e"]) -> Float[Array, "n m"]:
        """The functions at any coordinates, drawn or not."""
        return self(coordinates)

    def christoffel(self, points: Num[Array, "n d"]) -> Float[Array, " n"]:
        """$k_m(x) = |\\varphi(x)|^2$."""
        return (self(points) ** 2).sum(axis=1)

    @abstractmethod
    def draw(self, key: Array, n: int) -> Num[Array, "n d"]:
        r"""n independent points of $\mu$."""

    @abstractmethod
    def draw_christoffel(self, key: Array, n: int) -> Num[Array, "n d"]:
        r"""n independent points of $\nu_m$."""

    @abstractmethod
    def quadrature(self, n: int = 200) -> Quadrature:
        """Points and masses that integrate products of two of the functions exactly; n a coordinate."""

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
        points = arguments.real("points", points, (None, self.d))
        index = np.asarray(self.indices)
        value = self.families[0].values(points[:, 0])[:, index[:, 0]]
        for i in range(1, self.d):
            value = value * self.families[i].values(points[:, i])[:, index[:, i]]
        return value

    def density(self, points: Float[Array, "n d"]) -> Float[Array, " n"]:
        """Of the law, for Lebesgue measure."""
        return jnp.stack([family.density(points[:, i]) for i, family in enumerate(self.families)]).prod(axis=0)

    def log_density(self, points: Float[Array, "n d"]) -> Float[Array, " n"]:
        """Its logarithm, -inf where it is 0."""
        return jnp.stack([family.log_density(points[:, i]) for i, family in enumerate(self.families)]).sum(axis=0)

    def draw(self, key, n):
        keys = jax.random.split(key, self.d)
        return jnp.stack([family.draw(keys[i], n) for i, family in enumerate(self.families)], axis=1)

    def draw_christoffel(self, key, n):
        levels = uniform(key, (self.d + 1, n))
        chosen = jnp.asarray(self.indices)[(levels[-1] * self.m).astype(int)]
        columns = [invert(family, chosen[:, i], levels[i]) for i, family in enumerate(self.families)]
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
        levels = random.uniform(key, (n,)) * below[-1]
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

    Returns:
        the basis, m functions on N points; a point is its index, (n, 1).

    Raises:
        ValueError: shapes, masses, features that are dependent or, with check, not orthonormal.

    Source:
        Nouy and Michel (2023); the QR decomposition: Golub and Van Loan, Matrix Computations.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import sampling
        >>> basis = sampling.finite([[1.0, 0.0], [1.0, 1.0], [1.0, 3.0]])
        >>> phi = basis(jnp.arange(3)[:, None])
        >>> bool(jnp.allclose(phi.T @ phi / 3, jnp.eye(2)))
        True
    """
    need_float64("a projection DPP")
    function = features if callable(features) else None
    if function is not None and nodes is None:
        raise ValueError("features is a function, but there are no nodes to evaluate it at: give nodes (N, e) as well")
    nodes = None if nodes is None else arguments.real("nodes", nodes, finite=False).astype(float)
    values = arguments.real("features", features if function is None else function(nodes), finite=False).astype(float)
    if values.ndim != 2 or values.shape[1] < 1 or values.shape[0] < values.shape[1]:
        raise ValueError(f"features have shape {values.shape}, but must be (N, m) with 1 <= m <= N: one row a point")
    n, m = values.shape
    nodes = values if nodes is None else nodes
    if nodes.ndim != 2 or nodes.shape[0] != n:
        raise ValueError(f"nodes have shape {nodes.shape}, but must be ({n}, e): one row for each row of the features")
    mass = jnp.full(n, 1 / n) if masses is None else arguments.real("masses", masses, finite=False).astype(float)
    if mass.shape != (n,):
        raise ValueError(f"masses have shape {mass.shape}, but must be ({n},): one for each point")
    if not isinstance(values, Tracer) and not np.isfinite(np.asarray(values)).all():
        raise ValueError("features hold NaN or infinity: leave these rows out, or fill them in")
    if not isinstance(mass, Tracer) and not ((np.asarray(mass) > 0) & np.isfinite(mass)).all():
        raise ValueError("masses must be positive and finite: leave points without mass out")
    mass = mass / mass.sum()
    weighted = jnp.sqrt(mass)[:, None] * values
    rows, triangle = jnp.linalg.qr(weighted)
    if not isinstance(triangle, Tracer):
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


def points_of(basis: Basis, name: str, points: ArrayLike | Sequence) -> Num[Array, "n d"]:
    """Points of a basis, checked: coordinates (n, d), or indices (n, 1) of a finite one."""
    if not isinstance(basis, Finite):
        return arguments.real(name, points, (None, basis.d if isinstance(basis, Product) else None))
    found = jnp.asarray(points)
    known = None if isinstance(found, Tracer) else np.asarray(found)
    count = basis.rows.shape[0]
    fits = found.ndim == 2 and found.shape[1] == 1 and jnp.issubdtype(found.dtype, jnp.integer)
    if not fits or (known is not None and ((known < 0) | (known >= count)).any()):
        raise ValueError(f"{name} of a finite basis must be indices from 0 to {count - 1}, of shape (n, 1)")
    return found


def _whole(family: Family) -> Product:
    return Product((family,), tuple((i,) for i in range(family.size)))


def legendre(m: int) -> Product:
    r"""Polynomials up to degree m - 1 on [-1, 1], uniform law.

    $$ \varphi_j(x) = \sqrt{2 j + 1}\, P_j(x), \qquad j = 0, ..., m - 1 $$

    Args:
        m: how many functions, at least 1.

    Returns:
        the basis, in one dimension.

    Raises:
        ValueError: m below 1.

    Source:
        Szego, Orthogonal Polynomials (1939).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import sampling
        >>> sampling.legendre(3)(jnp.ones((1, 1))).round(3)  # the roots of 1, 3 and 5
        Array([[1.   , 1.732, 2.236]], dtype=float64)
    """
    return _whole(Legendre(m))


def hermite(m: int) -> Product:
    r"""Polynomials up to degree m - 1 on the line, standard normal law.

    $$ \varphi_j(x) = \mathrm{He}_j(x) / \sqrt{j!}, \qquad j = 0, ..., m - 1 $$

    Args:
        m: how many functions, at least 1.

    Returns:
        the basis, in one dimension.

    Raises:
        ValueError: m below 1.

    Source:
        Szego, Orthogonal Polynomials (1939).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import sampling
        >>> sampling.hermite(3)(jnp.full((1, 1), 3.0)).round(3)  # 1, x and (x^2 - 1) / sqrt 2
        Array([[1.   , 3.   , 5.657]], dtype=float64)
    """
    return _whole(Hermite(m))


def fourier(m: int) -> Product:
    r"""Trigonometric polynomials on [0, 1), uniform law.

    $$ 1, \; \sqrt2 \cos(2 \pi k x), \; \sqrt2 \sin(2 \pi k x), \qquad k = 1, ..., (m - 1) / 2 $$

    The inverse Christoffel function is m everywhere.

    Args:
        m: how many functions, odd.

    Returns:
        the basis, in one dimension.

    Raises:
        ValueError: m that is even or below 1.

    Source:
        Zygmund, Trigonometric Series (1935).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import sampling
        >>> sampling.fourier(5).christoffel(jnp.array([[0.0], [0.3]])).round(9)
        Array([5., 5.], dtype=float64)
    """
    return _whole(Fourier(m))


def haar(m: int) -> Product:
    r"""Functions that are constant on m equal cells of [0, 1), uniform law: Haar's wavelets of the first levels.

    $$ \varphi_0 = 1, \qquad \varphi_{2^l + k}(x) = 2^{l/2}\, \psi(2^l x - k), \quad 0 \le k < 2^l, \quad
       \psi = 1_{[0, 1/2)} - 1_{[1/2, 1)} $$

    Args:
        m: how many functions, a power of 2.

    Returns:
        the basis, in one dimension.

    Raises:
        ValueError: m that is no power of 2.

    Source:
        Haar, Zur Theorie der orthogonalen Funktionensysteme (1910).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import sampling
        >>> sampling.haar(4)(jnp.array([[0.1]])).round(3)  # in the first half, and in the first quarter
        Array([[1.   , 1.   , 1.414, 0.   ]], dtype=float64)
    """
    return _whole(Haar(m))


@chosen
def product(family: Name, d: int, degree: int, space: Space = "total-degree") -> Product:
    r"""Products of d functions of one family, over an index set. With $|a_i|$ the degree, frequency or level:

    - ``total-degree``: $\sum_i |a_i| \le p$;
    - ``hyperbolic-cross``: $\prod_i (|a_i| + 1) \le p + 1$;
    - ``box``: $\max_i |a_i| \le p$.

    Args:
        family: one of ``FAMILIES``.
        d: dimension.
        degree: p, from 0.
        space: one of ``SPACES``.

    Returns:
        the basis, on points (n, d).

    Raises:
        ValueError: an unknown word, d below 1, a negative degree.

    Source:
        Nouy and Michel (2023); index sets as in Cohen and Migliorati (2017).

    Examples:
        >>> from lab import sampling
        >>> [sampling.product("legendre", 2, 2, space).m for space in ("total-degree", "hyperbolic-cross", "box")]
        [6, 5, 9]
    """
    arguments.whole("d", d, 1)
    arguments.whole("degree", degree, 0)
    one = FAMILIES[family].up_to(degree)
    return Product((one,) * d, index_set(one.degrees, d, degree, space))


@chosen
def index_set(degrees: Sequence[int] | np.ndarray, d: int, degree: int, space: Space) -> tuple[tuple[int, ...], ...]:
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


@chosen
def largest(family: Name, d: int, m: int, space: Space = "total-degree") -> Product:
    """The largest basis of at most m functions: all m of one variable, or the largest whole index set of ``product``.

    Args:
        family, d, space: as of ``product``.
        m: functions, at least 1.
    """
    if d == 1:
        return _whole(FAMILIES[family](m))
    best = product(family, d, 0, space)
    for degree in range(1, m + 1):
        size = len(index_set(FAMILIES[family].up_to(degree).degrees, d, degree, space))
        if size > m:
            break
        best = product(family, d, degree, space)
    return best


@arguments.arrays()
def polynomials(x: Float[Array, "N d"], m: int) -> Finite:
    r"""m polynomials of the columns of a table, orthonormal on its rows: the constant, lines, then products by degree.

    They span products $\prod_i P_{a_i}(x_i)$ of Legendre polynomials of the columns, scaled to [-1, 1], and are orthonormal
    for equal masses 1 / N.

    Args:
        x: the table (N, d).
        m: how many functions.

    Returns:
        the basis on the N rows, which are its nodes.

    Raises:
        ValueError: rows that are too few, or too alike, for m functions.

    Source:
        Szego, Orthogonal Polynomials (1939); orthonormalised as in ``finite``.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import sampling
        >>> basis = sampling.polynomials(jnp.array([[0.0], [1.0], [5.0], [7.0]]), 3)
        >>> basis.m, float(basis.christoffel(jnp.arange(4)[:, None]).mean().round(9))  # the mean is m
        (3, 3.0)
    """
    arguments.whole("m", m, 1)
    low, high = x.min(axis=0), x.max(axis=0)
    scaled = (x - (low + high)[None] / 2) / jnp.where(high > low, (high - low) / 2, 1.0)[None]
    d, degree = x.shape[1], 1
    indices = ((0,) * d, *(tuple(int(i == j) for i in range(d)) for j in range(d)))
    while len(indices) < m:
        degree += 1
        indices = index_set(range(degree + 1), d, degree, "total-degree")
    return finite(Product((Legendre(degree + 1),) * d, indices[:m])(scaled), nodes=x)


def _solve_right(values: Array, triangle: Array) -> Array:
    return jax.scipy.linalg.solve_triangular(triangle, values.T, trans=1).T
