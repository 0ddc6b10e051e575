"""Surfaces in space: the camera, what hides what, colours, the vertex under a click, and print."""

import io
from typing import Any

import holoviews as hv
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import find_objects, label
from sketched import SKETCH, TwoShapes, bodies_of, sketch_in_catalogues  # noqa: F401

from lab import figures
from lab.cli import main
from lab.studies import Picture, draw
from lab.studies.draw import look, space

CAMERAS = ((0.0, 0.0), (30.0, 25.0), (-117.0, -63.0), (211.0, 89.0))
WINDOW = (-1.0, -1.0, 1.0, 1.0)
rng = np.random.default_rng(11)


@pytest.fixture(scope="module")
def result():
    return TwoShapes().run()


@pytest.fixture(scope="module")
def bodies(result):
    return bodies_of(result)


def soup(count: int, seed: int = 3) -> space.Body:
    """Triangles anywhere, which cut one another."""
    draws = np.random.default_rng(seed)
    return space.Body(draws.normal(size=(3 * count, 3)), np.arange(3 * count).reshape(-1, 3))


def layers_of(picture: hv.Overlay, kind: type) -> list:
    return [layer for layer in picture if type(layer) is kind]


@pytest.mark.parametrize("camera", CAMERAS)
def test_the_camera_is_a_rotation_that_agrees_with_matplotlibs(camera):
    axes = space.axes_of(camera)
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-15)
    assert np.linalg.det(axes) == pytest.approx(1, abs=1e-14)
    from matplotlib.figure import Figure
    from mpl_toolkits.mplot3d import Axes3D, proj3d

    other = Figure().add_subplot(projection="3d")
    assert isinstance(other, Axes3D)
    other.set_proj_type("ortho")
    other.set_box_aspect((1, 1, 1))
    other.set(xlim=(-1, 1), ylim=(-1, 1), zlim=(-1, 1))
    other.view_init(elev=camera[1], azim=camera[0])
    points = rng.uniform(-1, 1, (40, 3))
    x, y, z = proj3d.proj_transform(points[:, 0], points[:, 1], points[:, 2], other.get_proj())
    seen = space.seen_from(camera, points, np.zeros((40, 2)))
    scale = np.ptp(x) / np.ptp(seen.x)
    np.testing.assert_allclose(x - x.mean(), scale * (seen.x - seen.x.mean()), atol=1e-12)
    np.testing.assert_allclose(y - y.mean(), scale * (seen.y - seen.y.mean()), atol=1e-12)
    assert list(np.argsort(z)) in (list(np.argsort(-seen.depth)), list(np.argsort(seen.depth)))
    eye = space.seen_from((0.0, 0.0), np.eye(3), np.zeros((3, 2)))
    np.testing.assert_allclose(eye, [[0, 1, 0], [0, 0, 1], [1, 0, 0]], atol=1e-15)  # which of the two orders it is


def brute_force(placed: space.Placed, colours: np.ndarray, camera: space.Camera, side: int) -> np.ndarray:
    """Each sample by itself: its barycentric coordinates in every face, by a linear solver, and the nearest face."""
    points = placed.vertices @ space.axes_of(camera).T
    light = space.shades(placed, camera)
    out = np.zeros((side, side, 4))
    for row in range(side):
        for column in range(side):
            at = [(column + 0.5) * 2 / side - 1, (row + 0.5) * 2 / side - 1, 1]
            best = -np.inf
            for number, face in enumerate(placed.faces):
                share = np.linalg.solve(np.vstack([points[face, :2].T, np.ones(3)]), at)
                depth = share @ points[face, 2]
                if (share >= 0).all() and depth > best:
                    best = depth
                    out[row, column, :3] = share @ (colours[face] * light[number][:, None])
                    out[row, column, 3] = 255
    return out


