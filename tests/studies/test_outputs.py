"""Outputs of an experiment, and the smallest study: no data, no paper."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Bool, Float, Int

import lab
from lab import app, datasets, figures, numerics, studies
from lab.cli import main
from lab.numerics import Reason
from lab.studies import Outputs, Picture, Pictures, Real, Run, Study, draw, out
from lab.studies.contract import sweeping
from lab.studies.contract.outputs import outputs_of
from lab.studies.contract.registry import flaw

GUIDE = Path(__file__).parents[2] / "docs/how-to/own-study.md"


class Squares(Outputs):
    x: Float[Array, " point"] = out("place", "where", unit="m")
    y: Float[Array, "point 2d"] | None = None


class Numbers(Outputs):
    x: Float[Array, " point"] = out("place", "where", unit="m")
    total: Float[Array, ""] = out("total", "sum of all", headline=True)
    count: Int[Array, ""] | None = out("count", "of points", absent="it is not counted")
    converged: Bool[Array, ""] | None = out("solved", "whether the solver converged")


def test_fields_become_results():
    found = {result.name: result for result in Numbers.results()}
    assert list(found) == ["x", "total", "count", "converged"]
    assert [found["x"].dims, found["x"].label, found["x"].doc, found["x"].unit] == [("point",), "place", "where", "m"]
    assert [found["total"].dims, found["total"].headline] == [(), True]
    assert found["count"].absent == "it is not counted"


def test_values_of_the_host_become_arrays_and_absent_ones_are_left_out():
    made = Numbers(x=np.arange(3.0), total=3.0)
    assert isinstance(made.x, jax.Array)
    assert made.total.dtype == float
    assert made.arrays().keys() == {"x", "total"}


def test_a_field_that_is_not_set_is_named():
    with pytest.raises(ValueError, match=r"Numbers.total is not set: set it, or annotate it with \| None"):
        Numbers(x=np.arange(3.0))


def test_a_field_without_a_declaration_or_named_dimensions_is_named():
    with pytest.raises(TypeError, match=r"Squares.y has no declaration: write y: ... = out\(label, doc\)"):
        Squares.results()

    class Unnamed(Outputs):
        y: Float[Array, "3"] = out("y", "three numbers")

    with pytest.raises(TypeError, match=r"Unnamed.y is annotated .*: annotate an array with named dimensions"):
        Unnamed.results()
    with pytest.raises(TypeError, match="colour"):
        out("y", "of x", colour="red")


def test_a_field_with_the_name_of_an_imported_module_is_named():
    class Named(Outputs):
        numerics: Float[Array, ""] = out("number", "of something")

    with pytest.raises(
        TypeError, match=r"^Named\.numerics has the name of a module imported in its file: rename the field"
    ):
        Named.results()


def test_outputs_pass_through_vmap_and_jit():
    made = jax.jit(jax.vmap(lambda t: Numbers(x=t * jnp.arange(3.0), total=3 * t)))(jnp.arange(4.0))
    assert [made.x.shape, made.total.shape, made.count] == [(4, 3), (4,), None]


def test_a_run_has_what_is_no_array_of_the_result():
    made = Run(Numbers(x=np.arange(3.0), total=3.0), Reason.STOPPED, 7, "state", {"point": np.arange(3)}).flat()
    assert made.keys() == {"x", "total", "point", "iterations", "warm", "reason"}
    assert [made["iterations"], made["warm"], made["reason"]] == [7, "state", Reason.STOPPED]
    assert Run(Numbers(x=np.arange(3.0), total=3.0)).flat().keys() == {"x", "total", "reason"}


def test_the_annotation_of_compute_names_the_outputs():
    def bare(inputs, p) -> Numbers: ...
    def run(inputs, p) -> Run[Numbers]: ...
    def quoted(inputs, p) -> "Run[Numbers]": ...
    def other(inputs, p) -> dict: ...
    def none(inputs, p): ...

    assert [outputs_of(each) for each in (bare, run, staticmethod(run), other, none)] == [*[Numbers] * 3, None, None]
    quoted.__globals__["Numbers"] = Numbers
    assert outputs_of(quoted) is Numbers


class Halves(Study):
    """Halve a number until it is small."""

    slug, title, field = "halves", "Halves", "Tests"
    start = Real(1.0, bounds=(0, 10), doc="first number")

    @staticmethod
    def compute(inputs, p, loop, warm=None) -> Run[Numbers]:
        x = p.start * 0.5 ** jnp.arange(4.0)
        return Run(Numbers(x=x, total=x.sum()), Reason.CONVERGED, 4, coords={"point": jnp.arange(1.0, 5.0)})


def test_a_study_without_data_is_run_labelled_and_found_again(home):
    result = Halves(start=2.0).run()
    np.testing.assert_allclose(result.x, [2, 1, 0.5, 0.25])
    assert result.point.values.tolist() == [1, 2, 3, 4]
    assert [result.x.attrs["long_name"], result.x.attrs["units"]] == ["place", "m"]
    assert [int(result.iterations), bool(result.converged), result.converged.attrs["long_name"]] == [4, True, "solved"]
    assert Halves.about == "Halve a number until it is small."
    assert [result.attrs["title"], result.attrs["paper"], Halves.paper.citation, Halves.paper.bibtex] == [
        "Halves",
        "",
        "",
        "",
    ]
    assert Halves.from_recipe(Halves(start=2.0).recipe()).start == 2.0
    swept = lab.sweep(Halves, store=False, start=[1.0, 2.0, 4.0])
    np.testing.assert_allclose(swept.total, np.array([1, 2, 4]) * 1.875)


def test_no_data_is_listed_only_for_studies_without_data():
    assert datasets.NO_DATA not in {entry.name for entry in datasets.catalogue()}
    assert [entry.name for entry in datasets.catalogue(datasets.NO_DATA)] == [datasets.NO_DATA]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_HOME", str(tmp_path / "home"))


@pytest.fixture
def damping(home, tmp_path) -> Path:
    """The first study of the guide."""
    block = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.DOTALL | re.MULTILINE)[0]
    assert len(block.splitlines()) <= 30
    path = tmp_path / "damping.py"
    path.write_text(block)
    return path


def test_the_first_study_of_the_guide_runs_sweeps_draws_and_shares(damping, tmp_path, capsys):
    assert main(["run", str(damping), "--rate", "0.3"]) == 0
    assert "0.2231302" in capsys.readouterr().out  # exp(-1.5)
    assert main(["sweep", str(damping), "--rate", "0:2:3", "-o", str(tmp_path / "runs.nc")]) == 0
    assert main(["figure", f"{damping}:height", "-o", str(tmp_path / "height.pdf")]) == 0
    assert main(["share", str(damping), "-o", str(tmp_path / "damping.html")]) == 0
    assert "<h3>Data</h3>" not in (tmp_path / "damping.html").read_text()
    study = studies.find(str(damping))
    assert "data" not in figures.caption(study(), ["height"], study().run())


def test_the_page_of_a_study_without_data_has_no_data_chooser(damping):
    from lab.app.controls import DataCard

    studies.load_file(damping)
    page = app.page(studies.find("damping")())
    assert not [part for part in _parts(page) if isinstance(part, DataCard)]


def _parts(page):
    page = page.__panel__() if hasattr(page, "__panel__") else page
    yield page
    for each in getattr(page, "objects", ()):
        yield from _parts(each)


def test_a_finding_with_an_unknown_number_is_refused():
    misspelt = Picture(
        "x", "X", "Line: x.", lambda r: draw.plot(draw.curve(r.point, r.x)), finds="The sum is {totl:.2f}"
    )
    wrong = type("Wrong", (Halves,), {"slug": "wrong", "__doc__": "Wrong.", "pictures": Pictures(misspelt)})
    assert flaw(wrong) == (
        "the finding of its picture x has {totl}, which is none of its numbers: they are converged, count, iterations, total"
    )


def test_an_output_with_the_name_of_a_method_of_xarray_is_named_where_it_is_drawn():
    class Middle(Outputs):
        median: Float[Array, " point"] = out("median", "of the points")

    class Named(Study):
        """Draw an output whose name xarray has."""

        slug, title, field = "named", "Named", "Tests"
        compute = staticmethod(lambda inputs, p, loop, warm=None: Middle(median=jnp.arange(3.0)))
        results = Middle.results()
        pictures = Pictures(Picture("m", "M", "Line: m.", lambda r: draw.plot(draw.curve(r.point, r.median[:1]))))

    with pytest.raises(
        ValueError, match=r'picture m can.t be drawn: result.median is a method of xarray, write result\["median"\]'
    ):
        Named.pictures.m(Named().run())


def test_a_loop_without_a_limit_says_what_to_give():
    method = numerics.Method(lambda p: p, lambda p, x: x / 2, lambda p, x: x < 1e-3, lambda p, x: {})
    for loop in (numerics.pure, numerics.Chunked()):
        with pytest.raises(ValueError, match="give the maximum number of iterations, as in loop"):
            loop(method, 1.0)


def test_an_output_may_be_named_error_in_a_sweep():
    class Off(Outputs):
        error: Float[Array, ""] = out("error", "of the number", headline=True)

    study = type("Off", (Halves,), {"slug": "off", "__doc__": "Off.", "results": Off.results(), "pictures": Pictures()})
    study.compute = staticmethod(lambda inputs, p, loop, warm=None: Off(error=p.start))
    swept = lab.sweep(study, store=False, start=[1.0, 2.0])
    assert swept.error.values.tolist() == [1, 2]
    assert sweeping.CELL_ERROR not in swept
