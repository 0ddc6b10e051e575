r"""A pair of surfaces X and Y with spectra, and the geodesic errors of a correspondence from Y to X.

Errors are $e(y) = d_X(p2p(y), \mathrm{truth}(y))$, in percent of the square root of the area of X (Kim, Lipman, Funkhouser,
"Blended intrinsic maps", 2011).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from lab.numerics import Loop, Method, Reason, Run
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.shapes import functional_maps
from lab.shapes.geodesics import geodesics
from lab.shapes.laplacian import laplacian
from lab.shapes.mesh import Mesh, normalised
from lab.shapes.signatures import wave_kernel
from lab.shapes.spectrum import spectrum
from lab.shapes.surface import Surface, surface

LEAST = 12  # vertices
_WAVES, _LOUD = 128, 30.0  # descriptors of a vertex, and their scale


class Pair(eqx.Module):
    """Two surfaces X and Y, distances on X, and the true correspondence if it is known."""

    x: Surface
    y: Surface
    distances: Float[Array, "nx nx"]  # on X, in units of the root of its area
    truth: Int[Array, " ny"] | None  # of each vertex of Y its vertex of X
    others: tuple[Surface, ...] = ()  # further training surfaces


def pair(
    x: Mesh, y: Mesh, truth: Any = None, others: Sequence[Mesh] = (), *, k: int = 100, dtype: Any = np.float64
) -> Pair:
    """Two surfaces with k eigenfunctions (fewer if they have fewer) and distances along the edges of X.

    The descriptors are wave kernel signatures of 128 eigenfunctions times 30, with which training starts faster; ``waves``
    gives the unscaled signatures.

    Args:
        x, y: the meshes.
        truth: (ny,) for each vertex of Y its vertex of X, or None.
        others: further meshes to train on.
        k: number of eigenfunctions.
        dtype: of all arrays.

    Returns:
        the pair, both surfaces normalized to area 1.

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
    """Unscaled wave kernel signatures (n, 128) of a surface of ``pair``."""
    return given.descriptors / _LOUD


def lightened(given: Pair) -> Pair:
    """The pair in float32, for training."""
    return jax.tree.map(
        lambda leaf: leaf.astype(jnp.float32) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, given
    )


@jit
def errors(given: Pair, p2p: Int[Array, " ny"]) -> Float[Array, " ny"]:
    """Errors (ny,) in percent; NaN if the truth is unknown."""
    if given.truth is None:
        return jnp.full(p2p.shape, jnp.nan, given.distances.dtype)
    return 100 * given.distances[p2p, given.truth]


class _Zoom(eqx.Module):
    """ZoomOut of a pair as a problem of the loop."""

    given: Pair
    start: Float[Array, "k k"]
    least: Int[Array, ""]
    most: Int[Array, ""]


class Zooming(NamedTuple):
    """State: functional map of the first ``size`` eigenfunctions (0 beyond), and the point map."""

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


_METHOD = Method(
    _begin,
    _sharpen,
    _sharp,
    lambda zoom, state: {"size": state.size.astype(zoom.start.dtype), "error": errors(zoom.given, state.p2p).mean()},
)


def zoomed(loop: Loop, given: Pair, c_xy: Float[Array, "k k"], most: int) -> Run:
    """ZoomOut with a trace of sizes and mean errors, one more eigenfunction per iteration.

    Args:
        loop: runs the iterations.
        given: the pair.
        c_xy: functional map to begin with.
        most: final number of eigenfunctions; at most k returns the point map of ``c_xy``.

    Returns:
        the run; ``state.p2p`` (ny,) is the point map of the final functional map.
    """
    start = c_xy.shape[0]
    zoom = _Zoom(given, c_xy, jnp.int32(start), jnp.int32(max(start, most)))
    return loop(_METHOD, zoom, None, max_iterations=max(most - start, 0))
