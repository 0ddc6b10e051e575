"""Packing runs and getting each back exactly."""

import numpy as np
import pytest
import xarray as xr
from samples import assert_same, run

from lab.store import pack, unpack
from lab.store.packing import chosen, joined


def test_each_run_comes_back_as_it_was():
    runs = [run(5, 1), run(2, 2), run(0, 3), run(9, 1, extra="only here")]
    packed = pack(runs)
    assert all(variable.dims[0] == "cell" for variable in packed.data_vars.values())
    assert packed.iteration_size.values.tolist() == [5, 2, 0, 9]
    assert np.isnan(packed.history.values[1, 2:]).all()
    assert packed.iteration.dims == ("iteration",)  # the shorter ones are the beginning of the longest
    assert packed.attrs["a"] == "same"
    assert "seed" not in packed.attrs
    for index, before in enumerate(runs):
        assert_same(before, unpack(packed, index))


def test_lone_run():
    assert_same(run(4), unpack(pack([run(4)]), 0))


@pytest.mark.parametrize("name", ["row", "col", "iteration"])
def test_cells_of_a_run_are_no_cells_of_a_sweep(name):
    """Biologists have cells too, with labels or without."""
    runs = [run(n, n).rename({name: "cell"}) for n in (3, 5)]
    runs.append(runs[0].drop_vars("cell"))
    for index, before in enumerate(runs):
        assert_same(before, unpack(pack(runs), index))


def test_a_variable_that_some_lack():
    runs = [run(3), run(3).drop_vars(["plan", "height", "col"]), run(3).assign(lp=1.5)]
    packed = pack(runs)
    for index, before in enumerate(runs):
        assert_same(before, unpack(packed, index))


def test_the_form_does_not_depend_on_the_batches():
    runs = [run(n, n % 3, converged=int(n > 3)) for n in (1, 6, 4, 2, 8)]
    whole = pack(runs)
    parts = [(pack(runs[:2]), [0, 1]), (pack(runs[2:]), [0, 1, 2])]
    other = [(pack([runs[4], runs[0]]), [1]), *((pack([r]), [0]) for r in runs[1:])]
    for made in (joined(parts), joined(other), joined([(whole, range(5))])):
        assert_same(whole, made)


def test_plain_batch_with_sizes_needs_no_pack():
    cells = xr.Dataset(
        {"value": ("cell", [1.0, 2.0]), "history": (("cell", "iteration"), [[1.0, 2.0], [3.0, np.nan]])},
        coords={"iteration_size": ("cell", [2, 1]), "iteration": [0, 1], "cell": [0, 1]},
        attrs={"study": "x"},
    )
    cell = unpack(cells, 1)
    assert cell.history.values.tolist() == [3.0]
    assert float(cell.value) == 2.0
    assert cell.attrs == {"study": "x"}


def test_unlike_runs_are_refused():
    with pytest.raises(ValueError, match="plan has the dimensions"):
        pack([run(1), run(1).assign(plan=("row", np.zeros(3)))])
    with pytest.raises(ValueError, match="value is bool and float64"):
        pack([run(1), run(1).assign(value=True)])
    for taken in ("cell_attrs", "row_size", "x__cell"):
        with pytest.raises(ValueError, match="the store uses that name"):
            pack([run(1).assign({taken: 1.0})])
    with pytest.raises(ValueError, match="nothing to pack"):
        pack([])
    with pytest.raises(ValueError, match="an attribute is"):
        pack([run(1, odd=object())])


def test_cells_of_which_none_of_the_variables_asked_for_is_there_are_cells_still():
    packed = chosen(pack([run(3), run(5, 1)]), ["absent"])
    assert packed.sizes["cell"] == 2
    assert not packed.data_vars
    assert [unpack(packed, row).attrs["title"] for row in (0, 1)] == ["run 0", "run 1"]
    assert joined([(packed, [1])]).sizes["cell"] == 1
