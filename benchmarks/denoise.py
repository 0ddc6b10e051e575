"""The paper's denoiser on one image at one level, 4000 training images of MNIST, beside what it must at least cost.

The mask is one product of matrices, (4000, 784) by (784, 784), 4.9 GFLOP in float32: the clock of that product alone, in the
same process and turn by turn, is the yardstick. Then the same at the levels of the released runs, where the masks of low
levels are lists of neighbours, other denoisers, and the sensitivity field of a clicked pixel. Medians; compilation is left
out. Run it on a quiet machine: both sides use all cores.

    python -m benchmarks.denoise [--repeats 9]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lab import datasets, denoise
from lab.home import start


def clocked(runs: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median seconds of each, turn by turn."""
    spent: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        jax.block_until_ready(run())
    for _ in range(repeats):
        for name, run in runs.items():
            began = time.perf_counter()
            jax.block_until_ready(run())
            spent[name].append(time.perf_counter() - began)
    return {name: statistics.median(each) for name, each in spent.items()}


def main(repeats: int = 9) -> None:
    start()
    data = datasets.load("mnist-images").arrays
    pixels = data["pixels"].astype(np.float32) / 127.5 - 1
    images = denoise.Images(jnp.asarray(pixels[~data["held_out"]]))
    n, count = images.n, len(images)
    began = time.perf_counter()
    spectrum = denoise.spectrum(images)
    print(f"spectrum of {count} images of {n} pixels: {time.perf_counter() - began:.2f} s")

    x0 = jnp.asarray(pixels[data["held_out"]][:8].reshape(8, n))
    noise = jnp.asarray(np.random.default_rng(0).standard_normal(x0.shape), jnp.float32)
    pca = denoise.PCALocality(images, spectrum)
    product = jax.jit(jnp.matmul)
    squares, mask = jnp.asarray(images.numbers(dtype=jnp.float32)), pca.mask(1.24).astype(jnp.float32)
    x, flops = (x0 + 1.24 * noise)[:1], 2 * count * n**2
    sides = {
        "the product of matrices alone": lambda: product(squares, mask),
        "the paper's denoiser": lambda: pca(x, 1.24),
        "its sensitivity, one pixel": lambda: pca.sensitivity(x, 1.24, 14 * 28 + 14),
    }
    found = clocked(sides, repeats)
    print(f"one image, one level: {flops / 1e9:.2f} GFLOP")
    for name, seconds in found.items():
        print(f"  {name:32} {1e3 * seconds:8.1f} ms")
    yardstick, ours, _ = found.values()
    print(f"  {ours / yardstick:.2f} times the product, which does {flops / yardstick / 1e9:.0f} GFLOP/s here")

    others = {
        "optimal": denoise.Optimal(images),
        "Wiener": denoise.Wiener(spectrum, images.shape),
        "nearest": denoise.Nearest(images),
        "LS, p = 11": denoise.LS(images, 11),
        "PSPC-square, s = 9": denoise.SquareComposite(images, 9),
    }
    print("eight images, one level, ms an image:")
    for name, each in others.items():
        seconds = clocked({name: lambda each=each: each(x0 + noise, 1.0)}, repeats)[name]
        print(f"  {name:32} {1e3 * seconds / 8:8.1f}")
    print("the paper's denoiser by level, ms an image, as a list of neighbours or by the product:")
    for sigma in np.asarray(denoise.released_levels(10)[:-1])[::-1]:
        at = pca.at(float(sigma))
        dense = denoise.Masked(images, at.mask)
        object.__setattr__(dense, "neighbours", None)
        y = x0 + float(sigma) * noise
        both = clocked({"chosen": lambda at=at, y=y: at(y, 1.0), "product": lambda d=dense, y=y: d(y, 1.0)}, 3)
        size = (at.mask != 0).sum(axis=0)
        how = "list" if at.neighbours is not None else "product"
        print(
            f"  sigma {sigma:7.3f}: mask {float(size.mean()):6.1f} pixels, at most {int(size.max()):3d}: "
            f"{how} {125 * both['chosen']:.0f}, product {125 * both['product']:.0f}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    main(parser.parse_args().repeats)
