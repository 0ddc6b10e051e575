"""A figure of Matplotlib set on a page: type and weights of a style, its height, and words that stay inside."""

from collections.abc import Iterable
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from .styles import WIDTHS, Style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAD = 0.03  # inches of air round a figure
_LOW = 0.55  # height to width of pictures that stand better one below the other


def set_type(figure: "Figure", style: Style) -> None:
    """Dress all axes of a figure, and its other words."""
    dress([*figure.axes, *(child for parent in figure.axes for child in parent.child_axes)], style)
    for words in figure.texts:
        words.set_fontsize(style.points)


def dress(every: "Iterable[Any]", style: Style) -> None:
    """Type sizes by role, and the weight of lines and marks, of these axes."""
    from matplotlib.collections import Collection, PathCollection
    from matplotlib.text import Text

    for axes in every:
        for words in axes.findobj(Text):
            words.set_fontsize(style.points - 1)
            if not axes.axison and words.axes is axes:  # the pictures take all the width, their titles are fitted to it
                words.set_in_layout(False)
        for axis in (axes.xaxis, axes.yaxis):
            axis.label.set_fontsize(style.points)
            axis.labelpad = 0.3 * style.points
            axis.set_tick_params(which="major", labelsize=style.points - 1, pad=0.3 * style.points)
            axis.get_offset_text().set_fontsize(style.points - 1)
        if style.weight != 1:
            for spine in axes.spines.values():
                spine.set_linewidth(style.weight * spine.get_linewidth())
            for line in axes.lines:
                line.set_linewidth(style.weight * line.get_linewidth())
                line.set_markersize(style.weight * line.get_markersize())
            for marks in axes.findobj(Collection):
                marks.set_linewidth([style.weight * w for w in _as_list(marks.get_linewidth())])
                if isinstance(marks, PathCollection):
                    marks.set_sizes(style.weight**2 * marks.get_sizes())


def _as_list(widths: Any) -> list[float]:
    return list(widths) if hasattr(widths, "__len__") else [widths]


def height_of(figure: "Figure", width: float) -> float:
    """What suits the picture: its own shape where scales are equal, else an oblong that is flatter when wide."""
    rows = _rows(figure)
    if len(set(rows)) > 1:
        each = width / max(rows.count(row) for row in rows)
        shapes = [axes.get_data_ratio() if _is_equal(axes) else 0.7 if each <= 4 else 0.5 for axes in figure.axes]
        tall = (max(s for s, at in zip(shapes, rows, strict=True) if at == row) for row in {*rows})
        return min(20.0, sum(each * shape + 4 * PAD for shape in tall))
    axes, parts = figure.axes[0], len(figure.axes)
    if not _is_equal(axes):
        return (0.7 if width / parts <= 4 else 0.5) * width / parts
    if parts > 1:  # as high as what is drawn
        figure.set_size_inches(width, width)
        for _ in range(2):
            figure.draw_without_rendering()
            boxes = [box for each in figure.axes if (box := each.get_tightbbox()) is not None]
            needed = (max(b.y1 for b in boxes) - min(b.y0 for b in boxes)) / figure.dpi + 2 * PAD
            figure.set_size_inches(width, needed)
        return float(min(20.0, max(0.5, needed)))
    figure.set_size_inches(width, width)
    figure.draw_without_rendering()
    frame, outer = axes.get_window_extent(), axes.get_tightbbox()
    assert outer is not None  # it is drawn
    beside, below = ((o - f) / figure.dpi + 2 * PAD for o, f in zip(outer.size, frame.size, strict=True))
    return float(min(20.0, max(0.5, below + (width - beside) * frame.height / frame.width)))


def on_grid(figure: "Figure", stacks: bool) -> int:
    """Set the parts of a layout on a grid that Matplotlib can lay out; returns how many stand side by side."""
    rows = _rows(figure)
    if stacks and all(_is_equal(axes) and axes.get_data_ratio() < _LOW for axes in figure.axes):
        rows = [*range(len(rows))]
    places = [(sorted(set(rows)).index(row), rows[:k].count(row)) for k, row in enumerate(rows)]
    grid = figure.add_gridspec(1 + max(row for row, _ in places), 1 + max(column for _, column in places))
    for axes, place in zip(figure.axes, places, strict=True):
        axes.set_subplotspec(grid[place])
    return grid.ncols


def shrink(figure: "Figure", width: float) -> None:
    """Marks and lines as large to their axes as in a column, where these are narrower."""
    from matplotlib.collections import Collection, PathCollection

    share = width / WIDTHS["column"]
    if share >= 1:
        return
    for axes in figure.axes:
        for line in axes.lines:
            line.set_linewidth(max(0.5 * line.get_linewidth(), share**0.5 * line.get_linewidth()))
            line.set_markersize(share * line.get_markersize())
        for marks in axes.findobj(Collection):
            if isinstance(marks, PathCollection):
                marks.set_sizes(share * marks.get_sizes())
            else:
                marks.set_linewidth([max(0.5, share**0.5) * each for each in _as_list(marks.get_linewidth())])


