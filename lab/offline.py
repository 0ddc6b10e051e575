"""Nothing that a notebook shows asks for anything from outside."""

from typing import Any


def inline_styles() -> None:
    """Have the styles of all that Panel displays travel with it. It does so for what it displays itself where it was loaded
    with ``inline=True``, but not for what HoloViews has it display: those pictures would ask a CDN for each style.
    """
    from panel.viewable import Viewable

    if _inline not in Viewable._preprocessing_hooks:
        Viewable._preprocessing_hooks.append(_inline)


def _inline(viewable: Any, root: Any, *_: Any) -> None:
    from bokeh.models import ImportedStyleSheet, UIElement
    from panel.io.notebook import replace_inline_css

    styles: dict[str, Any] = {}  # one for all parts of a picture
    for part in root.select({"type": UIElement}):
        sheets = [replace_inline_css(s, styles) if isinstance(s, ImportedStyleSheet) else s for s in part.stylesheets]
        if sheets != part.stylesheets:
            part.stylesheets = sheets
