"""Figures, results and stores that somebody made to have a reader's machine do something: nothing of it happens."""

import io
import json
import re
import shutil
from pathlib import Path

import matplotlib.figure
import numpy as np
import pytest
import xarray as xr

from lab import datasets, figures, store, studies
from lab.cli import main
from lab.cli.outputs import save
from lab.figures import embed
from lab.studies import SparseOT
from lab.sweeps import cluster

FORMATS = ("pdf", "svg", "png")
EVIL = """
from pathlib import Path
Path({canary!r}).write_text("executed")
"""
MINE = """
from lab.studies import Paper, Picture, Real, Result, Study, draw
class Mine(Study):
    slug, title, field, about, kind = "mine-own", "Mine", "x", "x", "transport"
    paper = Paper("t", "a", "v", 2020, "")
    a = Real({default}, bounds=(0, 1), doc="a")
    results = (Result("value", (), "1", "x"),)
    @staticmethod
    def compute(inputs, p, loop, warm=None):
        return {{"value": p.a}}
"""


@pytest.fixture(scope="module")
def recipe():
    return SparseOT().recipe() | {"figure": {"picture": "plan", "swept": None, "results": {}}}


@pytest.fixture
def canary(tmp_path):
    """A file that executing or importing ``evil.py`` makes."""
    (tmp_path / "evil.py").write_text(EVIL.format(canary=str(tmp_path / "canary")))
    yield tmp_path / "evil.py"
    assert not (tmp_path / "canary").exists()


def written(folder: Path, recipe: object, format: str = "png") -> Path:
    """A figure that holds any recipe."""
    drawn = io.BytesIO()
    matplotlib.figure.Figure((1, 1)).savefig(drawn, format=format)
    path = folder / f"figure.{format}"
    path.write_bytes(embed.embed(drawn.getvalue(), format, recipe))
    return path


def refused(words: list[str], capsys) -> str:
    """The one sentence of a command that exits with 2."""
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "Traceback" not in said
    return said


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
def test_a_figure_imports_no_file(format, recipe, canary, capsys):
    for name in (
        str(canary),
        f"../{canary.parent.name}/evil.py",
        "evil.py",
        "evil",
        "os.path",
        "lab.studies.contract.study",
    ):
        figure = written(canary.parent, recipe | {"study": name}, format)
        assert "there is no study" in refused(["reproduce", str(figure)], capsys)
        figure = written(canary.parent, recipe | {"study": name, "code": "0" * 64}, format)
        assert "give its file with --study" in refused(["reproduce", str(figure)], capsys)


def test_the_link_of_a_figure_to_a_script_is_not_followed(recipe, canary, capsys, monkeypatch):
    monkeypatch.chdir(canary.parent)
    (canary.parent / "sparse-ot").symlink_to(canary)
    (canary.parent / "sparse-ot.py").symlink_to(canary)
    figure = written(canary.parent, recipe | {"study": "sparse-ot.py"})
    assert "there is no study" in refused(["reproduce", str(figure)], capsys)


@pytest.mark.parametrize("name", ["mine.npz", "/etc/passwd", "../../etc/passwd", "~/x.npz", "a.png,b.png", "/dev/zero"])
def test_a_figure_opens_no_data(name, recipe, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "mine.npz", cost=np.eye(3))
    monkeypatch.setattr(datasets, "resolve", lambda *what, **how: pytest.fail(f"it looked for {what}"))
    parameters = recipe["parameters"] | {"data": name}
    figure = written(tmp_path, recipe | {"parameters": parameters})
    assert "give their file with --data" in refused(["reproduce", str(figure)], capsys)


def test_a_sweep_in_a_figure_does_not_say_where_it_is_computed(recipe, tmp_path, capsys, monkeypatch):
    """Its names were taken for options: a scheduler, whose answers are pickles, or a queue, whose settings are shell."""
    monkeypatch.setattr(cluster.Dask, "__init__", lambda *given: pytest.fail(f"it asked for {given}"))
    view = {"value": "value", "x": "gamma"}
    for swept in (
        {"gamma": [0.1, 1.0], "on": "tcp://evil:8786"},
        {"gamma": [0.1, 1.0], "on": ["slurm"], "jobs": [{}]},
        {"gamma": "1e-3:1:log100000000"},
        {"gamma": []},
        {"data": ["/etc/passwd"]},
        {"report": [1]},
        {"self": [1]},
    ):
        for figure in ({"view": view}, {}):
            figure = recipe["figure"] | figure | {"swept": swept}
            path = written(tmp_path, recipe | {"figure": figure})
            why = "a recipe opens no file" if "data" in swept else "can be swept along"
            assert why in refused(["reproduce", str(path)], capsys)


WRONG = (1, -1.5, "x", [], [1], {}, {"a": 1}, True, None, "x" * 100_000, 10**400)