def _rows(figure: "Figure") -> list[int]:
    """The row of each part of a layout; all 0 where there is one."""
    specs = [axes.get_subplotspec() for axes in figure.axes]
    return [0 if spec is None else spec.rowspan.start for spec in specs]


def _is_equal(axes: Any) -> bool:
    return axes.get_aspect() in ("equal", 1.0)


def fit_words(figure: "Figure") -> None:
    """Shrink words of pictures without axes, such as titles side by side and the columns of a table, until none runs into
    the next or out of the page: those of one colour and anchor alike."""
    for axes in figure.axes:
        kinds: dict[tuple, list[Any]] = {}
        for text in axes.texts if not axes.axison else ():
            if text.get_text().strip():
                kinds.setdefault(
                    (text.get_color(), text.get_horizontalalignment(), text.get_verticalalignment()), []
                ).append(text)
        for (_, anchor, _), kind in kinds.items():
            share = 1.0
            for level in {text.get_position()[1] for text in kind}:
                row = (text.get_window_extent() for text in kind if text.get_position()[1] == level)
                boxes = sorted(row, key=lambda box: box.x0)
                if anchor == "right":
                    before = [figure.bbox.x0, *(box.x1 for box in boxes)]
                    rooms = [box.x1 - end for box, end in zip(boxes, before, strict=False)]
                else:
                    after = [*(box.x0 for box in boxes[1:]), figure.bbox.x1]
                    rooms = [end - box.x0 for box, end in zip(boxes, after, strict=True)]
                share = min([share, *(room / (box.width + 3) for room, box in zip(rooms, boxes, strict=True))])
            for text in kind:
                text.set_fontsize(float(text.get_fontsize()) * max(share, 0.5))


def break_labels(figure: "Figure") -> None:
    """Set the label of an axis that does not fit on the page in two lines."""
    for _ in range(2):  # two lines below leave less height for the label of the other axis
        figure.draw_without_rendering()
        for axes in [*figure.axes, *(child for parent in figure.axes for child in parent.child_axes)]:
            for side, axis in enumerate((axes.xaxis, axes.yaxis)):
                box, words = axis.label.get_window_extent(), axis.label.get_text()
                gaps = [place for place, letter in enumerate(words) if letter == " " and "\n" not in words]
                if gaps and (box.min[side] < figure.bbox.min[side] or box.max[side] > figure.bbox.max[side]):
                    middle = min(gaps, key=lambda place: abs(place - len(words) / 2))
                    axis.label.set_text(f"{words[:middle]}\n{words[middle + 1 :]}")


def share_labels(figure: "Figure") -> None:
    """Frames of one picture side by side are labelled once: up at the left, across in the middle."""
    rows: dict[int, list[Any]] = {}
    for axes, at in zip(figure.axes, _rows(figure), strict=True):
        rows.setdefault(at, []).append(axes)
    for row in rows.values():
        for number, axes in enumerate(row):
            if number and axes.get_ylabel() == row[0].get_ylabel():
                axes.set_ylabel("")
                axes.tick_params(labelleft=False)
            if number != len(row) // 2 and axes.get_xlabel() == row[len(row) // 2].get_xlabel():
                axes.set_xlabel("")


def break_notes(figure: "Figure") -> None:
    """Set the note of a picture that is longer than its axes are wide in more lines, above them."""
    figure.draw_without_rendering()
    for axes in figure.axes:
        frame = axes.get_window_extent()
        for text in axes.texts if axes.axison else ():
            box, words = text.get_window_extent(), text.get_text()
            left_top = (text.get_horizontalalignment(), text.get_verticalalignment()) == ("left", "top")
            if left_top and box.x1 > frame.x1 + 2 and box.x0 < frame.x1:
                most = max(8, int(len(words) * (frame.x1 - box.x0) / box.width) - 1)
                text.set_text("\n".join(wrap(words.replace("\u00a0", " ").strip(), most)))
                text.set_verticalalignment("bottom")


def make_room(figure: "Figure") -> None:
    """Move the right end of an axis on until the labels at the ends of its curves are inside the page."""
    for _ in range(3):
        figure.draw_without_rendering()
        moved = False
        for axes in figure.axes:
            frame, page = axes.get_window_extent(), figure.bbox.x1
            if _is_equal(axes) or not axes.texts:
                continue
            reach = max((t.get_window_extent().x1 for t in axes.texts if t.get_text().strip()), default=0.0)
            over = min(reach - page + 2, 0.4 * frame.width)
            if over > 0:
                transform = axes.transScale + axes.transLimits
                right = transform.inverted().transform((1 + over / (frame.width - over), 0))[0]
                axes.set_xlim(right=right)
                moved = True
        if not moved:
            return
