"""A study as one file of HTML: what is in it, what can't get into it, what rounding changes, and that it works in a browser."""

import base64
import io
import json
import re
import shutil
import struct
import zlib
from datetime import date
from html.parser import HTMLParser

import numpy as np
import pytest
from gradual import Gradual
from visitor import buttons, opened, send, sent, text
from waiting import animation_frames, wait

import lab.studies.draw as draw
from lab import figures
from lab.app import share
from lab.app.share_tab import ShareTab
from lab.app.sharing import LIMIT, page
from lab.app.sharing.cells import Count, asked, grid_of
from lab.app.sharing.packing import Pack, Scale
from lab.cli import main
from lab.numerics import Progress
from lab.studies import Group, Paper, Picture, Pictures, Real, SparseOT, Step, Story, register
from lab.sweeps import sweep
from lab.sweeps.single import run

EVIL = "</script><img src=x onerror=alert(1)>"
DAY = date(2026, 11, 29)


def _film(result, frame):
    """A point on its way down."""
    gap = result.history.values
    return draw.plot(
        draw.curve(result.iteration, gap, color=draw.MUTED),
        draw.points(result.iteration[frame : frame + 1], gap[frame : frame + 1]),
        xlabel="iteration",
        ylabel="gap",
        xlim=(0, 40),
        ylim=(0, 12),
    )


class Shared(Gradual):
    slug = "shared"
    pictures = Pictures(*Gradual.pictures, Picture("film", "Film", "on its way", _film, plays="iteration"))
    story = Story(
        "What is pulled comes to its limit.",
        hero=("values", "film"),
        moves=("gamma", "k"),
        steps=(
            Step("Half as strong?", {"gamma": 0.5}, "The sum is {total:.3g}, it was {before.total:.3g}.",
                 lambda before, after: after.total < before.total),
            Step("Does a slow rate change the limit?", {"rate": 0.25}, "It takes {iterations:.0f} steps.",
                 lambda before, after: after.iterations > before.iterations),
            Step("A false hope?", {"gamma": 2.0}, "The sum is {total:.3g}.", lambda before, after: after.total < before.total),
        ),
        groups=(Group("More", "The gap is {gap:.1g}.", ("links", "against_gamma", "convergence")),),
        says=("The sum is {total:.3g}.",),
    )  # fmt: skip


class Evil(Shared):
    slug = "evil"
    title = EVIL
    about = f"{EVIL}. {EVIL}. {EVIL}."
    paper = Paper(EVIL, EVIL, EVIL, 2026, f"javascript:alert(1)//{EVIL}")
    gamma = Real(1.0, bounds=(1e-4, 1e4), soft=(1e-2, 1e2), scale="log", symbol=EVIL, doc=EVIL)
    pictures = Pictures(
        Picture("values", EVIL, EVIL, lambda r: draw.plot(draw.curve(r.place, r["values"], EVIL), xlabel=EVIL)),
        *list(Gradual.pictures)[1:],
    )
    story = Story(EVIL, ("values",), ("gamma",), tuple(
        Step(EVIL, {"rate": 0.25}, EVIL + " {total:.3g}", lambda before, after: False) for _ in range(3)
    ), (Group("More", "", ("links", "convergence", "against_gamma")),), says=(EVIL,))  # fmt: skip

    @classmethod
    def advice(cls, result):
        return EVIL


