"""Tables in the forms that spreadsheets and data frames write."""

import io
from contextlib import suppress

import numpy as np
import pandas as pd
import pytest

from lab.datasets import read_bytes
from lab.datasets.tables import csv, feather, parquet

FRAME = pd.DataFrame({"u": [0.25, -1.5, 1e-3], "v": [1.0, 2.5, 1234.5]})


def written(how, **options):
    out = io.BytesIO()
    getattr(FRAME, how)(out, **options)
    return out.getvalue()


@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("separator", [";", "\t", "|", " "])
@pytest.mark.parametrize("header", [True, False])
def test_separators_and_decimal_commas(separator, decimal, header):
    text = FRAME.to_csv(index=False, sep=separator, decimal=decimal, header=header).encode()
    table, notices = csv("t.csv", text)
    np.testing.assert_array_equal(np.stack(list(table.values()), 1), FRAME.to_numpy())
    assert list(table) == (["u", "v"] if header else ["column 1", "column 2"])
    assert any("a comma for the decimal point" in notice for notice in notices) == (decimal == ",")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"1,2\n3,4\n", [[1, 2], [3, 4]]),  # two columns, not 1.2 and 3.4
        (b"1, 2\n3, 4\n", [[1, 2], [3, 4]]),
        (b"1,5;2\n3;4\n", [[1.5, 2], [3, 4]]),
        (b"1,5;2,5\n3,5;4,5\n", [[1.5, 2.5], [3.5, 4.5]]),
        (b"1,5 2,5\n3,5 4,5\n", [[1.5, 2.5], [3.5, 4.5]]),
        (b'"a;b",c\n1,2\n3,4\n', [[1, 2], [3, 4]]),  # a mark inside a name separates nothing
    ],
)
def test_what_separates_is_told_from_what_is_a_decimal_mark(text, expected):
    table, _ = csv("t.csv", text)
    np.testing.assert_array_equal(np.stack(list(table.values()), 1), expected)


def test_numbers_written_in_two_ways_are_refused():
    with pytest.raises(ValueError, match=r"numbers with a comma and with a point, 1,5... and 2.5...: write all"):
        csv("t.csv", b"u;v\n1,5;2.5\n")
    with pytest.raises(ValueError, match="numbers with a comma and with a point"):
        csv("t.csv", b"u;v\n1.234,5;2\n")


@pytest.mark.parametrize("compression", ["uncompressed", "lz4", "zstd"])
def test_feather(compression):
    table = feather("t.feather", written("to_feather", compression=compression))
    np.testing.assert_array_equal(np.stack(list(table.values()), 1), FRAME.to_numpy())
    expected = parquet("t.parquet", written("to_parquet"))
    assert {key: value.tolist() for key, value in table.items()} == {k: v.tolist() for k, v in expected.items()}


def test_feather_of_texts_kept_once_and_as_data():
    frame = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0], "side": pd.Categorical(["s", "t", "s", "t"])})
    out = io.BytesIO()
    frame.to_feather(out)
    assert feather("t", out.getvalue())["side"].tolist() == ["s", "t", "s", "t"]
    assert read_bytes("t.feather", out.getvalue()).arrays["x"].ravel().tolist() == [0.0, 2.0]


def test_a_feather_that_lies_about_its_size_takes_no_memory():
    import resource

    import pyarrow as pa

    size = 2**28
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(
        sink, pa.schema([("x", pa.float64())]), options=pa.ipc.IpcWriteOptions(compression="zstd")
    ) as writer:
        for _ in range(8):  # 2 GiB of zeros in some kB
            writer.write_batch(pa.record_batch({"x": np.zeros(size // 8)}))
    payload = sink.getvalue().to_pybytes()
    assert len(payload) < 2**20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=r"unpack|MiB"):
        feather("t.feather", payload)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**18  # KiB


@pytest.mark.parametrize("seed", range(20))
def test_damaged_feathers_end_in_a_sentence(seed):
    rng = np.random.default_rng(seed)
    payload = bytearray(written("to_feather"))
    for at in rng.integers(8, len(payload), 6):
        payload[at] = rng.integers(256)
    with suppress(ValueError):  # and nothing else
        feather("t.feather", bytes(payload))
    with pytest.raises(ValueError, match=r"t.feather .* save it again"):
        feather("t.feather", bytes(payload[: len(payload) // 2]))


def test_what_pandas_wrote_long_ago_is_told():
    with pytest.raises(ValueError, match="a Feather table of version 1"):
        feather("t.feather", b"FEA1" + bytes(40))


@pytest.mark.parametrize("how", ["to_parquet", "to_feather"])
def test_columns_of_pandas_own_types_and_those_that_are_its_index(how):
    frame = FRAME.astype("Float64").assign(c=pd.Categorical([3.0, 4.0, 3.0]))
    out = io.BytesIO()
    getattr(frame if how == "to_feather" else frame.set_index("u"), how)(out)
    table = (feather if how == "to_feather" else parquet)("t", out.getvalue())
    assert set(table) == {"u", "v", "c"}
    np.testing.assert_array_equal(table["u"], FRAME.u)
    np.testing.assert_array_equal(table["c"], [3.0, 4.0, 3.0])


def test_decimal_commas_beside_dates_and_in_another_encoding():
    table, _ = csv("t.csv", b"u 0.5;day;v\n1,5;01.02.2020;2\n2,5;02.02.2020;3\n")
    assert table["u 0.5"].tolist() == [1.5, 2.5]
    with pytest.raises(ValueError, match=r"t.csv is no UTF-8 text: save it as such"):
        read_bytes("t.csv", "ü;v\n1;2\n".encode("latin-1"))
