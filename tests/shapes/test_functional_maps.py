"""Functional maps: against least squares by rows, by differences, and on a surface that is itself in another order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial import cKDTree

from lab.datasets import meshes
from lab.shapes import figures
from lab.shapes import functional_maps as fm
from lab.shapes.geodesics import geodesics
from lab.shapes.laplacian import laplacian
from lab.shapes.mesh import normalised, permuted
from lab.shapes.signatures import wave_kernel
from lab.shapes.spectrum import spectrum

RNG = np.random.default_rng(5)
KX, KY, C = 6, 5, 9
A, B = (jnp.asarray(RNG.normal(size=(k, C))) for k in (KX, KY))
VX, VY = (np.concatenate([[0.0], np.sort(RNG.uniform(1, 40, k - 1))]) for k in (KX, KY))
D = fm.mask(jnp.asarray(VX), jnp.asarray(VY))


# -- the solve ---------------------------------------------------------------------------------------------------------


def test_mask_is_the_distance_of_resolvents_and_turns_with_the_direction():
    """(1 - i lambda^gamma)^-1 up to a turn: their squared distance as complex numbers."""
    s = max(VX.max(), VY.max())
    one, other = (1 / (np.sqrt(v / s) - 1j) for v in (VY, VX))
    np.testing.assert_allclose(D, np.abs(one[:, None] - other[None, :]) ** 2, atol=1e-14)
    np.testing.assert_allclose(fm.mask(jnp.asarray(VY), jnp.asarray(VX)), D.T, atol=1e-15)
    same = np.asarray(fm.mask(jnp.asarray(VX), jnp.asarray(VX)))
    np.testing.assert_array_equal(same == 0, np.eye(KX, dtype=bool))
    assert (np.asarray(D)[1:, 1:] > 0).all()
    assert float(D[0, 0]) == 0


@pytest.mark.parametrize(("strength", "ridge"), [(100.0, 0.0), (3.0, 0.1), (0.0, 0.0)])
def test_solve_is_stacked_least_squares(strength, ridge):
    found = np.asarray(fm.solve(A, B, D, strength, ridge))
    rho = ridge * np.trace(A @ A.T) / KX
    for i in range(KY):
        rows = np.vstack([A.T, np.diag(np.sqrt(strength * np.asarray(D)[i])), np.sqrt(rho) * np.eye(KX)])
        expected = np.linalg.lstsq(rows, np.concatenate([B[i], np.zeros(2 * KX)]), rcond=None)[0]
        np.testing.assert_allclose(found[i], expected, atol=1e-9)
    if strength == 0:
        np.testing.assert_allclose(found, B @ np.linalg.pinv(A), atol=1e-9)


def test_one_eigenfunction_has_a_map():
    assert fm.mask([0.0], [0.0]).tolist() == [[0.0]]
    assert float(fm.solve([[2.0]], [[3.0]], fm.mask([0.0], [0.0]), ridge=0)[0, 0]) == pytest.approx(1.5, rel=1e-14)


def test_the_objective_rests_at_the_solution():
    def objective(c):
        return ((c @ A - B) ** 2).sum() + 100 * (D * c**2).sum()

    assert float(jnp.abs(jax.grad(objective)(fm.solve(A, B, D, 100.0, 0.0))).max()) < 1e-9


def test_a_row_of_equal_eigenvalues_without_features_has_the_ridge():
    empty = A.at[0].set(0.0)
    assert np.isfinite(np.asarray(fm.solve(empty, B, D))).all()


# -- losses ------------------------------------------------------------------------------------------------------------

NX, NY = 12, 10
PHI = [jnp.asarray(RNG.normal(size=(n, k))) for n, k in ((NX, KX), (NY, KY))]
INVERSE = [jnp.asarray(np.linalg.pinv(np.asarray(phi))) for phi in PHI]
FX, FY = (jnp.asarray(RNG.normal(size=(n, C))) for n in (NX, NY))


@jax.jit
def maps(features):
    a, b = (inverse @ f for inverse, f in zip(INVERSE, features, strict=True))
    return fm.solve(a, b, D), fm.solve(b, a, D.T)


@jax.jit
def losses(f):
    """All that are learned with, of two tables of features."""
    cxy, cyx = maps(f)
    soft, plan = (fm.soft(*f), fm.soft(f[1], f[0])), fm.refined(*f, 0.3)
    padded = fm.refined(*f, 0.3, jnp.ones(NX).at[3].set(0), jnp.ones(NY).at[0].set(0))
    return jnp.stack(
        [
            fm.bijectivity(cxy, cyx),
            fm.orthogonality(cxy, cyx),
            fm.isometry(cxy, cyx, jnp.asarray(VX), jnp.asarray(VY)),
            fm.coupling(cxy, cyx, *soft, (PHI[0], INVERSE[0]), (PHI[1], INVERSE[1])),
            (plan.xy**2).sum() + (plan.yx**3).sum(),
            (padded.xy**2).sum(),
        ]
    )


@pytest.mark.slow
def test_slopes_are_those_of_differences():
    """Each loss in units of itself, so that none hides behind another."""
    way = [jnp.asarray(RNG.normal(size=f.shape)) for f in (FX, FY)]
    scale = jnp.asarray(RNG.uniform(0.5, 1.5, 6)) / losses([FX, FY])
    back = jax.jit(jax.grad(lambda f: (losses(f) * scale).sum()))([FX, FY])
    h = 1e-5
    up, down = (losses([f + s * h * by for f, by in zip((FX, FY), way, strict=True)]) for s in (1, -1))
    each = (up - down) / (2 * h) * scale
    assert float(jnp.abs(each).min()) > 1e-3
    along = sum((f * by).sum() for f, by in zip(back, way, strict=True))
    np.testing.assert_allclose(along, each.sum(), rtol=1e-5, atol=1e-5 * float(jnp.abs(each).min()))


def test_losses_by_hand():
    given = maps((FX, FY))
    cxy, cyx = map(np.asarray, given)
    assert cxy.shape == (KY, KX)
    eye = np.eye
    np.testing.assert_allclose(
        fm.bijectivity(*given), ((cxy @ cyx - eye(KY)) ** 2).sum() + ((cyx @ cxy - eye(KX)) ** 2).sum()
    )
    np.testing.assert_allclose(
        fm.orthogonality(*given), ((cxy.T @ cxy - eye(KX)) ** 2).sum() + ((cyx.T @ cyx - eye(KY)) ** 2).sum()
    )
    lap = ((cxy @ np.diag(VX) - np.diag(VY) @ cxy) ** 2).sum() + ((cyx @ np.diag(VY) - np.diag(VX) @ cyx) ** 2).sum()
    np.testing.assert_allclose(fm.isometry(*given, jnp.asarray(VX), jnp.asarray(VY)), lap)
    pxy, pyx = fm.soft(FX, FY), fm.soft(FY, FX)
    both = ((cxy - np.asarray(INVERSE[1] @ pyx @ PHI[0])) ** 2).sum() + (
        (cyx - np.asarray(INVERSE[0] @ pxy @ PHI[1])) ** 2
    ).sum()
    np.testing.assert_allclose(
        fm.coupling(*given, pxy, pyx, (PHI[0], INVERSE[0]), (PHI[1], INVERSE[1])), both, rtol=1e-12
    )


def test_partial_losses_ask_for_as_many_as_fit():
    full, part = jnp.array([0.0, 2, 4, 6, 8]), jnp.array([0.0, 4, 7, 9, 12])
    np.testing.assert_array_equal(fm.partial_rank(full, part), [1, 1, 1, 1, 0])
    rest = jnp.diag(jnp.array([1.0, 1, 1, 1, 0]))
    assert [float(each) for each in fm.partial_losses(rest, rest, full, part)] == [0, 0]
    c = jnp.asarray(RNG.normal(size=(5, 5)))
    biject, orth = fm.partial_losses(c, 2 * c, full, part)
    np.testing.assert_allclose(biject, ((2 * c @ c - rest) ** 2).sum())
    np.testing.assert_allclose(orth, ((c @ c.T - rest) ** 2).sum())


def test_dirichlet_is_that_of_the_laplacian():
    shape = figures.sphere(1)
    stiffness = laplacian(shape).stiffness.tocoo()
    upper = stiffness.row < stiffness.col
    ends, weights = np.stack([stiffness.row, stiffness.col], 1)[upper], -stiffness.data[upper]
    v = RNG.normal(size=(shape.n, 3))
    found = fm.dirichlet(jnp.asarray(v), jnp.asarray(ends), jnp.asarray(weights))
    np.testing.assert_allclose(found, np.trace(v.T @ (laplacian(shape).stiffness @ v)) / 3, rtol=1e-12)


# -- correspondences ---------------------------------------------------------------------------------------------------


def test_a_feature_of_zeros_is_similar_to_none():
    x = jnp.array([[0.0, 0.0], [1.0, 2.0], [-1.0, 0.0]])
    np.testing.assert_array_equal(fm.nearest_features(x, jnp.array([[1.0, 0.0]])), [1])  # cosines 0, 0.45 and -1
    np.testing.assert_array_equal(fm.nearest_features(x, jnp.array([[0.5, -3.0]])), [0])  # 0, -0.9 and -0.2


def test_soft():
    rows = fm.soft(FX, FY)
    assert rows.shape == (NX, NY)
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-12)
    unit = [np.asarray(f) / np.linalg.norm(f, axis=1, keepdims=True) for f in (FX, FY)]
    scores = np.exp(unit[0] @ unit[1].T / 0.07)
    np.testing.assert_allclose(rows, scores / scores.sum(axis=1, keepdims=True), rtol=1e-10)
    np.testing.assert_allclose(fm.soft(FX, FY, 1e-5), fm.soft(FX, FY, hard=True), atol=1e-12)
    np.testing.assert_array_equal(np.asarray(fm.soft(FX, FY, hard=True)).argmax(1), fm.nearest_features(FY, FX))
    slopes = [
        jax.grad(lambda f, hard=hard: (fm.soft(f, FY, hard=hard) ** 1 * FX[:, :1]).sum())(FX) for hard in (True, False)
    ]
    np.testing.assert_allclose(*slopes, atol=1e-12)
    padded = fm.soft(FX, FY, mass_y=jnp.ones(NY).at[4].set(0))
    np.testing.assert_array_equal(padded[:, 4], 0)
    np.testing.assert_allclose(padded.sum(axis=1), 1, atol=1e-12)
    assert np.isfinite(np.asarray(jax.grad(lambda f: (fm.soft(f, FY) ** 2).sum())(FX.at[2].set(0.0)))).all()


def test_refined_plan():
    found = fm.refined(FX, FY, 0.3)
    np.testing.assert_allclose(found.xy.sum(axis=1), 1, atol=1e-10)
    np.testing.assert_allclose(found.yx.sum(axis=1), 1, atol=1e-10)
    d = ((np.asarray(FX)[:, None] - np.asarray(FY)[None]) ** 2).sum(-1)
    p = np.exp(-d / d.mean() / (2 * 0.3**2))
    for _ in range(10):
        p = p / p.sum(axis=1, keepdims=True)
        p = p / p.sum(axis=0, keepdims=True)
    p = p / p.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.xy, p, rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(found.yx, (p / p.sum(axis=0, keepdims=True)).T, rtol=1e-9, atol=1e-14)
    for scale in (7.0, 1e-3):
        np.testing.assert_allclose(fm.refined(scale * FX, scale * FY, 0.3).xy, found.xy, atol=1e-10)
    square = fm.refined(FX[:NY], FY, 0.3, sweeps=400)
    for each in square:
        np.testing.assert_allclose(each.sum(axis=0), 1, atol=1e-8)
        np.testing.assert_allclose(each.sum(axis=1), 1, atol=1e-8)


def test_padding_is_left_out_of_the_plan():
    padded = [jnp.concatenate([f, jnp.zeros((3, C))]) for f in (FX, FY)]
    masses = [jnp.concatenate([jnp.full(n, 0.1), jnp.zeros(3)]) for n in (NX, NY)]
    found, plain = fm.refined(*padded, 0.3, *masses), fm.refined(FX, FY, 0.3)
    np.testing.assert_allclose(found.xy[:NX, :NY], plain.xy, atol=1e-12)
    np.testing.assert_allclose(found.yx[:NY, :NX], plain.yx, atol=1e-12)
    assert float(jnp.abs(found.xy[NX:]).max()) == float(jnp.abs(found.xy[:, NY:]).max()) == 0


def test_errors_and_curves():
    distances = np.abs(np.arange(5.0)[:, None] - np.arange(5.0)[None]) / 100
    errors = fm.geodesic_errors([0, 4, 2], [0, 1, 3], distances)
    np.testing.assert_allclose(errors, [0, 0.03, 0.01])
    curve = fm.correct_keypoints(errors)
    assert (len(curve.threshold), curve.threshold[-1]) == (40, 0.1)
    np.testing.assert_allclose(curve.share[[0, 4, 39]], [1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(curve.area, np.mean([1, 0.7, 0.9]), atol=0.02)
    assert fm.correct_keypoints(np.zeros(3)).area == 1


# -- a body ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def person():
    return normalised(meshes.body("person"))


@pytest.fixture(scope="module")
def modes(person):
    return [spectrum(laplacian(each), 81) for each in (person, normalised(meshes.body("person", figures.POSE)))]


@pytest.fixture(scope="module")
def distances(person):
    return geodesics(person, "edges")


@pytest.mark.slow
def test_a_surface_in_another_order_is_matched_exactly(person, distances):
    """C is the identity up to signs and, since n_x = n_y, the other direction is tested with the inverse order."""
    k, order = (
        20,
        np.random.default_rng(2).permutation(person.n),
    )  # vertex y of the other is vertex order[y] of the person
    x, y = (spectrum(laplacian(each), 60) for each in (person, permuted(person, order)))
    features = [jnp.asarray(wave_kernel(each, 40)) for each in (x, y)]
    x, y = x.first(k), y.first(k)
    a, b = (jnp.asarray(each.inverse) @ f for each, f in zip((x, y), features, strict=True))
    penalty = fm.mask(jnp.asarray(x.values), jnp.asarray(y.values))
    c_xy, c_yx = fm.solve(a, b, penalty, ridge=0.0), fm.solve(b, a, penalty.T, ridge=0.0)
    np.testing.assert_allclose(np.abs(c_xy), np.eye(k), atol=1e-4)
    assert max(map(float, (fm.bijectivity(c_xy, c_yx), fm.orthogonality(c_xy, c_yx)))) < 1e-6
    assert float(fm.isometry(c_xy, c_yx, jnp.asarray(x.values), jnp.asarray(y.values))) < 1e-6
    p2p = fm.point_map(c_xy, jnp.asarray(x.functions), jnp.asarray(y.functions))
    np.testing.assert_array_equal(p2p, order)
    assert fm.geodesic_errors(p2p, order, distances).max() == 0
    for by in ("map", "features"):
        functions = (jnp.asarray(x.functions), jnp.asarray(y.functions), jnp.asarray(y.inverse))
        np.testing.assert_array_equal(fm.match(*features, *functions, by), order)


@pytest.mark.slow
def test_the_true_map_gets_better_with_k(modes, distances):
    """The floors of the sheet, measured along edges; and back, whose C has another shape where k differ."""
    x, y = modes
    truth = np.arange(len(x.mass))
    for k, floor in ((20, 2.6), (40, 0.78), (80, 0.23)):
        one, other = x.first(k), y.first(k)
        c = fm.of_point_map(truth, jnp.asarray(one.functions), jnp.asarray(other.inverse))
        found = fm.point_map(c, jnp.asarray(one.functions), jnp.asarray(other.functions))
        assert 100 * fm.geodesic_errors(found, truth, distances).mean() == pytest.approx(floor, rel=0.15)


def test_directions_with_unlike_sizes(person):
    """A sphere to a finer one, of which the first vertices are its own: n_x != n_y."""
    x, y = (spectrum(laplacian(figures.sphere(times)), 17) for times in (2, 3))
    fine, coarse = figures.sphere(3), figures.sphere(2)
    p2p = np.argmax(fine.vertices @ coarse.vertices.T, axis=1)  # from Y, the finer, to X
    c = fm.of_point_map(p2p, jnp.asarray(x.first(9).functions), jnp.asarray(y.first(16).inverse))
    assert c.shape == (16, 9)
    f = coarse.vertices @ np.array([1.0, 2, 3])  # of the first eigenspace
    there = y.first(16).functions @ (np.asarray(c) @ (x.first(9).inverse @ f))
    np.testing.assert_allclose(there, fine.vertices @ np.array([1.0, 2, 3]), atol=0.1)
    found = np.asarray(fm.point_map(c[:9], jnp.asarray(x.first(9).functions), jnp.asarray(y.first(9).functions)))
    assert found.shape == (642,)
    assert np.mean((coarse.vertices[found] * fine.vertices).sum(axis=1) > np.cos(0.4)) > 0.95


@pytest.mark.slow
def test_zoomout_sharpens(modes, distances):
    x, y = modes
    truth, k0, k = np.arange(len(x.mass)), 8, 40
    small = fm.of_point_map(truth, jnp.asarray(x.first(k0).functions), jnp.asarray(y.first(k0).inverse))
    start = fm.point_map(small, jnp.asarray(x.first(k0).functions), jnp.asarray(y.first(k0).functions))
    big = [jnp.asarray(each) for each in (x.first(k).functions, y.first(k).functions, y.first(k).inverse)]
    found = fm.zoomout(small, *big, step=2)
    errors = [100 * fm.geodesic_errors(each, truth, distances).mean() for each in (start, found.p2p)]
    assert errors[1] < 0.65 * errors[0]
    p2p, c = start, small  # by hand, in matrices that grow
    for size in [*range(k0 + 2, k, 2), k]:
        c = fm.of_point_map(np.asarray(p2p), jnp.asarray(x.first(size).functions), jnp.asarray(y.first(size).inverse))
        moved = x.first(size).functions @ np.asarray(c).T
        p2p = cKDTree(moved).query(y.first(size).functions)[1]
    np.testing.assert_array_equal(found.p2p, p2p)
    np.testing.assert_allclose(found.c_xy, c, atol=1e-10)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: fm.mask(-np.ones(2), np.ones(2)), r"values_x\[0\] = -1 is not allowed"),
        (lambda: fm.correct_keypoints([np.nan]), "errors must be numbers of at least 0"),
        (lambda: fm.solve(A, B[:, :4], D), "the features have 9 and 4 channels"),
        (lambda: fm.solve(A, B, D, -1.0), "strength = -1"),
        (lambda: fm.solve(A, B, D, ridge=np.nan), "ridge = nan"),
        (lambda: fm.soft(FX, FY[:, :3]), "the features have 9 and 3 channels"),
        (lambda: fm.soft(FX, FY, 0.0), "tau = 0, but it must be positive"),
        (lambda: fm.refined(FX, FY, -0.1), "sigma = -0.1"),
        (lambda: fm.refined(FX, FY, sweeps=0), "sweeps = 0"),
        (
            lambda: fm.of_point_map(np.arange(NY) + 3, PHI[0], INVERSE[1]),
            f"goes to vertex {NX}, but X has vertices from 0",
        ),
        (lambda: fm.geodesic_errors([0, -1], [0, 1], np.eye(3)), "goes to vertex -1"),
        (lambda: fm.geodesic_errors([0.0, 1.0], [0, 1], np.eye(3)), "of float64, but whole numbers"),
        (lambda: fm.geodesic_errors([0], [0, 1], np.eye(3)), r"shapes \(1,\) and \(2,\)"),
        (lambda: fm.zoomout(A[:3, :3], PHI[0][:, :5], PHI[1], INVERSE[1], step=0), "C has 3 rows, k = 5 and step = 0"),
        (lambda: fm.correct_keypoints([0.0], 0.0), "most = 0 and count = 40"),
    ],
)
def test_refusals(call, said):
    with pytest.raises(ValueError, match=said):
        call()
