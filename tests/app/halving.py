"""A study small enough to be checked by hand: Newton's square root, on the masses of a transport problem."""

from typing import ClassVar

import jax.numpy as jnp

import lab.studies.draw as draw
from lab.studies import (
    Choice,
    Claim,
    DataSource,
    Paper,
    Picture,
    Pictures,
    Preset,
    Real,
    Result,
    Study,
    Switch,
    Whole,
)


class Halving(Study):
    slug = "halving"
    title = "Square roots by halving"
    field = "Arithmetic"
    paper = Paper("Heron, Archytas, Poincaré", "Metrica", "Alexandria", 60)
    about = "Newton's iteration for a square root. Move c and the number of steps. The error squares at every step."
    mathematics = r"""
The root of $c > 0$ is the fixed point of

$$ x_{t+1} = \tfrac{1}{2}\Bigl(x_t + \frac{c}{x_t}\Bigr), \qquad
   |x_{t+1} - \sqrt{c}| \le \frac{(x_t - \sqrt c)^2}{2 x_t}. $$

- It *converges* from every $x_0 > 0$.
"""
    kind = "transport"
    results = (
        Result("root", (), "root", "the last iterate", headline=True),
        Result("history", ("step",), "iterate", "all iterates"),
        Result("mass", ("source",), "mass", "the masses of the sources"),
    )
    dims: ClassVar = {"step": ("step", ""), "source": ("source", "")}

    data = DataSource("bump-to-bump", doc="masses; only passed through")
    c = Real(2.0, bounds=(0, 100), inclusive_bounds=(False, True), symbol="c", doc="the number under the root")
    steps = Whole(6, bounds=(1, 50), symbol="n", traced=False, doc="iterations")
    start = Choice(["one", "c"], doc="where to start", group="more")
    loud = Switch(False, doc="has no effect", group="more")

    pictures = Pictures(
        Picture(
            "never", "Never", "does not apply", lambda r: None, where=lambda r: "it is only there to be passed over"
        ),
        Picture(
            "iterates",
            "Iterates",
            "each step halves the way",
            lambda r: draw.plot(draw.curve(r.step, r.history), xlabel="step", ylabel="x"),
        ),
        Picture(
            "roots",
            "Roots",
            "the root against c",
            lambda r: draw.plot(draw.curve(r.c, r.root), xlabel="c", ylabel="root"),
            along=lambda study, data: {"c": [1.0, 2.0, 4.0]},
            also=("root",),
        ),
    )
    presets = (Preset("nine", "Root of nine", "a whole root", {"c": 9.0}),)
    claims = (
        Claim(
            "two",
            "Six steps give the root of two.",
            lambda runs: runs().root,
            2**0.5,
            "closed form",
            tolerance=1e-12,
            relative=True,
        ),
        Claim("nine", "The root of nine is three.", lambda runs: runs(c=9.0).root, 3.0, "closed form", tolerance=1e-4),
        Claim(
            "bound",
            "The iterates never fall below the root.",
            lambda runs: runs().history[1:].min(),
            2**0.5,
            "arithmetic and geometric mean",
            relation=">=",
            tolerance=1e-12,
        ),
        Claim(
            "one step",
            "One step from one is enough.",
            lambda runs: runs(steps=1).root,
            2**0.5,
            "folklore",
            tolerance=1e-3,
            should_hold=False,
            note="One step gives 3/2; the error is squared only from there on.",
        ),
        Claim(
            "long",
            "Fifty steps do no harm.",
            lambda runs: runs(steps=50).root,
            2**0.5,
            "closed form",
            tolerance=1e-12,
            quick=False,
        ),
    )

    @staticmethod
    def compute(inputs, p, loop, warm=None):
        x = jnp.asarray(1.0 if p.start == "one" else p.c)
        history = [x]
        for _ in range(p.steps):
            x = (x + p.c / x) / 2
            history.append(x)
        return {"root": x, "history": jnp.stack(history), "mass": inputs["a"]}
