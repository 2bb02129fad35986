"""Which starts of an ensemble lead to one law: those whose paths end alike."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp

FEW = 8  # ends of paths from which nothing is told
_ALIKE = 1e-4  # chance of so large a distance of samples, below which they are not of one law


def last_states(found: Any, names: tuple[str, ...], starts: int) -> list[list[NDArray]]:
    """Return the last values of every variable by start."""
    alive = np.isinf(found["diverged_at"].values)
    finals = [np.where(alive, found[f"{name}_final"].values, np.nan) for name in names]
    return [[part[np.isfinite(part)] for part in (final[k::starts] for k in range(starts))] for final in finals]


def left(ends: list[list[NDArray]], sets: list[list[int]]) -> list[float]:
    """Return by set of starts the share of paths that end nearer to the middle of another set's than to their own's.

    Distances are counted in the widths of each set, between the quartiles, and added up over the variables.
    """
    away = []
    for k in range(len(sets)):
        square: Any = 0.0
        for finals in ends:
            parts = [np.concatenate([finals[j] for j in chosen]) for chosen in sets]
            quartiles = np.array([np.quantile(part, (0.25, 0.5, 0.75)) for part in parts])
            widths = np.maximum(quartiles[:, 2] - quartiles[:, 0], 1e-12 * np.abs(quartiles[:, 1]) + 1e-300)
            square = square + ((parts[k][:, None] - quartiles[:, 1]) / widths) ** 2
        away.append(float(np.mean(np.argmin(square, axis=1) != k)))
    return away


def sets_of_starts(ends: list[list[NDArray]]) -> list[list[int]]:
    """Return sets of starts: two are in one if their paths end alike, or both end like those of a third."""
    sets: list[list[int]] = []
    for k in range(len(ends[0])):
        alike = [one for one in sets if any(_end_alike(ends, k, other) for other in one)]
        sets = [one for one in sets if one not in alike] + [sorted([k, *(j for one in alike for j in one)])]
    return sorted(sets, key=len, reverse=True)


def _end_alike(ends: list[list[NDArray]], k: int, j: int) -> bool:
    pairs = [(finals[k], finals[j]) for finals in ends if min(finals[k].size, finals[j].size) >= FEW]
    return all(ks_2samp(a, b, method="asymp").pvalue > _ALIKE for a, b in pairs)
