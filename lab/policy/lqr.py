r"""The linear-quadratic regulator under a linear Gaussian policy, with its closed forms.

$s_{h+1} = A s_h + B a_h + w_h$, $a_h = K s_h + \sigma \xi_h$, reward $-(s^\top Q s + a^\top R a)$, $w \sim N(0, W)$,
$s_0 \sim N(0, \Sigma_0)$. Moments obey Lyapunov's recursion and costs to go theirs,

$$ \Sigma_{h+1} = L \Sigma_h L^\top + \sigma^2 B B^\top + W, \quad P_h = Q + K^\top R K + \gamma L^\top P_{h+1} L,
   \quad L = A + B K, $$
$$ J = -\sum_h \gamma^h \big( \mathrm{tr}\, \Sigma_h (Q + K^\top R K) + \sigma^2\, \mathrm{tr}\, R \big), \qquad
   \nabla_K J = -2 \sum_h \gamma^h \big( R K + \gamma B^\top P_{h+1} L \big) \Sigma_h . $$

Fazel, Ge, Kakade, Mesbahi, *Global Convergence of Policy Gradient Methods for the Linear Quadratic Regulator*, ICML 2018.
"""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from lab.numerics import arguments, random

from .environments import Moved, Plane
from .policies import Gaussian


class LQR(eqx.Module):
    """A linear system with quadratic costs; ``double_integrator`` is one. Square roots of covariances are Cholesky factors."""

    A: Float[Array, "n n"] = eqx.field(converter=partial(arguments.real, "A"))
    B: Float[Array, "n m"] = eqx.field(converter=partial(arguments.real, "B"))
    Q: Float[Array, "n n"] = eqx.field(converter=partial(arguments.real, "Q"))
    R: Float[Array, "m m"] = eqx.field(converter=partial(arguments.real, "R"))
    noise: Float[Array, "n n"] = eqx.field(converter=partial(arguments.real, "noise"))  # square root of W
    first: Float[Array, "n n"] = eqx.field(
        converter=partial(arguments.real, "first")
    )  # of the first state's covariance

    kind = "continuous"
    plane = Plane(("position", "velocity"), (-2.0, 2.0), (-2.0, 2.0))

    @property
    def observations(self) -> int:
        return self.A.shape[0]

    @property
    def actions(self) -> int:
        return self.B.shape[1]

    def reset(self, key: PRNGKeyArray) -> tuple[Array, Array]:
        state = self.first @ random.normal(key, (self.observations,), self.A.dtype)
        return state, state

    def step(self, key: PRNGKeyArray, state: Float[Array, " n"], action: Float[Array, " m"]) -> Moved:
        after = self.A @ state + self.B @ action
        after = after + self.noise @ random.normal(key, (self.observations,), self.A.dtype)
        reward = -(state @ self.Q @ state + action @ self.R @ action)
        return Moved(after, after, reward, jnp.zeros((), bool))

    def drawn(self, state: Float[Array, " n"]) -> Float[Array, "k 2"]:
        return jnp.pad(state[:2], (0, max(0, 2 - self.observations)))[None, :]

    def seen(self, u: Float[Array, ""], v: Float[Array, ""]) -> Float[Array, " n"]:
        return jnp.pad(jnp.stack([u, v])[: self.observations], (0, max(0, self.observations - 2)))


def double_integrator(tau: ArrayLike = 0.25) -> LQR:
    r"""A mass that is pushed: position and velocity, steps of ``tau`` seconds, a little noise.

    $$ s_{h+1} = \begin{pmatrix} 1 & \tau \\ 0 & 1 \end{pmatrix} s_h
       + \begin{pmatrix} \tau^2 / 2 \\ \tau \end{pmatrix} a_h + w_h $$

    with the costs $|s|^2 + 0.1\, a^2$ and noise of deviation 0.05.

    Args:
        tau: s.

    Returns:
        the system.

    Raises:
        ValueError: tau that is not positive.

    Source:
        Fazel, Ge, Kakade and Mesbahi (2018), of linear systems.

    Examples:
        >>> from lab import policy
        >>> policy.double_integrator(0.5).B.tolist()
        [[0.125], [0.5]]
    """
    eye, tau = jnp.eye(2), arguments.real("tau", tau, (), low=0, strict=True)
    a, b = jnp.array([[1.0, tau], [0.0, 1.0]]), jnp.array([[tau**2 / 2], [tau]])
    return LQR(a, b, eye, 0.1 * jnp.eye(1), 0.05 * eye, eye)