@pytest.fixture(autouse=True)
def known(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_HOME", str(tmp_path / "home"))
    register(Shared)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A share of the test's study, with one of its other pictures."""
    folder = tmp_path_factory.mktemp("share")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAB_HOME", str(folder / "home"))
        patch.setattr("lab.app.sharing._FRAMES", 4)
        share(Shared(), folder / "it.html", ["values", "film", "against_gamma"], "gamma", [0.1, 100.0], day=DAY)
    return folder / "it.html"


def content(text: str) -> tuple[dict, bytes]:
    """What the script of a share reads: header and bytes of the arrays."""
    packed = re.search('<script type="text/plain" id="lab-data">([^<]*)</script>', text)[1]
    plain = zlib.decompress(base64.b64decode(packed))
    size = struct.unpack("<I", plain[:4])[0]
    return json.loads(plain[4 : 4 + size]), plain[4 + size :]


def decoded(blob) -> np.ndarray:
    """An array as the browser has it."""
    dtype = {"shades": np.dtype(np.uint8), "places": np.dtype(np.uint16)}.get(blob.kind, np.dtype(blob.dtype))
    planes = np.frombuffer(blob.data, np.uint8).reshape(dtype.itemsize, -1)
    codes = np.ascontiguousarray(planes.T).reshape(-1).view(dtype).reshape(blob.shape)
    if blob.kind == "raw":
        return codes
    return np.where(codes == np.iinfo(dtype).max, np.nan, blob.low + blob.step * codes.astype(float))


class Elements(HTMLParser):
    """The elements of a page, as a browser finds them."""

    def __init__(self, text: str):
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


@pytest.mark.slow
def test_a_share_has_all_that_was_asked_for(made):
    text = made.read_text()
    header, arrays = content(text)
    assert len(text) < 2_000_000
    assert sum(table[-1] for table in header["blobs"]) == len(arrays)
    assert [picture["name"] for picture in header["pictures"]] == ["values", "film", "against_gamma"]
    assert [picture["hero"] for picture in header["pictures"]] == [True, True, False]
    assert header["sliders"][0]["names"] == ["0.1", "1", "100"]  # the state's own is among them
    assert header["at"] == 1
    assert [cell["grid"] for cell in header["cells"]] == [[0], [1], [2], None, None, None]  # three steps beside
    assert "The pull is strong" in header["cells"][2]["told"]
    assert "The pull is strong" not in header["cells"][0]["told"]
    assert "The sum is 0.1." in header["cells"][0]["told"]
    steps = header["steps"]
    assert [step["answer"] for step in steps] == ["The sum is 0.5, it was 1.", "It takes 49 steps.", "The sum is 2."]
    assert [step["holds"] for step in steps] == [True, True, False]
    for said in (
        "Made by transport-lab",
        "2026-11-29",
        "lab reproduce it.html",
        "nobody2024patience,",
        "author = {Nobody}",
    ):
        assert said in text
    values = header["pictures"][0]
    assert all(len(cell["light"]) == len(cell["dark"]) == 1 for cell in values["cells"])
    states = values["figures"][0]["states"]
    assert len(states) == 2 * 6
    assert len({tuple(state) for state in states}) >= 2 * 5  # another rate has the same limit
    film = header["pictures"][1]
    assert all(len(cell["places"]) == len(cell["light"]) == 4 for cell in film["cells"])
    assert film["cells"][2]["places"][-1] > film["cells"][0]["places"][-1]


@pytest.mark.slow
def test_a_share_asks_nobody_and_runs_only_its_own_script(made):
    elements = Elements(made.read_text()).found
    outside = {"src", "srcset", "poster", "action", "data"}
    assert not [(tag, attrs) for tag, attrs in elements if outside & set(attrs)]
    assert {tag for tag, _ in elements} & {"link", "iframe", "object", "embed", "form", "base", "img"} == set()
    policy = next(attrs["content"] for tag, attrs in elements if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy
    assert not re.search("script-src[^;]*(unsafe-inline|https?:|data:|blob:)", policy)
    assert not [attrs for _, attrs in elements if any(name.startswith("on") for name in attrs)]


@pytest.mark.slow
def test_texts_are_no_markup():
    file = io.BytesIO()
    share(Evil(), file, values=[1.0, 2.0], day=DAY)
    text = file.getvalue().decode()
    elements = Elements(text).found
    assert "img" not in {tag for tag, _ in elements}
    assert [attrs.get("id") for tag, attrs in elements if tag == "script"] == [
        "lab-recipe",
        "lab-bokeh",
        "lab-data",
        None,
    ]
    assert not [attrs for _, attrs in elements if "javascript" in str(attrs.get("href"))]
    for cell in content(text)[0]["cells"]:  # these are put in as markup
        assert {tag for tag, _ in Elements(cell["told"]).found} <= {"div", "b", "span", "p", "details", "summary"}


@pytest.mark.slow
def test_the_recipe_is_read_as_a_figure_is(made, tmp_path):
    recipe = figures.read_recipe(made)
    assert recipe["study"] == "shared"
    assert recipe["share"]["along"] == {"gamma": ["0.1", "1", "100"]}
    comparison = figures.reproduce(made, given=[Shared])
    assert comparison.data_agrees
    assert comparison.picture_agrees
    assert float(figures.recall(made, given=[Shared]).total) == pytest.approx(1.0, abs=1e-5)
    changed = made.read_text().replace('"gamma": 1.0', '"gamma": 1.5', 1)
    (tmp_path / "other.html").write_text(changed)
    assert not figures.reproduce(tmp_path / "other.html", given=[Shared]).data_agrees


@pytest.mark.slow
def test_a_share_names_no_file_and_no_code(made, tmp_path, capsys):
    text = made.read_text()
    for study in ("evil.py", "../evil.py", "os.path"):
        (tmp_path / "it.html").write_text(text.replace('"study": "shared"', f'"study": "{study}"', 1))
        assert main(["open", str(tmp_path / "it.html"), "-o", str(tmp_path / "x.nc")]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    (tmp_path / "it.html").write_text(text.replace('"data": "bump-to-bump"', '"data": "/etc/passwd"', 1))
    with pytest.raises(ValueError, match="have no name here"):
        figures.recall(tmp_path / "it.html", given=[Shared])
    (tmp_path / "it.html").write_text("<!DOCTYPE html><title>else</title>")
    with pytest.raises(ValueError, match="holds no recipe"):
        figures.read_recipe(tmp_path / "it.html")


@pytest.mark.slow
def test_only_a_share_is_written_over(made, tmp_path):
    mine = tmp_path / "mine.html"
    mine.write_text("<!DOCTYPE html><p>mine")
    with pytest.raises(ValueError, match="mine"):
        share(Shared(), mine, ["values"], values=[1.0])
    assert mine.read_text() == "<!DOCTYPE html><p>mine"
    shutil.copy(made, tmp_path / "it.html")
    share(Shared(), tmp_path / "it.html", ["values"], values=[1.0], day=DAY)
    assert figures.read_recipe(tmp_path / "it.html")["share"]["pictures"] == ["values"]
    with pytest.raises(ValueError, match=r"end its name with \.html"):
        share(Shared(), tmp_path / "it.pdf")


def test_the_values_of_a_slider():
    study = Shared(gamma=0.3)
    usual = grid_of(study, None, None, 1.0)["gamma"]
    assert len(usual) <= 12
    assert usual == sorted(usual)
    assert {0.01, 0.3, 0.5, 2.0, 100.0} <= set(usual)  # the ends, its own, those of the steps
    assert len(grid_of(study, None, None, 60.0)["gamma"]) < len(usual)  # where a run takes long
    assert grid_of(study, "gamma", "0.1:10:log3", 1.0) == {"gamma": [0.1, 0.3, 1.0, 10.0]}
    assert grid_of(study, ["gamma", "k"], {"gamma": [1.0], "k": [1, 2]}, 1.0) == {"gamma": [0.3, 1.0], "k": [1, 2]}
    assert grid_of(study, "regularizer", None, 1.0) == {"regularizer": ["entropic", "quadratic", "k-sparse"]}
    for along, values, said in (
        ("nothing", None, "is no parameter"),
        ("data", None, "give the values along it"),
        (["gamma", "k"], [1.0], "2 sliders"),
        ("gamma", [-1.0], "gamma"),
    ):
        with pytest.raises((ValueError, TypeError), match=said):
            grid_of(study, along, values, 1.0)


@pytest.mark.slow
def test_a_kept_sweep_is_shared_along_its_grid(tmp_path):
    kept = sweep(Shared, gamma=[0.5, 1.0], rate=[0.25, 0.5], keep=["total"])
    _, result, grid = asked(kept)
    assert result is None
    assert grid == {"gamma": [0.5, 1.0], "rate": [0.25, 0.5]}
    share(kept, tmp_path / "sweep.html", ["values"], day=DAY)
    header, _ = content((tmp_path / "sweep.html").read_text())
    assert [cell["grid"] for cell in header["cells"][:4]] == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert [slider["names"] for slider in header["sliders"]] == [["0.5", "1"], ["0.25", "0.5"]]
    with pytest.raises(TypeError, match="can't be shared"):
        share({"no": "study"}, tmp_path / "no.html")


@pytest.mark.slow
def test_a_run_that_fails_says_so_at_its_place(tmp_path):
    share(Shared(), tmp_path / "it.html", ["values"], "fail", [False, True], day=DAY)
    header, _ = content((tmp_path / "it.html").read_text())
    failed = header["cells"][1]
    assert "fail = true" in failed["told"]
    assert header["pictures"][0]["cells"][1]["why"].startswith("fail = true")


def test_it_can_be_stopped_and_then_writes_nothing(tmp_path):
    seen = []

    def report(progress: Progress) -> bool:
        seen.append((progress.iteration, progress.max_iterations))
        return progress.iteration > 2

    with pytest.raises(ValueError, match="stopped: nothing was shared"):
        share(Shared(), tmp_path / "it.html", report=report)
    assert not (tmp_path / "it.html").exists()
    assert seen == sorted(seen)
    count = Count(None)
    assert count() is False


def test_rounding_is_within_what_the_file_says():
    rng = np.random.default_rng(0)
    pack = Pack()
    image = rng.normal(size=(40, 30))
    image[3, 4] = np.nan
    shades = (float(np.nanmin(image)), float(np.nanmax(image)))
    places = rng.normal(size=500)
    places[7] = np.nan
    for array, scale, largest in (
        (image, Scale(shades=(shades,)), 0.5 / 254 * (shades[1] - shades[0])),
        (places, Scale(span=4.0), 0.5 / 65_534 * (np.nanmax(places) - np.nanmin(places))),
    ):
        pack.value(array, scale)
        blob = pack.blobs[-1]
        assert blob.kind != "raw"
        error = np.abs(decoded(blob) - array)
        assert np.isnan(error).sum() == 1
        assert np.nanmax(error) <= 1.0001 * largest
    assert np.nanmax(np.abs(decoded(pack.blobs[0]) - image)) / np.ptp(shades) <= 1.001 * pack.shades.largest
    assert np.nanmax(np.abs(decoded(pack.blobs[1]) - places)) / 4.0 <= 1.001 * pack.places.largest
    assert "256 colours" in page.rounded(pack)[0]
    # what would be seen is not rounded: beyond the scale of colours, an outlier, a logarithmic axis; nor what is no float
    for array, scale in (
        (10 * image, Scale(shades=(shades,))),
        (np.append(places, 1e9), Scale(span=4.0)),
        (places, Scale(span=0.0)),
        (np.append(places, np.inf), Scale(span=4.0)),
        (np.arange(100, dtype=np.int32), Scale(span=4.0)),
    ):
        pack.value(array, scale)
        assert pack.blobs[-1].kind == "raw"
        np.testing.assert_allclose(decoded(pack.blobs[-1]), array, rtol=1e-7)
    assert pack.value(places, Scale(span=4.0)) == 1  # each once


@pytest.mark.slow
def test_what_ships_makes_small_shares(monkeypatch, tmp_path):
    monkeypatch.delenv("LAB_RESULTS")
    default = SparseOT()
    share(default, tmp_path / "it.html", along="k", values=[1, 8])
    assert (tmp_path / "it.html").stat().st_size < LIMIT
    header, _ = content((tmp_path / "it.html").read_text())
    assert header["sliders"][0]["names"] == ["1", "2", "8"]
    assert main(["open", str(tmp_path / "it.html"), "-o", str(tmp_path / "it.nc")]) == 0
    assert (tmp_path / "it.nc").stat().st_size
    assert float(run(default).value) == pytest.approx(float(figures.recall(tmp_path / "it.html").value))


def test_the_command_refuses_before_it_computes(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words, said in (
        (["share", "sparse-ot"], "-o FILE.html"),
        (["share", "sparse-ot", "-o", "it.pdf"], ".html"),
        (["share", "sparse-ot", "-o", "it.html", "--values", "1,2"], "give both as often"),
        (["share", "sparse-ot", "-o", "it.html", "--k", "0"], "k = 0"),
        (["share", "sparse-ot", "-o", "it.html", "--sweep", "none.nc"], "there is no file"),
    ):
        assert main(words) == 2
        assert said in capsys.readouterr().err


@pytest.mark.slow
def test_the_button_of_a_page_hands_the_file_over(monkeypatch):
    tab = ShareTab(opened(Shared))
    button = buttons(tab)["Share as one file (.html)"]
    few = {"pictures": ["values"], "values": [1.0, 2.0]}
    monkeypatch.setattr("lab.app.share_tab.share", lambda study, file, report: share(study, file, **few, report=report))
    handed = sent(button)
    send(button, {})
    assert not button.ready
    wait(lambda: handed and button.ready)
    assert handed[0]["name"] == "shared.html"
    assert "lab reproduce shared.html" in handed[0]["content"].decode()
    assert "Saved as shared.html" in text(tab)
    monkeypatch.setattr(
        "lab.app.share_tab.share", lambda *given, **named: (_ for _ in ()).throw(ValueError("not today"))
    )
    send(button, {})
    wait(lambda: "It can&#x27;t be shared: not today" in text(tab) and button.ready)
    assert len(handed) == 1


@pytest.mark.browser
def test_a_share_works_from_a_file(made):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
        wrong, asked_for = [], []
        tab.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("request", lambda request: asked_for.append(request.url))
        tab.goto(made.as_uri())
        tab.wait_for_selector("body.ready")
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390

        def drawn() -> str:
            animation_frames(tab)
            return tab.locator("#picture-values .figure:not([hidden])").screenshot()

        slider = tab.locator("#slider-0 input[type=range]")
        shown = {slider.input_value(): drawn()}
        assert [*shown] == ["1"]
        for press, at in (("ArrowRight", "2"), ("Home", "0")):
            slider.press(press)
            assert slider.input_value() == at
            shown[at] = drawn()
        assert len(set(shown.values())) == 3
        assert "The sum is 0.1." in tab.locator("#told .box").inner_text()
        slider.press("ArrowRight")
        assert drawn() == shown["1"]
        # a step that is not on the slider, its answer, and back
        tab.get_by_role("button", name="Set ρ = 0.25").click()
        assert "It takes 49 steps." in tab.locator("#steps .box").inner_text()
        assert tab.locator("#here").inner_text() == "Step 2: ρ = 0.25"
        tab.get_by_role("button", name="Back to the slider").click()
        assert drawn() == shown["1"]
        # the picture that moves
        frames = tab.locator("#picture-film input[type=range]")
        last = tab.locator("#picture-film .figure:not([hidden])").screenshot()
        frames.press("Home")
        animation_frames(tab)
        assert tab.locator("#picture-film .figure:not([hidden])").screenshot() != last
        tab.get_by_role("button", name="light or dark").click()
        assert tab.evaluate("document.documentElement.dataset.theme") == "light"
        assert drawn() != shown["1"]
        assert wrong == []
        assert asked_for == [made.as_uri()]
        browser.close()