@pytest.mark.slow
def test_a_recipe_of_other_types_is_one_sentence(recipe, tmp_path, capsys, monkeypatch):
    """Every entry of a recipe, and of its parts, in types that the lab does not write."""
    monkeypatch.setattr(figures.reproducing, "_of_study", lambda *given: pytest.fail("it was computed"))
    monkeypatch.setattr(figures.reproducing, "_swept", lambda *given: pytest.fail("it was computed"))
    places = [("study",), ("parameters",), ("data",), ("figure",), ("data", "sha256"), ("data", "embedded")]
    places += [
        ("parameters", "data"),
        ("parameters", "k"),
        ("parameters", "gamma"),
        ("figure", "swept"),
        ("figure", "kept"),
    ]
    for place in places:
        for value in WRONG:
            changed = json.loads(json.dumps(recipe))
            at = changed
            for name in place[:-1]:
                at = at[name]
            at[place[-1]] = value
            path = written(tmp_path, changed)
            said = sentence_of(path)
            assert "\n" not in said
            assert len(said) < 700
            assert said or place[0] in ("parameters", "figure", "data")  # an allowed value, or one that says nothing
    capsys.readouterr()


def sentence_of(path: Path) -> str:
    try:
        figures.reproduce(path)
    except (ValueError, TypeError) as refusal:
        return str(refusal)
    except pytest.fail.Exception:
        return ""
    return "it agrees"


def test_what_a_file_says_does_not_steer_the_terminal(recipe, tmp_path, capsys):
    path = written(tmp_path, recipe | {"study": "\x1b]0;owned\x07\x1b[2J\u202e"})
    said = refused(["reproduce", str(path)], capsys)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", said)


def test_a_user_file_is_used_where_it_is_named_and_the_same(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(MINE.format(default=0.5))
    (mine,) = studies.load_file(path)
    told = mine(data="random-assignment").recipe() | {"figure": {"picture": "plan"}}
    found = figures.reproducing._study("f.png", told, [mine])
    assert found is mine
    with pytest.raises(ValueError, match="is not in the file given"):
        figures.reproducing._study("f.png", told | {"study": "other"}, [mine])
    with pytest.raises(ValueError, match="is not that which made"):
        figures.reproducing._study("f.png", told | {"code": "0" * 64}, [mine])


@pytest.mark.slow
def test_own_data_are_taken_where_they_are_named_and_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(studies.contract.recipe, "_EMBED", 0)
    studies.contract.recipe._embedded.cache_clear()
    for name, seed in (("mine", 0), ("other", 1)):
        np.savez(tmp_path / f"{name}.npz", cost=np.random.default_rng(seed).random((4, 5)))
    recipe = json.loads(json.dumps(SparseOT(data=str(tmp_path / "mine.npz")).recipe()))
    with pytest.raises(ValueError, match="give their file with --data"):
        SparseOT.from_recipe(recipe)
    assert SparseOT.from_recipe(recipe, str(tmp_path / "mine.npz")).recipe() == recipe
    with pytest.raises(ValueError, match="are not those of the recipe"):
        SparseOT.from_recipe(recipe, str(tmp_path / "other.npz"))
    studies.contract.recipe._embedded.cache_clear()


@pytest.mark.slow
def test_the_store_names_no_code(canary, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("LAB_HOME", str(tmp_path / "home"))
    result = xr.Dataset({"value": ((), 1.0)}, attrs=SparseOT().run().attrs)
    recipe = json.loads(result.attrs["recipe"])
    keys = {str(canary): "a" * 32, "os.path": "b" * 32}
    for name, key in keys.items():
        result.attrs |= {"study": name, "title": "\x1b[2J<b>", "recipe": json.dumps(recipe | {"study": name})}
        store.Store().commit([key], store.pack([result]))
    assert main(["runs"]) == 0
    assert main(["runs", "--study", str(canary)]) == 0
    assert main(["open", "aaaa", "-o", str(tmp_path / "x.nc")]) == 0
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.slow
def test_a_kept_result_opens_nothing_either(recipe, tmp_path, capsys):
    result = SparseOT().run()
    path, out = tmp_path / "run.nc", str(tmp_path / "o.png")
    words = ["figure", "sparse-ot:plan", "--from", str(path), "-o", out]
    for attrs in ({"recipe": "[]"}, {"recipe": "[" * 100_000}, {"recipe": 3}, {"swept": "1"}):
        save(result.assign_attrs(attrs), path)
        assert "holds no recipe that can be read" in refused(words, capsys)
        path.unlink()  # it is no result that may be replaced
    swept = json.dumps({"k": [1, 2]})
    told = json.dumps(recipe | {"parameters": recipe["parameters"] | {"data": "/etc/passwd"}})
    save(result.expand_dims(k=[1, 2]).assign_attrs(swept=swept, recipe=told), path)
    assert "give their file with --data" in refused([*words, "--k", "2"], capsys)


def test_a_result_that_would_have_its_reader_unpickle_or_open_is_not_read(tmp_path, capsys):
    import h5py
    import zarr

    folder = tmp_path / "run.zarr"
    group = zarr.open_group(folder, mode="w", zarr_format=2)
    group.create_array("plan", shape=(1,), dtype="f8")
    told = json.loads((folder / "plan" / ".zarray").read_text())
    (folder / "plan" / ".zarray").write_text(json.dumps(told | {"dtype": "|O", "filters": [{"id": "pickle"}]}))
    words = ["figure", "sparse-ot:plan", "-o", str(tmp_path / "o.png"), "--from"]
    assert "holds Python objects" in refused([*words, str(folder)], capsys)
    (tmp_path / "secret").write_bytes(bytes(8))
    with h5py.File(tmp_path / "run.nc", "w") as file:
        file.create_dataset("plan", (1,), "f8", external=[(str(tmp_path / "secret"), 0, 8)])
    assert "lies in another file" in refused([*words, str(tmp_path / "run.nc")], capsys)
    shutil.rmtree(folder)
