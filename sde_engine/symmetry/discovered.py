"""Continuous linear symmetries of a network that nobody declared, found on samples."""

from typing import NamedTuple

import numpy as np

from sde_engine.errors import Incompatible
from sde_engine.network.declaration import Isometry, Symmetry, stretching, turning
from sde_engine.network.model import NetworkModel, example_gradients
from sde_engine.network.precision import in_double

MOST = 40  # parameters: P^2 unknowns, and a matrix of P^4 numbers (20 MB)


class LinearSymmetries(NamedTuple):
    """What was found; look at `singular_values` before you believe it.

    Attributes
    ----------
    symmetries : those of a symmetric A, which noise breaks; `orbit`, `verdict`, `charges` and `balance` take them
    isometries : rotations e^A of an antisymmetric A, which noise keeps; `verdict` takes them
    generators : an orthonormal basis of all A (P, P); beyond the two lists there may be some that are neither
    singular_values : (P^2,) ascending, of the equations for A, relative to the largest; those below the tolerance count
    """

    symmetries: list[Symmetry]
    isometries: list[Isometry]
    generators: list[np.ndarray]
    singular_values: np.ndarray

    @property
    def gap(self) -> float:
        """Smallest singular value that does not count over the largest that does, or over rounding, 1e-15."""
        count = len(self.generators)
        counted, rest = self.singular_values[:count], self.singular_values[count:]
        return float(rest.min(initial=1.0) / max(counted.max(initial=0.0), 1e-15))


@in_double
def linear_symmetries(net: NetworkModel, *, states: int = 0, seed: int, tolerance: float = 1e-9) -> LinearSymmetries:
    """Return the linear symmetries: all matrices A (P, P) with g_x^T A theta = 0 at random parameters.

    The null space of one linear equation for each example and state: a help for those who do not know their
    symmetries. Each e^{sA} leaves every example's loss unchanged on the part of parameter space that was sampled, up to
    the tolerance: a network that is nearly linear there has nearly the symmetries of a linear one, with singular values
    that are small and not rounding. Networks of up to 40 parameters: the unknowns are P^2 numbers.

    Parameters
    ----------
    states : number of random parameters, standard normal; 0: P^2 + 4
    tolerance : a singular value counts as zero below this times the largest
    """
    if net.dim > MOST:
        raise Incompatible(f"{net.dim} parameters have {net.dim**2} unknowns; networks of up to {MOST} are accepted")
    singular, vectors = _equations(net, states or net.dim**2 + 4, seed)
    basis = vectors[singular < tolerance].reshape(-1, net.dim, net.dim)
    stretches, turns = (_part(basis, sign) for sign in (1.0, -1.0))
    return LinearSymmetries(
        [stretching(f"found_{k + 1}", matrix) for k, matrix in enumerate(stretches)],
        [turning(f"rotation_{k + 1}", matrix) for k, matrix in enumerate(turns)],
        list(basis),
        singular,
    )


def _equations(net: NetworkModel, states: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the singular values of all equations, ascending and relative to the largest, and their vectors in rows."""
    rng, unknowns = np.random.default_rng(seed), net.dim**2
    blocks = [np.zeros((1, unknowns))]
    for k in range(states):
        theta = rng.normal(size=net.dim)
        rows = np.einsum("ni,j->nij", example_gradients(net, theta), theta).reshape(-1, unknowns)
        size = np.linalg.norm(rows, axis=1)
        blocks.append(rows[size > 1e-12] / size[size > 1e-12, None])
        if k == states - 1 or sum(map(len, blocks)) > 3 * unknowns:
            blocks = [
                np.asarray(np.linalg.qr(np.concatenate(blocks), mode="r"))
            ]  # squares of the rows would lose half the digits
    _, singular, vectors = np.linalg.svd(blocks[0])
    singular = np.concatenate([singular, np.zeros(unknowns - len(singular))])[::-1]
    return singular / max(singular[-1], 1e-300), vectors[::-1]


def _part(basis: np.ndarray, sign: float) -> list[np.ndarray]:
    """Return the combinations of matrices that are symmetric (sign 1) or antisymmetric (sign -1)."""
    if not len(basis):
        return []
    other = (basis - sign * np.swapaxes(basis, 1, 2)).reshape(len(basis), -1)
    left, singular, _ = np.linalg.svd(other)
    weights = left.T[singular < 1e-6]
    found = np.einsum("kb,bij->kij", weights, basis)
    return list(0.5 * (found + sign * np.swapaxes(found, 1, 2)))
