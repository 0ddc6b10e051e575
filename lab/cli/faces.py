"""The commands that open a page."""

import argparse
import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

from . import Refusal


def serve(arguments: argparse.Namespace) -> int:
    for file in arguments.files:
        if not Path(file).is_file() or not file.endswith(".py"):
            raise Refusal(f"{file} is no Python file: give the file of a study")
    if not 0 <= arguments.port <= 65535:
        raise Refusal(f"--port {arguments.port} is not allowed: it must be from 0 to 65535")
    try:
        import panel  # noqa: F401
    except ModuleNotFoundError:
        raise Refusal('the pages need Panel: pip install "transport-lab[app]"') from None
    from lab.home import start

    start()
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
    try:
        import jupytext
    except ModuleNotFoundError:
        raise Refusal('the notebooks need JupyterLab: pip install "transport-lab[notebook]"') from None
    folder = notebooks()
    for script in sorted(folder.glob("*.py")):
        built = script.with_suffix(".ipynb")
        if built.exists() and built.stat().st_mtime >= script.stat().st_mtime:
            continue  # yours may be in it
        if built.exists():
            shutil.copy2(built, built.with_suffix(".before.ipynb"))
        jupytext.write(jupytext.read(script), built)
        print(f"built {built}")
    if arguments.build_only:
        return 0
    command = [sys.executable, "-m", "jupyterlab", f"--port={arguments.port}", f"--ServerApp.root_dir={folder}"]
    if arguments.no_browser:
        command.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    return subprocess.call(command)


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
            shutil.copy2(script, copy)
    return folder
