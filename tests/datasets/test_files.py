"""What a user brings: taken by content, refused in a sentence."""

import io
import json
import pickle
import zipfile

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from made_files import COST, X, Y, noise, npy, npz, png
from PIL import Image

from lab import datasets, inputs
from lab.datasets import formats, isolated

# -- what is taken -----------------------------------------------------------------------------------------------------


def test_npz_of_a_cost_and_masses(tmp_path):
    a, b = np.array([1, 3]), np.array([1, 1, 2])
    np.savez(tmp_path / "mine.npz", cost=COST, a=a, b=b, remark=np.zeros(2))
    data = datasets.read(tmp_path / "mine.npz")
    np.testing.assert_array_equal(data.arrays["cost"], COST)
    np.testing.assert_array_equal(data.arrays["a"], a)
    assert data.arrays["a"].dtype == np.float64
    assert data.notices == ("remark in mine.npz ignored",)
    assert data.name == "mine.npz"
    assert data.licence
    assert data.source
    assert datasets.read_bytes("mine.npz", (tmp_path / "mine.npz").read_bytes()).sha256 == data.sha256
    assert datasets.resolve(str(tmp_path / "mine.npz"), "transport", n=64, seed=1).sha256 == data.sha256


def test_npz_of_points_without_masses():
    data = datasets.read_bytes("points.npz", npz(x=X, y=Y))
    np.testing.assert_array_equal(data.arrays["a"], [1 / 2, 1 / 2])
    np.testing.assert_array_equal(data.arrays["b"], [1 / 3, 1 / 3, 1 / 3])
    assert "cost" not in data.arrays


def test_one_mass_alone_sets_the_total_of_the_other():
    data = datasets.read_bytes("points.npz", npz(x=X, y=Y, b=[1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(data.arrays["a"], [3, 3])


def test_points_on_a_line_and_in_space():
    assert datasets.read_bytes("line.npz", npz(x=[1, 2], y=[3, 4, 5])).arrays["x"].shape == (2, 1)
    space = datasets.read_bytes("space.npz", npz(x=np.eye(3), y=2 * np.eye(3)))
    assert space.arrays["x_2d"].shape == space.arrays["y_2d"].shape == (3, 2)


def test_floats_keep_their_width_and_all_other_numbers_become_float64():
    for given, kept in (("f4", "f4"), ("f8", "f8"), (">f8", "f8"), ("f2", "f8"), ("i4", "f8"), ("u1", "f8")):
        data = datasets.read_bytes("c.npz", npz(cost=COST.astype(given)))
        assert {array.dtype for array in data.arrays.values()} == {np.dtype(kept)}, given
        np.testing.assert_array_equal(data.arrays["cost"], COST)


def test_npy_of_a_cost():
    np.testing.assert_array_equal(datasets.read_bytes("c.npy", npy(COST)).arrays["cost"], COST)


@pytest.mark.parametrize("separator", [",", ";", "\t", " "])
def test_table_with_sides_and_weights(separator):
    rows = ["east,north,side,weight", "0,1,source,2", "4,5,target,1", "2,3,source,2", "6,7,target,1", "8,9.5,target,2"]
    data = datasets.read_bytes("points.csv", "\n".join(rows).replace(",", separator).encode())
    np.testing.assert_array_equal(data.arrays["x"], X)
    np.testing.assert_array_equal(data.arrays["y"], Y)
    np.testing.assert_array_equal(data.arrays["a"], [2, 2])
    np.testing.assert_array_equal(data.arrays["b"], [1, 1, 2])
    assert data.axes["x"] == ("east", "north")
    assert data.notices == ("sources have side = source, targets side = target",)


def test_a_target_that_comes_first_is_still_the_target():
    data = datasets.read_bytes("p.csv", b"x,Group\n5,target\n1,source\n")
    assert data.arrays["x"].item() == 1
    assert data.arrays["y"].item() == 5


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_tables_come_back_as_they_were_written(tmp_path, suffix):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"u": rng.standard_normal(9), "v": rng.standard_normal(9), "side": list("aababbbab")})
    path = tmp_path / f"points.{suffix}"
    table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path)
    data = datasets.read(path)
    for key, side in (("x", "a"), ("y", "b")):
        np.testing.assert_array_equal(data.arrays[key], table.loc[table.side == side, ["u", "v"]])


