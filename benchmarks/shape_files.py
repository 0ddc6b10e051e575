"""Make the meshes that ship: cortical surfaces of nilearn's wheel, and the skins of the bodies of capsules.

    pip download --no-deps nilearn==0.14.1
    python -m benchmarks.shape_files nilearn-0.14.1-py3-none-any.whl

They are written to ``data/`` and their hashes printed, for ``lab/datasets/packaged.py``. Vertices are kept in single precision,
which is what the surfaces were published in.
"""

import base64
import gzip
import sys
import zipfile
import zlib
from hashlib import sha256
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from scipy.spatial import ConvexHull

from lab.shapes.figures import BODIES, Body

DATA = Path(__file__).parents[1] / "data"
SURFACES = {"white": "white_left", "pial": "pial_left", "inflated": "infl_left", "sphere": "sphere_left"}
COARSE = 2562  # of 10242: the icosphere that was divided once less, whose vertices come first
STEP = 0.11  # of the grid for the skins


def gifti(payload: bytes) -> list[np.ndarray]:
    """The arrays of a GIFTI file: XML, with values that are packed by zlib and written in base 64."""
    kinds = {"NIFTI_TYPE_FLOAT32": "<f4", "NIFTI_TYPE_INT32": "<i4"}
    found = []
    for each in ElementTree.fromstring(payload).iter("DataArray"):
        about = each.attrib
        assert (about["Encoding"], about["Endian"]) == ("GZipBase64Binary", "LittleEndian"), about
        values = np.frombuffer(zlib.decompress(base64.b64decode(each.findtext("Data", ""))), kinds[about["DataType"]])
        shape = [int(about[f"Dim{i}"]) for i in range(int(about["Dimensionality"]))]
        found.append(values.reshape(shape, order="F" if about["ArrayIndexingOrder"].startswith("Col") else "C"))
    return found


def cortex(wheel: Path) -> dict[str, np.ndarray]:
    """The first vertices of each surface, and faces that all share, oriented outwards."""
    with zipfile.ZipFile(wheel) as archive:
        found = {
            name: gifti(gzip.decompress(archive.read(f"nilearn/datasets/data/fsaverage5/{file}.gii.gz")))[0][:COARSE]
            for name, file in SURFACES.items()
        }
    ball = found["sphere"].astype(float)
    faces = ConvexHull(ball).simplices
    outwards = np.linalg.det(ball[faces]) > 0
    faces[~outwards] = faces[~outwards][:, ::-1]
    return {**found, "faces": faces[np.lexsort(np.sort(faces, axis=1).T)].astype(np.int16)}


def skin(body: Body, step: float = STEP) -> tuple[np.ndarray, np.ndarray]:
    """Where the implicit function of a body is 0, by marching cubes (scikit-image); faces oriented outwards."""
    from skimage.measure import marching_cubes

    axes = [np.arange(low, high, step) for low, high in zip(body.lower, body.upper, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    values = body.distance(grid.reshape(-1, 3)).reshape(grid.shape[:3])
    vertices, faces, *_ = marching_cubes(values, 0.0, spacing=(step,) * 3, gradient_direction="descent")
    return (vertices + body.lower[None, :]).astype(np.float32), faces.astype(np.int16)


def kept(name: str, arrays: dict[str, np.ndarray]) -> None:
    np.savez_compressed(DATA / name, **arrays)  # type: ignore[arg-type]
    print(name, (DATA / name).stat().st_size, sha256((DATA / name).read_bytes()).hexdigest())


if __name__ == "__main__":
    kept("fsaverage5_left.npz", cortex(Path(sys.argv[1])))
    skins = {name: skin(body) for name, body in BODIES.items()}
    kept(
        "bodies.npz",
        {
            f"{name}_{part}": each
            for name, made in skins.items()
            for part, each in zip(("vertices", "faces"), made, strict=True)
        },
    )
