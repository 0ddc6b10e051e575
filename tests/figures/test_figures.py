"""Figures for print: exact size, embedded type, the recipe inside, and whether they can be made again."""

import io
import json
import re
import threading
from importlib import import_module
from itertools import pairwise

import holoviews as hv
import numpy as np
import pytest
import xarray as xr
from pypdf import PdfReader

from lab import figures
from lab.datasets import figure_files, isolated
from lab.figures import embed
from lab.figures.provenance import summary
from lab.studies import Picture, SparseOT, draw

STORY = {
    "study": "x",
    "text": 'γ ≤ 1, ‖b‖², 運輸, ]]> & <tag> \u2028 \\ "quoted"',
    "number": 0.1,
    "list": [1, None, True],
}


def curve(values=(3.0, 2.0, 1.0)):
    return draw.plot(draw.curve(np.arange(len(values)), values, "value γ₁"), xlabel="k", ylabel="cost (m²)")


def plan(size=12):
    matrix = np.diag(np.arange(1.0, size + 1))
    return draw.plan(matrix, matrix.sum(1), matrix.sum(0))


def exported(picture, format, **options) -> bytes:
    buffer = io.BytesIO()
    figures.export(picture, buffer, format=format, **options)
    return buffer.getvalue()


def fonts(pdf: bytes) -> list[tuple[str, bool]]:
    """(subtype, embedded) of every font on the first page, those of the forms it uses included."""
    found = []

    def look(resources):
        for font in (resources.get("/Font") or {}).values():
            font = font.get_object()
            inner = font["/DescendantFonts"][0].get_object() if font["/Subtype"] == "/Type0" else font
            descriptor = inner.get("/FontDescriptor")
            found.append((str(inner["/Subtype"]), descriptor is not None and "/FontFile2" in descriptor.get_object()))
        for form in (resources.get("/XObject") or {}).values():
            if "/Resources" in form.get_object():
                look(form.get_object()["/Resources"].get_object())

    look(PdfReader(io.BytesIO(pdf)).pages[0]["/Resources"].get_object())
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("width", "points"), [("column", 234), ("text", 486), (2.5, 180), ("4 in", 288)])
def test_a_page_is_exactly_as_wide_as_asked(width, points):
    page = PdfReader(io.BytesIO(exported(curve(), "pdf", width=width))).pages[0].mediabox
    assert float(page.width) == pytest.approx(points, abs=1e-6)


