"""Minibatch couplings: ours beside POT in one process and TorchCFM in a process of its own, on the same batches.

Each is given the same noise and data and makes pairs of least squared distance. The mean squared distance of the pairs is
recomputed here. POT is its network simplex with pairs drawn from the plan, as TorchCFM does. TorchCFM needs PyTorch, so it
runs by another interpreter, batch by batch between ours, and clocks itself; arrays travel in files.

    python -m benchmarks.couplings [--torch /path/to/python/with/torchcfm] [--sizes 128 512] [--repeats 5]
"""

import subprocess
import tempfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.report import Report, options, turns
from lab.home import start
from lab.paths import couplings

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


def by_pot(x0: np.ndarray, x1: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    import ot

    n = len(x0)
    plan = ot.emd(ot.unif(n), ot.unif(n), ot.dist(x0, x1))
    drawn = rng.choice(n * n, n, p=plan.ravel() / plan.sum())
    return x0[drawn // n], x1[drawn % n]


def by_torchcfm(
    python: str, repeats: int, x0: np.ndarray, x1: np.ndarray
) -> tuple[float, tuple[np.ndarray, np.ndarray]]:
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder, "x0.npy"), x0)
        np.save(Path(folder, "x1.npy"), x1)
        subprocess.run([python, "-c", THEIRS, folder, str(repeats)], check=True, capture_output=True)
        with np.load(Path(folder, "theirs.npz")) as found:
            return float(np.median(found["spent"])), (found["x0"], found["x1"])


def cost(pairs: Any) -> float:
    x0, x1 = (np.asarray(each, float) for each in pairs)
    return float(((x0 - x1) ** 2).sum(axis=1).mean())


def main(argv: list[str] | None = None) -> dict[str, Any]:
    given = options(__doc__, argv, torch="", sizes=(128, 256, 512, 1024), dimensions=(2, 64, 784), repeats=5)
    start()
    report = Report("couplings", given)
    pot, torchcfm = report.has("POT", "ot"), report.runs("TorchCFM", given.torch, "torchcfm")
    print(f"{'batch':>6} {'d':>4}  milliseconds (over those of the lab) and mean squared distance of the pairs")
    coupling, key = jax.jit(couplings.Assignment()), jax.random.key(0)
    for n in given.sizes:
        for d in given.dimensions:
            rng = np.random.default_rng(n + d)
            x0 = rng.normal(size=(n, d)).astype(np.float32)
            x1 = (rng.normal(size=(n, d)) + 3 * rng.integers(0, 2, (n, 1))).astype(np.float32)
            a, b = jnp.asarray(x0), jnp.asarray(x1)
            runs: dict[str, Any] = {"lab": lambda a=a, b=b: coupling(key, a, b)[:2]}
            if pot:
                runs["POT"] = lambda x0=x0, x1=x1, rng=rng: by_pot(x0, x1, rng)
            times: dict[str, Any] = {name: turns({name: run}, given.repeats)[name] for name, run in runs.items()}
            costs = {name: cost(each.result) for name, each in times.items()}
            seconds = {name: each.median for name, each in times.items()}
            if torchcfm:
                times["TorchCFM"], pairs = by_torchcfm(given.torch, given.repeats, x0, x1)
                costs["TorchCFM"], seconds["TorchCFM"] = cost(pairs), times["TorchCFM"]
            parts = (
                f"{name} {1000 * each:.1f} ms ({each / seconds['lab']:.1f}) {costs[name]:.4f}"
                for name, each in seconds.items()
            )
            print(f"{n:6} {d:4}  {', '.join(parts)}", flush=True)
            report.row({"n": n, "d": d}, times, cost=costs)
    return report.end()


if __name__ == "__main__":
    main()
