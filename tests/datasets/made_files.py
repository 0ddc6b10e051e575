"""Files as users bring them: arrays, tables, pictures, and what must never be unpickled."""

import io
import os

import numpy as np
from PIL import Image

COST = np.arange(6.0).reshape(2, 3)
X = np.array([[0.0, 1.0], [2.0, 3.0]])
Y = np.array([[4.0, 5.0], [6.0, 7.0], [8.0, 9.5]])


def npz(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def png(pixels, mode="PNG"):
    stream = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(stream, mode)
    return stream.getvalue()


def noise(seed, shape=(20, 30, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape)


class Payload:
    """Unpickling it makes a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)
