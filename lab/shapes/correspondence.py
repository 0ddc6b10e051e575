r"""Correspondences that are learned without labels: features of one network for all surfaces, whose functional maps and soft
correspondences must agree with each other, be isometries, and align the features.

$$ L = w_b L_{bij} + w_o L_{orth} + w_l L_{lap} + w_c L_{coupling} + w_t L_{OT} + w_d L_D $$

Each step takes one pair (X, Y), in order mixed anew for each round, and draws the directions of the sliced distance anew.
L_OT compares the features F_x with what Y's look like on X, $\Pi_{xy} F_y$, and, both ways, F_y with $\Pi_{yx} F_x$: it is
small where they match, and also where all features are equal, which the other terms forbid. It is of features as they are, not
of unit ones, so the network may lower it by making them small: ``norm`` tells.

Learning goes by Adam with gradients clipped, at a rate that falls along a cosine. Refining (``refine``) goes on for one pair
with an entropic plan for the soft correspondences, on directions that are held, and keeps the network of the least loss.

Source: Le, Nguyen, Sun, Ho, Xie, *Integrating efficient optimal transport and functional maps for unsupervised shape
correspondence learning*, CVPR 2024; the terms are those of Cao, Roetzer, Bernard, 2023.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PRNGKeyArray

from lab.choices import chosen
from lab.numerics import Loop, Method, Reason, pure
from lab.numerics.differentiation import refuse_derivative
from lab.numerics.jit import jit
from lab.numerics.learning import ADAM, descend, rate
from lab.ot import sliced
from lab.shapes import functional_maps as maps
from lab.shapes.diffusion_net import DiffusionNet
from lab.shapes.own_net import Net
from lab.shapes.surface import Surface, stacked

type Transport = Literal["none", "uniSW", "biSW", "EBSW", "maxSW"] | str
"""Of L_OT: none, the sliced distance one way, both ways, both ways by the directions that see most, the best direction."""
type Root = Literal["joint", "separate"] | str

TERMS = ("bijectivity", "orthogonality", "isometry", "coupling", "transport", "dirichlet")
_STARTS = 8  # directions from which maxSW climbs
_CLIMBS = 100


class Settings(NamedTuple):
    """Everything that may be swept without compiling; the first six are the weights of ``TERMS``."""

    bijectivity: ArrayLike = 1.0
    orthogonality: ArrayLike = 1.0
    isometry: ArrayLike = 0.0
    coupling: ArrayLike = 1.0
    transport: ArrayLike = 100.0
    dirichlet: ArrayLike = 0.0  # 5 for unlike surfaces, 1 for parts, in the paper
    tau: ArrayLike = 0.07
    strength: ArrayLike = 100.0  # lambda, of the mask
    gamma: ArrayLike = 0.5  # of the mask
    ridge: ArrayLike = maps.RIDGE
    rate: ArrayLike = 1e-3
    last_rate: ArrayLike = 1e-4
    clip: ArrayLike = 1.0  # the norm that a gradient has at most
    dropout: ArrayLike = 0.0
    sigma: ArrayLike = 0.1  # of the plan that refines


@chosen
class Matching(eqx.Module):
    """What is minimized: surfaces, pairs of them, and how they are compared."""

    surfaces: Surface  # stacked
    pairs: Int[Array, "pairs 2"]
    settings: Settings
    k: int = eqx.field(static=True)
    count: int = eqx.field(static=True)  # of directions
    transport: Transport = eqx.field(static=True)
    root: Root = eqx.field(static=True)
    padded: bool = eqx.field(static=True)
    refining: bool = eqx.field(static=True)

    def terms(
        self, net: Net, pair: Int[Array, " 2"], key: PRNGKeyArray
    ) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
        """The loss of a pair, and its terms before they are weighted."""
        x, y = (jax.tree.map(lambda leaf, i=i: leaf[pair[i]], self.surfaces) for i in (0, 1))
        of_x, of_y, of_theta = jax.random.split(key, 3)
        s = self.settings
        fx, fy = (net(on, s.dropout, None if self.refining else k) for on, k in ((x, of_x), (y, of_y)))
        cxy, cyx = functional_maps(x, y, fx, fy, self.k, s)
        masses = (x.mass, y.mass) if self.padded else (None, None)
        pxy, pyx = self._soft(fx, fy, masses)
        phi = [(on.functions[:, : self.k], on.inverse[: self.k]) for on in (x, y)]
        seen = jax.lax.stop_gradient((pxy, pyx)) if self.refining else (pxy, pyx)
        values = x.values[: self.k], y.values[: self.k]
        found = {
            "bijectivity": maps.bijectivity(cxy, cyx),
            "orthogonality": maps.orthogonality(cxy, cyx),
            "isometry": maps.isometry(cxy, cyx, *values),
            "coupling": maps.coupling(cxy, cyx, pxy, pyx, *phi),
            "transport": self._sliced(fx, fy, seen[1] @ fx, seen[0] @ fy, masses, of_theta),
            "dirichlet": maps.dirichlet(pxy @ y.vertices, x.ends, x.weights)
            + maps.dirichlet(pyx @ x.vertices, y.ends, y.weights),
        }
        loss = jnp.stack([jnp.asarray(weight, fx.dtype) * found[name] for name, weight in zip(TERMS, s, strict=False)])
        norm = jnp.sqrt((fx**2).sum(axis=1) @ x.mass / x.mass.sum())
        return loss.sum(), {**found, "norm": norm}

    def _soft(self, fx: Array, fy: Array, masses: Any) -> tuple[Array, Array]:
        s = self.settings
        if self.refining:
            found = maps.refined(fx, fy, s.sigma, *masses)
            return found.xy, found.yx
        return maps.soft(fx, fy, s.tau, masses[1]), maps.soft(fy, fx, s.tau, masses[0])

    def _sliced(
        self, fx: Array, fy: Array, x_seen: Array, y_seen: Array, masses: Any, key: PRNGKeyArray
    ) -> Float[Array, ""]:
        if self.transport == "none":
            return jnp.zeros((), fx.dtype)
        a, b = (None if mass is None else (mass > 0).astype(fx.dtype) / (mass > 0).sum() for mass in masses)
        theta = sliced.directions(key, self.count, fx.shape[1], fx.dtype)
        if self.transport == "uniSW":
            return sliced.sliced(fx, y_seen, theta, a, a).value
        if self.transport == "maxSW":
            return sliced.max_sliced(fx, y_seen, theta[:_STARTS], a, a, steps=_CLIMBS).value
        return sliced.bidirectional(
            fx, fy, x_seen, y_seen, theta, a=a, b=b, root=self.root, energy=self.transport == "EBSW"
        )


def functional_maps(
    x: Surface, y: Surface, fx: Float[Array, "nx c"], fy: Float[Array, "ny c"], k: int, settings: Settings | None = None
) -> tuple[Float[Array, "k k"], Float[Array, "k k"]]:
    """C_xy and C_yx of features: of functions on X to those on Y, and back."""
    s = settings or Settings()
    a, b = x.inverse[:k] @ fx, y.inverse[:k] @ fy
    penalty = maps.mask(x.values[:k], y.values[:k], s.gamma)
    return maps.solve(a, b, penalty, s.strength, s.ridge), maps.solve(b, a, penalty.T, s.strength, s.ridge)


# -- the loop ----------------------------------------------------------------------------------------------------------


class _Course(eqx.Module):
    """A training, as the loop sees it."""

    problem: Matching
    net: Net
    moments: Any
    key: PRNGKeyArray
    steps: Int[Array, ""]


class Learning(NamedTuple):
    """Whence a training goes on."""

    net: Net
    moments: optax.OptState
    step: Int[Array, ""]
    loss: Float[Array, ""]  # of the pair of the last step, before it
    terms: dict[str, Float[Array, ""]]
    best: Net  # of the least loss, where one refines
    least: Float[Array, ""]


def _init(course: _Course) -> Learning:
    nothing = jnp.zeros((), course.problem.surfaces.mass.dtype)
    moments = ADAM.init(course.net) if course.moments is None else course.moments  # type: ignore[arg-type]
    terms: dict[str, Array] = dict.fromkeys((*TERMS, "norm"), nothing)
    return Learning(course.net, moments, jnp.int32(0), nothing, terms, course.net, nothing + jnp.inf)


def _step(course: _Course, state: Learning) -> Learning:
    problem, s = course.problem, course.problem.settings
    count = problem.pairs.shape[0]
    of_round, of_step = jax.random.split(course.key)
    order = jax.random.permutation(jax.random.fold_in(of_round, state.step // count), count)
    key = of_step if problem.refining else jax.random.fold_in(of_step, state.step)
    (loss, terms), slope = jax.value_and_grad(problem.terms, has_aux=True)(
        state.net, problem.pairs[order[state.step % count]], key
    )
    norm = jnp.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(slope)))
    share = jnp.minimum(1, s.clip / jnp.maximum(norm, 1e-30))
    slope = jax.tree.map(lambda leaf: (leaf * share).astype(leaf.dtype), slope)
    part = state.step.astype(loss.dtype) / course.steps
    eta = rate(s.rate, part, depth=1 - s.last_rate / jnp.asarray(s.rate))
    net, moments = descend(ADAM, state.net, slope, state.moments, eta)
    better = loss < state.least if problem.refining else True
    new, old = (net.clamped(), moments), (state.net, state.moments)
    net, moments = jax.tree.map(partial(jnp.where, jnp.isfinite(loss)), new, old)
    best = jax.tree.map(partial(jnp.where, better), state.net if problem.refining else net, state.best)
    return Learning(net, moments, state.step + 1, loss, terms, best, jnp.minimum(loss, state.least))


def _done(course: _Course, state: Learning) -> Array:
    reason = jnp.where(state.step >= course.steps, Reason.CONVERGED, Reason.RUNNING)
    return jnp.where(jnp.isfinite(state.loss), reason, Reason.NOT_FINITE).astype(jnp.int32)


STEPS = Method(_init, _step, _done, lambda course, state: {**state.terms, "loss": state.loss})


class Learned(NamedTuple):
    """A network, and how it was learned."""

    net: Net
    trace: Mapping[str, Any]  # each of ``TERMS`` before its weight, "norm" of the features of X, and "loss", by step
    reason: Int[Array, ""] | int
    iterations: Int[Array, ""] | int
    state: Learning  # whence to go on


@chosen
def learn(
    key: PRNGKeyArray,
    surfaces: Sequence[Surface],
    pairs: Any = None,
    *,
    net: Net | None = None,
    k: int = 30,
    steps: int = 300,
    transport: Transport = "biSW",
    root: Root = "joint",
    directions: int = 100,
    settings: Settings | None = None,
    loop: Loop = pure,
    state: Learning | None = None,
) -> Learned:
    """Learn a network that matches surfaces, of one pair or of many; nothing says which vertex is which.

    $$ L = w_b L_{bij} + w_o L_{orth} + w_l L_{lap} + w_c L_{coupling} + w_t L_{OT} + w_d L_D $$

    Args:
        key: of the network and of all that is drawn.
        surfaces: ``surface`` of each mesh, with as many eigenfunctions and descriptors each.
        pairs: (m, 2), numbers of surfaces X and Y; each with each later one when omitted.
        net: to begin with; ``DiffusionNet`` as published when omitted, which takes a GPU. ``OwnNet`` makes one of any module.
        k: eigenfunctions of the functional maps, at most those of the surfaces; all of them diffuse.
        steps: pairs that are learned from, one at a time.
        transport: which sliced distance: "uniSW", "maxSW", "biSW", "EBSW" or "none".
        root: of the sliced distance, as of ``lab.ot.sliced.bidirectional``.
        directions: of the sliced distance, at least 1.
        settings: weights of the terms and what else may be swept.
        loop: ``pure``, or a ``Chunked`` that reports and stops between steps.
        state: of a training with the same arguments, where to go on.

    Returns:
        the network, and each term by step.

    Raises:
        ValueError: surfaces, pairs or sizes that do not fit, or a setting out of its bounds.

    Source:
        Le, Nguyen, Sun, Ho and Xie (2024); the terms of Cao, Roetzer and Bernard (2023).

    Examples:
        >>> import jax
        >>> from lab import shapes
        >>> x = shapes.surface.surface(shapes.sphere(0), 4, shapes.sphere(0).vertices)
        >>> try:
        ...     shapes.learn(jax.random.key(0), [x, x], k=9)
        ... except ValueError as error:
        ...     print(error)
        k = 9, but the surfaces have 4 eigenfunctions: take from 1 to 4
    """
    problem = matching(surfaces, pairs, k, transport, root, directions, settings)
    of_net, of_steps = jax.random.split(key)
    made = net or DiffusionNet(of_net, surfaces[0].descriptors.shape[1], dtype=surfaces[0].mass.dtype)
    return _learned(loop, _course(problem, made, None, of_steps, steps), steps, state)


@chosen
def matching(
    surfaces: Sequence[Surface],
    pairs: Any,
    k: int,
    transport: Transport,
    root: Root,
    directions: int,
    settings: Settings | None,
    refining: bool = False,
) -> Matching:
    """The objective of ``learn``, checked."""
    whole, padded = stacked(surfaces)
    most, count = whole.values.shape[-1], len(surfaces)
    if not 1 <= k <= most or int(k) != k:
        raise ValueError(f"k = {k}, but the surfaces have {most} eigenfunctions: take from 1 to {most}")
    if directions < 1 or int(directions) != directions:
        raise ValueError(f"directions = {directions}, but at least 1 is needed")
    pairs = np.argwhere(np.triu(np.ones((count, count)), 1)) if pairs is None else np.asarray(pairs)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not len(pairs) or pairs.dtype.kind not in "iu":
        raise ValueError(
            f"the pairs have shape {pairs.shape}, but whole numbers (m, 2) of at least 2 surfaces are needed"
        )
    if pairs.min() < 0 or pairs.max() >= count:
        raise ValueError(f"the pairs name surface {pairs.max()}, but there are {count}, from 0 to {count - 1}")
    return Matching(
        whole, jnp.asarray(pairs), _checked(settings or Settings()), k, directions, transport, root, padded, refining
    )


def _checked(settings: Settings) -> Settings:
    positive = ("tau", "rate", "last_rate", "clip", "sigma", "gamma")
    for name, value in settings._asdict().items():
        if isinstance(value, Tracer):
            continue
        number = float(np.asarray(value))
        if not 0 <= number < np.inf or (name in positive and number == 0) or (name == "dropout" and number >= 1):
            allowed = "positive" if name in positive else "in [0, 1)" if name == "dropout" else "at least 0"
            raise ValueError(f"{name} = {number:g}, but it must be {allowed} and finite")
    return settings


def _course(problem: Matching, net: Net, moments: Any, key: PRNGKeyArray, steps: int) -> _Course:
    if steps < 1 or int(steps) != steps:
        raise ValueError(f"steps = {steps}, but at least 1 is needed")
    problem, net = refuse_derivative(
        (problem, net),
        "learning a correspondence has no derivative: it does not end at a minimum; differentiate Matching.terms",
    )
    given = problem.surfaces.descriptors.shape[-1]
    if isinstance(net, DiffusionNet) and given != (asked := net.first.in_features):
        raise ValueError(f"the surfaces have {given} descriptors, but the network takes {asked}")
    return _Course(problem, net, moments, key, jnp.int32(steps))


def _learned(loop: Loop, course: _Course, steps: int, state: Learning | None) -> Learned:
    run = loop(STEPS, course, state, max_iterations=steps)
    return Learned(run.state.best, run.trace, run.reason, run.iterations, run.state)


# -- refining ----------------------------------------------------------------------------------------------------------


@chosen
def refine(
    key: PRNGKeyArray,
    x: Surface,
    y: Surface,
    net: Net,
    *,
    k: int = 30,
    steps: int = 15,
    transport: Transport = "biSW",
    root: Root = "joint",
    directions: int = 200,
    settings: Settings | None = None,
    moments: optax.OptState | None = None,
    loop: Loop = pure,
) -> Learned:
    r"""Go on for one pair with the entropic plan, and take the network of the least loss: at worst the one that was given.

    The loss is that of ``learn``, $\sum_i w_i L_i$, with the plan's soft correspondences. The first row of the trace is of the
    network that was given, the last of that after all steps. The loss is another than that of learning, and a lower one need
    not be a better match: compare both by ``match``.

    Args:
        key: of the directions.
        x: one surface.
        y: the other.
        net: that was learned.
        k: eigenfunctions of the functional maps.
        steps: at least 0.
        transport: which sliced distance, as of ``learn``.
        root: of the sliced distance.
        directions: of the sliced distance, at least 1.
        settings: rates of 1e-4 when omitted: a fresh Adam at 1e-3 spoils a network that has settled.
        moments: of the optimizer where a training left it (``Learning.moments``); fresh ones when omitted.
        loop: ``pure``, or a ``Chunked`` that reports and stops between steps.

    Returns:
        the network, and each term by step, steps + 1 of them.

    Raises:
        ValueError: as ``learn``.

    Source:
        Le, Nguyen, Sun, Ho and Xie (2024).

    Examples:
        >>> import jax
        >>> from lab import shapes
        >>> x = shapes.surface.surface(shapes.sphere(0), 4, shapes.sphere(0).vertices)
        >>> net = shapes.DiffusionNet(jax.random.key(0), 3, 4, width=4, blocks=1)
        >>> try:
        ...     shapes.refine(jax.random.key(1), x, x, net, k=4, directions=0)
        ... except ValueError as error:
        ...     print(error)
        directions = 0, but at least 1 is needed
    """
    settings = settings or Settings(rate=1e-4, last_rate=1e-4)
    problem = matching([x, y], None, k, transport, root, directions, settings, refining=True)
    return _learned(loop, _course(problem, net, moments, key, steps + 1), steps + 1, None)


class Matched(NamedTuple):
    """What a network says of a pair."""

    p2p: Int[Array, " ny"]  # from Y to X, by the functional map of the nearest features
    nearest: Int[Array, " ny"]  # from Y to X, by the nearest features
    c_xy: Float[Array, "k k"]  # of the features, as it is learned
    c_yx: Float[Array, "k k"]
    features_x: Float[Array, "nx c"]
    features_y: Float[Array, "ny c"]


def match(net: Net, x: Surface, y: Surface, k: int = 30, settings: Settings | None = None) -> Matched:
    r"""The point maps from Y to X. Of near isometries ``p2p`` is the better one, of others ``nearest``.

    $$ C_{xy} = \Phi_y^+ \Phi_x[\mathrm{nearest}], \qquad
       \mathrm{p2p}(y) = \mathrm{argmin}_x\, |(\Phi_x C_{xy}^\top)_x - (\Phi_y)_y| $$

    Args:
        net: that learned features.
        x: surface of n_x vertices.
        y: surface of n_y vertices.
        k: eigenfunctions of the functional maps.
        settings: of the functional maps of the features; the defaults when omitted.

    Returns:
        both point maps (n_y,), which have no derivative, the functional maps of the features (k, k), and the features.

    Raises:
        ValueError: more eigenfunctions than the surfaces have, or a setting out of its bounds.

    Source:
        Le, Nguyen, Sun, Ho and Xie (2024); Ovsjanikov et al. (2012).

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from lab import shapes
        >>> ball = shapes.sphere(0)
        >>> x = shapes.surface.surface(ball, 4, ball.vertices)
        >>> net = shapes.OwnNet(jax.tree_util.Partial(lambda w, on: on.descriptors @ w, jnp.eye(3)))
        >>> shapes.match(net, x, x, k=4).nearest.tolist()  # places as features: each vertex is itself
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    """
    most = min(x.values.shape[-1], y.values.shape[-1])
    if not 1 <= k <= most or int(k) != k:
        raise ValueError(f"k = {k}, but the surfaces have {most} eigenfunctions: take from 1 to {most}")
    return _match(net, x, y, k, _checked(settings or Settings()))


@jit
def _match(net: Net, x: Surface, y: Surface, k: int, settings: Settings) -> Matched:
    fx, fy = net(x), net(y)
    held = jax.lax.stop_gradient((fx, fy, x, y))
    phi = held[2].functions[:, :k], held[3].functions[:, :k], held[3].inverse[:k]
    nearest = maps.nearest_features(*held[:2])
    p2p = maps.point_map(maps.of_point_map(nearest, phi[0], phi[2]), *phi[:2])
    return Matched(p2p, nearest, *functional_maps(x, y, fx, fy, k, settings), fx, fy)
