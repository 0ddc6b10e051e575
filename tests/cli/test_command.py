"""The command line as a process, and its refusals."""

import json
import os
import re
import socket
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import xarray as xr

from lab import studies
from lab.cli import faces, main
from lab.cli import told as telling
from lab.cli.commands import _number, _times

LAB = [sys.executable, "-c", "import sys; from lab.cli import main; sys.exit(main())"]


def lab(*words: str, **settings) -> subprocess.CompletedProcess:
    return subprocess.run([*LAB, *words], capture_output=True, text=True, timeout=300, **settings)


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """A user's problem, of no special structure."""
    rng = np.random.default_rng(20260)
    cost = rng.uniform(size=(11, 7))
    a, b = rng.uniform(0.5, 1.5, 11), rng.uniform(0.5, 1.5, 7)
    path = tmp_path_factory.mktemp("mine") / "my.npz"
    np.savez(path, cost=cost, a=a / a.sum(), b=b / b.sum())
    return path


def refused(capsys, *words: str) -> str:
    """The one sentence on stderr of a command that ends with 2."""
    assert main(list(words)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err
    return captured.err


@pytest.mark.slow
def test_help_imports_no_numerics():
    assert "lab COMMAND" in lab("--help").stdout
    modules = lab("--help", env={"PYTHONPROFILEIMPORTTIME": "1", "PATH": ""}).stderr
    assert "jax" not in modules
    assert "numpy" not in modules


@pytest.mark.slow
def test_list_and_show_are_json():
    rows = json.loads(lab("list", "--json").stdout)
    assert {"name", "title", "field", "paper"} == set(rows[0])
    assert "sparse-ot" in [row["name"] for row in rows]
    told = json.loads(lab("show", "sparse-ot", "--json").stdout)
    k = next(p for p in told["parameters"] if p["name"] == "k")
    assert k["type"] == "integer"
    assert k["bounds"][0] == 1
    promised = (
        "value transport_cost lp_gap row_error_l1 nnz max_col_nnz n_ties iterations converged plan alpha beta history"
    )
    assert {r["name"] for r in told["results"]} >= set(promised.split())


@pytest.mark.slow
def test_run_keeps_a_file_that_opens_anywhere(mine, tmp_path):
    target = tmp_path / "run.nc"
    done = lab("run", "sparse-ot", "--k", "2", "--gamma", "1", "--data", str(mine), "-o", str(target))
    assert done.returncode == 0, done.stderr
    with xr.open_dataset(target) as result:
        problem = np.load(mine)
        np.testing.assert_allclose(result["plan"].sum("row"), problem["b"], rtol=0, atol=1e-12)
        assert int((result["plan"] > 0).sum("row").max()) <= 2
        recipe = json.loads(result.attrs["recipe"])
    assert recipe["parameters"]["k"] == 2
    assert recipe["parameters"]["gamma"] == 1
    assert recipe["data"]["embedded"]
    assert "value" in done.stdout


@pytest.mark.slow
def test_figure_reproduces_from_its_own_file(mine, tmp_path):
    figure = tmp_path / "plan.pdf"
    drawn = lab("figure", "sparse-ot:plan", "--data", str(mine), "--k", "3", "--width", "text", "-o", str(figure))
    assert drawn.returncode == 0, drawn.stderr
    assert figure.read_bytes().startswith(b"%PDF")
    mine_gone = lab("reproduce", str(figure), cwd=tmp_path)
    assert mine_gone.returncode == 0, mine_gone.stdout + mine_gone.stderr


@pytest.mark.slow
def test_figure_from_a_kept_result(mine, tmp_path):
    assert main(["run", "sparse-ot", "--data", str(mine), "-o", str(tmp_path / "run.nc")]) == 0
    words = ["figure", "sparse-ot:plan", "--from", str(tmp_path / "run.nc"), "-o", str(tmp_path / "plan.svg")]
    assert main(words) == 0
    assert "<svg" in (tmp_path / "plan.svg").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1)])
def test_one_point_is_a_problem_too(shape, tmp_path):
    np.savez(tmp_path / "one.npz", cost=np.arange(1.0, 1 + shape[0] * shape[1]).reshape(shape))
    words = [
        "run",
        "sparse-ot",
        "--k",
        "1",
        "--gamma",
        "2",
        "--data",
        str(tmp_path / "one.npz"),
        "-o",
        str(tmp_path / "run.nc"),
    ]
    assert main(words) == 0
    with xr.open_dataset(tmp_path / "run.nc") as result:
        assert result.attrs["converged"]
        share = 1 / shape[1]
        value = np.arange(1, 1 + shape[0] * shape[1]).mean() + share  # all of the cost, and gamma / 2 times |b|^2
        np.testing.assert_allclose(result["value"], value, rtol=1e-6)


