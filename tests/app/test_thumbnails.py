"""Thumbnails are of a real result, in both tones, and made once."""

import io
import threading

import numpy as np
import pytest
from halving import Halving
from PIL import Image

from lab.app import kept, thumbnails
from lab.disk import cache
from lab.studies import Pictures, first_picture


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    return tmp_path


def _near(png: bytes, colour: tuple[int, int, int]) -> int:
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA")).astype(int)
    return int(((abs(pixels[..., :3] - colour).max(-1) < 12) & (pixels[..., 3] > 200)).sum())


def test_each_tone_is_drawn_in_its_own_blue_on_no_ground(home):
    images = thumbnails.make(Halving)
    blue = {"light": (0x24, 0x56, 0xA6), "dark": (0x7A, 0xA7, 0xDE)}
    for tone, png in images.items():
        other = blue["dark" if tone == "light" else "light"]
        assert _near(png, blue[tone]) > 200
        assert _near(png, other) < 20
        assert np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))[0, 0, 3] == 0
    assert images["light"].startswith(b"\x89PNG")
    assert len(list((home / "cache" / "thumbnails").iterdir())) == 2


def test_the_picture_follows_the_result():
    whole = Halving(steps=6).run()
    other = Halving(steps=6, c=50.0).run()
    picture = first_picture(Halving.pictures, whole)
    assert picture.name == "iterates"  # the first one says that it does not apply
    assert thumbnails.draw(picture, whole, "light") != thumbnails.draw(picture, other, "light")


def test_a_kept_one_is_not_computed_again(monkeypatch):
    first = thumbnails.make(Halving)
    monkeypatch.setattr(Halving, "run", lambda *args: pytest.fail("it ran again"))
    assert thumbnails.make(Halving) == first == thumbnails.find(Halving)


@pytest.mark.parametrize("change", ["version", "code", "device"])
def test_another_version_code_or_device_makes_it_anew(monkeypatch, change):
    thumbnails.make(Halving)
    if change == "version":
        monkeypatch.setattr(Halving, "version", 2)
    else:
        name = {"code": "_our_code", "device": "device"}[change]
        monkeypatch.setattr(kept, name, lambda: "another")
    assert thumbnails.find(Halving) is None


def test_without_a_place_to_keep_it_it_is_still_shown(monkeypatch, home):
    def full(*args):
        raise OSError("no space left on device")

    monkeypatch.setattr("os.replace", full)
    assert thumbnails.make(Halving)["dark"]
    assert list((home / "cache" / "thumbnails").iterdir()) == []  # and nothing half written stays


def test_no_picture_that_applies_is_said(monkeypatch):
    monkeypatch.setattr(Halving, "pictures", Pictures(Halving.pictures.never, Halving.pictures.roots))
    with pytest.raises(ValueError, match="no picture shows this result of halving alone"):
        thumbnails.make(Halving)


def test_a_reader_sees_all_or_nothing_of_what_many_write(tmp_path):
    path = tmp_path / "shared"
    contents = [bytes([k]) * 200_000 for k in range(6)]
    cache.write(path, contents[0])
    torn = []

    def write(content):
        for _ in range(20):
            cache.write(path, content)
            seen = cache.read(path)
            if seen not in contents:
                torn.append(seen)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not torn
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["shared"]
