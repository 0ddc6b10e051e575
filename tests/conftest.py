"""Strict numerics for every test: x64, no silent rank promotion, shapes and types checked at run time."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")

from jaxtyping import install_import_hook

install_import_hook(["lab.ot", "lab.numerics"], "beartype.beartype")
