"""How much of a run was compilation: JAX tells, this thread adds up."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import jax

_EVENTS = ("jaxpr_trace_duration", "jaxpr_to_mlir_module_duration", "backend_compile_duration", "ready_load_duration")
_local = threading.local()


@dataclass
class Clock:
    """Wall seconds of a block: ``total``, the part spent tracing and compiling, and the number of programs compiled."""

    total: float = 0.0
    programs: int = 0
    spans: list[tuple[float, float]] = field(default_factory=list)  # apart from each other, in order

    @property
    def compile(self) -> float:
        return sum(end - begin for begin, end in self.spans)

    @property
    def run(self) -> float:
        return max(self.total - self.compile, 0.0)


def _listen(event: str, start_time: float, end_time: float, **kwargs: str | int) -> None:
    clock = getattr(_local, "clock", None)
    if clock is not None and event.endswith(_EVENTS):
        while (
            clock.spans and clock.spans[-1][0] >= start_time
        ):  # a function traced within another is told first, on its own
            clock.spans.pop()
        clock.spans.append((start_time, end_time))
        clock.programs += event.endswith("backend_compile_duration")


jax.monitoring.register_event_time_span_listener(_listen)


@contextmanager
def clocked() -> Iterator[Clock]:
    """Time a block of this thread; blocks may be nested, the outer one then counts the inner one too."""
    outer, clock = getattr(_local, "clock", None), Clock()
    _local.clock = clock
    began = time.perf_counter()
    try:
        yield clock
    finally:
        clock.total = time.perf_counter() - began
        _local.clock = outer
        if outer is not None:
            outer.spans += clock.spans
            outer.programs += clock.programs