@pytest.mark.parametrize("camera", CAMERAS[1:3])
def test_each_sample_shows_the_face_nearest_to_the_eye(camera):
    placed = space.place({"soup": soup(16)})
    colours = rng.integers(0, 256, (len(placed.vertices), 3)).astype(np.uint8)
    exact = brute_force(placed, colours, camera, 24)
    assert 0.15 < (exact[..., 3] > 0).mean() < 0.95
    np.testing.assert_allclose(space.rasterise(placed, colours, camera, WINDOW, (24, 24), 1), exact, atol=0.5 + 1e-9)
    blocks = exact.reshape(12, 2, 12, 2, 4)
    cover = (blocks[..., 3] > 0).sum(axis=(1, 3))
    means = blocks[..., :3].sum(axis=(1, 3)) / np.maximum(cover, 1)[:, :, None]
    fine = space.rasterise(placed, colours, camera, WINDOW, (12, 12), 2)
    np.testing.assert_allclose(fine[..., :3], means, atol=0.5 + 1e-9)
    np.testing.assert_allclose(fine[..., 3], 255 * cover / 4, atol=0.5)


def test_bands_of_rows_and_a_part_of_the_picture_are_the_same_picture(monkeypatch):
    placed = space.place({"soup": soup(30)})
    colours = rng.integers(0, 256, (len(placed.vertices), 3)).astype(np.uint8)
    whole = space.rasterise(placed, colours, CAMERAS[1], WINDOW, (64, 64))
    monkeypatch.setattr(space, "_BAND", 1000)
    np.testing.assert_array_equal(space.rasterise(placed, colours, CAMERAS[1], WINDOW, (64, 64)), whole)
    corner = space.rasterise(placed, colours, CAMERAS[1], (0.0, -1.0, 1.0, 0.0), (32, 32))
    np.testing.assert_allclose(corner.astype(int), whole[:32, 32:], atol=1)


def test_faces_side_by_side_leave_no_hole_and_no_sample_twice(bodies):
    placed = space.place({"sphere": bodies["sphere"]})
    for camera in CAMERAS:
        cover = space.rasterise(placed, np.full((len(placed.vertices), 3), 255, np.uint8), camera, WINDOW, (90, 90), 1)
        x, y = np.meshgrid(*(2 * [(np.arange(90) + 0.5) / 45 - 1]))
        assert (cover[..., 3][np.hypot(x, y) < 0.97] == 255).all()
        assert (cover[..., 3][np.hypot(x, y) > 1.0] == 0).all()


def test_a_mark_is_hidden_where_a_surface_is_before_it(bodies):
    around = rng.normal(size=(60, 3))
    around /= np.linalg.norm(around, axis=1, keepdims=True)
    for camera in CAMERAS:
        depth = around @ space.axes_of(camera)[2]
        marks = around[np.abs(depth) > 0.15]
        placed = space.place({"sphere": bodies["sphere"]._replace(marks=marks)})
        seen, behind = space.hidden(placed, camera)
        np.testing.assert_array_equal(behind, seen.depth < 0)
    inside = bodies["sphere"]._replace(marks=[[0.0, 0.0, 0.0]])
    assert space.hidden(space.place({"sphere": inside}), CAMERAS[1])[1].all()


def test_light_is_full_where_the_surface_faces_it_and_the_same_for_either_orientation():
    towards = np.array(space.LIGHT)
    side = np.cross(towards, [0, 0, 1.0])
    plane = np.stack([side, np.cross(towards, side), -side - np.cross(towards, side)])
    for order in ([0, 1, 2], [0, 2, 1]):
        for camera in CAMERAS:
            turned = plane @ space.axes_of(camera)  # so that the camera sees ``plane``
            placed = space.place({"face": space.Body(turned, np.array([order]))})
            length = np.linalg.norm(towards)
            expected = space.AMBIENT + (1 - space.AMBIENT) * (0.5 + 0.5 * length)
            np.testing.assert_allclose(space.shades(placed, camera), expected, atol=1e-12)
    edge = np.array([[0, 0, 0], [-1.0, 0.8, 0], [0, 0, -1]])  # its normal is (0.8, 1, 0), up to the length
    normal = np.array([0.8, 1.0, 0.0]) / np.hypot(0.8, 1)
    tilted = edge + 0.2 * np.array([[0, 0, 0], [0, 0, 0], normal])  # and now faces the eye a little
    placed = space.place({"face": space.Body(tilted @ space.axes_of((0.0, 0.0)), np.array([[0, 1, 2]]))})
    across = np.cross(tilted[1] - tilted[0], tilted[2] - tilted[0])
    across *= np.sign(across[2]) / np.linalg.norm(across)
    expected = space.AMBIENT + (1 - space.AMBIENT) * (0.5 + 0.5 * across @ towards)
    np.testing.assert_allclose(space.shades(placed, (0.0, 0.0)), expected, atol=1e-12)


