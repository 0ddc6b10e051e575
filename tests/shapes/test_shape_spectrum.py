"""Spectra of surfaces whose spectra are known, and signatures that isometries leave."""

import numpy as np
import pytest
from scipy.stats import ortho_group

from lab.datasets import meshes
from lab.shapes import figures, signatures
from lab.shapes.laplacian import Laplacian, laplacian
from lab.shapes.mesh import mesh, permuted, transformed
from lab.shapes.spectrum import spectrum

K = 40


@pytest.fixture(scope="module")
def person():
    return meshes.body("person", figures.POSE)


@pytest.fixture(scope="module")
def found(person):
    return spectrum(laplacian(person), K)


@pytest.mark.parametrize(("m", "n", "radii"), [(24, 24, (1.0, 1.0)), (30, 22, (1.0, 0.4))])
def test_flat_torus_is_exact(m, n, radii):
    made = spectrum(laplacian(figures.flat_torus(m, n, radii)), 30)
    np.testing.assert_allclose(made.values, figures.flat_torus_values(m, n, radii)[:30], atol=1e-8)
    square = figures.flat_torus_values(24, 24)
    p = 2 * np.cos(2 * np.pi * np.arange(24) / 24)
    formula = np.sort((4 - p[:, None] - p[None, :]).ravel()) / (2 * np.sin(np.pi / 24)) ** 2
    np.testing.assert_allclose(square, formula, atol=1e-10)


def test_sphere_has_l_l_plus_one():
    made = spectrum(laplacian(figures.sphere(3, 2.0)), 17)
    expected = np.concatenate([[degree * (degree + 1)] * (2 * degree + 1) for degree in range(4)]) / 4
    np.testing.assert_allclose(made.values[:16], expected, rtol=0.02, atol=1e-10)
    assert made.values[16] > 4.5  # 20 / 4: none was missed


def test_modes_are_orthonormal_and_solve_the_problem(person, found):
    operator = laplacian(person)
    np.testing.assert_allclose(found.inverse @ found.functions, np.eye(K), atol=1e-10)
    residual = operator.stiffness @ found.functions - operator.mass[:, None] * found.functions * found.values[None, :]
    assert np.abs(residual).max() < 1e-9
    assert found.values[0] < 1e-10
    np.testing.assert_allclose(found.functions[:, 0], 1 / np.sqrt(person.area), rtol=1e-8)
    root = np.sqrt(operator.mass)
    dense = np.linalg.eigvalsh(operator.stiffness.toarray() / root[:, None] / root[None, :])
    np.testing.assert_allclose(found.values, dense[:K], atol=1e-9)
    assert (operator.mass @ found.functions**3 > 0).all()  # the rule of signs


def test_motions_and_orders_leave_all_and_scale_divides(person, found):
    rng = np.random.default_rng(3)
    order = rng.permutation(person.n)
    moved = transformed(permuted(person, order), ortho_group.rvs(3, random_state=1), [1.0, -2, 0.5])
    other = spectrum(laplacian(moved), K)
    np.testing.assert_allclose(other.values, found.values, atol=1e-8)
    np.testing.assert_allclose(other.functions, found.functions[order], atol=1e-6)  # with their signs
    for make in (lambda made: signatures.wave_kernel(made, 64), lambda made: signatures.heat_kernel(made, channels=9)):
        np.testing.assert_allclose(make(other), make(found)[order], rtol=1e-6, atol=1e-8)
    scaled = spectrum(laplacian(transformed(person, 2.5 * np.eye(3))), K)
    np.testing.assert_allclose(scaled.values * 2.5**2, found.values, atol=1e-8)


def test_a_pose_by_isometry_has_the_same_spectrum():
    """A sheet that is rolled: to O(h^2)."""
    one, other = (spectrum(laplacian(figures.sheet(25, 13, turn=turn)), 12).values[1:] for turn in (0.0, 3.0))
    coarse = spectrum(laplacian(figures.sheet(13, 7, turn=3.0)), 12).values[1:]
    flat = spectrum(laplacian(figures.sheet(13, 7)), 12).values[1:]
    errors = np.abs(other / one - 1).max(), np.abs(coarse / flat - 1).max()
    assert errors[0] < 0.004
    assert 3 < errors[1] / errors[0] < 5


def test_wave_kernel_is_the_formula(found):
    """By loops, of all channels."""
    made = signatures.wave_kernel(found, 32)
    logs = np.log(found.values[1:])
    sigma = 7 * (logs[-1] - logs[0]) / 32
    for t, energy in enumerate(np.linspace(logs[0] + 2 * sigma, logs[-1] - 2 * sigma, 32)):
        raw, total = np.zeros(len(found.mass)), 0.0
        for i, log in enumerate(logs):
            weight = np.exp(-((energy - log) ** 2) / (2 * sigma**2))
            raw, total = raw + weight * found.functions[:, i + 1] ** 2, total + weight
        raw /= total
        np.testing.assert_allclose(made[:, t], raw / np.sqrt((found.mass * raw**2).sum()), rtol=1e-10)
    np.testing.assert_allclose(found.mass @ made**2, 1, rtol=1e-12)


def test_heat_kernel_at_its_limits(found):
    late = signatures.heat_kernel(found, [1e6])
    np.testing.assert_allclose(late, 1 / found.mass.sum(), rtol=1e-6)
    times = np.array([0.0, 0.01, 0.1])
    np.testing.assert_allclose(
        found.mass @ signatures.heat_kernel(found, times), np.exp(-found.values[None, :] * times[:, None]).sum(axis=1)
    )  # the trace of the heat kernel


def test_refusals(found):
    operator = laplacian(figures.sphere(0))
    assert len(spectrum(operator, 11).values) == 11
    for k in (0, 12, 40):
        with pytest.raises(ValueError, match=f"k = {k}, but of 12 vertices from 1 to 11"):
            spectrum(operator, k)
    with pytest.raises(ValueError, match="vertex 3 has no mass"):
        spectrum(operator._replace(mass=np.where(np.arange(12) == 3, 0, operator.mass)), 4)
    with pytest.raises(ValueError, match=f"k = 41, but there are {K} eigenfunctions"):
        found.first(41)
    with pytest.raises(ValueError, match="channels = 28, but at least 29"):
        signatures.wave_kernel(found, 28)
    with pytest.raises(ValueError, match="there are 1 eigenvalues above 0"):
        signatures.wave_kernel(found.first(2), 64)
    with pytest.raises(ValueError, match="no eigenvalue above 0"):
        signatures.heat_kernel(found.first(1))
    with pytest.raises(ValueError, match="at least 0"):
        signatures.heat_kernel(found, [-1.0])


def test_parts_are_told():
    ball = figures.sphere(1)
    two = mesh(np.concatenate([ball.vertices, ball.vertices + 5]), np.concatenate([ball.faces, ball.faces + ball.n]))
    with pytest.warns(UserWarning, match="the surface has 2 parts, each with an eigenvalue 0"):
        made = spectrum(laplacian(two), 4)
    np.testing.assert_allclose(made.values[:2], 0, atol=1e-10)
    assert made.values[2] > 1
    assert isinstance(laplacian(two), Laplacian)
