r"""Potentials whose gradients move points, the equations that they keep, and families whose flows are known exactly.

$$ \dot z = \nabla u(z, t), \qquad \partial_t \rho + \nabla \cdot (\rho \nabla u) = 0, \qquad
   \frac{d}{dt} \log \rho(z_t, t) = -\Delta u $$

Points climb. A potential is any function of a point (d,) and a time; ``Climb`` is its field, for ``carry``. The equations, each
as a residual that is 0 where it holds:

| pde | residual |
|---|---|
| "wave" | $u_{tt} - c^2 \Delta u$, and $\nabla u(\cdot, 0) = 0$: points start from rest |
| "heat" | $u_t - c^2 \Delta u$ |
| "hamilton-jacobi" | $u_t + |\nabla u|^2 / 2 - f$, with a force f that is at most 0: free transport where f = 0 |
| "fokker-planck" | $u_t + |\nabla u|^2 + z \cdot \nabla u - c^2 \Delta u$: $u = -|z|^2/2 - c^2 \log \rho$, towards N(0, c² I) |
| "none" | 0 |

$\Delta u$ is the trace of the Hessian, a number for each point; not the row sums of the Hessian, a vector, which is what
differentiating the sum of the gradient gives.

Source: Song, Keller, Sebe, Welling, *Latent Traversals in Generative Models as Potential Flows*, ICML 2023; Benamou, Brenier,
*A computational fluid mechanics solution to the Monge-Kantorovich mass transfer problem*, 2000.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from lab.choices import chosen
from lab.numerics import random
from lab.numerics.arguments import real, whole
from lab.numerics.matrix_functions import phi, symmetric
from lab.ot.gaussian import bures

type PDE = Literal["wave", "heat", "hamilton-jacobi", "fokker-planck", "none"] | str
type Potential = Callable[[Float[Array, " d"], Any], Float[Array, ""]]
type Vector = Float[Array, " d"]
type Square = Float[Array, "d d"]
type Scalar = Float[Array, ""]

PDES = ("wave", "heat", "hamilton-jacobi", "fokker-planck", "none")


class Derivatives(NamedTuple):
    """What the equations are made of, of one point at one time."""

    value: Scalar
    gradient: Vector
    laplacian: Scalar
    rate: Scalar  # u_t
    acceleration: Scalar  # u_tt


def derivatives(u: Potential, z: Vector, t: ArrayLike) -> Derivatives:
    r"""$u, \nabla u, \Delta u = \operatorname{tr} \nabla^2 u, u_t, u_{tt}$ at one point, forward over forward.

    Along each axis and along time a second derivative in that direction: d + 1 passes, no Hessian is formed, and what is
    learned of it is differentiated once backward. Of several points by ``vmap``, so that they can't mix.
    """
    t, one = jnp.asarray(t, z.dtype), jnp.ones((), z.dtype)

    def along(axis: Vector) -> tuple[Array, Array, Array]:
        (value, slope), (_, bend) = jax.jvp(lambda at: jax.jvp(lambda x: u(x, t), (at,), (axis,)), (z,), (axis,))
        return value, slope, bend

    value, gradient, second = jax.vmap(along)(jnp.eye(z.shape[0], dtype=z.dtype))
    rate, acceleration = over_time(u, z, t, one)
    return Derivatives(value[0], gradient, second.sum(), rate, acceleration)


def over_time(u: Potential, z: Vector, t: Array, one: Array) -> tuple[Array, Array]:
    """The first and second derivative by time."""
    (_, rate), (_, acceleration) = jax.jvp(lambda at: jax.jvp(lambda s: u(z, s), (at,), (one,)), (t,), (one,))
    return rate, acceleration


def gradient(u: Potential, z: Vector, t: ArrayLike) -> Vector:
    """The velocity of a point that climbs."""
    return jax.grad(u)(z, jnp.asarray(t, z.dtype))


def laplacian(u: Potential, z: Vector, t: ArrayLike) -> Scalar:
    """The trace of the Hessian."""
    return derivatives(u, z, t).laplacian


class Estimated(NamedTuple):
    value: Scalar
    error: Scalar  # standard error, over the probes


def hutchinson(key: PRNGKeyArray, u: Potential, z: Vector, t: ArrayLike, probes: int = 4) -> Estimated:
    r"""The Laplacian as a mean of $s^\top \nabla^2 u\, s$ over signs $s$, for many dimensions: ``probes`` passes instead of d.

    Args:
        probes: at least 2, so that their spread tells the error.
    """
    probes = whole("probes", probes, 2)  # of fewer there is no standard error
    t = jnp.asarray(t, z.dtype)
    signs = random.rademacher(key, (probes, *z.shape), z.dtype)

    def along(sign: Vector) -> Array:
        return jax.jvp(lambda at: jax.jvp(lambda x: u(x, t), (at,), (sign,))[1], (z,), (sign,))[1]

    found = jax.vmap(along)(signs)
    return Estimated(found.mean(), found.std(ddof=1) / jnp.sqrt(jnp.asarray(probes, z.dtype)))


@chosen
def residual(pde: PDE, z: Vector, found: Derivatives, c: ArrayLike = 1.0, force: ArrayLike = 0.0) -> Scalar:
    """What is left of an equation at one point: 0 where the potential keeps it.

    Args:
        z: the point, of which the drift of Fokker-Planck is made.
        c: its square is the speed squared of waves, the diffusivity of heat, the temperature of Fokker-Planck.
        force: f of the generalised Hamilton-Jacobi equation, at most 0.
    """
    squared = jnp.asarray(c, z.dtype) ** 2
    match pde:
        case "wave":
            return found.acceleration - squared * found.laplacian
        case "heat":
            return found.rate - squared * found.laplacian
        case "hamilton-jacobi":
            return found.rate + (found.gradient**2).sum() / 2 - jnp.asarray(force, z.dtype)
        case "fokker-planck":
            moving = ((found.gradient + z) * found.gradient).sum()
            return found.rate + moving - squared * found.laplacian
    return jnp.zeros((), z.dtype)


class Climb(eqx.Module):
    """A potential as a field for ``carry``: velocities and their divergence.

    Args:
        potential: u; a pytree, or a plain function, which is compiled in.
        sign: -1 for points that go down instead; the equation of u then no longer is that of their density.
    """

    potential: Any
    sign: Any = 1.0

    def __call__(self, t: ArrayLike, z: Float[Array, "n d"]) -> Float[Array, "n d"]:
        return jnp.asarray(self.sign, z.dtype) * jax.vmap(lambda x: gradient(self.potential, x, t))(z)

    def divergence(self, t: ArrayLike, z: Float[Array, "n d"]) -> Float[Array, " n"]:
        return jnp.asarray(self.sign, z.dtype) * jax.vmap(lambda x: laplacian(self.potential, x, t))(z)


class Free(eqx.Module):
    """Points that keep their first velocity: the free transport of Hamilton and Jacobi, each on a line of its own."""

    velocity: Float[Array, "n d"]
    hessian: Float[Array, "n d d"]  # of the potential, where they start

    def __call__(self, t: ArrayLike, z: Float[Array, "n d"]) -> Float[Array, "n d"]:
        return self.velocity

    def divergence(self, t: ArrayLike, z: Float[Array, "n d"]) -> Float[Array, " n"]:
        r"""$\operatorname{tr} S (I + tS)^{-1}$."""
        values = jnp.linalg.eigvalsh(self.hessian)
        return (values / (1 + jnp.asarray(t, z.dtype) * values)).sum(axis=1)


# --- quadratic potentials: flows that are affine --------------------------------------------------------------------------


class Affine(NamedTuple):
    """Where points are after a time: $z \\mapsto P z + q$."""

    matrix: Square
    shift: Vector

    def __call__(self, z: ArrayLike | Sequence) -> Float[Array, "*n d"]:
        """Carry points (n, d), or one point (d,).

        Raises:
            ValueError: points of another dimension.
        """
        z = real("z", z, finite=False)
        if z.ndim not in (1, 2) or z.shape[-1] != self.shift.shape[0]:
            d = self.shift.shape[0]
            raise ValueError(f"z has shape {z.shape}, but points (n, {d}) or one point ({d},) are needed")
        return z @ self.matrix.T + jnp.broadcast_to(self.shift, z.shape)


def _grown(a: Square, g: Vector, s: Array) -> Affine:
    r"""The flow of $dz/ds = A z + g$: $e^{As}$ and $s\,\varphi(As) g$ with $\varphi(x) = (e^x - 1)/x$."""
    grown = symmetric(a).affine(s)
    return Affine(grown.function(jnp.exp, pole=None), s * (grown.function(phi, pole=None) @ g))


class Wave(eqx.Module):
    r"""$u = t\,(z^\top A z / 2 + g^\top z) + c^2 \operatorname{tr}(A)\, t^3 / 6$: from rest by $e^{A t^2/2}$."""

    a: Square
    g: Vector
    c: Any

    def __init__(self, a: Any, g: Any, c: Any = 1.0):
        self.a, self.g = quadratic("a", a, "g", g)
        self.c = _speed(c)

    def __call__(self, z: Vector, t: ArrayLike) -> Scalar:
        return t * (z @ self.a @ z / 2 + self.g @ z) + self.c**2 * jnp.trace(self.a) * t**3 / 6

    def flow(self, t: ArrayLike) -> Affine:
        return _grown(self.a, self.g, jnp.asarray(t, self.a.dtype) ** 2 / 2)

    def log_density_change(self, t: ArrayLike) -> Array:
        return -jnp.trace(self.a) * jnp.asarray(t, self.a.dtype) ** 2 / 2


class Heat(eqx.Module):
    r"""$u = z^\top A z / 2 + g^\top z + c^2 \operatorname{tr}(A)\, t$: points go $e^{A t}$."""

    a: Square
    g: Vector
    c: Any

    def __init__(self, a: Any, g: Any, c: Any = 1.0):
        self.a, self.g = quadratic("a", a, "g", g)
        self.c = _speed(c)

    def __call__(self, z: Vector, t: ArrayLike) -> Scalar:
        return z @ self.a @ z / 2 + self.g @ z + self.c**2 * jnp.trace(self.a) * t

    def flow(self, t: ArrayLike) -> Affine:
        return _grown(self.a, self.g, jnp.asarray(t, self.a.dtype))

    def log_density_change(self, t: ArrayLike) -> Array:
        return -jnp.trace(self.a) * jnp.asarray(t, self.a.dtype)


class HamiltonJacobi(eqx.Module):
    r"""From $u(z, 0) = z^\top S z / 2 + b^\top z$ $u_t + |\nabla u|^2/2 = 0$: points go straight, $z + t(Sz + b)$.

    At (z, t) the point came from $z_0 = (I + tS)^{-1}(z - tb)$, and $u = u(z_0, 0) + t |S z_0 + b|^2 / 2$, as Hopf and Lax have
    it. It holds until $I + tS$ is no longer positive definite (``shock_time``): then lines meet.
    """

    s: Square
    b: Vector

    def __init__(self, s: Any, b: Any):
        self.s, self.b = quadratic("s", s, "b", b)

    def __call__(self, z: Vector, t: ArrayLike) -> Scalar:
        start = jnp.linalg.solve(jnp.eye(z.shape[0], dtype=z.dtype) + t * self.s, z - t * self.b)
        velocity = self.s @ start + self.b
        return start @ self.s @ start / 2 + self.b @ start + t * (velocity @ velocity) / 2

    def flow(self, t: ArrayLike) -> Affine:
        """Raises ValueError at and after the shock, where the time is known."""
        t = jnp.asarray(t, self.s.dtype)
        if not isinstance(t, Tracer) and not isinstance(self.s, Tracer) and t.max() >= shock_time(self.s):
            raise ValueError(
                f"t = {float(t.max()):g}, but lines meet at t = {float(shock_time(self.s)):.4g}: ask for an earlier time"
            )
        return Affine(jnp.eye(self.s.shape[0], dtype=self.s.dtype) + t * self.s, t * self.b)

    def log_density_change(self, t: ArrayLike) -> Array:
        t = jnp.asarray(t, self.s.dtype)
        return -jnp.log1p(t * jnp.linalg.eigvalsh(self.s)).sum()


class FokkerPlanck(eqx.Module):
    r"""$u = -(V + \beta^{-1} \log \rho)$ with $V = (z - m)^\top \Pi (z - m) / 2$, from the Gaussian $\rho_0 = N(m_0, C_0)$.

    $\rho$ stays Gaussian: mean $m + e^{-\Pi t}(m_0 - m)$, covariance
    $e^{-\Pi t} C_0 e^{-\Pi t} + \beta^{-1} \int_0^t 2 e^{-2 \Pi s} ds$. With $\Pi = 0$ it is the heat flow of densities, whose
    velocity is $-\nabla \log \rho$ and covariance $C_0 + 2t I/\beta$.
    """

    mean: Vector  # m_0
    covariance: Square  # C_0
    goal: Vector  # m
    precision: Square  # Pi
    beta: Any

    def __init__(self, mean: Any, covariance: Any, goal: Any, precision: Any, beta: Any = 1.0):
        self.covariance, self.mean = quadratic("covariance", covariance, "mean", mean)
        self.precision, self.goal = quadratic("precision", precision, "goal", goal)
        if self.precision.shape != self.covariance.shape:
            raise ValueError(
                f"precision has shape {self.precision.shape} and covariance {self.covariance.shape}: they must agree"
            )
        _positive_definite("covariance", self.covariance)
        _positive_definite("precision", self.precision, semi=True)
        self.beta = real("beta", beta, (), low=0, strict=True) if eqx.is_array_like(beta) else beta

    def law(self, t: ArrayLike) -> tuple[Vector, Square]:
        """Mean and covariance at a time."""
        t = jnp.asarray(t, self.mean.dtype)
        made = symmetric(self.precision)
        decay = made.affine(-t).function(jnp.exp, pole=None)
        spread = 2 * t * made.affine(-2 * t).function(phi, pole=None) / self.beta
        return self.goal + decay @ (self.mean - self.goal), decay @ self.covariance @ decay + spread

    def __call__(self, z: Vector, t: ArrayLike) -> Scalar:
        mean, covariance = self.law(t)
        away, from_goal = z - mean, z - self.goal
        turned = 2 * jnp.pi * covariance
        log_density = -(away @ jnp.linalg.solve(covariance, away) + jnp.linalg.slogdet(turned)[1]) / 2
        return -(from_goal @ self.precision @ from_goal / 2 + log_density / self.beta)


def quadratic(name: str, matrix: Any, other: str, vector: Any) -> tuple[Array, Array]:
    """The symmetric matrix and the vector of a quadratic form.

    Raises:
        ValueError: a matrix that is not square and symmetric, or a vector of another size.
    """
    if not _given(matrix) or not _given(vector):
        return matrix, vector  # a place in a pytree
    matrix = real(name, matrix, ("d", "d"))
    if matrix.shape[0] != matrix.shape[1] or not matrix.shape[0]:
        raise ValueError(f"{name} has shape {matrix.shape}, but a square matrix of at least one row is needed")
    values = None if isinstance(matrix, Tracer) else np.asarray(matrix)
    if values is not None and not np.allclose(
        values, values.T, rtol=1e-6, atol=1e-9 * max(1.0, float(np.abs(values).max()))
    ):
        raise ValueError(
            f"{name} is not symmetric, but gradients of potentials have symmetric Jacobians: give ({name} + {name}ᵀ)/2"
        )
    return matrix, real(other, vector, (matrix.shape[0],), dtype=matrix.dtype)


def _given(value: Any) -> bool:
    return eqx.is_array_like(value) or isinstance(value, list | tuple)


def _speed(c: Any) -> Any:
    return real("c", c, ()) if _given(c) and not isinstance(c, float | Tracer | Array) else c


def _positive_definite(name: str, matrix: Any, semi: bool = False) -> None:
    if isinstance(matrix, Tracer) or not eqx.is_array_like(matrix):
        return
    values = np.linalg.eigvalsh(np.asarray(matrix))
    if not (values[0] > 0 or (semi and values[0] >= -1e-12 * max(1.0, values[-1]))):
        kind = "positive semi-definite" if semi else "positive definite"
        raise ValueError(f"{name} has the eigenvalue {values[0]:.6g}, but it must be {kind}")


def shock_time(hessians: ArrayLike | Sequence) -> Scalar:
    r"""When the lines of free transport first meet: $-1/\lambda$ of the least eigenvalue of all Hessians, or never."""
    hessians = real("hessians", hessians)
    least = jnp.linalg.eigvalsh(hessians).min()
    return jnp.where(least < 0, -1 / jnp.where(least < 0, least, -1.0), jnp.inf)


class Joined(NamedTuple):
    """Potentials that carry one Gaussian to another by the same map, each in its own way."""

    wave: Wave
    heat: Heat
    hamilton_jacobi: HamiltonJacobi
    squared: Scalar  # W_2 squared
    matrix: Square  # of the map, M


def joined(
    mean: ArrayLike | Sequence,
    covariance: ArrayLike | Sequence,
    goal: ArrayLike | Sequence,
    goal_covariance: ArrayLike | Sequence,
    time: ArrayLike = 1.0,
    c: ArrayLike = 1.0,
) -> Joined:
    r"""The quadratic potentials of each equation that take $N(m_0, C_0)$ to $N(m_1, C_1)$ in a time T.

    All end in the Brenier map $z \mapsto M z + s$: $e^{A\tau} = M$ with $\tau = T$ for heat and $T^2/2$ for waves, and
    $I + TS = M$ for Hamilton-Jacobi, whose kinetic energy is $W_2^2$. Energies differ, ends do not.

    Both covariances must be positive definite, or M has no logarithm.

    Raises:
        ValueError: shapes that do not fit, a covariance that is not positive definite, or a time that is not positive.
    """
    covariance, mean = quadratic("covariance", covariance, "mean", mean)
    goal_covariance, goal = quadratic("goal_covariance", goal_covariance, "goal", goal)
    if covariance.shape != goal_covariance.shape:
        raise ValueError(
            f"covariance and goal_covariance have shapes {covariance.shape} and {goal_covariance.shape}: they must agree"
        )
    _positive_definite("covariance", covariance)
    _positive_definite("goal_covariance", goal_covariance)
    time = real("time", time, (), low=0, strict=True)
    best = bures(mean, covariance, goal, goal_covariance)
    shift, time = best.target - best.matrix @ best.source, jnp.asarray(time, mean.dtype)
    made = symmetric(best.matrix)
    log = made.function(jnp.log)
    push = made.function(lambda values: 1 / phi(jnp.log(values))) @ shift
    half, c = time**2 / 2, jnp.asarray(c, mean.dtype)
    eye = jnp.eye(mean.shape[0], dtype=mean.dtype)
    sharp = (best.matrix + best.matrix.T) / 2
    return Joined(
        Wave(log / half, push / half, c),
        Heat(log / time, push / time, c),
        HamiltonJacobi((sharp - eye) / time, shift / time),
        best.squared,
        sharp,
    )


def gaussian_energy(potential: Potential, mean: Vector, covariance: Square, t: ArrayLike) -> Scalar:
    r"""$E|\nabla u|^2 = |\nabla u(m)|^2 + \operatorname{tr} H C H$ of a quadratic u, by mean and covariance."""
    t = jnp.asarray(t, mean.dtype)
    h = jax.hessian(potential)(mean, t)
    return (gradient(potential, mean, t) ** 2).sum() + jnp.trace(h @ covariance @ h)


# --- plane waves, and sums of them ----------------------------------------------------------------------------------------


@chosen
class Ripples(eqx.Module):
    r"""$u = \sum_j B_j \sin(k_j \cdot z + \varphi_j)\, f_j(t)$, f being $\sin(c|k|t)$ for waves, $e^{-c^2|k|^2 t}$ for heat.

    Both equations are linear, so that sums of plane waves keep them. ``still`` is the sum at f = 1, from which Hamilton and
    Jacobi's equation starts.
    """

    waves: Float[Array, "m d"]  # k_j
    phases: Float[Array, " m"]
    heights: Float[Array, " m"]  # B_j
    c: Any
    pde: Literal["wave", "heat", "still"] | str = eqx.field(static=True)

    def __call__(self, z: Vector, t: ArrayLike) -> Scalar:
        lengths = jnp.sqrt((self.waves**2).sum(axis=1))
        shapes = {
            "wave": lambda: jnp.sin(self.c * lengths * t),
            "heat": lambda: jnp.exp(-((self.c * lengths) ** 2) * t),
            "still": lambda: jnp.ones_like(lengths),
        }
        return (self.heights * shapes[self.pde]() * jnp.sin(self.waves @ z + self.phases)).sum()


class HopfLax(NamedTuple):
    """The solution of Hamilton and Jacobi's equation at one point."""

    value: Scalar
    gradient: Vector
    start: Vector  # where the line through it began