def test_two_tables_are_sources_and_targets(tmp_path):
    pd.DataFrame(X, columns=["u", "v"]).to_csv(tmp_path / "from.csv")  # with pandas' unnamed row numbers
    pd.DataFrame(Y[:, ::-1], columns=["v", "u"]).to_parquet(tmp_path / "to.parquet")
    for data in (
        datasets.read([tmp_path / "from.csv", tmp_path / "to.parquet"]),
        datasets.resolve(f"{tmp_path / 'from.csv'}, {tmp_path / 'to.parquet'}"),
    ):
        np.testing.assert_array_equal(data.arrays["x"], X)
        np.testing.assert_array_equal(data.arrays["y"], Y)
        assert data.notices == ("Unnamed: 0 in from.csv and to.parquet ignored",)


def test_tables_without_a_header_are_read_by_position():
    data = datasets.read_bytes("two", {"p.txt": b"0 1\n2 3\n", "q.txt": b"\xef\xbb\xbf4,5\n6,7\n8,9.5\n"})
    np.testing.assert_array_equal(data.arrays["x"], X)
    np.testing.assert_array_equal(data.arrays["y"], Y)
    assert [notice.split(":")[0] for notice in data.notices] == ["p.txt has no header", "q.txt has no header"]


@pytest.mark.parametrize(("suffix", "engine"), [("nc", "h5netcdf"), ("nc", "scipy"), ("zarr", None)])
def test_xarray_files(tmp_path, suffix, engine):
    path = tmp_path / f"mine.{suffix}"
    set_ = xr.Dataset({"cost": (("i", "j"), COST), "a": ("i", [1.0, 2.0]), "note": ("j", [1, 2, 3])})
    set_.to_zarr(path, consolidated=False) if engine is None else set_.to_netcdf(path, engine=engine)
    data = datasets.read(path)
    np.testing.assert_array_equal(data.arrays["cost"], COST)
    np.testing.assert_array_equal(data.arrays["b"], [1, 1, 1])
    assert data.notices == (f"note in {path.name} ignored",)


