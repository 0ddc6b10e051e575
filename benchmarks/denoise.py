"""The paper's denoiser on one image at one level, 4000 training images of MNIST, beside what it must at least cost.

The mask is one product of matrices, (4000, 784) by (784, 784), 4.9 GFLOP in float32: the clock of that product alone, in the
same process and turn by turn, is the yardstick. Then the same at the levels of the released runs, where the masks of low
levels are lists of neighbours, other denoisers, and the sensitivity field of a clicked pixel. Medians; compilation is left
out. Run it on a quiet machine: both sides use all cores.

    python -m benchmarks.denoise [--repeats 9]
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.report import Report, clocked, options, turns
from lab import datasets, denoise
from lab.home import start


def main(argv: list[str] | None = None) -> dict[str, Any]:
    given = options(__doc__, argv, repeats=9, images=4000, levels=10)
    start()
    report = Report("denoise", given)
    data = datasets.load("mnist-images").arrays
    pixels = data["pixels"].astype(np.float32) / 127.5 - 1
    images = denoise.Images(jnp.asarray(pixels[~data["held_out"]][: given.images]))
    n, count = images.n, len(images)
    seconds, spectrum = clocked(lambda: denoise.spectrum(images))
    print(f"spectrum of {count} images of {n} pixels: {seconds:.2f} s")

    x0 = jnp.asarray(pixels[data["held_out"]][:8].reshape(8, n))
    noise = jnp.asarray(np.random.default_rng(0).standard_normal(x0.shape), jnp.float32)
    pca = denoise.PCALocality(images, spectrum)
    product = jax.jit(jnp.matmul)
    squares, mask = jnp.asarray(images.numbers(dtype=jnp.float32)), pca.mask(1.24).astype(jnp.float32)
    x, flops = (x0 + 1.24 * noise)[:1], 2 * count * n**2
    sides = {
        "matrix product": lambda: product(squares, mask),
        "lab": lambda: pca(x, 1.24),
        "lab, sensitivity of one pixel": lambda: pca.sensitivity(x, 1.24, 14 * 28 + 14),
    }
    found = turns(sides, given.repeats)
    report.row(
        {"images": count, "pixels": n, "denoiser": "PCA locality", "sigma": 1.24}, found, spectrum_seconds=seconds
    )
    print(f"one image, one level: {flops / 1e9:.2f} GFLOP")
    for name, each in found.items():
        print(f"  {name:32} {1e3 * each.median:8.1f} ms")
    yardstick, ours, _ = (each.median for each in found.values())
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
        times = turns({"lab": lambda each=each: each(x0 + noise, 1.0)}, given.repeats)
        report.row({"images": count, "pixels": n, "denoiser": name, "sigma": 1.0, "batch": 8}, times)
        print(f"  {name:32} {1e3 * times['lab'].median / 8:8.1f}")
    print("the paper's denoiser by level, ms an image, as a list of neighbours or by the product:")
    for sigma in np.asarray(denoise.released_levels(given.levels)[:-1])[::-1]:
        at = pca.at(float(sigma))
        dense = denoise.Masked(images, at.mask)
        object.__setattr__(dense, "neighbours", None)
        y = x0 + float(sigma) * noise
        both = turns(
            {"lab": lambda at=at, y=y: at(y, 1.0), "product": lambda d=dense, y=y: d(y, 1.0)}, min(3, given.repeats)
        )
        report.row({"images": count, "pixels": n, "denoiser": "PCA locality", "sigma": sigma, "batch": 8}, both)
        size = (at.mask != 0).sum(axis=0)
        how = "list" if at.neighbours is not None else "product"
        print(
            f"  sigma {sigma:7.3f}: mask {float(size.mean()):6.1f} pixels, at most {int(size.max()):3d}: "
            f"{how} {125 * both['lab'].median:.0f}, product {125 * both['product'].median:.0f}"
        )
    return report.end()


if __name__ == "__main__":
    main()
