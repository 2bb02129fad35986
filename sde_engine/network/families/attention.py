"""One block of self-attention, several heads, without biases: softmax(X W_Q W_K^T X^T / sqrt(d)) X W_V W_O.

Each head has two double rotations: W_Q -> W_Q e^{sM}, W_K -> W_K e^{-sM^T}, and W_V -> W_V e^{sM}, W_O -> e^{-sM} W_O.
"""

from typing import Any

import jax
import jax.numpy as jnp

from sde_engine.network.declaration import Symmetry
from sde_engine.network.families.parts import half_loss
from sde_engine.network.model import NetworkModel


def self_attention(width: int, heads: int, head_width: int, data: Any, *, scale: float = 1.0) -> NetworkModel:
    """Return a block from sequences x (tokens, width) to sequences of the same shape."""

    def init(key: Any) -> Any:
        keys = jax.random.split(key, 4)
        tall = {
            name: scale * jax.random.normal(k, (heads, width, head_width)) / width**0.5
            for name, k in zip("QKV", keys, strict=False)
        }
        return tall | {"O": scale * jax.random.normal(keys[3], (heads, head_width, width)) / head_width**0.5}

    def head(q: Any, k: Any, v: Any, o: Any, x: Any) -> Any:
        logits = (x @ q) @ (x @ k).T / head_width**0.5
        return jax.nn.softmax(logits, axis=-1) @ (x @ v) @ o

    def f(p: Any, x: Any) -> Any:
        return jnp.sum(jax.vmap(head, (0, 0, 0, 0, None))(p["Q"], p["K"], p["V"], p["O"], x), axis=0)

    def of_head(i: int) -> list[Symmetry]:
        return [
            Symmetry(
                f"head_{i + 1}_query_key",
                lambda p: p["Q"][i].T @ p["Q"][i],
                lambda p: p["K"][i].T @ p["K"][i],
                "head",
            ),
            Symmetry(
                f"head_{i + 1}_value_output",
                lambda p: p["V"][i].T @ p["V"][i],
                lambda p: p["O"][i] @ p["O"][i].T,
                "head",
            ),
        ]

    symmetries = [one for i in range(heads) for one in of_head(i)]
    return NetworkModel(init=init, loss=half_loss(f), data=data, symmetries=symmetries, name="self_attention")