def test_two_pictures_and_a_folder_of_two(tmp_path):
    Image.fromarray(noise(0).astype(np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(noise(1).astype(np.uint8)).save(tmp_path / "b.jpg")
    (tmp_path / "notes.txt").write_text("not a picture")
    data = datasets.read(tmp_path, n=7, seed=3)
    assert data.arrays["x"].shape == data.arrays["y"].shape == (7, 3)
    assert data.arrays["a"].sum() == pytest.approx(1, rel=1e-12)
    assert (data.arrays["b"] > 0).all()
    assert data.arrays["source_image"].shape == (20, 30, 3)
    both = {name: (tmp_path / name).read_bytes() for name in ("a.png", "b.jpg")}
    assert datasets.read_bytes("pair", both, n=7, seed=3).sha256 == data.sha256
    assert datasets.resolve(f"{tmp_path / 'a.png'},{tmp_path / 'b.jpg'}", n=7, seed=3).sha256 == data.sha256


def test_a_picture_of_few_colours_lowers_n_with_a_notice():
    flag = np.zeros((6, 6, 3))
    flag[:, 2:4], flag[:, 4:] = 100, 255
    data = datasets.read_bytes("pair", {"flag.png": png(flag), "noise.png": png(noise(0))}, n=8)
    np.testing.assert_allclose(data.arrays["x"][:, 0] * 256, [0, 100, 255])
    np.testing.assert_allclose(data.arrays["a"], 1 / 3)
    assert data.arrays["y"].shape == (8, 3)
    assert data.notices == ("flag.png has only 3 colours, fewer than n = 8: all of them are taken",)


def test_grey_palette_and_transparent_pictures():
    grey = png(noise(0)[..., 0])
    clear = png(np.concatenate([noise(1), np.zeros((20, 30, 1))], axis=2))
    data = datasets.read_bytes("pair", {"grey.png": grey, "noise.gif": png(noise(2)[..., 1], "GIF")}, n=4)
    np.testing.assert_allclose(data.arrays["x"][:, 0], data.arrays["x"][:, 2])
    with pytest.raises(ValueError, match=r"clear.png has a single colour"):
        datasets.read_bytes("pair", {"clear.png": clear, "grey.png": grey})


# -- packed, for recipes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["photographs", "bump-to-bump", "gaussians-2d", "tokens-to-experts", "digits-8x8"])
def test_packed_data_come_back_whole(name, tmp_path):
    data = datasets.load(name, strict=False, n=12)
    packed = datasets.pack(data)
    assert packed == datasets.pack(datasets.unpack(packed))
    (tmp_path / "packed.npz").write_bytes(packed)
    for back in (datasets.unpack(packed), datasets.read(tmp_path / "packed.npz")):
        assert back.sha256 == data.sha256
        for field in ("name", "title", "kind", "source", "licence", "notices"):
            assert getattr(back, field) == getattr(data, field)
        assert dict(back.axes) == dict(data.axes)
        assert dict(back.truth) == dict(data.truth)
    assert set(np.load(io.BytesIO(packed))) - {"lab.json"} == set(data.arrays)  # open to anyone


def test_the_hash_sees_names_shapes_types_and_values():
    hashes = {
        datasets.from_arrays("c", arrays).sha256
        for arrays in (
            {"cost": COST},
            {"cost": COST.T},
            {"cost": COST.reshape(3, 2)},
            {"cost": COST.astype("f4")},
            {"cost": np.nextafter(COST, 9)},
            {"x": X, "y": X},
        )
    }
    assert len(hashes) == 6
    fortran = datasets.from_arrays("f", {"cost": np.asfortranarray(COST)})
    assert fortran.sha256 == datasets.from_arrays("c", {"cost": COST.astype(">f8")}).sha256


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"PK\x03\x04",
        npz(cost=COST),
        formats.write_npz({"cost": COST}, b"[]"),
        formats.write_npz({"a": COST}, b"{}"),
    ],
)
def test_bytes_that_are_not_packed_data(payload):
    with pytest.raises(ValueError, match="the packed data"):
        datasets.unpack(payload)


def test_packed_data_are_checked_like_a_file():
    fields = {"name": "n", "title": "t", "kind": "transport", "source": "", "licence": "", "notices": []}
    about = json.dumps(fields | {"axes": {}, "truth": {}}).encode()
    masses = {"a": np.ones(2), "b": np.ones(2)}
    assert datasets.unpack(formats.write_npz({"cost": np.ones((2, 2))} | masses, about)).name == "n"
    with pytest.raises(ValueError, match="cost in n is nan at row 0, column 1"):
        datasets.unpack(formats.write_npz({"cost": np.array([[1, np.nan], [1, 1]])} | masses, about))


# -- resolve -----------------------------------------------------------------------------------------------------------


def test_resolve_takes_data_and_names_and_refuses_the_rest():
    data = datasets.load("bump-to-bump")
    assert datasets.resolve(data, "transport", n=99) is data
    with pytest.raises(ValueError, match=r"no data set and no file 'photografs'; did you mean photographs"):
        datasets.resolve("photografs")
    with pytest.raises(ValueError, match=r"bump-to-bump are of kind transport, but image is needed"):
        datasets.resolve(data, "image")
    with pytest.raises(ValueError, match="not image"):
        datasets.resolve(__file__, "image")


@pytest.mark.parametrize("spec", ["", ",", "a,b,c", "~nobody/f.npz", "\0", "x" * 5000, "photographs,"])
def test_resolve_answers_any_text_in_a_sentence(spec):
    with pytest.raises(ValueError, match="there is no data set and no file"):
        datasets.resolve(spec)


