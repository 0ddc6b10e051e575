r"""The flows of several equations side by side, from the same points in the plane, all known without training.

Two sets of potentials. *Quadratic*: wave, heat and Hamilton-Jacobi each take the mean and covariance of a source to those of a
goal by the same Brenier map (``potentials.joined``), and Fokker-Planck relaxes towards the goal; velocities are affine, so
that means, covariances, kinetic energies and $W_2^2$ are exact whatever the law of the source is. *Ripples*: sums of plane
waves, of which wave and heat equation keep the form, and from which Hamilton and Jacobi's equation starts; beside them one
direction for all points, which is what a linear traversal is.

Kinetic energies are $T \int_0^T E|\nabla u|^2 dt$, at least $W_2^2$ between where points start and where they end.
"""

from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from lab.choices import chosen
from lab.numerics import Loop, first_failure, map_rows, random
from lab.numerics.jit import jit
from lab.ot.gaussian import bures
from lab.paths import metrics, potentials
from lab.paths.carry import carry, even
from lab.paths.potentials import Climb, Free, Ripples

type Kind = Literal["quadratic", "ripples"] | str

KINDS = ("quadratic", "ripples")
FLOWS = ("wave", "heat", "Hamilton-Jacobi", "Fokker-Planck", "one direction")
STEPS = 64
FRAMES = 33
COUNTS = (1, 2, 4, 8, 16, 32)
SOLVERS = ("euler", "rk4")
GRAIN = 1 / 2048
"""To what part of the farthest positions that are drawn are rounded."""
SHADES = 1024
"""And heights, as a part of the largest."""
_PROBES = 3  # points beside the particles that tell an affine flow: 0 and the axes
_WAVES = 3
_REACH = 15  # places a side from which a Hopf-Lax minimum is looked for


class Setting(NamedTuple):
    """Where points start, and what the potentials are made of."""

    start: Float[Array, "n 2"]
    mean: Float[Array, " 2"]
    covariance: Float[Array, "2 2"]
    goal: Float[Array, " 2"]
    goal_covariance: Float[Array, "2 2"]
    c: Any  # speed of waves; its square is the diffusivity
    height: Any  # of ripples
    length: Any  # of their waves
    time: Any  # T
    sign: Any  # -1: downhill


class Spread(eqx.Module):
    """The rate at which log densities change along all flows."""

    fields: tuple

    def __call__(self, t: Any, x: Float[Array, "flows n d"], extra: Any) -> Float[Array, "flows n"]:
        return -jnp.stack([field.divergence(t, x[row]) for row, field in enumerate(self.fields)])


class Both(eqx.Module):
    """Keeps points and log densities, to be given to ``carry``."""

    def __call__(self, t: Any, x: Array, extra: Array) -> tuple[Array, Array]:
        return x, extra


class Made(NamedTuple):
    fields: tuple  # of FLOWS
    start: Float[Array, "flows n d"]  # with the probes
    potentials: tuple  # functions of a point and a time, where there are some
    shock: Float[Array, ""]  # when the lines of Hamilton-Jacobi meet
    met: Float[Array, ""]  # share of points whose line has met its neighbours by then


@chosen
@jit
def make(kind: Kind, given: Setting, key: PRNGKeyArray) -> Made:
    """The fields of all flows; those that a kind lacks stand still."""
    dtype, n = given.start.dtype, given.start.shape[0]
    points = jnp.concatenate([given.start, jnp.zeros((1, 2), dtype), jnp.eye(2, dtype=dtype)])
    resting = Free(jnp.zeros_like(points), jnp.zeros((len(points), 2, 2), dtype))
    sign, time = jnp.asarray(given.sign, dtype), jnp.asarray(given.time, dtype)
    if kind == "quadratic":
        joined = potentials.joined(
            given.mean, given.covariance, given.goal, given.goal_covariance, time, jnp.asarray(given.c, dtype)
        )
        precision = jnp.linalg.inv(given.goal_covariance)
        relaxing = potentials.FokkerPlanck(
            given.mean, given.covariance, given.goal, (precision + precision.T) / 2, jnp.ones((), dtype)
        )
        made: tuple = (joined.wave, joined.heat, joined.hamilton_jacobi, relaxing)
        fields = (*(Climb(u, sign) for u in made), resting)
        shock, met = potentials.shock_time(joined.hamilton_jacobi.s), jnp.zeros((), dtype)
    else:
        shapes = ripples(key, given)
        initial = lambda z: shapes["still"](z, 0.0)  # noqa: E731
        velocity = sign * jax.vmap(jax.grad(initial))(points)
        hessian = sign * jax.vmap(jax.hessian(initial))(points)
        first, _ = jax.random.split(key)
        angle = 2 * jnp.pi * random.uniform(first, (), dtype)
        speed = jnp.sqrt((velocity[:n] ** 2).sum(axis=1).mean())
        straight = speed * jnp.stack([jnp.cos(angle), jnp.sin(angle)])
        one = Free(jnp.broadcast_to(straight, points.shape), jnp.zeros_like(hessian))
        made = (shapes["wave"], shapes["heat"], shapes["still"], straight)
        fields = (Climb(shapes["wave"], sign), Climb(shapes["heat"], sign), Free(velocity, hessian), resting, one)
        shock = potentials.shock_time(hessian)
        met = (1 + time * jnp.linalg.eigvalsh(hessian[:n]).min(axis=1) <= 0).mean(dtype=dtype)
    return Made(fields, jnp.broadcast_to(points, (len(FLOWS), *points.shape)), made, shock, met)


