"""A network in a file of its own, as a user has it."""

import jax.numpy as jnp
import numpy as np

import sde_engine as sde

NET = sde.NetworkModel(
    init={"v": jnp.array(1.0)}, loss=lambda p, x: 0.5 * (p["v"] - x) ** 2, data=(np.array([1.0, -1.0]),), name="mean"
)
