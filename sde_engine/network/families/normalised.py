"""A weight-normalised model, f(x) = v_i . x / |v_i| for each output i: its loss does not know the norms |v_i|.

Scale invariance v_i -> e^s v_i has nothing that shrinks, so noise makes the norms grow until weight decay stops them.
"""

from typing import Any

import jax
import jax.numpy as jnp

from sde_engine.network.declaration import Symmetry
from sde_engine.network.families.parts import half_loss
from sde_engine.network.model import NetworkModel


def weight_normalised(inputs: int, outputs: int, data: Any, *, scale: float = 1.0) -> NetworkModel:
    """Return f(x) = (v / |v|) x, row by row, v (outputs, inputs)."""

    def f(p: Any, x: Any) -> Any:
        return (p["v"] / jnp.sqrt(jnp.sum(p["v"] ** 2, axis=1, keepdims=True))) @ x

    def squares(p: Any) -> Any:
        return jnp.sum(p["v"] ** 2, axis=1)

    return NetworkModel(
        init=lambda key: {"v": scale * jax.random.normal(key, (outputs, inputs)) / inputs**0.5},
        loss=half_loss(f),
        data=data,
        symmetries=[Symmetry("scale", squares, lambda p: jnp.zeros(outputs), "scale")],
        name="weight_normalised",
    )
