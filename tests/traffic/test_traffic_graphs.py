"""Traffic graphs, their spectra, behaviour and clusters: the invariants of the sheet, on random traffic."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab.traffic import behaviour, clusters, graphs, spectra

T, N = 9, 12


def traffic(seed, spread=8.0):
    """Agents that are near each other, a few of them absent."""
    rng = np.random.default_rng(seed)
    start, speed = rng.uniform(0, spread, (N, 2)), rng.normal(size=(N, 2))
    positions = start + 0.2 * np.arange(T)[:, None, None] * speed
    mask = rng.uniform(size=(T, N)) > 0.2
    return jnp.asarray(positions), jnp.asarray(mask)


def weights(positions, mask, radius=10.0, scale=1.0):
    """The definition, in NumPy, agent by agent."""
    A = np.zeros((*mask.shape, mask.shape[-1]))
    for t, i, j in np.ndindex(A.shape):
        apart = np.linalg.norm(positions[t, i] - positions[t, j])
        if i != j and mask[t, i] and mask[t, j] and apart < radius:
            A[t, i, j] = np.exp(-apart / scale)
    return A


@pytest.fixture(scope="module")
def known():
    """Graphs and spectra of one recording, compiled once."""
    positions, mask = traffic(0)
    A = graphs.adjacency(positions, mask)
    L = graphs.laplacian(A)
    return {"positions": positions, "mask": mask, "A": A, "L": L, "spectrum": spectra.spectrum(L, mask)}


@pytest.mark.slow
def test_weights_are_the_definition(known):
    expected = weights(np.asarray(known["positions"]), np.asarray(known["mask"]))
    np.testing.assert_allclose(known["A"], expected, atol=1e-15)
    other = graphs.adjacency(known["positions"], known["mask"], radius=3.0, scale=2.5)
    np.testing.assert_allclose(other, weights(known["positions"], known["mask"], 3.0, 2.5), atol=1e-15)
    assert ((expected > 0) & (np.asarray(other) == 0)).any()  # the radius cuts something


def test_the_laplacian_is_one(known):
    A, L = np.asarray(known["A"]), np.asarray(known["L"])
    np.testing.assert_array_equal(L, L.swapaxes(1, 2))
    np.testing.assert_allclose(L.sum(axis=2), 0, atol=1e-12)
    assert np.linalg.eigvalsh(L).min() > -1e-10
    np.testing.assert_allclose(np.trace(L, axis1=1, axis2=2), 2 * np.triu(A).sum(axis=(1, 2)), rtol=1e-12)
    np.testing.assert_allclose(graphs.degree(known["A"]), np.diagonal(L, axis1=1, axis2=2), rtol=1e-14)


def test_moved_and_turned_traffic_has_the_same_graph_and_renamed_agents_a_renamed_one(known):
    c, s = np.cos(0.7), np.sin(0.7)
    turned = known["positions"] @ jnp.array([[c, s], [-s, c]]) + jnp.array([500.0, -30.0])[None, None, :]
    np.testing.assert_allclose(graphs.adjacency(turned, known["mask"]), known["A"], rtol=1e-9, atol=1e-13)
    order = np.random.default_rng(1).permutation(N)
    renamed = graphs.adjacency(known["positions"][:, order], known["mask"][:, order])
    np.testing.assert_array_equal(renamed, known["A"][:, order][:, :, order])


def test_who_is_absent_never_counts(known):
    """Not even at (0, 0), where two absent agents would be neighbours of weight 1, or where a position is NaN."""
    away = jnp.where(known["mask"][..., None], known["positions"], jnp.nan)
    A = graphs.adjacency(away, known["mask"])
    np.testing.assert_array_equal(A, known["A"])
    assert (np.asarray(A)[~np.asarray(known["mask"])] == 0).all()
    found, mask = known["spectrum"], np.asarray(known["mask"])
    for t in range(T):
        here = np.flatnonzero(mask[t])
        own = np.linalg.eigvalsh(np.asarray(known["L"])[t][np.ix_(here, here)])
        np.testing.assert_allclose(found.values[t, N - here.size :], own, atol=1e-13)
        assert (np.asarray(found.values)[t, : N - here.size] == 0).all()
        np.testing.assert_allclose(np.asarray(found.vectors)[t, ~mask[t], N - here.size :], 0, atol=1e-12)


def test_nearest_neighbours_are_symmetric(known):
    A = np.asarray(graphs.adjacency(known["positions"], known["mask"], nearest=3, neighbours="nearest"))
    positions, mask = np.asarray(known["positions"]), np.asarray(known["mask"])
    np.testing.assert_array_equal(A, A.swapaxes(1, 2))
    for t in range(T):
        here = np.flatnonzero(mask[t])
        at = positions[t][here]
        apart = np.linalg.norm(at[:, None] - at[None], axis=2) + 1e9 * np.eye(here.size)
        chosen = np.zeros((N, N), bool)
        for i, row in zip(here, apart, strict=True):
            chosen[i, here[np.argsort(row)[:3]]] = True
        np.testing.assert_array_equal(A[t] > 0, chosen | chosen.T)


def test_edges_once_seen_stay_in_a_cumulative_graph(known):
    A, mask = np.asarray(known["A"]), np.asarray(known["mask"])
    for window, first in ((None, np.zeros(T, int)), (3, np.maximum(np.arange(T) - 2, 0))):
        kept = np.asarray(graphs.cumulative(known["A"], known["mask"], window=window))
        for t in range(T):
            expected = A[first[t] : t + 1].max(axis=0) * np.outer(mask[t], mask[t])
            np.testing.assert_array_equal(kept[t], expected)


def test_an_agent_that_comes_is_an_update_of_rank_one_for_each_edge():
    positions, _ = traffic(3)
    A = graphs.adjacency(positions[:1], jnp.ones((1, N), bool))[0]
    before, after = graphs.laplacian(A[:-1, :-1]), graphs.laplacian(A)
    np.testing.assert_allclose(graphs.arrival(before, A[-1, :-1]), after, atol=1e-12)
    L = np.pad(np.asarray(before), (0, 1))
    values = np.linalg.eigvalsh(L)
    for j in np.flatnonzero(np.asarray(A[-1])):
        e = np.zeros(N)
        e[j], e[-1] = 1, -1
        L += float(A[-1, j]) * np.outer(e, e)
        now = np.linalg.eigvalsh(L)
        assert (now >= values - 1e-12).all()
        values = now
    np.testing.assert_allclose(L, after, atol=1e-12)


def test_spectra_are_those_of_numpy(known):
    values, vectors = known["spectrum"]
    np.testing.assert_allclose(values, np.linalg.eigvalsh(np.asarray(known["L"])), atol=1e-10)
    eye = np.broadcast_to(np.eye(N), (T, N, N))
    np.testing.assert_allclose(vectors @ jnp.swapaxes(vectors, 1, 2), eye, atol=1e-10)
    rebuilt = jnp.einsum("tik,tk,tjk->tij", vectors, values, vectors)
    np.testing.assert_allclose(rebuilt, known["L"], atol=1e-12)
    np.testing.assert_allclose(spectra.low_rank_degree(known["spectrum"]), graphs.degree(known["A"]), atol=1e-12)


@pytest.mark.parametrize("k", [1, 4, 7])
def test_the_largest_pairs_miss_at_most_the_largest_dropped_eigenvalue(known, k):
    theta = np.asarray(graphs.degree(known["A"]))
    missing = theta - np.asarray(spectra.low_rank_degree(spectra.largest(known["spectrum"], k)))
    dropped = np.asarray(known["spectrum"].values)[:, N - k - 1]
    assert missing.min() > -1e-12
    assert (missing <= dropped[:, None] + 1e-12).all()
    assert missing.max() > 1e-6  # something was dropped


def test_signs_of_a_solver_do_not_matter(known):
    vectors = spectra.largest(known["spectrum"], 4).vectors
    flips = np.where(np.random.default_rng(5).uniform(size=(T, 1, 4)) < 0.5, -1.0, 1.0)
    for how in ("sign", "procrustes"):
        aligned = spectra.align(vectors, how)
        np.testing.assert_array_equal(spectra.align(vectors * jnp.asarray(flips), how)[0], aligned[0])
        np.testing.assert_allclose(spectra.align(vectors * jnp.asarray(flips), how), aligned, atol=1e-9)
    aligned = np.asarray(spectra.align(vectors))
    along = (aligned[1:] * aligned[:-1]).sum(axis=1)
    assert along.min() > -1e-9
    first = aligned[0]
    assert (first[np.abs(first).argmax(axis=0), np.arange(4)] > 0).all()


def test_procrustes_is_the_nearest_rotation():
    """A rotated basis comes back; no random rotation is nearer."""
    rng = np.random.default_rng(6)
    basis = np.linalg.qr(rng.normal(size=(N, 3)))[0]
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    aligned = np.asarray(spectra.align(jnp.asarray(np.stack([basis, basis @ turn])), "procrustes"))
    np.testing.assert_allclose(aligned[1], aligned[0], atol=1e-12)
    noisy = np.linalg.qr(basis + 0.3 * rng.normal(size=(N, 3)))[0]
    aligned = np.asarray(spectra.align(jnp.asarray(np.stack([basis, noisy])), "procrustes"))
    best = np.linalg.norm(aligned[1] - aligned[0])
    others = [np.linalg.norm(noisy @ np.linalg.qr(rng.normal(size=(3, 3)))[0] - aligned[0]) for _ in range(200)]
    assert best < min(others)


def test_the_bounds_of_perturbed_eigenvectors_hold():
    rng = np.random.default_rng(7)
    positions = rng.uniform(0, 6, (120, 8, 2))
    moved = positions + 1e-3 * rng.normal(size=positions.shape)
    A, B = (graphs.adjacency(jnp.asarray(p), radius=50.0) for p in (positions, moved))
    L, M = np.asarray(graphs.laplacian(A)), np.asarray(graphs.laplacian(B))
    error = np.linalg.norm(M - L, 2, axis=(1, 2))
    bound = np.asarray(spectra.error_bound(B - A))
    assert (error <= bound + 1e-15).all()
    assert (bound < 8 * error).all()
    (values, U), V = np.linalg.eigh(L), np.linalg.eigh(M)[1]
    gap = np.minimum(np.diff(values, prepend=-np.inf), np.diff(values, append=np.inf))
    found = spectra.bounds(jnp.asarray(values), jnp.asarray(error)[:, None])
    np.testing.assert_allclose(found.sine, 2 * error[:, None] / gap, rtol=1e-9)
    np.testing.assert_allclose(found.distance, 2**1.5 * error[:, None] / gap, rtol=1e-9)
    cosine = np.abs((U * V).sum(axis=1))
    sine = np.sqrt(np.maximum(1 - cosine**2, 0))
    assert (sine <= np.asarray(found.sine) + 1e-7).all()
    assert (np.sqrt(np.maximum(2 - 2 * cosine, 0)) <= np.asarray(found.distance) + 1e-7).all()
    assert (sine / np.asarray(found.sine))[np.asarray(found.sine) < 1].max() > 0.1  # it is no empty bound


def test_a_tilted_laplacian_has_the_parts_of_the_graph_for_null_vectors():
    parts = np.array([2, 0, 1, 1, 0, 2, 2, 0, 1, 0, 2, 1])
    positions = 100.0 * parts[:, None] + np.random.default_rng(13).uniform(0, 3, (N, 2))
    L = graphs.laplacian(graphs.adjacency(jnp.asarray(positions)))
    rows = np.abs(np.asarray(spectra.embedding(spectra.spectrum(spectra.tilted(L)), 3)))
    order = np.argsort([np.exp(np.flatnonzero(parts == part) / N).mean() for part in range(3)])
    expected = (parts[:, None] == order[None]) / 2.0  # parts of four agents
    np.testing.assert_allclose(rows, expected, atol=1e-3)


# -- behaviour -----------------------------------------------------------------------------------------------------


def test_a_rate_is_the_mean_of_differences():
    theta = np.random.default_rng(8).uniform(size=(T, N))
    mean = (np.diff(theta, axis=0) / 0.5).mean(axis=0)
    np.testing.assert_allclose(behaviour.rate(jnp.asarray(theta), 0.5), mean, atol=1e-12)


def test_who_keeps_its_neighbours_is_neutral():
    positions, _ = traffic(9)
    together = positions[:1] + 7.0 * jnp.arange(T)[:, None, None]
    rates = behaviour.rate(graphs.degree(graphs.adjacency(together)), 0.5)
    np.testing.assert_array_equal(behaviour.label(rates, 1e-9), 0)


def test_labels_and_what_is_counted_of_them():
    np.testing.assert_array_equal(behaviour.label(jnp.array([-2.0, -0.5, 0.0, 0.5, 2.0]), 1.0), [-1, 0, 0, 0, 1])
    truth, told = jnp.array([-1, -1, 0, 0, 0, 1, 1]), jnp.array([-1, 0, 0, 0, 1, 1, 1])
    counts = behaviour.confusion(truth, told)
    np.testing.assert_array_equal(counts, [[1, 1, 0], [0, 2, 1], [0, 0, 2]])
    np.testing.assert_allclose(behaviour.recall(counts), [1 / 2, 2 / 3, 1])
    assert float(behaviour.weighted_accuracy(counts)) == pytest.approx(5 / 7)
    assert float(behaviour.weighted_accuracy(counts)) == pytest.approx(float((truth == told).mean()))
    assert float(behaviour.macro_recall(counts)) == pytest.approx((1 / 2 + 2 / 3 + 1) / 3)
    there = jnp.array([True] * 5 + [False] * 2)
    np.testing.assert_array_equal(behaviour.confusion(truth, told, there)[2], 0)
    assert float(behaviour.macro_recall(behaviour.confusion(truth, told, there))) == pytest.approx((1 / 2 + 2 / 3) / 2)


# -- clusters ------------------------------------------------------------------------------------------------------


def test_two_far_groups_are_found():
    rng = np.random.default_rng(10)
    group = rng.permutation(N) % 2
    positions = np.array([[0.0, 0.0], [60.0, 0.0]])[group] + rng.uniform(0, 4, (N, 2))
    mask = np.ones(N, bool)
    mask[3] = False
    A = graphs.adjacency(jnp.asarray(positions), jnp.asarray(mask))
    found = spectra.spectrum(graphs.laplacian(A), jnp.asarray(mask))
    embedded = spectra.embedding(found, 2, jnp.asarray(mask))
    labels = np.asarray(clusters.kmeans(embedded, 2, jnp.asarray(mask)).labels)
    agree = (labels == group)[mask]
    assert agree.all() or not agree.any()
    mean = clusters.centres(jnp.asarray(positions), jnp.asarray(labels), 2, jnp.asarray(mask))
    for i in np.flatnonzero(mask):
        np.testing.assert_allclose(mean[i], positions[mask & (group == group[i])].mean(axis=0), atol=1e-12)


def lloyd(points, centres, steps):
    for _ in range(steps):
        labels = ((points[:, None] - centres[None]) ** 2).sum(axis=2).argmin(axis=1)
        centres = np.array([points[labels == c].mean(axis=0) if (labels == c).any() else centres[c] for c in range(3)])
    return labels, centres


def test_clusters_do_not_hang_on_rounding_errors():
    """Agents that are alone are unit vectors of the embedding, all others are 0: every distance is a tie."""
    rng, rows = np.random.default_rng(12), np.zeros((N, 3))
    rows[[1, 3, 4], [0, 1, 2]] = 1.0
    told = [
        np.asarray(clusters.kmeans(jnp.asarray(rows + 1e-11 * rng.normal(size=rows.shape)), 3).labels) for _ in range(5)
    ]
    assert (told == told[0]).all()
    assert len({int(told[0][i]) for i in (1, 3, 4)}) == 3


def test_kmeans_is_lloyds_algorithm_from_far_points():
    points = np.random.default_rng(11).normal(size=(N, 2))
    seeds = [points[np.linalg.norm(points - points.mean(axis=0), axis=1).argmax()]]
    while len(seeds) < 3:
        seeds.append(points[np.min([np.linalg.norm(points - s, axis=1) for s in seeds], axis=0).argmax()])
    expected = lloyd(points, np.array(seeds), 10)[1]
    found = clusters.kmeans(jnp.asarray(points), 3)
    np.testing.assert_allclose(found.centres, expected, atol=1e-12)
    same = clusters.kmeans(jnp.ones((N, 2)), 3)  # two clusters are empty, and keep their centre
    np.testing.assert_array_equal(same.centres, 1)


# -- what is not allowed -------------------------------------------------------------------------------------------

ONE = jnp.zeros((1, 3, 2))


@pytest.mark.parametrize(
    ("sentence", "asked"),
    [
        ("radius = 0.0 m is not allowed", lambda: graphs.adjacency(ONE, radius=0.0)),
        ("scale = -1.0 m is not allowed", lambda: graphs.adjacency(ONE, scale=-1.0)),
        ("nearest = 0 is not allowed", lambda: graphs.adjacency(ONE, nearest=0, neighbours="nearest")),
        (r"position at \(0, 1\) is not finite", lambda: graphs.adjacency(ONE.at[0, 1, 0].set(jnp.nan))),
        ("neighbours = 'far'", lambda: graphs.adjacency(ONE, neighbours="far")),
        ("window = 0 frames", lambda: graphs.cumulative(jnp.zeros((2, 3, 3)), window=0)),
        ("k = 4 eigenpairs", lambda: spectra.largest(spectra.spectrum(jnp.zeros((3, 3))), 4)),
        ("k = 4 clusters of 3 points", lambda: clusters.kmeans(jnp.zeros((3, 2)), 4)),
        ("threshold = -1.0 per s", lambda: behaviour.label(jnp.zeros(3), -1.0)),
        ("at least 2 frames, but there is 1", lambda: behaviour.rate(jnp.zeros((1, 3)), 0.1)),
        (r"positions has shape \(2, 3\)", lambda: graphs.adjacency(jnp.zeros((2, 3)))),
        (r"mask has shape \(1, 2\)", lambda: graphs.adjacency(ONE, jnp.ones((1, 2), bool))),
        ("dt = -0.1 s is not allowed", lambda: behaviour.rate(jnp.zeros((2, 3)), -0.1)),
    ],
)
def test_what_is_not_allowed_gets_a_sentence(sentence, asked):
    with pytest.raises(ValueError, match=sentence):
        asked()


def test_lists_are_arrays_and_the_derivative_does_not_meet_who_is_absent():
    found = graphs.adjacency([[0, 0], [3, 4]], [True, True], scale=5)
    np.testing.assert_allclose(found, np.exp(-1) * (1 - np.eye(2)), rtol=1e-12)
    hidden = jnp.array([[0.0, 0.0], [3.0, 4.0], [jnp.nan, 0.0]])
    mask = jnp.array([True, True, False])
    slope = jax.grad(lambda x: graphs.adjacency(x, mask, scale=5.0).sum())(hidden)
    np.testing.assert_allclose(slope[1], -2 * np.exp(-1) / 5 * np.array([0.6, 0.8]), rtol=1e-12)
    assert np.isfinite(slope).all()


def test_one_agent_is_neutral_and_alone():
    positions = jnp.asarray(np.random.default_rng(12).uniform(size=(T, 1, 2)))
    A = graphs.adjacency(positions)
    np.testing.assert_array_equal(graphs.laplacian(A), 0)
    np.testing.assert_array_equal(behaviour.label(behaviour.rate(graphs.degree(A), 0.1), 1e-4), 0)
    assert jax.tree.map(jnp.shape, clusters.kmeans(jnp.zeros((1, 1)), 1)) == ((1,), (1, 1))
