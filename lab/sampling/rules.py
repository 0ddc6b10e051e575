r"""Designs: how the points of a least-squares fit are drawn, and their weights.

The reference law is a mixture, $d\nu = ((1 - t) + t\, k_m / m)\, d\mu$ with weight $w = d\mu / d\nu$: t = 0 is $\mu$ itself,
t = 1 the optimal (Christoffel) law with $w = m / k_m$, and t = 1/2 the safe one with $w \le 2$.

A rule is data, and is called with a key and a basis. Rules nest:

>>> from lab import sampling
>>> rule = sampling.Thinned(sampling.Conditioned(sampling.Repeated(sampling.Projection(), 3), delta=0.5), delta=0.5)

- ``Independent(n, t)``: n independent points of $\nu$.
- ``Projection()``: the m points of a projection DPP.
- ``Volume(n, t)``: volume-rescaled sampling, density $\frac{(n-m)!\, n^m}{n!} \det G$ for $\nu^{\otimes n}$: the points of a
  projection DPP and n - m independent points of $\nu$, shuffled (exact). Unbiased for every n and t.
- ``Repeated(rule, r)``: r independent designs, side by side, in order.
- ``Boosted(rule, tries)``: the one of several designs with the largest $\lambda_{\min}(G)$.
- ``Conditioned(rule, delta, tries)``: drawn anew, whole, until $\lambda_{\min}(G) \ge 1 - \delta$.
- ``Thinned(rule, delta)``: points are deleted, always the one whose deletion leaves $\lambda_{\min}$ largest, while it is at
  least $1 - \delta$.

Source: Nouy and Michel, arXiv 2312.14057, 2023; Derezinski, Warmuth and Hsu, *Leveraged volume sampling*, 2018, for the
composition.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, Num

from lab.choices import choices, chosen
from lab.numerics import arguments, random
from lab.numerics.differentiation import refuse_derivative
from lab.numerics.jit import jit
from lab.sampling import projection
from lab.sampling.bases import Basis, points_of
from lab.sampling.least_squares import gram, points_needed, stability

type Real = float | int | Array


class Design(NamedTuple):
    """Points and weights. Under ``vmap`` and from ``sample`` every array has the batch axis in front."""

    points: Num[Array, "*batch n d"]  # of the basis: indices for a finite one
    weights: Float[Array, "*batch n"]  # w
    used: Bool[Array, "*batch n"]  # False: removed by thinning
    lambda_min: Float[Array, "*batch"]  # of G
    tries: Int[Array, "*batch"]  # whole designs that were drawn for this one
    proposals: Int[Array, "*batch"]  # points that were drawn for it, of all tries

    @property
    def n(self) -> Array:
        """Points in use."""
        return self.used.sum(axis=-1)


def weight(basis: Basis, points: ArrayLike | Sequence, t: Real = 1.0) -> Float[Array, " n"]:
    """$w = 1 / ((1 - t) + t k_m / m)$.

    Args:
        basis: m functions.
        points: of the basis, (n, d).
        t: share of the Christoffel law in the law of the points, from 0 to 1.

    Returns:
        the weights (n,).

    Raises:
        ValueError: points that do not fit the basis, or t outside [0, 1].

    Source:
        Cohen and Migliorati (2017), of t = 1; Nouy and Michel (2023).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import sampling
        >>> sampling.weight(sampling.legendre(2), jnp.array([[0.0], [1.0]])).round(9)  # k = 1 + 3 x^2
        Array([2. , 0.5], dtype=float64)
    """
    _check_t(t)
    return 1 / ((1 - t) + t * basis.christoffel(points_of(basis, "points", points)) / basis.m)


def draw(key: Array, basis: Basis, n: int, t: Real = 1.0) -> Num[Array, "n d"]:
    r"""n independent points of $\nu$."""
    if not isinstance(t, Array) and t in (0, 1):
        return basis.draw_christoffel(key, n) if t else basis.draw(key, n)
    which, one, other = jax.random.split(key, 3)
    optimal = (random.uniform(which, (n,)) < t)[:, None]
    return jnp.where(optimal, basis.draw_christoffel(one, n), basis.draw(other, n))


class Rule(eqx.Module):
    """How a design is drawn; pure, for ``jit`` and ``vmap``.

    t and delta may be arrays: they are traced then, and one program serves all their values.
    """

    @abstractmethod
    def size(self, basis: Basis) -> int:
        """Points that it draws."""

    @abstractmethod
    def __call__(self, key: Array, basis: Basis) -> Design: ...

    @property
    def parts(self) -> int:
        """Independent designs it consists of: what may be left out in turn."""
        return 1


def _design(basis: Basis, points: Array, t: Real, proposals: int | Array) -> Design:
    phi = basis(points)
    weights = 1 / ((1 - t) + t * (phi**2).sum(axis=1) / basis.m)
    used = jnp.ones(points.shape[0], bool)
    return Design(points, weights, used, stability(phi, weights), jnp.asarray(1), jnp.asarray(proposals))


def _check_t(t: Real) -> None:
    if not isinstance(t, Tracer) and not 0 <= float(t) <= 1:
        raise ValueError(f"t = {t}, but the share of the Christoffel law lies between 0 and 1")


def _check_delta(delta: Real) -> None:
    if not isinstance(delta, Tracer) and not 0 < float(delta) < 1:
        raise ValueError(
            f"delta = {delta}, but must lie strictly between 0 and 1: designs are kept where lambda_min >= 1 - delta"
        )


class Independent(Rule):
    r"""n independent points of $\nu$, with share t of the Christoffel law."""

    n: int = eqx.field(static=True)
    t: Real = 1.0

    def __check_init__(self):
        _check_t(self.t)
        arguments.whole("n", self.n, 1)

    def size(self, basis):
        return self.n

    def __call__(self, key, basis):
        return _design(basis, draw(key, basis, self.n, self.t), self.t, self.n)


@chosen
class Projection(Rule):
    """The m points of a projection DPP, with the optimal weights."""

    method: projection.Method = eqx.field(static=True, default="auto")  # of projection.draw

    def size(self, basis):
        return basis.m

    def __call__(self, key, basis):
        found = projection.draw(key, basis, self.method)
        return _design(basis, found.points, 1.0, found.proposals)


@chosen
class Volume(Rule):
    r"""Volume-rescaled sampling: a projection DPP and n - m independent points of $\nu$, shuffled."""

    n: int = eqx.field(static=True)
    t: Real = 1.0
    method: projection.Method = eqx.field(static=True, default="auto")

    def __check_init__(self):
        _check_t(self.t)
        arguments.whole("n", self.n, 1)

    def size(self, basis):
        if self.n < basis.m:
            raise ValueError(
                f"n = {self.n}, but volume-rescaled sampling needs at least m = {basis.m} points, as many as functions: raise n"
            )
        return self.n

    def __call__(self, key, basis):
        n = self.size(basis)
        first, second, third = jax.random.split(key, 3)
        found = projection.draw(first, basis, self.method)
        points, proposals = found
        if n > basis.m:
            points = jnp.concatenate([points, draw(second, basis, n - basis.m, self.t)])
            points = points[projection.permutation(third, n)]
        return _design(basis, points, self.t, proposals + n - basis.m)


class Repeated(Rule):
    """r independent designs of a rule, side by side."""

    rule: Rule
    r: int = eqx.field(static=True)

    def __check_init__(self):
        arguments.whole("r", self.r, 1)

    @classmethod
    def to(cls, n: int, basis: Basis, rule: Rule | None = None) -> "Repeated":
        """As many repetitions as make n points; of projection DPPs if no rule is given."""
        rule = Projection() if rule is None else rule
        one = rule.size(basis)
        if arguments.whole("n", n, 1) % one:
            raise ValueError(
                f"n = {n} is no multiple of the {one} points of one design, of which only whole ones are repeated: "
                f"take n = {max(one, n - n % one)} or {n - n % one + one}"
            )
        return cls(rule, n // one)

    def size(self, basis):
        return self.r * self.rule.size(basis)

    @property
    def parts(self):
        return self.r

    def __call__(self, key, basis):
        found = jax.vmap(lambda key: self.rule(key, basis))(jax.random.split(key, self.r))
        points = found.points.reshape(-1, found.points.shape[2])
        weights, used = found.weights.reshape(-1), found.used.reshape(-1)
        return Design(
            points, weights, used, stability(basis(points), weights, used), jnp.asarray(1), found.proposals.sum()
        )


class Boosted(Rule):
    r"""The one of several designs with the largest $\lambda_{\min}(G)$."""

    rule: Rule
    tries: int = eqx.field(static=True, default=10)

    def __check_init__(self):
        arguments.whole("tries", self.tries, 1)

    def size(self, basis):
        return self.rule.size(basis)

    @property
    def parts(self):
        return self.rule.parts

    def __call__(self, key, basis):
        found = jax.vmap(lambda key: self.rule(key, basis))(jax.random.split(key, self.tries))
        best = jnp.argmax(found.lambda_min)
        chosen = jax.tree.map(lambda x: x[best], found)
        return chosen._replace(tries=found.tries.sum(), proposals=found.proposals.sum())


class Conditioned(Rule):
    """Where no try reaches it, the last one is returned, with a lower lambda_min; ``sample`` raises then."""

    rule: Rule
    delta: Real = 0.5
    tries: int = eqx.field(static=True, default=100)

    def __check_init__(self):
        _check_delta(self.delta)
        arguments.whole("tries", self.tries, 1)

    def size(self, basis):
        return self.rule.size(basis)

    @property
    def parts(self):
        return self.rule.parts

    def __call__(self, key, basis):
        def again(state):
            i, _, found = state
            return (found.lambda_min < 1 - self.delta) & (i < self.tries)

        def redraw(state):
            i, _, before = state
            found = self.rule(jax.random.fold_in(key, i), basis)
            tries, proposals = before.tries + found.tries, before.proposals + found.proposals
            return i + 1, tries, found._replace(tries=tries, proposals=proposals)

        none = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(self.rule, key, basis))
        start = jnp.asarray(0), none.tries, none._replace(lambda_min=none.lambda_min - jnp.inf)
        return jax.lax.while_loop(again, redraw, start)[2]


class Thinned(Rule):
    """Designs below the threshold are left as they are; at least m points stay."""

    rule: Rule
    delta: Real = 0.5

    def __check_init__(self):
        _check_delta(self.delta)

    def size(self, basis):
        return self.rule.size(basis)

    def __call__(self, key, basis):
        return thin(self.rule(key, basis), basis, self.delta)


def thin(design: Design, basis: Basis, delta: Real) -> Design:
    r"""Delete points greedily while $\lambda_{\min}(G) \ge 1 - \delta$, G over the points that are left; n >= m.

    After a deletion $G' = (n G - w \varphi \varphi^T) / (n - 1)$, whose least eigenvalue is the least root of the secular
    equation $\sum_j z_j^2 / (\lambda_j - s) = 1$, z being $\sqrt{w}\, \varphi$ in the eigenvectors of n G: one decomposition
    and a bisection for all candidates, O(m^3 + 60 n m) a deletion.

    Args:
        design: one design, n points.
        basis: m functions.
        delta: how far below 1 the least eigenvalue may fall, between 0 and 1.

    Returns:
        the design, whose ``used`` is False at deleted points; unchanged where it is below the threshold from the start.

    Source:
        Nouy and Michel (2023), greedy removal; the secular equation: Golub and Van Loan, Matrix Computations.

    Examples:
        >>> import jax
        >>> from lab import sampling
        >>> basis = sampling.haar(2)
        >>> design = sampling.sample(jax.random.key(0), sampling.Repeated(sampling.Projection(), 3), basis)
        >>> fewer = sampling.thin(design, basis, 0.5)
        >>> int(design.n), int(fewer.n)  # one point a half is left
        (6, 2)
    """
    _check_delta(delta)
    design, basis, delta = refuse_derivative(
        (design, basis, delta),
        "the points that thinning deletes jump: differentiate stability of lab.sampling.least_squares at fixed points",
    )
    phi = basis(design.points)
    rooted = jnp.sqrt(design.weights)[:, None] * phi

    def step(state):
        used, _, _ = state
        count = used.sum()
        values, vectors = jnp.linalg.eigh(gram(phi, design.weights, used) * count)
        z = (rooted @ vectors) ** 2

        def halve(_, bracket):
            low, high = bracket
            middle = (low + high) / 2
            above = (z / (values[None, :] - middle[:, None])).sum(axis=1) > 1
            return jnp.where(above, low, middle), jnp.where(above, middle, high)

        top = jnp.full(z.shape[0], values[0])
        low, _ = jax.lax.fori_loop(0, 60, halve, (top - z.sum(axis=1), top))
        left = jnp.where(used, low, -jnp.inf)
        best = jnp.argmax(left)
        least = left[best] / (count - 1)
        go = (least >= 1 - delta) & (count > basis.m)
        return used & ~((jnp.arange(used.shape[0]) == best) & go), jnp.where(go, least, state[1]), go

    start = design.used, design.lambda_min, design.lambda_min >= 1 - delta
    used, least, _ = jax.lax.while_loop(lambda state: state[2], step, start)
    return design._replace(used=used, lambda_min=least)


type Name = Literal["iid", "iid-optimal", "volume", "volume-optimal", "dpp"] | str
NAMES = choices(Name)


@chosen
def named(name: Name, n: int, basis: Basis) -> Rule:
    r"""The rules that are compared: independent and volume-rescaled for mu and nu_m, and repeated projection DPPs.

    All have weights $w = d\mu / d\nu$ of the law $\nu$ that their free points are drawn from.

    Args:
        name: ``iid`` and ``volume`` (of mu), ``iid-optimal`` and ``volume-optimal`` (of nu_m), ``dpp``.
        n: points of a design.
        basis: m functions.

    Returns:
        the rule.

    Raises:
        ValueError: an unknown name; n below m for volume sampling, or no multiple of m for ``dpp``.

    Source:
        Nouy and Michel (2023).

    Examples:
        >>> from lab import sampling
        >>> sampling.named("dpp", 6, sampling.legendre(3)).r
        2
    """
    if name == "dpp":
        return Repeated.to(n, basis)
    rule = (Independent if name.startswith("iid") else Volume)(n, 1.0 if name.endswith("optimal") else 0.0)
    rule.size(basis)
    return rule


def sample(key: Array, rule: Rule, basis: Basis, size: int | None = None) -> Design:
    r"""Draw designs, compiled; the same key gives the same designs.

    Their weights make $G = \frac1n \Phi^T W \Phi$ near the identity; its least eigenvalue comes with them.

    Args:
        key: of the draws.
        rule: how a design is drawn.
        basis: m functions.
        size: how many independent designs; one without the axis if not given.

    Returns:
        points (size, n, d), weights and masks (size, n), and for each design the least eigenvalue of G and what it cost.

    Raises:
        RuntimeError: a ``Conditioned`` rule whose tries did not suffice.
        ValueError: what the rule cannot do with this basis.

    Source:
        Nouy and Michel (2023).

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from lab import sampling
        >>> design = sampling.sample(jax.random.key(0), sampling.Projection(), sampling.haar(4))
        >>> jnp.sort(jnp.floor(4 * design.points[:, 0])), float(design.lambda_min.round(9))  # one point a cell
        (Array([0., 1., 2., 3.], dtype=float64), 1.0)
    """
    rule.size(basis)
    found = _sample(key, *refuse_derivative((rule, basis), projection.DRAWN), projection.count(size))
    if not isinstance(found.lambda_min, Tracer):
        _check_reached(rule, basis, found)
    return found


@jit
def _sample(key: Array, rule: Rule, basis: Basis, size: int | None) -> Design:
    if size is None:
        return rule(key, basis)
    return jax.vmap(lambda key: rule(key, basis))(jax.random.split(key, size))


def _check_reached(rule: Rule | None, basis: Basis, found: Design) -> None:
    while rule is not None and not isinstance(rule, Conditioned):
        rule = getattr(rule, "rule", None)
    if rule is None:
        return
    missed = int((found.lambda_min < (1 - rule.delta) * (1 - 1e-12)).sum())
    if missed:
        total, kept = int(found.tries.sum()), found.lambda_min.size - missed
        delta = float(rule.delta)
        chance = f"about {kept / total:.2g}" if kept else f"below {1 / total:.2g}"
        enough = points_needed(basis.m, delta, 0.5) if delta > 0 else "no number"
        raise RuntimeError(
            f"lambda_min >= {1 - delta:g} was not reached in {rule.tries} tries by {missed} of {found.lambda_min.size} "
            f"designs of n = {rule.size(basis)} points (a try reaches it with probability {chance}): raise n, of which "
            f"{enough} do for at least every second try of independent optimal ones, "
            "or raise delta or tries"
        )