def test_a_path_may_have_a_comma_and_two_files_one_name(tmp_path):
    (tmp_path / "a,b.npz").write_bytes(npz(cost=COST))
    assert datasets.resolve(str(tmp_path / "a,b.npz")).name == "a,b.npz"
    for folder, points in (("from", X), ("to", Y)):
        (tmp_path / folder).mkdir()
        pd.DataFrame(points, columns=["u", "v"]).to_csv(tmp_path / folder / "points.csv", index=False)
    pair = datasets.read([tmp_path / "from" / "points.csv", tmp_path / "to" / "points.csv"])
    np.testing.assert_array_equal(pair.arrays["y"], Y)


# -- what is refused ---------------------------------------------------------------------------------------------------

NAN = np.where(COST == 4, np.nan, COST)
INF = np.where(COST == 2, -np.inf, COST)
GOOD = {"cost": COST}

ARRAYS = [
    ({"cost": NAN}, "cost in f is nan at row 1, column 1: every entry must be finite"),
    ({"cost": INF}, "cost in f is -inf at row 0, column 2"),
    ({"x": X, "y": np.where(Y == 9.5, np.inf, Y)}, "y in f is inf at row 2, column 1"),
    (GOOD | {"a": [0, 0]}, r"a in f is zero throughout, but at least one mass must be positive"),
    (GOOD | {"b": [1, -2, -1]}, r"b\[1\] = -2, b\[2\] = -1 in f, but every mass must be a finite number of at least 0"),
    (GOOD | {"a": [1, np.nan]}, "a in f is nan at entry 1"),
    ({"cost": np.ones((9, 2)), "a": -np.ones(9)}, r"a\[2\] = -1 and 6 more in f"),
    (GOOD | {"a": [1, 1], "b": [1, 1, 1]}, r"differ: sum\(a\) = 2 but sum\(b\) = 3; rescale"),
    (GOOD | {"a": [0.5, 0.5], "b": [0.5, 0.25, 0.250002]}, r"differ: sum\(a\) = 1 but sum\(b\) = 1.000002"),
    (GOOD | {"a": [1, 1, 1]}, r"a in f has shape \(3,\), but \(m,\) is needed, and cost has m = 2 sources"),
    (GOOD | {"b": [[1, 1, 1]]}, r"b in f has shape \(1, 3\), but \(n,\) is needed, and cost has n = 3 targets"),
    ({"cost": np.ones(3)}, r"cost in f has shape \(3,\), but \(m, n\) is needed"),
    ({"cost": np.ones((0, 3))}, r"cost in f has shape \(0, 3\)"),
    ({"x": X, "y": Y[:, :1]}, r"y in f has shape \(3, 1\), but \(n, d\) is needed, and x has d = 2 coordinates"),
    ({"x": X}, r"f has x, but x \(m, d\), y \(n, d\), or cost \(m, n\) are needed"),
    (GOOD | {"x": X}, "f has x alone"),
    (GOOD | {"x": Y, "y": X}, r"x in f has shape \(3, 2\), but \(m, d\) is needed, and cost has m = 2 sources"),
    ({"weights": COST}, "f has weights, but x"),
    ({"cost": COST.astype(str)}, "cost in f has the type <U.*, but real numbers"),
    ({"cost": COST.astype(complex)}, "cost in f has the type complex128"),
    ({"cost": COST > 1}, "cost in f has the type bool"),
    ({"x": np.zeros((4097, 1)), "y": np.zeros((4097, 1))}, "4,097 sources and 4,097 targets.*keep a random sample"),
]


@pytest.mark.parametrize(("arrays", "sentence"), ARRAYS)
def test_arrays_that_are_no_problem(arrays, sentence):
    with pytest.raises(ValueError, match=sentence.replace("in f", "in f.npz").replace("f has", "f.npz has")):
        datasets.read_bytes("f.npz", npz(**arrays))
    if "weights" not in arrays:
        with pytest.raises(ValueError, match=sentence):
            datasets.from_arrays("f", arrays)


def test_totals_that_differ_by_rounding_are_taken():
    b = np.array([0.5, 0.25, 0.25 + 9e-7])
    assert datasets.from_arrays("f", {"cost": COST, "a": [0.5, 0.5], "b": b}).arrays["b"][2] == b[2]


