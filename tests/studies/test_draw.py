"""The drawing vocabulary: every picture in both backends and all themes, live updates, colours that can be read."""

import ast
import io
import shutil
from itertools import combinations
from pathlib import Path

import holoviews as hv
import numpy as np
import pytest
import scipy.sparse
from bokeh.document import Document
from bokeh.models import GlyphRenderer
from bokeh.protocol import Protocol
from matplotlib import pyplot
from waiting import animation_frames, wait

from lab.studies import draw
from lab.studies.draw import look

rng = np.random.default_rng(7)
SOLID = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
FACES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
CLOUD, OTHER = rng.normal(size=(9, 2)), rng.normal(size=(7, 2)) + 2


def test_what_is_offered_is_what_a_type_checker_sees():
    tree = ast.parse(Path(draw.__file__).read_text())
    seen = [each for node in tree.body if isinstance(node, ast.If) for each in node.body]
    told = {(each.module, name.name) for each in seen if isinstance(each, ast.ImportFrom) for name in each.names}
    assert told == {(module, name) for module, names in draw._FROM.items() for name in names.split()}
    assert {name for _, name in told} | {"window"} == set(draw.__all__)
    assert all(getattr(draw, name) is not None for name in draw.__all__)


def plan_of(n: int, m: int, k: int = 2, seed: int = 0) -> np.ndarray:
    draws = np.random.default_rng(seed)
    matrix = np.zeros((n, m))
    for j in range(m):
        matrix[draws.choice(n, k, replace=False), j] = draws.uniform(0.1, 1, k)
    return matrix / matrix.sum()


