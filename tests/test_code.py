"""The key of a run follows what its ``compute`` can reach: an edit invalidates what it can change, and nothing else."""

import json
import linecache
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import count
from pathlib import Path
from types import ModuleType, SimpleNamespace

import jax
import pytest

import lab
from lab import code, reach, studies
from lab.reach import Place, Reach, Sources
from lab.store import Store

ROOT = Path(lab.__file__).parent
ALL = {study.slug for study in studies.catalogue() if study.__module__.startswith("lab.")}
PATHS = {
    "kinetic-optimal-paths",
    "rectified-flow",
    "immiscible-diffusion",
    "stochastic-interpolants",
    "weighted-cfm",
}


def hashes(root: Path) -> dict[str, str]:
    """By study. A module is parsed once for all tests, as long as its text is the same."""
    sources = Sources(root)
    for name, text in sources._texts.items():
        sources._modules[name] = _parsed(name, text, name in sources._packages)
    return {slug: code.reached(studies.find(slug), sources).hash for slug in ALL}


_parsed = cache(reach._Module)


@pytest.fixture(scope="module")
def before() -> dict[str, str]:
    return hashes(ROOT)


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("copy") / "lab"
    return shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns("__pycache__"))


@pytest.fixture
def changed(before, copy) -> Callable[..., set[str]]:
    """Which studies have another hash after an edit of a copy of the lab, which is then taken back."""

    def edit(path: str, *edits: tuple[str, str]) -> set[str]:
        file = copy / path
        old = file.read_text() if file.exists() else None
        text = old or ""
        for what, instead in edits or [("", "")]:
            assert what in text, f"{path} has no {what!r} by now"
            text = text.replace(what, instead, 1)
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        after = hashes(copy)
        file.unlink() if old is None else file.write_text(old)
        return {slug for slug in ALL if after[slug] != before[slug]}

    return edit


@pytest.mark.slow
def test_a_copy_elsewhere_has_the_same_hashes(before, copy):
    assert hashes(copy) == before
    assert len(set(before.values())) == len(ALL)


@pytest.mark.slow
def test_every_process_says_the_same(before, tmp_path):
    script = (
        "import json\nfrom lab import code, studies\n"
        "print(json.dumps({study.slug: code.of_run(study) for study in studies.catalogue()}))"
    )
    told = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT.parent,
        env={**os.environ, "PYTHONHASHSEED": "7", "LAB_HOME": str(tmp_path)},
    )
    found = json.loads(told.stdout)
    assert {slug: found[slug] for slug in ALL} == before


