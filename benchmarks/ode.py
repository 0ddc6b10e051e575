"""Our adaptive Tsit5 beside diffrax's, same controller, tolerance and first step: a stiff field, and a network on a batch.

What is solved alone, and with the slope of the solution; ours tells error and stiffness of every step beside. Seconds are
medians of turns that go back and forth between the two; the first call, which compiles, is apart.

    python -m benchmarks.ode [--repeats 15] [--mu 60] [--batch 250] [--train]

``--train`` adds seconds of 120 steps of training by each term, and of a prediction after them.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from lab import ode
from lab.datasets import packaged
from lab.home import start
from lab.numerics import Chunked
from lab.ode import fields, learning

TOLERANCE, FIRST = 1e-6, 0.01


def turns(ways: dict[str, Callable[[], Any]], repeats: int) -> dict[str, tuple[float, float]]:
    """Seconds of the first call, and the median of those that follow, of each."""
    first, spent = {}, {name: [] for name in ways}
    for name, run in ways.items():
        began = time.perf_counter()
        jax.block_until_ready(run())
        first[name] = time.perf_counter() - began
    for _ in range(repeats):
        for name, run in ways.items():
            began = time.perf_counter()
            jax.block_until_ready(run())
            spent[name].append(time.perf_counter() - began)
    return {name: (first[name], statistics.median(times)) for name, times in spent.items()}


def compared(title: str, field: Any, y0: jax.Array, t1: float, max_steps: int, repeats: int) -> None:
    """Print both on one field, a pytree called at (t, y)."""

    def ours(field: Any, y0: jax.Array) -> tuple:
        found = ode.solve(
            field, y0, 0.0, t1, rtol=TOLERANCE, atol=TOLERANCE, h0=FIRST, max_steps=max_steps, throw=False
        )
        return found.y, found.accepted + found.rejected, found.told

    def theirs(field: Any, y0: jax.Array) -> tuple:
        found = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, y, field: field(t, y)),
            diffrax.Tsit5(),
            0.0,
            t1,
            FIRST,
            y0,
            field,
            stepsize_controller=diffrax.PIDController(rtol=TOLERANCE, atol=TOLERANCE),
            max_steps=max_steps,
        )
        return found.ys[-1], found.stats["num_steps"]

    def slope(solver: Callable) -> Callable:
        return jax.jit(jax.grad(lambda field, y0: (solver(field, y0)[0] ** 2).sum(), allow_int=True))

    alone = {"ours": jax.jit(ours), "diffrax": jax.jit(theirs)}
    steps = {name: int(run(field, y0)[1]) for name, run in alone.items()}
    apart = float(jnp.abs(alone["ours"](field, y0)[0] - alone["diffrax"](field, y0)[0]).max())
    print(f"{title}: {steps['ours']} and {steps['diffrax']} steps, ends {apart:.1e} apart")
    for what, runs in (
        ("solved", {"ours": jax.jit(ours), "diffrax": jax.jit(theirs)}),
        ("with its slope", {"ours": slope(ours), "diffrax": slope(theirs)}),
    ):
        found = turns({name: lambda run=run: run(field, y0) for name, run in runs.items()}, repeats)
        (first, own), (their_first, their) = found["ours"], found["diffrax"]
        print(
            f"  {what}: ours {own * 1e3:.3f} ms, diffrax {their * 1e3:.3f} ms, ratio {own / their:.2f}; "
            f"first calls {first:.1f} and {their_first:.1f} s"
        )


def digits() -> learning.Samples:
    """1500 to train on, 250 to test on."""
    x, classes = packaged.labelled_images("digits")
    order = np.random.default_rng(0).permutation(len(x))
    x, classes = jnp.asarray(x[order] / 16), jnp.asarray(classes[order].astype(np.int32))
    return learning.Samples(x[:1500], classes[:1500], x[1500:1750], classes[1500:1750])


def trainings(samples: learning.Samples) -> None:
    """Seconds by the clock; loops are warm."""
    model = learning.classifier(jax.random.key(0), 64, 32, 10)
    for kind, strength in (("vanilla", 0.0), ("ER", 1.0), ("SR", 1.0), ("ER+SR", 1.0), ("STEER", 0.0), ("Tay2", 0.01)):
        settings = learning.Settings(strength=strength)
        key = jax.random.key(1)
        learning.learn(key, model, samples, settings, kind=kind, steps=6, loop=Chunked())
        began = time.perf_counter()
        found = learning.learn(key, model, samples, settings, kind=kind, steps=120, loop=Chunked())
        spent = time.perf_counter() - began
        looked = learning.look(found.model, samples, TOLERANCE)
        began = time.perf_counter()
        jax.block_until_ready(learning.look(found.model, samples, TOLERANCE))
        seconds = time.perf_counter() - began
        print(
            f"  {kind} {strength:g}: {spent:.1f} s, prediction of all samples in {seconds * 1e3:.0f} ms, "
            f"{float(looked.nfe):.0f} evaluations, {float(looked.accuracy):.3f} right"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--mu", type=float, default=60.0)
    parser.add_argument("--batch", type=int, default=250)
    parser.add_argument("--train", action="store_true")
    given = parser.parse_args()
    start()
    field = fields.field("van-der-pol", given.mu)
    compared(f"van der Pol, mu = {given.mu:g}", field, jnp.array([2.0, 0.0]), 1.0, 256, given.repeats)
    samples = digits()
    model = learning.classifier(jax.random.key(0), 64, 32, 10)
    x = jnp.tile(samples.x, (1 + given.batch // len(samples.x), 1))[: given.batch]
    compared(f"network of 64-32-64 units, batch {given.batch}", model.dynamics, x, 1.0, 64, given.repeats)
    if given.train:
        print("120 steps of training on 1500 digits, 250 a batch:")
        trainings(samples)


if __name__ == "__main__":
    main()