TABLES = [
    (b"x,y\n1,2\n3,4\n", "does not tell sources from targets: add a column 'side'"),
    (b"x,side\n1,a\n2,a\n", "the column 'side' of f.csv has 1 different values, but two"),
    (b"x,side\n1,a\n2,b\n3,c\n", "has 3 different values"),
    (b"x,side\n1,a\n2,\n", "the column 'side' of f.csv is empty in row 2"),
    (b"x,side\n1,0\n2,\n3,1\n", "the column 'side' of f.csv is empty in row 2"),
    (
        b"x,town,side\n1,Rome,a\n2,Bonn,b\n",
        "the column 'town' of f.csv holds 'Rome', but numbers are needed: remove it",
    ),
    (b"x,day,side\n1,2020-01-01,a\n2,2020-01-02,b\n", "the column 'day' of f.csv holds '2020-01-01'"),
    (b"x,side\n1,a\noops,b\n", "the column 'x' of f.csv holds 'oops', but numbers are needed"),
    (b"x,side\n1,a\n,b\n", "the column 'x' of f.csv is nan in row 2"),
    (b"x,side\n1,a\ninf,b\n", "the column 'x' of f.csv is inf in row 2"),
    (b"side,weight\na,1\nb,1\n", "f.csv has no column of coordinates"),
    (b"x,side,weight,mass\n1,a,1,1\n2,b,1,1\n", "weight and mass, but one of them is enough"),
    (b"x,side,weight\n1,a,1\n2,b,0\n", r"b in f.csv is zero throughout"),
    (b"x,side,weight\n1,a,1\n2,b,2\n", r"the masses in f.csv differ: sum\(a\) = 1 but sum\(b\) = 2"),
    (b"x,side\n1,a\n2,b,9,9\n", "lines have different numbers of fields"),
    (b"x,side\n1,a,9\n2,b,9\n", "lines with more fields than its header"),
    (b"x,side\n", "f.csv has no rows"),
]


@pytest.mark.parametrize(("payload", "sentence"), TABLES)
def test_tables_that_are_no_problem(payload, sentence):
    with pytest.raises(ValueError, match=sentence):
        datasets.read_bytes("f.csv", payload)


def test_two_tables_with_different_columns():
    with pytest.raises(ValueError, match=r"different columns: u, v in p.csv, but u, w in q.csv"):
        datasets.read_bytes("two", {"p.csv": b"u,v\n1,2\n", "q.csv": b"u,w\n1,2\n"})


