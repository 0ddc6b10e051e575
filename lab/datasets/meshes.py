"""Meshes: those that ship, bodies in poses, files that a user brings. Vertex i of one pose or surface is vertex i of all."""

from functools import lru_cache
from io import BytesIO
from typing import Any, Literal

import numpy as np

from lab.choices import chosen
from lab.datasets import isolated, mesh_files, packaged
from lab.datasets.formats import UPLOAD_LIMIT
from lab.inputs import cut, mebibytes
from lab.shapes import figures
from lab.shapes.extras import extra
from lab.shapes.mesh import Mesh, mesh, repaired

FORMATS = ("off", "obj", "ply", "stl")
_MOST = 200_000  # vertices of a file


@chosen
def cortex(surface: Literal["white", "pial", "inflated", "sphere"] | str) -> Mesh:
    """A surface of the left hemisphere of fsaverage5, in mm: 2562 vertices, that of one number the same place in all."""
    arrays = _arrays("fsaverage5")
    return mesh(arrays[surface], arrays["faces"].astype(int))


@chosen
def body(name: Literal["person", "animal"] | str, turns: Any = None) -> Mesh:
    """A body of ``lab.shapes.figures`` as it stands, or in a pose: 798 vertices of the person, 886 of the animal.

    Args:
        turns: a rotation vector of each capsule, (7, 3) in radians, as ``figures.POSE`` or of ``Body.turns``.

    Raises:
        ValueError: turns that are not such.
    """
    arrays = _arrays("bodies")
    skin = mesh(arrays[f"{name}_vertices"], arrays[f"{name}_faces"].astype(int))
    return skin if turns is None else figures.BODIES[name].posed(skin, turns)


@lru_cache(maxsize=2)
def _arrays(name: str) -> dict[str, np.ndarray]:
    with np.load(BytesIO(packaged.content(name)), allow_pickle=False) as file:
        return {each: file[each] for each in file.files}


def read_mesh(name: str, payload: bytes, *, repair: bool = False) -> Mesh:
    """The surface in a file: .off, .obj, .ply or .stl, the last two as text or binary. Nothing in it is executed or followed.

    Vertices keep their order, by which two surfaces may be compared; an STL file has none, and its equal corners become one
    vertex. Colours, textures and normals are left out, and faces of four vertices are divided.

    Args:
        name: of the file, whose ending is its format.
        repair: make vertices at one place one, and leave out faces without area and vertices of no face.

    Raises:
        ValueError: another format, a damaged file, a large one, or what ``mesh`` refuses.
    """
    kind = name.rpartition(".")[2].lower()
    if kind not in FORMATS:
        raise ValueError(f"{cut(name)} has no format that is read: give a mesh as .off, .obj, .ply or .stl")
    if len(payload) > UPLOAD_LIMIT:
        raise ValueError(f"{cut(name)} has {mebibytes(len(payload))}, but at most {mebibytes(UPLOAD_LIMIT)} are read")
    extra("trimesh", "files of meshes")
    with isolated.reading(name):
        vertices, faces = mesh_files.parse(cut(name), payload, kind)
        if not len(faces):
            raise ValueError(f"{cut(name)} has no faces: give a surface of triangles")
        if len(vertices) > _MOST:
            raise ValueError(f"{cut(name)} has {len(vertices):,} vertices, but at most {_MOST:,} are read: thin it out")
        if kind == "stl":
            vertices, faces = _joined(vertices, faces)
        try:
            return (repaired if repair else mesh)(vertices, faces)
        except ValueError as problem:
            raise ValueError(f"{cut(name)}: {problem}") from None


def _joined(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Equal places made one vertex, in the order in which they come first."""
    _, first, same = np.unique(vertices, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return vertices[first[order]], np.argsort(order)[same.reshape(-1)][faces]
