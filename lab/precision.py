"""One rule of precision for the whole lab.

- The arrays that are computed on decide the precision of the work; numbers, times and tolerances follow them.
- JAX cuts float64 to float32 unless it is told otherwise: an array that would be cut is refused.
- What needs float64 refuses what is not; what doesn't works in float32 too, to a tolerance that float32 can reach.

Nothing here turns float64 on: that is for entry points (``lab.home.start``) and for users.
"""

from typing import Any

REACH = 1e-5  # the relative error that float32 can reach in a sum over a problem

_TURN_ON = 'begin with lab.notebook() or jax.config.update("jax_enable_x64", True)'


def is_wide() -> bool:
    """Whether float64 is on."""
    import jax

    return bool(jax.config.jax_enable_x64)  # pyright: ignore[reportAttributeAccessIssue]


def advice() -> str:
    """How one comes to float64 from here."""
    return "give float64" if is_wide() else _TURN_ON


def uncut(**given: Any) -> None:
    """Refuse arrays of float64 where float64 is off. Lists and numbers have no precision of their own.

    Raises:
        ValueError: the name of the array, and what to do.
    """
    for name, value in given.items():
        if getattr(value, "ndim", 0) and str(getattr(value, "dtype", "")) == "float64" and not is_wide():
            raise ValueError(
                f"{name} is float64, which JAX would cut to float32, for float64 is off: {_TURN_ON}, or give float32"
            )


def need_float64(what: str, **given: Any) -> None:
    """Refuse to do ``what`` where float64 is off, or with arrays of less.

    Raises:
        ValueError: what needs it, and what to do.
    """
    if not is_wide():
        raise ValueError(f"{what} needs float64, which is off: {_TURN_ON}")
    for name, value in given.items():
        if str(value.dtype) in ("float32", "float16", "bfloat16"):
            raise ValueError(f"{what} needs float64, but {name} is {value.dtype}: give float64")


def reachable(tolerance: float, dtype: Any) -> float:
    """A default tolerance for work in this precision."""
    return tolerance if str(dtype) == "float64" else max(tolerance, REACH)
