r"""Exact fields of a path, without training: velocity, score, denoisers and density at any time and point.

For $x_t = \alpha x_0 + \beta x_1 + \gamma z$ with the conditional means $\eta_0, \eta_1, \eta_z$ of $x_0, x_1, z$ given
$x_t = x$,

$$ \nabla\log p_t = s, \qquad \eta_z = -\gamma s, \qquad
   b = \alpha'\eta_0 + \beta'\eta_1 - \gamma\gamma' s, \qquad \partial_t p_t + \mathrm{div}(b\, p_t) = 0 . $$

Source: Albergo, Boffi, Vanden-Eijnden, *Stochastic interpolants*, JMLR 26 (2025), section 2.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from lab.numerics.arguments import real
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.paths.blocks import squared_distances
from lab.paths.laws import Empirical, Joint, Mixture, Pairs, Posterior, law, product
from lab.paths.schedules import Coefficients, Mirror, Schedule, as_pytree, at, has_latent, inside, known


class Field(NamedTuple):
    """Everything at one time and n points."""

    velocity: Float[Array, "n d"]
    score: Float[Array, "n d"]
    x0: Float[Array, "n d"]  # mean of the source given the point
    x1: Float[Array, "n d"]  # mean of the target given the point: the denoiser
    z: Float[Array, "n d"]  # mean of the latent noise given the point
    log_density: Float[Array, " n"]


class Pairing(NamedTuple):
    r"""What a tilt may depend on: the ends that pair (points, atoms) at one time.

    Of atom j and point i the target is $x_1 = a_j$ and the source $x_0 = (x_i - \beta a_j)/\alpha$. The squares cost one
    product of matrices each; ``x0`` makes an array (b, c, d), in small dimensions.
    """

    index: Array  # (c,) of the atoms in the empirical law
    atoms: Array  # (c, d)
    x: Array  # (b, d)
    alpha: Array
    beta: Array

    @property
    def x0(self) -> Float[Array, "b c d"]:
        return (self.x[:, None, :] - self.beta * self.atoms[None]) / self.alpha

    @property
    def x1(self) -> Float[Array, "1 c d"]:
        return self.atoms[None]

    @property
    def squared_x0(self) -> Float[Array, "b c"]:
        return squared_distances(self.x, self.beta * self.atoms) / self.alpha**2

    @property
    def squared_x1(self) -> Float[Array, "1 c"]:
        return (self.atoms**2).sum(axis=1)[None]

    @property
    def squared_distance(self) -> Float[Array, "b c"]:
        """Of source and target."""
        return squared_distances(self.x, (self.alpha + self.beta) * self.atoms) / self.alpha**2


type Tilt = Callable[[Pairing], Array]
r"""Extra log-weights (b, c) of the pairs: the coupling becomes $e^{\ell(x_0, x_1)} d\mu\, d\nu / Z$."""


class _Product(eqx.Module):
    """Independent ends, where one is a mixture of Gaussians (or of points) and the other can be denoised."""

    weights: Array  # (K,) of the components
    means: Array  # (K, d)
    covariances: Array  # (K,), (K, d) or (K, d, d); zeros for points
    other: Any
    tilt: Tilt | None
    components_first: bool = eqx.field(static=True)  # the source is the one of components

    @property
    def dimension(self) -> int:
        return self.means.shape[-1]

    def posterior(self, c: Coefficients, x: Float[Array, "n d"]) -> Posterior:
        """Time K times that of the denoiser."""
        a, b = (c.alpha, c.beta) if self.components_first else (c.beta, c.alpha)
        d = self.dimension

        def component(weight, mean, covariance, x):
            square = a**2 * covariance
            noise = square + (c.gamma**2 if square.ndim < 2 else c.gamma**2 * jnp.eye(d, dtype=x.dtype))
            y = x - (a * mean)[None, :]
            if self.tilt is None:
                far, log_density = self.other.denoise(y, b, noise)
            else:
                tilt = self.tilt
                shift = (a * mean)[None, :]

                def extra(y, atoms):
                    return tilt(Pairing(jnp.arange(atoms.shape[0]), atoms, y + shift, a, b))

                far, log_density = self.other.denoise(y, b, noise, extra)
            k = _solve(noise, y - b * far)
            near = mean[None, :] + a * _times(covariance, k)
            return near, far, k, log_density + jnp.log(weight)

        def combined(x):
            if self.weights.shape[0] == 1:
                return component(self.weights[0], self.means[0], self.covariances[0], x)

            def step(carry, part):
                top, total, sums = carry
                *values, log_density = component(part[0], part[1], part[2], x)
                new = jnp.maximum(top, log_density)
                shift = jnp.where(jnp.isfinite(new), new, 0)  # of components without weight
                kept, w = jnp.exp(top - shift), jnp.exp(log_density - shift)
                sums = tuple(s * kept[:, None] + w[:, None] * v for s, v in zip(sums, values, strict=True))
                return (new, total * kept + w, sums), None

            n = x.shape[0]
            start = jnp.full(n, -jnp.inf, x.dtype), jnp.zeros(n, x.dtype), (jnp.zeros_like(x),) * 3
            parts = self.weights, self.means, self.covariances
            (top, total, sums), _ = jax.lax.scan(jax.checkpoint(step), start, parts)
            return *(s / total[:, None] for s in sums), top + jnp.log(total)

        near, far, k, log_density = combined(x)
        score = -k
        if self.tilt is not None:  # then x0 given x is not Gaussian; whoever does not use the score does not pay for it
            score = jax.grad(lambda x: combined(x)[-1].sum())(x)
        x0, x1 = (near, far) if self.components_first else (far, near)
        return Posterior(x0, x1, score, log_density)

    def singular(self, c: Coefficients) -> bool:
        """Whether the component's Gaussian has no spread at these coefficients."""
        a = c.alpha if self.components_first else c.beta
        spread = float(a) ** 2 * float(np.max(self.covariances)) + float(c.gamma) ** 2
        return not spread > 0


