"""What a network says about its symmetries, once; everything else is derived from it.

A *charge* is a quadratic form of the parameters, a number or a symmetric matrix, Q = growing - shrinking with two
positive parts: |W1|^2 - |W2|^2 for W1 -> e^s W1, W2 -> e^-s W2, or W1 W1^T - W2^T W2 for the double rotation
W1 -> e^{sM} W1, W2 -> W2 e^{-sM} with every symmetric M at once. Its generator is A theta = grad Q / 2, and the same
form applied to a gradient is g^T A g, so the parts need to be written only once, for the parameters.

    Q' = (1 - eta weight_decay)^2 Q + eta^2 Q(g_B)       one update of SGD, exactly, for every batch       (3.3)

References
----------
Ziyin, L., Wang, M., Li, H. and Wu, L. (2024). Parameter symmetry and noise equilibrium of SGD. arXiv:2402.07193.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from scipy.linalg import expm

from sde_engine.errors import SpecError
from sde_engine.values import numbers_of

Form = Callable[[Any], Any]


@dataclass(frozen=True)
class Symmetry:
    """A continuous symmetry that stretches: every example's loss is constant along e^{sA}, A symmetric.

    Parameters
    ----------
    name : a Python identifier, used in names of results
    growing, shrinking : params -> number, vector or square matrix, quadratic and positive; charge = growing - shrinking
    kind : what the two parts are ("layer", "neuron", "double rotation", "head", "scale"), for tables
    """

    name: str
    growing: Form
    shrinking: Form
    kind: str = "layer"

    def charge(self, params: Any) -> Any:
        """Return growing - shrinking, a number, a vector of independent charges, or a matrix."""
        return self.growing(params) - self.shrinking(params)

    def along(self, direction: Any) -> "Symmetry":
        """Return the one-parameter symmetry in a direction: Tr[M Q] of a matrix charge, weights . Q of a vector."""
        matrix = jnp.asarray(direction)
        return Symmetry(
            f"{self.name}_along",
            lambda params: jnp.sum(matrix * self.growing(params)),
            lambda params: jnp.sum(matrix * self.shrinking(params)),
            self.kind,
        )


@dataclass(frozen=True)
class Translation:
    """A symmetry theta -> theta + s v: `charge` is linear, params -> numbers, and only weight decay moves it.

    q' = (1 - eta weight_decay) q exactly; gradients are the same all along the orbit, so noise keeps the symmetry.
    """

    name: str
    charge: Form
    kind: str = "translation"


@dataclass(frozen=True)
class Isometry:
    """An orthogonal symmetry: permutation of neurons, sign flip, rotation. `transform` maps params to params.

    Gradients turn with the parameters and keep their length, so the entropic loss is unchanged: preserved.
    """

    name: str
    transform: Callable[[Any], Any]
    kind: str = "isometry"


Declaration = Symmetry | Translation | Isometry


def stretching(name: str, generator: Any) -> Symmetry:
    """Return the symmetry e^{sA} of a symmetric matrix A (P, P) on the parameters in the order of `net.flatten`.

    Raises
    ------
    SpecError : a matrix that is not symmetric; its orbit has no quadratic charge
    """
    matrix = numbers_of("generator", generator, "a symmetric matrix")
    is_square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1]
    if not is_square or not np.allclose(matrix, matrix.T, rtol=0.0, atol=1e-9 * np.abs(matrix).max(initial=0.0)):
        raise SpecError(f"the generator of {name!r} has shape {matrix.shape}; a symmetric matrix is accepted")
    mu, vectors = np.linalg.eigh(matrix)

    def part(weights: np.ndarray) -> Form:
        def form(params: Any) -> Any:
            turned = jnp.asarray(vectors.T) @ ravel_pytree(params)[0]
            return jnp.sum(jnp.asarray(weights) * turned * turned)

        return form

    return Symmetry(name, part(np.maximum(mu, 0.0)), part(np.maximum(-mu, 0.0)), "linear")


def turning(name: str, generator: Any) -> Isometry:
    """Return the rotation e^A of an antisymmetric matrix A (P, P) on the parameters in the order of `net.flatten`."""
    turn = expm(np.asarray(generator, dtype=float))

    def transform(params: Any) -> Any:
        flat, unflatten = ravel_pytree(params)
        return unflatten(jnp.asarray(turn) @ flat)

    return Isometry(name, transform)


def scale_invariance(name: str, part: Callable[[Any], Any] = lambda params: params) -> Symmetry:
    """Return the symmetry theta -> e^s theta of the leaves that `part` picks: nothing shrinks, noise makes it grow."""

    def growing(params: Any) -> Any:
        return sum(jnp.sum(leaf * leaf) for leaf in jax.tree.leaves(part(params)))

    return Symmetry(name, growing, lambda params: jnp.zeros(()), "scale")