def marginals(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return matrix.sum(1), matrix.sum(0)


def images(seed: int = 0) -> dict[str, np.ndarray]:
    draws = np.random.default_rng(seed)
    return {
        "colour": draws.uniform(size=(8, 12, 3)),
        "grey": draws.uniform(size=(8, 6)),
        "bytes": np.full((4, 4, 3), 9, np.uint8),
    }


# Each takes a number that changes what is drawn, not how it is built.
PICTURES = {
    "plan": lambda v: draw.plan(plan_of(6, 8, seed=v), *marginals(plan_of(6, 8, seed=v))),
    "heatmap": lambda v: draw.heatmap(plan_of(5, 4, seed=v), rows=[1, 2, 4, 8, 16], clabel="mass"),
    "signed": lambda v: draw.heatmap(np.random.default_rng(v).normal(size=(3, 40)), signed=True),
    "pooled": lambda v: draw.heatmap(plan_of(700, 500, seed=v)),
    "links": lambda v: draw.links(CLOUD + v, OTHER, [0, 1, 2], [3, 4, 5], [1, 0, 3], a=np.arange(9), b=np.ones(7)),
    "plot": lambda v: draw.plot(
        draw.band([1, 2, 4], [0.0, 0.1, 0.2], [3, 4, 5], "bounds"),
        draw.curve([1, 2, 4], [1 + v, 2, 3], "value", markers=True),
        draw.points([1, 2], [1, 2], size=[1, 4]),
        draw.bars([1, 2, 4], [1, 2 + v, 1]),
        draw.vline(2 + v, f"k = {2 + v}"),
        draw.hline(2, "limit"),
        xlabel="k",
        ylabel="value (m)",
        logx=True,
        xticks=[1, 2, 4],
    ),
    "log": lambda v: draw.plot(draw.band([1, 2], [0, 0], [1, 2]), draw.curve([1, 2], [0.0, 1.0 + v], "a"), logy=True),
    "convergence": lambda v: draw.convergence(
        {"a": np.geomspace(1, 1e-8, 9 + v), "b": ([1, 5], [1e-3, 0.0])}, tolerance=1e-6
    ),
    "cells": lambda v: draw.cells(
        (np.arange(12).reshape(3, 4) + v) // 3 - 1, (0, 4), (0, 3), marks=[draw.points([1], [1])]
    ),
    "strip": lambda v: draw.strip(images(v)),
    "surfaces": lambda v: draw.surfaces(
        {
            "a": draw.Body(SOLID, FACES, np.arange(4.0) + v, marks=[v, 3]),
            "b": draw.Body(SOLID, FACES[:, ::-1], rng.uniform(size=(4, 3))),
        },
        note=f"mark {v}",
    ),
    "table": lambda v: draw.table({"k": [1, 2], "value": [0.1 + v, np.nan]}),
}

EMPTY = {
    "no layers": lambda: draw.plot(),
    "empty curve": lambda: draw.plot(draw.curve([], [], "none"), draw.bars([], []), note="the run has no trace"),
    "nan curve": lambda: draw.plot(draw.curve([1, 2], [np.nan, np.nan], "none"), logy=True),
    "no positive value": lambda: draw.convergence({"a": [0.0, 0.0]}),
    "nan plan": lambda: draw.plan(np.full((3, 3), np.nan), np.full(3, np.nan), np.zeros(3)),
    "empty matrix": lambda: draw.heatmap(np.zeros((0, 5))),
    "no points": lambda: draw.links(np.zeros((0, 2)), np.zeros((0, 2)), [], [], []),
    "no images": lambda: draw.strip({}),
    "no rows": lambda: draw.table({"k": []}),
}

CONSTANT = {
    "constant curve": lambda: draw.plot(draw.curve([1, 2], [3, 3], "c")),
    "constant on a log axis": lambda: draw.plot(draw.curve([1, 2], [1e-300, 1e-300]), logy=True),
    "huge": lambda: draw.plot(draw.curve([1, 2], [1e300, -1e300])),
    "zero matrix": lambda: draw.plan(np.zeros((2, 3)), np.zeros(2), np.zeros(3)),
    "one cell": lambda: draw.plan(np.ones((1, 1)), [1], [1]),
    "one point": lambda: draw.links(CLOUD[:1], CLOUD[:1], [0], [0], [1]),
    "padded plan": lambda: draw.links(CLOUD, OTHER, [0, -1, 99], [0, 0, 0], [1, 1, 1]),
    "cells of no one": lambda: draw.cells(np.full((2, 2), -1), (0, 1), (0, 1)),
    "infinite": lambda: draw.plot(draw.curve([1, 2, 3], [1, np.inf, 2]), draw.points([1], [-np.inf])),
}


def bokeh_plot(picture):
    look.backends()
    return hv.renderer("bokeh").get_plot(picture)


def mpl_png(picture) -> bytes:
    look.backends()
    figure = hv.renderer("matplotlib").get_plot(picture).state
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=40)
    pyplot.close(figure)
    return buffer.getvalue()


def text_of(picture) -> str:
    return " ".join(
        str(t) for e in picture.traverse(lambda e: e, [hv.Labels]) for t in e.dimension_values("text")
    ).replace("\u00a0", " ")


@pytest.mark.slow
@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_is_drawn_by_both_backends_in_all_themes(name):
    for tone in look.THEMES:
        with draw.theme(tone):
            picture = PICTURES[name](0)
            assert isinstance(picture, hv.Overlay)
            assert len(mpl_png(picture)) > 500
            plot = bokeh_plot(picture)
            document = Document()
            document.add_root(plot.state)
            assert document.to_json()
            assert plot.state.background_fill_alpha == 0
            assert plot.state.toolbar.autohide


@pytest.mark.slow
@pytest.mark.parametrize("name", [*EMPTY, *CONSTANT])
def test_odd_values_are_drawn_and_nothing_says_why(name):
    picture = {**EMPTY, **CONSTANT}[name]()
    assert ("nothing to show: " in text_of(picture)) == (name in EMPTY)
    assert mpl_png(picture)
    assert bokeh_plot(picture).state


def test_named_ticks_ascend_in_whatever_order_they_are_given():
    """Bokeh hides all labels but the first of an axis whose ticks descend."""
    with draw.theme("light", backend="bokeh"):
        made = draw.plot(draw.points([0.0, 1.0], [2.0, 0.0]), yticks=[(2, "first"), (1, "second"), (0, "third")])
        axis = hv.renderer("bokeh").get_plot(made).state.yaxis[0]
    assert axis.ticker.ticks == [0, 1, 2]
    assert axis.major_label_overrides == {0: "third", 1: "second", 2: "first"}


