"""What a user brings: paths, uploads, and the packed form that a recipe carries."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from os import PathLike
from os.path import exists, expanduser, isdir
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from lab import inputs
from lab.inputs import cut, listed, mebibytes, shown

from . import containers, formats, isolated
from .at_hand import held
from .data import Data
from .kinds import NOTHING, Needs, is_kind, kind_named
from .registry import Entry, catalogue, entry_of, load, suggestions

if TYPE_CHECKING:
    import xarray as xr


def read(
    path: str | PathLike | Sequence[str | PathLike], *, kind: str = "transport", n: int | None = None, seed: int = 0
) -> Data:
    """A user's file, some files that belong together, or a folder of pictures, as the ``Kind`` takes them.

    For ``kind="transport"``:

    - ``.npz``, ``.nc``, ``.zarr`` with ``cost`` (m, n), or ``x`` (m, d) and ``y`` (n, d), and optional masses ``a`` and
      ``b`` (uniform when left out); other arrays are ignored with a notice. ``.npy`` with a cost matrix.
    - ``.csv``, ``.parquet``, ``.feather`` of points, one a row: a column ``side`` (or ``group``) with two values tells
      sources from targets, or two files are given; an optional column ``weight`` (or ``mass``); all others are coordinates.
    - two pictures, for colour transfer between ``n`` colours each.

    All points of a file are used, never a sample; more than 4096 x 4096 pairs are refused.

    Args:
        path: of a file or folder, or two of them: sources, then targets.
        kind: the name of the kind.
        n: number of colours of each picture, 64 when None; no other file has a use for it.
        seed: of the colours' k-means.

    Returns:
        the data.

    Raises:
        ValueError: a file that cannot be read, or whose content is none of the kind.

    Examples:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> import numpy as np
        >>> from lab import datasets
        >>> with TemporaryDirectory() as folder:
        ...     np.save(Path(folder, "cost.npy"), [[0.0, 1.0, 4.0]])
        ...     data = datasets.read(Path(folder, "cost.npy"))
        >>> data.arrays["a"].shape, data.arrays["b"].shape
        ((1,), (3,))
    """
    paths = [path] if isinstance(path, str | PathLike) else list(path)
    places = [_place(each) for each in paths]
    with isolated.reading(" and ".join(cut(place.name) for place in places[:2])):
        if len(places) == 1 and isdir(places[0]):
            (place,) = places
            if any((place / name).is_file() for name in ("zarr.json", ".zgroup", ".zmetadata")):
                known = kind_named(kind)
                files = _zarr_files(place, known.wanted)
                return known.from_arrays(cut(place.name), *containers.zarr(cut(place.name), files, known.wanted))
            within = inputs.members(place, formats.MEMBERS)
            places = [each for each in within if formats.is_picture(each) and each.name[0] != "."]
            low, high = kind_named(kind).pictures
            if not low <= len(places) <= high or not places:
                needed = (
                    "no folder is read"
                    if not high
                    else "exactly two are needed"
                    if low == high == 2
                    else f"{low} to {high} are needed"
                )
                raise ValueError(f"the folder {cut(place.name)} holds {len(places)} pictures, but {needed}")
        files, size = [], 0
        for place in places:
            files.append((cut(place.name), inputs.content(place)))
            size += len(files[-1][1])
            if size > inputs.LIMIT:
                raise ValueError(
                    f"{len(places)} files have more than the {mebibytes(inputs.LIMIT)} that are read together"
                )
        return _assemble(files, kind, n, seed)


def kept(path: Path) -> "xr.Dataset":
    """A result that the lab wrote to a ``.nc`` or ``.zarr``, whole.

    Args:
        path: of the file, or of the folder of a ``.zarr``.

    Returns:
        the Dataset, loaded.

    Raises:
        ValueError: no such file, or one that has more than is read.

    Examples:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> import xarray as xr
        >>> from lab import datasets
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder, "result.nc")
        ...     _ = xr.Dataset({"cost": 0.5}).to_netcdf(path, engine="h5netcdf")
        ...     datasets.kept(path).cost.item()
        0.5
    """
    import xarray as xr

    with isolated.reading(path.name):
        if path.suffix.lower() == ".zarr":
            whole = containers.whole_zarr(cut(path.name), _zarr_files(path, None))
        else:
            with inputs.opened(path, 8 * inputs.LIMIT) as file:
                whole = containers.whole_netcdf(cut(path.name), file)
        variables, coordinates, attributes = whole
        with formats.decoding(f"{cut(path.name)} is damaged: save it again"):
            found = {key: xr.Variable(*each) for key, each in variables.items()}
            coords = {key: found.pop(key) for key in coordinates}
            return xr.Dataset(found, coords, attributes)


def _zarr_files(folder: Path, wanted: Sequence[str] | None) -> dict[str, bytes]:
    """What is needed of a zarr folder: the descriptions of its arrays, and the chunks of those wanted (None: of all)."""
    files, size = {}, 0
    for place in inputs.members(folder, formats.MEMBERS, deep=True):
        inside = place.relative_to(folder)
        root = inside.as_posix().partition("/")[0]
        described = len(inside.parts) <= 2 and inside.name in containers.DESCRIBING
        if not isdir(place) and (described or wanted is None or root in wanted):
            files[inside.as_posix()] = inputs.content(place, inputs.LIMIT - size)
            size += len(files[inside.as_posix()])
    return files


def read_bytes(
    name: str, payload: bytes | Mapping[str, bytes], *, kind: str = "transport", n: int | None = None, seed: int = 0
) -> Data:
    r"""An upload: the content of a file, or of two files by their names; otherwise as ``read``.

    Args:
        name: of the file, whose ending counts; of two files what sentences call them.
        payload: the content, or the contents by the names of the files.
        kind: the name of the kind.
        n: number of colours of each picture, 64 when None; no other file has a use for it.
        seed: of the colours' k-means.

    Returns:
        the data.

    Raises:
        ValueError: as ``read``, and more than ``UPLOAD_LIMIT`` bytes.

    Examples:
        >>> from lab import datasets
        >>> table = b"side,u,weight\nsource,0,1\ntarget,1,0.5\ntarget,2,0.5\n"
        >>> datasets.read_bytes("three.csv", table).arrays["b"].tolist()
        [0.5, 0.5]
    """
    files = dict(payload) if isinstance(payload, Mapping) else {name: payload}
    size = sum(len(content) for content in files.values())
    if size > formats.UPLOAD_LIMIT:
        limit = mebibytes(formats.UPLOAD_LIMIT)
        raise ValueError(f"{cut(name)} has {mebibytes(size)}, but an upload may have at most {limit}")
    with isolated.reading(name):
        return _assemble([(cut(each), bytes(content)) for each, content in files.items()], kind, n, seed)


def resolve(spec: Any, kind: str | None = None, needs: Needs = NOTHING, **options: Any) -> Data:
    """The data that a study is pointed to: the name of a set, a path as ``read`` takes it, or what ``held`` takes.

    Two paths are joined by a comma. Options that the data have no use for are ignored.

    Args:
        spec: what points to the data.
        kind: the name of the kind that they must be of; of any when None, and files and objects are then transport.
        needs: what the data must have; a named set without it is refused before it is made, as is one of another kind.
        options: of a named set; of files ``n`` and ``seed``.

    Returns:
        the data.

    Raises:
        ValueError: neither a set nor a file, data of another kind, or without what is needed.

    Examples:
        >>> from lab import datasets
        >>> datasets.resolve("four-atoms", "samples").arrays["x"].shape
        (4, 1)
        >>> datasets.resolve([[0.0, 1.0]], "transport").arrays["cost"].shape
        (1, 2)
    """
    if isinstance(spec, str) and (entry := entry_of(spec)):
        if kind:
            _refuse(kind, needs, entry, lambda: entry.facts(options))
        data = load(spec, strict=False, **options)
    elif isinstance(spec, str | PathLike):
        paths = _existing(spec, kind, needs)
        chosen = {key: options[key] for key in ("n", "seed") if options.get(key) is not None}
        data = read(paths, kind=kind or "transport", **chosen)
    else:
        data = held(spec, kind or "transport")
        _check_once(data)
    if kind:
        _refuse(kind, needs, data, lambda: (data.arrays, kind_named(kind).sizes(cut(data.name), data.arrays)))
    return data


def _check_once(data: Data) -> None:
    """Refuse data that somebody put together which are none of their kind."""
    if data not in _checked and is_kind(data.kind):
        kind_named(data.kind).check(cut(data.name), data.arrays)
    _checked.add(data)


_checked: WeakSet[Data] = WeakSet()


def _refuse(
    kind: str, needs: Needs, given: Entry | Data, facts: Callable[[], tuple[Collection[str], Mapping[str, int]]]
) -> None:
    """Refuse data of another kind or without what is needed, with what to choose in their place.

    Args:
        facts: gives the arrays and sizes of data of this kind.
    """
    name, why, advice = cut(given.name), "", ""
    if given.kind != kind:
        why = f"the data {name} are of kind {given.kind}, but {kind} is needed here"
    elif needs:
        why, advice = kind_named(kind).lacks(needs, name, *facts())
    if why:
        sets = listed((entry.name for entry in catalogue(kind, needs)), 200)
        ways = [f"choose {sets}" if sets else "", advice if isinstance(given, Data) else "bring a file of yours"]
        raise ValueError(f"{why}: {', or '.join(filter(None, ways))}")


def _existing(spec: str | PathLike, kind: str | None, needs: Needs) -> list[Path]:
    """The path, or the two paths that a comma joins."""
    for parts in ([spec], str(spec).split(",")):
        places = [_place(str(part).strip()) for part in parts]
        if len(places) <= 2 and all(
            str(part).strip() and exists(place) for part, place in zip(parts, places, strict=True)
        ):
            return places
    raise ValueError(f"there is no data set and no file {shown(str(spec))}; {suggestions(str(spec), kind, needs)}")


def _place(path: str | PathLike) -> Path:
    return Path(expanduser(path))  # unlike Path.expanduser it does not raise on an unknown user


def _assemble(files: Sequence[tuple[str, bytes]], kind: str, n: int | None, seed: int) -> Data:
    known = kind_named(kind)
    packed = len(files) == 1 and formats.format_of(*files[0]) == "npz" and not formats.holds_pictures(files[0][1])
    if packed and formats.npz(*files[0], wanted=())[2]:
        return unpack(files[0][1])
    return known.read(files, n, seed)


def pack(data: Data) -> bytes:
    """All of ``data`` as a compressed ``.npz``, the same bytes for the same data; ``read`` and ``unpack`` take it.

    Args:
        data: a data set.

    Returns:
        the bytes of a file.

    Examples:
        >>> from lab import datasets
        >>> data = datasets.load("four-atoms")
        >>> datasets.unpack(datasets.pack(data)).sha256 == data.sha256
        True
    """
    about = {key: getattr(data, key) for key in ("name", "title", "kind", "source", "licence", "notices")}
    about |= {"axes": dict(data.axes), "truth": dict(data.truth)}
    return formats.write_npz(dict(data.arrays), json.dumps(about, sort_keys=True).encode())


def unpack(payload: bytes) -> Data:
    """The data that ``pack`` made bytes of.

    Args:
        payload: the bytes.

    Returns:
        the data, checked as those of a file are where their kind is declared.

    Raises:
        ValueError: bytes that ``pack`` did not make.

    Examples:
        >>> from lab import datasets
        >>> again = datasets.unpack(datasets.pack(datasets.load("four-atoms")))
        >>> again.name, again.kind
        ('four-atoms', 'samples')
    """
    with isolated.reading("the packed data"):
        arrays, _, about = formats.npz("the packed data", payload)
        try:
            fields = {key: _tuples(value) for key, value in inputs.parsed(about).items()}
            fields["truth"] = {key: float(value) for key, value in fields["truth"].items()}
            data = Data(arrays=arrays, **fields)
            texts = (data.name, data.title, data.kind, data.source, data.licence, *data.notices)
            if not all(isinstance(text, str) for text in texts) or any(
                a.dtype.kind not in "biuf" for a in arrays.values()
            ):
                raise TypeError
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
            raise ValueError("the packed data do not say what they are: pack them again") from None
        if is_kind(data.kind):
            kind_named(data.kind).check(cut(data.name), data.arrays)
        return data


def _tuples(value: Any) -> Any:
    """JSON knows lists only."""
    if isinstance(value, dict):
        return {key: _tuples(part) for key, part in value.items()}
    return tuple(_tuples(part) for part in value) if isinstance(value, list) else value
