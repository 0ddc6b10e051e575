"""Commands of ``benchmarks/`` at their smallest size: each runs and ends with the line of JSON that all of them share."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import jax
import pytest

COMMANDS = {
    "compile": "draws uniform --axes 1 --turns 1",
    "couplings": "--sizes 16 --dimensions 2 --repeats 1",
    "denoise": "--images 20 --levels 2 --repeats 1",
    "derivatives": "--sizes 16 --epsilons 0.1 --repeats 1",
    "diffusion": "--starts 2 --repeats 1",
    "dpp": "--designs 2 --draws 2 --rounds 1 --rules dpp --items 40 --large 200",
    "entropic": "--sizes 16 --dimensions 2 --epsilons 0.05 --seeds 1",
    "first_picture": "runs diverse-subset",
    "fuzz": "--problems 1 --doors balanced",
    "inverse": "--methods hqs --repeats 1",
    "maid": "--pixels 48 --images 1 --budget 5 --repeats 1",
    "monge_maps": "--batch 8 --dimensions 2 --steps 1 --repeats 1",
    "numbers": "keep {folder} --studies diverse-subset --runs default",
    "ode": "--batch 2 --repeats 1",
    "partial": "--sizes 16 --clusters 2 --rhos 1 --epsilons 0.1 --seeds 1",
    "paths": "--particles 2 --steps 2 --images 20 --repeats 1",
    "policy": "--seeds 2 --updates 20 --repeats 1",
    "semidiscrete": "--targets 8 --dimension 2 --iterations 4 --batch 8 --repeats 1 --tested 100",
    "shape_spectra": "--k 8 --repeats 1 --meshes person",
    "sliced": "--sizes 16 --dimensions 2 --directions 2 --repeats 1",
    "sparse_ot": "--sizes 16 --ks 2 --repeats 1",
    "stability": "--share 40",
    "sweep": "--n 16 --cells 4",
    "traffic": "--frames 2 --agents 4 --repeats 1 --roads 1",
}
IN_A_BROWSER = {"page_latency": "--presses 1 --cases k-32"}
# Random problems, which hand lists and files over as a user does: in a process whose types are not checked.
FUZZ = tuple(f"fuzz_{field}" for field in ("files", "inverse", "learning", "numerics", "paths", "sampling", "shapes"))
# Commands that are not run here, and why. Soak has tests/test_soak.py.
NOT_RUN = {
    "packages": "installs from a package index; tests/test_packages.py tests it without one",
    "shares": "prints the line, but a share computes every value of a slider: a minute for the smallest study",
}


def test_every_command_is_listed():
    folder = Path(__file__).parents[1] / "benchmarks"
    found = {path.stem for path in folder.glob("*.py") if "\ndef main(" in path.read_text()}
    assert found - {"fuzzing"} == {*COMMANDS, *IN_A_BROWSER, *FUZZ, *NOT_RUN}


def not_finite(word):
    raise AssertionError(f"the line of JSON has {word}")


def checked(name, output):
    """Assert that the output ends with the line of JSON, and that no problem failed."""
    line = json.loads(output.splitlines()[-1], parse_constant=not_finite)
    assert line["benchmark"] == name
    assert {"options", "rows", "absent", "machine"} <= {*line}
    assert {"cores", "jax", "python"} <= {*line["machine"]}
    for row in line["rows"]:
        assert {*row} == {"size", "seconds", "ratio", "compile_seconds", "found"}
        assert row["seconds"]["lab"] is not None
    assert line["rows"]
    assert line.get("failed", 0) == 0, output


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", COMMANDS)
def test_smallest_size(name, capsys, tmp_path):
    with jax.numpy_rank_promotion("allow"):  # as outside of the tests: peers rely on it
        import_module(f"benchmarks.{name}").main(COMMANDS[name].format(folder=tmp_path).split())
    checked(name, capsys.readouterr().out)


@pytest.mark.browser
@pytest.mark.parametrize("name", IN_A_BROWSER)
def test_smallest_size_in_a_browser(name, capsys):
    import_module(f"benchmarks.{name}").main(IN_A_BROWSER[name].split())
    checked(name, capsys.readouterr().out)


@pytest.mark.slow
def test_random_problems_hold():
    code = "import sys; from importlib import import_module"
    code += "\nfor name in sys.argv[1:]: import_module(f'benchmarks.{name}').main(['--problems', '4']), print('END')"
    done = subprocess.run(
        [sys.executable, "-c", code, *FUZZ], capture_output=True, text=True, cwd=Path(__file__).parents[1]
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for name, output in zip(FUZZ, done.stdout.split("END\n"), strict=False):
        checked(name, output)
