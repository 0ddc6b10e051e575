"""The recipe of a run: all that is needed to compute it again, as JSON, as code, as a command and as a link."""

import base64
import binascii
import json
import platform
import shlex
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any, Self
from urllib.parse import urlencode

import jax
import numpy as np

import lab
from lab import code, datasets
from lab.datasets import Data
from lab.inputs import shown

from .declaration import Declaration
from .parameters import as_text, option

RECIPE_FORMAT = 1
_EMBED = 1 << 20  # bytes of packed data that travel inside a recipe


class Recorded(Declaration):
    """A study whose runs can be written down and found again."""

    def recipe(self, data: Data | None = None) -> dict[str, Any]:
        """All that is needed to compute this run again, as plain JSON; ``from_recipe`` reads it."""
        data = self.load() if data is None else data
        named = isinstance(self.data, str) and datasets.entry_of(self.data) is not None
        origin = {"name": data.name, "title": data.title, "kind": data.kind, "sha256": data.sha256}
        origin |= {"axes": data.axes_sha256, "source": data.source, "licence": data.licence, "named": named}
        if not named:
            origin["embedded"] = _embedded(data)
        return {
            "format": RECIPE_FORMAT,
            "study": self.slug,
            "study_version": self.version,
            "code": code.of_user(type(self)),
            "reach": code.of_run(type(self)),
            "parameters": {name: _plain(value) for name, value in self.values().items()},
            "data": origin,
            "dtype": str(jax.dtypes.canonicalize_dtype(float)),
            "device": device(),
            "versions": versions(),
            "command": self.as_command(),
        }

    @classmethod
    def from_recipe(cls, recipe: Mapping[str, Any], data: "Data | str | None" = None) -> Self:
        """The study that a recipe describes, on the very data: embedded, or found by name, and checked by hash.

        A recipe is what somebody wrote into a file: it opens no path and names no code.

        Args:
            data: those of a recipe that neither holds nor names them, as the person at hand points to them.

        Raises:
            ValueError, TypeError: it is of another study, is not whole, or its data can't be had; in a sentence.
        """
        if recipe.get("study") != cls.slug:
            raise ValueError(f"the recipe is of the study {shown(recipe.get('study'))}, not of {cls.slug}")
        origin, parameters = recipe.get("data"), recipe.get("parameters")
        if cls.kind == datasets.NO_DATA and isinstance(parameters, Mapping):
            parameters = {"data": datasets.NO_DATA, **parameters}
        if not (
            isinstance(origin, Mapping) and isinstance(parameters, Mapping) and isinstance(origin.get("sha256"), str)
        ):
            raise ValueError("the recipe is damaged: it does not say its parameters and the SHA-256 of its data")
        embedded, name = origin.get("embedded"), parameters.get("data")
        if data is None and embedded:
            try:
                data = datasets.unpack(base64.b64decode(embedded, validate=True))
            except (TypeError, binascii.Error):
                raise ValueError("the recipe is damaged: the data inside are not what the lab packs") from None
        elif data is None and not (isinstance(name, str) and datasets.entry_of(name)):
            raise ValueError(
                f"the data {shown(name)} of the recipe have no name here and are not inside: give their file with --data"
            )
        made = cls(**{**parameters, "data": name if data is None else data})
        found = made.load().sha256
        if found != origin["sha256"]:
            raise ValueError(
                f"the data {shown(origin.get('name'))} are not those of the recipe: "
                f"their SHA-256 is {found[:12]}, it names {origin['sha256'][:12]}"
            )
        return made

    def attributes(self, data: Data) -> dict[str, Any]:
        """Of a result: the recipe, whole and in parts."""
        recipe = self.recipe(data)
        return {
            "title": self.title if self.kind == datasets.NO_DATA else f"{self.title}: {data.title}",
            "study": self.slug,
            "study_version": self.version,
            "paper": self.paper.short,
            "parameters": json.dumps(recipe["parameters"]),
            "data_name": data.name,
            "data_title": data.title,
            "data_sha256": data.sha256,
            "data_source": data.source,
            "data_licence": data.licence,
            "data_notices": data.said,
            "seed": self.seed,
            "dtype": recipe["dtype"],
            "device": recipe["device"],
            "versions": json.dumps(recipe["versions"]),
            "command": recipe["command"],
            "recipe": json.dumps(recipe),
        }

    def as_python(self) -> str:
        """Code that gives this very run."""
        values = {name: value.name if isinstance(value, Data) else value for name, value in self.changed().items()}
        arguments = ", ".join(f"{name}={value!r}" for name, value in values.items())
        if type(self).__module__.startswith("lab.studies."):
            header = f"from lab.studies import {type(self).__name__}\n\n"
        else:
            header = f"from lab import studies\n\n{type(self).__name__} = studies.find({self.slug!r})\n"
        return (
            f"import lab\n{header}lab.notebook()  # float64, and the pictures inline\n"
            f"study = {type(self).__name__}({arguments})\nresult = study.run()\n"
        )

    def as_command(self) -> str:
        """The shell command that gives this very run."""
        words = ["lab", "run", self.slug]
        for name, value in self.changed().items():
            words += [option(name), as_text(value)]
        return shlex.join(words)

    def as_link(self) -> str:
        """The address of this state on a lab server, from its root."""
        values = {name: as_text(value) for name, value in self.changed().items() if not isinstance(value, Data)}
        return f"/{self.slug}" + (f"?{urlencode(values)}" if values else "")


@lru_cache(maxsize=8)
def _embedded(data: Data) -> str:
    packed = datasets.pack(data)
    return base64.b64encode(packed).decode() if len(packed) <= _EMBED else ""


@cache
def device() -> str:
    """The device that JAX uses, in words."""
    first = jax.devices()[0]
    if first.platform == "cpu":
        import os

        return f"CPU, {os.cpu_count()} cores"
    return f"{first.platform.upper()}, {first.device_kind}"


@cache
def versions() -> dict[str, str]:
    """The versions that matter for a number."""
    from importlib.metadata import version

    return {"lab": lab.__version__, "python": platform.python_version()} | {
        name: version(name) for name in ("jax", "jaxlib", "numpy", "scipy", "xarray")
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Data):
        return value.name
    return value.item() if isinstance(value, np.generic) else value
