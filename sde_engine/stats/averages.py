"""Ensemble and time averages of observables, each with a standard error that knows of autocorrelation.

Paths are independent, so the spread of their time averages is the error of the ensemble's, whatever the correlation
along a path. With few paths the windows of the record take the place of paths (`batch_error`), and a record that is
short beside its correlation gives no error. A state weighs as much as the time spent in it: the estimators are ratios,
and their errors come by the delta method.

References
----------
Glynn, P. W. and Whitt, W. (1991). Estimating the asymptotic variance with batch means. Oper. Res. Lett. 10, 431-435.
"""

from typing import Any, NamedTuple

import numpy as np

from sde_engine.backends.trace import Clock, Trace
from sde_engine.stats.quantity import Quantity, scalar

MIN_UNITS = 8  # fewer independent units than this give no standard error
MIN_EFFECTIVE = 16  # fewer effective samples than this of a few paths give no standard error of their mean,
MIN_SQUARES = 32  # than this none of a variance or covariance: squares of few samples are too skewed
_ALIKE = 0.3  # correlation of neighbouring windows above which they are joined


class Deviations(NamedTuple):
    """Weighted sums over the surviving paths, of deviations from one common origin."""

    origin: np.ndarray  # (K,)
    weight: np.ndarray  # (W, P)
    first: np.ndarray  # (W, K, P)
    second: np.ndarray  # (W, K, K, P)


def deviations(trace: Trace) -> Deviations:
    """Return the sums of a trace's surviving paths about the mean of their reference values."""
    alive = np.isinf(trace.diverged_at)
    reference, weight, sums = trace.reference[:, alive], trace.weight[:, alive], trace.sums[:, :, alive]
    count = len(reference)
    origin = reference.mean(axis=1) if alive.any() else np.full(count, np.nan)
    shift = reference - origin[:, None]
    own = sums[:, :count]
    first = own + shift * weight[:, None, :]
    second = np.empty((len(weight), count, count, weight.shape[1]))
    slot = count
    for k in range(count):
        for m in range(k, count):
            both = sums[:, slot] + shift[k] * own[:, m] + shift[m] * own[:, k] + shift[k] * shift[m] * weight
            second[:, k, m] = second[:, m, k] = both
            slot += 1
    return Deviations(origin, weight, first, second)


def ratio(numerator: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Return sum(numerator) / sum(weight) and its standard error. Both are (windows, paths) of one observable.

    The error has the factor of `student`, as `batch_error` has.
    """
    total = weight.sum()
    if not total > 0.0:
        return float("nan"), float("nan")
    estimate = numerator.sum() / total
    residual = numerator - estimate * weight
    if residual.shape[1] < MIN_UNITS:
        return float(estimate), float(batch_error(residual) / total)
    units = residual.sum(axis=0)
    count = len(units)
    error = np.sqrt(np.sum(units * units) * count / (count - 1.0) * student(count)) / total
    return float(estimate), float(error)


def student(count: int) -> float:
    """Return the square of what widens an error found from the scatter of `count` units, (n - 1) / (n - 3).

    Deviations in units of the error then have variance 1, as Student's t with n - 1 degrees of freedom has not.
    """
    return (count - 1.0) / (count - 3.0)


def batch_error(residual: np.ndarray) -> np.ndarray:
    """Return the standard error of the sum of all windows of a few paths, NaN for fewer than `MIN_UNITS` of them.

    Neighbouring windows are joined until they are hardly correlated. What is left of the correlation is added, the
    bias of deviations from the common mean is taken out, and the joined windows are as many units for the factor of
    `student`. Derived here from batch means.

    Parameters
    ----------
    residual : (windows, paths, ...) deviations from the common mean, of each observable
    """
    found, settled = np.full(residual.shape[2:], np.nan), np.zeros(residual.shape[2:], dtype=bool)
    while residual.shape[0] * residual.shape[1] >= MIN_UNITS and not settled.all():
        windows, paths = residual.shape[:2]
        count = windows * paths
        square = np.sum(residual * residual, axis=(0, 1))
        product = np.sum(residual[1:] * residual[:-1], axis=(0, 1))
        pairs = np.where(product > 0.0, count + 2.0 * (count - paths), count)
        spread = (square + 2.0 * np.maximum(product, 0.0)) / (1.0 - pairs / count**2)
        found = np.where(settled, found, spread * student(count))
        settled = settled | (product * windows <= _ALIKE * (windows - 1.0) * square) | (windows == 1)
        residual = _joined(residual)
    return np.sqrt(found)


def _joined(residual: np.ndarray) -> np.ndarray:
    """Return the sums of neighbouring windows, of the last three where their number is odd."""
    return np.add.reduceat(residual, np.arange(0, max(len(residual) - 1, 1), 2), axis=0)


def enough(error: Any, ess: Any, paths: int, least: float) -> Any:
    """Return the error, NaN where it comes from a few paths with fewer effective samples than `least`."""
    return np.where((paths < MIN_UNITS) & (ess < least), np.nan, error)[()]


def averages(trace: Trace, clock: Clock, names: tuple[str, ...], units: tuple[str, ...]) -> dict[str, Quantity]:
    """Return mean, variance, standard errors, effective sample size and covariances of the observables."""
    sums = deviations(trace)
    paths = sums.weight.shape[1]
    duration = paths * (clock.end - clock.burn_in)
    found: dict[str, Quantity] = {}
    means, sizes = [], []
    for k, (name, unit) in enumerate(zip(names, units, strict=True)):
        shift, error = ratio(sums.first[:, k], sums.weight)
        means.append(shift)
        centred = sums.second[:, k, k] - 2.0 * shift * sums.first[:, k] + shift * shift * sums.weight
        variance, variance_error = ratio(centred, sums.weight)
        variance = max(variance, 0.0) if np.isfinite(variance) else variance
        ess = variance / (error * error) if error > 0.0 and variance > 0.0 else float("nan")
        sizes.append(ess)
        error = enough(error, ess, paths, MIN_EFFECTIVE)
        variance_error = enough(variance_error, ess, paths, MIN_SQUARES)
        found |= {
            name: scalar(sums.origin[k] + shift, f"mean of {name} over time and surviving paths", unit),
            f"{name}_stderr": scalar(error, f"standard error of the mean of {name}", unit),
            f"{name}_variance": scalar(variance, f"variance of {name}", f"{unit}2" if unit != "1" else "1"),
            f"{name}_variance_stderr": scalar(variance_error, f"standard error of the variance of {name}"),
            f"{name}_ess": scalar(ess, f"effective number of independent samples of {name}"),
            f"{name}_autocorrelation_time": scalar(duration / ess, f"integrated autocorrelation time of {name}, on t"),
        }
    for k in range(len(names)):
        for m in range(k + 1, len(names)):
            product = sums.second[:, k, m] - means[k] * sums.first[:, m] - means[m] * sums.first[:, k]
            value, error = ratio(product + means[k] * means[m] * sums.weight, sums.weight)
            error = enough(error, min(sizes[k], sizes[m]), paths, MIN_SQUARES)
            pair = f"{names[k]}_{names[m]}_covariance"
            found[pair] = scalar(value, f"covariance of {names[k]} and {names[m]}")
            found[f"{pair}_stderr"] = scalar(error, f"standard error of the covariance of {names[k]} and {names[m]}")
    return found
