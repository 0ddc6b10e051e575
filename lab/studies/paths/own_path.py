"""A study of a probability path of one's own: a schedule or a coupling in, every picture and measure out."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab import paths
from lab.datasets import Data
from lab.numerics import first_failure
from lab.numerics.jit import jit
from lab.numerics.principal import principal_plane
from lab.paths import laws, metrics
from lab.paths.fields import Tilt
from lab.paths.schedules import Schedule
from lab.studies import draw
from lab.studies.contract import Choice, DataSource, Picture, Pictures, Result, Study, Whole
from lab.studies.vocabulary import size
from lab.studies.vocabulary.own import OwnStudy, definition_of, make, name_of

_MOMENTS = np.linspace(0.0, 1.0, 101)
_CURVES = (
    ("alpha", draw.SOURCE, "α, weight of the source"),
    ("beta", draw.TARGET, "β, weight of the data"),
    ("gamma", draw.GOOD, "γ, latent noise"),
)

_MATHEMATICS = r"""
Particles follow $\dot Z_t = b(t, Z_t)$ with the exact velocity $b(t, x) = E[\dot x_t \mid x_t = x]$ of
$x_t = \alpha(t) x_0 + \beta(t) x_1 + \gamma(t) z$: no network, so what one sees is what the path does. Beside it, from the same
particles, the straight path $\alpha = 1 - t$, $\beta = t$.

- **Fit**: $W_2^2$ of the particles at the end and as many fresh samples of the data. Two samples of one law are not at
  distance 0: compare with the floor.
