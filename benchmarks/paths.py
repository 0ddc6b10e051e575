"""Exact fields of images: noise to digits by the exact velocity, the same Euler steps in one process with NumPy and PyTorch.

N(0, I) to the MNIST digits that the lab carries (5000 x 784), linear schedule, 256 particles, 50 Euler steps to t = 0.98, in
float32 and float64. The peers are what one writes without a library, the whole matrix of logits at once: no package known
to us has exact fields of data. Differences of the end points are told. Then one evaluation at 50,000 x 784 (ten shifted
copies of the digits) with its working memory beside the data. Compilation apart.

    python -m benchmarks.paths [--particles 256] [--steps 50]
"""

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

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


def clocked(run: Callable[[], object], repeats: int = 3) -> tuple[float, np.ndarray]:
    spent, result = [], None
    for _ in range(repeats):
        began = time.perf_counter()
        result = jax.block_until_ready(run())
        spent.append(time.perf_counter() - began)
    return statistics.median(spent), np.asarray(result)


def main(particles: int = 256, steps: int = 50) -> None:
    start()
    data = digits()
    d = data.shape[1]
    noise = np.random.default_rng(0).normal(size=(particles, d))
    print(f"exact field, {data.shape[0]} x {d} digits, {particles} particles, {steps} Euler steps")
    for dtype in (np.float32, np.float64):
        points, x = data.astype(dtype), noise.astype(dtype)
        times = np.linspace(0, 0.98, steps + 1).astype(dtype)
        field = paths.exact(paths.Linear(), paths.standard(d, dtype), paths.Empirical(points))

        def ours(field=field, x=x, times=times):
            return paths.ode(field, x, grid=times, solver="euler", keep=False).end

        began = time.perf_counter()
        jax.block_until_ready(ours())
        first = time.perf_counter() - began
        spent, end = clocked(ours)
        print(f"  {np.dtype(dtype).name}: ours {spent:.2f} s (first call {first:.2f} s)")
        peers = {"NumPy": by_numpy} | ({"PyTorch": by_torch} if importlib.util.find_spec("torch") else {})
        for name, peer in peers.items():
            theirs, other = clocked(lambda peer=peer, points=points, x=x, times=times: peer(points, x, times))
            apart = np.abs(end - other).max()
            print(f"    {name} {theirs:.2f} s, {theirs / spent:.2f} times ours; end points apart at most {apart:.1e}")

    large = np.concatenate([data + 0.01 * k for k in range(10)]).astype(np.float32)
    x = jnp.asarray(noise, jnp.float32)
    field = paths.exact(paths.Linear(), paths.standard(d, jnp.float32), paths.Empirical(large))
    compiled = jax.jit(lambda field, x: field.velocity(0.5, x)).lower(field, x).compile()
    spent, _ = clocked(lambda: compiled(field, x))
    working = compiled.memory_analysis().temp_size_in_bytes / 2**20
    print(f"  one evaluation at {len(large)} x {d}, float32: {spent:.2f} s, working memory {working:.0f} MiB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--particles", type=int, default=256)
    parser.add_argument("--steps", type=int, default=50)
    main(**vars(parser.parse_args()))
