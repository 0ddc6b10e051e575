"""The outputs of an experiment: one annotated structure whose fields are the results of a run."""

import inspect
import sys
from collections.abc import Iterator, Mapping
from types import ModuleType, NoneType, UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

import equinox as eqx
import numpy as np

from lab.numerics import Reason
from lab.numerics.host import placed

from .declare import Result

OF_RUNS = ("iterations", "converged")  # variables of every result, which compute does not set


def out(label: str, doc: str, **declared: Any) -> Any:
    """Declare a field of ``Outputs``.

    Args:
        label: a few words under the number, on a page or on an axis.
        doc: one sentence.
        declared: what else ``Result`` has: ``unit``, ``headline``, ``judge``, ``absent``, ``undefined``, ``half``. Only a field
            with ``absent`` may be left unset.

    Returns:
        the default of the field.

    Raises:
        TypeError: an attribute that ``Result`` does not have.

    Examples:
        >>> from jaxtyping import Array, Float
        >>> from lab.studies import Outputs, out
        >>> class Square(Outputs):
        ...     y: Float[Array, "point"] = out("square", "of each point", unit="m²")
        >>> [(result.name, result.dims, result.unit) for result in Square.results()]
        [('y', ('point',), 'm²')]
    """
    result = Result("", (), label, doc, **declared)
    return eqx.field(metadata={"result": result}, kw_only=True, converter=_array, default=None)


def _array(value: Any) -> Any:
    """Numbers of the host become arrays of JAX; text stays, and so does what ``jax`` traces."""
    array = value if value is None or hasattr(value, "dtype") else np.asarray(value)
    return placed(array) if isinstance(array, np.ndarray | np.generic) and array.dtype.kind in "biufc" else array


class Outputs(eqx.Module):
    """Base of the outputs of a study: each field is an array of the result, annotated with dtype and dimensions.

    ``Float[Array, "row col"]`` declares a variable with the dimensions ``row`` and ``col``. A field that some runs lack is
    annotated ``... | None``, and its ``absent`` states why. ``iterations`` and ``converged`` come from the ``Run``; a study
    that labels them in its own way declares them and leaves them unset.
    """

    def __check_init__(self) -> None:
        for name, field in self.__dataclass_fields__.items():
            if getattr(self, name) is None and not field.metadata["result"].absent and name not in OF_RUNS:
                raise ValueError(
                    f"{type(self).__name__}.{name} is not set: set it, or annotate it with | None and state in absent= why "
                    "some runs have none"
                )

    @classmethod
    def results(cls) -> tuple[Result, ...]:
        """The declared variables, in order.

        Raises:
            TypeError: a field without ``out``, whose annotation names no array, or with the name of a module that its file
                imports (the key of a run would then contain the code of that entire module).
        """
        home = sys.modules.get(cls.__module__)
        if clash := [name for name in cls.__dataclass_fields__ if isinstance(getattr(home, name, None), ModuleType)]:
            raise TypeError(
                f"{cls.__name__}.{clash[0]} has the name of a module imported in its file: rename the field, or import names "
                "from the module"
            )
        hints = get_type_hints(cls)
        return tuple(_declared(cls, field, hints[field.name]) for field in cls.__dataclass_fields__.values())

    def arrays(self) -> dict[str, Any]:
        """The arrays that are present, by name."""
        found = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: value for name, value in found.items() if value is not None}


class Run[T: Outputs](NamedTuple):
    """Outputs of one run, with what is no array of its result.

    Attributes:
        outputs: the arrays of the result.
        reason: why the run ended, a ``lab.numerics.Reason``; converged for direct computations.
        iterations: of an iterative method.
        warm: the state from which a run with neighboring parameters may start.
        coords: values along dimensions, by the name of the dimension; ``Study.coords`` may label them.
    """

    outputs: T
    reason: Any = Reason.CONVERGED
    iterations: Any = None
    warm: Any = None
    coords: Mapping[str, Any] = {}

    def flat(self) -> dict[str, Any]:
        """All arrays by name, with ``reason``, and ``iterations`` and ``warm`` if there are any."""
        more = {"iterations": self.iterations, "warm": self.warm}
        named = {name: value for name, value in more.items() if value is not None}
        return self.outputs.arrays() | dict(self.coords) | named | {"reason": self.reason}


def outputs_of(compute: Any) -> type[Outputs] | None:
    """The structure that a function returns, by its annotation ``-> Run[T]`` or ``-> T``; None if it names none.

    Args:
        compute: the function.

    Returns:
        a subclass of ``Outputs``, or None.
    """
    function = inspect.unwrap(getattr(compute, "__func__", compute))
    annotation = getattr(function, "__annotations__", {}).get("return")
    if isinstance(annotation, str):
        annotation = get_type_hints(function)["return"]
    found = get_args(annotation)[0] if get_origin(annotation) is Run else annotation
    return found if isinstance(found, type) and issubclass(found, Outputs) else None


def _declared(cls: type, field: Any, annotation: Any) -> Result:
    if "result" not in field.metadata:
        raise TypeError(f"{cls.__name__}.{field.name} has no declaration: write {field.name}: ... = out(label, doc)")
    given = field.metadata["result"]
    dims = next((each.dim_str for each in _parts(annotation) if hasattr(each, "dim_str")), None)
    if dims is None or not all(dim.isidentifier() for dim in dims.split()):
        raise TypeError(
            f"{cls.__name__}.{field.name} is annotated {annotation}: annotate an array with named dimensions, as in "
            'Float[Array, "row col"]'
        )
    return Result(field.name, tuple(dims.split()), **{name: getattr(given, name) for name in _REST})


_REST = [name for name in Result.__dataclass_fields__ if name not in ("name", "dims")]


def _parts(annotation: Any) -> Iterator[Any]:
    """The members of a union, nested ones included."""
    if get_origin(annotation) in (Union, UnionType):
        for each in get_args(annotation):
            yield from _parts(each)
    elif annotation is not NoneType:
        yield annotation
