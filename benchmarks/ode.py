"""Our adaptive Tsit5 beside diffrax's, same controller, tolerance and first step: a stiff field, and a network on a batch.

What is solved alone, and with the slope of the solution; ours tells error and stiffness of every step beside. Seconds are
medians of turns that go back and forth between the two; the first call, which compiles, is apart.

    python -m benchmarks.ode [--repeats 15] [--mu 60] [--batch 250] [--train]

``--train`` adds seconds of 120 steps of training by each term, and of a prediction after them.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.report import Report, clocked, options, turns
from lab import ode
from lab.datasets import packaged
from lab.home import start
from lab.numerics import Chunked
from lab.ode import fields, learning

TOLERANCE, FIRST = 1e-6, 0.01


def compared(title: str, field: Any, y0: jax.Array, t1: float, max_steps: int, repeats: int, report: Report):
    """Print both on one field, a pytree called at (t, y)."""

    def ours(field: Any, y0: jax.Array) -> tuple:
        found = ode.solve(
            field, y0, 0.0, t1, rtol=TOLERANCE, atol=TOLERANCE, h0=FIRST, max_steps=max_steps, throw=False
        )
        return found.y, found.accepted + found.rejected, found.told

    def theirs(field: Any, y0: jax.Array) -> tuple:
        import diffrax

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

    solvers = {"lab": ours} | ({"diffrax": theirs} if report.has("diffrax", "diffrax") else {})
    alone = {name: jax.jit(solver)(field, y0) for name, solver in solvers.items()}
    steps = {name: int(found[1]) for name, found in alone.items()}
    apart = max(float(jnp.abs(found[0] - alone["lab"][0]).max()) for found in alone.values())
    print(f"{title}: {' and '.join(map(str, steps.values()))} steps, ends {apart:.1e} apart")
    for what, prepared in (("solved", jax.jit), ("with its slope", slope)):
        runs = {name: prepared(solver) for name, solver in solvers.items()}
        times = turns({name: lambda run=run: run(field, y0) for name, run in runs.items()}, repeats)
        report.row({"field": title, "task": what}, times, steps=steps, apart=apart)
        for name, each in times.items():
            ratio = each.median / times["lab"].median
            print(f"  {what}: {name} {each.median * 1e3:.3f} ms, ratio {ratio:.2f}; first call {each.first:.1f} s")


def digits() -> learning.Samples:
    """1500 to train on, 250 to test on."""
    x, classes = packaged.labelled_images("digits")
    order = np.random.default_rng(0).permutation(len(x))
    x, classes = jnp.asarray(x[order] / 16), jnp.asarray(classes[order].astype(np.int32))
    return learning.Samples(x[:1500], classes[:1500], x[1500:1750], classes[1500:1750])


def trainings(samples: learning.Samples, report: Report) -> None:
    """Seconds by the clock; loops are warm."""
    model = learning.classifier(jax.random.key(0), 64, 32, 10)
    for kind, strength in (("vanilla", 0.0), ("ER", 1.0), ("SR", 1.0), ("ER+SR", 1.0), ("STEER", 0.0), ("Tay2", 0.01)):
        settings = learning.Settings(strength=strength)
        key = jax.random.key(1)
        learning.learn(key, model, samples, settings, kind=kind, steps=6, loop=Chunked())
        spent, found = clocked(
            lambda key=key, settings=settings, kind=kind: learning.learn(
                key, model, samples, settings, kind=kind, steps=120, loop=Chunked()
            )
        )
        looked = learning.look(found.model, samples, TOLERANCE)
        seconds = clocked(lambda found=found: learning.look(found.model, samples, TOLERANCE))[0]
        report.row({"training": kind, "strength": strength}, {"lab": spent, "lab, prediction": seconds})
        print(
            f"  {kind} {strength:g}: {spent:.1f} s, prediction of all samples in {seconds * 1e3:.0f} ms, "
            f"{float(looked.nfe):.0f} evaluations, {float(looked.accuracy):.3f} right"
        )


def main(argv: list[str] | None = None) -> dict[str, Any]:
    given = options(__doc__, argv, repeats=15, mu=60.0, batch=250, train=False)
    start()
    report = Report("ode", given)
    field = fields.field("van-der-pol", given.mu)
    compared(f"van der Pol, mu = {given.mu:g}", field, jnp.array([2.0, 0.0]), 1.0, 256, given.repeats, report)
    samples = digits()
    model = learning.classifier(jax.random.key(0), 64, 32, 10)
    x = jnp.tile(samples.x, (1 + given.batch // len(samples.x), 1))[: given.batch]
    compared(f"network of 64-32-64 units, batch {given.batch}", model.dynamics, x, 1.0, 64, given.repeats, report)
    if given.train:
        print("120 steps of training on 1500 digits, 250 a batch:")
        trainings(samples, report)
    return report.end()


if __name__ == "__main__":
    main()
