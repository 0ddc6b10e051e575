"""What a notebook shows of objects, and pictures in axes of one's own."""

import base64
import io
import re

import jax
import numpy as np
import pytest
import xarray as xr
from PIL import Image

from lab import cards, ot
from lab.figures import card_of
from lab.studies import SparseOT, find

SMALL = {"data": "one-bump-to-two", "n": 8, "k": 2, "gamma": 0.1}


@pytest.fixture(scope="module")
def result():
    return SparseOT(**SMALL).run()


def picture_of(html):
    found = re.search(r'<img src="data:image/png;base64,([^"]+)"', html)
    return Image.open(io.BytesIO(base64.b64decode(found[1])))


def whole(html):
    """No script, nothing from elsewhere, small."""
    assert "<script" not in html
    assert not re.findall(r'(?:src|href)="(?!data:)', html)
    return html


def test_a_study_shows_its_parameters():
    html = whole(SparseOT(**SMALL)._repr_html_())
    assert "Sparsity" in html
    assert re.search(r'gamma</td><td[^>]*font-weight:600">0\.1<', html)
    assert "&lt;b&gt;" in cards.card("<b>", "", [])


@pytest.mark.slow
def test_a_result_shows_its_scalars_its_verdict_and_a_picture(result):
    head, below, _ = card_of(result).partition("<svg style=")
    assert below  # what xarray shows
    whole(head)
    assert "converged" in head
    assert picture_of(head).width == round(2 * 96 * 2.6)
    assert len(head) < 200_000
    assert "ended" in card_of(result[["value", "row_error_l1"]])  # a part of it
    plain = xr.Dataset({"a": 1})
    assert card_of(plain).startswith("<div>") or "xr-" in card_of(plain)


@pytest.mark.slow
def test_what_did_not_converge_says_so():
    stopped = SparseOT(**(SMALL | {"k": 8, "gamma": 1e-4}), max_iterations=1).run()
    assert not stopped.attrs["converged"]
    assert stopped.attrs["advice"][:20] in card_of(stopped)
    solution = ot.solve(ot.problem(np.random.default_rng(0).random((6, 5))), ot.Entropic(1e-3), max_iterations=1)
    assert "Not converged" in whole(solution._repr_html_())


@pytest.mark.slow
def test_a_solution_shows_its_errors_and_its_plan():
    problem = ot.problem(np.random.default_rng(0).random((200, 5)))
    html = whole(ot.solve(problem, ot.Entropic(0.1))._repr_html_())
    assert "200 x 5" in html
    assert "converged after" in html
    assert picture_of(html).size == (5, 128) or picture_of(html).height >= 128
    many = jax.vmap(lambda g: ot.solve(problem, ot.Entropic(g)))(jax.numpy.array([0.1, 0.2]))
    assert "2 of 2 problems" in many._repr_html_()


@pytest.mark.slow
def test_a_picture_is_drawn_into_axes_of_ones_own(result):
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(6, 3))
    right.plot([0, 1], [0, 1])
    before = len(figure.axes)
    study = find("sparse-ot")
    assert study.pictures.plan(result, ax=left) is left
    assert left.get_images() or left.collections
    assert len(right.lines) == 1
    assert len(figure.axes) == before
    assert tuple(figure.get_size_inches()) == (6, 3)
    assert figure.patch.get_facecolor() == left.patch.get_facecolor() == (1, 1, 1, 1)
    assert pyplot.fignum_exists(figure.number)  # it is still there for a notebook to show
    figure.savefig(io.BytesIO(), format="png")
    with pytest.raises(ValueError, match="can't be drawn"):
        study.pictures.plan(result.drop_vars("plan"), ax=left)
    pyplot.close(figure)


@pytest.mark.slow
def test_a_picture_of_several_runs_says_so_of_one(result):
    with pytest.raises(
        ValueError,
        match=r"it shows a sweep over formulation and solver, and this is one run: give it study.picture_result",
    ):
        find("sparse-ot").pictures.convergence(result)
