"""The sweep of the diagonal network against a loop of single runs, and Hessian tools against PyHessian.

Sweep: 6 learning rates x 4 batch sizes x 5 seeds, n = 300, d = 1000, 80,000 steps each, in float32. Both ways are measured on a
fraction of the steps and scaled to all of them. The record at the start is scaled with them, so both come out too long;
``--whole`` runs the whole sweep. The loop is over ``stability.train``, jitted,
with the learning rate traced, on the same data and batches, compiled once for each batch size; it runs a fraction of the runs.

Hessians: PyHessian needs PyTorch, so it runs by another interpreter on the same network, weights and data, and clocks itself;
arrays travel in files. Truth is the full matrix in float64.

    python -m benchmarks.stability [--whole] [--torch /path/to/python/with/pyhessian]
"""

import argparse
import subprocess
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from lab import stability
from lab.home import start
from lab.numerics import Chunked

STEPS, EVERY, BATCHES = 80_000, 800, (1, 4, 16, 64)
RATES = np.logspace(-2.4, -0.9, 6)
THEIRS = """
import sys, time, json
import numpy as np, torch
from pyhessian import hessian
torch.set_num_threads(2)
folder = sys.argv[1]
got = np.load(f"{folder}/net.npz")
dtype = torch.float64
sizes = [got["w0"].shape[1], *(got[f"w{i}"].shape[0] for i in range(3))]
layers = []
for i in range(3):
    layer = torch.nn.Linear(sizes[i], sizes[i + 1], dtype=dtype)
    layer.weight.data, layer.bias.data = (torch.from_numpy(got[f"{name}{i}"]) for name in "wb")
    layers += [layer, torch.nn.Tanh()]
net = torch.nn.Sequential(*layers[:-1])
x, y = (torch.from_numpy(got[name]) for name in "xy")
half = lambda out, want: ((out[:, 0] - want) ** 2).mean() / 2
made = hessian(net, half, data=(x, y), cuda=False)
found = {}
for name, run in (
    ("top", lambda: made.eigenvalues(maxIter=100, tol=1e-3)[0][0]),
    ("trace", lambda: float(np.mean(made.trace(maxIter=90, tol=0)))),
    ("density", lambda: made.density(iter=40, n_v=10)),
):
    began = time.perf_counter(); value = run(); spent = time.perf_counter() - began
    if name == "density":
        value = float(np.mean([np.dot(np.square(e), np.abs(w)) for e, w in zip(value[0], value[1])]))
    found[name] = [spent, value]
json.dump(found, open(f"{folder}/theirs.json", "w"))
"""


def make(key):
    one, two = jax.random.split(key)
    return stability.diagonal(one, 1000, dtype=jnp.float32), stability.sparse_regression(
        two, test=1000, dtype=jnp.float32
    )


def clocked(run):
    jax.block_until_ready(run())
    began = time.perf_counter()
    found = jax.block_until_ready(run())
    return time.perf_counter() - began, found


def sweep(whole: bool, share: int = 50) -> None:
    keys, rates = jax.random.split(jax.random.key(0), 5), jnp.asarray(RATES, jnp.float32)
    settings, steps = stability.Settings(clip=50.0), STEPS if whole else STEPS // share
    began = time.perf_counter()
    stability.sweep(keys, make, rates, BATCHES, settings, steps=steps, every=EVERY, loop=Chunked(lambda _: True))
    compiled = time.perf_counter() - began
    began = time.perf_counter()
    found = stability.sweep(keys, make, rates, BATCHES, settings, steps=steps, every=EVERY, loop=Chunked())
    ours = (time.perf_counter() - began) * STEPS / steps
    told = "measured whole" if whole else f"measured on 1/{share} of the steps and scaled"
    print(f"sweep of 120 runs: {ours:.0f} s, {told}; compilation and the first records {compiled:.0f} s")
    print(
        f"diverged {int(found.diverged.sum())}, interpolating {int(found.interpolated.sum())} of 120 after {steps} steps"
    )
    model, data = make(keys[0])
    single, steps = 0.0, STEPS // share
    for batch in BATCHES:
        settings = settings._replace(batch_size=batch)
        run = jax.jit(
            lambda rate, model, data, settings=settings: (
                stability.train(
                    keys[0], model, data, settings._replace(learning_rate=rate), steps=steps, every=EVERY
                ).trace
            )
        )
        run(rates[0], model, data)
        spent = np.median([clocked(lambda rate=rate, run=run: run(rate, model, data))[0] for rate in rates[:3]])
        single += 30 * spent * STEPS / steps
        print(f"  batch {batch:3}: a single jitted run {spent * STEPS / steps:6.2f} s")
    print(
        f"loop of 120 single jitted runs, 3 a batch size, scaled: {single:.0f} s ({single / ours:.1f} times the sweep)"
    )


def hessians(torch: str) -> None:
    key = jax.random.key(0)
    net = stability.perceptron(key, (64, 12, 10, 1))
    x = jax.random.normal(jax.random.key(1), (300, 64))
    y = jnp.tanh(x[:, 0] + x[:, 1])
    operator = stability.hessian(lambda net, x, y: ((jax.vmap(net)(x) - y) ** 2).mean() / 2, net, x, y)
    dense = np.linalg.eigvalsh(np.asarray(stability.full(operator)))
    ask = {
        "top": (lambda: stability.eigenpairs(operator, key, steps=20, tolerance=1e-3).values[0], dense[-1]),
        "trace": (lambda: stability.trace(key, operator, 90, chunk=45).value, dense.sum()),
        "density": (
            jax.jit(lambda: stability.quadrature(key, operator, probes=10, steps=40).trace_of(jnp.square).value),
            (dense**2).sum(),
        ),
    }
    theirs = {}
    if torch:
        import json

        with tempfile.TemporaryDirectory() as folder:
            weights = {f"w{i}": layer.weight for i, layer in enumerate(net.layers)}
            weights |= {f"b{i}": layer.bias for i, layer in enumerate(net.layers)}
            np.savez(Path(folder, "net.npz"), x=x, y=y, **weights)  # type: ignore[arg-type]
            subprocess.run([torch, "-c", THEIRS, folder], check=True, capture_output=True)
            theirs = json.loads(Path(folder, "theirs.json").read_text())
            if "density" in theirs:
                theirs["density"][1] *= operator.size
    print(f"Hessian of {operator.size} parameters; of the density the error is that of tr(H^2)")
    for name, (run, truth) in ask.items():
        spent, value = clocked(run)
        told = f"{name:8} ours {1000 * spent:7.1f} ms, relative error {abs(float(value) / truth - 1):.1e}"
        if theirs:
            other, value = theirs[name]
            told += f"; PyHessian {1000 * other:7.1f} ms ({other / spent:.1f} times), {abs(value / truth - 1):.1e}"
        print(told, flush=True)


def main(whole: bool = False, torch: str = "") -> None:
    start()
    hessians(torch)
    sweep(whole)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--whole", action="store_true", help="run all 80,000 steps of the sweep")
    parser.add_argument("--torch", default="", help="a Python that has pyhessian; without it that column is missing")
    main(**vars(parser.parse_args()))
