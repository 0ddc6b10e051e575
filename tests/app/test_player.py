"""A picture that moves, on its page: the frames are in the browser, and the server is not asked for them."""

import numpy as np
import pytest
from browsing import open_page, wait
from drifting import Drifting

from lab import studies
from lab.app.session import Session
from lab.app.study_page import StudyPage

pytestmark = pytest.mark.browser

# the middle of the first cloud, as it is drawn
_MIDDLE = """() => {
  for (const model of Bokeh.documents[0]._all_models.values()) {
    if (model.type !== "ColumnDataSource" || !model.tags.length || model.get_length() !== 300) continue
    const data = model.data instanceof Map ? Object.fromEntries(model.data) : model.data
    const mean = (values) => [...values].reduce((sum, v) => sum + v, 0) / values.length
    return [mean(data.x), mean(data.y)]
  }
}"""


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    monkeypatch.setattr("lab.studies.registry._scanned", True)
    monkeypatch.setitem(studies.registry._found, "drifting", Drifting)


def test_the_slider_moves_the_cloud_in_the_browser_and_it_plays():
    made = []

    def app():
        session = Session(Drifting(particles=300))
        session.start()
        made.append(session)
        return StudyPage(session)

    with open_page(app) as (page, log):
        slider = page.locator(".player input")
        slider.wait_for()
        paths = made[-1].result.paths.values[0]
        np.testing.assert_allclose(page.evaluate(_MIDDLE), paths[-1].mean(axis=0), atol=1e-5)
        slider.focus()
        for _ in range(8):
            page.keyboard.press("ArrowLeft")
        assert page.locator(".player output").inner_text() == "time = 0.6"
        np.testing.assert_allclose(page.evaluate(_MIDDLE), paths[12].mean(axis=0), atol=1e-5)

        # another run: the same frame of it
        made[-1].post(lambda: made[-1].set(speed=2.0))
        wait(lambda: page.wait_for_timeout(20) or (made[-1].study.speed == 2 and made[-1].fresh))
        turned = made[-1].result.paths.values[0]
        wait(lambda: np.allclose(page.evaluate(_MIDDLE), turned[12].mean(axis=0), atol=1e-5))

        page.get_by_role("button", name="play").click()
        seen = {tuple(np.round(page.evaluate(_MIDDLE), 4)) for _ in range(20) if page.wait_for_timeout(60) is None}
        assert len(seen) >= 5
        page.get_by_role("button", name="pause").click()
        assert not log.wrong
        assert not log.outside
