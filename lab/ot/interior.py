r"""A primal-dual interior-point step for the relaxed problem of the quadratic and the k-sparse regularizer.

The semi-dual is concave with kinks where columns are tied. It is the dual of a conic program,

$$ \min_{T,\eta,R}\; \langle T, C \rangle + \gamma \sum_{ij} R_{ij} \quad \text{with} \quad
   T \in U(a,b),\; 0 \le \eta \le 1,\; \sum_i \eta_{ij} \le k,\; 2 R_{ij} \eta_{ij} \ge T_{ij}^2 , $$

on which ties are no obstacle: Mehrotra's predictor-corrector with the Nesterov-Todd scaling needs some twenty steps. A
step eliminates all but the row potentials by elementwise formulas and a 2 x 2 system for each column; one dense system of
m equations remains. It finds the potentials and the feasible plan of the relaxation together.

The program may be restricted to some entries of each column, those that can carry mass: a plan of the restricted problem is
one of the whole problem, and what its potentials are worth is for the caller to evaluate there.

Multipliers: rho of $T \ge 0$, lam of $\eta \le 1$, nu of $\sum_i \eta_{ij} \le k$. The cone of the entry (i, j) pairs
$x = (R, \eta, T)$ with $z = (\gamma,\; \nu_j + \lambda_{ij},\; -y_{ij})$, $y = \alpha_i + \beta_j - c_{ij} + \rho_{ij}$.
Its determinants $2 x_0 x_1 - x_2^2$ are variables in place of $R$ and $z_1$: near the boundary, where a difference of
products would lose them, they keep all their digits.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_factor, cho_solve
from jaxtyping import Array, Float, Int

_HALF = 0.5**0.5
_TO_BOUNDARY = 0.99
_SCATTER = 8  # rows for each entry of a column, from which on adding up products of entries is the faster way


class Program(NamedTuple):
    """The problem in units where columns have a mass of order 1 and costs span 1, on all entries or on p in each column."""

    cost: Float[Array, "p n"]
    a: Float[Array, " m"]
    b: Float[Array, " n"]
    gamma: Float[Array, ""]
    k: Float[Array, ""]
    rows: Int[Array, "p n"] | None = None  # whose entries those are, different in each column; all of them when None

    def spread(self, v: Float[Array, " m"]) -> Array:
        """What belongs to the rows, at the entries."""
        return v[:, None] if self.rows is None else v[self.rows]

    def collect(self, x: Float[Array, "p n"]) -> Float[Array, " m"]:
        """Sums over rows."""
        return x.sum(axis=1) if self.rows is None else jnp.zeros_like(self.a).at[self.rows].add(x)

    def coupled(self, x: Float[Array, "p n"], y: Float[Array, "p n"]) -> tuple[Float[Array, "m m"], Float[Array, " m"]]:
        """Of the matrix sum_j (x_j x_j' + y_j y_j') without its diagonal: the lower triangle, and the sums of its rows."""
        m = self.a.shape[0]
        if self.rows is None or m < _SCATTER * x.shape[0]:
            both = jnp.concatenate([self.dense(x), self.dense(y)], axis=1)
            whole = (both @ both.T) * (1 - jnp.eye(m, dtype=x.dtype))
            return jnp.tril(whole), whole.sum(axis=1)
        i, j = np.triu_indices(x.shape[0], 1)
        one, two = self.rows[i], self.rows[j]
        place = jnp.maximum(one, two) * m + jnp.minimum(one, two)
        flat = jnp.zeros(m * m, x.dtype).at[place].add(x[i] * x[j] + y[i] * y[j], mode="promise_in_bounds")
        lower = flat.reshape(m, m)
        return lower, lower.sum(axis=1) + lower.sum(axis=0)

    def dense(self, x: Float[Array, "p n"]) -> Float[Array, "m n"]:
        if self.rows is None:
            return x
        columns = jnp.arange(x.shape[1])[None, :]
        return jnp.zeros((self.a.shape[0], x.shape[1]), x.dtype).at[self.rows, columns].set(x)


class Point(NamedTuple):
    """A strictly interior point."""

    t: Float[Array, "p n"]
    eta: Float[Array, "p n"]
    det: Float[Array, "p n"]  # of x
    y: Float[Array, "p n"]
    det_z: Float[Array, "p n"]
    rho: Float[Array, "p n"]
    lam: Float[Array, "p n"]
    nu: Float[Array, " n"]
    alpha: Float[Array, " m"]
    beta: Float[Array, " n"]


class Cone(NamedTuple):
    """A vector of the rotated cone 2 x0 x1 >= x2^2, whose Jordan algebra has the identity e = (1, 1, 0) / sqrt 2."""

    x0: Array
    x1: Array
    x2: Array


class Direction(NamedTuple):
    """Changes of the variables of ``Point``; of a determinant, det(x + s dx) = det + 2 s b + s^2 a, both coefficients."""

    t: Array
    eta: Array
    b: Array
    a: Array
    y: Array
    b_z: Array
    a_z: Array
    rho: Array
    lam: Array
    nu: Array
    alpha: Array
    beta: Array
    dx: Cone  # in sheared coordinates
    dz: Cone


def cold(program: Program, alpha: Float[Array, " m"]) -> Point:
    """The point whose products are all the same, at these row potentials."""
    p, one = program.cost.shape[0], jnp.ones_like(program.cost)
    mu = 0.3 * one[0, 0] / p
    t, eta = one / p, one * jnp.minimum(0.7 * program.k / p, 0.7)
    beta = (program.cost - program.spread(alpha)).min(axis=0)
    nu = mu / (program.k - eta.sum(axis=0))
    gamma = program.gamma
    return Point(t, eta, mu * eta / gamma, gamma * t / eta, mu * gamma / eta, mu / t, mu / (1 - eta), nu, alpha, beta)


def _products(gamma: Array, eta: Array, det: Array, q: Array, det_z: Array) -> Array:
    """x'z of the cones, as a sum of positive terms."""
    return gamma * det / (2 * eta) + eta * det_z / (2 * gamma) + q * q / (2 * eta * gamma)