@pytest.mark.slow
def test_zarr(mine, tmp_path):
    assert main(["run", "sparse-ot", "--data", str(mine), "-o", str(tmp_path / "run.zarr")]) == 0
    assert main(["run", "sparse-ot", "--data", str(mine), "-o", str(tmp_path / "run.zarr")]) == 0  # again, over it
    with xr.open_zarr(tmp_path / "run.zarr", consolidated=False) as result:
        assert result.attrs["study"] == "sparse-ot"


@pytest.mark.slow
def test_a_run_that_did_not_converge_says_so(mine, capsys):
    words = ["run", "sparse-ot", "--data", str(mine), "--solver", "adam", "--k", "1", "--max-iterations", "3"]
    assert main(words) == 0
    assert "Not converged" in capsys.readouterr().out


@pytest.mark.slow
def test_a_users_study(tmp_path, capsys):
    path = tmp_path / "my_study.py"
    path.write_text(
        """
import jax.numpy as jnp
from lab.studies import Paper, Result, Study, Whole

class Mean(Study):
    slug = "mean-cost"
    title = "Mean cost"
    field = "Mine"
    kind = "transport"
    paper = Paper("Nobody", "Nothing", "Nowhere", 2026)
    about = "One. Two. Three."
    results = (Result("mean", (), "mean", "mean of the cost, times k", headline=True),)
    k = Whole(2, bounds=(1, None), doc="a factor")

    @staticmethod
    def compute(inputs, p, loop, warm=None):
        return {"mean": p.k * jnp.mean(inputs["cost"])}
"""
    )
    assert main(["run", str(path), "--k", "3", "--data", "bump-to-bump"]) == 0
    x = np.arange(32)
    expected = 3 * np.mean((x[:, None] - x) ** 2 / 31**2)
    assert f"{expected:.7g}" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["runn", "sparse-ot"], "did you mean run?"),
        (["run", "sparse-tt"], "did you mean sparse-ot or"),
        (["run", "sparse-ot", "--k", "0"], "k = 0 is not allowed: it must be a whole number of at least 1"),
        (["run", "sparse-ot", "--k", "2.5"], "k = '2.5' is not allowed: it must be a whole number"),
        (["run", "sparse-ot", "--k", "100000"], "k = 100000 is not allowed"),
        (["run", "sparse-ot", "--gamma", "0"], "gamma = 0.0 is not allowed"),
        (["run", "sparse-ot", "--gamma", "-1e-3"], "gamma = -0.001 is not allowed"),
        (["run", "sparse-ot", "--gamma", "nan"], "gamma = nan is not allowed"),
        (["run", "sparse-ot", "--regularizer", "cubic"], "it must be one of"),
        (["run", "sparse-ot", "--kk", "3"], "--kk"),
        (["run", "sparse-ot", "--preset", "nothing"], "has no preset 'nothing'"),
        (["run", "sparse-ot", "--data", "no-such-set"], "no-such-set"),
        (["run", "sparse-ot", "-o", "run.txt"], "end it with .nc, .zarr"),
        (["run", "sparse-ot", "-o", "nowhere/run.nc"], "there is no folder nowhere"),
        (["figure", "sparse-ot", "-o", "x.pdf"], "name the picture"),
        (["figure", "sparse-ot:nothing", "-o", "x.pdf"], "there is no picture 'nothing'"),
        (["figure", "sparse-ot:plan"], "say where the figure goes"),
        (["figure", "sparse-ot:plan", "--width", "huge", "-o", "x.pdf"], "huge"),
        (
            ["figure", "sparse-ot:plan", "--width", "9" * 400, "-o", "x.pdf"],
            "it must be column or text, or a number of inches from 1 to 20",
        ),
        (["sweep", "sparse-ot", "--on", "9" * 400], "is no place to compute: it must be local:N (N worker processes)"),
        (["sweep", "sparse-ot", "--on", "local:" + "9" * 5000], "is no place to compute: it must be local:N"),
        (["figure", "sparse-ot:plan", "--from", "run.nc", "-o", "x.pdf"], "there is no file run.nc"),
        (
            ["figure", "sparse-ot:plan", "--from", "mine.npz", "-o", "x.pdf"],
            "can't be read as a result: give a .nc or .zarr",
        ),
        (["reproduce", "missing.pdf"], "there is no file missing.pdf: give a PDF"),
        (["reproduce", "."], ". is a folder: give a PDF"),
        (["reproduce", "pipe.pdf"], "pipe.pdf is no regular file: give a PDF"),
        (["show", "pipe.py"], "pipe.py is no regular file"),
        (
            ["run", "locality-denoisers", "--data", "broken.zip"],
            "0.png in broken.zip is a damaged picture: save it again",
        ),
        (
            ["run", "sparse-ot", "--port", "abc"],
            "--port is no option of lab run sparse-ot: see lab run sparse-ot --help",
        ),
        (["figure", "sparse-ot:plan", "--frames", "x"], "--frames x is not allowed: it must be a whole number"),
        (["serve", "--port", "abc"], "--port abc is not allowed: it must be a whole number"),
        (["serve", "missing.py"], "missing.py"),
        (["serve", "--port", "99999"], "--port 99999 is not allowed"),
    ],
    ids=lambda value: " ".join(value)[:80] if isinstance(value, list) else None,
)
def test_bad_input_is_one_sentence(words, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("mine.npz", cost=np.ones((2, 2)))
    for name in ("pipe.pdf", "pipe.py"):
        os.mkfifo(name)
    with zipfile.ZipFile("broken.zip", "w") as archive:
        for name in "0123456789":
            archive.writestr(f"{name}.png", b"\x89PNG\r\n\x1a\n and no more")
    assert says in refused(capsys, *words)


@pytest.mark.slow
def test_times_are_told_apart(capsys, mine):
    assert main(["run", "sparse-ot", "--data", str(mine), "--again"]) == 0
    assert re.search(r"time +[\d.]+ s(, after [\d.]+ s of compiling)? *\n", capsys.readouterr().out)
    assert _times(0.0, 11.04) == "under 0.001 s, after 11 s of compiling"
    assert _times(0.0213, 0.0) == "0.0213 s"


@pytest.mark.slow
def test_an_option_without_effect_is_told(capsys, mine):
    words = ["run", "sparse-ot", "--data", str(mine), "--regularizer", "quadratic"]
    assert main([*words, "--gamma", "0.5"]) == 0
    assert "changed nothing" not in capsys.readouterr().out
    assert main([*words, "--k", "3"]) == 0
    assert "--k 3 changed nothing: it has an effect only when regularizer is k-sparse" in capsys.readouterr().out


def test_no_value_is_a_dash():
    assert [_number(value) for value in (float("nan"), 0.25, 3, True)] == ["–", "0.25", "3", "yes"]


def test_a_port_in_use_is_told(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"port {port} is in use" in refused(capsys, "serve", "--port", str(port))


@pytest.mark.slow
def test_bad_files_are_one_sentence(capsys, tmp_path):
    rng = np.random.default_rng(5)
    good = {"cost": rng.uniform(size=(4, 3)), "a": np.full(4, 0.25), "b": np.full(3, 1 / 3)}
    for changes, says in [
        ({"cost": np.where(np.eye(4, 3) > 0, np.nan, good["cost"])}, "nan"),
        ({"a": np.array([0.5, 0.5, 0.25, -0.25])}, "-0.25"),
        ({"a": np.zeros(4)}, "positive"),
        ({"b": np.full(3, 0.5)}, "1.5"),
        ({"b": np.full(4, 0.25)}, "(4,)"),
    ]:
        path = tmp_path / "bad.npz"
        np.savez(path, **(good | changes))
        assert says in refused(capsys, "run", "sparse-ot", "--data", str(path), "--k", "1")
    np.save(tmp_path / "pickled.npy", np.array([{"a": 1}], dtype=object))
    assert "Python objects" in refused(capsys, "run", "sparse-ot", "--data", str(tmp_path / "pickled.npy"))
    (tmp_path / "text.npz").write_text("no archive")
    refused(capsys, "run", "sparse-ot", "--data", str(tmp_path / "text.npz"))


@pytest.mark.slow
def test_verify_prints_expected_against_measured():
    done = lab("verify", "diverse-subset", "--quick", "--json")
    rows = json.loads(done.stdout)
    assert done.returncode == 0, [row for row in rows if not row["holds"]]
    assert all({"expected", "measured", "tolerance", "source", "holds"} <= set(row) for row in rows)
    assert len(rows) >= 6


@pytest.mark.slow
def test_doctor_finds_the_lab_sound():
    done = lab("doctor", "sparse-ot")
    assert done.returncode == 0, done.stdout
    assert "float64" in done.stdout
    assert "default run ended (dual converged, plan infeasible) in" in done.stdout
    assert done.stderr.startswith("runs sparse-ot, compilation included")


@pytest.mark.slow
def test_an_array_that_nothing_reads_is_told_also_of_a_kept_run(tmp_path, capsys):
    cost = np.arange(12.0).reshape(3, 4)
    np.savez(tmp_path / "plain.npz", cost=cost)
    np.savez(tmp_path / "spoilt.npz", cost=cost, Costs=cost)
    words = ["-o", str(tmp_path / "run.nc")]
    for file, told in (("plain", ""), ("spoilt", "Costs in spoilt.npz ignored.")):
        assert main(["run", "sparse-ot", "--data", str(tmp_path / f"{file}.npz"), *words]) == 0
        assert ("ignored" in capsys.readouterr().out) == bool(told)
        with xr.open_dataset(tmp_path / "run.nc") as run:
            assert run.attrs["data_notices"] == told


def test_a_missing_file_lists_the_sets_of_its_kind_only(capsys):
    told = refused(capsys, "run", "sparse-ot", "--data", "zzzz.npz")
    assert "of kind transport are" in told
    assert "checkerboard" not in told


@pytest.mark.slow
def test_listings_need_neither_jax_nor_xarray(tmp_path):
    script = (
        "import sys\nfrom lab.cli import main\n"
        "assert main(sys.argv[1:]) == 0\n"
        "heavy = {'jax', 'xarray', 'holoviews', 'lab.studies'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    environment = {**os.environ, "LAB_HOME": str(tmp_path)}
    assert lab("list", env=environment).returncode == 0  # it tells what is kept from then on
    for words in (["list", "--json"], ["show", "sparse-ot"], ["runs"]):
        done = subprocess.run(
            [sys.executable, "-c", script, *words], capture_output=True, text=True, env=environment, check=False
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_what_computes_loads_nothing_that_draws():
    script = (
        "import sys\nfrom lab.cli import commands\nfrom lab.studies import catalogue\n"
        "assert len(catalogue()) > 30\n"
        "assert not {'holoviews', 'bokeh', 'matplotlib', 'panel'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_listing_that_is_kept_is_what_the_studies_say(monkeypatch, tmp_path):
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    first = telling.catalogue()
    assert [each["name"] for each in telling.catalogue()] == [study.slug for study in studies.catalogue()]
    assert telling.found("sparse-ot") == json.loads(json.dumps(telling.describe(studies.find("sparse-ot"))))
    monkeypatch.setattr("lab.code.ours", lambda without: "another state of the code")
    monkeypatch.setattr(telling, "describe", lambda study: {"name": study.slug.upper()})
    assert [each["name"] for each in telling.catalogue()] == [each["name"].upper() for each in first]


@pytest.mark.slow
def test_a_default_that_the_data_do_not_allow_moves_and_a_value_that_is_given_does_not(capsys, tmp_path):
    rows = tmp_path / "few.npy"
    np.save(rows, np.random.default_rng(3).normal(size=(9, 2)))
    assert main(["run", "diverse-subset", "--data", str(rows), "-o", str(tmp_path / "run.nc")]) == 0
    assert "k was 20, the data allow 1 to 9: set to 9\n" in capsys.readouterr().out
    with xr.open_dataset(tmp_path / "run.nc") as run:
        assert json.loads(run.attrs["parameters"])["k"] == 9
    assert main(["sweep", "diverse-subset", "--data", str(rows), "--seed", "0,1", "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "k was 20, the data allow 1 to 9: set to 9\n" in told
    told = refused(capsys, "run", "diverse-subset", "--data", str(rows), "--k", "20", "-o", str(tmp_path / "no.nc"))
    assert "k = 20 is not allowed: it must be a whole number from 1 to 9, the number of distinct rows" in told


@pytest.mark.parametrize("words", [["figure", "mine.py:mean"], ["run", "mine.py"]])
def test_a_users_file_is_read_with_float64_and_no_program_is_kept_beside_it(words, monkeypatch, capsys):
    """Its code could change the lab's as it runs, and a kept program would not know of it."""
    from lab import cli, home

    asked = []
    monkeypatch.setattr(home, "start", lambda ready=False: asked.append(ready))
    monkeypatch.setattr("lab.cli.commands.start", lambda ready=False: asked.append(ready))
    assert cli.main(words) == 2
    assert asked[0] is False
    assert "mine.py" in capsys.readouterr().err


def test_notebooks_are_built_once_although_the_clock_was_set_back(tmp_path, monkeypatch, capsys):
    """A file made before its source, by the clock, would be set aside and made again at each start."""
    pytest.importorskip("jupytext")
    script = tmp_path / "a.py"
    script.write_text("# %%\n1\n")
    later = script.stat().st_mtime + 366 * 24 * 3600
    os.utime(script, (later, later))
    monkeypatch.setattr(faces, "notebooks", lambda: tmp_path)
    for said in (True, False):
        assert main(["notebook", "--build-only"]) == 0
        assert ("built" in capsys.readouterr().out) is said
    assert {path.name for path in tmp_path.iterdir()} >= {"a.py", "a.ipynb"}
    assert not list(tmp_path.glob("*.before*"))
