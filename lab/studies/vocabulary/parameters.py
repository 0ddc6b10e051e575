"""Parameters that many studies have."""

from typing import Any

from lab.studies.contract import Real, Whole


def positive(default: float, soft: tuple[float, float], **settings: Any) -> Real:
    """A number above 0 on a logarithmic scale: a strength, a width, a learning rate."""
    return Real(
        default, **({"bounds": (0, None), "inclusive_bounds": (False, True), "soft": soft, "scale": "log"} | settings)
    )


def size(default: int | None, bounds: tuple[int, int | None], soft: tuple[int, int], **settings: Any) -> Whole:
    """How many points, steps or units: another value is another program."""
    return Whole(default, **({"bounds": bounds, "soft": soft, "scale": "log", "traced": False} | settings))
