"""Pictures that move: one frame, some side by side, all as a film, and each made again from its file."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lab import figures, studies

sys.path.insert(0, str(Path(__file__).parent.parent / "app"))


@pytest.fixture(scope="module")
def drifting():
    study = studies.load_file(Path(__file__).parent.parent / "app" / "drifting.py")
    study = study[0] if isinstance(study, list | tuple) else study
    return study, study(particles=30).run()


@pytest.mark.slow
def test_a_frame_is_the_nearest_and_the_last_when_none_is_named(drifting):
    study, result = drifting
    picture = study.pictures.cloud
    assert picture.frame(result) == 20
    assert picture.frame(result, 0.26) == 5
    dots = picture(result, 0.26).get(("Points", "I"))
    dots = next(layer for layer in picture(result, 0.26) if type(layer).__name__ == "Points") if dots is None else dots
    np.testing.assert_allclose(dots.dimension_values("x"), result.paths[0, 5, :, 0], rtol=1e-6)
    assert len(picture.movie(result)) == 21
    with pytest.raises(ValueError, match="must be a number"):
        picture(result, float("nan"))


@pytest.mark.slow
@pytest.mark.parametrize("how", [{"at": 0.5}, {"frames": 3}, {"format": "gif"}, {"format": "svg"}])
def test_what_has_no_frames_of_this_run_says_why_on_every_way(drifting, how, tmp_path):
    study, result = drifting
    less, told = result.drop_dims(study.pictures.cloud.plays), "the picture cloud can't be drawn: it needs t, which"
    with pytest.raises(ValueError, match=told):
        figures.export_picture(study.pictures.cloud, less, tmp_path / f"figure.{how.get('format', 'svg')}", **how)
    for way in (lambda picture: picture.movie(less), lambda picture: picture.strip(less, 3)):
        with pytest.raises(ValueError, match=told):
            way(study.pictures.cloud)


@pytest.mark.slow
@pytest.mark.parametrize("how", [{"at": 0.5}, {"frames": 3}, {"format": "gif"}])
def test_what_is_written_is_made_again_from_the_file(drifting, how, tmp_path):
    study, result = drifting
    file = tmp_path / f"figure.{how.get('format', 'svg')}"
    figures.export_picture(study.pictures.cloud, result, file, width=1.0, **how)
    again = figures.reproduce(file)
    assert again.data_agrees
    assert again.picture_agrees, again.sentences
    if "format" in how:
        with Image.open(file) as film:
            assert film.n_frames == 21
            assert np.ptp(np.asarray(film.convert("L"))) > 100  # something is drawn, on white


@pytest.mark.slow
def test_a_frame_elsewhere_is_another_picture(drifting, tmp_path):
    study, result = drifting
    one, two = tmp_path / "one.svg", tmp_path / "two.svg"
    figures.export_picture(study.pictures.cloud, result, one, at=0.5)
    figures.export_picture(study.pictures.cloud, result, two, at=0.6)
    shown = [figures.read_recipe(file)["figure"]["fingerprint"] for file in (one, two)]
    assert not figures.picture_difference(*shown) <= 1e-3  # nan where even a digest differs in kind


@pytest.mark.slow
def test_an_mp4_plays_for_five_seconds_and_holds_its_recipe(drifting, tmp_path):
    import imageio.v3 as iio

    study, result = drifting
    file = tmp_path / "film.mp4"
    figures.export_picture(study.pictures.cloud, result, file, width=1.0)
    frames = iio.imread(file, plugin="FFMPEG")
    assert len(frames) == pytest.approx(26, abs=1)  # 21 and a quarter of rest
    assert np.abs(frames[0].astype(float) - frames[10]).mean() > 0.5  # and it moves
    assert figures.read_recipe(file)["figure"]["picture"] == "cloud"


def test_what_does_not_go_together_is_refused(drifting, tmp_path):
    study, result = drifting
    picture = study.pictures.cloud
    for how, message in (
        ({"at": 0.5, "frames": 3}, "only one"),
        ({"frames": 1}, "from 2 to 12"),
        ({"format": "gif", "at": 0.5}, "only one"),
    ):
        with pytest.raises(ValueError, match=message):
            figures.export_picture(picture, result, tmp_path / "x.svg", **how)
    still = studies.find("sparse-ot").pictures["plan"]
    with pytest.raises(ValueError, match="does not move"):
        figures.check_motion(still, "gif", None, None)
    with pytest.raises(ValueError, match="does not move"):
        still.frame(result, 0.5)
