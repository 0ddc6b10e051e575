"""What goes wrong on a page stands there in a sentence: nobody waits for an answer that will not come."""

import logging
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary, WeakMethod

import panel as pn

from lab import inputs

from .log_filter import brief

_log = logging.getLogger("lab.app")
_log.addFilter(brief)
_tellers: WeakKeyDictionary[Any, WeakMethod] = (
    WeakKeyDictionary()
)  # weak on both sides: a session leads to its document


def attach(tell: Callable[[str], None]) -> None:
    """Have a bound method told of what goes wrong on the page that is being built."""
    if pn.state.curdoc is not None:
        _tellers[pn.state.curdoc] = WeakMethod(tell)


def sentence(problem: Exception, what: str = "something went wrong on this page", do: str = "") -> str:
    """A refusal as it is; anything else as ``fault`` tells it."""
    told = inputs.sentence(problem) if isinstance(problem, OSError) else str(problem)
    if isinstance(problem, ValueError | TypeError | OSError) and told and "\n" not in told and len(told) <= 1000:
        return told
    return fault(problem, what, do)


def fault(problem: Exception, what: str, do: str = "") -> str:
    """What went wrong, by its kind; its traceback is in the log.

    Args:
        what: went wrong.
        do: what the user can do then, if there is anything: it is said in place of the fault's own words.
    """
    _log.error(what, exc_info=problem)
    kind = type(problem).__name__
    return f"{what} ({kind}): {do}" if do else f"{what}: {kind}: {' '.join(str(problem).split())[:300]}"


def undrawn(problem: Exception, picture: str) -> str:
    """Of a picture, in which a ValueError is a fault like any other."""
    return fault(problem, f"{picture} could not be drawn", "choose other values")


def handle(problem: Exception, document: Any = None) -> None:
    """Tell the page; raises what nobody can be told of, as in a notebook."""
    document = pn.state.curdoc if document is None else document
    teller = _tellers.get(document) if document is not None else None
    tell = None if teller is None else teller()
    if tell is None:
        raise problem
    tell(sentence(problem))


def guarded[**P](call: Callable[P, object], document: Any = None) -> Callable[P, None]:
    """The same call, that tells the page what goes wrong in it."""

    def made(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            call(*args, **kwargs)
        except Exception as problem:
            handle(problem, document)

    return made