def hopf_lax(
    initial: Callable[[Vector], Scalar], z: Vector, t: ArrayLike, offsets: Float[Array, "m d"], newton: int = 4
) -> HopfLax:
    r"""$u(z, t) = \min_y u_0(y) + |z - y|^2 / 2t$, whose gradient is $(z - y)/t$ at the least y.

    Args:
        initial: u_0, smooth.
        t: above 0.
        offsets: $y - z$ to begin from; the best of them is followed by ``newton`` steps of Newton's method. They must reach as
            far as $t \max |\nabla u_0|$, as densely as u_0 varies.
    """
    t = jnp.asarray(t, z.dtype)
    eye = jnp.eye(z.shape[0], dtype=z.dtype)

    def cost(y: Vector) -> Array:
        return initial(y) + ((z - y) ** 2).sum() / (2 * t)

    tried = z[None, :] + offsets
    best = tried[jnp.argmin(jax.vmap(cost)(tried))]

    def step(_: Any, y: Vector) -> Vector:
        curved = jax.hessian(initial)(y) + eye / t
        moved = y - jnp.linalg.solve(curved, jax.grad(cost)(y))
        return jnp.where(cost(moved) <= cost(y), moved, y)

    y = found = jax.lax.stop_gradient(jax.lax.fori_loop(0, newton, step, best))
    for _ in range(2):  # only their derivatives are kept: those of the implicit function
        y = y - jnp.linalg.solve(jax.hessian(initial)(y) + eye / t, jax.grad(cost)(y))
    y = found + (y - jax.lax.stop_gradient(y))
    return HopfLax(cost(y), (z - y) / t, y)