- **Path energy**: $\int E|b(t, Z_t)|^2 dt$, at least $W_2^2$ between source and data where the path ends at the data.
- **Straightness**: $\int E|(Z_1 - Z_0) - \dot Z_t|^2 dt$, 0 where one Euler step is exact.
"""


def path_study(
    title: str, schedule: Schedule | None = None, *, tilt: Tilt | None = None, about: str = "", slug: str = ""
) -> type[Study]:
    r"""A study of a path: its particles beside those of the straight path, its coefficients, fit, energy, straightness.

    The study is known to every face of this process; in a file of one's own it serves ``lab serve my_path.py`` too.

    Args:
        title: what headings say.
        schedule: anything that returns ``Coefficients`` at a time, such as ``paths.Custom(alpha, beta)`` from two functions;
            the straight line when omitted.
        tilt: a coupling as log-weights of pairs, called with a ``Pairing``; for data without latent noise. The straight path
            beside it is of independent pairs.
        about: three sentences for the page.
        slug: its name on the command line; made of the title when omitted.

    >>> from lab import paths, studies
    >>> swift = paths.Custom(lambda t: (1 - t) ** 2, lambda t: 1 - (1 - t) ** 2)
    >>> Swift = studies.path_study("Swift", swift)
    >>> Swift(n=64, steps=4).run().sizes["particle"]
    64
    """
    if schedule is None and tilt is None:
        raise ValueError("a path of one's own needs a schedule, or a coupling as tilt")
    slug = name_of(title, slug)
    chosen = paths.Linear() if schedule is None else schedule
    return make(
        _OwnPath,
        title,
        slug,
        {},
        definition=definition_of(jax.vmap(chosen)(jnp.asarray(_MOMENTS)), tilt),
        about=about
        or f"{title}: particles on an exact probability path. Move the number of steps. Look where they bend.",
        schedule=chosen,
        tilt=staticmethod(tilt) if tilt is not None else None,
    )


class _OwnPath(OwnStudy):
    field = "Probability paths"
    brings = "a path"
    mathematics = _MATHEMATICS
    kind = "samples"
    data_options = ("n", "seed")
    schedule: ClassVar[Any]
    tilt: ClassVar[Any] = None

    data = DataSource("eight-gaussians", doc="a named set of samples, or a file of yours")
    n = Whole(
        500,
        bounds=(2, 2000),
        soft=(50, 2000),
        label="particles",
        symbol="n",
        traced=False,
        doc="how many follow each path, and samples of the data",
    )
    steps = size(20, (1, 1000), (1, 64), label="steps", symbol="K", doc="steps of the solver from source to data")
    solver = Choice(
        ["euler", "heun", "rk4"], label="solver", doc="how a step is taken: 1, 2 or 4 evaluations of the velocity"
    )

    dims: ClassVar = {
        "path": ("path", ""),
        "t": ("time", ""),
        "particle": ("particle", ""),
        "axis": ("axis", ""),
        "moment": ("time", ""),
        "sample": ("sample", ""),
    }
    results = (
        Result("own_fit", (), "fit, W₂²", "squared distance of its end from fresh samples of the data", headline=True),
        Result("straight_fit", (), "straight: W₂²", "the same of the straight path", headline=True),
        Result("floor", (), "floor, W₂²", "of two samples of the data", headline=True),
        Result("own_energy", (), "energy", "of its path", headline=True),
        Result("straight_energy", (), "straight: energy", "of the straight path", headline=True),
        Result("nfe", (), "evaluations", "of the velocity, by each path", headline=True),
        Result("w2sq", ("path",), "fit, W₂²", "squared distance of the end from fresh samples of the data"),
        Result("energy", ("path",), "energy", "mean of the time integral of the squared velocity"),
        Result("energy_error", ("path",), "energy, error", "standard error over particles"),
        Result("straightness", ("path",), "straightness", "0 where each particle moves on a line at one speed"),
        Result("straightness_error", ("path",), "straightness, error", "standard error over particles"),
        Result("speed", ("path", "t"), "mean squared velocity", "over particles, by time"),
        Result("paths", ("path", "t", "particle", "axis"), "position", "of each particle, on two axes at most"),
        Result("x", ("sample", "axis"), "data", "on the same axes"),
        *(Result(name, ("moment",), label, "of the path of your own") for name, _, label in _CURVES),
    )

    def idle(self, name: str) -> str:
        return "" if name == "n" else super().idle(name)  # so many follow the paths on any data

    @classmethod
    def prepare(cls, data: Data) -> dict[str, Any]:
        x = np.asarray(data.arrays["x"], float)
        axes = jnp.asarray(principal_plane(x).axes)
        return {key: jnp.asarray(value) for key, value in data.arrays.items()} | {"axes": axes}

    @classmethod
    def compute(cls, inputs: Any, p: Any, loop: Any, warm: Any = None) -> dict[str, Any]:
        source, target = laws.source_of(inputs), laws.target_of(inputs)
        if cls.tilt is not None:
            target = paths.Empirical(inputs["x"])
        first, second, third = jax.random.split(jax.random.key(p.seed), 3)
        start = source.sample(first, p.n)
        own = paths.exact(cls.schedule, source, target, tilt=cls.tilt)
        ours = paths.ode(own, start, p.steps, solver=p.solver)
        lines = paths.ode(paths.exact(paths.Linear(), source, target), start, grid=ours.t, solver=p.solver)
        fresh, more = target.sample(second, p.n), target.sample(third, p.n)
        reason = first_failure(ours.reason, lines.reason)
        return _measured(cls.schedule, ours, lines, fresh, more, inputs) | {"reason": reason}

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"path": [cls.title, "straight"], "moment": _MOMENTS, "t": np.asarray(output["t"])}


@jit
def _measured(
    schedule: Any, ours: paths.Path, lines: paths.Path, fresh: jax.Array, more: jax.Array, inputs: dict[str, jax.Array]
) -> dict[str, Any]:
    """Everything that is measured and drawn, in one program."""
    both = (ours, lines)
    energy = [metrics.path_energy(path.x, path.t) for path in both]
    bent = [metrics.straightness(path.x, path.t) for path in both]
    fit = [metrics.squared_wasserstein(path.end, fresh) for path in both]
    c = jax.vmap(schedule)(jnp.asarray(_MOMENTS))
    return {
        "own_fit": fit[0],
        "straight_fit": fit[1],
        "floor": metrics.squared_wasserstein(more, fresh),
        "own_energy": energy[0].value,
        "straight_energy": energy[1].value,
        "nfe": ours.nfe,
        "w2sq": jnp.stack(fit),
        "energy": jnp.stack([e.value for e in energy]),
        "energy_error": jnp.stack([e.error for e in energy]),
        "straightness": jnp.stack([b.value for b in bent]),
        "straightness_error": jnp.stack([b.error for b in bent]),
        "speed": jnp.stack([(_known(path) ** 2).sum(axis=2).mean(axis=1) for path in both]),
        "paths": jnp.stack([path.x @ inputs["axes"] for path in both]),
        "x": inputs["x"] @ inputs["axes"],
        "t": ours.t,
        "alpha": c.alpha,
        "beta": c.beta,
        "gamma": c.gamma,
    }


def _known(path: paths.Path) -> jax.Array:
    """The velocities; at a last time without value that of the time before."""
    last = jnp.where(jnp.isfinite(path.velocity[-1]), path.velocity[-1], path.velocity[-2])
    return path.velocity.at[-1].set(last)


# ---- pictures ----------------------------------------------------------------------------------------------------


def _names(result: xr.Dataset) -> list[str]:
    """Of the path of one's own and of the straight one."""
    return [str(name) for name in result.path.values]


