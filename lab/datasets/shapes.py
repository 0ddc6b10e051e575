"""The named pairs of surfaces, kind ``shapes``, and a user's own.

Arrays: ``x`` (n, 3) and ``y`` (m, 3), vertices; ``x_faces`` and ``y_faces``, three vertices each; ``truth`` (m,), where it is
known: of each vertex of Y its vertex of X; ``poses`` (p, n, 3), further poses of X with its faces, to learn from.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import packaged
from .data import Data
from .kinds import Files, Kind, add_kind, one_file, real_numbers, unread
from .registry import register

if TYPE_CHECKING:
    from lab.shapes.mesh import Mesh

KIND = "shapes"
MOST = 5000  # vertices of a surface, of whose distances 200 MB are kept
_LEAST, _POSES = 12, 20
_HAS = ("x", "x_faces", "y", "y_faces", "truth")
_SEED = (0, (0, 2**32 - 1))


def _pair(x: "Mesh", y: "Mesh", seed: int | None = None, truth: Any = None) -> dict[str, Any]:
    """A pair whose vertices correspond by number; those of Y are mixed by the seed."""
    if seed is not None:
        from lab.shapes.mesh import permuted

        truth = np.random.default_rng(seed).permutation(y.n)
        y = permuted(y, truth)
    arrays = {"x": x.vertices, "x_faces": x.faces, "y": y.vertices, "y_faces": y.faces}
    return {"arrays": arrays if truth is None else arrays | {"truth": np.asarray(truth)}}


_BODIES = {"source": packaged.facts("bodies")["source"], "licence": packaged.facts("bodies")["licence"]}


@register(
    name="person-in-a-pose",
    title="A person in a pose",
    kind=KIND,
    summary="A figure with limbs of unlike lengths, as it stands and in a pose; vertices of the pose are mixed.",
    options={"pose": (1.0, (0.0, 1.5)), "seed": _SEED},
    has=_HAS,
    sizes={"n": 798, "m": 798},
    **_BODIES,
)
def person(pose: float, seed: int) -> dict[str, Any]:
    """Experiment A: edges change by up to a quarter, geodesics by 5%, at pose 1."""
    from lab.shapes import figures

    from . import meshes

    return _pair(meshes.body("person"), meshes.body("person", pose * figures.POSE), seed)


@register(
    name="person-in-poses",
    title="A person in several poses",
    kind=KIND,
    summary="The person in a pose, and three more poses of it at random for a network to learn from.",
    options={"pose": (1.0, (0.0, 1.5)), "seed": _SEED},
    has=(*_HAS, "poses"),
    sizes={"n": 798, "m": 798, "p": 3},
    **_BODIES,
)
def person_in_poses(pose: float, seed: int) -> dict[str, Any]:
    """A pair of the person in two poses, and three more poses at random."""
    from lab.shapes import figures

    from . import meshes

    rng = np.random.default_rng((seed, 1))
    further = [meshes.body("person", pose * figures.POSE * rng.uniform(-1, 1, (7, 1))) for _ in range(3)]
    made = person(pose, seed)
    return {"arrays": made["arrays"] | {"poses": np.stack([each.vertices for each in further])}}


@register(
    name="animal-in-a-pose",
    title="An animal in a pose",
    kind=KIND,
    summary="A trunk, a head, four legs and a tail, all unlike; the limbs are turned at random.",
    options={"pose": (1.0, (0.0, 1.5)), "seed": _SEED},
    has=_HAS,
    sizes={"n": 886, "m": 886},
    **_BODIES,
)
def animal(pose: float, seed: int) -> dict[str, Any]:
    """A pair of the animal at rest and with its limbs turned at random."""
    from lab.shapes import figures

    from . import meshes

    return _pair(meshes.body("animal"), meshes.body("animal", figures.ANIMAL.turns(seed, 0.5 * pose)), seed)


@register(
    name="person-turned",
    title="A person, turned in space",
    kind=KIND,
    summary="The same figure, turned and with its vertices mixed: an exact isometry.",
    options={"seed": _SEED},
    has=_HAS,
    sizes={"n": 798, "m": 798},
    **_BODIES,
)
def turned(seed: int) -> dict[str, Any]:
    """A pair of the person and the same, turned in space."""
    from scipy.spatial.transform import Rotation

    from lab.shapes.mesh import transformed

    from . import meshes

    skin = meshes.body("person")
    return _pair(
        skin, transformed(skin, Rotation.from_rotvec(np.random.default_rng(seed).normal(size=3)).as_matrix()), seed
    )


def _cortex(name: str, title: str, summary: str) -> None:
    told = packaged.facts("fsaverage5")

    @register(
        name=f"cortex-{name}",
        title=title,
        kind=KIND,
        summary=summary,
        has=_HAS,
        sizes={"n": 2562, "m": 2562},
        **told,
    )
    def build() -> dict[str, Any]:
        from . import meshes

        # their vertices have one order, which nothing here looks at
        return _pair(meshes.cortex("white"), meshes.cortex(name), truth=np.arange(2562))


_cortex("pial", "Cortex, inside and outside", "The white and the pial surface of a left hemisphere: nearly isometric.")
_cortex(
    "inflated",
    "Cortex, inflated",
    "The white surface of a left hemisphere and the inflated one: edges change by a half.",
)


@register(
    name="rolled-sheet",
    title="A sheet, rolled",
    kind=KIND,
    summary="A rectangle and the same on a cylinder, open both: isometric, and its own mirror image.",
    has=_HAS,
    sizes={"n": 800, "m": 800},
)
def rolled() -> dict[str, Any]:
    """A pair of a sheet and the same on a cylinder."""
    from lab.shapes import figures

    plain = figures.sheet(40, 20)
    return _pair(plain, figures.sheet(40, 20, turn=2.5), truth=np.arange(plain.n))


@register(
    name="spheres",
    title="Two spheres",
    kind=KIND,
    summary="Of 642 and of 2562 vertices, with the spectrum l (l + 1): every turn is an isometry, so none is found.",
    has=_HAS,
    sizes={"n": 642, "m": 2562},
)
def spheres() -> dict[str, Any]:
    """A pair of spheres of 642 and of 2562 vertices."""
    from lab.shapes import figures

    x, y = figures.sphere(3), figures.sphere(4)
    return _pair(x, y, truth=np.argmax(y.vertices @ x.vertices.T, axis=1))


# -- a user's own ------------------------------------------------------------------------------------------------------


def from_arrays(name: str, arrays: Mapping[str, Any], ignored: Sequence[str] = (), notices: Sequence[str] = ()) -> Data:
    """A pair out of ``x`` (n, 3), ``x_faces`` (f, 3), ``y`` (m, 3), ``y_faces`` (g, 3) and, if there are, ``truth`` (m,) and
    ``poses`` (p, n, 3).

    Raises:
        ValueError: arrays that are no surfaces; the sentence says where.
    """
    from lab.shapes.mesh import faults, mesh

    SHAPES.check_there(name, [*arrays, *ignored])
    given = {key: real_numbers(f"{key} in {name}", value) for key, value in arrays.items()}
    SHAPES.check_given(name, given)
    made = {key: array.astype(float if key in ("x", "y", "poses") else np.int64) for key, array in given.items()}
    told = [
        f"{which} in {name}: {fault}"
        for which in "XY"
        for fault in faults(mesh(made[which.lower()], made[f"{which.lower()}_faces"]))
    ]
    notices = [*notices, *unread(name, ignored, set(SHAPES.arrays) - set(given)), *told]
    return Data(name, name, KIND, made, "brought by the user", "the user's", {}, tuple(notices))


def from_files(files: Files, n: int | None, seed: int) -> Data:
    """Two meshes, X and Y, or one file of arrays."""
    from . import meshes

    formats = [name.rpartition(".")[2].lower() for name, _ in files]
    if not set(formats) & {*meshes.FORMATS}:
        return one_file(SHAPES, files)
    if len(files) != 2:
        raise ValueError(f"{len(files)} files were given, but a pair is two meshes: bring the second one too")
    x, y = (meshes.read_mesh(name, payload) for name, payload in files)
    for (name, _), shape in zip(files, (x, y), strict=True):
        if shape.n > MOST:
            raise ValueError(f"{name} has {shape.n:,} vertices, but at most {MOST:,} are compared: thin it out")
    return from_arrays(" and ".join(name for name, _ in files), _pair(x, y)["arrays"])


def _values(name: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse what is no surface, of several parts, too small or too large, and a truth that leads to no vertex."""
    from lab.shapes.mesh import components, mesh

    for key in ("x", "y"):
        size = len(arrays[key])
        if not _LEAST <= size <= MOST:
            raise ValueError(f"{key} in {name} has {size:,} vertices, but from {_LEAST} to {MOST:,} are compared")
        whole = np.round(arrays[f"{key}_faces"])
        if (whole != arrays[f"{key}_faces"]).any():
            raise ValueError(f"{key}_faces in {name} must be whole numbers, of vertices")
        try:
            shape = mesh(arrays[key], whole.astype(np.int64))
        except ValueError as problem:
            raise ValueError(f"{key} in {name}: {problem}") from None
        if parts := components(shape).max():
            raise ValueError(
                f"{key} in {name} has {parts + 1} parts that are not connected, between which no way leads: bring one part"
            )
    if "poses" in arrays:
        if len(arrays["poses"]) > _POSES:
            raise ValueError(f"poses in {name} are {len(arrays['poses'])}, but at most {_POSES} are learned from")
        for number, vertices in enumerate(arrays["poses"]):
            try:
                mesh(vertices, np.round(arrays["x_faces"]).astype(np.int64))
            except ValueError as problem:
                raise ValueError(f"poses in {name}, the one with the number {number}: {problem}") from None
    if "truth" in arrays:
        truth = arrays["truth"]
        if (truth != np.round(truth)).any() or truth.min() < 0 or truth.max() >= len(arrays["x"]):
            raise ValueError(
                f"truth in {name} must be whole numbers from 0 to {len(arrays['x']) - 1}: of each vertex of y its vertex of x"
            )


SHAPES = add_kind(
    Kind(
        KIND,
        {
            "x": ("n", 3),
            "x_faces": ("f", 3),
            "y": ("m", 3),
            "y_faces": ("g", 3),
            "truth": ("m",),
            "poses": ("p", "n", 3),
        },
        needed=(("x", "x_faces", "y", "y_faces"),),
        from_arrays=from_arrays,
        takes="two meshes (.off, .obj, .ply, .stl), or .npz, .nc with x, x_faces, y, y_faces, if there are, truth, poses",
        dims={"n": "vertices of x", "m": "vertices of y", "f": "faces of x", "g": "faces of y", "p": "poses"},
        values=_values,
        bare={4: ("x", "x_faces", "y", "y_faces")},
        from_files=from_files,
    )
)