def mean_product(program: Program, p: Point) -> Float[Array, ""]:
    """mu: the duality gap of a feasible point is the sum of all products."""
    m, n = program.cost.shape
    cones = _products(program.gamma, p.eta, p.det, program.gamma * p.t - p.eta * p.y, p.det_z)
    total = (cones + p.t * p.rho + (1 - p.eta) * p.lam).sum() + (program.k - p.eta.sum(axis=0)) @ p.nu
    return total / (3 * m * n + n)


def step(program: Program, p: Point) -> Point:
    """One predictor-corrector step. Time O(m^2 n + m^3), on p entries of each column O(p^2 n + m^3); memory O(p^2 n + m^2)."""
    cost, a, b, gamma, k, _ = program
    m = a.shape[0]
    t, eta, det, y, det_z, rho, lam, nu, alpha, beta = p
    room, slack = 1 - eta, k - eta.sum(axis=0)
    lack_a, lack_b = a - program.collect(t), b - t.sum(axis=0)
    r_eta = (det_z + y * y) / (2 * gamma) - nu[None, :] - lam
    r_t = program.spread(alpha) + beta[None, :] - cost + rho - y
    q = gamma * t - eta * y  # 0 on the central path
    mu = mean_product(program, p)

    # The Nesterov-Todd point w of (x, z). In coordinates sheared by g = -w2 / w1, (x0 + g x2 + g^2 x1 / 2, x1, x2 + g x1),
    # a shear that maps the cone to itself, w2 vanishes and the scaling is diagonal: x = size (l0 / s, s l1, l2).
    root, root_z = jnp.sqrt(det), jnp.sqrt(det_z)
    w1 = eta / root + gamma / root_z
    g = -(t / root + y / root_z) / w1
    x2, z2 = q / (root_z * w1), q / (root * w1)
    x0, z1 = (det + x2 * x2) / (2 * eta), (det_z + z2 * z2) / (2 * gamma)
    s = w1 * jax.lax.rsqrt(1 + _products(gamma, eta, det, q, det_z) / (root * root_z))
    stiff = root_z / root
    size = jax.lax.rsqrt(stiff)
    l = Cone(s * x0 / size, eta / (s * size), x2 / size)

    # R is eliminated, since its multiplier is fixed: 2 x 2 blocks in (eta, t) remain. On tied rows they are all but singular
    # along one ray, dt = -g d_eta, and g is the same for the whole column but for digits that sums of products would lose.
    # So the column is sheared by its mean g: unknowns nu + mean beta and -beta, and formulas without cancellation.
    bend, left, right = stiff / (s * s), lam / room, rho / t
    firm = stiff + right
    whole = bend * firm + stiff * g * g * right + left * firm
    n11, n12 = firm / whole, -stiff * g / whole
    spare = slack / nu
    s11 = spare + n11.sum(axis=0)
    mean = -n12.sum(axis=0) / s11
    off = g - mean[None, :]
    n22 = (stiff * g * g + bend + left) / whole
    h12 = (mean[None, :] * right - stiff * off) / whole
    h22 = (stiff * off * off + bend + left + (mean**2)[None, :] * right) / whole
    r2 = (stiff * g * off + bend + left) / whole
    s12, s22 = h12.sum(axis=0) + mean * spare, h22.sum(axis=0) + mean**2 * spare
    det_s = s11 * s22 - s12**2
    k11, k12, k22 = s22 / det_s, -s12 / det_s, s11 / det_s
    l11 = jnp.sqrt(k11)
    l21, l22 = k12 / l11, jax.lax.rsqrt(s22)
    # The constant vector is in the kernel: the diagonal is minus the rest of its row, again without cancellation.
    rest, diagonal = program.coupled(n12 * l11[None, :] + r2 * l21[None, :], r2 * l22[None, :])
    level = n22.sum() / m
    lower = jnp.diag(diagonal + 10 * jnp.finfo(cost.dtype).eps * level) - rest
    factor = cho_factor(lower + level / m, lower=True)  # which reads no more of it

    def direction(target, second) -> Direction:
        """Towards products equal to ``target``, with the second-order terms of another direction."""
        cone, second_t, second_lam, second_nu = second
        c = target / det
        g_t, g_lam, g_nu = (
            target - t * rho - second_t,
            target - room * lam - second_lam,
            target - slack * nu - second_nu,
        )
        f0 = (c * eta - gamma - s * cone.x0 / size) / (s * s * stiff)
        f1 = c * x0 - z1 - cone.x1 / (s * size)
        f2 = -c * x2 - z2 - cone.x2 / size
        e2 = f2 + r_t + g_t / t
        e1 = f1 + off * f2 + r_eta - g_lam / room - mean[None, :] * (r_t + g_t / t)
        q1 = (n11 * e1 + h12 * e2).sum(axis=0) + g_nu / nu
        q2 = (h12 * e1 + h22 * e2).sum(axis=0) + mean * g_nu / nu - lack_b
        p1, p2 = k11 * q1 + k12 * q2, k12 * q1 + k22 * q2
        rhs = lack_a - program.collect(n12 * (e1 - p1[None, :]) + r2 * (e2 - p2[None, :]))
        d_alpha = cho_solve(factor, rhs - rhs.mean())
        here = program.spread(d_alpha)
        y1, y2 = (here * n12).sum(axis=0), (here * r2).sum(axis=0)
        p1, p2 = p1 + k11 * y1 + k12 * y2, p2 + k12 * y1 + k22 * y2
        d_nu, d_beta = p1 + mean * p2, -p2
        push = here + d_beta[None, :]
        along, across = e1 - p1[None, :] - mean[None, :] * here, e2 + push
        d_eta = n11 * along + h12 * across
        d_t = n12 * along + r2 * across
        ray = (g * right * along + (bend + left + g * mean[None, :] * right) * across) / whole  # d_t + g d_eta
        d_rho, d_lam = (g_t - rho * d_t) / t, (g_lam + lam * d_eta) / room
        d_y = push + d_rho + r_t
        dx = Cone(f0, d_eta, ray)
        dz = Cone(jnp.zeros_like(t), f1 - bend * d_eta, -d_y)
        return Direction(
            d_t,
            d_eta,
            x0 * d_eta + eta * f0 - x2 * dx.x2,
            2 * f0 * d_eta - dx.x2**2,
            d_y,
            gamma * dz.x1 + z2 * d_y,
            -d_y * d_y,
            d_rho,
            d_lam,
            d_nu,
            d_alpha,
            d_beta,
            dx,
            dz,
        )

    def second_order(d: Direction):
        dx = Cone(s * d.dx.x0 / size, d.dx.x1 / (s * size), d.dx.x2 / size)
        dz = Cone(d.dz.x0, size * s * d.dz.x1, size * d.dz.x2)
        return _divide(l, root * root_z, _product(dx, dz)), d.t * d.rho, -d.eta * d.lam, -d.eta.sum(axis=0) * d.nu

    zero = jnp.zeros_like(t)
    predictor = direction(jnp.zeros_like(mu), (Cone(zero, zero, zero), 0.0, 0.0, 0.0))
    after = mean_product(program, _moved(p, predictor, *_reach(program, p, predictor)))
    corrector = direction(mu * jnp.clip(after / mu, 1e-6, 1.0) ** 3, second_order(predictor))
    primal, dual = _reach(program, p, corrector)
    return _moved(p, corrector, jnp.minimum(_TO_BOUNDARY * primal, 1.0), jnp.minimum(_TO_BOUNDARY * dual, 1.0))