def _flat(points: np.ndarray) -> np.ndarray:
    """Points of a line beside each other, each at a height of its own."""
    if points.shape[-1] > 1:
        return points
    height = np.random.default_rng(0).uniform(-1, 1, points.shape[-2])
    return np.concatenate([points, np.broadcast_to(height[:, None], points.shape)], axis=-1)


def _clouds(result: xr.Dataset, frame: int) -> Any:
    ways = dict(zip(_names(result), _flat(result.paths.values), strict=True))
    note = f"t = {float(result.t[frame]):.2f}"
    return draw.film(ways, frame, goals=_flat(result.x.values)[:1000], tails=60, age=13, note=note, height=380)


def _coefficients(result: xr.Dataset) -> Any:
    lines = [draw.curve(result.moment, result[name], name, color=color) for name, color, _ in _CURVES]
    return draw.plot(*lines, xlabel="time", ylabel="coefficient", ylim=(0, None))


def _speed(result: xr.Dataset) -> Any:
    own, straight = _names(result)
    return draw.plot(
        draw.curve(result.t, result.speed[0], own),
        draw.curve(result.t, result.speed[1], straight, color=draw.MUTED),
        xlabel="time",
        ylabel="mean squared velocity",
        ylim=(0, None),
    )


def _fit(result: xr.Dataset) -> Any:
    own, straight = _names(result)
    lines = {own: result.w2sq.isel(path=0), straight: result.w2sq.isel(path=1)}
    colors, levels = {straight: draw.MUTED}, {"two samples": float(result.floor.mean())}
    return draw.over(result.steps, lines, levels=levels, colors=colors, ylabel="W₂² to the data", logy=True)


_OwnPath.pictures = Pictures(
    Picture(
        "particles",
        "Particles on their way",
        "Blue: particles from the source, orange: the data. Yours and the straight "
        "path, from the same particles at the same times.",
        _clouds,
        plays="t",
    ),
    Picture(
        "coefficients", "The schedule", "What of the source and of the data is in the mix, by time.", _coefficients
    ),
    Picture("speed", "Energy by time", "The area under a curve is the energy of the path.", _speed),
    Picture(
        "fit",
        "Fit against steps",
        "Few steps suffice where particles move straight.",
        _fit,
        along={"steps": (1, 2, 4, 8, 16, 32)},
        needs=("w2sq", "floor"),
    ),
)
