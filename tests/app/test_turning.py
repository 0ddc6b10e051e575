"""A picture that turns, on its page: the browser draws it, a click finds a vertex, a figure has the camera that one sees."""

from typing import Any

import numpy as np
import pytest
from bokeh.events import Tap
from browsing import open_page
from sketched import TwoShapes, bodies_of, sketch_in_catalogues  # noqa: F401
from visitor import event, figure_of, opened, picture_of, send, state, text
from waiting import steady, wait

from lab.app.cards import Card
from lab.app.export_tab import ExportTab
from lab.app.session import Session
from lab.app.study_page import StudyPage
from lab.studies import draw
from lab.studies.draw import space

# what the figure shows: its camera, its ends, and its pixels as they were drawn finely
_SEEN = """() => {
  for (const fig of globalThis.Bokeh?.documents[0]?._all_models.values() ?? []) {
    if (fig.turning?.drawn !== 2) continue
    const data = (source) => source.data instanceof Map ? Object.fromEntries(source.data) : source.data
    const sources = fig.renderers.map((renderer) => data(renderer.data_source))
    const shown = sources.find((each) => each.image?.[0]?.dtype === "uint32"), pixels = shown.image[0]
    const camera = data(Bokeh.documents[0].get_model_by_name("camera"))
    const marks = fig.renderers.filter(({glyph}) => glyph.type === "Scatter").map(({data_source}) => data(data_source))
    return {camera: [camera.azimuth[0], camera.elevation[0]], shape: pixels.shape, pixels: [...pixels],
            marks: marks.map(({x, y}) => [[...x], [...y]]),
            span: [shown.x[0], shown.y[0], shown.x[0] + shown.dw[0], shown.y[0] + shown.dh[0]]}
  }
}"""


pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def session():
    made = opened(TwoShapes)
    yield made
    made.close()


def place_of(result, vertex: int, camera: space.Camera) -> tuple[float, float]:
    """Where a vertex of the sphere is drawn."""
    placed = space.place(bodies_of(result))
    points = space.seen_from(camera, placed.vertices, placed.places[placed.body])
    return float(points.x[vertex]), float(points.y[vertex])


def nearest(result, camera: space.Camera) -> int:
    """The vertex of the sphere that is nearest to the eye."""
    placed = space.place(bodies_of(result))
    return int(np.argmax(placed.vertices[placed.body == 0] @ space.axes_of(camera)[2]))


@pytest.mark.slow
def test_a_click_is_seen_by_the_camera_of_the_page_and_figures_have_it(session):
    card, tab = Card(session, TwoShapes.pictures.shapes, lambda: None), ExportTab(session)
    assert tab.picture == "shapes"
    assert tab.camera == ""
    card.refresh()
    figure = figure_of(card.view)
    source = figure.select_one({"name": draw.CAMERA})
    assert {name: list(values) for name, values in source.data.items()} == {"azimuth": [30.0], "elevation": [25.0]}
    source.data = {"azimuth": [-159.96], "elevation": [-40.02]}
    assert session.cameras == {"shapes": (200.0, -40.0)}
    assert tab.camera == "200, -40"
    tab.open()
    wait(lambda: "--camera=200,-40" in text(tab))
    vertex = nearest(session.result, (200.0, -40.0))
    assert vertex != nearest(session.result, (30.0, 25.0))
    x, y = place_of(session.result, vertex, (200.0, -40.0))
    event(figure, Tap, x, y)
    wait(lambda: not session.busy)
    assert session.study.point == vertex
    source.data = {"azimuth": ["far"], "elevation": [None]}  # no page of ours sends that
    source.data = {"azimuth": [0.0], "elevation": [100.0]}
    assert session.cameras == {"shapes": (200.0, -40.0)}
    card.refresh()
    shown = picture_of(card.view).RGB.I.cdims[draw.SCENE]["camera"]  # drawn again as it is seen, not as at first
    np.testing.assert_array_equal(shown, (200.0, -40.0))
    tab.picture = "profile"
    assert tab.camera == ""


