"""Pictures of a Hessian."""

from lab.studies.stability import curvature


def test_cells_cover_the_parameters():
    for arrays in ((0, 3, 10), (0, 640, 650, 5000), (0, 300, 301)):
        cells = curvature.cuts(arrays)
        assert set(arrays) <= set(cells)
        assert list(cells) == sorted(set(cells))
        assert len(cells) <= max(curvature.CELLS + 1, 90)
