"""Where the words of a picture stand, the ticks of its axes, and what a pointer finds."""

import holoviews as hv
import numpy as np
import pytest

import lab.studies.draw as draw
from lab.studies.draw.finish import log_ticks


def _placed(*layers, **axes):
    """The words of a picture by their text: middle across and up in shares of the frame, and the side of their anchor."""
    picture = draw.plot(*layers, **axes)
    kwargs = hv.Store.lookup_options("bokeh", picture, "plot").kwargs
    found = {}
    for each in picture:
        if isinstance(each, hv.Labels) and str(each["text"][0]).strip():
            at = [
                (float(each[name][0]) - low) / (high - low)
                for name, (low, high) in (("x", kwargs["xlim"]), ("y", kwargs["ylim"]))
            ]
            side = hv.Store.lookup_options("bokeh", each, "style").kwargs["text_align"]
            found[str(each["text"][0]).replace("\u00a0", " ").strip()] = (*at, side)
    return found


def test_labels_of_lines_and_of_ends_keep_clear_of_each_other():
    x = np.linspace(0, 1, 5)
    found = _placed(
        draw.curve(x, 0.50 + 0 * x, "one"),
        draw.hline(0.51, "two"),
        draw.hline(0.52, "three"),
        draw.curve(x, 0.49 + 0 * x, "four"),
        ylim=(0, 1),
    )
    heights = np.sort([found[name][1] for name in ("one", "two", "three", "four")])
    assert np.diff(heights).min() > 0.065
    assert np.abs(heights[:, None] - [0.51, 0.52]).min() > 0.044  # no line runs through a word
    far = _placed(
        draw.curve([0, 0.2], [0.5, 0.5], "short"), draw.hline(0.5, "level"), draw.curve([0, 1], [0, 1]), ylim=(0, 1)
    )
    assert far["short"][1] == pytest.approx(0.545)  # off the line; the label of the line, elsewhere, is not in the way


def test_labels_of_upright_lines_stand_in_rows_and_inside():
    layers = [
        draw.curve([0, 10], [0, 1]),
        draw.vline(5.0, "the first"),
        draw.vline(5.5, "second"),
        draw.vline(9.9, "far right"),
    ]
    found = _placed(*layers, xlim=(0, 10), note="what there is")
    assert found["the first"][1] - found["second"][1] == pytest.approx(0.07)
    assert found["far right"][2] == "right"
    left = _placed(draw.curve([0, 10], [0, 1]), draw.vline(0.1, "start"), xlim=(0, 10), note="what there is")
    assert left["start"][1] < 0.95  # under the note


def test_a_label_at_a_pinned_end_is_not_cut():
    found = _placed(draw.curve([0, 1], [0, 0.4], "all alike"), xlim=(0, 1), ylim=(0, 1))
    assert found["all alike"] == (pytest.approx(1.0), pytest.approx(0.455), "right")


def test_points_that_have_room_for_a_number_are_apart_and_the_last_is_among_them():
    at = np.array([[0.5, 0.5], [0.51, 0.5], [0.9, 0.1], [0.5, 0.52], [0.91, 0.1]])
    assert draw.with_room(at) == [4, 3]
    assert draw.with_room(np.zeros((0, 2))) == []


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (0.0035, 0.3),
        (0.9, 1100),
        (1e-13, 2.0),
        (1.2, 3.0),
        (0.004, 0.13),
        (1e-30, 1e30),
        (0.58, 0.7),
        (0.29, 0.36),
        (9, 11),
    ],
)
def test_a_logarithmic_axis_has_ticks_from_end_to_end(low, high):
    ticks = np.log10(log_ticks(low, high))
    whole = np.log10(high / low)
    assert 3 <= len(ticks) <= 12
    assert np.log10(low) <= ticks[0] <= np.log10(low) + max(0.25 * whole, 0.2)
    assert np.log10(high) >= ticks[-1] >= np.log10(high) - max(0.25 * whole, 0.2)


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [
        (1e-5, 5e-5, {1e-5: "10⁻⁵", 2e-5: "2·10⁻⁵"}),
        (1.2e-5, 1.25e-5, {1.21e-5: "1.21·10⁻⁵"}),
        (1e5, 3e5, {2e5: "200,000"}),
        (1e-8, 1e-2, {}),
        (0.1, 0.5, {}),
    ],
)
def test_ticks_of_a_short_logarithmic_axis_are_numbers_as_one_reads_them(low, high, told):
    axis = hv.render(draw.plot(draw.curve([0, 1], [low, high]), logy=True), backend="bokeh").yaxis[0]
    assert {tick: axis.major_label_overrides.get(tick) for tick in told} == told
    assert bool(axis.major_label_overrides) == bool(told)
    assert len({*axis.major_label_overrides.values()}) == len(axis.major_label_overrides)


def test_a_live_logarithmic_axis_keeps_such_ticks_when_its_data_change():
    from bokeh.document import Document
    from holoviews.streams import Pipe

    def drawn(top):
        return draw.plot(draw.curve([0.004, 0.1], [1.0, top]), logx=True, logy=True)

    with draw.theme("light", backend="bokeh"):
        pipe = Pipe(data=drawn(30.0))
        shown = draw.bokeh_renderer("light").get_plot(hv.DynamicMap(lambda data: data, streams=[pipe]), doc=Document())
        assert {0.005, 0.01, 0.02, 0.05} <= {*np.round(shown.state.xaxis[0].ticker.ticks, 6).tolist()}
        assert max(shown.state.yaxis[0].ticker.ticks) == 20
        pipe.send(drawn(3000.0))
        assert max(shown.state.yaxis[0].ticker.ticks) == 1000


def test_a_pointer_finds_every_curve_and_cloud_and_no_area():
    from bokeh.document import Document
    from bokeh.models import HoverTool

    with draw.theme("light", backend="bokeh"):
        picture = draw.plot(
            draw.band([0, 1], [0, 0], [1, 2]),
            draw.curve([0, 1], [0, 1], markers=True),
            draw.curve([0, 1], [1, 2], "other"),
            xlabel="strength of the pull of one on the other (1/s)",
            ylabel="loss",
        )
        figure = draw.bokeh_renderer("light").get_plot(picture, doc=Document()).state
    (tool,) = figure.select({"type": HoverTool})
    assert [type(each.glyph).__name__ for each in tool.renderers] == ["Line", "Scatter", "Line"]
    assert [name for name, _ in tool.tooltips] == ["strength of the pull of one…", "loss"]
