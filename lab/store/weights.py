"""Trained weights, kept by the recipe that made them."""

import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from importlib.metadata import version
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab import code

from .store import Store


class Weights(Store):
    """The store of runs, with keys that depend on the recipe, which has the code that trains, and the versions that matter."""

    @staticmethod
    def key(recipe: Mapping[str, Any]) -> str:
        versions = {name: version(name) for name in ("jax", "jaxlib", "numpy", "optax", "equinox")}
        what = {"weights": dict(recipe), "versions": versions, "device": jax.devices()[0].device_kind}
        return sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]


def kept(recipe: Mapping[str, Any], like: Any, make: Callable[[], Any], store: Store | None = None) -> Any:
    """The pytree of that recipe: from the store, or made and kept. Of equal requests at the same time one makes it.

    Args:
        recipe: all that the weights depend on, as JSON has it: ``title``, the SHA-256 of the ``data``, seed, sizes.
        like: a pytree of the same structure and shapes, such as the network before training.
        make: trains; the code that it reaches is part of the key, and what it returns must have the structure of ``like``. An
            exception passes through.
        store: by default that in ``LAB_HOME``.
    """
    _, rest = eqx.partition(like, eqx.is_array)
    structure = jax.tree.structure(eqx.filter(like, eqx.is_array))

    def made() -> xr.Dataset:
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(make(), eqx.is_array))]
        dims = [[f"axis_{i}_{k}" for k in range(leaf.ndim)] for i, leaf in enumerate(leaves)]
        arrays = {f"leaf_{i}": each for i, each in enumerate(zip(dims, leaves, strict=True))}
        told = {name: str(recipe.get(name, "")) for name in ("title", "data_name")}
        return xr.Dataset(arrays, attrs=told | {"study": "weights", "parameters": json.dumps(dict(recipe))})

    found = (Weights() if store is None else Weights(store.folder)).fetch(
        {**recipe, "code": code.of_function(make)}, made
    )
    leaves = [jnp.asarray(found[f"leaf_{i}"].values) for i in range(structure.num_leaves)]
    return eqx.combine(jax.tree.unflatten(structure, leaves), rest)
