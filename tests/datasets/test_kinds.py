"""Kinds of data: what is declared is what is read, checked, told and listed."""

import io
import re
from pathlib import Path

import numpy as np
import pytest

from lab import datasets
from lab.datasets import Data, Kind, Needs, Trait, kinds, registry
from lab.datasets.kinds import real_numbers, unread

NAMED = (
    "transport",
    "samples",
    "images",
    "volumes",
    "labelled",
    "sources",
    "shapes",
    "bags",
    "response",
    "training",
    "mdp",
    "trajectories",
)
DOWNLOADED = ("cifar-10", "fashion-mnist")


def few(entry):
    """Options with which all sets are made in seconds."""
    low, high = entry.allowed.get("n", (0, 0))
    return {"n": min(max(60, low), high)} if high else {}


AT_HAND = [entry for entry in datasets.catalogue() if entry.kind in NAMED and entry.name not in DOWNLOADED]


@pytest.mark.slow
@pytest.mark.parametrize("entry", AT_HAND, ids=lambda entry: entry.name)
def test_a_set_has_what_it_declares(entry):
    data, kind = datasets.load(entry.name, **few(entry)), datasets.kind_named(entry.kind)
    kind.check(entry.name, data.arrays)
    has, sizes = entry.facts(few(entry))
    assert set(has) == set(kind.arrays) & set(data.arrays)
    found = kind.sizes(entry.name, data.arrays)
    assert sizes == {dim: found.get(dim) for dim in sizes}


@pytest.mark.parametrize("name", NAMED)
def test_the_readme_has_the_arrays_of_a_kind_as_they_are_declared(name):
    kind = datasets.kind_named(name)
    read = [key for key in kind.arrays if key in kind.wanted]
    ways = [way for way in kind.needed if set(way) <= set(read)]
    beside = [key for key in read if not any(key in way for way in ways)]
    row = ", or ".join(kind.told(*way) for way in ways) + (f"; optional {kind.told(*beside)}" if beside else "")
    table = Path(__file__).parents[2].joinpath("README.md").read_text().split("## Your own data")[1].split("\n## ")[0]
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith(f"| {name} | ")]
    assert [cells[2].removesuffix(" |") for cells in rows] == [re.sub(r"\b(?!or )(\w+) \(", r"`\1` (", row)]
    assert [word for word in kind.aliases if f"`{word}`" not in table] == []


# -- a kind of one's own -----------------------------------------------------------------------------------------------


def from_arrays(name, arrays, ignored=()):
    READINGS.check_there(name, [*arrays, *ignored])
    given = {key: real_numbers(f"{key} in {name}", array) for key, array in arrays.items()}
    READINGS.check(name, given)
    lacking = set(READINGS.arrays) - set(given)
    return Data(name, name, "readings", given, "", "", notices=tuple(unread(name, ignored, lacking)))


READINGS = Kind(
    "readings",
    {"at": ("n", "d"), "value": [("n",), ("n", "k")], "site": ("n",), "corner": (2, "d")},
    needed=(("at", "value"),),
    from_arrays=from_arrays,
    takes=".npz with at and value",
    dims={"n": "readings"},
    traits={
        "sites": Trait(lambda keys: "site" in keys, "where {name} was read is not known, but the site", "add site")
    },
)


@pytest.fixture(autouse=True)
def own_kind(monkeypatch):
    monkeypatch.setattr(kinds, "_kinds", dict(kinds._kinds))
    datasets.add_kind(READINGS)

    def set_of(name, d, **more):
        @registry.register(name=name, title=name, summary="", kind="readings", sizes={"n": "n", "d": d}, **more)
        def build(n):
            raise AssertionError("nothing is made before it is refused")

    set_of("in-the-plane", 2, options={"n": (8, (2, 100))})
    set_of("in-space", 3, options={"n": (8, (2, 100))}, has=("at", "value", "site"))


def file(**arrays):
    out = io.BytesIO()
    np.savez(out, **arrays)
    return datasets.read_bytes("f.npz", out.getvalue(), kind="readings")


