"""Tables into columns: text with any of the usual separators, Parquet, Feather; by the rules of ``formats``."""

import codecs
import csv as comma_separated
import re
from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from lab.inputs import Stream, fits, mebibytes, shown, spend

from . import isolated
from .formats import decoding

if TYPE_CHECKING:
    import pandas as pd

type Table = dict[str, np.ndarray]

KINDS = ("table", "parquet", "feather")
"""What ``formats.format_of`` says of a table."""

_TEXT = 128 * 2**20  # bytes of a table as text; as objects in memory it is several times larger
_COLUMNS = 10_000
_HEADER = 2**20  # bytes of a table's first line
_COMMA = re.compile(rb"(?<![\d,])\d+,\d")  # numbers as 1,5
_POINT = re.compile(rb"(?<![\w.])\d+\.\d+(?![\d.])")  # no dates
_MEASURE = re.compile(r"[-+]?\d+(,\d+)?([eE][-+]?\d+)?")


def read(name: str, payload: bytes, kind: str) -> tuple[Table, tuple[str, ...]]:
    """The columns of a table of one of ``KINDS``, and what was done to get there."""
    if kind == "table":
        return csv(name, payload)
    return (parquet if kind == "parquet" else feather)(name, payload), ()


def columns(name: str, frame: "pd.DataFrame") -> Table:
    """The columns of a DataFrame by their names.

    Raises:
        ValueError: two of one name, or no rows.
    """
    labels = [str(column).strip() for column in frame.columns]
    _distinct(name, labels)
    if frame.empty:
        raise ValueError(f"{name} has no rows of data")
    return {label: frame.iloc[:, i].to_numpy() for i, label in enumerate(labels)}


# -- text --------------------------------------------------------------------------------------------------------------


@isolated.reader("pandas")
def csv(name: str, payload: bytes) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """The columns of text, separated by commas, semicolons, tabs, bars or spaces, and what was done to get there.

    The first line is a header unless all of it are numbers. Numbers may be written 1,5 where another mark separates them.
    """
    import pandas as pd

    if len(payload) > _TEXT:
        size = f"{mebibytes(len(payload))} of text, but at most {mebibytes(_TEXT)} are read"
        raise ValueError(f"{name} has {size}: save it as .npz")
    text = payload.removeprefix(codecs.BOM_UTF8).lstrip()
    first, second = _lines(name, text)
    separator = _separator(first, second)
    decimal = _decimal(name, text, separator)
    fields = _fields(name, first, separator)
    if len(fields) > _COLUMNS:
        raise ValueError(f"{name} has {len(fields):,} columns, but at most {_COLUMNS:,} are read: save it as .npz")
    if len(_fields(name, second, separator)) > len(fields):  # pandas would take the first column for an index
        raise ValueError(f"{name} has lines with more fields than its header")
    headless = all(is_number(field.replace(decimal, ".")) for field in fields)
    if not headless:
        _distinct(name, fields)  # pandas would rename the second
    precision: Any = "round_trip"  # which the stubs of pandas do not know
    with decoding(f"{name} is no table: its lines have different numbers of fields"):
        frame = pd.read_csv(
            Stream(name, text),
            sep=separator,
            header=None if headless else 0,
            skipinitialspace=True,
            float_precision=precision,
            low_memory=False,
            decimal=decimal,
        )
    if headless:
        frame.columns = [f"column {i}" for i in range(1, frame.shape[1] + 1)]
    notices = []
    if headless:
        notices.append(f"{name} has no header: its first line of numbers is a point like the others")
    if decimal == ",":
        notices.append(f"the numbers in {name} are read with a comma for the decimal point")
    return columns(name, frame), tuple(notices)


def _separator(first: str, second: str) -> str:
    """What stands between the fields of a line: a mark that is not used otherwise goes before the comma."""
    mark = max(";\t|", key=first.count)
    if mark in first and (not second or second.count(mark) == first.count(mark)):
        return mark
    words = second.split() or first.split()
    if "," not in first or (len(words) > 1 and "," in "".join(words) and all(map(_MEASURE.fullmatch, words))):
        return r"\s+"
    return ","


def _decimal(name: str, text: bytes, separator: str) -> str:
    """The decimal mark; without a header the first line tells too."""
    if separator == "," or not (comma := _COMMA.search(text)):
        return "."
    if point := _POINT.search(text.partition(b"\n")[2]):  # what columns are called may have numbers
        both = f"{comma[0].decode()}... and {point[0].decode()}..."
        raise ValueError(f"{name} has numbers with a comma and with a point, {both}: write all of them one way")
    return ","


def _lines(name: str, text: bytes) -> tuple[str, str]:
    """The first two lines that are not empty, whatever ends a line."""
    head = text[: 2 * _HEADER].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    lines = [line for line in head.decode(errors="replace").split("\n") if line.strip()]
    if len(lines[0]) > _HEADER:
        raise ValueError(f"{name} is no table: its first line has more than {_HEADER:,} characters")
    return lines[0], lines[1] if len(lines) > 1 else ""


def _distinct(name: str, labels: Iterable[str]) -> None:
    seen: set[str] = set()
    for label in filter(None, (label.strip() for label in labels)):
        if label in seen:
            raise ValueError(f"{name} has two columns called {shown(label)}: rename one")
        seen.add(label)


def _fields(name: str, line: str, separator: str) -> list[str]:
    if separator == r"\s+":
        return line.split()
    with decoding(f"{name} is no table: a field has more than {comma_separated.field_size_limit():,} characters"):
        return next(comma_separated.reader([line], delimiter=separator), [])