@pytest.mark.slow
def test_a_height_is_kept_and_else_suits_the_picture():
    def size(picture, **options):
        return np.array(PdfReader(io.BytesIO(exported(picture, "pdf", **options))).pages[0].mediabox[2:], float)

    assert size(curve(), height=2)[1] == pytest.approx(144, abs=1e-6)
    assert size(plan(), width=4)[1] == pytest.approx(288, rel=0.1)  # square cells
    assert size(draw.strip({"wide": np.zeros((10, 80, 3))}), width=4)[1] < 80


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"width": 0.5}, "width = 0.5 is not allowed: it must be column or text, or a number of inches from 1 to 20"),
        ({"width": "wide"}, "width = 'wide' is not allowed: it must be column or text"),
        ({"width": float("nan")}, "width = nan is not allowed"),
        ({"width": True}, "width = True is not allowed"),
        ({"height": "column"}, "height = 'column' is not allowed: it must be a number of inches from 1 to 20"),
        ({"height": 21}, "height = 21 is not allowed"),
        ({"style": "poster"}, "there is no figure style 'poster'; the styles are paper, serif, latex, slide"),
    ],
)
def test_a_bad_size_or_style_is_refused_before_drawing(given, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        figures.check(**given)
    with pytest.raises(ValueError, match=re.escape(sentence)):
        figures.export(lambda: pytest.fail("it was drawn"), io.BytesIO(), format="pdf", **given)


@pytest.mark.slow
def test_formats_are_known_by_ending_or_name(tmp_path):
    with pytest.raises(ValueError, match=r"figure\.jpg is not allowed: a figure is written as pdf, svg, png"):
        figures.export(curve(), tmp_path / "figure.jpg")
    with pytest.raises(ValueError, match="a figure without a format"):
        figures.export(curve(), io.BytesIO())
    with pytest.raises(ValueError, match="can't be written: No such file"):
        figures.export(curve(), tmp_path / "absent" / "figure.pdf")


@pytest.mark.slow
@pytest.mark.parametrize("style", figures.STYLES)
def test_fonts_are_embedded_as_truetype(style):
    found = fonts(exported(plan() if style == "paper" else curve(), "pdf", style=style))
    assert found
    assert {embedded for _, embedded in found} == {True}
    assert {kind for kind, _ in found} <= {"/TrueType", "/CIDFontType2"}  # Type 42, never Type 3


@pytest.mark.slow
def test_only_the_mesh_is_an_image():
    page = PdfReader(io.BytesIO(exported(plan(), "pdf"))).pages[0]
    assert len(page.images) == 1
    assert "target j" in page.extract_text()  # the words are type, not pixels
    assert not PdfReader(io.BytesIO(exported(curve(), "pdf"))).pages[0].images


@pytest.mark.slow
@pytest.mark.parametrize(("format", "length"), [("pdf", 0), *((format, 200_000) for format in figures.FORMATS)])
def test_the_recipe_comes_back(format, length, tmp_path):
    noise = np.random.default_rng(0).bytes(length // 2).hex()
    recipe = STORY | {"data": noise}
    path = tmp_path / f"figure.{format}"
    figures.export(curve(), path, recipe=recipe, width="text")
    back = figures.read_recipe(path)
    assert {name: back[name] for name in recipe} == recipe
    assert back["figure"]["width"] == "text"
    assert back["figure"]["format"] == format
    assert figures.picture_difference(back["figure"]["fingerprint"], figures.fingerprint(curve())) == 0


@pytest.mark.slow
def test_a_pdf_keeps_the_recipe_twice(tmp_path):
    reader = PdfReader(io.BytesIO(exported(curve(), "pdf", recipe=STORY)))
    assert json.loads(reader.attachments["recipe.json"][0])["text"] == STORY["text"]
    assert json.loads(reader.metadata["/lab-recipe"])["text"] == STORY["text"]


@pytest.mark.slow
def test_png_and_svg_are_whole_files():
    from xml.etree import ElementTree

    from PIL import Image

    image = Image.open(io.BytesIO(exported(curve(), "png", recipe=STORY, width=2)))
    image.load()
    assert image.width == 2 * figures.STYLES["paper"].dpi
    assert json.loads(image.text["lab-recipe"])["text"] == STORY["text"]
    assert ElementTree.fromstring(exported(curve(), "svg", recipe=STORY)).tag.endswith("svg")


@pytest.mark.slow
@pytest.mark.parametrize("format", ["pdf", "svg", "png"])  # of the others: test_typeset
def test_equal_pictures_are_equal_bytes(format):
    picture = curve if format == "png" else plan
    assert exported(picture(), format, recipe=STORY) == exported(picture(), format, recipe=STORY)


def test_a_matplotlibrc_of_the_current_folder_changes_no_figure():
    import matplotlib

    wanted = exported(curve(), "svg")
    other = {
        "axes.linewidth": 9,
        "axes.grid": True,
        "xtick.direction": "in",
        "path.sketch": (3, 100, 2),
        "lines.marker": "o",
    }
    with matplotlib.rc_context(other):
        assert exported(curve(), "svg") == wanted
        assert matplotlib.rcParams["axes.linewidth"] == 9


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.pdf", b"%PDF-1.4 broken", "is damaged, its recipe can't be read"),
        ("a.png", b"\x89PNG\r\n\x1a\n" + bytes(40), "holds no recipe: only figures that the lab has exported"),
        ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "holds no recipe"),
        ("a.svg", b"<!DOCTYPE svg [<!ENTITY a 'b'>]><svg xmlns='http://www.w3.org/2000/svg'/>", "is damaged"),
        ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'><metadata id='lab-recipe'>1</metadata></svg>", "no recipe"),
        (
            "a.txt",
            b"words",
            "is not a figure that holds a recipe: it must be a PDF, SVG, PNG, EPS, PGF, GIF, MP4 or HTML file",
        ),
        ("a.bin", b"", "is not a figure"),
    ],
)
def test_other_files_get_a_sentence(name, content, sentence, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=sentence):
        figures.read_recipe(path)


