"""An environment of one's own as a study: a step function in, learned policies, their returns and what they do out."""

import re
import sys
from collections.abc import Callable
from copy import copy
from typing import Any

from lab import code
from lab.choices import chosen
from lab.policy import environments
from lab.precision import need_float64
from lab.studies.contract import Paper, Pictures, register

from . import PolicyGradient

_BEGINS: dict[str, Any] = {
    "method": "N-PG-IGT",
    "g0": 0.3,
    "ratio": 0.01,
    "batch": 25,
    "batch_hessian": 25,
    "horizon": 100,
    "discount": 0.99,
    "seeds": 3,
    "updates": 60,
    "baseline": "others",
}


@chosen
def environment_study(
    title: str,
    step: Any,
    start: Any = None,
    actions: int = 0,
    *,
    kind: environments.Kind = "discrete",
    observe: Callable[[Any], Any] | None = None,
    about: str = "",
    slug: str = "",
    **defaults: Any,
) -> type[PolicyGradient]:
    """A study of an environment: policies that are learned in it by five methods, what they earn, and what they do.

    The study is known to every face of this process; in a file of one's own it serves ``lab serve my_environment.py`` and ``lab
    run my_environment.py`` too.

    Args:
        title: what headings say.
        step: (state, action) or (state, action, key) to (state, reward, done), of jax.numpy; or an environment as it is, of
            ``lab.policy.environments.own`` or ``foreign`` (gymnax and its like).
        start: the first state, or a function of a key that draws one.
        actions: how many there are, or how many coordinates a continuous action has.
        kind: of the actions, "discrete" or "continuous".
        observe: what a policy sees of a state; all its numbers when omitted.
        about: three sentences for the page.
        slug: its name on the command line; made of the title when omitted.
        defaults: of parameters, ``horizon=50``, ``updates=100``: what its page begins with.

    Raises:
        ValueError, TypeError: what does not fit together; the sentence says what was found.

    >>> import jax
    >>> jax.config.update("jax_enable_x64", True)
    >>> from lab import studies
    >>> Walk = studies.environment_study("Walk", lambda s, a: (s + a - 0.5, -(s**2), abs(s) > 5), 3.0, 2, updates=8, units=4)
    >>> Walk(horizon=10, seeds=1).run().sizes["rule"]
    1
    """
    need_float64("the study of an environment")
    slug = slug or re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    if not slug:
        raise ValueError(f"the title {title!r} has no letters to make a name of: give a slug")
    made = step if hasattr(step, "reset") else environments.own(step, start, actions, kind=kind, observe=observe)
    body: dict[str, Any] = {
        "slug": slug,
        "title": title,
        "own": made,
        "definition": "".join(code.text_of(each) for each in (step, start, observe) if each is not None),
        "about": about
        or f"{title}: policies that are learned from what they earn. Choose the method and the step. Look at the return, and "
        "at an episode before the training and after it.",
        "__module__": sys._getframe(1).f_globals.get("__name__", __name__),  # as namedtuple does: the caller defines it
    }
    if unknown := set(defaults) - set(_OwnEnvironment.parameters()):
        there = ", ".join(_OwnEnvironment.parameters())
        raise ValueError(f"{', '.join(sorted(unknown))}: no such parameter, to have a default; there are {there}")
    for name, value in (_BEGINS | defaults).items():
        body[name] = parameter = copy(_OwnEnvironment.param[name])
        parameter._validate(value)
        parameter.default = value
    found: Any = type(re.sub(r"\W+", "", title.title()) or "OwnEnvironment", (_OwnEnvironment,), body)
    register(found)
    return found


class _OwnEnvironment(PolicyGradient):
    """Everything that needs no gradient to be known."""

    slug = ""
    paper = Paper("you", "an environment of your own", "unpublished", 2026)
    story, presets, claims = None, (), ()
    pictures = Pictures(*(picture for picture in PolicyGradient.pictures if picture.name not in ("errors", "gaps")))

    @classmethod
    def parameters(cls) -> dict[str, Any]:
        return {name: each for name, each in super().parameters().items() if name != "environment" or not cls.slug}