def test_a_file_is_read_by_its_kind_and_what_nobody_read_is_told():
    data = file(at=np.ones((3, 2)), value=np.ones(3), sites=np.ones(3))
    assert dict(data.arrays).keys() == {"at", "value"}
    assert data.notices == ("sites in f.npz ignored: did you mean site?",)
    assert READINGS.sizes("f", data.arrays) == {"n": 3, "d": 2}


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"at": np.ones((3, 2))}, "f.npz has no value, but at (n, d), value (n,) or (n, k) are needed"),
        (
            {"at": np.ones((3, 2)), "value": np.ones(4)},
            "value in f.npz has shape (4,), but (n,) or (n, k) is needed, and at has n = 3 readings",
        ),
        ({"at": np.ones((0, 2)), "value": np.ones(0)}, "(0, 2), but (n, d), none of them 0, is needed"),
        ({"at": np.ones(3), "value": np.ones(3)}, "at in f.npz has shape (3,), but (n, d) is needed"),
        (
            {"at": np.ones((3, 2)), "value": np.ones(3), "corner": np.ones((3, 2))},
            "corner in f.npz has shape (3, 2), but (2, d) is needed, and at has d = 2",
        ),
        (
            {"at": np.array([[1, np.nan]]), "value": np.ones(1)},
            "at in f.npz is nan at row 0, column 1: every entry must be finite",
        ),
        ({"at": np.array([["a"]]), "value": np.ones(1)}, "at in f.npz has the type <U1, but real numbers are needed"),
    ],
)
def test_what_is_none_gets_a_sentence(arrays, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        file(**arrays)


@pytest.mark.parametrize(
    ("needs", "name", "sentence"),
    [
        (
            Needs(),
            "photographs",
            "the data photographs are of kind transport, but readings is needed here: choose "
            "in-the-plane, in-space, or bring a file of yours",
        ),
        (
            Needs(d=2),
            "in-space",
            "in-space has d = 3, but 2 are taken here: choose in-the-plane, or bring a file of yours",
        ),
        (
            Needs("site"),
            "in-the-plane",
            "in-the-plane has no site, but site (n,) is needed here: choose in-space, or bring",
        ),
        (
            Needs("sites"),
            "in-the-plane",
            "where in-the-plane was read is not known, but the site is needed here: choose in-s",
        ),
        (
            Needs(n=(20, None)),
            "in-space",
            "in-space has n = 8 readings, but at least 20 are taken here: bring a file of yours",
        ),
    ],
)
def test_a_named_set_is_refused_before_it_is_made(needs, name, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        datasets.resolve(name, "readings", needs)


def test_only_sets_that_fit_are_listed_and_options_count():
    def names(*has, **sizes):
        return [entry.name for entry in datasets.catalogue("readings", Needs(*has, **sizes))]

    assert names() == ["in-the-plane", "in-space"]
    assert (names("site"), names(d=2), names(n=(9, None))) == (["in-space"], ["in-the-plane"], [])
    with pytest.raises(AssertionError, match="nothing is made"):
        datasets.resolve("in-space", "readings", Needs(n=(9, None)), n=9)
    with pytest.raises(ValueError, match=r"n = 200, but the data set 'in-space' allows 2 to 100"):
        datasets.resolve("in-space", "readings", Needs(n=(9, None)), n=200)


def test_data_of_ones_own_are_refused_with_what_to_do():
    data = file(at=np.ones((30, 2)), value=np.ones(30))
    for needs, sentence in (
        (
            Needs(n=(2, 20)),
            "f.npz has n = 30 readings, but 2 to 20 are taken here: choose in-the-plane, in-space, or keep",
        ),
        (Needs(n=(None, 20)), "30 readings, but at most 20 are taken here"),
        (Needs("sites"), "the site is needed here: choose in-space, or add site"),
    ):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            datasets.resolve(data, "readings", needs)
    assert datasets.resolve(data, "readings", Needs(n=30, d=(1, 2))) is data
    broken = Data("mine", "mine", "readings", {"at": np.ones((3, 2)), "value": np.ones(2)}, "", "")
    with pytest.raises(ValueError, match="value in mine has shape"):
        datasets.resolve(broken, "readings")


def test_what_no_data_of_a_kind_have_cannot_be_needed():
    assert READINGS.flaw(Needs("site", "sites", n=2, k=(1, None))) == ""
    assert READINGS.flaw(Needs("place")) == (
        "'place', which data of kind readings do not have: they have at, value, site, corner, sites, d, k, n"
    )
    assert READINGS.flaw(Needs(m=2)).startswith("'m', which")


def test_a_set_of_ones_own_is_held_to_its_kind_and_its_name():
    with pytest.raises(ValueError, match=r"the name 'two-moons' is taken by one of the lab's own data sets"):
        registry.register(name="two-moons", title="", summary="")(lambda: {})
    for option in (3, (3, 4, 5), (0.7, (0.0, 0.5)), ("c", ("a", "b"))):
        with pytest.raises(
            ValueError, match=r"the option share of the data set 'mine' is .*, but it must be a default"
        ):
            registry.register(name="mine", title="", summary="", options={"share": option})

    @registry.register(name="mine", title="", summary="", options={"share": (0.1, (0.0, 0.5))})
    def build(share):
        return {"arrays": {"x": np.full((3, 2), share), "y": np.ones((4, 2))}}

    with pytest.raises(ValueError, match=r"mine has no a and no b, but data of kind transport always have them"):
        registry.load("mine")
    with pytest.raises(ValueError, match=r"share = 0.7, but the data set 'mine' allows 0.0 to 0.5"):
        registry.load("mine", share=0.7)
    with pytest.raises(TypeError, match=r"share = 'x', but the data set 'mine' needs a number there"):
        registry.load("mine", share="x")


@pytest.mark.parametrize("scale", [1e-310, 1e-200, 1e150, 1e200, 1e307])
@pytest.mark.parametrize("kind", ["transport", "samples"])
def test_points_whose_squares_are_infinite_or_zero_are_refused(kind, scale):
    """All studies of points take squares; of such points they gave 0, NaN or an error of a library."""
    points = scale * np.random.default_rng(0).normal(size=(6, 2))
    rows = [f"{side},{u!r},{v!r}" for side, (u, v) in zip("sssttt", points.tolist(), strict=True)]
    text = "\n".join(["side,u,v", *rows] if kind == "transport" else ["u,v", *(row[2:] for row in rows)])
    with pytest.raises(ValueError, match=r"^x in p.csv has numbers of magnitude .*: its squares would be .*unit$"):
        datasets.read_bytes("p.csv", {"p.csv": text.encode()}, kind=kind)


def test_masses_of_1e308_are_refused_by_name():
    with pytest.raises(
        ValueError, match=r"a in mine has numbers of magnitude 1e\+308, but a magnitude of at most 1e\+75"
    ):
        datasets.from_arrays("mine", {"cost": np.zeros((2, 2)), "a": [1e308, 1e308]})
