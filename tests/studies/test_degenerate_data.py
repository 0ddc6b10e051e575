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


_RANDOM = np.random.default_rng(0)
_X, _CLASSES = _RANDOM.normal(size=(12, 2)), np.arange(12) % 2
_PAIR = {"x": _X[:4], "y": _RANDOM.normal(size=(4, 2))}
_SOURCES = {"x": _X, "classes": _CLASSES, "source": np.arange(12) // 3 - 1}
_ROAD = np.cumsum(_RANDOM.uniform(0.5, 1, (24, 3, 2)), axis=0)
_BANDIT = {"transitions": np.full((3, 1, 3), 1 / 3), "rewards": np.ones((3, 1)), "start": np.full(3, 1 / 3)}
_LINE = {"x": _X, "y": _X.sum(axis=1)}

SMALL: dict[str, dict[str, object]] = {
    "pmrf": {"particles": 10, "pairs": 8, "euler_steps": 2},
    "projektor": {"n": 6, "n0": 4, "n1": 5, "grid": 4, "steps": 2},
    "dpp-least-squares": {"m": 2, "dimension": 1, "replicates": 10, "oversampling": 1},
    "policy-gradient": {"seeds": 2, "updates": 10, "horizon": 4, "batch_hessian": 1},
    "road-agents": {"observed": 4, "predicted": 4, "k": 2},
    "sinkhorn-newton-sparse": {"max_iterations": 20, "max_sweeps": 200},
    "sgd-stability": {"steps": 40, "B": 1, "rates": 2},
}
TELLING = {
    ("pmrf", "small"): {"x": _X * 1e-70}, ("pmrf", "large"): {"x": _X * 1e70},
    ("projektor", "equal"): _SOURCES | {"x": np.full((12, 2), 0.5)}, ("projektor", "small"): _SOURCES | {"x": _X * 1e-70},
    ("projektor", "large"): _SOURCES | {"x": _X * 1e70},
    ("dpp-least-squares", "two rows"): {"x": _X[:2], "y": _X[:2].sum(axis=1)},
    ("policy-gradient", "one action"): _BANDIT,
    ("road-agents", "equal"): {"positions": np.broadcast_to(_ROAD[:1], _ROAD.shape).copy()},
    ("road-agents", "small"): {"positions": _ROAD * 1e-70}, ("road-agents", "large"): {"positions": _ROAD * 1e70},
    ("sinkhorn-newton-sparse", "one"): {name: each[:1] for name, each in _PAIR.items()},
    ("sinkhorn-newton-sparse", "two"): {name: each[:2] for name, each in _PAIR.items()},
    ("sgd-stability", "small"): {name: each * 1e-70 for name, each in _LINE.items()},
    ("sgd-stability", "large"): {name: each * 1e70 for name, each in _LINE.items()},
}  # fmt: skip


UNDEFINED = {
    "projektor": {"correlation"},
    "dpp-least-squares": {"ratio_here", "ratio_iid"},
    "policy-gradient": {"slope_igt"},
    "road-agents": {"correlation_speed"},
}
"""The headline numbers that these data leave undefined."""


@pytest.mark.parametrize(("slug", "data"), TELLING)
def test_what_is_not_finite_beside_converged_is_declared(slug, data):
    study = studies.find(slug)(data=TELLING[slug, data], **SMALL[slug])
    if (slug, data) == ("projektor", "equal"):
        with pytest.raises(ValueError, match="all points of your dict are equal, so every distance is 0"):
            study.run()
        return
    found = study.run()
    assert found.attrs["reason"] == ("not_finite" if (slug, data) == ("pmrf", "large") else "converged")
    shown = {each.name: each for each in study.results if each.headline and not each.dims and each.name in found}
    undefined = {name for name in shown if not np.isfinite(float(found[name]))}
    assert undefined == UNDEFINED.get(slug, set())
    assert all(shown[name].undefined_at(float(found[name])) for name in undefined)


def test_a_sentence_without_a_number_is_left_out():
    assert all(not is_whole(f"The speed goes from 0 to {text}") for text in ("nan", "inf", "∞", "–"))
    assert is_whole("The speed goes from 0 to 0.5 at infinity of nano")
