r"""A pair of surfaces, and what a correspondence of them is looked at by.

Errors are geodesic, $e(y) = d_X(p2p(y), \mathrm{truth}(y))$ in units of the root of the area, and told times 100. The **floor**
of k eigenfunctions is that of the best functional map there is, $\Phi_y^+ \Phi_x[\mathrm{truth}]$, turned back into points.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from lab.numerics import Loop, Method, Reason, Run, frames
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.ot import sliced
from lab.shapes import correspondence, functional_maps
from lab.shapes.geodesics import geodesics
from lab.shapes.laplacian import laplacian
from lab.shapes.mesh import Mesh, normalised
from lab.shapes.signatures import wave_kernel
from lab.shapes.spectrum import spectrum
from lab.shapes.surface import Surface, surface

LEAST = 12  # vertices
COUNTS = (4, 8, 16, 32, 64, 128, 256, 512)
"""Of directions, at which a sliced distance is looked at."""
_WAVES, _LOUD = 128, 30.0
SIZES = (10, 15, 20, 30, 40, 50, 60, 80, 100)
"""Of eigenfunctions, at which errors are looked at."""


class Pair(eqx.Module):
    """Two surfaces X and Y, and what is known of them."""

    x: Surface
    y: Surface
    distances: Float[Array, "nx nx"]  # on X, in units of the root of its area
    truth: Int[Array, " ny"] | None  # of each vertex of Y its vertex of X
    others: tuple[Surface, ...] = ()  # that are learned from beside them


def pair(
    x: Mesh, y: Mesh, truth: Any = None, others: Sequence[Mesh] = (), *, k: int = 100, dtype: Any = np.float64
) -> Pair:
    """Both surfaces with k eigenfunctions (at most what they have); distances along edges.

    Their descriptors are the wave kernel signatures of 128 eigenfunctions, 30 times as large as published: so learning begins
    faster. ``waves`` are those as published.

    Raises:
        ValueError: as ``surface`` and ``geodesics``.
    """
    most = min(_WAVES + 1, *(each.n - 2 for each in (x, y, *others)))
    made = [
        surface(
            each,
            min(k, most),
            _LOUD * wave_kernel(spectrum(laplacian(normalised(each)), most).first(most - 1)),
            dtype=dtype,
        )
        for each in (x, y, *others)
    ]
    known = None if truth is None else placed(np.asarray(truth, np.int32))
    return Pair(made[0], made[1], placed(geodesics(x, "edges").astype(dtype)), known, tuple(made[2:]))


def waves(given: Surface) -> Float[Array, "n c"]:
    """The wave kernel signatures of a surface of ``pair``."""
    return given.descriptors / _LOUD


def lightened(given: Pair) -> Pair:
    """In float32, in which networks are learned."""
    return jax.tree.map(
        lambda leaf: leaf.astype(jnp.float32) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, given
    )


class Told(NamedTuple):
    """A correspondence, from features."""

    p2p: Int[Array, " ny"]  # from Y to X, by the functional map of the nearest features
    nearest: Int[Array, " ny"]  # from Y to X, by the nearest features
    c_xy: Float[Array, "k k"]  # of the features
    c_yx: Float[Array, "k k"]
    c_map: Float[Array, "k k"]  # of the nearest features
    losses: dict[str, Float[Array, ""]]


@jit
def told(
    given: Pair, fx: Float[Array, "nx c"], fy: Float[Array, "ny c"], k: int, settings: correspondence.Settings
) -> Told:
    """What features say of a pair, by k eigenfunctions."""
    x, y = given.x, given.y
    phi_x, phi_y, back = x.functions[:, :k], y.functions[:, :k], y.inverse[:k]
    nearest = functional_maps.nearest_features(fx, fy)
    c_map = functional_maps.of_point_map(nearest, phi_x, back)
    c_xy, c_yx = correspondence.functional_maps(x, y, fx, fy, k, settings)
    pxy, pyx = functional_maps.soft(fx, fy, settings.tau), functional_maps.soft(fy, fx, settings.tau)
    losses = {
        "bijectivity": functional_maps.bijectivity(c_xy, c_yx),
        "orthogonality": functional_maps.orthogonality(c_xy, c_yx),
        "isometry": functional_maps.isometry(c_xy, c_yx, x.values[:k], y.values[:k]),
        "coupling": functional_maps.coupling(c_xy, c_yx, pxy, pyx, (phi_x, x.inverse[:k]), (phi_y, back)),
    }
    return Told(functional_maps.point_map(c_map, phi_x, phi_y), nearest, c_xy, c_yx, c_map, losses)


@jit
def errors(given: Pair, p2p: Int[Array, " ny"]) -> Float[Array, " ny"]:
    """Times 100; NaN where the truth is not known."""
    if given.truth is None:
        return jnp.full(p2p.shape, jnp.nan, given.distances.dtype)
    return 100 * given.distances[p2p, given.truth]


@jit
def by_size(given: Pair, start: Int[Array, " ny"], sizes: Int[Array, " sizes"]) -> Float[Array, " sizes"]:
    """The mean error of the functional map of ``start``, turned back into points, by k: of the truth that is the floor.

    All of one width, so that it is one program: what is beyond k is 0.
    """
    x, y = given.x, given.y
    index, whole = jnp.arange(x.values.size), y.inverse @ x.functions[start]

    def one(k: Array) -> Array:
        there = index < k
        c = jnp.where(there[:, None] & there[None, :], whole, 0)
        p2p = functional_maps.point_map(c, x.functions, jnp.where(there[None, :], y.functions, 0))
        return errors(given, p2p).mean()

    return jax.lax.map(one, sizes)


class Directions(NamedTuple):
    """A sliced distance between features, by how many directions."""

    value: Float[Array, " counts"]
    standard_error: Float[Array, " counts"]
    energy: Float[Array, " counts"]  # energy-based
    weight: Float[Array, " lines"]  # of the directions there, times how many they are
    by_direction: Float[Array, " lines"]  # w


@jit
def by_count(
    key: PRNGKeyArray, fx: Float[Array, "nx c"], fy: Float[Array, "ny c"], tau: Any, counts: tuple[int, ...] = COUNTS
) -> Directions:
    """Between the features of X and what those of Y look like on X."""
    seen = functional_maps.soft(fx, fy, tau) @ fy
    theta = sliced.directions(key, max(counts), fx.shape[1], fx.dtype)
    each = sliced.by_direction(fx, seen, theta)  # of fewer directions the first ones
    values, spreads = (jnp.stack(told) for told in zip(*(sliced.rooted(each[:count]) for count in counts), strict=True))
    energy = jnp.stack([sliced.energy_rooted(each[:count])[0] for count in counts])
    each = each[: counts[-1]]
    return Directions(values, spreads, energy, jax.nn.softmax(each) * each.size, each)


class Taught(NamedTuple):
    """A network that was learned for a pair, and how it came about."""

    net: Any
    fx: Float[Array, "nx c"]
    fy: Float[Array, "ny c"]
    terms: dict[str, Float[Array, " steps"]]  # of the loss; NaN where a stop left them out
    maps: Float[Array, "frames k k"]  # C_xy, evenly over the steps
    error: Float[Array, " frames"]  # mean
    error_nearest: Float[Array, " frames"]
    reason: Any
    iterations: Any
    state: Any


def teach(
    loop: Loop,
    key: PRNGKeyArray,
    given: Pair,
    net: Any,
    settings: correspondence.Settings,
    *,
    k: int,
    steps: int,
    **options: Any,
) -> Taught:
    """Learn as ``correspondence.learn`` does, in float32, from all pairs of the surfaces, looking at the first one meanwhile.

    Args:
        net: to begin with, of float32.
        options: as for ``correspondence.learn``.
    """
    light = lightened(given)

    def look(net: Any) -> tuple[Array, Array, Array]:
        found = told(light, net(light.x), net(light.y), k, settings)
        return found.c_xy, errors(light, found.p2p).mean(), errors(light, found.nearest).mean()

    def learn(**more: Any) -> correspondence.Learned:
        surfaces = [light.x, light.y, *light.others]
        return correspondence.learn(key, surfaces, net=net, k=k, settings=settings, **options, **more)

    found = frames.followed(loop, learn, lambda part: look(part.net), look(net), steps)
    maps, error, nearest = (jnp.stack(each) for each in zip(*found.seen, strict=True))
    last = found.last
    return Taught(
        last.net,
        last.net(light.x),
        last.net(light.y),
        _joined([part.trace for part in found.parts], steps),
        maps,
        error,
        nearest,
        last.reason,
        last.state.step,
        last.state,
    )


def _joined(traces: Sequence[Any], steps: int) -> dict[str, Array]:
    """The rows of all parts, and NaN for those that a stop left out."""
    made = {name: jnp.concatenate([jnp.asarray(trace[name]) for trace in traces]) for name in traces[0]}
    return {
        name: jnp.concatenate([rows, jnp.full(steps - rows.size, jnp.nan, rows.dtype)]) for name, rows in made.items()
    }


class _Zoom(eqx.Module):
    """ZoomOut of a pair, as the loop sees it."""

    given: Pair
    start: Float[Array, "k k"]
    least: Int[Array, ""]
    most: Int[Array, ""]


class Zooming(NamedTuple):
    """Whence it goes on: the map of the first ``size`` eigenfunctions, 0 beyond."""

    c_xy: Float[Array, "k k"]
    p2p: Int[Array, " ny"]
    size: Int[Array, ""]


def _point_map(given: Pair, c: Array, size: Array) -> Array:
    there = jnp.arange(c.shape[0]) < size
    return functional_maps.point_map(c, given.x.functions, jnp.where(there[None, :], given.y.functions, 0))


def _begin(zoom: _Zoom) -> Zooming:
    k, small = zoom.given.x.values.size, zoom.start.shape[0]
    whole = jnp.zeros((k, k), zoom.start.dtype).at[:small, :small].set(zoom.start)
    return Zooming(whole, _point_map(zoom.given, whole, zoom.least), zoom.least)


def _sharpen(zoom: _Zoom, state: Zooming) -> Zooming:
    given, size = zoom.given, state.size + 1
    there = jnp.arange(state.c_xy.shape[0]) < size
    c = jnp.where(there[:, None] & there[None, :], given.y.inverse @ given.x.functions[state.p2p], 0)
    return Zooming(c, _point_map(given, c, size), size)


def _sharp(zoom: _Zoom, state: Zooming) -> Array:
    return jnp.where(state.size >= zoom.most, Reason.CONVERGED, Reason.RUNNING).astype(jnp.int32)


ZOOM = Method(
    _begin,
    _sharpen,
    _sharp,
    lambda zoom, state: {"size": state.size.astype(zoom.start.dtype), "error": errors(zoom.given, state.p2p).mean()},
)


def zoomed(loop: Loop, given: Pair, c_xy: Float[Array, "k k"], most: int) -> Run:
    """``functional_maps.zoomout`` up to ``most`` eigenfunctions, one more at a time, that reports and stops; of the state the
    point map is that of its C."""
    start = c_xy.shape[0]
    zoom = _Zoom(given, c_xy, jnp.int32(start), jnp.int32(max(start, most)))
    return loop(ZOOM, zoom, None, max_iterations=max(most - start, 0))