SPARSE = "studies/ot/sparse_ot"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "edits"),
    [
        (f"{SPARSE}/pictures.py", [('"Squares: mass from', '"Squares: the mass from')]),
        (f"{SPARSE}/claims.py", [("CLAIMS = one_run(", "CLAIMS = () and one_run(")]),
        (f"{SPARSE}/story.py", [("STORY = ", "STORY = None or ")]),
        (
            f"{SPARSE}/experiment.py",
            [
                ('"""Solve the dual, recover', '"""Another docstring: recover'),
                ("problem = inputs", "problem  =  inputs"),
                ("DENSE = 1 << 22  #", "DENSE = (1 << 22)  # so many"),
                ('"optimal value", "optimum', '"best value", "the optimum'),
            ],
        ),
        (
            f"{SPARSE}/study.py",
            [
                ("soft=(1, 64)", "soft=(1, 65)"),
                ("presets = (", "presets = () and ("),
                ('"""Why the plan misses', 'return "as you like it"\n        """Why the plan misses'),
            ],
        ),
        (
            "studies/ot/new_study/__init__.py",
            [("", "from lab.studies import Study\n\nclass New(Study):\n    slug = 'new'\n")],
        ),
        ("studies/draw/axes.py", [("def plot(", "def plot_(")]),
        ("studies/contract/recipe.py", [('words = ["lab", "run", self.slug]', 'words = ["lab", self.slug]')]),
        ("studies/contract/verify.py", [("def verify(", "def verify_(")]),
        ("sweeps/batch.py", [("_POLL = 0.1", "_POLL = 0.2")]),
        ("figures/export.py", [("import", "import sys\nimport")]),
        ("app/view.py", [("import", "import sys\nimport")]),
        ("cli/runs.py", [("import", "import sys\nimport")]),
        ("datasets/samples.py", [("def ", "def _another():\n    pass\n\n\ndef ")]),
        ("ot/gaussian.py", [('"""', '"""Another. ')]),
        ("numerics/iterate.py", [('"""', '"""Another. ')]),
    ],
)
def test_words_pictures_and_faces_change_no_key(changed, path, edits):
    assert changed(path, *edits) == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "edits", "whose"),
    [
        (f"{SPARSE}/experiment.py", [("DENSE = 1 << 22", "DENSE = 1 << 21")], {"sparse-ot"}),
        (f"{SPARSE}/experiment.py", [("value=solution.value", "value=2 * solution.value")], {"sparse-ot"}),
        ("studies/stability/trajectories.py", [("_GROWN = 1e6", "_GROWN = 1e5")], {"sgd-stability"}),
        ("sampling/responses.py", [("jnp.tanh(3", "jnp.tanh(4")], {"dpp-least-squares"}),
        ("studies/contract/study.py", [("iterations = int(output.get(", "iterations = 1 + int(output.get(")], ALL),
        ("numerics/iterate.py", [("def pure(method: Method,", "def pure(method: Any,")], ALL),
        ("paths/kinetic.py", [("import jax\n", "import jax\n_ONE = 1\n")], {"kinetic-optimal-paths"}),
        ("paths/weighted.py", [("import jax\n", "import jax\n_ONE = 1\n")], {"weighted-cfm"}),
        ("stability/lanczos.py", [("import jax\n", "import jax\n_ONE = 1\n")], {"sgd-stability"}),
    ],
)
def test_mathematics_changes_the_keys_of_those_who_use_it(changed, path, edits, whose):
    assert changed(path, *edits) == whose


@pytest.mark.slow
def test_a_solver_of_transport_changes_those_that_solve_it(changed):
    found = changed("ot/newton.py", ("import jax\n", "import jax\n_ONE = 1\n"))
    assert found >= PATHS | {"sparse-ot", "sinkhorn-newton-sparse"}  # couplings of paths are plans
    assert not found & {"sgd-stability", "diverse-subset", "dpp-least-squares"}
    relaxed = changed("ot/unbalanced.py", ("import jax\n", "import jax\n_ONE = 1\n"))
    assert relaxed >= {"sp2ot", "otsurv"}  # which have a Newton step of their own there


@pytest.mark.slow
def test_text_that_cannot_be_parsed_counts_as_it_is(changed):
    """A file that is half saved while a server runs."""
    assert "sparse-ot" in changed("ot/newton.py", ("import jax\n", "import (\n"))
    assert changed(f"{SPARSE}/experiment.py", ("import json\n", "import (\n")) == {"sparse-ot"}


@pytest.mark.slow
def test_a_name_that_a_package_takes_from_elsewhere_counts(changed):
    assert "sparse-ot" in changed(
        "ot/__init__.py", ("from lab.ot.solve import solve", "from lab.ot.newton import solve")
    )
    assert changed("ot/__init__.py", ("from lab.ot.gaussian import Bures, bures", "")) == {"monge-gap"}


@pytest.mark.slow
def test_what_labels_a_run_counts(changed):
    where = "studies/stability/sgd_stability/study.py"
    assert changed(where, ('"drawn": ["with replacement"', '"drawn": ["with"')) == {"sgd-stability"}
    assert changed(where, ('"samples": planned.n', '"samples": 1')) == {"sgd-stability"}


def test_what_was_found_in_the_sources_is_kept_for_the_next_process(monkeypatch, tmp_path):
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    study = studies.find("sparse-ot")
    first = code.of_run.__wrapped__(study, "pictures")
    monkeypatch.setattr(code, "reached", lambda *_, **__: pytest.fail("read again"))
    assert code.of_run.__wrapped__(study, "pictures") == first
    monkeypatch.undo()
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    monkeypatch.setattr(Sources, "hash", "of an edited lab")
    monkeypatch.setattr(code, "reached", lambda *_, **__: SimpleNamespace(hash="another"))
    assert code.of_run.__wrapped__(study, "pictures") == "another"


