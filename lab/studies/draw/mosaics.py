"""Small images in rows and columns, and what was clicked among them."""

from collections.abc import Sequence
from typing import Any

import holoviews as hv
import numpy as np

from .axes import frame
from .layers import segments
from .look import GOOD, INK, LETTER_WIDTH, MUTED, current, diverging, dress
from .writing import text

_GAP = 0.1  # between images, in widths of one
_CAPTION = 0.3  # where words stand between them
_LETTER = 0.016  # width of a letter of the row labels, as a share of the picture


def mosaic(
    tiles: Any,
    rows: Sequence[str] = (),
    cols: Sequence[str] = (),
    *,
    marks: Sequence[tuple[int, int]] = (),
    crosses: Sequence[tuple[int, int]] = (),
    captions: Sequence[Sequence[str]] = (),
    note: str = "",
    height: int | None = None,
) -> hv.Overlay:
    """Images in R rows and K columns, with labels left and above.

    Args:
        tiles: (R, K, H, W) greys or (R, K, H, W, 3) colours from -1 to 1; row 0 of an image is its top. Pixels that are not
            finite are left out: an image may fill a part of its place. Colours of ``signed`` are each on their own scale.
        rows: labels of the rows, at the left.
        cols: labels of the columns, above.
        marks: (row, column) of pixels that are framed in every image.
        crosses: for each row of images the pixel at which lines cross in all of them.
        captions: words above each image, a list for each row.
        note: a quiet line of text below.
        height: least height on a page, in pixels.

    Returns:
        an ``Overlay``, whose coordinates are pixels.

    Raises:
        ValueError: an array of another shape, or one without images.

    Examples:
        >>> import numpy as np
        >>> from lab.studies import draw
        >>> picture = draw.mosaic(np.zeros((1, 2, 4, 4)), cols=["before", "after"])
        >>> picture.get(0).bounds.lbrt()  # two images of 4 pixels and a gap of 1
        (0, 0, 9, 4)
    """
    tiles = np.asarray(tiles, float)
    if tiles.ndim not in (4, 5) or 0 in tiles.shape or (tiles.ndim == 5 and tiles.shape[4] != 3):
        raise ValueError(f"a mosaic needs images of shape (rows, columns, height, width), not {tiles.shape}")
    r, k, h, w = tiles.shape[:4]
    down, across = _steps(h, w, bool(captions))
    tall, wide = (r - 1) * down + h, (k - 1) * across + w
    canvas = np.zeros((tall, wide, 4), np.uint8)
    if current().name == "print":  # Matplotlib makes what is transparent black, which leaves dark rims on paper
        canvas[:] = 255
    there = np.isfinite(tiles) if tiles.ndim == 4 else np.isfinite(tiles).all(axis=4)
    shown = there.any(axis=(2, 3))
    coloured = np.round(127.5 * (np.clip(np.nan_to_num(tiles), -1, 1) + 1)).astype(np.uint8)
    if tiles.ndim == 4:
        coloured = np.repeat(coloured[..., None], 3, axis=4)
    boxes, lines = [], []
    for i, j in np.argwhere(shown):
        top, left = i * down, j * across
        place = canvas[top : top + h, left : left + w]
        place[there[i, j], :3] = coloured[i, j][there[i, j]]
        place[there[i, j], 3] = 255
        boxes += [(left + c, tall - top - a - 1, left + c + 1, tall - top - a) for a, c in marks]
        for a, c in crosses[i : i + 1]:
            down_here, right_here = (np.flatnonzero(there[i, j].any(axis=side))[[0, -1]] for side in (1, 0))
            x, y = left + c + 0.5, tall - top - a - 0.5
            lines.append((left + right_here[0], y, left + right_here[1] + 1, y))
            lines.append((x, tall - top - down_here[1] - 1, x, tall - top - down_here[0]))
    look = current()
    image = hv.RGB(canvas, ["x", "y"], ["R", "G", "B", "A"], bounds=(0, 0, wide, tall))
    dress(image, mpl={"interpolation": "nearest"})
    frames = hv.Rectangles(tuple(np.asarray(boxes, np.float32).reshape(-1, 4).T), ["x", "y", "x1", "y1"])
    tint = current().good
    dress(
        frames,
        bokeh={"fill_color": None, "line_color": tint, "line_width": 1.5},
        mpl={"facecolor": "none", "edgecolor": tint, "linewidth": 0.8},
    )
    middle = [tall - i * down - h / 2 for i in range(r)]
    letters, written = max(map(len, rows), default=0), bool(cols or captions) + bool(note)
    share = (letters + 1) * LETTER_WIDTH / look.wide if look.wide and rows else letters * _LETTER
    room = wide * share / max(1 - share, 0.3)
    if look.wide:  # where the height is what is short, a letter is wider beside the images
        room = max(room, (letters + bool(rows)) * look.letter_in(wide, tall + 0.16 * h, written))
    room += 0.15 * w if rows else 0.0
    named = text([-0.15 * w] * len(rows), middle[: len(rows)], rows, color=INK, side="right")
    note = look.lines(note, wide / (wide + room))
    written += note.count("\n")
    line = look.height(wide + room, tall + 0.16 * h, written)
    above = line + 0.08 * h if cols or captions else 0.0
    below = line * (1 + note.count("\n")) + 0.08 * h if note else 0.0
    # of the width, one pixel of an image, with some air about the picture
    seen = 0.9 * min(1 / (wide + room), 1 / ((look.room or 1e-9) * (above + tall + below)))
    told = [
        (j * across, tall - i * down + 0.06 * h, look.brief(words, across * seen))
        for i, row in enumerate(captions)
        for j, words in enumerate(row)
    ]
    captioned = text(
        [x for x, _, _ in told], [y for _, y, _ in told], [words for *_, words in told], color=INK, up="bottom"
    )
    cols = [look.brief(each, across * seen) for each in cols]
    headed = text([j * across for j in range(len(cols))], [tall + 0.08 * h] * len(cols), cols, color=INK, up="bottom")
    said = text([0.0], [-0.08 * h], [note], color=MUTED, up="top")
    return frame(
        [
            image,
            frames,
            *([segments(*np.reshape(lines, (-1, 4)).T, color=GOOD, width=0.7)] if crosses else []),
            named,
            headed,
            *([captioned] if captions else []),
            said,
        ],
        (-room, wide),
        (-below, tall + above),
        equal=True,
        bare=True,
        bounds=((0, wide), (0, tall)),
        height=height or int(np.clip(560 * (tall + above + below) / (wide + room), 200, 620)),
    )


