"""Files that mean harm: nothing in them is executed, nothing unpacks to too much, none leads out of itself."""

import json
import pickle
import re
import zlib

import numpy as np
import pytest
import xarray as xr
from made_files import COST, Payload, X, Y, npy, npz

from lab import datasets


def test_nothing_is_unpickled(tmp_path):
    made = tmp_path / "executed"
    evil = np.array([[Payload(made), 1.0]], dtype=object)
    for name, payload in (
        ("f.npy", npy(evil)),
        ("f.npz", npz(cost=evil)),
        ("f.npz", npz(x=X, y=Y, a=evil)),
        ("f.npy", pickle.dumps(Payload(made))),
        ("f.pkl", pickle.dumps(Payload(made), protocol=5)),
    ):
        with pytest.raises(ValueError, match=r"which (are|is) never loaded"):
            datasets.read_bytes(name, payload)
    for name in ("f.csv", "f.txt", "f"):
        with pytest.raises(ValueError, match=r"f"):
            datasets.read_bytes(name, pickle.dumps(Payload(made), protocol=0))
    with pytest.raises(ValueError, match="cost in the packed data holds Python objects"):
        datasets.unpack(npz(cost=evil))
    with pytest.raises(ValueError, match="never loaded"):
        datasets.from_arrays("f", {"cost": evil})
    assert datasets.read_bytes("f.npz", npz(cost=COST, other=evil)).notices == ("other in f.npz ignored",)
    assert not made.exists()
    with pytest.raises(FileNotFoundError):  # the payload does execute when it is unpickled
        pickle.loads(pickle.dumps(Payload(tmp_path / "no" / "folder")))


def test_a_zarr_folder_that_names_a_pickle_codec_is_not_opened(tmp_path):
    import numcodecs
    import zarr

    made, path = tmp_path / "executed", tmp_path / "evil.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=2)
    array = group.create_array(
        "cost", shape=(1, 1), chunks=(1, 1), dtype="f8", filters=[numcodecs.Pickle()], compressors=None
    )
    array.attrs["_ARRAY_DIMENSIONS"] = ["i", "j"]
    (path / "cost" / "0.0").write_bytes(pickle.dumps(Payload(made)))
    with pytest.raises(ValueError, match=r"cost in evil.zarr holds Python objects"):
        datasets.read(path)
    assert not made.exists()


def plain_zarr(path, shape, key="cost", codecs=("bytes",), chunk=None, content=None, attributes=None, dtype="float64"):
    """A zarr 3 folder of one array, of which nothing but its description need be there."""
    about = {"zarr_format": 3, "node_type": "group", "attributes": {}}
    settings = {"bytes": {"endian": "little"}, "gzip": {"level": 1}}
    array = about | {
        "node_type": "array",
        "shape": shape,
        "data_type": dtype,
        "fill_value": 0,
        "attributes": attributes or {},
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk or shape}},
        "chunk_key_encoding": {"name": "default"},
        "dimension_names": [f"{key}_{i}" for i in range(len(shape))],
        "codecs": [{"name": name, "configuration": settings.get(name, {})} for name in codecs],
    }
    (path / key / "c").mkdir(parents=True)
    (path / "zarr.json").write_text(json.dumps(about))
    (path / key / "zarr.json").write_text(json.dumps(array))
    if content is not None:
        (path / key / "c" / "/".join("0" for _ in shape)).parent.mkdir(exist_ok=True)
        (path / key / "c" / "/".join("0" for _ in shape)).write_bytes(content)
    return path


def test_a_zarr_folder_that_says_two_things_is_not_opened(tmp_path):
    """zarr would open the format of the root, whatever else is described beside it."""
    made = tmp_path / "executed"
    path = plain_zarr(tmp_path / "evil.zarr", [1, 1])
    (path / "zarr.json").rename(path / "zarr.json.old")
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    two = {"zarr_format": 2, "shape": [1, 1], "chunks": [1, 1], "dtype": "|O", "fill_value": "", "order": "C"}
    two |= {"filters": [{"id": "vlen-utf8"}], "compressor": {"id": "pickle", "protocol": 4}}
    (path / "cost" / ".zarray").write_text(json.dumps(two))
    (path / "cost" / "0.0").write_bytes(pickle.dumps(Payload(made)))
    for read in (datasets.read, datasets.kept):
        with pytest.raises(ValueError, match="described both as zarr 2 and as zarr 3"):
            read(path)
    # copies of the descriptions, in that of the root, are not looked at
    path = plain_zarr(tmp_path / "copies.zarr", [2, 2], content=np.arange(4.0).tobytes())
    root = json.loads((path / "zarr.json").read_text())
    copies = {"kind": "inline", "must_understand": False, "metadata": {"cost": two}}
    (path / "zarr.json").write_text(json.dumps(root | {"consolidated_metadata": copies}))
    np.testing.assert_array_equal(datasets.read(path).arrays["cost"], [[0, 1], [2, 3]])
    np.testing.assert_array_equal(datasets.kept(path)["cost"], [[0, 1], [2, 3]])
    assert not made.exists()


