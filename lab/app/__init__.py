"""The pages: a gallery of all studies, and one page for each, derived from its declaration."""

from .session import Session
from .sharing import share
from .shell import gallery_page, make_server, page, serve, study_page
from .study_page import StudyPage

__all__ = ["Session", "StudyPage", "gallery_page", "make_server", "page", "serve", "share", "study_page"]
