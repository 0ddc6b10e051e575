"""What a command writes: checked before anything is computed, whole or not at all, over nothing but what the lab wrote."""

import os
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from os.path import expanduser, isdir
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab import disk, inputs
from lab.inputs import cut, shown

from .parser import Refusal

if TYPE_CHECKING:
    import xarray as xr

SEPARATORS = tuple(filter(None, (os.sep, os.altsep)))
FORMATS = {".pdf", ".svg", ".png", ".eps", ".pgf", ".gif", ".mp4"}
SHARED = {".html"}


def target_of(output: str | None, formats: set[str]) -> Path | None:
    """The path of ``-o``, refused where nothing can be written to it."""
    if output is None:
        return None
    target = Path(expanduser(output))
    if output.endswith(SEPARATORS):
        raise Refusal(f"-o {cut(output)} ends like a folder: leave out the {output[-1]}")
    if target.suffix.lower() not in formats:
        raise Refusal(
            f"-o {cut(output) or shown(output)} has no known format: end it with {', '.join(sorted(formats))}"
        )
    if not isdir(target.parent):
        raise Refusal(f"-o {cut(output)}: there is no folder {cut(target.parent)}")
    disk.check(
        target, _is_figure if target.suffix.lower() in FORMATS | SHARED else _is_result
    )  # refuse before computing
    return target


def _is_figure(path: Path) -> bool:
    from lab.figures.export import is_figure

    return is_figure(path)


def save(result: "xr.Dataset", target: Path) -> None:
    """Write whole or not at all, over nothing but an earlier result."""

    def make(part: Path) -> None:
        # From memory: HDF5 crashes the process at its exit where it could not write all of an open file, and threads of zarr
        # go on writing after one of them has failed.
        if target.suffix.lower() == ".zarr":
            from zarr.storage import MemoryStore

            files: dict[str, Any] = {}
            result.to_zarr(MemoryStore(files), consolidated=False)
            for name, content in files.items():
                (part / name).parent.mkdir(parents=True, exist_ok=True)
                (part / name).write_bytes(content.to_bytes())
        else:
            part.write_bytes(result.to_netcdf(engine="h5netcdf"))

    disk.write(target, make, replaces=_is_result)


def _is_result(path: Path) -> bool:
    """Whether the lab wrote that file, or that folder and all in it, as the result of a run or a sweep."""
    from lab.datasets import containers

    with suppress(OSError, ValueError, KeyError, TypeError):
        if path.is_file():
            with inputs.opened(path, sys.maxsize) as file:
                return _tells_of_a_run(containers.texts(cut(path.name), file, ["study", "recipe"]))
        arrays = re.compile(r"([^/]+/)?zarr\.json|[^/]+/c(/\d+)*")
        within = [(each, each.relative_to(path).as_posix()) for each in path.rglob("*")]
        if all(arrays.fullmatch(name) and not each.is_symlink() for each, name in within if not each.is_dir()):
            return _tells_of_a_run(inputs.parsed(inputs.content(path / "zarr.json"))["attributes"])
    return False


def _tells_of_a_run(attrs: Mapping[str, Any]) -> bool:
    """Attributes that only the lab writes: others have studies too."""
    study, recipe = attrs["study"], attrs["recipe"]
    return isinstance(study, str) and is_object(recipe) and inputs.parsed(recipe).get("study") == study


def is_object(text: Any) -> bool:
    """A text that is a JSON object."""
    try:
        return isinstance(text, str) and isinstance(inputs.parsed(text), dict)
    except ValueError:
        return False