def linear(system: LQR, sigma: float) -> Gaussian:
    """The policy $a = K s + \\sigma \\xi$, theta the rows of K."""
    return Gaussian((system.observations, system.actions), bias=False, sigma=sigma)


def value(system: LQR, K: Any, sigma: ArrayLike, horizon: int, discount: ArrayLike) -> Float[Array, ""]:
    """J, exactly."""
    return value_and_gradient(system, K, sigma, horizon, discount)[0]


def value_and_gradient(
    system: LQR, K: Any, sigma: ArrayLike, horizon: int, discount: ArrayLike
) -> tuple[Float[Array, ""], Float[Array, "m n"]]:
    """J and its gradient in K, exactly.

    Raises:
        ValueError: a horizon below 1, a negative sigma or discount, or K that does not fit or is not finite.
    """
    K = arguments.real("K", K, (system.actions, system.observations))
    horizon = arguments.whole("horizon", horizon, 1)
    sigma, discount = arguments.real("sigma", sigma, (), low=0), arguments.real("discount", discount, (), low=0)
    closed = system.A + system.B @ K
    each = system.Q + K.T @ system.R @ K
    spread = jnp.asarray(sigma, K.dtype) ** 2

    def forth(moments: Array, _: None) -> tuple[Array, Array]:
        after = closed @ moments @ closed.T + spread * system.B @ system.B.T + system.noise @ system.noise.T
        return after, moments

    def back(after: Array, _: None) -> tuple[Array, Array]:
        return each + discount * closed.T @ after @ closed, after

    moments = jax.lax.scan(forth, system.first @ system.first.T, None, length=horizon)[1]
    togo = jax.lax.scan(back, jnp.zeros_like(system.Q), None, length=horizon, reverse=True)[1]
    weights = jnp.asarray(discount, K.dtype) ** jnp.arange(horizon)
    costs = jnp.einsum("hij,ji->h", moments, each) + spread * jnp.trace(system.R)
    inner = (system.R @ K)[None] + discount * system.B.T @ togo @ closed
    return -(weights @ costs), -2 * jnp.einsum("h,hmi,hin->mn", weights, inner, moments)


def optimum(system: LQR, sigma: ArrayLike, horizon: int, discount: ArrayLike) -> Float[Array, ""]:
    """The largest J of Gaussian policies of this sigma whose gain may depend on the step: Riccati's recursion."""
    spread = jnp.asarray(sigma, system.A.dtype) ** 2

    def back(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        after, rest = carry
        cross = discount * system.B.T @ after @ system.A
        inner = system.R + discount * system.B.T @ after @ system.B
        now = system.Q + discount * system.A.T @ after @ system.A - cross.T @ jnp.linalg.solve(inner, cross)
        rest = spread * jnp.trace(inner) + discount * (rest + jnp.trace(system.noise.T @ after @ system.noise))
        return (now, rest), None

    start = jnp.zeros_like(system.Q), jnp.zeros((), system.A.dtype)
    (togo, rest), _ = jax.lax.scan(back, start, None, length=horizon)
    return -(jnp.trace(system.first.T @ togo @ system.first) + rest)


class Exact(eqx.Module):
    """J and its gradient of the policy ``linear``, as ``ascent`` asks for them."""

    system: LQR
    sigma: Float[Array, ""]
    horizon: int = eqx.field(static=True)
    discount: Float[Array, ""]

    def __call__(self, theta: Float[Array, " d"]) -> tuple[Float[Array, ""], Float[Array, " d"]]:
        gain = theta.reshape(self.system.actions, self.system.observations)
        earned, slope = value_and_gradient(self.system, gain, self.sigma, self.horizon, self.discount)
        return earned, slope.reshape(-1)
