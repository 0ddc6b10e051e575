"""Every link of a built site: pages, pictures, scripts and anchors are there."""

from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class _Page(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.names: set[str] = {"", "__search", "__drawer"}
        self.targets: list[str] = []
        self.asked: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" or (name == "name" and tag == "a"):
                self.names.add(value or "")
            elif (
                name in ("href", "src") and value is not None and not (tag == "link" and ("rel", "canonical") in attrs)
            ):
                self.targets.append(value)
                if tag != "a" and urlsplit(value).netloc:
                    self.asked.append(value)


@cache
def _read(path: Path) -> _Page:
    return _Page(path.read_text(encoding="utf-8"))


def broken(site: Path) -> list[str]:
    """A sentence for each link that leads nowhere, and for each script, style or picture from outside."""
    return [told for path in sorted(site.rglob("*.html")) if "plays" not in path.parts for told in _of(path, site)]


def _of(path: Path, site: Path) -> Iterator[str]:
    here = path.relative_to(site)
    yield from (f"{here}: asks another machine for {each}" for each in _read(path).asked)
    for target in dict.fromkeys(_read(path).targets):
        parts = urlsplit(target)
        if parts.scheme or parts.netloc:
            continue  # the web is not asked
        if path.name == "404.html":  # its links begin at the site's root
            parts = parts._replace(path=parts.path.removeprefix("/"))
        file = path.parent / unquote(parts.path) if parts.path else path
        if file.is_dir():
            file = file / "index.html"
        if not file.exists():
            yield f"{here}: {target} leads to no file"
        elif parts.fragment and file.suffix == ".html" and unquote(parts.fragment) not in _read(file.resolve()).names:
            yield f"{here}: {target} leads to no place on that page"
