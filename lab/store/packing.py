"""Many runs as one Dataset with a leading dimension ``cell``, and each of them back exactly as it was.

A packed Dataset says what differs between its cells:

- a data variable has the leading dimension ``cell``, padded (NaN, 0, False or "") to the widest cell; the coordinate
  ``<dim>_size`` (cell,) holds how far each cell goes, where that differs;
- a coordinate is shared where all cells agree, be it that one's is the beginning of another's; elsewhere it has the
  dimension ``cell`` too, and is called ``<name>__cell`` where it labels a dimension;
- attributes that all cells share stay where they were; the others, and those that JSON has no form for, are in the
  coordinate ``cell_attrs`` (cell,), as JSON.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import xarray as xr

CELL = "cell"
_OWN = "cell_attrs"
_CELL_OF_RUN = "cell_"  # what a run's own dimension or variable "cell" is called while packed
_NONE = object()


class _Column(NamedTuple):
    """A variable without xarray's checks: thousands are handled for each that is shown."""

    dims: tuple[Any, ...]
    values: np.ndarray
    attrs: Mapping[str, Any]


class _Part(NamedTuple):
    """Some cells of one layout. ``own`` is what ``cell_attrs`` says of each cell, decoded."""

    count: int
    sizes: dict[str, np.ndarray]  # dim -> (count,)
    data: dict[str, _Column]  # with leading cell
    coords: dict[str, _Column]  # with or without
    attrs: Mapping[str, Any]
    order: list[str]
    own: list[dict[str, Any]]


def pack(cells: "Sequence[xr.Dataset]") -> "xr.Dataset":
    """The Datasets of several runs of one study as one, stacked along ``cell``; ``unpack`` gives each back.

    Args:
        cells: at least one; they may differ in the sizes of their dimensions, in coordinates and in attributes.

    Returns:
        a Dataset with the dimension ``cell``, padded to the widest run.

    Raises:
        ValueError: nothing is given, or a variable has other dimensions or another kind of values in one run than in another.

    Examples:
        >>> import xarray as xr
        >>> from lab import store
        >>> packed = store.pack([xr.Dataset({"error": ("iteration", [1.0, 0.5])}), xr.Dataset({"error": ("iteration", [1.0])})])
        >>> packed.error.values.tolist()
        [[1.0, 0.5], [1.0, nan]]
    """
    if not cells:
        raise ValueError("there is nothing to pack: give at least one Dataset")
    return _joined([_of_run(cell) for cell in cells])


def unpack(packed: "xr.Dataset", index: int) -> "xr.Dataset":
    """One run of a packed Dataset, as it was before ``pack``: values, dtypes, coordinates, attributes.

    Args:
        packed: what ``pack`` gave.
        index: the place of the run along ``cell``.

    Returns:
        its Dataset.

    Examples:
        >>> import xarray as xr
        >>> from lab import store
        >>> runs = [xr.Dataset({"error": ("iteration", [1.0, 0.5])}), xr.Dataset({"error": ("iteration", [1.0])})]
        >>> store.unpack(store.pack(runs), 1).identical(runs[1])
        True
    """
    import xarray as xr

    part = _of_packed(packed, [index])
    own = part.own[0]

    def cut(name: str, variable: _Column) -> "xr.Variable":
        per_cell = CELL in variable.dims
        dims = variable.dims[1:] if per_cell else variable.dims
        values = variable.values[:1] if per_cell else variable.values[None]
        values = values[(slice(None), *(slice(part.sizes[str(dim)][0]) for dim in dims))]
        values = values.astype(own.get("dtypes", {}).get(name, values.dtype)).reshape(values.shape[1:])
        attrs = {**variable.attrs, **own.get("variables", {}).get(name, {})}
        return xr.Variable([CELL if dim == _CELL_OF_RUN else dim for dim in dims], values, attrs)

    def all_of(columns: Mapping[str, _Column]) -> "dict[str, xr.Variable]":
        there = {name: column for name, column in columns.items() if name not in own.get("absent", ())}
        return {CELL if name == _CELL_OF_RUN else name: cut(name, column) for name, column in there.items()}

    attrs = {**part.attrs, **own.get("attrs", {})}
    return xr.Dataset(all_of(part.data), all_of(part.coords), _in_order(attrs, part.order))


def joined(batches: "Sequence[tuple[xr.Dataset, Sequence[int]]]") -> "xr.Dataset":
    """The given cells of packed Datasets as one packed Dataset, the same however the cells were batched."""
    return _joined([_of_packed(packed, rows) for packed, rows in batches])


