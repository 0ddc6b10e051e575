"""A card sends what has changed, and nothing else."""

import holoviews as hv
import numpy as np
import panel as pn
import pytest
from browsing import wait
from gradual import Gradual
from holoviews.streams import Pipe
from visitor import opened, picture_of, shown, work_off

from lab.app.cards import keep_unchanged, numbers
from lab.app.stage import Cards
from lab.studies import draw


def _plan(seed: int, tint: str = draw.SOURCE) -> hv.Overlay:
    matrix = (
        np.random.default_rng(seed).uniform(size=(6, 6)) / 100
    )  # below the marginals, whose bars then keep their scale
    marginal = np.full(6, 1 / 6)
    with draw.theme("light", backend="bokeh"):
        return draw.plan(matrix, marginal, marginal, a_color=tint) * draw.points(np.arange(6), marginal)


def _sent(second: hv.Overlay, but: tuple[type, ...] = ()) -> set[str]:
    """Glyphs whose data are sent when the second picture follows the first."""
    pipe = Pipe(data=_plan(0))
    plot = draw.bokeh_renderer("light").get_plot(hv.DynamicMap(lambda data: data, streams=[pipe]))
    moved: list[str] = []
    for renderer in plot.state.renderers:
        name = f"{type(renderer.glyph).__name__} {len(moved)}"
        renderer.data_source.on_change("data", lambda attribute, old, new, name=name: moved.append(name.split()[0]))
    keep_unchanged(pipe.data, second, but)
    pipe.send(second)
    return set(moved)


@pytest.mark.slow
def test_only_the_layers_that_changed_are_sent():
    assert _sent(_plan(0)) == set()
    assert _sent(_plan(1)) == {"Image", "Line"}  # the plan and what it sums to, not the marginals that were asked for


@pytest.mark.slow
def test_a_new_colour_is_sent_and_so_is_what_the_browser_may_have_moved():
    assert "Quad" in _sent(_plan(0, draw.TARGET)) or _tint(_plan(0, draw.TARGET)) != _tint(_plan(0))
    assert _sent(_plan(0), but=(hv.Points,)) == {"Scatter"}


def _tint(picture: hv.Overlay) -> list[str]:
    plot = draw.bokeh_renderer("light").get_plot(picture)
    return [
        str(renderer.glyph.fill_color) for renderer in plot.state.renderers if hasattr(renderer.glyph, "fill_color")
    ]


def test_a_theme_that_changes_while_a_run_ends_reaches_every_card(home):
    """Its redraws take one turn a card, and the result comes between two of them."""
    session = opened(Gradual)
    turns: list = []
    session.post_drawing = turns.append  # instead of at once
    cards = Cards(session)
    work_off(turns)
    session.dark = True
    session.param.update(result=session.result.copy(), fresh=True)
    work_off(turns)
    session.close()
    themes = [pane.theme._json for card in cards.cards for pane in shown(card.view, pn.pane.HoloViews)]
    assert len(themes) > 1
    assert {theme["attrs"]["Axis"]["axis_label_text_color"] for theme in themes} == {"#e6eaf0"}


def test_the_csv_of_a_table_is_the_table():
    with draw.theme("light", backend="bokeh"):
        assert (
            numbers(draw.table({"k": [1, 20000], "cost": ["a, b", 0.123456789]}))
            == b'k,cost\n1,"a, b"\n20000,0.123456789\n'
        )
        marks = numbers(hv.Overlay([draw.points([0, 1], [2, 3])])).decode().splitlines()
    assert [len(marks), marks[0].startswith("layer,x,y")] == [3, True]


def test_on_a_served_page_a_picture_is_drawn_while_it_is_seen(home):
    session, turns = opened(Gradual, data="gaussians-2d"), []
    session.post_drawing = turns.append
    cards = Cards(session, unseen=False)
    hero, card = cards.heroes[0], next(card for card in cards.cards if card.picture.name == "convergence")

    def shows(card, name):
        drawn = shown(card.view, pn.pane.HoloViews) and picture_of(card.view).Curve.I.dimension_values(1)
        return np.array_equal(drawn, session.result[name])

    work_off(turns)
    assert not card.why
    assert not shown(card.view, pn.pane.HoloViews)
    card.head.seen = True
    assert shows(card, "history")
    card.head.seen = False
    session.set(gamma=2.0)
    wait(lambda: not session.rough and turns and shows(hero, "values"))
    work_off(turns)
    assert not shows(card, "history")
    card.head.seen = True
    assert shows(card, "history")
    card = next(card for card in cards.cards if card.picture.name == "links")
    session.set(data="bump-to-bump")  # whether it applies is known without a look
    wait(lambda: card.why, lambda: work_off(turns))
    session.close()
