"""The sweep of the diagonal network against a loop of single runs, and Hessian tools against PyHessian.

Sweep: 6 learning rates x 4 batch sizes x 5 seeds, n = 300, d = 1000, 80,000 steps each, in float32. Both ways are measured on a
fraction of the steps and scaled to all of them. The record at the start is scaled with them, so both come out too long;
``--whole`` runs the whole sweep, ``--share`` sets the fraction. The loop is over ``stability.train``, jitted,
with the learning rate traced, on the same data and batches, compiled once for each batch size; it runs a fraction of the runs.

Hessians: PyHessian needs PyTorch, so it runs by another interpreter on the same network, weights and data, and clocks itself;
arrays travel in files. Truth is the full matrix in float64.

    python -m benchmarks.stability [--whole] [--share 20] [--torch /path/to/python/with/pyhessian]
"""

import importlib.util
import json
import subprocess
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from lab import stability
from lab.home import start
from lab.numerics import Chunked
from lab.stability import training

from .report import Report, Times, options

STEPS, EVERY, BATCHES = 80_000, 2000, (1, 4, 16, 64)
RATES = np.logspace(-2.4, -0.9, 6)
LOOP = """
import sys, time, json
import numpy as np, torch
got = np.load(f"{sys.argv[1]}/given.npz")
x, y, rows = (torch.from_numpy(got[name]) for name in ("x", "y", "rows"))
rate, clip = float(got["rate"]), float(got["clip"])
def run(steps):
    a, b = (torch.from_numpy(got[name]).clone().requires_grad_() for name in "ab")
    for chosen in rows[:steps].long():
        loss = ((x[chosen] @ (a * b) - y[chosen]) ** 2).mean() / 2
        slopes = torch.autograd.grad(loss, (a, b))
        with torch.no_grad():
            norm = torch.sqrt(slopes[0] @ slopes[0] + slopes[1] @ slopes[1])
            step = -rate * torch.clamp(clip / norm, max=1)
            for param, slope in zip((a, b), slopes):
                param.addcmul_(slope, step)
    return (a * b).detach()
found = None
for threads in (1, 2):
    torch.set_num_threads(threads)
    run(200)
    began, used = time.perf_counter(), time.process_time()
    beta = run(None)
    spent = [time.perf_counter() - began, time.process_time() - used]
    if found is None or spent[0] < found["spent"][0]:
        found = {"threads": threads, "spent": spent, "beta": beta.tolist()}
json.dump(found, open(f"{sys.argv[1]}/found.json", "w"))
"""
THEIRS = """
import sys, time, json
import numpy as np, torch
from pyhessian import hessian
def eig(matrix, eigenvectors):  # PyHessian 0.1 asks for what PyTorch has dropped
    values, vectors = torch.linalg.eigh(matrix)
    return torch.stack([values, torch.zeros_like(values)], 1), vectors
torch.eig = eig
got = np.load(f"{sys.argv[1]}/given.npz")
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
found = {"top": []}
def clocked(run):
    began = time.perf_counter(); value = run(); return time.perf_counter() - began, value
def with_threads(count):
    torch.set_num_threads(count)
    return clocked(lambda: made.trace(maxIter=20, tol=0))[0]
with_threads(1)
torch.set_num_threads(min((1, 2), key=with_threads))
for tol in (1e-3, 1e-5, 1e-7, 1e-9):
    spent, value = clocked(lambda: made.eigenvalues(maxIter=2000, tol=tol)[0][0])
    found["top"].append([spent, value])
spent, each = clocked(lambda: made.trace(maxIter=200, tol=0))
found["trace"] = [spent, float(np.mean(each)), float(np.std(each, ddof=1) / len(each) ** 0.5)]
spent, (nodes, weights) = clocked(lambda: made.density(iter=40, n_v=10))
each = [np.dot(np.square(e), np.abs(w)) for e, w in zip(nodes, weights)]
found["density"] = [spent, float(np.mean(each)), float(np.std(each, ddof=1) / len(each) ** 0.5)]
json.dump(found, open(f"{sys.argv[1]}/found.json", "w"))
"""


def make(key):
    one, two = jax.random.split(key)
    return stability.diagonal(one, 1000, dtype=jnp.float32), stability.sparse_regression(
        two, test=1000, dtype=jnp.float32
    )


def clocked(run):
    """Seconds of the second call, its processor seconds (all threads), its result, and seconds of the first."""
    began = time.perf_counter()
    jax.block_until_ready(run())
    first = time.perf_counter() - began
    began, used = time.perf_counter(), time.process_time()
    found = jax.block_until_ready(run())
    return time.perf_counter() - began, time.process_time() - used, found, first


