"""Plays: shares of studies, for a frame on top of their pages. ``python -m docs.make.plays [STUDY ...]`` makes them.

They are kept in ``build/plays`` under what made them, so that another build of the site costs nothing for them. What ships is
taken, the runs between are computed: that takes a while, so that a build of the site makes none unless it is asked for all.
"""

import argparse
import sys
import time
from pathlib import Path

from lab import app, home
from lab import studies as of_lab
from lab.app import kept
from lab.studies import Study

FOLDER = Path(__file__).parents[2] / "build" / "plays"


def path(study: type[Study]) -> Path:
    """Where the play of a study is, or would be."""
    return FOLDER / f"{study.slug}-{kept.identity(study)}.html"


def make(slug: str) -> Path:
    """Make the play of a study, where there is none."""
    study = of_lab.find(slug)
    target = path(study)
    if not target.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        for old in FOLDER.glob(f"{slug}-*.html"):
            old.unlink()
        app.share(study, target)
    return target


def main() -> int:
    """Of the studies named, or of all."""
    parser = argparse.ArgumentParser(description="Make plays for the pages of studies.")
    parser.add_argument("studies", nargs="*", help="slugs; all when left out")
    home.start()
    for slug in parser.parse_args().studies or [each.slug for each in of_lab.catalogue()]:
        began = time.monotonic()
        size = make(slug).stat().st_size
        print(f"{slug}: {size / 1e6:.1f} MB, {time.monotonic() - began:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
