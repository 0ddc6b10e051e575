"""The study of shape correspondence, beyond the contract that every study keeps."""

import equinox as eqx
import jax
import numpy as np
import pytest

from lab import datasets, studies
from lab.shapes import figures
from lab.studies import ShapeCorrespondence, draw

LIGHT = {"train_steps": 16, "units": 8, "blocks": 1, "directions": 8}


@pytest.fixture(scope="module")
def result():
    return ShapeCorrespondence().run()


@pytest.fixture(scope="module")
def learned():
    return ShapeCorrespondence(**LIGHT, refine_steps=2).run()


@pytest.mark.slow
def test_errors_are_lengths_on_x_between_a_vertex_and_where_it_belongs(result):
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import dijkstra

    data = ShapeCorrespondence().load().arrays
    corners = data["x"][data["x_faces"]]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum() / 2
    ends = np.concatenate([data["x_faces"][:, [i, (i + 1) % 3]] for i in range(3)])
    lengths = np.linalg.norm(data["x"][ends[:, 0]] - data["x"][ends[:, 1]], axis=1)
    far = dijkstra(csr_array((lengths, ends.T), shape=(len(data["x"]),) * 2), directed=True)
    off = 100 * far[result.p2p.values, data["truth"]] / np.sqrt(area)
    np.testing.assert_allclose(result.off, off, atol=1e-9)
    assert float(result.error) == pytest.approx(off.mean(), rel=1e-9)
    assert float(result.correct.sel(way="sharpened", threshold=10)) == pytest.approx((off <= 10).mean())
    assert float(result.floor) < float(result.error) < float(result.error_map) < float(result.error_waves)
    assert list(result.zoom_size.values) == list(range(31, 61))
    assert float(result.zoom_error[-1]) == pytest.approx(float(result.error), rel=1e-9)
    # the map of the truth, by the eigenfunctions that the result holds
    assert result.c_best.shape == (30, 30)
    np.testing.assert_allclose(result.values_x[0], 0, atol=1e-6)


@pytest.mark.slow
def test_errors_are_recorded_during_the_training(learned):
    assert learned.attrs["converged"]
    assert learned.frame.shape == (17,)
    assert np.isfinite(learned.film_error).all()
    assert float(learned.film_nearest[-1]) == pytest.approx(
        float(learned.error_nearest), abs=0.3
    )  # float32 and float64
    assert float(learned.error_refined) > 0


@pytest.mark.slow
def test_without_a_truth_there_are_no_errors(result):
    data = ShapeCorrespondence().load()
    arrays = {name: array for name, array in data.arrays.items() if name != "truth"}
    told = ShapeCorrespondence(data=datasets.Data("mine", "Mine", "shapes", arrays, "me", "mine")).run()
    np.testing.assert_array_equal(told.p2p, result.p2p)
    assert not {"error", "off", "floor", "correct", "zoom_error"} & set(told)
    for picture in ShapeCorrespondence.pictures:
        why = picture.applies(told) if picture.along is None else "a sweep"
        assert why or picture(told)
    assert "truth of these data is not known" in ShapeCorrespondence.pictures.errors.applies(told)


@pytest.mark.slow
def test_a_click_marks_a_vertex_and_its_image(result):
    from lab.studies.draw import space
    from lab.studies.shapes.shape_correspondence import pictures

    picture = ShapeCorrespondence.pictures.matched
    with draw.looking(picture.turns):
        placed = space.place(pictures._bodies(result))
        seen = space.seen_from(picture.turns, placed.vertices, placed.places[placed.body])
        for body, size in (("X", result.sizes["v"]), ("Y", result.sizes["w"])):
            ours = np.flatnonzero(placed.body == "XY".index(body))
            front = ours[seen.depth[ours].argmax()]
            chosen = picture.clicked(result, float(seen.x[front]), float(seen.y[front]))["point"]
            where = front - ours[0]
            assert 0 <= chosen < size
            if body == "Y":
                assert chosen == where
            else:
                places = result.x.values
                apart = np.linalg.norm(places[result.p2p.values] - places[where], axis=1)
                assert apart[chosen] == apart.min()
        assert picture.clicked(result, -50.0, 0.0) == {}


@pytest.mark.parametrize(
    ("given", "told"),
    [({"k": 100}, "k = 100 is not allowed with small: it has at most 40"), ({}, "zoom = 60 is not allowed with small")],
)
def test_more_eigenfunctions_than_there_are_are_refused(given, told):
    from lab.shapes import figures

    ball = figures.sphere(1)
    arrays = {"x": ball.vertices, "x_faces": ball.faces, "y": ball.vertices, "y_faces": ball.faces}
    study = ShapeCorrespondence(data=datasets.Data("small", "Small", "shapes", arrays, "me", "mine"), **given)
    with pytest.raises(ValueError, match=told):
        study.check(study.load())