def test_figures_of_others_hold_no_recipe(tmp_path):
    from matplotlib.figure import Figure

    for ending in figures.FORMATS:
        Figure(figsize=(1, 1)).savefig(tmp_path / f"other.{ending}")
        with pytest.raises(ValueError, match="holds no recipe"):
            figures.read_recipe(tmp_path / f"other.{ending}")
    with pytest.raises(ValueError, match=r"there is no file .*absent\.pdf: give a PDF, SVG"):
        figures.read_recipe(tmp_path / "absent.pdf")


@pytest.mark.slow
def test_a_compressed_recipe_can_not_fill_the_memory(tmp_path, monkeypatch):
    path = tmp_path / "figure.png"
    figures.export(curve(), path, recipe={"a": "b" * 100_000})
    monkeypatch.setattr(figure_files, "_LIMIT", 10_000)
    with pytest.raises(ValueError, match="unpacks to more than"):
        isolated.trusted(figure_files.recipe)("figure.png", path.read_bytes(), "png")


@pytest.mark.slow
def test_threads_export_at_once_and_leave_no_trace():
    import matplotlib
    from matplotlib import pyplot

    before = dict(matplotlib.rcParams)
    together: dict[str, bytes] = {}
    errors: list[Exception] = []

    def work(style):
        try:
            together[style] = exported(plan, "svg", style=style)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(style,)) for style in figures.STYLES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    for style in figures.STYLES:
        assert together[style] == exported(plan, "svg", style=style)
    assert dict(matplotlib.rcParams) == before
    assert not pyplot.get_fignums()


@pytest.mark.slow
def test_a_picture_can_be_any_holoviews_object():
    layout = hv.Curve([1, 2, 3]) + hv.Image(np.eye(3))
    assert exported(layout, "pdf", width="text").startswith(b"%PDF")


def test_titles_side_by_side_do_not_touch(monkeypatch):
    from matplotlib import pyplot
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    drawn = []
    monkeypatch.setattr(import_module("lab.figures.export"), "_close", drawn.append)
    exported(draw.strip({f"a long title, number {k}": np.zeros((8, 8, 3)) for k in range(4)}), "png")
    measure = FigureCanvasAgg(drawn[0]).get_renderer()  # saving left one of another resolution
    boxes = [text.get_window_extent(measure) for text in drawn[0].axes[0].texts if text.get_text()]
    pyplot.close(drawn[0])
    assert len(boxes) == 4
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
    assert boxes[-1].x1 <= drawn[0].bbox.x1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mosaic", "table", "curve"])
