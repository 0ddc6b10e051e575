"""Pictures that studies of damaged images share, by the names that their results have in common.

``answers`` (draw, channel, y, x) of the image that is shown; ``psnr`` and ``nearest`` (draw, test) of all answers, and the same
of the start, of the posterior mean and of draws from the posterior where it is known; ``quality``, the mean of ``psnr``.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from lab.studies import draw
from lab.studies.contract import sweeping

_ACROSS = 5  # images in a row of a grid: words above them need room in a column of the page


def tiles(values: xr.DataArray) -> np.ndarray:
    """Images as a mosaic takes them: (..., H, W) greys, or (..., H, W, 3)."""
    found = values.transpose(..., "channel", "y", "x").values
    return found[..., 0, :, :] if found.shape[-3] == 1 else np.moveaxis(found, -3, -1)


def coloured(found: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Greys as colours, where they stand beside colours."""
    return np.repeat(found[..., None], 3, axis=-1) if like.shape[-1] == 3 and like.ndim > 2 else found


def amplitudes(found: xr.DataArray, peak: float, like: np.ndarray) -> np.ndarray:
    """|FFT| as shades, logarithmic, black where it is below a thousandth of the peak and white there."""
    shares = np.maximum(found.transpose(..., "fy", "fx").values / (peak or 1.0), 1e-3)
    return coloured(1 + np.log10(shares) * 2 / 3, like)


def levels(result: xr.Dataset, **names: str) -> dict[str, float]:
    """Numbers of a result, or of the first cell of a sweep, by what they are called."""
    return {label: float(np.ravel(result[name].values)[0]) for name, label in names.items() if name in result}


def answers(result: xr.Dataset) -> Any:
    """Some answers for one image, and how they differ from the posterior mean where it is known."""
    shown = {"truth": tiles(result.clean), "start": tiles(result.start)}
    shown |= {f"no. {k + 1}": each for k, each in enumerate(tiles(result.answers)[:4])}
    if "posterior_mean" not in result:
        return draw.mosaic(np.stack(list(shown.values()))[None], cols=list(shown))
    shown["mean"] = mean = tiles(result.posterior_mean)
    above = np.stack(list(shown.values()))
    off = above - mean[None]
    below = draw.signed(off.mean(axis=-1) if off.ndim == 4 else off)
    above = above if above.ndim == 4 else np.repeat(above[..., None], 3, axis=-1)
    note = "below: each on its own scale, orange above zero"
    return draw.mosaic(np.stack([above, below]), ["image", "less mean"], list(shown), note=note)


def spread(result: xr.Dataset) -> Any:
    """The spread of answers against that of the posterior, a point for each pixel of the image that is shown."""
    true, ours = result.posterior_std.values.ravel(), result.answers.std("draw", ddof=1).values.ravel()
    top = 1.1 * float(max(true.max(), ours.max()))
    ends = np.array([0.0, top])
    return draw.plot(
        draw.curve(ends, ends, color=draw.MUTED, dash=True),
        draw.points(true, ours, size=0.5),
        xlim=(0, top),
        ylim=(0, top),
        xlabel="spread of the posterior",
        ylabel="spread of the answers",
        note="dashed: as wide as it should be",
    )


def each_answer(result: xr.Dataset) -> Any:
    """PSNR of each answer for each test image."""
    at, count = np.arange(result.sizes["test"]), result.sizes["draw"]
    across = np.repeat(at[None], count, axis=0) + np.linspace(-0.15, 0.15, count)[:, None] * (count > 1)
    others = {"psnr_start": draw.MUTED, "psnr_posterior": draw.GOOD, "psnr_draw": draw.TARGET}
    return draw.plot(
        *(draw.points(at, result[name].values, color=tint) for name, tint in others.items() if name in result),
        draw.points(across.ravel(), result.psnr.transpose("draw", "test").values.ravel(), size=0.6),
        xlabel="test image",
        ylabel="PSNR, dB",
        xticks=[(int(i), str(i)) for i in at] if len(at) <= 16 else None,
        ylim=(0, 1.25 * max(float(result[name].max()) for name in ("psnr", *others) if name in result)),
    )


