"""The law of one example as points and probabilities: exact where it is finite, quadrature nodes where it is normal."""

from itertools import product

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from numpy.typing import NDArray

from sde_engine.errors import Incompatible
from sde_engine.model import Model

_MOST_NODES = 20_000  # examples that a drawn law is replaced by


def example_nodes(model: Model) -> tuple[NDArray, NDArray]:
    """Return examples (draws, k) and their probabilities (k,) that stand for the model's law of examples.

    All rows of a table and all sign patterns are exact; normals are Gauss-Hermite nodes, exact for polynomials of
    degree below twice their number a draw (that is 20 for up to 3 draws).
    """
    law = model.examples
    if law.table is not None:
        return law.table.T, np.full(len(law.table), 1.0 / len(law.table))
    if law.kind == "sign":
        points, weights = np.array([-1.0, 1.0]), np.array([0.5, 0.5])
    else:
        number = min(20, int(_MOST_NODES ** (1.0 / law.draws) + 1e-9))
        points, weights = hermegauss(max(number, 2))
        weights = weights / weights.sum()
    if len(points) ** law.draws > 4 * _MOST_NODES:
        raise Incompatible(
            f"an example of {model.name!r} takes {law.draws} numbers, too many to enumerate their law; "
            "give the examples as a table"
        )
    draws = np.array(list(product(points, repeat=law.draws))).T
    return draws, np.prod(np.array(list(product(weights, repeat=law.draws))).T, axis=0)
