"""Irreversibility measured on trajectories: area rates and entropy production from pairs of consecutive states.

    area rate   (1/2) <theta_i o dtheta_j - theta_j o dtheta_i> / tau = <theta_i theta'_j - theta_j theta'_i> / (2 tau)
    entropy     Kullback-Leibler divergence of the law of (theta, theta') from that of (theta', theta), per tau

The products are taken at midpoints (Stratonovich). The entropy is that of a Gaussian chain with the pairs' covariance:
exact for a linear chain with Gaussian noise, a measure of asymmetry by second moments elsewhere. The closed forms are
in `theory.current`, the numbers of a density on a grid in `fokker_planck.current`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import f

from sde_engine.errors import SpecError
from sde_engine.pairs import Pairs as Pairs
from sde_engine.pairs import state_pairs as state_pairs

GROUPS = 20  # the jackknife leaves out one of so many groups of pairs


class PairCurrent(NamedTuple):
    """What pairs of states say about irreversibility; rates are per unit of t = eta * updates.

    Attributes
    ----------
    area_rate, area_rate_stderr : (d, d), antisymmetric
    entropy_production, entropy_production_stderr : per unit of t, of the Gaussian chain with the pairs' covariance
    p_value : of detailed balance, under which all area rates are 0: the probability of rates as large as these or
        larger (Hotelling's T^2). A small one refutes detailed balance; a large one is no proof, a current may leave the
        area rates 0. NaN in one dimension, which has no area, and from seven on, too many for the groups
    """

    area_rate: NDArray
    area_rate_stderr: NDArray
    entropy_production: float
    entropy_production_stderr: float
    p_value: float


def pair_current(before: ArrayLike, after: ArrayLike, *, time: float) -> PairCurrent:
    """Return area rates and entropy production of pairs of consecutive states, with standard errors.

    Parameters
    ----------
    before, after : (d, n)
        States of n independent stationary paths, and the same paths `time` later.
    time : time between the two on the clock
    """
    x, y = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    if x.ndim != 2 or x.shape != y.shape or x.shape[1] < 2 * GROUPS:
        raise SpecError(
            f"before and after have shapes {x.shape} and {y.shape}; equal shapes (d, n) with n of "
            f"{2 * GROUPS} or more are accepted"
        )
    d, n = x.shape
    # A stationary pair has one mean; subtracting it from both changes neither rate.
    centre = 0.5 * (x.mean(axis=1) + y.mean(axis=1))[:, None]
    joint = np.concatenate([x - centre, y - centre])
    group = np.arange(n) % GROUPS
    sums = np.array([joint[:, group == g] @ joint[:, group == g].T for g in range(GROUPS)])
    counts = np.bincount(group, minlength=GROUPS)
    whole = _rates(sums.sum(axis=0) / n, d, time)
    left_out = [_rates((sums.sum(axis=0) - s) / (n - c), d, time) for s, c in zip(sums, counts, strict=True)]
    area, area_error = _jackknife(whole[0], np.array([part[0] for part in left_out]))
    entropy, entropy_error = _jackknife(np.asarray(whole[1]), np.array([part[1] for part in left_out]))
    p_value = _hotelling(np.array([part[0] for part in left_out]))
    return PairCurrent(area, area_error, float(entropy), float(entropy_error), p_value)


def _rates(second: NDArray, d: int, time: float) -> tuple[NDArray, float]:
    lagged = second[d:, :d]
    area = (lagged.T - lagged) / (2.0 * time)
    stationary = 0.5 * (second[:d, :d] + second[d:, d:])
    forth = np.block([[stationary, lagged.T], [lagged, stationary]])
    back = np.block([[stationary, lagged], [lagged.T, stationary]])
    return area, 0.5 * float(np.trace(np.linalg.solve(back, forth)) - 2 * d) / time


def _jackknife(whole: NDArray, left_out: NDArray) -> tuple[NDArray, NDArray]:
    """Return the value with its bias of order 1/n removed, and its standard error."""
    mean = left_out.mean(axis=0)
    error = np.sqrt((GROUPS - 1.0) / GROUPS * np.sum((left_out - mean) ** 2, axis=0))
    return GROUPS * whole - (GROUPS - 1.0) * mean, error


def _hotelling(left_out: NDArray) -> float:
    """Return the p-value of antisymmetric (GROUPS, d, d) rates being 0 on average, from the jackknife's pseudo-values."""
    each = left_out[:, *np.triu_indices(left_out.shape[1], 1)]
    count = each.shape[1]
    if not 0 < count < GROUPS:
        return float("nan")
    values = GROUPS * each.mean(axis=0) - (GROUPS - 1.0) * each
    mean, spread = values.mean(axis=0), np.atleast_2d(np.cov(values.T))
    square = GROUPS * mean @ np.linalg.solve(spread, mean)
    return float(f.sf(square * (GROUPS - count) / (count * (GROUPS - 1.0)), count, GROUPS - count))
