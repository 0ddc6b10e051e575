"""Exact fields of images: noise to digits by the exact velocity, the same Euler steps in one process with NumPy and PyTorch.

N(0, I) to the MNIST digits that the lab carries (5000 x 784), linear schedule, 256 particles, 50 Euler steps to t = 0.98, in
float32 and float64. The peers are what one writes without a library, the whole matrix of logits at once: no package known
to us has exact fields of data. Differences of the end points are told. Then one evaluation at 50,000 x 784 (ten shifted
copies of the digits) with its working memory beside the data. Compilation apart.

    python -m benchmarks.paths [--particles 256] [--steps 50] [--images 5000] [--repeats 3]
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.report import Report, options, turns
from lab import paths
from lab.datasets import packaged
from lab.home import start


def digits() -> np.ndarray:
    """(5000, 784), of mean 0 and mean square 1."""
    x = packaged.labelled_images("mnist")[0].astype(np.float64)
    x -= x.mean(axis=0)
    return x / np.sqrt((x**2).mean())


def by_numpy(points: np.ndarray, x: np.ndarray, times: np.ndarray) -> np.ndarray:
    squared = (points**2).sum(axis=1)
    for t, h in zip(times[:-1], np.diff(times), strict=True):
        logits = (t * (x @ points.T) - t * t * squared / 2) / (1 - t) ** 2
        logits -= logits.max(axis=1, keepdims=True)
        w = np.exp(logits)
        x = x + h * ((w @ points) / w.sum(axis=1, keepdims=True) - x) / (1 - t)
    return x


def by_torch(points: np.ndarray, x: np.ndarray, times: np.ndarray) -> np.ndarray:
    import torch

    atoms, y = torch.from_numpy(points), torch.from_numpy(x)
    squared = (atoms**2).sum(1)
    for t, h in zip(times[:-1].tolist(), np.diff(times).tolist(), strict=True):
        w = torch.softmax((t * (y @ atoms.T) - t * t * squared / 2) / (1 - t) ** 2, dim=1)
        y = y + h * (w @ atoms - y) / (1 - t)
    return y.numpy()


def main(argv: list[str] | None = None) -> dict[str, Any]:
    given = options(__doc__, argv, particles=256, steps=50, images=5000, repeats=3)
    start()
    report, data = Report("paths", given), digits()[: given.images]
    peers = {"NumPy": by_numpy} | ({"PyTorch": by_torch} if report.has("PyTorch", "torch") else {})
    d = data.shape[1]
    noise = np.random.default_rng(0).normal(size=(given.particles, d))
    print(f"exact field, {data.shape[0]} x {d} digits, {given.particles} particles, {given.steps} Euler steps")
    for dtype in (np.float32, np.float64):
        points, x = data.astype(dtype), noise.astype(dtype)
        times = np.linspace(0, 0.98, given.steps + 1).astype(dtype)
        field = paths.exact(paths.Linear(), paths.standard(d, dtype), paths.Empirical(points))

        def ours(field=field, x=x, times=times):
            return paths.ode(field, x, grid=times, solver="euler", keep=False).end

        runs: dict[str, Any] = {"lab": ours}
        runs |= {name: lambda peer=peer, a=(points, x, times): peer(*a) for name, peer in peers.items()}
        spent = {name: turns({name: run}, given.repeats)[name] for name, run in runs.items()}
        lab, size = spent["lab"], {"images": len(data), "particles": given.particles, "dtype": np.dtype(dtype).name}
        apart = {name: np.abs(np.asarray(lab.result) - np.asarray(each.result)).max() for name, each in spent.items()}
        report.row(size, spent, apart=apart)
        print(f"  {np.dtype(dtype).name}: ours {lab.median:.2f} s (first call {lab.first:.2f} s)")
        for name in peers:
            theirs = spent[name].median
            print(
                f"    {name} {theirs:.2f} s, {theirs / lab.median:.2f} times ours; end points apart at most {apart[name]:.1e}"
            )

    large = np.concatenate([data + 0.01 * k for k in range(10)]).astype(np.float32)
    x = jnp.asarray(noise, jnp.float32)
    field = paths.exact(paths.Linear(), paths.standard(d, jnp.float32), paths.Empirical(large))
    compiled = jax.jit(lambda field, x: field.velocity(0.5, x)).lower(field, x).compile()
    one = turns({"lab": lambda: compiled(field, x)}, given.repeats)
    working = compiled.memory_analysis().temp_size_in_bytes / 2**20
    report.row({"images": len(large), "particles": given.particles, "evaluations": 1}, one, working_mebibytes=working)
    print(
        f"  one evaluation at {len(large)} x {d}, float32: {one['lab'].median:.2f} s, working memory {working:.0f} MiB"
    )
    return report.end()


if __name__ == "__main__":
    main()