def test_zarr_folders_that_unpack_to_too_much_are_not_unpacked(tmp_path):
    import gzip

    # without a chunk; twice as a whole; in what follows upon the first stream of a chunk; as what its numbers stand for
    second = gzip.compress(bytes(32)) + gzip.compress(bytes(10**6))
    bombs = {
        "unpacks to 3.05e+03 MiB": plain_zarr(tmp_path / "a", [20_000, 20_000]),
        "unpacks to more than it says": plain_zarr(tmp_path / "b", [2, 2], codecs=("bytes", "gzip"), content=second),
        "unpacks to 763 MiB": plain_zarr(
            tmp_path / "c", [10_000, 10_000], dtype="int8", attributes={"scale_factor": 0.5, "_FillValue": 1}
        ),
        r"is packed by bytes, gzip, crc32c, gzip": plain_zarr(
            tmp_path / "d", [2, 2], codecs=("bytes", "gzip", "crc32c", "gzip")
        ),
    }
    whole = plain_zarr(tmp_path / "e", [6000, 6000], chunk=[6000, 6000])
    plain_zarr(whole, [6000, 6000], key="other")
    for sentence, path in (*bombs.items(), ("unpacks to 549 MiB", whole)):
        for read in (datasets.kept,) if path is whole else (datasets.read, datasets.kept):
            folder = path.rename(path.with_suffix(".zarr")) if path.exists() else path.with_suffix(".zarr")
            with pytest.raises(ValueError, match=re.escape(sentence)):
                read(folder)


def test_a_result_with_texts_comes_back_from_zarr(tmp_path):
    texts = np.array([["", "no finite optimum"], ["é" * 300, ""]], object)
    result = xr.Dataset({"error": (("k", "g"), texts), "axis": ("d", ["x", "yy"]), "v": ("k", [True, False])})
    result.to_zarr(tmp_path / "sweep.zarr", consolidated=False)
    kept = datasets.kept(tmp_path / "sweep.zarr")
    assert kept["error"].values.tolist() == texts.tolist()
    assert kept["axis"].values.tolist() == ["x", "yy"]
    assert kept["v"].dtype == bool


def test_netcdf_files_that_unpack_to_too_much_are_not_unpacked(tmp_path):
    """Texts that are all the same one of the file, arrays of which nothing is there, chunks far larger than their array."""
    import h5py

    def made(build):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.nc"
        with h5py.File(path, "w") as file:
            build(file)
        return path

    def shared(file):
        part = file.create_dataset("error", (1, 2000), h5py.string_dtype())
        part[0, 0] = "x" * 500_000
        pointer = file["error"].id.get_offset()
        pointers.append((pointer, 2000))

    def attribute(file):
        file.attrs["all"] = np.array(["unlikely text"] * 2000, object)

    def chunked(file):
        part = file.create_dataset(
            "cost", (2, 2), "f8", maxshape=(None, None), chunks=(20_000, 20_000), compression="gzip"
        )
        part.id.write_direct_chunk((0, 0), zlib.compress(bytes(32)))

    def masked(file):
        part = file.create_dataset("cost", (2, 2), "f8", chunks=(2, 2), compression="gzip", shuffle=True)
        part.id.write_direct_chunk((0, 0), zlib.compress(bytes(10**6)), filter_mask=1)  # not shuffled, but packed

    def swapped(file):
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_chunk((2, 2))
        layout.set_deflate(1)
        layout.set_shuffle()
        space = h5py.h5s.create_simple((2, 2))
        h5py.h5d.create(file.id, b"cost", h5py.h5t.NATIVE_DOUBLE, space, layout)

    def linked(file):
        file.create_group("g").create_dataset("value", (400_000_000,), "f8")
        file["value"] = h5py.SoftLink("/g/value")

    def absent(file):
        file.create_dataset("value", (400_000_000,), "f8")

    def scaled(file):
        file.create_dataset("value", (400_000_000,), "i1").attrs["scale_factor"] = 0.5

    def lists(file):
        file.create_dataset("value", (1,), h5py.vlen_dtype(np.float64))

    pointers = []
    path = made(shared)
    content = bytearray(path.read_bytes())
    for at, count in pointers:  # each of them points where the first one does
        content[at : at + 16 * count] = content[at : at + 16] * count
    path.write_bytes(content)
    with pytest.raises(ValueError, match="unpacks to"):
        datasets.kept(path)
    for build, sentence, readers in (
        (attribute, "the attribute all in .* texts", [datasets.kept]),
        (chunked, r"cost in .* unpacks to 3.05e\+03 MiB", [datasets.kept, datasets.read]),
        (masked, "cost in .* unpacks to more than it says", [datasets.kept, datasets.read]),
        (swapped, "cost in .* is compressed in a way", [datasets.kept, datasets.read]),
        (linked, "holds links in place of variables", [datasets.kept]),
        (absent, r"unpacks to 3.05e\+03 MiB", [datasets.kept]),
        (scaled, r"unpacks to 3.05e\+03 MiB", [datasets.kept]),
        (lists, "value in .* holds neither numbers nor texts", [datasets.kept]),
    ):
        path = made(build)
        if build is attribute:
            with path.open("ab") as file:
                file.truncate(2**24)
        for read in readers:
            with pytest.raises(ValueError, match=sentence):
                read(path)


def test_a_netcdf_file_must_not_point_out_of_itself(tmp_path):
    import h5py

    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["cost"] = COST
    np.arange(6.0).tofile(tmp_path / "raw")
    for kind in ("link", "external", "virtual"):
        with h5py.File(tmp_path / f"{kind}.nc", "w") as file:
            if kind == "link":
                file["cost"] = h5py.ExternalLink(str(secret), "cost")
            elif kind == "external":
                file.create_dataset("cost", (2, 3), "f8", external=[(str(tmp_path / "raw"), 0, 48)])
            else:
                layout = h5py.VirtualLayout((2, 3), "f8")
                layout[:] = h5py.VirtualSource(str(secret), "cost", (2, 3))
                file.create_virtual_dataset("cost", layout)
        with pytest.raises(ValueError, match=rf"cost in {kind}.nc lies in another file"):
            datasets.read(tmp_path / f"{kind}.nc")
