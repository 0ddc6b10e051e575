"""What a notebook shows asks for nothing from outside, and leaves the notebook small."""

import base64
import gzip
import json
from collections.abc import Iterable
from typing import Any

_LOAD = """<script>
(async () => {
  const packed = Uint8Array.from(atob("%s"), (each) => each.charCodeAt(0))
  const text = await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).text()
  for (const code of JSON.parse(text)) {
    const script = document.createElement("script")
    script.textContent = code
    document.head.append(script)
  }
})()
</script>"""


def load() -> None:
    """Load into a notebook what draws. Panel and HoloViews bring the same scripts several times, each twice and 3 MB long: they
    are held back, and sent once and packed.
    """
    import holoviews as hv
    from IPython.display import publish_display_data
    from IPython.utils.capture import capture_output

    with capture_output(stdout=False, stderr=False) as said:
        try:
            import panel as pn
        except ModuleNotFoundError:  # pictures work without the app
            pass
        else:
            pn.extension(inline=True)
            _inline_styles()
        hv.extension("bokeh", "matplotlib", inline=True)
    scripts = dict.fromkeys(filter(None, (each.data.get("application/javascript") for each in said.outputs)))
    if scripts:
        publish_display_data({"text/html": _packed(scripts)})
    for each in said.outputs:
        if "application/javascript" not in each.data:
            publish_display_data(each.data, each.metadata, transient=each.transient)


def _packed(scripts: Iterable[str]) -> str:
    return _LOAD % base64.b64encode(gzip.compress(json.dumps([*scripts]).encode())).decode()


def _inline_styles() -> None:
    """Have the styles of all that Panel displays travel with it. It does so for what it displays itself, but not for what
    HoloViews has it display: each of those pictures would ask a CDN.
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
