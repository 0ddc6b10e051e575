"""Learning to match: the loss by its parts and by differences, padding, the loop, refining, and the bars of the sheet."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.datasets import meshes
from lab.numerics import Chunked, Reason
from lab.numerics.jit import jit
from lab.ot import sliced
from lab.shapes import correspondence, figures
from lab.shapes import functional_maps as fm
from lab.shapes.correspondence import TERMS, Settings, learn, match, matching, refine
from lab.shapes.diffusion_net import DiffusionNet
from lab.shapes.geodesics import geodesics
from lab.shapes.laplacian import laplacian
from lab.shapes.mesh import mesh, normalised, permuted
from lab.shapes.signatures import wave_kernel
from lab.shapes.spectrum import spectrum
from lab.shapes.surface import Surface, _padded, stacked, surface

K, KD, C = 6, 20, 5


def egg(times, bend=0.2):
    """A ball without a symmetry."""
    ball = figures.sphere(times)
    x, y, z = ball.vertices.T
    radius = 1 + 0.3 * x + bend * x * y + 0.15 * z**2 * y
    return mesh(ball.vertices * radius[:, None] * np.array([[1.3, 1, 0.8]]), ball.faces)


def descriptors(shape):
    x = normalised(shape).vertices
    return np.concatenate([x, x[:, :2] ** 2], axis=1)


@pytest.fixture(scope="module")
def pair():
    """X has 42 vertices and Y has 162."""
    return [surface(shape, KD, descriptors(shape), dtype=np.float64) for shape in (egg(1), egg(2, 0.3))]


@pytest.fixture(scope="module")
def net():
    made = DiffusionNet(jax.random.key(3), C, 7, width=6, blocks=1, gradients=False, dtype=jnp.float64)
    return eqx.tree_at(lambda net: net.blocks[0].times, made, jnp.linspace(0.004, 0.05, 6))


@jit
def of(problem, net):
    return problem.terms(net, jnp.array([0, 1]), jax.random.key(7))


@jit
def slope_of(problem, net, key):
    return eqx.filter_grad(lambda net: problem.terms(net, jnp.array([0, 1]), key)[0])(net)


def made(pair, transport="biSW", refining=False, **settings):
    return matching(pair, None, K, transport, "joint", 32, Settings(**settings), refining)


@pytest.fixture(scope="module")
def both_ways(pair, net):
    return made(pair, isometry=0.01, dirichlet=2.0), of(made(pair, isometry=0.01, dirichlet=2.0), net)


@pytest.mark.slow
def test_terms_are_those_of_their_functions(pair, net, both_ways):
    _, (loss, terms) = both_ways
    x, y = pair
    fx, fy = eqx.filter_jit(lambda net: (net(x), net(y)))(net)
    a, b = x.inverse[:K] @ fx, y.inverse[:K] @ fy
    penalty = fm.mask(x.values[:K], y.values[:K])
    cxy, cyx = fm.solve(a, b, penalty), fm.solve(b, a, penalty.T)
    pxy, pyx = fm.soft(fx, fy), fm.soft(fy, fx)
    assert (pxy.shape, pyx.shape) == ((42, 162), (162, 42))
    np.testing.assert_allclose(terms["bijectivity"], fm.bijectivity(cxy, cyx), rtol=1e-8)
    np.testing.assert_allclose(terms["orthogonality"], fm.orthogonality(cxy, cyx), rtol=1e-8)
    np.testing.assert_allclose(terms["isometry"], fm.isometry(cxy, cyx, x.values[:K], y.values[:K]), rtol=1e-8)
    phi = [(on.functions[:, :K], on.inverse[:K]) for on in pair]
    np.testing.assert_allclose(terms["coupling"], fm.coupling(cxy, cyx, pxy, pyx, *phi), rtol=1e-8)
    theta = sliced.directions(jax.random.split(jax.random.key(7), 3)[2], 32, 7)
    np.testing.assert_allclose(terms["transport"], sliced.bidirectional(fx, fy, pyx @ fx, pxy @ fy, theta), rtol=1e-8)
    energy = [
        np.trace(v.T @ (laplacian(normalised(shape)).stiffness @ v)) / 3
        for v, shape in ((np.asarray(pxy @ y.vertices), egg(1)), (np.asarray(pyx @ x.vertices), egg(2, 0.3)))
    ]
    np.testing.assert_allclose(terms["dirichlet"], sum(energy), rtol=1e-8)
    np.testing.assert_allclose(terms["norm"] ** 2, x.mass @ (np.asarray(fx) ** 2).sum(axis=1), rtol=1e-8)
    weights = dict(zip(TERMS, (1, 1, 0.01, 1, 100, 2), strict=True))
    np.testing.assert_allclose(loss, sum(weights[name] * terms[name] for name in TERMS), rtol=1e-12)


@pytest.mark.slow
def test_slope_of_the_loss_is_that_of_differences(net, both_ways):
    problem, _ = both_ways
    way = jax.tree.map(lambda leaf: jnp.asarray(np.random.default_rng(0).normal(size=leaf.shape)) / 30, net)
    way = eqx.tree_at(lambda net: net.blocks[0].times, way, way.blocks[0].times / 30)
    slope = eqx.filter_jit(eqx.filter_grad(lambda net: problem.terms(net, jnp.array([0, 1]), jax.random.key(7))[0]))(
        net
    )
    along = sum((a * b).sum() for a, b in zip(jax.tree.leaves(slope), jax.tree.leaves(way), strict=True))
    h = 1e-5
    up, down = (of(problem, jax.tree.map(lambda leaf, by, s=s: leaf + s * h * by, net, way))[0] for s in (1, -1))
    assert abs(along) > 0.1
    np.testing.assert_allclose(along, (up - down) / (2 * h), rtol=1e-5)


@pytest.mark.slow
def test_padding_changes_no_term(pair, net):
    """Two surfaces of 42 vertices as they are, and as if they stood in a set with one of 162."""
    one = pair[0]
    twice = [one, eqx.tree_at(lambda s: s.descriptors, one, one.descriptors[:, ::-1])]
    plain = made(twice)
    wide = Surface(*map(jnp.stack, zip(*(_padded(each, 162, 6, 480, np) for each in twice), strict=True)))
    problem = eqx.tree_at(lambda problem: problem.surfaces, made(pair), wide)
    assert (plain.padded, problem.padded) == (False, True)
    (loss, terms), (expected, of_plain) = of(problem, net), of(plain, net)
    np.testing.assert_allclose(loss, expected, rtol=1e-8)
    for name in (*TERMS, "norm"):
        np.testing.assert_allclose(terms[name], of_plain[name], rtol=1e-8, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["none", "uniSW", "biSW", "EBSW", "maxSW"])
def test_kinds_of_transport(pair, net, transport):
    problem = made(pair, transport)
    fx, fy = (jnp.asarray(np.random.default_rng(i).normal(size=(len(on.mass), 7))) for i, on in enumerate(pair))
    pxy, pyx = fm.soft(fx, fy), fm.soft(fy, fx)
    found = problem._sliced(fx, fy, pyx @ fx, pxy @ fy, (None, None), jax.random.key(0))
    wide = [jnp.concatenate([each, 5 + jnp.zeros((3, 7))]) for each in (fx, fy, pyx @ fx, pxy @ fy)]
    masses = [jnp.concatenate([on.mass, jnp.zeros(3)]) for on in pair]
    padded = problem._sliced(*wide, tuple(masses), jax.random.key(0))
    np.testing.assert_allclose(padded, found, rtol=1e-6)  # what is added has no part in it
    theta = sliced.directions(jax.random.key(0), 32, 7)
    match transport:
        case "none":
            expected = 0.0
        case "uniSW":
            expected = np.sqrt(np.mean(sliced.by_direction(fx, pxy @ fy, theta)))
        case "biSW" | "EBSW":
            e = np.asarray(sliced.by_direction(fx, pxy @ fy, theta) + sliced.by_direction(fy, pyx @ fx, theta))
            expected = np.sqrt(np.exp(e) @ e / np.exp(e).sum() if transport == "EBSW" else e.mean())
        case _:
            least = sliced.by_direction(fx, pxy @ fy, theta[:8]).max()
            assert float(found) ** 2 > float(least)
            return
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.slow
def test_an_untrained_network_matches_a_surface_in_another_order(net):
    """Exactly: the features go with the vertices. p2p is from Y to X."""
    order = np.random.default_rng(1).permutation(162)
    x = surface(egg(2), KD, descriptors(egg(2)), dtype=np.float64)
    y = surface(permuted(egg(2), order), KD, descriptors(egg(2))[order], dtype=np.float64)
    found = match(net, x, y, KD)
    np.testing.assert_array_equal(found.nearest, order)
    np.testing.assert_array_equal(found.p2p, order)
    assert found.c_xy.shape == (KD, KD)


def test_directions_of_a_match_of_unlike_sizes(pair, net):
    found = match(net, *pair, K)
    assert (found.p2p.shape, found.nearest.shape) == ((162,), (162,))
    assert int(found.p2p.max()) < 42
    np.testing.assert_array_equal(found.nearest, fm.nearest_features(found.features_x, found.features_y))


# -- the loop ----------------------------------------------------------------------------------------------------------


def run(pair, net, loop=None, **options):
    return learn(jax.random.key(5), pair, net=net, k=K, steps=12, directions=32, loop=loop or Chunked(), **options)


@pytest.fixture(scope="module")
def learned(pair, net):
    return run(pair, net)


@pytest.mark.slow
def test_learning_lowers_the_loss_and_tells_all_terms(learned):
    assert (int(learned.reason), int(learned.iterations)) == (Reason.CONVERGED, 12)
    assert set(learned.trace) == {*TERMS, "norm", "loss"}
    assert all(len(rows) == 12 and np.isfinite(rows).all() for rows in learned.trace.values())
    weights = Settings()
    total = sum(getattr(weights, name) * learned.trace[name] for name in TERMS)
    np.testing.assert_allclose(total, learned.trace["loss"], rtol=1e-12)
    assert learned.trace["loss"][-3:].mean() < learned.trace["loss"][:3].mean()


@pytest.mark.slow
def test_the_first_step_is_adams_with_clipping(pair, net):
    problem = made(pair)
    key = jax.random.fold_in(jax.random.split(jax.random.split(jax.random.key(5))[1])[1], 0)
    slope = slope_of(problem, net, key)
    norm = np.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(slope)))
    assert norm > 1  # it is clipped
    stopped = run(pair, net, Chunked(lambda progress: True))
    assert int(stopped.iterations) == 1
    for before, after, by in zip(*map(jax.tree.leaves, (net, stopped.net, slope)), strict=True):
        by = by / norm
        np.testing.assert_allclose(after, np.asarray(before) - 1e-3 * by / (np.abs(by) + 1e-8), rtol=1e-6, atol=1e-12)


@pytest.mark.slow
def test_a_stop_goes_on_as_if_there_had_been_none(pair, net, learned):
    stopped = run(pair, net, Chunked(lambda progress: progress.iteration >= 4))
    assert int(stopped.reason) == Reason.STOPPED
    rest = run(pair, net, state=stopped.state)
    losses = np.concatenate([stopped.trace["loss"], rest.trace["loss"]])
    np.testing.assert_array_equal(losses, learned.trace["loss"])
    for one, other in zip(jax.tree.leaves(rest.net), jax.tree.leaves(learned.net), strict=True):
        np.testing.assert_array_equal(one, other)


def test_each_round_has_each_pair_once(net):
    """By the step alone, with a loss that tells the pair."""

    class Told(correspondence.Matching):
        def terms(self, net, pair, key):
            return pair[0] * 1.0, dict.fromkeys((*TERMS, "norm"), pair[1] * 1.0)

    small = stacked([surface(egg(1), KD, descriptors(egg(1)), dtype=np.float64)])[0]
    pairs = jnp.array([[0, 1], [2, 3], [4, 5], [6, 7]])
    problem = Told(small, pairs, Settings(), K, 4, "none", "joint", False, False)
    course = correspondence._course(problem, net, None, jax.random.key(0), 12)
    step = eqx.filter_jit(correspondence._step)
    state, seen = correspondence._init(course), []
    for _ in range(12):
        state = step(course, state)
        seen.append(int(state.loss))
        assert int(state.terms["norm"]) == seen[-1] + 1
    rounds = [seen[i : i + 4] for i in (0, 4, 8)]
    assert all(sorted(one) == [0, 2, 4, 6] for one in rounds)
    assert len({tuple(one) for one in rounds}) > 1  # mixed anew


@pytest.mark.slow
def test_a_loss_that_is_not_finite_ends_it(pair, net):
    broken = eqx.tree_at(lambda net: net.last.bias, net, net.last.bias * jnp.nan)
    found = run(pair, broken)
    assert int(found.reason) == Reason.NOT_FINITE
    assert int(found.iterations) == 1
    np.testing.assert_array_equal(found.net.first.weight, net.first.weight)


@pytest.mark.slow
def test_refining_keeps_the_best(pair, net, both_ways):
    found = refine(jax.random.key(1), *pair, net, k=K, steps=6, directions=32, loop=Chunked())
    losses = found.trace["loss"]
    assert len(losses) == 7
    of_soft, x, y = both_ways[1][1], *pair
    for name in ("bijectivity", "norm"):  # of the network that was given
        np.testing.assert_allclose(found.trace[name][0], of_soft[name], rtol=1e-8)
    fx, fy = eqx.filter_jit(lambda net: (net(x), net(y)))(net)
    maps = correspondence.functional_maps(x, y, fx, fy, K)
    phi = [(on.functions[:, :K], on.inverse[:K]) for on in pair]
    np.testing.assert_allclose(found.trace["coupling"][0], fm.coupling(*maps, *fm.refined(fx, fy), *phi), rtol=1e-8)
    assert losses.min() <= losses[0]
    again = refine(jax.random.key(1), *pair, found.net, k=K, steps=1, directions=32, loop=Chunked())
    np.testing.assert_allclose(again.trace["loss"][0], losses.min(), rtol=1e-10)
    bad = refine(
        jax.random.key(1),
        *pair,
        found.net,
        k=K,
        steps=6,
        directions=32,
        loop=Chunked(),
        settings=Settings(rate=10.0, last_rate=10.0),
    )
    np.testing.assert_array_equal(bad.net.first.weight, found.net.first.weight)  # nothing was better


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"k": 0}, "k = 0, but the surfaces have 20 eigenfunctions"),
        ({"k": 21}, "k = 21, but the surfaces have 20"),
        ({"directions": 0}, "directions = 0, but at least 1"),
        ({"steps": 0}, "steps = 0, but at least 1"),
        ({"pairs": [[0, 2]]}, "the pairs name surface 2, but there are 2"),
        ({"pairs": [0, 1]}, r"the pairs have shape \(2,\)"),
        ({"pairs": np.zeros((0, 2), int)}, r"the pairs have shape \(0, 2\)"),
        ({"settings": Settings(tau=0.0)}, "tau = 0, but it must be positive"),
        ({"settings": Settings(transport=-1.0)}, "transport = -1, but it must be at least 0"),
        ({"settings": Settings(dropout=1.0)}, r"dropout = 1, but it must be in \[0, 1\)"),
        ({"settings": Settings(rate=np.nan)}, "rate = nan"),
        ({"transport": "SW"}, "transport = 'SW', but it must be one of 'none', 'uniSW', 'biSW', 'EBSW', 'maxSW'"),
        (
            {"net": DiffusionNet(jax.random.key(0), 9, 7, width=4, blocks=1)},
            "the surfaces have 5 descriptors, but the network takes 9",
        ),
    ],
)
def test_refusals(pair, net, options, said):
    with pytest.raises(ValueError, match=said):
        learn(jax.random.key(0), pair, **{"net": net, "k": K, "steps": 2, **options})


# -- the experiment ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def posed():
    """The person, and in another pose and order: surfaces, truth, distances along edges, the error of the descriptors."""
    x, other = (normalised(meshes.body("person", turns)) for turns in (None, figures.POSE))
    order = np.random.default_rng(0).permutation(x.n)
    shapes = x, permuted(other, order)
    waves = [wave_kernel(spectrum(laplacian(shape), 129).first(128)) for shape in shapes]
    surfaces = [surface(shape, 80, 30 * wave) for shape, wave in zip(shapes, waves, strict=True)]
    distances = geodesics(x, "edges")
    start = fm.nearest_features(*map(jnp.asarray, waves))
    return surfaces, order, distances, 100 * fm.geodesic_errors(start, order, distances).mean()


@pytest.mark.slow
def test_a_pose_is_found_without_labels(posed):
    """In 30 steps at a weight of 10, where 12 after 150 was the bar."""
    surfaces, truth, distances, start = posed
    net = DiffusionNet(jax.random.key(0), 128, 64, width=64, blocks=3, gradients=False)
    found = learn(
        jax.random.key(0),
        surfaces,
        net=net,
        k=30,
        steps=30,
        root="separate",
        directions=32,
        settings=Settings(transport=10.0, last_rate=1e-3),
        loop=Chunked(),
    )
    error = 100 * fm.geodesic_errors(match(found.net, *surfaces, 30).p2p, truth, distances).mean()
    assert error < 12
    assert error < start / 2