def tile_at(
    x: float, y: float, shape: tuple[int, int, int, int], captions: bool = False
) -> tuple[int, int, int, int] | None:
    """Which image of a ``mosaic`` is at a place, and which pixel of it.

    Args:
        x: the place, in pixels from the left.
        y: in pixels from the bottom.
        shape: (R, K, H, W) of the mosaic.
        captions: the images have them.

    Returns:
        row and column of the image, then of the pixel in it, row 0 at the top; None beside the images.

    Examples:
        >>> from lab.studies import draw
        >>> draw.tile_at(5.5, 3.5, (1, 2, 4, 4)), draw.tile_at(4.5, 3.5, (1, 2, 4, 4))
        ((0, 1, 0, 0), None)
    """
    r, k, h, w = shape
    down, across = _steps(h, w, captions)
    i, a = divmod((r - 1) * down + h - y, down)
    j, c = divmod(x, across)
    if 0 <= i < r and 0 <= j < k and a < h and c < w:
        return int(i), int(j), int(a), int(c)
    return None


def _steps(h: int, w: int, captions: bool = False) -> tuple[int, int]:
    """From one image to the next, in pixels."""
    return h + max(1, round((_CAPTION if captions else _GAP) * h)), w + max(1, round(_GAP * w))


def signed(tiles: Any) -> np.ndarray:
    """Colours for a ``mosaic`` of signed images, each on its own scale: blue below and orange above zero.

    Args:
        tiles: (..., H, W); what is not finite stays out.

    Returns:
        (..., H, W, 3) from -1 to 1, NaN where the image is not finite; zero has the colour of the ground.

    Examples:
        >>> from lab.studies import draw
        >>> draw.signed([[0.0, 2.0]])[0, 0].tolist()
        [1.0, 1.0, 1.0]
    """
    tiles = np.asarray(tiles, float)
    peak = np.abs(np.nan_to_num(tiles)).max(axis=(-2, -1), keepdims=True)
    share = np.nan_to_num(tiles) / np.where(peak > 0, peak, 1.0)
    palette = np.array([[int(tint[i : i + 2], 16) for i in (1, 3, 5)] for tint in diverging()]) / 127.5 - 1
    found = palette[np.round((share + 1) / 2 * (len(palette) - 1)).astype(int)]
    return np.where(np.isfinite(tiles)[..., None], found, np.nan)