def perception(result: xr.Dataset) -> Any:
    """PSNR against the distance from the nearest training image, with large points at means."""
    rows = [
        ("answers", draw.SOURCE, result.nearest, result.psnr),
        ("start", draw.MUTED, result.nearest_start, result.psnr_start),
    ]
    if "nearest_posterior" in result:
        rows += [
            ("posterior mean", draw.GOOD, result.nearest_posterior, result.psnr_posterior),
            ("posterior draws", draw.TARGET, result.nearest_draw, result.psnr_draw),
        ]
    high = 1.3 * max(float(row[3].max()) for row in rows)
    right = 1.1 * max(float(row[2].max()) for row in rows)
    return draw.plot(
        *(
            draw.points(x.values.ravel(), y.transpose(*x.dims).values.ravel(), color=tint, size=0.5)
            for _, tint, x, y in rows
        ),
        *(draw.points([float(x.mean())], [float(y.mean())], color=tint, size=4) for _, tint, x, y in rows),
        draw.vline(float(result.nearest_clean.mean()), "test images", color=draw.INK, dash=True),
        *draw.legend([(name, tint) for name, tint, *_ in rows], 0.72 * right, (0.0, 0.95 * high)),
        xlabel="distance from the nearest training image, RMS a pixel",
        ylabel="PSNR, dB",
        xlim=(0, right),
        ylim=(0, high),
    )


def progress(result: xr.Dataset) -> Any:
    """PSNR of one answer by step."""
    own = result.isel(test=sweeping.parameters(result)["example"])
    marks = levels(own, psnr_posterior="posterior mean", psnr_start="start")
    return draw.plot(
        draw.curve(result.step.values, result.psnr_path.values, "this answer"),
        *(draw.hline(level, name) for name, level in marks.items()),
        xlabel="step",
        ylabel="PSNR, dB",
    )


def against(name: str, **axes: Any) -> Callable[[xr.Dataset], Any]:
    """Quality over a swept number, with what it is to be compared with."""

    def drawn(result: xr.Dataset) -> Any:
        lines = {"answers": result.quality}
        for other, word in (("quality_posterior", "posterior mean"), ("quality_start", "start")):
            lines |= {word: result[other]} if other in result else {}
        return draw.over(result[name], lines, ylabel="PSNR, dB", colors=_TINTS, **axes)

    return drawn


_TINTS = {"answers": draw.SOURCE, "posterior mean": draw.GOOD, "start": draw.MUTED}


def by_choice(name: str, xlabel: str) -> Callable[[xr.Dataset], Any]:
    """Bars of quality, one for each option, with what is known of each beside it."""

    def drawn(result: xr.Dataset) -> Any:
        options, values = [str(option) for option in result[name].values], result.quality.values
        at = np.arange(len(options))
        marks = {"quality_posterior": draw.GOOD, "quality_rest": draw.TARGET, "quality_start": draw.MUTED}
        there = {other: tint for other, tint in marks.items() if other in result}
        ends = [
            (at - 0.32, result[other].values, at + 0.32, result[other].values, tint) for other, tint in there.items()
        ]
        return draw.plot(
            draw.bars(at, values, width=0.5),
            *(draw.segments(*end[:4], color=end[4], width=2.5) for end in ends),
            draw.text(at, np.full(len(at), 1.0), [f"{value:.1f}" for value in values], color="#ffffff", side="center"),
            xlabel=xlabel,
            ylabel="PSNR, dB",
            xticks=list(zip(at.tolist(), options, strict=True)),
            xlim=(-0.6, len(at) - 0.4),
            ylim=(0, 1.25 * max(float(np.nanmax(result[other].values)) for other in ("quality", *there))),
        )

    return drawn


def grid(images: Mapping[str, np.ndarray], **more: Any) -> Any:
    """Images with their names above them, in rows of at most five."""
    count, across = len(images), min(_ACROSS, -(-len(images) // -(-len(images) // _ACROSS)))
    rows = -(-count // across)
    first = next(iter(images.values()))
    blank = np.full_like(first, np.nan)
    filled = np.stack([*images.values(), *[blank] * (rows * across - count)]).reshape(rows, across, *first.shape)
    names = [*images, *[""] * (rows * across - count)]
    captions = [names[row * across : (row + 1) * across] for row in range(rows)]
    return draw.mosaic(filled, captions=captions, **more)


def clicked_pixel(shown: Callable[[xr.Dataset], int]) -> Callable[..., Mapping[str, Any]]:
    """The pixel of a grid of so many images."""

    def clicked(result: xr.Dataset, x: float, y: float) -> Mapping[str, Any]:
        count = shown(result)
        across = min(_ACROSS, -(-count // -(-count // _ACROSS)))
        place = -(-count // across), across, result.sizes["y"], result.sizes["x"]
        found = draw.tile_at(x, y, place, captions=True)
        return {"row": found[2], "column": found[3]} if found else {}

    return clicked