def cell_attrs(packed: "xr.Dataset", name: str) -> list[Any]:
    """A Dataset attribute, for each cell; None where a cell has none."""
    return [own.get("attrs", {}).get(name, packed.attrs.get(name)) for own in _own(packed, slice(None))]


def absences(packed: "xr.Dataset") -> dict[str, list[int]]:
    """By variable the cells that lack it."""
    lacking: dict[str, list[int]] = {}
    for at, own in enumerate(_own(packed, slice(None))):
        for name in own.get("absent", ()):
            lacking.setdefault(name, []).append(at)
    return lacking


def chosen(packed: "xr.Dataset", names: Sequence[str]) -> "xr.Dataset":
    """Only these variables, and the coordinates of their dimensions."""
    some = packed[[name for name in names if name in packed.data_vars]]
    if _OWN in packed.coords:  # cells that have none of them are cells still
        some = some.assign_coords({_OWN: packed[_OWN]})
    return some.drop_vars([f"{dim}_size" for dim in {*packed.dims} - {*some.dims}], errors="ignore")


def own_dims(packed: "xr.Dataset") -> bool:
    """Whether cells have coordinates of their own, that are not the beginning of one for all."""
    return any(str(name).endswith("__cell") for name in packed.coords) or any(
        CELL in packed.variables[name].dims for name in packed.coords if name != _OWN and not _size_of(packed, name)
    )


def _size_of(packed: "xr.Dataset", name: Any) -> bool:
    return str(name).removesuffix("_size") in packed.dims and str(name).endswith("_size")


def _own(packed: "xr.Dataset", rows: Any) -> list[dict[str, Any]]:
    """What ``cell_attrs`` says of each cell, decoded."""
    if _OWN not in packed.variables:
        return [{} for _ in np.arange(packed.sizes[CELL])[rows]]
    return [_decoded(json.loads(text)) for text in packed.variables[_OWN].values[rows]]


# ---- reading the two forms -----------------------------------------------------------------------------------------


def _of_run(run: "xr.Dataset") -> _Part:
    taken = {_CELL_OF_RUN, _OWN} | {f"{dim}_size" for dim in run.dims}
    for name in (*run.variables, *run.dims):
        if name in taken or str(name).endswith("__cell"):
            raise ValueError(f"a run can't have a variable or dimension {name!r}: the store uses that name; rename it")

    def free(name: Any) -> str:
        return _CELL_OF_RUN if name == CELL else str(name)

    columns = {free(name): _Column(tuple(map(free, v.dims)), v.values, v.attrs) for name, v in run.variables.items()}
    coords = {free(name): columns.pop(free(name)) for name in run.coords}
    data = {name: _Column((CELL, *v.dims), v.values[None], v.attrs) for name, v in columns.items()}
    sizes = {free(dim): np.array([size]) for dim, size in run.sizes.items()}
    return _Part(1, sizes, data, coords, run.attrs, list(map(str, run.attrs)), [{}])


def _of_packed(packed: "xr.Dataset", rows: Sequence[int]) -> _Part:
    index = np.asarray(rows, int)
    sizes, kept = {}, {f"{dim}_size" for dim in packed.dims} | {_OWN}
    for dim, size in packed.sizes.items():
        if dim != CELL:
            known = packed.variables.get(f"{dim}_size")
            sizes[str(dim)] = np.full(len(index), size) if known is None else known.values[index]

    def chosen(name: Any) -> _Column:
        variable = packed.variables[name]
        values = variable.values[index] if CELL in variable.dims else variable.values
        return _Column(variable.dims, values, variable.attrs)

    own, order = _own(packed, index), list(map(str, packed.attrs))
    if _OWN in packed.variables:
        order = list(packed.variables[_OWN].attrs.get("order", order))
    data = {str(name): chosen(name) for name in packed.data_vars if name not in kept}
    coords = {str(name).removesuffix("__cell"): chosen(name) for name in packed.coords if name not in kept}
    coords.pop(CELL, None)  # a count of the cells says nothing of one
    return _Part(len(index), sizes, data, coords, packed.attrs, order, own)


# ---- joining -------------------------------------------------------------------------------------------------------


