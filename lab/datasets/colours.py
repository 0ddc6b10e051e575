"""The colours of a picture: weighted k-means in RGB."""

from typing import NamedTuple

import numpy as np

SIDE = 160  # pixels on the long side of the small picture that colour transfer is drawn on
_SAMPLE = 16384  # distinct colours that the centres are fitted to
_ROUNDS = 30


class Palette(NamedTuple):
    """What is kept of a picture.

    Attributes:
        colours: (n, 3) centres as RGB/256, from dark to light.
        weights: (n,) fraction of the pixels of the full picture nearest to each centre; positive, sum 1.
        image: (h, w, 3) uint8, the picture at most 160 pixels wide and high.
        label: (h, w) int32, the centre nearest to each pixel of ``image``.
        distinct: how many colours the full picture has.
    """

    colours: np.ndarray
    weights: np.ndarray
    image: np.ndarray
    label: np.ndarray
    distinct: int


def palette(image: np.ndarray, n: int, seed: int) -> Palette:
    r"""Replace the colours of a picture by n centres (fewer when the picture has fewer distinct colours).

    Lloyd's iterations from k-means++ (Arthur and Vassilvitskii, 2007) minimise $\sum_i w_i \|p_i - c_{l(i)}\|^2$ over
    the distinct colours $p_i$ with their pixel counts $w_i$, a sample of them where there are many. The weights are
    counted on all pixels. The sums are of integers and no thread takes part, so that equal input gives equal bits.

    Args:
        image: (height, width, 3) uint8.
        n: number of centres.
        seed: of the sample and of the first centres.
    """
    from PIL import Image

    rng = np.random.default_rng(seed)
    code, count = np.unique(
        image.reshape(-1, 3).astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32), return_counts=True
    )
    every = np.stack([code >> 16, code >> 8 & 255, code & 255], axis=1).astype(float)
    if len(every) <= n:
        centres, weights = every, count / count.sum()
    else:
        chosen = np.sort(rng.choice(len(every), min(_SAMPLE, len(every)), replace=False))
        centres = _lloyd(every[chosen], count[chosen], _plus_plus(every[chosen], count[chosen], n, rng))
        centres, label = _assign(every, centres)
        weights = np.bincount(label, count, len(centres)) / count.sum()
    order = np.argsort(centres @ [0.299, 0.587, 0.114], kind="stable")  # luma, so that pictures read from dark to light
    centres, weights = centres[order], weights[order]
    small = Image.fromarray(image)
    small.thumbnail((SIDE, SIDE))
    thumbnail = np.asarray(small)
    label = _assign(thumbnail.reshape(-1, 3).astype(float), centres, fill=False)[1]
    return Palette(centres / 256, weights, thumbnail, label.reshape(thumbnail.shape[:2]), len(every))


def _plus_plus(points: np.ndarray, count: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """n distinct points, each drawn with probability proportional to its weighted squared distance to those before."""
    chosen = [int(np.searchsorted(np.cumsum(count), rng.random() * count.sum(), side="right"))]
    nearest = np.full(len(points), np.inf)
    for _ in range(n - 1):
        nearest = np.minimum(nearest, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
        total = np.cumsum(nearest * count)
        chosen.append(int(np.searchsorted(total, rng.random() * total[-1], side="right")))
    return points[chosen]


def _lloyd(points: np.ndarray, count: np.ndarray, centres: np.ndarray) -> np.ndarray:
    before = None
    for _ in range(_ROUNDS):
        centres, label = _assign(points, centres)
        if before is not None and np.array_equal(label, before):
            break
        mass = np.bincount(label, count, len(centres))
        sums = [np.bincount(label, count * channel, len(centres)) for channel in points.T]
        centres, before = np.stack(sums, axis=1) / mass[:, None], label
    return centres


def _assign(points: np.ndarray, centres: np.ndarray, fill: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """The centres and the nearest one of each point; a centre that no point is nearest to moves to a far point.

    Each move lowers the sum of squares, so the moves end.
    """
    from scipy.cluster.vq import vq  # single-threaded C, the same bits on any number of cores

    label, distance = vq(points, centres, check_finite=False)
    while fill and len(empty := np.flatnonzero(np.bincount(label, minlength=len(centres)) == 0)):
        centres = centres.copy()
        centres[empty] = points[np.argsort(-distance, kind="stable")[: len(empty)]]
        label, distance = vq(points, centres, check_finite=False)
    return centres, label
