r"""Which noise goes with which data: couplings of a batch.

A coupling is called with a key and two batches of equal size, drawn independently, and returns a batch of pairs with
log-weights, $(x_0, x_1, \log w)$ with mean weight 1: what follows averages over the pairs with these weights.

| coupling | law of the noise | law of the data | its limit for large batches | time of a batch |
|---|---|---|---|---|
| ``Independent`` | kept | kept | the product | 0 |
| ``Given`` | kept | kept | the pairs given | 0 |
| ``Assignment`` | kept | kept | optimal transport | O(n^3), on the host |
| ``Entropic`` | kept | kept | entropic transport | O(n^2) a sweep |
| ``Weighted`` | tilted | tilted | Gibbs | O(n d) |
| ``Resampled`` | tilted | tilted | Gibbs | O(n^2 d) |
| ``Rectified`` | kept | that of the flow's ends | the flow's own map | steps of the flow |
| ``Nearest`` | tilted | kept | the k-nearest noise | O(n k d) |

Numbers (epsilon, k) are traced. ``live`` marks the rows that count, so that the size of a batch can be traced as well:
the others are left where they are and weigh nothing.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from lab import ot
from lab.choices import chosen
from lab.numerics import random
from lab.numerics.arguments import ANY, arrays, real, whole
from lab.numerics.jit import jit
from lab.paths.fields import Exact
from lab.paths.sampling import Solver, graded, ode

type Named = Literal["norm", "half-squared"]
"""The costs that have a name."""

type Cost = Named | str | Callable[[Array, Array], Array]
""""norm" $|x - y|$, "half-squared" $|x - y|^2 / 2$, or a function of two points (d,) that gives a scalar."""


class Pairs(NamedTuple):
    """A coupled batch."""

    x0: Float[Array, "n d"]
    x1: Float[Array, "n d"]
    log_weights: Float[Array, " n"]  # of mean weight 1 over the rows that count, -inf at the others


@runtime_checkable
class Coupling(Protocol):
    """What a user's own coupling must be: a pytree, or a plain function, with this call.

    ``paired = True`` says that row i of the source belongs to row i of the data, so that both must be drawn together.
    """

    def __call__(
        self, key: PRNGKeyArray, x0: Float[Array, "n d"], x1: Float[Array, "n d"], live: Bool[Array, " n"] | None = None
    ) -> Pairs: ...


class Independent(eqx.Module):
    """The batches as they were drawn: independently."""

    def __call__(self, key, x0, x1, live=None) -> Pairs:
        _check(x0, x1)
        return Pairs(x0, x1, _even(x0, live))


class Given(eqx.Module):
    """Pairs that belong together, such as starts and ends of trajectories (reflow): they must be drawn together."""

    paired = True

    def __call__(self, key, x0, x1, live=None) -> Pairs:
        _check(x0, x1)
        return Pairs(x0, x1, _even(x0, live))


@chosen
class Assignment(eqx.Module):
    r"""Minibatch optimal transport: the permutation of the noise that costs least.

    $$ \min_{\pi} \sum_i c(x_0^{\pi(i)}, x_1^i) $$

    The data stay in their order, for labels may hang on them. With ``replacement`` the pairs are drawn from this plan
    with replacement (the habit of torchcfm: some points come twice, others not at all); both laws are kept on average.

    Args:
        cost: "half-squared" is OT-CFM (Tong et al.; Pooladian et al., 2023), "norm" is Immiscible Diffusion (Li et al.,
            NeurIPS 2024).

    Exact, by SciPy on the host through a callback: works under ``jit`` and ``vmap``. 512 rows take about 20 ms.
    """

    cost: Cost = eqx.field(static=True, default="half-squared")
    replacement: bool = eqx.field(static=True, default=False)

    def __call__(self, key, x0, x1, live=None) -> Pairs:
        _check(x0, x1)
        costs = cost_matrix(x1, x0, self.cost)
        if live is not None:  # a row that counts never meets one that does not
            costs = jnp.where(live[:, None] == live[None, :], jnp.where(live[:, None], costs, 0.0), jnp.inf)
        order = assignment(costs)
        rows = _draw_rows(key, x0.shape[0], live) if self.replacement else jnp.arange(x0.shape[0])
        return Pairs(x0[order[rows]], x1[rows], _even(x0, live))


@chosen
class Entropic(eqx.Module):
    r"""Minibatch entropic transport: the noise of each data point is drawn from its column of the plan

    $$ \min_{P \in U(1/n, 1/n)} \langle P, C \rangle + \varepsilon\, \mathrm{KL}(P \,|\, 1/n^2) . $$

    Args:
        epsilon: positive, in units of the cost.
        cost: as in ``Assignment``.
        tolerance: of the marginals.
    """

    epsilon: ArrayLike
    cost: Cost = eqx.field(static=True, default="half-squared")
    tolerance: float = eqx.field(static=True, default=1e-3)

    def __check_init__(self):
        positive("epsilon", self.epsilon)

    def __call__(self, key, x0, x1, live=None) -> Pairs:
        _check(x0, x1)
        n = x0.shape[0]
        costs, epsilon = cost_matrix(x0, x1, self.cost), jnp.asarray(self.epsilon, x0.dtype)
        if live is not None:  # two plans in one: the rows that do not count keep to themselves
            apart = costs.max() + 100 * epsilon
            costs = jnp.where(live[:, None] == live[None, :], jnp.where(live[:, None], costs, 0.0), apart)
        mass = jnp.full(n, 1 / n, x0.dtype)
        found = ot.solve(
            ot.Problem(costs, mass, mass), ot.Entropic(epsilon), method="sinkhorn", tolerance=self.tolerance
        )
        rows = random.categorical(key, (found.alpha[:, None] - costs) / epsilon, axis=0)
        return Pairs(x0[rows], x1, _even(x0, live))


@chosen
class Weighted(eqx.Module):
    r"""Independent pairs with Gibbs weights, $w \propto e^{-c(x_0, x_1) / \varepsilon}$ (Calvo-Ordonez et al., 2025).

    Entropic transport of its own, tilted marginals; see ``lab.paths.weighted`` for by how much they are tilted.

    Args:
        epsilon: positive, in units of the cost.
        cost: "norm" in the paper.
    """

    epsilon: ArrayLike
    cost: Cost = eqx.field(static=True, default="norm")

    def __check_init__(self):
        positive("epsilon", self.epsilon)

    def __call__(self, key, x0, x1, live=None) -> Pairs:
        _check(x0, x1)
        return Pairs(x0, x1, normalized(-cost_between(x0, x1, self.cost) / self.epsilon, live))


@chosen
class Resampled(eqx.Module):
    r"""The same coupling as ``Weighted`` by drawing: n pairs (i, j) of the batch with probability $\propto w_{ij}$.

    Equal weights in place of uneven ones, at the price of points that come more than once.
    """

    epsilon: ArrayLike
    cost: Cost = eqx.field(static=True, default="norm")

    def __check_init__(self):
        positive("epsilon", self.epsilon)

    def __call__(self, key, x0, x1, live=None) -> Pairs:
        _check(x0, x1)
        n = x0.shape[0]
        logits = -cost_matrix(x0, x1, self.cost) / self.epsilon
        if live is not None:
            logits = jnp.where(live[:, None] & live[None, :], logits, -jnp.inf)
        drawn = random.categorical(key, logits.ravel(), shape=(n,))
        return Pairs(x0[drawn // n], x1[drawn % n], _even(x0, live))


class Nearest(eqx.Module):
    r"""For each data point the nearest of k noises (Li et al., 2025): the given one and k - 1 fresh ones from N(0, I).

    With k = 1 the batch stays as it is, bit for bit. Memory O(n d), whatever k. The law of the chosen noise is
    $p_k(n | x) = k \phi(n) [1 - F_x(|n - x|^2)]^{k-1}$: see ``lab.paths.immiscible``.

    Args:
        k: whole number, at least 1; traced.
    """

    k: ArrayLike

    def __check_init__(self):
        if not isinstance(self.k, Tracer) and not ((np.asarray(self.k) >= 1) & (np.asarray(self.k) % 1 == 0)).all():
            raise ValueError(f"k = {self.k}, but the number of noises must be a whole number of at least 1")

    def __call__(self, key, x0, x1, live=None) -> Pairs:
        _check(x0, x1)
        return Pairs(_nearest(key, x0, x1, jnp.asarray(self.k, jnp.int32)), x1, _even(x0, live))


@chosen
class Rectified(eqx.Module):
    r"""Each noise with where a flow takes it: $(x_0, X_1)$ for $\dot X = v(t, X)$, $X_0 = x_0$ (Liu, Gong, Liu, ICLR 2023).

    With the field of the independent coupling these are the pairs of a rectification: they cost no more for any convex cost,
    and what is trained on them is the reflow. The data of the batch are not used: the ends are made.

    Args:
        velocity: v, called at (t, x): an ``Exact`` field, or a network.
        steps: of the integration, on the grid of ``lab.paths.ode``; where the data are points the last one goes to the
            denoiser, onto them.
        solver: of ``lab.paths.ode``.

    Time a batch: the evaluations of the flow; memory O(n d).
    """

    velocity: Any
    grid: Float[Array, " times"]
    solver: str = eqx.field(static=True)
    finish: bool = eqx.field(static=True)

    def __init__(self, velocity: Any, steps: int = 32, solver: Solver = "rk4"):
        low, high = velocity.interval if isinstance(velocity, Exact) else (0.0, 1.0)
        crowded = isinstance(velocity, Exact) and velocity.crowded
        if not (isinstance(steps, int | np.integer) and steps >= 1):
            raise ValueError(f"steps = {steps}, but a whole number of at least 1 is needed")
        self.velocity = velocity if isinstance(velocity, eqx.Module) else jax.tree_util.Partial(velocity)
        self.grid = jnp.asarray(graded(steps, low, high) if crowded else np.linspace(low, high, steps + 1))
        self.solver, self.finish = solver, high < 1

    def __call__(self, key, x0, x1, live=None) -> Pairs:
        _check(x0, x1)
        end = ode(self.velocity, x0, grid=self.grid, solver=self.solver, keep=False).end
        end = self.velocity(self.grid[-1], end).x1 if self.finish else end
        return Pairs(x0, end, _even(x0, live))


@jit
def _nearest(key: Array, x0: Array, x1: Array, k: Array) -> Array:
    def score(noise):  # |noise - x1|^2 - |x1|^2
        return (noise * (noise - 2 * x1)).sum(axis=1)

    def better(j, best):
        noise, lowest = best
        fresh = random.normal(jax.random.fold_in(key, j), x0.shape, x0.dtype)
        found = score(fresh)
        wins = found < lowest
        return jnp.where(wins[:, None], fresh, noise), jnp.where(wins, found, lowest)

    return jax.lax.fori_loop(1, k, better, (x0, score(x0)))[0]


def assignment(costs: Float[Array, "*batch n n"]) -> Int[Array, "*batch n"]:
    r"""The column of each row in the assignment of least total cost, $\min_\sigma \sum_i c_{i \sigma(i)}$.

    Infinite costs are never chosen. By SciPy (Jonker, Volgenant) on the host; not differentiable, but a total that is taken at
    the answer is, by the envelope theorem.

    Args:
        costs: (..., n, n).

    Returns:
        (..., n), of each row its column.

    Raises:
        ValueError: matrices that are not square, or NaN, unless the costs are traced.

    Source:
        Jonker, Volgenant, A shortest augmenting path algorithm for dense and sparse linear assignment problems, 1987.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab.paths import couplings
        >>> couplings.assignment(jnp.asarray([[1.0, 0.0], [0.0, 1.0]])).tolist()
        [1, 0]
    """
    costs = real("costs", costs, finite=False)
    if costs.ndim < 2 or costs.shape[-1] != costs.shape[-2]:
        raise ValueError(f"costs has shape {costs.shape}: shape (..., n, n) is needed")
    if not isinstance(costs, Tracer) and np.isnan(np.asarray(costs)).any():
        raise ValueError("costs has NaN: give infinity for a pair that is not allowed")
    shape = jax.ShapeDtypeStruct(costs.shape[:-1], jnp.int32)
    return jax.pure_callback(_assign, shape, jax.lax.stop_gradient(costs), vmap_method="broadcast_all")


def _assign(costs: ArrayLike) -> np.ndarray:
    costs = np.asarray(costs, np.float64)
    columns = np.empty(costs.shape[:-1], np.int32)
    for index in np.ndindex(costs.shape[:-2]):
        columns[index] = scipy.optimize.linear_sum_assignment(costs[index])[1]
    return columns


@chosen
def by_batches(
    x0: Float[Array, "n d"], x1: Float[Array, "n d"], size: ArrayLike
) -> tuple[Int[Array, " n"], Float[Array, " n"]]:
    """Minibatch optimal transport of all rows: which noise each point gets, in batches of ``size`` rows, and the rows' weights.

    Squared Euclidean cost, exact, by SciPy on the host; ``size`` is traced. Rows that fill no batch weigh 0. ``Assignment`` is
    of one batch.

    Raises:
        ValueError: a size below 1, unless it is traced.
    """
    if not isinstance(size, Tracer):
        whole("size", np.asarray(size)[()], 1)
    n, size = x0.shape[0], jnp.asarray(size)
    shape = jax.ShapeDtypeStruct((n,), jnp.int32)
    order = jax.pure_callback(_assign_batches, shape, x0, x1, size, vmap_method="sequential")
    count = n // size * size
    return order, jnp.where(jnp.arange(n) < count, 1 / count, 0.0)


def _assign_batches(x0: ArrayLike, x1: ArrayLike, size: ArrayLike) -> np.ndarray:
    x0, x1, size = np.asarray(x0), np.asarray(x1), int(np.asarray(size))
    order = np.arange(len(x0), dtype=np.int32)
    for first in range(0, len(x0) - size + 1 if size > 1 else 0, size):
        rows = slice(first, first + size)
        cost = scipy.spatial.distance.cdist(x1[rows], x0[rows], "sqeuclidean")
        order[rows] = first + scipy.optimize.linear_sum_assignment(cost)[1]
    return order


@chosen
@arrays(x=ANY, y=ANY)
def cost_matrix(x: Float[Array, "n d"], y: Float[Array, "m d"], cost: Cost = "half-squared") -> Float[Array, "n m"]:
    """c(x_i, y_j). Matmul-bound for the named costs: memory O(n m)."""
    if callable(cost):
        return jax.vmap(jax.vmap(cost, (None, 0)), (0, None))(x, y)
    return _cost_matrix(x, y, cost)


@jit
def _cost_matrix(x: Array, y: Array, cost: str) -> Array:
    middle = y.mean(axis=0, keepdims=True)  # distances do not change, their rounding does
    x, y = x - middle, y - middle
    squared = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1)[None, :] - 2 * x @ y.T
    return cost_of_squared(squared, cost)


@chosen
def cost_between(x: Float[Array, "n d"], y: Float[Array, "n d"], cost: Cost = "norm") -> Float[Array, " n"]:
    """c(x_i, y_i)."""
    if callable(cost):
        return jax.vmap(cost)(x, y)
    return cost_of_squared(((x - y) ** 2).sum(axis=-1), cost)


def cost_of_squared(squared: Array, cost: str) -> Array:
    """A named cost from squared distances."""
    squared = jnp.maximum(squared, 0.0)
    if cost == "half-squared":
        return squared / 2
    positive = squared > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squared, 1.0)), 0.0)  # its gradient at 0 is 0


def normalized(log_weights: Float[Array, " n"], live: Bool[Array, " n"] | None = None) -> Float[Array, " n"]:
    """Log-weights of mean weight 1 over the rows that count."""
    count = log_weights.shape[0] if live is None else live.sum()
    log_weights = log_weights if live is None else jnp.where(live, log_weights, -jnp.inf)
    return log_weights - jax.nn.logsumexp(log_weights) + jnp.log(jnp.asarray(count, log_weights.dtype))


def _even(x: Array, live: Array | None) -> Array:
    none = jnp.zeros(x.shape[0], x.dtype)
    return none if live is None else jnp.where(live, none, -jnp.inf)


def _draw_rows(key: Array, n: int, live: Array | None) -> Array:
    if live is None:
        return random.randint(key, (n,), 0, n)
    return random.categorical(key, jnp.where(live, 0.0, -jnp.inf), shape=(n,))


def _check(x0: Array, x1: Array) -> None:
    if x0.ndim != 2 or x0.shape != x1.shape:
        raise ValueError(
            f"the batches have shapes {x0.shape} and {x1.shape}, but pairs need two batches (n, d) of equal shape"
        )
    if x0.shape[0] == 0:
        raise ValueError("the batch is empty: give at least one pair")


def positive(name: str, value: ArrayLike) -> None:
    """Refuse a number that is known and not positive."""
    if not isinstance(value, Tracer) and not (np.asarray(value) > 0).all():
        raise ValueError(f"{name} = {value}, but it must be positive")
