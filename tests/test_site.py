"""The pages of the site: each study's says what it declares, every link leads somewhere, the map is that of the imports.

The site itself is built by ``make docs``, which follows every link of it once more.
"""

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest

from docs.make import examples, house, links, measure, notebooks, pages, reference, study, words
from lab import studies
from lab.home import start

EVERY = pages.every()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    start()
    shown = {name: notebooks.page(name, folder, run=False) for name in notebooks.names()}
    nav = pages.write(folder, {"sparse-ot": "![Plan](../pictures/sparse-ot-light.png)"}, shown, ())
    return folder, nav


@pytest.mark.slow
@pytest.mark.parametrize("each", EVERY, ids=lambda each: each.slug)
def test_a_study_has_its_page(each, written):
    text = (written[0] / "studies" / f"{each.slug}.md").read_text()
    for claim in each.claims:
        assert f"`{claim.name}`" in text
    for name in each.parameters():
        assert f"| `{name}`" in text
    for result in each.results:
        assert f"| `{result.name}` |" in text
    for step in each.story.steps:
        assert words.plain(step.question) in text
    assert f"@{words.bibtex(each.paper).partition('{')[0][1:]}{{{words.key(each.paper)}," in text
    assert each.mathematics in text
    assert "## The paper's figures and ours" in text


@pytest.mark.slow
def test_a_picture_stands_on_top(written):
    text = (written[0] / "studies" / "sparse-ot.md").read_text()
    assert text.index("![Plan]") < text.index("## Steps")


@pytest.mark.slow
def test_every_link_leads_to_a_page_and_a_heading(written):
    """As MkDocs has them: relative to the page, anchors made of headings."""
    folder, wrong = written[0], []
    for path in folder.rglob("*.md"):
        text = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
        for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", text)):
            file, _, anchor = target.partition("#")
            if re.match(r"[a-z]+:", target) or anchor.startswith("only-"):
                continue
            there = path.parent / file if file else path
            if not there.exists() or (anchor and anchor not in anchors(there)):
                wrong.append(f"{path.relative_to(folder)}: {target}")
    assert not wrong


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", each).strip().lower()) for each in headings}


@pytest.mark.slow
def test_every_page_is_in_the_order(written):
    folder, nav = written

    def of(node):
        items = node.values() if isinstance(node, dict) else node
        return {name for item in items for name in ({item} if isinstance(item, str) else of(item))}

    assert of(nav) == {path.relative_to(folder).as_posix() for path in folder.rglob("*.md")}


@pytest.mark.slow
def test_what_does_not_hold_is_collected(written):
    text = (written[0] / "limits.md").read_text()
    for each in EVERY:
        for claim in each.claims:
            assert (f"`{claim.name}`" in text) >= (not claim.should_hold), (each.slug, claim.name)


def test_what_was_measured_is_of_claims_and_steps_that_are_there():
    known = measure.load()
    assert set(known) <= {each.slug for each in EVERY}
    for each in EVERY:
        found = known.get(each.slug, {"claims": {}, "steps": []})
        assert set(found["claims"]) <= {claim.name for claim in each.claims}, f"measure {each.slug} again"
        assert len(found["steps"]) in (0, len(each.story.steps)), f"measure {each.slug} again"


def test_verdicts_of_long_claims_come_from_verify(tmp_path):
    told = {"study": "projektor", "expected": -0.7, "interval": [-0.9, -0.75], "holds": True, "error": ""}
    path = tmp_path / "verdicts.json"
    path.write_text(json.dumps([told | {"name": "nonsense"}]))
    with pytest.raises(ValueError, match="nonsense is no claim of projektor"):
        measure.verdicts(path)
    path.write_text(json.dumps([told | {"name": "correlated", "measured": -0.8}]))
    found = measure.verdicts(path)["projektor"]["claims"]["correlated"]
    day = found.pop("day")
    assert found == {name: told[name] for name in ("expected", "interval", "holds", "error")} | {"measured": -0.8}
    said = study._claims(
        studies.find("projektor"), {"claims": {"correlated": found | {"day": day}}, "day": "x", "jax": "y"}
    )
    assert f"x (what takes longer: {day})" in said


