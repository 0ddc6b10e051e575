"""Whatever is chosen by a word refuses another word, in a sentence that says what was given and what is allowed."""

import importlib
import inspect
import pkgutil
import re
from typing import Literal

import numpy as np
import pytest

import lab
from lab.choices import check_choice, choices

# a name for people, a place in a tree, words of a sentence
FREE = {"name", "names", "what", "path", "needed", "message", "remedy", "other"}
COMPUTE = (*lab.FIELDS, "numerics")
UNCHECKED = {"diffusion"}  # experiments of single studies, which take names of the page as texts


def _members(parts):
    """Public functions and classes of these parts of the lab, each once."""
    found = {}
    for part in parts:
        package = importlib.import_module(f"lab.{part}")
        modules = [package] + [
            importlib.import_module(each.name) for each in pkgutil.iter_modules(package.__path__, f"lab.{part}.")
        ]
        for module in modules:
            for name, member in vars(module).items():
                if name[0] == "_" or not callable(member) or getattr(member, "__module__", "") != module.__name__:
                    continue
                found[f"{module.__name__}.{name}"] = member
                for method, function in vars(member).items() if isinstance(member, type) else ():
                    if method[0] != "_" and inspect.isfunction(function):
                        found[f"{module.__name__}.{name}.{method}"] = function
    return found


def _parameters(member):
    try:
        return list(inspect.signature(member).parameters.values())
    except (TypeError, ValueError):  # a type alias, a class without a signature
        return []


CHOSEN = [
    pytest.param(member, one, id=f"{place}-{one.name}")
    for place, member in _members(
        (*COMPUTE, "datasets", "figures", "sweeps", "store", "studies.contract", "studies.draw")
    ).items()
    for one in _parameters(member)
    if choices(one.annotation)
]


def test_choices_are_found():
    """By their annotations: a new one is covered by itself."""
    assert len(CHOSEN) >= 60
    assert {"solver", "method", "cost", "boundary", "loss", "scheme", "kernel", "band", "relation"} <= {
        parameter.name for _, parameter in (case.values for case in CHOSEN)
    }


def _door(member):
    """The check itself: in the tests a class is asked first whether all its arguments are there."""
    if not isinstance(member, type):
        return member
    door = member.__new__ if hasattr(member, "_fields") else member.__init__
    while "choices.py" not in door.__code__.co_filename:
        door = door.__wrapped__
    return lambda *args, **words: door(None, *args, **words)


@pytest.mark.parametrize(("member", "parameter"), CHOSEN)
def test_a_misspelt_word_is_refused(member, parameter):
    """Before anything else is asked of the other arguments, by name and by place."""
    door, allowed = _door(member), choices(parameter.annotation)
    wrong = f"{allowed[0]}_"
    said = re.escape(f"{parameter.name} = {wrong!r}, but it must be one of {', '.join(map(repr, allowed))}")
    with pytest.raises(ValueError, match=said):
        door(**{parameter.name: wrong})
    if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
        before = [(*choices(each.annotation), None)[0] for each in _parameters(member)]
        with pytest.raises(ValueError, match=said):
            door(*before[: [each.name for each in _parameters(member)].index(parameter.name)], wrong)


def test_no_choice_is_hidden_in_a_text():
    """A parameter of the mathematics that takes any text has a name that says so; fields of results and states, and what is
    checked at the door before, are not given by users."""
    within = r"lab\.ot\.(absent|ascent|entropic|solution|unbalanced\.(Relaxed|run|check))|\.(Work|cost_of_squared)$"
    hidden = [
        f"{place}({one})"
        for place, member in _members(part for part in COMPUTE if part not in UNCHECKED).items()
        for one in _parameters(member)
        if one.annotation in (str, str | None) and not choices(one.annotation) and one.name not in FREE
        if not re.search(within, place)
    ]
    assert not hidden


def test_what_else_is_allowed_is_said():
    from lab.paths.couplings import Cost

    check_choice("cost", abs, Cost)
    check_choice("cost", "norm", Cost)
    with pytest.raises(ValueError, match=r"cost = 'nrom', but it must be one of 'norm', 'half-squared' or a function$"):
        check_choice("cost", "nrom", Cost)
    with pytest.raises(ValueError, match=r"mode = None, but it must be one of 'a', 'b'$"):
        check_choice("mode", None, Literal["a", "b"])


def test_replaced_words_are_refused_at_the_door():
    from lab import ot

    p = ot.problem(np.eye(2))
    for config, said in (
        (ot.Sinkhorn()._replace(domain="lg"), "domain = 'lg'"),
        (ot.SinkhornNewton()._replace(backend="gpu"), "backend = 'gpu'"),
    ):
        with pytest.raises(ValueError, match=said):
            ot.solve(p, ot.Entropic(0.1), method=config)


def test_the_half_squared_cost_is_spelt_one_way():
    """It was taken for the norm."""
    from lab.paths import weighted

    for wrong in ("half_squared", "nonsense"):
        with pytest.raises(ValueError, match=f"cost = '{wrong}'"):
            weighted.Gibbs(1.5, wrong)
