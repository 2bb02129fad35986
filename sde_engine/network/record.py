"""How the looks at a run of a network become averages with errors, named as those of a small model are."""

from typing import Any, NamedTuple

import numpy as np

from sde_engine.network.observed import words_for
from sde_engine.stats.averages import MIN_EFFECTIVE, MIN_SQUARES, MIN_UNITS, batch_error, enough, student
from sde_engine.stats.mixing import nested_rhat
from sde_engine.stats.quantity import Quantity


class Means(NamedTuple):
    """Means over the looks of a window and variances about them, each (windows, paths, ...) of one observable."""

    first: np.ndarray
    spread: np.ndarray
    counts: np.ndarray  # (windows,) looks, by which a window weighs

    def kept(self, alive: np.ndarray, burnt: int) -> "Means":
        """Return those of the paths that live, without the first windows."""
        return Means(self.first[burnt:, alive], self.spread[burnt:, alive], self.counts[burnt:])

    def weighed(self, values: np.ndarray) -> np.ndarray:
        """Return (windows, ...) times the weights of the windows, whose mean is 1."""
        share = self.counts * len(self.counts) / max(self.counts.sum(), 1)
        return values * share.reshape(-1, *[1] * (values.ndim - 1))


def averaged(name: str, means: Means, group: np.ndarray, duration: float) -> dict[str, Quantity]:
    """Return mean and variance of one observable with their errors, effective samples and nested R-hat.

    Parameters
    ----------
    means : of the paths and windows that count
    group : (paths,) number of the start of each path
    duration : length of the record of all paths together, on t
    """
    dims, coords = axes_of(name, means.first.shape[2:])
    words = words_for(name)
    with np.errstate(all="ignore"):
        mean = _mean(means.weighed(means.first), (0, 1))
        error = _error_of(means.weighed(means.first - mean))
        square = means.spread + (means.first - mean) ** 2
        variance = _mean(means.weighed(square), (0, 1))
        ess = np.where((error > 0.0) & (variance > 0.0), variance / (error * error), np.nan)
        paths = means.first.shape[1]
        error = enough(error, ess, paths, MIN_EFFECTIVE)
        square_error = enough(_error_of(means.weighed(square - variance)), ess, paths, MIN_SQUARES)
        found = {
            name: (mean, f"mean of the {words}, over time and surviving paths"),
            f"{name}_stderr": (error, f"standard error of the mean of the {words}"),
            f"{name}_variance": (variance, f"variance of the {words}"),
            f"{name}_variance_stderr": (square_error, f"standard error of the variance of the {words}"),
            f"{name}_ess": (ess, f"effective number of independent samples of the {words}"),
            f"{name}_autocorrelation_time": (duration / ess, f"integrated autocorrelation time of the {words}, on t"),
            f"{name}_rhat": (_rhat(means, group), f"nested R-hat of the {words} over the starts"),
        }
    return {key: Quantity(np.asarray(value), said, dims=dims, coords=coords) for key, (value, said) in found.items()}


def traced(name: str, means: Means, clock: np.ndarray) -> dict[str, Quantity]:
    """Return the mean over paths of each window, with its standard error, at the clock of the windows."""
    dims, coords = axes_of(name, means.first.shape[2:])
    dims, coords = ("time", *dims), {"time": clock} | coords
    words = words_for(name)
    with np.errstate(all="ignore"):
        trace, error = _mean(means.first, (1,)), _error(np.moveaxis(means.first, 1, 0))
    return {
        f"{name}_trace": Quantity(trace, f"{words}, averaged over paths and a window", dims=dims, coords=coords),
        f"{name}_trace_stderr": Quantity(error, f"standard error of the {words} in a window", dims=dims, coords=coords),
    }


def axes_of(name: str, shape: tuple[int, ...]) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Return names and coordinates of the dimensions of an observable that is an array."""
    dims = tuple(f"{name}_axis{i}" for i in range(len(shape)))
    return dims, {dim: np.arange(count) for dim, count in zip(dims, shape, strict=True)}


def _error_of(residual: np.ndarray) -> np.ndarray:
    """Return the standard error of the mean of (windows, paths, ...): of paths, or of few paths' windows."""
    if residual.shape[0] and residual.shape[1] >= MIN_UNITS:
        return _error(residual.mean(axis=0))
    return batch_error(residual) / max(residual.shape[0] * residual.shape[1], 1)


def _rhat(means: Means, group: np.ndarray) -> Any:
    if not (means.first.shape[0] and means.first.shape[1]):
        return np.full(means.first.shape[2:], np.nan)
    centre = means.weighed(means.first).mean(axis=0)
    square = means.spread + (means.first - centre) ** 2
    return nested_rhat(centre, means.weighed(square).mean(axis=0), group)


def _mean(values: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    empty = any(values.shape[axis] == 0 for axis in axes)
    shape = tuple(n for i, n in enumerate(values.shape) if i not in axes)
    return np.full(shape, np.nan) if empty else values.mean(axis=axes)


def _error(units: np.ndarray) -> np.ndarray:
    """Return the standard error of the mean over the first axis, NaN for fewer than `MIN_UNITS` units."""
    if len(units) < MIN_UNITS:
        return np.full(units.shape[1:], np.nan)
    return units.std(axis=0, ddof=1) * np.sqrt(student(len(units)) / len(units))