def _moved(p: Point, d: Direction, primal: Array, dual: Array) -> Point:
    primal, dual = jnp.minimum(primal, 1.0), jnp.minimum(dual, 1.0)
    return Point(
        p.t + primal * d.t,
        p.eta + primal * d.eta,
        p.det + 2 * primal * d.b + primal**2 * d.a,
        p.y + dual * d.y,
        p.det_z + 2 * dual * d.b_z + dual**2 * d.a_z,
        p.rho + dual * d.rho,
        p.lam + dual * d.lam,
        p.nu + dual * d.nu,
        p.alpha + dual * d.alpha,
        p.beta + dual * d.beta,
    )


def _reach(program: Program, p: Point, d: Direction) -> tuple[Array, Array]:
    """The largest primal and dual steps that stay inside."""
    slack = program.k - p.eta.sum(axis=0)
    primal = (
        _within_cone(d.a, d.b, p.det),
        _positive(p.t, d.t),
        _positive(p.eta, d.eta),
        _positive(1 - p.eta, -d.eta),
        _positive(slack, -d.eta.sum(axis=0)),
    )
    dual = _within_cone(d.a_z, d.b_z, p.det_z), _positive(p.rho, d.rho), _positive(p.lam, d.lam), _positive(p.nu, d.nu)
    return jnp.stack(primal).min(), jnp.stack(dual).min()


