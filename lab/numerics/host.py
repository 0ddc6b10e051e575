"""From the host to the device."""

from typing import Any

import jax
import numpy as np
from jax import Array


def placed(x: Any) -> Array:
    """An array of the host on the device, as it is now and in the precision that is set; what is there stays.

    ``jnp.asarray`` compiles a program for each shape. ``jax.device_put`` alone may share the memory: what is written into it
    later would then be seen.
    """
    return x if isinstance(x, Array) else jax.device_put(np.array(x))