@pytest.mark.slow
def test_colours_follow_one_scale_and_what_is_not_finite_is_pale(bodies):
    vertices, faces = bodies["sphere"].vertices, bodies["sphere"].faces
    n = len(vertices)
    ramp = np.linspace(-1, 3, n)
    ramp[5] = np.nan
    own = rng.uniform(size=(n, 3))
    told = {"field": (ramp, False), "signed": (ramp, True)}
    pale = space_colours(look.blend(look.MUTED, 0.3))
    for values, signed in told.values():
        shown = {"a": draw.Body(vertices, faces, values), "b": draw.Body(vertices, faces, np.full(n, 1.0))}
        with draw.theme("light", backend="bokeh"):
            picture = draw.surfaces({**shown, "c": draw.Body(vertices, faces, own)}, signed=signed)
        image, pixels = layers_of(picture, hv.Image)[0], layers_of(picture, hv.RGB)[0]
        palette, clim = (
            hv.Store.lookup_options("bokeh", image, kind).kwargs[name]
            for kind, name in (("style", "cmap"), ("plot", "clim"))
        )
        assert clim == ((-3, 3) if signed else (-1, 3))
        colours = pixels.cdims[draw.SCENE]["colours"]
        place = np.round((ramp - clim[0]) / (clim[1] - clim[0]) * (len(palette) - 1))
        for vertex in (0, 1, n // 2, n - 1):
            np.testing.assert_array_equal(colours[vertex], space_colours(palette[int(place[vertex])]))
        np.testing.assert_array_equal(colours[5], pale)
        one = round((1 - clim[0]) / (clim[1] - clim[0]) * (len(palette) - 1))
        np.testing.assert_array_equal(colours[n], space_colours(palette[one]))
        np.testing.assert_allclose(colours[2 * n :], 255 * own, atol=0.5)
    with draw.theme("dark"):
        plain = draw.surfaces({"a": draw.Body(vertices, faces)})
    assert not layers_of(plain, hv.Image)  # no field, no bar


def space_colours(tint: str) -> list[int]:
    return [int(tint[i : i + 2], 16) for i in (1, 3, 5)]


@pytest.mark.slow
@pytest.mark.parametrize("camera", CAMERAS[:3])
def test_a_click_finds_the_vertex_that_is_seen_there(bodies, camera):
    placed = space.place(bodies)
    points = space.seen_from(camera, placed.vertices, placed.places[placed.body])
    marked = placed._replace(marks=placed.vertices, marked=placed.body)
    n = len(bodies["sphere"].vertices)
    poles = np.abs(np.abs(placed.vertices[:, 2]) - 1) < 1e-9  # many vertices at one place
    facing = placed.normals @ space.axes_of(camera)[2] > 0.3
    chosen = rng.permutation(np.flatnonzero(~space.hidden(marked, camera)[1] & facing & ~poles))[:60]
    assert {*placed.body[chosen]} == {0, 1}
    with draw.looking(camera):
        for vertex in chosen:
            x, y = float(points.x[vertex]), float(points.y[vertex])
            hit = draw.vertex_at(bodies, x + 0.003, y - 0.003)
            assert hit == (("sphere", "torus")[placed.body[vertex]], vertex % n)
        assert draw.vertex_at(bodies, -2.0, 0.0) is None
    with draw.looking((0.0, 90.0)):
        assert draw.vertex_at(bodies, 2 + space.GAP, 0.0) is None  # the hole of the torus


def test_the_study_says_what_a_click_sets(result, bodies):
    picture = TwoShapes.pictures.shapes
    placed = space.place(bodies)
    for camera in ((30.0, 25.0), (200.0, -10.0)):
        points = space.seen_from(camera, placed.vertices, placed.places[placed.body])
        vertex = int(np.argmax(points.depth[: len(bodies["sphere"].vertices)]))
        assert picture.clicked(result, points.x[vertex], points.y[vertex], camera) == {"point": vertex}
    assert picture.clicked(result, 0.0, 9.0) == {}


BAD = {
    "no bodies": (lambda b: {}, "there are no bodies to draw: give at least one"),
    "flat": (
        lambda b: {"a": b._replace(vertices=np.zeros((4, 2)))},
        r"the vertices of a must be .* \(n, 3\), not of \(4, 2\)",
    ),
    "infinite": (lambda b: {"a": b._replace(vertices=np.full((576, 3), np.inf))}, "must be finite numbers"),
    "square": (
        lambda b: {"a": b._replace(faces=np.zeros((5, 4), int))},
        r"the faces of a must be whole numbers of shape",
    ),
    "real faces": (
        lambda b: {"a": b._replace(faces=np.asarray(b.faces, float))},
        "whole numbers of shape .* not float64",
    ),
    "beyond": (lambda b: {"a": b._replace(faces=np.asarray(b.faces) + 1)}, "the faces of a name the vertices 1 to 576"),
    "values": (lambda b: {"a": b._replace(values=np.zeros(3))}, r"the values of a must be of shape \(576,\), a field"),
    "marks": (
        lambda b: {"a": b._replace(marks=[-1])},
        "the marks of a name the vertices -1 to -1, and there are 0 to 575",
    ),
    "places": (lambda b: {"a": b._replace(marks=[[0.5, 0.5]])}, "the marks of a must be numbers of vertices or places"),
    "tints": (lambda b: {"a": b._replace(tints=["#000000", "#ffffff"])}, "there are 1 marks and 2 colours"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_surface_is_refused_in_a_sentence(bodies, name):
    made, sentence = BAD[name]
    with draw.theme("light", backend="bokeh"), pytest.raises(ValueError, match=sentence):
        draw.surfaces(made(bodies["sphere"]))


@pytest.mark.parametrize("camera", ["", "30", "a, b", (1, 2, 3), (0, 91), (np.nan, 0), 5, ("x", 1)])
def test_what_is_no_camera_is_refused(camera):
    with pytest.raises(
        ValueError, match=r"the camera .* is not allowed: give its azimuth and its elevation in degrees"
    ):
        TwoShapes.pictures.shapes.camera(camera)


def test_a_picture_turns_or_not(result):
    assert TwoShapes.pictures.shapes.camera("-30, 20") == (-30, 20)
    with pytest.raises(ValueError, match="the picture profile does not turn: leave out the camera"):
        TwoShapes.pictures.profile(result, camera=(0, 0))
    with pytest.raises(ValueError, match="turns and plays"):
        Picture("both", "", "", lambda result: None, plays="time", turns=(0, 0))


@pytest.mark.slow
def test_a_figure_has_its_camera_in_its_recipe_and_is_made_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    path = tmp_path / "shapes.pdf"
    asked = ["--camera=120,-40", "--width", "text", "-o", str(path)]
    assert main(["figure", f"{SKETCH}:profile", *asked]) == 2
    assert "the picture profile does not turn" in capsys.readouterr().err
    assert main(["figure", f"{SKETCH}:shapes", *asked]) == 0
    assert path.stat().st_size < 400_000
    assert figures.read_recipe(path)["figure"]["camera"] == [120, -40]
    found = figures.reproduce(path)
    assert found.data_agrees
    assert found.picture_agrees


@pytest.mark.slow
def test_a_sphere_is_round_in_print_and_has_the_colours_of_its_field(result):
    png = io.BytesIO()
    figures.export_picture(TwoShapes.pictures.shapes, result, png, format="png", camera=(0, 0))
    image = Image.open(png)
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    pixels = np.asarray(white, int)
    found: Any = label(pixels.min(axis=2) < 250)
    parts = found[0]
    disc: Any = find_objects(parts)[int(np.bincount(parts[parts > 0]).argmax()) - 1]  # nothing else is as large
    high, wide = (side.stop - side.start for side in disc)
    assert high / wide == pytest.approx(1, abs=0.02)
    assert (parts[disc] > 0).mean() == pytest.approx(np.pi / 4, rel=0.02)
    middle = pixels[disc][high // 2, wide // 2]  # the wave is at its height where the eye is
    light = space.AMBIENT + (1 - space.AMBIENT) * (0.5 + 0.5 * space.LIGHT[2])
    np.testing.assert_allclose(middle, light * np.array(space_colours(look.THEMES["print"].target)), atol=4)


@pytest.mark.slow
def test_what_a_picture_shows_does_not_depend_on_its_pixels(result):
    told = []
    for backend, camera in (("bokeh", (30, 25)), ("matplotlib", (30, 25)), ("bokeh", (30, 26))):
        with draw.theme("print", backend=backend):
            told.append(figures.fingerprint(TwoShapes.pictures.shapes(result, camera=camera)))
    assert figures.picture_difference(*told[:2]) == 0
    assert figures.picture_difference(told[0], told[2]) > 1e-3


def test_ways_on_the_sphere_are_the_shortest_and_lie_on_it():
    start, end = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in rng.normal(size=(2, 30, 3)))
    start = np.concatenate([start, [[0, 0, 1.0], [0, 0, 1.0], [0.6, 0, 0.8]]])
    end = np.concatenate([end, [[0, 0, 1.0], [0, 0, -1.0], [-0.6, 0, -0.8]]])  # one that stays, two to the antipode
    ways = draw.geodesics(start, end, 12)
    np.testing.assert_allclose(np.linalg.norm(ways, axis=2), 1, atol=1e-14)
    np.testing.assert_allclose(ways[:, 0], start, atol=1e-14)
    np.testing.assert_allclose(ways[:, -1], end, atol=1e-14)
    angle = np.arccos(np.clip((start * end).sum(axis=1), -1, 1))
    steps = 2 * np.arcsin(np.linalg.norm(np.diff(ways, axis=1), axis=2) / 2)
    np.testing.assert_allclose(steps, np.repeat(angle[:, None] / 12, 12, axis=1), atol=1e-12)
    off_plane = np.abs(np.einsum("nsd,nd->ns", ways, np.cross(start, end)))
    assert off_plane.max() < 1e-14


def test_strips_lie_on_the_sphere_as_wide_as_their_weights():
    turned = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    body = draw.sphere_ways([[1.0, 0, 0], [1.0, 0, 0]], turned, [1.0, 0.0], dots=1)
    placed = space.place({"": body})
    assert np.linalg.norm(placed.vertices, axis=1) == pytest.approx(1, abs=0.01)
    strips = np.asarray(body.vertices)[-2 * 17 * 2 :].reshape(2, 17, 2, 3)
    wide = np.linalg.norm(strips[:, :, 1] - strips[:, :, 0], axis=2)
    np.testing.assert_allclose(wide, np.repeat([[0.030], [0.006]], 17, axis=1), rtol=0.01)
    np.testing.assert_allclose(strips[0, :, :, 2].mean(axis=1), 0, atol=1e-12)  # along the equator
    np.testing.assert_allclose(body.marks, [[1, 0, 0], [0, 1, 0]])
    colours = (255 * np.asarray(body.values)).round().astype(np.uint8)
    drawn = space.rasterise(placed, colours, (45.0, 0.0), (-0.05, -0.05, 0.05, 0.05), (40, 40))
    dark = drawn[..., :3].mean(axis=2) < 0.75 * drawn[0, 0, :3].mean()
    assert (dark.any(axis=1).mean(), dark.mean()) == pytest.approx((0.3, 0.3), abs=0.06)  # seen upon the sphere, level


def test_a_strip_behind_the_sphere_is_not_seen():
    body = draw.sphere_ways([[1.0, 0, 0]], [[0.0, 1.0, 0]])
    placed = space.place({"": body})
    colours = (255 * np.asarray(body.values)).round().astype(np.uint8)
    plain = np.repeat(colours[:1], len(colours), axis=0)
    seen, without = (
        space.rasterise(placed, tints, (225.0, 0.0), (-0.4, -0.4, 0.4, 0.4), (40, 40)) for tints in (colours, plain)
    )
    np.testing.assert_array_equal(seen, without)