class Exact(eqx.Module):
    """The exact field of a path: called at (t, x) it gives the ``Field``. Made by ``exact``.

    t is a scalar in [0, 1], x is (n, d), and the dtype of x is that of the work. The formulas near the ends want float64.
    """

    schedule: Schedule
    law: Any

    def __call__(self, t: Any, x: ArrayLike | Sequence) -> Field:
        x = real("x", x, ("n", self.law.dimension), finite=False)
        if jnp.ndim(t):
            raise ValueError(f"t has shape {jnp.shape(t)}, but one time is needed: use jax.vmap for several")
        if not isinstance(t, Tracer):
            time = float(t)
            if not 0 <= time <= 1:
                raise ValueError(f"t = {time:.6g}, but a time in [0, 1] is needed")
            low, high = self.interval if time in (0, 1) else (0.0, 1.0)
            if (time == 0 and low > 0) or (time == 1 and high < 1):
                raise ValueError(
                    f"points without spread have no score or velocity at t = {time:g}: use t {'>' if time == 0 else '<'} "
                    f"{time:g}, for example {low if time == 0 else high:g}"
                )
        return _evaluate(self.schedule, self.law, jnp.asarray(t), x)

    def velocity(self, t: Any, x: ArrayLike | Sequence) -> Float[Array, "n d"]:
        return self(t, x).velocity

    def score(self, t: Any, x: ArrayLike | Sequence) -> Float[Array, "n d"]:
        return self(t, x).score

    def log_density(self, t: Any, x: ArrayLike | Sequence) -> Float[Array, " n"]:
        return self(t, x).log_density

    @property
    def interval(self) -> tuple[float, float]:
        """The times between which the field has values: all of [0, 1], or a little less where an end is points."""
        if not hasattr(self.law, "singular") or not known((self.schedule, self.law)):
            return 0.0, 1.0
        margin = 1e-4 if np.finfo(_dtype(self.law)).eps < 1e-10 else 1e-3
        with jax.ensure_compile_time_eval():
            ends = jax.tree.map(np.asarray, at(self.schedule, placed(np.asarray([0.0, 1.0]))))
        first, last = (self.law.singular(Coefficients(*each)) for each in zip(*ends, strict=True))
        return margin if first else 0.0, 1 - margin if last else 1.0

    @property
    def crowded(self) -> bool:
        """Whether an end is points, toward which particles go the faster the nearer it is in time."""
        law = self.law
        if not isinstance(law, _Product):
            return isinstance(law, Pairs)
        of_points = isinstance(law.other, Empirical)
        return of_points or (known(law.covariances) and not float(np.max(law.covariances)) > 0)


@jit
def _evaluate(schedule: Schedule, law: Any, t: Array, x: Array) -> Field:
    c = Coefficients(*(z.astype(x.dtype) for z in inside(schedule, t)))
    law = jax.tree.map(lambda z: z.astype(x.dtype) if eqx.is_inexact_array(z) else z, law)
    x0, x1, score, log_density = law.posterior(c, x)
    x0 = x1 if isinstance(schedule, Mirror) else x0  # which are one there
    velocity = c.d_alpha * x0 + c.d_beta * x1
    if getattr(law, "tilt", None) is None:  # a tilted coupling has no latent noise, and its score costs
        velocity = velocity - c.gg * score
    return Field(velocity, score, x0, x1, -c.gamma * score, log_density)


