r"""Restoration as one experiment: a law of X, a measurement Y = H X + N(0, Q), and all estimators side by side.

What a restorer knows of X decides what is exact:

- ``moments``: its mean and covariance. All estimators are linear, and their error is exact whatever the law of X is; the
  distance to X is that of mean and covariance, as FID measures it, and that of the laws where X is Gaussian.
- ``law``: a Gaussian mixture. Posterior means and samples are in closed form, the flows are integrals over Y.
- ``pairs``: points, and the flow of the empirical law of pairs.

Everything is about the mean of X: x, y and their laws have mean 0.
"""

from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from lab.choices import chosen
from lab.inverse.mixture_flows import GivenMixture, GivenPoints, MixtureFlow, Posteriors, posteriors
from lab.inverse.operators import known
from lab.inverse.pmrf import LinearFlow, PairFlow, Restoration, restoration
from lab.numerics import Loop, first_failure, map_rows, random, roots
from lab.numerics.jit import jit
from lab.numerics.mixtures import Mixture, widened
from lab.paths import metrics
from lab.paths.carry import Carried, Solver, carry, even
from lab.paths.couplings import assignment, cost_matrix
from lab.paths.points import Look, spread, stratified

type Task = Literal["denoising", "coloured noise", "mixing", "inpainting", "super-resolution", "blur"] | str
type Knows = Literal["moments", "law", "pairs"] | str

METHODS = ("posterior mean", "PMRF", "optimal transport", "posterior sampling", "flow given Y", "flow from Y")
FLOWS = ("PMRF", "flow given Y", "flow from Y")
COUNTS = (1, 2, 5, 10, 25, 100)
"""Euler steps of the walk along the plane."""
MOST = 200
"""Euler steps."""
_CURVE = 33


