"""Parameters that many studies have."""

from typing import Any

from lab.studies.contract import Real, Whole

SOME = range(1, 10**9)  # of steps, for ``when``: what a training depends on has no effect without one
TRAINING = {"train_steps": SOME}


def positive(default: float, soft: tuple[float, float], **settings: Any) -> Real:
    """A number above 0 on a logarithmic scale: a strength, a width, a learning rate.

    Args:
        default: its value when nothing is said.
        soft: the low and the high end of its slider.
        settings: as for ``Real``: symbol, unit, doc, ...; they go before what is set here.

    Returns:
        a parameter, for the body of a study.

    Examples:
        >>> from lab.studies.vocabulary import positive
        >>> rate = positive(0.1, (1e-3, 1.0), symbol="η")
        >>> rate.scale, rate.bounds, rate.inclusive_bounds
        ('log', (0, None), (False, True))
    """
    return Real(
        default, **({"bounds": (0, None), "inclusive_bounds": (False, True), "soft": soft, "scale": "log"} | settings)
    )


def size(default: int | None, bounds: tuple[int, int | None], soft: tuple[int, int], **settings: Any) -> Whole:
    """How many points, steps or units: another value is another program.

    Args:
        default: its value when nothing is said; None, with ``allow_None``, where the data decide.
        bounds: the least and the largest number allowed; None where there is none.
        soft: the low and the high end of its slider.
        settings: as for ``Whole``: symbol, doc, ...; they go before what is set here.

    Returns:
        a parameter, for the body of a study.

    Examples:
        >>> from lab.studies.vocabulary import size
        >>> n = size(64, (1, None), (16, 256))
        >>> n.default, n.traced, n.scale
        (64, False, 'log')
    """
    return Whole(default, **({"bounds": bounds, "soft": soft, "scale": "log", "traced": False} | settings))