def _joined(parts: list[_Part]) -> "xr.Dataset":
    import xarray as xr

    total = sum(part.count for part in parts)
    own: list[dict[str, Any]] = [
        {key: dict(value) if isinstance(value, dict) else list(value) for key, value in cell.items()}
        for part in parts
        for cell in part.own
    ]
    dims = _union(part.sizes for part in parts)
    sizes = {d: np.concatenate([p.sizes.get(d, np.zeros(p.count, int)) for p in parts]) for d in dims}
    widest = {dim: int(size.max(initial=0)) for dim, size in sizes.items()}

    def stacked(name: str, variables: list[_Column | None]) -> _Column:
        """One variable of all parts along ``cell``, padded; None where a part lacks it."""
        there = [v for v in variables if v is not None]
        bare = {tuple(dim for dim in v.dims if dim != CELL) for v in there}
        if len(bare) > 1:
            raise ValueError(f"{name} has the dimensions {' and '.join(map(str, bare))}: such runs can't be packed")
        inner = bare.pop()
        dtype = _dtype(name, [v.values.dtype for v in there])
        fill: Any = np.nan if dtype.kind in "fc" else "" if dtype.kind in "OU" else np.zeros((), dtype)[()]
        if dtype.kind in "mM":
            fill = np.array("NaT", dtype)[()]
        out = np.full((total, *(widest[str(dim)] for dim in inner)), fill, dtype)
        offset = 0
        for part, variable in zip(parts, variables, strict=True):
            rows = slice(offset, offset + part.count)
            offset += part.count
            if variable is None:
                for cell in own[rows]:
                    cell.setdefault("absent", []).append(name)
                continue
            values = variable.values if CELL in variable.dims else variable.values[None]
            window = tuple(slice(min(widest[str(d)], n)) for d, n in zip(inner, values.shape[1:], strict=True))
            out[(rows, *window)] = values[(slice(None), *window)]
            if values.dtype != dtype:
                for cell in own[rows]:
                    cell.setdefault("dtypes", {}).setdefault(name, values.dtype.str)
        return _Column((CELL, *inner), out, {})

    def attributed(name: str, variables: list[_Column | None], made: _Column) -> "xr.Variable":
        mine = [cell.get("variables", {}).pop(name, {}) for cell in own]
        here = [v is not None and name not in cell.get("absent", ()) for v, cell in _each(variables, parts, own)]
        shared, rest = _split([{} if v is None else v.attrs for v in variables], parts, mine, here)
        for cell, attrs in zip(own, rest, strict=True):
            if attrs:
                cell.setdefault("variables", {})[name] = attrs
        return xr.Variable(made.dims, made.values, shared)

    data, coords = {}, {}

    def nowhere(name: str) -> bool:
        gone = [name in cell.get("absent", ()) for cell in own]
        for cell in own if all(gone) else []:
            cell["absent"].remove(name)
        return all(gone)

    for name in _union(part.data for part in parts):
        if nowhere(name):
            continue
        variables = [part.data.get(name) for part in parts]
        data[name] = attributed(name, variables, stacked(name, variables))
    for name in _union(part.coords for part in parts):
        if nowhere(name):
            continue
        variables = [part.coords.get(name) for part in parts]
        one = _shared(name, variables, widest)
        if one is not None:
            coords[name] = attributed(name, variables, one)
        else:
            label = f"{name}__cell" if name in dims else name
            coords[label] = attributed(name, variables, stacked(name, variables))
    attrs, rest = _split([p.attrs for p in parts], parts, [cell.pop("attrs", {}) for cell in own], [True] * total)
    order = _union(part.order for part in parts)
    for cell, mine in zip(own, rest, strict=True):
        cell["attrs"] = _in_order(mine, order)
    for dim, size in sizes.items():
        if (size != size[0]).any():
            coords[f"{dim}_size"] = xr.Variable(CELL, size)
    texts = np.empty(total, object)
    # one text for equal cells, however they were batched before
    texts[:] = [json.dumps({k: _encoded(cell[k]) for k in sorted(cell) if cell[k]}, ensure_ascii=False) for cell in own]
    coords[_OWN] = xr.Variable(CELL, texts, {"order": order})
    return xr.Dataset(data, coords, _in_order(attrs, order))


def _shared(name: str, variables: list[_Column | None], widest: Mapping[str, int]) -> _Column | None:
    """The one coordinate that serves all parts, None where there is none."""
    there = [v for v in variables if v is not None and CELL not in v.dims]
    if len(there) < len(variables) or len({(v.dims, v.values.dtype) for v in there}) > 1:
        return None
    longest = max(there, key=lambda v: v.values.size)
    labels = longest.dims == (name,)
    for variable in there:
        if variable is longest:
            continue
        head = longest.values[: variable.values.size] if labels else longest.values
        if head.shape != variable.values.shape or not _equal(head, variable.values):
            return None
    values = longest.values[tuple(slice(widest[str(dim)]) for dim in longest.dims)]
    return _Column(longest.dims, values, {}) if labels or values.shape == longest.values.shape else None