def test_an_axis_may_have_no_ticks():
    picture = draw.plot(draw.curve(np.arange(4.0), np.arange(4.0)), xticks=[], yticks=[1, 2])
    bokeh, mpl = (hv.renderer(backend).get_plot(picture) for backend in ("bokeh", "matplotlib"))
    assert list(bokeh.state.xaxis[0].ticker.ticks) == []
    assert list(bokeh.state.yaxis[0].ticker.ticks) == [1, 2]
    assert list(mpl.handles["axis"].get_xticks()) == []
    assert list(mpl.handles["axis"].get_yticks()) == [1, 2]


def test_the_reason_is_told():
    assert "the run has no trace" in text_of(EMPTY["empty curve"]())


class Value(hv.streams.Stream.define("Value", v=0)):
    pass


def live(function):
    """A rendered live picture in a document, and a function that changes the value and returns what is sent."""
    stream = Value()
    plot = bokeh_plot(hv.DynamicMap(lambda v: function(v), streams=[stream]))
    document = Document()
    document.add_root(plot.state)

    def change(v: int) -> tuple[list, int]:
        events: list = []
        document.callbacks.on_change(events.append)
        stream.event(v=v)
        message = Protocol().create("PATCH-DOC", [event for event in events if hasattr(event, "to_serializable")])
        size = len(message.content_json) + sum(len(buffer.to_bytes()) for buffer in message.buffers)
        document.callbacks.remove_on_change(events.append)
        return events, size

    return plot, change


@pytest.mark.slow
@pytest.mark.parametrize("name", PICTURES)
def test_a_live_picture_swaps_data_and_rebuilds_nothing(name):
    assert [type(e) for e in PICTURES[name](0)] == [type(e) for e in PICTURES[name](1)]
    plot, change = live(PICTURES[name])
    before = [(r.id, r.glyph.id, r.data_source.id) for r in plot.state.select({"type": GlyphRenderer})]
    old = {
        r.id: {k: np.copy(v) for k, v in r.data_source.data.items()} for r in plot.state.select({"type": GlyphRenderer})
    }
    events, _ = change(1)
    after = plot.state.select({"type": GlyphRenderer})
    assert [(r.id, r.glyph.id, r.data_source.id) for r in after] == before
    assert events
    changed = [r for r in after for k, v in r.data_source.data.items() if not np.array_equal(v, old[r.id][k])]
    assert changed


@pytest.mark.slow
def test_a_glyph_refers_to_no_column_that_is_gone():
    def picture(v: int) -> hv.Overlay:
        n, many = (9, v % 2 == 0) if v < 3 else (5, v == 4)
        x, tints = np.arange(float(n)), ["#ff0000", "#00ff00", "#0000ff"] * 3
        matrix, color = np.eye(n), tints[:n] if many else draw.SOURCE
        weight = x if many else 1.0
        return draw.plot(
            draw.points(x, x, color=color, size=weight),
            draw.segments(x, x, x + 1, x, weight),
            draw.bars(x, x),
            *draw.plan(matrix, *marginals(matrix), a_color=color, b_color=color),
        )

    plot, change = live(picture)
    for v in (1, 3, 4, 2, 3, 0):
        change(v)
        for each in plot.state.select({"type": GlyphRenderer}):
            glyphs = [each.glyph, each.selection_glyph, each.nonselection_glyph, each.hover_glyph, each.muted_glyph]
            for glyph in (glyph for glyph in glyphs if glyph not in (None, "auto")):
                named = [getattr(glyph, spec) for spec in glyph.dataspecs()]
                fields = {spec.field for spec in named if hasattr(spec, "field")}
                fields |= {spec["field"] for spec in named if isinstance(spec, dict) and "field" in spec}
                assert fields <= set(each.data_source.data)