# ---- how names are followed ------------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path) -> Callable[..., list[str]]:
    """The places that are reached from one, in a lab of these files."""

    def reached(place: str, **files: str) -> list[str]:
        for name, text in files.items():
            path = tmp_path / "lab" / f"{name.replace('__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            for parent in path.relative_to(tmp_path).parents[:-1]:
                init = tmp_path / parent / "__init__.py"
                init.write_text(init.read_text() if init.exists() else "")
        module, _, name = place.partition(":")
        found = Reach(Sources(tmp_path / "lab"))
        found.add(Place(f"lab.{module}", name))
        return [line.split(" ")[0].removeprefix("lab.") for line in found.lines if " is " not in line]

    return reached


def test_imports_lead_to_the_module_that_defines(small, tmp_path):
    files = {
        "ot__solve": "def solve(): pass",
        "ot__newton": "from .solve import solve\nNEWTON = solve",
        "ot__other": "",
    }
    (tmp_path / "lab" / "ot").mkdir(parents=True)
    (tmp_path / "lab" / "ot" / "__init__.py").write_text("from lab.ot.solve import solve\n")
    for use in (
        "from lab import ot\nx = ot.solve()",
        "from lab.ot import solve as s\nx = s()",
        "import lab.ot\nx = lab.ot.solve()",
        "def f():\n    from ..ot.solve import solve\n    return solve()",
    ):
        assert small("paths.a", paths__a=use, **files) == ["ot.solve", "paths.a"], use
    assert small("paths.a", paths__a="from lab import ot\nx = ot.newton.NEWTON", **files) == [
        "ot.newton",
        "ot.solve",
        "paths.a",
    ]


def test_what_cannot_be_followed_counts_whole(small):
    files = {"ot__solve": "def solve(): pass", "ot__newton": ""}
    for use in (
        "from lab import ot\nx = getattr(ot, 'so' + 'lve')",
        "from lab.ot import *",
        "import lab.ot as ot\nf(ot)",
    ):
        assert set(small("paths.a", paths__a=use, **files)) == {"ot", "ot.newton", "ot.solve", "paths.a"}, use


def test_types_are_not_followed(small):
    use = "from typing import TYPE_CHECKING\nfrom lab import ot\nif TYPE_CHECKING:\n    from lab.ot.newton import N\n"
    use += "def f(x: ot.solve.S, y: 'N') -> ot.solve.S: return ot.other.g(x)"
    files = {"ot__solve": "S = 1", "ot__newton": "N = 1", "ot__other": "def g(x): return x"}
    assert small("paths.a", paths__a=use, **files) == ["ot.other", "paths.a"]


def test_names_of_a_study_lead_to_what_changes_what_they_mean(small):
    text = """
import jax
from functools import partial

@jax.custom_jvp
def value(x): return one(x)

@value.defjvp
def _rule(x, t): return SLOPE

SLOPE = 2.0
TABLE = {}
TABLE["a"] = two
jax.config.update("a", 1)
print(SLOPE)

def one(x): return TABLE
def two(x): return x
def three(x): return CAPTION
CAPTION = "text"
"""
    found = small("studies.ot.mine:value", studies__ot__mine=text)
    assert {each.partition(":")[2] for each in found} == {"value", "one", "two", "SLOPE", "TABLE"}
    assert sum(each == "studies.ot.mine:SLOPE" for each in found) == 3  # the number, what prints it, what stands alone


def test_equal_trees_of_other_forms_are_equal(tmp_path):
    def of(text: str) -> str:
        return reach._Module("lab.a", text).whole.hash

    assert of("x = a.b(1)  # why\n") == of('"""Doc."""\nx = (a.b(\n    1))\n"""What it is."""')
    assert (
        len({of(text) for text in ("[x.b, a]", "[a.x.b]", "[x, b, a]", "{**a}", "{None: a}", "1", "'1'", "1.0")}) == 8
    )


# ---- studies of users ------------------------------------------------------------------------------------------------

