"""Bodies in space as an eye sees them: the camera, what is in front of what, and the picture as pixels.

The projection is orthographic, so that what lies in a plane across the sight keeps its shape and a zoom is one of the plane.
``turning.js`` draws the same in the browser while the bodies turn.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np

from lab.inputs import cut

type Camera = tuple[float, float]

LIGHT = (-0.4, 0.5, 0.768)  # where it comes from: left, above and behind the eye
AMBIENT = 0.35  # share of the light that comes from everywhere
GAP, TITLE = 0.2, 0.42  # between bodies side by side and between rows of them, in radii
DEEP = 0.02  # radii that a place may lie below the surface and count as on it
_BAND = 2**19  # samples that are drawn at a time

_USUAL: Camera = (30.0, 20.0)
_camera: ContextVar[tuple[Camera, Camera]] = ContextVar("camera", default=(_USUAL, _USUAL))


class Body(NamedTuple):
    """A surface of triangles, what is known at its vertices, and places that are marked on it."""

    vertices: Any  # (n, 3), the third axis upwards
    faces: Any  # (m, 3) numbers of vertices; all in one orientation, either one
    values: Any = None  # (n,) a field, or (n, 3) colours from 0 to 1; one plain colour when omitted
    marks: Any = None  # (k,) numbers of vertices, or (k, 3) places
    tints: Any = None  # of the marks: one colour for all or one for each; that of the text when omitted


class Placed(NamedTuple):
    """Bodies side by side: each is scaled into the unit ball about its own centre, and drawn about its own place."""

    vertices: np.ndarray  # (n, 3) of all bodies, one after the other
    normals: np.ndarray  # (n, 3)
    faces: np.ndarray  # (m, 3)
    body: np.ndarray  # (n,) which one a vertex belongs to
    marks: np.ndarray  # (k, 3)
    marked: np.ndarray  # (k,) which body a mark belongs to
    places: np.ndarray  # (b, 2) in the picture


class Seen(NamedTuple):
    """What the camera makes of points: ``depth`` grows towards the eye."""

    x: np.ndarray
    y: np.ndarray
    depth: np.ndarray


class Hit(NamedTuple):
    """The vertex under a point of the picture."""

    body: str
    vertex: int


def camera_of(given: Any) -> Camera:
    """Azimuth and elevation, from a pair or from a text such as "30, 20".

    Args:
        given: the two in degrees.

    Returns:
        azimuth and elevation in degrees.

    Raises:
        ValueError: these are no two numbers, or the elevation is not from -90 to 90.

    Examples:
        >>> from lab.studies import draw
        >>> draw.camera_of("30, 20")
        (30.0, 20.0)
    """
    parts = given.split(",") if isinstance(given, str) else given
    try:
        azimuth, elevation = (float(each) for each in parts)
        if not (abs(azimuth) < np.inf and abs(elevation) <= 90):
            raise ValueError
    except (TypeError, ValueError):
        raise ValueError(
            f"the camera {cut(given)} is not allowed: give its azimuth and its elevation in degrees, "
            "the latter from -90 to 90, such as 30, 20"
        ) from None
    return azimuth, elevation


def camera() -> Camera:
    """Azimuth and elevation, in degrees, from which bodies are drawn now."""
    return _camera.get()[0]


def home() -> Camera:
    """The camera to which a reset turns the bodies that are drawn now."""
    return _camera.get()[1]


@contextmanager
def looking(at: Camera | None, home: Camera | None = None) -> Iterator[None]:
    """Draw bodies as seen from this camera.

    Args:
        at: azimuth and elevation in degrees; None leaves the camera as it is.
        home: the camera to which a reset turns them; ``at`` when omitted.

    Yields:
        nothing.

    Raises:
        ValueError: what ``camera_of`` refuses.

    Examples:
        >>> from lab.studies import draw
        >>> triangle = draw.Body([[0, -1, -1], [0, 1, -1], [0, 0, 1]], [[0, 1, 2]])
        >>> with draw.looking((0.0, 0.0)):
        ...     draw.vertex_at({"triangle": triangle}, 0.0, 0.7).vertex
        2
    """
    token = _camera.set(_camera.get() if at is None else (camera_of(at), camera_of(at if home is None else home)))
    try:
        yield
    finally:
        _camera.reset(token)


def axes_of(at: Camera) -> np.ndarray:
    """The directions right, up and towards the eye as the rows of a rotation (3, 3), of a camera in degrees.

    At azimuth 0 the eye is on the first axis, at 90 on the second, at elevation 90 on the third.
    """
    a, e = np.deg2rad(at)
    return np.array(
        [
            [-np.sin(a), np.cos(a), 0.0],
            [-np.sin(e) * np.cos(a), -np.sin(e) * np.sin(a), np.cos(e)],
            [np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)],
        ]
    )


def place(bodies: Mapping[str, Body], columns: int | None = None) -> Placed:
    """Check bodies and set them side by side, ``columns`` in a row.

    Raises:
        ValueError: there is none, or one is no surface; says which and why.
    """
    if not bodies:
        raise ValueError("there are no bodies to draw: give at least one")
    parts, places, start = [], [], 0
    for number, (title, body) in enumerate(bodies.items()):
        vertices, faces, marks = _mesh(title, body)
        middle = (vertices.min(0) + vertices.max(0)) / 2
        radius = np.linalg.norm(vertices - middle, axis=1).max() or 1.0
        vertices, marks = (vertices - middle) / radius, (marks - middle) / radius
        own, marked = np.full(len(vertices), number), np.full(len(marks), number)
        parts.append((vertices, _normals(vertices, faces), faces + start, own, marks, marked))
        row, column = divmod(number, columns or len(bodies))
        places.append((column * (2 + GAP), -row * (2 + TITLE)))
        start += len(vertices)
    vertices, normals, faces, own, marks, marked = (np.concatenate(each) for each in zip(*parts, strict=True))
    return Placed(vertices, normals, faces, own, marks, marked, np.array(places))


def seen_from(at: Camera, points: np.ndarray, places: np.ndarray) -> Seen:
    """Points (n, 3) in the picture of a camera, each about its place (n, 2)."""
    x, y, depth = axes_of(at) @ points.T
    return Seen(x + places[:, 0], y + places[:, 1], depth)


def hidden(placed: Placed, at: Camera) -> tuple[Seen, np.ndarray]:
    """The marks in the picture, and which of them lie behind a surface."""
    surface = seen_from(at, placed.vertices, placed.places[placed.body])
    marks = seen_from(at, placed.marks, placed.places[placed.marked])
    steps = _slopes(np.stack([surface.x, surface.y], 1)[placed.faces])
    tops = [_above(surface, placed.faces, steps, x, y).max() for x, y in zip(marks.x, marks.y, strict=True)]
    return marks, np.array(tops, float) > marks.depth + DEEP


def vertex_at(bodies: Mapping[str, Body], x: float, y: float, columns: int | None = None) -> Hit | None:
    """The vertex nearest to what is seen at a place of the picture of ``surfaces``.

    Args:
        bodies: by title, as they were drawn.
        x: the place, across; the first body is drawn in the unit disc about 0.
        y: the place, up.
        columns: as they were drawn.

    Returns:
        the title of the body and the number of the vertex; None beside the bodies.

    Raises:
        ValueError: there are no bodies, or one is no surface.

    Examples:
        >>> from lab.studies import draw
        >>> triangle = draw.Body([[0, -1, -1], [0, 1, -1], [0, 0, 1]], [[0, 1, 2]])
        >>> with draw.looking((0.0, 0.0)):
        ...     draw.vertex_at({"triangle": triangle}, 0.0, 0.7), draw.vertex_at({"triangle": triangle}, 0.9, 0.7)
        (Hit(body='triangle', vertex=2), None)
    """
    placed = place(bodies, columns)
    surface = seen_from(camera(), placed.vertices, placed.places[placed.body])
    depths = _above(surface, placed.faces, _slopes(np.stack([surface.x, surface.y], 1)[placed.faces]), x, y)
    if depths.max() == -np.inf:
        return None
    corners = placed.faces[depths.argmax()]
    apart = np.stack([surface.x[corners] - x, surface.y[corners] - y, surface.depth[corners] - depths.max()])
    vertex = int(corners[(apart**2).sum(0).argmin()])
    body = int(placed.body[vertex])
    return Hit(list(bodies)[body], vertex - int(np.flatnonzero(placed.body == body)[0]))


def shades(placed: Placed, at: Camera) -> np.ndarray:
    """Light (m, 3) at the corners of each face: from ``AMBIENT``, where the surface turns away from it, to 1."""
    turned = placed.normals @ axes_of(at).T
    corners = placed.vertices[placed.faces] @ axes_of(at).T
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2]
    facing = np.where(across < 0, -1.0, 1.0)  # what is seen from behind has its normals behind
    lit = (turned @ np.array(LIGHT))[placed.faces] * facing[:, None]
    return AMBIENT + (1 - AMBIENT) * np.clip(0.5 + 0.5 * lit, 0, 1)


def rasterise(
    placed: Placed, colours: np.ndarray, at: Camera, window: tuple[float, ...], shape: tuple[int, int], samples: int = 2
) -> np.ndarray:
    """The bodies as pixels (h, w, 4) of bytes, row 0 at the bottom; what they do not cover is transparent.

    At each sample the face nearest to the eye is seen, in the colours of its corners, which are interpolated linearly.

    Args:
        colours: (n, 3) bytes.
        window: left, bottom, right, top of the picture.
        samples: a side of each pixel; their mean is the pixel.
    """
    h, w = (samples * side for side in shape)
    surface = seen_from(at, placed.vertices, placed.places[placed.body])
    left, bottom, right, top = window
    pixel = np.stack([(surface.x - left) * w / (right - left), (surface.y - bottom) * h / (top - bottom)], axis=1)
    corners = np.concatenate([pixel, surface.depth[:, None]], axis=1)[placed.faces]
    tints = colours[placed.faces] * shades(placed, at)[:, :, None]
    out = np.zeros((*shape, 4), np.uint8)
    step = samples * max(1, _BAND // (w * samples))
    for low in range(0, h, step):
        high = min(low + step, h)
        band = _band(corners, tints, low, high, w)
        band = band.reshape((high - low) // samples, samples, shape[1], samples, 4).sum(axis=(1, 3))
        cover = band[..., 3:]
        out[low // samples : high // samples, :, :3] = np.round(band[..., :3] / np.maximum(cover, 1))
        out[low // samples : high // samples, :, 3] = np.round(255 * cover[..., 0] / samples**2)
    return out


# ---- inside ----------------------------------------------------------------------------------------------------


def _band(corners: np.ndarray, tints: np.ndarray, low: int, high: int, w: int) -> np.ndarray:
    """Colours and coverage (high - low, w, 4) of the rows from ``low`` to ``high``.

    Args:
        corners: (m, 3, 3) columns, rows and depths, in samples.
        tints: (m, 3, 3) colours of the corners.
    """
    near, colour = np.full((high - low) * w, -np.inf), np.zeros(((high - low) * w, 4))
    face, row, column = _covered(corners[:, :, :2], low, high, w)
    steps = _slopes(corners[:, :, :2])
    away = np.stack([column + 0.5 - corners[face, 0, 0], row + 0.5 - corners[face, 0, 1]])

    def inside(values: np.ndarray, of: np.ndarray, beyond: np.ndarray) -> np.ndarray:
        """Linear on each face between its values (m, 3) at the corners."""
        change = np.einsum("mdc,mc->dm", steps, values[:, 1:] - values[:, :1])
        return values[of, 0] + (change[:, of] * beyond).sum(0)

    depth = inside(corners[:, :, 2], face, away)
    place = (row - low) * w + column
    np.maximum.at(near, place, depth)
    front = depth == near[place]
    face, away, place = face[front], away[:, front], place[front]
    for channel in range(3):
        colour[place, channel] = inside(tints[:, :, channel], face, away)
    colour[place, 3] = 1
    return np.clip(colour, 0, 255).reshape(high - low, w, 4)


def _covered(corners: np.ndarray, low: int, high: int, w: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The samples in each face, as (face, row, column). Of two faces with a common edge one alone has a sample on it."""
    order = np.argsort(corners[:, :, 1], axis=1, kind="stable")
    (xa, ya), (xb, yb), (xc, yc) = np.take_along_axis(corners, order[:, :, None], 1).transpose(1, 2, 0)
    first = np.clip(np.ceil(ya - 0.5), low, high).astype(int)
    face, row = _runs(first, np.clip(np.ceil(yc - 0.5), low, high).astype(int))
    at = row + 0.5
    xa, ya, xb, yb, xc, yc = (each[face] for each in (xa, ya, xb, yb, xc, yc))
    long = xa + (at - ya) / (yc - ya) * (xc - xa)
    upper = at >= yb
    x0, y0, x1, y1 = (np.where(upper, one, two) for one, two in ((xb, xa), (yb, ya), (xc, xb), (yc, yb)))
    short = x0 + (at - y0) / (y1 - y0) * (x1 - x0)
    begin = np.clip(np.ceil(np.minimum(long, short) - 0.5), 0, w).astype(int)
    line, column = _runs(begin, np.clip(np.ceil(np.maximum(long, short) - 0.5), 0, w).astype(int))
    return face[line], row[line], column


