"""The commands that open a page."""

import argparse
import errno
import itertools
import os
import subprocess
import sys
from pathlib import Path

from lab import disk
from lab.inputs import cut, shown

from .parser import Refusal


def serve(arguments: argparse.Namespace) -> int:
    for file in arguments.files:
        if not Path(file).is_file() or not file.endswith(".py"):
            raise Refusal(f"{cut(file) or shown(file)} is no Python file: give the file of a study")
    _port(arguments.port)
    try:
        import panel  # noqa: F401
    except ModuleNotFoundError:
        raise Refusal('the pages need Panel: pip install "transport-lab[app]"') from None
    from lab.home import start

    start(ready=True)
    from lab import app

    from . import serving

    try:
        app.serve(
            arguments.files,
            port=arguments.port,
            host=arguments.host,
            show=arguments.open,
            **serving.settings(arguments),
        )
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        why = f"port {arguments.port} is in use: end what is served there, or give another with --port"
        raise Refusal(why) from None
    sys.stdout.flush()
    os._exit(0)  # nobody waits for what still runs; what the store has committed is whole


def notebook(arguments: argparse.Namespace) -> int:
    _port(arguments.port)
    try:
        import jupytext
    except ModuleNotFoundError:
        raise Refusal('the notebooks need JupyterLab: pip install "transport-lab[notebook]"') from None
    folder = notebooks()
    for script in sorted(path for path in folder.glob("*.py") if path.suffixes == [".py"]):  # none that was kept apart
        built = script.with_suffix(".ipynb")
        if built.exists() and built.stat().st_mtime >= script.stat().st_mtime:
            continue  # yours may be in it
        _keep_apart(built)
        disk.write(built, jupytext.writes(jupytext.read(script), fmt="ipynb").encode())
        _date(built, script)
        print(f"built {built}")
    if arguments.build_only:
        return 0
    # -P: the server imports nothing from the current folder. Kernels import modules beside their notebooks, as in any Jupyter.
    command = [sys.executable, "-P", "-m", "jupyterlab", f"--port={arguments.port}", f"--ServerApp.root_dir={folder}"]
    if arguments.no_browser:
        command.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    if not sys.stdin.isatty():  # nobody is there to be asked, as JupyterLab does after a Ctrl-C
        command.append("-y")
    if os.name == "nt":  # where a process can't become another
        return subprocess.call(command)
    sys.stdout.flush()
    os.execv(command[0], command)  # one process: what ends it ends JupyterLab, which ends its kernels


def _port(port: int) -> None:
    if not 0 <= port <= 65535:
        raise Refusal(f"--port {shown(port)} is not allowed: it must be from 0 to 65535")


def notebooks() -> Path:
    """The folder of the notebooks: that of the checkout, or a copy under LAB_HOME of those in the package."""
    import lab
    from lab.home import home

    package = Path(lab.__file__).parent
    checkout = package.parent / "notebooks"
    if (package.parent / "pyproject.toml").is_file() and checkout.is_dir():
        return checkout
    folder = home() / "notebooks"
    folder.mkdir(parents=True, exist_ok=True)
    for script in (package / "notebooks").glob("*.py"):
        copy = folder / script.name
        if not copy.exists() or copy.stat().st_mtime < script.stat().st_mtime:
            _keep_apart(copy)
            disk.write(copy, script.read_bytes())
            _date(copy, script)
    return folder


def _date(made: Path, source: Path) -> None:
    """Where the clock was set back, give a file the time of its source: it would be made again at each start."""
    if made.stat().st_mtime < (time := source.stat().st_mtime):
        os.utime(made, (time, time))


def _keep_apart(path: Path) -> None:
    """What you may have written into a notebook that is to be replaced stays beside it, under a name that is free."""
    if path.exists():
        names = (path.with_suffix(f".before{count or ''}{path.suffix}") for count in itertools.count())
        disk.write(next(name for name in names if not name.exists()), path.read_bytes())
