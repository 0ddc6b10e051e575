"""Several pictures in one figure, the fonts of a figure, and the words that stand under it."""

import io
import re
import sys
from pathlib import Path

import holoviews as hv
import numpy as np
import pytest
from pypdf import PdfReader

from lab import figures, studies
from lab.figures.export import _render
from lab.figures.panels import columns_of
from lab.studies import draw
from lab.studies.contract.declare import Paper

APP = Path(__file__).parent.parent / "app"
sys.path.insert(0, str(APP))


@pytest.fixture(scope="module")
def halving():
    study = studies.load_file(APP / "halving.py")
    study = study[0] if isinstance(study, list | tuple) else study
    return study(c=9.0), study(c=9.0).run()


def _names(study):
    return ["iterates", "roots"]


@pytest.mark.slow
def test_panels_are_one_figure_that_is_made_again_from_its_file(halving, tmp_path):
    study, result = halving
    names = _names(study)
    file = tmp_path / "two.pdf"
    figures.export_panels(study, names, result, file, width="text")
    box = PdfReader(file).pages[0].mediabox
    assert float(box.width) == pytest.approx(6.75 * 72, abs=0.01)
    told = figures.read_recipe(file)["figure"]
    assert told["panels"] == names
    assert len(told["fingerprint"]["elements"]) > max(
        len(figures.fingerprint(study.pictures[name](study.picture_result(study.pictures[name], result)))["elements"])
        for name in names
    )
    again = figures.reproduce(file)
    assert again.data_agrees
    assert again.picture_agrees, again.sentences


@pytest.mark.parametrize("names", [["iterates"], ["iterates", "iterates"], ["iterates", "nothing"]])
def test_panels_that_can_t_be_are_refused(halving, names):
    study, result = halving
    with pytest.raises(ValueError, match=r"from 2 to 9 different pictures|there is no picture"):
        figures.export_panels(study, names, result, io.BytesIO(), format="pdf")


@pytest.mark.slow
def test_letters_stand_before_the_parts_and_wide_frames_below_each_other():
    wide = hv.Curve(([0.0, 4.0], [0.0, 1.0])).opts(aspect="equal", backend="matplotlib")
    seen = {}

    def look(plot, element):
        seen["figure"] = plot.handles["fig"]

    wide = wide.opts(hooks=[look], backend="matplotlib")
    style = figures.find_style("paper")
    row = hv.Layout([wide, wide.clone(label="two")]).cols(2)
    _render(row, "svg", 6.75, None, style, letters=True)
    titles = [axes.get_title(loc="left") for axes in seen["figure"].axes]
    assert titles == ["(a)", "(b)"]
    left, right = (axes.get_window_extent() for axes in seen["figure"].axes)
    assert left.x1 < right.x0
    _render(row, "svg", 3.25, None, style, stacks=True)
    upper, lower = (axes.get_window_extent() for axes in seen["figure"].axes)
    assert lower.y1 < upper.y0


@pytest.mark.slow
def test_frames_side_by_side_are_labelled_once_and_long_notes_stand_above_them():
    seen = {}

    def look(plot, element):
        seen["figure"] = plot.handles["fig"]

    with draw.theme("print"):
        note = "a note that is longer than a third of a column is wide"
        frames = [draw.plot(draw.points([0, 1], [0, 1]), xlabel="across", ylabel="up", note=note) for _ in range(3)]
    row = hv.Layout([each.opts(hooks=[look], backend="matplotlib") for each in frames]).cols(3)
    _render(row, "svg", 3.25, None, figures.find_style("paper"), stacks=True)
    axes = seen["figure"].axes
    assert [each.get_ylabel() for each in axes] == ["up", "", ""]
    assert [each.get_xlabel() for each in axes] == ["", "across", ""]
    for each in axes:
        told = next(text for text in each.texts if text.get_text().strip())
        assert " ".join(told.get_text().split()) == note
        box, frame = told.get_window_extent(), each.get_window_extent()
        assert box.x1 < frame.x1 + 6
        assert box.y0 >= frame.y1 - 1


