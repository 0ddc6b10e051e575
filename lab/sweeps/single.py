"""One run, by the store: what is kept or ships is not computed again."""

import xarray as xr

from lab.numerics import Report
from lab.store import Store
from lab.studies import Study


def run(study: Study, report: Report | None = None, *, again: bool = False) -> xr.Dataset:
    """The result of a study as ``lab run`` gives it: out of the store, or as it ships, or computed and kept.

    Args:
        study: with its parameters, as ``SparseOT(k=2)``.
        report: as for ``Study.run``, which computes always and keeps nothing.
        again: compute it anew, and keep it in the place of the old one.

    Returns:
        the Dataset of ``Study.run``. What ships is rounded to what a picture shows; its attribute ``shipped`` says by which
        version it was computed.

    Raises:
        ValueError, TypeError: one sentence on what was given and what is allowed.

    Examples:
        >>> import lab
        >>> from lab.studies import SparseOT
        >>> lab.run(SparseOT()).attrs["converged"]
        1
    """
    return Store().fetch(study.recipe(study.load()), lambda: study.run(report), again=again)