def _runs(first: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All whole numbers from first to before end, of each pair: which pair, and the number."""
    count = np.maximum(end - first, 0)
    which = np.repeat(np.arange(len(first)), count)
    return which, np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + first[which]


def _slopes(corners: np.ndarray) -> np.ndarray:
    """(m, 2, 2): what a step right and a step up is in terms of the two sides at the first corner; 0 of a face seen on edge."""
    (ux, uy), (vx, vy) = (np.moveaxis(corners[:, k] - corners[:, 0], 1, 0) for k in (1, 2))
    area = ux * vy - vx * uy
    inverse = np.stack([np.stack([vy, -uy], 1), np.stack([-vx, ux], 1)], axis=1)
    return np.where(area == 0, 0.0, 1.0)[:, None, None] * inverse / np.where(area == 0, 1.0, area)[:, None, None]


def _above(surface: Seen, faces: np.ndarray, steps: np.ndarray, x: float, y: float) -> np.ndarray:
    """The depth (m,) of each face at a point of the picture; -inf where it does not cover that."""
    depth = surface.depth[faces]
    away = np.stack([x - surface.x[faces[:, 0]], y - surface.y[faces[:, 0]]], axis=1)
    one, two = np.einsum("mdc,md->cm", steps, away)
    covers = (one >= 0) & (two >= 0) & (one + two <= 1) & steps.any(axis=(1, 2))
    at = depth[:, 0] + one * (depth[:, 1] - depth[:, 0]) + two * (depth[:, 2] - depth[:, 0])
    return np.where(covers, at, -np.inf)


def _normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Of length 1 at each vertex: the mean over the faces about it, by area; 0 at one without faces."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    total = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(total, faces[:, k], np.cross(b - a, c - a))
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return total / np.where(length > 0, length, 1.0)


def _mesh(title: str, body: Body) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, faces and the places of the marks, checked."""
    vertices, faces = np.asarray(body.vertices, float), np.asarray(body.faces)
    if vertices.ndim != 2 or vertices.shape[1] != 3 or not len(vertices) or not np.isfinite(vertices).all():
        raise ValueError(f"the vertices of {title} must be finite numbers of shape (n, 3), not of {vertices.shape}")
    if faces.ndim != 2 or faces.shape[1] != 3 or not len(faces) or faces.dtype.kind not in "iu":
        raise ValueError(
            f"the faces of {title} must be whole numbers of shape (m, 3), not {faces.dtype} of {faces.shape}"
        )
    marks = np.zeros((0, 3)) if body.marks is None else np.atleast_1d(np.asarray(body.marks))
    numbers = marks.astype(int) if marks.ndim == 1 and marks.dtype.kind in "iu" else np.zeros(0, int)
    for what, given in (("faces", faces), ("marks", numbers)):
        if given.size and not 0 <= given.min() <= given.max() < len(vertices):
            raise ValueError(
                f"the {what} of {title} name the vertices {given.min()} to {given.max()}, "
                f"and there are 0 to {len(vertices) - 1}"
            )
    if numbers.size:
        marks = vertices[numbers]
    elif marks.size == 0:
        marks = np.zeros((0, 3))
    if marks.ndim != 2 or marks.shape[1] != 3:
        raise ValueError(
            f"the marks of {title} must be numbers of vertices or places of shape (k, 3), not {marks.dtype} of {marks.shape}"
        )
    return vertices, faces.astype(int), marks.astype(float)