FILES = [
    ("f.npz", b"", "f.npz is empty"),
    ("f.csv", b"\xef\xbb\xbf \n", "f.csv is empty"),
    ("f.npz", png(noise(0)), "f.npz is named .npz but its content is a picture: rename"),
    ("f.png", npy(COST), r"f.png is named .png but its content is a NumPy array"),
    ("f.csv", npz(**GOOD), r"f.csv is named .csv but its content is a zip archive"),
    ("f.npz", b"x,y\n1,2\n", "f.npz is named .npz but its content is text"),
    ("f.npz", b"\x7fELF\0\0\0", "f.npz is no .npz file inside: it is damaged, or has another's ending"),
    ("f.exe", b"\x7fELF\0\0\0", "f.exe is of a kind that is not read: give .npz"),
    ("f.pkl", pickle.dumps([1.0]), "f.pkl is a Python pickle, which is never loaded"),
    ("f.npy", npy(COST)[:-8], "f.npy is a damaged NumPy array"),
    ("f.npy", b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f8'}", "f.npy is a damaged NumPy array"),
    ("f.npz", npz(**GOOD)[:-30], "f.npz is a damaged or encrypted archive"),
    ("f.nc", b"\x89HDF\r\n\x1a\n" + bytes(99), "f.nc is a damaged netCDF"),
    ("f.nc", b"CDF\x01" + bytes(99), "f.nc (is a damaged netCDF|has nothing)"),
    ("f.parquet", b"PAR1" + bytes(20) + b"PAR1", "f.parquet is a damaged Parquet"),
    ("f.png", png(noise(0)), "f.png is one picture, but colour transfer needs two"),
]


@pytest.mark.parametrize(("name", "payload", "sentence"), FILES)
def test_files_that_are_not_what_they_should_be(name, payload, sentence):
    with pytest.raises(ValueError, match=sentence):
        datasets.read_bytes(name, payload)


def test_a_zip_without_arrays():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("readme", "hello")
    with pytest.raises(ValueError, match=r"f.npz is a zip archive without arrays"):
        datasets.read_bytes("f.npz", stream.getvalue())


def test_pictures_that_are_not_taken():
    good = png(noise(0))
    stream = io.BytesIO()
    Image.fromarray(noise(0)[..., 0].astype(np.uint16) * 200).save(stream, "PNG")
    for bad, sentence in (
        (png(np.full((5, 5, 3), 7)), "bad.png has a single colour, so that there is nothing to transport"),
        (good[:80], "bad.png is a damaged picture"),
        (stream.getvalue(), "bad.png has more than 8 bits a channel"),
        (npy(COST), "named .png but"),
    ):
        with pytest.raises(ValueError, match=sentence):
            datasets.read_bytes("pair", {"good.png": good, "bad.png": bad})
    for n in (1, 1025, 2.0, True):
        with pytest.raises(ValueError, match="the number of colours must be a whole number from 2 to 1024"):
            datasets.read_bytes("pair", {"good.png": good, "same.png": good}, n=n)
    with pytest.raises(ValueError, match=r"good.png and p.csv are no pair"):
        datasets.read_bytes("pair", {"good.png": good, "p.csv": b"x\n1\n"})
    with pytest.raises(ValueError, match="3 files were given"):
        datasets.read_bytes("three", {"a.png": good, "b.png": good, "c.png": good})


def test_paths_that_cannot_be_read(tmp_path):
    with pytest.raises(ValueError, match=r"none.npz cannot be read: no such file"):
        datasets.read(tmp_path / "none.npz")
    with pytest.raises(ValueError, match=r"holds 0 pictures, but exactly two are needed"):
        datasets.read(tmp_path)


def test_uploads_have_a_limit(monkeypatch):
    assert datasets.UPLOAD_LIMIT == 64 * 2**20
    monkeypatch.setattr(formats, "UPLOAD_LIMIT", 2**20)
    half = bytes(2**19 + 1)
    for upload in (half * 2, {"a.png": half, "b.png": half}):
        with pytest.raises(ValueError, match="big has 1 MiB, but an upload may have at most 1 MiB"):
            datasets.read_bytes("big", upload)


def test_what_unpacks_to_too_much_is_not_unpacked(monkeypatch):
    stream = io.BytesIO()
    np.savez_compressed(stream, cost=np.zeros((2000, 2000)), huge=np.zeros(10**6))
    assert datasets.read_bytes("bomb.npz", stream.getvalue()).notices  # what is ignored is not unpacked
    monkeypatch.setattr(inputs, "LIMIT", 2**20)
    with pytest.raises(ValueError, match=r"bomb.npz unpacks to 30.5 MiB, but at most 1 MiB"):
        datasets.read_bytes("bomb.npz", stream.getvalue())
    table = io.BytesIO()
    pd.DataFrame({"x": np.zeros(10**6)}).to_parquet(table)
    with pytest.raises(ValueError, match=r"bomb.parquet unpacks to 7.63 MiB"):
        datasets.read_bytes("bomb.parquet", table.getvalue())
    dense = xr.Dataset({"cost": (("i", "j"), np.zeros((1000, 1000)))})
    packed = dense.to_netcdf(engine="h5netcdf", encoding={"cost": {"zlib": True}})
    with pytest.raises(ValueError, match=r"bomb.nc unpacks to 7.63 MiB"):
        datasets.read_bytes("bomb.nc", bytes(packed))
    monkeypatch.setattr(formats, "_PIXELS", 500)
    with pytest.raises(ValueError, match=r"a.png has 30 x 20 pixels"):
        isolated.trusted(formats.picture)("a.png", png(noise(0)))
