"""Studies of installed packages and of a user's files: one that is broken is told, and everything else goes on."""

import io
import subprocess
import sys
import warnings
from importlib.metadata import entry_points
from types import SimpleNamespace

import pytest
from waiting import wait

from lab import studies
from lab.cli import main
from lab.inputs import LeftOut
from lab.studies import SparseOT
from lab.studies.contract import registry

STUDY = """
import jax.numpy as jnp
from lab.studies import Paper, Result, Study, Whole

class {name}(Study):
    slug = "{slug}"
    title = "Mean cost"
    field = "Mine"
    kind = "transport"
    paper = {paper}
    about = "One. Two. Three."
    results = (Result("mean", (), "mean", "mean of the cost, times k", headline=True),)
    k = Whole(2, bounds=(1, None), doc="a factor")

    @staticmethod
    def compute(inputs, p, loop, warm=None):
        return {{"mean": p.k * jnp.mean(inputs["cost"])}}
"""
PAPER = 'Paper("Nobody", "Nothing", "Nowhere", 2026)'
MODULES = {
    "sound": STUDY.format(name="Sound", slug="plugged-in", paper=PAPER),
    "twin": STUDY.format(name="Twin", slug="plugged-in", paper=PAPER),
    "ours": STUDY.format(name="Ours", slug="sparse-ot", paper=PAPER),
    "absent": "import nothing_of_this_name",
    "leaves": "import sys\nsys.exit('and good bye')",
    "spoilt": "class Spoilt(",
    "other": "Other = 3",
    "dated": STUDY.format(name="Dated", slug="dated", paper='Paper("A", "B", "C", "2026")'),
    "bare": STUDY.format(name="Bare", slug="bare", paper='"a book"'),
}
WHY = {
    "absent": "No module named 'nothing_of_this_name'",
    "leaves": "SystemExit: and good bye",
    "spoilt": "SyntaxError",
    "other": "is no class derived from lab.studies.Study",
    "ours": "taken by the lab's own study",
    "dated": "the year of its paper is '2026', which is no int",
    "bare": "its paper is no Paper",
    "twin": "the name plugged-in is taken by plugin_sound",
    "gone": "has no attribute 'Gone'",
}


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """An installed package with ten entry points, nine of which can't be used; the registry as before the first look."""
    site = tmp_path / "site"
    (site / "plugins-1.0.dist-info").mkdir(parents=True)
    for name, text in MODULES.items():
        (site / f"plugin_{name}.py").write_text(text)
    points = [f"{name} = plugin_{name}:{name.title()}" for name in MODULES]
    (site / "plugins-1.0.dist-info" / "entry_points.txt").write_text(
        "[lab.studies]\n" + "\n".join([*points, "gone = plugin_sound:Gone"])
    )
    (site / "plugins-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: plugins\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(registry, "_found", {})
    monkeypatch.setattr(registry, "_scanned", False)
    yield site
    for name in MODULES:
        sys.modules.pop(f"plugin_{name}", None)


def test_a_broken_plugin_is_told_and_left_out(plugins):
    assert len(entry_points(group="lab.studies")) == 10
    with pytest.warns(LeftOut) as told:
        names = [study.slug for study in studies.catalogue()]
    assert "plugged-in" in names
    assert "sparse-ot" in names
    assert not {"dated", "bare"} & set(names)
    assert studies.find("sparse-ot").__module__.startswith("lab.")
    sentences = [str(each.message) for each in told]
    assert len(sentences) == len(WHY)
    for name, why in WHY.items():
        (sentence,) = (each for each in sentences if f"entry point {name} of the package plugins is left out" in each)
        assert why in sentence
        assert "\n" not in sentence
        assert len(sentence) <= 300


def test_a_plugin_that_hangs_is_named_while_it_does(monkeypatch):
    """Its import may end by itself, or by Ctrl-C: this one ends when the report is there."""
    told = io.StringIO()
    monkeypatch.setattr(sys, "stderr", told)
    monkeypatch.setattr(registry, "_SLOW", 0.001)
    monkeypatch.setattr(registry, "_found", {})

    def load():
        wait(lambda: "has been importing for" in told.getvalue())
        return SparseOT

    registry._add(SimpleNamespace(name="slow", value="slow:Slow", dist=SimpleNamespace(name="slow-lab"), load=load), ())
    assert told.getvalue().startswith("the entry point slow of the package slow-lab has been importing for 0.001 s: ")
    assert registry._found == {SparseOT.slug: SparseOT}


@pytest.mark.slow
def test_commands_go_on_beside_a_broken_plugin(plugins, tmp_path):
    words = ["run", "plugged-in", "--data", "bump-to-bump"]
    script = f"import sys; sys.path.insert(0, {str(plugins)!r}); from lab.cli import main; sys.exit(main({words!r}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == len(WHY)
    assert all(line.startswith("lab: the study of the entry point ") for line in lines)
    assert "Mean cost" in done.stdout


def test_a_study_that_cannot_be_told_leaves_the_others_listed(plugins, monkeypatch, capsys):
    with pytest.warns(LeftOut):
        mine = studies.find("plugged-in")
    monkeypatch.setattr(mine, "presets", property(lambda self: 1 / 0))
    with pytest.warns(LeftOut, match=r"the study plugged-in of plugin_sound is left out: TypeError"):
        assert main(["list"]) == 0
    assert "sparse-ot" in capsys.readouterr().out


def test_of_several_files_the_sound_ones_are_served(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_found", {study.slug: study for study in studies.catalogue()})
    files = {
        "sound": STUDY.format(name="Sound", slug="first", paper=PAPER),
        "twin": STUDY.format(name="Twin", slug="first", paper=PAPER),
        "spoilt": "1 +",
        "leaves": "import sys\nsys.exit(3)",
        "empty": "",
        "second": STUDY.format(name="Second", slug="second", paper=PAPER),
    }
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(text)
    with pytest.warns(LeftOut) as told:
        studies.load_files([tmp_path / f"{name}.py" for name in files])
    assert studies.find("first").__name__ == "Sound"
    assert studies.find("second").__name__ == "Second"
    sentences = [str(each.message) for each in told]
    wanted = ("as ", "spoilt.py can't be imported: SyntaxError", "leaves.py can't be imported: SystemExit", "no study")
    assert len(sentences) == len(wanted)
    assert all(word in sentence for word, sentence in zip(wanted, sentences, strict=True))
    assert "sound.py does: give one another slug" in sentences[0]


def test_files_of_which_none_can_be_used_are_refused(tmp_path):
    (tmp_path / "spoilt.py").write_text("1 +")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=r"spoilt.py can't be imported: SyntaxError"):
            studies.load_files([tmp_path / "spoilt.py"])
        studies.load_files([])


def test_the_studies_are_listed_among_the_names_of_their_module():
    assert {"SparseOT", "SGDStability", "path_study", "model_study", "Study"} <= set(dir(studies))


def test_a_list_of_plugins_that_cannot_be_read_leaves_all_out(monkeypatch):
    def garbled(**_):
        raise TypeError("Pair.__new__() missing 1 required positional argument")

    monkeypatch.setattr(registry, "entry_points", garbled)
    with pytest.warns(LeftOut, match="the studies of other packages are left out"):
        assert registry.plugins() == []


def test_a_study_of_ones_own_replaces_that_of_a_package_and_imports_no_other(plugins):
    class Mine(studies.SparseOT):
        slug = "plugged-in"

    class Taken(studies.SparseOT):
        slug = "pmrf"

    studies.register(Mine)
    with pytest.raises(
        ValueError, match="the name pmrf is taken by the lab's own study 'Posterior-mean rectified flow'"
    ):
        studies.register(Taken)
    assert not registry._scanned
    with pytest.warns(LeftOut):
        assert Mine in studies.catalogue()
    assert studies.find("plugged-in") is Mine
