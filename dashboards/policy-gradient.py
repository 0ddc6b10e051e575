"""The page of the study that this file is named after, for ``panel serve dashboards/*.py``."""

from pathlib import Path

from lab.app.shell import study_page
from lab.home import start

start(ready=True)
study_page(Path(__file__).stem).servable()