@chosen
def task(name: Task, d: int, image: tuple[int, ...], noise: ArrayLike, key: PRNGKeyArray) -> tuple[Array, Array]:
    """H (m, d) and Q (m, m) of a degradation.

    Args:
        image: (height, width) where x is an image, else ().
        noise: standard deviation; of coloured noise the root mean square over its directions.
        key: of the colour, and of the mixing matrix.

    Raises:
        ValueError: inpainting or super-resolution of one number.
    """
    noise = jnp.asarray(noise, jnp.result_type(float))
    if d < 2 and name in ("inpainting", "super-resolution"):
        raise ValueError(f"{name} needs at least two numbers, and these data have {d}: choose denoising")
    sides = image or (d,)
    h: Any = np.eye(d, dtype=noise.dtype)
    if name == "mixing":
        h = random.normal(jax.random.split(key)[0], (d, d), noise.dtype) / np.sqrt(d)
    elif name == "inpainting":
        hidden = np.ones(sides, bool)
        for axis, side in enumerate(sides):  # the middle of an image, the second half of a vector
            low = (side - side // 2) // 2 if image else side - side // 2
            inside = (np.arange(side) >= low) & (np.arange(side) < low + side // 2)
            hidden &= inside.reshape([-1 if k == axis else 1 for k in range(len(sides))])
        h = h[np.flatnonzero(~hidden.ravel())]
    elif name == "super-resolution":
        cells = [np.arange(side) // 2 for side in sides]
        cell = np.ravel_multi_index(np.meshgrid(*cells, indexing="ij"), [c[-1] + 1 for c in cells]).ravel()
        h = (cell[None] == np.unique(cell)[:, None]) / np.bincount(cell)[:, None]
    elif name == "blur":
        h = _blur(sides)
    m = len(h)
    q = noise**2 * np.eye(m, dtype=noise.dtype)
    if name in ("coloured noise", "mixing"):
        half = random.normal(jax.random.split(key)[1], (m, m), noise.dtype)
        colour = half @ half.T / m + 0.1 * np.eye(m, dtype=noise.dtype)
        q = noise**2 * colour * (m / jnp.trace(colour))
    return jnp.asarray(h, noise.dtype), q


def _blur(sides: tuple[int, ...]) -> np.ndarray:
    """Of each axis (1, 2, 1) / 4, twice; what leaves at an end comes back."""
    whole = np.ones((1, 1))
    for side in sides:
        eye = np.eye(side)
        one = (np.roll(eye, 1, axis=0) + 2 * eye + np.roll(eye, -1, axis=0)) / 4
        whole = np.kron(whole, one @ one)
    return whole


class Bed(eqx.Module):
    """X and its measurement; made by ``bed``."""

    law: Mixture | None  # None where X is known by points
    points: Float[Array, "N d"]  # draws of X, from which a restorer may learn
    operator: Float[Array, "m d"]
    noise: Float[Array, "m m"]
    linear: Restoration

    def measure(self, x: Float[Array, "n d"], key: PRNGKeyArray) -> Float[Array, "n m"]:
        z = random.normal(key, (len(x), len(self.operator)), x.dtype)
        return x @ self.operator.T + z @ roots.root(self.noise)


def bed(law: Mixture | None, points: Array, covariance: Array, operator: Array, noise: Array) -> Bed:
    """Of a law or points of mean 0, their covariance, and a ``task``.

    >>> one = jnp.eye(1)
    >>> float(bed(None, jnp.asarray([[1.0], [-1.0]]), one, one, one).linear.mmse)
    0.5
    """
    return Bed(law, points, operator, noise, restoration(covariance, operator, noise))


# --- what is known of X given Y -------------------------------------------------------------------------------------------


class Points(NamedTuple):
    """X given each y where the prior is a set of points."""

    x: Float[Array, "N d"]
    logits: Float[Array, "n N"]  # log p(y | x)

    @property
    def mean(self) -> Float[Array, "n d"]:
        return jax.nn.softmax(self.logits, axis=1) @ self.x

    def sample(self, key: PRNGKeyArray) -> Float[Array, "n d"]:
        return self.x[random.categorical(key, self.logits, axis=1)]


class Gaussians(NamedTuple):
    """X given each y where mean and covariance are known."""

    mean: Float[Array, "n d"]
    covariance: Float[Array, "d d"]

    def sample(self, key: PRNGKeyArray) -> Float[Array, "n d"]:
        z = random.normal(key, self.mean.shape, self.mean.dtype)
        return self.mean + z @ roots.root(self.covariance)


@chosen
def given(bed: Bed, knows: Knows, y: Float[Array, "n m"], own: bool = False) -> Gaussians | Posteriors | Points:
    """What a restorer knows of X from each y.

    Args:
        own: the rows of y were measured of the points themselves, row by row: each is then left out of its own posterior,
            as otherwise a restorer would recognise what it learns from.
    """
    if knows == "moments":
        return Gaussians(y @ bed.linear.gain.T, bed.linear.covariance - bed.linear.star)
    if bed.law is not None:
        return posteriors(bed.law, bed.operator, bed.noise, y)
    root = jnp.linalg.cholesky(bed.noise)
    white = jax.scipy.linalg.solve_triangular(root, y.T, lower=True).T
    seen = jax.scipy.linalg.solve_triangular(root, (bed.points @ bed.operator.T).T, lower=True).T
    logits = white @ seen.T - (seen * seen).sum(axis=1)[None] / 2
    logits = jnp.where(jnp.eye(len(y), len(seen), dtype=bool) & own, -jnp.inf, logits)
    return Points(bed.points, logits)


# --- the flows ------------------------------------------------------------------------------------------------------------


class LinearField(eqx.Module):
    """A ``LinearFlow`` as a field for ``carry``; about means (n, d) of X, where each particle has its own."""

    flow: LinearFlow
    about: Float[Array, "n d"] | None = None

    def __call__(self, t: ArrayLike, z: Float[Array, "n d"]) -> Float[Array, "n d"]:
        c, b = self.flow.at(t)
        off = z if self.about is None else z - t * self.about
        slope = jax.scipy.linalg.cho_solve((jnp.linalg.cholesky(c), True), off.T).T @ b.T
        return slope if self.about is None else self.about + slope


def linear_flows(bed: Bed, sigma_s: ArrayLike) -> tuple[LinearFlow, ...]:
    """From the posterior mean, from N(0, I) given Y, and where Y has the dimension of X from Y; about the mean of X given Y
    the second one."""
    s, star = bed.linear.covariance, bed.linear.star
    eye = jnp.eye(len(s), dtype=s.dtype)
    extra = jnp.asarray(sigma_s, s.dtype) ** 2 * eye
    flows = LinearFlow(star + extra, s, star), LinearFlow(eye, s - star, jnp.zeros_like(s))
    if not _square(bed):
        return flows
    cross = bed.operator @ s
    return *flows, LinearFlow(cross @ bed.operator.T + bed.noise + extra, s, cross)


_linear_flows = jit(linear_flows)


class Restored(NamedTuple):
    """Particles, and what is to become of them."""

    x: Float[Array, "n d"]  # clean
    y: Float[Array, "n m"]
    star: Float[Array, "n d"]
    sampled: Float[Array, "n d"]  # of the posterior
    starts: Float[Array, "flows n d"]
    fields: tuple[Any, ...]


@chosen
@jit
def prepared(
    bed: Bed, knows: Knows, x: Float[Array, "n d"], sigma_s: ArrayLike, least: ArrayLike, nodes: int, key: PRNGKeyArray
) -> Restored:
    """Measure the particles, and make the flows that a restorer can make of what it knows.

    Args:
        least: of ``PairFlow`` and ``MixtureFlow``.
        nodes: y, or pairs, that stand for the law of (X, Y); at most as many as there are points.
    """
    keys = jax.random.split(key, 6)
    sigma_s = jnp.asarray(sigma_s, x.dtype)
    y = bed.measure(x, keys[0])
    own = given(bed, knows, y)
    noise = random.normal(keys[1], (2, *x.shape), x.dtype)
    starts = [own.mean + sigma_s * noise[0], noise[1]]
    if _square(bed):
        starts.append(y + sigma_s * noise[0])
    fields: list[Any]
    if knows == "moments":
        flows = linear_flows(bed, sigma_s)
        fields = [LinearField(flow, own.mean if number == 1 else None) for number, flow in enumerate(flows)]
    else:
        many, weights, learned = _nodes(bed, knows, nodes, keys[2:4])  # many[0] is only asked for where it is x
        anchors = [learned.mean, *([many[1]] if _square(bed) else [])]
        if isinstance(learned, Posteriors) and knows == "law":
            fields = [MixtureFlow(learned, anchor, weights, sigma_s, least) for anchor in anchors]
        else:
            fields = [PairFlow(many[0], anchor, sigma_s, least) for anchor in anchors]
        fields.insert(1, GivenPoints(*own) if isinstance(own, Points) else GivenMixture(own))  # type: ignore[arg-type]
    return Restored(x, y, own.mean, own.sample(keys[4]), jnp.stack(starts), tuple(fields))


def _nodes(bed: Bed, knows: Knows, count: int, keys: Any) -> tuple[tuple[Array, Array], Array, Any]:
    """Pairs (x, y), the weights of the nodes, and X given these y."""
    if knows == "law" and bed.law is not None:
        law = bed.law
        measured = Mixture(
            law.weights,
            law.means @ bed.operator.T,
            bed.operator @ widened(law.covariances, 3, law.dimension) @ bed.operator.T + bed.noise[None],
        )
        if bed.operator.shape == (1, 1):
            reach = 6 * jnp.sqrt(measured.covariances.max())
            y = jnp.linspace(measured.means.min() - reach, measured.means.max() + reach, count)[:, None]
            found = posteriors(law, bed.operator, bed.noise, y)
            return (y, y), found.log_evidence, found
        y = spread(measured, keys[0], count)
        return (y, y), jnp.zeros(len(y), y.dtype), posteriors(law, bed.operator, bed.noise, y)
    x = bed.points[:count] if bed.law is None else stratified(bed.law, keys[0], count, 1)[0]
    y = bed.measure(x, keys[1])
    return (x, y), jnp.zeros(len(y), y.dtype), given(bed, knows, y, own=True)


def _square(bed: Bed) -> bool:
    return bed.operator.shape[0] == bed.operator.shape[1]


@chosen
def walk(loop: Loop, field: Any, start: Float[Array, "n d"], steps: Any, solver: Solver) -> Carried:
    """In ``COUNTS`` and in K steps, each from the start; the last grid is that of K."""
    grids = jnp.stack([*(even(count, MOST) for count in COUNTS), even(steps, MOST)])
    counts = jnp.stack([*map(jnp.asarray, COUNTS), jnp.asarray(steps)]) if not known(steps) else (*COUNTS, int(steps))
    return carry(loop, field, start, grids, steps=counts, solver=solver, euler_last=True, keep=False)


@chosen
def film(loop: Loop, made: Restored, steps: Any, solver: Solver, look: Any, frames: Array) -> Carried:
    """All flows in K steps, seen at these times."""
    return carry(
        loop,
        made.fields,
        made.starts,
        even(steps, MOST),
        steps=steps,
        solver=solver,
        euler_last=True,
        keep=look,
        frames=frames,
    )


@chosen
def linear_ends(loop: Loop, bed: Bed, sigma_s: ArrayLike, steps: Any, solver: Solver, frames: Array) -> Carried:
    """The transposed matrices of all ``linear_flows`` in K steps, at these times too."""
    fields = tuple(map(LinearField, _linear_flows(bed, jnp.asarray(sigma_s))))
    d = bed.points.shape[1]
    eye = jnp.asarray(np.broadcast_to(np.eye(d, dtype=bed.points.dtype), (len(fields), d, d)))
    return carry(loop, fields, eye, even(steps, MOST), steps=steps, solver=solver, euler_last=True, frames=frames)


@jit
def linear_film(made: Restored, seen: Float[Array, "frames flows d d"], look: Any, frames: Array) -> Array:
    """What ``film`` sees of particles, by the matrices at these times."""
    ways = jnp.einsum("knd,fkde->fkne", made.starts, seen)
    return look(ways.at[:, 1].add(frames[:, None, None] * made.star[None]))


# --- where estimators are on the plane ------------------------------------------------------------------------------------


class Place(NamedTuple):
    """Of estimators: mean square error, W_2 to X, and the relative error of the covariance."""

    mse: Float[Array, "*any"]
    w2: Float[Array, "*any"]
    cov_error: Float[Array, "*any"]
    mse_error: Float[Array, "*any"]  # standard error over particles; 0 where it is exact


class Plane(NamedTuple):
    """All of one experiment."""

    methods: Place  # in the order of METHODS; NaN of what does not exist
    walk: Place  # of PMRF, in the order of COUNTS
    mmse: Float[Array, ""]
    w2sq: Float[Array, ""]  # between posterior mean and X
    floor: Float[Array, ""]  # W_2^2 of two samples of X
    limit: Place  # of PMRF as a flow; NaN where it was not followed
    curve: Float[Array, "2 curve"]  # error and W_2 of the best estimators

    @property
    def best(self) -> Float[Array, ""]:
        return self.mmse + self.w2sq


def linear_place(covariance: Array, cross: Array, s: Array) -> Place:
    """Of an estimator that is jointly Gaussian with X, by its covariance and Cov(estimator, X)."""
    root = roots.root(s)
    middle = jnp.linalg.eigvalsh(root.T @ covariance @ root)
    middle = jnp.where(middle > 1e-14 * middle.max(), middle, 0.0)  # the root of what is rounding would be seen
    w2sq = jnp.trace(s) + jnp.trace(covariance) - 2 * jnp.sqrt(middle).sum()
    w2sq = jnp.where(w2sq > 1e-12 * jnp.trace(s), w2sq, 0.0)
    off = jnp.linalg.norm(covariance - s) / jnp.linalg.norm(s)
    return Place(jnp.trace(s + covariance - 2 * cross), jnp.sqrt(w2sq), off, jnp.zeros((), s.dtype))


@jit
def linear_plane(bed: Bed, sigma_s: ArrayLike, walked: Array, others: Array, fine: Array) -> Plane:
    """Exact, of what knows mean and covariance.

    Args:
        walked: (COUNTS + 1, d, d), transposed matrices of PMRF.
        others: (flows, d, d), those of all ``linear_flows`` in K steps.
        fine: (d, d) that of the flow itself.
    """
    made, s = bed.linear, bed.linear.covariance
    flows = linear_flows(bed, sigma_s)

    def moved(flow: LinearFlow, transposed: Array, mean: Array) -> Place:
        return linear_place(transposed.T @ flow.start @ transposed + mean, transposed.T @ flow.cross + mean, s)

    nothing = jnp.zeros_like(s)
    mean, along = linear_place(made.star, made.star, s), [moved(flows[0], each, nothing) for each in walked]
    means = (nothing, made.star, nothing)[: len(flows)]
    rest = [moved(*each) for each in zip(flows, others, means, strict=True)]
    exact = jnp.zeros((), s.dtype)
    best, sampling = (Place(error, exact, exact, exact) for error in (made.best, made.sampling))
    unknown = jax.tree.map(lambda z: z * jnp.nan, mean)
    methods = [mean, along[-1], best, sampling, rest[1], rest[2] if len(rest) > 2 else unknown]
    curve = jnp.stack(made.between(jnp.linspace(0, 1, _CURVE)))
    return Plane(
        _stacked(methods),
        _stacked(along[:-1]),
        made.mmse,
        made.transport.squared,
        exact,
        moved(flows[0], fine, nothing),
        curve,
    )


def sample_plane(
    loop: Loop, bed: Bed, made: Restored, walked: Array, ends: Array, fresh: Float[Array, "2 n d"]
) -> tuple[Plane, Any]:
    """By particles: distances are those of samples, to be compared with the floor.

    Args:
        walked: (COUNTS + 1, n, d).
        ends: (flows, n, d) of all flows in K steps.
        fresh: two samples of X, none of them what was measured.

    Returns:
        the plane, and the reason why not all distances are known.
    """
    clouds, compared = _compared(made, walked, ends, fresh)
    w2sq, reason = map_rows(loop, metrics.cloud_distance, compared)
    return _sampled(bed, made, clouds, w2sq), reason


@jit
def _compared(made: Restored, walked: Array, ends: Array, fresh: Array) -> tuple[Array, Array]:
    """All estimates, methods first, and each with a sample of X, which optimal transport takes the posterior mean to; the last
    pairs are two samples of X, and the posterior mean with that one."""
    transported = fresh[0][assignment(cost_matrix(made.star, fresh[0]))]
    last = ends[2] if len(ends) > 2 else jnp.full_like(made.x, jnp.nan)
    methods = jnp.stack([made.star, walked[-1], transported, made.sampled, ends[1], last])
    clouds = jnp.concatenate([methods, walked[:-1]])
    compared = jnp.stack([clouds, jnp.broadcast_to(fresh[:1], clouds.shape)], axis=1)
    more = jnp.stack([jnp.stack([fresh[1], fresh[0]]), jnp.stack([made.star, fresh[0]])])
    return clouds, jnp.concatenate([compared, more])


@jit
def _sampled(bed: Bed, made: Restored, clouds: Array, w2sq: Array) -> Plane:
    s, n = bed.linear.covariance, len(made.x)
    off = ((clouds - made.x[None]) ** 2).sum(axis=2)
    about = clouds - clouds.mean(axis=1, keepdims=True)
    covariances = jnp.einsum("cna,cnb->cab", about, about) / n
    errors = jnp.linalg.norm(covariances - s[None], axis=(1, 2)) / jnp.linalg.norm(s)
    place = Place(off.mean(axis=1), jnp.sqrt(w2sq[:-2]), errors, off.std(axis=1) / np.sqrt(n))
    methods, along = (jax.tree.map(lambda z, part=part: z[part], place) for part in (slice(6), slice(6, None)))
    parts, mmse, apart = jnp.linspace(0, 1, _CURVE), place.mse[0], w2sq[-1]
    curve = jnp.stack([mmse + parts**2 * apart, (1 - parts) * jnp.sqrt(apart)])
    unknown = jax.tree.map(lambda z: z[0] * jnp.nan, place)
    return Plane(methods, along, mmse, apart, w2sq[-2], unknown, curve)


def _stacked(places: list[Place]) -> Place:
    return jax.tree.map(lambda *each: jnp.stack(each), *places)


class Experiment(NamedTuple):
    """All estimators on one bed."""

    made: Restored
    plane: Plane
    seen: Float[Array, "frames flows n e"]  # of the particles on their ways
    ends: Float[Array, "counts n d"]  # of PMRF in COUNTS steps, and in K
    reason: Any


@chosen
def experiment(
    loop: Loop,
    bed: Bed,
    knows: Knows,
    x: Float[Array, "n d"],
    fresh: Float[Array, "2 n d"],
    key: PRNGKeyArray,
    *,
    sigma_s: ArrayLike,
    least: ArrayLike,
    nodes: int,
    steps: Any,
    solver: Solver,
    view: Any,
    frames: Float[Array, " frames"],
) -> Experiment:
    """Measure x, restore it by all estimators, by PMRF in ``COUNTS`` and in K steps, and find their places on the plane.

    Args:
        fresh: two other samples of X: one to compare with, and one to know the distance of two samples.
        least, nodes: as for ``prepared``; of no effect where mean and covariance are known.
        steps: K; traced.
        view: of points, as ``lab.paths.points.View``.
    """
    made = prepared(bed, knows, x, sigma_s, least, nodes, key)
    if knows != "moments":
        walked = walk(loop, made.fields[0], made.starts[0], steps, solver)
        ways = film(loop, made, steps, solver, Look(view), frames)
        plane, compared = sample_plane(loop, bed, made, walked.end, ways.end, fresh)
        return Experiment(made, plane, ways.x, walked.end, first_failure(walked.reason, ways.reason, compared))
    flow = _linear_flows(bed, jnp.asarray(sigma_s))[0]
    walked = walk(loop, LinearField(flow), jnp.eye(x.shape[1], dtype=x.dtype), steps, solver)
    others = linear_ends(loop, bed, sigma_s, steps, solver, frames)
    plane = linear_plane(bed, sigma_s, walked.end, others.end, flow.map().T)
    seen = linear_film(made, others.x, view, frames)
    reason = first_failure(walked.reason, others.reason)
    return Experiment(made, plane, seen, made.starts[0] @ walked.end, reason)
