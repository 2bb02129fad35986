"""A row of the table of balances, and what may stand in it: the same for small models and networks."""

from typing import NamedTuple

import numpy as np

from sde_engine.errors import Incompatible
from sde_engine.kernel import Hyper
from sde_engine.stats.averages import MIN_UNITS


class Balance(NamedTuple):
    """Master balance (3.4) of one symmetry over a set of states, entry by entry for vectors and matrices.

    `residual` = eta <Q(g_B)> - 2 lambda (1 - eta lambda / 2) <Q>, with its standard error over the states (NaN below
    eight); `growing` and `shrinking` are <parts of Q(g_B)>, `ratio` the ratio of their traces or sums.
    """

    name: str
    kind: str
    charge: np.ndarray
    growing: np.ndarray
    shrinking: np.ndarray
    ratio: float
    residual: np.ndarray
    stderr: np.ndarray


def balance_of(
    name: str, kind: str, hyper: Hyper, charge: np.ndarray, growing: np.ndarray, shrinking: np.ndarray
) -> Balance:
    """Return the row of a symmetry from its charge and E_B of both parts of Q(g_B) at every state, (states, ...)."""
    decay = 2.0 * hyper.weight_decay * (1.0 - 0.5 * hyper.eta * hyper.weight_decay)
    residual = hyper.eta * (growing - shrinking) - decay * charge
    error = np.full(residual[0].shape, np.nan)
    if len(residual) >= MIN_UNITS:
        error = residual.std(axis=0, ddof=1) / len(residual) ** 0.5
    up, down = growing.mean(axis=0), shrinking.mean(axis=0)
    ratio = _total(up) / _total(down) if _total(down) > 0.0 else np.inf
    return Balance(name, kind, charge.mean(axis=0), up, down, float(ratio), residual.mean(axis=0), error)


def check_orbit(name: str, whose: str, gradients: np.ndarray, tangent: np.ndarray, changed: float, hint: str) -> None:
    """Refuse as a symmetry what moves the loss of an example, to first order.

    Parameters
    ----------
    gradients, tangent : (N, d) of the examples and (d,) of the orbit, at one state
    changed : cosine that rounding can cause

    Raises
    ------
    Incompatible : with the cosine between a gradient and the orbit, which is 0 for a symmetry
    """
    size = np.linalg.norm(gradients, axis=1).max(initial=0.0) * np.linalg.norm(tangent)
    cosine = np.abs(gradients @ tangent).max(initial=0.0) / max(size, 1e-300)
    if cosine > changed:
        raise Incompatible(
            f"{name!r} is no symmetry of {whose!r}: the gradient of an example has the cosine {cosine:.2g} with its "
            f"orbit, 0 is accepted; {hint}"
        )


def _total(part: np.ndarray) -> float:
    return float(np.trace(part) if part.ndim == 2 else np.sum(part))
