"""The gallery, for ``panel serve dashboards/*.py --index gallery``."""

from lab.app import gallery_page
from lab.home import start

start()
gallery_page().servable()
