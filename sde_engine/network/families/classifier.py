"""A ReLU network with softmax output and cross-entropy: data = (x, label).

Besides the rescalings of its neurons it has a translation: adding one vector to all rows of the last layer changes no
probability. Translations move no gradient, so only weight decay acts on their charge, the sum of the rows.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from sde_engine.network.declaration import Translation
from sde_engine.network.families.parts import hidden_permutation, matrices, rescalings
from sde_engine.network.model import NetworkModel


def softmax_classifier(widths: Sequence[int], data: Any, *, scales: Sequence[float] | float = 1.0) -> NetworkModel:
    """Return a bias-free ReLU classifier with widths (input, hidden, ..., classes); labels are whole numbers."""
    depth = len(widths) - 1

    def loss(p: Any, x: Any, label: Any) -> Any:
        for weight in p["W"][:-1]:
            x = jax.nn.relu(weight @ x)
        return -jax.nn.log_softmax(p["W"][-1] @ x)[label]

    def init(key: Any) -> Any:
        return {"W": matrices(key, widths, scales)}

    symmetries = rescalings(depth, False)
    symmetries.append(Translation("logits", lambda p: jnp.sum(p["W"][-1], axis=0)))
    if depth > 1:
        symmetries.append(hidden_permutation(False))
    return NetworkModel(init=init, loss=loss, data=data, symmetries=symmetries, name="softmax_classifier")
