"""A card sends what has changed, and nothing else."""

import holoviews as hv
import numpy as np
from holoviews.streams import Pipe

from lab.app.cards import keep_unchanged
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


def test_only_the_layers_that_changed_are_sent():
    assert _sent(_plan(0)) == set()
    assert _sent(_plan(1)) == {"Image", "Line"}  # the plan and what it sums to, not the marginals that were asked for


def test_a_new_colour_is_sent_and_so_is_what_the_browser_may_have_moved():
    assert "Quad" in _sent(_plan(0, draw.TARGET)) or _tint(_plan(0, draw.TARGET)) != _tint(_plan(0))
    assert _sent(_plan(0), but=(hv.Points,)) == {"Scatter"}


def _tint(picture: hv.Overlay) -> list[str]:
    plot = draw.bokeh_renderer("light").get_plot(picture)
    return [
        str(renderer.glyph.fill_color) for renderer in plot.state.renderers if hasattr(renderer.glyph, "fill_color")
    ]
