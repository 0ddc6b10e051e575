"""A study whose picture moves, for the tests of the player: two clouds that turn about the origin."""

from typing import ClassVar

import jax.numpy as jnp
import numpy as np

import lab.studies.draw as draw
from lab.studies import DataSource, Paper, Picture, Pictures, Real, Result, Study, Whole

_FRAMES = 21


def _cloud(result, frame):
    panels = {}
    for number, name in enumerate(("slow", "fast")):
        paths = result.paths.values[number]
        tails = paths[max(0, frame - 5) : frame + 1, :40]
        density = np.histogram2d(*paths[frame].T[::-1], bins=24, range=[[-3, 3], [-3, 3]])[0]
        panels[name] = draw.Panel(paths[frame], tails, density)
    return draw.particles(panels, (-3, 3), (-3, 3), note=f"t = {float(result.t[frame]):.2f}")


class Drifting(Study):
    slug = "drifting"
    title = "Drifting"
    field = "Tests"
    paper = Paper("Nobody", "On turning", "Tests", 2026)
    about = "Two clouds turn. Move the speed. Look at the tails."
    kind = "transport"

    data = DataSource("gaussians-2d", doc="unused")
    speed = Real(1.0, bounds=(0, 3), label="speed", doc="turns in all")
    particles = Whole(2000, bounds=(1, 5000), label="particles", doc="in each cloud", traced=False)

    dims: ClassVar = {"cloud": ("cloud", ""), "t": ("time", ""), "particle": ("particle", ""), "axis": ("axis", "")}
    results = (Result("paths", ("cloud", "t", "particle", "axis"), "position", "where each particle is"),)
    pictures = Pictures(Picture("cloud", "Clouds", "They turn about the origin.", _cloud, plays="t"))

    @staticmethod
    def compute(inputs, p, loop, warm=None):
        rng = np.random.default_rng(0)
        start = jnp.asarray(rng.normal(size=(p.particles, 2)) * 0.4 + np.array([1.5, 0]))
        angle = jnp.linspace(0, 2 * jnp.pi * p.speed, _FRAMES)[None, :] * jnp.array([[0.5], [1.0]])
        c, s = jnp.cos(angle), jnp.sin(angle)
        turn = jnp.stack([jnp.stack([c, -s], -1), jnp.stack([s, c], -1)], -2)
        return {"paths": jnp.einsum("ctij,pj->ctpi", turn, start)}

    @classmethod
    def coords(cls, data, inputs, p, output):
        return {"t": np.linspace(0, 1, _FRAMES), "cloud": ["slow", "fast"]}
