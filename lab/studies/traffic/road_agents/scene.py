"""Where a road is looked at from, and the outlines that are drawn on it."""

import numpy as np
import xarray as xr

from lab.studies import draw
from lab.studies.contract import sweeping

_ROUND = np.linspace(0, 2 * np.pi, 33)


def camera(result: xr.Dataset) -> np.ndarray:
    """(frames, 2): the middle of all agents, of a road that is simulated along it only; the last one where nobody is."""
    at, nobody = result.position.values, np.full(2, np.nan)
    middle = np.stack([np.nanmedian(f, axis=0) if np.isfinite(f).any() else nobody for f in at])
    known = np.isfinite(middle[:, 0])
    middle = np.stack([np.interp(np.arange(len(at)), np.flatnonzero(known), middle[known, i]) for i in (0, 1)], axis=1)
    if simulated(result):
        middle[:, 1] = 0.0
    return middle


def now(result: xr.Dataset, at: int) -> int:
    """The number of the frame that a moment is."""
    return at + int(sweeping.parameters(result)["observed"]) - 1


def simulated(result: xr.Dataset) -> bool:
    """Whether the road is one of the simulated highways."""
    return str(result.attrs["data_name"]).startswith("highway-")


def ahead(result: xr.Dataset, frame: int) -> np.ndarray:
    """(steps, 2): where the camera will be if it goes on as in the second before."""
    middle = camera(result)
    back = max(frame - 2, 0)
    speed = (middle[frame] - middle[back]) / max(frame - back, 1)
    return middle[frame] + (1 + np.arange(result.sizes["step"]))[:, None] * speed


def broken(ways: np.ndarray) -> np.ndarray:
    """(n, t, 2) ways as one line that is broken between them."""
    return np.concatenate([ways, np.full((len(ways), 1, 2), np.nan)], axis=1).reshape(-1, 2)


def ellipses(centre: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """(n, 33, 2) outlines of one deviation."""
    along, across, rho = shape.T
    x, y = np.cos(_ROUND), np.sin(_ROUND)
    return centre[:, None] + np.stack(
        [along[:, None] * x, across[:, None] * (rho[:, None] * x + np.sqrt(1 - rho[:, None] ** 2) * y)], axis=2)


def limits(result: xr.Dataset) -> tuple[tuple[float, float], tuple[float, float]]:
    """Both axes about the camera that hold the agents of all frames."""
    away = result.position.values - camera(result)[:, None]
    (left, right), (low, high) = draw.window(away[np.isfinite(away[..., 0])])
    return (left - 10, right + 10), ((-3.0, 15.0) if simulated(result) else (low, high))


def window_shown(result: xr.Dataset) -> int:
    """The number of the last window of the road that is shown."""
    roads = int(result.window_road.max()) + 1
    # those that test are the last quarter
    road = roads - max(1, roads // 4) + int(sweeping.parameters(result)["road"]) if roads > 1 else 0
    return int(np.flatnonzero(result.window_road.values == road)[-1])
