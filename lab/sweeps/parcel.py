"""A task as it travels to another process."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import jax
import xarray as xr

from lab import studies

from . import batch
from .batch import Stop
from .plan import Task

type Cells = list[xr.Dataset | str]


class Parcel(NamedTuple):
    """A task, with its study by name, for its class may come from a file."""

    study: type[studies.Study] | str
    file: tuple[str, str] | None  # name and text of a user's file
    values: dict[str, Any]
    points: list[dict[str, Any]]
    size: int
    wide: bool  # float64

    @classmethod
    def of(cls, task: Task) -> "Parcel":
        kind = type(task.study)
        origin = getattr(sys.modules.get(kind.__module__), "__file__", None)
        loaded = kind.__module__.startswith("lab_user_") and origin
        file = (Path(origin).name, Path(origin).read_text()) if loaded else None  # type: ignore[arg-type]
        wide = bool(jax.config.jax_enable_x64)  # type: ignore[attr-defined]
        values = task.study.values()
        if isinstance(values["data"], str) and (path := Path(values["data"]).expanduser()).exists():
            values["data"] = str(path.resolve())
        return cls(kind.slug if file else kind, file, values, task.points, task.size, wide)

    def compute(self, stop: Stop, at_once: int = 1) -> Cells:
        """On the worker."""
        from lab.home import start

        start()
        jax.config.update("jax_enable_x64", self.wide)
        kind = self.study if isinstance(self.study, type) else _from_file(self.study, self.file)
        return batch.compute(kind(**self.values), self.points, self.size, stop, at_once)


_files: dict[tuple[str, str], TemporaryDirectory] = {}


def _from_file(slug: str, file: tuple[str, str] | None) -> type[studies.Study]:
    if file is not None and file not in _files:
        _files[file] = TemporaryDirectory(prefix="lab-study-")
        path = Path(_files[file].name, file[0])
        path.write_text(file[1])
        studies.load_file(path)
    return studies.find(slug)
