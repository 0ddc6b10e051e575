"""Seconds of compiling and of running add up to what has passed, however deep functions are traced in each other."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp

from lab.studies.contract import clock
from lab.studies.contract.clock import clocked


def nested(depth: int):
    inner = nested(depth - 1) if depth else jnp.sin

    @jax.jit
    def f(x):
        with jax.ensure_compile_time_eval():
            return inner(jnp.ones(3)) + x

    return f


def test_a_function_traced_in_others_is_counted_once():
    f, x = nested(6), jnp.ones(3)
    with clocked() as outer, clocked() as inner:
        jax.block_until_ready(f(x))
    assert 0 < inner.compile <= inner.total
    assert outer.compile == inner.compile
    assert outer.programs == inner.programs >= 1
    with clocked() as again:
        jax.block_until_ready(f(x))
    assert again.compile == 0
    assert again.run == again.total


def test_seconds_of_nested_blocks_and_spans_add_up(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(clock, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    with clocked() as outer:
        now[0] = 3.0
        with clocked() as inner:
            for begin, end in ((4.0, 5.0), (3.5, 6.0), (7.0, 8.0)):  # JAX reports the traced function before its caller
                clock._listen("/jax/core/compile/jaxpr_trace_duration", begin, end)
            now[0] = 9.0
        now[0] = 10.0
    assert (inner.compile, inner.run, inner.total) == (3.5, 2.5, 6.0)
    assert (outer.compile, outer.run, outer.total) == (3.5, 6.5, 10.0)
