r"""Surfaces to try methods on: with known spectra, with known isometries, and bodies in poses.

- ``sphere``: an icosphere, of spectrum $l (l + 1) / r^2$ with multiplicity 2 l + 1, to O(h^2).
- ``flat_torus``: in 4 dimensions, whose discrete spectrum is exactly
  $\lambda_{pq} = \frac{2 - 2 \cos(2 \pi p / m)}{h_1^2} + \frac{2 - 2 \cos(2 \pi q / n)}{h_2^2}$, with the chords
  $h_1 = 2 r_1 \sin(\pi / m)$ and $h_2 = 2 r_2 \sin(\pi / n)$: its faces are halves of rectangles.
- ``sheet``: a rectangle, plain or rolled about a cylinder, which is an isometry to O(h^2).
- ``Body``: a figure of capsules, as one implicit function that is blended smoothly,

$$ D(x) = -\tfrac1\beta \log \sum_i e^{-\beta d_i(x)}, \qquad d_i(x) = |x - \text{segment}_i| - r_i, \quad \beta = 25 . $$

  A pose turns capsule i about its point a_i by R_i; the skin follows by $x' = \sum_i w_i (R_i (x - a_i) + a_i)$ with weights
  $w = \mathrm{softmax}(-12\, d(x))$, so that vertex i of one pose is vertex i of each.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation
from scipy.special import logsumexp, softmax

from lab.numerics.arguments import whole
from lab.numerics.differentiation import needs_values
from lab.shapes.mesh import Mesh, edges, mesh

_BLEND, _SKIN = 25.0, 12.0


_REMEDY = "A mesh is of NumPy: multiply the vertices of one of radius 1 by a traced number."


def _lengths(**given: float) -> None:
    for name, value in given.items():
        if not 0 < value < np.inf:
            raise ValueError(f"{name} = {value:g} is not allowed: it must be positive and finite")


@needs_values(_REMEDY)
def sphere(times: int = 3, radius: float = 1.0) -> Mesh:
    r"""An icosahedron whose faces are divided in four that many times: $10 \cdot 4^{\mathrm{times}} + 2$ vertices.

    Vertices of the coarser sphere come first. The spectrum is l (l + 1) / r^2 with multiplicity 2 l + 1, to O(h^2).

    Args:
        times: from 0 to 7.
        radius: r.

    Returns:
        the mesh, about 0.

    Raises:
        ValueError: times outside 0 ... 7, or a radius that is not positive and finite.

    Source:
        Le et al. (2024), whose methods are tried on it; the spectrum: Courant and Hilbert, Methods of Mathematical Physics.

    Examples:
        >>> from lab import shapes
        >>> [shapes.sphere(times).n for times in (0, 1, 2)]
        [12, 42, 162]
    """
    if not 0 <= times <= 7 or int(times) != times:
        raise ValueError(f"times = {times}, but the faces of a sphere are divided from 0 to 7 times")
    _lengths(radius=radius)
    golden = (1 + 5**0.5) / 2
    short = np.array([[-1, golden, 0], [1, golden, 0], [-1, -golden, 0], [1, -golden, 0]])
    places = np.concatenate([np.roll(short, shift, axis=1) for shift in (0, 1, 2)])
    faces = _ICOSAHEDRON
    for _ in range(times):
        shape = mesh(places, faces)
        ends = edges(shape).ends
        number = {(i, j): shape.n + at for at, (i, j) in enumerate(ends.tolist())}
        places = np.concatenate([places, places[ends].mean(axis=1)])
        new = []
        for i, j, k in shape.faces.tolist():
            a, b, c = (number[min(pair), max(pair)] for pair in ((i, j), (j, k), (k, i)))
            new += [(i, a, c), (j, b, a), (k, c, b), (a, b, c)]
        faces = np.array(new)
        places = places / np.linalg.norm(places, axis=1, keepdims=True)
    return mesh(radius * places / np.linalg.norm(places, axis=1, keepdims=True), faces)


_ICOSAHEDRON = np.array(
    [
        *[(0, 11, 5), (0, 5, 1), (0, 1, 7), (0, 7, 10), (0, 10, 11), (1, 5, 9), (5, 11, 4), (11, 10, 2), (10, 7, 6)],
        *[(7, 1, 8), (3, 9, 4), (3, 4, 2), (3, 2, 6), (3, 6, 8), (3, 8, 9), (4, 9, 5), (2, 4, 11), (6, 2, 10)],
        *[(8, 6, 7), (9, 8, 1)],
    ]
)


@needs_values(_REMEDY)
def flat_torus(m: int, n: int, radii: tuple[float, float] = (1.0, 1.0)) -> Mesh:
    r"""The product of two circles with m and n points, in 4 dimensions; its squares are divided along a diagonal.

    $$ (r_1 \cos u, r_1 \sin u, r_2 \cos v, r_2 \sin v) $$

    The eigenvalues of the mesh are known exactly: ``figures.flat_torus_values``.

    Args:
        m: points of the first circle, at least 3.
        n: points of the second circle, at least 3.
        radii: r_1 and r_2.

    Returns:
        the mesh of m n vertices.

    Raises:
        ValueError: fewer than 3 points of a circle, or radii that are not positive.

    Source:
        Pinkall and Polthier (1993), of the weights that make it exact.

    Examples:
        >>> from lab import shapes
        >>> torus = shapes.flat_torus(4, 4)  # 16 squares of side sqrt 2
        >>> torus.n, round(torus.area, 9)
        (16, 32.0)
    """
    _check_torus(m, n, radii)
    u, v = (
        angle.ravel() for angle in np.meshgrid(*(2 * np.pi * np.arange(size) / size for size in (m, n)), indexing="ij")
    )
    one, two = radii
    places = np.stack([one * np.cos(u), one * np.sin(u), two * np.cos(v), two * np.sin(v)], axis=1)
    i, j = (index.ravel() for index in np.meshgrid(np.arange(m), np.arange(n), indexing="ij"))
    return mesh(places, _halves(i, j, (i + 1) % m, (j + 1) % n, n))


def _check_torus(m: int, n: int, radii: Any) -> None:
    if min(m, n) < 3:
        raise ValueError(f"m, n = {m}, {n}, but a circle needs at least 3 points")
    whole("m", m, 3)
    whole("n", n, 3)
    if len(radii) != 2:
        raise ValueError(f"radii has {len(radii)} numbers, but two are needed")
    for radius in radii:
        _lengths(radii=radius)


@needs_values(_REMEDY)
def flat_torus_values(m: int, n: int, radii: tuple[float, float] = (1.0, 1.0)) -> Float[np.ndarray, " mn"]:
    """All eigenvalues of ``flat_torus``, ascending: of the mesh exactly.

    Raises:
        ValueError: as ``flat_torus``.
    """
    _check_torus(m, n, radii)
    each = [
        (2 - 2 * np.cos(2 * np.pi * np.arange(size) / size)) / (2 * radius * np.sin(np.pi / size)) ** 2
        for size, radius in zip((m, n), radii, strict=True)
    ]
    return np.sort((each[0][:, None] + each[1][None, :]).ravel())


@needs_values(_REMEDY)
def sheet(m: int, n: int, width: float = 2.0, height: float = 1.0, turn: float = 0.0) -> Mesh:
    r"""A rectangle of m by n points, rolled about a cylinder by the angle ``turn`` (0: plain).

    $$ (\rho \sin(x / \rho),\, y,\, \rho (1 - \cos(x / \rho))), \qquad \rho = \mathrm{width} / \mathrm{turn} $$

    To roll is an isometry of the surface, and of the mesh to O(h^2).

    Args:
        m: points along the width, at least 2.
        n: points along the height, at least 2.
        width: of the rectangle.
        height: of the rectangle.
        turn: angle in rad, from 0 to below 2 pi.

    Returns:
        the mesh of m n vertices.

    Raises:
        ValueError: fewer than 2 points a side, a side that is not positive, or an angle outside [0, 2 pi).

    Source:
        do Carmo, Differential Geometry of Curves and Surfaces, on isometries.

    Examples:
        >>> from lab import shapes
        >>> shapes.sheet(3, 2, width=2.0, height=1.0).area
        2.0
    """
    if min(m, n) < 2 or not 0 <= turn < 2 * np.pi:
        raise ValueError(
            f"m, n, turn = {m}, {n}, {turn:g}, but at least 2 points a side and an angle in [0, 2 pi) are needed"
        )
    whole("m", m, 2)
    whole("n", n, 2)
    _lengths(width=width, height=height)
    x, y = (at.ravel() for at in np.meshgrid(np.linspace(0, width, m), np.linspace(0, height, n), indexing="ij"))
    if turn:
        radius = width / turn
        x, z = radius * np.sin(x / radius), radius * (1 - np.cos(x / radius))
    else:
        z = np.zeros_like(x)
    i, j = (index.ravel() for index in np.meshgrid(np.arange(m - 1), np.arange(n - 1), indexing="ij"))
    return mesh(np.stack([x, y, z], axis=1), _halves(i, j, i + 1, j + 1, n))


def _halves(i: np.ndarray, j: np.ndarray, right: np.ndarray, up: np.ndarray, n: int) -> np.ndarray:
    """The triangles of squares of a grid, whose vertices are numbered by rows of n."""
    a, b, c, d = i * n + j, right * n + j, right * n + up, i * n + up
    return np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)])


class Body(NamedTuple):
    """Capsules from a to b, and the box of the grid on which its skin was found."""

    a: Float[np.ndarray, "c 3"]
    b: Float[np.ndarray, "c 3"]
    radius: Float[np.ndarray, " c"]
    lower: Float[np.ndarray, " 3"]
    upper: Float[np.ndarray, " 3"]

    def capsules(self, x: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n c"]:
        """d_i(x), the distance to each capsule, negative within."""
        along = self.b - self.a
        rel = x[:, None, :] - self.a[None]
        t = np.clip((rel * along[None]).sum(axis=-1) / (along**2).sum(axis=-1)[None], 0, 1)
        return np.linalg.norm(rel - t[..., None] * along[None], axis=-1) - self.radius[None]

    def distance(self, x: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        """D(x), 0 on the skin."""
        return -logsumexp(-_BLEND * self.capsules(x), axis=1) / _BLEND

    def posed(self, skin: Mesh, turns: Any) -> Mesh:
        """The skin with capsule i turned about its point a by the rotation vector ``turns[i]`` (c, 3), in radians.

        Raises:
            ValueError: other than a finite vector for each capsule.
        """
        turns = np.asarray(turns, float)
        if turns.shape != self.a.shape or not np.isfinite(turns).all():
            raise ValueError(
                f"the turns have shape {turns.shape}, but a finite vector for each capsule is needed: {self.a.shape}"
            )
        weights = softmax(-_SKIN * self.capsules(skin.vertices), axis=1)
        matrices = Rotation.from_rotvec(turns).as_matrix()
        moved = np.einsum("cij,ncj->nci", matrices, skin.vertices[:, None] - self.a[None]) + self.a[None]
        return mesh((weights[..., None] * moved).sum(axis=1), skin.faces)

    def turns(self, seed: int, size: float = 0.5) -> Float[np.ndarray, "c 3"]:
        """Of a pose at random: of each limb a normal vector of that standard deviation in radians; the first capsule stays."""
        if not 0 <= size < np.inf:
            raise ValueError(f"size = {size:g}, but it must be at least 0 and finite")
        drawn = size * np.random.default_rng(seed).normal(size=self.a.shape)
        drawn[0] = 0
        return drawn


def _body(capsules: list[tuple], lower: tuple, upper: tuple) -> Body:
    a, b, radius = (np.array(each, float) for each in zip(*capsules, strict=True))
    return Body(a, b, radius, np.array(lower), np.array(upper))


PERSON = _body(
    [
        ((0, 0, 0), (0, 0, 1.2), 0.28),
        ((0, 0, 1.5), (0, 0, 1.62), 0.22),
        ((0.3, 0, 1.15), (1.05, 0, 1.15), 0.13),
        ((-0.3, 0, 1.15), (-1.35, 0, 1.15), 0.12),
        ((0.15, 0, -0.1), (0.2, 0, -1.3), 0.16),
        ((-0.15, 0, -0.1), (-0.25, 0, -1.1), 0.18),
        ((0, 0, 0.5), (0, 0.65, 0.5), 0.10),
    ],
    (-1.7137, -0.6071, -1.6893),
    (1.4, 1.0, 2.1),
)
"""Torso, head, two arms, two legs and a tail. Limbs of unlike lengths: what is left is told from what is right."""

ANIMAL = _body(
    [
        ((0, -0.7, 0), (0, 0.6, 0.05), 0.30),
        ((0, 0.85, 0.35), (0, 1.2, 0.45), 0.20),
        ((0.22, 0.5, -0.2), (0.28, 0.55, -1.0), 0.13),
        ((-0.22, 0.5, -0.2), (-0.3, 0.5, -0.85), 0.14),
        ((0.22, -0.6, -0.2), (0.25, -0.7, -0.95), 0.15),
        ((-0.22, -0.6, -0.2), (-0.28, -0.65, -1.1), 0.12),
        ((0, -0.95, 0.1), (0.15, -1.6, 0.4), 0.10),
    ],
    (-0.6137, -1.9071, -1.3893),
    (0.75, 1.6, 0.9),
)
"""A trunk, a head, four legs and a tail, all unlike."""

BODIES = {"person": PERSON, "animal": ANIMAL}

POSE = np.array([(0, 0, 0), (0.3, 0, 0), (0, 0.9, 0), (0, 0.6, 0.5), (-0.7, 0, 0), (0.6, 0, 0.2), (0, 0, 0.5)])
"""Turns of the person, far from how it stands: edges change by up to a quarter, geodesics by 5%."""