def test_a_number_in_prose_is_that_of_a_claim(tmp_path):
    sparse = studies.find("sparse-ot")
    path = tmp_path / "sparse-ot.md"
    path.write_text("The program costs {routing}, and {rows-miss} is missed.")
    measured = {"claims": {"routing": {"measured": 0.0380419, "holds": True}}}
    assert study.written(path, sparse, measured) == "The program costs 0.03804, and (`rows-miss`) is missed."
    path.write_text("The program costs {lq}.")
    with pytest.raises(ValueError, match="lq, which is no claim of sparse-ot"):
        study.written(path, sparse, measured)


def test_a_claim_says_what_came_of_it():
    claim = next(c for c in studies.find("sparse-ot").claims if c.name == "always-feasible")
    verdict = {"measured": 0.25, "expected": 0.0, "interval": [0.2, 0.3], "holds": False, "error": ""}
    said = study.claim_row(claim, verdict)
    assert said[1:4] == ("≤ 0", "0.25 (0.2 to 0.3)", "does not hold")
    assert words.plain(claim.note) in said[0]
    assert study.claim_row(claim, None)[3] == "does not hold"


def test_bibtex_names_each_paper_once():
    papers = {each.paper for each in EVERY}
    assert len({words.key(paper) for paper in papers}) == len(papers)
    entry = words.bibtex(studies.find("sparse-ot").paper)
    assert entry.startswith("@inproceedings{liu2023sparsity,\n  author = {Liu and Puigcerver and Blondel},")
    assert entry.endswith("},\n}")


def test_the_map_is_that_of_the_imports():
    """Every room stands on one floor, above all that it uses, and as low as it can."""
    floors, rooms = house.floors(), house.rooms()
    at = {name: level for level, floor in enumerate(floors) for name in floor}
    assert set(at) == set(rooms)
    assert all(at[name] == max((at[each] + 1 for each in room.uses), default=0) for name, room in rooms.items())
    assert {"ot", "paths"} <= rooms["studies of a field"].uses
    assert "numerics" in rooms["ot"].uses
    assert sum(room.modules for room in rooms.values()) == len(list(house.LAB.rglob("*.py")))
    assert all(rooms[name].says for name in at)
    assert all(any(each in rooms[name].uses for each in low) for low, high in pairwise(floors) for name in high)


def test_the_reference_names_what_a_package_offers():
    from lab import ot

    text = reference.page("ot")
    assert text.startswith("# lab.ot")
    assert all(f"        - {name}\n" in text for name in ot.__all__)
    assert "::: lab.ot.semidiscrete\n" in text


def test_an_example_in_the_text_of_a_docstring_is_code():
    text = "So it is:\n\n>>> [f(1)]\n[2]\n\nAnd more.\n\n```\n>>> kept\n\nas it is\n```\n\n> a quotation"
    lines = examples._Fences().run(text.split("\n"))
    assert "\n".join(lines) == text.replace(">>> [f(1)]\n[2]\n", "\n```pycon\n>>> [f(1)]\n[2]\n```\n")


def test_a_broken_link_is_told(tmp_path):
    (tmp_path / "a.html").write_text(
        '<h1 id="top"></h1><a href="b.html#in">b</a><a href="c.html">c</a><a href="#top">t</a>'
    )
    (tmp_path / "b.html").write_text(
        '<img src="https://elsewhere.org/x.png"><a href="https://elsewhere.org">e</a><a href="a.html">a</a>'
    )
    assert links.broken(tmp_path) == [
        "a.html: b.html#in leads to no place on that page",
        "a.html: c.html leads to no file",
        "b.html: asks another machine for https://elsewhere.org/x.png",
    ]


def test_the_citation_has_the_version():
    import lab

    assert f"\nversion: {lab.__version__}\n" in (pages.ROOT / "CITATION.cff").read_text()
