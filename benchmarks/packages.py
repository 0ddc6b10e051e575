"""Wheel and sdist as others get them: built, checked, and installed in clean environments outside the source tree.

    python -m benchmarks.packages      # also: make dist

Each Python of 3.12 and 3.13 that is found makes an environment of its own: of the wheel alone, then with its extras, from the
index that pip knows. What is built lies in ``dist/``. The tests do the same with the libraries that are installed already.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from urllib.request import urlopen

ROOT = Path(__file__).parents[1]
PYTHONS = ("python3.12", "python3.13")
STUDY = ("sparse-ot", "--n", "16")
"""A run of seconds, of data that ship with the lab."""
_SHIPPED = """
from pathlib import Path
import lab
from lab.datasets import packaged
for key in packaged.FILES:
    packaged.content(key)
assert Path(lab.__file__).with_name("py.typed").exists()
print(lab.__file__)
"""


def ran(*command: str | Path, cwd: Path, **more: str) -> str:
    """What a command printed; raises RuntimeError with all of it where it failed."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")} | more
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def build(folder: Path) -> tuple[Path, Path]:
    """The sdist of this checkout, and the wheel that is made of the sdist, so that it holds all that a wheel needs."""
    hatch = (sys.executable, "-m", "hatchling", "build", "--directory", folder, "--target")
    ran(*hatch, "sdist", cwd=ROOT)
    (sdist,) = folder.glob("*.tar.gz")
    with tempfile.TemporaryDirectory() as unpacked, tarfile.open(sdist) as archive:
        archive.extractall(unpacked, filter="data")
        ran(*hatch, "wheel", cwd=next(Path(unpacked).iterdir()))
    (wheel,) = folder.glob("*.whl")
    return wheel, sdist


def check(*files: Path) -> None:
    """What an index would refuse, or not draw."""
    ran(sys.executable, "-m", "twine", "check", "--strict", *files, cwd=files[0].parent)


def core(commands: Path, folder: Path) -> None:
    """The commands of the wheel alone: listing, a run that is kept, a figure.

    Args:
        commands: the folder with the environment's ``lab`` and ``python``.
        folder: where to work, outside the source tree.
    """
    home = {"LAB_HOME": str(folder / "home")}
    names = [row["name"] for row in json.loads(ran(commands / "lab", "list", "--json", cwd=folder, **home))]
    assert "sparse-ot" in names
    assert len(names) >= 13, names
    where = ran(commands / "python", "-c", _SHIPPED, cwd=folder)
    assert Path(where.strip()).is_relative_to(commands.parent), where
    version = ran(commands / "python", "-m", "lab", "--version", cwd=folder)
    assert version == ran(commands / "lab", "--version", cwd=folder)
    ran(commands / "lab", "run", *STUDY, "-o", "run.nc", cwd=folder, **home)
    ran(commands / "lab", "figure", "sparse-ot:plan", "--from", "run.nc", "-o", "plan.pdf", cwd=folder, **home)
    assert (folder / "plan.pdf").read_bytes().startswith(b"%PDF")


def app(commands: Path, folder: Path) -> None:
    """The gallery answers."""
    environment = os.environ | {"LAB_HOME": str(folder / "home")}
    environment.pop("PYTHONPATH", None)
    served = subprocess.Popen(
        [commands / "lab", "serve", "--port", "0"], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert served.stdout is not None
        address = re.search(r"http://\S+", served.stdout.readline())
        assert address, "lab serve ended before it said its address"
        with urlopen(address[0], timeout=60) as answer:
            assert answer.status == 200
            assert b"</html>" in answer.read()
    finally:
        served.kill()
        served.wait()


def notebook(commands: Path, folder: Path) -> None:
    """The notebooks are built, in the folder of the user."""
    told = ran(commands / "lab", "notebook", "--build-only", cwd=folder, LAB_HOME=str(folder / "home"))
    built = list((folder / "home" / "notebooks").glob("*.ipynb"))
    assert len(built) >= 15, told
    assert told.count("built ") == len(built)


FACES = {"": core, "app": app, "notebook": notebook}


def size(folder: Path) -> float:
    """Mebibytes of the files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink()) / 2**20


def found() -> dict[str, str]:
    """The Pythons that are there, by name: a name may be there and start nothing."""
    there = {}
    for name in PYTHONS:
        script = "import sys; print(sys.executable, *sys.version_info[:2])"
        done = subprocess.run(
            [shutil.which(name) or "false", "-c", script], capture_output=True, text=True, check=False
        )
        if done.returncode == 0 and done.stdout.split()[1:] == name.removeprefix("python").split("."):
            there[name] = done.stdout.split()[0]
    return there


def main() -> None:
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    wheel, sdist = build(dist)
    check(wheel, sdist)
    print(*(f"{file.name}: {file.stat().st_size / 2**20:.2f} MiB" for file in (wheel, sdist)), sep="\n", flush=True)
    for name, python in found().items():
        with tempfile.TemporaryDirectory() as made:
            environment = Path(made, "environment")
            ran(python, "-m", "venv", environment, cwd=Path(made))
            commands = environment / "bin"
            (site,) = environment.glob("lib/python3.*/site-packages")
            bare = size(site)
            for extra, face in {**FACES, "all": core}.items():
                ran(commands / "pip", "install", f"{wheel}[{extra}]" if extra else wheel, cwd=Path(made))
                told = f"{name} {extra or 'core'}: {size(site) - bare:.0f} MiB"
                with tempfile.TemporaryDirectory() as folder:
                    face(commands, Path(folder))
                print(f"{told}, sound", flush=True)


if __name__ == "__main__":
    main()
