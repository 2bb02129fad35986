"""What the families share: half loss, initial matrices, and the symmetries of consecutive layers."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from sde_engine.errors import SpecError
from sde_engine.network.declaration import Declaration, Isometry, Symmetry


def half_loss(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return (params, x, y) -> |f(params, x) - y|^2 / 2."""

    def loss(params: Any, x: Any, y: Any) -> Any:
        return 0.5 * jnp.sum((f(params, x) - y) ** 2)

    return loss


def matrices(key: Any, widths: Sequence[int], scales: Sequence[float] | float = 1.0) -> list[Any]:
    """Return W_i (widths[i+1], widths[i]) with entries N(0, scale_i^2 / widths[i])."""
    depth = len(widths) - 1
    scales = [float(scales)] * depth if isinstance(scales, int | float) else list(scales)
    if depth < 1 or len(scales) != depth:
        raise SpecError(f"{len(scales)} scales for {depth} layers of widths {tuple(widths)}; one a layer is accepted")
    keys = jax.random.split(key, depth)
    shapes = zip(keys, widths[:-1], widths[1:], scales, strict=True)
    return [s * jax.random.normal(k, (out, fan)) / fan**0.5 for k, fan, out, s in shapes]


def rotation(width: int) -> Any:
    """Return an orthogonal matrix without special structure, always the same."""
    skew = jnp.sin(jnp.arange(width * width).reshape(width, width) * 1.0)
    return jax.scipy.linalg.expm(skew - skew.T)


def double_rotations(depth: int) -> list[Declaration]:
    """Return W_i -> e^{sM} W_i, W_{i+1} -> W_{i+1} e^{-sM} for the consecutive linear layers of params["W"]."""

    def between(i: int) -> Symmetry:
        return Symmetry(
            f"layers_{i + 1}_{i + 2}",
            lambda p: p["W"][i] @ p["W"][i].T,
            lambda p: p["W"][i + 1].T @ p["W"][i + 1],
            "double rotation",
        )

    return [between(i) for i in range(depth - 1)]


def hidden_rotation(layer: int = 0) -> Isometry:
    """Return the rotation of the hidden units between linear layers `layer` and `layer` + 1."""

    def transform(p: Any) -> Any:
        turn = rotation(p["W"][layer].shape[0])
        changed = list(p["W"])
        changed[layer], changed[layer + 1] = turn @ changed[layer], changed[layer + 1] @ turn.T
        return p | {"W": changed}

    return Isometry(f"rotation_{layer + 1}", transform)


def rescalings(depth: int, biases: bool) -> list[Declaration]:
    """Return, for each hidden layer of ReLUs, its neurons: (in-weights, bias) -> e^s, out-weights -> e^-s.

    Charges are vectors over neurons; their sums are the balances of the layers.
    """

    def neurons(i: int) -> Symmetry:
        def growing(p: Any) -> Any:
            squares = jnp.sum(p["W"][i] ** 2, axis=1)
            return squares + p["b"][i] ** 2 if biases else squares

        return Symmetry(f"neurons_{i + 1}", growing, lambda p: jnp.sum(p["W"][i + 1] ** 2, axis=0), "neuron")

    def layers(i: int) -> Symmetry:
        def growing(p: Any) -> Any:
            return jnp.sum(neurons(i).growing(p))

        return Symmetry(f"layers_{i + 1}_{i + 2}", growing, lambda p: jnp.sum(p["W"][i + 1] ** 2), "layer")

    # With a bias the rescaling of one hidden layer must not touch the bias of the next; each pair stands alone.
    return [one(i) for i in range(depth - 1) for one in (layers, neurons)]


def hidden_permutation(biases: bool, layer: int = 0) -> Isometry:
    """Return the cyclic permutation of the neurons of a hidden layer."""

    def transform(p: Any) -> Any:
        changed = {"W": list(p["W"])} | ({"b": list(p["b"])} if biases else {})
        changed["W"][layer] = jnp.roll(p["W"][layer], 1, axis=0)
        changed["W"][layer + 1] = jnp.roll(p["W"][layer + 1], 1, axis=1)
        if biases:
            changed["b"][layer] = jnp.roll(p["b"][layer], 1)
        return p | changed

    return Isometry(f"permutation_{layer + 1}", transform)
