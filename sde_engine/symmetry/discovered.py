"""Continuous linear symmetries of a network that nobody declared, found on samples."""

import numpy as np

from sde_engine.errors import Incompatible
from sde_engine.network.model import NetworkModel, example_gradients
from sde_engine.network.precision import in_double


@in_double
def linear_symmetries(net: NetworkModel, *, states: int = 0, seed: int, tolerance: float = 1e-9) -> list[np.ndarray]:
    """Return a basis of the matrices A (P, P) with g_x^T A theta = 0 at random parameters: the linear symmetries.

    The null space of one linear equation for each example and state: a help for those who do not know their
    symmetries. Each e^{sA} leaves every example's loss unchanged (on the part of parameter space that was sampled).
    For small networks: the unknowns are P^2 numbers.
    """
    if net.dim > 40:
        raise Incompatible(f"{net.dim} parameters have {net.dim**2} unknowns; networks of up to 40 are accepted")
    rng = np.random.default_rng(seed)
    normal = np.zeros((net.dim**2, net.dim**2))
    for _ in range(states or net.dim**2 + 4):
        theta = rng.normal(size=net.dim)
        gradients = example_gradients(net, theta)
        rows = np.einsum("ni,j->nij", gradients, theta).reshape(len(gradients), -1)
        size = np.linalg.norm(rows, axis=1)
        rows = rows[size > 1e-12] / size[size > 1e-12, None]
        normal += rows.T @ rows
    _, singular, vectors = np.linalg.svd(normal)
    count = int(np.sum(singular < tolerance * singular[0]))
    return [v.reshape(net.dim, net.dim) for v in vectors[len(vectors) - count :]]
