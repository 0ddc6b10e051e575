r"""Traffic of drivers of known kind on a straight road: the intelligent driver model along it, MOBIL across it.

$$ a = a_0 \left[ 1 - \left(\frac{v}{v_0}\right)^4 - \left(\frac{g^*}{g}\right)^2 \right], \qquad
   g^* = g_0 + \tau v + \frac{v\, \Delta v}{2 \sqrt{a_0 b}} $$

with the gap g from centre to centre. Once in a second a driver looks at the lanes beside, and changes where it would accelerate
more, less a share (politeness) of what its followers lose, and the new follower need not brake hard. All is as in highway-env
1.12 (Leurent, MIT licence), vehicle by vehicle: positions agree to rounding errors. Two things are left out: crashes, of which
``closest`` tells, and the end of the road.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from lab.numerics.arguments import real, whole
from lab.numerics.differentiation import needs_values
from lab.numerics.host import placed
from lab.numerics.jit import jit

LANES, LANE_WIDTH, LENGTH = 4, 4.0, 5.0  # lanes and vehicles, m
SPEED_LIMIT, MAX_SPEED = 30.0, 40.0  # m/s
ACCELERATION, BRAKING, MAX_ACCELERATION = 3.0, 5.0, 6.0  # a_0, b, m/s^2
JAM_GAP = 5.0 + LENGTH  # g_0, from centre to centre, m
PATIENCE, IMPOSED = 1.0, 2.0  # s between two looks at other lanes; m/s^2 that a new follower may have to brake
STEP = 0.1  # s
_ON = LANE_WIDTH / 2 + 1  # m from the middle of a lane within which a vehicle is in the way there
_HEADING, _LATERAL, _PURSUIT = 0.2, 0.6, 0.1  # s, of the controllers
_STEERING = np.pi / 3


class Drivers(NamedTuple):
    """What each driver wants; n of them."""

    speed: Float[Array, "*r n"]  # m/s
    headway: Float[Array, "*r n"]  # tau, s
    politeness: Float[Array, "*r n"]
    gain: Float[Array, "*r n"]  # m/s^2 for which a lane is changed


class Road(NamedTuple):
    """Where all vehicles are. Lane l is at y = 4 l m."""

    position: Float[Array, "*r n 2"]  # m
    heading: Float[Array, "*r n"]
    speed: Float[Array, "*r n"]  # m/s
    target: Int[Array, "*r n"]  # lane that is driven to
    timer: Float[Array, "*r n"]  # s since other lanes were looked at


PROFILES = {
    -1: (18.0, 2.2, 0.5, 1.0),  # under: slow, keeps its distance, polite
    0: (25.0, 1.5, 0.0, 0.2),
    1: (33.0, 0.8, 0.0, 0.1),  # over
}
"""Wanted speed, headway, politeness and gain by kind of driver."""


class Draw(NamedTuple):
    """A road at its beginning, with who drives on it."""

    road: Road
    drivers: Drivers
    profile: np.ndarray  # (n,) -1, 0, 1


@needs_values(
    "A draw is random, and its shares have no derivative; differentiate simulate in the road and the drivers."
)
def draw(seed: int, agents: int, slow: float = 0.25, fast: float = 0.25) -> Draw:
    """Vehicles in a platoon: lanes alike, gaps of 14 to 24 m in a lane, 25 m/s give or take 0.5, drivers of all kinds.

    A driver is slow, ordinary or fast with the probabilities $(p_-, 1 - p_- - p_+, p_+)$.

    Args:
        seed: of NumPy's generator.
        agents: vehicles.
        slow: share of drivers that are slower than the others.
        fast: share of drivers that are faster.

    Returns:
        the road at its beginning, what each driver wants, and the kind of each: -1, 0 or 1.

    Raises:
        ValueError: fewer than one agent, shares that are none.

    Source:
        Leurent, highway-env (2018), whose vehicles these are.

    Examples:
        >>> from lab import traffic
        >>> begun = traffic.draw(0, 3, slow=0.0, fast=1.0)
        >>> begun.profile.tolist(), begun.road.position.shape
        ([1, 1, 1], (3, 2))
    """
    whole("agents", agents, 1)
    if not (min(slow, fast) >= 0 and slow + fast <= 1):
        raise ValueError(
            f"slow = {slow} and fast = {fast} are no shares: none may be below 0, nor both together above 1"
        )
    rng = np.random.default_rng(seed)
    profile = rng.choice(3, agents, p=[slow, 1 - slow - fast, fast]) - 1
    lane = rng.integers(LANES, size=agents)
    gaps = 14 + rng.uniform(0, 10, agents)
    x = np.zeros(agents)
    for each in range(LANES):
        x[lane == each] = 100 + np.cumsum(gaps[lane == each])
    position = np.stack([x, LANE_WIDTH * lane], axis=1)
    speed = 25 + 0.5 * rng.normal(size=agents)
    return Draw(begin(position, speed), Drivers(*np.array([PROFILES[k] for k in profile], float).T), profile)


@needs_values("Begin with values, and replace position and speed of the road by traced arrays.")
def begin(position: Any, speed: Any) -> Road:
    """Vehicles in the middle of lanes, straight ahead; when each looks at other lanes depends on its position.

    Args:
        position: (n, 2), in m.
        speed: (n,), in m/s.

    Raises:
        ValueError: shapes that do not fit, or values that are not finite.
    """
    real("speed", real("speed", speed), real("position", position, (None, 2)).shape[:1])
    position, speed = np.asarray(position, float), np.asarray(speed, float)
    lane = np.rint(position[:, 1] / LANE_WIDTH).astype(np.int32)
    timer = position.sum(axis=1) * np.pi % PATIENCE
    return Road(*map(placed, (position, np.zeros(len(speed)), speed, lane, timer)))


def idm(
    speed: ArrayLike, wanted: ArrayLike, headway: ArrayLike, gap: ArrayLike, approach: ArrayLike
) -> Float[Array, "*n"]:
    """The acceleration of the intelligent driver model, in m/s^2, not yet limited.

    Args:
        speed, wanted: v and v_0, m/s.
        headway: tau, s.
        gap: g from centre to centre, m; infinite on a free road.
        approach: Delta v, by how much the vehicle is faster than the one before it, m/s.
    """
    v = jnp.asarray(speed)
    wished = JAM_GAP + v * headway + v * approach / (2 * np.sqrt(ACCELERATION * BRAKING))
    free = 1 - (jnp.maximum(v, 0) / jnp.abs(_not_zero(jnp.asarray(wanted)))) ** 4
    return ACCELERATION * free - ACCELERATION * (wished / _not_zero(jnp.asarray(gap))) ** 2


def _not_zero(x: Array) -> Array:
    least = 1e-2
    return jnp.where(jnp.abs(x) > least, x, jnp.where(x >= 0, least, -least))


class _Beside(NamedTuple):
    """For each vehicle and lane who is before and behind it there; n where nobody is."""

    before: Int[Array, "n l"]
    behind: Int[Array, "n l"]


def _beside(position: Array) -> _Beside:
    n, x = len(position), position[:, 0]
    middle = LANE_WIDTH * jnp.arange(LANES)
    on = jnp.abs(position[:, 1, None] - middle[None, :]) <= _ON
    other = ~jnp.eye(n, dtype=bool)
    apart = (x[None, :] - x[:, None])[:, :, None]  # of j from i, in each lane
    counted = other[:, :, None] & on[None, :, :]
    ahead = jnp.where(counted & (apart >= 0), apart, jnp.inf)
    back = jnp.where(counted & (apart < 0), apart, -jnp.inf)
    before = jnp.where(jnp.isfinite(ahead).any(axis=1), ahead.argmin(axis=1), n)
    behind = jnp.where(jnp.isfinite(back).any(axis=1), back.argmax(axis=1), n)
    return _Beside(before, behind)


class _Seen(NamedTuple):
    """All vehicles, and a last one that is nobody."""

    x: Array
    speed: Array
    heading: Array
    wanted: Array


def _seen(road: Road, drivers: Drivers) -> _Seen:
    more = lambda a: jnp.append(a, 0.0)  # noqa: E731
    wanted = jnp.clip(drivers.speed, 0, SPEED_LIMIT)
    return _Seen(more(road.position[:, 0]), more(road.speed), more(road.heading), more(wanted))


def _acceleration(seen: _Seen, headway: Array, who: Array, before: Array) -> Array:
    """Of ``who`` behind ``before``, with the headway of the driver that asks; 0 of nobody."""
    n = len(seen.x) - 1
    v, turned = seen.speed[who], seen.heading[who]
    approach = v - seen.speed[before] * jnp.cos(seen.heading[before] - turned)
    gap = jnp.where(before < n, seen.x[before] - seen.x[who], jnp.inf)
    return jnp.where(who < n, idm(v, seen.wanted[who], headway, gap, approach), 0.0)


def _lane(road: Road) -> Array:
    middle = LANE_WIDTH * jnp.arange(LANES)
    return jnp.abs(road.position[:, 1, None] - middle[None, :]).argmin(axis=1).astype(jnp.int32)


@jit
def accelerations(road: Road, drivers: Drivers) -> Float[Array, " n"]:
    """What each driver does, in m/s^2: by the model in its lane, and in the one it changes to, whichever is less."""
    return _accelerations(road, drivers, _beside(road.position))


def _accelerations(road: Road, drivers: Drivers, beside: _Beside) -> Array:
    who, seen, lane = jnp.arange(len(road.speed)), _seen(road, drivers), _lane(road)
    own = _acceleration(seen, drivers.headway, who, beside.before[who, lane])
    there = _acceleration(seen, drivers.headway, who, beside.before[who, road.target])
    return jnp.clip(jnp.where(lane == road.target, own, jnp.minimum(own, there)), -MAX_ACCELERATION, MAX_ACCELERATION)


@jit
def mobil(road: Road, drivers: Drivers) -> Bool[Array, "n l"]:
    r"""Which lanes each driver would change to, its own included.

    $$ \tilde a - a + p \left( \tilde a_{\mathrm{new}} - a_{\mathrm{new}} + \tilde a_{\mathrm{old}} - a_{\mathrm{old}} \right)
       \ge \Delta a, \qquad \tilde a_{\mathrm{new}} \ge -2\,\mathrm{m/s^2} . $$

    Others are taken to have the headway of who asks, as in highway-env.
    """
    return _mobil(road, drivers, _beside(road.position))


def _mobil(road: Road, drivers: Drivers, beside: _Beside) -> Array:
    n, seen, lane = len(road.speed), _seen(road, drivers), _lane(road)
    one = jnp.arange(n)
    who = jnp.broadcast_to(one[:, None], (n, LANES))
    headway = jnp.broadcast_to(drivers.headway[:, None], (n, LANES))
    before, behind = beside.before, beside.behind
    was_before, was_behind = (jnp.broadcast_to(each[one, lane][:, None], (n, LANES)) for each in beside)
    told = lambda ego, front: _acceleration(seen, headway, ego, front)  # noqa: E731
    imposed = told(behind, who)
    others = imposed - told(behind, before) + told(was_behind, was_before) - told(was_behind, who)
    gained = told(who, before) - told(who, was_before) + drivers.politeness[:, None] * others
    return (imposed >= -IMPOSED) & (gained >= drivers.gain[:, None])


def _targets(road: Road, drivers: Drivers, beside: _Beside) -> tuple[Array, Array]:
    """The lane that each driver heads for now, one after the other, and the timers."""
    n, lane, seen = len(road.speed), _lane(road), _seen(road, drivers)
    would = _mobil(road, drivers, beside)
    one = jnp.arange(n)
    left = (lane > 0) & would[one, jnp.maximum(lane - 1, 0)]
    right = (lane < LANES - 1) & would[one, jnp.minimum(lane + 1, LANES - 1)]
    chosen = jnp.where(right, lane + 1, jnp.where(left, lane - 1, lane))
    changing, looks = lane != road.target, road.timer > PATIENCE
    moves = ~changing & looks & (jnp.abs(road.speed) >= 1)

    def decide(target: Array, i: Array) -> tuple[Array, None]:
        """A change that somebody before it has begun too is given up."""
        gap = seen.x[:-1] - seen.x[i]
        approach = seen.speed[i] - seen.speed[:-1] * jnp.cos(seen.heading[:-1] - seen.heading[i])
        v = seen.speed[i]
        wished = JAM_GAP + v * drivers.headway[i] + v * approach / (2 * np.sqrt(ACCELERATION * BRAKING))
        rival = (one != i) & (lane != target[i]) & (target == target[i]) & (gap > 0) & (gap < wished)
        kept = jnp.where(rival.any(), lane[i], target[i])
        return target.at[i].set(jnp.where(changing[i], kept, jnp.where(moves[i], chosen[i], target[i]))), None

    target, _ = jax.lax.scan(decide, road.target, one)
    return target, jnp.where(~changing & looks, 0.0, road.timer)


def _steering(road: Road) -> Array:
    """Towards the middle of the target lane."""
    speed = _not_zero(road.speed)
    aside = road.position[:, 1] - LANE_WIDTH * road.target
    heading = jnp.clip(_arcsin(-aside / _LATERAL / speed), -np.pi / 4, np.pi / 4)
    turn = (heading - road.heading + np.pi) % (2 * np.pi) - np.pi
    slip = _arcsin(LENGTH / 2 / speed * turn / _HEADING)
    return jnp.clip(jnp.arctan(2 * jnp.tan(slip)), -_STEERING, _STEERING)


def _arcsin(x: Array) -> Array:
    """Of x kept within [-1, 1], with derivative 0 outside."""
    within = jnp.abs(x) < 1
    return jnp.where(within, jnp.arcsin(jnp.where(within, x, 0.0)), jnp.sign(x) * np.pi / 2)


def step(road: Road, drivers: Drivers, dt: ArrayLike = STEP) -> Road:
    """All decide, by what is now, and then all move, for dt seconds, as bicycles do."""
    beside = _beside(road.position)
    target, timer = _targets(road, drivers, beside)
    road = road._replace(target=target, timer=timer)
    a = _accelerations(road, drivers, beside)
    a = jnp.where(road.speed > MAX_SPEED, jnp.minimum(a, MAX_SPEED - road.speed), a)
    slip = jnp.arctan(jnp.tan(_steering(road)) / 2)
    course = road.heading + slip
    moved = (road.speed * dt)[:, None] * jnp.stack([jnp.cos(course), jnp.sin(course)], axis=1)
    return Road(
        road.position + moved,
        road.heading + road.speed * jnp.sin(slip) / (LENGTH / 2) * dt,
        road.speed + a * dt,
        road.target,
        road.timer + dt,
    )


def simulate(road: Road, drivers: Drivers, steps: int, every: int = 1, dt: ArrayLike = STEP) -> Road:
    r"""All roads, before each ``every``-th of so many steps: the first frame is the beginning.

    $$ a = a_0 \left[ 1 - (v / v_0)^4 - (g^* / g)^2 \right], \qquad
       g^* = g_0 + \tau v + \frac{v\, \Delta v}{2 \sqrt{a_0 b}} $$

    Args:
        road: one (n,), or several (r, n).
        drivers: of the same shape.
        steps: of ``dt`` seconds.
        every: steps from a frame to the next.
        dt: s.

    Returns:
        the roads by frame: (frames, n, ...) or (r, frames, n, ...). Differentiable in positions, headings, speeds, the drivers'
        numbers and dt, with the decisions to change lanes held fixed.

    Raises:
        ValueError: counts below 1, a dt that is not above 0, or drivers of another number than the vehicles.

    Source:
        Treiber, Hennecke and Helbing (2000); Kesting, Treiber and Helbing (2007), of lane changes.

    Examples:
        >>> import jax.numpy as jnp
        >>> import numpy as np
        >>> from lab import traffic
        >>> road = traffic.simulation.begin(np.zeros((1, 2)), np.array([25.0]))
        >>> alone = traffic.Drivers(*jnp.array([[25.0], [1.5], [0.0], [0.2]]))  # has the speed that it wants
        >>> traffic.simulate(road, alone, 3).position[:, 0, 0].round(6)
        Array([0. , 2.5, 5. ], dtype=float64)
    """
    whole("steps", steps, 1)
    whole("every", every, 1)
    real("dt", dt, (), low=0, strict=True)
    shape = np.shape(road.speed)
    for name, of in (("road", road), ("drivers", drivers)):
        for field, value in of._asdict().items():
            wanted = (*shape, 2) if field == "position" else shape
            if np.shape(value) != wanted:
                raise ValueError(
                    f"{name}.{field} has shape {np.shape(value)}, but {wanted} is needed, as of road.speed"
                )
    return _simulate(road, drivers, steps, every, dt)


@jit
def _simulate(road: Road, drivers: Drivers, steps: int, every: int, dt: ArrayLike) -> Road:
    if road.speed.ndim == 2:
        return jax.vmap(lambda one, who: _simulate(one, who, steps, every, dt))(road, drivers)

    def frame(now: Road, _: None) -> tuple[Road, Road]:
        return jax.lax.fori_loop(0, every, lambda _, each: step(each, drivers, dt), now), now

    start = jax.tree.map(jnp.asarray, road)
    return jax.lax.scan(frame, start, None, length=steps // every)[1]


def roads(
    seeds: Sequence[int],
    agents: int,
    frames: int,
    *,
    every: int = 5,
    warmup: int = 0,
    slow: float = 0.25,
    fast: float = 0.25,
) -> tuple[Road, np.ndarray]:
    """Simulated roads, one for each seed, and the profile (roads, agents) of each driver.

    Args:
        frames: that are kept, ``every`` steps of 0.1 s from one to the next.
        warmup: frames before, that are not.
    """
    drawn = [draw(seed, agents, slow, fast) for seed in seeds]
    road, drivers = (
        jax.tree.map(lambda *each: jnp.asarray(np.stack(each)), *whole)
        for whole in zip(*[d[:2] for d in drawn], strict=True)
    )
    found = simulate(road, drivers, (warmup + frames) * every, every)
    return jax.tree.map(lambda a: a[:, warmup:], found), np.stack([d.profile for d in drawn])


def closest(road: Road) -> Float[Array, ""]:
    """The least distance along the road of two vehicles that overlap across it, in all frames: below 5 m they crashed."""
    x, y = road.position[..., 0], road.position[..., 1]
    aside = jnp.abs(y[..., :, None] - y[..., None, :])
    along = jnp.abs(x[..., :, None] - x[..., None, :])
    same = jnp.broadcast_to(jnp.eye(x.shape[-1], dtype=bool), along.shape)
    return jnp.where((aside < 2) & ~same, along, jnp.inf).min()
