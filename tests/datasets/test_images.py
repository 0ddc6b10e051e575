"""Images: named sets with a held out part, downloads with their hashes, and what a user brings."""

import gzip
import io
import tarfile
import threading
import zipfile
from functools import partial
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from lab import datasets, inputs
from lab.datasets import downloads, formats, images, packaged

RNG = np.random.default_rng(5)


def png(pixels):
    stream = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def zipped(members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, payload in members.items():
            archive.writestr(name, payload)
    return stream.getvalue()


def npz(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def read(name, payload, **options):
    return datasets.read_bytes(name, payload, kind="images", **options)


COLOURS = [RNG.integers(0, 256, (6, 5, 3)) for _ in range(5)]
PICTURES = {f"{i}.png": png(each) for i, each in enumerate(COLOURS)}


def test_mnist_is_in_the_order_of_the_sheet():
    data = datasets.load("mnist-images")
    raw, classes = packaged.labelled_images("mnist")
    order = np.random.default_rng(0).permutation(5000)
    np.testing.assert_array_equal(data.arrays["pixels"].reshape(5000, 784), raw[order])
    np.testing.assert_array_equal(data.arrays["classes"], classes[order])
    assert data.arrays["held_out"].sum() == 1000
    assert data.arrays["held_out"][4000:].all()


def test_digits_are_between_minus_one_and_one():
    pixels = datasets.load("digit-images", n=50).arrays["pixels"]
    assert pixels.shape == (50, 1, 8, 8)
    assert pixels.dtype == np.float32
    assert (pixels.min(), pixels.max()) == (-1, 1)


@pytest.mark.slow
@pytest.mark.parametrize(("side", "colour"), [("16", "grey"), ("32", "colour")])
def test_patches_are_of_the_photographs_and_tests_are_apart(side, colour):
    data = datasets.load("natural-patches", n=60, side=side, colour=colour, seed=3)
    pixels, held, photograph = (data.arrays[key] for key in ("pixels", "held_out", "classes"))
    assert pixels.shape == (60, 3 if colour == "colour" else 1, int(side), int(side))
    assert held.sum() == 12
    for k, patch, test in zip(photograph[::9], pixels[::9], held[::9], strict=True):
        whole = Image.fromarray(formats.picture("p", packaged.content(data.axes["classes"][k]))[0])
        small = whole.resize((whole.width // 2, whole.height // 2), Image.Resampling.BOX)
        canvas = np.asarray(small if colour == "colour" else small.convert("L")).reshape(small.height, small.width, -1)
        windows = np.lib.stride_tricks.sliding_window_view(canvas, (int(side), int(side)), (0, 1))
        found = np.argwhere((windows == patch).all(axis=(2, 3, 4)))
        border = small.width - small.width // 5
        assert len(found) >= 1
        assert any(left >= border if test else left + int(side) <= border for _, left in found)
    assert len(np.unique(pixels.reshape(60, -1), axis=0)) > 55


def test_tiles_of_photographs_are_cut_from_halves():
    arrays = datasets.load("photograph-tiles").arrays
    assert arrays["pixels"].shape == (1107, 1, 32, 32)
    assert arrays["pixels"].dtype == np.uint8
    whole = np.asarray(Image.open(io.BytesIO(packaged.content("astronaut"))).convert("RGB")).mean(axis=2)
    first, right = arrays["pixels"][:2, 0].astype(float)  # the second begins 16 pixels further to the right
    np.testing.assert_allclose(first, whole[:64, :64].reshape(32, 2, 32, 2).mean(axis=(1, 3)), atol=0.5)
    np.testing.assert_array_equal(first[:, 16:], right[:, :16])
    held = arrays["held_out"][arrays["classes"] == 0].reshape(15, -1)
    np.testing.assert_array_equal(held, np.broadcast_to(held[0], held.shape))
    assert held[0].tolist() == 11 * [False] + 2 * [True]


def test_a_spectrum_alone_becomes_images_of_its_gaussian():
    power = 1 / (1 + np.hypot(*np.meshgrid(np.fft.fftfreq(6, 1 / 6), np.fft.fftfreq(4, 1 / 4)))) ** 2
    data = read("mine.npz", npz(power=power))
    np.testing.assert_array_equal(data.arrays["power"], power)
    assert data.arrays["pixels"].shape == (256, 1, 4, 6)
    found = (np.abs(np.fft.fft2(data.arrays["pixels"][:, 0], norm="ortho")) ** 2).mean(axis=0)
    np.testing.assert_allclose(found, power, rtol=5 * np.sqrt(2 / 256))
    bent = power.copy()
    bent[1, 2] *= 2
    with pytest.raises(ValueError, match="differs between f and -f"):
        read("mine.npz", npz(power=bent))
    bent[2, 1] = np.nan
    with pytest.raises(ValueError, match="has the value nan, but a spectrum is positive and finite"):
        read("mine.npz", npz(power=bent))
    pixels = 3 * np.random.default_rng(0).normal(size=(20, 4, 6))
    both = read("mine.npz", npz(power=power, pixels=pixels))
    np.testing.assert_allclose(both.arrays["pixels"][:, 0], pixels, rtol=1e-6)  # whose scale is that of the power
    with pytest.raises(ValueError, match="pixels that are not finite"):
        read("mine.npz", npz(power=power, pixels=np.where(pixels > 8, np.nan, pixels)))
    with pytest.raises(ValueError, match="has the value 0, but a spectrum is positive and finite"):
        read("mine.npz", npz(power=np.zeros((4, 4))))
    with pytest.raises(ValueError, match=r"has shape \(4,\), but \(height, width\) is needed"):
        read("mine.npz", npz(power=np.ones(4)))


@pytest.mark.slow
def test_a_planted_pattern_is_in_the_covariance():
    data, plain = datasets.load("planted-pattern", strength=8), datasets.load("mnist-images")
    added = data.arrays["pixels"] - (plain.arrays["pixels"] / 127.5 - 1)
    pattern = data.arrays["pattern"].ravel()
    np.testing.assert_allclose(np.linalg.norm(pattern), 1)
    along = added.reshape(5000, -1) @ pattern
    np.testing.assert_allclose(added.reshape(5000, -1), along[:, None] * pattern, atol=1e-5)
    assert abs(along.std() / 8 - 1) < 0.05
    assert abs(along.mean()) < 0.5


# ---------------------------------------------------------------------------------------------------------- downloads


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A server of small files of the real formats, known by their hashes."""
    records = RNG.integers(0, 256, (6, 4, 3073)).astype(np.uint8)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, each in zip([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"], records, strict=True):
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}.bin")
            info.size = each.size
            archive.addfile(info, io.BytesIO(each.tobytes()))
        escape = tarfile.TarInfo("../escape.bin")
        archive.addfile(escape, io.BytesIO())
    grey = RNG.integers(0, 256, (12, 28, 28)).astype(np.uint8)
    heads = [
        bytes([0, 0, 8, 3]) + np.array(grey.shape, ">i4").tobytes(),
        bytes([0, 0, 8, 1]) + np.array(12, ">i4").tobytes(),
    ]
    labels = (np.arange(12) % 10).astype(np.uint8)
    files = [stream.getvalue(), gzip.compress(heads[0] + grey.tobytes()), gzip.compress(heads[1] + labels.tobytes())]
    root = tmp_path / "www"
    root.mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(root))
    handler.log_message = lambda *_: None
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    remotes = {}
    for (key, real), payload in zip(downloads.REMOTES.items(), files, strict=True):
        (root / real.name).write_bytes(payload)
        url = f"http://127.0.0.1:{server.server_port}/{real.name}"
        remotes[key] = downloads.Remote(url, sha256(payload).hexdigest(), len(payload))
    monkeypatch.setattr(downloads, "REMOTES", remotes)
    monkeypatch.setenv("LAB_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    yield root, records, grey, labels, server
    server.shutdown()
    server.server_close()


def test_downloaded_sets_have_what_they_declare(served):
    for name, make in (("cifar-10", images.cifar_10), ("fashion-mnist", images.fashion_mnist)):
        entry = datasets.entry_of(name)
        kind, arrays = datasets.kind_named(entry.kind), make(n=12, seed=0)["arrays"]
        has, sizes = entry.facts({"n": max(12, entry.allowed["n"][0])})
        found = kind.sizes(name, arrays)
        assert set(has) == set(kind.arrays) & set(arrays)
        assert {dim: size for dim, size in sizes.items() if dim != "n"} == {d: found[d] for d in sizes if d != "n"}


def test_downloads_are_checked_kept_and_read(served):
    root, records, grey, labels, _ = served
    made = images.cifar_10(n=15, seed=0)["arrays"]
    assert made["pixels"].shape == (15, 3, 32, 32)
    wanted = {tuple(each[1:]) for each in records[:5].reshape(-1, 3073)}
    assert {tuple(each.ravel()) for each in made["pixels"][~made["held_out"]]} <= wanted
    tests = {tuple(each[1:]): each[0] for each in records[5]}
    for pixels, label in zip(made["pixels"][made["held_out"]], made["classes"][made["held_out"]], strict=True):
        assert tests[tuple(pixels.ravel())] == label
    made = images.fashion_mnist(n=12, seed=1)["arrays"]
    order = np.random.default_rng(1).permutation(12)
    np.testing.assert_array_equal(made["pixels"][:, 0], grey[order])
    np.testing.assert_array_equal(made["classes"], labels[order])
    for file in root.iterdir():
        file.unlink()
    images.cifar_10(n=15, seed=0)  # from the disk
    kept = downloads.folder() / "cifar-10-binary.tar.gz"
    kept.write_bytes(b"spoilt")
    with pytest.raises(ValueError, match="can't be downloaded from 127"):
        images.cifar_10(n=15, seed=0)


def test_what_is_not_the_file_is_thrown_away(served):
    root = served[0]
    (root / "cifar-10-binary.tar.gz").write_bytes(b"x" * 10)
    with pytest.raises(ValueError, match="thrown away: put cifar-10-binary"):
        images.cifar_10(n=15, seed=0)
    assert not list(downloads.folder().glob("*")) if downloads.folder().exists() else True


# ------------------------------------------------------------------------------------------------------- a user's own


def test_small_pictures_of_one_size_keep_it(tmp_path):
    for name, payload in PICTURES.items():
        (tmp_path / name).write_bytes(payload)
    data = datasets.read(tmp_path, kind="images")
    np.testing.assert_array_equal(data.arrays["pixels"], np.stack(COLOURS).transpose(0, 3, 1, 2))
    assert data.arrays["held_out"].sum() == 1
    archive = read(
        "some.zip", zipped({f"a/{k}": v for k, v in PICTURES.items()} | {"a/notes.txt": b"x", ".b/0.png": b""})
    )
    np.testing.assert_array_equal(archive.arrays["pixels"], data.arrays["pixels"])
    few = read("some.zip", zipped(PICTURES), n=3)
    assert few.arrays["pixels"].shape == (3, 3, 6, 5)
    assert "3 of the 5 pictures" in few.notices[0]
    again = datasets.unpack(datasets.pack(data))
    assert again.sha256 == data.sha256


def test_other_pictures_are_brought_to_one_size():
    grey = [png(np.full((h, w), 40 * i)) for i, (h, w) in enumerate([(100, 80), (70, 90), (64, 64)])]
    data = read("p.zip", zipped({f"{i}.png": each for i, each in enumerate(grey)}))
    assert data.arrays["pixels"].shape == (3, 1, 32, 32)
    assert (data.arrays["pixels"] == 40 * np.arange(3)[:, None, None, None]).all()
    assert "brought to 32 x 32" in data.notices[-1]


def test_arrays_of_images():
    bytes_ = RNG.integers(0, 256, (6, 4, 5)).astype(np.uint8)
    np.testing.assert_array_equal(read("a.npz", npz(images=bytes_)).arrays["pixels"][:, 0], bytes_)
    last = RNG.random((6, 4, 5, 3))
    data = read("a.npz", npz(pixels=last, other=last))
    np.testing.assert_allclose(data.arrays["pixels"], 2 * last.transpose(0, 3, 1, 2) - 1, atol=1e-6)
    assert [word in " ".join(data.notices) for word in ("other", "from [0, 1]")] == [True, True]
    signed = 2 * RNG.random((6, 3, 4, 5)) - 1
    np.testing.assert_allclose(read("a.npz", npz(pixels=signed)).arrays["pixels"], signed, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "payload", "sentence"),
    [
        ("a.zip", zipped(PICTURES | {"../out.png": b"x"}), "leaves its folder"),
        ("a.zip", zipped(PICTURES | {"/etc/out.png": b"x"}), "leaves its folder"),
        ("a.zip", zipped(PICTURES | {"a\\..\\..\\out.png": b"x"}), "leaves its folder"),
        ("a.zip", zipped(PICTURES | {"9.png": b"no picture"}), "9.png"),
        ("a.zip", zipped({"0.png": PICTURES["0.png"]}), "at least 3"),
        ("a.zip", zipped({}), "it holds nothing"),
        ("a.zip", zipped({"b.zip": zipped(PICTURES)}), r"it holds b\.zip: .* pack the pictures themselves"),
        ("one.png", PICTURES["0.png"], "1 picture was given"),
        ("a.npz", npz(pixels=np.full((5, 3, 3), np.nan)), "image 0 in a.npz has pixels that are not finite"),
        ("a.npz", npz(pixels=np.full((5, 3, 3), -700.0)), "go from -700"),
        ("a.npz", npz(pixels=np.zeros((1, 3, 3), np.uint8)), "1 image, but"),
        ("a.npz", npz(pixels=np.zeros((5, 2, 4, 4), np.uint8)), "C = 1 or 3"),
        ("a.npz", npz(y=np.zeros(3)), "is needed"),
        ("a.npz", npz(pixels=np.zeros((5, 3, 3), np.uint8), held_out=np.zeros(5)), "held_out"),
    ],
)
def test_bad_files_get_one_sentence(name, payload, sentence):
    with pytest.raises(ValueError, match=sentence):
        read(name, payload)


def test_a_picture_of_100_megapixels_and_a_bomb_are_refused(monkeypatch):
    stream = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(stream, "PNG")
    with pytest.raises(ValueError, match=r"scale it down|fewer pixels"):
        read("a.zip", zipped(PICTURES | {"big.png": stream.getvalue()}))
    monkeypatch.setattr(inputs, "LIMIT", 300)
    with pytest.raises(ValueError, match="unpacks to"):
        read("a.zip", zipped(PICTURES))