def is_number(field: str) -> bool:
    """Whether the text reads as a number."""
    try:
        float(field)
    except ValueError:
        return False
    return True


# -- Arrow -------------------------------------------------------------------------------------------------------------


def _arrow(name: str, module: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError:
        raise ValueError(
            f"{name} is a table that pyarrow reads: pip install 'transport-lab[data]', or save it as .csv or .npz"
        ) from None


@isolated.reader("pandas", "pyarrow.parquet", "pyarrow.types", "pyarrow.pandas_compat")
def parquet(name: str, payload: bytes) -> Table:
    """The columns of a Parquet table."""
    reader = _arrow(name, "pyarrow.parquet").ParquetFile
    damaged = f"{name} is a damaged Parquet table: save it again"
    with decoding(damaged):
        file = reader(Stream(name, payload), thrift_string_size_limit=10**7, thrift_container_size_limit=10**6)
        about, schema = file.metadata, file.schema_arrow
        groups = [about.row_group(i) for i in range(about.num_row_groups)]
        _ = schema.names
    _check_schema(name, schema)
    fits(name, max(8 * about.num_rows * about.num_columns, sum(group.total_byte_size for group in groups)))
    # a text that many rows share is kept once
    with decoding(damaged):
        batches = reader(Stream(name, payload), read_dictionary=_texts(schema)).iter_batches(batch_size=2**16)
        frame = _joined(name, schema, batches)
    return columns(name, frame)


@isolated.reader("pandas", "pyarrow.ipc", "pyarrow.types", "pyarrow.pandas_compat")
def feather(name: str, payload: bytes) -> Table:
    """The columns of a Feather table of version 2, which is a file of Arrow's."""
    if payload.startswith(b"FEA1"):
        raise ValueError(f"{name} is a Feather table of version 1: save it again as version 2, or as .csv")
    arrow = _arrow(name, "pyarrow")
    damaged = f"{name} is a damaged Feather table: save it again"
    stream = memoryview(payload)[8:]  # its messages, in order, whatever the file's own index points at
    with decoding(damaged):
        schema, *rest = arrow.ipc.MessageReader.open_stream(arrow.py_buffer(stream))
        schema = arrow.ipc.read_schema(schema)
        size = sum(_unpacked(memoryview(each.metadata), memoryview(each.body)) for each in rest)
        _ = schema.names  # which are decoded here: they may be no UTF-8
    _check_schema(name, schema)
    fits(name, size)
    with decoding(damaged), arrow.ipc.open_stream(arrow.py_buffer(stream)) as batches:
        frame = _joined(name, schema, batches)
    return columns(name, frame)


def _check_schema(name: str, schema: Any) -> None:
    types = import_module("pyarrow.types")
    if len(schema) > _COLUMNS:
        raise ValueError(f"{name} has {len(schema):,} columns, but at most {_COLUMNS:,} are read: save it as .npz")
    _distinct(name, schema.names)
    nested = [field.name for field in schema if types.is_nested(field.type)]
    if nested:
        raise ValueError(f"the column {shown(nested[0])} of {name} holds lists, but one number in each row is needed")


def _texts(schema: Any) -> list[str]:
    types = import_module("pyarrow.types")
    return [
        f.name for f in schema if types.is_string(f.type) or types.is_large_string(f.type) or types.is_binary(f.type)
    ]


def _joined(name: str, schema: Any, batches: Iterable[Any]) -> "pd.DataFrame":
    import pandas as pd

    types = import_module("pyarrow.types")
    held, frames = 0, []
    for batch in batches:
        spend()
        batch.validate(full=True)  # offsets of texts that lead out of the file would be followed
        fits(name, batch.nbytes)
        held += sum((c.indices if types.is_dictionary(c.type) else c).nbytes for c in batch.columns)
        fits(name, held)
        frames.append(batch.to_pandas(ignore_metadata=True))  # which hides columns as rows' names
    frame = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=schema.names)
    for label in frame.columns[[not isinstance(dtype, np.dtype) for dtype in frame.dtypes]]:
        kept = getattr(frame[label].dtype, "categories", frame[label]).dtype  # once for many rows, or not
        frame[label] = frame[label].astype(kept if pd.api.types.is_numeric_dtype(kept) else object)
    return frame


def _unpacked(about: memoryview, body: memoryview) -> int:
    """Bytes that the buffers of one of Arrow's messages say they take; Arrow unpacks no more than that of each.

    The message is a table of Google's FlatBuffers, for which there is no reader among what is installed: a table begins with
    the distance back to a list of where its fields are, and a vector with its length.
    """

    def number(at: int, size: int, signed: bool = True) -> int:
        return int.from_bytes(about[at : at + size], "little", signed=signed)

    def field(table: int, index: int) -> int:
        places = table - number(table, 4)
        known = 4 + 2 * index < number(places, 2, signed=False)
        offset = number(places + 4 + 2 * index, 2, signed=False) if known else 0
        return table + offset if offset else 0

    def target(at: int) -> int:
        return at + number(at, 4, signed=False)

    message = target(0)
    kind, batch = number(field(message, 1), 1), target(field(message, 2))
    if kind == 2:  # a dictionary, which wraps a batch
        batch = target(field(batch, 1))
    elif kind != 3:
        raise ValueError
    vector = target(field(batch, 2))
    packed, size = bool(field(batch, 3)), 0
    for at in range(vector + 4, vector + 4 + 16 * number(vector, 4, signed=False), 16):
        begin, length = number(at, 8), number(at + 8, 8)
        claim = int.from_bytes(body[begin : begin + 8], "little", signed=True) if packed and length else -1
        size += length if claim == -1 else max(claim, 0)
    return size
