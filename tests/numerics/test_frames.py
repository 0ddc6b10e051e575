"""A training that is looked at on the way."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from lab.numerics import Chunked, Method, Reason, frames


class Count(NamedTuple):
    step: Any


class Learned(NamedTuple):
    state: Any


COUNT = Method(
    init=lambda n: Count(jnp.zeros((), jnp.int32)),
    step=lambda n, at: Count(at.step + 1),
    done=lambda n, at: jnp.where(at.step >= n, Reason.CONVERGED, Reason.RUNNING),
    measure=lambda n, at: {"step": 1.0 * at.step},
)


def test_a_part_tells_how_far_the_whole_training_is():
    told = []
    loop = Chunked(lambda progress: told.append(progress), seconds=1e-6)
    report = loop.report

    def learn(steps, loop, state):
        return Learned(loop(COUNT, steps, state, max_iterations=steps).state)

    found = frames.followed(loop, learn, lambda part: int(part.state.step), 0, 100)
    assert found.seen == frames.places(100).tolist()
    assert {each.max_iterations for each in told} == {100}
    assert [each.iteration for each in told] == [int(each.state.step) for each in told]
    assert len(told) > 50
    assert loop.report is report