def exact(schedule: Schedule, source: Any, target: Any = None, *, tilt: Tilt | None = None) -> Exact:
    r"""The exact field of a path between two laws.

    $$ b(t, x) = E[\alpha' x_0 + \beta' x_1 + \gamma' z \mid x_t = x], \qquad s = \nabla \log p_t $$

    Time a call: K0 K1 components O(n K d^2), or O(n K d) if isotropic; m points O(n m d), in blocks, so that
    50,000 x 784 fit; two empirical laws O(n m0 m1 d).

    Args:
        schedule: from ``lab.paths.schedules``, or anything called at t that returns ``Coefficients``.
        source: a law: a ``Mixture`` (one Gaussian included), ``Empirical`` or a table of points, ``Boxes``, a numpyro
            distribution, or an object with ``denoise``. Or one joint law of both ends, ``Joint`` or ``Pairs``. For ``Mirror``
            the data alone.
        target: likewise, independent of the source. Where neither is a mixture both must be empirical, and the schedule must
            have a latent noise. None with a joint law or a mirror.
        tilt: extra log-weights of the pairs, from a Gaussian source to an empirical target without latent noise. Called with
            a ``Pairing`` it returns (b, c). ``log_density`` is then known up to a constant, and ``score`` is its gradient.

    Returns:
        an ``Exact`` field: called at (t, x) with x (n, d) it returns velocity, score, denoisers and log-density.

    Raises:
        ValueError: dimensions that differ, two empirical laws without latent noise, a tilt where it has no closed form.
        TypeError: no target, and a source that is no joint law.

    Source:
        Albergo, Boffi, Vanden-Eijnden, Stochastic interpolants, JMLR 26 (2025).

    Examples:
        >>> import jax.numpy as jnp
        >>> from lab import paths
        >>> field = paths.exact(paths.Linear(), paths.standard(1), [[3.0]])
        >>> float(field(0.5, jnp.asarray([[1.0]])).velocity[0, 0])  # (3 - x) / (1 - t)
        4.0
    """
    if isinstance(schedule, Mirror) and target is None and not isinstance(source, Joint | Pairs):
        target = source = law(source)
        if isinstance(target, Mixture):
            full = target.covariances
            return Exact(schedule, Joint(target.weights, target.means, target.means, full, full))
        # alpha is 0: any source of one component leaves the path as it is
        zero = jnp.zeros((1, target.dimension), _dtype(target))
        return Exact(schedule, _Product(jnp.ones(1, zero.dtype), zero, jnp.zeros(1, zero.dtype), target, None, True))
    if target is None:
        if not isinstance(source, Joint | Pairs):
            raise TypeError(f"{type(source).__name__} is no joint law: give a target too, or a Joint or Pairs")
        if tilt is not None:
            raise ValueError("a tilt is of independent ends: a joint law has its own weights")
        if isinstance(source, Pairs) and known((schedule, source)) and source.singular(schedule(0.5)):
            raise ValueError(
                "pairs have no field without smoothing: give a bandwidth > 0 or a schedule with latent noise"
            )
        return Exact(schedule, source)
    source, target = law(source), law(target)
    if source.dimension != target.dimension:
        raise ValueError(
            f"source and target have dimensions {source.dimension} and {target.dimension}: they must agree"
        )
    latent = not known(schedule) or has_latent(schedule)
    if tilt is not None:
        if not (isinstance(source, Mixture) and isinstance(target, Empirical)):
            raise ValueError("a tilt has a closed form from a Mixture source to an Empirical target only")
        if latent and known(schedule):
            raise ValueError("a tilt has a closed form without latent noise only: leave gamma out of the schedule")
        return Exact(schedule, _product(source, target, True, as_pytree(tilt)))
    if isinstance(source, Mixture) and isinstance(target, Mixture):
        return Exact(schedule, product(source, target))
    if isinstance(source, Mixture):
        return Exact(schedule, _product(source, target, True))
    if isinstance(target, Mixture):
        return Exact(schedule, _product(target, source, False))
    if isinstance(source, Empirical):
        if not latent:
            raise ValueError(
                "between points and points without latent noise the velocity is not defined off the lines: take a schedule "
                "with latent noise, a Mixture as one end, or Pairs with a bandwidth"
            )
        return Exact(schedule, _product(source, target, True))
    raise ValueError(
        f"from {type(source).__name__} to {type(target).__name__} no exact field is known: one end must be a Mixture or points"
    )


def _product(components: Any, other: Any, first: bool, tilt: Tilt | None = None) -> _Product:
    if isinstance(components, Empirical):
        means = components.points
        return _Product(components.weights, means, jnp.zeros(means.shape[0], means.dtype), other, tilt, first)
    return _Product(components.weights, components.means, components.covariances, other, tilt, first)


def _solve(covariance: Array, r: Array) -> Array:
    if covariance.ndim < 2:
        return r / jnp.reshape(covariance, (1, -1))
    return jax.scipy.linalg.cho_solve((jnp.linalg.cholesky(covariance), True), r.T).T


def _times(covariance: Array, r: Array) -> Array:
    return r @ covariance if covariance.ndim == 2 else r * jnp.reshape(covariance, (1, -1))


def _dtype(tree: Any) -> Any:
    return jnp.result_type(*(leaf.dtype for leaf in jax.tree.leaves(tree) if eqx.is_inexact_array(leaf)))