def ripples(key: PRNGKeyArray, given: Setting) -> dict[str, Ripples]:
    """The same sum of plane waves of one length, by equation; directions and phases are drawn."""
    dtype = given.start.dtype
    _, second = jax.random.split(key)
    drawn = random.uniform(second, (2, _WAVES), dtype)
    angle = jnp.pi * (jnp.arange(_WAVES, dtype=dtype) + drawn[0] - 0.5) / _WAVES
    length = jnp.asarray(given.length, dtype)
    waves = 2 * jnp.pi / length * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=1)
    heights = jnp.full((_WAVES,), jnp.asarray(given.height, dtype) / _WAVES)
    c, phases = jnp.asarray(given.c, dtype), 2 * jnp.pi * drawn[1]
    return {pde: Ripples(waves, phases, heights, c, pde) for pde in ("wave", "heat", "still")}


@chosen
def experiment(
    loop: Loop,
    kind: Kind,
    given: Setting,
    key: PRNGKeyArray,
    gx: Float[Array, " gx"],
    gy: Float[Array, " gy"],
) -> tuple[dict[str, Any], Any]:
    """Carry points along all flows by RK4, with their log densities, and by few steps of Euler and RK4 too.

    Args:
        gx, gy: where potentials are looked at.

    Returns:
        variables by name, NaN of flows that the kind lacks, and the reason.
    """
    made, times, grids, density = _begun(kind, given, key)
    run = carry(
        loop, made.fields, made.start, times, extra=density, rate=Spread(made.fields), keep=Both(), solver="rk4"
    )
    ends = [
        carry(loop, made.fields, made.start, grids, steps=np.asarray(COUNTS), solver=solver, keep=False).end
        for solver in SOLVERS
    ]
    output, clouds = described(kind, given, made, run.x, times, ends)
    output |= {"height": heights(kind, given, made.potentials, times, gx, gy)}
    compared = run.reason
    if kind == "ripples":
        w2, compared = map_rows(loop, metrics.cloud_distance, clouds)
        output["w2"] = w2
    output |= _summed(kind, output["total"], output["w2"])
    return output, first_failure(run.reason, compared)


@jit
def _begun(kind: str, given: Setting, key: PRNGKeyArray) -> tuple[Made, Array, Array, Array]:
    """What is made, times, grids of few steps, and log densities to begin with."""
    made, dtype = make(kind, given, key), given.start.dtype
    time = jnp.asarray(given.time, dtype)
    grids = time * jnp.stack([jnp.asarray(even(n, max(COUNTS)), dtype) for n in COUNTS])
    return made, time * jnp.linspace(0, 1, STEPS + 1, dtype=dtype), grids, jnp.zeros(made.start.shape[:2], dtype)


@jit
def _summed(kind: str, total: Array, w2: Array) -> dict[str, Array]:
    w2 = jnp.where(jnp.asarray(_there(kind)), w2, jnp.nan)
    told = {f"energy_{name}": total[row] for row, name in enumerate(("wave", "heat", "hj"))}
    told |= {f"ratio_{name}": total[row] / w2[row] for row, name in enumerate(("wave", "heat", "hj"))}
    return told | {"w2": w2, "w2sq": w2[2], "ratio": total / w2}


def _there(kind: str) -> np.ndarray:
    return np.array([True, True, True, kind == "quadratic", kind == "ripples"])


