"""What every study of one's own is made with: its name, what tells it from others, its parameters, its data as a named set."""

import re
import sys
from collections.abc import Callable, Collection, Mapping
from copy import copy
from hashlib import sha256
from typing import Any, ClassVar

import equinox as eqx
import jax
import numpy as np

from lab import code
from lab.datasets.registry import register as offered
from lab.studies.contract import Paper, Pictures, Study, register

_IN_MEMORY = re.compile(" at 0x[0-9a-f]+")  # where a function is: in another process elsewhere


class OwnStudy(Study):
    """First base of the class that a study of one's own is made of; the study of the lab that does the work is the second.

    Attributes:
        brings: what is the user's, as its paper says it: "a generator".
        hidden: parameters that it leaves out, since what was brought stands in their place.
        definition: what tells it from another, see ``definition_of``.
    """

    slug = ""
    brings: ClassVar[str] = ""
    hidden: ClassVar[tuple[str, ...]] = ()
    definition: ClassVar[str] = ""
    story, presets, claims = None, (), ()

    @classmethod
    def parameters(cls) -> dict[str, Any]:
        return {name: parameter for name, parameter in super().parameters().items() if name not in cls.hidden}


def name_of(title: str, slug: str = "") -> str:
    """The slug, made of the title where none is given.

    Raises:
        ValueError: the title has no letters.
    """
    slug = slug or re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    if not slug:
        raise ValueError(f"the title {title!r} has no letters to make a name of: give a slug")
    return slug


def definition_of(*given: Any) -> str:
    """What tells two studies apart: the code of functions and modules, what all is printed as, a hash of every number in it.

    Give what a function answers too, where that can be tried: its code may read what is not in it.
    """
    texts, numbers = [], sha256()
    for each in given:
        texts += [code.text_of(each)] if callable(each) or isinstance(each, eqx.Module) else []
        texts.append(eqx.tree_pformat(each))
        for leaf in filter(eqx.is_array_like, jax.tree.leaves(each)):
            numbers.update(np.asarray(leaf).tobytes())
    return _IN_MEMORY.sub("", "\n".join(texts)) + numbers.hexdigest()


def make[S: OwnStudy](
    of: type[S],
    title: str,
    slug: str,
    values: Mapping[str, Any],
    *,
    without: Collection[str] = (),
    bounds: Mapping[str, tuple[int, int]] | None = None,
    **members: Any,
) -> type[S]:
    """The study, known to every face of this process, as a class of the module of whoever calls the caller.

    Args:
        of: what it is made of; its name, less the underscore, is that of a study whose title has no letters.
        values: of parameters, which its page begins with.
        without: pictures that say nothing here.
        bounds: of parameters which can't have others.
        members: what else is set in the class, ``hidden`` among them.

    Raises:
        ValueError, TypeError: a parameter that the study has not, a value it can't have, a name of the lab's own.
    """
    there = [name for name in of.parameters() if name not in members.get("hidden", ())]
    if unknown := sorted(set(values) - set(there)):
        raise ValueError(f"{', '.join(unknown)}: no such parameter, to have a default; there are {', '.join(there)}")
    members |= {
        "slug": slug,
        "title": title,
        "pictures": Pictures(*(picture for picture in of.pictures if picture.name not in without)),
        "paper": Paper("you", f"{of.brings} of your own", "unpublished", 2026),
        "reported": (),
        "__module__": _caller(),
    }
    for name, value in values.items():
        members[name] = parameter = copy(of.param[name])
        if bounds and name in bounds:
            parameter.bounds = parameter.soft = bounds[name]
        parameter._validate(value)
        parameter.default = value
    made: Any = type(re.sub(r"\W+", "", title.title()) or of.__name__.lstrip("_"), (of,), members)
    register(made)
    return made


def _caller() -> str:
    """The module that makes the study, as namedtuple finds it: a check of words (``chosen``) may stand between."""
    frame: Any = sys._getframe(3)
    while frame.f_globals.get("__name__") == "lab.choices":
        frame = frame.f_back
    return frame.f_globals.get("__name__", __name__)


def offer(
    name: str,
    title: str,
    arrays: Mapping[str, Any],
    summary: str = "Brought with the study.",
    *,
    build: Callable[..., dict[str, Any]] | None = None,
    beside: Mapping[str, Any] | None = None,
    **facts: Any,
) -> None:
    """What was brought as a named set of data, so that a page goes back to it and a recipe finds it again.

    Args:
        build: makes the fields of ``Data`` by options, where there are any.
        beside: fields beside the arrays, where there are none.
        facts: as for ``register`` of ``lab.datasets.registry``: what differs from samples that the user brought.
    """
    stated = {
        "kind": "samples",
        "source": "brought by the user",
        "licence": "the user's",
        "real": True,
        "has": tuple(arrays),
    }

    def whole() -> dict[str, Any]:
        return {"arrays": dict(arrays), **(beside or {})}

    offered(name=name, title=title, summary=summary, **(stated | facts))(build or whole)