def _within_cone(a: Array, b: Array, c: Array) -> Array:
    """The least positive root of c + 2 s b + s^2 a, over all entries."""
    square = b * b - a * c
    denominator = jnp.sqrt(jnp.maximum(square, 0.0)) - b
    crosses = (square >= 0) & (denominator > 0)
    return jnp.where(crosses, c / jnp.where(crosses, denominator, 1.0), jnp.inf).min()


def _positive(x: Array, d: Array) -> Array:
    return jnp.where(d < 0, -x / jnp.where(d < 0, d, 1.0), jnp.inf).min()


def _product(x: Cone, y: Cone) -> Cone:
    """x o y = (x, e) y + (y, e) x - (x, J y) e, where J y = (y1, y0, -y2)."""
    head_x, head_y = _HALF * (x.x0 + x.x1), _HALF * (y.x0 + y.x1)
    bilinear = _HALF * (x.x0 * y.x1 + x.x1 * y.x0 - x.x2 * y.x2)
    return Cone(
        head_x * y.x0 + head_y * x.x0 - bilinear,
        head_x * y.x1 + head_y * x.x1 - bilinear,
        head_x * y.x2 + head_y * x.x2,
    )


def _divide(x: Cone, det: Array, r: Cone) -> Cone:
    """The y with x o y = r, where det = (x, J x)."""
    head = (x.x0 * r.x1 + x.x1 * r.x0 - x.x2 * r.x2) / det  # (y, e)
    head_x = _HALF * (x.x0 + x.x1)
    rest = _HALF * (2 * head * head_x - _HALF * (r.x0 + r.x1))
    return Cone(
        (r.x0 - head * x.x0 + rest) / head_x, (r.x1 - head * x.x1 + rest) / head_x, (r.x2 - head * x.x2) / head_x
    )
