"""Files of meshes: each format as text and as binary, and what is refused."""

import sys

import numpy as np
import pytest
import trimesh

from lab.datasets import meshes
from lab.shapes import figures

BALL = figures.sphere(1)
TEXTURED = b"""mtllib /etc/passwd
v 0 0 0 1 0 0
v 1 0 0
v 1 1 0
v 0 1 0
vt 0 0
vt 1 0
vt 1 1
vt .5 .5
vn 0 0 1
usemtl a
f 1/1/1 2/2/1 3/3/1
usemtl b
f 1/4/1 3/3/1 4//1
"""


def exported(kind, **options):
    made = trimesh.Trimesh(BALL.vertices, BALL.faces, process=False).export(file_type=kind, **options)
    return made.encode() if isinstance(made, str) else made


@pytest.mark.parametrize(
    ("kind", "options"),
    [("off", {}), ("obj", {}), ("ply", {"encoding": "ascii"}), ("ply", {}), ("stl_ascii", {}), ("stl", {})],
)
def test_each_format_brings_the_mesh_back(kind, options):
    payload = exported(kind, **options)
    found = meshes.read_mesh(f"ball.{kind[:3].upper()}", payload)
    assert found.n == BALL.n
    np.testing.assert_allclose(found.vertices[found.faces], BALL.vertices[BALL.faces], atol=1e-6)
    if "stl" not in kind:  # which has no order
        np.testing.assert_array_equal(found.faces, BALL.faces)


def test_textures_split_no_vertex_and_nothing_is_followed():
    found = meshes.read_mesh("a.obj", TEXTURED)
    np.testing.assert_array_equal(found.vertices, [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    np.testing.assert_array_equal(found.faces, [[0, 1, 2], [0, 2, 3]])


def test_faces_of_four_are_divided_and_repair_repairs():
    quad = b"OFF\n5 1 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n9 9 9\n4 0 1 2 3\n"
    with pytest.raises(ValueError, match=r"there is 1 vertex of no face \(4\)"):
        meshes.read_mesh("a.off", quad)
    found = meshes.read_mesh("a.off", quad, repair=True)
    assert (found.n, len(found.faces), found.area) == (4, 2, 1.0)


@pytest.mark.parametrize(
    ("name", "payload", "said"),
    [
        ("a.off", b"", "damaged OFF"),
        ("a.off", b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 9\n", "damaged OFF"),
        ("a.off", b"OFF\n999999999 1 0\n0 0 0\n", "damaged OFF"),
        ("a.ply", bytes(60), "damaged PLY"),
        ("a.ply", exported("ply")[:-40], "damaged PLY"),
        ("a.obj", b"hello", "has no faces|damaged"),
        ("a.stl", b"\x01" * 200, "damaged STL|no faces"),
        ("a.off", b"OFF\n3 1 0\n0 0 0\n1 0 0\n2 0 0\n3 0 1 2\n", "1 face without area"),
        ("a.off", b"OFF\n3 1 0\n0 0 nan\n1 0 0\n2 0 0\n3 0 1 2\n", "not finite"),
        ("a.glb", b"", r"a.glb has no format that is read: give a mesh as .off, .obj, .ply or .stl"),
        ("noending", b"", "has no format"),
    ],
)
def test_refusals(name, payload, said):
    with pytest.raises(ValueError, match=said) as told:
        meshes.read_mesh(name, payload)
    assert len(str(told.value)) <= 300
    assert name in str(told.value)


def test_bounds(monkeypatch):
    monkeypatch.setattr(meshes, "_MOST", 40)
    with pytest.raises(ValueError, match="has 42 vertices, but at most 40"):
        meshes.read_mesh("a.off", exported("off"))
    monkeypatch.setattr(meshes, "UPLOAD_LIMIT", 100)
    with pytest.raises(ValueError, match="at most"):
        meshes.read_mesh("a.off", exported("off"))


def test_trimesh_is_told_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "trimesh", None)
    with pytest.raises(ValueError, match=r"files of meshes need trimesh: pip install 'transport-lab\[shapes\]'"):
        meshes.read_mesh("a.off", b"OFF")