MINE = '''
from lab import paths
from lab.studies import Paper, Result, Study

class Mine(Study):
    """A study."""

    slug, title, field, about, kind = "code-mine", "Mine", "Tests", "A study.", "transport"
    paper = Paper("A", "B", "C", 2026, "https://example.org")
    results = (Result("value", (), "value", "a number"),)

    @staticmethod
    def compute(inputs, p, loop, warm=None):
        return {"value": paths.weighted.NAME}
'''


def test_a_users_file_counts_whole_with_what_it_imports(tmp_path):
    from lab.studies.contract import registry

    (tmp_path / "mine.py").write_text(MINE)
    (mine,) = registry.load_file(tmp_path / "mine.py")
    lines = code.reached(mine).lines
    assert code.of_user(mine) in lines
    assert any(line.startswith("lab.paths.weighted ") for line in lines)
    assert any(line.startswith("lab.studies.contract.study:Study.label ") for line in lines)
    assert not any(line.startswith(("lab.paths.kinetic", "lab.app", "lab.studies.draw")) for line in lines)
    (tmp_path / "mine.py").write_text(MINE.replace("A study.", "My study."))
    (other,) = registry.load_file(tmp_path / "mine.py")
    assert code.of_run(other) != code.of_run(mine)


def test_a_notebooks_study_follows_the_cells_that_it_uses(monkeypatch):
    made = count()

    def keys(*cells: str) -> str:
        """As IPython runs them: into one module, which has no file, and remembered by ``linecache``."""
        notebook = ModuleType("a_notebook")
        monkeypatch.setitem(sys.modules, "a_notebook", notebook)
        for cell in cells:
            name = f"/tmp/ipykernel/{next(made)}.py"
            linecache.cache[name] = (len(cell), None, cell.splitlines(True), name)
            exec(compile(cell, name, "exec"), vars(notebook))
        return code.of_run(vars(notebook)["Mine"])

    cell = MINE.replace("paths.weighted.NAME", "helper(NUMBER) + paths.weighted.NAME")
    helper, number = "def helper(x):\n    return 2 * x", "NUMBER = 3"
    first = keys(helper, number, cell)
    assert first == keys(helper, number, cell + "\nMine.run  # another line of the cell")
    assert first == keys(helper + "\n\ndef beside():\n    return 1", number, cell)
    others = [
        keys(helper.replace("2", "3"), number, cell),
        keys(helper, "NUMBER = 4", cell),
        keys(helper, number, cell.replace("helper(NUMBER)", "NUMBER")),
    ]
    assert len({first, *others}) == 4


def test_a_path_of_ones_own_has_its_definition_and_the_labs_code():
    from lab import paths

    made = studies.path_study("Code of a path", paths.Linear(), slug="code-of-a-path")
    lines = code.reached(made).lines
    assert any(line.startswith("lab.studies.paths.own_path:_measured ") for line in lines)
    assert not any("own_path:_clouds" in line for line in lines)
    other = studies.path_study("Code of a path", paths.VP(), slug="code-of-a-path")
    assert code.of_run(made) != code.of_run(other)


def test_a_function_has_what_it_reaches():
    from lab.denoise.reference import reference

    assert code.of_function(reference) == code.of_function(reference) != code.of_function(hashes)
    one = code.of_function(lambda: 1)
    assert one != code.of_function(lambda: 2)


# ---- the store -------------------------------------------------------------------------------------------------------

SMALL = """
from lab.studies.contract import Study
from lab.studies.contract import Paper, Picture, Pictures, Result
from lab.studies.contract import DataSource

FACTOR = 2.0


def _draw(result):
    return None


class NAME(Study):
    slug, title, field, about, kind = "name", "NAME", "Tests", "A study.", "transport"
    paper = Paper("A", "B", "C", 2026)
    data = DataSource("bump-to-bump", doc="data")
    results = (Result("value", (), "value", "a number", headline=True),)
    pictures = Pictures(Picture("value", "Value", "a caption", _draw))

    @staticmethod
    def compute(inputs, p, loop, warm=None):
        return {"value": FACTOR * inputs["cost"].sum()}
"""

ASK = """
from lab.home import start
start()
from lab import studies
from lab.store import Store
for name in ("one", "two"):
    study, made = studies.find(name)(), []
    run = Store().fetch(study.recipe(), lambda: made.append(name) or study.run(lambda progress: None))
    print(name, "computed" if made else "held", float(run.value))
"""