@pytest.mark.slow
def test_a_redraw_of_surfaces_sends_what_has_changed():
    draws = np.random.default_rng(5)
    vertices, faces = draws.normal(size=(2600, 3)), draws.integers(0, 2600, (5000, 3))

    def picture(v: int) -> hv.Overlay:
        with draw.theme("light", backend="bokeh"):
            return draw.surfaces({name: draw.Body(vertices, faces, vertices[:, v // 2], [v]) for name in "ab"})

    _, change = live(picture)
    _, mark = change(1)
    _, field = change(2)
    assert mark < 15_000
    assert field < 60_000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "k", "limit"), [(64, 2, 60_000), (64, 16, 60_000), (256, 8, 300_000), (1000, 8, 300_000)]
)
def test_a_redraw_of_a_plan_is_small(n, k, limit):
    made = {v: plan_of(n, n, k, seed=v) for v in (0, 1)}
    _, change = live(lambda v: draw.plan(made[v], *marginals(made[v])))
    _, size = change(1)
    assert 4 * min(n, 256) ** 2 / 2 < size <= limit


def test_ranges_follow_the_data_unless_held():
    def picture(v):
        return draw.plot(draw.curve([0, 1], [0, 1 + 9 * v]))

    plot, change = live(picture)
    change(1)
    assert plot.state.y_range.end > 10
    with draw.theme("light", hold=True):
        plot, change = live(picture)
        change(1)
    assert plot.state.y_range.end < 2


def test_a_plan_of_few_entries_travels_as_these_alone():
    matrix = np.zeros((128, 256))
    matrix[[3, 127], [200, 0]] = 0.25, 0.75
    with draw.theme("light", backend="bokeh"):
        picture = draw.plan(matrix, matrix.sum(1), matrix.sum(0))
        full = draw.plan(matrix + 1, matrix.sum(1) + 256, matrix.sum(0) + 128)
    assert [type(layer) for layer in picture] == [type(layer) for layer in full]
    boxes = next(layer for layer in picture if isinstance(layer, hv.Rectangles) and layer.vdims == ["z"])
    found = np.stack([boxes.dimension_values(name) for name in ("x", "y", "x1", "y1", "z")], 1)
    np.testing.assert_allclose(found, [[199.5, 2.5, 200.5, 3.5, 0.25], [-0.5, 126.5, 0.5, 127.5, 0.75]])
    source = hv.renderer("bokeh").get_plot(picture).state
    sent = sum(np.asarray(column).nbytes for each in source.renderers for column in each.data_source.data.values())
    assert sent < matrix.size * 4 / 4


def test_a_small_entry_of_a_large_plan_is_seen_in_print():
    matrix = np.zeros((200, 200))
    matrix[[3, 100], [4, 50]] = 1.0, 0.01
    figure = hv.renderer("matplotlib").get_plot(draw.plan(matrix, *marginals(matrix))).state
    pyplot.close(figure)
    (image,) = figure.axes[0].images
    none, least, most = (np.array(image.cmap(image.norm(value))) for value in (0.0, 0.01, 1.0))
    assert np.abs(least - none).max() > 0.2
    assert np.abs(most - least).max() > 0.2


def test_row_zero_is_at_the_bottom_and_cells_are_where_they_belong():
    matrix = np.zeros((3, 5))
    matrix[0, 4] = 1.0
    image = next(e for e in draw.heatmap(matrix) if isinstance(e, hv.Image))
    assert image[4.0, 0.0] == 1.0
    assert image[4.0, 2.0] == 0.0
    uneven = next(e for e in draw.heatmap(matrix, cols=10 * np.arange(5) + 100.0) if isinstance(e, hv.Image))
    assert uneven[140.0, 0.0] == 1.0
    figure = hv.renderer("matplotlib").get_plot(draw.heatmap(matrix)).state
    pyplot.close(figure)
    axes = figure.axes[0]
    assert axes.get_ylim()[0] < axes.get_ylim()[1]
    left, right, bottom, top = axes.images[0].get_extent()
    assert (left, right, bottom, top) == (-0.5, 4.5, -0.5, 2.5)


def test_uneven_numbers_and_names_become_ticks():
    picture = draw.heatmap(np.ones((3, 2)), rows=[0.001, 0.1, 1.0], cols=["a", "b"])
    ticks = hv.Store.lookup_options("bokeh", picture, "plot").kwargs
    assert ticks["yticks"] == [(0, "0.001"), (1, "0.1"), (2, "1")]
    assert ticks["xticks"] == [(0, "a"), (1, "b")]


def test_pooling_keeps_peaks_signs_and_sparsity():
    matrix = np.zeros((1000, 600))
    matrix[999, 599], matrix[3, 2], matrix[500, 1] = 2.0, -3.0, np.nan
    small = draw.pooled(matrix)
    assert small.shape == (250, 200)
    assert small[-1, -1] == 2.0
    assert small[0, 0] == -3.0
    assert np.count_nonzero(small) == 2
    matrix[500, 1] = 0.0
    np.testing.assert_array_equal(draw.pooled(scipy.sparse.csr_array(matrix)), draw.pooled(matrix))
    huge = scipy.sparse.coo_array(([1.0], ([399_999], [7])), shape=(400_000, 300_000))  # 960 GB if it were dense
    assert max(draw.pooled(huge).shape) <= 256


def test_non_zeros_are_outlined_while_they_can_be_seen():
    def outlined(matrix, **options):
        return sum(len(e) for e in draw.heatmap(matrix, **options) if isinstance(e, hv.Rectangles))

    assert outlined(plan_of(32, 32, 2)) == 64
    assert outlined(plan_of(65, 65, 2)) == 0
    assert outlined(np.ones((8, 8))) == 0  # a dense plan has nothing to point out
    assert outlined(np.ones((8, 8)), outline=True) == 64
    assert outlined(plan_of(32, 32, 2), outline=False) == 0


def test_a_plan_on_paper_says_what_its_shades_stand_for():
    with draw.theme("print"):
        *_, low, high = draw.plan(np.array([[0.0, 0.25], [0.5, 0.25]]), [0.25, 0.75], [0.5, 0.5])
    assert [layer.dimension_values("text")[0] for layer in (low, high)] == ["0", "0.5"]
    with draw.theme("light", backend="bokeh"):
        assert not [layer for layer in draw.plan(np.eye(2), [1, 1], [1, 1]) if isinstance(layer, hv.Labels)]


def test_marginals_stand_on_the_sides_and_show_what_is_missed():
    matrix = np.array([[0.25, 0.0], [0.0, 0.75]])
    _, _, target, source, sums, *_ = draw.plan(matrix, [0.5, 0.5], [0.25, 0.75])
    assert all(target.dimension_values("y") > 1.5)
    assert all(source.dimension_values("x") > 1.5)
    tall = target.dimension_values("y1") - target.dimension_values("y")
    assert tall[1] / tall[0] == pytest.approx(3, rel=1e-5)
    # the line lies on the bars where the plan meets the marginal, off them where it does not
    x, y = sums.dimension_values("x"), sums.dimension_values("y")
    (gap,) = np.flatnonzero(np.isnan(x))
    assert y[:gap].max() == pytest.approx(target.dimension_values("y1").max(), rel=1e-5)
    assert x[gap + 1 :].max() > source.dimension_values("x1").max() * 1.01


def test_links_are_opaque_by_mass_and_the_heaviest_are_kept():
    n = 9
    i, j = np.divmod(np.arange(n * 7), 7)
    mass = np.linspace(0, 1, n * 7)
    lines = next(e for e in draw.links(CLOUD, OTHER, i, j, mass) if isinstance(e, hv.Segments))
    assert len(lines) == n * 7 - 1  # without the one that has no mass
    assert np.all(np.diff(lines.dimension_values("weight")) >= 0)  # the heaviest is drawn last
    many = draw.links(CLOUD, OTHER, np.tile(i, 100), np.tile(j, 100), np.tile(mass, 100))
    assert len(next(e for e in many if isinstance(e, hv.Segments))) == 4000


def test_limits_can_be_pinned():
    picture = draw.plot(draw.curve([1, 2], [1, 5]), xlim=(0, 10), ylim=(None, 8))
    chosen = hv.Store.lookup_options("matplotlib", picture, "plot").kwargs
    assert chosen["xlim"] == (0, 10)
    assert chosen["ylim"][1] == 8
    assert chosen["ylim"][0] < 1


def test_labels_at_the_ends_do_not_touch():
    traces = {f"k = {k}": 1e-3 * (1 + 1e-4 * k) * np.ones(5) for k in range(6)} | {"low": np.geomspace(1e-2, 1e-6, 5)}
    words = [e for e in draw.convergence(traces) if isinstance(e, hv.Labels)][:7]
    heights = np.sort([np.log10(e.dimension_values("y")[0]) for e in words])
    assert np.diff(heights).min() > 0.05 * (heights.max() - heights.min())


def labelled_at(ends, levels=()):
    """Of curves that end at these heights of a frame from 0 to 1: the heights of their labels, in the same order."""
    curves = [draw.curve([0, 1], [0.5, at], f"curve {k}") for k, at in enumerate(ends)]
    picture = draw.plot(*curves, *(draw.hline(at) for at in levels), ylim=(0, 1))
    told = {str(e["text"][0]).strip("\u00a0"): float(e["y"][0]) for e in picture if isinstance(e, hv.Labels)}
    return np.array([told[f"curve\u00a0{k}"] for k in range(len(ends))])


def test_labels_spread_to_both_sides_of_ends_that_are_too_close():
    np.testing.assert_allclose(labelled_at([0.2, 0.6]), [0.2, 0.6])
    np.testing.assert_allclose(labelled_at([0.5, 0.5, 0.5]), [0.43, 0.5, 0.57], atol=1e-9)
    np.testing.assert_allclose(labelled_at([0.9, 0.51, 0.49]), [0.9, 0.535, 0.465], atol=1e-9)
    np.testing.assert_allclose(labelled_at([1.0, 1.0, 0.0]), [0.895, 0.965, 0.035], atol=1e-9)  # the ends of the frame
    crowd = labelled_at(np.full(20, 0.5))
    assert (np.diff(crowd) > 0).all()
    assert 0 < crowd.min() < crowd.max() < 1


@pytest.mark.parametrize("ends", [(0.31, 0.33, 0.34), (0.69, 0.71, 0.7), (0.36, 0.66, 0.9), (0.3, 0.3, 0.3)])
def test_labels_keep_off_level_lines_by_the_least_way(ends):
    """Against all ways to place them on a fine grid."""
    levels = np.array([0.3, 0.36, 0.7])
    found, wanted = np.sort(labelled_at(ends, levels)), np.sort(ends)
    off = lambda places: np.abs(np.subtract.outer(places, levels)).min()  # noqa: E731
    assert off(found) > 0.0449
    assert np.diff(found).min() > 0.0699
    free = [at for at in np.arange(0.035, 0.966, 0.005) if off([at]) > 0.0449]
    every = np.array([each for each in combinations(free, 3) if min(np.diff(each)) > 0.0699])
    least = ((every - wanted) ** 2).sum(axis=1).min()
    assert ((found - wanted) ** 2).sum() <= least + 1e-9


def lightness(colour: str) -> float:
    """CIE L*, by its own formula, not that of the maps."""
    srgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    y = linear @ [0.2126, 0.7152, 0.0722]
    return 116 * np.cbrt(y) - 16 if y > 0.008856 else 903.3 * y


@pytest.mark.parametrize("tone", look.THEMES)
def test_maps_are_ordered_by_lightness(tone):
    with draw.theme(tone) as theme:
        one = np.array([lightness(c) for c in look.sequential()])
        two = np.array([lightness(c) for c in look.diverging()])
        assert look.sequential()[0] == look.diverging()[127] == theme.card
        assert look.sequential()[-1] == theme.source
    away = np.sign(one[-1] - one[0])
    middle = two.size // 2
    for part in (one, two[: middle + 1][::-1], two[middle:]):
        steps = away * np.diff(part)
        assert steps.min() > -0.45  # rounding to bytes
        assert abs(part[-1] - part[0]) > 35
        coarse = away * np.diff(part[::16])
        assert coarse.min() > 0
        assert coarse.max() < 2.2 * coarse.min()  # equal steps look about equal


@pytest.mark.parametrize("tone", look.THEMES)
def test_text_and_marks_stand_out_from_the_card(tone):
    def luminance(colour: str) -> float:
        level = lightness(colour)
        return ((level + 16) / 116) ** 3 if level > 8 else level / 903.3

    theme = look.THEMES[tone]
    for colour, least in (("ink", 7.0), ("muted", 4.5), ("source", 4.5), ("good", 3.0), ("warn", 3.0), ("target", 3.0)):
        pair = sorted([luminance(theme.colour(colour)), luminance(theme.card)])
        assert (pair[1] + 0.05) / (pair[0] + 0.05) >= least, colour  # WCAG 2 contrast


def test_themes_are_chosen_by_name_and_left_again():
    with draw.theme("dark"), draw.theme("print"):
        assert draw.current().name == "print"
    assert draw.current().name == "light"
    with (
        pytest.raises(ValueError, match="there is no theme 'blue'; the themes are light, dark, print"),
        draw.theme("blue"),
    ):
        pass


def test_axis_labels_carry_units():
    import xarray as xr

    assert draw.label("time", "s") == "time (s)"
    assert draw.label("mass") == "mass"
    assert draw.label(xr.DataArray(0.0, attrs={"long_name": "transport cost", "units": "m²"})) == "transport cost (m²)"


def test_wrong_shapes_are_refused_with_a_sentence():
    with pytest.raises(ValueError, match=r"shape \(n, 2\), not \(3,\)"):
        draw.links(np.ones(3), OTHER, [], [], [])
    with pytest.raises(ValueError, match=r"\(height, width, 3\), not \(2, 2, 7\)"):
        draw.strip({"a": np.ones((2, 2, 7))})
    with pytest.raises(ValueError, match="two dimensions, not 3"):
        draw.heatmap(np.ones((2, 2, 2)))


@pytest.mark.slow
def test_what_a_study_adds_is_drawn():
    points = draw.points([0, 1], [0, 1], color=["#ff0000", "#00ff00"])
    picture = draw.heatmap(
        np.eye(3), marks=[points, draw.text([0, 1], [3, 3], ["a", "b"])], room=(0.3, 0.2), equal=False
    )
    for tone in look.THEMES:
        with draw.theme(tone):
            assert mpl_png(picture)
            assert bokeh_plot(picture).state
            zero, one = draw.shaded(np.eye(2))[0, ::-1]
            assert one.tolist() == [int(draw.current().source[i : i + 2], 16) for i in (1, 3, 5)]
            assert zero.tolist() == [int(draw.current().wash[i : i + 2], 16) for i in (1, 3, 5)]


@pytest.mark.browser
def test_scales_stay_equal_in_the_browser_and_nothing_is_fetched(tmp_path):
    from bokeh.embed import file_html
    from bokeh.resources import INLINE
    from playwright.sync_api import sync_playwright

    matrix = plan_of(6, 8)
    figures = [
        bokeh_plot(picture).state
        for picture in (draw.plan(matrix, *marginals(matrix)), draw.links(CLOUD, OTHER, [0], [1], [1.0]))
    ]
    page_file = tmp_path / "page.html"
    page_file.write_text(file_html(figures, INLINE, "pictures"))
    measure = """() => Bokeh.documents[0].roots().map(f =>
        (f.x_range.end - f.x_range.start) / (f.y_range.end - f.y_range.start) / (f.inner_width / f.inner_height))"""
    chromium = next(p for p in (shutil.which(n) for n in ("chromium", "chromium-browser", "google-chrome")) if p)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 900, "height": 800})
        outside, errors = [], []
        page.on("request", lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else outside.append(r.url))
        page.on("pageerror", lambda error: errors.append(error))
        page.goto(page_file.as_uri())
        for width in (900, 500):
            page.set_viewport_size({"width": width, "height": 800})
            page.wait_for_function("window.Bokeh && Bokeh.documents.length && Bokeh.documents[0].is_idle")
            wait(lambda: page.evaluate(measure) == pytest.approx([1, 1], rel=1e-6), lambda: animation_frames(page))
        browser.close()
    assert not outside
    assert not errors


