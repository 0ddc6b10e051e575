"""Vertices and faces of mesh files, as they are there: ``meshes`` checks them."""

from typing import Any

import numpy as np

from lab.inputs import Stream

from . import isolated
from .formats import decoding


@isolated.reader("trimesh", "trimesh.exchange.load")
def parse(name: str, payload: bytes, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """The vertices (n, 3) and faces (f, 3) in a file of the format ``kind``."""
    from trimesh import load

    with decoding(f"{name} is a damaged {kind.upper()} file of a mesh: save it again"):
        stream: Any = Stream(name, _bare(payload) if kind == "obj" else payload)
        found: Any = load(stream, file_type=kind, process=False, force="mesh", allow_remote=False, skip_materials=True)
        return np.array(found.vertices, float), np.array(found.faces, np.int64)


def _bare(payload: bytes) -> bytes:
    """The places and faces of an OBJ file: where a vertex has several normals or textures it would be several vertices."""
    lines = (line.split() for line in payload.splitlines())
    kept = (words for words in lines if words and words[0] in (b"v", b"f"))
    return b"\n".join(
        b" ".join(words[:4] if words[0] == b"v" else [word.split(b"/")[0] for word in words]) for words in kept
    )
