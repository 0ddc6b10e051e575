"""Which pages there are, where each comes from, and how they are ordered."""

import json
import shutil
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import bokeh

from lab import home
from lab import studies as of_lab
from lab.app import theme
from lab.studies import Study

from . import collected, house, measure, pictures, plays, reference, words
from . import study as of_study

ROOT = Path(__file__).parents[2]
HAND = ROOT / "docs"
BROUGHT = {
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
    "data/README.md": "data.md",
}
"""Documents of the repository that are pages of the site, too."""
SCRIPTS = ("bokeh.min.js", "bokeh-mathjax.min.js")


def begin() -> None:
    """What each process that draws does first."""
    home.start()


@cache
def every() -> list[type[Study]]:
    """The lab's own studies."""
    return [each for each in of_lab.catalogue() if each.__module__.startswith("lab.")]


def slugs() -> list[str]:
    """Their names."""
    return [each.slug for each in every()]


def hero(slug: str, folder: Path, play: bool) -> str:
    """What stands on top of a study's page, as Markdown: its play where there is one or it is asked for, else stills."""
    study = of_lab.find(slug)
    made = plays.make(slug) if play else plays.path(study)
    if not made.exists():
        return pictures.hero(study, folder / "pictures")
    _copy(made, folder / "plays" / f"{slug}.html")
    address = f"../plays/{slug}.html"
    frame = f'<iframe class="play" data-src="{address}" title="{words.plain(study.title)}" loading="lazy"></iframe>'
    return f"{frame}\n\n[This play alone, one file that needs no server]({address})\n{{ .caption }}"


def by_hand() -> list[str]:
    """The pages that are written by hand, by their paths in ``docs``."""
    return sorted(
        path.relative_to(HAND).as_posix()
        for path in HAND.rglob("*.md")
        if path.relative_to(HAND).parts[0] not in ("papers", "make")
    )


def write(folder: Path, heroes: Mapping[str, str], shown: Mapping[str, str], run: Collection[str]) -> list[Any]:
    """All pages as Markdown; returns how they are ordered.

    Args:
        heroes: Markdown of what stands on top of the pages of studies, by slug.
        shown: Markdown of notebooks, by name.
        run: the notebooks that were run.
    """
    measured = measure.load()
    for name in by_hand():
        _write(folder / name, (HAND / name).read_text(encoding="utf-8"))
    for picture in HAND.glob("*.png"):
        shutil.copy(picture, folder / picture.name)
    for thumbnail in (ROOT / "data" / "results").glob("*.png"):
        slug, tone, _ = thumbnail.stem.rsplit("-", 2)
        _copy(thumbnail, folder / "pictures" / f"{slug}-{tone}.png")
    _assets(folder)
    by_stem = {each.slug.replace("-", "_"): each.slug for each in every()}
    stems = {slug: stem for stem, slug in by_stem.items() if stem in shown}
    for each in every():
        beside = of_study.written(HAND / "papers" / f"{each.slug}.md", each, measured.get(each.slug, {}))
        notebook = f"../notebooks/{stems[each.slug]}.md" if each.slug in stems else ""
        text = of_study.page(each, measured.get(each.slug, {}), beside, heroes.get(each.slug, ""), notebook)
        _write(folder / "studies" / f"{each.slug}.md", text)
    for name, text in shown.items():
        _write(folder / "notebooks" / f"{name}.md", text)
    for name, text in _collected(folder, measured, shown, run).items():
        _write(folder / name, text)
    for part in _parts():
        _write(folder / "reference" / f"{part}.md", reference.page(part))
    return _nav(shown)


def _collected(
    folder: Path, measured: Mapping[str, Any], shown: Mapping[str, str], run: Collection[str]
) -> dict[str, str]:
    titles = {name: text.partition("\n")[0].removeprefix("# ") for name, text in shown.items()}
    links = BROUGHT | {f"docs/{name}": name for name in by_hand()}
    made = {
        page: collected.brought((ROOT / source).read_text(encoding="utf-8"), links | {"README.md": "index.md"})
        for source, page in BROUGHT.items()
    }
    return made | {
        "studies/index.md": collected.studies(every(), folder / "pictures"),
        "notebooks/index.md": collected.notebooks(titles, sorted(run)),
        "limits.md": collected.limits((HAND / "limits.md").read_text(encoding="utf-8"), every(), measured),
        "bibliography.md": collected.bibliography(every()),
        "house.md": house.page(),
        "how-to/own-data.md": (HAND / "how-to/own-data.md")
        .read_text(encoding="utf-8")
        .replace("<!-- kinds -->", kinds()),
    }


def kinds() -> str:
    """What files of one's own may hold: the table of README."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    begin = text.index("| kind | file |")
    return text[begin : text.index("\n\n", begin)]


def _assets(folder: Path) -> None:
    assets = folder / "assets"
    for path in (HAND / "make" / "assets").iterdir():
        _copy(path, assets / path.name)
    for name in SCRIPTS:
        _copy(Path(str(bokeh.__file__)).parent / "server" / "static" / "js" / name, assets / name)
    light, dark = theme.tokens("light"), theme.tokens("dark")
    fonts = f"--md-text-font-family:{theme.FONT};--md-code-font-family:{theme.MONO};"
    colours = f':root{{{fonts}}} [data-md-color-scheme="default"]{{{light}}} [data-md-color-scheme="slate"]{{{dark}}}\n'
    _write(assets / "colours.css", colours)


def _parts() -> list[str]:
    return [part for parts in reference.PARTS.values() for part in parts]


def _nav(shown: Collection[str]) -> list[Any]:
    fields: dict[str, list[str]] = {}
    for each in every():
        fields.setdefault(each.field, []).append(f"studies/{each.slug}.md")
    return [
        {"Start": ["index.md", "install.md", "tour.md", "which-method.md", "teach.md"]},
        {
            "How to": [
                *(f"how-to/{name}.md" for name in ("own-data", "own-study", "own-model", "derivatives")),
                "clusters.md",
                *(f"how-to/{name}.md" for name in ("panel", "latex")),
                "serving.md",
                "how-to/gpu.md",
            ]
        },
        {"Studies": ["studies/index.md", *({field: listed} for field, listed in fields.items())]},
        {"Notebooks": ["notebooks/index.md", *(f"notebooks/{name}.md" for name in sorted(shown))]},
        {"Reference": [{name: [f"reference/{part}.md" for part in parts]} for name, parts in reference.PARTS.items()]},
        {"Evidence": ["limits.md", "benchmarks.md", "data.md", "bibliography.md"]},
        {"Project": ["release-notes.md", "changelog.md", "contributing.md", "house.md", "citing.md"]},
    ]


def configure(build: Path, nav: list[Any]) -> None:
    """Write what MkDocs reads: the settings beside this file, the order of pages, addresses of other documentations."""
    (build / "elsewhere.inv").write_bytes(reference.inventory())
    settings = {
        "INHERIT": "../docs/make/mkdocs.yml",
        "docs_dir": "docs",
        "site_dir": "../site",
        "nav": nav,
        "plugins": {"mkdocstrings": {"handlers": {"python": {
            "paths": [str(ROOT)],
            "inventories": [{"url": (build / "elsewhere.inv").as_uri(), "base_url": ""}],
        }}}},
    }  # fmt: skip
    _write(build / "mkdocs.yml", json.dumps(settings, indent=1))  # which is YAML


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)