@chosen
@jit
def described(
    kind: Kind, given: Setting, made: Made, seen: tuple[Array, Array], times: Array, ends: list[Array]
) -> tuple[dict[str, Any], Float[Array, "flows 2 n d"]]:
    """Energies, laws, distances and errors of what was carried; and clouds to compare where laws are not affine images."""
    way, density = seen
    n, there = given.start.shape[0], jnp.asarray(_there(kind))
    blank = jnp.where(there, 0.0, jnp.nan).astype(way.dtype)
    velocities = jax.vmap(lambda t, x: jnp.stack([f(t, x[row]) for row, f in enumerate(made.fields)]))(times, way)
    if kind == "quadratic":
        energy = _affine_energy(velocities[:, :, n:], given)
        matrix = jnp.swapaxes(way[-1, :, n + 1 :] - way[-1, :, n : n + 1], 1, 2)
        mean = jnp.einsum("fab,b->fa", matrix, given.mean) + way[-1, :, n]
        covariance = jnp.einsum("fab,bc,fdc->fad", matrix, given.covariance, matrix)
        w2 = jnp.stack(
            [bures(given.mean, given.covariance, *law).squared for law in zip(mean, covariance, strict=True)]
        )
        truth = jnp.stack([made.potentials[row].flow(given.time)(way[0, row]) for row in range(3)])
        gap = jnp.where(jnp.asarray(given.sign) > 0, jnp.abs(way[-1, :3] - truth).max(), jnp.nan)
    else:
        energy = (velocities[:, :, :n] ** 2).sum(axis=3).mean(axis=2)
        w2, gap = jnp.zeros(len(FLOWS), way.dtype), jnp.nan
    total = jnp.asarray(given.time) ** 2 * _simpson(energy)
    every = STEPS // (FRAMES - 1)
    # where lines have met, there is no density of Hamilton and Jacobi's flow
    met = (
        (times[:, None] >= made.shock)
        & (jnp.arange(len(FLOWS)) == FLOWS.index("Hamilton-Jacobi"))[None]
        & (kind == "ripples")
    )
    errors = jnp.sqrt(((jnp.stack(ends)[..., :n, :] - way[-1, None, None, :, :n]) ** 2).sum(axis=4).mean(axis=3))
    output = {
        "energy": (energy + blank[None])[::every].T,
        "total": total + blank,
        "w2": w2 + blank,
        "paths": steady(
            jnp.swapaxes((way[:, :, :n] + blank[None, :, None, None])[::every], 0, 1),
            GRAIN * jnp.abs(way[:, :, :n]).max(),
        ),
        "log_density": (jnp.where(met, jnp.nan, density[:, :, :n].mean(axis=2)) + blank[None])[::every].T,
        "gap": gap,
        "ends_apart": jnp.abs(way[-1, :3] - way[-1, 2][None]).max(),
        "shock": made.shock,
        "met": made.met,
        "step_error": errors + blank[None, None],
    }
    return output, jnp.stack([way[0, :, :n], way[-1, :, :n]], axis=1)


def _affine_energy(velocities: Float[Array, "times flows probes d"], given: Setting) -> Float[Array, "times flows"]:
    r"""$E|V z + v_0|^2$ of the law of the start, from the velocities of the points that began at 0 and on the axes."""
    origin = velocities[:, :, 0]
    matrix = jnp.swapaxes(velocities[:, :, 1:] - origin[:, :, None], 2, 3)
    middle = jnp.einsum("tfab,b->tfa", matrix, given.mean) + origin
    return (middle**2).sum(axis=2) + jnp.einsum("tfab,bc,tfac->tf", matrix, given.covariance, matrix)


def _simpson(values: Float[Array, "times flows"]) -> Float[Array, " flows"]:
    """The mean over equal steps, of order 4."""
    weights = np.full(values.shape[0], 2.0)
    weights[1::2], weights[0], weights[-1] = 4.0, 1.0, 1.0
    return jnp.asarray(weights / weights.sum(), values.dtype) @ values


@chosen
@jit
def heights(
    kind: Kind, given: Setting, made: tuple, times: Float[Array, " steps"], gx: Array, gy: Array
) -> Float[Array, "flows times gy gx"]:
    """The potentials over the plane, at ``FRAMES`` times; of Hamilton-Jacobi from ripples by Hopf and Lax, beyond shocks."""
    dtype, times = given.start.dtype, times[:: STEPS // (FRAMES - 1)]
    plane = jnp.stack(jnp.meshgrid(gx, gy), axis=-1).reshape(-1, 2)

    def over(u: Any) -> Array:
        return jax.vmap(lambda t: jax.vmap(lambda z: u(z, t))(plane))(times)

    nothing = jnp.full((len(times), len(plane)), jnp.nan, dtype)
    if kind == "quadratic":
        seen = [*map(over, made), nothing]
    else:
        wave, heat, still, straight = made
        sign = jnp.asarray(given.sign, dtype)
        climbed = lambda z: sign * still(z, 0.0)  # noqa: E731  # downhill, points climb -u
        high = jnp.abs(still.heights).sum()
        steep = high * jnp.sqrt((still.waves**2).sum(axis=1)).max()
        side = jnp.linspace(-1, 1, _REACH, dtype=dtype)
        unit = jnp.stack(jnp.meshgrid(side, side), axis=-1).reshape(-1, 2)

        def at(t: Array) -> Array:
            t = jnp.maximum(t, 1e-3 * jnp.asarray(given.time, dtype))
            reach = jnp.minimum(t * steep, 2 * jnp.sqrt(t * high))  # no least place is farther
            return sign * jax.vmap(lambda z: potentials.hopf_lax(climbed, z, t, reach * unit, 2).value)(plane)

        line = jnp.broadcast_to(plane @ straight, nothing.shape)
        seen = [over(wave), over(heat), jax.lax.map(at, times), nothing, line]
    found = jnp.stack(seen).reshape(len(FLOWS), len(times), len(gy), len(gx))
    peak = jnp.nanmax(jnp.abs(found), axis=(1, 2, 3), keepdims=True)
    return steady(found, jnp.where(peak > 0, peak, 1) / SHADES)


def steady(values: Array, grain: Any) -> Float[Array, "..."]:
    """What is only looked at, in whole multiples of a grain: kept and sent, it takes a third of the bytes."""
    return (jnp.round(values / grain) * grain).astype(jnp.float32)
