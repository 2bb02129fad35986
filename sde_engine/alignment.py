"""How alike the hidden layers of networks are: Gram matrices on common inputs, and their alignment.

Representations are (N, width) arrays of hidden activations on the same N inputs. Average kernels over time before
they are compared: at finite eta the instantaneous alignment fluctuates.

References
----------
Kornblith, S., Norouzi, M., Lee, H. and Hinton, G. (2019). Similarity of representations revisited. arXiv:1905.00414.
Ziyin, L. and Chuang, I. (2025). arXiv:2507.01098.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sde_engine.errors import SpecError


def cosine(one: ArrayLike, other: ArrayLike) -> float:
    """Return <K, K'> / (|K| |K'|) of two kernels, not centred: 1 if and only if they are proportional."""
    a, b = _pair(one, other)
    return float(np.sum(a * b) / np.sqrt(np.sum(a * a) * np.sum(b * b)))


def cka(one: ArrayLike, other: ArrayLike) -> float:
    """Return the centred kernel alignment: the cosine after the mean over inputs is taken out of both kernels."""
    a, b = _pair(one, other)
    return cosine(_centred(a), _centred(b))


def alignments(kernels: Sequence[ArrayLike], *, centred: bool = False) -> NDArray:
    """Return the matrix of alignments of all pairs, layers of one network or of several on the same inputs."""
    compared = cka if centred else cosine
    return np.array([[compared(a, b) for b in kernels] for a in kernels])


def kernel_distance(kernel: ArrayLike, reference: ArrayLike) -> float:
    """Return |c K - K_ref| / |K_ref| at the best scale c: 0 if proportional, sqrt(1 - cosine^2)."""
    return float(np.sqrt(max(0.0, 1.0 - cosine(kernel, reference) ** 2)))


def relative_scale(kernel: ArrayLike, reference: ArrayLike) -> float:
    """Return the number c for which c K_ref is nearest to K: the scale of a layer."""
    a, b = _pair(kernel, reference)
    return float(np.sum(a * b) / np.sum(b * b))


def linear_kernels(layers: Sequence[Any], inner: ArrayLike | None = None) -> list[NDArray]:
    """Return the kernels A_i^T A_i, A_i = W_i ... W_1 M_I, of the hidden layers of a linear network, on its inputs.

    h_i(x)^T h_i(x') = x^T A_i^T A_i x', so these compare all pairs of inputs at once.
    """
    weights = [np.asarray(weight) for weight in layers]
    below = np.eye(weights[0].shape[1]) if inner is None else np.asarray(inner)
    found = []
    for weight in weights[:-1]:
        below = weight @ below
        found.append(below.T @ below)
    return found


def _pair(one: ArrayLike, other: ArrayLike) -> tuple[NDArray, NDArray]:
    a, b = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
    if a.shape != b.shape or a.ndim != 2 or a.shape[0] != a.shape[1]:
        raise SpecError(f"kernels have shapes {a.shape} and {b.shape}; square ones on the same inputs are accepted")
    return a, b


def _centred(kernel: NDArray) -> NDArray:
    return kernel - kernel.mean(axis=0) - kernel.mean(axis=1)[:, None] + kernel.mean()
