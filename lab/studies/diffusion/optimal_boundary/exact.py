"""Pictures of what is known exactly: two modes on a line, and the best of many starts by the dimension."""

from typing import Any

import numpy as np
import xarray as xr

from lab.diffusion.boundary_theory import best_of
from lab.studies import draw


def line(result: xr.Dataset, at: int) -> Any:
    """The flow from x_T to x₀ as a curve, the law of each on its side, and where the mode comes from."""
    starts, places = result.x_start.values, result.place.values
    end, density = result.line_end.values[at], result.line_density.values[at]
    mode, best, y = float(result.line_mode[at]), float(result.line_best[at]), float(result.y[at])
    median = float(medians(result)[at])
    left, low = -3.0, -2.0
    side = left - 1.3 + 1.2 * density / max(float(result.line_density.max()), 1e-9)
    bell = low - 0.9 + 0.8 * np.exp(-(starts**2) / 2)
    shown = np.abs(end) <= 2.0
    return draw.plot(
        draw.curve(side, places, color=draw.TARGET), draw.curve(starts, bell, color=draw.MUTED),
        draw.curve(np.where(shown, starts, np.nan), np.where(shown, end, np.nan), color=draw.SOURCE),
        draw.curve([left - 1.3, best, best], [mode, mode, low - 0.9], color=draw.GOOD),
        draw.curve([left - 1.3, 0, 0], [median, median, low - 0.9], color=draw.MUTED, dash=True),
        draw.points([best], [mode], color=draw.GOOD, size=2), draw.points([0], [median], color=draw.MUTED, size=2),
        draw.text([0.75], [-0.75], f"best start {best:.2f}", color=draw.GOOD),
        draw.text([0.75], [-1.05], f"x_T = 0 ends at {median:.2f}", color=draw.MUTED),
        draw.text([0.75], [-1.35], "the flow", color=draw.SOURCE),
        draw.text([left - 1.2], [2.15], f"law of x₀ given y = {y:.2f}", color=draw.TARGET),
        xlabel="start x_T", ylabel="end x₀", xlim=(left - 1.35, 3.0), ylim=(low - 0.95, 2.3), height=420,
        xticks=[-2, -1, 0, 1, 2], yticks=[-2, -1, 0, 1, 2],
    )


def shared(result: xr.Dataset) -> Any:
    """The best start and the mode over y, and the start that all y share."""
    return draw.plot(
        draw.hline(0.0, "shared by all y", color=draw.MUTED), draw.curve(result.y, result.line_best, color=draw.GOOD),
        draw.curve(result.y, result.line_mode, "mode of x₀", color=draw.TARGET, dash=True),
        xlabel="y", ylabel="best start x_T", height=300,
    )


def medians(result: xr.Dataset) -> np.ndarray:
    """Where the flow from 0 ends, for each y."""
    return np.array([np.interp(0.0, result.x_start.values, end) for end in result.line_end.values])


def of_groups(n: np.ndarray) -> np.ndarray:
    """The rank correlation of two groups of n images whose normal scores share one ranking."""
    return 6 / np.pi * np.arcsin(n / (n + 2) / 2)


def left(d: float) -> tuple[np.ndarray, np.ndarray]:
    """The share of the excess that is left in d dimensions, by numbers of candidates."""
    k = np.unique(np.round(np.geomspace(1, 10_000, 40)))
    return k, np.asarray(best_of(k, d))


def dimensions(result: xr.Dataset) -> Any:
    """The share of the excess that is left by the number of candidates, in several dimensions."""
    here = float(result.effective)
    tints = [*draw.colours(3, True), draw.TARGET]
    lines = [
        draw.curve(*left(d), f"d = {d:.0f}{' (here)' if d == here else ''}", color=tint)
        for d, tint in zip((8, 64, 1024, here), tints, strict=True)
    ]
    return draw.plot(*lines, logx=True, ylim=(0, 1.05), xlabel="candidates K", ylabel="share of the excess that is left")