def test_particles_side_by_side_keep_their_place_and_their_kind_from_frame_to_frame():
    rng = np.random.default_rng(3)
    paths = rng.normal(size=(4, 12, 2))

    def frame(k):
        panel = draw.Panel(paths[k], paths[: k + 1], np.ones((3, 5)), goal=paths[-1])
        return draw.particles({"one": panel, "two": panel}, (-3, 3), (-2, 2))

    first, last = frame(0), frame(3)
    assert [type(layer) for layer in first] == [type(layer) for layer in last]
    dots = [layer for layer in last if isinstance(layer, hv.Points)][-2:]
    np.testing.assert_allclose(dots[0].dimension_values("x"), paths[3, :, 0], rtol=1e-6)
    np.testing.assert_allclose(dots[1].dimension_values("x") - dots[0].dimension_values("x"), 6 * 1.08, rtol=1e-6)
    tails = next(layer for layer in last if isinstance(layer, hv.Segments))
    assert len(tails) == 3 * 12
    assert next(layer for layer in last if isinstance(layer, hv.Image)).bounds.lbrt() == (-3, -2, 3, 2)
    alone = draw.particles({"one": draw.Panel(paths[0])}, (-3, 3), (-2, 2), note="t = 0")
    said = [str(text) for layer in alone if isinstance(layer, hv.Labels) for text in layer.dimension_values("text")]
    assert any("t\u00a0=\u00a00" in text for text in said)


