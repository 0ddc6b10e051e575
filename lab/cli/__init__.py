"""The ``lab`` command. This module and the parser import nothing heavy, so that ``lab --help`` answers at once."""

import os
import re
import sys
import warnings
from typing import Any

from lab.home import leave_imports
from lab.inputs import SENTENCE, LeftOut, cut, sentence, shown

from .parser import COMMANDS, Parser, Refusal


def main(argv: list[str] | None = None) -> int:
    """Run one command. Returns 0 on success, 1 when a check fails, 2 on bad input."""
    from_shell = argv is None
    if from_shell:
        leave_imports()
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if argv[0] in ("-V", "--version"):
        from lab import __version__

        print(f"transport-lab {__version__}")
        return 0
    command, rest = argv[0], _glued(argv[1:])
    if from_shell and command != "notebook":  # whose kernels choose their own
        os.environ.setdefault("MPLBACKEND", "agg")  # a matplotlibrc in the current folder could name any module
    warnings.formatwarning = _warned
    try:
        if command not in COMMANDS:
            from difflib import get_close_matches

            close = get_close_matches(command[:80], COMMANDS, n=1)
            raise Refusal(
                f"there is no command {shown(command)}; " + (f"did you mean {close[0]}?" if close else "see lab --help")
            )
        return _dispatch(command, rest)
    except (Refusal, ValueError, TypeError, OSError) as problem:
        if os.environ.get("LAB_DEBUG"):
            raise
        print(cut(f"lab {cut(command, 20)}: {sentence(problem)}", SENTENCE), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"lab {command}: stopped", file=sys.stderr)
        return 130


def _dispatch(command: str, rest: list[str]) -> int:
    if command in (
        "run",
        "sweep",
        "figure",
        "share",
    ):  # their options are the study's parameters, so the study is read first
        if not rest or rest[0] in ("-h", "--help"):
            what = "STUDY:PICTURE" if command == "figure" else "STUDY"
            print(f"usage: lab {command} {what} [--PARAMETER VALUE ...] [options]\n\n{COMMANDS[command]}\n")
            print(f"A study's own options: lab {command} sparse-ot --help. The studies: lab list.")
            return 0
        if rest[0].startswith("-"):
            raise Refusal(f"the study comes first: lab {command} STUDY {cut(' '.join(rest))}")
    else:
        arguments = _plain_parser(command).parse_args(rest)
    if any(re.search(r"\.py(:|$)", word) for word in rest):  # a user's file may make arrays as it is read
        from lab.home import start

        start()
    if command in ("serve", "notebook"):
        from . import faces

        return getattr(faces, command)(arguments)
    if command == "sweep":
        from .sweep import sweep

        return sweep(rest[0], rest[1:])
    if command == "share":
        from .sharing import share

        return share(rest[0], rest[1:])
    if command in ("runs", "open"):
        from . import runs

        return runs.runs(arguments) if command == "runs" else runs.open_run(arguments)
    if command in ("list", "show"):
        from . import told

        return told.list_studies(arguments) if command == "list" else told.show(arguments)
    from . import commands

    if command in ("run", "figure"):
        return getattr(commands, command)(rest[0], rest[1:])
    return getattr(commands, command)(arguments)


def _plain_parser(command: str) -> Parser:
    parser = Parser(command, description=COMMANDS[command])
    if command in ("list", "show", "verify"):
        parser.add_argument("--json", action="store_true", help="machine-readable")
    if command == "show":
        parser.add_argument("study", metavar="STUDY", help="its name, or a .py file")
    if command in ("verify", "doctor"):
        left_out = "all studies" if command == "verify" else "one study"
        parser.add_argument("study", metavar="STUDY", nargs="?", help=f"{left_out} when left out")
    if command == "doctor":
        parser.add_argument("--whole", action="store_true", help="run the defaults of all studies: some minutes")
    if command == "verify":
        parser.add_argument("--quick", action="store_true", help="only the claims that take seconds")
    if command in ("runs", "open"):
        from . import runs

        runs.runs_options(parser) if command == "runs" else runs.open_options(parser)
    if command == "reproduce":
        parser.add_argument(
            "file", metavar="FIGURE-FILE", help="a .pdf, .svg, .png, .eps, .pgf, .gif, .mp4 or .html made by the lab"
        )
        parser.add_argument("--study", metavar="FILE.py", help="the file of its study, where that is not installed")
        parser.add_argument("--data", metavar="PATH", help="its data, where the figure neither names nor holds them")
    if command == "serve":
        parser.add_argument("files", metavar="FILE.py", nargs="*", help="studies of yours, beside the built-in ones")
        parser.add_argument("--port", type=int, default=5006, help="default 5006; 0 takes a free one")
        parser.add_argument("--host", default="127.0.0.1", help="default 127.0.0.1: this machine only")
        parser.add_argument("--open", action="store_true", help="open the browser")
        from . import serving

        serving.options(parser)
    if command == "notebook":
        parser.add_argument("--port", type=int, default=8888)
        parser.add_argument("--build-only", action="store_true", help="write the .ipynb files and stop")
        parser.add_argument("--no-browser", action="store_true")
    return parser


_as_python = warnings.formatwarning


def _warned(message: Warning | str, category: type[Warning], *where: Any) -> str:
    """A warning on the terminal: what was left out is told in its sentence, without the line of code that told it."""
    return f"lab: {message}\n" if issubclass(category, LeftOut) else _as_python(message, category, *where)


def _overview() -> str:
    lines = [f"  {name:<10} {says}" for name, says in COMMANDS.items()]
    return "\n".join(
        [
            "usage: lab COMMAND ...",
            "",
            "Play with the mathematics of transport until it is understood, and leave with the figure.",
            "",
            *lines,
            "",
            "lab COMMAND --help says more. Try: lab run sparse-ot --k 2 -o run.nc",
        ]
    )


def _glued(words: list[str]) -> list[str]:
    """``--gamma -1e-3`` as ``--gamma=-1e-3``: argparse takes a negative number in this form for an option."""
    out: list[str] = []
    for word in words:
        if out and re.fullmatch(r"--[\w-]+", out[-1]) and re.fullmatch(r"-(\d|\.\d|inf|nan).*", word):
            out[-1] += f"={word}"
        else:
            out.append(word)
    return out
