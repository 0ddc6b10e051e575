r"""Surfaces: meshes, their spectra, functional maps between them, and features that learn to match them.

>>> from lab import shapes
>>> ball = shapes.sphere(2)
>>> found = shapes.spectrum.spectrum(shapes.laplacian.laplacian(ball), 4)
>>> found.values.round(1)  # l (l + 1) with multiplicity 2 l + 1, to O(h^2)
array([0., 2., 2., 2.])

What one names often is here. A function that has the name of its module is in it: ``mesh.mesh``, ``laplacian.laplacian``,
``spectrum.spectrum``, ``geodesics.geodesics``, ``surface.surface`` (what learning needs of a mesh). The rest, by concept:

- meshes to try methods on: ``figures``; what is wrong with one: ``mesh``;
- signatures of points: ``signatures``;
- maps between surfaces, their losses and errors: ``functional_maps``;
- learning: ``correspondence``, with the networks ``diffusion_net`` and ``own_net``.
"""

from lab.parts import parts
from lab.shapes.correspondence import learn, match, refine
from lab.shapes.diffusion_net import DiffusionNet
from lab.shapes.figures import flat_torus, sheet, sphere
from lab.shapes.functional_maps import correct_keypoints, geodesic_errors, of_point_map, point_map, zoomout
from lab.shapes.laplacian import Laplacian
from lab.shapes.mesh import Mesh, repaired
from lab.shapes.own_net import OwnNet
from lab.shapes.signatures import heat_kernel, wave_kernel
from lab.shapes.spectrum import Spectrum
from lab.shapes.surface import Surface

__all__ = [
    "DiffusionNet",
    "Laplacian",
    "Mesh",
    "OwnNet",
    "Spectrum",
    "Surface",
    "correct_keypoints",
    "flat_torus",
    "geodesic_errors",
    "heat_kernel",
    "learn",
    "match",
    "of_point_map",
    "point_map",
    "refine",
    "repaired",
    "sheet",
    "sphere",
    "wave_kernel",
    "zoomout",
]

__getattr__, __dir__ = parts(__name__)