def test_the_label_of_a_level_line_is_inside_the_picture():
    """Above its line, but under it where that is at the top."""
    for level, side in ((0.5, "above"), (0.97, "under")):
        picture = draw.plot(draw.curve([0, 1], [0, 1]), draw.hline(level, "the most"), ylim=(0, 1))
        label = next(layer for layer in picture if isinstance(layer, hv.Labels) and "most" in str(layer["text"]))
        at = float(label["y"][0])
        assert (level < at < 0.95) if side == "above" else (0.9 < at < level)


def test_a_panel_shows_data_as_points_and_a_landscape_with_its_lines():
    """In place as by name: what is given fourth are data, which no landscape may swallow."""
    x, goal = np.zeros((3, 2)), np.ones((4, 2))
    for panel in (draw.Panel(x, None, None, goal), draw.Panel(x, goal=goal)):
        drawn = draw.particles({"one": panel}, (-3, 3), (-2, 2))
        assert not drawn.traverse(lambda each: each, [hv.Image])
        assert sum(len(each) for each in drawn.traverse(lambda each: each, [hv.Points])) >= 7
    hills = draw.particles({"one": draw.Panel(x, heights=np.eye(5))}, (-3, 3), (-2, 2))
    assert len(hills.traverse(lambda each: each, [hv.Image])) == 1


def test_words_and_ticks_have_numbers_as_one_reads_them():
    words = draw.text(0, 0, "S 2.34e+03 at 1e-05, -0.2").dimension_values("text")[0].replace("\u00a0", " ")
    assert words == "S 2.34·10³ at 10⁻⁵, −0.2"
    drawn = draw.plot(draw.points([0.0, 1.0], [0.0, 1.0]), xticks=[(0.0, f"{-1e-05:g}"), (1.0, "far")])
    ticks = hv.Store.lookup_options("bokeh", drawn, "plot").kwargs["xticks"]
    assert ticks == [(0.0, "−10⁻⁵"), (1.0, "far")]
