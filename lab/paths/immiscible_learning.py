"""A small network under each rule of ``immiscible_rules``: what choosing the noise does to training."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PRNGKeyArray

from lab.choices import chosen
from lab.numerics import Loop, first_failure, pure, random
from lab.numerics.jit import jit
from lab.paths import metrics, network, training
from lab.paths.couplings import Cost
from lab.paths.immiscible_rules import RULES, Rule
from lab.paths.laws import standard
from lab.paths.sampling import ode
from lab.paths.schedules import Linear

_SAMPLED = 512  # of a network, to measure it


class Learned(NamedTuple):
    """What the networks learnt."""

    loss: Float[Array, "steps rules"]  # on the batch of each step, per dimension; NaN of steps that a stop left out
    distance: Float[Array, "checks rules"]  # sliced W2 squared of 512 samples from the data
    reason: Int[Array, ""]


@chosen
def learn(
    key: PRNGKeyArray,
    x: Float[Array, "n d"],
    k: ArrayLike,
    cost: Cost,
    settings: training.Settings,
    steps: int,
    batch: int,
    checks: int,
    loop: Loop = pure,
) -> Learned:
    """Train a network for the velocity of straight lines under each rule, from the same first weights and data.

    Args:
        key: of the weights, of what is drawn, and of the samples.
        x: the data.
        k: noises that *nearest* chooses from.
        cost: of assignment.
        steps: of each training; static, as are the next two.
        batch: pairs a step.
        checks: how many times each network is measured, at equal distances, the last time at the end.
    """
    weights, drawing, start = jax.random.split(key, 3)
    d = x.shape[1]
    model = network.small(weights, d, x.dtype)
    ends = np.unique(np.linspace(0, steps, checks + 1).round().astype(int))[1:]
    ends = np.concatenate([np.repeat(ends[:1], checks - len(ends)), ends])  # of fewer steps than checks
    z = random.normal(start, (_SAMPLED, d), x.dtype)
    losses, distances, reasons = [], [], []
    for number in range(len(RULES)):
        rule, state, done, loss, apart = Rule(jnp.int32(number), k, cost), None, 0, [], []
        for end in ends:
            run = training.train(
                drawing,
                model,
                standard(d),
                x,
                Linear(),
                rule,
                settings,
                steps=int(end),
                batch=batch,
                latent=False,
                state=state,
                loop=loop,
            )
            state, more = run.state, int(end) - done
            loss.append(training.padded(run.loss[:more], more) / d)
            apart.append(_distance(start, run.average, z, x))
            reasons.append(run.reason)
            done = int(end)
        losses.append(jnp.concatenate(loss))
        distances.append(jnp.stack(apart))
    return Learned(jnp.stack(losses, axis=1), jnp.stack(distances, axis=1), first_failure(*reasons))


@jit
def _distance(key: Array, net: training.Network, z: Array, x: Array) -> Array:
    ends = ode(net, z, steps=20, solver="midpoint").end
    return metrics.sliced_wasserstein(key, ends, x, 64).value
