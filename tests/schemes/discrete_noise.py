"""The noise of one step as a discrete law that is listed in full: three-point normals and two-point signs.

+-sqrt 3 with 1/6 each and 0 with 2/3 has the first five moments of a standard normal: all that weak order 2 asks for.
"""

from itertools import product
from typing import Any

import numpy as np

from sde_engine.scheme import Ito, Scheme
from sde_engine.testing.scheme_order import settings_of


def listed(scheme: Scheme, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Return all values of one step's normals, (draws, n), and their probabilities."""
    extra = scheme.draws(columns, columns) - columns
    z = np.array(list(product(*((0.0, 3.0**0.5, -(3.0**0.5)),) * columns, *((1.0, -1.0),) * extra))).T
    mass = np.where(z[:columns] == 0.0, 2.0 / 3.0, 1.0 / 6.0).prod(axis=0) * 0.5**extra
    return z, mass


def steps(scheme: Scheme, system: Ito, theta: Any, z: np.ndarray, dt: float) -> Any:
    """Return theta after the steps z (steps, draws, n), from one point or from (d, n) points."""
    count, dim = z.shape[2], len(theta)
    state = tuple(np.broadcast_to(x, (count,)) + 0.0 for x in (*theta, *(0.0,) * (dim * scheme.memory)))
    advance, settings = scheme.build(system), settings_of(scheme, system, dim, dt)
    size, root = np.full(count, dt), np.full(count, dt**0.5)
    for each in z:
        state = advance(state, tuple(each), size, root, None, settings)
    return state[:dim]
