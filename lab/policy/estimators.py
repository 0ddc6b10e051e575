r"""Gradients and Hessians of what a policy earns, estimated from episodes, without bias.

With $Q_h = \sum_{h' \ge h} \gamma^{h'} r_{h'}$ (discounted from step 0 on, the rewards constants) and a baseline $b_h$,

$$ \Phi(\theta; \tau) = \sum_h (Q_h - b_h) \log \pi_\theta(a_h|s_h), \qquad g = \nabla \Phi, \qquad
   B = \nabla^2 \Phi + \nabla \Phi\, (\nabla \log p_\theta(\tau))^\top, $$

$E g = \nabla J$ (GPOMDP) and $E B = \nabla^2 J$. A single B is not symmetric. The product is of one episode: the product of
two means over a batch is biased. With less variance, differentiated twice (DiCE),

$$ \sum_h \gamma^h r_h\, e^{c_h - \bar c_h} + b_h (1 - e^{\ell_h - \bar \ell_h}), \qquad
   c_h = \sum_{k \le h} \ell_k, \quad \ell_h = \log \pi_\theta(a_h|s_h), $$

a bar for what is not differentiated. Baxter, Bartlett, 2001; Shen et al., 2019; Foerster et al., 2018; Fatkhullin et al., 2023.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from lab.choices import chosen
from lab.numerics import arguments
from lab.numerics.differentiation import refuse_derivative

from .policies import Policy
from .rollouts import Episode

type Parameters = Float[Array, " d"]
type Baseline = Literal["none", "others"]
type Curvature = Literal["product", "dice"]


def discounted(batch: Episode, discount: ArrayLike) -> Float[Array, "n H"]:
    r"""$\gamma^h r_h$."""
    return batch.rewards * jnp.asarray(discount, batch.rewards.dtype) ** jnp.arange(batch.rewards.shape[1])[None, :]


def to_go(batch: Episode, discount: ArrayLike) -> Float[Array, "n H"]:
    r"""$Q_h = \sum_{h' \ge h} \gamma^{h'} r_{h'}$."""
    return jnp.cumsum(discounted(batch, discount)[:, ::-1], axis=1)[:, ::-1]


@chosen
def baseline(batch: Episode, discount: ArrayLike, kind: Baseline) -> Float[Array, "n H"]:
    """What is taken off Q: nothing, or the mean of the other episodes at the same step, which know nothing of this one.

    Raises:
        ValueError: there are no others.
    """
    q = to_go(batch, discount)
    if kind == "none":
        return jnp.zeros_like(q)
    if len(q) < 2:
        raise ValueError("a baseline from the other episodes needs at least 2 of them: take more, or no baseline")
    return (q.sum(axis=0, keepdims=True) - q) / (len(q) - 1)


def log_probs(policy: Policy, theta: Parameters, batch: Episode) -> Float[Array, "n H"]:
    """Of what was done, 0 after the end."""
    each = jax.vmap(jax.vmap(policy.log_prob, (None, 0, 0)), (None, 0, 0))
    return jnp.where(batch.alive, each(theta, batch.observations, batch.actions), 0.0)


def phi(
    policy: Policy, theta: Parameters, batch: Episode, discount: ArrayLike, less: ArrayLike = 0.0
) -> Float[Array, " n"]:
    r"""$\Phi$ of each episode. ``less`` is the baseline: a number, (1, H) or (n, H)."""
    return ((to_go(batch, discount) - less) * log_probs(policy, theta, batch)).sum(axis=1)


def dice(
    policy: Policy, theta: Parameters, batch: Episode, discount: ArrayLike, less: ArrayLike = 0.0
) -> Float[Array, " n"]:
    """What has the estimates of an episode as first and second derivative; its value is the discounted return."""
    each = log_probs(policy, theta, batch)
    whole = jnp.cumsum(each, axis=1)

    def ratio(x: Array) -> Array:
        return jnp.exp(x - jax.lax.stop_gradient(x))

    return (discounted(batch, discount) * ratio(whole) + less * batch.alive * (1 - ratio(each))).sum(axis=1)


@arguments.arrays(discount=arguments.NOT_NEGATIVE)
def gradient(
    policy: Policy, theta: Float[Array, " d"], batch: Episode, discount: ArrayLike, less: ArrayLike = 0.0
) -> Float[Array, " d"]:
    r"""The mean of $g = \nabla \Phi$ over the batch, $\Phi = \sum_h (Q_h - b_h) \log \pi_\theta(a_h|s_h)$.

    Args:
        policy: who acted.
        theta: its parameters, (d,).
        batch: n episodes of H steps.
        discount: gamma.
        less: the baseline b: a number, (1, H) or (n, H).

    Returns:
        the estimate (d,), unbiased where the baseline does not know the actions.

    Raises:
        ValueError: theta or a baseline that does not fit or is not finite, or a negative discount.

    Source:
        Baxter and Bartlett (2001).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import policy
        >>> one = policy.tabular(1, 2)  # of two equal actions the second is taken, and earns 2
        >>> batch = policy.Episode(jnp.ones((1, 1, 1)), jnp.array([[1]]), jnp.array([[2.0]]), jnp.array([[True]]))
        >>> policy.gradient(one, jnp.zeros(2), batch, 1.0)  # 2 (e_1 - pi)
        Array([-1.,  1.], dtype=float64)
    """
    less = _checked(policy, theta, batch, less)
    return jax.grad(lambda x: phi(policy, x, batch, discount, less).mean())(theta)


def _checked(policy: Policy, theta: Array, batch: Episode, less: ArrayLike) -> Array:
    """The baseline as an array, if theta and it fit the policy and the batch."""
    if theta.shape != (policy.size,):
        raise ValueError(f"theta has shape {theta.shape}: the policy has ({policy.size},) parameters")
    less, shape = arguments.real("less", less), batch.rewards.shape
    if less.ndim and less.shape not in (shape, (1, shape[-1])):
        raise ValueError(f"less has shape {less.shape}: one number, {(1, shape[-1])} or {shape} are needed")
    return less


def gradients(
    policy: Policy, theta: Parameters, batch: Episode, discount: ArrayLike, less: ArrayLike = 0.0
) -> Float[Array, "n d"]:
    """g of each episode."""
    less = jnp.broadcast_to(less, batch.rewards.shape)

    def one(episode: Episode, own: Array) -> Array:
        return gradient(policy, theta, _alone(episode), discount, own[None])

    return jax.vmap(one)(batch, less)


def _alone(episode: Episode) -> Episode:
    """A batch of one."""
    return jax.tree.map(lambda x: x[None], episode)


_DICE = "a derivative of DiCE estimates the third derivative of J, not that of the product: use kind='product'"


@chosen
@arguments.arrays(discount=arguments.NOT_NEGATIVE)
def hvp(
    policy: Policy,
    theta: Float[Array, " d"],
    batch: Episode,
    v: Float[Array, " d"],
    discount: ArrayLike,
    less: ArrayLike = 0.0,
    kind: Curvature = "product",
) -> Parameters:
    r"""The mean of $B v$ over the batch, each product within one episode.

    $$ B = \nabla^2 \Phi + \nabla \Phi\, (\nabla \log p_\theta(\tau))^\top $$

    Args:
        policy: who acted.
        theta: its parameters, (d,).
        batch: n episodes of H steps.
        v: a direction, (d,).
        discount: gamma.
        less: the baseline b: a number, (1, H) or (n, H).
        kind: ``product``, the B above, or ``dice``, which has less variance.

    Returns:
        the estimate (d,) of the Hessian of J times v.

    Raises:
        ValueError: another word for the kind; theta, v or a baseline that does not fit or is not finite; a negative discount.

    Source:
        Shen et al. (2019); Foerster et al. (2018), of ``dice``.

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import policy
        >>> one = policy.tabular(1, 2)  # of two equal actions the second is taken, and earns 2
        >>> batch = policy.Episode(jnp.ones((1, 1, 1)), jnp.array([[1]]), jnp.array([[2.0]]), jnp.array([[True]]))
        >>> policy.hvp(one, jnp.zeros(2), batch, jnp.array([0.0, 1.0]), 1.0).round(9)  # p (1 - p) (1 - 2 p) = 0
        Array([0., 0.], dtype=float64)
    """
    less = _checked(policy, theta, batch, less)
    if kind == "dice":
        theta, seen, done = refuse_derivative((theta, batch.observations, batch.actions), _DICE)
        batch = batch._replace(observations=seen, actions=done)
        return jax.jvp(jax.grad(lambda x: dice(policy, x, batch, discount, less).mean()), (theta,), (v,))[1]
    along = jax.jvp(lambda x: log_probs(policy, x, batch).sum(axis=1), (theta,), (v,))[1]

    def weighted(x: Array, weights: Array | float) -> Array:
        return (weights * phi(policy, x, batch, discount, less)).mean()

    curved = jax.jvp(jax.grad(lambda x: weighted(x, 1.0)), (theta,), (v,))[1]
    return curved + jax.grad(lambda x: weighted(x, along))(theta)


@chosen
def hvps(
    policy: Policy,
    theta: Parameters,
    batch: Episode,
    v: Parameters,
    discount: ArrayLike,
    less: ArrayLike = 0.0,
    kind: Curvature = "product",
) -> Float[Array, "n d"]:
    """B v of each episode."""

    def one(episode: Episode, own: Array) -> Array:
        return hvp(policy, theta, _alone(episode), v, discount, own[None], kind)

    return jax.vmap(one)(batch, jnp.broadcast_to(less, batch.rewards.shape))


def product_of_means(
    policy: Policy, theta: Parameters, batch: Episode, v: Parameters, discount: ArrayLike
) -> Parameters:
    """The biased estimate, with the product of two means over the batch: what not to do, to be compared with."""
    curved = jax.jvp(jax.grad(lambda x: phi(policy, x, batch, discount).mean()), (theta,), (v,))[1]
    along = jax.jvp(lambda x: log_probs(policy, x, batch).sum(axis=1).mean(), (theta,), (v,))[1]
    return curved + gradient(policy, theta, batch, discount) * along
