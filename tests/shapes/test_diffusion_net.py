"""DiffusionNet: its slopes, its heat, and what it must not see: the order of vertices, motions, frames."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm
from scipy.stats import ortho_group

from lab.shapes import figures
from lab.shapes.diffusion_net import DiffusionNet, diffuse, slope_features
from lab.shapes.laplacian import laplacian
from lab.shapes.mesh import mesh, normalised, permuted, transformed
from lab.shapes.surface import stacked, surface, tangent_frames, tangent_slopes

RNG = np.random.default_rng(1)
K, C, WIDTH = 41, 5, 6


def egg():
    """42 vertices without a symmetry."""
    ball = figures.sphere(1)
    x, y, z = ball.vertices.T
    return mesh(
        ball.vertices * (1 + 0.3 * x + 0.2 * x * y + 0.15 * z**2 * y)[:, None] * np.array([[1.3, 1, 0.8]]), ball.faces
    )


GIVEN = RNG.normal(size=(42, C))


@pytest.fixture(scope="module")
def on():
    return surface(egg(), K, GIVEN, dtype=np.float64)


@pytest.fixture(scope="module")
def nets():
    """With and without slopes; diffusing for times that show."""

    def made(gradients):
        net = DiffusionNet(jax.random.key(0), C, 4, width=WIDTH, blocks=2, gradients=gradients, dtype=jnp.float64)
        times = [jnp.linspace(0.01, 0.1, WIDTH)] * 2
        return eqx.tree_at(lambda net: [block.times for block in net.blocks], net, times)

    return made(True), made(False)


@pytest.fixture(scope="module")
def features(on, nets):
    compiled = eqx.filter_jit(lambda net, on: net(on))
    return [compiled(net, on) for net in nets], compiled


def test_slopes_of_a_linear_function_on_a_plane():
    turn = ortho_group.rvs(3, random_state=0)
    flat = figures.sheet(6, 5)
    shape = transformed(flat, turn)
    neighbours, slopes = tangent_slopes(shape)
    slope = np.array([2.0, -1.0, 0.0]) @ turn.T
    f = shape.vertices @ slope
    found = np.einsum("nm,nmi->ni", f[neighbours] - f[:, None], slopes)
    first, second = tangent_frames(shape)
    np.testing.assert_allclose(found[:, :1] * first + found[:, 1:] * second, np.tile(slope, (30, 1)), atol=1e-3)
    corners = shape.vertices[shape.faces[0]]
    normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
    assert (np.cross(first, second) @ normal > 0).all()


def test_slopes_on_a_sphere():
    ball = figures.sphere(3)
    neighbours, slopes = tangent_slopes(ball)
    z = ball.vertices[:, 2]
    found = np.linalg.norm(np.einsum("nm,nmi->ni", z[neighbours] - z[:, None], slopes), axis=1)
    np.testing.assert_allclose(found, np.sqrt(1 - z**2), atol=0.03)


def test_features_of_slopes_need_no_frame_but_see_a_mirror(on):
    f, real, imaginary = (
        jnp.asarray(RNG.normal(size=shape)) for shape in ((42, WIDTH), (WIDTH, WIDTH), (WIDTH, WIDTH))
    )
    compiled = jax.jit(slope_features)
    before = compiled(f, on, real, imaginary)
    angle = RNG.uniform(0, 2 * np.pi, 42)
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], axis=1).reshape(42, 2, 2)
    turned = eqx.tree_at(lambda s: s.slopes, on, jnp.einsum("nij,nmj->nmi", turn, on.slopes))
    np.testing.assert_allclose(compiled(f, turned, real, imaginary), before, atol=1e-12)
    mirrored = eqx.tree_at(lambda s: s.slopes, on, on.slopes * jnp.array([1.0, -1])[None, None])
    np.testing.assert_allclose(compiled(f, mirrored, real, -imaginary), before, atol=1e-12)
    assert float(jnp.abs(compiled(f, mirrored, real, imaginary) - before).max()) > 0.1
    steps = np.asarray(f)[np.asarray(on.neighbours)] - np.asarray(f)[:, None]
    g = np.einsum("nmw,nmi->nwi", steps, on.slopes) @ np.array([1, 1j])
    by_hand = np.tanh((g.conj() * (g @ (np.asarray(real) + 1j * np.asarray(imaginary)).T)).real)
    np.testing.assert_allclose(before, by_hand, atol=1e-12)


def test_diffusion_is_the_heat_equation(on):
    operator = laplacian(normalised(egg()))
    f = RNG.normal(size=(42, 2))
    f = np.asarray(on.functions @ (on.inverse @ jnp.asarray(f)))  # the last of 42 eigenfunctions is not there
    times = np.array([0.003, 0.05])
    heat = np.stack(
        [expm(-t * operator.stiffness.toarray() / operator.mass[:, None]) @ f[:, i] for i, t in enumerate(times)], 1
    )
    np.testing.assert_allclose(diffuse(jnp.asarray(f), on, jnp.asarray(times)), heat, atol=1e-10)
    mean = diffuse(jnp.asarray(f), on, jnp.array([1e3, 1e3]))
    np.testing.assert_allclose(mean, np.tile(operator.mass @ f, (42, 1)), atol=1e-9)


def test_order_and_motions_are_not_seen(nets, features):
    (one, other), compiled = features
    order = RNG.permutation(42)
    turn = ortho_group.rvs(3, random_state=2)
    turn = turn * np.sign(np.linalg.det(turn))
    moved = surface(transformed(permuted(egg(), order), 2 * turn, [1.0, 2, 3]), K, GIVEN[order], dtype=np.float64)
    for net, before in zip(nets, (one, other), strict=True):
        np.testing.assert_allclose(compiled(net, moved), before[order], atol=1e-8)


def test_a_mirror_is_seen_by_slopes_alone(nets, features):
    (one, other), compiled = features
    mirrored = surface(transformed(egg(), np.diag([-1.0, 1, 1])), K, GIVEN, dtype=np.float64)
    np.testing.assert_allclose(compiled(nets[1], mirrored), other, atol=1e-8)
    assert float(jnp.abs(compiled(nets[0], mirrored) - one).max()) > 1e-3


def test_times_learn_from_where_they_start(on):
    net = DiffusionNet(jax.random.key(0), C, 4, width=WIDTH, blocks=2, dtype=jnp.float64)
    assert all((block.times == 1e-8).all() for block in net.blocks)
    slope = eqx.filter_jit(eqx.filter_grad(lambda net: (net(on) ** 2).sum()))(net)
    assert all((jnp.abs(block.times) > 0).all() for block in slope.blocks)
    below = eqx.tree_at(lambda net: net.blocks[0].times, net, jnp.full(WIDTH, -1.0)).clamped()
    assert (below.blocks[0].times == 1e-8).all()


def test_dropout_keeps_the_mean(on, nets):
    """Of one hidden layer by hand: what is kept is divided by its share."""
    from lab.shapes.diffusion_net import _dropped

    x = jnp.ones((400, 50))
    found = np.asarray(_dropped(x, 0.3, jax.random.key(0)))
    assert set(np.unique(found).round(12)) == {0.0, round(1 / 0.7, 12)}
    assert abs(found.mean() - 1) < 0.02
    run = eqx.filter_jit(lambda net, key: net(on, 0.5, key))
    one, other = (run(nets[0], jax.random.key(seed)) for seed in (0, 1))
    assert float(jnp.abs(one - other).max()) > 1e-3


def test_padding_changes_nothing(on, nets, features):
    (one, _), compiled = features
    larger = surface(figures.sphere(2), K, RNG.normal(size=(162, C)), dtype=np.float64)
    both, padded = stacked([on, larger])
    assert padded
    assert not stacked([on, on])[1]
    found = compiled(nets[0], jax.tree.map(lambda leaf: leaf[0], both))
    np.testing.assert_allclose(found[:42], one, atol=1e-10)
    assert np.isfinite(np.asarray(found)).all()
    np.testing.assert_array_equal(both.mass[0, 42:], 0)


def test_refusals(on):
    with pytest.raises(ValueError, match="width = 0, but at least 1"):
        DiffusionNet(jax.random.key(0), width=0)
    with pytest.raises(ValueError, match=r"the descriptors have shape \(3, 2\), but finite ones \(42, c\)"):
        surface(egg(), K, np.zeros((3, 2)))
    with pytest.raises(ValueError, match="4 coordinates, but normals are of surfaces in space"):
        tangent_slopes(figures.flat_torus(4, 4))
    with pytest.raises(ValueError, match="as many eigenfunctions and descriptors"):
        stacked([on, surface(egg(), 20, GIVEN, dtype=np.float64)])
    with pytest.raises(ValueError, match="at least one surface"):
        stacked([])
