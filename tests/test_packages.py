"""What others install: built, checked and used outside the source tree.

The environment that is used here holds the wheel, and of the libraries that the tests have only those that pip would install
beside it, as links: ``make dist`` installs them anew, which takes minutes.
"""

import re
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterable
from importlib.metadata import Distribution, PathDistribution, distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import lab
from benchmarks import packages
from lab.cli import main
from lab.datasets import isolated

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return packages.build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def environment(built, tmp_path_factory):
    """An environment of the wheel alone."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    install(folder / "bin" / "python", built[0])
    return folder


def install(python: Path | str, wheel: Path) -> None:
    command = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel]
    packages.ran(*map(str, command), cwd=wheel.parent)


def about(wheel: Path) -> PathDistribution:
    (folder,) = (path for path in zipfile.Path(wheel).iterdir() if path.name.endswith(".dist-info"))
    return PathDistribution(folder)


def needed(wheel: Path, extra: str) -> list[Distribution]:
    """What pip would install beside the wheel with that extra."""
    seen, there = set(), {}

    def take(requires: Iterable[str] | None, extras: Iterable[str]) -> None:
        for each in map(Requirement, requires or ()):
            name, wanted = canonicalize_name(each.name), frozenset(each.extras)
            applies = each.marker is None or any(each.marker.evaluate({"extra": of}) for of in extras)
            if not applies or (name, wanted) in seen:
                continue
            seen.add((name, wanted))
            there[name] = distribution(name)
            take(there[name].requires, wanted or {""})

    take(about(wheel).requires, {extra})
    return list(there.values())


def link(environment: Path, distributions: Iterable[Distribution]) -> None:
    (site,) = environment.glob("lib/python3*/site-packages")
    for each in distributions:
        for top in {file.parts[0] for file in each.files or ()} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(each.locate_file(top))


@pytest.mark.slow
def test_wheel_and_sdist_are_what_an_index_takes(built):
    wheel, sdist = built
    packages.check(wheel, sdist)
    told = about(wheel).metadata
    assert told["Version"] == lab.__version__
    assert "Typing :: Typed" in told.get_all("Classifier")
    text = told.get_payload()
    assert "make serve" in text
    assert not re.search(r"\]\((?!https?:)", text)  # a link or picture that leads nowhere from an index
    names = zipfile.ZipFile(wheel).namelist()
    assert {"lab/py.typed", "lab/__main__.py", "lab/data/mnist_5k.csv.gz", "lab/notebooks/sweeps.py"} <= set(names)
    assert not [name for name in names if not name.startswith(("lab/", "transport_lab-"))]
    assert not [name for name in names if name.endswith((".ipynb", ".pyc"))]
    assert max(info.file_size for info in zipfile.ZipFile(wheel).infolist()) < 2 * 2**20
    with tarfile.open(sdist) as archive:
        there = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "tests/test_packages.py",
        "data/README.md",
        "data/licences/CC-BY-SA-3.0.txt",
        "Makefile",
        "LICENSE",
    } <= there


@pytest.mark.slow
@pytest.mark.parametrize("extra", packages.FACES)
def test_a_wheel_alone_has_its_faces(extra, environment, built, tmp_path):
    link(environment, needed(built[0], extra))
    packages.FACES[extra](environment / "bin", tmp_path)


@pytest.mark.slow
def test_the_core_has_none_of_what_extras_bring(built):
    core = {each.name.lower() for each in needed(built[0], "")}
    heavy = {
        "pyarrow",
        "scikit-learn",
        "scikit-image",
        "mlxtend",
        "pot",
        "ott-jax",
        "jupyterlab",
        "distributed",
        "imageio",
    }
    assert {"jax", "holoviews", "zarr"} <= core
    assert not core & heavy
    for extra, name in {
        "data": "pyarrow",
        "oracle": "pot",
        "cluster": "dask-jobqueue",
        "notebook": "jupyter-bokeh",
    }.items():
        assert name in {canonicalize_name(each.name) for each in needed(built[0], extra)}
        assert name in {canonicalize_name(each.name) for each in needed(built[0], "all")}


@pytest.mark.slow
def test_what_notebooks_import_comes_with_their_extra(built):
    there = {canonicalize_name(each.name) for each in needed(built[0], "notebook")}
    of = packages_distributions()
    for path in (ROOT / "notebooks").glob("*.py"):
        imports = re.findall(r"^(?:import|from) (\w+)", path.read_text(), re.MULTILINE)
        for module in {*imports} - {"lab", *sys.stdlib_module_names}:
            assert {canonicalize_name(name) for name in of[module]} & there, f"{module} in {path.name}"


@pytest.mark.slow
def test_other_pythons_take_the_wheel(built, tmp_path):
    """Their libraries are not here: what needs none of them works."""
    for name, python in packages.found().items():
        folder = tmp_path / name
        packages.ran(python, "-m", "venv", "--without-pip", folder, cwd=tmp_path)
        install(folder / "bin" / "python", built[0])
        assert lab.__version__ in packages.ran(folder / "bin" / "lab", "--version", cwd=tmp_path)
        assert "lab COMMAND" in packages.ran(folder / "bin" / "python", "-m", "lab", cwd=tmp_path)


@pytest.mark.parametrize(
    ("name", "words", "extra"),
    [
        ("pyarrow", ["run", "sparse-ot", "--data", "t.parquet"], "data"),
        ("jupytext", ["notebook", "--build-only"], "notebook"),
        ("panel", ["serve", "--port", "0"], "app"),
        ("distributed", ["sweep", "sparse-ot", "--k", "1,2", "--on", "tcp://127.0.0.1:1"], "cluster"),
        ("imageio", ["figure", "rectified-flow:motion", "-o", "film.mp4"], "animation"),
    ],
)
def test_what_is_missing_is_told_with_its_extra(name, words, extra, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, name, None)
    for part in [module for module in sys.modules if module.startswith(f"{name}.")]:
        monkeypatch.delitem(sys.modules, part)
    monkeypatch.setattr(isolated, "_inside", True)  # files are decoded here, where the package is missing
    (tmp_path / "t.parquet").write_bytes(b"PAR1" + bytes(20) + b"PAR1")
    assert main(words) == 2
    told = capsys.readouterr().err
    assert f"transport-lab[{extra}]" in told
    assert told.count("\n") == 1
    assert len(told) <= 300


def test_what_needs_pot_names_its_extra(monkeypatch):
    import numpy as np

    from lab import ot
    from lab.ot.exact import linear_program
    from lab.studies.paths.weighted_cfm.claims import _own_plan

    monkeypatch.setitem(sys.modules, "ot", None)
    problem = ot.problem(np.arange(6.0).reshape(2, 3))
    with pytest.raises(ImportError, match=r"transport-lab\[oracle\]"):
        linear_program(problem, "network-simplex")
    assert linear_program(problem).value >= 0  # another solver does it
    with pytest.raises(ValueError, match=r"transport-lab\[oracle\]"):
        _own_plan(lambda: None)


def test_parts_are_listed_and_there():
    packages_there = {path.name for path in (ROOT / "lab").iterdir() if (path / "__init__.py").exists()}
    assert packages_there - {"cli", "disk"} <= set(dir(lab))
    assert {"notebook", "run", "sweep", "__version__"} <= set(dir(lab))
    for name in packages_there - {"cli", "disk", "app"}:
        assert getattr(lab, name).__name__ == f"lab.{name}"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = lab.nothing


@pytest.mark.parametrize("package", sorted({*lab.FIELDS, "numerics"} - {"diffusion"}))
def test_modules_of_a_field_are_parts_of_it(package):
    there = getattr(lab, package)
    modules = {path.stem for path in (ROOT / "lab" / package).glob("*.py")} - {"__init__"}
    assert modules <= set(dir(there))
    assert all(getattr(there, name) is not None for name in modules)
