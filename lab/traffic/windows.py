"""Windows of trajectories: what was seen of all agents, and what came after, as each agent sees it itself."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from lab.numerics.arguments import ANY, arrays, whole
from lab.numerics.roots import length


class Windows(NamedTuple):
    """Scenes of n agents. Past and future are in metres from where the agent was seen last, ahead and to its left."""

    past: Float[Array, "s n o 2"]
    future: Float[Array, "s n p 2"]
    origin: Float[Array, "s n 2"]  # where it was seen last
    heading: Float[Array, "s n 2"]  # unit vector: what is ahead
    seen: Bool[Array, "s n"]  # in all frames of the past
    there: Bool[Array, "s n"]  # in all frames


def starts(frames: int, observed: int, predicted: int, stride: int = 1) -> np.ndarray:
    """The first frame of each window.

    Raises:
        ValueError: a past of fewer than 2 frames, no future, or too few frames for one window.
    """
    if observed < 2:
        raise ValueError(f"observed = {observed} frames is not allowed: a speed needs at least 2")
    if predicted < 1 or stride < 1:
        raise ValueError(
            f"predicted = {predicted} and stride = {stride} frames are not allowed: both must be at least 1"
        )
    if frames < observed + predicted:
        raise ValueError(
            f"{frames} frames are too few for {observed} seen and {predicted} predicted ones: bring a longer recording, or "
            "shorten the window"
        )
    return np.arange(0, frames - observed - predicted + 1, stride)


@arrays(positions=ANY)
def cut(
    positions: Float[Array, "f n 2"],
    mask: Bool[Array, "f n"],
    first: Any,
    observed: int,
    predicted: int,
    turn: bool = False,
) -> Windows:
    r"""The windows that begin at these frames. Where ``predicted`` leads beyond the last frame, that one is repeated.

    $$ x \mapsto R(\text{heading})^\top (x - x_{\text{last seen}}) $$

    Args:
        positions: in metres, (f, n, 2); those of who is absent are not looked at.
        mask: who is there, (f, n).
        first: (s,) the first frames.
        observed: frames of the past.
        predicted: frames of the future.
        turn: each agent looks along its heading; else all look along the first coordinate, which on a straight road tells them
            more: a heading in a change of lane is not that of the road.

    Returns:
        past (s, n, observed, 2) and future (s, n, predicted, 2) as each agent sees them, and who was there.

    Raises:
        ValueError: shapes that do not fit, counts below 1, or a first frame that does not exist.

    Source:
        Chandra et al. (2020), of the windows; Alahi et al., Social LSTM (2016).

    Examples:
        >>> import jax.numpy as jnp
        >>> import numpy as np
        >>> from lab import traffic
        >>> positions = jnp.stack([jnp.arange(4.0), jnp.zeros(4)], axis=1)[:, None]  # one agent, 1 m a frame
        >>> seen = traffic.cut(positions, jnp.ones((4, 1), bool), np.array([0]), 2, 2)
        >>> seen.past[0, 0, :, 0].tolist(), seen.future[0, 0, :, 0].tolist()
        ([-1.0, 0.0], [1.0, 2.0])
    """
    first = np.asarray(first)
    if first.ndim != 1 or first.dtype.kind not in "iu" or ((first < 0) | (first >= len(positions))).any():
        raise ValueError(
            f"first must be whole numbers (s,) from 0 to {len(positions) - 1}, the frames of the positions"
        )
    whole("observed", observed, 1)
    whole("predicted", predicted, 0)
    at = np.minimum(first[:, None] + np.arange(observed + predicted), len(positions) - 1)
    scenes = jnp.swapaxes(jnp.where(mask[..., None], positions, 0.0)[at], 1, 2)
    known = jnp.swapaxes(mask[at], 1, 2)
    past, future = scenes[:, :, :observed], scenes[:, :, observed:]
    origin = past[:, :, -1]
    heading = headings(past) if turn else jnp.broadcast_to(jnp.asarray([1.0, 0.0], past.dtype), origin.shape)
    seen = known[:, :, :observed].all(axis=2)
    mine = lambda x: inward(x, origin, heading)  # noqa: E731
    return Windows(mine(past), mine(future), origin, heading, seen, seen & known[:, :, observed:].all(axis=2))


@arrays(past=ANY)
def headings(past: Float[Array, "*s o 2"]) -> Float[Array, "*s 2"]:
    """Unit vectors from the first to the last position; (1, 0) of who did not move."""
    way = past[..., -1, :] - past[..., 0, :]
    long = length(way)[..., None]
    ahead = jnp.stack([jnp.ones_like(way[..., 0]), jnp.zeros_like(way[..., 0])], axis=-1)
    return jnp.where(long > 1e-6, way / jnp.where(long > 1e-6, long, 1.0), ahead)


@arrays(x=ANY, origin=ANY, heading=ANY)
def inward(
    x: Float[Array, "*s t 2"], origin: Float[Array, "*s 2"], heading: Float[Array, "*s 2"]
) -> Float[Array, "*s t 2"]:
    """Positions on the road as the agent sees them: ahead, and to its left."""
    away = x - origin[..., None, :]
    c, s = heading[..., None, 0], heading[..., None, 1]
    return jnp.stack([c * away[..., 0] + s * away[..., 1], c * away[..., 1] - s * away[..., 0]], axis=-1)


@arrays(x=ANY, origin=ANY, heading=ANY)
def outward(
    x: Float[Array, "*s t 2"], origin: Float[Array, "*s 2"], heading: Float[Array, "*s 2"]
) -> Float[Array, "*s t 2"]:
    """The inverse of ``inward``."""
    c, s = heading[..., None, 0], heading[..., None, 1]
    turned = jnp.stack([c * x[..., 0] - s * x[..., 1], s * x[..., 0] + c * x[..., 1]], axis=-1)
    return turned + origin[..., None, :]
