"""Compare."""
import panel as pn, param
from . import theme
class CompareTab(pn.viewable.Viewer):
    active = param.Boolean(False)
    def __init__(self, session, on_open):
        super().__init__()
        self._v = theme.column()
    def __panel__(self): return self._v