@pytest.mark.slow
def test_the_address_has_the_camera_and_turns_the_picture(session):
    page = StudyPage(session, address=True)

    def hash_of():
        return state(page.tabs)["hash"]

    assert hash_of() == ""
    card = next(card for card in page.cards.cards if card.picture.name == "shapes")
    figure = figure_of(card.view)
    source = figure.select_one({"name": draw.CAMERA})
    send(page.tabs, {"camera.shapes": "200,-40", "asked": True})
    assert {name: list(values) for name, values in source.data.items()} == {"azimuth": [200.0], "elevation": [-40.0]}
    assert hash_of() == "camera.shapes=200,-40"
    send(page.tabs, {"tab": "recipe"})
    assert hash_of() == "tab=take&camera.shapes=200,-40"
    source.data = {"azimuth": [-10.0], "elevation": [5.0]}  # a hand
    assert hash_of() == "tab=take&camera.shapes=350,5"
    assert list(source.data["azimuth"]) == [-10.0]
    send(page.tabs, {"camera.shapes": "far", "camera.profile": "1,2", "camera.none": "1,2", "asked": True})
    assert session.cameras == {"shapes": (350.0, 5.0)}
    told = [notice.split(":")[0] for notice in session.notices]
    assert told[:2] == ["the camera far is not allowed", "the picture profile does not turn"]
    assert told[2].startswith("there is no picture 'none'; there are shapes")


@pytest.mark.browser
def test_a_hand_turns_the_shapes_and_a_click_marks_a_point_on_both():
    made = []

    def app():
        session = Session(TwoShapes(n=16))
        session.start()
        made.append(session)
        return StudyPage(session)

    with open_page(app) as (page, log):

        def seen() -> dict[str, Any]:
            wait(lambda: page.wait_for_timeout(20) or page.evaluate(_SEEN))
            return page.evaluate(_SEEN)

        first, session = seen(), made[-1]
        assert first["camera"] == [30, 25]
        _agrees(first, session.result)
        box = page.locator(".bk-Figure").first.bounding_box()
        x, y = box["x"] + 0.3 * box["width"], box["y"] + 0.5 * box["height"]
        page.mouse.move(x, y)
        page.mouse.down()
        for step in range(1, 6):
            page.mouse.move(x + 20 * step, y + 10 * step)
        page.mouse.up()
        wait(lambda: page.wait_for_timeout(20) or session.cameras)
        wait(lambda: page.wait_for_timeout(20) or ((shown := page.evaluate(_SEEN)) and shown["camera"] != [30, 25]))
        turned = steady(page, seen)
        azimuth, elevation = session.cameras["shapes"]
        assert azimuth > 180  # to the right by 100 pixels: the eye goes left, from 30 degrees past 0
        assert 30 < elevation < 90
        np.testing.assert_allclose(np.mod(turned["camera"], 360), (azimuth, elevation), atol=0.06)
        _agrees(turned, session.result)

        page.mouse.click(x, y)
        wait(lambda: page.wait_for_timeout(20) or (session.study.point != 10 and not session.busy))
        wait(lambda: seen()["marks"] != turned["marks"])
        marked = steady(page, seen)
        np.testing.assert_allclose(marked["camera"], turned["camera"])
        _agrees(marked, session.result)
        assert not log.wrong
        assert not log.outside


def _agrees(seen: dict[str, Any], result) -> None:
    """The browser drew what Python draws from the same camera, with the marks in the layers where they belong."""
    with draw.theme("light", backend="bokeh"), draw.looking(seen["camera"]):
        picture: Any = TwoShapes.pictures.shapes.draw(result)
    placed = space.place(bodies_of(result))
    sent = {name: getattr(placed, name).astype(np.float32).astype(float) for name in ("vertices", "normals", "places")}
    placed = placed._replace(**sent)
    colours = picture.RGB.I.cdims[draw.SCENE]["colours"]
    expected = space.rasterise(placed, colours, seen["camera"], tuple(seen["span"]), seen["shape"])
    drawn = np.array(seen["pixels"], np.uint32).view(np.uint8).reshape(*seen["shape"], 4)
    covered = expected[..., 3] > 0
    assert 0.2 < covered.mean() < 0.8
    apart = np.abs(drawn.astype(int) - expected).max(axis=2)
    assert (apart[covered] <= 2).mean() > 0.999
    assert (drawn[~covered] == 0).all()
    marks, behind = space.hidden(placed, seen["camera"])
    for (x, y), there in zip(seen["marks"], (False, True), strict=True):
        np.testing.assert_allclose(np.array(x, float), np.where(behind == there, marks.x, np.nan), atol=1e-5)
        np.testing.assert_allclose(np.array(y, float), np.where(behind == there, marks.y, np.nan), atol=1e-5)