def test_words_stay_on_the_page_and_apart(kind, monkeypatch):
    from matplotlib import pyplot
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    picture = {
        "mosaic": lambda: draw.mosaic(
            np.zeros((2, 5, 9, 9)),
            ["a rather long name", "short"],
            ["of nine letters"] * 5,
            note="a note of as many letters as can be read on a page of this width",
        ),
        "table": lambda: draw.table(
            {"NAME": ["MMMMMMMMMMMM"], "WIDE": ["1.23e+03"], "HEADS MMMM": ["WWWWWWWW"], "W": ["W"]}
        ),
        "curve": lambda: draw.plot(
            draw.curve([0, 1], [0, 1]),
            xlabel="much said of what is measured along this axis",
            ylabel="as much of the other one",
        ),
    }[kind]
    drawn = []
    monkeypatch.setattr(import_module("lab.figures.export"), "_close", drawn.append)
    exported(picture, "png", width=3.25 if kind == "mosaic" else 2.2)
    (figure,) = drawn
    measure, axes = FigureCanvasAgg(figure).get_renderer(), figure.axes[0]
    figure.draw_without_rendering()  # places the labels of axes
    texts = [*axes.texts, *([axes.xaxis.label, axes.yaxis.label] if axes.axison else [])]
    boxes = [text.get_window_extent(measure) for text in texts if text.get_text().strip()]
    pyplot.close(figure)
    assert len(boxes) >= 2
    page = figure.bbox
    assert all(
        page.x0 <= b.x0 and b.x1 <= page.x1 + 0.5 and page.y0 - 0.5 <= b.y0 and b.y1 <= page.y1 + 0.5 for b in boxes
    )
    assert not any(one.overlaps(two) for k, one in enumerate(boxes) for two in boxes[:k])


@pytest.mark.slow
def test_nothing_between_images_is_dark():
    """What is transparent becomes black in Matplotlib, and shows as rims where a printer smooths."""
    for picture in (
        lambda: draw.mosaic(np.ones((1, 2, 4, 4))),
        lambda: draw.strip({k: np.ones((8, 8, 3)) for k in "ab"}),
    ):
        images = PdfReader(io.BytesIO(exported(picture, "pdf"))).pages[0].images
        assert len(images) >= 1
        assert all(np.asarray(each.image.convert("RGB")).min() == 255 for each in images)


def test_print_is_black_on_nothing():
    svg = exported(curve, "svg").decode()
    assert "#1b2430" not in svg  # the ink of the screen
    assert "#2456a6" in svg


# ---- made again ------------------------------------------------------------------------------------------------


def change(picture, again) -> float:
    return figures.picture_difference(figures.fingerprint(picture), figures.fingerprint(again))


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 40, 4000])
def test_a_fingerprint_tells_another_picture_from_rounding(size):
    draws = np.random.default_rng(3)
    values = draws.uniform(1, 2, size)
    other, noisy = values.copy(), values * (1 + 1e-9 * draws.standard_normal(size))
    other[size // 2] *= 1 + 1e-3
    assert change(curve(values), curve(other)) > 1e-6
    assert change(curve(values), curve(noisy)) < 1e-7
    assert change(curve(values), curve(values)) == 0
    if size > 1:
        assert change(curve(values), curve(values[::-1])) > 1e-3  # the same numbers in another order
        assert np.isnan(change(curve(values), curve(values[1:])))
    assert np.isnan(change(curve(values), plan()))


def test_a_fingerprint_does_not_see_the_theme():
    with draw.theme("dark"):
        dark = plan()
    assert change(dark, plan()) == 0


def test_a_sketch_estimates_the_distance():
    draws = np.random.default_rng(5)
    one, two = draws.standard_normal((2, 5000))
    ratios = []
    for size in np.geomspace(1e-5, 1e-1, 30):
        told = figures.difference(figures.digest(one), figures.digest(one + size * two))
        ratios.append(told / (size * np.linalg.norm(two) / np.linalg.norm(one)))
    assert min(ratios) > 0.4
    assert max(ratios) < 2.0
    # unbiased: over many directions the mean square is the square of the distance
    signs = [np.mean(np.square(figures.digest(draws.standard_normal(300))["sketch"])) / 300 for _ in range(200)]
    assert np.mean(signs) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ([1.0, np.nan], [1.0, np.nan], True),
        ([1.0, np.nan], [np.nan, 1.0], False),
        (["a", "b"], ["a", "b"], True),
        (["a", "b"], ["b", "a"], False),
        ([], [], True),
        (np.zeros(4), 1e-14 * np.ones(4), True),
        (np.zeros(4), 1e-3 * np.ones(4), False),
        (np.array([1 + 1j]), np.array([1 - 1j]), False),
        ([1e200, 1.0], [1e200, 1.0], True),
        (np.arange(5), np.arange(5) + (np.arange(5) == 3), False),
    ],
)
def test_odd_arrays_are_told_apart(one, two, same):
    digests = [json.loads(json.dumps(figures.digest(values), allow_nan=False)) for values in (one, two)]
    assert (figures.difference(*digests) <= 1e-6) == same


