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


class Packed(NamedTuple):
    """A study as it travels: its class by name where that comes from a user's file."""

    study: type[studies.Study] | str
    file: tuple[str, str] | None  # name and text of a user's file
    values: dict[str, Any]
    wide: bool  # float64

    @classmethod
    def of(cls, study: studies.Study) -> "Packed":
        kind = type(study)
        origin = getattr(sys.modules.get(kind.__module__), "__file__", None)
        loaded = kind.__module__.startswith("lab_user_") and origin
        file = (Path(origin).name, Path(origin).read_text()) if loaded else None  # type: ignore[arg-type]
        wide = bool(jax.config.jax_enable_x64)  # type: ignore[attr-defined]
        values = study.values()
        if isinstance(values.get("data"), str) and (path := Path(values["data"]).expanduser()).exists():
            values["data"] = str(path.resolve())
        return cls(kind.slug if file else kind, file, values, wide)

    def open(self) -> studies.Study:
        """The study, in the other process."""
        from lab.home import start

        start()
        jax.config.update("jax_enable_x64", self.wide)
        kind = self.study if isinstance(self.study, type) else _from_file(self.study, self.file)
        return kind(**self.values)


class Parcel(NamedTuple):
    """A task of a sweep."""

    study: Packed
    points: list[dict[str, Any]]
    size: int

    @classmethod
    def of(cls, task: Task) -> "Parcel":
        return cls(Packed.of(task.study), task.points, task.size)

    def compute(self, stop: Stop, at_once: int = 1) -> Cells:
        """On the worker."""
        return batch.compute(self.study.open(), self.points, self.size, stop, at_once)


_files: dict[tuple[str, str], TemporaryDirectory] = {}


def _from_file(slug: str, file: tuple[str, str] | None) -> type[studies.Study]:
    if file is not None and file not in _files:
        _files[file] = TemporaryDirectory(prefix="lab-study-")
        path = Path(_files[file].name, file[0])
        path.write_text(file[1])
        studies.load_file(path)
    return studies.find(slug)