@pytest.mark.slow
def test_marks_shrink_with_the_width_of_their_axes():
    seen = {}

    def look(plot, element):
        seen["figure"] = plot.handles["fig"]

    dots = hv.Points(([0.0, 1.0], [0.0, 1.0])).opts(s=30, hooks=[look], backend="matplotlib")
    sizes = {}
    for width in (3.25, 1.3, 6.75):
        _render(dots, "svg", width, None, figures.find_style("paper"))
        sizes[width] = float(seen["figure"].axes[0].collections[0].get_sizes()[0])
    assert sizes[1.3] == pytest.approx(0.4 * sizes[3.25])
    assert sizes[6.75] == sizes[3.25]


@pytest.mark.slow
@pytest.mark.parametrize(("style", "font"), [("serif", "STIX"), ("latex", "cmr10"), ("paper", "DejaVuSans")])
def test_a_style_sets_words_in_its_font_and_lacks_no_sign(style, font):
    curve = hv.Curve(([0.0, 1.0], [0.0, -2.0])).opts(xlabel="λ₂ of γ (10⁻³)", ylabel="loss W₂²", backend="matplotlib")
    out = io.BytesIO()
    figures.export(curve, out, format="pdf", style=style)
    page = PdfReader(io.BytesIO(out.getvalue())).pages[0]
    fonts = " ".join(str(each.get_object()["/BaseFont"]) for each in page["/Resources"]["/Font"].values())
    assert font.lower() in fonts.lower()
    assert "LastResort" not in fonts


def test_a_caption_tells_what_is_seen_with_which_values_and_that_it_did_not_converge(halving):
    study, result = halving
    told = figures.caption(study, _names(study), result, "two.pdf")
    assert r"\includegraphics{two.pdf}" in told
    assert r"\label{fig:two}" in told
    assert "(a) " in told
    assert "(b) " in told
    assert "c = 9" in told
    assert "did not converge" not in told
    short = result.assign_attrs(converged=0, reason="max_iterations")
    assert "did not converge (max iterations)" in figures.caption(study, ["iterates"], short)
    assert r"\input{x.pgf}" in figures.caption(study, ["iterates"], result, "x.pgf")


def test_columns():
    assert [columns_of(n) for n in (2, 3, 4, 6)] == [2, 3, 2, 3]
    assert columns_of(3, 2) == 2
    with pytest.raises(ValueError, match="from 1 to 9"):
        columns_of(3, 0)


def test_every_paper_is_a_whole_entry_of_a_bibliography():
    keys = []
    for study in studies.catalogue():
        entry = study.paper.bibtex
        assert re.match(r"@(inproceedings|article|misc)\{[a-z][a-z0-9-]*,\n", entry), entry
        assert entry.count("{") == entry.count("}")
        assert f"year = {{{study.paper.year}}}" in entry
        keys.append(entry.partition(",")[0])
    assert len({*keys}) == len(keys)


def test_an_entry_escapes_what_tex_would_obey():
    entry = Paper("Möller and O'Neil, Wu", "100 % of {x} & y_1", "J. of #1", 2020, "https://example.org/a").bibtex
    assert "author = {Möller and O'Neil and Wu}" in entry
    assert r"{100 \% of \{x\} \& y\_1}" in entry
    assert entry.startswith("@inproceedings{moller2020")
    assert np.all([line.endswith((",", "}")) for line in entry.splitlines()[1:]])


def test_a_caption_says_nothing_to_a_hand_on_the_mouse():
    from lab.figures.panels import _on_paper

    assert _on_paper("opacity is mass; drag the points of a cloud in the plane") == "opacity is mass."
    assert (
        _on_paper("Each dot is a start. Play it: the path leads on. Grey: none.") == "Each dot is a start. Grey: none."
    )
    assert _on_paper("Click a pixel") == ""
    assert _on_paper("players of a game, turned twice") == "players of a game, turned twice."
