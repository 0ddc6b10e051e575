"""Seconds of compiling and of running add up to what has passed, however deep functions are traced in each other."""

import time

import jax
import jax.numpy as jnp

from lab.studies.contract.clock import clocked


def nested(depth: int, pause: float):
    inner = nested(depth - 1, pause) if depth else jnp.sin

    @jax.jit
    def f(x):
        if depth == 0:
            time.sleep(pause)  # while it is traced
        with jax.ensure_compile_time_eval():
            return inner(jnp.ones(3)) + x

    return f


def test_a_function_traced_in_others_is_counted_once():
    f, x = nested(6, 0.2), jnp.ones(3)
    with clocked() as outer:
        time.sleep(0.3)
        with clocked() as inner:
            jax.block_until_ready(f(x))
    assert 0.2 <= inner.compile <= inner.total
    assert outer.compile == inner.compile
    assert 0.3 <= outer.run < 0.3 + inner.total - 0.2
    assert outer.programs == inner.programs >= 1
    with clocked() as again:
        jax.block_until_ready(f(x))
        time.sleep(0.1)
    assert again.compile == 0
    assert again.run >= 0.1
