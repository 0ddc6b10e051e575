"""``python -m docs.make``: Markdown from declarations, MkDocs from Markdown, then every link."""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from . import links, notebooks, pages


def main() -> int:
    """Build the site; 1 where a link is broken or a page can't be made."""
    parser = argparse.ArgumentParser(description="Build the site of the documentation into site/.")
    parser.add_argument("--notebooks", default="quick", choices=("none", "quick", "all"), help="which ones are run")
    parser.add_argument("--plays", default="kept", choices=("kept", "all"), help="those that are there, or all made")
    parser.add_argument("--no-pictures", action="store_true", help="leave out stills and plays")
    given = parser.parse_args()
    began, build = time.monotonic(), pages.ROOT / "build"
    shutil.rmtree(build / "docs", ignore_errors=True)
    run = {"none": (), "quick": notebooks.QUICK, "all": tuple(notebooks.names())}[given.notebooks]
    (build / "docs" / "pictures").mkdir(parents=True)
    (build / "docs" / "plays").mkdir()
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn"), initializer=pages.begin) as pool:
        waiting = {
            slug: pool.submit(pages.hero, slug, build / "docs", given.plays == "all")
            for slug in ([] if given.no_pictures else pages.slugs())
        }
        executed = {
            name: pool.submit(notebooks.page, name, build / "docs" / "pictures", name in run)
            for name in notebooks.names()
        }
        heroes = {slug: each.result() for slug, each in waiting.items()}
        shown = {name: each.result() for name, each in executed.items()}
    nav = pages.write(build / "docs", heroes, shown, run)
    pages.configure(build, nav)
    print(f"{len(list((build / 'docs').rglob('*.md')))} pages after {time.monotonic() - began:.0f} s", flush=True)
    command = [sys.executable, "-m", "mkdocs", "build", "--clean", "--quiet", "-f", build / "mkdocs.yml"]
    done = subprocess.run(command, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})
    if done.returncode:
        return 1
    broken = links.broken(pages.ROOT / "site")
    _tell(broken, f"{time.monotonic() - began:.0f} s")
    return bool(broken)


def _tell(broken: Sequence[str], took: str) -> None:
    site: Path = pages.ROOT / "site"
    size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    print(
        "\n".join(broken)
        or f"site/: {len(list(site.rglob('*.html')))} pages, {size / 1e6:.0f} MB, all links lead somewhere; {took}"
    )


if __name__ == "__main__":
    sys.exit(main())