BALL = figures.sphere(2)
EGG = BALL.vertices * [1.0, 1.3, 1.7] + 0.2 * BALL.vertices[:, :1] ** 2
MIXED = np.random.default_rng(5).permutation(len(EGG))
PLACE = np.argsort(MIXED)
PAIR = (EGG, BALL.faces), (1.1 * EGG[MIXED] @ np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, 1]]), PLACE[BALL.faces])
SMALL = {"k": 12, "zoom": 0}


@pytest.mark.slow
def test_features_of_ones_own_are_a_study():
    def heights(on):  # of NumPy alone, and of what no isometry changes
        assert isinstance(on.vertices, np.ndarray)
        return np.stack([on.vertices[:, 2], np.abs(on.functions[:, 1])], axis=1)

    made = studies.correspondence_study("Heights", heights, *PAIR, truth=MIXED, **SMALL)
    assert not {"train_steps", "units", "ot_weight"} & set(made.parameters())
    result = made().run()
    assert float(result.error_nearest) < 1e-9  # both are the same on Y, which is X mirrored and larger
    np.testing.assert_array_equal(made(tau=0.2).run().off_nearest, result.off_nearest)
    assert float(result.error_waves) >= 0
    for picture in made.pictures:
        assert picture.applies(result) or picture(result)
    rough = studies.correspondence_study("Rough", lambda on: on.vertices[:, 2:].round(1), *PAIR, truth=MIXED, **SMALL)
    assert float(rough().run().error_nearest) > 5


@pytest.mark.slow
def test_a_network_of_ones_own_learns_from_several_poses():
    net = eqx.nn.MLP(128, 4, 8, 1, key=jax.random.key(0))

    class Own(eqx.Module):
        inner: eqx.nn.MLP

        def __call__(self, on):
            return jax.vmap(self.inner)(on.descriptors)

    poses = [EGG * [1.0, 1.0 + 0.2 * i, 1.0] for i in (1, 2)]
    of_pair, of_poses = (
        studies.correspondence_study(
            f"Own {len(more)}", Own(net), *PAIR, truth=MIXED, poses=more, directions=8, **SMALL
        )
        for more in ((), poses)
    )
    assert not {"units", "blocks", "gradients"} & set(of_pair.parameters())
    result = of_poses(train_steps=4).run()
    assert np.isfinite(result.film_nearest).all()
    alone = of_pair(train_steps=4).run()
    assert np.abs(result.c - alone.c).max() > 1e-6  # six pairs give another network than one
    # what is told is of the weights as they were learned: not those that were brought, which both began with
    assert np.abs(result.c - of_poses().run().c).max() > 1e-4
    assert np.abs(of_poses().run().c - of_pair().run().c).max() < 1e-12
    assert of_pair().load().arrays.get("poses") is None
    assert of_poses().load().arrays["poses"].shape == (2, 162, 3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("told", "given"),
    [
        ("a row for each vertex", lambda: studies.correspondence_study("Flat", lambda on: on.mass, *PAIR)().run()),
        ("not finite", lambda: studies.correspondence_study("Log", lambda on: on.vertices / 0, *PAIR)().run()),
        ("the function failed", lambda: studies.correspondence_study("Long", lambda on: on.nothing, *PAIR)().run()),
        ("can't be called", lambda: studies.correspondence_study("None", 3)),
        ("has no letters", lambda: studies.correspondence_study("!!", lambda on: on.vertices)),
        ("x and y go together", lambda: studies.correspondence_study("One", lambda on: on.vertices, PAIR[0])),
        ("no such parameter", lambda: studies.correspondence_study("Deep", lambda on: on.vertices, blocks=3)),
    ],
)
def test_features_that_do_not_fit_are_refused(told, given):
    with pytest.raises((ValueError, TypeError), match=told), np.errstate(all="ignore"):
        given()


def test_poses_ship_and_may_be_brought():
    arrays = datasets.load("person-in-poses").arrays
    assert arrays["poses"].shape == (3, *arrays["x"].shape)
    assert len({float(np.ptp(each[:, 2])) for each in arrays["poses"]}) == 3
    bad = dict(arrays, poses=np.zeros_like(arrays["poses"]))
    with pytest.raises(ValueError, match="poses in mine, the one with the number 0"):
        datasets.shapes.from_arrays("mine", bad)
    with pytest.raises(ValueError, match="at most 20 are learned from"):
        datasets.shapes.from_arrays("mine", dict(arrays, poses=np.repeat(arrays["poses"], 7, axis=0)))
