"""Surfaces: meshes, their spectra, functional maps between them, and features that learn to match them."""

from lab.parts import parts

__getattr__, __dir__ = parts(__name__)