@pytest.mark.slow
def test_only_what_an_edit_can_change_is_computed_again(tmp_path):
    root = shutil.copytree(ROOT, tmp_path / "lab", ignore=shutil.ignore_patterns("__pycache__"))
    files = {name: root / "studies" / "ot" / name / "__init__.py" for name in ("one", "two")}
    for name, file in files.items():
        file.parent.mkdir()
        file.write_text(SMALL.replace("NAME", name.title()).replace('"name"', f'"{name}"'))

    def asked() -> dict[str, tuple[str, float]]:
        environment = {**os.environ, "LAB_HOME": str(tmp_path / "home"), "PYTHONPATH": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", ASK], capture_output=True, text=True, check=False, cwd=tmp_path, env=environment
        )
        assert done.returncode == 0, done.stderr
        rows = [line.split() for line in done.stdout.splitlines()]
        return {name: (how, float(value)) for name, how, value in rows}

    first = asked()
    assert {how for how, _ in first.values()} == {"computed"}
    assert {how for how, _ in asked().values()} == {"held"}
    files["one"].write_text(files["one"].read_text().replace("a caption", "another caption"))
    files["two"].write_text(files["two"].read_text().replace("FACTOR = 2.0", "FACTOR = 3.0"))
    assert asked() == {"one": ("held", first["one"][1]), "two": ("computed", pytest.approx(1.5 * first["two"][1]))}
    assert len(Store(tmp_path / "home" / "store").entries()) == 3  # what an edit has left behind is still listed


def test_axes_of_other_names_are_other_data():
    study = studies.find("sparse-ot")(n=8)
    data = study.load()
    named = replace(data, axes={**data.axes, "unit": "miles"})
    assert named.sha256 == data.sha256
    assert Store.key(study.recipe(data)) != Store.key(study.recipe(named))


# ---- what runs is reached --------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("slug", sorted(ALL))
def test_all_code_that_runs_is_reached(slug):
    """Of a default run from the data on: whatever code of the lab begins, that is no word, is among what was followed."""
    study = studies.find(slug)()
    data = study.load()
    began = _began(lambda: (study.prepare(data), study.execute(lambda progress: None)))
    lines = {line.split(" ")[0] for line in code.reached(type(study)).lines}
    known = {
        *code._WORDS,
        *code._GIVEN,
        "_listen",
        "as_command",
        "changed",
        "_plain",
        "device",
        "versions",
        "short",
        "said",
    }
    lost = []
    for module, name in began:
        first, _, rest = name.partition(".")
        reached = {module, f"{module}:{first}", f"{module}:{first}.{rest.split('.')[0]}"} & lines
        words = known & {first, *rest.split(".")} or module.startswith("lab.datasets") or first == "<lambda>"
        if not (reached or words or reach.is_silent(module)):
            lost.append(f"{module}:{name}")
    # what gives advice, checks the data or says the limits may call others
    told = (":check", ":_holds", ":_below", ":below", ":misses", ":least_power", ":most_stored", ":unmet")
    assert not [each for each in lost if not each.split(".<locals>")[0].endswith(told)], lost


def _began(run: Callable[[], object]) -> set[tuple[str, str]]:
    """The functions of the lab that begin meanwhile, each with its module."""
    found: set[tuple[str, str]] = set()

    def begins(ran, _: int) -> object:
        if ran.co_filename.startswith(f"{ROOT}{os.sep}"):
            place = Path(ran.co_filename).relative_to(ROOT).with_suffix("").parts
            found.add((".".join(("lab", *place)).removesuffix(".__init__"), ran.co_qualname))
        return sys.monitoring.DISABLE

    jax.clear_caches()  # what was traced before would not begin again
    tool, starts = sys.monitoring.PROFILER_ID, sys.monitoring.events.PY_START
    sys.monitoring.use_tool_id(tool, "code")
    try:
        sys.monitoring.register_callback(tool, starts, begins)
        sys.monitoring.restart_events()
        sys.monitoring.set_events(tool, starts)
        run()
    finally:
        sys.monitoring.set_events(tool, 0)
        sys.monitoring.free_tool_id(tool)
    return found
