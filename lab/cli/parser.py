"""What all commands share: their names, their parser, and the one way in which they refuse."""

import argparse
import re
from typing import Any, NoReturn

from lab.inputs import cut, shown

COMMANDS = {
    "list": "the studies there are",
    "show": "a study's parameters, data, presets, pictures, claims and results",
    "run": "compute a result, print its scalars, keep it as .nc or .zarr",
    "sweep": "run over a grid of parameters; what is kept is not computed again",
    "runs": "what is kept: list it, filter it, remove it",
    "open": "write a kept run, or that of a figure or a share, to a file, .nc or .zarr",
    "figure": "draw a picture at a journal's size as .pdf, .svg, .png, .eps or .pgf",
    "share": "a study or a kept sweep as one .html that needs no server: pictures, sliders, steps, claims",
    "reproduce": "compute a figure again from the recipe inside its file, and compare",
    "verify": "what the papers claim, against what is measured here",
    "serve": "open the lab in the browser",
    "notebook": "open the notebooks in JupyterLab",
    "doctor": "versions, devices, precision, a default run, the place of the store",
}


class Refusal(Exception):
    """Bad input: its text is the one sentence that the user sees."""


_KINDS = {"int": "a whole number", "float": "a number"}


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one sentence: what was given, what is allowed, what to do."""

    def __init__(self, command: str, **settings: Any):
        super().__init__(prog=f"lab {command}", allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        help = f"see {self.prog} --help"
        if unknown := re.fullmatch("unrecognized arguments: (.*)", message, re.DOTALL):
            from difflib import get_close_matches

            word = (unknown[1].split() or [shown("")])[0].partition("=")[0]
            close = get_close_matches(word[:80], self._option_string_actions, n=1, cutoff=0.75)
            hint = f"did you mean {close[0]}?" if close else help
            raise Refusal(f"{cut(word)} is no option of {self.prog}: {hint}")
        if wrong := re.fullmatch(r"argument (\S+): invalid (\w+) value: '(.*)'", message, re.DOTALL):
            option, kind, text = wrong.groups()
            raise Refusal(
                f"{option} {cut(text) or shown(text)} is not allowed: it must be {_KINDS.get(kind, kind)}; {help}"
            )
        raise Refusal(f"{cut(message, 200)}; {help}")


def printable(text: str) -> str:
    """A text from a file as a terminal may print it: its control characters would be obeyed, so they are spelt out."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", lambda found: ascii(found[0])[1:-1], text)
