"""A sketch of a study that shows surfaces: a sphere and a torus with a field, and a point that is marked on both."""

import jax.numpy as jnp
import numpy as np

from lab.datasets.registry import register
from lab.studies import DataSource, Paper, Picture, Pictures, Preset, Result, Study, Switch, Whole, draw


@register(name="two-shapes", title="A sphere and a torus", summary="Grids of two angles.", options={"n": (24, (6, 64))})
def two_shapes(n):
    u, v = np.meshgrid(2 * np.pi * np.arange(n) / n, 2 * np.pi * np.arange(n) / n, indexing="ij")
    ring = np.stack([(1 + 0.4 * np.cos(v)) * np.cos(u), (1 + 0.4 * np.cos(v)) * np.sin(u), 0.4 * np.sin(v)], axis=2)
    polar = np.pi * np.arange(n) / (n - 1)
    ball = np.stack([np.sin(polar) * np.cos(u), np.sin(polar) * np.sin(u), np.cos(polar) + 0 * u], axis=2)
    even = np.full(n * n, 1 / n**2)
    return {"arrays": {"x": ball.reshape(-1, 3), "y": ring.reshape(-1, 3), "a": even, "b": even}}


def grid_faces(n: int, closed: bool) -> np.ndarray:
    """The triangles of a grid (n, n) that is closed along its first axis, and along the second if ``closed``."""
    i, j = np.meshgrid(np.arange(n), np.arange(n if closed else n - 1), indexing="ij")
    a, b, c, d = (((i + down) % n * n + (j + right) % n).ravel() for down, right in ((0, 0), (1, 0), (1, 1), (0, 1)))
    return np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])


def bodies(result) -> dict[str, draw.Body]:
    n, marks = round(result.sizes["vertex"] ** 0.5), [int(result.marked)]
    return {
        "sphere": draw.Body(result.x, grid_faces(n, closed=False)[:, ::-1], result.wave.values, marks),
        "torus": draw.Body(result.y, grid_faces(n, closed=True), result.wave.values, marks),
    }


def clicked(result, x, y):
    hit = draw.vertex_at(bodies(result), x, y)
    return {"point": hit.vertex} if hit else {}


class TwoShapes(Study):
    """Waves on two shapes."""

    slug, title, field, kind = "two-shapes", "Waves on two shapes", "Tests", "transport"
    paper = Paper("Nobody", "On shapes", "TEST", 2024)
    about = "A wave runs round two shapes. Drag to turn them; click a point of one to see its image on the other."
    data_options = ("n",)
    dims = {"vertex": ("vertex", ""), "axis": ("axis", "")}  # noqa: RUF012
    data = DataSource("two-shapes", doc="a named data set")
    n = Whole(24, bounds=(6, 64), doc="angles on each circle")
    waves = Whole(3, bounds=(0, 12), symbol="k", doc="waves round the axis")
    point = Whole(10, bounds=(0, 4095), doc="the vertex that is marked")
    size = Switch(False, doc="show the size of the wave alone")
    results = (
        Result("wave", ("vertex",), "height of the wave", "at each vertex"),
        Result("x", ("vertex", "axis"), "x", "vertices of the sphere"),
        Result("y", ("vertex", "axis"), "y", "vertices of the torus"),
        Result("marked", (), "vertex", "that is marked"),
    )

    @classmethod
    def prepare(cls, data):
        return {name: jnp.asarray(data.arrays[name]) for name in ("x", "y")}

    @staticmethod
    def compute(inputs, p, loop, warm=None):
        wave = jnp.cos(p.waves * jnp.arctan2(inputs["y"][:, 1], inputs["y"][:, 0]))
        return {"wave": jnp.abs(wave) if p.size else wave, **inputs, "marked": p.point % len(wave)}

    pictures = Pictures(
        Picture("shapes", "Both shapes", "drag to turn them; click to mark a point on both", lambda result: draw.surfaces(
            bodies(result), signed=bool((result.wave < 0).any()), clabel="height of the wave",
            note=f"vertex {int(result.marked)}"), turns=(30, 25), clicks=clicked),
        Picture("profile", "The wave", "along the vertices", lambda result: draw.plot(
            draw.curve(result.vertex, result.wave), xlabel="vertex", ylabel="height")),
    )
    presets = (Preset("many", "Many waves", "The field is of high frequency.", {"waves": 9}),)
