"""A study of a user's own environment: its step function, and policies that are learned in it."""

from collections.abc import Callable
from typing import Any

from lab.choices import chosen
from lab.policy import environments
from lab.precision import need_float64
from lab.studies.contract import Pictures
from lab.studies.vocabulary.own import OwnStudy, definition_of, make, name_of

from .policy_gradient import PolicyGradient

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
    """Make a study of your own environment: policies of five methods, their returns and their episodes.

    Every interface of this process knows the study; in a file of yours it also serves ``lab serve my_environment.py`` and
    ``lab run my_environment.py``.

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
    slug = name_of(title, slug)
    made = step if hasattr(step, "reset") else environments.own(step, start, actions, kind=kind, observe=observe)
    return make(
        _OwnEnvironment,
        title,
        slug,
        _BEGINS | defaults,
        own=made,
        definition=definition_of(step, start, observe),
        about=about
        or f"{title}: policies that five methods learn from rewards. Choose the method and the step. Look at the return, and "
        "at an episode before and after training.",
    )


class _OwnEnvironment(OwnStudy, PolicyGradient):
    """Everything that needs no gradient to be known."""

    brings = "an environment"
    hidden = ("environment",)
    pictures = Pictures(*(picture for picture in PolicyGradient.pictures if picture.name not in ("errors", "gaps")))
