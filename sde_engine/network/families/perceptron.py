"""Multi-layer perceptrons: ReLU with or without biases, tanh, and two layers with a vector input.

A ReLU is homogeneous, so each hidden neuron can be rescaled, (in-weights, its bias) -> e^s and out-weights -> e^-s: a
charge each, and their sum for a layer. A tanh network keeps only isometries: permutations and sign flips of neurons.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from sde_engine.network.declaration import Isometry, Symmetry
from sde_engine.network.families.parts import half_loss, hidden_permutation, matrices, rescalings
from sde_engine.network.model import NetworkModel


def _perceptron(
    activation: Callable[[Any], Any], widths: Sequence[int], scales: Sequence[float] | float, biases: bool
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    def init(key: Any) -> Any:
        weights = {"W": matrices(key, widths, scales)}
        if not biases:
            return weights
        keys = jax.random.split(jax.random.fold_in(key, 1), len(widths) - 1)
        return weights | {"b": [0.1 * jax.random.normal(k, (n,)) for k, n in zip(keys, widths[1:], strict=True)]}

    def f(p: Any, x: Any) -> Any:
        depth = len(p["W"])
        for i, weight in enumerate(p["W"]):
            x = weight @ x + (p["b"][i] if biases else 0.0)
            x = activation(x) if i < depth - 1 else x
        return x

    return init, f


def relu_perceptron(
    widths: Sequence[int], data: Any, *, scales: Sequence[float] | float = 1.0, biases: bool = False
) -> NetworkModel:
    """Return a ReLU network with widths (input, hidden, ..., output)."""
    init, f = _perceptron(jax.nn.relu, widths, scales, biases)
    depth = len(widths) - 1
    symmetries = rescalings(depth, biases)
    if depth > 1:
        symmetries.append(hidden_permutation(biases))
    return NetworkModel(init=init, loss=half_loss(f), data=data, symmetries=symmetries, name="relu_perceptron")


def tanh_perceptron(
    widths: Sequence[int], data: Any, *, scales: Sequence[float] | float = 1.0, biases: bool = False
) -> NetworkModel:
    """Return a tanh network: its symmetries are isometries, so noise breaks none."""
    init, f = _perceptron(jnp.tanh, widths, scales, biases)

    def flipped(p: Any) -> Any:
        signs = jnp.where(jnp.arange(p["W"][0].shape[0]) % 2 == 0, -1.0, 1.0)
        weights = [signs[:, None] * p["W"][0], p["W"][1] * signs, *p["W"][2:]]
        return p | {"W": weights} | ({"b": [signs * p["b"][0], *p["b"][1:]]} if biases else {})

    symmetries = [hidden_permutation(biases), Isometry("sign_flip_1", flipped)] if len(widths) > 2 else []
    return NetworkModel(init=init, loss=half_loss(f), data=data, symmetries=symmetries, name="tanh_perceptron")


def two_layer_vector(dim: int, data: Any, *, scale: float = 1.0) -> NetworkModel:
    """Return f(x) = u (w . x), u a number and w a vector: the smallest network with vector input."""

    def init(key: Any) -> Any:
        one, two = jax.random.split(key)
        return {"u": scale * jax.random.normal(one), "w": scale * jax.random.normal(two, (dim,)) / dim**0.5}

    return NetworkModel(
        init=init,
        loss=lambda p, x, y: 0.5 * (p["u"] * (p["w"] @ x) - y) ** 2,
        data=data,
        symmetries=[Symmetry("rescaling", lambda p: p["u"] ** 2, lambda p: jnp.sum(p["w"] ** 2), "layer")],
        name="two_layer_vector",
    )