def _equal(one: np.ndarray, other: np.ndarray) -> bool:
    return np.array_equal(one, other, equal_nan=one.dtype.kind in "fcmM")


def _dtype(name: str, dtypes: list[np.dtype]) -> np.dtype:
    if any(dtype.kind == "O" for dtype in dtypes) and all(dtype.kind in "OU" for dtype in dtypes):
        return np.dtype(object)
    kinds = {dtype.kind for dtype in dtypes}
    if len(kinds) > 1 and not kinds <= set("iufU"):
        # runs on other data may count, or name, where these measure
        raise ValueError(f"{name} is {' and '.join(sorted({str(d) for d in dtypes}))}: such runs can't be packed")
    return np.result_type(*dtypes)


def _each(variables: list, parts: list[_Part], own: list[dict]) -> Iterable[tuple[Any, dict]]:
    """A value of each part beside each of its cells."""
    return zip((v for v, part in zip(variables, parts, strict=True) for _ in range(part.count)), own, strict=True)


def _split(
    shared: list[Mapping[str, Any]], parts: list[_Part], own: list[dict[str, Any]], here: list[bool]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Attributes that all cells have alike, and those of each cell; a cell that is not ``here`` has no say."""
    cells = [mine for mine, is_here in zip(own, here, strict=True) if is_here]
    backs = [back for (back, _), is_here in zip(_each(list(shared), parts, own), here, strict=True) if is_here]
    common: dict[str, Any] = {}
    rest: dict[int, dict[str, Any]] = {id(mine): {} for mine in cells}
    for name in _union([*shared, *own]):
        values = [
            mine[name] if name in mine else back.get(name, _NONE) for mine, back in zip(cells, backs, strict=True)
        ]
        if values and _native(values[0]) and all(_alike(value, values[0]) for value in values):
            common[name] = values[0]
            continue
        for mine, value in zip(cells, values, strict=True):
            if value is not _NONE:
                rest[id(mine)][name] = value
    return common, [rest.get(id(mine), {}) for mine in own]


def _union(groups: Iterable[Iterable[str]]) -> list[str]:
    return list(dict.fromkeys(str(name) for group in groups for name in group))


def _in_order(attrs: Mapping[str, Any], order: list[str]) -> dict[str, Any]:
    return {name: attrs[name] for name in order if name in attrs} | dict(attrs)


# ---- attributes as JSON, exactly -----------------------------------------------------------------------------------


def _native(value: Any) -> bool:
    """JSON gives it back as it is."""
    if type(value) is list:
        return all(map(_native, value))
    if type(value) is dict:
        return all(type(key) is str for key in value) and all(map(_native, value.values())) and not _TAGS & set(value)
    return type(value) in (str, int, bool, type(None)) or (type(value) is float and math.isfinite(value))


def _alike(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if type(one) in (str, int, bool):
        return one == other
    return one is other or (one is not _NONE and _encoded(one) == _encoded(other) and repr(one) == repr(other))


_TAGS = {"__tuple__", "__array__", "__scalar__"}


def _encoded(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        tag = "__array__" if isinstance(value, np.ndarray) else "__scalar__"
        plain = value.astype("i8") if value.dtype.kind in "mM" else value
        numbers = plain.tolist() if value.dtype.kind != "c" else [np.real(plain).tolist(), np.imag(plain).tolist()]
        return {tag: [value.dtype.str, list(value.shape), numbers]}
    if isinstance(value, tuple):
        return {"__tuple__": [_encoded(item) for item in value]}
    if isinstance(value, list):
        return [_encoded(item) for item in value]
    if isinstance(value, dict):
        return {key: _encoded(item) for key, item in value.items()}
    if value is None or isinstance(value, str | int | float):
        return value
    raise ValueError(f"an attribute is {value!r}, a {type(value).__name__}: give text, numbers, or lists of them")


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1 and (tag := next(iter(value))) in _TAGS:
        if tag == "__tuple__":
            return tuple(_decoded(item) for item in value[tag])
        dtype, shape, numbers = value[tag]
        kind = np.dtype(dtype).kind
        if kind == "c":
            numbers = np.array(numbers[0]) + 1j * np.array(numbers[1])
        array = np.array(numbers, "i8").view(dtype) if kind in "mM" else np.array(numbers, dtype)
        return array.reshape(shape) if tag == "__array__" else array.reshape(shape)[()]
    return {key: _decoded(item) for key, item in value.items()}
