"""Data that are legal but degenerate: a study gives finite numbers, or an error that names the input."""

import numpy as np
import pytest

from lab import datasets, studies
from lab.studies.contract.telling import is_whole

SAME = np.full((3, 2), 0.1)
APART = SAME + np.arange(3.0)[:, None]
MASSES = np.full(3, 1 / 3)
DEGENERATE = {
    "single": {"x": np.zeros((1, 2)), "y": np.zeros((1, 2))},
    "equal": {"x": SAME, "y": SAME},
    "tiny": {"x": SAME * 1e-300, "y": SAME * 2e-300},
    "denormal": {"x": SAME * 1e-319, "y": SAME * 2e-319},
    "large": {"x": SAME * 1e300, "y": SAME * 2e300},
    "zero cost": {"cost": np.zeros((3, 3))},
    "tiny cost": {"cost": np.full((3, 3), 1e-300)},
    "large cost": {"cost": np.full((3, 3), 1e300)},
    "tiny masses": {"x": SAME, "y": APART, "a": MASSES * 1e-300, "b": MASSES * 1e-300},
    "denormal masses": {"x": SAME, "y": APART, "a": MASSES * 1e-319, "b": MASSES * 1e-319},
    "large masses": {"x": SAME, "y": APART, "a": MASSES * 1e300, "b": MASSES * 1e300},
}
CHEAP = ("sparse-ot",)  # studies that run on a few points in a second


@pytest.mark.parametrize("data", DEGENERATE)
@pytest.mark.parametrize("kind", sorted({study.kind for study in studies.catalogue() if study.kind}))
def test_degenerate_data_are_finite_or_refused_by_their_name(kind, data):
    given = DEGENERATE[data]
    try:
        found = datasets.resolve(given, kind)
    except ValueError as problem:
        found, refused = None, str(problem)
    if found is None:
        assert any(word in refused for word in (*given, "your dict"))
        return
    assert all(np.isfinite(array).all() for array in found.arrays.values() if array.dtype.kind == "f")


@pytest.mark.parametrize("data", DEGENERATE)
@pytest.mark.parametrize("slug", CHEAP)
def test_a_run_on_degenerate_data_is_finite_or_not_converged(slug, data):
    study = studies.find(slug)
    try:
        found = study(data=DEGENERATE[data], k=1).run()
    except ValueError as problem:
        found, refused = None, str(problem)
    if found is None:
        assert any(f"{word} in" in refused for word in DEGENERATE[data])
        return
    headline = {each.name: float(found[each.name]) for each in study.results if each.headline}
    assert not found.attrs["converged"] or all(map(np.isfinite, headline.values())), headline
    assert found.row_error_l1 <= 1e-6 or found.n_ties or not found.attrs["converged"]
    assert not np.isnan(found.strength)


MAIN = {"images": "pixels", "volumes": "volume", "trajectories": "positions", "mdp": "rewards"}
"""The array of a kind whose values are made degenerate; ``x`` of the other kinds."""


@pytest.mark.parametrize("scale", [1e-300, 5e-324, 1e300], ids=["tiny", "denormal", "huge"])
@pytest.mark.parametrize("study", studies.catalogue(), ids=lambda study: study.slug)
def test_every_study_rejects_values_whose_squares_are_not_numbers(study, scale):
    """Raised by the check of the kind, before anything is compiled."""
    kind = datasets.kind_named(study.kind)
    key = MAIN.get(study.kind, "x")
    declared = kind.arrays[key]
    shape = declared[0] if isinstance(declared, list) else declared
    values = np.full([size if isinstance(size, int) else 3 for size in shape], scale)
    with pytest.raises(
        ValueError, match=f"{key} in a file has numbers of magnitude .* is needed: .* choose another unit"
    ):
        kind.check_given("a file", {key: values})


def test_a_sentence_without_a_number_is_left_out():
    assert all(not is_whole(f"The speed goes from 0 to {text}") for text in ("nan", "inf", "∞", "–"))
    assert is_whole("The speed goes from 0 to 0.5 at infinity of nano")