def result(plan=1.0, value=0.5, iterations=7) -> xr.Dataset:
    matrix = plan * np.random.default_rng(0).uniform(size=(5, 6))
    variables = {"value": value, "iterations": iterations, "gap": 1e-15, "bound": np.nan, "plan": (("i", "j"), matrix)}
    return xr.Dataset(
        variables, attrs={"recipe": json.dumps({"study": "toy", "device": "CPU", "versions": {"jax": "1"}})}
    )


def picture_of(data: xr.Dataset):
    return draw.heatmap(data.plan.values)


PICTURE = Picture("plan", "Plan", "mass", picture_of)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("figure") / "plan.pdf"
    figures.export_picture(PICTURE, result(), path)
    return figures.read_recipe(path)


@pytest.mark.slow
def test_the_same_again_agrees(recipe):
    told = figures.compare(recipe, result(), picture_of(result()))
    assert told.data_agrees
    assert told.picture_agrees
    assert told.largest_difference == 0
    noisy = result(plan=1 + 1e-9, value=0.5 * (1 + 1e-10))
    told = figures.compare(recipe, noisy, picture_of(noisy))
    assert told.data_agrees
    assert told.picture_agrees
    assert 0 < told.largest_difference < 1e-8


@pytest.mark.slow
def test_other_data_and_pictures_are_named(recipe):
    other = result(value=0.5001)
    told = figures.compare(recipe, other, picture_of(other))
    assert not told.data_agrees
    assert told.picture_agrees
    assert told.largest_difference == pytest.approx(2e-4, rel=0.01)
    assert any("value differs by 2.0e-04 of its size: 0.5 in the figure, 0.5001 now" in s for s in told.sentences)
    other = result(plan=1.001, iterations=8)
    other.attrs["recipe"] = json.dumps({"study": "toy", "device": "GPU", "versions": {"jax": "2"}})
    told = figures.compare(recipe, other, picture_of(other))
    assert not told.data_agrees
    assert not told.picture_agrees
    text = " ".join(told.sentences)
    assert "plan differs by" in text
    assert "iterations differs" in text
    assert "another device: CPU, here GPU" in text
    assert "jax 1 (here 2)" in text


@pytest.mark.slow
def test_a_missing_variable_is_another_result(recipe):
    told = figures.compare(recipe, result().drop_vars("value"), picture_of(result()))
    assert not told.data_agrees
    assert np.isnan(told.largest_difference)


def test_a_result_without_a_recipe_is_refused():
    with pytest.raises(ValueError, match="does not carry its recipe"):
        figures.export_picture(PICTURE, xr.Dataset(), io.BytesIO(), format="pdf")


@pytest.mark.slow
@pytest.mark.parametrize("wrong", [False, True])
def test_a_figure_with_its_swept_parameters_in_the_old_order_is_made_again(tmp_path, wrong):
    """Files from before the arrays of all sweeps had the parameters in the order given."""
    study = SparseOT(data="bump-to-bump", n=12)
    path, picture = tmp_path / "figure.png", study.pictures.feasibility
    result = study.picture_result(picture)
    figures.export_picture(picture, result, path)
    recipe = figures.read_recipe(path)
    old = result.transpose(*reversed(list(recipe["figure"]["swept"])), ...)
    assert old.n_ties.dims != result.n_ties.dims
    if wrong:
        old = old.assign(n_ties=old.n_ties + 1)
    path.write_bytes(
        embed.embed(path.read_bytes(), "png", recipe | {"figure": recipe["figure"] | {"results": summary(old)}})
    )
    assert figures.reproduce(path).data_agrees is not wrong