def asked(python: str, script: str, **arrays):
    """What another interpreter says about these arrays."""
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder, "given.npz"), **arrays)
        subprocess.run([python, "-c", script, folder], check=True)
        return json.loads(Path(folder, "found.json").read_text())


def sweep(whole: bool, torch: str, share: int, report: Report) -> None:
    keys, rates = jax.random.split(jax.random.key(0), 5), jnp.asarray(RATES, jnp.float32)
    settings, steps = stability.Settings(clip=50.0), STEPS if whole else STEPS // share
    run = partial(stability.sweep, keys, make, rates, BATCHES, settings, steps=steps, every=EVERY)
    began = time.perf_counter()
    run(loop=Chunked(lambda _: True))
    compiled = time.perf_counter() - began
    began, used = time.perf_counter(), time.process_time()
    found = run(loop=Chunked())
    ours, busy = (
        (now - then) * STEPS / steps for now, then in ((time.perf_counter(), began), (time.process_time(), used))
    )
    told = "measured whole" if whole else f"measured on 1/{share} of the steps and scaled"
    print(
        f"sweep of 120 runs: {ours:.0f} s, of processors {busy:.0f} s, {told}; compilation and first records {compiled:.0f} s"
    )
    print(
        f"diverged {int(found.diverged.sum())}, interpolating {int(found.interpolated.sum())} of 120 after {steps} steps"
    )
    model, data = make(keys[0])
    steps, totals = STEPS // share, np.zeros((3, 2))  # recorded as in the sweep, not recorded, PyTorch
    for batch in BATCHES:
        settings = settings._replace(batch_size=batch, learning_rate=rates[3])

        @jax.jit
        def single(rate, model, data, settings=settings, track=None, every=EVERY):
            own = settings._replace(learning_rate=rate)
            got = stability.train(keys[0], model, data, own, batch=batch, steps=steps, every=every, track=track)  # noqa: B023
            return got.params, got.trace

        bare = jax.jit(partial(single.__wrapped__, track=("loss",), every=steps))
        spent = [[clocked(partial(f, rate, model, data))[:2] for rate in rates[2:5]] for f in (single, bare)]
        spent = np.median(spent, axis=1) * STEPS / steps
        told = f"  batch {batch:3}: one jitted run {spent[0, 0]:6.2f} s, without records {spent[1, 0]:6.2f} s"
        if torch:
            work = training.prepare(
                keys[0], model, data, settings, stability.call, "replacement", steps, steps, None, ("loss",), None
            )
            rows = training.batches(work, jnp.int32(0), steps)[0]
            theirs = asked(
                torch, LOOP, a=model.a, b=model.b, x=data.x, y=data.y, rows=rows, rate=float(rates[3]), clip=50.0
            )
            beta = bare(rates[3], model, data)[0].beta
            off = float(jnp.abs(beta - jnp.asarray(theirs["beta"])).max() / jnp.abs(beta).max())
            spent = np.concatenate([spent, [np.array(theirs["spent"]) * STEPS / steps]])
            told += f", PyTorch {spent[2, 0]:6.1f} s ({theirs['threads']} threads; beta differs by {off:.1e})"
        totals[: len(spent)] += 30 * spent
        print(told, flush=True)
    names = (
        "loop of single jitted runs, recorded as the sweep",
        "the same without records",
        "Python loop of PyTorch, no records",
    )
    seconds = {"lab": ours} | {name: float(clock) for name, (clock, _) in zip(names, totals, strict=True) if clock}
    counts = {"diverged": int(found.diverged.sum()), "interpolating": int(found.interpolated.sum())}
    size = {"problem": "sweep of 120 runs", "steps": STEPS, "measured": STEPS if whole else STEPS // share}
    report.row(size, seconds, **counts, processor_seconds=busy, compile_and_first_records=compiled)
    for name, (clock, used) in zip(names, totals, strict=True):
        if clock:
            print(
                f"{name}: {clock:.0f} s ({clock / ours:.1f} times the sweep), of processors {used:.0f} s "
                f"({used / busy:.1f} times)"
            )


def hessians(torch: str, report: Report) -> None:
    key = jax.random.key(0)
    net = stability.perceptron(key, (64, 12, 10, 1))
    x = jax.random.normal(jax.random.key(1), (300, 64))
    y = jnp.tanh(x[:, 0] + x[:, 1])
    operator = stability.hessian(lambda net, x, y: ((jax.vmap(net)(x) - y) ** 2).mean() / 2, net, x, y)
    dense = np.linalg.eigvalsh(np.asarray(stability.full(operator)))
    size, steps, products = operator.size, 20, 90
    top, whole, square = dense[-1], dense.sum(), (dense**2).sum()
    print(f"Hessian of {size} parameters; of the density the error is that of tr(H^2), of estimates the standard error")
    lines: dict[str, list[tuple[str, Times, float]]] = {"top": [], "trace": [], "density": []}

    def tell(what, who, run, truth):
        spent, _, found, first = clocked(run)
        value, error = found if isinstance(found, tuple) else (found, abs(found - truth))
        if isinstance(found, tuple) and abs(value - truth) > 5 * error:
            raise AssertionError(f"{what} by {who}: {value} and not {truth}")
        lines[what].append((who, Times(first, [spent], None), float(error) / truth))

    @jax.jit
    def seen():
        return stability.quadrature(key, operator, probes=10, steps=40).trace_of(jnp.square)[:2]

    largest = jax.jit(lambda: stability.eigenpairs(operator, key, steps=steps, tolerance=0.0).values[0])
    tell("top", "ours", largest, top)
    tell("trace", "ours", lambda: tuple(stability.trace(key, operator, products, chunk=45)[:2]), whole)
    tell("density", "ours", seen, square)
    if importlib.util.find_spec("matfree"):
        from matfree import decomp, eig, funm, stochtrace

        start = jnp.ones(size)
        lanczos = eig.eigh_partial(decomp.tridiag_sym(steps))
        tell("top", "matfree", jax.jit(lambda: lanczos(operator, start)[0].max()), top)
        normal = partial(stochtrace.sampler_normal, start)
        left_out = stochtrace.estimator_leave_one_out_mean_and_sem(
            stochtrace.leave_one_out_xtrace(), normal(num=products // 2)
        )
        tell("trace", "matfree", jax.jit(lambda: left_out(operator, key)), whole)
        each = funm.monte_carlo_funm_sym(funm.dense_funm_sym_eigh(jnp.square), decomp.tridiag_sym(40))
        mean = stochtrace.estimator_monte_carlo_mean_and_sem(each, normal(num=10))
        tell("density", "matfree", jax.jit(lambda: mean(operator, key)), square)
    if torch:
        weights = {f"w{i}": layer.weight for i, layer in enumerate(net.layers)}
        weights |= {f"b{i}": layer.bias for i, layer in enumerate(net.layers)}
        found = asked(torch, THEIRS, x=x, y=y, **weights)
        goal = max(lines["top"][0][2], 1e-6)
        errors = [(spent, abs(value / top - 1)) for spent, value in found["top"]]
        spent, error = next((pair for pair in errors if pair[1] <= goal), errors[-1])
        lines["top"].append(("PyHessian", Times(0.0, [spent], None), error))
        for what, truth, scale in (("trace", whole, 1), ("density", square, size)):
            spent, value, error = found[what]
            print(f"  PyHessian's {what}: {scale * value / truth - 1:+.1e} off")
            lines[what].append(("PyHessian", Times(0.0, [spent], None), scale * error / truth))
    for what, rows in lines.items():
        names = ["lab" if who == "ours" else who for who, _, _ in rows]
        errors = {f"error_{name}": error for name, (_, _, error) in zip(names, rows, strict=True)}
        times = {name: spent for name, (_, spent, _) in zip(names, rows, strict=True)}
        report.row({"problem": what, "parameters": size}, times, **errors)
        ours, goal = rows[0][1].median, rows[0][2]
        for who, measured, error in rows:
            spent = measured.median
            told = f"{what:8} {who:10} {1000 * spent:8.1f} ms, relative error {error:.1e}"
            if who != "ours":
                told += f", {spent / ours:.1f} times ours"
                if what != "top" and error > goal:  # of a mean over probes the error falls with the root of the time
                    told += f"; {spent / ours * (error / goal) ** 2:.0f} times at our error"
            print(told, flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    given = options(__doc__, argv, whole=False, torch="", share=20)
    start()
    report = Report("stability", given)
    torch = given.torch if report.runs("PyHessian", given.torch, "torch", "pyhessian") else ""
    report.has("matfree", "matfree")
    hessians(torch, report)
    sweep(given.whole, torch, given.share, report)
    report.end()


if __name__ == "__main__":
    main()
