"""Deep linear networks: plain, between fixed embeddings, and the factorisation of a matrix.

    deep_linear            f(x) = W_D ... W_1 x
    embedded_deep_linear   f(x) = M_O W_D ... W_1 M_I x,  M_I and M_O fixed
    matrix_factorisation   f(i, j) = (U W)_ij, an example is an entry (i, j) and its value

Symmetries: the general linear group between consecutive layers (a matrix charge each), rotations preserved.
"""

from collections.abc import Sequence
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sde_engine.network.declaration import Symmetry
from sde_engine.network.families.parts import double_rotations, half_loss, hidden_rotation, matrices
from sde_engine.network.model import NetworkModel


def product(layers: Sequence[Any], x: Any) -> Any:
    """Return W_D ... W_1 x."""
    return reduce(lambda hidden, weight: weight @ hidden, layers, x)


def deep_linear(widths: Sequence[int], data: Any, *, scales: Sequence[float] | float = 1.0) -> NetworkModel:
    """Return f(x) = W_D ... W_1 x with widths (input, hidden, ..., output)."""
    depth = len(widths) - 1
    kept = [hidden_rotation()] if depth > 1 else []
    return NetworkModel(
        init=lambda key: {"W": matrices(key, widths, scales)},
        loss=half_loss(lambda p, x: product(p["W"], x)),
        data=data,
        symmetries=[*double_rotations(depth), *kept],
        name="deep_linear",
    )


def embedded_deep_linear(
    widths: Sequence[int], data: Any, *, inner: Any, outer: Any, scales: Sequence[float] | float = 1.0
) -> NetworkModel:
    """Return f(x) = outer W_D ... W_1 inner x; `widths` are those of the trainable layers.

    Parameters
    ----------
    inner, outer : fixed matrices M_I and M_O; a network that sees the data through a view x -> Z x has inner M_I Z
    """
    first, last = np.asarray(inner), np.asarray(outer)
    depth = len(widths) - 1
    kept = [hidden_rotation()] if depth > 1 else []
    return NetworkModel(
        init=lambda key: {"W": matrices(key, widths, scales)},
        loss=half_loss(lambda p, x: jnp.asarray(last) @ product(p["W"], jnp.asarray(first) @ x)),
        data=data,
        symmetries=[*double_rotations(depth), *kept],
        name="embedded_deep_linear",
    )


def matrix_factorisation(shape: tuple[int, int], rank: int, data: Any, *, scale: float = 1.0) -> NetworkModel:
    """Return the model (U W)_ij of a matrix, trained on entries: data = (rows, columns, values)."""
    rows, columns = shape

    def init(key: Any) -> Any:
        left, right = jax.random.split(key)
        u = jax.random.normal(left, (rows, rank)) * (scale / rank**0.5)
        return {"U": u, "W": jax.random.normal(right, (rank, columns)) * (scale / rank**0.5)}

    return NetworkModel(
        init=init,
        loss=lambda p, i, j, value: 0.5 * (p["U"][i] @ p["W"][:, j] - value) ** 2,
        data=data,
        symmetries=[Symmetry("factors", lambda p: p["W"] @ p["W"].T, lambda p: p["U"].T @ p["U"], "double rotation")],
        name="matrix_factorisation",
    )
