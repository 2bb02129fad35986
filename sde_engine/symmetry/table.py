"""A row of the table of balances, the same for small models and networks."""

from typing import NamedTuple

import numpy as np

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


def _total(part: np.ndarray) -> float:
    return float(np.trace(part) if part.ndim == 2 else np.sum(part))
