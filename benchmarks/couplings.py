"""Minibatch couplings: ours beside POT in one process and TorchCFM in a process of its own, on the same batches.

Each is given the same noise and data and makes pairs of least squared distance. The mean squared distance of the pairs is
recomputed here. POT is its network simplex with pairs drawn from the plan, as TorchCFM does. TorchCFM needs PyTorch, so it
runs by another interpreter, batch by batch between ours, and clocks itself; arrays travel in files.

    python -m benchmarks.couplings [--torch /path/to/python/with/torchcfm]
"""

import argparse
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from lab.home import start
from lab.paths import couplings

REPEATS = 5
THEIRS = """
import sys, time
import numpy as np, torch
from torchcfm.optimal_transport import OTPlanSampler
torch.set_num_threads(2)
folder, repeats = sys.argv[1], int(sys.argv[2])
x0, x1 = (torch.from_numpy(np.load(f"{folder}/{name}.npy")) for name in ("x0", "x1"))
sampler = OTPlanSampler(method="exact")
sampler.sample_plan(x0, x1)
spent = []
for _ in range(repeats):
    began = time.perf_counter()
    a, b = sampler.sample_plan(x0, x1)
    spent.append(time.perf_counter() - began)
np.savez(f"{folder}/theirs.npz", spent=spent, x0=a.numpy(), x1=b.numpy())
"""


def clocked(run) -> tuple[float, tuple[np.ndarray, np.ndarray]]:
    spent, pairs = [], run()
    for _ in range(REPEATS):
        began = time.perf_counter()
        pairs = jax.block_until_ready(run())
        spent.append(time.perf_counter() - began)
    return statistics.median(spent), (np.asarray(pairs[0]), np.asarray(pairs[1]))


def by_pot(x0: np.ndarray, x1: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    import ot

    n = len(x0)
    plan = ot.emd(ot.unif(n), ot.unif(n), ot.dist(x0, x1))
    drawn = rng.choice(n * n, n, p=plan.ravel() / plan.sum())
    return x0[drawn // n], x1[drawn % n]


def by_torchcfm(python: str, x0: np.ndarray, x1: np.ndarray) -> tuple[float, tuple[np.ndarray, np.ndarray]]:
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder, "x0.npy"), x0)
        np.save(Path(folder, "x1.npy"), x1)
        subprocess.run([python, "-c", THEIRS, folder, str(REPEATS)], check=True, capture_output=True)
        with np.load(Path(folder, "theirs.npz")) as found:
            return float(np.median(found["spent"])), (found["x0"], found["x1"])


def cost(pairs: tuple[np.ndarray, np.ndarray]) -> float:
    return float(((pairs[0].astype(float) - pairs[1]) ** 2).sum(axis=1).mean())


def main(torch: str = "") -> None:
    start()
    print(f"{'batch':>6} {'d':>4}  {'ours':>9}  {'POT':>16}  {'TorchCFM':>16}   mean squared distance of the pairs")
    coupling, key = jax.jit(couplings.Assignment()), jax.random.key(0)
    for n in (128, 256, 512, 1024):
        for d in (2, 64, 784):
            rng = np.random.default_rng(n + d)
            x0 = rng.normal(size=(n, d)).astype(np.float32)
            x1 = (rng.normal(size=(n, d)) + 3 * rng.integers(0, 2, (n, 1))).astype(np.float32)
            a, b = jnp.asarray(x0), jnp.asarray(x1)
            ours, pairs = clocked(lambda a=a, b=b: coupling(key, a, b)[:2])
            theirs, drawn = clocked(lambda x0=x0, x1=x1, rng=rng: by_pot(x0, x1, rng))
            costs = [cost(pairs), cost(drawn)]
            told = f"{n:6} {d:4}  {1000 * ours:6.1f} ms  {1000 * theirs:6.1f} ms ({theirs / ours:4.1f})"
            if torch:
                third, more = by_torchcfm(torch, x0, x1)
                costs.append(cost(more))
                told += f"  {1000 * third:6.1f} ms ({third / ours:4.1f})"
            print(f"{told}   {' '.join(f'{value:.4f}' for value in costs)}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--torch", default="", help="a Python that has torchcfm; without it that column is missing")
    main(**vars(parser.parse_args()))
