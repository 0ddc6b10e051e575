r"""An expressway for samplers: one jump by optimal transport from noise to noised data, then the last few steps (DPM-OT).

With times $t_0 > \dots > t_N$ and k steps kept, the targets are stored data at the level where these steps begin,

$$ y_i = a\,x_i + s\,z_i, \qquad (a, s) \text{ at } t_{N-k}, $$

$T = \nabla \max_i \langle \cdot, y_i \rangle + h_i$ carries the source to them (``lab.ot.semidiscrete``), any sampler of this
field does the last k steps, and one more question to the denoiser ends them. k = N is that sampler, started at noised data;
with k = 0 the ends are denoised targets. The map is piecewise constant: it jumps between modes rather than pass between them.
But what it jumps to is stored: few steps add little, and the ends are the stored data all but again. ``memory`` tells.

**How far the ends are off.** If the kernel of step n is Lipschitz in $W_2$ with a constant $L_n$,

$$ W_2(\text{ends}, p) \le \prod_n L_n\,\bigl[ \mathrm{diam}(Y) \sqrt{TV(w, \nu)} + W_2(\hat\nu, p_{t_{N-k}}) \bigr]
   + \text{what the steps miss}: $$

the first term is the map's and falls with more points of the source, the second is that of m samples, $m^{-1/d}$, and stays.

Source: Li, Li, Wang, Lei, Luo, Gu, *DPM-OT: A New Diffusion Probabilistic Model Based on Optimal Transport*, ICCV 2023.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from lab.diffusion.predictions import Prediction
from lab.diffusion.samplers import Langevin
from lab.diffusion.schedules import Noise
from lab.diffusion.walk import Sampler, Step, knots
from lab.numerics import random
from lab.numerics.arguments import real, whole
from lab.numerics.differentiation import refuse_derivative
from lab.numerics.jit import jit
from lab.numerics.neighbours import nearest
from lab.ot import singular
from lab.paths.schedules import known

_JUMPS = "the map of the expressway is piecewise constant in {}: it has no derivative there; differentiate y or times"
_NEAR = 1 / 3  # a sample is a copy where its nearest point is closer than this share of the distance of the next


@jit
def targets(
    noise: Noise, times: Float[Array, " times"], k: Any, x: Float[Array, "m d"], key: PRNGKeyArray
) -> Float[Array, "m d"]:
    """Stored data at the level where the last k steps begin.

    Args:
        times: (N + 1,) falling.
        k: from 0 to N; may be traced.

    Raises:
        ValueError: k outside.
    """
    _check(times, k)
    level = noise(times[times.shape[0] - 1 - k])
    return level.a * x + level.s * random.normal(key, x.shape, x.dtype)


def _check(times: Array, k: Any) -> None:
    steps = times.shape[0] - 1
    if known(k):
        whole("k", np.asarray(k).item() if np.ndim(k) == 0 else k, 0, steps)


class Driven(NamedTuple):
    """Points after some steps, and on their way."""

    end: Float[Array, "n d"]  # denoised
    path: Float[
        Array, "times shown d"
    ]  # at each time; before the first step the start, after the last one where it led
    evaluations: Int[Array, ""]  # of the prediction


@jit
def drive(
    predict: Prediction,
    noise: Noise,
    times: Float[Array, " times"],
    x: Float[Array, "n d"],
    sampler: Sampler,
    key: PRNGKeyArray,
    first: Any = 0,
    last: Any = None,
    shown: int = 0,
) -> Driven:
    """The steps from number ``first`` on, and the denoised end: numbers of steps may be traced, and others cost nothing.

    Args:
        times: (N + 1,) falling.
        x: (n, d), at the level of ``times[first]``.
        first, last: the first step, and the one before which it ends; 0 and N when omitted.
        shown: of how many points the way is kept.
    """
    steps = times.shape[0] - 1
    last = steps if last is None else last
    at, middles = knots(noise, times, x.dtype)

    def one(number, carry):
        x, memory, path = carry
        now, later = (jax.tree.map(lambda each, place=place: each[place], at) for place in (number, number + 1))
        middle = jax.tree.map(lambda each: each[number], middles)
        # a sampler with memory begins where it is let in
        step = Step(now, middle, later, number - first, jnp.asarray(last - first), jax.random.fold_in(key, number))
        moved = sampler(predict, step, x, memory)
        x = jnp.asarray(moved.x, x.dtype)
        return x, moved.memory, path.at[number + 1].set(x[:shown]) if shown else path

    path = jnp.broadcast_to(x[None, :shown], (steps + 1, *x[:shown].shape))
    x, _, path = jax.lax.fori_loop(first, last, one, (x, sampler.begin(x), path))
    path = jnp.where((jnp.arange(steps + 1) > last)[:, None, None], x[None, :shown], path)
    level = jax.tree.map(lambda each: each[last], at).level
    count = jnp.asarray(last - first) * sampler.evaluations + 1
    return Driven(predict(x, level.a, level.s), path, count)


class Expressed(NamedTuple):
    """Ends of the expressway, and where they came through."""

    end: Float[Array, "n d"]
    path: Float[Array, "times shown d"]
    evaluations: Int[Array, ""]
    index: Int[Array, " n"]  # of the target that each jumped to
    other: Int[Array, " n"]  # of the next best cell
    angle: Float[Array, " n"]  # between the two, in radians
    singular: Bool[Array, " n"]
    kept: Float[Array, ""]  # share of starts that were not rejected
    start: Float[Array, "n d"]


def expressway(
    predict: Prediction,
    noise: Noise,
    times: ArrayLike | Sequence,
    k: Any,
    y: ArrayLike | Sequence,
    heights: ArrayLike | Sequence,
    z: ArrayLike | Sequence,
    sampler: Sampler = Langevin(),  # noqa: B008 - a constant
    *,
    key: PRNGKeyArray,
    n: int | None = None,
    threshold: Any = jnp.inf,
    relative: bool = True,
    extend: str = "none",
    reject: bool = False,
    centres: ArrayLike | Sequence | None = None,
    shown: int = 0,
) -> Expressed:
    r"""Jump by the semi-discrete optimal map, then the last k steps of a sampler, and one more question to the denoiser.

    $$ y_i = a\,x_i + s\,z_i, \qquad T = \nabla \max_i \langle \cdot, y_i \rangle + h_i $$

    Args:
        predict: the mean of the data, a ``Prediction``.
        noise: the schedule.
        times: (N + 1,) falling.
        k: steps that are kept, from 0 to N; may be traced.
        y: (m, d) targets at the level where they begin.
        heights: (m,), balanced for the law that z is drawn from.
        z: (n, d) points of the source.
        sampler: of the last steps.
        key: of what the jump and the sampler draw.
        n: how many are carried on, of the z; all when omitted. Where some are rejected, the first n of the others.
        threshold: as for ``lab.ot.singular.jump``.
        relative: as for ``lab.ot.singular.jump``.
        extend: as for ``lab.ot.singular.jump``.
        reject: leave out what is singular; if too few are left, singular ones fill up.
        centres: as for ``lab.ot.singular.jump``.
        shown: of how many points the way is kept.

    Returns:
        an ``Expressed``: ends (n, d), the way of some, evaluations, and where each jumped to. Differentiable in the targets
        and times, and with ``extend`` in z and centres. The map jumps in heights, threshold and, without it, z: their
        derivatives raise an error.

    Raises:
        ValueError: k outside, or heights, z or centres that do not fit the targets.

    Source:
        Li, Li, Wang, Lei, Luo, Gu, DPM-OT: A New Diffusion Probabilistic Model Based on Optimal Transport, ICCV 2023.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from lab import diffusion
        >>> from lab.numerics.mixtures import standard
        >>> vp, law = diffusion.noise("vp"), diffusion.Exact(standard(1))
        >>> y, z, key = jnp.array([[-1.0], [1.0]]), jnp.array([[0.3], [-2.0]]), jax.random.key(0)
        >>> found = diffusion.expressway.expressway(law, vp, diffusion.grid(vp, 10), 0, y, jnp.zeros(2), z, key=key)
        >>> found.index.tolist(), int(found.evaluations)  # by the sign
        ([1, 0], 1)
    """
    times = real("times", times, ("times",))
    _check(times, k)
    y = real("y", y, ("m", "d"))
    z = real("z", z, ("n", y.shape[1]))
    heights = real("heights", heights, (y.shape[0],))
    centres = None if centres is None else real("centres", centres, y.shape)
    n = z.shape[0] if n is None else whole("n", n, 1, z.shape[0])
    shown = whole("shown", shown, 0)
    heights = refuse_derivative(heights, _JUMPS.format("heights"))
    threshold = refuse_derivative(threshold, _JUMPS.format("threshold"))
    if extend != "mass-centre":
        z = refuse_derivative(z, _JUMPS.format("z"))
    return _expressway(
        predict, noise, times, k, y, heights, z, sampler, key, n, threshold, relative, extend, reject, centres, shown
    )


@jit
def _expressway(
    predict: Prediction,
    noise: Noise,
    times: Array,
    k: Any,
    y: Array,
    heights: Array,
    z: Array,
    sampler: Sampler,
    key: PRNGKeyArray,
    n: int,
    threshold: Any,
    relative: bool,
    extend: str,
    reject: bool,
    centres: Array | None,
    shown: int,
) -> Expressed:
    first, second = jax.random.split(key)
    found = singular.jump(heights, y, z, threshold, extend=extend, relative=relative, centres=centres, key=first)
    off = found.singular & reject
    order = jnp.argsort(off, stable=True)[:n]  # those that are kept first, as they were drawn
    x, index, other, angle, beyond = (each[order] for each in found)
    begin = times.shape[0] - 1 - k
    driven = drive(predict, noise, times, x, sampler, second, begin, shown=shown)
    return Expressed(*driven, index, other, angle, beyond, 1 - off.astype(z.dtype).mean(), z[order])


class Memory(NamedTuple):
    """How near samples are to stored points."""

    distance: Float[Array, ""]  # mean, to the nearest stored point
    copies: Float[Array, ""]  # share of samples that are three times as near to one as to any other
    nearest: Int[Array, " n"]


@jit
def memory(x: Float[Array, "n d"], stored: Float[Array, "m d"]) -> Memory:
    """Mean distance to the nearest stored point, and the share of copies.

    Fresh data have a distance too: compare with theirs.
    """
    found = nearest(x, stored, min(2, stored.shape[0]))
    near, next_ = found.distance[:, 0], found.distance[:, -1]
    return Memory(near.mean(), (near < _NEAR * next_).astype(x.dtype).mean(), found.index[:, 0])


def counts(steps: int) -> tuple[int, ...]:
    """Numbers of kept steps to compare: 1, 2, 5, 10, 20, 50, ... up to all."""
    usual = [number * 10**power for power in range(int(np.log10(steps)) + 1) for number in (1, 2, 5)]
    return (*(each for each in usual if each < steps), steps)
