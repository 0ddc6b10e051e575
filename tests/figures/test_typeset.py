"""EPS and PGF: what they show, their recipe, and words that TeX sets."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_figures import STORY, curve, exported, plan

from lab import figures
from lab.figures.typeset import mathematics
from lab.studies import draw


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["eps", "pgf"])
def test_the_recipe_is_inside_and_the_bytes_are_the_same_each_time(kind, tmp_path):
    for name in ("one", "two"):
        figures.export(curve(), tmp_path / f"{name}.{kind}", recipe=STORY)
    recipe = figures.read_recipe(tmp_path / f"one.{kind}")
    assert {key: recipe[key] for key in STORY} == STORY
    assert recipe["figure"]["format"] == kind
    one, two = ((tmp_path / f"{name}.{kind}").read_bytes() for name in ("one", "two"))
    assert one == two
    (tmp_path / "cut").write_bytes(re.sub(rb"(%lab-recipe )[A-Za-z0-9/+]{50}", rb"\1", one, count=1))
    with pytest.raises(ValueError, match="damaged"):
        figures.read_recipe(tmp_path / "cut")


@pytest.mark.slow
def test_an_eps_is_as_wide_as_asked_for_and_opaque(tmp_path):
    figures.export(plan(), tmp_path / "plan.eps", width=2.5)
    told = (tmp_path / "plan.eps").read_text()
    box = [float(number) for number in re.search(r"%%HiResBoundingBox: (.*)", told)[1].split()]
    assert box[2] - box[0] == pytest.approx(180, abs=1)
    assert told.startswith("%!PS-Adobe-3.0 EPSF-3.0")
    assert "CreationDate" not in told


@pytest.mark.slow
def test_links_each_of_an_opacity_of_its_own():
    points = np.arange(6.0).reshape(3, 2)
    picture = draw.links(points, points[::-1], [0, 1, 2], [2, 0, 1], [1.0, 0.5, 0.1])
    assert exported(picture, "eps").startswith(b"%!PS")


@pytest.mark.slow
def test_what_is_transparent_is_laid_on_white():
    from matplotlib.figure import Figure

    from lab.figures.typeset import eps

    figure = Figure(figsize=(1, 1))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.fill([0, 1, 1, 0], [0, 0, 1, 1], color=(0, 0, 1), alpha=0.25, linewidth=0)
    axes.scatter([0.5], [0.5], s=400, color=[(1, 0, 0, 0.5)], linewidths=0)
    axes.imshow(np.array([[np.nan, 1.0]]), extent=(0, 1, 0, 1), cmap="gray")
    told = eps(figure).decode()
    assert re.search(r"0\.750* 0\.750* 1(\.0*)? setrgbcolor", told)
    assert re.search(r"1(\.0*)? 0\.50* 0\.50* setrgbcolor", told)
    image = axes.images[0]
    np.testing.assert_allclose(image.to_rgba(np.ma.masked_invalid([[np.nan]]))[0, 0], 1)  # white, not black


@pytest.mark.slow
def test_a_pgf_has_its_images_beside_it_and_replaces_only_its_own(tmp_path):
    target = tmp_path / "plan.pgf"
    figures.export(plan(), target, recipe=STORY)
    told = target.read_text()
    images = re.findall(r"\{(plan-img\d+\.png)\}", told)
    assert images
    for name in images:
        with Image.open(tmp_path / name) as image:
            assert image.width > 1
    figures.export(plan(), target, recipe=STORY)  # its own are replaced
    (tmp_path / images[0]).write_bytes(b"somebody else's")
    with pytest.raises(ValueError, match=images[0]):
        figures.export(plan(), target, recipe=STORY)
    with pytest.raises(ValueError, match="has images beside it"):
        figures.export(plan(), io.BytesIO(), format="pgf")


@pytest.mark.slow
def test_words_are_for_tex(tmp_path):
    figures.export(curve(), tmp_path / "c.pgf")
    told = Path(tmp_path, "c.pgf").read_text()
    assert r"value~\ensuremath{\gamma}\ensuremath{_{1}}" in told
    assert r"cost (m\ensuremath{^{2}})" in told
    assert told.isascii()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("γ ≤ 1", r"\ensuremath{\gamma} \ensuremath{\leq} 1"),
        ("Λ λ", r"\ensuremath{\Lambda} \ensuremath{\lambda}"),
        ("Μ ο", r"\ensuremath{M} \ensuremath{o}"),
        ("a_b & 50 %", r"a\_b \& 50 %"),
        (r"$\mathdefault{10^{-3}}$ of ε", r"${10^{-3}}$ of \ensuremath{\epsilon}"),
        ("x⁻²", r"x\ensuremath{^{-}}\ensuremath{^{2}}"),
        ("naïve", "naïve"),
        ("${−2}$", r"${\ensuremath{-}2}$"),
    ],
)
def test_mathematics(words, expected):
    assert mathematics(words) == expected
