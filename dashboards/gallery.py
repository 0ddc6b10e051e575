"""The gallery, for ``panel serve dashboards/*.py --index gallery``."""

from lab.app import gallery_page
from lab.home import start

start(ready=True)
gallery_page().servable()
